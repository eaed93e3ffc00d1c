//! Which tables there are: what of a cell they keep, and which of them answers a query.

use super::cells::{At, MINUTES, schema};
use super::query::{Dimension, Query};
use crate::lake::columns::Schema;

/// What of a cell a table keeps.
#[derive(Debug)]
pub(crate) struct Shape {
    /// The span of time of a cell.
    pub(crate) minutes: u32,
    keeps: &'static [At],
}

const HOUR: u32 = 60;
pub(crate) const DAY: u32 = 24 * HOUR;
/// All of time: cells of a month have 0 as their minute.
const EVER: u32 = u32::MAX;

const ALL: &[At] = &[
    At::Advertiser,
    At::Campaign,
    At::Minute,
    At::Publisher,
    At::Ad,
    At::Placement,
    At::Event,
    At::Country,
    At::AgentClass,
    At::Outcome,
    At::Reason,
    At::Currency,
];
const BY_CAMPAIGN: &[At] = &[
    At::Advertiser,
    At::Campaign,
    At::Minute,
    At::Event,
    At::Outcome,
    At::Currency,
];
const BY_PUBLISHER: &[At] = &[
    At::Minute,
    At::Publisher,
    At::Event,
    At::Outcome,
    At::Currency,
];
const BY_AUDIENCE: &[At] = &[
    At::Minute,
    At::Event,
    At::Country,
    At::AgentClass,
    At::Outcome,
    At::Reason,
    At::Currency,
];

/// Per hour, over all dimensions.
pub static HOURS: Schema = schema("hours");
/// Per hour, over advertiser, campaign, event, outcome and currency.
pub static CAMPAIGNS: Schema = schema("campaigns");
/// Per hour, over publisher, event, outcome and currency.
pub static PUBLISHERS: Schema = schema("publishers");
/// Per hour, over event, country, agent class, outcome, reason and currency.
pub static AUDIENCE: Schema = schema("audience");

/// Per day, as [`CAMPAIGNS`].
pub static CAMPAIGN_DAYS: Schema = schema("campaign_days");
/// Per day, as [`PUBLISHERS`].
pub static PUBLISHER_DAYS: Schema = schema("publisher_days");
/// Per day, as [`AUDIENCE`].
pub static AUDIENCE_DAYS: Schema = schema("audience_days");

/// Per month, as [`CAMPAIGNS`].
pub static CAMPAIGN_MONTHS: Schema = schema("campaign_months");
/// Per month, as [`PUBLISHERS`].
pub static PUBLISHER_MONTHS: Schema = schema("publisher_months");
/// Per month, as [`AUDIENCE`].
pub static AUDIENCE_MONTHS: Schema = schema("audience_months");

/// A table with its shape.
#[derive(Debug)]
pub(crate) struct Level {
    pub(crate) schema: &'static Schema,
    pub(crate) shape: Shape,
}

const fn level(schema: &'static Schema, minutes: u32, keeps: &'static [At]) -> Level {
    let shape = Shape { minutes, keeps };
    Level { schema, shape }
}

/// The table that all others are made from.
pub(crate) static FINEST: Level = level(&MINUTES, 1, ALL);

/// Tables that are made when a day is merged, those with the fewest cells first.
pub(crate) static OF_DAY: [Level; 4] = [
    level(&AUDIENCE, HOUR, BY_AUDIENCE),
    level(&PUBLISHERS, HOUR, BY_PUBLISHER),
    level(&CAMPAIGNS, HOUR, BY_CAMPAIGN),
    level(&HOURS, HOUR, ALL),
];

/// Tables of days that are made when a month is folded, those with the fewest cells first.
pub(crate) static DAYS_OF_MONTH: [Level; 3] = [
    level(&AUDIENCE_DAYS, DAY, BY_AUDIENCE),
    level(&PUBLISHER_DAYS, DAY, BY_PUBLISHER),
    level(&CAMPAIGN_DAYS, DAY, BY_CAMPAIGN),
];

/// Tables of the whole month, which are made then too.
pub(crate) static WHOLE_MONTH: [Level; 3] = [
    level(&AUDIENCE_MONTHS, EVER, BY_AUDIENCE),
    level(&PUBLISHER_MONTHS, EVER, BY_PUBLISHER),
    level(&CAMPAIGN_MONTHS, EVER, BY_CAMPAIGN),
];

impl Shape {
    pub(crate) fn keeps(&self, at: At) -> bool {
        self.keeps.contains(&at)
    }

    /// Whether cells of this shape, of whole spans, can answer.
    fn answers(&self, query: &Query) -> bool {
        let is_lost = |dimension: Dimension| {
            let is_finer = dimension.at() == At::Minute && dimension.grain() < self.minutes.into();
            is_finer || !self.keeps(dimension.at())
        };
        !query.uses(is_lost)
    }
}

/// The coarsest of some tables that can answer a query over whole spans of their shape.
pub(crate) fn coarsest<'l>(levels: &'l [Level], query: &Query) -> Option<&'l Level> {
    levels.iter().find(|level| level.shape.answers(query))
}
