//! How many different visitors: sketches per campaign and hour, which can be joined. An estimate,
//! never used for money.
//!
//! A visitor is a pseudonym of address and agent; who clicks before and after a change of the
//! pseudonym key counts twice. Only clicks that count in `total_net` are visitors.

use super::sketch::Union;
use crate::lake::LakeError;
use crate::lake::columns::{Coding, Field, Kind, Schema, Table, Value};

const fn field(name: &'static str, kind: Kind, coding: Coding) -> Field {
    Field {
        name,
        kind,
        coding,
        optional: false,
    }
}

/// Sketches by advertiser, campaign and first minute of the hour.
pub static UNIQUES: Schema = Schema {
    name: "uniques",
    version: 2,
    group_rows: GROUP_ROWS_MAX,
    fields: &[
        field("advertiser", Kind::U32, Coding::Dictionary),
        field("campaign", Kind::U64, Coding::Dictionary),
        field("minute", Kind::U32, Coding::Delta),
        field("sketch", Kind::Bytes, Coding::Plain),
    ],
};

/// Sketches are long: fewer of them are read for one campaign than of cells.
const GROUP_ROWS_MAX: usize = 1 << 12;

/// Place of the column `sketch`.
pub(crate) const SKETCH: usize = 3;

/// Advertiser, campaign and first minute of the hour.
pub(crate) type Place = (u32, u64, u32);

/// Joins sketches of the same campaign and hour.
pub(crate) fn join(rows: &Table) -> Result<Table, LakeError> {
    let key = |row: usize| {
        let (advertiser, campaign) = (rows.u64(0, row) as u32, rows.u64(1, row));
        (advertiser, campaign, rows.u64(2, row) as u32)
    };
    let mut order: Vec<usize> = (0..rows.rows()).collect();
    order.sort_by_key(|row| key(*row));
    let mut table = Table::new(&UNIQUES);
    for found in order.chunk_by(|one, other| key(*one) == key(*other)) {
        let mut union = Union::new();
        for row in found {
            union.add(rows.bytes(SKETCH, *row)).ok_or_else(broken)?;
        }
        if let Some(first) = found.first() {
            push(&mut table, key(*first), &union.encode());
        }
    }
    Ok(table)
}

/// The error of bytes that are no sketch.
pub(crate) fn broken() -> LakeError {
    LakeError::corrupt("a sketch of visitors", "it is no sketch")
}

/// Appends a sketch with its place to a table of [`UNIQUES`].
pub(crate) fn push(table: &mut Table, (advertiser, campaign, minute): Place, sketch: &[u8]) {
    table.push([
        Value::U32(advertiser),
        Value::U64(campaign),
        Value::U32(minute),
        Value::Bytes(sketch),
    ]);
}
