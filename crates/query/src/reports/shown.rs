//! A report's answer as JSON.

use jiff::Timestamp;
use serde::Serialize;
use serde_json::{Map, Value};
use tollgate_click::Millis;
use tollgate_store::rollup::{Answer, Dimension, Key};
use utoipa::ToSchema;

use super::ask::{Ask, dimension_name, is_time};
use crate::data::Data;
use crate::integer::{Integer, Unsigned};
use crate::tenant::Tenant;

/// One row of sums.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Row {
    pub(crate) keys: Vec<Key>,
    pub(crate) values: Vec<i64>,
}

/// The answer.
#[derive(Serialize, ToSchema)]
#[schema(as = Report)]
pub(crate) struct ReportAnswer {
    /// The first instant.
    from: String,
    /// The first instant after.
    to: String,
    /// What each row is grouped by.
    dimensions: Vec<&'static str>,
    /// What each row adds up; money in micro-units.
    metrics: Vec<&'static str>,
    /// Rows with a value for each dimension and metric, sorted by the dimensions.
    rows: Vec<Map<String, Value>>,
    /// The cursor of the next page; none at the end.
    next: Option<String>,
    /// What the answer counts.
    complete: Complete,
}

/// Up to where an answer is complete.
#[derive(Serialize, ToSchema)]
pub(crate) struct Complete {
    /// Every click that was received before this is in the answer; none while that is not known.
    pub(crate) before: Option<String>,
    /// Spend of minutes before this is posted to the ledger, later spend is pending; a click that
    /// arrived late is posted in a later minute than it is reported in.
    pub(crate) posted_before: Option<String>,
    /// Each partition that was asked.
    partitions: Vec<CompletePartition>,
}

/// Up to where an answer counts one partition.
#[derive(Serialize, ToSchema)]
pub(crate) struct CompletePartition {
    /// The partition.
    partition: u16,
    /// Clicks up to this ordinal are in the answer, each once.
    through: Unsigned,
    /// Clicks up to this ordinal are posted.
    posted: Unsigned,
    /// Why the partition has stopped, if it has: nothing after is counted until it goes on.
    #[serde(skip_serializing_if = "Option::is_none")]
    halt: Option<String>,
}

impl Complete {
    /// What an answer of a tenant counts.
    pub(crate) fn of(
        data: &Data,
        tenant: &Tenant,
        answer: Answer,
        posted_before: Millis,
    ) -> Complete {
        let states = data.node().partitions();
        let of = |partition| states.iter().find(|state| state.partition == partition);
        let home = data.home(tenant);
        let asked = |partition| home.as_ref().is_none_or(|home| home.contains(&partition));
        let known = states.iter().filter(|state| asked(state.partition));
        let before: Option<Option<Millis>> = known.map(|state| state.complete_before).min();
        let partitions = answer.through.iter().map(|(partition, through)| {
            let state = of(*partition);
            CompletePartition {
                partition: partition.get(),
                through: Integer(through.0),
                posted: Integer(state.map_or(0, |state| state.posted.0)),
                halt: state.and_then(|state| state.halt.clone()),
            }
        });
        Complete {
            before: before.flatten().map(time),
            posted_before: (posted_before.0 > 0).then(|| time(posted_before)),
            partitions: partitions.collect(),
        }
    }

    /// The ordinals as `partition:ordinal`, with commas between.
    pub(crate) fn through_text(&self) -> String {
        let one = |one: &CompletePartition| format!("{}:{}", one.partition, one.through.0);
        let all: Vec<String> = self.partitions.iter().map(one).collect();
        all.join(",")
    }
}

impl ReportAnswer {
    pub(crate) fn new(
        ask: &Ask,
        rows: &[Row],
        next: Option<String>,
        complete: Complete,
    ) -> ReportAnswer {
        ReportAnswer {
            from: time(ask.from),
            to: time(ask.to),
            dimensions: ask
                .dimensions
                .iter()
                .map(|one| dimension_name(*one))
                .collect(),
            metrics: ask.columns.iter().map(|one| one.name()).collect(),
            rows: rows.iter().map(|row| shown(ask, row)).collect(),
            next,
            complete,
        }
    }
}

fn shown(ask: &Ask, row: &Row) -> Map<String, Value> {
    let mut map = Map::new();
    for (dimension, key) in ask.dimensions.iter().zip(&row.keys) {
        map.insert(
            dimension_name(*dimension).to_owned(),
            key_value(*dimension, key),
        );
    }
    for (column, value) in ask.columns.iter().zip(&row.values) {
        let value = serde_json::to_value(Integer(*value)).unwrap_or_default();
        map.insert(column.name().to_owned(), value);
    }
    map
}

fn key_value(dimension: Dimension, key: &Key) -> Value {
    match key {
        Key::Text(text) => Value::String(text.clone()),
        Key::Number(minute) if is_time(dimension) => Value::String(minute_text(*minute)),
        Key::Number(number) => serde_json::to_value(Integer(*number)).unwrap_or_default(),
    }
}

/// A Unix minute as RFC 3339.
pub(crate) fn minute_text(minute: u64) -> String {
    time(Millis(minute.saturating_mul(60_000)))
}

/// An instant as RFC 3339 in UTC.
pub(crate) fn time(at: Millis) -> String {
    let ms = i64::try_from(at.0).unwrap_or(i64::MAX);
    Timestamp::from_millisecond(ms).map_or_else(|_| at.to_string(), |at| at.to_string())
}
