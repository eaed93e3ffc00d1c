//! The table of personal parts, in files of their own with a shorter life, and the table of
//! records that are no clicks.

use std::net::IpAddr;

use tollgate_click::{Ordinal, Personal};

use super::clicks::LakeRow;
use super::columns::{Coding, Field, GROUP_ROWS, Kind, Schema, Table};
use super::filling::Filling;

const fn bytes(name: &'static str) -> Field {
    Field {
        name,
        kind: Kind::Bytes,
        coding: Coding::Dictionary,
        optional: true,
    }
}

const fn noise(name: &'static str, optional: bool) -> Field {
    Field {
        name,
        kind: Kind::Bytes16,
        coding: Coding::Plain,
        optional,
    }
}

const ORDINAL: Field = Field {
    name: "ordinal",
    kind: Kind::U64,
    coding: Coding::Delta,
    optional: false,
};

/// Personal parts by ordinal. A part that could not be read stands whole in `undecoded`.
pub static PERSONAL: Schema = Schema {
    name: "personal",
    version: 2,
    group_rows: GROUP_ROWS,
    fields: &[
        ORDINAL,
        noise("digest", false),
        noise("salt", true),
        Field {
            coding: Coding::Plain,
            ..bytes("address")
        },
        bytes("agent"),
        bytes("referrer"),
        bytes("language"),
        bytes("sub1"),
        bytes("sub2"),
        bytes("sub3"),
        bytes("sub4"),
        bytes("sub5"),
        bytes("undecoded"),
    ],
};

/// Records that are no readable clicks, as their bytes: ticks, marks, control records, damage.
pub static RECORDS: Schema = Schema {
    name: "records",
    version: 2,
    group_rows: GROUP_ROWS,
    fields: &[
        ORDINAL,
        Field {
            name: "at",
            kind: Kind::Time,
            coding: Coding::Delta,
            optional: false,
        },
        Field {
            name: "facts",
            kind: Kind::Bytes,
            coding: Coding::Dictionary,
            optional: false,
        },
    ],
};

/// A personal part as it is read back.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StoredPersonal {
    /// The click's number in its partition.
    pub ordinal: Ordinal,
    /// What the facts carried to tie this part to them.
    pub digest: [u8; 16],
    /// The encoded part, as it came; none when it was gone before the lake got it.
    pub part: Option<Vec<u8>>,
}

/// Appends a row to a table of [`PERSONAL`].
pub(crate) fn push(table: &mut Filling, row: &LakeRow<'_>) {
    table.begin();
    table.long(0, row.judgement.ordinal.0);
    table.sixteen(1, row.facts.personal_digest);
    let decoded = row.personal.map(Personal::decode);
    let Some(Ok(personal)) = decoded else {
        table.none(2..=11);
        match row.personal {
            Some(undecoded) => table.string(12, undecoded),
            None => table.none(12..=12),
        }
        return;
    };
    table.sixteen(2, personal.salt);
    match personal.address {
        None => table.none(3..=3),
        Some(IpAddr::V4(address)) => table.string(3, &address.octets()),
        Some(IpAddr::V6(address)) => table.string(3, &address.octets()),
    }
    table.string(4, personal.agent);
    table.string(5, personal.referrer);
    table.string(6, personal.language);
    for (field, sub) in (7..).zip(personal.subs) {
        match sub {
            Some(sub) => table.string(field, sub),
            None => table.none(field..=field),
        }
    }
    table.none(12..=12);
}

/// A row of the table.
pub(crate) fn stored(table: &Table, row: usize) -> StoredPersonal {
    StoredPersonal {
        ordinal: Ordinal(table.u64(0, row)),
        digest: table.bytes16(1, row),
        part: stored_part(table, row),
    }
}

fn stored_part(table: &Table, row: usize) -> Option<Vec<u8>> {
    if table.has(12, row) {
        return Some(table.bytes(12, row).to_vec());
    }
    if !table.has(2, row) {
        return None;
    }
    let address = table.bytes(3, row);
    let four = <[u8; 4]>::try_from(address).ok().map(IpAddr::from);
    let sixteen = <[u8; 16]>::try_from(address).ok().map(IpAddr::from);
    let sub = |field: usize| table.has(field, row).then(|| table.bytes(field, row));
    let personal = Personal {
        salt: table.bytes16(2, row),
        address: four.or(sixteen),
        agent: table.bytes(4, row),
        referrer: table.bytes(5, row),
        language: table.bytes(6, row),
        subs: [sub(7), sub(8), sub(9), sub(10), sub(11)],
    };
    let mut part = Vec::new();
    personal.encode(&mut part);
    Some(part)
}

/// The numbers of the rows by ordinal.
pub(crate) fn order(table: &Table) -> Vec<u32> {
    let mut rows: Vec<u32> = (0..table.rows() as u32).collect();
    rows.sort_unstable_by_key(|row| table.u64(0, *row as usize));
    rows
}
