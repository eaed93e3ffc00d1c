//! When requests leave.

use std::time::Duration;

/// When requests leave.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Pace {
    /// `per_second` requests evenly over `duration`, whatever the answers do: the users of a
    /// click edge do not wait for each other.
    Rate {
        /// Requests a second, at least 1.
        per_second: u32,
        /// How long.
        duration: Duration,
    },
    /// One request at each of these times after the beginning, in rising order.
    Timed(Vec<Duration>),
    /// Each connection sends its next request when the last one ended, until `total` requests
    /// were made or `duration` is over.
    Closed {
        /// How many requests; none means until the time is over.
        total: Option<u64>,
        /// How long; none means until all requests were made.
        duration: Option<Duration>,
    },
}

impl Pace {
    /// Requests that will be made; none when only the time ends the run.
    pub fn planned(&self) -> Option<u64> {
        match self {
            Pace::Rate {
                per_second,
                duration,
            } => {
                let planned = u128::from(*per_second) * duration.as_micros() / 1_000_000;
                Some(u64::try_from(planned).unwrap_or(u64::MAX))
            }
            Pace::Timed(due) => Some(due.len() as u64),
            Pace::Closed { total, .. } => *total,
        }
    }

    /// Whether times of sending are fixed beforehand.
    pub fn is_open(&self) -> bool {
        !matches!(self, Pace::Closed { .. })
    }

    /// When request `op` is to leave; none when nothing says so (closed, or past the end).
    pub fn due(&self, op: u64) -> Option<Duration> {
        match self {
            Pace::Rate { per_second, .. } => {
                let micros = u128::from(op) * 1_000_000 / u128::from(*per_second.max(&1));
                let due = Duration::from_micros(u64::try_from(micros).unwrap_or(u64::MAX));
                (Some(op) < self.planned()).then_some(due)
            }
            Pace::Timed(due) => usize::try_from(op)
                .ok()
                .and_then(|index| due.get(index))
                .copied(),
            Pace::Closed { .. } => None,
        }
    }

    /// After which time nothing more may begin; none when only the count ends the run. An open
    /// run that is late may catch up for `linger` after its last time of sending.
    pub(crate) fn end(&self, linger: Duration) -> Option<Duration> {
        match self {
            Pace::Rate { duration, .. } => Some(duration.saturating_add(linger)),
            Pace::Timed(due) => Some(due.last().copied().unwrap_or_default() + linger),
            Pace::Closed { duration, .. } => *duration,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_spreads_its_requests_evenly() {
        let pace = Pace::Rate {
            per_second: 400,
            duration: Duration::from_millis(2500),
        };
        assert_eq!(pace.planned(), Some(1000));
        assert_eq!(pace.due(0), Some(Duration::ZERO));
        assert_eq!(pace.due(401), Some(Duration::from_micros(1_002_500)));
        assert_eq!(pace.due(999), Some(Duration::from_micros(2_497_500)));
        assert_eq!(pace.due(1000), None);
    }
}
