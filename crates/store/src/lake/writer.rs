//! The writing half of the lake: one partition, in the order of its ordinals, cut from outside.

use std::collections::BTreeMap;
use std::sync::Arc;

use tollgate_click::{Millis, Ordinal, PartitionId};

use super::clicks::{self, At, CLICKS, LakeRow};
use super::columns::Table;
use super::decode::SealedFile;
use super::errors::LakeError;
use super::filling::{Filling, Ordered};
use super::objects::Objects;
use super::personal::{self, PERSONAL, RECORDS};
use super::places::{Grain, Plan, Unit};
use super::shelf::{Merger, Sheet, Shelf};
use super::view::View;

/// How the lake lays out its files.
pub(crate) static LAKE: Plan = Plan {
    root: "lake",
    unit: Grain::Hour,
    tables: &[&CLICKS, &PERSONAL, &RECORDS],
    derived: &[],
};

pub(crate) const CLICKS_TABLE: usize = 0;
pub(crate) const PERSONAL_TABLE: usize = 1;
pub(crate) const RECORDS_TABLE: usize = 2;

/// An hour of the lake, counted since the Unix epoch.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Hour(pub u32);

/// What became of a batch.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Cut {
    /// It is in files and visible.
    Written {
        /// Damaged files of the same names that were set aside and written anew.
        set_aside: Vec<String>,
    },
    /// It was written before; nothing was done.
    Before,
}

/// Writes the lake of one partition.
pub struct LakeWriter {
    shelf: Shelf,
    /// Rows since the last cut, by hour.
    hours: BTreeMap<Unit, Rows>,
    /// The last ordinal that was pushed.
    pushed: Ordinal,
    /// The room that the largest hour of the last batch took.
    spare: Option<Rows>,
    text: String,
}

/// Joining rows is sorting them; retention may have taken personal parts.
struct LakeMerger;

impl Merger for LakeMerger {
    fn join(&self, table: usize, rows: Table) -> Result<Table, LakeError> {
        Ok(sorted(table, &rows))
    }

    fn may_be_gone(&self, table: usize) -> bool {
        table == PERSONAL_TABLE
    }

    fn derive(&self, _table: usize, _rows: &Table) -> Result<Table, LakeError> {
        Ok(Table::new(&CLICKS)) // the lake derives nothing
    }
}

/// Rows of an hour.
pub(crate) struct Rows {
    clicks: Filling,
    personal: Filling,
    records: Filling,
}

impl LakeWriter {
    /// Opens the lake of a partition where it was left.
    ///
    /// # Errors
    ///
    /// [`LakeError`] when its catalog cannot be read.
    pub fn open(
        objects: Arc<dyn Objects>,
        partition: PartitionId,
    ) -> Result<LakeWriter, LakeError> {
        Ok(LakeWriter {
            shelf: Shelf::open(objects, &LAKE, partition)?,
            hours: BTreeMap::new(),
            pushed: Ordinal(0),
            spare: None,
            text: String::new(),
        })
    }

    /// The last ordinal up to which every record is in files: the lake's watermark.
    pub fn through(&self) -> Ordinal {
        self.shelf.through()
    }

    /// Takes a click or impression. It is kept under the hour in which it was received, which its
    /// id says, even if it is reported in another one as imports are. Ordinals must rise.
    ///
    /// # Errors
    ///
    /// [`LakeError::RowOrder`] when they do not; nothing was taken.
    pub fn push(&mut self, row: &LakeRow<'_>) -> Result<(), LakeError> {
        self.advance(row.judgement.ordinal)?;
        let unit = LAKE.unit.of(row.facts.click_id.received_at());
        let spare = &mut self.spare;
        let rows = self.hours.entry(unit);
        let rows = rows.or_insert_with(|| spare.take().unwrap_or_else(Rows::new));
        rows.push(row, &mut self.text);
        Ok(())
    }

    /// Takes a record that is no readable click: its bytes, and the partition's clock when it
    /// was applied, which says in which hour it is kept.
    ///
    /// # Errors
    ///
    /// [`LakeError::RowOrder`] when ordinals do not rise; nothing was taken.
    pub fn push_record(
        &mut self,
        ordinal: Ordinal,
        clock: Millis,
        facts: &[u8],
    ) -> Result<(), LakeError> {
        self.advance(ordinal)?;
        let unit = LAKE.unit.of(clock);
        let rows = self.hours.entry(unit).or_insert_with(Rows::new);
        rows.push_record(ordinal, clock, facts);
        Ok(())
    }

    /// Writes what was pushed as the batch of ordinals `first` to `last`, one file per hour and
    /// table, and then moves the watermark. After an error the rows are kept, and the same cut can
    /// be tried again.
    ///
    /// # Errors
    ///
    /// [`LakeError`]; the watermark has not moved.
    pub fn cut(&mut self, first: Ordinal, last: Ordinal) -> Result<Cut, LakeError> {
        self.check_range((first, last))?;
        let cut = if self.shelf.wants((first, last))? {
            self.shelf.forget_batch();
            for (unit, rows) in &self.hours {
                rows.write(&mut self.shelf, *unit, (first, last))?;
            }
            let set_aside = self.shelf.commit(last)?;
            Cut::Written { set_aside }
        } else {
            Cut::Before
        };
        let hours = std::mem::take(&mut self.hours).into_values();
        self.spare = hours.max_by_key(|rows| rows.clicks.rows());
        if let Some(spare) = &mut self.spare {
            spare.clear();
        }
        self.pushed = last;
        Ok(cut)
    }

    /// Hours with files that are not merged yet, oldest first. The caller knows which of them
    /// are closed.
    pub fn unmerged(&self) -> Vec<Hour> {
        let units = self.shelf.unmerged().into_iter();
        units.map(|Unit(hour)| Hour(hour)).collect()
    }

    /// Merges the files of an hour into few big ones; may be repeated when late rows came. No
    /// row changes. Interrupted, it goes on when called again.
    ///
    /// # Errors
    ///
    /// [`LakeError`]; readers see the files as they were, or merged.
    pub fn merge(&mut self, Hour(hour): Hour) -> Result<(), LakeError> {
        self.shelf.merge(Unit(hour), &LakeMerger)
    }

    /// Deletes the personal parts of an hour. Clicks and all numbers stay as they are.
    ///
    /// # Errors
    ///
    /// [`LakeError::Io`]; call again.
    pub fn erase_personal(&mut self, Hour(hour): Hour) -> Result<(), LakeError> {
        self.shelf.erase(Unit(hour), PERSONAL_TABLE)
    }

    /// Reads every file of an hour and compares its rows with their hash.
    ///
    /// # Errors
    ///
    /// The first damaged or missing file; personal parts may be missing.
    pub fn verify(&self, Hour(hour): Hour) -> Result<(), LakeError> {
        let objects = &*self.shelf.objects;
        let view = View::open(objects, &LAKE, self.shelf.partition)?;
        for file in view.files(objects, Unit(hour))? {
            let opened = view.open_file(objects, &file);
            match opened.and_then(|file: SealedFile| file.verified(objects)) {
                Err(LakeError::Missing { .. }) if file.table == PERSONAL_TABLE => {}
                checked => drop(checked?),
            }
        }
        Ok(())
    }

    fn advance(&mut self, ordinal: Ordinal) -> Result<(), LakeError> {
        if ordinal <= self.pushed {
            return Err(LakeError::RowOrder {
                partition: self.shelf.partition,
                ordinal,
            });
        }
        self.pushed = ordinal;
        Ok(())
    }

    /// Rows must lie inside their batch; they were pushed in order.
    fn check_range(&self, (first, last): (Ordinal, Ordinal)) -> Result<(), LakeError> {
        let ordinal = At::Ordinal as usize;
        let firsts = self.hours.values().flat_map(|rows| {
            let clicks = (rows.clicks.rows() > 0).then(|| rows.clicks.u64(ordinal, 0));
            let records = (rows.records.rows() > 0).then(|| rows.records.u64(0, 0));
            [clicks, records]
        });
        let before = firsts
            .flatten()
            .map(Ordinal)
            .min()
            .filter(|least| *least < first);
        let after = (!self.hours.is_empty() && self.pushed > last).then_some(self.pushed);
        before.or(after).map_or(Ok(()), |ordinal| {
            let partition = self.shelf.partition;
            Err(LakeError::RowOrder { partition, ordinal })
        })
    }
}

impl Rows {
    pub(crate) fn new() -> Rows {
        Rows {
            clicks: Filling::new(&CLICKS),
            personal: Filling::new(&PERSONAL),
            records: Filling::new(&RECORDS),
        }
    }

    fn clear(&mut self) {
        self.clicks.clear();
        self.personal.clear();
        self.records.clear();
    }

    /// Takes a click or impression; `text` is scratch.
    pub(crate) fn push(&mut self, row: &LakeRow<'_>, text: &mut String) {
        clicks::push(&mut self.clicks, row, text);
        personal::push(&mut self.personal, row);
    }

    /// Takes a record that is no readable click.
    pub(crate) fn push_record(&mut self, ordinal: Ordinal, clock: Millis, facts: &[u8]) {
        self.records.begin();
        self.records.long(0, ordinal.0);
        self.records.long(1, clock.0);
        self.records.string(2, facts);
    }

    /// The rows of a table as a file has them.
    pub(crate) fn of_table(&self, table: usize) -> Ordered<'_> {
        match table {
            CLICKS_TABLE => {
                let number = |at: At, row: u32| self.clicks.u64(at as usize, row as usize);
                let order = clicks::order(self.clicks.rows(), number);
                self.clicks.ordered(Some(order))
            }
            // They come by ordinal.
            PERSONAL_TABLE => self.personal.ordered(None),
            _ => self.records.ordered(None),
        }
    }

    fn write(
        &self,
        shelf: &mut Shelf,
        unit: Unit,
        ordinals: (Ordinal, Ordinal),
    ) -> Result<(), LakeError> {
        let tables = [
            (CLICKS_TABLE, received_bounds(&self.clicks)),
            (PERSONAL_TABLE, (0, 0)),
            (RECORDS_TABLE, (0, 0)),
        ];
        for (table, bounds) in tables {
            shelf.write(&Sheet {
                table,
                unit,
                ordinals,
                rows: &self.of_table(table),
                bounds,
            })?;
        }
        Ok(())
    }
}

/// When the first and the last of the clicks were received, by their ids.
fn received_bounds(clicks: &Filling) -> (u64, u64) {
    let received = (0..clicks.rows()).map(|row| {
        let id = clicks.bytes16(At::ClickId as usize, row);
        (u128::from_be_bytes(id) >> 80) as u64
    });
    let bounds = received.fold((u64::MAX, 0), |(low, high), at| (low.min(at), high.max(at)));
    if bounds.0 <= bounds.1 { bounds } else { (0, 0) }
}

fn sorted(table: usize, rows: &Table) -> Table {
    let order = match table {
        CLICKS_TABLE => {
            let number = |at: At, row: u32| rows.u64(at as usize, row as usize);
            clicks::order(rows.rows(), number)
        }
        _ => personal::order(rows),
    };
    rows.take(&order)
}
