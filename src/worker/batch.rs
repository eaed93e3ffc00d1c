//! What one read of the log has for one partition. Records of a partition are applied together, so
//! that what it needs of memory is at hand.

use std::ops::Range;

use tollgate_click::Record;
use tollgate_log::{Cursor, Partition, RecordRef};
use tollgate_process::Incoming;

/// Records in their order, their bytes one after the other.
#[derive(Default)]
pub(super) struct Batch {
    bytes: Vec<u8>,
    items: Vec<Item>,
}

struct Item {
    facts: Range<usize>,
    personal: Option<Range<usize>>,
    cursor: Cursor,
    session: u64,
    sequence: u64,
    broadcast: bool,
}

/// A record of a batch.
#[derive(Clone, Copy)]
pub(super) struct Taken<'a> {
    pub(super) incoming: Incoming<'a>,
    pub(super) personal: Option<&'a [u8]>,
    pub(super) cursor: Cursor,
    /// A click or an impression: it moves no clock and changes no terms.
    pub(super) is_event: bool,
}

impl Batch {
    /// Forgets what it had, but not its room.
    pub(super) fn clear(&mut self) {
        self.bytes.clear();
        self.items.clear();
    }

    /// Takes a copy of a record; of its personal part only if somebody will read it.
    pub(super) fn push(&mut self, record: &RecordRef<'_>, wants_personal: bool) {
        let facts = self.copy(record.facts);
        let personal = record.personal.filter(|_| wants_personal);
        let personal = personal.map(|personal| self.copy(personal));
        self.items.push(Item {
            facts,
            personal,
            cursor: record.cursor,
            session: record.session,
            sequence: record.sequence,
            broadcast: record.partition == Partition::ALL,
        });
    }

    /// The records from a place of the log on.
    pub(super) fn from(&self, from: Cursor) -> impl Iterator<Item = Taken<'_>> {
        let new = self.items.partition_point(|item| item.cursor < from);
        self.items.iter().skip(new).map(|item| {
            let facts = self.bytes.get(item.facts.clone()).unwrap_or_default();
            let incoming = Incoming {
                facts,
                session: item.session,
                sequence: item.sequence,
                broadcast: item.broadcast,
            };
            let personal = item.personal.clone();
            Taken {
                incoming,
                personal: personal.and_then(|range| self.bytes.get(range)),
                cursor: item.cursor,
                is_event: Record::is_event(facts),
            }
        })
    }

    fn copy(&mut self, bytes: &[u8]) -> Range<usize> {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(bytes);
        start..self.bytes.len()
    }
}
