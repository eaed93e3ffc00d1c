//! Cells of a rollup: how many clicks of one kind in one span of time, and what they cost.
//!
//! In memory a cell is a key of six words that sorts as the columns of a file do, so that adding up
//! equal cells is sorting them and joining neighbours. All rollup tables have the same columns. A
//! coarser one has the first minute of its hour or day in `minute`, and zero or nothing in
//! dimensions that it does not keep.

use tollgate_click::{AgentClass, ClickFacts, Currency, Judgement, Outcome};

use super::shapes::Shape;
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

/// The columns of every table of cells.
pub(crate) const FIELDS: &[Field] = &[
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

/// Rows of one row group of a rollup: one campaign's report reads few others.
pub(crate) const GROUP_ROWS_MAX: usize = 1 << 14;

/// Per minute, over all dimensions.
pub static MINUTES: Schema = schema("minutes");

pub(crate) const fn schema(name: &'static str) -> Schema {
    Schema {
        name,
        version: 1,
        fields: FIELDS,
        group_rows: GROUP_ROWS_MAX,
    }
}

/// A cell.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Cell {
    key: [u64; 6],
    clicks: u64,
    charge: i64,
}

/// Which cell it is. Names stand as codes that sort like the alphabet, 0 for none.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
struct Kinds {
    advertiser: u32,
    campaign: u64,
    minute: u32,
    publisher: u32,
    ad: u64,
    placement: u64,
    event: u8,
    country: [u8; 2],
    agent_class: u8,
    outcome: u8,
    /// A number of [`Names::reasons`], of at most 24 bits.
    reason: u32,
    currency: [u8; 3],
}

/// Codes for names, and back.
#[derive(Clone, Debug)]
pub(crate) struct Names {
    /// By code less one.
    events: Vec<&'static str>,
    classes: Vec<&'static str>,
    outcomes: Vec<&'static str>,
    /// Codes of all events, agent classes and outcomes, by their numbers: for counting.
    event_codes: [u8; Event::ALL.len()],
    class_codes: [u8; AgentClass::ALL.len()],
    outcome_codes: [u8; Outcome::ALL.len()],
    /// By number; the first is empty. There are as many as rules and checks.
    reasons: Vec<String>,
}

impl Names {
    pub(crate) fn new() -> Names {
        let events = sorted(&Event::ALL.map(Event::name));
        let classes = sorted(&AgentClass::ALL.map(AgentClass::name));
        let outcomes = sorted(&Outcome::ALL.map(Outcome::name));
        Names {
            event_codes: Event::ALL.map(|event| code(&events, event.name())),
            class_codes: AgentClass::ALL.map(|class| code(&classes, class.name())),
            outcome_codes: Outcome::ALL.map(|outcome| code(&outcomes, outcome.name())),
            events,
            classes,
            outcomes,
            reasons: vec![String::new()],
        }
    }

    /// The cell of one click or impression.
    pub(crate) fn cell(
        &mut self,
        event: Event,
        facts: &ClickFacts,
        judgement: &Judgement,
        reason: &str,
    ) -> Cell {
        let letters = facts.country.code();
        let kinds = Kinds {
            advertiser: facts.advertiser.0,
            campaign: facts.campaign.0,
            minute: facts.reported_at().minute().0,
            publisher: facts.publisher.0,
            ad: facts.ad.0,
            placement: facts.placement.0,
            event: at(&self.event_codes, event as usize),
            country: letters.map_or([0; 2], |letters| letters.map(|letter| letter as u8)),
            agent_class: at(&self.class_codes, facts.agent_class as usize),
            outcome: at(&self.outcome_codes, judgement.outcome as usize),
            reason: self.reason(reason),
            currency: judgement.currency.map_or([0; 3], Currency::bytes),
        };
        Cell {
            key: kinds.key(),
            clicks: 1,
            charge: judgement.charge.0,
        }
    }

    /// The rows of a table as cells of a shape, not added up.
    pub(crate) fn cells_of(&mut self, table: &Table, shape: &Shape) -> Vec<Cell> {
        let events = self.codes(table, At::Event, |names, text| {
            u32::from(code(&names.events, text))
        });
        let classes = self.codes(table, At::AgentClass, |names, text| {
            u32::from(code(&names.classes, text))
        });
        let outcomes = self.codes(table, At::Outcome, |names, text| {
            u32::from(code(&names.outcomes, text))
        });
        let reasons = self.codes(table, At::Reason, |names, text| names.reason(text));
        let letters = |_: &mut Names, text: &str| {
            let mut bytes = [0; 4];
            bytes
                .iter_mut()
                .zip(text.bytes())
                .for_each(|(byte, letter)| *byte = letter);
            u32::from_be_bytes(bytes)
        };
        let countries = self.codes(table, At::Country, letters);
        let currencies = self.codes(table, At::Currency, letters);
        let of_row = |codes: &[u32], row: usize| codes.get(row).copied().unwrap_or(0);
        let mut cells = Vec::with_capacity(table.rows());
        for row in 0..table.rows() {
            let number = |at: At| table.u64(at as usize, row);
            let [first, second, ..] = of_row(&countries, row).to_be_bytes();
            let [a, b, c, _] = of_row(&currencies, row).to_be_bytes();
            let kinds = Kinds {
                advertiser: number(At::Advertiser) as u32,
                campaign: number(At::Campaign),
                minute: number(At::Minute) as u32,
                publisher: number(At::Publisher) as u32,
                ad: number(At::Ad),
                placement: number(At::Placement),
                event: of_row(&events, row) as u8,
                country: [first, second],
                agent_class: of_row(&classes, row) as u8,
                outcome: of_row(&outcomes, row) as u8,
                reason: of_row(&reasons, row),
                currency: [a, b, c],
            };
            cells.push(Cell {
                key: kinds.in_shape(shape).key(),
                clicks: number(At::Clicks),
                charge: number(At::Charge) as i64,
            });
        }
        cells
    }

    /// Cells as rows of a file: equal ones added up, sorted by advertiser, campaign, minute and
    /// then the other columns in their order. The rows of any file come out of here.
    pub(crate) fn table_of(&self, mut cells: Vec<Cell>) -> Result<Table, LakeError> {
        let reasons = self.by_alphabet(&mut cells);
        add_equal(&mut cells)?;
        let mut table = Table::new(&MINUTES);
        for cell in &cells {
            let kinds = Kinds::of(&cell.key);
            let reason = reasons.get(kinds.reason as usize);
            table.push([
                Value::U32(kinds.advertiser),
                Value::U64(kinds.campaign),
                Value::U32(kinds.minute),
                Value::U32(kinds.publisher),
                Value::U64(kinds.ad),
                Value::U64(kinds.placement),
                Value::Word(name(&self.events, kinds.event)),
                Value::Word(letters(&kinds.country)),
                Value::Word(name(&self.classes, kinds.agent_class)),
                Value::Word(name(&self.outcomes, kinds.outcome)),
                Value::Word(reason.map_or("", |reason| reason.as_str())),
                Value::Word(letters(&kinds.currency)),
                Value::U64(cell.clicks),
                Value::I64(cell.charge),
            ]);
        }
        Ok(table)
    }

    /// A number for a reason.
    fn reason(&mut self, reason: &str) -> u32 {
        let known = self.reasons.iter().position(|known| known == reason);
        let number = known.unwrap_or_else(|| {
            self.reasons.push(reason.to_owned());
            self.reasons.len() - 1
        });
        number as u32
    }

    /// Numbers the reasons of cells by the alphabet, and gives the reasons in that order.
    fn by_alphabet(&self, cells: &mut [Cell]) -> Vec<&String> {
        let mut sorted: Vec<&String> = self.reasons.iter().collect();
        sorted.sort_unstable();
        let place = |reason| sorted.binary_search(&reason).unwrap_or(0) as u32;
        let places: Vec<u32> = self.reasons.iter().map(place).collect();
        if !places.is_sorted() {
            for cell in cells {
                let mut kinds = Kinds::of(&cell.key);
                kinds.reason = places.get(kinds.reason as usize).copied().unwrap_or(0);
                cell.key = kinds.key();
            }
        }
        sorted
    }

    /// A code for every row of a column of names.
    fn codes(&mut self, table: &Table, at: At, code: impl Fn(&mut Names, &str) -> u32) -> Vec<u32> {
        let column = table.columns.get(at as usize);
        let Some(Values::Word(words)) = column.map(|column| &column.values) else {
            return Vec::new();
        };
        let of_text: Vec<u32> = words.texts().map(|text| code(self, text)).collect();
        let of_number = |number: &u32| of_text.get(*number as usize).copied().unwrap_or(0);
        words.rows.iter().map(of_number).collect()
    }
}

/// Sorts cells and adds up equal ones.
pub(crate) fn add_equal(cells: &mut Vec<Cell>) -> Result<(), LakeError> {
    // Stable, because that sort is fast on what is sorted in pieces.
    cells.sort_by_key(|cell| cell.key);
    let mut overflow = false;
    cells.dedup_by(|next, sum| {
        if next.key != sum.key {
            return false;
        }
        let clicks = sum.clicks.checked_add(next.clicks);
        let charge = sum.charge.checked_add(next.charge);
        match (clicks, charge) {
            (Some(clicks), Some(charge)) => (sum.clicks, sum.charge) = (clicks, charge),
            _ => overflow = true,
        }
        true
    });
    if overflow {
        return Err(LakeError::Overflow);
    }
    Ok(())
}

/// Adds up rows that are the same in a shape.
pub(crate) fn add_up(rows: &Table, shape: &Shape) -> Result<Table, LakeError> {
    let mut names = Names::new();
    let cells = names.cells_of(rows, shape);
    names.table_of(cells)
}

impl Kinds {
    /// Words that sort as the columns do.
    fn key(&self) -> [u64; 6] {
        let pair = |high: u32, low: u32| u64::from(high) << 32 | u64::from(low);
        let high = |number: u64| (number >> 32) as u32;
        let [first, second] = self.country;
        let names = [self.event, first, second, self.agent_class];
        let [a, b, c] = self.currency;
        [
            pair(self.advertiser, high(self.campaign)),
            pair(self.campaign as u32, self.minute),
            pair(self.publisher, high(self.ad)),
            pair(self.ad as u32, high(self.placement)),
            pair(self.placement as u32, u32::from_be_bytes(names)),
            pair(
                u32::from(self.outcome) << 24 | self.reason,
                u32::from_be_bytes([a, b, c, 0]),
            ),
        ]
    }

    fn of(key: &[u64; 6]) -> Kinds {
        let [k0, k1, k2, k3, k4, k5] = *key;
        let [event, first, second, agent_class] = (k4 as u32).to_be_bytes();
        let [a, b, c, _] = (k5 as u32).to_be_bytes();
        Kinds {
            advertiser: (k0 >> 32) as u32,
            campaign: k0 << 32 | k1 >> 32,
            minute: k1 as u32,
            publisher: (k2 >> 32) as u32,
            ad: k2 << 32 | k3 >> 32,
            placement: k3 << 32 | k4 >> 32,
            event,
            country: [first, second],
            agent_class,
            outcome: (k5 >> 56) as u8,
            reason: (k5 >> 32) as u32 & 0xFF_FFFF,
            currency: [a, b, c],
        }
    }

    fn in_shape(self, shape: &Shape) -> Kinds {
        let keeps = |at: At| shape.keeps(at);
        fn or_none<T: Default>(keeps: bool, value: T) -> T {
            if keeps { value } else { T::default() }
        }
        Kinds {
            advertiser: or_none(keeps(At::Advertiser), self.advertiser),
            campaign: or_none(keeps(At::Campaign), self.campaign),
            minute: self.minute - self.minute % shape.minutes,
            publisher: or_none(keeps(At::Publisher), self.publisher),
            ad: or_none(keeps(At::Ad), self.ad),
            placement: or_none(keeps(At::Placement), self.placement),
            event: or_none(keeps(At::Event), self.event),
            country: or_none(keeps(At::Country), self.country),
            agent_class: or_none(keeps(At::AgentClass), self.agent_class),
            outcome: or_none(keeps(At::Outcome), self.outcome),
            reason: or_none(keeps(At::Reason), self.reason),
            currency: or_none(keeps(At::Currency), self.currency),
        }
    }
}

fn sorted(names: &[&'static str]) -> Vec<&'static str> {
    let mut names = names.to_vec();
    names.sort_unstable();
    names
}

/// One more than the place in the alphabet; 0 for what is not there.
fn code(names: &[&'static str], name: &str) -> u8 {
    let place = names.iter().position(|known| *known == name);
    place.map_or(0, |place| place as u8 + 1)
}

fn at(codes: &[u8], number: usize) -> u8 {
    codes.get(number).copied().unwrap_or(0)
}

fn name(names: &[&'static str], code: u8) -> &'static str {
    let place = usize::from(code).checked_sub(1);
    place
        .and_then(|place| names.get(place))
        .copied()
        .unwrap_or("")
}

/// Upper-case letters as text; nothing when there are none.
fn letters(bytes: &[u8]) -> &str {
    let is_set = bytes.first() != Some(&0);
    let text = is_set.then(|| std::str::from_utf8(bytes).ok());
    text.flatten().unwrap_or_default()
}
#[cfg(test)]
mod tests {
    use super::super::shapes::{FINEST, Level, OF_DAY};
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
        let sums = |level: &Level| {
            let sums = add_up(&table(), &level.shape).unwrap();
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
        assert_eq!(sums(&FINEST), minutes);
        let hours = [
            cell(120, 7, "double_click", 4),
            cell(120, 7, "head", 4),
            cell(120, 8, "head", 2),
        ];
        assert_eq!(sums(&OF_DAY[3]), hours);
        assert_eq!(sums(&OF_DAY[2]), [cell(120, 0, "", 10)]);
    }

    #[test]
    fn numbers_of_names_are_their_places() {
        let names = Names::new();
        for (number, class) in AgentClass::ALL.into_iter().enumerate() {
            assert_eq!(class as usize, number);
            assert_eq!(
                name(&names.classes, names.class_codes[number]),
                class.name()
            );
        }
        for (number, outcome) in Outcome::ALL.into_iter().enumerate() {
            assert_eq!(outcome as usize, number);
            assert_eq!(
                name(&names.outcomes, names.outcome_codes[number]),
                outcome.name()
            );
        }
        for (number, event) in Event::ALL.into_iter().enumerate() {
            assert_eq!(event as usize, number);
            assert_eq!(name(&names.events, names.event_codes[number]), event.name());
        }
    }

    #[test]
    fn a_key_gives_its_kinds_back_and_sorts_like_columns() {
        let most = Kinds {
            advertiser: u32::MAX,
            campaign: u64::MAX - 1,
            minute: u32::MAX - 2,
            publisher: u32::MAX - 3,
            ad: u64::MAX - 4,
            placement: u64::MAX - 5,
            event: 2,
            country: *b"ZW",
            agent_class: 6,
            outcome: 13,
            reason: 0xFF_FFFE,
            currency: *b"USD",
        };
        assert_eq!(Kinds::of(&most.key()), most);
        assert_eq!(Kinds::of(&Kinds::default().key()), Kinds::default());
        let mut rising = vec![Kinds::default()];
        rising.push(Kinds {
            currency: *b"EUR",
            ..rising[0]
        });
        rising.push(Kinds {
            reason: 1,
            ..rising[0]
        });
        rising.push(Kinds {
            outcome: 1,
            ..rising[0]
        });
        rising.push(Kinds {
            agent_class: 1,
            ..rising[0]
        });
        rising.push(Kinds {
            country: *b"DE",
            ..rising[0]
        });
        rising.push(Kinds {
            event: 1,
            ..rising[0]
        });
        rising.push(Kinds {
            placement: 1,
            ..rising[0]
        });
        rising.push(Kinds { ad: 1, ..rising[0] });
        rising.push(Kinds {
            publisher: 1,
            ..rising[0]
        });
        rising.push(Kinds {
            minute: 1,
            ..rising[0]
        });
        rising.push(Kinds {
            campaign: 1,
            ..rising[0]
        });
        rising.push(Kinds {
            advertiser: 1,
            ..rising[0]
        });
        assert!(rising.iter().map(Kinds::key).is_sorted());
    }

    #[test]
    fn the_order_of_arrival_leaves_no_trace() {
        let table = table();
        let turned: Vec<u32> = (0..table.rows() as u32).rev().collect();
        for Level { shape, .. } in OF_DAY.iter().chain([&FINEST]) {
            let one = add_up(&table, shape).unwrap();
            assert_eq!(add_up(&table.take(&turned), shape).unwrap(), one);
        }
    }
}
