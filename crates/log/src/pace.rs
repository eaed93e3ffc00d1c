//! When the writer does what. Nothing that is stored depends on these clocks.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::appender::Batch;
use crate::options::{Durability, Options};

/// A commit of at most so many records does not make the next one wait for company.
pub(crate) const FEW_RECORDS: u64 = 4;
/// After so long the writer itself wakes waiters whose leader has not done it. Long enough for a
/// thread with thousands of tasks before the leader's: a wake from here is a system call each.
pub(crate) const LEADER_PATIENCE: Duration = Duration::from_millis(500);

/// The monotonic clock.
#[expect(
    clippy::disallowed_methods,
    reason = "it paces commits, and no record says when"
)]
pub(crate) fn now() -> Instant {
    Instant::now()
}

/// When things happened, and when they shall.
pub(crate) struct Pace {
    pub(crate) commit_began: Instant,
    /// Of the last commit, or of all close before it: see [`Pace::commit_begins`].
    pub(crate) commit_records: u64,
    pub(crate) last_sync: Instant,
    pub(crate) retry_at: Instant,
    /// Batches that were completed, with the time, until their waiters are known to be awake.
    pub(crate) completed: Vec<(Instant, Arc<Batch>)>,
}

impl Pace {
    pub(crate) fn new() -> Pace {
        let now = now();
        Pace {
            commit_began: now,
            commit_records: 0,
            last_sync: now,
            retry_at: now,
            completed: Vec::new(),
        }
    }

    /// Notes a commit of so many records. A sync takes its time and gathers company by itself;
    /// a write alone does not, so with [`Durability::Os`] the records of all commits within one
    /// interval count together. Otherwise a thousand tiny commits a second would feed themselves.
    pub(crate) fn commit_begins(&mut self, records: u64, options: &Options) {
        let now = now();
        let close = now.duration_since(self.commit_began) < options.commit_interval;
        let before = match options.durability {
            Durability::Os if close => self.commit_records,
            Durability::Os | Durability::Sync => 0,
        };
        self.commit_records = before.saturating_add(records);
        self.commit_began = now;
    }
}
