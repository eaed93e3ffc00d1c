//! A posting: one balanced transaction, an effect of records in one partition.
//!
//! It is either what the clicks of a minute, or of a part of one, come to, or one money command.
//! Postings of a partition are numbered from 1 without gaps and chained: the hash of each covers
//! the hash of the one before it. The hash covers what the log says and nothing else (not the
//! worker's epoch, not the log's cursor), so that a replay of the same log gives the same chain.
//!
//! # Bytes under the hash
//!
//! SHA-256 of these fields in order; numbers are little-endian, `text` is its length as 8 bytes
//! and its bytes.
//!
//! | bytes | field |
//! |---|---|
//! | text | `tollgate/posting/1` |
//! | 32 | hash of the posting before; of the first: `tollgate/chain/1` (text) and partition (2) |
//! | 2, 8 | partition, number |
//! | 1 | kind: 1 minute, 2 top-up, 3 adjustment, 4 credit |
//! | 16 | command id; only where the kind is not 1 |
//! | 4 | minute |
//! | 8, 8 | first and last ordinal |
//! | 4 | apply version |
//! | text | reason |
//! | 4 | number of lines |
//! | | per line: account code (8), amount (8), |
//! | | 0 or 1 and the campaign (8), 0 or 1 and number of clicks (8) and Merkle root (32) |

use std::collections::BTreeMap;
use std::fmt;

use thiserror::Error;
use tollgate_click::{CampaignId, Micros, Minute, Ordinal, PartitionId};

use super::account::{Account, Holder};
use super::hash::{Fields, Hash};

/// Lines of one posting: a minute of more active campaigns is cut at a count of ordinals first.
pub const LINES_MAX: usize = 1 << 20;

/// Bytes of a reason; longer is refused when the command is given.
pub const REASON_BYTES_MAX: usize = 1024;

/// Ordinals, numbers and epochs stay below this, so that they fit a signed column.
pub const COUNTER_MAX: u64 = i64::MAX as u64;

/// The id of a money command, by which a repeat is known.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct CommandId(pub [u8; 16]);

/// What a posting is the effect of.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Kind {
    /// Clicks of a minute, or of a part of it.
    Minute,
    /// Money came in: outside is debited, an advertiser credited.
    TopUp(CommandId),
    /// A correction, with its reason.
    Adjustment(CommandId),
    /// Credit that is given away: adjustments are debited, an advertiser credited.
    Credit(CommandId),
}

/// One balanced transaction.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Posting {
    /// What it is the effect of.
    pub kind: Kind,
    /// The minute of the partition's clock that it belongs to.
    pub minute: Minute,
    /// The first record that it covers.
    pub first: Ordinal,
    /// The last record that it covers.
    pub last: Ordinal,
    /// The version of `apply` that made it.
    pub apply_version: u32,
    /// Why, in words; an adjustment must say.
    pub reason: String,
    /// Its lines in the order of [`Line::key`], no key twice; per currency they sum to 0.
    pub lines: Vec<Line>,
}

/// One entry of a posting.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Line {
    /// Whose.
    pub account: Account,
    /// Micro-units: positive credits the account, negative debits it.
    pub amount: Micros,
    /// The campaign that it is for; a minute names one in each debit.
    pub campaign: Option<CampaignId>,
    /// The billed clicks that a minute's debit is the sum of.
    pub clicks: Option<Clicks>,
}

/// The billed clicks behind a line.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Clicks {
    /// How many.
    pub count: u64,
    /// Merkle root over them, see [`super::merkle`].
    pub root: Hash,
}

/// Why a posting, or a commit, is not well formed. The caller has a bug; nothing was written.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum Malformed {
    /// The lines of a currency do not sum to 0.
    #[error("the lines in {currency} sum to {sum} micro-units, not to 0")]
    Unbalanced {
        /// The currency's letters.
        currency: String,
        /// What they sum to.
        sum: i128,
    },
    /// A line stands in the wrong order or twice.
    #[error("line {0} is not above the line before it")]
    Unordered(usize),
    /// A line that a posting of this kind cannot have.
    #[error("line {line}: {why}")]
    Line {
        /// Its number, from 0.
        line: usize,
        /// What is wrong.
        why: &'static str,
    },
    /// Another field that cannot be.
    #[error("{0}")]
    Field(&'static str),
}

impl fmt::Display for CommandId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl Kind {
    /// The kind's number in hashes and columns.
    pub fn code(self) -> u8 {
        match self {
            Kind::Minute => 1,
            Kind::TopUp(_) => 2,
            Kind::Adjustment(_) => 3,
            Kind::Credit(_) => 4,
        }
    }

    /// The kind of that number, with a command's id unless it is a minute.
    pub fn from_code(code: i64, command: Option<CommandId>) -> Option<Kind> {
        match (code, command) {
            (1, None) => Some(Kind::Minute),
            (2, Some(id)) => Some(Kind::TopUp(id)),
            (3, Some(id)) => Some(Kind::Adjustment(id)),
            (4, Some(id)) => Some(Kind::Credit(id)),
            _ => None,
        }
    }

    /// The command's id, if it is one.
    pub fn command(self) -> Option<CommandId> {
        match self {
            Kind::Minute => None,
            Kind::TopUp(id) | Kind::Adjustment(id) | Kind::Credit(id) => Some(id),
        }
    }

    /// The name in reports.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Minute => "minute",
            Kind::TopUp(_) => "top-up",
            Kind::Adjustment(_) => "adjustment",
            Kind::Credit(_) => "credit",
        }
    }
}

impl Line {
    /// A line without campaign and clicks.
    pub fn plain(account: Account, amount: Micros) -> Line {
        Line {
            account,
            amount,
            campaign: None,
            clicks: None,
        }
    }

    /// By what lines are ordered and told apart.
    pub fn key(&self) -> (Account, Option<CampaignId>) {
        (self.account, self.campaign)
    }
}

impl Posting {
    /// Puts the lines in their order.
    pub fn sort(&mut self) {
        self.lines.sort_by_key(Line::key);
    }

    /// Whether it may stand in a ledger. Both sides ask: `commit` before it writes and `verify`
    /// after it has read.
    pub fn check(&self) -> Result<(), Malformed> {
        if self.first.0 == 0 || self.first > self.last || self.last.0 > COUNTER_MAX {
            return Err(Malformed::Field("its ordinals are no range from 1 up"));
        }
        if self.reason.len() > REASON_BYTES_MAX {
            return Err(Malformed::Field("its reason is too long"));
        }
        if matches!(self.kind, Kind::Adjustment(_)) && self.reason.trim().is_empty() {
            return Err(Malformed::Field("an adjustment gives no reason"));
        }
        if self.lines.is_empty() || self.lines.len() > LINES_MAX {
            return Err(Malformed::Field("it has no lines, or too many"));
        }
        for (line, pair) in self.lines.windows(2).enumerate() {
            if let [before, after] = pair
                && before.key() >= after.key()
            {
                return Err(Malformed::Unordered(line + 1));
            }
        }
        for (line, entry) in self.lines.iter().enumerate() {
            check_line(self.kind, entry).map_err(|why| Malformed::Line { line, why })?;
        }
        check_balance(&self.lines)
    }

    /// The hash of this posting as number `number` of `partition`, after one of hash `previous`.
    pub fn hash(&self, previous: &Hash, partition: PartitionId, number: u64) -> Hash {
        let mut fields = Fields::tagged("tollgate/posting/1");
        fields.hash(previous).u16(partition.get()).u64(number);
        fields.u8(self.kind.code());
        if let Some(command) = self.kind.command() {
            fields.fixed(&command.0);
        }
        fields.u32(self.minute.0).u64(self.first.0).u64(self.last.0);
        fields.u32(self.apply_version).bytes(self.reason.as_bytes());
        fields.u32(self.lines.len() as u32);
        self.lines
            .iter()
            .for_each(|line| line.hash_into(&mut fields));
        fields.finish()
    }
}

/// What stands before the first posting of a partition.
pub fn genesis(partition: PartitionId) -> Hash {
    let mut fields = Fields::tagged("tollgate/chain/1");
    fields.u16(partition.get());
    fields.finish()
}

impl Line {
    pub(crate) fn hash_into(&self, fields: &mut Fields) {
        fields.i64(self.account.code()).i64(self.amount.0);
        match self.campaign {
            None => fields.u8(0),
            Some(campaign) => fields.u8(1).u64(campaign.0),
        };
        match &self.clicks {
            None => fields.u8(0),
            Some(clicks) => fields.u8(1).u64(clicks.count).hash(&clicks.root),
        };
    }
}

fn check_line(kind: Kind, line: &Line) -> Result<(), &'static str> {
    let debit = line.amount < Micros::ZERO;
    let credit = line.amount > Micros::ZERO;
    let right = match (kind, line.account.holder()) {
        // Clicks at a price of 0 are still proved: their line is the only one that may be empty.
        (Kind::Minute, Holder::Prepaid(_) | Holder::Credit(_)) => {
            let counted = line.clicks.is_some_and(|clicks| clicks.count > 0);
            return if !credit && line.campaign.is_some() && counted {
                Ok(())
            } else {
                Err("a minute's line for an advertiser debits a campaign by its clicks")
            };
        }
        (Kind::Minute, Holder::Payable(_) | Holder::Revenue) => credit && line.campaign.is_none(),
        (Kind::TopUp(_), Holder::Outside) => debit && line.campaign.is_none(),
        (Kind::Credit(_), Holder::Adjustments) => debit && line.campaign.is_none(),
        (Kind::TopUp(_) | Kind::Credit(_), Holder::Prepaid(_) | Holder::Credit(_)) => {
            credit && line.campaign.is_none()
        }
        (Kind::Adjustment(_), Holder::Outside) => false,
        (Kind::Adjustment(_), _) => debit || credit,
        _ => false,
    };
    match (right, line.clicks) {
        (true, None) => Ok(()),
        (true, Some(_)) => Err("only a minute's debits have clicks"),
        (false, _) => Err("a posting of its kind has no such line"),
    }
}

fn check_balance(lines: &[Line]) -> Result<(), Malformed> {
    let mut sums: BTreeMap<[u8; 3], i128> = BTreeMap::new();
    for line in lines {
        // At most 2^20 lines of 63 bits: never near the end of 128.
        *sums.entry(line.account.currency()).or_default() += i128::from(line.amount.0);
    }
    match sums.into_iter().find(|(_, sum)| *sum != 0) {
        None => Ok(()),
        Some((currency, sum)) => Err(Malformed::Unbalanced {
            currency: String::from_utf8_lossy(&currency).into_owned(),
            sum,
        }),
    }
}

#[cfg(test)]
mod tests;
