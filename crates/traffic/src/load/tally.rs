//! What a run came to.

use std::collections::BTreeMap;
use std::io;
use std::time::Duration;

use hdrhistogram::Histogram;
use serde::Serialize;

use super::LoadError;
use super::rounds::Busy;
use super::shared::micros;
use crate::ending::Ending;

/// From there on a driver's own queue shows in what it measures.
const BUSY_PERCENT_MAX: u64 = 92;
/// A request that leaves later than this by the driver's fault is late.
const LATE: Duration = Duration::from_millis(2);

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
    /// Requests that left more than 2 ms after both their time and an idle connection were there:
    /// the driver's fault, not the edge's.
    pub late: u64,
    /// How much of its time the busiest load thread was running or waiting for a processor, in
    /// percent; 0 where the system does not tell. A driver near 100 measures itself.
    pub driver_busy_percent: u64,
    /// Processor time of the load threads per request, in nanoseconds; without the making of the
    /// requests, and 0 where the system does not tell.
    pub driver_cpu_ns_per_request: u64,
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
    /// Whether latencies of an open pace are the edge's: the driver kept up.
    pub fn driver_kept_up(&self) -> bool {
        self.late * 100 <= self.planned && self.driver_busy_percent <= BUSY_PERCENT_MAX
    }

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
    late: u64,
    busy_percent: u64,
    ran: Duration,
}

/// How long one request took.
#[derive(Clone, Copy, Debug)]
pub(super) struct Took {
    pub(super) since_intended: Duration,
    pub(super) since_sent: Duration,
    /// How long it could have left and did not.
    pub(super) lag: Duration,
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
            late: 0,
            busy_percent: 0,
            ran: Duration::ZERO,
        })
    }

    /// Notes what the thread has had of a processor in so much time.
    pub(super) fn busy(&mut self, busy: Busy, time: Duration) {
        let wanted = (busy.ran + busy.queued).as_nanos() * 100;
        let percent = wanted.checked_div(time.as_nanos()).unwrap_or(0);
        self.busy_percent = u64::try_from(percent).unwrap_or(u64::MAX);
        self.ran = busy.ran;
    }

    pub(super) fn count(&mut self, ending: Ending, took: Took) {
        self.late += u64::from(took.lag > LATE);
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
        self.late += other.late;
        self.busy_percent = self.busy_percent.max(other.busy_percent);
        self.ran += other.ran;
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
            late: self.late,
            driver_busy_percent: self.busy_percent,
            driver_cpu_ns_per_request: nanos(self.ran).checked_div(sent).unwrap_or(0),
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

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_driver_that_is_late_or_busy_says_so() {
        let took = |lag_ms| Took {
            since_intended: Duration::from_millis(9),
            since_sent: Duration::from_millis(3),
            lag: Duration::from_millis(lag_ms),
        };
        let run = |late: u64, busy: u64| {
            let mut tally = Tally::new().unwrap();
            (0..100).for_each(|op| {
                tally.count(Ending::Refused(404), took(if op < late { 3 } else { 1 }))
            });
            let ran = Duration::from_millis(busy * 5);
            let queued = ran;
            tally.busy(Busy { ran, queued }, Duration::from_secs(1));
            let mut total = Tally::new().unwrap();
            total.add(&tally).unwrap();
            total.summary(100, Duration::from_secs(1))
        };
        assert!(run(0, 50).driver_kept_up());
        assert!(run(1, 92).driver_kept_up());
        assert!(!run(2, 50).driver_kept_up(), "2 of 100 left late");
        assert!(!run(0, 93).driver_kept_up(), "no time was left");
        assert_eq!(run(2, 50).late, 2);
        // 250 ms of a processor for 100 requests; waiting for one is no cost of a request.
        assert_eq!(run(0, 50).driver_cpu_ns_per_request, 2_500_000);
    }
}
