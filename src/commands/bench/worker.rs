//! From the log to the books: the worker as `serve` runs it, without an edge in front.

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, Result, anyhow, ensure};
use serde::Serialize;
use tollgate_click::PartitionId;
use tollgate_log::SegmentLog;
use tollgate_store::lake::LocalObjects;
use tollgate_store::ledger::{Ledger, LedgerReads, SqliteLedger};

use super::traffic::{Shape, Traffic};
use crate::worker::{GaveUp, Identity, Patience, Stores, Worker};

/// What `commit` came to.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Committed {
    clicks_per_s: u64,
    with_lake_clicks_per_s: u64,
    clicks: u64,
    ledger_lines_per_click: f64,
}

/// Applies a log to empty stores, without a lake and with one.
pub(super) fn commit(shape: Shape, clicks: u64, seed: u64) -> Result<Committed> {
    let folder = tempfile::tempdir()?;
    let traffic = Traffic::new(shape, seed);
    let log = super::log::write(&folder.path().join("log"), &traffic, shape, clicks)?;
    let [plain, lake] = ["plain", "lake"].map(|name| folder.path().join(name));
    let seconds = catch_up(
        &log,
        &plain,
        shape,
        Keeps {
            lake: false,
            snapshots: false,
        },
    )?;
    let lines = ledger_lines(&plain, shape, clicks)?;
    let with_lake = catch_up(
        &log,
        &lake,
        shape,
        Keeps {
            lake: true,
            snapshots: false,
        },
    )?;
    log.close()?;
    Ok(Committed {
        clicks_per_s: (clicks as f64 / seconds) as u64,
        with_lake_clicks_per_s: (clicks as f64 / with_lake) as u64,
        clicks,
        ledger_lines_per_click: lines as f64 / clicks as f64,
    })
}

/// What `restart` came to.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Restarted {
    seconds: f64,
    clicks_since_snapshot: u64,
    clicks_per_s: u64,
}

/// Starts again on stores that have everything and snapshots that have nothing, the most that can
/// be there to do.
pub(super) fn restart(shape: Shape, clicks: u64, seed: u64) -> Result<Restarted> {
    let folder = tempfile::tempdir()?;
    let traffic = Traffic::new(shape, seed);
    let log = super::log::write(&folder.path().join("log"), &traffic, shape, clicks)?;
    let stores = folder.path().join("stores");
    let keeps = Keeps {
        lake: true,
        snapshots: false,
    };
    catch_up(&log, &stores, shape, keeps)?;
    let seconds = catch_up(&log, &stores, shape, keeps)?;
    log.close()?;
    Ok(Restarted {
        seconds,
        clicks_since_snapshot: clicks,
        clicks_per_s: (clicks as f64 / seconds) as u64,
    })
}

/// What is kept beside ledger and rollups.
#[derive(Clone, Copy)]
struct Keeps {
    lake: bool,
    snapshots: bool,
}

/// Seconds that a worker takes from its start to the end of the log.
fn catch_up(log: &SegmentLog, dir: &Path, shape: Shape, keeps: Keeps) -> Result<f64> {
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
    let began = Instant::now();
    let mut worker = Worker::begin(log, stores, who, &mut NoPatience)?;
    worker
        .catch_up(&mut NoPatience)
        .map_err(|GaveUp| anyhow!("a store said no"))?;
    let seconds = began.elapsed().as_secs_f64();
    if let Some(halted) = worker.progress().halts().first() {
        return Err(anyhow!("a partition halted: {halted:?}"));
    }
    Ok(seconds)
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
