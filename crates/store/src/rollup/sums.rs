//! The kernel: goes over columns of cells once and adds up what a query asks for.

use std::collections::BTreeMap;
use std::ops::Range;

use tollgate_click::Outcome;

use super::cells::At;
use super::query::{AnswerRow, Dimension, Key, Metric, Query, QueryError};
use super::sketch::Union;
use super::uniques::broken;
use crate::lake::Event;
use crate::lake::columns::{Column, Values};
use crate::lake::groups::Groups;
use crate::lake::words::Words;

/// Columns of some cells, by their places; those that a query does not need may be missing.
pub(crate) type Cells<'a> = [Option<&'a Column>];

/// Sums of a query so far.
pub(crate) struct Sums<'q> {
    query: &'q Query,
    groups_max: usize,
    groups: Groups,
    /// A sum per group and metric.
    values: Vec<i64>,
    /// Per group the number of its currency in `texts`, if any money was added.
    currencies: Vec<Option<u32>>,
    /// Texts of all keys.
    texts: Words,
    visitors: BTreeMap<usize, Union>,
    key: Vec<u64>,
}

/// A filter as it is applied to the columns at hand.
enum Test<'c> {
    Words {
        rows: &'c [u32],
        allowed: Vec<bool>,
    },
    Numbers {
        values: Numbers<'c>,
        grain: u64,
        wanted: Vec<u64>,
    },
    Range {
        values: Numbers<'c>,
        range: Range<u64>,
    },
    Never,
}

/// Where a word of a key comes from.
enum Source<'c> {
    Words { rows: &'c [u32], numbers: Vec<u64> },
    Numbers { values: Numbers<'c>, grain: u64 },
}

/// Numbers of 32 or 64 bits.
#[derive(Clone, Copy)]
enum Numbers<'c> {
    Short(&'c [i32]),
    Long(&'c [i64]),
}

impl Numbers<'_> {
    fn get(&self, row: usize) -> u64 {
        match self {
            Numbers::Short(values) => values.get(row).map_or(0, |value| u64::from(*value as u32)),
            Numbers::Long(values) => values.get(row).map_or(0, |value| *value as u64),
        }
    }
}

impl<'q> Sums<'q> {
    pub(crate) fn new(query: &'q Query, groups_max: usize) -> Sums<'q> {
        Sums {
            query,
            groups_max,
            groups: Groups::new(query.dimensions.len()),
            values: Vec::new(),
            currencies: Vec::new(),
            texts: Words::default(),
            visitors: BTreeMap::new(),
            key: vec![0; query.dimensions.len().max(1)],
        }
    }

    /// Columns that the query needs, with that of time unless all cells are within.
    pub(crate) fn needs(query: &Query, is_whole: bool) -> Vec<At> {
        let mut needs = vec![At::Event, At::Outcome, At::Clicks];
        if query.metrics.contains(&Metric::Spend) {
            needs.extend([At::Charge, At::Currency]);
        }
        needs.extend(query.dimensions.iter().map(|dimension| dimension.at()));
        needs.extend(query.filters.iter().map(|filter| filter.dimension.at()));
        if !is_whole {
            needs.push(At::Minute);
        }
        needs.sort_unstable();
        needs.dedup();
        needs
    }

    /// Adds cells: those of the minutes in `within`, or all.
    pub(crate) fn add(
        &mut self,
        cells: &Cells<'_>,
        rows: usize,
        within: Option<Range<u64>>,
    ) -> Result<(), QueryError> {
        let counted = self.counted(cells);
        let (Some(events), Some(outcomes)) = (words(cells, At::Event), words(cells, At::Outcome))
        else {
            return Ok(()); // every caller reads what is needed
        };
        let tests = self.tests(cells, within);
        let sources = self.sources(cells);
        let currencies = words(cells, At::Currency).map(|words| {
            let texts = words.texts();
            let numbers = texts
                .map(|text| self.texts.number(text.as_bytes()))
                .collect::<Vec<u32>>();
            (words.rows.as_slice(), numbers)
        });
        let clicks = numbers(cells, At::Clicks);
        let charges = numbers(cells, At::Charge);
        let mut metrics = self.query.metrics.iter();
        let spend = metrics.position(|metric| *metric == Metric::Spend);
        let spend = spend.map_or(0, |index| 1 << index);
        let outcome_count = outcomes.count();
        for row in 0..rows {
            let event = events.rows.get(row).copied().unwrap_or(0) as usize;
            let outcome = outcomes.rows.get(row).copied().unwrap_or(0) as usize;
            let mask = counted
                .get(event * outcome_count + outcome)
                .copied()
                .unwrap_or(0);
            if mask == 0 || !tests.iter().all(|test| test.passes(row)) {
                continue;
            }
            for (word, source) in self.key.iter_mut().zip(&sources) {
                *word = source.word(row);
            }
            let group = self.group()?;
            let count = clicks.map_or(0, |clicks| clicks.get(row)) as i64;
            let charge = charges.map_or(0, |charges| charges.get(row)) as i64;
            if charge != 0 && mask & spend != 0 {
                let currency = currencies.as_ref().and_then(|(rows, numbers)| {
                    numbers.get(rows.get(row).copied()? as usize).copied()
                });
                self.check_currency(group, currency)?;
            }
            self.add_row(group, mask, count, charge)?;
        }
        Ok(())
    }

    /// Adds the visitors of a campaign's hour, if the query asks for it.
    pub(crate) fn add_visitors(
        &mut self,
        (advertiser, campaign, minute): (u64, u64, u64),
        sketch: &[u8],
    ) -> Result<(), QueryError> {
        let query = self.query;
        let value = |dimension: Dimension| match dimension.at() {
            At::Advertiser => advertiser,
            At::Campaign => campaign,
            _ => minute - minute % dimension.grain(),
        };
        let is_wanted = query.filters.iter().all(|filter| {
            let value = Key::Number(value(filter.dimension));
            filter.any_of.contains(&value)
        });
        let in_time = minute >= query.from.0 / 60_000 && minute < query.to.0 / 60_000;
        if !is_wanted || !in_time {
            return Ok(());
        }
        for (word, dimension) in self.key.iter_mut().zip(&query.dimensions) {
            *word = value(*dimension);
        }
        let group = self.group()?;
        let union = match self.visitors.entry(group) {
            std::collections::btree_map::Entry::Occupied(entry) => entry.into_mut(),
            std::collections::btree_map::Entry::Vacant(entry) => entry.insert(Union::new()),
        };
        union.add(sketch).ok_or_else(broken)?;
        Ok(())
    }

    /// The rows, sorted, and whether there were more.
    pub(crate) fn rows(self) -> (Vec<AnswerRow>, bool) {
        let metrics = &self.query.metrics;
        let uniques = metrics.iter().position(|metric| *metric == Metric::Uniques);
        let mut rows = Vec::new();
        let values = self.values.chunks(metrics.len());
        for (number, (key, values)) in self.groups.keys().zip(values).enumerate() {
            let mut values = values.to_vec();
            if let (Some(at), Some(union)) = (uniques, self.visitors.get(&number)) {
                let estimate = i64::try_from(union.estimate()).unwrap_or(i64::MAX);
                if let Some(value) = values.get_mut(at) {
                    *value = estimate;
                }
            }
            if values.iter().any(|value| *value != 0) {
                let keys = self.keys(key);
                rows.push(AnswerRow { keys, values });
            }
        }
        rows.sort_unstable_by(|one, other| one.keys.cmp(&other.keys));
        let more = rows.len() > self.query.limit;
        rows.truncate(self.query.limit);
        (rows, more)
    }

    fn keys(&self, key: &[u64]) -> Vec<Key> {
        let keys = key.iter().zip(&self.query.dimensions);
        let keys = keys.map(|(word, dimension)| {
            if dimension.is_number() {
                Key::Number(*word)
            } else {
                Key::Text(self.texts.text(*word as u32).to_owned())
            }
        });
        keys.collect()
    }

    fn group(&mut self) -> Result<usize, QueryError> {
        let group = self.groups.number(&self.key);
        if group == self.currencies.len() {
            if group >= self.groups_max {
                return Err(QueryError::TooManyGroups(self.groups_max));
            }
            self.currencies.push(None);
            self.values
                .resize(self.values.len() + self.query.metrics.len(), 0);
        }
        Ok(group)
    }

    fn check_currency(&mut self, group: usize, currency: Option<u32>) -> Result<(), QueryError> {
        match self.currencies.get_mut(group) {
            Some(known) if known.is_some() && *known != currency => Err(QueryError::Currencies),
            Some(known) => {
                *known = currency;
                Ok(())
            }
            None => Ok(()),
        }
    }

    fn add_row(
        &mut self,
        group: usize,
        mask: u32,
        count: i64,
        charge: i64,
    ) -> Result<(), QueryError> {
        let width = self.query.metrics.len();
        let values = self.values.get_mut(group * width..).into_iter().flatten();
        for (index, (metric, value)) in self.query.metrics.iter().zip(values).enumerate() {
            if mask & (1 << index) != 0 {
                let more = if *metric == Metric::Spend {
                    charge
                } else {
                    count
                };
                *value = value.checked_add(more).ok_or(QueryError::Overflow)?;
            }
        }
        Ok(())
    }

    /// For every event and outcome of the columns a bit per metric that counts it.
    fn counted(&self, cells: &Cells<'_>) -> Vec<u32> {
        let (Some(events), Some(outcomes)) = (words(cells, At::Event), words(cells, At::Outcome))
        else {
            return Vec::new();
        };
        let mut masks = Vec::new();
        for event in events.texts() {
            let event = Event::ALL.into_iter().find(|known| known.name() == event);
            for outcome in outcomes.texts() {
                let outcome = Outcome::ALL
                    .into_iter()
                    .find(|known| known.name() == outcome);
                let counts = |metric: &Metric| match (event, outcome) {
                    (Some(event), Some(outcome)) => metric.counts(event, outcome),
                    _ => false,
                };
                let metrics = self.query.metrics.iter().enumerate();
                let counting = metrics.filter(|(_, metric)| counts(metric));
                masks.push(counting.fold(0, |mask, (index, _)| mask | (1 << index)));
            }
        }
        masks
    }

    fn tests<'c>(&self, cells: &Cells<'c>, within: Option<Range<u64>>) -> Vec<Test<'c>> {
        let query = self.query;
        let mut tests = Vec::new();
        if let (Some(range), Some(values)) = (within, numbers(cells, At::Minute)) {
            tests.push(Test::Range { values, range });
        }
        for filter in &query.filters {
            let at = filter.dimension.at();
            let test = if let Some(words) = words(cells, at) {
                let wanted = |text: &str| filter.any_of.contains(&Key::Text(text.to_owned()));
                let allowed = words.texts().map(wanted).collect();
                Test::Words {
                    rows: &words.rows,
                    allowed,
                }
            } else if let Some(values) = numbers(cells, at) {
                let mut wanted: Vec<u64> = filter.any_of.iter().filter_map(Key::number).collect();
                wanted.sort_unstable();
                let grain = filter.dimension.grain();
                Test::Numbers {
                    values,
                    grain,
                    wanted,
                }
            } else {
                Test::Never
            };
            tests.push(test);
        }
        tests
    }

    fn sources<'c>(&mut self, cells: &Cells<'c>) -> Vec<Source<'c>> {
        let mut sources = Vec::new();
        for dimension in &self.query.dimensions {
            let at = dimension.at();
            if let Some(words) = words(cells, at) {
                let texts = words.texts();
                let numbers = texts
                    .map(|text| u64::from(self.texts.number(text.as_bytes())))
                    .collect();
                sources.push(Source::Words {
                    rows: &words.rows,
                    numbers,
                });
            } else if let Some(values) = numbers(cells, at) {
                let grain = dimension.grain();
                sources.push(Source::Numbers { values, grain });
            }
        }
        sources
    }
}

impl Key {
    /// The number, if it is one.
    pub(crate) fn number(&self) -> Option<u64> {
        match self {
            Key::Number(number) => Some(*number),
            Key::Text(_) => None,
        }
    }
}

impl Test<'_> {
    fn passes(&self, row: usize) -> bool {
        match self {
            Test::Words { rows, allowed } => {
                let number = rows.get(row).copied().unwrap_or(u32::MAX);
                allowed.get(number as usize).copied().unwrap_or(false)
            }
            Test::Numbers {
                values,
                grain,
                wanted,
            } => {
                let value = values.get(row);
                wanted.binary_search(&(value - value % grain)).is_ok()
            }
            Test::Range { values, range } => range.contains(&values.get(row)),
            Test::Never => false,
        }
    }
}

impl Source<'_> {
    fn word(&self, row: usize) -> u64 {
        match self {
            Source::Words { rows, numbers } => {
                let number = rows.get(row).copied().unwrap_or(0);
                numbers.get(number as usize).copied().unwrap_or(0)
            }
            Source::Numbers { values, grain } => {
                let value = values.get(row);
                value - value % grain
            }
        }
    }
}

fn words<'c>(cells: &Cells<'c>, at: At) -> Option<&'c Words> {
    match &cells.get(at as usize).copied().flatten()?.values {
        Values::Word(words) => Some(words),
        _ => None,
    }
}

fn numbers<'c>(cells: &Cells<'c>, at: At) -> Option<Numbers<'c>> {
    match &cells.get(at as usize).copied().flatten()?.values {
        Values::I32(values) => Some(Numbers::Short(values)),
        Values::I64(values) => Some(Numbers::Long(values)),
        _ => None,
    }
}
