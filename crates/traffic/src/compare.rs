//! Sent against counted: the witness's books beside the product's, line by line.

use std::collections::{BTreeMap, BTreeSet};

use tollgate_click::{ClickId, Currency, Outcome};

use crate::oracle::Books;

/// What the product says, in the witness's words.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Counted {
    /// Clicks by advertiser, campaign and outcome.
    pub outcomes: BTreeMap<(u32, u64), BTreeMap<Outcome, u64>>,
    /// Micro-units by advertiser, campaign and currency.
    pub spend_micros: BTreeMap<(u32, u64), BTreeMap<Currency, i128>>,
    /// Refusals by the reason that the edge counted.
    pub refused: BTreeMap<String, u64>,
    /// Clicks in the log, and how often each stands there.
    pub recorded: BTreeMap<ClickId, u64>,
}

/// One line on which the books differ.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Difference {
    /// What was counted.
    pub what: String,
    /// The least and the most that it may be; equal unless answers were lost.
    pub sent: (i128, i128),
    /// What the product says.
    pub counted: i128,
}

/// All lines on which the product's books are not what they must be. `receipts` are the clicks
/// that a sender was promised; `lost` says how many answers never came, each of which may have
/// been recorded.
pub fn differences(
    (least, most): (&Books, &Books),
    counted: &Counted,
    receipts: &BTreeSet<ClickId>,
    lost: u64,
) -> Vec<Difference> {
    let mut found = Found::default();
    for campaign in keys(&[&least.outcomes, &most.outcomes, &counted.outcomes]) {
        for outcome in Outcome::ALL {
            let of = |books: &BTreeMap<_, BTreeMap<Outcome, u64>>| {
                let outcomes = books.get(&campaign);
                i128::from(outcomes.and_then(|o| o.get(&outcome)).copied().unwrap_or(0))
            };
            let (least, most) = (of(&least.outcomes), of(&most.outcomes));
            let what = || format!("{} of {}", outcome.name(), name_of(campaign));
            found.expect(what, (least, most), of(&counted.outcomes));
        }
    }
    compare_spend(&mut found, (least, most), counted);
    let no_refusal = BTreeMap::new();
    for reason in keys(&[&least.refused, &counted.refused, &no_refusal]) {
        let of = |refused: &BTreeMap<String, u64>| {
            i128::from(refused.get(&reason).copied().unwrap_or(0))
        };
        let (sent, counted) = (of(&least.refused), of(&counted.refused));
        // A request whose answer was lost may have been refused.
        let sent = (sent, sent + i128::from(lost));
        found.expect(|| format!("refused as {reason}"), sent, counted);
    }
    compare_receipts(&mut found, counted, receipts, lost);
    found.differences
}

fn compare_spend(found: &mut Found, (least, most): (&Books, &Books), counted: &Counted) {
    let spent = |books: &Books| -> BTreeMap<(u32, u64), BTreeMap<Currency, i128>> {
        let spend = books.spend_micros.iter();
        let one = |(currency, micros): &(Currency, i64)| {
            BTreeMap::from([(*currency, i128::from(*micros))])
        };
        spend
            .map(|(campaign, spend)| (*campaign, one(spend)))
            .collect()
    };
    let (least, most) = (spent(least), spent(most));
    for campaign in keys(&[&least, &most, &counted.spend_micros]) {
        let currencies = |books: &BTreeMap<_, BTreeMap<Currency, i128>>| {
            let spend = books.get(&campaign).into_iter();
            spend
                .flat_map(|spend| spend.keys().copied())
                .collect::<Vec<_>>()
        };
        let mut all: BTreeSet<Currency> = currencies(&most).into_iter().collect();
        all.extend(currencies(&least));
        all.extend(currencies(&counted.spend_micros));
        for currency in all {
            let of = |books: &BTreeMap<_, BTreeMap<Currency, i128>>| {
                let spend = books.get(&campaign);
                spend
                    .and_then(|spend| spend.get(&currency))
                    .copied()
                    .unwrap_or(0)
            };
            let what = || format!("micro-units of {currency} of {}", name_of(campaign));
            found.expect(what, (of(&least), of(&most)), of(&counted.spend_micros));
        }
    }
}

/// Every receipt stands in the log exactly once, and nothing stands there that nobody sent.
fn compare_receipts(found: &mut Found, counted: &Counted, receipts: &BTreeSet<ClickId>, lost: u64) {
    let times = |id: &ClickId| counted.recorded.get(id).copied().unwrap_or(0);
    let missing = receipts.iter().filter(|id| times(id) == 0).count();
    found.expect(
        || "receipts that are not in the log".to_owned(),
        (0, 0),
        missing as i128,
    );
    let twice = counted
        .recorded
        .values()
        .filter(|times| **times > 1)
        .count();
    found.expect(
        || "clicks that are in the log twice".to_owned(),
        (0, 0),
        twice as i128,
    );
    let strange = counted
        .recorded
        .keys()
        .filter(|id| !receipts.contains(id))
        .count();
    let what = || "clicks in the log without a receipt".to_owned();
    found.expect(what, (0, i128::from(lost)), strange as i128);
}

#[derive(Default)]
struct Found {
    differences: Vec<Difference>,
}

impl Found {
    fn expect(&mut self, what: impl Fn() -> String, sent: (i128, i128), counted: i128) {
        // With lost answers a line may move either way between the two books.
        let sent = (sent.0.min(sent.1), sent.0.max(sent.1));
        if counted < sent.0 || counted > sent.1 {
            let what = what();
            self.differences.push(Difference {
                what,
                sent,
                counted,
            });
        }
    }
}

fn keys<K: Ord + Clone, V>(maps: &[&BTreeMap<K, V>; 3]) -> BTreeSet<K> {
    maps.iter().flat_map(|map| map.keys().cloned()).collect()
}

fn name_of((advertiser, campaign): (u32, u64)) -> String {
    format!("campaign {campaign} of advertiser {advertiser}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use tollgate_click::Millis;
    use tollgate_click::ids::{ClickIdParts, EdgeId, PartitionId};

    fn id(random: u64) -> ClickId {
        ClickId::new(ClickIdParts {
            received_at: Millis(1_790_000_000_000),
            partition: PartitionId::new(0).unwrap(),
            edge: EdgeId::new(0).unwrap(),
            random,
        })
    }

    fn usd() -> Currency {
        "USD".parse().unwrap()
    }

    fn books() -> Books {
        Books {
            outcomes: BTreeMap::from([(
                (1, 1),
                BTreeMap::from([(Outcome::Billed, 2), (Outcome::Duplicate, 1)]),
            )]),
            spend_micros: BTreeMap::from([((1, 1), (usd(), 700_000))]),
            refused: BTreeMap::from([("forged".to_owned(), 4)]),
            wrong_answers: Vec::new(),
        }
    }

    fn counted() -> Counted {
        Counted {
            outcomes: books().outcomes,
            spend_micros: BTreeMap::from([((1, 1), BTreeMap::from([(usd(), 700_000)]))]),
            refused: books().refused,
            recorded: (1..=3).map(|random| (id(random), 1)).collect(),
        }
    }

    fn receipts() -> BTreeSet<ClickId> {
        (1..=3).map(id).collect()
    }

    fn first(counted: &mut Counted) -> &mut BTreeMap<Outcome, u64> {
        counted.outcomes.get_mut(&(1, 1)).unwrap()
    }

    fn found(counted: &Counted, lost: u64) -> Vec<String> {
        let books = books();
        let found = differences((&books, &books), counted, &receipts(), lost);
        found
            .into_iter()
            .map(|difference| difference.what)
            .collect()
    }

    #[test]
    fn equal_books_have_no_difference() {
        assert_eq!(found(&counted(), 0), Vec::<String>::new());
    }

    #[test]
    fn each_kind_of_difference_is_found() {
        type Break = fn(&mut Counted);
        let breaks: [(Break, &str); 9] = [
            (
                |c| first(c).extend([(Outcome::Billed, 3)]),
                "billed of campaign 1 of advertiser 1",
            ),
            (
                |c| first(c).retain(|outcome, _| *outcome != Outcome::Duplicate),
                "duplicate of campaign 1 of advertiser 1",
            ),
            (
                |c| {
                    c.outcomes
                        .extend([((2, 9), BTreeMap::from([(Outcome::Paused, 1)]))])
                },
                "paused of campaign 9 of advertiser 2",
            ),
            (
                |c| {
                    c.spend_micros
                        .extend([((1, 1), BTreeMap::from([(usd(), 700_001)]))])
                },
                "micro-units of USD of campaign 1 of advertiser 1",
            ),
            (
                |c| {
                    c.spend_micros
                        .extend([((1, 2), BTreeMap::from([(usd(), 1)]))])
                },
                "micro-units of USD of campaign 2 of advertiser 1",
            ),
            (
                |c| c.refused.extend([("expired".to_owned(), 1)]),
                "refused as expired",
            ),
            (
                |c| c.recorded.retain(|kept, _| *kept != id(2)),
                "receipts that are not in the log",
            ),
            (
                |c| c.recorded.extend([(id(2), 2)]),
                "clicks that are in the log twice",
            ),
            (
                |c| c.recorded.extend([(id(9), 1)]),
                "clicks in the log without a receipt",
            ),
        ];
        for (make, what) in breaks {
            let mut broken = counted();
            make(&mut broken);
            assert_eq!(found(&broken, 0), [what]);
        }
    }

    #[test]
    fn a_lost_answer_excuses_one_record_and_no_more() {
        let mut more = counted();
        more.recorded.insert(id(8), 1);
        assert_eq!(found(&more, 1), Vec::<String>::new());
        more.recorded.insert(id(9), 1);
        assert_eq!(found(&more, 1), ["clicks in the log without a receipt"]);
    }
}
