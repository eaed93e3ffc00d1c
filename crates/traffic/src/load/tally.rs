//! What a run came to.

use std::collections::BTreeMap;
use std::io;
use std::time::Duration;

use hdrhistogram::Histogram;
use serde::Serialize;

use super::LoadError;
use crate::ending::Ending;

/// Longest latency kept, one hour; longer ones count as that.
const LATENCY_US_MAX: u64 = 3_600_000_000;

/// What a run came to. `planned` = receipts + refused + indeterminate + odd + not sent.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Summary {
    /// Requests that were to be made.
    pub planned: u64,
    /// Requests that left.
    pub sent: u64,
    /// Requests that never left.
    pub not_sent: u64,
    /// Receipts.
    pub receipts: u64,
    /// Refusals by status.
    pub refused: BTreeMap<u16, u64>,
    /// Lost answers by what was seen instead.
    pub indeterminate: BTreeMap<&'static str, u64>,
    /// Answers that no edge may give, by status.
    pub odd: BTreeMap<u16, u64>,
    /// From the first time of sending to the last answer, in microseconds.
    pub took_us: u64,
    /// From the intended time of sending to the whole answer.
    pub latency: Latency,
    /// From the actual time of sending to the whole answer.
    pub service: Latency,
}

/// Percentiles in microseconds, of receipts and refusals alike.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, Serialize)]
pub struct Latency {
    /// Half were faster.
    pub p50_us: u64,
    /// 99 of 100 were faster.
    pub p99_us: u64,
    /// 999 of 1,000 were faster.
    pub p999_us: u64,
    /// The slowest.
    pub max_us: u64,
}

impl Summary {
    /// Answers a second, receipts and refusals alike.
    pub fn answers_per_s(&self) -> u64 {
        let answers = self.receipts + self.refused.values().sum::<u64>();
        let rate = u128::from(answers) * 1_000_000 / u128::from(self.took_us.max(1));
        u64::try_from(rate).unwrap_or(u64::MAX)
    }

    /// Answers that were lost, however.
    pub fn indeterminate_count(&self) -> u64 {
        self.indeterminate.values().sum()
    }

    /// Answers that no edge may give.
    pub fn odd_count(&self) -> u64 {
        self.odd.values().sum()
    }
}

/// One thread's part of the summary.
#[derive(Debug)]
pub(super) struct Tally {
    receipts: u64,
    refused: BTreeMap<u16, u64>,
    indeterminate: BTreeMap<&'static str, u64>,
    odd: BTreeMap<u16, u64>,
    latency: Histogram<u64>,
    service: Histogram<u64>,
}

/// How long one request took.
#[derive(Clone, Copy, Debug)]
pub(super) struct Took {
    pub(super) since_intended: Duration,
    pub(super) since_sent: Duration,
}

impl Tally {
    pub(super) fn new() -> Result<Tally, LoadError> {
        let histogram = || Histogram::new_with_bounds(1, LATENCY_US_MAX, 3);
        let no_room = |error| LoadError::Thread(io::Error::other(error));
        Ok(Tally {
            receipts: 0,
            refused: BTreeMap::new(),
            indeterminate: BTreeMap::new(),
            odd: BTreeMap::new(),
            latency: histogram().map_err(no_room)?,
            service: histogram().map_err(no_room)?,
        })
    }

    pub(super) fn count(&mut self, ending: Ending, took: Took) {
        match ending {
            Ending::Receipt(_) => self.receipts += 1,
            Ending::Refused(status) => *self.refused.entry(status).or_default() += 1,
            Ending::Odd(status) => *self.odd.entry(status).or_default() += 1,
            Ending::Indeterminate(lost) => {
                *self.indeterminate.entry(lost.name()).or_default() += 1;
            }
            // What never left is what remains of the plan; see `Tally::summary`.
            Ending::NotSent => {}
        }
        if matches!(ending, Ending::Receipt(_) | Ending::Refused(_)) {
            self.latency.saturating_record(micros(took.since_intended));
            self.service.saturating_record(micros(took.since_sent));
        }
    }

    pub(super) fn add(&mut self, other: &Tally) -> Result<(), LoadError> {
        self.receipts += other.receipts;
        add_counts(&mut self.refused, &other.refused);
        add_counts(&mut self.indeterminate, &other.indeterminate);
        add_counts(&mut self.odd, &other.odd);
        let misfit = |error| LoadError::Thread(io::Error::other(error));
        self.latency.add(&other.latency).map_err(misfit)?;
        self.service.add(&other.service).map_err(misfit)
    }

    pub(super) fn summary(&self, planned: u64, took: Duration) -> Summary {
        let refused: u64 = self.refused.values().sum();
        let indeterminate: u64 = self.indeterminate.values().sum();
        let odd: u64 = self.odd.values().sum();
        let sent = self.receipts + refused + indeterminate + odd;
        Summary {
            planned,
            sent,
            not_sent: planned.saturating_sub(sent),
            receipts: self.receipts,
            refused: self.refused.clone(),
            indeterminate: self.indeterminate.clone(),
            odd: self.odd.clone(),
            took_us: micros(took),
            latency: percentiles(&self.latency),
            service: percentiles(&self.service),
        }
    }
}

fn add_counts<K: Ord + Copy>(into: &mut BTreeMap<K, u64>, from: &BTreeMap<K, u64>) {
    for (key, count) in from {
        *into.entry(*key).or_default() += count;
    }
}

fn percentiles(histogram: &Histogram<u64>) -> Latency {
    Latency {
        p50_us: histogram.value_at_quantile(0.5),
        p99_us: histogram.value_at_quantile(0.99),
        p999_us: histogram.value_at_quantile(0.999),
        max_us: histogram.max(),
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
