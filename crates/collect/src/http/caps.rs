//! How many connections may be open, in total and by one address.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crate::options::Limits;

/// The open connections of an edge.
pub(crate) struct Caps {
    total_max: usize,
    per_source_max: usize,
    total: AtomicUsize,
    // Only touched when connections come and go. The map's keys are chosen by strangers and its
    // hasher is keyed at random.
    by_source: Mutex<HashMap<Source, usize>>,
}

/// What counts as one address: of IPv6 a whole /64, which is what one host gets.
type Source = u64;

/// One open connection; frees its place when dropped.
pub(crate) struct Slot {
    caps: Arc<Caps>,
    source: Option<Source>,
}

impl Caps {
    pub(crate) fn new(limits: &Limits) -> Caps {
        Caps {
            total_max: limits.connections_max,
            per_source_max: limits.connections_per_ip_max,
            total: AtomicUsize::new(0),
            by_source: Mutex::default(),
        }
    }

    /// A place for a connection of that address; none when there are too many. `counted` is false
    /// for our proxies, behind which everybody has one address.
    pub(crate) fn take(self: &Arc<Self>, address: IpAddr, counted: bool) -> Option<Slot> {
        let before = self.total.fetch_add(1, Ordering::Relaxed);
        let mut slot = Slot {
            caps: self.clone(),
            source: None,
        };
        if before >= self.total_max {
            return None; // and the slot's drop takes the count back
        }
        if counted {
            let source = source_of(address);
            let mut by_source = self
                .by_source
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            let open = by_source.entry(source).or_insert(0);
            if *open >= self.per_source_max {
                if *open == 0 {
                    by_source.remove(&source);
                }
                return None;
            }
            *open += 1;
            slot.source = Some(source);
        }
        Some(slot)
    }

    /// Open connections.
    pub(crate) fn open(&self) -> usize {
        self.total.load(Ordering::Relaxed)
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.caps.total.fetch_sub(1, Ordering::Relaxed);
        let Some(source) = self.source else { return };
        let mut by_source = self
            .caps
            .by_source
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(open) = by_source.get_mut(&source) {
            *open -= 1;
            if *open == 0 {
                by_source.remove(&source);
            }
        }
    }
}

fn source_of(address: IpAddr) -> Source {
    match address.to_canonical() {
        // No /64 that is in use begins with 32 zero bits.
        IpAddr::V4(v4) => u64::from(v4.to_bits()),
        IpAddr::V6(v6) => (v6.to_bits() >> 64) as u64,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_few_and_come_back() {
        let limits = Limits {
            connections_max: 4,
            connections_per_ip_max: 2,
            ..Limits::default()
        };
        let caps = Arc::new(Caps::new(&limits));
        let (one, two): (IpAddr, IpAddr) = ([192, 0, 2, 1].into(), [192, 0, 2, 2].into());
        let first = caps.take(one, true);
        let second = caps.take(one, true);
        assert!(first.is_some() && second.is_some());
        assert!(caps.take(one, true).is_none(), "a third of one address");
        let proxied = [caps.take(one, false), caps.take(two, true)];
        assert!(proxied.iter().all(Option::is_some));
        assert!(caps.take(two, true).is_none(), "a fifth in total");
        drop(first);
        assert!(caps.take(one, true).is_some());
        drop((second, proxied));
        assert_eq!(caps.open(), 0);
        assert!(
            caps.by_source.lock().unwrap().is_empty(),
            "no memory is left behind"
        );
        let v6 = |text: &str| source_of(text.parse().unwrap());
        assert_eq!(v6("2001:db8::1"), v6("2001:db8::ffff:1"));
        assert_ne!(v6("2001:db8::1"), v6("2001:db8:0:1::1"));
    }
}
