//! The books that must come of generated traffic: the sender's truth, judged by the witness.
//!
//! Who was first over a budget, or first on a nonce, is decided by the order of the log, and no
//! sender of concurrent requests can know it beforehand. So the order, and nothing else, is taken
//! from the log: the witness judges the facts that the *sender* vouches for, in the order in
//! which the log holds their ids, at the times in their ids. A click carries the number of its
//! request as a sub-id, so it is known whose it is even when its answer was lost.

use std::collections::BTreeMap;

use tollgate_click::control::Target;
use tollgate_click::{
    Actor, AdvertiserId, Change, ClickId, Control, ControlNumber, Currency, Millis, Outcome,
    PartitionId, Record,
};

use crate::history::Fate;
use crate::oracle::{Oracle, Said};
use crate::truth::Truth;

/// A click as it stands in the log: its id, and the request that its sub-id names.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Kept {
    /// The id that the edge gave it.
    pub id: ClickId,
    /// The number of the request; none when the sub-id is no number.
    pub op: Option<u64>,
}

/// What the books must say.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Books {
    /// Clicks by advertiser, campaign and outcome.
    pub outcomes: BTreeMap<(u32, u64), BTreeMap<Outcome, u64>>,
    /// Micro-units by advertiser and campaign.
    pub spend_micros: BTreeMap<(u32, u64), i64>,
    /// What of it each publisher is owed.
    pub owed_micros: BTreeMap<(u32, Currency), i64>,
    /// Refusals by the reason that the edge must count.
    pub refused: BTreeMap<String, u64>,
    /// Answers that contradict what must have come, and clicks that contradict their answers.
    pub wrong: Vec<String>,
    /// Requests whose answer never came. Each was refused, recorded or never arrived; what was
    /// recorded is counted.
    pub lost: u64,
}

/// One request with what is known of it.
pub type Told = (u64, Truth, Fate);

/// What the books must say of requests on a market, `kept` being the clicks of the log in its
/// order.
pub fn books(market: &[Change], told: &[Told], kept: &[Kept]) -> Books {
    let mut books = Books::default();
    let mut open: BTreeMap<u64, (&Truth, Fate)> = BTreeMap::new();
    for (op, truth, fate) in told {
        open.insert(*op, (truth, *fate));
    }
    let mut witness = Witness::new(market);
    for kept in kept {
        // Taken out, so that a click that stands there twice is a stranger the second time.
        match kept.op.and_then(|op| open.remove(&op)) {
            Some((Truth::Record(seen), Fate::Kept(id))) if id == kept.id => {
                witness.judge(seen, kept.id, &mut books);
            }
            Some((Truth::Record(seen), Fate::Unknown)) => {
                books.lost += 1;
                witness.judge(seen, kept.id, &mut books);
            }
            Some((truth, fate)) => {
                let what = contradiction(truth, fate);
                books
                    .wrong
                    .push(format!("{} is in the log: it {what}", name_of(kept)));
            }
            None => books
                .wrong
                .push(format!("{} is in the log: nobody sent it", name_of(kept))),
        }
    }
    for (op, (truth, fate)) in open {
        match (truth, fate) {
            (Truth::Refuse { status, reason }, Fate::NotKept(got)) if *status == got => {
                *books.refused.entry(reason.clone()).or_default() += 1;
            }
            (_, Fate::NotKept(0)) => {}
            (_, Fate::Unknown) => books.lost += 1,
            (Truth::Record(_), Fate::Kept(id)) => {
                books.wrong.push(format!(
                    "request {op} has receipt {id}, which is not in the log"
                ));
            }
            _ => books
                .wrong
                .push(format!("request {op} {}", contradiction(truth, fate))),
        }
    }
    books
}

fn name_of(kept: &Kept) -> String {
    match kept.op {
        Some(op) => format!("click {} of request {op}", kept.id),
        None => format!("click {}", kept.id),
    }
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

/// An oracle for each partition that clicks came to, each told of the whole market.
struct Witness<'a> {
    market: &'a [Change],
    oracles: BTreeMap<PartitionId, (Oracle, u64)>,
    currencies: BTreeMap<u32, Currency>,
}

impl Witness<'_> {
    fn new(market: &[Change]) -> Witness<'_> {
        let currency = |change: &Change| match change {
            Change::Campaign(campaign) => Some((campaign.advertiser.0, campaign.currency)),
            _ => None,
        };
        Witness {
            market,
            oracles: BTreeMap::new(),
            currencies: market.iter().filter_map(currency).collect(),
        }
    }

    fn judge(&mut self, seen: &crate::truth::Seen, id: ClickId, books: &mut Books) {
        let partition = id.parts().partition;
        let fresh = || founded(partition, self.market);
        let (oracle, records) = self.oracles.entry(partition).or_insert_with(fresh);
        *records += 1;
        let mut facts = Vec::new();
        Record::Click(seen.facts(id)).encode(&mut facts);
        let Said::Ended(outcome, charge, share) = oracle.take(&facts, (1, *records, false)) else {
            books
                .wrong
                .push(format!("click {id} is no click to the witness"));
            return;
        };
        let campaign = (seen.advertiser, seen.campaign);
        let outcomes = books.outcomes.entry(campaign).or_default();
        *outcomes.entry(outcome).or_default() += 1;
        if charge != 0 {
            *books.spend_micros.entry(campaign).or_default() += charge;
        }
        if let Some(currency) = self.currencies.get(&seen.advertiser).filter(|_| share != 0) {
            let owed = books.owed_micros.entry((seen.publisher, *currency));
            *owed.or_default() += share;
        }
    }
}

/// A partition to which the market was told before all clicks.
fn founded(partition: PartitionId, market: &[Change]) -> (Oracle, u64) {
    let mut oracle = Oracle::new(partition);
    let mut numbers: BTreeMap<Option<AdvertiserId>, u64> = BTreeMap::new();
    for (number, change) in (1..).zip(market) {
        let target = match change.target() {
            Target::Advertiser(advertiser) => Some(advertiser),
            Target::All => None,
        };
        let target_number = numbers.entry(target).or_default();
        *target_number += 1;
        let control = Control {
            number: ControlNumber(number),
            target_number: *target_number,
            at: Millis(0),
            by: Actor(0),
            change: change.clone(),
        };
        let mut facts = Vec::new();
        Record::Control(control).encode(&mut facts);
        oracle.take(&facts, (0, number, true));
    }
    (oracle, 0)
}

impl Books {
    /// Clicks by outcome over all campaigns.
    pub fn by_outcome(&self) -> BTreeMap<Outcome, u64> {
        let mut total = BTreeMap::new();
        for (outcome, count) in self.outcomes.values().flatten() {
            *total.entry(*outcome).or_default() += count;
        }
        total
    }
}

#[cfg(test)]
mod tests;
