//! One damaged file of the lake, made again from the log.
//!
//! Who meets [`LakeError::Corrupt`] with the name of a file, or [`LakeError::Missing`], replays the
//! log over the file's ordinals, from the newest snapshot before them, and pushes what the core
//! says. The file is a function of these records, so it comes out as it was.

use std::sync::Arc;

use tollgate_click::{Millis, Ordinal, PartitionId};

use super::clicks::LakeRow;
use super::columns::Columns;
use super::errors::LakeError;
use super::listing::Listed;
use super::objects::Objects;
use super::shelf::{Sheet, Shelf};
use super::view::View;
use super::writer::{LAKE, Rows};

/// A file of the lake while it is made again. Only for the holder of the partition's lease.
pub struct LakeRebuild {
    shelf: Shelf,
    listed: Listed,
    name: String,
    rows: Rows,
}

/// What became of a rebuild.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Rebuilt {
    /// The file.
    pub name: String,
    /// Its rows.
    pub rows: u64,
    /// Where the damaged one lies; none when it was missing, or whole after all.
    pub set_aside: Option<String>,
}

impl LakeRebuild {
    /// Begins with the file of that name, as the error says it.
    ///
    /// # Errors
    ///
    /// [`LakeError::Missing`] when no list of the partition names such a file: it belongs to a
    /// batch that is not committed, and comes anew with that batch. [`LakeError::Corrupt`] and
    /// [`LakeError::Io`] for the lists themselves.
    pub fn begin(
        objects: Arc<dyn Objects>,
        partition: PartitionId,
        name: &str,
    ) -> Result<LakeRebuild, LakeError> {
        let listed = View::open(&*objects, &LAKE, partition)?.listed(&*objects, name)?;
        Ok(LakeRebuild {
            shelf: Shelf::open(objects, &LAKE, partition)?,
            listed,
            name: name.to_owned(),
            rows: Rows::new(),
        })
    }

    /// The first and the last of the records that must be pushed; others are passed over.
    pub fn ordinals(&self) -> (Ordinal, Ordinal) {
        (self.listed.first, self.listed.last)
    }

    /// Takes a click or impression, as [`LakeWriter::push`](super::LakeWriter::push) does.
    pub fn push(&mut self, row: &LakeRow<'_>) {
        let at = row.facts.click_id.received_at();
        if self.wants(row.judgement.ordinal, at) {
            self.rows.push(row, &mut String::new());
        }
    }

    /// Takes a record that is no readable click, as
    /// [`LakeWriter::push_record`](super::LakeWriter::push_record) does.
    pub fn push_record(&mut self, ordinal: Ordinal, clock: Millis, facts: &[u8]) {
        if self.wants(ordinal, clock) {
            self.rows.push_record(ordinal, clock, facts);
        }
    }

    /// Sets the damaged file aside and writes it anew.
    ///
    /// # Errors
    ///
    /// [`LakeError::Different`] when the log gives another number of rows than the file had, or
    /// when the file is there, whole, with other rows; nothing was changed. [`LakeError::Io`]: try
    /// again.
    pub fn finish(mut self) -> Result<Rebuilt, LakeError> {
        let rows = self.rows.of_table(self.listed.table);
        finish(&mut self.shelf, &self.listed, self.name, &rows)
    }

    fn wants(&self, ordinal: Ordinal, at: Millis) -> bool {
        let (first, last) = self.ordinals();
        (first..=last).contains(&ordinal) && LAKE.unit.of(at) == self.listed.unit
    }
}

/// Writes rows in the place of a damaged file.
pub(crate) fn finish(
    shelf: &mut Shelf,
    listed: &Listed,
    name: String,
    rows: &dyn Columns,
) -> Result<Rebuilt, LakeError> {
    if rows.rows() as u64 != listed.rows {
        return Err(LakeError::Different { name });
    }
    shelf.put(&Sheet {
        table: listed.table,
        unit: listed.unit,
        ordinals: (listed.first, listed.last),
        rows,
        bounds: (listed.low, listed.high),
    })?;
    Ok(Rebuilt {
        name,
        rows: listed.rows,
        set_aside: shelf.take_set_aside().pop(),
    })
}
