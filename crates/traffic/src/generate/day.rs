//! A day of traffic: quiet nights, busy evenings.

use tollgate_click::Millis;

const HOUR_MS: u64 = 3_600_000;

/// Weight of each hour of the day, UTC, as a site with most readers in Europe and America has it.
const HOURS: [u64; 24] = [
    7, 5, 4, 3, 3, 4, 6, 8, 10, 11, 11, 12, 12, 12, 13, 13, 14, 14, 15, 16, 16, 15, 12, 9,
];

/// When each of a number of clicks comes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Day {
    start: Millis,
    clicks: u64,
}

impl Day {
    /// The 24 hours from `start` on.
    pub(super) fn new(start: Millis, clicks: u64) -> Day {
        let clicks = clicks.max(1);
        Day { start, clicks }
    }

    /// Later clicks never come earlier; what comes after the last one comes at the end.
    pub(super) fn at(&self, op: u64) -> Millis {
        // How far into the day's weight, in parts of `clicks`.
        let mut left = op.min(self.clicks) * HOURS.iter().sum::<u64>();
        let first = self.start.0 / HOUR_MS % 24;
        let hours = HOURS.iter().cycle().skip(first as usize).take(24);
        for (passed, weight) in (0..).zip(hours) {
            let in_hour = weight * self.clicks;
            if left < in_hour {
                let into_ms = left * HOUR_MS / in_hour;
                return self.start.plus_ms(passed * HOUR_MS + into_ms);
            }
            left -= in_hour;
        }
        self.start.plus_ms(24 * HOUR_MS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_has_all_its_clicks_and_more_in_the_evening_than_at_night() {
        let start = Millis(1_790_000_000_000);
        let day = Day::new(start, 10_000);
        let times: Vec<u64> = (0..=10_000).map(|op| day.at(op).since(start)).collect();
        assert!(times.is_sorted());
        assert_eq!((times[0], times[10_000]), (0, 24 * HOUR_MS));
        assert_eq!(day.at(u64::MAX / 1000), start.plus_ms(24 * HOUR_MS));
        let in_hour = |hour: u64| {
            let of = |at: &&u64| (start.0 + **at) / HOUR_MS % 24 == hour;
            times.iter().filter(of).count()
        };
        assert!(
            in_hour(19) > 4 * in_hour(4),
            "{} {}",
            in_hour(19),
            in_hour(4)
        );
    }
}
