//! A log in memory: the same promises but the last, for tests and for trying things out.

use std::future::{Ready, ready};
use std::sync::{Arc, Mutex};

use crate::api::{
    Append, AppendError, Committed, Cursor, Log, NewRecord, Partition, PartitionSet, Progress,
    Read, ReadBudget, ReadError, ReadFrom, Record, RecordRef,
};
use crate::shared::hold;

/// A log that lives as long as the process. Clones are the same log.
#[derive(Clone)]
pub struct MemoryLog {
    state: Arc<Mutex<State>>,
    partitions: u16,
    incarnation: u64,
}

struct State {
    records: Vec<Record>,
    /// The last sequence given, by partition; broadcasts come last.
    sequences: Vec<u64>,
}

impl MemoryLog {
    /// An empty log of so many partitions. The incarnation names it; two logs want two.
    pub fn new(partitions: u16, incarnation: u64) -> MemoryLog {
        let sequences = vec![0; usize::from(partitions) + 1];
        let state = Arc::new(Mutex::new(State {
            records: Vec::new(),
            sequences,
        }));
        MemoryLog {
            state,
            partitions,
            incarnation,
        }
    }

    fn cursor_at(&self, position: usize) -> Cursor {
        Cursor {
            incarnation: self.incarnation,
            position: position as u64,
        }
    }
}

impl Append for MemoryLog {
    type Commit = Ready<Result<Committed, AppendError>>;

    fn append_all(&self, records: &[NewRecord<'_>]) -> Result<Self::Commit, AppendError> {
        let partitions = self.partitions;
        let known = |partition: Partition| partition == Partition::ALL || partition.0 < partitions;
        if let Some(other) = records.iter().find(|record| !known(record.partition)) {
            return Err(AppendError::NoSuchPartition {
                partition: other.partition.0,
                partitions,
            });
        }
        let mut state = hold(&self.state);
        for record in records {
            let index = usize::from(record.partition.0.min(partitions));
            let sequence = state.sequences.get_mut(index).map_or(0, |sequence| {
                *sequence += 1;
                *sequence
            });
            let cursor = self.cursor_at(state.records.len());
            state.records.push(Record {
                partition: record.partition,
                facts: record.facts.to_vec(),
                personal: Some(record.personal.to_vec()),
                cursor,
                session: self.incarnation,
                sequence,
                epoch: 1,
            });
        }
        Ok(ready(Ok(Committed {
            cursor: self.cursor_at(state.records.len()),
        })))
    }
}

impl Log for MemoryLog {
    type Appender = MemoryLog;
    type Reader = MemoryReader;

    fn appender(&self) -> MemoryLog {
        self.clone()
    }

    fn reader(&self, partitions: PartitionSet, from: ReadFrom) -> Result<MemoryReader, ReadError> {
        let (end, incarnation) = (self.durable(), self.incarnation);
        let position = match from {
            ReadFrom::Start => 0,
            ReadFrom::End => end.position,
            ReadFrom::Cursor(cursor) if cursor.incarnation != incarnation => {
                return Err(ReadError::OtherLog {
                    cursor,
                    incarnation,
                });
            }
            ReadFrom::Cursor(cursor) if cursor.position > end.position => {
                return Err(ReadError::PastEnd { cursor, end });
            }
            ReadFrom::Cursor(cursor) => cursor.position,
        };
        Ok(MemoryReader {
            log: self.clone(),
            partitions,
            position: position as usize,
        })
    }

    fn durable(&self) -> Cursor {
        self.cursor_at(hold(&self.state).records.len())
    }
}

/// Reads a [`MemoryLog`].
pub struct MemoryReader {
    log: MemoryLog,
    partitions: PartitionSet,
    position: usize,
}

impl Read for MemoryReader {
    fn read(
        &mut self,
        budget: ReadBudget,
        visit: &mut dyn FnMut(RecordRef<'_>),
    ) -> Result<Progress, ReadError> {
        let state = hold(&self.log.state);
        let (mut records, mut bytes) = (0, 0);
        while records < budget.records_max
            && bytes < budget.bytes_max
            && let Some(record) = state.records.get(self.position)
        {
            self.position += 1;
            if !self.partitions.contains(record.partition) {
                continue;
            }
            records += 1;
            bytes += record.facts.len() + record.personal.as_deref().map_or(0, <[u8]>::len);
            visit(RecordRef {
                partition: record.partition,
                facts: &record.facts,
                personal: record.personal.as_deref(),
                cursor: record.cursor,
                session: record.session,
                sequence: record.sequence,
                epoch: record.epoch,
            });
        }
        let at_end = self.position >= state.records.len();
        let cursor = self.log.cursor_at(self.position);
        Ok(Progress {
            cursor,
            records,
            bytes,
            at_end,
        })
    }

    fn cursor(&self) -> Cursor {
        self.log.cursor_at(self.position)
    }
}
