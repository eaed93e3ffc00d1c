//! The log's bookmarks in the bytes that stores keep.

use tollgate_log::Cursor;
use tollgate_store::ledger;

/// As the ledger keeps it: 8 bytes of position, big-endian.
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

/// As snapshots keep it: 8 bytes of incarnation and 8 of position, big-endian.
pub(super) fn bytes(cursor: Cursor) -> Vec<u8> {
    let bytes = [
        cursor.incarnation.to_be_bytes(),
        cursor.position.to_be_bytes(),
    ];
    bytes.concat()
}

/// The same, read back.
pub(super) fn of_bytes(bytes: &[u8]) -> Option<Cursor> {
    let (incarnation, position) = bytes.split_first_chunk::<8>()?;
    Some(Cursor {
        incarnation: u64::from_be_bytes(*incarnation),
        position: u64::from_be_bytes(position.try_into().ok()?),
    })
}
