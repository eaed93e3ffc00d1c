//! A naive recount with plain maps, and random questions.

use std::collections::{BTreeMap, BTreeSet};

use crate::lake::Event;
use crate::lake::tests::sample::{Dice, OwnedRow, START};
use crate::rollup::{AnswerRow, Dimension, Filter, Key, Metric, Query, ROWS_MAX};
use tollgate_click::{Millis, Outcome};

const DAY_MS: u64 = 86_400_000;

const DIMENSIONS: [Dimension; 13] = [
    Dimension::Advertiser,
    Dimension::Campaign,
    Dimension::Publisher,
    Dimension::Ad,
    Dimension::Placement,
    Dimension::Country,
    Dimension::AgentClass,
    Dimension::Outcome,
    Dimension::Reason,
    Dimension::Currency,
    Dimension::Minute,
    Dimension::Hour,
    Dimension::Day,
];

/// A random question about rows of [`super::sample`].
pub(super) fn query(dice: &mut Dice) -> Query {
    let metrics = [
        Metric::Records,
        Metric::Gross,
        Metric::Net,
        Metric::TotalNet,
        Metric::Of(dice.pick(&Outcome::ALL)),
        Metric::Impressions,
        Metric::Spend,
    ];
    let mut chosen: Vec<Metric> = metrics.into_iter().filter(|_| dice.one_in(3)).collect();
    if chosen.is_empty() {
        chosen.push(dice.pick(&metrics));
    }
    let dimensions = DIMENSIONS.into_iter().filter(|_| dice.one_in(5)).collect();
    let grain = dice.pick(&[60_000, 3_600_000, DAY_MS]);
    let near = |at: u64, grain: u64| Millis(at - at % grain);
    let from = near(START - dice.below(9_000_000), grain);
    let mut to = START + 3_600_000 + dice.below(9_000_000);
    if grain == DAY_MS {
        to += DAY_MS * dice.below(3);
    }
    // Whole days, and whole days with a piece of one.
    let grain = dice.pick(&[grain, 60_000]);
    let (mut from, mut to) = (from, near(to, grain));
    if dice.one_in(6) {
        (from, to) = (Millis(20_758 * DAY_MS), Millis(20_788 * DAY_MS)); // November
    }
    Query {
        metrics: chosen,
        dimensions,
        filters: (0..dice.below(3)).map(|_| filter(dice)).collect(),
        from,
        to,
        limit: ROWS_MAX,
    }
}

fn filter(dice: &mut Dice) -> Filter {
    let dimension = dice.pick(&DIMENSIONS);
    let any_of = (0..1 + dice.below(4))
        .map(|_| key(dice, dimension))
        .collect();
    Filter { dimension, any_of }
}

fn key(dice: &mut Dice, dimension: Dimension) -> Key {
    let minute = (START - 6_000_000 + dice.below(9_000_000)) / 60_000;
    let text = |text: &str| Key::Text(text.to_owned());
    match dimension {
        Dimension::Advertiser | Dimension::Publisher | Dimension::Ad => Key::Number(dice.below(6)),
        Dimension::Campaign => Key::Number(dice.below(5) * 100 + dice.below(4)),
        Dimension::Placement => Key::Number(dice.pick(&[0, 7, u64::MAX, 9])),
        Dimension::Country => text(dice.pick(&["", "DE", "BR", "FR"])),
        Dimension::AgentClass => text(dice.pick(&["desktop", "mobile", "none"])),
        Dimension::Outcome => text(dice.pick(&["billed", "duplicate", "invalid_givt", "test"])),
        Dimension::Reason => text(dice.pick(&["", "head", "' OR 1=1--"])),
        Dimension::Currency => text(dice.pick(&["", "EUR", "USD"])),
        Dimension::Minute => Key::Number(minute),
        Dimension::Hour => Key::Number(minute - minute % 60),
        Dimension::Day => Key::Number(minute - minute % 1440),
    }
}

/// The rows that the question should give; none when it adds money of several currencies.
pub(super) fn answer(query: &Query, rows: &[OwnedRow]) -> Option<Vec<AnswerRow>> {
    let mut groups: BTreeMap<Vec<Key>, Vec<i64>> = BTreeMap::new();
    let mut currencies: BTreeMap<Vec<Key>, BTreeSet<Key>> = BTreeMap::new();
    for row in rows.iter().filter(|row| is_wanted(query, row)) {
        let keys: Vec<Key> = query.dimensions.iter().map(|it| value(*it, row)).collect();
        let zeros = vec![0; query.metrics.len()];
        let sums = groups.entry(keys.clone()).or_insert(zeros);
        for (sum, metric) in sums.iter_mut().zip(&query.metrics) {
            *sum += amount(*metric, row);
        }
        let spends = query.metrics.contains(&Metric::Spend) && row.event == Event::Click;
        if spends && row.judgement.charge.0 != 0 {
            let currency = value(Dimension::Currency, row);
            currencies.entry(keys).or_default().insert(currency);
        }
    }
    if currencies.values().any(|currencies| currencies.len() > 1) {
        return None;
    }
    groups.retain(|_, values| values.iter().any(|value| *value != 0));
    let rows = groups
        .into_iter()
        .map(|(keys, values)| AnswerRow { keys, values });
    Some(rows.collect())
}

/// How many different visitors each group really has.
pub(super) fn uniques(query: &Query, rows: &[OwnedRow]) -> Vec<(Vec<Key>, i64)> {
    let mut groups: BTreeMap<Vec<Key>, BTreeSet<(u64, u64)>> = BTreeMap::new();
    for row in rows.iter().filter(|row| is_wanted(query, row)) {
        if row.event == Event::Click && row.judgement.outcome.in_total_net() {
            let keys = query.dimensions.iter().map(|it| value(*it, row)).collect();
            let visitor = (row.facts.pseudonyms.address, row.facts.pseudonyms.agent);
            groups.entry(keys).or_default().insert(visitor);
        }
    }
    let counts = groups.into_iter();
    counts
        .map(|(keys, visitors)| (keys, visitors.len() as i64))
        .collect()
}

fn is_wanted(query: &Query, row: &OwnedRow) -> bool {
    let at = row.facts.reported_at();
    let passes = |filter: &Filter| filter.any_of.contains(&value(filter.dimension, row));
    query.from <= at && at < query.to && query.filters.iter().all(passes)
}

fn value(dimension: Dimension, row: &OwnedRow) -> Key {
    let facts = &row.facts;
    let minute = facts.reported_at().0 / 60_000;
    let text = |text: &str| Key::Text(text.to_owned());
    match dimension {
        Dimension::Advertiser => Key::Number(u64::from(facts.advertiser.0)),
        Dimension::Campaign => Key::Number(facts.campaign.0),
        Dimension::Publisher => Key::Number(u64::from(facts.publisher.0)),
        Dimension::Ad => Key::Number(facts.ad.0),
        Dimension::Placement => Key::Number(facts.placement.0),
        Dimension::Country => match facts.country.code() {
            None => text(""),
            Some(_) => text(&facts.country.to_string()),
        },
        Dimension::AgentClass => text(facts.agent_class.name()),
        Dimension::Outcome => text(row.judgement.outcome.name()),
        Dimension::Reason => text(row.reason),
        Dimension::Currency => text(
            &row.judgement
                .currency
                .map_or(String::new(), |it| it.to_string()),
        ),
        Dimension::Minute => Key::Number(minute),
        Dimension::Hour => Key::Number(minute / 60 * 60),
        Dimension::Day => Key::Number(minute / 1440 * 1440),
    }
}

fn amount(metric: Metric, row: &OwnedRow) -> i64 {
    let outcome = row.judgement.outcome;
    let general = [
        Outcome::Unauthorised,
        Outcome::InvalidGivt,
        Outcome::Duplicate,
    ];
    let nothing = [Outcome::Resent, Outcome::Quarantined, Outcome::Test];
    let gross = !nothing.contains(&outcome);
    let net = gross && !general.contains(&outcome);
    let is_click = row.event == Event::Click;
    let counts = match metric {
        Metric::Records => is_click,
        Metric::Gross => is_click && gross,
        Metric::Net => is_click && net,
        Metric::TotalNet => is_click && net && outcome != Outcome::InvalidSivt,
        Metric::Of(wanted) => is_click && outcome == wanted,
        Metric::Impressions => !is_click && gross,
        Metric::Spend if is_click => return row.judgement.charge.0,
        Metric::Spend | Metric::Uniques => false,
    };
    i64::from(counts)
}
