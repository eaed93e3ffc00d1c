//! One machine of Tollgate, running: log, control, heartbeat, edge and API, started in this order
//! and stopped in the other.
//!
//! `serve` runs one until a signal comes; `demo` runs one on a temporary folder.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, bail};
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;
use tollgate_click::record::Tick;
use tollgate_click::{Millis, Record};
use tollgate_collect::{Clock, Counters, Readiness, RunningEdge, Wiring};
use tollgate_log::{
    Append, Cursor, Durability, Log, NewRecord, OpenError, Options, Partition, Reader, RealDisk,
    SegmentLog,
};
use tollgate_store::lake::LakeError;
use tollgate_store::ledger::{Ledger, SqliteLedger};

use crate::api;
use crate::config::Config;
use crate::control::answers::AnswerBook;
use crate::control::desk::Desk;
use crate::control::files::Files;
use crate::control::{OfferError, Sequencer, first_key, snapshot};
use crate::data_dir::DataDir;
use crate::exit::usage;
use crate::worker::{
    self, Faults, GaveUp, Heart, Identity, Patience, Progress, RunningWorker, SNAPSHOT_ORDINALS,
    Stores, Worker,
};

mod edge;
mod keeper;
pub(crate) mod reading;
mod status;

use keeper::Keeper;
use status::NodeStatus;

/// What a node is started with.
#[derive(Clone, Debug)]
pub(crate) struct NodeOptions {
    pub(crate) config: Config,
    pub(crate) data: PathBuf,
    pub(crate) files: Files,
    /// Take clicks.
    pub(crate) collect: bool,
    /// Beat the heart.
    pub(crate) process: bool,
    /// Go on although the clock is far from the last tick.
    pub(crate) accept_clock: bool,
    /// The clock of everything in the node.
    pub(crate) clock: Clock,
    /// How many times as fast as time that clock runs: 1, but for a demo.
    pub(crate) clock_speed: u32,
}

/// A node that runs. Dropping it cuts everything off; [`Node::stop`] does not.
pub(crate) struct Node {
    edge: Arc<Mutex<Option<RunningEdge>>>,
    edge_addresses: Vec<SocketAddr>,
    api_address: SocketAddr,
    first_key: Option<String>,
    log: Arc<SegmentLog>,
    worker: Option<RunningWorker>,
    stopping: watch::Sender<bool>,
    reload: Arc<Notify>,
    heart: JoinHandle<()>,
    keeper: JoinHandle<()>,
    api: JoinHandle<()>,
    drain: Duration,
}

impl Node {
    /// Starts a node; when it returns, clicks are taken.
    pub(crate) async fn start(options: NodeOptions) -> anyhow::Result<Node> {
        let (config, clock) = (&options.config, options.clock.clone());
        let taken = options.files.look();
        let wanted = options.files.read()?;
        let (listener, api_address) = api::listen(config.api).await?;
        let mut ground = Ground::lay(&options).await?;
        let offered = ground.sequencer.offer(&wanted, clock.now()).await;
        offered.map_err(refuse_files)?;
        let first_key = first_key::make(&mut ground.sequencer, clock.now()).await?;
        let (desk, submissions) = Desk::open(&ground.sequencer, ground.progress.clone());
        snapshot::save(ground.dir.path(), &ground.sequencer.snapshot())
            .context("cannot keep a snapshot")?;

        let edge = match options.collect {
            true => Some(ground.start_edge(config, clock.clone())?),
            false => None,
        };
        let (stopping, stopped) = watch::channel(false);
        let (ticked_ms, reload) = (ground.ticked_ms(&options), Arc::new(Notify::new()));
        let heart = ground.heart(&options, edge.as_ref(), ticked_ms.clone());
        let edge_addresses = edge
            .as_ref()
            .map_or(Vec::new(), |edge| edge.addresses().to_vec());
        let readiness = edge.as_ref().map(|edge| edge.readiness().clone());
        let edge = Arc::new(Mutex::new(edge));
        let status = ground.status(edge.clone(), readiness);
        let router = ground.router(status, desk, edge.clone(), clock.clone())?;
        let (log, worker) = (ground.log.clone(), ground.worker.take());
        let keeper = Keeper {
            sequencer: ground.sequencer,
            submissions,
            clock,
            files: options.files.clone(),
            taken,
            log: log.clone(),
            dir: ground.dir,
            retention: (config.log.facts_retention, config.log.personal_retention),
            epoch: ground.first.epoch,
            ticked_ms,
            faults: ground.faults,
            reload: reload.clone(),
            progress: ground.progress,
        };
        Ok(Node {
            edge,
            edge_addresses,
            api_address,
            first_key,
            log,
            worker,
            heart: tokio::spawn(heart.run(until(stopped.clone()))),
            keeper: tokio::spawn(keeper.run(until(stopped))),
            api: tokio::spawn(api::serve(listener, router)),
            stopping,
            reload,
            drain: config.edge.timeouts.drain,
        })
    }

    /// Where clicks are taken, in the order listen, proxy_listen, tls_listen.
    pub(crate) fn edge_addresses(&self) -> &[SocketAddr] {
        &self.edge_addresses
    }

    /// The API key that was made because there was none; it is kept nowhere else.
    pub(crate) fn first_key(&self) -> Option<&str> {
        self.first_key.as_deref()
    }

    /// Where the API is, health and metrics with it.
    pub(crate) fn api_address(&self) -> SocketAddr {
        self.api_address
    }

    /// What the edge has counted; none without an edge.
    pub(crate) fn counters(&self) -> Option<Counters> {
        held(&self.edge).as_ref().map(RunningEdge::counters)
    }

    /// Up to where the log is durable: all that has a receipt by now stands before.
    pub(crate) fn durable(&self) -> Cursor {
        self.log.durable()
    }

    /// Reads files and certificates again now.
    pub(crate) fn reload(&self) {
        self.reload.notify_one();
        if let Some(Err(error)) = held(&self.edge)
            .as_ref()
            .map(RunningEdge::reload_certificates)
        {
            tracing::error!(%error, "a certificate is not good; the old one stays");
        }
    }

    /// Not ready, no new connections, open requests to their end, log flushed and closed.
    pub(crate) async fn stop(self) -> anyhow::Result<()> {
        let edge = held(&self.edge).take();
        if let Some(edge) = edge {
            let drained = edge.drain(self.drain).await;
            if drained.cut > 0 {
                tracing::warn!(connections = drained.cut, "cut at the end of the drain");
            }
        }
        self.stopping.send_replace(true);
        for task in [self.heart, self.keeper] {
            task.await.context("a task has panicked")?;
        }
        self.api.abort();
        let (log, worker) = (self.log, self.worker);
        let closed = tokio::task::spawn_blocking(move || {
            let worked = worker.map_or(Ok(()), RunningWorker::stop);
            let closed = log.close();
            worked.map(|()| closed)
        });
        closed
            .await??
            .context("the log did not close in order; what had a receipt is safe")
    }
}

/// What stands before anything is taken: the log, what control records say, the worker, and the
/// first tick.
struct Ground {
    dir: DataDir,
    log: Arc<SegmentLog>,
    wiring: Arc<Wiring>,
    sequencer: Sequencer,
    faults: Faults,
    worker: Option<RunningWorker>,
    progress: Option<Progress>,
    first: Tick,
    book: Arc<AnswerBook>,
    partitions: u16,
}

impl Ground {
    async fn lay(options: &NodeOptions) -> anyhow::Result<Ground> {
        let (config, clock) = (&options.config, &options.clock);
        let dir = DataDir::open_or_create(&options.data)?;
        let log = Arc::new(open_log(&dir, config, clock.clone())?);
        let wiring = Arc::new(Wiring::default());
        let kept = snapshot::load(dir.path()).context("cannot read the control snapshot")?;
        let book = AnswerBook::open(dir.path(), clock.read());
        let book = Arc::new(book.context("cannot open the answers of the API")?);
        let partitions = config.node.partitions;
        let sequencer = Sequencer::open(&log, partitions, kept, wiring.clone(), book.clone())
            .with_context(|| format!("the log in {}", dir.log().display()))?;
        check_clock(options, &sequencer, clock)?;
        let faults = Faults::default();
        let worker = match options.process {
            true => Some(begin_worker(&dir, &log, config, sequencer.last_tick())?),
            false => None,
        };
        let progress = worker.as_ref().map(Worker::progress);
        let leased = worker.as_ref().map_or(0, Worker::epoch);
        let first = first_tick(options, &sequencer, &log, (clock.read(), leased)).await?;
        let worker = worker.map(|worker| RunningWorker::start(worker, log.clone(), faults.clone()));
        Ok(Ground {
            worker: worker.transpose()?,
            dir,
            log,
            wiring,
            sequencer,
            faults,
            progress,
            first,
            book,
            partitions,
        })
    }

    fn start_edge(&self, config: &Config, clock: Clock) -> anyhow::Result<RunningEdge> {
        edge::start(config, &self.dir, &self.log, self.wiring.clone(), clock)
    }

    /// The time of the newest tick as the parts of a node share it; 0 when none is written here.
    fn ticked_ms(&self, options: &NodeOptions) -> Arc<AtomicU64> {
        Arc::new(AtomicU64::new(if options.process {
            self.first.at.0
        } else {
            0
        }))
    }

    fn heart(
        &self,
        options: &NodeOptions,
        edge: Option<&RunningEdge>,
        ticked_ms: Arc<AtomicU64>,
    ) -> Heart<<SegmentLog as Log>::Appender> {
        Heart {
            appender: self.log.appender(),
            epoch: self.first.epoch,
            edge: options.config.node.edge,
            ticks: options.process,
            marks: options.collect,
            clock: reading(options.clock.clone()),
            speed: options.clock_speed,
            faults: self.faults.clone(),
            noted: note_ticks(edge, ticked_ms),
        }
    }

    fn router(
        &self,
        status: NodeStatus,
        desk: Desk,
        edge: Arc<Mutex<Option<RunningEdge>>>,
        clock: Clock,
    ) -> anyhow::Result<axum::Router> {
        let progress = self.progress.as_ref();
        Ok(api::router(api::Parts {
            status,
            desk: Arc::new(desk),
            objects: self.dir.objects(),
            open: progress.map_or(Vec::new(), Progress::open_minutes),
            ledger: self.dir.ledger(),
            partitions: self.partitions,
            states: api::states_of(self.progress.clone()),
            damaged: tell_damage(self.progress.clone()),
            edge,
            clock,
            cursor_secret: self.dir.cursor_secret()?,
            memory: self.book.clone(),
        }))
    }

    fn status(
        &self,
        edge: Arc<Mutex<Option<RunningEdge>>>,
        readiness: Option<Arc<Readiness>>,
    ) -> NodeStatus {
        NodeStatus {
            edge,
            readiness,
            log: self.log.clone(),
            faults: self.faults.clone(),
            progress: self.progress.clone(),
        }
    }
}

fn held<T>(shared: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Has the worker make a damaged file again, if there is one.
fn tell_damage(progress: Option<Progress>) -> Box<dyn Fn(&LakeError) + Send + Sync> {
    Box::new(move |error| {
        if let Some(progress) = &progress {
            progress.damaged(error);
        }
    })
}

/// Resolves when the node stops, or is gone.
async fn until(mut stopped: watch::Receiver<bool>) {
    // An error means that the node was dropped, which stops it as well.
    drop(stopped.wait_for(|stopped| *stopped).await);
}

fn reading(clock: Clock) -> Box<dyn Fn() -> Millis + Send + Sync> {
    Box::new(move || clock.read())
}

fn note_ticks(
    edge: Option<&RunningEdge>,
    ticked_ms: Arc<AtomicU64>,
) -> Box<dyn Fn(Millis) + Send + Sync> {
    let readiness = edge.map(|edge| edge.readiness().clone());
    Box::new(move |at| {
        ticked_ms.store(at.0, Ordering::Relaxed);
        if let Some(readiness) = &readiness {
            readiness.note_tick(at);
        }
    })
}

/// Checks the clock against the last tick.
fn check_clock(options: &NodeOptions, sequencer: &Sequencer, clock: &Clock) -> anyhow::Result<()> {
    if let Err(fault) = worker::check_start(sequencer.last_tick(), clock.read()) {
        if !options.accept_clock {
            bail!(fault);
        }
        tracing::warn!(%fault, "accepted by --accept-clock");
    }
    Ok(())
}

/// Writes the first tick, so that nothing is received before it. Its epoch is that of the leases,
/// and above the log's last.
async fn first_tick(
    options: &NodeOptions,
    sequencer: &Sequencer,
    log: &SegmentLog,
    (now, leased): (Millis, u64),
) -> anyhow::Result<Tick> {
    let last = sequencer.last_tick();
    let epoch = last.map_or(1, |last| last.epoch.saturating_add(1));
    let tick = Tick {
        epoch: epoch.max(leased),
        at: now,
    };
    if options.process {
        let mut facts = Vec::new();
        Record::Tick(tick).encode(&mut facts);
        let record = NewRecord {
            partition: Partition::ALL,
            facts: &facts,
            personal: &[],
        };
        log.appender()
            .append(record)?
            .await
            .context("the log takes no tick")?;
    }
    Ok(tick)
}

/// Opens the stores and takes the leases. A ledger that is not sound stops its partitions; the
/// edge takes clicks all the same.
fn begin_worker(
    dir: &DataDir,
    log: &SegmentLog,
    config: &Config,
    last: Option<Tick>,
) -> anyhow::Result<Worker<Reader>> {
    let (path, partitions) = (dir.ledger(), config.node.partitions);
    let stores = Stores {
        ledger: Box::new(move || {
            let ledger = SqliteLedger::create(&path, partitions)?;
            Ok(Box::new(ledger) as Box<dyn Ledger + Send>)
        }),
        objects: dir.objects(),
        lake: true,
        snapshot_ordinals: SNAPSHOT_ORDINALS,
    };
    let owner = format!("node-{}", config.node.edge);
    let who = Identity {
        owner: &owner,
        epoch_above: last.map_or(0, |last| last.epoch),
        partitions,
    };
    Worker::begin(log, stores, who, &mut AtStart(0)).context("the worker cannot begin")
}

/// At the start a disk that says no is asked a few times.
struct AtStart(u32);

impl Patience for AtStart {
    fn wait(&mut self, why: &str) -> Result<(), GaveUp> {
        self.0 += 1;
        if self.0 > 5 {
            tracing::error!(why, "a store cannot be opened");
            return Err(GaveUp);
        }
        std::thread::sleep(Duration::from_millis(200));
        Ok(())
    }
}

/// What contradicts the log is the caller's mistake; a log that takes nothing is not.
fn refuse_files(error: OfferError) -> anyhow::Error {
    match error {
        OfferError::Differs(differs) => usage(differs.to_string()),
        other => anyhow::Error::new(other),
    }
}

fn open_log(dir: &DataDir, config: &Config, clock: Clock) -> anyhow::Result<SegmentLog> {
    let section = &config.log;
    let options = Options {
        partitions: config.node.partitions + 1, // the last one is the control partition
        durability: if section.sync {
            Durability::Sync
        } else {
            Durability::Os
        },
        commit_interval: section.commit_interval,
        sync_interval: section.sync_interval,
        queue_bytes_max: section.queue_bytes,
        segment_bytes: section.segment_bytes,
        clock_ms: Arc::new(move || clock.read().0),
        ..Options::default()
    };
    let opened = SegmentLog::open(Arc::new(RealDisk), &dir.log(), options);
    let (log, recovery) = opened.map_err(|error| refuse_log(dir, error))?;
    if recovery.clean {
        tracing::debug!("the log was closed in order");
    } else {
        let (cut_bytes, mended_bits) = (recovery.cut_bytes, recovery.mended_bits);
        tracing::info!(cut_bytes, mended_bits, "the log was recovered");
    }
    Ok(log)
}

fn refuse_log(dir: &DataDir, error: OpenError) -> anyhow::Error {
    let shown = dir.path().display();
    match error {
        OpenError::InUse { holder, .. } => {
            anyhow::anyhow!("{shown} is in use by another tollgate, process {holder}")
        }
        OpenError::PartitionsChanged { found, wanted, .. } => usage(format!(
            "node.partitions is {}, but {shown} was made with {}; the number is fixed when a data \
             directory is made",
            wanted.saturating_sub(1),
            found.saturating_sub(1)
        )),
        other => anyhow::Error::new(other),
    }
}
