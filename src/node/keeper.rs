//! Keeps the control partition and the files in step while a node runs, and the log in its
//! bounds.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::{Notify, mpsc};
use tokio::time::MissedTickBehavior;
use tollgate_click::record::Tick;
use tollgate_click::{Actor, Millis};
use tollgate_collect::Clock;
use tollgate_log::{Cursor, SegmentInfo, SegmentLog};
use tollgate_query::Standing;

use crate::control::desk::{self, Submission};
use crate::control::files::{Files, Look};
use crate::control::{OfferError, Sequencer, Who, snapshot, zones};
use crate::data_dir::DataDir;
use crate::worker::{Faults, Part, Progress};

/// How often files are looked at. A changed file is read when it looks the same twice, so that
/// one that is being written is not read by halves; a change takes effect within two looks.
const LOOK: Duration = Duration::from_millis(500);

/// How often a snapshot is kept although nothing has changed: a start reads what came after it,
/// some 50 MB at 50,000 clicks a second.
const SNAPSHOT: Duration = Duration::from_secs(5);

/// How often old segments are looked for.
const RETENTION: Duration = Duration::from_secs(600);

/// How often old offsets of zones are looked for; they are renewed a year before they end.
const ZONES: Duration = Duration::from_secs(3600);

/// The one task that writes control records.
pub(super) struct Keeper {
    pub(super) sequencer: Sequencer,
    /// What the API wants changed.
    pub(super) submissions: mpsc::Receiver<Submission>,
    pub(super) clock: Clock,
    pub(super) files: Files,
    /// How the files looked before they were read at the start: a change since then counts.
    pub(super) taken: Look,
    pub(super) log: Arc<SegmentLog>,
    pub(super) dir: DataDir,
    /// Of facts and of personal parts.
    pub(super) retention: (Duration, Duration),
    /// This node's epoch, and the time of its newest tick; 0 before the first.
    pub(super) epoch: u64,
    pub(super) ticked_ms: Arc<AtomicU64>,
    pub(super) faults: Faults,
    pub(super) reload: Arc<Notify>,
    /// How far the worker is; none without the role.
    pub(super) progress: Option<Progress>,
}

impl Keeper {
    /// Runs until `stopped` resolves; then keeps a last snapshot.
    pub(super) async fn run(mut self, stopped: impl Future<Output = ()>) {
        let mut stopped = std::pin::pin!(stopped);
        let mut seen = self.taken.clone();
        let (mut kept, mut pruned) = (Instant::now(), Instant::now());
        let mut zones = None::<Instant>;
        let mut looks = tokio::time::interval(LOOK);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let asked = tokio::select! {
                () = &mut stopped => break,
                () = self.reload.notified() => true,
                _ = looks.tick() => false,
                Some(submission) = self.submissions.recv() => {
                    desk::take(&mut self.sequencer, submission, self.clock.now()).await;
                    continue;
                }
            };
            let now = self.files.look();
            let settled = asked || (now == seen && now != self.taken);
            seen = now;
            if settled && self.take_files().await {
                self.taken.clone_from(&seen);
                kept = self.keep();
            }
            if kept.elapsed() >= SNAPSHOT {
                kept = self.keep();
            }
            if zones.is_none_or(|at| at.elapsed() >= ZONES) {
                zones = self.renew_zones().await;
            }
            if pruned.elapsed() >= RETENTION {
                pruned = Instant::now();
                self.prune();
            }
        }
        self.keep();
    }

    /// Reads the files and makes what stands what they want. True when they are dealt with, even
    /// as bad ones; what stood before goes on then.
    async fn take_files(&mut self) -> bool {
        let offered = match self.files.read() {
            Err(error) => Err(format!("{error:#}")),
            Ok(wanted) => match self.sequencer.offer(&wanted, self.clock.now()).await {
                Ok(changes) => Ok(changes),
                Err(OfferError::Differs(differs)) => Err(differs.to_string()),
                Err(error) => {
                    if self.faults.set(Part::Log, Some(error.to_string())) {
                        tracing::error!(%error, "changes wait for the log");
                    }
                    return false;
                }
            },
        };
        match offered {
            Ok(changes) => {
                self.faults.set(Part::Files, None);
                tracing::info!(changes, "the files were read");
            }
            Err(fault) => {
                tracing::error!(fault, "a file is not good; what stood before goes on");
                self.faults.set(Part::Files, Some(fault));
            }
        }
        true
    }

    /// Renews the offsets of zones that are old; the time when none was left.
    async fn renew_zones(&mut self) -> Option<Instant> {
        let decision = |standing: &Standing, now| Ok(zones::renewals(standing, now));
        let operator = Who {
            by: Actor(0),
            request: None,
        };
        let now = self.clock.now();
        match self
            .sequencer
            .decide(Box::new(decision), operator, now)
            .await
        {
            Ok(renewed) if renewed.is_empty() => Some(Instant::now()),
            Ok(renewed) => {
                tracing::info!(campaigns = renewed.len(), "offsets of zones were renewed");
                None
            }
            Err(error) => {
                tracing::error!(%error, "offsets of zones wait for the log");
                Some(Instant::now())
            }
        }
    }

    /// Keeps a snapshot; failing costs nothing but time at the next start.
    fn keep(&mut self) -> Instant {
        let at = Millis(self.ticked_ms.load(Ordering::Relaxed));
        let tick = (at.0 > 0).then_some(Tick {
            epoch: self.epoch,
            at,
        });
        if let Err(error) = self.sequencer.skip_to_end(tick) {
            tracing::error!(
                error = format!("{error:#}"),
                "the control partition cannot be read"
            );
        } else if let Err(error) = snapshot::save(self.dir.path(), &self.sequencer.snapshot()) {
            tracing::warn!(%error, "no control snapshot was kept");
        }
        Instant::now()
    }

    /// Gives up what was kept long enough. The snapshot is kept first: it must not lie before
    /// the log's first record.
    fn prune(&mut self) {
        self.keep();
        if let Err(error) = self.try_prune() {
            tracing::error!(%error, "old segments were not removed");
        }
    }

    fn try_prune(&self) -> Result<(), tollgate_log::ReadError> {
        let now_ms = self.clock.read().0;
        let (facts, personal) = self.retention;
        if let Some(before) = self.passed(&self.log.segments()?, now_ms, personal) {
            self.log.expire_personal(before)?;
        }
        if let Some(before) = self.passed(&self.log.segments()?, now_ms, facts) {
            self.log.expire_facts(before)?;
        }
        Ok(())
    }

    /// Where the records begin that are younger than `kept`, or that the worker still needs.
    fn passed(&self, segments: &[SegmentInfo], now_ms: u64, kept: Duration) -> Option<Cursor> {
        let needed = self.progress.as_ref().and_then(Progress::needed);
        let old = end_of_old(segments, now_ms, kept)?;
        let firsts = segments.iter().map(|segment| segment.first);
        firsts
            .filter(|first| *first <= old && needed.is_none_or(|needed| *first <= needed))
            .max()
    }
}

/// Where the records begin that are younger than `kept`: a segment's last record is older than
/// the begin of the next one.
fn end_of_old(segments: &[SegmentInfo], now_ms: u64, kept: Duration) -> Option<Cursor> {
    let kept_ms = u64::try_from(kept.as_millis()).unwrap_or(u64::MAX);
    let limit = now_ms.checked_sub(kept_ms)?;
    let old = segments
        .windows(2)
        .take_while(|pair| matches!(pair, [_, next] if next.created_ms <= limit));
    old.filter_map(|pair| pair.last())
        .map(|next| next.first)
        .last()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_segment_is_old_when_the_next_one_is() {
        let segment = |number: u64, created_ms| SegmentInfo {
            first: Cursor {
                incarnation: 1,
                position: number,
            },
            created_ms,
            sealed: true,
            facts_bytes: 1,
            personal_bytes: None,
        };
        let segments = [segment(1, 100), segment(2, 200), segment(3, 300)];
        let end = |now_ms, kept_ms| {
            end_of_old(&segments, now_ms, Duration::from_millis(kept_ms)).map(|c| c.position)
        };
        assert_eq!(end(1_000, 900), None, "the second began just then");
        assert_eq!(end(1_000, 800), Some(2));
        assert_eq!(end(1_000, 700), Some(3));
        assert_eq!(end(1_000, 0), Some(3), "the last one is never old");
        assert_eq!(end(100, 200), None);
    }
}
