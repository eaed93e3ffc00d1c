//! Rollups: counts and money per minute, small enough to answer reports from.
//!
//! | table | a row is | made |
//! |---|---|---|
//! | `minutes` | a minute by advertiser, campaign, publisher, ad, placement, event, country, agent class, outcome, reason, currency | at cuts; added up when a day is merged |
//! | `uniques` | a campaign's hour with a sketch of its visitors | at cuts; joined when a day is merged |
//! | `hours` | as `minutes`, by hour | when a day is merged |
//! | `campaigns` | an hour by advertiser, campaign, event, outcome, currency | when a day is merged |
//! | `publishers` | an hour by publisher, event, outcome, currency | when a day is merged |
//! | `audience` | an hour by event, country, agent class, outcome, reason, currency | when a day is merged |
//! | `campaign_days`, `publisher_days`, `audience_days` | a day of the same | when a month is folded |
//! | `campaign_months`, `publisher_months`, `audience_months` | a month of the same | when a month is folded |
//!
//! What holds:
//!
//! 1. Every click is in exactly one cell of `minutes`, under the minute in which it is reported.
//!    A late one adds a cell to another file of its day; sums are made by whoever reads.
//! 2. A coarser file stands for the `minutes` file of the same ordinals and has the same sums.
//! 3. An answer counts, per partition, the clicks up to one ordinal, which it names, each once.
//! 4. Sums are integers and checked; an answer is whole or an error; rows are sorted by their keys,
//!    so the same question at the same ordinals has the same answer.
//!
//! Files, watermark, merges and damage are as in [`crate::lake`].

mod adding;
mod cells;
mod filling;
mod keys;
mod names;
mod shapes;
mod sketch;
mod uniques;

mod months;
mod rebuild;
pub(crate) mod writer;

mod query;
mod read;
mod sums;

pub use cells::MINUTES;
pub use months::Month;
pub use query::{
    Answer, AnswerRow, Dimension, FILTER_VALUES_MAX, Filter, Key, Limits, Metric, Query,
    QueryError, ROWS_MAX,
};
pub use read::Rollups;
pub use rebuild::RollupRebuild;
pub use shapes::{
    AUDIENCE, AUDIENCE_DAYS, AUDIENCE_MONTHS, CAMPAIGN_DAYS, CAMPAIGN_MONTHS, CAMPAIGNS, HOURS,
    PUBLISHER_DAYS, PUBLISHER_MONTHS, PUBLISHERS,
};
pub use uniques::UNIQUES;
pub use writer::{Day, OpenMinutes, RollupWriter};

#[cfg(test)]
mod tests;
