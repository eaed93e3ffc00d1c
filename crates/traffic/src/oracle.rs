//! The independent witness: what outcomes and spend must be, worked out from what was sent and
//! what was answered, with plain maps and nothing of the core's code.
//!
//! It is slow and simple on purpose: all clicks are sorted by the time in their receipts and
//! judged one after the other. Where the core and this file differ, one of them is wrong.
//!
//! A request whose answer was lost counts once or not at all. So the books are made twice, with
//! none of them and with all of them; the true count lies between the two ([`bounds`]).

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use tollgate_click::{ClickId, Currency, Millis, Nonce, Outcome};

use crate::history::Fate;

/// A click of the same visitor on the same registered link within this time of the last one is a
/// double-click. Written down here again, because a witness does not ask the accused.
pub const DOUBLE_CLICK_MS: u64 = 10_000;

/// How far in the future a nonce's time may lie.
const AHEAD_MS: u64 = 5 * 60 * 1000;

/// What must come of one request, known by its sender before it leaves.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Truth {
    /// The edge must refuse it with this status and count it under this reason.
    Refuse {
        /// The answer's status.
        status: u16,
        /// The name of the [`tollgate_click::Refusal`].
        reason: String,
    },
    /// The edge must give a receipt, and the core must judge what is said here.
    Record(Seen),
}

/// What the core sees of a recorded click.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Seen {
    /// Who pays.
    pub advertiser: u32,
    /// For which campaign.
    pub campaign: u64,
    /// A test link or test key.
    #[serde(default)]
    pub test: bool,
    /// A `HEAD`, a declared robot or no browser at all: general invalid traffic.
    #[serde(default)]
    pub invalid: bool,
    /// Through which link.
    pub through: Through,
}

/// The link of a click.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Through {
    /// A signed link.
    Signed {
        /// The impression.
        nonce: String,
        /// Seconds after the impression in which a click bills.
        window_s: u32,
        /// The price in the link; none means the campaign's.
        price_micros: Option<i64>,
    },
    /// A registered link.
    Registered {
        /// The link.
        link: u64,
        /// Stands for address and user agent together.
        visitor: u64,
    },
}

/// A campaign as it was for the whole run.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Terms {
    /// The currency of its prices.
    pub currency: Currency,
    /// Price in micro-units of a click whose link names none.
    pub price_micros: Option<i64>,
    /// Clicks do not bill.
    pub paused: bool,
}

/// Campaigns by advertiser and number.
pub type Campaigns = BTreeMap<(u32, u64), Terms>;

/// What the books must say.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Books {
    /// Clicks by advertiser, campaign and outcome.
    pub outcomes: BTreeMap<(u32, u64), BTreeMap<Outcome, u64>>,
    /// Micro-units by advertiser, campaign and currency.
    pub spend_micros: BTreeMap<(u32, u64), (Currency, i64)>,
    /// Refusals by the reason that the edge must count.
    pub refused: BTreeMap<String, u64>,
    /// Answers that contradict what must have come: the number of the request and what is wrong.
    pub wrong_answers: Vec<(u64, String)>,
}

/// One request with what is known of it.
pub type Told<'a> = (u64, &'a Truth, Fate);

/// The least and the most that the books may say. Without lost answers both are equal.
pub fn bounds<'a>(
    campaigns: &Campaigns,
    told: impl Iterator<Item = Told<'a>> + Clone,
) -> (Books, Books) {
    let least = books(campaigns, told.clone(), false);
    let most = books(campaigns, told, true);
    (least, most)
}

fn books<'a>(
    campaigns: &Campaigns,
    told: impl Iterator<Item = Told<'a>> + Clone,
    with_unknown: bool,
) -> Books {
    let mut books = Books::default();
    let mut kept: Vec<(Millis, Option<ClickId>, &Seen)> = Vec::new();
    // When a click without a receipt came is not known; that of the receipts around it is near.
    let received = told.clone().filter_map(|(_, _, fate)| fate.kept());
    let earliest = received.map(ClickId::received_at).min();
    let mut latest = earliest.unwrap_or_default();
    for (op, truth, fate) in told {
        match (truth, fate) {
            (Truth::Record(seen), Fate::Kept(id)) => {
                latest = latest.max(id.received_at());
                kept.push((id.received_at(), Some(id), seen));
            }
            (Truth::Record(seen), Fate::Unknown) if with_unknown => kept.push((latest, None, seen)),
            (Truth::Refuse { status, reason }, Fate::NotKept(got)) if *status == got => {
                *books.refused.entry(reason.clone()).or_default() += 1;
            }
            // What never left, and what may have, says nothing.
            (_, Fate::NotKept(0) | Fate::Unknown) => {}
            (truth, fate) => books.wrong_answers.push((op, contradiction(truth, fate))),
        }
    }
    kept.sort_by_key(|(at, id, _)| (*at, *id));
    let mut judge = Judge::default();
    for (at, _, seen) in kept {
        let (outcome, charge) = judge.outcome(campaigns, at, seen);
        books.enter(seen, outcome, charge);
    }
    books
}

fn contradiction(truth: &Truth, fate: Fate) -> String {
    let wanted = match truth {
        Truth::Refuse { status, reason } => format!("{status} ({reason})"),
        Truth::Record(_) => "a receipt".to_owned(),
    };
    match fate {
        Fate::Kept(id) => format!("must get {wanted}, got receipt {id}"),
        Fate::NotKept(status) => format!("must get {wanted}, got {status}"),
        Fate::Unknown => format!("must get {wanted}"),
    }
}

/// What earlier clicks left behind.
#[derive(Default)]
struct Judge {
    used: BTreeSet<(u32, String)>,
    last_click: BTreeMap<(u64, u64), Millis>,
}

impl Judge {
    fn outcome(
        &mut self,
        campaigns: &Campaigns,
        at: Millis,
        seen: &Seen,
    ) -> (Outcome, Option<(Currency, i64)>) {
        if seen.test {
            return (Outcome::Test, None);
        }
        if seen.invalid {
            return (Outcome::InvalidGivt, None);
        }
        let (late, price) = match &seen.through {
            Through::Registered { link, visitor } => {
                let before = self.last_click.insert((*link, *visitor), at);
                if before.is_some_and(|before| at.since(before) <= DOUBLE_CLICK_MS) {
                    return (Outcome::InvalidGivt, None);
                }
                (false, None)
            }
            Through::Signed {
                nonce,
                window_s,
                price_micros,
            } => {
                let late = is_late(nonce, *window_s, at);
                // A nonce out of its time is remembered by nobody.
                if !late && !self.used.insert((seen.advertiser, nonce.clone())) {
                    return (Outcome::Duplicate, None);
                }
                (late, *price_micros)
            }
        };
        let Some(terms) = campaigns.get(&(seen.advertiser, seen.campaign)) else {
            return (Outcome::UnknownCampaign, None);
        };
        match price.or(terms.price_micros) {
            _ if terms.paused => (Outcome::Paused, None),
            _ if late => (Outcome::Expired, None),
            None | Some(0) => (Outcome::Free, None),
            Some(price) => (Outcome::Billed, Some((terms.currency, price))),
        }
    }
}

fn is_late(nonce: &str, window_s: u32, at: Millis) -> bool {
    let Ok(nonce) = nonce.parse::<Nonce>() else {
        return true;
    };
    let shown = nonce.at().0;
    at.0 > shown + u64::from(window_s) * 1000 || at.0 + AHEAD_MS < shown
}

impl Books {
    fn enter(&mut self, seen: &Seen, outcome: Outcome, charge: Option<(Currency, i64)>) {
        let campaign = (seen.advertiser, seen.campaign);
        let outcomes = self.outcomes.entry(campaign).or_default();
        *outcomes.entry(outcome).or_default() += 1;
        if let Some((currency, micros)) = charge {
            let entry = self.spend_micros.entry(campaign);
            entry.or_insert((currency, 0)).1 += micros;
        }
    }

    /// Clicks by outcome over all campaigns.
    pub fn by_outcome(&self) -> BTreeMap<Outcome, u64> {
        let mut total = BTreeMap::new();
        for (outcome, count) in self.outcomes.values().flatten() {
            *total.entry(*outcome).or_default() += count;
        }
        total
    }

    /// Micro-units by currency over all campaigns.
    pub fn by_currency(&self) -> BTreeMap<Currency, i64> {
        let mut total = BTreeMap::new();
        for (currency, micros) in self.spend_micros.values() {
            *total.entry(*currency).or_default() += micros;
        }
        total
    }
}

#[cfg(test)]
mod tests;
