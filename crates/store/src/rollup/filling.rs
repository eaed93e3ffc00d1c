//! Cells that are being filled: counted, shown piece by piece, and written as a whole at a cut.

use std::sync::{Arc, OnceLock};

use tollgate_click::{ClickFacts, Judgement};

use super::cells::{Cell, Names, add_equal};
use crate::lake::columns::Table;
use crate::lake::{Event, LakeError};

/// Cells since the last cut.
pub(crate) struct Filling {
    names: Names,
    /// Those that are not shown yet.
    cells: Vec<Cell>,
    /// Those that are, a piece each time, sorted.
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
    pub(crate) fn show(&mut self) -> Result<Option<Arc<Piece>>, LakeError> {
        if self.cells.is_empty() {
            return Ok(None);
        }
        add_equal(&mut self.cells)?;
        let piece = Arc::new(Piece {
            cells: std::mem::take(&mut self.cells),
            names: self.names.clone(),
            table: OnceLock::new(),
        });
        self.shown.push(Arc::clone(&piece));
        Ok(Some(piece))
    }

    /// All cells since the last cut, added up; they stay until [`Self::clear`].
    pub(crate) fn whole(&self) -> Result<Table, LakeError> {
        let pieces = self.shown.iter().map(|piece| piece.cells.as_slice());
        let cells: Vec<&[Cell]> = pieces.chain([self.cells.as_slice()]).collect();
        self.names.table_of(cells.concat())
    }

    /// Begins anew: the cells are in files.
    pub(crate) fn clear(&mut self) {
        self.cells.clear();
        self.shown.clear();
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
        let made = self
            .table
            .get_or_init(|| self.names.table_of(self.cells.clone()).ok());
        made.as_ref().ok_or(LakeError::Overflow)
    }
}
