//! The reading half of the lake: a click by its id, the rows of an hour, the records that are no
//! clicks.

use std::sync::Arc;

use tollgate_click::{ClickId, Ordinal, PartitionId};

use super::clicks::{self, At, StoredRow};
use super::columns::{Column, Table, Values};
use super::decode::{SealedFile, reading};
use super::errors::LakeError;
use super::listing::Listed;
use super::objects::Objects;
use super::personal::{self, StoredPersonal};
use super::places::{Unit, parse_dt, parse_hour};
use super::view::{View, partitions, with_fresh_view};
use super::writer::{CLICKS_TABLE, Hour, LAKE, PERSONAL_TABLE, RECORDS_TABLE};

/// Reads the lake of all partitions, also while it is written.
#[derive(Clone)]
pub struct Lake {
    pub(super) objects: Arc<dyn Objects>,
}

/// A click with its place.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Found {
    /// The click.
    pub row: StoredRow,
    /// Its personal part; none when it is gone.
    pub personal: Option<StoredPersonal>,
    /// The file that holds it.
    pub file: String,
    /// Its row in the file, counted from 0.
    pub file_row: u64,
}

/// A record that is no readable click.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StoredRecord {
    /// Its number in its partition.
    pub ordinal: Ordinal,
    /// Its bytes.
    pub facts: Vec<u8>,
}

impl Lake {
    /// Reads what is in `objects`.
    pub fn new(objects: Arc<dyn Objects>) -> Lake {
        Lake { objects }
    }

    /// Partitions that have a lake.
    ///
    /// # Errors
    ///
    /// [`LakeError::Io`].
    pub fn partitions(&self) -> Result<Vec<PartitionId>, LakeError> {
        partitions(&*self.objects, &LAKE)
    }

    /// The last ordinal of a partition that is in files; 0 before the first.
    ///
    /// # Errors
    ///
    /// [`LakeError`] when the catalog cannot be read.
    pub fn through(&self, partition: PartitionId) -> Result<Ordinal, LakeError> {
        View::open(&*self.objects, &LAKE, partition).map(|view| view.through())
    }

    /// Everything the lake has under a click id, oldest record first: the click, and records
    /// that its transport repeated. The id says hour and partition; filters say in which row
    /// groups it cannot be.
    ///
    /// # Errors
    ///
    /// [`LakeError`] when a file that may hold it is damaged or missing.
    pub fn find(&self, id: ClickId) -> Result<Vec<Found>, LakeError> {
        with_fresh_view(|| {
            let view = View::open(&*self.objects, &LAKE, id.parts().partition)?;
            self.find_in(&view, LAKE.unit.of(id.received_at()), id)
        })
    }

    /// All clicks of a partition that were received in an hour, by ordinal.
    ///
    /// # Errors
    ///
    /// [`LakeError`] when a file is damaged or missing.
    pub fn rows(&self, partition: PartitionId, hour: Hour) -> Result<Vec<StoredRow>, LakeError> {
        let mut rows = self.all(partition, hour, CLICKS_TABLE, clicks::stored)?;
        rows.sort_unstable_by_key(|row| row.judgement.ordinal);
        Ok(rows)
    }

    /// The personal parts of the same clicks that are still there, by ordinal.
    ///
    /// # Errors
    ///
    /// [`LakeError`] when a file is damaged.
    pub fn personal(
        &self,
        partition: PartitionId,
        hour: Hour,
    ) -> Result<Vec<StoredPersonal>, LakeError> {
        let stored = |table: &Table, row, _: &str| Ok(personal::stored(table, row));
        let mut rows = self.all(partition, hour, PERSONAL_TABLE, stored)?;
        rows.sort_unstable_by_key(|row| row.ordinal);
        Ok(rows)
    }

    /// Ticks, marks, control records and unreadable ones that were applied in an hour.
    ///
    /// # Errors
    ///
    /// [`LakeError`] when a file is damaged or missing.
    pub fn records(
        &self,
        partition: PartitionId,
        Hour(hour): Hour,
    ) -> Result<Vec<StoredRecord>, LakeError> {
        let stored = |table: &Table, row, _: &str| {
            Ok(StoredRecord {
                ordinal: Ordinal(table.u64(0, row)),
                facts: table.bytes(2, row).to_vec(),
            })
        };
        let mut rows = self.all(partition, Hour(hour), RECORDS_TABLE, stored)?;
        rows.sort_unstable_by_key(|row| row.ordinal);
        Ok(rows)
    }

    /// Hours that have a folder, oldest first.
    ///
    /// # Errors
    ///
    /// [`LakeError::Io`].
    pub fn hours(&self) -> Result<Vec<Hour>, LakeError> {
        let units = self.units()?.into_iter();
        Ok(units.map(|Unit(hour)| Hour(hour)).collect())
    }

    fn all<T>(
        &self,
        partition: PartitionId,
        Hour(hour): Hour,
        table: usize,
        stored: impl Fn(&Table, usize, &str) -> Result<T, LakeError>,
    ) -> Result<Vec<T>, LakeError> {
        let objects = &*self.objects;
        with_fresh_view(|| {
            let view = View::open(objects, &LAKE, partition)?;
            let mut all = Vec::new();
            let files = view.files(objects, Unit(hour))?.into_iter();
            for file in files.filter(|file| file.table == table) {
                let opened = match view.open_file(objects, &file) {
                    Err(LakeError::Missing { .. }) if table == PERSONAL_TABLE => continue,
                    opened => opened?,
                };
                let rows = opened.table(objects)?;
                for row in 0..rows.rows() {
                    all.push(stored(&rows, row, opened.name())?);
                }
            }
            Ok(all)
        })
    }

    fn units(&self) -> Result<Vec<Unit>, LakeError> {
        let list = |folder: &str| {
            let entries = self.objects.list(folder);
            entries.map_err(|error| reading(folder, error))
        };
        let folder = format!("{}/clicks", LAKE.root);
        let mut units = Vec::new();
        for day in list(&folder)? {
            let Some(number) = parse_dt(&day.name) else {
                continue;
            };
            let hours = list(&format!("{folder}/{}", day.name))?;
            let hours = hours.iter().filter_map(|hour| parse_hour(&hour.name));
            units.extend(hours.filter_map(|hour| Some(Unit(number.checked_mul(24)? + hour))));
        }
        units.sort_unstable();
        Ok(units)
    }

    fn find_in(&self, view: &View, unit: Unit, id: ClickId) -> Result<Vec<Found>, LakeError> {
        let objects = &*self.objects;
        let received = id.received_at().0;
        let mut found = Vec::new();
        for file in view.files(objects, unit)? {
            let may = file.table == CLICKS_TABLE && (file.low..=file.high).contains(&received);
            if may {
                let opened = view.open_file(objects, &file)?;
                self.find_in_file(view, &file, &opened, id, &mut found)?;
            }
        }
        found.sort_by_key(|found: &Found| found.row.judgement.ordinal);
        Ok(found)
    }

    fn find_in_file(
        &self,
        view: &View,
        listed: &Listed,
        file: &SealedFile,
        id: ClickId,
        found: &mut Vec<Found>,
    ) -> Result<(), LakeError> {
        let objects = &*self.objects;
        let field = At::ClickId as usize;
        let mut before = 0;
        for group in 0..file.groups() {
            if file.may_hold(objects, group, field, &id.bytes())? {
                let ids = file.column(objects, group, field)?;
                for row in rows_with(&ids, id) {
                    found.push(self.found(view, listed, file, (group, row, before))?);
                }
            }
            before += file.group_rows(group);
        }
        Ok(())
    }

    fn found(
        &self,
        view: &View,
        listed: &Listed,
        file: &SealedFile,
        (group, row, before): (usize, usize, usize),
    ) -> Result<Found, LakeError> {
        let one = file.part_table(&*self.objects, group, row..row + 1)?;
        let stored = clicks::stored(&one, 0, file.name())?;
        Ok(Found {
            personal: self.personal_of(view, listed.unit, stored.judgement.ordinal)?,
            row: stored,
            file: file.name().to_owned(),
            file_row: (before + row) as u64,
        })
    }

    /// The personal part of a record, from the file whose ordinals hold it.
    fn personal_of(
        &self,
        view: &View,
        unit: Unit,
        ordinal: Ordinal,
    ) -> Result<Option<StoredPersonal>, LakeError> {
        let objects = &*self.objects;
        for listed in view.files(objects, unit)? {
            let holds = (listed.first..=listed.last).contains(&ordinal);
            if listed.table != PERSONAL_TABLE || !holds {
                continue;
            }
            let file = match view.open_file(objects, &listed) {
                Err(LakeError::Missing { .. }) => return Ok(None),
                file => file?,
            };
            for group in 0..file.groups() {
                let bounds = file.bounds(group, 0);
                if bounds.is_some_and(|(low, high)| !(low..=high).contains(&ordinal.0)) {
                    continue;
                }
                if let Some(row) = row_with(&file.column(objects, group, 0)?, ordinal) {
                    let one = file.part_table(objects, group, row..row + 1)?;
                    return Ok(Some(personal::stored(&one, 0)));
                }
            }
        }
        Ok(None)
    }
}

fn rows_with(ids: &Column, id: ClickId) -> Vec<usize> {
    let Values::Bytes16(values) = &ids.values else {
        return Vec::new();
    };
    let rows = values.iter().enumerate();
    rows.filter(|(_, value)| **value == id.bytes())
        .map(|(row, _)| row)
        .collect()
}

/// The row of an ordinal; rows of a file of personal parts are sorted by it.
fn row_with(ordinals: &Column, Ordinal(ordinal): Ordinal) -> Option<usize> {
    let Values::I64(values) = &ordinals.values else {
        return None;
    };
    values
        .binary_search_by_key(&ordinal, |value| *value as u64)
        .ok()
}
