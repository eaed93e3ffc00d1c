//! One connection's loop, and what all connections share.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::tally::{Summary, Took};
use super::{HistoryWriter, LoadError, Options, Progress, Tally, Work};
use crate::client::{Connection, ExchangeError};
use crate::ending::Ending;
use crate::history::Event;

/// How long an open run that is late may go on after its last time of sending; longer where the
/// run is to wait longer for a target that is gone.
const LINGER: Duration = Duration::from_secs(2);
/// Pause of a lane whose connection was refused.
const REFUSED_PAUSE: Duration = Duration::from_millis(20);
/// The pacer wakes at most this often: at high rates each waking costs as much as a request.
const PACER_STEP: Duration = Duration::from_micros(500);
/// No connection yet, or the last attempt succeeded.
const NEVER: u64 = u64::MAX;

/// What the lanes of a run share.
pub(super) struct Shared {
    pub(super) options: Options,
    pub(super) history: Option<Arc<HistoryWriter>>,
    work: Arc<dyn Work>,
    started: Instant,
    /// Number of the next request to be begun.
    next: AtomicU64,
    /// At an open pace: requests that are due and not begun.
    due: Semaphore,
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
            .field("next", &self.next)
            .finish_non_exhaustive()
    }
}

/// Drives `lanes` connections on this thread until the run ends.
pub(super) fn run(shared: &Arc<Shared>, lanes: usize) -> Result<Tally, LoadError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(LoadError::Thread)?;
    // One tally a thread: a histogram is too large for each of thousands of connections.
    let tally = Arc::new(Mutex::new(Tally::new()?));
    let ended = runtime.block_on(async {
        let mut set = JoinSet::new();
        for _ in 0..lanes {
            set.spawn(Lane::new(Arc::clone(shared), Arc::clone(&tally)).run());
        }
        let mut ended = Ok(());
        while let Some(joined) = set.join_next().await {
            if let Err(error) = joined.unwrap_or(Err(LoadError::Died)) {
                shared.stop();
                ended = ended.and(Err(error));
            }
        }
        ended
    });
    ended?;
    let tally = Arc::into_inner(tally).ok_or(LoadError::Died)?;
    let mut tally = tally.into_inner().unwrap_or_else(PoisonError::into_inner);
    let wall_ns = shared.started.elapsed().as_nanos().max(1);
    tally.busy(u64::try_from(busy_ns() * 100 / wall_ns).unwrap_or(0));
    Ok(tally)
}

/// How long this thread was running, or could have and had no processor; 0 where the system does
/// not tell.
fn busy_ns() -> u128 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let numbers = text.split_whitespace().take(2);
    numbers
        .filter_map(|number| number.parse::<u128>().ok())
        .sum()
}

struct Lane {
    shared: Arc<Shared>,
    connection: Option<Connection>,
    request: Vec<u8>,
    tally: Arc<Mutex<Tally>>,
}

impl Lane {
    fn new(shared: Arc<Shared>, tally: Arc<Mutex<Tally>>) -> Lane {
        Lane {
            shared,
            connection: None,
            request: Vec::with_capacity(2048),
            tally,
        }
    }

    async fn run(mut self) -> Result<(), LoadError> {
        loop {
            let idle_at = self.shared.started.elapsed();
            let Some(op) = self.shared.take().await else {
                return Ok(());
            };
            self.send(op, idle_at).await?;
        }
    }

    /// Makes request `op` on a connection that is idle since `idle_at`.
    async fn send(&mut self, op: u64, idle_at: Duration) -> Result<(), LoadError> {
        self.request.clear();
        let head = self.shared.work.render(op, &mut self.request)?;
        let sent = self.shared.started.elapsed();
        let intended = self.shared.options.pace.due(op).unwrap_or(sent);
        self.shared.tell(|shared| Event::Invoke {
            op,
            intended_us: micros(intended),
            truth: shared.work.truth(op),
        })?;
        let ending = self.exchange_until_settled(op, head).await;
        let now = self.shared.started.elapsed();
        self.shared
            .tell(|_| Event::of_ending(op, micros(now), ending))?;
        let took = Took {
            since_intended: now.saturating_sub(intended),
            since_sent: now.saturating_sub(sent),
            lag: sent.saturating_sub(intended.max(idle_at)),
        };
        let mut tally = self.tally.lock().unwrap_or_else(PoisonError::into_inner);
        tally.count(ending, took);
        drop(tally);
        self.shared.count(ending, now);
        self.shared.work.ended(op, ending);
        Ok(())
    }

    /// Sends the request, and again for as long as it is certainly not recorded and its sender
    /// asks for it.
    async fn exchange_until_settled(&mut self, op: u64, head: bool) -> Ending {
        loop {
            let ending = self.exchange(head).await;
            let pause = match ending {
                Ending::Refused(_) | Ending::NotSent if !self.shared.is_stopped() => {
                    self.shared.work.again(op, ending)
                }
                _ => None,
            };
            match pause {
                Some(pause) => tokio::time::sleep(pause).await,
                None => return ending,
            }
        }
    }

    async fn exchange(&mut self, head: bool) -> Ending {
        // A kept connection may turn out to be closed before a byte of the request left: then
        // the request goes over a new one, and only over that.
        for fresh in [false, true] {
            let kept = self.connection.take();
            let kept = kept.filter(|connection| connection.is_usable() && !fresh);
            let mut connection = match kept {
                Some(connection) => connection,
                None => match self.connect().await {
                    Some(connection) => connection,
                    None => return Ending::NotSent,
                },
            };
            match connection.exchange(&self.request, head).await {
                Ok(answer) => {
                    self.connection = Some(connection);
                    return answer.ending();
                }
                Err(ExchangeError::NotSent) => {}
                Err(lost) => return lost.into(),
            }
        }
        Ending::NotSent
    }

    async fn connect(&mut self) -> Option<Connection> {
        let Options {
            address, patience, ..
        } = self.shared.options;
        match Connection::open(address, patience).await {
            Ok(connection) => {
                self.shared.reached();
                Some(connection)
            }
            Err(_) => {
                self.shared.unreached();
                tokio::time::sleep(REFUSED_PAUSE).await;
                None
            }
        }
    }
}

impl Shared {
    pub(super) fn new(
        options: Options,
        work: Arc<dyn Work>,
        history: Option<Arc<HistoryWriter>>,
    ) -> Shared {
        Shared {
            options,
            history,
            work,
            started: Instant::now(),
            next: AtomicU64::new(0),
            due: Semaphore::new(0),
            stopped: AtomicBool::new(false),
            ended: AtomicU64::new(0),
            receipts: AtomicU64::new(0),
            refused_since_us: AtomicU64::new(NEVER),
            last_us: AtomicU64::new(0),
        }
    }

    /// The next request to begin, when it is due; none when the run is over.
    async fn take(&self) -> Option<u64> {
        if self.options.pace.is_open() {
            // Closed at the end of the run.
            self.due.acquire().await.ok()?.forget();
        }
        let over = self.options.pace.end(self.options.give_up.max(LINGER));
        if self.is_stopped() || over.is_some_and(|end| self.started.elapsed() >= end) {
            self.stop();
            return None;
        }
        let op = self.next.fetch_add(1, Ordering::Relaxed);
        let last = self.options.pace.planned();
        last.is_none_or(|planned| op < planned).then_some(op)
    }

    /// The pacer's loop: lets each request begin when it is due, closes the run when all have
    /// begun or its time is over.
    pub(super) fn release_in_time(&self) {
        let end = self
            .options
            .pace
            .end(self.options.give_up.max(LINGER))
            .unwrap_or_default();
        let planned = self.options.pace.planned().unwrap_or_default();
        let mut released = 0;
        while !self.is_stopped() && self.started.elapsed() < end {
            let Some(due) = self.options.pace.due(released) else {
                // All are released; once all have begun, idle lanes must hear of the end.
                if self.next.load(Ordering::Relaxed) >= planned {
                    break;
                }
                std::thread::sleep(PACER_STEP * 10);
                continue;
            };
            let wait = due.saturating_sub(self.started.elapsed());
            if wait > Duration::ZERO {
                // Short steps, so that a stop is noticed.
                std::thread::sleep(wait.clamp(PACER_STEP, PACER_STEP * 100));
                continue;
            }
            let now = self.started.elapsed();
            let first = released;
            while self
                .options
                .pace
                .due(released)
                .is_some_and(|due| due <= now)
            {
                released += 1;
            }
            let batch = usize::try_from(released - first).unwrap_or(usize::MAX);
            self.due.add_permits(batch.min(Semaphore::MAX_PERMITS));
        }
        self.due.close();
    }

    pub(super) fn stop(&self) {
        self.stopped.store(true, Ordering::Relaxed);
        self.due.close();
    }

    fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::Relaxed)
    }

    fn tell(&self, event: impl FnOnce(&Shared) -> Event) -> Result<(), LoadError> {
        match &self.history {
            Some(history) => history.write(&event(self)).map_err(LoadError::History),
            None => Ok(()),
        }
    }

    fn count(&self, ending: Ending, now: Duration) {
        self.ended.fetch_add(1, Ordering::Relaxed);
        if matches!(ending, Ending::Receipt(_)) {
            self.receipts.fetch_add(1, Ordering::Relaxed);
        }
        self.last_us.fetch_max(micros(now), Ordering::Relaxed);
    }

    fn reached(&self) {
        self.refused_since_us.store(NEVER, Ordering::Relaxed);
    }

    /// A connection was refused: the run ends when that has been so for too long.
    fn unreached(&self) {
        let now = micros(self.started.elapsed());
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

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
