//! Cells of a rollup: how many clicks of one kind in one minute, and what they cost.
//!
//! All rollup tables have the same columns. A coarser one has the first minute of its hour in
//! `minute`, and zero or nothing in dimensions that it does not keep.

use tollgate_click::{AgentClass, ClickFacts, Currency, Judgement, Outcome};

use super::groups::Groups;
use crate::lake::columns::{Coding, Field, Kind, Schema, Table, Value, Values};
use crate::lake::{Event, LakeError};

const fn field(name: &'static str, kind: Kind, coding: Coding) -> Field {
    Field {
        name,
        kind,
        coding,
        optional: false,
    }
}

const FIELDS: &[Field] = &[
    field("advertiser", Kind::U32, Coding::Dictionary),
    field("campaign", Kind::U64, Coding::Dictionary),
    field("minute", Kind::U32, Coding::Delta),
    field("publisher", Kind::U32, Coding::Dictionary),
    field("ad", Kind::U64, Coding::Dictionary),
    field("placement", Kind::U64, Coding::Dictionary),
    field("event", Kind::Word, Coding::Dictionary),
    field("country", Kind::Word, Coding::Dictionary),
    field("agent_class", Kind::Word, Coding::Dictionary),
    field("outcome", Kind::Word, Coding::Dictionary),
    field("reason", Kind::Word, Coding::Dictionary),
    field("currency", Kind::Word, Coding::Dictionary),
    field("clicks", Kind::U64, Coding::Dictionary),
    field("charge_micros", Kind::I64, Coding::Dictionary),
];

/// Places of the columns.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum At {
    Advertiser,
    Campaign,
    Minute,
    Publisher,
    Ad,
    Placement,
    Event,
    Country,
    AgentClass,
    Outcome,
    Reason,
    Currency,
    Clicks,
    Charge,
}

/// Columns that say which cell it is; the others are sums.
pub(crate) const KEYS: usize = At::Clicks as usize;

/// Per minute, over all dimensions.
pub static MINUTES: Schema = Schema {
    name: "minutes",
    version: 1,
    fields: FIELDS,
};

/// Per hour, over all dimensions.
pub static HOURS: Schema = Schema {
    name: "hours",
    version: 1,
    fields: FIELDS,
};

/// Per hour, over advertiser, campaign, event, outcome and currency.
pub static CAMPAIGNS: Schema = Schema {
    name: "campaigns",
    version: 1,
    fields: FIELDS,
};

/// Columns that [`CAMPAIGNS`] keeps.
pub(crate) const KEPT_BY_CAMPAIGNS: [At; 6] = [
    At::Advertiser,
    At::Campaign,
    At::Minute,
    At::Event,
    At::Outcome,
    At::Currency,
];

/// Cells that are being filled.
pub(crate) struct Filling {
    groups: Groups,
    clicks: Vec<u64>,
    charges: Vec<i64>,
    reasons: Vec<String>,
}

impl Filling {
    pub(crate) fn new() -> Filling {
        Filling {
            groups: Groups::new(6),
            clicks: Vec::new(),
            charges: Vec::new(),
            reasons: vec![String::new()],
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
        let letters = facts
            .country
            .code()
            .map_or([0, 0], |code| code.map(|it| it as u8));
        let currency = judgement.currency.map_or([0; 3], Currency::bytes);
        let [a, b, c] = currency.map(u64::from);
        let [first, second] = letters.map(u64::from);
        let minute = facts.reported_at().minute();
        let key = [
            facts.campaign.0,
            facts.ad.0,
            facts.placement.0,
            (u64::from(facts.advertiser.0) << 32) | u64::from(facts.publisher.0),
            (u64::from(minute.0) << 32) | (a << 16) | (b << 8) | c,
            (self.reason(reason) << 40)
                | (first << 32)
                | (second << 24)
                | ((event as u64) << 16)
                | ((facts.agent_class as u64) << 8)
                | judgement.outcome as u64,
        ];
        let cell = self.groups.number(&key);
        if cell == self.clicks.len() {
            self.clicks.push(0);
            self.charges.push(0);
        }
        let (Some(clicks), Some(charge)) = (self.clicks.get_mut(cell), self.charges.get_mut(cell))
        else {
            return Err(LakeError::Overflow);
        };
        let sum = charge
            .checked_add(judgement.charge.0)
            .ok_or(LakeError::Overflow)?;
        *clicks = clicks.checked_add(1).ok_or(LakeError::Overflow)?;
        *charge = sum;
        Ok(())
    }

    /// Takes the cells out, as a table of [`MINUTES`].
    pub(crate) fn take(&mut self) -> Result<Table, LakeError> {
        let full = std::mem::replace(self, Filling::new());
        let mut table = Table::new(&MINUTES);
        let sums = full.clicks.iter().zip(&full.charges);
        for (key, (clicks, charge)) in full.groups.keys().zip(sums) {
            full.push(key, *clicks, *charge, &mut table);
        }
        Ok(table)
    }

    fn push(&self, key: &[u64], clicks: u64, charge: i64, table: &mut Table) {
        let [campaign, ad, placement, who, when, what] = *key else {
            return; // all keys have six words
        };
        let byte = |word: u64, shift: u32| (word >> shift) as u8;
        let text = |bytes: &[u8]| {
            let is_set = bytes.first() != Some(&0);
            let text = is_set.then(|| std::str::from_utf8(bytes).ok());
            text.flatten().unwrap_or_default().to_owned()
        };
        let letters = text(&[byte(what, 32), byte(what, 24)]);
        let currency = text(&[byte(when, 16), byte(when, 8), byte(when, 0)]);
        let event = if byte(what, 16) == Event::Click as u8 {
            Event::Click
        } else {
            Event::Impression
        };
        let class = AgentClass::ALL.get(usize::from(byte(what, 8)));
        let outcome = Outcome::ALL.get(usize::from(byte(what, 0)));
        let reason = self.reasons.get((what >> 40) as usize);
        table.push([
            Value::U32((who >> 32) as u32),
            Value::U64(campaign),
            Value::U32((when >> 32) as u32),
            Value::U32(who as u32),
            Value::U64(ad),
            Value::U64(placement),
            Value::Word(event.name()),
            Value::Word(&letters),
            Value::Word(class.map_or("", |class| class.name())),
            Value::Word(outcome.map_or("", |outcome| outcome.name())),
            Value::Word(reason.map_or("", String::as_str)),
            Value::Word(&currency),
            Value::U64(clicks),
            Value::I64(charge),
        ]);
    }

    /// A number for a reason; there are as many as rules and checks.
    fn reason(&mut self, reason: &str) -> u64 {
        let known = self.reasons.iter().position(|known| known == reason);
        let number = known.unwrap_or_else(|| {
            self.reasons.push(reason.to_owned());
            self.reasons.len() - 1
        });
        number as u64
    }
}

/// How coarse cells are.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Shape {
    /// As [`MINUTES`].
    Minutes,
    /// As [`HOURS`].
    Hours,
    /// As [`CAMPAIGNS`].
    Campaigns,
}

/// Adds up cells that are the same in a shape, and sorts them: by advertiser, campaign, minute
/// and then the other columns in their order. The rows of any file come out of here.
pub(crate) fn add_up(rows: &Table, shape: Shape) -> Result<Table, LakeError> {
    let mut words: Vec<Option<Vec<u32>>> = Vec::with_capacity(KEYS);
    for column in rows.columns.iter().take(KEYS) {
        words.push(match &column.values {
            Values::Word(words) => Some(words.ranks()),
            _ => None,
        });
    }
    let mut groups = Groups::new(KEYS);
    let (mut clicks, mut charges, mut firsts) = (Vec::new(), Vec::new(), Vec::new());
    let mut key = [0u64; KEYS];
    for row in 0..rows.rows() {
        for (field, (word, ranks)) in key.iter_mut().zip(&words).enumerate() {
            *word = key_word(rows, field, row, ranks.as_deref(), shape);
        }
        let cell = groups.number(&key);
        if cell == firsts.len() {
            firsts.push(row);
            clicks.push(0u64);
            charges.push(0i64);
        }
        add(
            &mut clicks,
            cell,
            rows.u64(At::Clicks as usize, row),
            u64::checked_add,
        )?;
        add(
            &mut charges,
            cell,
            rows.u64(At::Charge as usize, row) as i64,
            i64::checked_add,
        )?;
    }
    let mut order: Vec<(&[u64], usize)> = groups.keys().zip(0..).collect();
    order.sort_unstable();
    let mut sums = Table::new(&MINUTES);
    for (key, cell) in order {
        let first = firsts.get(cell).copied().unwrap_or(0);
        let word = |at: At| {
            if kept(at, shape) {
                rows.word(at as usize, first)
            } else {
                ""
            }
        };
        let number = |at: At| key.get(at as usize).copied().unwrap_or(0);
        sums.push([
            Value::U32(number(At::Advertiser) as u32),
            Value::U64(number(At::Campaign)),
            Value::U32(number(At::Minute) as u32),
            Value::U32(number(At::Publisher) as u32),
            Value::U64(number(At::Ad)),
            Value::U64(number(At::Placement)),
            Value::Word(word(At::Event)),
            Value::Word(word(At::Country)),
            Value::Word(word(At::AgentClass)),
            Value::Word(word(At::Outcome)),
            Value::Word(word(At::Reason)),
            Value::Word(word(At::Currency)),
            Value::U64(clicks.get(cell).copied().unwrap_or(0)),
            Value::I64(charges.get(cell).copied().unwrap_or(0)),
        ]);
    }
    Ok(sums)
}

fn kept(at: At, shape: Shape) -> bool {
    shape != Shape::Campaigns || KEPT_BY_CAMPAIGNS.contains(&at)
}

fn key_word(rows: &Table, field: usize, row: usize, ranks: Option<&[u32]>, shape: Shape) -> u64 {
    let kept = KEPT_BY_CAMPAIGNS.iter().any(|at| *at as usize == field);
    if shape == Shape::Campaigns && !kept {
        return 0;
    }
    if let Some(ranks) = ranks {
        return match rows.columns.get(field).map(|column| &column.values) {
            Some(Values::Word(words)) => {
                let number = words.rows.get(row).copied().unwrap_or(0);
                u64::from(ranks.get(number as usize).copied().unwrap_or(0))
            }
            _ => 0,
        };
    }
    let bits = rows.u64(field, row);
    if field == At::Minute as usize && shape != Shape::Minutes {
        bits - bits % 60
    } else {
        bits
    }
}

fn add<T: Copy>(
    sums: &mut [T],
    cell: usize,
    more: T,
    checked: impl Fn(T, T) -> Option<T>,
) -> Result<(), LakeError> {
    let sum = sums.get_mut(cell).ok_or(LakeError::Overflow)?;
    *sum = checked(*sum, more).ok_or(LakeError::Overflow)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cell(table: &mut Table, minute: u32, publisher: u32, reason: &str) {
        table.push([
            Value::U32(1),
            Value::U64(10),
            Value::U32(minute),
            Value::U32(publisher),
            Value::U64(2),
            Value::U64(3),
            Value::Word("click"),
            Value::Word("DE"),
            Value::Word("mobile"),
            Value::Word("billed"),
            Value::Word(reason),
            Value::Word("EUR"),
            Value::U64(2),
            Value::I64(100),
        ]);
    }

    fn table() -> Table {
        let mut table = Table::new(&MINUTES);
        cell(&mut table, 125, 7, "head");
        cell(&mut table, 130, 7, "double_click");
        cell(&mut table, 130, 8, "head");
        cell(&mut table, 125, 7, "head");
        cell(&mut table, 125, 7, "double_click");
        table
    }

    #[test]
    fn equal_cells_become_one_in_each_shape() {
        let sums = |shape| {
            let sums = add_up(&table(), shape).unwrap();
            let row = |row| {
                let number = |at: At| sums.u64(at as usize, row);
                let reason = sums.word(At::Reason as usize, row).to_owned();
                (
                    number(At::Minute),
                    number(At::Publisher),
                    reason,
                    number(At::Clicks),
                )
            };
            (0..sums.rows()).map(row).collect::<Vec<_>>()
        };
        let cell = |minute, publisher, reason: &str, clicks| {
            (minute, publisher, reason.to_owned(), clicks)
        };
        let minutes = [
            cell(125, 7, "double_click", 2),
            cell(125, 7, "head", 4),
            cell(130, 7, "double_click", 2),
            cell(130, 8, "head", 2),
        ];
        assert_eq!(sums(Shape::Minutes), minutes);
        let hours = [
            cell(120, 7, "double_click", 4),
            cell(120, 7, "head", 4),
            cell(120, 8, "head", 2),
        ];
        assert_eq!(sums(Shape::Hours), hours);
        assert_eq!(sums(Shape::Campaigns), [cell(120, 0, "", 10)]);
    }

    #[test]
    fn the_order_of_arrival_leaves_no_trace() {
        let table = table();
        let turned: Vec<u32> = (0..table.rows() as u32).rev().collect();
        for shape in [Shape::Minutes, Shape::Hours, Shape::Campaigns] {
            let one = add_up(&table, shape).unwrap();
            assert_eq!(add_up(&table.take(&turned), shape).unwrap(), one);
        }
    }
}
