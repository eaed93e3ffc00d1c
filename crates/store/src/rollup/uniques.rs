//! How many different visitors: sketches per campaign and hour, which can be joined. An estimate,
//! never used for money.
//!
//! A visitor is a pseudonym of address and agent; who clicks before and after a change of the
//! pseudonym key counts twice. Only clicks that count in `total_net` are visitors.

use tollgate_click::{ClickFacts, Judgement};

use super::sketch::{self, Union};
use crate::lake::columns::{Coding, Field, Kind, Schema, Table, Value};
use crate::lake::{Event, LakeError};

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
    version: 1,
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

/// Visits that are kept before equal ones are joined.
const LOOSE_MAX: usize = 1 << 18;

/// What a visitor leaves: in the order of a file, and then by register and rank.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Visit {
    advertiser: u32,
    hour: u32,
    campaign: u64,
    register: u16,
    rank: u8,
}

/// Visitors since the last cut.
pub(crate) struct Visitors {
    visits: Vec<Visit>,
    /// How many of them were joined.
    joined: usize,
}

impl Visitors {
    pub(crate) fn new() -> Visitors {
        Visitors {
            visits: Vec::new(),
            joined: 0,
        }
    }

    pub(crate) fn count(&mut self, event: Event, facts: &ClickFacts, judgement: &Judgement) {
        if event != Event::Click || !judgement.outcome.in_total_net() {
            return;
        }
        let minute = facts.reported_at().minute().0;
        // Turned, so that equal halves do not cancel.
        let visitor = facts.pseudonyms.address ^ facts.pseudonyms.agent.rotate_left(29);
        let (register, rank) = sketch::register(visitor);
        self.visits.push(Visit {
            advertiser: facts.advertiser.0,
            campaign: facts.campaign.0,
            hour: minute - minute % 60,
            register,
            rank,
        });
        if self.visits.len() - self.joined > LOOSE_MAX.max(self.joined) {
            self.join();
        }
    }

    /// The sketches as a table of [`UNIQUES`]; the visitors stay until [`Self::clear`].
    pub(crate) fn table(&mut self) -> Table {
        self.join();
        let mut table = Table::new(&UNIQUES);
        let place = |visit: &Visit| (visit.advertiser, visit.campaign, visit.hour);
        for visits in self
            .visits
            .chunk_by(|one, other| place(one) == place(other))
        {
            let registers = visits.iter().map(|visit| (visit.register, visit.rank));
            let registers: Vec<(u16, u8)> = registers.collect();
            if let Some(first) = visits.first() {
                push(&mut table, place(first), &sketch::encode(&registers));
            }
        }
        table
    }

    /// Begins anew: the visitors are in files.
    pub(crate) fn clear(&mut self) {
        self.visits.clear();
        self.joined = 0;
    }

    /// Leaves the greatest rank of every register.
    fn join(&mut self) {
        let key = |visit: &Visit| {
            let Visit {
                advertiser,
                hour,
                campaign,
                register,
                rank,
            } = *visit;
            let who = u128::from(advertiser) << 96 | u128::from(campaign) << 32 | u128::from(hour);
            (who, u32::from(register) << 8 | u32::from(!rank))
        };
        // The greatest rank of a register comes first. Stable, because that sort is fast on what
        // is sorted in pieces.
        self.visits.sort_by_key(key);
        let place = |visit: &Visit| (key(visit).0, visit.register);
        self.visits
            .dedup_by(|next, first| place(next) == place(first));
        self.joined = self.visits.len();
    }
}

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

fn push(table: &mut Table, (advertiser, campaign, minute): (u32, u64, u32), sketch: &[u8]) {
    table.push([
        Value::U32(advertiser),
        Value::U64(campaign),
        Value::U32(minute),
        Value::Bytes(sketch),
    ]);
}
