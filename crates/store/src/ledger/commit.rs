//! What a commit means, apart from any engine: whether it is well formed, whether it continues
//! the watermark, what its rows are.

use std::collections::{BTreeMap, BTreeSet};

use tollgate_click::{Micros, Minute};

use super::account::{Account, Balance};
use super::errors::LedgerError;
use super::posting::{COUNTER_MAX, Line, Malformed, Posting};
use super::stored::{CURSOR_BYTES_MAX, StoredPosting, Watermark};
use super::{CommitRequest, Conflict, Hash};

/// Where a commit stands to the watermark.
#[derive(PartialEq, Eq, Debug)]
pub(crate) enum Standing {
    /// It goes on from it.
    Next,
    /// It lies before it.
    Past,
    /// Records are missing in between.
    Gap,
    /// The watermark lies inside.
    Across,
}

impl CommitRequest {
    /// Whether the request can be a commit at all, whatever the ledger holds.
    pub(crate) fn check(&self) -> Result<(), Malformed> {
        if self.through <= self.after || self.through.0 > COUNTER_MAX {
            return Err(Malformed::Field("the commit covers no records"));
        }
        if self.epoch == 0 || self.epoch > COUNTER_MAX {
            return Err(Malformed::Field("no lease has that epoch"));
        }
        if self.cursor.position.len() > CURSOR_BYTES_MAX {
            return Err(Malformed::Field("the cursor is too long"));
        }
        let mut last = self.after;
        let mut minute = Minute(0);
        let mut commands = BTreeSet::new();
        for posting in &self.postings {
            posting.check()?;
            if posting.first <= last || posting.last > self.through {
                return Err(Malformed::Field("a posting's ordinals are not its own"));
            }
            if posting.minute < minute || posting.minute > self.closed_before {
                return Err(Malformed::Field("a posting's minute is out of order"));
            }
            if !posting.kind.command().is_none_or(|id| commands.insert(id)) {
                return Err(Malformed::Field("a command is posted twice"));
            }
            (last, minute) = (posting.last, posting.minute);
        }
        Ok(())
    }

    pub(crate) fn standing(&self, at: &Watermark) -> Standing {
        if self.after == at.ordinal {
            Standing::Next
        } else if self.after > at.ordinal {
            Standing::Gap
        } else if self.through <= at.ordinal {
            Standing::Past
        } else {
            Standing::Across
        }
    }

    /// The rows that the commit adds after `at`, and the watermark after it.
    pub(crate) fn rows(&self, at: &Watermark) -> Result<Rows<'_>, Conflict> {
        let first_minute = self
            .postings
            .first()
            .map_or(self.closed_before, |p| p.minute);
        if first_minute < at.closed_before {
            return Err(Conflict::Closed {
                closed_before: at.closed_before,
            });
        }
        let mut watermark = Watermark {
            ordinal: self.through,
            closed_before: self.closed_before,
            epoch: self.epoch,
            cursor: self.cursor.clone(),
            ..at.clone()
        };
        let mut links = Vec::with_capacity(self.postings.len());
        for posting in &self.postings {
            let previous = watermark.head;
            watermark.postings += 1;
            watermark.head = posting.hash(&previous, self.partition, watermark.postings);
            links.push(Link {
                posting,
                number: watermark.postings,
                previous,
                hash: watermark.head,
            });
        }
        Ok(Rows { links, watermark })
    }

    /// Whether the postings that the ledger holds for these records are those of the commit.
    pub(crate) fn compare(&self, stored: &[StoredPosting]) -> Result<(), Conflict> {
        let mut stored = stored.iter();
        for posting in &self.postings {
            let Some(row) = stored.next() else {
                return Err(Conflict::Missing {
                    first: posting.first,
                });
            };
            if posting.hash(&row.previous, row.partition, row.number) != row.hash {
                return Err(Conflict::Posting { number: row.number });
            }
        }
        match stored.next() {
            None => Ok(()),
            Some(row) => Err(Conflict::Posting { number: row.number }),
        }
    }

    /// What the commit adds to each account, in their order.
    pub(crate) fn changes(&self) -> Result<BTreeMap<Account, Balance>, LedgerError> {
        let mut changes: BTreeMap<Account, Balance> = BTreeMap::new();
        for posting in &self.postings {
            // Lines are in the order of accounts.
            for lines in posting
                .lines
                .chunk_by(|one, other| one.account == other.account)
            {
                let mut change = Balance::default();
                for line in lines {
                    let overflow = |_| LedgerError::Overflow(line.account);
                    change = change.plus(line.amount).map_err(overflow)?;
                }
                let Some(Line { account, .. }) = lines.first() else {
                    continue;
                };
                let before = changes.entry(*account).or_default();
                *before = sum(*account, *before, change)?;
            }
        }
        Ok(changes)
    }
}

/// The rows of a commit.
pub(crate) struct Rows<'a> {
    pub(crate) links: Vec<Link<'a>>,
    pub(crate) watermark: Watermark,
}

/// A posting with its place in the chain.
pub(crate) struct Link<'a> {
    pub(crate) posting: &'a Posting,
    pub(crate) number: u64,
    pub(crate) previous: Hash,
    pub(crate) hash: Hash,
}

/// Adds a line to its account.
pub(crate) fn add(
    balances: &mut BTreeMap<Account, Balance>,
    account: Account,
    amount: Micros,
) -> Result<(), LedgerError> {
    let balance = balances.entry(account).or_default();
    *balance = balance
        .plus(amount)
        .map_err(|_| LedgerError::Overflow(account))?;
    Ok(())
}

/// The sum of two balances of an account.
pub(crate) fn sum(account: Account, a: Balance, b: Balance) -> Result<Balance, LedgerError> {
    let overflow = |_| LedgerError::Overflow(account);
    Ok(Balance {
        debits: a.debits.plus(b.debits).map_err(overflow)?,
        credits: a.credits.plus(b.credits).map_err(overflow)?,
    })
}
