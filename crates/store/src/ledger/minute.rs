//! What the billed clicks of a minute come to: counted one by one in the order of their ordinals,
//! posted as one transaction.
//!
//! Per campaign the advertiser is debited, with the number of clicks and the Merkle root over
//! them; each publisher is credited its shares, the platform the rest. Memory grows with active
//! campaigns and publishers, not with clicks.

use std::collections::HashMap;

use thiserror::Error;
use tollgate_click::{
    CampaignId, ClickFacts, Currency, Judgement, Micros, Minute, Ordinal, Outcome,
};

use super::account::{Account, Holder};
use super::merkle::{BilledClick, Tree};
use super::posting::{Clicks, Kind, Line, Posting};

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
    debits: HashMap<(Account, CampaignId), Spent>,
    credits: HashMap<Account, Micros>,
}

/// One campaign's clicks.
#[derive(Clone, Default, Debug)]
struct Spent {
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
        self.debits.is_empty()
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
        let holder = match payer {
            Payer::Prepaid => Holder::Prepaid(facts.advertiser),
            Payer::Credit => Holder::Credit(facts.advertiser),
        };
        let debited = (Account::new(holder, currency), facts.campaign);
        let payable = Account::new(Holder::Payable(facts.publisher), currency);
        let revenue = Account::new(Holder::Revenue, currency);
        let sum = |before: Option<Micros>, more: Micros, account| {
            let ordinal = judgement.ordinal;
            let overflow = |_| CountError::Overflow { ordinal, account };
            before.unwrap_or(Micros::ZERO).plus(more).map_err(overflow)
        };
        let spent = self.debits.get(&debited).map(|spent| spent.amount);
        let spent = sum(spent, judgement.charge, debited.0)?;
        let earned = sum(
            self.credits.get(&payable).copied(),
            judgement.share,
            payable,
        )?;
        let kept = sum(self.credits.get(&revenue).copied(), platform, revenue)?;
        // From here on nothing can fail.
        let campaign = self.debits.entry(debited).or_default();
        campaign.amount = spent;
        let click = BilledClick {
            id: facts.click_id,
            received_at: facts.received_at(),
            price: judgement.charge,
            share: judgement.share,
        };
        campaign.clicks.push(click.leaf());
        self.credits.insert(payable, earned);
        self.credits.insert(revenue, kept);
        Ok(())
    }

    /// The posting of what was counted, and begins anew; none when nothing was billed.
    pub fn take(&mut self, span: Span) -> Option<Posting> {
        if self.is_empty() {
            return None;
        }
        let debits = self
            .debits
            .drain()
            .map(|((account, campaign), spent)| Line {
                account,
                amount: Micros(spent.amount.0.saturating_neg()), // not below 0, so never saturated
                campaign: Some(campaign),
                clicks: Some(Clicks {
                    count: spent.clicks.leaves(),
                    root: spent.clicks.root(),
                }),
            });
        let credits = self.credits.drain();
        let credits = credits.filter(|(_, amount)| *amount > Micros::ZERO);
        let mut posting = Posting {
            kind: Kind::Minute,
            minute: span.minute,
            first: span.first,
            last: span.last,
            apply_version: span.apply_version,
            reason: String::new(),
            lines: debits
                .chain(credits.map(|(account, amount)| Line::plain(account, amount)))
                .collect(),
        };
        posting.sort();
        Some(posting)
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
