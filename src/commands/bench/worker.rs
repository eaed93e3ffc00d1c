//! From the log to the books: the worker as `serve` runs it, without an edge in front.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, ensure};
use serde::Serialize;
use tollgate_click::PartitionId;
use tollgate_log::{Log, Partition, PartitionSet, Read, ReadBudget, ReadFrom, SegmentLog};
use tollgate_store::lake::LocalObjects;
use tollgate_store::ledger::{Ledger, LedgerReads, SqliteLedger};

use super::apply::{resident_bytes, thread_cpu};
use super::log::Wanted;
use super::traffic::Shape;
use crate::worker::{GaveUp, Identity, Patience, Stores, Worker};

/// What `commit` came to. The worker is one thread; that of its snapshots has nothing to do here.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Committed {
    clicks_per_s: u64,
    cpu_ns_per_click: f64,
    with_lake_clicks_per_s: u64,
    with_lake_cpu_ns_per_click: f64,
    /// Of it, what reading the log and nothing else takes.
    read_cpu_ns_per_click: f64,
    clicks: u64,
    ledger_lines: u64,
    ledger_lines_per_click: f64,
    ledger_bytes_per_line: f64,
    resident_mib: u64,
}

/// Applies a log to empty stores, without a lake and with one.
pub(super) fn commit(wanted: &Wanted<'_>) -> Result<Committed> {
    let folder = tempfile::tempdir()?;
    let (written, shape) = (wanted.log()?, wanted.shape);
    let (log, clicks) = (&written.log, written.clicks);
    let [plain, lake] = ["plain", "lake"].map(|name| folder.path().join(name));
    let read = read(log, shape)?;
    let keeps = |lake| Keeps {
        lake,
        snapshots: false,
    };
    let without = catch_up(log, &plain, shape, keeps(false))?;
    let lines = ledger_lines(&plain, shape, clicks)?;
    let ledger_bytes = std::fs::metadata(plain.join("ledger.db"))?.len();
    let with_lake = catch_up(log, &lake, shape, keeps(true))?;
    log.close()?;
    Ok(Committed {
        clicks_per_s: without.a_second(clicks),
        cpu_ns_per_click: without.ns_each(clicks),
        with_lake_clicks_per_s: with_lake.a_second(clicks),
        with_lake_cpu_ns_per_click: with_lake.ns_each(clicks),
        read_cpu_ns_per_click: read.ns_each(clicks),
        clicks,
        ledger_lines: lines,
        ledger_lines_per_click: lines as f64 / clicks as f64,
        ledger_bytes_per_line: ledger_bytes as f64 / lines as f64,
        resident_mib: resident_bytes() >> 20,
    })
}

/// What `restart` came to.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Restarted {
    seconds: f64,
    cpu_ns_per_click: f64,
    clicks_since_snapshot: u64,
    clicks_per_s: u64,
    resident_mib: u64,
}

/// Starts again on stores that have everything and snapshots that have nothing, the most that can
/// be there to do.
pub(super) fn restart(wanted: &Wanted<'_>) -> Result<Restarted> {
    let folder = tempfile::tempdir()?;
    let (written, shape) = (wanted.log()?, wanted.shape);
    let (log, clicks) = (&written.log, written.clicks);
    let stores = folder.path().join("stores");
    let keeps = Keeps {
        lake: true,
        snapshots: false,
    };
    catch_up(log, &stores, shape, keeps)?;
    let spent = catch_up(log, &stores, shape, keeps)?;
    log.close()?;
    Ok(Restarted {
        seconds: spent.wall.as_secs_f64(),
        cpu_ns_per_click: spent.ns_each(clicks),
        clicks_since_snapshot: clicks,
        clicks_per_s: spent.a_second(clicks),
        resident_mib: resident_bytes() >> 20,
    })
}

/// Time that something took.
#[derive(Clone, Copy)]
struct Spent {
    wall: Duration,
    /// Processor time of the thread.
    cpu: Duration,
}

impl Spent {
    fn of<T>(work: impl FnOnce() -> Result<T>) -> Result<(T, Spent)> {
        let (began, before) = (Instant::now(), thread_cpu());
        let done = work()?;
        let spent = Spent {
            wall: began.elapsed(),
            cpu: thread_cpu().saturating_sub(before),
        };
        Ok((done, spent))
    }

    fn a_second(&self, clicks: u64) -> u64 {
        (clicks as f64 / self.wall.as_secs_f64()) as u64
    }

    fn ns_each(&self, clicks: u64) -> f64 {
        (self.cpu.as_nanos() as f64 / clicks as f64).round()
    }
}

/// Reads a log and does nothing with it.
fn read(log: &SegmentLog, shape: Shape) -> Result<Spent> {
    let partitions: PartitionSet = (0..shape.partitions).map(Partition).collect();
    let mut reader = log.reader(partitions, ReadFrom::Start)?;
    let mut bytes = 0;
    let ((), spent) = Spent::of(|| {
        while !reader
            .read(ReadBudget::default(), &mut |record| {
                bytes += record.facts.len();
            })?
            .at_end
        {}
        Ok(())
    })?;
    ensure!(bytes > 0, "the log is empty");
    Ok(spent)
}

/// What is kept beside ledger and rollups.
#[derive(Clone, Copy)]
struct Keeps {
    lake: bool,
    snapshots: bool,
}

/// What a worker takes from its start to the end of the log.
fn catch_up(log: &SegmentLog, dir: &Path, shape: Shape, keeps: Keeps) -> Result<Spent> {
    std::fs::create_dir_all(dir)?;
    let (path, partitions) = (dir.join("ledger.db"), shape.partitions);
    let stores = Stores {
        ledger: Box::new(move || {
            let ledger = SqliteLedger::create(&path, partitions)?;
            Ok(Box::new(ledger) as Box<dyn Ledger + Send>)
        }),
        objects: Arc::new(LocalObjects::new(dir)),
        lake: keeps.lake,
        snapshot_ordinals: if keeps.snapshots {
            crate::worker::SNAPSHOT_ORDINALS
        } else {
            u64::MAX
        },
    };
    let who = Identity {
        owner: "bench",
        epoch_above: 0,
        partitions,
    };
    let (worker, spent) = Spent::of(|| {
        let mut worker = Worker::begin(log, stores, who, &mut NoPatience)?;
        let ended = worker.catch_up(&mut NoPatience);
        ended.map_err(|GaveUp| anyhow!("a store said no"))?;
        Ok(worker)
    })?;
    if let Some(halted) = worker.progress().halts().first() {
        return Err(anyhow!("a partition halted: {halted:?}"));
    }
    Ok(spent)
}

/// A store that says no ends a benchmark.
struct NoPatience;

impl Patience for NoPatience {
    fn wait(&mut self, _why: &str) -> Result<(), GaveUp> {
        Err(GaveUp)
    }
}

/// Lines of all postings; and all clicks must be accounted for.
fn ledger_lines(dir: &Path, shape: Shape, clicks: u64) -> Result<u64> {
    let mut ledger = SqliteLedger::open(&dir.join("ledger.db")).context("no ledger was made")?;
    let (mut lines, mut records) = (0, 0);
    for number in 0..shape.partitions {
        let partition = PartitionId::new(number)?;
        records += ledger.watermark(partition)?.ordinal.0;
        let chain = ledger.chain(partition, 0, u32::MAX)?;
        lines += chain
            .iter()
            .map(|posting| posting.posting.lines.len() as u64)
            .sum::<u64>();
    }
    ensure!(
        records >= clicks,
        "{records} records were committed, of more than {clicks}"
    );
    Ok(lines)
}
