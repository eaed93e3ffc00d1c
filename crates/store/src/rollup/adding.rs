//! Adding up: cells in the order of a file, equal ones joined.
//!
//! Sums travel with packed keys through the sort, and columns are read back from the keys one by
//! one: cells are gone over once and in their order, and no table is built that a file does not
//! need, for memory is slower than all that is done here.

use std::borrow::Cow;

use super::cells::{At, Cell, KEYS, Kinds, MINUTES, capitals};
use super::keys::{Frame, Numbers};
use super::names::{Names, letters, name};
use super::shapes::Shape;
use super::sketch;
use super::uniques::{self, UNIQUES};
use crate::lake::LakeError;
use crate::lake::columns::{Column, Columns, Table, Values};
use crate::lake::words::Words;

/// Cells in the order of a file, each kind once: the rows of any file come out of here.
pub(crate) struct Sums<'n> {
    names: &'n Names,
    frame: Frame,
    keys: Keys,
    clicks: Vec<i64>,
    charges: Vec<i64>,
    sketches: Table,
}

/// Keys by their words, or as they are.
enum Keys {
    Packed(Vec<u64>, Vec<u64>),
    Wide(Vec<Numbers>),
}

/// A cell on its way.
struct Entry<K> {
    key: K,
    clicks: u64,
    charge: i64,
    visitor: Option<(u16, u8)>,
}

/// Adds up rows that are the same in a shape.
pub(crate) fn add_up(rows: &Table, shape: &Shape) -> Result<Table, LakeError> {
    let mut names = Names::new();
    let cells = names.cells_of(rows, shape);
    Ok(Sums::of(&names, cells.iter())?.table())
}

impl<'n> Sums<'n> {
    /// Sorts cells by advertiser, campaign, minute and then the other columns in their order, and
    /// joins those of one kind.
    ///
    /// # Errors
    ///
    /// [`LakeError::Overflow`].
    pub(crate) fn of<'c>(
        names: &'n Names,
        cells: impl Iterator<Item = &'c Cell> + Clone,
    ) -> Result<Sums<'n>, LakeError> {
        let frame = Frame::of(names, cells.clone());
        let mut sums = Sums {
            names,
            keys: Keys::Packed(Vec::new(), Vec::new()),
            clicks: Vec::new(),
            charges: Vec::new(),
            sketches: Table::new(&UNIQUES),
            frame,
        };
        if sums.frame.packs() {
            let entries = sorted(cells, |kinds| {
                let [first, second] = sums.frame.pack(&sums.frame.numbers(kinds));
                u128::from(first) << 64 | u128::from(second)
            });
            let spots =
                [At::Advertiser, At::Campaign, At::Minute].map(|at| sums.frame.spot(at as usize));
            sums.sketches = sketches(&entries, |key| {
                spots.map(|spot| {
                    spot.of(if spot.is_first {
                        (key >> 64) as u64
                    } else {
                        *key as u64
                    })
                })
            });
            let (mut first, mut second) = (Vec::new(), Vec::new());
            first.reserve_exact(entries.len());
            second.reserve_exact(entries.len());
            sums.join(&entries, |key| {
                first.push((key >> 64) as u64);
                second.push(*key as u64);
            })?;
            sums.keys = Keys::Packed(first, second);
        } else {
            let entries = sorted(cells, |kinds| sums.frame.numbers(kinds));
            sums.sketches = sketches(&entries, |[advertiser, campaign, minute, ..]| {
                [*advertiser, *campaign, *minute]
            });
            let mut keys = Vec::new();
            sums.join(&entries, |key| keys.push(*key))?;
            sums.keys = Keys::Wide(keys);
        }
        Ok(sums)
    }

    /// The cells.
    pub(crate) fn cells(&self) -> Vec<Cell> {
        let columns: Vec<Vec<u64>> = (0..KEYS).map(|column| self.numbers(column)).collect();
        let sums = self.clicks.iter().zip(&self.charges).enumerate();
        let cells = sums.map(|(row, (clicks, charge))| {
            let mut numbers = [0; KEYS];
            for (number, column) in numbers.iter_mut().zip(&columns) {
                *number = column.get(row).copied().unwrap_or(0);
            }
            Cell {
                kinds: self.frame.kinds(&numbers),
                clicks: *clicks as u64,
                charge: *charge,
                visitor: None,
            }
        });
        cells.collect()
    }

    /// All columns at once.
    pub(crate) fn table(&self) -> Table {
        let columns = 0..MINUTES.fields.len();
        Table {
            columns: columns
                .map(|field| self.column(field).into_owned())
                .collect(),
        }
    }

    /// The sketches of the cells' visitors, as a table of [`UNIQUES`].
    pub(crate) fn sketches(&self) -> &Table {
        &self.sketches
    }

    fn join<K: Ord>(
        &mut self,
        entries: &[Entry<K>],
        mut row: impl FnMut(&K),
    ) -> Result<(), LakeError> {
        self.clicks.reserve_exact(entries.len());
        self.charges.reserve_exact(entries.len());
        for same in entries.chunk_by(|one, other| one.key == other.key) {
            let (mut clicks, mut charge) = (0u64, 0i64);
            for more in same {
                let sums = (
                    clicks.checked_add(more.clicks),
                    charge.checked_add(more.charge),
                );
                (clicks, charge) = sums.0.zip(sums.1).ok_or(LakeError::Overflow)?;
            }
            if let Some(first) = same.first() {
                row(&first.key);
                self.clicks.push(clicks as i64);
                self.charges.push(charge);
            }
        }
        Ok(())
    }

    /// A key column.
    fn numbers(&self, column: usize) -> Vec<u64> {
        let spot = self.frame.spot(column);
        match &self.keys {
            Keys::Packed(first, second) => {
                let words = if spot.is_first { first } else { second };
                words.iter().map(|word| spot.of(*word)).collect()
            }
            Keys::Wide(keys) => {
                let numbers = keys.iter().filter_map(|key| key.get(column));
                numbers.copied().collect()
            }
        }
    }

    fn named<'t>(&self, at: At, text: impl Fn(u64) -> &'t str) -> Values {
        named(self.numbers(at as usize), |code, words| {
            words.number(text(code).as_bytes())
        })
    }
}

impl Columns for Sums<'_> {
    fn rows(&self) -> usize {
        self.clicks.len()
    }

    fn column(&self, field: usize) -> Cow<'_, Column> {
        let short = || {
            let numbers = self.numbers(field).into_iter();
            Values::I32(numbers.map(|number| number as u32 as i32).collect())
        };
        let long = || {
            let numbers = self.numbers(field).into_iter();
            Values::I64(numbers.map(|number| number as i64).collect())
        };
        let names = self.names;
        let values = match At::ALL.get(field).copied().unwrap_or(At::Charge) {
            At::Advertiser | At::Minute | At::Publisher => short(),
            At::Campaign | At::Ad | At::Placement => long(),
            at @ At::Event => self.named(at, |code| name(&names.events, code as u8)),
            at @ At::AgentClass => self.named(at, |code| name(&names.classes, code as u8)),
            at @ At::Outcome => self.named(at, |code| name(&names.outcomes, code as u8)),
            at @ At::Reason => self.named(at, |place| {
                let reason = names.reasons.get(self.frame.reason(place) as usize);
                reason.map_or("", |reason| reason)
            }),
            at @ At::Country => lettered::<2>(self.numbers(at as usize)),
            at @ At::Currency => lettered::<3>(self.numbers(at as usize)),
            At::Clicks => Values::I64(self.clicks.clone()),
            At::Charge => Values::I64(self.charges.clone()),
        };
        Cow::Owned(Column {
            values,
            present: None,
        })
    }
}

/// Numbers of capitals as texts.
fn lettered<const N: usize>(numbers: Vec<u64>) -> Values {
    named(numbers, |number, words| {
        words.number(letters(&capitals::<N>(number)).as_bytes())
    })
}

/// Small codes as names: `number` gives the number of a code's name among the words.
fn named(codes: Vec<u64>, number: impl Fn(u64, &mut Words) -> u32) -> Values {
    let mut words = Words::default();
    words.rows.reserve_exact(codes.len());
    // One more than the number; 0 as long as no row has the code.
    let mut known: Vec<u32> = Vec::new();
    for code in codes {
        let place = code as usize;
        if place >= known.len() {
            known.resize(place + 1, 0);
        }
        if let Some(known) = known.get_mut(place) {
            if *known == 0 {
                *known = number(code, &mut words) + 1;
            }
            words.rows.push(*known - 1);
        }
    }
    Values::Word(Box::new(words))
}

fn sorted<'c, K: Ord>(
    cells: impl Iterator<Item = &'c Cell>,
    key: impl Fn(&Kinds) -> K,
) -> Vec<Entry<K>> {
    let entries = cells.map(|cell| Entry {
        key: key(&cell.kinds),
        clicks: cell.clicks,
        charge: cell.charge,
        visitor: cell.visitor,
    });
    let mut entries: Vec<Entry<K>> = entries.collect();
    entries.sort_unstable_by(|one, other| one.key.cmp(&other.key));
    entries
}

/// The sketches of who made the cells, by advertiser, campaign and hour.
fn sketches<K>(entries: &[Entry<K>], key: impl Fn(&K) -> [u64; 3]) -> Table {
    let mut table = Table::new(&UNIQUES);
    let mut open: Option<uniques::Place> = None;
    let mut registers = Vec::new();
    for entry in entries {
        let Some(visitor) = entry.visitor else {
            continue;
        };
        let [advertiser, campaign, minute] = key(&entry.key);
        let place = (advertiser as u32, campaign, (minute - minute % 60) as u32);
        if open != Some(place) {
            close(&mut table, open.replace(place), &mut registers);
        }
        registers.push(visitor);
    }
    close(&mut table, open, &mut registers);
    table
}

/// Appends the sketch of those who came to a place, and forgets them.
fn close(table: &mut Table, place: Option<uniques::Place>, registers: &mut Vec<(u16, u8)>) {
    // The greatest rank of a register comes first and stays.
    registers.sort_unstable_by_key(|(register, rank)| (*register, !rank));
    registers.dedup_by_key(|(register, _)| *register);
    if let Some(place) = place {
        uniques::push(table, place, &sketch::encode(registers));
    }
    registers.clear();
}

#[cfg(test)]
mod tests;
