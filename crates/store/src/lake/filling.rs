//! Rows while they come: columns that are filled in the order of arrival and taken out in the order
//! of a file.
//!
//! A click has forty columns, most of which say the same in nearly all rows of a batch. Such a
//! column is one value and a count here until it says something else: memory that is not written
//! to costs nothing.

use std::borrow::Cow;

use super::columns::{Column, Columns, Kind, Schema, Values};
use super::words::Words;

/// Rows in the order of their arrival.
pub(crate) struct Filling {
    columns: Vec<Filled>,
    rows: usize,
}

/// Some rows in the order of a file.
pub(crate) struct Ordered<'f> {
    filling: &'f Filling,
    /// Numbers of rows; none for all as they came.
    order: Option<Vec<u32>>,
}

struct Filled {
    values: Runs,
    present: Option<Run<bool>>,
}

enum Runs {
    I32(Run<i32>),
    I64(Run<i64>),
    Flag(Run<bool>),
    Bytes16(Run<[u8; 16]>),
    /// And for a name's code one more than its number; 0 as long as no row has it.
    Word(Run<u32>, Box<Words>, Vec<u32>),
}

/// One value so many times, and then all others.
#[derive(Default)]
struct Run<T> {
    first: T,
    same: usize,
    rest: Vec<T>,
}

impl Filling {
    /// No rows.
    pub(crate) fn new(schema: &Schema) -> Filling {
        let columns = schema.fields.iter().map(|field| Filled {
            values: match Values::new(field) {
                Values::I32(_) => Runs::I32(Run::default()),
                Values::I64(_) => Runs::I64(Run::default()),
                Values::Flag(_) => Runs::Flag(Run::default()),
                Values::Bytes16(_) => Runs::Bytes16(Run::default()),
                Values::Word(words) => Runs::Word(Run::default(), words, Vec::new()),
            },
            present: field.optional.then(Run::default),
        });
        Filling {
            columns: columns.collect(),
            rows: 0,
        }
    }

    /// Number of rows.
    pub(crate) fn rows(&self) -> usize {
        self.rows
    }

    /// Begins a row: each of its columns must be given a value or none.
    pub(crate) fn begin(&mut self) {
        self.rows += 1;
    }

    /// A number of 32 bits in the row.
    #[inline]
    pub(crate) fn short(&mut self, field: usize, value: u32) {
        if let Some(Filled {
            values: Runs::I32(run),
            present,
        }) = self.columns.get_mut(field)
        {
            run.push(value as i32);
            is_there(present);
        }
    }

    /// A number of 64 bits in the row.
    #[inline]
    pub(crate) fn long(&mut self, field: usize, value: u64) {
        if let Some(Filled {
            values: Runs::I64(run),
            present,
        }) = self.columns.get_mut(field)
        {
            run.push(value as i64);
            is_there(present);
        }
    }

    /// Yes or no in the row.
    #[inline]
    pub(crate) fn flag(&mut self, field: usize, value: bool) {
        if let Some(Filled {
            values: Runs::Flag(run),
            present,
        }) = self.columns.get_mut(field)
        {
            run.push(value);
            is_there(present);
        }
    }

    /// Sixteen bytes in the row.
    #[inline]
    pub(crate) fn sixteen(&mut self, field: usize, value: [u8; 16]) {
        if let Some(Filled {
            values: Runs::Bytes16(run),
            present,
        }) = self.columns.get_mut(field)
        {
            run.push(value);
            is_there(present);
        }
    }

    /// A string in the row.
    #[inline]
    pub(crate) fn string(&mut self, field: usize, value: &[u8]) {
        if let Some(Filled {
            values: Runs::Word(run, words, _),
            present,
        }) = self.columns.get_mut(field)
        {
            run.push(words.number(value));
            is_there(present);
        }
    }

    /// A name of few in the row, each with a small code of its own, by which it is found faster.
    #[inline]
    pub(crate) fn name<'t>(&mut self, field: usize, code: usize, name: impl FnOnce() -> &'t str) {
        let Some(Filled {
            values: Runs::Word(run, words, codes),
            present,
        }) = self.columns.get_mut(field)
        else {
            return;
        };
        if code >= codes.len() {
            codes.resize(code + 1, 0);
        }
        if let Some(known) = codes.get_mut(code) {
            if *known == 0 {
                *known = words.number(name().as_bytes()) + 1;
            }
            run.push(*known - 1);
        }
        is_there(present);
    }

    /// Nothing in some columns of the row.
    #[inline]
    pub(crate) fn none(&mut self, fields: std::ops::RangeInclusive<usize>) {
        for column in self.columns.get_mut(fields).unwrap_or_default() {
            column.values.push_default();
            if let Some(present) = &mut column.present {
                present.push(false);
            }
        }
    }

    /// Takes all rows out and keeps their room: batches are of nearly one size, and new memory
    /// costs more than what is written to it.
    pub(crate) fn clear(&mut self) {
        for column in &mut self.columns {
            column.clear();
        }
        self.rows = 0;
    }

    /// The bits of a number; 0 where there is none.
    pub(crate) fn u64(&self, field: usize, row: usize) -> u64 {
        match self.columns.get(field).map(|column| &column.values) {
            Some(Runs::I64(run)) => run.get(row) as u64,
            Some(Runs::I32(run)) => u64::from(run.get(row) as u32),
            _ => 0,
        }
    }

    /// Sixteen bytes; zeros where there are none.
    pub(crate) fn bytes16(&self, field: usize, row: usize) -> [u8; 16] {
        match self.columns.get(field).map(|column| &column.values) {
            Some(Runs::Bytes16(run)) => run.get(row),
            _ => [0; 16],
        }
    }

    /// The rows in the order of a file; none is the order in which they came.
    pub(crate) fn ordered(&self, order: Option<Vec<u32>>) -> Ordered<'_> {
        Ordered {
            filling: self,
            order,
        }
    }
}

impl Columns for Ordered<'_> {
    fn rows(&self) -> usize {
        self.filling.rows
    }

    fn column(&self, field: usize) -> Cow<'_, Column> {
        let order = self.order.as_deref();
        match self.filling.columns.get(field) {
            Some(column) => Cow::Owned(column.taken(order)),
            None => Cow::Owned(Column {
                values: Values::of(Kind::Flag),
                present: None,
            }),
        }
    }
}

impl Filled {
    fn clear(&mut self) {
        match &mut self.values {
            Runs::I32(run) => run.clear(),
            Runs::I64(run) => run.clear(),
            Runs::Flag(run) => run.clear(),
            Runs::Bytes16(run) => run.clear(),
            Runs::Word(run, words, codes) => {
                run.clear();
                words.clear();
                codes.clear();
            }
        }
        if let Some(present) = &mut self.present {
            present.clear();
        }
    }

    fn taken(&self, order: Option<&[u32]>) -> Column {
        let values = match &self.values {
            Runs::I32(run) => Values::I32(run.taken(order)),
            Runs::I64(run) => Values::I64(run.taken(order)),
            Runs::Flag(run) => Values::Flag(run.taken(order)),
            Runs::Bytes16(run) => Values::Bytes16(run.taken(order)),
            Runs::Word(run, words, _) => Values::Word(Box::new(words.with_rows(run.taken(order)))),
        };
        let present = self.present.as_ref();
        Column {
            values,
            present: present.map(|present| present.taken(order)),
        }
    }
}

impl Runs {
    fn push_default(&mut self) {
        match self {
            Runs::I32(run) => run.push(0),
            Runs::I64(run) => run.push(0),
            Runs::Flag(run) => run.push(false),
            Runs::Bytes16(run) => run.push([0; 16]),
            // All of them share one, also where strings are kept apart: the first code is theirs.
            Runs::Word(run, words, codes) => {
                if codes.is_empty() {
                    codes.push(words.number(b"") + 1);
                }
                run.push(codes.first().copied().unwrap_or(1) - 1);
            }
        }
    }
}

#[inline]
fn is_there(present: &mut Option<Run<bool>>) {
    if let Some(present) = present {
        present.push(true);
    }
}

impl<T: Copy + PartialEq> Run<T> {
    #[inline]
    fn push(&mut self, value: T) {
        if !self.rest.is_empty() {
            self.rest.push(value);
        } else if self.same == 0 || self.first == value {
            self.first = value;
            self.same += 1;
        } else {
            self.rest.push(value);
        }
    }

    #[inline]
    fn get(&self, row: usize) -> T {
        let rest = row.checked_sub(self.same);
        let value = rest.and_then(|row| self.rest.get(row));
        value.copied().unwrap_or(self.first)
    }

    fn clear(&mut self) {
        self.same = 0;
        self.rest.clear();
    }

    fn taken(&self, order: Option<&[u32]>) -> Vec<T> {
        match order {
            None => {
                let mut all = vec![self.first; self.same];
                all.extend_from_slice(&self.rest);
                all
            }
            Some(order) if self.rest.is_empty() => vec![self.first; order.len()],
            Some(order) => order.iter().map(|row| self.get(*row as usize)).collect(),
        }
    }
}
