//! Where files stand: a name says whose rows it holds, of when, and of which ordinals.
//!
//! | name | what |
//! |---|---|
//! | `<root>/<table>/dt=2026-11-23/hour=21/p3-1000-1999.parquet` | all rows of partition 3 with ordinals 1000 to 1999 that belong to that hour |
//! | `<root>/manifests/dt=2026-11-23/hour=21/p3.manifest` | the merged files of that hour |
//! | `<root>/catalogs/p3.catalog` | how far the partition is written, and its files since |
//!
//! A store whose unit is the day has no `hour=`, one of months says `dt=2026-11`. Merging two files
//! gives the name of both ranges, so a name never means two things.

use tollgate_click::{Millis, Ordinal, PartitionId};

use super::columns::Schema;

/// How a store lays out its files.
#[derive(Debug)]
pub(crate) struct Plan {
    /// The folder of the store.
    pub(crate) root: &'static str,
    /// What one folder of files covers.
    pub(crate) unit: Grain,
    /// The kinds of files.
    pub(crate) tables: &'static [&'static Schema],
    /// Those of them that are made from the first table when a unit is merged: a file of theirs
    /// stands for the first table's file of the same ordinals.
    pub(crate) derived: &'static [usize],
}

/// A span of time that has a folder of its own.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Grain {
    Hour,
    Day,
    Month,
}

/// The number of an hour, day or month since the Unix epoch, by the plan's grain.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct Unit(pub(crate) u32);

impl Grain {
    pub(crate) fn of(self, at: Millis) -> Unit {
        let of = |ms: u64| u32::try_from(at.0.min(Millis::MAX.0) / ms).unwrap_or(u32::MAX);
        match self {
            Grain::Hour => Unit(of(3_600_000)),
            Grain::Day => Unit(of(86_400_000)),
            Grain::Month => Unit(month_of(of(86_400_000))),
        }
    }
}

impl Plan {
    pub(crate) fn file(
        &self,
        table: &Schema,
        unit: Unit,
        partition: PartitionId,
        (first, last): (Ordinal, Ordinal),
    ) -> String {
        let folder = self.folder(table.name, unit);
        format!("{folder}/p{partition}-{first}-{last}.parquet")
    }

    pub(crate) fn manifest(&self, unit: Unit, partition: PartitionId) -> String {
        format!("{}/p{partition}.manifest", self.folder("manifests", unit))
    }

    pub(crate) fn catalogs(&self) -> String {
        format!("{}/catalogs", self.root)
    }

    pub(crate) fn catalog(&self, partition: PartitionId) -> String {
        format!("{}/p{partition}.catalog", self.catalogs())
    }

    /// The unit in whose folder a file of that name stands.
    pub(crate) fn unit_of(&self, name: &str) -> Option<Unit> {
        let mut folders = name.strip_prefix(self.root)?.split('/').skip(2);
        let day = parse_dt(folders.next()?)?;
        match self.unit {
            Grain::Hour => {
                let hour = parse_hour(folders.next()?)?;
                Some(Unit(day.checked_mul(24)? + hour))
            }
            Grain::Day => Some(Unit(day)),
            Grain::Month => None,
        }
    }

    pub(crate) fn folder(&self, table: &str, unit: Unit) -> String {
        let root = self.root;
        let Unit(number) = unit;
        match self.unit {
            Grain::Hour => {
                let day = dt(number / 24);
                format!("{root}/{table}/{day}/hour={:02}", number % 24)
            }
            Grain::Day => format!("{root}/{table}/{}", dt(number)),
            Grain::Month => {
                let (year, month) = (1970 + number / 12, 1 + number % 12);
                format!("{root}/{table}/dt={year:04}-{month:02}")
            }
        }
    }
}

/// The ordinals in a file's name, if it is of that partition.
pub(crate) fn parse_file(name: &str, partition: PartitionId) -> Option<(Ordinal, Ordinal)> {
    let stem = name.strip_suffix(".parquet")?;
    let mut parts = stem.strip_prefix('p')?.split('-');
    let owner: u16 = parts.next()?.parse().ok()?;
    let first = Ordinal(parts.next()?.parse().ok()?);
    let last = Ordinal(parts.next()?.parse().ok()?);
    let is_whole = owner == partition.get() && parts.next().is_none();
    is_whole.then_some((first, last))
}

/// The partition of a catalog's name.
pub(crate) fn parse_catalog(name: &str) -> Option<PartitionId> {
    let number = name.strip_suffix(".catalog")?.strip_prefix('p')?;
    PartitionId::new(number.parse().ok()?).ok()
}

/// The day in a folder's name.
pub(crate) fn parse_dt(name: &str) -> Option<u32> {
    let mut parts = name.strip_prefix("dt=")?.splitn(3, '-');
    let year: u64 = parts.next()?.parse().ok()?;
    let month: u64 = parts.next()?.parse().ok()?;
    let day: u64 = parts.next()?.parse().ok()?;
    let number = day_number(year, month, day)?;
    (dt(number) == name).then_some(number)
}

/// The hour in a folder's name.
pub(crate) fn parse_hour(name: &str) -> Option<u32> {
    let hour: u32 = name.strip_prefix("hour=")?.parse().ok()?;
    (hour < 24).then_some(hour)
}

const ERA_DAYS: u64 = 146_097; // days of 400 Gregorian years
const EPOCH: u64 = 719_468; // days from 0000-03-01 to 1970-01-01

/// `dt=YYYY-MM-DD` of a day since the epoch.
fn dt(day: u32) -> String {
    let (year, month, day) = date(day);
    format!("dt={year:04}-{month:02}-{day:02}")
}

/// The month of a day.
pub(crate) fn month_of(day: u32) -> u32 {
    let (year, month, _) = date(day);
    u32::try_from((year - 1970) * 12 + month - 1).unwrap_or(u32::MAX)
}

/// The first day of a month.
pub(crate) fn first_day(month: u32) -> u32 {
    let (year, month) = (1970 + u64::from(month) / 12, 1 + u64::from(month) % 12);
    day_number(year, month, 1).unwrap_or(u32::MAX)
}

/// Year, month and day in the Gregorian calendar. Years are counted from March, so that the leap
/// day is the last of its year.
fn date(day: u32) -> (u64, u64, u64) {
    let days = u64::from(day) + EPOCH;
    let (era, of_era) = (days / ERA_DAYS, days % ERA_DAYS);
    let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let march_month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * march_month + 2) / 5 + 1;
    let month = if march_month < 10 {
        march_month + 3
    } else {
        march_month - 9
    };
    (era * 400 + year + u64::from(month <= 2), month, day)
}

fn day_number(year: u64, month: u64, day: u64) -> Option<u32> {
    if !(1970..=20_000).contains(&year) || !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    let year = year - u64::from(month <= 2);
    let (era, of_era) = (year / 400, year % 400);
    let march_month = if month > 2 { month - 3 } else { month + 9 };
    let of_year = (153 * march_month + 2) / 5 + day - 1;
    let days = era * ERA_DAYS + of_era * 365 + of_era / 4 - of_era / 100 + of_year;
    u32::try_from(days.checked_sub(EPOCH)?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_days_have_their_dates() {
        for (day, date) in [
            (0, "dt=1970-01-01"),
            (59, "dt=1970-03-01"),
            (11_016, "dt=2000-02-29"),
            (11_017, "dt=2000-03-01"),
            (20_780, "dt=2026-11-23"),
            (47_541, "dt=2100-03-01"), // 2100 has no leap day
            (2_932_896, "dt=9999-12-31"),
        ] {
            assert_eq!(dt(day), date);
            assert_eq!(parse_dt(date), Some(day));
        }
    }

    #[test]
    fn every_day_comes_back_and_days_follow_each_other() {
        for day in (0..60_000).chain(3_250_000..3_257_812) {
            assert_eq!(parse_dt(&dt(day)), Some(day), "{}", dt(day));
        }
        assert_eq!(Grain::Day.of(Millis::MAX), Unit(3_257_812));
    }

    #[test]
    fn every_day_lies_in_its_month() {
        for month in 0..1200 {
            let days = first_day(month)..first_day(month + 1);
            assert!((28..=31).contains(&days.len()), "{month}: {days:?}");
            assert!(days.clone().all(|day| month_of(day) == month), "{month}");
        }
        assert_eq!(first_day(682), 20_758); // 2026-11-01
        assert_eq!(Grain::Month.of(Millis(20_780 * 86_400_000)), Unit(682));
    }

    #[test]
    fn strange_folders_are_no_days() {
        for name in [
            "dt=2026-02-30",
            "dt=2026-2-3",
            "dt=x",
            "2026-01-01",
            "dt=1969-12-31",
        ] {
            assert_eq!(parse_dt(name), None, "{name}");
        }
    }

    #[test]
    fn a_file_name_gives_its_ordinals_to_its_partition_only() {
        let three = PartitionId::new(3).unwrap();
        let range = Some((Ordinal(10), Ordinal(19)));
        assert_eq!(parse_file("p3-10-19.parquet", three), range);
        for other in [
            "p4-10-19.parquet",
            "p3-10.parquet",
            "p3-10-19.parquet.bad",
            "p3-1-2-3.parquet",
        ] {
            assert_eq!(parse_file(other, three), None, "{other}");
        }
    }
}
