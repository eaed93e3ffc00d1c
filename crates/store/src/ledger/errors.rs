//! What can go wrong with a ledger, and what the caller does about it.

use std::fmt;

use thiserror::Error;
use tollgate_click::PartitionId;

use super::account::Account;
use super::posting::Malformed;
use super::stored::Hour;

/// Why a call failed. Nothing of a call that failed was written, but for [`Uncertain`].
///
/// [`Uncertain`]: LedgerError::Uncertain
#[derive(Debug, Error)]
pub enum LedgerError {
    /// Others are writing; try the same call again.
    #[error("the ledger is busy")]
    Busy,
    /// There is no room; the same call works once there is.
    #[error("no room is left for the ledger: {0}")]
    Full(String),
    /// The engine failed, perhaps after it had committed. Open the ledger again and repeat the
    /// same call: it answers `AlreadyApplied` when it was.
    #[error("the ledger's engine failed, whether it has committed is unknown: {0}")]
    Uncertain(String),
    /// The ledger was opened for reading only.
    #[error("the ledger is open for reading only")]
    ReadOnly,
    /// A row is wrong: halt the partition and tell an operator.
    #[error("the ledger is corrupt: {0}")]
    Corrupt(Box<Fault>),
    /// What was to be committed is not well formed: a bug of the caller.
    #[error("not well formed: {0}")]
    Malformed(#[from] Malformed),
    /// An account's debits or credits would leave 63 bits of micro-units.
    #[error("the balance of {0} would leave the range of 64-bit micro-units")]
    Overflow(Account),
    /// It cannot be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
}

/// Why a ledger cannot be opened. Nothing in it was changed.
#[derive(Debug, Error)]
pub enum OpenError {
    /// There is none.
    #[error("there is no ledger at {0}")]
    Absent(String),
    /// It is something else.
    #[error("{0} is not a ledger of Tollgate")]
    NotALedger(String),
    /// A newer version of this program has made or changed it.
    #[error("the ledger has format {found}; this version of Tollgate knows {known}")]
    Newer {
        /// The ledger's format.
        found: i64,
        /// The newest that this code knows.
        known: i64,
    },
    /// It was made for another number of partitions.
    #[error("the ledger has {found} partitions, not {asked}")]
    Partitions {
        /// How many it has.
        found: u16,
        /// How many were asked for.
        asked: u16,
    },
}

/// The first thing that is wrong in a ledger.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Fault {
    /// Where.
    pub place: Place,
    /// Which part of it.
    pub what: &'static str,
    /// What should stand there.
    pub expected: String,
    /// What does.
    pub found: String,
}

/// A place in a ledger.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Place {
    /// The ledger's row about itself.
    Identity,
    /// A partition's lease.
    Lease(PartitionId),
    /// A partition's watermark.
    Watermark(PartitionId),
    /// A posting.
    Posting(PartitionId, u64),
    /// A line of a posting, from 0.
    Line(PartitionId, u64, u32),
    /// An account, by its code.
    Account(i64),
    /// An hourly root.
    HourlyRoot(Hour),
    /// The engine's own files.
    Storage,
}

impl LedgerError {
    /// Whether the same call may succeed later, with nothing changed by the caller.
    pub fn retryable(&self) -> bool {
        matches!(self, LedgerError::Busy | LedgerError::Full(_))
    }
}

impl Fault {
    /// Something at `place`.
    pub fn new(
        place: Place,
        what: &'static str,
        expected: impl fmt::Display,
        found: impl fmt::Display,
    ) -> Fault {
        Fault {
            place,
            what,
            expected: expected.to_string(),
            found: found.to_string(),
        }
    }

    /// Compares one thing.
    pub(crate) fn unless_equal<T: PartialEq + fmt::Display>(
        place: Place,
        what: &'static str,
        expected: T,
        found: T,
    ) -> Result<(), Fault> {
        if expected == found {
            Ok(())
        } else {
            Err(Fault::new(place, what, expected, found))
        }
    }
}

impl From<Fault> for LedgerError {
    fn from(fault: Fault) -> LedgerError {
        LedgerError::Corrupt(Box::new(fault))
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Fault {
            place,
            what,
            expected,
            found,
        } = self;
        write!(f, "{place}: {what}: expected {expected}, found {found}")
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::Identity => write!(f, "the ledger's own row"),
            Place::Lease(partition) => write!(f, "lease of partition {partition}"),
            Place::Watermark(partition) => write!(f, "watermark of partition {partition}"),
            Place::Posting(partition, number) => {
                write!(f, "partition {partition}, posting {number}")
            }
            Place::Line(partition, number, line) => {
                write!(f, "partition {partition}, posting {number}, line {line}")
            }
            Place::Account(code) => match Account::from_code(*code) {
                Ok(account) => write!(f, "account {account}"),
                Err(_) => write!(f, "account {code}"),
            },
            Place::HourlyRoot(hour) => write!(f, "root of hour {hour}"),
            Place::Storage => write!(f, "storage"),
        }
    }
}
