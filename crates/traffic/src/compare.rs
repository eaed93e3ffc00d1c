//! Sent against counted: the books that must be beside what each side of the product says.

use std::collections::{BTreeMap, BTreeSet};

use tollgate_click::{Currency, Outcome};

use crate::books::Books;

/// What one side of the product says; a part that it does not tell is none.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Side {
    /// Its name in differences.
    pub name: &'static str,
    /// Clicks by advertiser, campaign and outcome.
    pub outcomes: Option<BTreeMap<(u32, u64), BTreeMap<Outcome, u64>>>,
    /// Billed clicks by advertiser and campaign, from a side that counts no other outcome.
    pub billed: Option<BTreeMap<(u32, u64), u64>>,
    /// Micro-units by advertiser and campaign.
    pub spend_micros: Option<BTreeMap<(u32, u64), i64>>,
    /// Micro-units that publishers are owed.
    pub owed_micros: Option<BTreeMap<(u32, Currency), i64>>,
}

/// One line on which the books differ.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Difference {
    /// What was counted, and by whom.
    pub what: String,
    /// What it must be.
    pub sent: i64,
    /// What the product says.
    pub counted: i64,
}

/// All lines on which a side does not say what the books say.
pub fn differences(books: &Books, side: &Side) -> Vec<Difference> {
    let mut found = Found {
        side: side.name,
        differences: Vec::new(),
    };
    if let Some(outcomes) = &side.outcomes {
        let none = BTreeMap::new();
        for campaign in keys(&books.outcomes, outcomes) {
            let sent = books.outcomes.get(&campaign).unwrap_or(&none);
            let counted = outcomes.get(&campaign).unwrap_or(&none);
            let name = |outcome: &Outcome| format!("{} of {}", outcome.name(), name_of(campaign));
            found.compare(sent, counted, name, |count| count.cast_signed());
        }
    }
    if let Some(billed) = &side.billed {
        let of = |outcomes: &BTreeMap<Outcome, u64>| outcomes.get(&Outcome::Billed).copied();
        let sent = books.outcomes.iter();
        let sent = sent.filter_map(|(campaign, outcomes)| Some((*campaign, of(outcomes)?)));
        let name = |campaign: &(u32, u64)| format!("clicks posted of {}", name_of(*campaign));
        found.compare(&sent.collect(), billed, name, u64::cast_signed);
    }
    if let Some(spend) = &side.spend_micros {
        let name = |campaign: &(u32, u64)| format!("micro-units of {}", name_of(*campaign));
        found.compare(&books.spend_micros, spend, name, |micros| micros);
    }
    if let Some(owed) = &side.owed_micros {
        let name = |(publisher, currency): &(u32, Currency)| {
            format!("micro-units of {currency} owed to publisher {publisher}")
        };
        found.compare(&books.owed_micros, owed, name, |micros| micros);
    }
    found.differences
}

/// The edge's refusals. A request whose answer was lost may have been refused.
pub fn refusals(books: &Books, refused: &BTreeMap<String, u64>) -> Vec<Difference> {
    let of = |refused: &BTreeMap<String, u64>, reason: &String| {
        refused.get(reason).copied().unwrap_or(0)
    };
    let difference = |reason: String| {
        let (sent, counted) = (of(&books.refused, &reason), of(refused, &reason));
        let fits = counted >= sent && counted <= sent + books.lost;
        (!fits).then(|| Difference {
            what: format!("refused as {reason}"),
            sent: sent.cast_signed(),
            counted: counted.cast_signed(),
        })
    };
    let reasons = keys(&books.refused, refused);
    reasons.into_iter().filter_map(difference).collect()
}

struct Found {
    side: &'static str,
    differences: Vec<Difference>,
}

impl Found {
    /// Line by line; what one does not have is 0.
    fn compare<K: Ord + Clone, V: Copy + Default>(
        &mut self,
        sent: &BTreeMap<K, V>,
        counted: &BTreeMap<K, V>,
        name: impl Fn(&K) -> String,
        number: impl Fn(V) -> i64,
    ) {
        for key in keys(sent, counted) {
            let of = |map: &BTreeMap<K, V>| number(map.get(&key).copied().unwrap_or_default());
            let (sent, counted) = (of(sent), of(counted));
            if sent != counted {
                let what = format!("{}: {}", self.side, name(&key));
                self.differences.push(Difference {
                    what,
                    sent,
                    counted,
                });
            }
        }
    }
}

fn keys<K: Ord + Clone, V>(one: &BTreeMap<K, V>, other: &BTreeMap<K, V>) -> BTreeSet<K> {
    one.keys().chain(other.keys()).cloned().collect()
}

fn name_of((advertiser, campaign): (u32, u64)) -> String {
    format!("campaign {campaign} of advertiser {advertiser}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn usd() -> Currency {
        "USD".parse().unwrap()
    }

    fn books() -> Books {
        let outcomes = BTreeMap::from([(Outcome::Billed, 2), (Outcome::Duplicate, 1)]);
        Books {
            outcomes: BTreeMap::from([((1, 1), outcomes)]),
            spend_micros: BTreeMap::from([((1, 1), 700_000)]),
            owed_micros: BTreeMap::from([((4, usd()), 490_000)]),
            refused: BTreeMap::from([("forged".to_owned(), 4)]),
            ..Books::default()
        }
    }

    fn side() -> Side {
        Side {
            name: "report",
            outcomes: Some(books().outcomes),
            billed: Some(BTreeMap::from([((1, 1), 2)])),
            spend_micros: Some(books().spend_micros),
            owed_micros: Some(books().owed_micros),
        }
    }

    fn found(side: &Side) -> Vec<String> {
        let found = differences(&books(), side).into_iter();
        found.map(|difference| difference.what).collect()
    }

    #[test]
    fn equal_books_have_no_difference_and_silence_is_none() {
        assert_eq!(found(&side()), Vec::<String>::new());
        assert_eq!(found(&Side::default()), Vec::<String>::new());
    }

    #[test]
    fn each_kind_of_difference_is_found() {
        type Break = fn(&mut Side);
        let outcomes = |side: &mut Side, campaign, outcome, count| {
            let outcomes = side.outcomes.get_or_insert_default();
            outcomes.entry(campaign).or_default().insert(outcome, count);
        };
        let mut more = side();
        outcomes(&mut more, (1, 1), Outcome::Billed, 3);
        assert_eq!(
            found(&more),
            ["report: billed of campaign 1 of advertiser 1"]
        );
        let mut strange = side();
        outcomes(&mut strange, (2, 9), Outcome::Paused, 1);
        assert_eq!(
            found(&strange),
            ["report: paused of campaign 9 of advertiser 2"]
        );
        let breaks: [(Break, &str); 5] = [
            (
                |side| side.billed.as_mut().unwrap().extend([((1, 1), 3)]),
                "report: clicks posted of campaign 1 of advertiser 1",
            ),
            (
                |side| side.outcomes = Some(BTreeMap::new()),
                "report: duplicate of campaign 1 of advertiser 1",
            ),
            (
                |side| {
                    side.spend_micros
                        .as_mut()
                        .unwrap()
                        .extend([((1, 1), 700_001)])
                },
                "report: micro-units of campaign 1 of advertiser 1",
            ),
            (
                |side| side.spend_micros.as_mut().unwrap().extend([((1, 2), 1)]),
                "report: micro-units of campaign 2 of advertiser 1",
            ),
            (
                |side| side.owed_micros.as_mut().unwrap().clear(),
                "report: micro-units of USD owed to publisher 4",
            ),
        ];
        for (make, what) in breaks {
            let mut broken = side();
            make(&mut broken);
            assert_eq!(found(&broken).first().map(String::as_str), Some(what));
        }
    }

    #[test]
    fn a_lost_answer_excuses_one_refusal_and_no_more() {
        let refused = |count| BTreeMap::from([("forged".to_owned(), count)]);
        let mut books = books();
        assert_eq!(refusals(&books, &refused(4)), []);
        assert_eq!(refusals(&books, &refused(5)).len(), 1);
        assert_eq!(refusals(&books, &refused(3)).len(), 1);
        books.lost = 1;
        assert_eq!(refusals(&books, &refused(5)), []);
        assert_eq!(refusals(&books, &refused(6)).len(), 1);
    }
}
