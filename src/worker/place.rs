//! The log's bookmarks in the bytes that stores keep: 8 of position, big-endian.

use tollgate_log::Cursor;
use tollgate_store::ledger;

/// As the ledger keeps it.
pub(super) fn of(cursor: Cursor) -> ledger::Cursor {
    ledger::Cursor {
        incarnation: cursor.incarnation,
        position: cursor.position.to_be_bytes().to_vec(),
    }
}

/// As the log knows it; none before the first commit.
pub(super) fn back(cursor: &ledger::Cursor) -> Option<Cursor> {
    let position = <[u8; 8]>::try_from(cursor.position.as_slice()).ok()?;
    Some(Cursor {
        incarnation: cursor.incarnation,
        position: u64::from_be_bytes(position),
    })
}
