//! A log on disk with the traffic of the benchmarks.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};
use tempfile::TempDir;
use tollgate_click::{PartitionId, Record};
use tollgate_log::{
    Append, AppendError, Committed, Cursor, Durability, Log, NewRecord, Options, Partition,
    RealDisk, SegmentLog,
};

use super::traffic::{Shape, Traffic};

/// Records that are appended together.
const GROUP: usize = 500;

/// Clicks are made for so long at most.
const MAKING_MAX: Duration = Duration::from_secs(120);

/// Groups that may wait for the disk.
const WAITING: usize = 32;

/// What a browser says of itself, in the part of the record that nobody here reads.
const PERSONAL: &[u8] = b"Mozilla/5.0 (Linux; Android 14; Pixel 8) AppleWebKit/537.36 (KHTML, \
    like Gecko) Chrome/129.0.0.0 Mobile Safari/537.36 https://news.example.com/world/story-4711";

/// Which log.
pub(super) struct Wanted<'a> {
    pub(super) shape: Shape,
    pub(super) clicks: u64,
    pub(super) seed: u64,
    /// Where logs are kept for another time; none: a temporary folder.
    pub(super) kept: Option<&'a Path>,
}

/// A log, and its folder as long as this lives.
pub(super) struct Written {
    pub(super) log: SegmentLog,
    pub(super) dir: PathBuf,
    /// Fewer than wanted where the time to make them was over.
    pub(super) clicks: u64,
    _temporary: Option<TempDir>,
}

impl Wanted<'_> {
    /// Writes the log with all that its clicks need, the last minute closed, or takes the one
    /// that was kept.
    pub(super) fn log(&self) -> Result<Written> {
        let temporary = self.kept.is_none().then(tempfile::tempdir).transpose()?;
        let name = format!(
            "clicks-{}-partitions-{}-campaigns-{}-seed-{}",
            self.clicks, self.shape.partitions, self.shape.campaigns, self.seed
        );
        let dir = match (&temporary, self.kept) {
            (Some(temporary), _) => temporary.path().join("log"),
            (None, kept) => kept.unwrap_or(Path::new("")).join(name),
        };
        let whole = dir.with_extension("whole");
        if !whole.exists() && dir.exists() {
            std::fs::remove_dir_all(&dir)?; // it was not written to its end
        }
        std::fs::create_dir_all(&dir)?;
        let options = Options {
            partitions: self.shape.partitions + 1, // the last one is the control partition
            durability: Durability::Os,
            ..Options::default()
        };
        let (log, _) = SegmentLog::open(Arc::new(RealDisk), &dir, options)?;
        let clicks = match std::fs::read_to_string(&whole) {
            Ok(text) => text.trim().parse()?,
            Err(_) => {
                let clicks = self.fill(&log)?;
                std::fs::write(&whole, clicks.to_string())?;
                clicks
            }
        };
        Ok(Written {
            log,
            dir,
            clicks,
            _temporary: temporary,
        })
    }

    /// Writes all records; the number of clicks. One thread makes them, this one appends.
    fn fill(&self, log: &SegmentLog) -> Result<u64> {
        let runtime = tokio::runtime::Builder::new_current_thread().build()?;
        let (send, made) = sync_channel(WAITING);
        std::thread::scope(|scope| {
            let making = scope.spawn(move || make(self, &send));
            runtime.block_on(append(log, &made))?;
            let clicks = making.join();
            clicks.map_err(|_| anyhow!("the maker of clicks has panicked"))
        })
    }
}

/// Makes groups of records until all are made, or the time for it is over; the number of clicks.
fn make(wanted: &Wanted<'_>, send: &SyncSender<Group>) -> u64 {
    let traffic = Traffic::new(wanted.shape, wanted.seed);
    let mut records = Records::of(&traffic, wanted.shape, wanted.clicks);
    let (began, mut group) = (Instant::now(), Group::default());
    while let Some((partition, record)) = records.next() {
        group.push(partition, &record);
        if group.ends.len() == GROUP {
            if began.elapsed() > MAKING_MAX {
                records.clicks = records.clicks.min(records.next);
            }
            if send.send(std::mem::take(&mut group)).is_err() {
                break; // the log took no more, and says why
            }
        }
    }
    drop(send.send(group));
    records.next
}

async fn append(log: &SegmentLog, made: &Receiver<Group>) -> Result<()> {
    let (appender, mut last) = (log.appender(), log.durable());
    let mut waiting = VecDeque::new();
    for group in made {
        let commit = loop {
            match appender.append_all(&group.records()) {
                Err(AppendError::Overloaded) if !waiting.is_empty() => {
                    last = oldest(&mut waiting).await?.unwrap_or(last);
                }
                other => break other.context("the log took no record")?,
            }
        };
        waiting.push_back(commit);
        while waiting.len() > WAITING {
            last = oldest(&mut waiting).await?.unwrap_or(last);
        }
    }
    while !waiting.is_empty() {
        last = oldest(&mut waiting).await?.unwrap_or(last);
    }
    // Told not to wait for the disk, the log answers before its readers see a record.
    while log.durable() < last {
        log.durable_after(log.durable()).await;
    }
    Ok(())
}

/// Waits for the commit that was asked for first; where it stands.
async fn oldest<C: Future<Output = Result<Committed, AppendError>>>(
    waiting: &mut VecDeque<C>,
) -> Result<Option<Cursor>> {
    let Some(commit) = waiting.pop_front() else {
        return Ok(None);
    };
    let committed = commit.await.context("the log kept no record")?;
    Ok(Some(committed.cursor))
}

/// All records in the order of the log.
struct Records<'t> {
    changes: Box<dyn Iterator<Item = (Option<PartitionId>, Record)> + 't>,
    traffic: &'t Traffic,
    shape: Shape,
    clicks: u64,
    next: u64,
    ticks: u64,
}

impl<'t> Records<'t> {
    fn of(traffic: &'t Traffic, shape: Shape, clicks: u64) -> Records<'t> {
        let changes = Box::new(traffic.changes());
        Records {
            changes,
            traffic,
            shape,
            clicks,
            next: 0,
            ticks: 0,
        }
    }
}

impl Iterator for Records<'_> {
    type Item = (Option<PartitionId>, Record);

    fn next(&mut self) -> Option<Self::Item> {
        if let Some(change) = self.changes.next() {
            return Some(change);
        }
        let second = self.next / self.shape.clicks_per_s;
        if self.next < self.clicks && second < self.ticks {
            let (partition, facts) = self.traffic.click(self.next);
            self.next += 1;
            return Some((Some(partition), Record::Click(facts)));
        }
        let last = second + 120; // closes the minute
        let tick = if self.next < self.clicks {
            self.ticks
        } else {
            last
        };
        if self.ticks > tick {
            return None;
        }
        self.ticks = tick + 1;
        Some((None, self.traffic.tick(tick)))
    }
}

/// Records that go to the log together.
#[derive(Default)]
struct Group {
    bytes: Vec<u8>,
    ends: Vec<(usize, Partition)>,
}

impl Group {
    fn push(&mut self, partition: Option<PartitionId>, record: &Record) {
        record.encode(&mut self.bytes);
        let partition = partition.map_or(Partition::ALL, |partition| Partition(partition.get()));
        self.ends.push((self.bytes.len(), partition));
    }

    fn records(&self) -> Vec<NewRecord<'_>> {
        let mut start = 0;
        let records = self.ends.iter().map(|(end, partition)| {
            let facts = self.bytes.get(start..*end).unwrap_or_default();
            start = *end;
            let personal = if *partition == Partition::ALL {
                &[]
            } else {
                PERSONAL
            };
            NewRecord {
                partition: *partition,
                facts,
                personal,
            }
        });
        records.collect()
    }
}
