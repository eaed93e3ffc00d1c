//! The ledger: double-entry books of integer micro-units, append-only, hash-chained.
//!
//! # What holds at every moment
//!
//! 1. Postings of a partition are numbered from 1 without gaps; minutes never go back; ordinal
//!    ranges go up and do not overlap. Rows of postings and entries are never changed or removed.
//! 2. The lines of a posting sum to 0 per currency, and so do the balances of all accounts.
//! 3. An account's debits and credits are the sums of its entries.
//! 4. The watermark of a partition holds the number and hash of its last posting, the last
//!    ordinal that is accounted for and the cursor to read on from: all of one commit.
//! 5. Only the newest lease of a partition commits to it, and only from where the watermark is.
//! 6. Each posting's hash covers the one before it; an hourly root covers the chains of all
//!    partitions at the end of an hour. Who keeps one published root can prove any change before.
//! 7. Each row carries a seal over its columns, which every read checks (see [`stored`]).
//!
//! Money that is not posted yet is *pending* and not in the ledger: it is state of the core and
//! comes back by replay from the watermark's cursor. Whether a click is over a budget is decided
//! by the core too; for it, [`books::spend`] and [`LedgerReads::balance`] tell what is posted.
//!
//! A commit covers the records after the watermark up to a last one, without a hole. So a money
//! command, which is posted at once, takes the pending clicks before it along: its commit holds
//! a posting of the open minute's clicks so far and then the command's own. That keeps the ledger
//! in the order of the log: at each prefix of a chain, all that came before is posted.
//!
//! # Engines
//!
//! [`SqliteLedger`] is the embedded engine. Another one implements the two traits, each call in
//! one transaction, and runs [`conformance`]. No call needs more of an engine than transactions,
//! unique keys and its own clock: leases are rows, fenced by their epochs.

pub mod account;
pub mod hash;
pub mod merkle;
pub mod minute;
pub mod posting;
pub mod shares;

pub mod errors;
pub mod stored;

pub mod books;
pub mod verify;

mod commit;
#[cfg(any(test, feature = "conformance"))]
pub mod conformance;
mod sqlite;

use std::ops::Range;

use tollgate_click::{CampaignId, Millis, Minute, Ordinal, PartitionId};

pub use account::{Account, Balance, Holder};
pub use errors::{Fault, LedgerError, OpenError, Place};
pub use hash::Hash;
pub use posting::{Clicks, CommandId, Kind, Line, Malformed, Posting};
pub use sqlite::SqliteLedger;
pub use stored::{
    Cursor, Entry, EntryKey, Head, Hour, HourlyRoot, Identity, Lease, StoredPosting, Watermark,
};

/// The half that reads. Every row that is returned has passed its seal; one that does not is
/// [`LedgerError::Corrupt`] with its place.
pub trait LedgerReads {
    /// What the ledger says of itself.
    fn identity(&mut self) -> Result<Identity, LedgerError>;

    /// How far a partition is posted.
    fn watermark(&mut self, partition: PartitionId) -> Result<Watermark, LedgerError>;

    /// Who may post to a partition; epoch 0 before the first lease.
    fn lease(&mut self, partition: PartitionId) -> Result<Lease, LedgerError>;

    /// What is posted to an account; zeros when nothing is.
    fn balance(&mut self, account: Account) -> Result<Balance, LedgerError>;

    /// At most `limit` accounts after `after`, in the order of their codes.
    fn balances(
        &mut self,
        after: Option<Account>,
        limit: u32,
    ) -> Result<Vec<(Account, Balance)>, LedgerError>;

    /// At most `limit` entries after `after`, in the order of their keys.
    fn entries(
        &mut self,
        query: &EntryQuery,
        after: Option<EntryKey>,
        limit: u32,
    ) -> Result<Vec<Entry>, LedgerError>;

    /// At most `limit` whole postings of a partition after number `after`.
    fn chain(
        &mut self,
        partition: PartitionId,
        after: u64,
        limit: u32,
    ) -> Result<Vec<StoredPosting>, LedgerError>;

    /// The posting that covers a record, if one does: a record that cost nothing may lie between.
    fn posting_at(
        &mut self,
        partition: PartitionId,
        ordinal: Ordinal,
    ) -> Result<Option<StoredPosting>, LedgerError>;

    /// The posting of a money command.
    fn posting_of(&mut self, command: CommandId) -> Result<Option<StoredPosting>, LedgerError>;

    /// The last posting before a minute, of every partition in order.
    fn heads(&mut self, before: Minute) -> Result<Vec<Head>, LedgerError>;

    /// At most `limit` hourly roots after number `after`.
    fn hourly_roots(&mut self, after: u64, limit: u32) -> Result<Vec<HourlyRoot>, LedgerError>;

    /// The clock that leases go by.
    fn clock(&mut self) -> Result<Millis, LedgerError>;

    /// From now on all reads see one state of the ledger, while others go on writing.
    fn pin(&mut self) -> Result<(), LedgerError>;

    /// Ends [`LedgerReads::pin`].
    fn unpin(&mut self) -> Result<(), LedgerError>;

    /// Checks what rows cannot tell: that indexes and tables agree, that no line is left without
    /// its posting, that the engine finds its own pages sound. Reads only.
    fn check_storage(&mut self) -> Result<(), LedgerError>;
}

/// The half that writes. Each call is one transaction: all of it or nothing.
pub trait Ledger: LedgerReads {
    /// Takes the lease of a partition when nobody else holds it. The same owner takes it again at
    /// once (a restarted process does not wait for its own lease), always with a higher epoch.
    fn acquire(&mut self, request: &Acquire<'_>) -> Result<Grant, LedgerError>;

    /// Holds a lease for `ttl_ms` longer, or tells who has it now.
    fn renew(&mut self, lease: &Lease, ttl_ms: u64) -> Result<Grant, LedgerError>;

    /// Gives a lease back, if it is still the newest.
    fn release(&mut self, lease: &Lease) -> Result<(), LedgerError>;

    /// Moves a partition's watermark and writes the postings of the records in between.
    ///
    /// May be repeated as often as one likes: after [`LedgerError::Uncertain`], and by a replay.
    fn commit(&mut self, request: &CommitRequest) -> Result<Outcome, LedgerError>;

    /// Makes the root of an hour that is closed in every partition, or tells the one that was
    /// made. Its value is to be published where the ledger's keeper cannot change it.
    fn publish(&mut self, hour: Hour) -> Result<Publication, LedgerError>;
}

/// Which entries.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct EntryQuery {
    /// Whose.
    pub of: Of,
    /// Of which minutes.
    pub minutes: Range<Minute>,
}

/// Whose entries.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Of {
    /// All.
    All,
    /// One account's.
    Account(Account),
    /// Those for a campaign.
    Campaign(CampaignId),
}

/// Asks for a lease.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Acquire<'a> {
    /// The partition.
    pub partition: PartitionId,
    /// Who asks; a name that a restarted process keeps.
    pub owner: &'a str,
    /// For how long.
    pub ttl_ms: u64,
    /// The epoch of the newest tick in the log: the lease gets a higher one, even if the ledger
    /// was restored from an older copy.
    pub epoch_above: u64,
}

/// The answer to asking for a lease.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Grant {
    /// The asker holds it.
    Granted(Lease),
    /// Somebody else does, or has done since.
    Held(Lease),
}

/// What to commit: everything that records `after + 1 ..= through` come to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CommitRequest {
    /// The partition.
    pub partition: PartitionId,
    /// The epoch of the lease.
    pub epoch: u64,
    /// Where the watermark must stand.
    pub after: Ordinal,
    /// Where it goes.
    pub through: Ordinal,
    /// Where the log is to be read on from.
    pub cursor: Cursor,
    /// No later posting will belong to a minute before this one: the open minute.
    pub closed_before: Minute,
    /// In the order of their ordinals; none when nothing was billed.
    pub postings: Vec<Posting>,
}

/// The answer to a commit.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// It is written.
    Committed(Watermark),
    /// It was written before, by this or an earlier worker, to the same effect.
    AlreadyApplied(Watermark),
    /// A newer lease was given: this worker must stop.
    Fenced {
        /// The newest epoch.
        epoch: u64,
    },
    /// Records are missing between the watermark and the commit: read on from the watermark.
    Gap(Watermark),
    /// The ledger holds something else for these records: the worker's state or code differs, and
    /// the partition halts.
    Conflict(Conflict),
}

/// What differs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Conflict {
    /// The watermark lies inside the commit.
    Cut {
        /// Where it stands.
        ordinal: Ordinal,
    },
    /// A posting that is not in the commit, or differs from the one there.
    Posting {
        /// Its number in the partition.
        number: u64,
    },
    /// The commit has a posting that is not in the ledger.
    Missing {
        /// Its first ordinal.
        first: Ordinal,
    },
    /// A money command that is posted already, elsewhere.
    Command(CommandId),
    /// A posting of a minute that is closed.
    Closed {
        /// The first minute that is open.
        closed_before: Minute,
    },
}

/// The answer to publishing an hour.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Publication {
    /// The hour's root.
    Published(HourlyRoot),
    /// A partition may still post to it.
    Open {
        /// The first such partition.
        partition: PartitionId,
        /// Its first open minute.
        closed_before: Minute,
    },
    /// A later hour's root was made without it.
    Skipped(HourlyRoot),
}
