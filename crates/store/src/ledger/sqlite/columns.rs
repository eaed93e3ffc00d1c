//! From columns to values and back: what a column can hold but its value cannot is a fault.

use rusqlite::types::FromSql;
use rusqlite::{ErrorCode, Row};

use crate::ledger::errors::{Fault, LedgerError, Place};
use crate::ledger::hash::Hash;

/// What an error of SQLite means to the caller; `place` is what was being read or written.
pub(super) fn engine(place: Place) -> impl FnOnce(rusqlite::Error) -> LedgerError {
    move |error| {
        let Some(code) = error.sqlite_error_code() else {
            // A value that has not the type of its column.
            return Fault::new(place, "row", "readable columns", error).into();
        };
        match code {
            ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked => LedgerError::Busy,
            ErrorCode::DiskFull => LedgerError::Full(error.to_string()),
            ErrorCode::ReadOnly => LedgerError::ReadOnly,
            ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase => {
                Fault::new(place, "file", "a sound SQLite file", error).into()
            }
            // Everything was checked before it was written: the rows contradict each other.
            ErrorCode::ConstraintViolation => {
                Fault::new(place, "row", "rows that keep the schema's rules", error).into()
            }
            _ => LedgerError::Uncertain(error.to_string()),
        }
    }
}

/// The columns of one row, which lies at `place`.
pub(super) struct Columns<'r, 'c> {
    pub(super) row: &'r Row<'c>,
    pub(super) place: Place,
}

impl Columns<'_, '_> {
    pub(super) fn get<T: FromSql>(&self, index: usize) -> Result<T, LedgerError> {
        self.row.get(index).map_err(engine(self.place))
    }

    /// A number without a sign, kept as it is.
    pub(super) fn unsigned<T: TryFrom<i64>>(&self, index: usize) -> Result<T, LedgerError> {
        let value: i64 = self.get(index)?;
        T::try_from(value).map_err(|_| {
            let what = "number";
            Fault::new(self.place, what, "one within its range", value).into()
        })
    }

    /// A number of 64 bits without a sign, kept as the signed number of the same bits.
    pub(super) fn bits(&self, index: usize) -> Result<u64, LedgerError> {
        self.get(index).map(i64::cast_unsigned)
    }

    pub(super) fn hash(&self, index: usize) -> Result<Hash, LedgerError> {
        self.get(index).map(Hash)
    }

    /// Compares the row's seal with the one over what was read.
    pub(super) fn sealed<T>(
        &self,
        index: usize,
        value: T,
        seal: impl FnOnce(&T) -> i64,
    ) -> Result<T, LedgerError> {
        let found: i64 = self.get(index)?;
        Fault::unless_equal(self.place, "seal over the row", seal(&value), found)?;
        Ok(value)
    }
}
