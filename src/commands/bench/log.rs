//! A log on disk with the traffic of the benchmarks.

use std::collections::VecDeque;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result};
use tollgate_click::{PartitionId, Record};
use tollgate_log::{Append, Durability, Log, NewRecord, Options, Partition, RealDisk, SegmentLog};

use super::traffic::{Shape, Traffic};

/// Records that are appended together.
const GROUP: usize = 500;

/// Groups that may wait for the disk.
const WAITING: usize = 32;

/// What a browser says of itself, in the part of the record that nobody here reads.
const PERSONAL: &[u8] = b"Mozilla/5.0 (Linux; Android 14; Pixel 8) AppleWebKit/537.36 (KHTML, \
    like Gecko) Chrome/129.0.0.0 Mobile Safari/537.36 https://news.example.com/world/story-4711";

/// Writes a log of so many clicks, with all that they need, and closes the last minute.
pub(super) fn write(
    dir: &Path,
    traffic: &Traffic,
    shape: Shape,
    clicks: u64,
) -> Result<SegmentLog> {
    let options = Options {
        partitions: shape.partitions + 1, // the last one is the control partition
        durability: Durability::Os,
        ..Options::default()
    };
    let (log, _) = SegmentLog::open(Arc::new(RealDisk), dir, options)?;
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    runtime.block_on(fill(&log, traffic, shape, clicks))?;
    Ok(log)
}

async fn fill(log: &SegmentLog, traffic: &Traffic, shape: Shape, clicks: u64) -> Result<()> {
    let appender = log.appender();
    let mut waiting = VecDeque::new();
    let mut group = Group::default();
    let mut records = Records::of(traffic, shape, clicks);
    loop {
        let more = records.next();
        let (none_left, full) = (more.is_none(), group.ends.len() == GROUP);
        if none_left || full {
            let commit = appender.append_all(&group.records());
            waiting.push_back(commit.context("the log took no record")?);
            group = Group::default();
        }
        while waiting.len() > if none_left { 0 } else { WAITING } {
            if let Some(commit) = waiting.pop_front() {
                commit.await.context("the log kept no record")?;
            }
        }
        match more {
            Some((partition, record)) => group.push(partition, &record),
            None => return Ok(()),
        }
    }
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
