//! The load driver: many connections, one request at a time on each.
//!
//! Invariants:
//! - Every planned request ends in exactly one way, and the ways sum to `planned`: receipts,
//!   refusals by status, lost answers, odd answers, not sent.
//! - At an open pace the time of sending is fixed beforehand and latency counts from it, so that
//!   an edge that stalls is charged for every request that had to wait behind the stall (no
//!   coordinated omission).
//! - A run ends by itself: a dead target is given up, and what could not leave is counted.

mod alarm;
mod pace;
mod rounds;
mod shared;
mod stock;
mod tally;

pub use pace::Pace;
pub use tally::{Latency, Summary};

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use thiserror::Error;

use crate::client::Patience;
use crate::ending::Ending;
use crate::history;
use crate::truth::Truth;
use shared::Shared;
use stock::Stock;
use tally::Tally;

/// How nice the thread is that makes requests.
const MAKER_NICE: i32 = 10;

/// Where the requests come from. Called from several threads at once.
pub trait Work: Send + Sync + 'static {
    /// Writes the bytes of request `op` into `out`, which is empty, and says whether it is a
    /// `HEAD`. Called in the order of the numbers, some time before the request leaves.
    fn render(&self, op: u64, out: &mut Vec<u8>) -> Result<bool, RenderError>;

    /// What must come of it, for the history.
    fn truth(&self, _op: u64) -> Option<Truth> {
        None
    }

    /// Told once for each request that was begun, with the way in which it ended.
    fn ended(&self, _op: u64, _ending: Ending) {}

    /// Whether a request that was certainly not recorded is to be sent again, and after which
    /// pause. Called with refusals and with what could not be sent only.
    fn again(&self, _op: u64, _ending: Ending) -> Option<Duration> {
        None
    }
}

/// A request that cannot be made, such as a link that cannot be signed. Ends the run.
#[derive(Debug, Error)]
#[error("request {op} cannot be made: {reason}")]
pub struct RenderError {
    /// Its number.
    pub op: u64,
    /// What is wrong.
    pub reason: String,
}

/// How a run goes.
#[derive(Clone, Debug)]
pub struct Options {
    /// The edge.
    pub address: SocketAddr,
    /// Connections, each with one request at a time; at least 1.
    pub connections: usize,
    /// Threads that share the connections; at least 1.
    pub threads: usize,
    /// When requests leave.
    pub pace: Pace,
    /// How long the client waits.
    pub patience: Patience,
    /// How long no connection may be had before the target counts as dead and the run ends.
    pub give_up: Duration,
}

/// Where a history goes.
pub type HistoryWriter = history::Writer<Box<dyn io::Write + Send>>;

/// Why a run has no summary.
#[derive(Debug, Error)]
pub enum LoadError {
    /// The history could not be written: without it a run proves nothing.
    #[error("the history cannot be written: {0}")]
    History(io::Error),
    /// A thread or its event loop could not be started.
    #[error("a load thread cannot be started: {0}")]
    Thread(io::Error),
    /// A load thread died, which is a defect of this crate.
    #[error("a load thread died")]
    Died,
    /// A request could not be made.
    #[error(transparent)]
    Render(#[from] RenderError),
}

/// How far a run is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Progress {
    /// Requests that will be made; none when only the time ends the run.
    pub planned: Option<u64>,
    /// Requests that ended, in whichever way.
    pub ended: u64,
    /// Receipts among them.
    pub receipts: u64,
}

/// A run under way.
#[derive(Debug)]
pub struct Run {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<Result<Tally, LoadError>>>,
    maker: JoinHandle<()>,
}

/// Starts a run. With a `history` every request is written down before it leaves.
///
/// Requests are made beforehand; at a fixed rate the first tens of thousands of them before the
/// run begins.
pub fn start(
    options: Options,
    work: Arc<dyn Work>,
    history: Option<Arc<HistoryWriter>>,
) -> Result<Run, LoadError> {
    let threads = options.threads.clamp(1, options.connections.max(1));
    let (stock, maker) = start_making(&options, &work)?;
    let shared = Arc::new(Shared::new(options, work, stock, history));
    let mut run = Run {
        shared: Arc::clone(&shared),
        threads: Vec::with_capacity(threads),
        maker,
    };
    for thread in 0..threads {
        let lanes = lanes_of(thread, threads, shared.options.connections);
        let shared = Arc::clone(&shared);
        let spawned = std::thread::Builder::new()
            .name(format!("load-{thread}"))
            .spawn(move || rounds::run(&shared, lanes));
        match spawned {
            Ok(handle) => run.threads.push(handle),
            Err(error) => {
                run.stop();
                return Err(LoadError::Thread(error));
            }
        }
    }
    Ok(run)
}

/// Starts the thread that makes the requests. It gives way to the threads that send them.
fn start_making(
    options: &Options,
    work: &Arc<dyn Work>,
) -> Result<(Arc<Stock>, JoinHandle<()>), LoadError> {
    let stock = Arc::new(Stock::default());
    let planned = options.pace.planned();
    let (filled, work) = (Arc::clone(&stock), Arc::clone(work));
    let maker = std::thread::Builder::new()
        .name("load-maker".to_owned())
        .spawn(move || {
            // Where a thread may not be nice, it competes like any other.
            rustix::process::nice(MAKER_NICE).unwrap_or_default();
            filled.fill(planned, &*work);
        })
        .map_err(LoadError::Thread)?;
    if matches!(options.pace, Pace::Rate { .. }) {
        stock.wait_until_full();
    }
    Ok((stock, maker))
}

/// How many of `connections` thread number `thread` of `threads` drives.
fn lanes_of(thread: usize, threads: usize, connections: usize) -> usize {
    (thread..connections.max(1)).step_by(threads).count()
}

impl Run {
    /// How far it is.
    pub fn progress(&self) -> Progress {
        self.shared.progress()
    }

    /// Whether it has ended, so that [`Run::join`] will not wait.
    pub fn is_finished(&self) -> bool {
        self.threads.iter().all(JoinHandle::is_finished)
    }

    /// Lets nothing more begin; requests under way still end.
    pub fn stop(&self) {
        self.shared.stop();
    }

    /// Waits for the end and sums up.
    pub fn join(self) -> Result<Summary, LoadError> {
        let mut total = Tally::new()?;
        let mut failure = None;
        for thread in self.threads {
            match thread.join().unwrap_or(Err(LoadError::Died)) {
                Ok(tally) => total.add(&tally)?,
                Err(error) => failure = failure.or(Some(error)),
            }
        }
        self.shared.stop();
        self.maker.join().map_err(|_| LoadError::Died)?;
        if let Some(history) = &self.shared.history {
            history.flush().map_err(LoadError::History)?;
        }
        match failure {
            Some(error) => Err(error),
            None => Ok(self.shared.sum_up(&total)),
        }
    }
}

#[cfg(test)]
mod tests;
