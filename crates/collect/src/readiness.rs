//! Whether the edge can take clicks: what `/readyz` says.

use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};

use tollgate_click::Millis;
use tollgate_click::limits::CLOCK_SKEW_MS_MAX;

use crate::core::clock::Clock;
use crate::directory::{Directory, Wiring};

/// A tick this old says nothing about the clock any more: missing ticks alone change nothing.
const TICK_FRESH_MS: u64 = 10_000;

/// What the answer depends on.
pub struct Readiness {
    clock: Clock,
    wiring: Arc<Wiring>,
    log_writable: LogProbe,
    draining: AtomicBool,
    tick_noted_ms: AtomicU64,
    tick_offset_ms: AtomicI64,
}

pub(crate) type LogProbe = Arc<dyn Fn() -> Result<(), String> + Send + Sync>;

/// One thing that must be right.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Check {
    /// Its name.
    pub name: &'static str,
    /// Why it is not right; none when it is.
    pub fault: Option<String>,
}

impl Readiness {
    pub(crate) fn new(clock: Clock, wiring: Arc<Wiring>, log_writable: LogProbe) -> Readiness {
        Readiness {
            clock,
            wiring,
            log_writable,
            draining: AtomicBool::new(false),
            tick_noted_ms: AtomicU64::new(0),
            tick_offset_ms: AtomicI64::new(0),
        }
    }

    /// A fresh tick was read: its writer's clock against ours.
    pub fn note_tick(&self, at: Millis) {
        let now = self.clock.read();
        let offset = (now.0 as i64).saturating_sub(at.0 as i64); // both are below 2^48
        self.tick_offset_ms.store(offset, Ordering::Relaxed);
        self.tick_noted_ms.store(now.0, Ordering::Relaxed);
    }

    pub(crate) fn start_draining(&self) {
        self.draining.store(true, Ordering::Release);
    }

    pub(crate) fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Acquire)
    }

    /// All checks; the edge is ready when none has a fault.
    pub fn checks(&self) -> [Check; 5] {
        let directory = self.wiring.load();
        [
            Check {
                name: "log",
                fault: (self.log_writable)().err(),
            },
            Check {
                name: "keys",
                fault: keys_fault(&directory),
            },
            Check {
                name: "records",
                fault: records_fault(&directory),
            },
            Check {
                name: "clock",
                fault: self.clock_fault(),
            },
            Check {
                name: "drain",
                fault: self.is_draining().then(|| "draining".to_owned()),
            },
        ]
    }

    fn clock_fault(&self) -> Option<String> {
        let behind_ms = self.clock.behind_ms();
        if behind_ms > CLOCK_SKEW_MS_MAX {
            return Some(format!("stepped back by {behind_ms} ms"));
        }
        let noted = Millis(self.tick_noted_ms.load(Ordering::Relaxed));
        let off_ms = self.tick_offset_ms.load(Ordering::Relaxed);
        let fresh = noted.0 > 0 && self.clock.read().since(noted) <= TICK_FRESH_MS;
        (fresh && off_ms.unsigned_abs() > CLOCK_SKEW_MS_MAX)
            .then(|| format!("{off_ms} ms off the ticks"))
    }
}

fn keys_fault(directory: &Directory) -> Option<String> {
    directory
        .is_empty()
        .then(|| "no key, link or token is loaded".to_owned())
}

fn records_fault(directory: &Directory) -> Option<String> {
    let version = directory.record_version;
    (!directory.is_writable()).then(|| format!("record version {version} needs a newer edge"))
}

/// The body of `/readyz`, and whether all is well.
pub(crate) fn body(checks: &[Check]) -> (bool, String) {
    let ready = checks.iter().all(|check| check.fault.is_none());
    let mut body = format!("{{\"ready\":{ready},\"checks\":{{");
    for (index, check) in checks.iter().enumerate() {
        let comma = if index == 0 { "" } else { "," };
        let state = serde_json::Value::from(check.fault.as_deref().unwrap_or("ok"));
        // Writing to a string cannot fail.
        let _ = write!(body, "{comma}\"{}\":{state}", check.name);
    }
    body.push_str("}}\n");
    (ready, body)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;

    #[test]
    fn each_check_speaks_for_itself() {
        let time = Arc::new(AtomicU64::new(1_000_000));
        let source = time.clone();
        let clock = Clock::new(move || Millis(source.load(Ordering::Relaxed)));
        let wiring = Arc::new(Wiring::from_pointee(Directory::default()));
        let log = Arc::new(Mutex::new(Ok(())));
        let probe = log.clone();
        let probe: LogProbe = Arc::new(move || probe.lock().unwrap().clone());
        let readiness = Readiness::new(clock.clone(), wiring.clone(), probe);
        let faults = || -> Vec<&str> {
            let checks = readiness.checks();
            checks
                .iter()
                .filter(|check| check.fault.is_some())
                .map(|check| check.name)
                .collect()
        };
        assert_eq!(faults(), ["keys"]);
        let mut directory = Directory::default();
        directory
            .tokens
            .insert([0; 32], crate::directory::tests::token(Millis::MAX));
        directory.record_version = 2;
        wiring.store(Arc::new(directory));
        assert_eq!(faults(), ["records"]);
        wiring.rcu(|now| Directory {
            record_version: 1,
            ..Directory::clone(now)
        });
        assert_eq!(faults(), [""; 0]);
        *log.lock().unwrap() = Err("the \"disk\" is full".to_owned());
        let (ready, text) = body(&readiness.checks());
        let json: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert!(
            !ready && json["checks"]["log"] == "the \"disk\" is full",
            "{text}"
        );
        *log.lock().unwrap() = Ok(());
        readiness.note_tick(Millis(1_000_000 - 2_001));
        assert_eq!(faults(), ["clock"]);
        time.fetch_add(TICK_FRESH_MS + 1, Ordering::Relaxed);
        assert_eq!(faults(), [""; 0], "missing ticks alone change nothing");
        clock.now();
        time.fetch_sub(2_001, Ordering::Relaxed);
        assert_eq!(faults(), ["clock"], "stepped back");
        time.fetch_add(2_001, Ordering::Relaxed);
        readiness.start_draining();
        assert_eq!(faults(), ["drain"]);
    }
}
