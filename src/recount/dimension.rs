//! What clicks can be counted by.

use std::borrow::Cow;
use std::fmt;

use clap::ValueEnum;
use jiff::Timestamp;
use serde_json::{Value, json};
use tollgate_click::{Millis, Outcome, Source};
use tollgate_process::Ending;

/// A column of a report.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub(crate) enum Dimension {
    Advertiser,
    Campaign,
    Ad,
    Publisher,
    Placement,
    /// The registered link; 0 for signed links.
    Link,
    Country,
    /// The kind of program that asked.
    Device,
    Minute,
    Hour,
    Day,
    Outcome,
    /// Why a click ended as it did, where the outcome alone does not say.
    Reason,
}

/// One value of a dimension, ordered as reports are.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Cell {
    /// A record that could not be read.
    Unknown,
    Number(u64),
    /// The start of a minute, hour or day, in UTC.
    Time(Millis),
    Outcome(Outcome),
    Word(Cow<'static, str>),
    Country(tollgate_click::Country),
}

impl Dimension {
    /// Its name in reports.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Dimension::Advertiser => "advertiser",
            Dimension::Campaign => "campaign",
            Dimension::Ad => "ad",
            Dimension::Publisher => "publisher",
            Dimension::Placement => "placement",
            Dimension::Link => "link",
            Dimension::Country => "country",
            Dimension::Device => "device",
            Dimension::Minute => "minute",
            Dimension::Hour => "hour",
            Dimension::Day => "day",
            Dimension::Outcome => "outcome",
            Dimension::Reason => "reason",
        }
    }

    /// The value of a click; `ending` is none when the record could not be read.
    pub(crate) fn of(self, ending: Option<&Ending>, outcome: Outcome) -> Cell {
        if self == Dimension::Outcome {
            return Cell::Outcome(outcome);
        }
        let Some(ending) = ending else {
            return Cell::Unknown;
        };
        let facts = &ending.facts;
        match self {
            Dimension::Advertiser => Cell::Number(facts.advertiser.0.into()),
            Dimension::Campaign => Cell::Number(facts.campaign.0),
            Dimension::Ad => Cell::Number(facts.ad.0),
            Dimension::Publisher => Cell::Number(facts.publisher.0.into()),
            Dimension::Placement => Cell::Number(facts.placement.0),
            Dimension::Link => match facts.source {
                Source::Registered { link } => Cell::Number(link.0),
                Source::Signed { .. } | Source::Imported { .. } => Cell::Number(0),
            },
            Dimension::Country => Cell::Country(facts.country),
            Dimension::Device => Cell::Word(facts.agent_class.name().into()),
            Dimension::Minute => start_of(facts.reported_at(), 60_000),
            Dimension::Hour => start_of(facts.reported_at(), 3_600_000),
            Dimension::Day => start_of(facts.reported_at(), 86_400_000),
            Dimension::Outcome => Cell::Outcome(outcome),
            Dimension::Reason => {
                Cell::Word(ending.reason.map_or("", |reason| reason.name()).into())
            }
        }
    }
}

fn start_of(at: Millis, each_ms: u64) -> Cell {
    Cell::Time(Millis(at.0 - at.0 % each_ms))
}

/// RFC 3339 to the second; the number itself when it lies outside the calendar.
pub(crate) fn show_time(at: Millis) -> String {
    let seconds = i64::try_from(at.0 / 1000).unwrap_or(i64::MAX);
    Timestamp::from_second(seconds).map_or_else(|_| at.to_string(), |time| time.to_string())
}

impl fmt::Display for Cell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Cell::Unknown => f.write_str("?"),
            Cell::Number(number) => number.fmt(f),
            Cell::Time(at) => f.write_str(&show_time(*at)),
            Cell::Outcome(outcome) => f.write_str(outcome.name()),
            Cell::Word(word) => f.write_str(word),
            Cell::Country(country) => country.fmt(f),
        }
    }
}

impl Cell {
    /// As JSON: numbers as numbers, an unknown country as null.
    pub(crate) fn json(&self) -> Value {
        match self {
            Cell::Unknown => Value::Null,
            Cell::Number(number) => json!(number),
            Cell::Country(country) if country.code().is_none() => Value::Null,
            other => json!(other.to_string()),
        }
    }
}
