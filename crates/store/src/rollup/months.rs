//! Months: the days of a month in one file per table, for questions about long times.
//!
//! A month is *folded* at an ordinal: its files hold all cells up to there, and its manifest names
//! that ordinal. What holds:
//!
//! 1. A folded file is a function of the month, the ordinal and the log.
//! 2. A reader of a folded month adds what the catalog lists after that ordinal, and nothing else.
//! 3. So a day that got cells after the ordinal must not be merged under the fold: the manifest
//!    goes first, and the month is read by its days until it is folded again.

use std::sync::Arc;

use tollgate_click::{Millis, Ordinal};

use super::adding::{Sums, add_up};
use super::cells::At;
use super::names::Names;
use super::shapes::{
    AUDIENCE_DAYS, AUDIENCE_MONTHS, CAMPAIGN_DAYS, CAMPAIGN_MONTHS, DAYS_OF_MONTH, Level, OF_DAY,
    PUBLISHER_DAYS, PUBLISHER_MONTHS, WHOLE_MONTH,
};
use super::writer::{Day, MINUTES_TABLE, ROLLUP, table_of};
use crate::lake::LakeError;
use crate::lake::columns::Table;
use crate::lake::decode::reading;
use crate::lake::listing::{Listed, Listing};
use crate::lake::places::{Grain, Plan, Unit, first_day, month_of};
use crate::lake::shelf::{Sheet, Shelf};
use crate::lake::view::View;

/// How folded months lie beside the days.
pub(crate) static MONTHS: Plan = Plan {
    root: "rollup/months",
    unit: Grain::Month,
    tables: &[
        &AUDIENCE_DAYS,
        &PUBLISHER_DAYS,
        &CAMPAIGN_DAYS,
        &AUDIENCE_MONTHS,
        &PUBLISHER_MONTHS,
        &CAMPAIGN_MONTHS,
    ],
    derived: &[],
};

/// A month of the rollups, in UTC, counted since the Unix epoch.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Month(pub u32);

impl Month {
    /// The month of a day.
    pub fn of(Day(day): Day) -> Month {
        Month(month_of(day))
    }

    /// Its first instant.
    pub fn start(self) -> Millis {
        Millis(u64::from(first_day(self.0)) * 86_400_000)
    }

    /// The first instant after it.
    pub fn end(self) -> Millis {
        Month(self.0.saturating_add(1)).start()
    }
}

/// Folds a month at the watermark of its days.
pub(crate) fn fold(days: &Shelf, Month(month): Month) -> Result<(), LakeError> {
    let through = days.through();
    let mut shelf = Shelf::open(Arc::clone(&days.objects), &MONTHS, days.partition)?;
    let mut files = Vec::new();
    // Levels of days and months stand in the same order as those of hours.
    let levels = OF_DAY.iter().zip(DAYS_OF_MONTH.iter().zip(&WHOLE_MONTH));
    for (base, (of_days, of_month)) in levels {
        let days = gather(days, month, (base, of_days))?;
        let whole = add_up(&days, &of_month.shape)?;
        for (level, rows) in [(of_days, &days), (of_month, &whole)] {
            if rows.rows() > 0 {
                files.push(put(&mut shelf, level, Unit(month), through, rows)?);
            }
        }
    }
    let mut manifest = Listing { through, files };
    let name = MONTHS.manifest(Unit(month), days.partition);
    manifest.save(&*days.objects, &MONTHS, &name)?;
    shelf.sweep(Unit(month))
}

fn put(
    shelf: &mut Shelf,
    level: &Level,
    unit: Unit,
    through: Ordinal,
    rows: &Table,
) -> Result<Listed, LakeError> {
    let minutes = (0..rows.rows()).map(|row| rows.u64(At::Minute as usize, row));
    let low = minutes.clone().min().unwrap_or(0);
    let mut tables = MONTHS.tables.iter();
    let table = tables.position(|table| table.name == level.schema.name);
    shelf.put(&Sheet {
        table: table.unwrap_or(0),
        unit,
        ordinals: (Ordinal(1), through),
        rows,
        bounds: (low, minutes.max().unwrap_or(0)),
    })
}

/// Takes the fold of a day's month away if the day has got cells that it does not hold.
pub(crate) fn unfold_for(days: &Shelf, Day(day): Day) -> Result<(), LakeError> {
    let objects = &*days.objects;
    let name = MONTHS.manifest(Unit(month_of(day)), days.partition);
    // Also where it is gone: whoever removed it may have died before that was durable.
    let settled = objects.settle(&name);
    settled.map_err(|error| LakeError::io(&name, error))?;
    let manifest = Listing::load(objects, &MONTHS, &name)?;
    let last = days.last_unmerged(Unit(day));
    if manifest.is_some_and(|manifest| last.is_some_and(|last| last > manifest.through)) {
        let deleted = objects.delete(&name);
        deleted.map_err(|error| LakeError::io(&name, error))?;
    }
    Ok(())
}

/// Whether a month has a fold that holds all its cells.
pub(crate) fn is_folded(days: &Shelf, Month(month): Month) -> Result<bool, LakeError> {
    let name = MONTHS.manifest(Unit(month), days.partition);
    let manifest = Listing::load(&*days.objects, &MONTHS, &name)?;
    let last = (first_day(month)..first_day(month.saturating_add(1)))
        .filter_map(|day| days.last_unmerged(Unit(day)))
        .max();
    Ok(manifest.is_some_and(|manifest| last.is_none_or(|last| last <= manifest.through)))
}

/// The cells of a month in the shape of a level, from the tables of a level of its days.
fn gather(days: &Shelf, month: u32, (base, level): (&Level, &Level)) -> Result<Table, LakeError> {
    let objects = &*days.objects;
    let view = View::open(objects, &ROLLUP, days.partition)?;
    let coarser = table_of(base.schema);
    let mut names = Names::new();
    let mut cells = Vec::new();
    for day in first_day(month)..first_day(month.saturating_add(1)) {
        let files = view.files(objects, Unit(day))?;
        for file in files.iter().filter(|file| file.table == MINUTES_TABLE) {
            let same = files.iter().find(|other| {
                other.table == coarser && (other.first, other.last) == (file.first, file.last)
            });
            let opened = view.open_file(objects, same.unwrap_or(file))?;
            let rows = opened.verified(objects)?;
            cells.extend(names.cells_of(&rows, &level.shape));
        }
        cells = Sums::of(&names, cells.iter())?.cells();
    }
    Ok(Sums::of(&names, cells.iter())?.table())
}

/// Days that have a folder, in order.
pub(crate) fn days_with_files(objects: &dyn crate::lake::Objects) -> Result<Vec<Unit>, LakeError> {
    let folder = format!("{}/{}", ROLLUP.root, super::cells::MINUTES.name);
    let entries = objects.list(&folder);
    let entries = entries.map_err(|error| reading(&folder, error))?;
    let names = entries.iter().map(|entry| entry.name.as_str());
    let mut days: Vec<Unit> = names
        .filter_map(crate::lake::places::parse_dt)
        .map(Unit)
        .collect();
    days.sort_unstable();
    Ok(days)
}
