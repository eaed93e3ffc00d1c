//! How many different visitors: HyperLogLog sketches per campaign and hour, which can be joined.
//! An estimate, never used for money.
//!
//! A visitor is a pseudonym of address and agent; who clicks before and after a change of the
//! pseudonym key counts twice. Only clicks that count in `total_net` are visitors.

use std::collections::BTreeMap;

use datasketches::hll::{HllSketch, HllType, HllUnion};
use tollgate_click::{ClickFacts, Judgement};

use super::groups::Groups;
use crate::lake::columns::{Coding, Field, Kind, Schema, Table, Value};
use crate::lake::{Event, LakeError};

/// 2^11 registers of a byte: a standard error of 2.3%, and 2 KiB for a campaign's busy hour.
const LG_K: u8 = 11;

/// Sketches by advertiser, campaign and first minute of the hour.
pub static UNIQUES: Schema = Schema {
    name: "uniques",
    version: 1,
    fields: &[
        Field {
            name: "advertiser",
            kind: Kind::U32,
            coding: Coding::Dictionary,
            optional: false,
        },
        Field {
            name: "campaign",
            kind: Kind::U64,
            coding: Coding::Dictionary,
            optional: false,
        },
        Field {
            name: "minute",
            kind: Kind::U32,
            coding: Coding::Delta,
            optional: false,
        },
        Field {
            name: "sketch",
            kind: Kind::Bytes,
            coding: Coding::Plain,
            optional: false,
        },
    ],
};

/// Place of the column `sketch`.
pub(crate) const SKETCH: usize = 3;

/// Sketches that are being filled.
pub(crate) struct Visitors {
    groups: Groups,
    sketches: Vec<HllSketch>,
}

impl Visitors {
    pub(crate) fn new() -> Visitors {
        Visitors {
            groups: Groups::new(2),
            sketches: Vec::new(),
        }
    }

    pub(crate) fn count(
        &mut self,
        event: Event,
        facts: &ClickFacts,
        judgement: &Judgement,
    ) -> Result<(), LakeError> {
        if event != Event::Click || !judgement.outcome.in_total_net() {
            return Ok(());
        }
        let minute = facts.reported_at().minute().0;
        let hour = u64::from(minute - minute % 60);
        let key = [
            (u64::from(facts.advertiser.0) << 32) | hour,
            facts.campaign.0,
        ];
        let number = self.groups.number(&key);
        if number == self.sketches.len() {
            self.sketches.push(empty()?);
        }
        if let Some(sketch) = self.sketches.get_mut(number) {
            // Both are uniform already; turned, so that equal halves do not cancel.
            let visitor = facts.pseudonyms.address ^ facts.pseudonyms.agent.rotate_left(29);
            sketch.update(visitor);
        }
        Ok(())
    }

    /// The sketches as a table of [`UNIQUES`].
    pub(crate) fn table(&self) -> Table {
        let keys = self.groups.keys().map(|key| match *key {
            [who, campaign] => ((who >> 32) as u32, campaign, who as u32),
            _ => (0, 0, 0), // all keys have two words
        });
        let sketches: BTreeMap<_, _> = keys.zip(&self.sketches).collect();
        let mut table = Table::new(&UNIQUES);
        for ((advertiser, campaign, minute), sketch) in sketches {
            push(
                &mut table,
                (advertiser, campaign, minute),
                &sketch.serialize(),
            );
        }
        table
    }
}

/// Joins sketches of the same campaign and hour.
pub(crate) fn join(rows: &Table) -> Result<Table, LakeError> {
    let mut unions: BTreeMap<(u32, u64, u32), Vec<usize>> = BTreeMap::new();
    for row in 0..rows.rows() {
        let key = (
            rows.u64(0, row) as u32,
            rows.u64(1, row),
            rows.u64(2, row) as u32,
        );
        unions.entry(key).or_default().push(row);
    }
    let mut table = Table::new(&UNIQUES);
    for (key, found) in unions {
        if let [row] = found.as_slice() {
            push(&mut table, key, rows.bytes(SKETCH, *row));
            continue;
        }
        let mut union = Union::new()?;
        for row in found {
            union.add(rows.bytes(SKETCH, row))?;
        }
        push(
            &mut table,
            key,
            &union.0.to_sketch(HllType::Hll8).serialize(),
        );
    }
    Ok(table)
}

/// Sketches that are joined.
pub(crate) struct Union(HllUnion);

impl Union {
    pub(crate) fn new() -> Result<Union, LakeError> {
        HllUnion::new(LG_K).map(Union).map_err(broken)
    }

    /// Adds a stored sketch.
    pub(crate) fn add(&mut self, sketch: &[u8]) -> Result<(), LakeError> {
        self.0
            .update(&HllSketch::deserialize(sketch).map_err(broken)?);
        Ok(())
    }

    /// About how many visitors.
    pub(crate) fn estimate(&self) -> u64 {
        self.0.estimate().round() as u64
    }
}

fn empty() -> Result<HllSketch, LakeError> {
    HllSketch::new(LG_K, HllType::Hll8).map_err(broken)
}

fn broken(error: impl ToString) -> LakeError {
    LakeError::corrupt("a sketch of visitors", error)
}

fn push(table: &mut Table, (advertiser, campaign, minute): (u32, u64, u32), sketch: &[u8]) {
    table.push([
        Value::U32(advertiser),
        Value::U64(campaign),
        Value::U32(minute),
        Value::Bytes(sketch),
    ]);
}
