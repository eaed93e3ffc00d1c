//! The rows of a ledger, as every engine keeps them, each with its seal.
//!
//! A seal is 64 bits of SHA-256 over all columns of its row under a tag of its table. Reads check
//! it, so that a flipped bit or an edit by hand is named where it is met and never reaches a bill.
//! It proves nothing against somebody who can compute it: for that there are the chains, and the
//! hourly roots that were published.

use std::fmt;

use tollgate_click::{Micros, Millis, Minute, Ordinal, PartitionId};

use super::account::{Account, Balance};
use super::hash::{Fields, Hash};
use super::posting::{Line, Posting, genesis};

/// A seal, as it stands in a column.
pub type Seal = i64;

/// How far the log was read: the log's own bookmark, with the log that it belongs to.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Cursor {
    /// Which log.
    pub incarnation: u64,
    /// Where in it; at most [`CURSOR_BYTES_MAX`] bytes that only the log understands.
    pub position: Vec<u8>,
}

/// Bytes of a cursor; longer is refused.
pub const CURSOR_BYTES_MAX: usize = 1024;

/// How far a partition is posted. One row per partition, from the ledger's creation on.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Watermark {
    /// The partition.
    pub partition: PartitionId,
    /// The last record that is accounted for; 0 before the first.
    pub ordinal: Ordinal,
    /// How many postings there are.
    pub postings: u64,
    /// The hash of the last one.
    pub head: Hash,
    /// No later posting belongs to a minute before this one.
    pub closed_before: Minute,
    /// The lease under which it was last moved; 0 before the first time.
    pub epoch: u64,
    /// Where to read on.
    pub cursor: Cursor,
}

/// Who may post to a partition.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Lease {
    /// The partition.
    pub partition: PartitionId,
    /// Its number: each grant has a higher one, and only the newest may post.
    pub epoch: u64,
    /// Who holds it; empty when it was given back.
    pub owner: String,
    /// Until when, by the ledger's clock; after it others may acquire.
    pub until: Millis,
}

/// A posting in its chain.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StoredPosting {
    /// Its partition.
    pub partition: PartitionId,
    /// Its number there, from 1 without gaps.
    pub number: u64,
    /// What was posted.
    pub posting: Posting,
    /// The hash of the posting before.
    pub previous: Hash,
    /// Its own hash.
    pub hash: Hash,
    /// The lease under which it was posted.
    pub epoch: u64,
    /// Where the log was read to when it was posted.
    pub cursor: Cursor,
}

/// One line in its posting.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Entry {
    /// Where it stands.
    pub key: EntryKey,
    /// What it says.
    pub line: Line,
}

/// Where a line stands; also the cursor by which entries are paged.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct EntryKey {
    /// The posting's minute.
    pub minute: Minute,
    /// Its partition.
    pub partition: PartitionId,
    /// Its number.
    pub number: u64,
    /// The line's number in it, from 0.
    pub line: u32,
}

/// A Unix hour.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Debug)]
pub struct Hour(pub u32);

/// The last posting of a partition before some minute.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Head {
    /// Its number; 0 for none.
    pub number: u64,
    /// Its hash; the partition's genesis for none.
    pub hash: Hash,
}

/// One hash over the chains of all partitions at the end of an hour: what is published.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct HourlyRoot {
    /// Its number, from 1 without gaps.
    pub number: u64,
    /// The hour that was over.
    pub hour: Hour,
    /// The root before; [`Hash::ZERO`] for the first.
    pub previous: Hash,
    /// The root.
    pub root: Hash,
}

/// What a ledger says of itself.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Identity {
    /// Partitions, numbered from 0; fixed when the ledger is created.
    pub partitions: u16,
    /// How many hourly roots were published.
    pub roots: u64,
    /// The newest of them; [`Hash::ZERO`] before the first.
    pub root: Hash,
}

impl fmt::Display for Hour {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Hour {
    /// The hour that a minute lies in.
    pub fn of(minute: Minute) -> Hour {
        Hour(minute.0 / 60)
    }

    /// The first minute after it.
    pub fn end(self) -> Minute {
        Minute(self.0.saturating_add(1).saturating_mul(60))
    }
}

impl HourlyRoot {
    /// The root of `hour` after `previous`, over the heads of all partitions in their order.
    ///
    /// SHA-256 of `tollgate/hourly-root/1` (length as 8 bytes and text), the previous root, hour
    /// (4), number of partitions (2) and per partition its head's number (8) and hash (32).
    pub fn compute(previous: &HourlyRoot, hour: Hour, heads: &[Head]) -> HourlyRoot {
        let mut fields = Fields::tagged("tollgate/hourly-root/1");
        fields.hash(&previous.root).u32(hour.0);
        fields.u16(heads.len() as u16);
        for head in heads {
            fields.u64(head.number).hash(&head.hash);
        }
        HourlyRoot {
            number: previous.number + 1,
            hour,
            previous: previous.root,
            root: fields.finish(),
        }
    }

    /// What stands before the first.
    pub fn none() -> HourlyRoot {
        HourlyRoot {
            number: 0,
            hour: Hour(0),
            previous: Hash::ZERO,
            root: Hash::ZERO,
        }
    }

    /// The row's seal.
    pub fn seal(&self) -> Seal {
        let mut fields = Fields::tagged("tollgate/row/hourly-root/1");
        fields.u64(self.number).u32(self.hour.0);
        fields.hash(&self.previous).hash(&self.root);
        seal(fields)
    }
}

impl Watermark {
    /// Before the first record.
    pub fn start(partition: PartitionId) -> Watermark {
        Watermark {
            partition,
            ordinal: Ordinal(0),
            postings: 0,
            head: genesis(partition),
            closed_before: Minute(0),
            epoch: 0,
            cursor: Cursor::default(),
        }
    }

    /// The row's seal.
    pub fn seal(&self) -> Seal {
        let mut fields = Fields::tagged("tollgate/row/watermark/1");
        fields.u16(self.partition.get()).u64(self.ordinal.0);
        fields.u64(self.postings).hash(&self.head);
        fields.u32(self.closed_before.0).u64(self.epoch);
        self.cursor.hash_into(&mut fields);
        seal(fields)
    }
}

impl Cursor {
    fn hash_into(&self, fields: &mut Fields) {
        fields.u64(self.incarnation).bytes(&self.position);
    }
}

impl Lease {
    /// The row's seal.
    pub fn seal(&self) -> Seal {
        let mut fields = Fields::tagged("tollgate/row/lease/1");
        fields.u16(self.partition.get()).u64(self.epoch);
        fields.bytes(self.owner.as_bytes()).u64(self.until.0);
        seal(fields)
    }
}

/// The columns of a posting's row, its lines only by their number: those have seals of their own.
#[derive(Clone, Copy, Debug)]
pub struct PostingRow<'a> {
    /// As in [`StoredPosting`].
    pub partition: PartitionId,
    /// As in [`StoredPosting`].
    pub number: u64,
    /// The posting; its lines are not looked at.
    pub posting: &'a Posting,
    /// How many lines it has.
    pub lines: u64,
    /// As in [`StoredPosting`].
    pub previous: Hash,
    /// As in [`StoredPosting`].
    pub hash: Hash,
    /// As in [`StoredPosting`].
    pub epoch: u64,
    /// As in [`StoredPosting`].
    pub cursor: &'a Cursor,
}

impl PostingRow<'_> {
    /// The row's seal.
    pub fn seal(&self) -> Seal {
        let posting = self.posting;
        let mut fields = Fields::tagged("tollgate/row/posting/1");
        fields.u16(self.partition.get()).u64(self.number);
        fields.u8(posting.kind.code());
        fields.bytes(posting.kind.command().as_ref().map_or(&[], |id| &id.0));
        fields.u32(posting.minute.0);
        fields.u64(posting.first.0).u64(posting.last.0);
        fields.u32(posting.apply_version);
        fields.bytes(posting.reason.as_bytes()).u64(self.lines);
        fields.hash(&self.previous).hash(&self.hash).u64(self.epoch);
        self.cursor.hash_into(&mut fields);
        seal(fields)
    }
}

impl StoredPosting {
    /// Its lines with their keys.
    pub fn entries(&self) -> impl Iterator<Item = Entry> {
        (0..).zip(&self.posting.lines).map(|(line, entry)| Entry {
            key: EntryKey {
                minute: self.posting.minute,
                partition: self.partition,
                number: self.number,
                line,
            },
            line: *entry,
        })
    }

    /// The row, which has `lines` lines.
    pub fn row(&self, lines: u64) -> PostingRow<'_> {
        PostingRow {
            partition: self.partition,
            number: self.number,
            posting: &self.posting,
            lines,
            previous: self.previous,
            hash: self.hash,
            epoch: self.epoch,
            cursor: &self.cursor,
        }
    }
}

impl Entry {
    /// The row's seal.
    pub fn seal(&self) -> Seal {
        let mut fields = Fields::tagged("tollgate/row/entry/1");
        fields.u16(self.key.partition.get()).u64(self.key.number);
        fields.u32(self.key.line).u32(self.key.minute.0);
        self.line.hash_into(&mut fields);
        seal(fields)
    }
}

impl Identity {
    /// The row's seal.
    pub fn seal(&self) -> Seal {
        let mut fields = Fields::tagged("tollgate/row/ledger/1");
        fields.u16(self.partitions).u64(self.roots).hash(&self.root);
        seal(fields)
    }
}

/// The seal of an account's row.
pub fn balance_seal(account: Account, balance: &Balance) -> Seal {
    let Balance {
        debits: Micros(debits),
        credits: Micros(credits),
    } = *balance;
    let mut fields = Fields::tagged("tollgate/row/account/1");
    fields.i64(account.code()).i64(debits).i64(credits);
    seal(fields)
}

fn seal(fields: Fields) -> Seal {
    let Hash([a, b, c, d, e, f, g, h, ..]) = fields.finish();
    i64::from_le_bytes([a, b, c, d, e, f, g, h])
}
