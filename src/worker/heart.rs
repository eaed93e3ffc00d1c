//! The heartbeat: one tick a second moves the clock of all partitions, one mark a minute says
//! what the edge will not send any more.
//!
//! A clock that cannot be believed stops the ticks, and with them everything that a tick
//! decides, until an operator accepts it: at start when it lies long after or at all before the
//! last tick, later when it steps against the monotonic clock.

use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use thiserror::Error;
use tollgate_click::limits::CLOCK_SKEW_MS_MAX;
use tollgate_click::record::{Mark, Tick};
use tollgate_click::{EdgeId, Millis, Minute, Record};
use tollgate_log::{Append, NewRecord, Partition};

/// A start that lies further behind the last tick is taken for a wrong clock: 35 days.
const SILENCE_MS_MAX: u64 = 35 * 86_400_000;

/// A mark is sent this long into a minute: a click is appended at once when it is stamped, so
/// what was received before the minute stands before the mark.
const MARK_DELAY_MS: u64 = 5_000;

/// Why ticks are not written.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
pub(crate) enum ClockFault {
    /// The log was silent for too long to be sure.
    #[error(
        "the clock lies {} days after the last tick of the log (limit 35); if it is right, start \
         with --accept-clock", .0 / 86_400_000
    )]
    Ahead(u64),
    /// Time would go back.
    #[error(
        "the clock lies {0} ms before the last tick of the log (limit 2000); if it is right, \
         start with --accept-clock"
    )]
    Behind(u64),
    /// It stepped while running.
    #[error(
        "the clock stepped by {0} ms against the monotonic clock; no ticks are written until a \
         restart (with --accept-clock when it is far off)"
    )]
    Stepped(i64),
}

/// Whether a start may go on from the last tick.
pub(crate) fn check_start(last: Option<Tick>, now: Millis) -> Result<(), ClockFault> {
    let Some(last) = last else {
        return Ok(());
    };
    let (ahead, behind) = (now.since(last.at), last.at.since(now));
    if ahead > SILENCE_MS_MAX {
        Err(ClockFault::Ahead(ahead))
    } else if behind > CLOCK_SKEW_MS_MAX {
        Err(ClockFault::Behind(behind))
    } else {
        Ok(())
    }
}

/// Compares two clocks from one look to the next.
pub(crate) struct Watch {
    wall: Millis,
    monotonic: Duration,
    /// How many times as fast as time the wall clock runs.
    speed: u32,
}

impl Watch {
    /// Both clocks now.
    pub(crate) fn start(wall: Millis, monotonic: Duration, speed: u32) -> Watch {
        Watch {
            wall,
            monotonic,
            speed,
        }
    }

    /// How far the wall clock went astray since the last look, if that is too far.
    pub(crate) fn look(&mut self, wall: Millis, monotonic: Duration) -> Result<(), ClockFault> {
        let ran = monotonic.saturating_sub(self.monotonic) * self.speed;
        let ran = ran.as_millis();
        let went = i128::from(wall.0) - i128::from(self.wall.0);
        let step = went - i128::try_from(ran).unwrap_or(i128::MAX);
        (self.wall, self.monotonic) = (wall, monotonic);
        if step.unsigned_abs() > u128::from(CLOCK_SKEW_MS_MAX) * u128::from(self.speed) {
            return Err(ClockFault::Stepped(i64::try_from(step).unwrap_or(i64::MAX)));
        }
        Ok(())
    }
}

/// What is wrong at present, as readiness tells it; shared by those who find out and those who
/// tell.
#[derive(Clone, Default)]
pub(crate) struct Faults(Arc<Mutex<[Option<String>; 4]>>);

/// Who may have a fault.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Part {
    /// The clock: ticks have stopped.
    Clock = 0,
    /// Ticks or control records cannot be written.
    Log = 1,
    /// A file is not good; what stood before goes on.
    Files = 2,
    /// A store of the worker says no; it waits and tries again.
    Stores = 3,
}

impl Faults {
    /// Sets or clears a part's fault; true when that is news.
    pub(crate) fn set(&self, part: Part, fault: Option<String>) -> bool {
        let mut faults = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(known) = faults.get_mut(part as usize) else {
            return false;
        };
        let news = *known != fault;
        *known = fault;
        news
    }

    /// A part's fault.
    pub(crate) fn get(&self, part: Part) -> Option<String> {
        let faults = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        faults.get(part as usize).cloned().flatten()
    }
}

/// Writes ticks and marks.
pub(crate) struct Heart<A> {
    pub(crate) appender: A,
    /// Above the log's last.
    pub(crate) epoch: u64,
    pub(crate) edge: EdgeId,
    /// Ticks belong to the processor, marks to the edge.
    pub(crate) ticks: bool,
    pub(crate) marks: bool,
    pub(crate) clock: Box<dyn Fn() -> Millis + Send + Sync>,
    /// How many times as fast as time that clock runs.
    pub(crate) speed: u32,
    pub(crate) faults: Faults,
    pub(crate) noted: Box<dyn Fn(Millis) + Send + Sync>,
}

impl<A: Append> Heart<A> {
    /// Beats once a second until `stopped` resolves.
    pub(crate) async fn run(self, stopped: impl Future<Output = ()>) {
        let mut stopped = std::pin::pin!(stopped);
        let started = Instant::now();
        let mut watch = Watch::start((self.clock)(), started.elapsed(), self.speed);
        let mut marked = Minute(0);
        let mut every = tokio::time::interval(Duration::from_secs(1));
        every.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = &mut stopped => return,
                _ = every.tick() => {}
            }
            let now = (self.clock)();
            if let Err(fault) = watch.look(now, started.elapsed()) {
                tracing::error!(%fault, "the heartbeat stops");
                self.faults.set(Part::Clock, Some(fault.to_string()));
                return stopped.await;
            }
            if let Err(error) = self.beat(now, &mut marked).await {
                if self.faults.set(Part::Log, Some(error.to_string())) {
                    tracing::error!(%error, "no tick was written");
                }
            } else if self.faults.set(Part::Log, None) {
                tracing::info!("ticks are written again");
            }
        }
    }

    async fn beat(
        &self,
        now: Millis,
        marked: &mut Minute,
    ) -> Result<(), tollgate_log::AppendError> {
        if self.ticks {
            self.append(Record::Tick(Tick {
                epoch: self.epoch,
                at: now,
            }))
            .await?;
            (self.noted)(now);
        }
        let delay_ms = MARK_DELAY_MS * u64::from(self.speed);
        let minute = Millis(now.0.saturating_sub(delay_ms)).minute();
        if self.marks && minute > *marked {
            self.append(Record::Mark(Mark {
                edge: self.edge,
                minute,
            }))
            .await?;
            *marked = minute;
        }
        Ok(())
    }

    /// To all partitions.
    async fn append(&self, record: Record) -> Result<(), tollgate_log::AppendError> {
        let mut facts = Vec::new();
        record.encode(&mut facts);
        let record = NewRecord {
            partition: Partition::ALL,
            facts: &facts,
            personal: &[],
        };
        self.appender.append(record)?.await?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: u64 = 86_400_000;

    #[test]
    fn a_start_goes_on_from_the_last_tick_or_says_why_not() {
        let last = Some(Tick {
            epoch: 1,
            at: Millis(100 * DAY),
        });
        assert_eq!(check_start(None, Millis(0)), Ok(()));
        assert_eq!(check_start(last, Millis(100 * DAY)), Ok(()));
        assert_eq!(check_start(last, Millis(135 * DAY)), Ok(()));
        let ahead = check_start(last, Millis(135 * DAY + 1)).unwrap_err();
        assert!(
            ahead.to_string().contains("35 days after the last tick"),
            "{ahead}"
        );
        assert_eq!(check_start(last, Millis(100 * DAY - 2_000)), Ok(()));
        assert_eq!(
            check_start(last, Millis(100 * DAY - 2_001)),
            Err(ClockFault::Behind(2_001))
        );
        assert!(check_start(last, Millis(0)).is_err());
    }

    #[test]
    fn a_step_of_the_clock_is_seen_and_drift_is_not() {
        let ms = Duration::from_millis;
        let mut watch = Watch::start(Millis(1_000_000), ms(50), 1);
        assert_eq!(watch.look(Millis(1_001_000), ms(1_050)), Ok(()));
        assert_eq!(
            watch.look(Millis(1_003_900), ms(2_050)),
            Ok(()),
            "1.9 s ahead"
        );
        assert_eq!(
            watch.look(Millis(1_007_001), ms(3_050)),
            Err(ClockFault::Stepped(2_101))
        );
        let mut fast = Watch::start(Millis(0), ms(0), 1_440);
        assert_eq!(fast.look(Millis(1_440_000), ms(1_000)), Ok(()));
        assert_eq!(fast.look(Millis(2_881_000), ms(2_000)), Ok(()), "jitter");
        assert!(fast.look(Millis(2_882_440), ms(6_001)).is_err(), "it stood");
        let hour_back = Millis(10_000_000 + 1_000 - 3_600_000);
        let mut watch = Watch::start(Millis(10_000_000), ms(0), 1);
        assert_eq!(
            watch.look(hour_back, ms(1_000)),
            Err(ClockFault::Stepped(-3_600_000))
        );
        let mut watch = Watch::start(Millis(5_000), ms(0), 1);
        assert!(
            watch.look(Millis(315_360_000_000), ms(1_000)).is_err(),
            "ten years"
        );
        let mut watch = Watch::start(Millis(5_000), ms(0), 1);
        assert!(
            watch.look(Millis(0), ms(60_000)).is_err(),
            "frozen and reset"
        );
    }
}
