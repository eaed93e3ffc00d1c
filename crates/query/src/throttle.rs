//! Wrong API keys, counted by address: who sends many is told to wait.
//!
//! A key has 256 random bits, so nobody finds one by trying; this keeps the trying cheap. The right
//! key is let in at any time, since behind a proxy all clients have one address.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// The address of the other end of a connection, as an extension of its requests. Without one
/// nothing is counted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Peer(pub IpAddr);

/// Wrong keys that an address may send at once.
pub const TRIES_MAX: u32 = 20;

/// After so long it may send one more.
pub const A_TRY: Duration = Duration::from_secs(3);

/// Addresses that are remembered; then those that have waited longest are forgotten.
const ADDRESSES_MAX: usize = 10_000;

/// Wrong keys by address.
#[derive(Default)]
pub(crate) struct Throttle {
    /// When all tries of an address are free again: each takes [`A_TRY`] from its last, so that
    /// one number says how many are left.
    free_at: Mutex<BTreeMap<[u8; 8], Instant>>,
}

impl Throttle {
    /// Counts a wrong key; `Err` with the seconds to wait when there were too many.
    pub(crate) fn wrong(&self, Peer(address): Peer, now: Instant) -> Result<(), u32> {
        let mut all = self.free_at.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() >= ADDRESSES_MAX {
            forget_some(&mut all, now);
        }
        let free_at = all.entry(network(address)).or_insert(now);
        let after = (*free_at).max(now) + A_TRY;
        let used_up = now + A_TRY * TRIES_MAX;
        if after > used_up {
            let wait = after.duration_since(used_up);
            return Err(u32::try_from(wait.as_secs())
                .unwrap_or(u32::MAX)
                .saturating_add(1));
        }
        *free_at = after;
        Ok(())
    }
}

/// An IPv4 address, or the first half of an IPv6 one, which is what one client has.
fn network(address: IpAddr) -> [u8; 8] {
    match address.to_canonical() {
        IpAddr::V4(address) => {
            let [a, b, c, d] = address.octets();
            [0, 0, 0, 0, a, b, c, d]
        }
        IpAddr::V6(address) => {
            let [a, b, c, d, e, f, g, h, ..] = address.octets();
            [a, b, c, d, e, f, g, h]
        }
    }
}

/// Forgets addresses that may try freely again; when none may, the half that could soonest.
fn forget_some(all: &mut BTreeMap<[u8; 8], Instant>, now: Instant) {
    all.retain(|_, free_at| *free_at > now);
    if all.len() >= ADDRESSES_MAX {
        let mut times: Vec<Instant> = all.values().copied().collect();
        let middle = times.len() / 2;
        let (_, median, _) = times.select_nth_unstable(middle);
        let median = *median;
        all.retain(|_, free_at| *free_at > median);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(text: &str) -> Peer {
        Peer(text.parse().unwrap())
    }

    #[test]
    fn twenty_wrong_keys_at_once_and_then_one_every_three_seconds() {
        let (throttle, start) = (Throttle::default(), Instant::now());
        let tries =
            |at: u64, from: &str| throttle.wrong(peer(from), start + Duration::from_secs(at));
        for _ in 0..TRIES_MAX {
            assert_eq!(tries(0, "192.0.2.1"), Ok(()));
        }
        assert_eq!(tries(0, "192.0.2.1"), Err(4));
        assert_eq!(tries(0, "::ffff:192.0.2.1"), Err(4), "the same address");
        assert_eq!(tries(0, "192.0.2.2"), Ok(()), "another one");
        assert_eq!(tries(3, "192.0.2.1"), Ok(()));
        assert!(tries(3, "192.0.2.1").is_err());
        assert_eq!(tries(1_000, "192.0.2.1"), Ok(()));
    }

    #[test]
    fn one_client_is_one_network_and_memory_is_bounded() {
        let (throttle, start) = (Throttle::default(), Instant::now());
        for host in 0..TRIES_MAX {
            let address = format!("2001:db8::{host:x}");
            assert_eq!(throttle.wrong(peer(&address), start), Ok(()));
        }
        assert!(throttle.wrong(peer("2001:db8::ffff"), start).is_err());
        for number in 0..3 * ADDRESSES_MAX as u32 {
            let address = IpAddr::from(number.to_be_bytes());
            throttle.wrong(Peer(address), start).unwrap();
        }
        let known = throttle.free_at.lock().unwrap().len();
        assert!(known <= ADDRESSES_MAX, "{known}");
    }
}
