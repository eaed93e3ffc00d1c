//! Clicks that are being counted: shown piece by piece, and added up and written at a cut.
//!
//! Counting a click is writing down its cell. Cells are added up by who needs the sums, all at
//! once: sorting many is cheaper for each than looking each one up.

use std::sync::{Arc, OnceLock};

use tollgate_click::{ClickFacts, Judgement};

use super::adding::Sums;
use super::cells::Cell;
use super::names::Names;
use crate::lake::columns::Table;
use crate::lake::{Event, LakeError};

/// Cells since the last cut, one a click.
pub(crate) struct Filling {
    names: Names,
    /// Those that are not shown yet.
    cells: Vec<Cell>,
    /// Those that are, a piece each time.
    shown: Vec<Arc<Piece>>,
    /// The sum of all charges: as long as it fits 64 bits, so does the charge of every cell.
    charged: u64,
}

/// Cells that readers see before they are in files.
pub(crate) struct Piece {
    cells: Vec<Cell>,
    names: Names,
    /// Made by the first reader: counting must not wait for it.
    table: OnceLock<Option<Table>>,
}

impl Filling {
    pub(crate) fn new() -> Filling {
        Filling {
            names: Names::new(),
            cells: Vec::new(),
            shown: Vec::new(),
            charged: 0,
        }
    }

    /// Counts a click or impression.
    pub(crate) fn count(
        &mut self,
        event: Event,
        facts: &ClickFacts,
        judgement: &Judgement,
        reason: &str,
    ) -> Result<(), LakeError> {
        let charge = judgement.charge.0.unsigned_abs();
        let charged = self.charged.checked_add(charge);
        let charged = charged.filter(|charged| *charged <= i64::MAX as u64);
        self.charged = charged.ok_or(LakeError::Overflow)?;
        let cell = self.names.cell(event, facts, judgement, reason);
        self.cells.push(cell);
        Ok(())
    }

    /// What was counted since the last piece; none if that is nothing.
    pub(crate) fn show(&mut self) -> Option<Arc<Piece>> {
        if self.cells.is_empty() {
            return None;
        }
        let piece = Arc::new(Piece {
            cells: std::mem::take(&mut self.cells),
            names: self.names.clone(),
            table: OnceLock::new(),
        });
        self.shown.push(Arc::clone(&piece));
        Some(piece)
    }

    /// All cells since the last cut; they stay until [`Self::clear`].
    ///
    /// # Errors
    ///
    /// [`LakeError::Overflow`], which counting has made sure of.
    pub(crate) fn sums(&self) -> Result<Sums<'_>, LakeError> {
        let shown = self.shown.iter().flat_map(|piece| &piece.cells);
        Sums::of(&self.names, shown.chain(&self.cells))
    }

    /// Begins anew: the cells are in files.
    pub(crate) fn clear(&mut self) {
        self.cells.clear();
        // Room that readers have given back: new memory costs more than what is written to it.
        for piece in self.shown.drain(..).filter_map(Arc::into_inner) {
            if piece.cells.capacity() > self.cells.capacity() {
                self.cells = piece.cells;
                self.cells.clear();
            }
        }
        self.charged = 0;
    }
}

impl Piece {
    /// The cells as a table of minutes.
    ///
    /// # Errors
    ///
    /// [`LakeError::Overflow`], which counting has made sure of.
    pub(crate) fn table(&self) -> Result<&Table, LakeError> {
        let sums = || Sums::of(&self.names, self.cells.iter());
        let made = self
            .table
            .get_or_init(|| sums().ok().map(|sums| sums.table()));
        made.as_ref().ok_or(LakeError::Overflow)
    }
}
