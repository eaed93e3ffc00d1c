//! What may be asked of a report, and its text in a query string.

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};
use tollgate_click::{Millis, Outcome};
use tollgate_store::rollup::{Dimension, FILTER_VALUES_MAX, Filter, Key, Metric, Query, ROWS_MAX};

use super::PAGE_MAX;
use crate::params::{Param, Params, plain_digits};
use crate::problem::Problem;

/// Longest time of one report: ten years.
const RANGE_MS_MAX: u64 = 3_660 * DAY_MS;

/// Longest time of one report by minute: a year.
const MINUTES_MS_MAX: u64 = 366 * DAY_MS;

const DAY_MS: u64 = 86_400_000;

/// Filters of one report.
const FILTERS_MAX: usize = 16;

/// What the route takes.
pub(crate) const PARAMS: &[Param] = &[
    Param {
        name: "metrics",
        about: "What to add up, with commas between: records, gross, net, total_net, any outcome \
                (billed, duplicate, ...), spend, posted, pending (micro-units), impressions, \
                uniques (an estimate)",
        many: false,
    },
    Param {
        name: "dimensions",
        about: "By what, with commas between: advertiser, campaign, publisher, ad, placement, \
                country, device, outcome, reason, currency, minute, hour, day (UTC)",
        many: false,
    },
    Param {
        name: "from",
        about: "The first instant, a whole minute: 2026-11-24T00:00:00Z with any offset, or a day \
                in UTC; a day before `to` when it is not given",
        many: false,
    },
    Param {
        name: "to",
        about: "The first instant after, as `from`; the end of this minute when it is not given",
        many: false,
    },
    Param {
        name: "filter",
        about: "dimension:value,value; several filters must all hold",
        many: true,
    },
    Param {
        name: "format",
        about: "json, csv or parquet",
        many: false,
    },
    Param {
        name: "limit",
        about: "Rows of one page, 1 to 100000; 1000 when it is not given",
        many: false,
    },
    Param {
        name: "cursor",
        about: "`next` of the page before",
        many: false,
    },
];

/// A question.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Ask {
    pub(crate) columns: Vec<Column>,
    pub(crate) dimensions: Vec<Dimension>,
    pub(crate) filters: Vec<Filter>,
    pub(crate) from: Millis,
    pub(crate) to: Millis,
    pub(crate) format: Format,
    pub(crate) limit: usize,
    /// The keys of the last row of the page before.
    pub(crate) after: Option<Vec<Key>>,
}

/// A column of sums.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Column {
    /// As the kernels add it up.
    Of(Metric),
    /// Spend of minutes that the ledger has closed.
    Posted,
    /// Spend of minutes that it has not.
    Pending,
}

/// How the answer is written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Format {
    Json,
    Csv,
    Parquet,
}

const DIMENSIONS: [(&str, Dimension); 13] = [
    ("advertiser", Dimension::Advertiser),
    ("campaign", Dimension::Campaign),
    ("publisher", Dimension::Publisher),
    ("ad", Dimension::Ad),
    ("placement", Dimension::Placement),
    ("country", Dimension::Country),
    ("device", Dimension::AgentClass),
    ("outcome", Dimension::Outcome),
    ("reason", Dimension::Reason),
    ("currency", Dimension::Currency),
    ("minute", Dimension::Minute),
    ("hour", Dimension::Hour),
    ("day", Dimension::Day),
];

const METRICS: [(&str, Column); 9] = [
    ("records", Column::Of(Metric::Records)),
    ("gross", Column::Of(Metric::Gross)),
    ("net", Column::Of(Metric::Net)),
    ("total_net", Column::Of(Metric::TotalNet)),
    ("spend", Column::Of(Metric::Spend)),
    ("posted", Column::Posted),
    ("pending", Column::Pending),
    ("impressions", Column::Of(Metric::Impressions)),
    ("uniques", Column::Of(Metric::Uniques)),
];

/// A dimension's name.
pub(crate) fn dimension_name(dimension: Dimension) -> &'static str {
    let found = DIMENSIONS.iter().find(|(_, one)| *one == dimension);
    found.map_or("", |(name, _)| name)
}

/// Whether the values are times.
pub(crate) fn is_time(dimension: Dimension) -> bool {
    matches!(
        dimension,
        Dimension::Minute | Dimension::Hour | Dimension::Day
    )
}

/// Whether the values are words.
pub(crate) fn is_word(dimension: Dimension) -> bool {
    use Dimension::{AgentClass, Country, Currency, Outcome, Reason};
    matches!(
        dimension,
        Country | AgentClass | Outcome | Reason | Currency
    )
}

impl Column {
    /// Its name.
    pub(crate) fn name(self) -> &'static str {
        if let Column::Of(Metric::Of(outcome)) = self {
            return outcome.name();
        }
        let found = METRICS.iter().find(|(_, one)| *one == self);
        found.map_or("", |(name, _)| name)
    }

    fn named(name: &str) -> Option<Column> {
        let outcome = Outcome::ALL
            .into_iter()
            .find(|outcome| outcome.name() == name);
        let outcome = outcome.map(|outcome| Column::Of(Metric::Of(outcome)));
        let found = METRICS.iter().find(|(known, _)| *known == name);
        found.map(|(_, column)| *column).or(outcome)
    }

    /// What the kernels are asked for.
    pub(crate) fn metric(self) -> Option<Metric> {
        match self {
            Column::Of(metric) => Some(metric),
            Column::Posted | Column::Pending => None,
        }
    }

    /// Whether it says what advertisers pay.
    pub(crate) fn is_money(self) -> bool {
        matches!(
            self,
            Column::Of(Metric::Spend) | Column::Posted | Column::Pending
        )
    }
}

/// Where the next page begins.
#[derive(Serialize, Deserialize)]
struct Place {
    from: u64,
    to: u64,
    keys: Vec<Value>,
}

#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Value {
    Number(u64),
    Text(String),
}

impl Ask {
    /// Reads a question; `place` is where the page before ended.
    ///
    /// # Errors
    ///
    /// 400 or 422 with the parameter's name.
    pub(crate) fn parse(
        params: &Params,
        now: Millis,
        place: Option<&[u8]>,
    ) -> Result<Ask, Problem> {
        let columns = list(
            params,
            "metrics",
            "gross,net,total_net,billed,spend",
            Column::named,
        )?;
        let dimensions = list(params, "dimensions", "", |name| {
            let found = DIMENSIONS.iter().find(|(known, _)| *known == name);
            found.map(|(_, dimension)| *dimension)
        })?;
        let (mut from, mut to) = times(params, now)?;
        let mut after = None;
        if let Some(place) = place {
            let place: Place = crate::call::parse(place)?;
            (from, to) = (Millis(place.from), Millis(place.to));
            let key = |value| match value {
                Value::Number(number) => Key::Number(number),
                Value::Text(text) => Key::Text(text),
            };
            after = Some(place.keys.into_iter().map(key).collect());
        }
        let ask = Ask {
            columns,
            filters: filters(params)?,
            from,
            to,
            format: format(params)?,
            limit: params.count("limit", 1_000, PAGE_MAX)?,
            dimensions,
            after,
        };
        ask.check()?;
        Ok(ask)
    }

    fn check(&self) -> Result<(), Problem> {
        let range = self.to.since(self.from);
        let whole = [self.from, self.to]
            .iter()
            .all(|at| at.0.is_multiple_of(60_000));
        if range == 0 || !whole {
            let what = "they are no whole minutes, or from is not before to";
            return Err(Problem::invalid("from, to", what, "2026-11-24T00:00:00Z"));
        }
        let by_minute = self.dimensions.contains(&Dimension::Minute);
        let (max, allowed) = match by_minute {
            true => (MINUTES_MS_MAX, "at most 366 days by minute"),
            false => (RANGE_MS_MAX, "at most 3660 days"),
        };
        if range > max {
            return Err(Problem::invalid(
                "from, to",
                "the time is too long",
                allowed,
            ));
        }
        let uniques = Column::Of(Metric::Uniques);
        if self.splits_spend() && self.columns.contains(&uniques) {
            let what = "uniques cannot be asked for with posted or pending";
            return Err(Problem::invalid("metrics", what, "two reports"));
        }
        Ok(())
    }

    /// Whether spend is asked for by what the ledger has of it.
    pub(crate) fn splits_spend(&self) -> bool {
        let splits = |column: &Column| matches!(column, Column::Posted | Column::Pending);
        self.columns.iter().any(splits)
    }

    /// The kernels' question.
    pub(crate) fn query(&self, metrics: Vec<Metric>) -> Query {
        Query {
            metrics,
            dimensions: self.dimensions.clone(),
            filters: self.filters.clone(),
            from: self.from,
            to: self.to,
            limit: ROWS_MAX,
        }
    }

    /// Where the page behind these keys begins.
    pub(crate) fn place(&self, keys: &[Key]) -> Vec<u8> {
        let value = |key: &Key| match key {
            Key::Number(number) => Value::Number(*number),
            Key::Text(text) => Value::Text(text.clone()),
        };
        let place = Place {
            from: self.from.0,
            to: self.to.0,
            keys: keys.iter().map(value).collect(),
        };
        // Numbers and strings only: it cannot fail.
        serde_json::to_vec(&place).unwrap_or_default()
    }
}

/// Names with commas between, none twice.
fn list<T: PartialEq>(
    params: &Params,
    at: &'static str,
    default: &str,
    named: impl Fn(&str) -> Option<T>,
) -> Result<Vec<T>, Problem> {
    let mut list = Vec::new();
    let text = params.get(at).unwrap_or(default);
    for name in text.split(',').filter(|_| !text.is_empty()) {
        let known = PARAMS.iter().find(|param| param.name == at);
        let allowed = known.map_or("", |param| param.about);
        let clipped = crate::params::clip(name);
        let Some(one) = named(name) else {
            return Err(Problem::malformed(
                at,
                format!("{clipped:?} is not known"),
                allowed,
            ));
        };
        if list.contains(&one) {
            return Err(Problem::malformed(
                at,
                format!("{clipped:?} stands there twice"),
                "",
            ));
        }
        list.push(one);
    }
    Ok(list)
}

fn times(params: &Params, now: Millis) -> Result<(Millis, Millis), Problem> {
    let read = |at: &'static str| params.get(at).map(|text| instant(at, text)).transpose();
    let this_minute = (now.0 - now.0 % 60_000).saturating_add(60_000);
    let to = read("to")?.unwrap_or(Millis(this_minute));
    let from = read("from")?.unwrap_or(Millis(to.0.saturating_sub(DAY_MS)));
    Ok((from, to))
}

fn instant(at: &'static str, text: &str) -> Result<Millis, Problem> {
    let refused = || {
        let allowed = "2026-11-24T00:00:00Z, 2026-11-24T02:00:00+02:00 or 2026-11-24 (UTC)";
        Problem::malformed(at, "it is no instant between 1970 and 9999", allowed)
    };
    // A name in brackets would make the reader look into a time zone database.
    let is_plain = text.len() <= 40 && !text.contains('[');
    let is_date = text.len() == 10;
    let ms = match is_date {
        true => {
            let date: Option<Date> = text.parse().ok();
            let start = date.map(|date| date.at(0, 0, 0, 0));
            let start = start.and_then(|start| TimeZone::UTC.to_timestamp(start).ok());
            start.map(Timestamp::as_millisecond)
        }
        false => {
            let timestamp: Option<Timestamp> = text.parse().ok();
            timestamp.map(Timestamp::as_millisecond)
        }
    };
    let ms = ms
        .filter(|_| is_plain)
        .and_then(|ms| u64::try_from(ms).ok());
    ms.map(Millis).ok_or_else(refused)
}

fn filters(params: &Params) -> Result<Vec<Filter>, Problem> {
    let texts = params.all("filter");
    if texts.len() > FILTERS_MAX {
        let allowed = format!("at most {FILTERS_MAX} filters");
        return Err(Problem::invalid("filter", "there are too many", &allowed));
    }
    texts.iter().map(|text| filter(text)).collect()
}

fn filter(text: &str) -> Result<Filter, Problem> {
    let refused = |what: String, allowed: &str| Err(Problem::malformed("filter", what, allowed));
    let Some((name, values)) = text.split_once(':') else {
        return refused("it has no colon".to_owned(), "dimension:value,value");
    };
    let Some((_, dimension)) = DIMENSIONS.iter().find(|(known, _)| *known == name) else {
        let names = DIMENSIONS.map(|(name, _)| name).join(", ");
        let name = crate::params::clip(name);
        return refused(format!("{name:?} is no dimension"), &names);
    };
    let mut any_of = Vec::new();
    for value in values.split(',') {
        if any_of.len() == FILTER_VALUES_MAX {
            let allowed = format!("at most {FILTER_VALUES_MAX} values");
            return Err(Problem::invalid(
                "filter",
                "there are too many values",
                &allowed,
            ));
        }
        any_of.push(key(*dimension, value)?);
    }
    Ok(Filter {
        dimension: *dimension,
        any_of,
    })
}

fn key(dimension: Dimension, value: &str) -> Result<Key, Problem> {
    if is_word(dimension) {
        return Ok(Key::Text(value.to_owned()));
    }
    if is_time(dimension) {
        // The kernels know times by their Unix minutes.
        return instant("filter", value).map(|at| Key::Number(at.0 / 60_000));
    }
    let number = plain_digits(value).and_then(|digits| digits.parse().ok());
    let clipped = crate::params::clip(value);
    number.map(Key::Number).ok_or_else(|| {
        let what = format!("{clipped:?} is no id of {}", dimension_name(dimension));
        Problem::malformed("filter", what, "digits")
    })
}

fn format(params: &Params) -> Result<Format, Problem> {
    match params.get("format") {
        None | Some("json") => Ok(Format::Json),
        Some("csv") => Ok(Format::Csv),
        Some("parquet") => Ok(Format::Parquet),
        Some(_) => Err(Problem::malformed(
            "format",
            "it is not known",
            "json, csv, parquet",
        )),
    }
}
