//! What may be asked of the rollups: typed metrics, dimensions and filters, never text.

use std::ops::Range;

use thiserror::Error;
use tollgate_click::{Millis, Ordinal, Outcome, PartitionId};

use super::cells::At;
use crate::lake::{Event, LakeError};

/// What one query may cost; more is an error that says so.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits {
    /// Groups before the limit on rows: [`QueryError::TooManyGroups`].
    pub groups: usize,
    /// Cells that are read: [`QueryError::TooManyCells`].
    pub cells: u64,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            groups: 1_000_000,
            cells: 500_000_000,
        }
    }
}

/// Values of one filter; more is [`QueryError::TooManyValues`].
pub const FILTER_VALUES_MAX: usize = 1_000;

/// Rows of one answer; a higher limit is [`QueryError::Limit`].
pub const ROWS_MAX: usize = 100_000;

/// A question.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Query {
    /// What to add up, in this order.
    pub metrics: Vec<Metric>,
    /// By what to group, in this order; none gives one row.
    pub dimensions: Vec<Dimension>,
    /// All of them must hold.
    pub filters: Vec<Filter>,
    /// The first instant; a whole minute.
    pub from: Millis,
    /// The first instant after; a whole minute.
    pub to: Millis,
    /// Rows to return, at most [`ROWS_MAX`].
    pub limit: usize,
}

/// What is added up. Clicks unless it says impressions.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Metric {
    /// All records of clicks, whatever their outcome.
    Records,
    /// Clicks that count in `gross`.
    Gross,
    /// Clicks that count in `net`.
    Net,
    /// Clicks that count in `total_net`.
    TotalNet,
    /// Clicks with one outcome.
    Of(Outcome),
    /// Money charged, in micro-units; of one currency, so ask by currency where there are more.
    Spend,
    /// Impressions that count in `gross`.
    Impressions,
    /// About how many visitors; an estimate, only by advertiser, campaign and time from the hour.
    Uniques,
}

/// By what answers are grouped and filtered.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Dimension {
    /// Who pays.
    Advertiser,
    /// The campaign.
    Campaign,
    /// Who showed the ad.
    Publisher,
    /// The creative.
    Ad,
    /// The place.
    Placement,
    /// Two letters; empty when unknown.
    Country,
    /// The agent class.
    AgentClass,
    /// The outcome.
    Outcome,
    /// Why, where the outcome does not say.
    Reason,
    /// The currency; empty when no campaign is known.
    Currency,
    /// The minute of reporting, as Unix minutes.
    Minute,
    /// The hour in UTC, as the Unix minute of its start.
    Hour,
    /// The day in UTC, as the Unix minute of its start.
    Day,
}

/// A dimension has one of these values.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Filter {
    /// Which one.
    pub dimension: Dimension,
    /// The values; none matches nothing.
    pub any_of: Vec<Key>,
}

/// The value of a dimension.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Key {
    /// An id or a time.
    Number(u64),
    /// A name.
    Text(String),
}

/// What was asked for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Answer {
    /// The rows, sorted by their keys; a group in which every metric is 0 is left out.
    pub rows: Vec<AnswerRow>,
    /// Whether there were more rows than the limit.
    pub more: bool,
    /// How far each partition was counted.
    pub through: Vec<(PartitionId, Ordinal)>,
    /// Cells that were read.
    pub cells: u64,
}

/// One group.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AnswerRow {
    /// Its values of the dimensions.
    pub keys: Vec<Key>,
    /// Its sums.
    pub values: Vec<i64>,
}

/// Why there is no answer. None of them is a part of an answer.
#[derive(Debug, Error)]
pub enum QueryError {
    /// Nothing to add up.
    #[error("name at least one metric")]
    NoMetrics,
    /// A metric or dimension is named twice.
    #[error("{0} is named twice")]
    Twice(String),
    /// The times are no whole minutes, or in the wrong order.
    #[error("from and to are whole minutes, and from comes before to")]
    Range,
    /// The limit is 0 or too high.
    #[error("the limit is from 1 to {ROWS_MAX}")]
    Limit,
    /// A filter names a number where the dimension has names, or the other way round.
    #[error("{0:?} is not filtered by values of this kind")]
    FilterKind(Dimension),
    /// A filter has too many values.
    #[error("a filter has at most {FILTER_VALUES_MAX} values")]
    TooManyValues,
    /// Too many groups.
    #[error("more than {0} groups: choose fewer dimensions or more filters")]
    TooManyGroups(usize),
    /// Too many cells.
    #[error("more than {0} cells to read: choose a shorter time or more filters")]
    TooManyCells(u64),
    /// Spend of several currencies in one group.
    #[error("spend of several currencies cannot be added: group or filter by currency")]
    Currencies,
    /// Visitors are only known by advertiser, campaign and hour.
    #[error("uniques are known by advertiser, campaign, hour and day, over whole hours, only")]
    Uniques,
    /// A sum left 64 bits.
    #[error("a sum left the range of 64 bits")]
    Overflow,
    /// The files.
    #[error(transparent)]
    Files(#[from] LakeError),
}

impl Query {
    /// Checks what can be checked without reading.
    pub(crate) fn check(&self) -> Result<(), QueryError> {
        if self.metrics.is_empty() {
            return Err(QueryError::NoMetrics);
        }
        unique(&self.metrics)?;
        unique(&self.dimensions)?;
        let is_minute = |at: Millis| at.0.is_multiple_of(60_000);
        if !is_minute(self.from) || !is_minute(self.to) || self.from >= self.to {
            return Err(QueryError::Range);
        }
        if !(1..=ROWS_MAX).contains(&self.limit) {
            return Err(QueryError::Limit);
        }
        for filter in &self.filters {
            if filter.any_of.len() > FILTER_VALUES_MAX {
                return Err(QueryError::TooManyValues);
            }
            let wants_number = filter.dimension.is_number();
            let fits = |key: &Key| matches!(key, Key::Number(_)) == wants_number;
            if !filter.any_of.iter().all(fits) {
                return Err(QueryError::FilterKind(filter.dimension));
            }
        }
        if self.metrics.contains(&Metric::Uniques) && !self.can_count_uniques() {
            return Err(QueryError::Uniques);
        }
        Ok(())
    }

    /// Whether the time is whole hours, by none finer than which is asked.
    pub(crate) fn is_by_hour(&self) -> bool {
        let mut ends = [self.from, self.to].into_iter();
        let aligned = ends.all(|at| at.0.is_multiple_of(3_600_000));
        aligned && !self.uses(|dimension| dimension == Dimension::Minute)
    }

    /// The time in minutes since the Unix epoch.
    pub(crate) fn minutes(&self) -> Range<u64> {
        self.from.0 / 60_000..self.to.0 / 60_000
    }

    /// Whether any dimension that is grouped or filtered by is such a one.
    pub(crate) fn uses(&self, wanted: impl Fn(Dimension) -> bool) -> bool {
        let filtered = self.filters.iter().map(|filter| filter.dimension);
        self.dimensions.iter().copied().chain(filtered).any(wanted)
    }

    fn can_count_uniques(&self) -> bool {
        use Dimension::{Advertiser, Campaign, Day, Hour};
        let is_known = |dimension| matches!(dimension, Advertiser | Campaign | Hour | Day);
        self.is_by_hour() && !self.uses(|dimension| !is_known(dimension))
    }
}

impl Metric {
    /// Whether a cell of that event and outcome counts.
    pub(crate) fn counts(self, event: Event, outcome: Outcome) -> bool {
        let is_click = event == Event::Click;
        match self {
            Metric::Records | Metric::Spend => is_click,
            Metric::Gross => is_click && outcome.in_gross(),
            Metric::Net => is_click && outcome.in_net(),
            Metric::TotalNet => is_click && outcome.in_total_net(),
            Metric::Of(wanted) => is_click && outcome == wanted,
            Metric::Impressions => !is_click && outcome.in_gross(),
            Metric::Uniques => false,
        }
    }
}

impl Dimension {
    /// The column that it is read from.
    pub(crate) fn at(self) -> At {
        match self {
            Dimension::Advertiser => At::Advertiser,
            Dimension::Campaign => At::Campaign,
            Dimension::Publisher => At::Publisher,
            Dimension::Ad => At::Ad,
            Dimension::Placement => At::Placement,
            Dimension::Country => At::Country,
            Dimension::AgentClass => At::AgentClass,
            Dimension::Outcome => At::Outcome,
            Dimension::Reason => At::Reason,
            Dimension::Currency => At::Currency,
            Dimension::Minute | Dimension::Hour | Dimension::Day => At::Minute,
        }
    }

    /// Whether its values are numbers.
    pub(crate) fn is_number(self) -> bool {
        self.at() < At::Event
    }

    /// What a value of the column is rounded down to a multiple of.
    pub(crate) fn grain(self) -> u64 {
        match self {
            Dimension::Hour => 60,
            Dimension::Day => 24 * 60,
            _ => 1,
        }
    }
}

fn unique<T: PartialEq + std::fmt::Debug>(items: &[T]) -> Result<(), QueryError> {
    for (index, item) in items.iter().enumerate() {
        if items.iter().take(index).any(|before| before == item) {
            return Err(QueryError::Twice(format!("{item:?}")));
        }
    }
    Ok(())
}
