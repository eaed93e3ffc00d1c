//! A campaign's budgets, and what was spent of them.
//!
//! A daily budget belongs to the calendar day of `received_at` in the campaign's zone. What a day
//! has cost is kept under its date, also while there is no daily budget, so that one which is
//! set at noon finds the morning's clicks; a campaign that is moved to another zone goes on with
//! the dates of that zone, and a date that both had has one sum.

use tollgate_click::control::ZoneOffset;
use tollgate_click::limits::{SPOOL_LIMIT_S, ZONE_OFFSET_S_MAX};
use tollgate_click::{Micros, Millis};

use super::kept::kept;
use super::rare::{MaybeMicros, Rare};

const DAY_MS: i64 = 24 * 3600 * 1000;

/// What a campaign may cost, as of the last change that was applied.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub(crate) struct Budgets {
    pub(crate) daily: MaybeMicros,
    pub(crate) total: MaybeMicros,
    pub(crate) offsets: Rare<ZoneOffset>,
}

/// What a campaign has cost.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub(crate) struct Spent {
    total: Micros,
    /// The newest date with spend, which most clicks belong to, and its spend.
    day: Day,
    in_day: Micros,
    /// Earlier dates with spend that can still come, in order.
    earlier: Rare<(Day, Micros)>,
}

kept!(Budgets {
    daily,
    total,
    offsets
});
kept!(Spent {
    total,
    day,
    in_day,
    earlier
});
kept!(ZoneOffset { from, seconds });

/// A date: local days since 1970-01-01.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Debug)]
pub(crate) struct Day {
    number: i32,
}

kept!(Day { number });

/// The budget that a charge does not fit.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Exhausted {
    Daily,
    Total,
}

/// What was spent after a charge.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Charged {
    day: Day,
    in_day: Micros,
    total: Micros,
}

impl Budgets {
    /// The date of an instant in the campaign's zone.
    pub(crate) fn day_of(&self, at: Millis) -> Day {
        let after = self.offsets.partition_point(|offset| offset.from <= at);
        let offset = self.offsets.get(after.saturating_sub(1));
        Day::of(at, offset.map_or(0, |offset| offset.seconds))
    }

    /// What a charge would make of what was spent, unless a budget stops it. No budget is the
    /// largest number.
    pub(crate) fn charge(
        &self,
        spent: &Spent,
        at: Millis,
        charge: Micros,
    ) -> Result<Charged, Exhausted> {
        let day = self.day_of(at);
        let in_day = fit(spent.in_day(day), charge, self.daily.get()).ok_or(Exhausted::Daily)?;
        let total = fit(spent.total, charge, self.total.get()).ok_or(Exhausted::Total)?;
        Ok(Charged { day, in_day, total })
    }
}

fn fit(spent: Micros, charge: Micros, budget: Option<Micros>) -> Option<Micros> {
    let sum = spent.plus(charge).ok()?;
    (sum <= budget.unwrap_or(Micros(i64::MAX))).then_some(sum)
}

impl Day {
    fn of(at: Millis, offset_s: i32) -> Day {
        let local = at.0.min(Millis::MAX.0) as i64 + i64::from(offset_s) * 1000;
        Day {
            number: local.div_euclid(DAY_MS) as i32, // 48 bits of milliseconds are 22 of days
        }
    }

    /// Whether no click received on that date, in any zone, can bill any more.
    fn is_over(self, clock: Millis) -> bool {
        let end = (i64::from(self.number) + 1) * DAY_MS + i64::from(ZONE_OFFSET_S_MAX) * 1000;
        let limit = end + i64::from(SPOOL_LIMIT_S) * 1000;
        clock.0 as i64 > limit
    }
}

impl Spent {
    /// In all.
    pub(crate) fn total(&self) -> Micros {
        self.total
    }

    /// On one date.
    pub(crate) fn in_day(&self, day: Day) -> Micros {
        if day == self.day {
            return self.in_day;
        }
        let found = self.earlier.iter().find(|(earlier, _)| *earlier == day);
        found.map_or(Micros::ZERO, |(_, sum)| *sum)
    }

    /// Takes note of a charge.
    pub(crate) fn charge(&mut self, charged: Charged) {
        let Charged { day, in_day, total } = charged;
        self.total = total;
        if day > self.day {
            if self.in_day != Micros::ZERO {
                let before = (self.day, self.in_day);
                self.earlier.change(|earlier| earlier.push(before));
            }
            self.day = day;
        }
        if day == self.day {
            self.in_day = in_day;
            return;
        }
        let at = self.earlier.partition_point(|(earlier, _)| *earlier < day);
        self.earlier.change(|earlier| match earlier.get_mut(at) {
            Some((known, sum)) if *known == day => *sum = in_day,
            _ => earlier.insert(at, (day, in_day)),
        });
    }

    /// Drops the dates on which nothing can be spent any more.
    pub(crate) fn forget_over(&mut self, clock: Millis) {
        if !self.earlier.is_empty() {
            self.earlier
                .change(|earlier| earlier.retain(|(day, _)| !day.is_over(clock)));
        }
        if self.day.is_over(clock) {
            (self.day, self.in_day) = (Day::default(), Micros::ZERO);
        }
    }
}

#[cfg(test)]
mod tests;
