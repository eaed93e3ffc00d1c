//! Follows the log beside a worker, or without one: the same states, and no effects but to show
//! them. It writes nothing.

use std::io;
use std::ops::Range;
use std::sync::Arc;

use anyhow::{Context, bail};
use tollgate_click::{Ordinal, PartitionId};
use tollgate_log::{
    Cursor, Partition, PartitionSet, Read, ReadBudget, ReadError, ReadFrom, ReadOnlyLog, Reader,
    RecordRef,
};
use tollgate_process::{ApplyVersion, Effects, Incoming, State, apply};
use tollgate_store::lake::Objects;
use tollgate_store::lake::objects::{Entry, Put};
use tollgate_store::snapshots::SnapshotStore;

use super::begin::START_GONE;
use super::snapshots;

/// A partition that is followed.
struct Followed {
    state: State,
    /// Records before this place are in the state already.
    from: Cursor,
}

/// Follows all partitions.
pub(crate) struct Follower {
    reader: Reader,
    partitions: Vec<Followed>,
}

/// A record of a partition, by what it came to.
pub(crate) struct Seen<'a> {
    pub(crate) partition: PartitionId,
    pub(crate) effects: &'a Effects,
}

impl Follower {
    /// Goes on from the newest snapshot of each partition at or below what `lowest` says, or from
    /// the log's start.
    pub(crate) fn open(
        log: &ReadOnlyLog,
        objects: &Arc<dyn Objects>,
        lowest: impl Fn(PartitionId) -> Ordinal,
    ) -> anyhow::Result<Follower> {
        let store = SnapshotStore::new(Arc::new(Untouched(objects.clone())));
        let start = Cursor {
            position: 0,
            ..log.durable()
        };
        let numbers = 0..log.partitions().saturating_sub(1);
        let mut partitions = Vec::new();
        for number in numbers.clone() {
            let partition = PartitionId::new(number)?;
            // One that is damaged is left to the worker to set aside; the log has everything.
            let found = snapshots::find(&store, partition, lowest(partition), log.durable());
            let (state, from) = found.ok().flatten().unwrap_or_else(|| {
                let fresh = State::new(partition, ApplyVersion::V1);
                (fresh, start)
            });
            partitions.push(Followed { state, from });
        }
        let first = partitions.iter().map(|one| one.from).min().unwrap_or(start);
        let wanted: PartitionSet = numbers.map(Partition).collect();
        let reader = log.reader(wanted, ReadFrom::Cursor(first));
        let reader = reader.map_err(refuse)?;
        Ok(Follower { reader, partitions })
    }

    /// Reads on and shows each record with what it came to; true when nothing more is durable.
    pub(crate) fn step(
        &mut self,
        mut show: impl FnMut(Seen<'_>) -> anyhow::Result<()>,
    ) -> anyhow::Result<bool> {
        let (partitions, mut done) = (&mut self.partitions, Ok(()));
        let read = self.reader.read(ReadBudget::default(), &mut |record| {
            if done.is_ok() {
                done = follow(partitions, &record, &mut show);
            }
        });
        done?;
        Ok(read.map_err(refuse)?.at_end)
    }

    /// The states as they are.
    pub(crate) fn states(&self) -> impl Iterator<Item = &State> {
        self.partitions.iter().map(|one| &one.state)
    }
}

fn refuse(error: ReadError) -> anyhow::Error {
    match error {
        ReadError::Gone { .. } => anyhow::anyhow!(START_GONE),
        other => anyhow::Error::new(other).context("the log cannot be read"),
    }
}

fn follow(
    partitions: &mut [Followed],
    record: &RecordRef<'_>,
    show: &mut impl FnMut(Seen<'_>) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let broadcast = record.partition == Partition::ALL;
    let place = usize::from(record.partition.0);
    let range = if broadcast {
        0..partitions.len()
    } else {
        place..place.saturating_add(1)
    };
    let incoming = Incoming {
        facts: record.facts,
        session: record.session,
        sequence: record.sequence,
        broadcast,
    };
    let Some(concerned) = partitions.get_mut(range) else {
        bail!("a record lies in partition {place}, which this log does not have");
    };
    for one in concerned.iter_mut().filter(|one| record.cursor >= one.from) {
        let partition = one.state.partition();
        let effects = apply(&mut one.state, incoming);
        let effects = effects.with_context(|| format!("partition {partition} halts"))?;
        show(Seen {
            partition,
            effects: &effects,
        })?;
    }
    Ok(())
}

/// Files that are read and never written: somebody else may be at work on them.
struct Untouched(Arc<dyn Objects>);

fn refused<T>() -> io::Result<T> {
    let what = "only read here";
    Err(io::Error::new(io::ErrorKind::ReadOnlyFilesystem, what))
}

impl Objects for Untouched {
    fn put_new(&self, _name: &str, _bytes: &[u8]) -> io::Result<Put> {
        refused()
    }

    fn put(&self, _name: &str, _bytes: &[u8]) -> io::Result<()> {
        refused()
    }

    fn settle(&self, _name: &str) -> io::Result<()> {
        Ok(())
    }

    fn size(&self, name: &str) -> io::Result<u64> {
        self.0.size(name)
    }

    fn read(&self, name: &str, range: Range<u64>) -> io::Result<Vec<u8>> {
        self.0.read(name, range)
    }

    fn list(&self, folder: &str) -> io::Result<Vec<Entry>> {
        self.0.list(folder)
    }

    fn delete(&self, _name: &str) -> io::Result<()> {
        refused()
    }

    fn set_aside(&self, _name: &str) -> io::Result<String> {
        refused()
    }

    fn sweep_temporaries(&self, _folder: &str) -> io::Result<u64> {
        refused()
    }
}

/// The same wall around any files, for other readers.
pub(crate) fn untouched(objects: Arc<dyn Objects>) -> Arc<dyn Objects> {
    Arc::new(Untouched(objects))
}
