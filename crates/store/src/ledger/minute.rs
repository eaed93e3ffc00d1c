//! What the billed clicks of a minute come to: counted one by one in the order of their ordinals,
//! posted as one transaction.
//!
//! Per campaign the advertiser is debited, with the number of clicks and the Merkle root over
//! them; each publisher is credited its shares, the platform the rest. Memory grows with active
//! campaigns and publishers, not with clicks.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

use thiserror::Error;
use tollgate_click::control::{Money, MoneyKind};
use tollgate_click::{
    AdvertiserId, CampaignId, ClickFacts, Currency, Judgement, Micros, Minute, Ordinal, Outcome,
};

use super::account::{Account, Holder};
use super::merkle::{BilledClick, Tree};
use super::posting::{Clicks, CommandId, Kind, Line, Posting};

/// From which account an advertiser pays.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Payer {
    /// What it has paid before.
    Prepaid,
    /// What it will be invoiced.
    Credit,
}

/// What the clicks so far come to.
#[derive(Clone, Default, Debug)]
pub struct MinutePosting {
    /// Where each account and campaign stands in `spent`.
    debits: HashMap<(Account, CampaignId), usize, BuildHasherDefault<Mixer>>,
    spent: Vec<Spent>,
    payables: HashMap<Account, Micros, BuildHasherDefault<Mixer>>,
    /// What the platform keeps: one for each currency, so they are few.
    revenues: Vec<(Account, Micros)>,
    /// Trees that have served, for their room.
    trees: Vec<Tree>,
}

/// Spreads account and campaign numbers, which advertisers do not choose, at the price of two
/// multiplications: maps are asked three times a click. No order of a map ever shows.
#[derive(Clone, Default, Debug)]
struct Mixer(u64);

impl Hasher for Mixer {
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u64((*byte).into());
        }
    }

    fn write_u64(&mut self, word: u64) {
        let wide =
            u128::from(self.0 ^ word).wrapping_mul(0x9E37_79B9_7F4A_7C15_F39C_C060_5CED_C835);
        self.0 = (wide >> 64) as u64 ^ wide as u64;
    }

    fn write_i64(&mut self, word: i64) {
        self.write_u64(word.cast_unsigned());
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

/// One campaign's clicks.
#[derive(Clone, Debug)]
struct Spent {
    debited: (Account, CampaignId),
    amount: Micros,
    clicks: Tree,
}

/// Which clicks a posting is about.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Span {
    /// The minute of the partition's clock in which they were applied.
    pub minute: Minute,
    /// The first record that the posting speaks for.
    pub first: Ordinal,
    /// The last one.
    pub last: Ordinal,
    /// The version of `apply` that judged them.
    pub apply_version: u32,
}

/// Why a click cannot be posted. Nothing of it was counted.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
pub enum CountError {
    /// A sum would leave the range.
    #[error("record {ordinal}: the sum of {account} in this minute would leave 64-bit micro-units")]
    Overflow {
        /// The click.
        ordinal: Ordinal,
        /// Whose sum.
        account: Account,
    },
    /// The core has said something that cannot be.
    #[error("record {ordinal} is billed {why}")]
    Nonsense {
        /// The click.
        ordinal: Ordinal,
        /// What cannot be.
        why: &'static str,
    },
}

impl MinutePosting {
    /// Nothing was billed yet.
    pub fn new() -> MinutePosting {
        MinutePosting::default()
    }

    /// Whether nothing was billed.
    pub fn is_empty(&self) -> bool {
        self.spent.is_empty()
    }

    /// Counts a click, if it was billed. Clicks come in the order of their ordinals, which is that
    /// of the leaves under the root.
    ///
    /// # Errors
    ///
    /// [`CountError`]; nothing was counted.
    pub fn count(
        &mut self,
        facts: &ClickFacts,
        judgement: &Judgement,
        payer: Payer,
    ) -> Result<(), CountError> {
        if judgement.outcome != Outcome::Billed {
            return Ok(());
        }
        let (currency, platform) = checked(judgement)?;
        let payer = Account::new(payer.holder(facts.advertiser), currency);
        let debited = (payer, facts.campaign);
        let payable = Account::new(Holder::Payable(facts.publisher), currency);
        let revenue = Account::new(Holder::Revenue, currency);
        let sum = |before: Micros, more: Micros, account| {
            let ordinal = judgement.ordinal;
            let overflow = |_| CountError::Overflow { ordinal, account };
            before.plus(more).map_err(overflow)
        };
        let place = self.place_of(debited);
        let kept = self.place_of_revenue(revenue);
        // From here to the sums, an entry of zero may be left behind, which no posting shows.
        let earned = self.payables.entry(payable).or_default();
        let (Some(spent), Some((_, kept))) =
            (self.spent.get_mut(place), self.revenues.get_mut(kept))
        else {
            return Ok(()); // both were just found
        };
        let sums = (
            sum(spent.amount, judgement.charge, payer)?,
            sum(*earned, judgement.share, payable)?,
            sum(*kept, platform, revenue)?,
        );
        // From here on nothing can fail.
        (spent.amount, *earned, *kept) = sums;
        let click = BilledClick {
            id: facts.click_id,
            received_at: facts.received_at(),
            price: judgement.charge,
            share: judgement.share,
        };
        spent.clicks.push(click.leaf());
        Ok(())
    }

    fn place_of(&mut self, debited: (Account, CampaignId)) -> usize {
        let (spent, trees) = (&mut self.spent, &mut self.trees);
        *self.debits.entry(debited).or_insert_with(|| {
            spent.push(Spent {
                debited,
                amount: Micros::ZERO,
                clicks: trees.pop().unwrap_or_default(),
            });
            spent.len() - 1
        })
    }

    fn place_of_revenue(&mut self, revenue: Account) -> usize {
        let known = self.revenues.iter().position(|(one, _)| *one == revenue);
        known.unwrap_or_else(|| {
            self.revenues.push((revenue, Micros::ZERO));
            self.revenues.len() - 1
        })
    }

    /// The posting of what was counted, and begins anew; none when nothing was billed.
    pub fn take(&mut self, span: Span) -> Option<Posting> {
        let mut lines = Vec::with_capacity(self.spent.len() + self.payables.len() + 1);
        self.debits.clear();
        for mut spent in self.spent.drain(..) {
            if spent.clicks.leaves() > 0 {
                let (account, campaign) = spent.debited;
                lines.push(Line {
                    account,
                    amount: Micros(spent.amount.0.saturating_neg()), // not below 0, never saturated
                    campaign: Some(campaign),
                    clicks: Some(Clicks {
                        count: spent.clicks.leaves(),
                        root: spent.clicks.root(),
                    }),
                });
            }
            spent.clicks.clear();
            self.trees.push(spent.clicks);
        }
        if lines.is_empty() {
            return None;
        }
        let credits = self.payables.drain().chain(self.revenues.drain(..));
        let credits = credits.filter(|(_, amount)| *amount > Micros::ZERO);
        lines.extend(credits.map(|(account, amount)| Line::plain(account, amount)));
        let mut posting = Posting {
            kind: Kind::Minute,
            minute: span.minute,
            first: span.first,
            last: span.last,
            apply_version: span.apply_version,
            reason: String::new(),
            lines,
        };
        posting.sort();
        Some(posting)
    }
}

/// The posting of a money command that the core has accepted. `at` names the minute and the one
/// record.
///
/// Money that came in stands against the outside account, credit that is given away against
/// adjustments, and so does a correction, unless it names a publisher: then what the advertiser
/// gets back is taken from the publisher's payable, and the other way round.
///
/// # Errors
///
/// [`CountError`] when the amount cannot stand in a ledger.
pub fn of_money(money: &Money, payer: Payer, at: Span) -> Result<Posting, CountError> {
    let ordinal = at.first;
    let account = |holder| Account::new(holder, money.currency);
    let advertiser = account(payer.holder(money.advertiser));
    let command = CommandId(money.command);
    let (kind, other) = match (money.kind, money.publisher) {
        (MoneyKind::TopUp, _) => (Kind::TopUp(command), account(Holder::Outside)),
        (MoneyKind::Credit, _) => (Kind::Credit(command), account(Holder::Adjustments)),
        (MoneyKind::Adjustment, None) => (Kind::Adjustment(command), account(Holder::Adjustments)),
        (MoneyKind::Adjustment, Some(publisher)) => (
            Kind::Adjustment(command),
            account(Holder::Payable(publisher)),
        ),
    };
    let against = Micros::ZERO.minus(money.amount);
    let against = against.map_err(|_| CountError::Overflow {
        ordinal,
        account: other,
    })?;
    let campaign = money
        .campaign
        .filter(|_| money.kind == MoneyKind::Adjustment);
    let reason = match (money.kind, money.reason.trim()) {
        (MoneyKind::Adjustment, "") => "no reason was given",
        (_, reason) => reason,
    };
    let mut posting = Posting {
        kind,
        minute: at.minute,
        first: at.first,
        last: at.last,
        apply_version: at.apply_version,
        reason: reason.to_owned(),
        lines: vec![
            Line {
                campaign,
                ..Line::plain(advertiser, money.amount)
            },
            Line::plain(other, against),
        ],
    };
    posting.sort();
    Ok(posting)
}

impl Payer {
    /// Who holds the account.
    pub fn holder(self, advertiser: AdvertiserId) -> Holder {
        match self {
            Payer::Prepaid => Holder::Prepaid(advertiser),
            Payer::Credit => Holder::Credit(advertiser),
        }
    }
}

/// The currency of a billed click, and the platform's part of its price.
fn checked(judgement: &Judgement) -> Result<(Currency, Micros), CountError> {
    let nonsense = |why| CountError::Nonsense {
        ordinal: judgement.ordinal,
        why,
    };
    let currency = judgement.currency.ok_or(nonsense("in no currency"))?;
    if judgement.charge < Micros::ZERO {
        return Err(nonsense("less than nothing"));
    }
    if judgement.share < Micros::ZERO || judgement.share > judgement.charge {
        return Err(nonsense("with a share that is no part of its price"));
    }
    let platform = judgement.charge.minus(judgement.share);
    Ok((currency, platform.map_err(|_| nonsense("out of range"))?))
}

#[cfg(test)]
mod tests;
