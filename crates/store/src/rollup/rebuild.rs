//! One damaged file of the rollups, made again: from the log, or from the minutes it stands for.

use std::sync::Arc;

use tollgate_click::{ClickFacts, Judgement, Ordinal, PartitionId};

use super::adding::add_up;
use super::filling::Filling;
use super::shapes::OF_DAY;
use super::writer::{MINUTES_TABLE, ROLLUP, UNIQUES_TABLE, table_of};
use crate::lake::listing::Listed;
use crate::lake::rebuild::{Rebuilt, finish};
use crate::lake::shelf::Shelf;
use crate::lake::view::View;
use crate::lake::{Event, LakeError, Objects};

/// A file of the rollups while it is made again. Only for the holder of the partition's lease. A
/// file of `rollup/months` is made again by [`RollupWriter::fold`](super::RollupWriter::fold).
pub struct RollupRebuild {
    view: View,
    shelf: Shelf,
    listed: Listed,
    name: String,
    filling: Filling,
}

impl RollupRebuild {
    /// Begins with the file of that name, as the error says it.
    ///
    /// # Errors
    ///
    /// As [`LakeRebuild::begin`](crate::lake::LakeRebuild::begin).
    pub fn begin(
        objects: Arc<dyn Objects>,
        partition: PartitionId,
        name: &str,
    ) -> Result<RollupRebuild, LakeError> {
        let view = View::open(&*objects, &ROLLUP, partition)?;
        Ok(RollupRebuild {
            listed: view.listed(&*objects, name)?,
            view,
            shelf: Shelf::open(objects, &ROLLUP, partition)?,
            name: name.to_owned(),
            filling: Filling::new(),
        })
    }

    /// The first and the last of the records that must be counted; others are passed over. None
    /// when the file is made from minutes that are there: finish at once.
    pub fn ordinals(&self) -> Option<(Ordinal, Ordinal)> {
        let from_log = [MINUTES_TABLE, UNIQUES_TABLE].contains(&self.listed.table);
        from_log.then_some((self.listed.first, self.listed.last))
    }

    /// Counts a click or impression, as [`RollupWriter::count`](super::RollupWriter::count) does.
    ///
    /// # Errors
    ///
    /// [`LakeError::Overflow`].
    pub fn count(
        &mut self,
        event: Event,
        facts: &ClickFacts,
        judgement: &Judgement,
        reason: &str,
    ) -> Result<(), LakeError> {
        let day = ROLLUP.unit.of(facts.reported_at().minute().start());
        let is_wanted = (self.listed.first..=self.listed.last).contains(&judgement.ordinal);
        if is_wanted && day == self.listed.unit {
            self.filling.count(event, facts, judgement, reason)?;
        }
        Ok(())
    }

    /// Sets the damaged file aside and writes it anew.
    ///
    /// # Errors
    ///
    /// As [`LakeRebuild::finish`](crate::lake::LakeRebuild::finish); also those of the minutes it
    /// is made from.
    pub fn finish(mut self) -> Result<Rebuilt, LakeError> {
        let rows = match self.listed.table {
            MINUTES_TABLE => self.filling.sums()?.table(),
            UNIQUES_TABLE => self.filling.sums()?.sketches().clone(),
            table => {
                let objects = &*self.shelf.objects;
                let minutes = self.view.sibling(objects, &self.listed, MINUTES_TABLE)?;
                let rows = self.view.open_file(objects, &minutes)?.verified(objects)?;
                let mut levels = OF_DAY.iter();
                let level = levels.find(|level| table_of(level.schema) == table);
                let level = level.ok_or_else(|| LakeError::corrupt(&self.name, "no such table"))?;
                add_up(&rows, &level.shape)?
            }
        };
        finish(&mut self.shelf, &self.listed, self.name, &rows)
    }
}
