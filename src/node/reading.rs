//! A process that only answers questions, from the data directory of one that takes clicks.
//!
//! It holds no lock and writes nothing: rollups, lake and ledger are read as they are in files, so
//! that answers go as far as these, a minute or two behind the clicks, and say so. What stands,
//! keys included, is read from the log as it becomes durable.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Context;
use serde_json::json;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tollgate_click::PartitionId;
use tollgate_collect::Clock;
use tollgate_log::{ReadOnlyLog, RealDisk, SegmentLog};
use tollgate_query::PartitionState;
use tollgate_query::idempotency::Nowhere;
use tollgate_store::lake::Lake;
use tollgate_store::ledger::{LedgerReads, SqliteLedger};

use super::until;
use crate::api::{self, Status};
use crate::config::Config;
use crate::control::follow::Follower;
use crate::control::snapshot;
use crate::data_dir::DataDir;

/// How often it looks what is new.
const LOOK: Duration = Duration::from_millis(500);

/// After so long without a look that succeeded it is not ready.
const STALE: Duration = Duration::from_secs(10);

/// A process that answers questions.
pub(crate) struct ReadingNode {
    api_address: SocketAddr,
    stopping: watch::Sender<bool>,
    follower: JoinHandle<()>,
    api: JoinHandle<()>,
}

/// What the last look has seen.
struct Seen {
    partitions: Vec<PartitionState>,
    at: Instant,
    fault: Option<String>,
}

impl ReadingNode {
    /// Starts it; when it returns, questions are answered.
    pub(crate) async fn start(config: &Config, data: &Path) -> anyhow::Result<ReadingNode> {
        let dir = DataDir::open(data)?;
        let log = SegmentLog::open_readonly(Arc::new(RealDisk), &dir.log());
        let log = Arc::new(log.context("the log cannot be opened")?);
        let kept = snapshot::load(dir.path()).context("cannot read the control snapshot")?;
        let follower = Follower::open(log.clone(), kept)?;
        let partitions = log.partitions().saturating_sub(1); // the last one is control
        let (listener, api_address) = api::listen(config.api).await?;
        let looks = Looks {
            log,
            dir,
            was_written: true,
            partitions,
        };
        let seen = Arc::new(Mutex::new(Seen {
            partitions: looks.states(),
            at: Instant::now(),
            fault: None,
        }));
        let states = seen.clone();
        let router = api::router(api::Parts {
            status: ReadingStatus(seen.clone()),
            desk: Arc::new(follower.desk()),
            objects: looks.dir.objects(),
            open: Vec::new(),
            ledger: looks.dir.ledger(),
            partitions,
            states: Box::new(move || held(&states).partitions.clone()),
            damaged: Box::new(|_| {}), // its worker meets the damage itself
            edge: Arc::default(),
            clock: Clock::system(),
            cursor_secret: looks.dir.known_cursor_secret()?,
            memory: Arc::new(Nowhere),
        });
        let (stopping, stopped) = watch::channel(false);
        let stopped = until(stopped);
        Ok(ReadingNode {
            api_address,
            stopping,
            follower: tokio::spawn(follow(looks, follower, seen, stopped)),
            api: tokio::spawn(api::serve(listener, router)),
        })
    }

    /// Where the API is.
    pub(crate) fn api_address(&self) -> SocketAddr {
        self.api_address
    }

    /// Stops; there is nothing to finish.
    pub(crate) async fn stop(self) -> anyhow::Result<()> {
        self.stopping.send_replace(true);
        self.follower.await.context("a task has panicked")?;
        self.api.abort();
        Ok(())
    }
}

fn held(seen: &Mutex<Seen>) -> std::sync::MutexGuard<'_, Seen> {
    seen.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Looks what is new until it is stopped. Reading takes its time, so each look has a thread.
async fn follow(
    mut looks: Looks,
    mut follower: Follower,
    seen: Arc<Mutex<Seen>>,
    stopped: impl Future<Output = ()>,
) {
    let mut stopped = std::pin::pin!(stopped);
    loop {
        tokio::select! {
            () = &mut stopped => return,
            () = tokio::time::sleep(LOOK) => {}
        }
        let looked = tokio::task::spawn_blocking(move || {
            let looked = looks.look(&mut follower);
            let states = looks.states();
            (looks, follower, looked, states)
        });
        let Ok((again, following, looked, partitions)) = looked.await else {
            held(&seen).fault = Some("a look has panicked".to_owned());
            return;
        };
        (looks, follower) = (again, following);
        let mut seen = held(&seen);
        seen.partitions = partitions;
        seen.fault = looked.err().map(|error| format!("{error:#}"));
        if seen.fault.is_none() {
            seen.at = Instant::now();
        }
    }
}

/// What it looks at.
struct Looks {
    log: Arc<ReadOnlyLog>,
    dir: DataDir,
    /// Whether a process had the log open at the last look.
    was_written: bool,
    partitions: u16,
}

impl Looks {
    fn look(&mut self, follower: &mut Follower) -> anyhow::Result<()> {
        // Without a writer there is nothing new, and looking would take the log's lock, which a
        // writer that starts in this moment wants.
        let is_written = self.dir.is_in_use();
        if is_written || self.was_written {
            self.log.refresh().context("the log cannot be read")?;
        }
        self.was_written = is_written;
        follower.catch_up()
    }

    /// How far the stores are. One that cannot be read now is told by whoever asks for it.
    fn states(&self) -> Vec<PartitionState> {
        let mut ledger = SqliteLedger::open_read_only(&self.dir.ledger()).ok();
        let lake = Lake::new(self.dir.objects());
        let all = (0..self.partitions).filter_map(|number| PartitionId::new(number).ok());
        let state = |partition| {
            let watermark = ledger.as_mut().map(|ledger| ledger.watermark(partition));
            let watermark = watermark.and_then(Result::ok);
            PartitionState {
                partition,
                // Marks of edges are the worker's to understand.
                complete_before: None,
                posted: watermark
                    .as_ref()
                    .map_or_else(Default::default, |mark| mark.ordinal),
                closed_before: watermark.map_or_else(Default::default, |mark| mark.closed_before),
                lake: lake.through(partition).unwrap_or_default(),
                halt: None,
            }
        };
        all.map(state).collect()
    }
}

struct ReadingStatus(Arc<Mutex<Seen>>);

impl ReadingStatus {
    fn fault(&self) -> Option<String> {
        let seen = held(&self.0);
        let fault = seen.fault.clone();
        let is_stale = seen.at.elapsed() > STALE;
        fault.filter(|_| is_stale)
    }
}

impl Status for ReadingStatus {
    fn ready(&self) -> (bool, String) {
        let fault = self.fault();
        let told = fault.clone().unwrap_or_else(|| "ok".to_owned());
        let object = json!({ "ready": fault.is_none(), "checks": { "log": told } });
        (fault.is_none(), format!("{object}\n"))
    }

    fn metrics(&self) -> String {
        let well = u8::from(self.fault().is_none());
        let name = "tollgate_check_ok";
        format!(
            "# HELP {name} 1 when the check is well.\n# TYPE {name} gauge\n\
             {name}{{check=\"log\"}} {well}\n"
        )
    }
}
