//! What the threads of a run share.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::stock::Stock;
use super::tally::Summary;
use super::{HistoryWriter, LoadError, Options, Progress, Tally, Work};
use crate::ending::Ending;
use crate::history::Event;

/// How long an open run that is late may go on after its last time of sending; longer where the
/// run is to wait longer for a target that is gone.
const LINGER: Duration = Duration::from_secs(2);
/// No connection yet, or the last attempt succeeded.
const NEVER: u64 = u64::MAX;

/// What the threads of a run share.
pub(super) struct Shared {
    pub(super) options: Options,
    pub(super) history: Option<Arc<HistoryWriter>>,
    pub(super) work: Arc<dyn Work>,
    pub(super) stock: Arc<Stock>,
    started: Instant,
    stopped: AtomicBool,
    ended: AtomicU64,
    receipts: AtomicU64,
    /// Since when, in microseconds after the start, no connection could be had.
    refused_since_us: AtomicU64,
    /// When the last answer came, in microseconds after the start.
    last_us: AtomicU64,
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared")
            .field("options", &self.options)
            .field("ended", &self.ended)
            .finish_non_exhaustive()
    }
}

impl Shared {
    /// The run begins now.
    pub(super) fn new(
        options: Options,
        work: Arc<dyn Work>,
        stock: Arc<Stock>,
        history: Option<Arc<HistoryWriter>>,
    ) -> Shared {
        Shared {
            options,
            history,
            work,
            stock,
            started: Instant::now(),
            stopped: AtomicBool::new(false),
            ended: AtomicU64::new(0),
            receipts: AtomicU64::new(0),
            refused_since_us: AtomicU64::new(NEVER),
            last_us: AtomicU64::new(0),
        }
    }

    /// Time since the beginning.
    pub(super) fn now(&self) -> Duration {
        self.started.elapsed()
    }

    /// Whether nothing more may begin: stopped, or its time is over.
    pub(super) fn is_over(&self, now: Duration) -> bool {
        let linger = self.options.give_up.max(LINGER);
        let over = self.options.pace.end(linger).is_some_and(|end| now >= end);
        if over {
            self.stop();
        }
        over || self.is_stopped()
    }

    pub(super) fn stop(&self) {
        self.stopped.store(true, Ordering::Relaxed);
        self.stock.close();
    }

    pub(super) fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::Relaxed)
    }

    pub(super) fn tell(&self, event: impl FnOnce(&Shared) -> Event) -> Result<(), LoadError> {
        match &self.history {
            Some(history) => history.write(&event(self)).map_err(LoadError::History),
            None => Ok(()),
        }
    }

    pub(super) fn count(&self, ending: Ending, now: Duration) {
        self.ended.fetch_add(1, Ordering::Relaxed);
        if matches!(ending, Ending::Receipt(_)) {
            self.receipts.fetch_add(1, Ordering::Relaxed);
        }
        self.last_us.fetch_max(micros(now), Ordering::Relaxed);
    }

    pub(super) fn reached(&self) {
        self.refused_since_us.store(NEVER, Ordering::Relaxed);
    }

    /// A connection was refused: the run ends when that has been so for too long.
    pub(super) fn unreached(&self) {
        let now = micros(self.now());
        let since = self
            .refused_since_us
            .compare_exchange(NEVER, now, Ordering::Relaxed, Ordering::Relaxed)
            .unwrap_or_else(|since| since);
        let since = if since == NEVER { now } else { since };
        if now.saturating_sub(since) >= micros(self.options.give_up) {
            self.stop();
        }
    }

    pub(super) fn progress(&self) -> Progress {
        Progress {
            planned: self.options.pace.planned(),
            ended: self.ended.load(Ordering::Relaxed),
            receipts: self.receipts.load(Ordering::Relaxed),
        }
    }

    pub(super) fn sum_up(&self, total: &Tally) -> Summary {
        let begun = self.ended.load(Ordering::Relaxed);
        let planned = self.options.pace.planned().unwrap_or(begun);
        let took = Duration::from_micros(self.last_us.load(Ordering::Relaxed));
        total.summary(planned, took)
    }
}

pub(super) fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
