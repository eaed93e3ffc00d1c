//! Questions by seed, and their SQL.

use tollgate_click::{Millis, Outcome};
use tollgate_store::rollup::{Dimension, Filter, Key, Metric, Query, ROWS_MAX};

use crate::world;

const DAY_MS: u64 = 86_400_000;

/// SplitMix64.
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    pub(crate) fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.roll() % end
    }

    pub(crate) fn one_in(&mut self, count: u64) -> bool {
        self.below(count) == 0
    }

    pub(crate) fn pick<T: Clone>(&mut self, all: &[T]) -> T {
        all[self.below(all.len() as u64) as usize].clone()
    }
}

/// What DataFusion adds up.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Base {
    /// The finest rollup.
    Minutes,
    /// The clicks of the lake.
    Clicks,
}

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

/// A question about clicks of [`world`].
pub(crate) fn query(dice: &mut Dice) -> Query {
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
    let sparse = dice.pick(&[3, 5, 8]);
    let mut dimensions: Vec<Dimension> = DIMENSIONS.into_iter().collect();
    dimensions.retain(|_| dice.one_in(sparse));
    if dice.one_in(2) {
        dimensions.reverse();
    }
    if chosen.contains(&Metric::Spend) && !dimensions.contains(&Dimension::Currency) {
        // Most questions about money name the currency; the others are refused by both.
        if !dice.one_in(3) {
            dimensions.push(Dimension::Currency);
        }
    }
    let (from, to) = times(dice);
    Query {
        metrics: chosen,
        dimensions,
        filters: (0..dice.below(3)).map(|_| filter(dice)).collect(),
        from,
        to,
        limit: dice.pick(&[ROWS_MAX, ROWS_MAX, ROWS_MAX, 7, 100]),
    }
}

/// Some minutes, hours, days, a month, or all of time that there is.
fn times(dice: &mut Dice) -> (Millis, Millis) {
    let days = [world::OCTOBER, world::MERGED, world::OPEN];
    let grain = dice.pick(&[60_000, 3_600_000, DAY_MS]);
    let start = dice.pick(&days) + dice.below(DAY_MS);
    let from = start - start % grain;
    let length = dice.pick(&[grain, DAY_MS, 2 * DAY_MS, 40 * DAY_MS]);
    match dice.below(6) {
        0 => (Millis(world::MONTH), Millis(world::MONTH + 31 * DAY_MS)),
        1 => (Millis(world::MONTH), Millis(world::OPEN + 3 * DAY_MS)),
        _ => (Millis(from), Millis(from + length)),
    }
}

fn filter(dice: &mut Dice) -> Filter {
    let dimension = dice.pick(&DIMENSIONS);
    let values = 1 + dice.below(4);
    Filter {
        dimension,
        any_of: (0..values).map(|_| key(dice, dimension)).collect(),
    }
}

fn key(dice: &mut Dice, dimension: Dimension) -> Key {
    let at = dice.pick(&[world::OCTOBER, world::MERGED, world::OPEN]) + dice.below(DAY_MS);
    let minute = at / 60_000;
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

/// The question in SQL: keys, then sums; one row more than the limit.
pub(crate) fn text(query: &Query, base: Base) -> String {
    let keys: Vec<String> = query.dimensions.iter().map(|one| column(*one)).collect();
    let sums: Vec<String> = query.metrics.iter().map(|one| sum(*one)).collect();
    let named = keys.iter().chain(&sums).enumerate();
    let named: Vec<String> = named
        .map(|(place, one)| format!("{one} AS c{place}"))
        .collect();
    let mut text = format!("SELECT {} FROM {}", named.join(", "), source(query, base));
    if !keys.is_empty() {
        text.push_str(&format!(" GROUP BY {}", keys.join(", ")));
    }
    let any: Vec<String> = sums.iter().map(|sum| format!("{sum} <> 0")).collect();
    text.push_str(&format!(" HAVING {}", any.join(" OR ")));
    if !keys.is_empty() {
        let order: Vec<String> = (0..keys.len()).map(|place| format!("c{place}")).collect();
        text.push_str(&format!(" ORDER BY {}", order.join(", ")));
    }
    format!("{text} LIMIT {}", query.limit + 1)
}

/// How many currencies the money of one group has at most.
pub(crate) fn most_currencies(query: &Query, base: Base) -> String {
    let keys: Vec<String> = query.dimensions.iter().map(|one| column(*one)).collect();
    let money = "CASE WHEN event = 'click' AND charge_micros <> 0 THEN currency END";
    let by = match keys.is_empty() {
        true => String::new(),
        false => format!(" GROUP BY {}", keys.join(", ")),
    };
    let groups = format!(
        "SELECT count(DISTINCT {money}) AS n FROM {}{by}",
        source(query, base)
    );
    format!("SELECT coalesce(max(n), 0) FROM ({groups})")
}

/// The cells that the question is about, whatever they are read from.
fn source(query: &Query, base: Base) -> String {
    let cells = match base {
        Base::Minutes => {
            "SELECT *, cast(minute AS BIGINT) AS at, cast(clicks AS BIGINT) AS n FROM minutes"
        }
        Base::Clicks => {
            "SELECT advertiser, campaign, publisher, ad, placement, event, country, agent_class, \
             outcome, reason, coalesce(currency, '') AS currency, charge_micros, \
             arrow_cast(reported_at, 'Int64') / 60000 AS at, cast(1 AS BIGINT) AS n FROM clicks"
        }
    };
    let (from, to) = (query.from.0 / 60_000, query.to.0 / 60_000);
    let mut holds = format!("at >= {from} AND at < {to}");
    for filter in &query.filters {
        let values: Vec<String> = filter.any_of.iter().map(literal).collect();
        let column = column(filter.dimension);
        holds.push_str(&format!(" AND {column} IN ({})", values.join(", ")));
    }
    format!("(SELECT * FROM ({cells}) WHERE {holds})")
}

fn literal(key: &Key) -> String {
    match key {
        Key::Number(number) => number.to_string(),
        Key::Text(text) => format!("'{}'", text.replace('\'', "''")),
    }
}

fn column(dimension: Dimension) -> String {
    let name = match dimension {
        Dimension::Advertiser => "advertiser",
        Dimension::Campaign => "campaign",
        Dimension::Publisher => "publisher",
        Dimension::Ad => "ad",
        Dimension::Placement => "placement",
        Dimension::Country => "country",
        Dimension::AgentClass => "agent_class",
        Dimension::Outcome => "outcome",
        Dimension::Reason => "reason",
        Dimension::Currency => "currency",
        Dimension::Minute => "at",
        Dimension::Hour => "(at - at % 60)",
        Dimension::Day => "(at - at % 1440)",
    };
    name.to_owned()
}

/// `gross = net + invalid_givt + duplicate + unauthorised`, `net = total_net + invalid_sivt`.
fn sum(metric: Metric) -> String {
    let total_net = "'unknown_campaign', 'paused', 'expired', 'over_budget', 'free', 'billed'";
    let net = format!("{total_net}, 'invalid_sivt'");
    let gross = format!("{net}, 'invalid_givt', 'duplicate', 'unauthorised'");
    let (holds, what) = match metric {
        Metric::Records => ("event = 'click'".to_owned(), "n"),
        Metric::Gross => (format!("event = 'click' AND outcome IN ({gross})"), "n"),
        Metric::Net => (format!("event = 'click' AND outcome IN ({net})"), "n"),
        Metric::TotalNet => (format!("event = 'click' AND outcome IN ({total_net})"), "n"),
        Metric::Of(outcome) => {
            let name = outcome.name();
            (format!("event = 'click' AND outcome = '{name}'"), "n")
        }
        Metric::Impressions => (
            format!("event = 'impression' AND outcome IN ({gross})"),
            "n",
        ),
        Metric::Spend => ("event = 'click'".to_owned(), "charge_micros"),
        Metric::Uniques => unreachable!("a sketch is no sum"),
    };
    format!("coalesce(sum(CASE WHEN {holds} THEN {what} ELSE 0 END), 0)")
}
