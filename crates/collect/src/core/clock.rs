//! The edge's clock: injected, and never going back within a run.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tollgate_click::Millis;

/// A source of Unix time that all threads of an edge share. It may stand still and never goes
/// back: a step back of the source is waited out at the last instant given.
#[derive(Clone)]
pub struct Clock {
    source: Arc<dyn Fn() -> Millis + Send + Sync>,
    last_ms: Arc<AtomicU64>,
}

impl Clock {
    /// Reads `source`, which may do anything.
    pub fn new(source: impl Fn() -> Millis + Send + Sync + 'static) -> Clock {
        Clock {
            source: Arc::new(source),
            last_ms: Arc::new(AtomicU64::new(0)),
        }
    }

    /// The system's clock.
    pub fn system() -> Clock {
        Clock::new(|| {
            let since = std::time::UNIX_EPOCH.elapsed().unwrap_or_default();
            Millis(u64::try_from(since.as_millis()).unwrap_or(Millis::MAX.0))
        })
    }

    /// A clock that shows `start` now and runs `factor` times as fast as time does, for shows and
    /// rehearsals: 1,440 passes a day in a minute.
    pub fn scaled(start: Millis, factor: u32) -> Clock {
        let began = Instant::now();
        Clock::new(move || scale(start, began.elapsed(), factor))
    }

    /// The time, at or after every instant given before on any thread.
    pub fn now(&self) -> Millis {
        let read_ms = self.read().0;
        // The shared word is written once a millisecond at most, so threads do not fight for it.
        let last_ms = self.last_ms.load(Ordering::Relaxed);
        if read_ms <= last_ms {
            return Millis(last_ms);
        }
        Millis(
            self.last_ms
                .fetch_max(read_ms, Ordering::Relaxed)
                .max(read_ms),
        )
    }

    /// What the source says, without the rule.
    pub fn read(&self) -> Millis {
        (self.source)().min(Millis::MAX)
    }

    /// Milliseconds that the source lies behind the last instant given: it has stepped back.
    pub fn behind_ms(&self) -> u64 {
        Millis(self.last_ms.load(Ordering::Relaxed)).since(self.read())
    }
}

/// `factor` times `elapsed` after `start`, at most the last instant that can be told.
fn scale(start: Millis, elapsed: Duration, factor: u32) -> Millis {
    let passed_ms = elapsed.as_nanos().saturating_mul(u128::from(factor)) / 1_000_000;
    let passed_ms = u64::try_from(passed_ms).unwrap_or(u64::MAX);
    Millis(start.0.saturating_add(passed_ms)).min(Millis::MAX)
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Clock({} ms)", self.last_ms.load(Ordering::Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_back_is_waited_out() {
        let source = Arc::new(AtomicU64::new(1_000));
        let read = source.clone();
        let clock = Clock::new(move || Millis(read.load(Ordering::Relaxed)));
        assert_eq!(clock.now(), Millis(1_000));
        source.store(400, Ordering::Relaxed);
        assert_eq!((clock.now(), clock.behind_ms()), (Millis(1_000), 600));
        source.store(1_001, Ordering::Relaxed);
        assert_eq!((clock.now(), clock.behind_ms()), (Millis(1_001), 0));
        source.store(u64::MAX, Ordering::Relaxed);
        assert_eq!(clock.now(), Millis::MAX);
    }

    #[test]
    fn a_scaled_clock_starts_where_it_is_told_and_runs_as_fast_as_it_is_told() {
        let rows = [
            (Duration::ZERO, 1_440, 5_000),
            (Duration::from_micros(500), 1_440, 5_720),
            (Duration::from_secs(60), 1_440, 5_000 + 86_400_000),
            (Duration::from_millis(7), 1, 5_007),
            (Duration::from_secs(60), 0, 5_000),
            (Duration::MAX, u32::MAX, Millis::MAX.0),
        ];
        for (elapsed, factor, expected) in rows {
            assert_eq!(scale(Millis(5_000), elapsed, factor), Millis(expected));
        }
        let clock = Clock::scaled(Millis(5_000), 1_000);
        let first = clock.now();
        std::thread::sleep(Duration::from_millis(2));
        assert!(first >= Millis(5_000) && clock.now() >= first.plus_ms(2_000));
    }
}
