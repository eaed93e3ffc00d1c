//! The writing half of the rollups: one partition, in the order of its ordinals.
//!
//! Cells gather in memory. `publish`, each second, shows them to readers in this process; `cut`,
//! at the ticks of the log, puts them into files by day. A cut writes what came since the one
//! before, whatever minute it is reported in: a late click adds a cell to a file of its day, and
//! sums are made by whoever reads. Merging a day adds equal cells up and derives coarser tables;
//! folding a month does it once more.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

use tollgate_click::{ClickFacts, Judgement, Millis, Minute, Ordinal, PartitionId};

use super::adding::add_up;
use super::cells::{At, MINUTES};
use super::filling::{Filling, Piece};
use super::months::{self, Month};
use super::shapes::{AUDIENCE, CAMPAIGNS, FINEST, HOURS, OF_DAY, PUBLISHERS};
use super::uniques::{self, UNIQUES};
use crate::lake::columns::{Columns, Schema, Table, Values};
use crate::lake::places::{Grain, Plan, Unit};
use crate::lake::shelf::{Merger, Sheet, Shelf};
use crate::lake::{Cut, Event, LakeError, Objects};

/// How the rollups lay out their files.
pub(crate) static ROLLUP: Plan = Plan {
    root: "rollup",
    unit: Grain::Day,
    tables: &[
        &MINUTES,
        &UNIQUES,
        &AUDIENCE,
        &PUBLISHERS,
        &CAMPAIGNS,
        &HOURS,
    ],
    derived: &[2, 3, 4, 5],
};

pub(crate) const MINUTES_TABLE: usize = 0;
pub(crate) const UNIQUES_TABLE: usize = 1;

/// The place of a table in [`ROLLUP`].
pub(crate) fn table_of(schema: &Schema) -> usize {
    let mut tables = ROLLUP.tables.iter();
    let place = tables.position(|table| table.name == schema.name);
    place.unwrap_or(MINUTES_TABLE)
}

/// A day of the rollups, in UTC, counted since the Unix epoch.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Day(pub u32);

/// What is published and not in files yet.
#[derive(Clone, Default)]
pub(crate) struct Published {
    /// Where the files end that this goes on from.
    pub(crate) base: Ordinal,
    /// The last ordinal that is counted in it.
    pub(crate) through: Ordinal,
    /// Cells, a piece a second.
    pub(crate) pieces: Vec<Arc<Piece>>,
}

/// The open minutes of a partition, for readers in the same process.
#[derive(Clone, Default)]
pub struct OpenMinutes(Arc<RwLock<Published>>);

impl OpenMinutes {
    pub(crate) fn get(&self) -> Published {
        self.0
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// What a reader holds that was interrupted here.
    #[cfg(test)]
    pub(crate) fn frozen(&self) -> OpenMinutes {
        OpenMinutes(Arc::new(RwLock::new(self.get())))
    }

    fn set(&self, change: impl FnOnce(&mut Published)) {
        change(&mut self.0.write().unwrap_or_else(PoisonError::into_inner));
    }
}

/// Writes the rollups of one partition.
pub struct RollupWriter {
    shelf: Shelf,
    filling: Filling,
    open: OpenMinutes,
    /// The last ordinal that was counted.
    counted: Ordinal,
}

impl RollupWriter {
    /// Opens the rollups of a partition where they were left.
    ///
    /// # Errors
    ///
    /// [`LakeError`] when the catalog cannot be read.
    pub fn open(
        objects: Arc<dyn Objects>,
        partition: PartitionId,
    ) -> Result<RollupWriter, LakeError> {
        let shelf = Shelf::open(objects, &ROLLUP, partition)?;
        let open = OpenMinutes::default();
        open.set(|open| open.base = shelf.through());
        Ok(RollupWriter {
            shelf,
            filling: Filling::new(),
            open,
            counted: Ordinal(0),
        })
    }

    /// The last ordinal up to which every click is in files: the rollups' watermark.
    pub fn through(&self) -> Ordinal {
        self.shelf.through()
    }

    /// What readers in this process see beside the files.
    pub fn open_minutes(&self) -> OpenMinutes {
        self.open.clone()
    }

    /// Counts a click or impression. Ordinals must rise; one up to the watermark is in files and
    /// is not counted again.
    ///
    /// # Errors
    ///
    /// [`LakeError::RowOrder`] when they do not, [`LakeError::Overflow`] when a sum leaves its
    /// range; nothing was counted.
    pub fn count(
        &mut self,
        event: Event,
        facts: &ClickFacts,
        judgement: &Judgement,
        reason: &str,
    ) -> Result<(), LakeError> {
        let ordinal = judgement.ordinal;
        if ordinal <= self.shelf.through() {
            return Ok(());
        }
        if ordinal <= self.counted {
            let partition = self.shelf.partition;
            return Err(LakeError::RowOrder { partition, ordinal });
        }
        self.filling.count(event, facts, judgement, reason)?;
        self.counted = ordinal;
        Ok(())
    }

    /// Shows what was counted up to `through` to readers of [`Self::open_minutes`].
    ///
    /// # Errors
    ///
    /// [`LakeError::Overflow`].
    pub fn publish(&mut self, through: Ordinal) -> Result<(), LakeError> {
        let piece = self.filling.show();
        self.open.set(|open| {
            open.through = through;
            open.pieces.extend(piece);
        });
        Ok(())
    }

    /// Writes what was counted as the batch of ordinals `first` to `last`, one file per day, and
    /// then moves the watermark. After an error the same cut can be tried again.
    ///
    /// # Errors
    ///
    /// [`LakeError`]; the watermark has not moved.
    pub fn cut(&mut self, first: Ordinal, last: Ordinal) -> Result<Cut, LakeError> {
        if !self.shelf.wants((first, last))? {
            return Ok(Cut::Before);
        }
        if self.counted > last {
            return Err(LakeError::RowOrder {
                partition: self.shelf.partition,
                ordinal: self.counted,
            });
        }
        self.shelf.forget_batch();
        let sums = self.filling.sums()?;
        write(&mut self.shelf, MINUTES_TABLE, &sums, (first, last))?;
        write(
            &mut self.shelf,
            UNIQUES_TABLE,
            sums.sketches(),
            (first, last),
        )?;
        let set_aside = self.shelf.commit(last)?;
        self.open.set(|open| {
            *open = Published {
                base: last,
                through: last,
                pieces: Vec::new(),
            }
        });
        self.filling.clear();
        Ok(Cut::Written { set_aside })
    }

    /// Days with files that are not merged yet, oldest first. The caller knows which of them are
    /// closed.
    pub fn unmerged(&self) -> Vec<Day> {
        let units = self.shelf.unmerged().into_iter();
        units.map(|Unit(day)| Day(day)).collect()
    }

    /// Merges the files of a day and derives the coarser tables; may be repeated. No sum changes.
    ///
    /// # Errors
    ///
    /// [`LakeError`]; readers see the files as they were, or merged.
    pub fn merge(&mut self, Day(day): Day) -> Result<(), LakeError> {
        months::unfold_for(&self.shelf, Day(day))?;
        self.shelf.merge(Unit(day), &RollupMerger)
    }

    /// Months with cells that no fold holds, oldest first. Questions about long times are answered
    /// fast for folded months only; the caller knows which of them are over.
    ///
    /// # Errors
    ///
    /// [`LakeError`] when a list of files cannot be read.
    pub fn unfolded(&self) -> Result<Vec<Month>, LakeError> {
        let days = months::days_with_files(&*self.shelf.objects)?;
        let mut found: Vec<Month> = Vec::new();
        for month in days.into_iter().map(|Unit(day)| Month::of(Day(day))) {
            if found.last() != Some(&month) {
                found.push(month);
            }
        }
        let mut unfolded = Vec::new();
        for month in found {
            if !months::is_folded(&self.shelf, month)? {
                unfolded.push(month);
            }
        }
        Ok(unfolded)
    }

    /// Folds the days of a month into few files, as far as they go now; merge the days first, for
    /// it is cheaper. May be repeated. No sum changes.
    ///
    /// # Errors
    ///
    /// [`LakeError`]; readers see the month as it was, or folded.
    pub fn fold(&mut self, month: Month) -> Result<(), LakeError> {
        months::fold(&self.shelf, month)
    }
}

/// Writes rows, one file a day. Both tables have the minute in the same place.
fn write(
    shelf: &mut Shelf,
    table: usize,
    rows: &dyn Columns,
    ordinals: (Ordinal, Ordinal),
) -> Result<(), LakeError> {
    let minutes = rows.column(At::Minute as usize);
    let Values::I32(minutes) = &minutes.values else {
        return Err(LakeError::encode(ROLLUP.root, "minutes are no numbers"));
    };
    let minutes = || minutes.iter().map(|minute| u64::from(*minute as u32));
    let bounds = minutes().min().zip(minutes().max()).unwrap_or_default();
    let day = |minute: u64| unit(Minute(minute as u32).start());
    let mut put = |unit, rows: &dyn Columns, bounds| {
        shelf.write(&Sheet {
            table,
            unit,
            ordinals,
            rows,
            bounds,
        })
    };
    if day(bounds.0) == day(bounds.1) {
        return put(day(bounds.0), rows, bounds);
    }
    let mut days: BTreeMap<Unit, Vec<u32>> = BTreeMap::new();
    for (row, minute) in (0..).zip(minutes()) {
        days.entry(day(minute)).or_default().push(row);
    }
    let fields = ROLLUP
        .tables
        .get(table)
        .map_or(0, |schema| schema.fields.len());
    let columns = (0..fields).map(|field| rows.column(field).into_owned());
    let all = Table {
        columns: columns.collect(),
    };
    for (unit, of_day) in days {
        let of_day = all.take(&of_day);
        let minutes = (0..of_day.rows()).map(|row| of_day.u64(At::Minute as usize, row));
        let bounds = minutes.clone().min().zip(minutes.max());
        put(unit, &of_day, bounds.unwrap_or_default())?;
    }
    Ok(())
}

fn unit(at: Millis) -> Unit {
    ROLLUP.unit.of(at)
}

/// Joining cells is adding them up.
struct RollupMerger;

impl Merger for RollupMerger {
    fn join(&self, table: usize, rows: Table) -> Result<Table, LakeError> {
        match table {
            UNIQUES_TABLE => uniques::join(&rows),
            _ => add_up(&rows, &FINEST.shape),
        }
    }

    fn may_be_gone(&self, _table: usize) -> bool {
        false
    }

    fn derive(&self, table: usize, rows: &Table) -> Result<Table, LakeError> {
        let level = OF_DAY.iter().find(|level| table_of(level.schema) == table);
        add_up(rows, &level.unwrap_or(&FINEST).shape)
    }
}
