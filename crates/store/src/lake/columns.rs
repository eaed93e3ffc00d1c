//! Rows in memory as columns: what a writer fills, a merge sorts and a file stores.
//!
//! No type of a Parquet or Arrow crate is seen here or above: an engine's line can change without
//! touching a trait.

use std::collections::HashMap;

use sha2::{Digest, Sha256};

/// What a file of one kind holds.
#[derive(Debug)]
pub struct Schema {
    /// The name of the kind and of its folder.
    pub name: &'static str,
    /// Rises with every change of the columns or of their meaning.
    pub version: u32,
    /// The columns, in their order in the file.
    pub fields: &'static [Field],
}

/// One column of a [`Schema`].
#[derive(Debug)]
pub struct Field {
    /// Its name in the file.
    pub name: &'static str,
    /// What its values are.
    pub kind: Kind,
    /// How they are written.
    pub coding: Coding,
    /// Whether a row may have none.
    pub optional: bool,
}

/// What the values of a column are.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// Unsigned, 32 bits.
    U32,
    /// Unsigned, 64 bits, kept as the same bits in an `i64`.
    U64,
    /// Signed, 64 bits.
    I64,
    /// Unix milliseconds.
    Time,
    /// Yes or no.
    Flag,
    /// 16 bytes that are a UUID.
    Uuid,
    /// 16 bytes.
    Bytes16,
    /// UTF-8 text of few different values.
    Word,
    /// Bytes of any length.
    Bytes,
}

/// How a column is written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Coding {
    /// A dictionary: few different values.
    Dictionary,
    /// Differences from row to row: sorted or nearly so.
    Delta,
    /// Byte by byte apart: numbers of which some bytes are noise.
    Split,
    /// As they are.
    Plain,
    /// As they are, with a bloom filter to look values up.
    SplitBloom,
}

/// Texts that are searched one by one.
const FEW_TEXTS: usize = 16;

/// Rows as columns.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Table {
    /// The columns, in the order of the schema.
    pub columns: Vec<Column>,
}

/// One column: a value in every row, which means nothing where the row has none.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Column {
    /// The values.
    pub values: Values,
    /// Which rows have one; none when all do.
    pub present: Option<Vec<bool>>,
}

/// The values of a column.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Values {
    /// [`Kind::U32`].
    I32(Vec<i32>),
    /// [`Kind::U64`], [`Kind::I64`] and [`Kind::Time`].
    I64(Vec<i64>),
    /// [`Kind::Flag`].
    Flag(Vec<bool>),
    /// [`Kind::Uuid`] and [`Kind::Bytes16`].
    Bytes16(Vec<[u8; 16]>),
    /// [`Kind::Word`].
    Word(Words),
    /// [`Kind::Bytes`].
    Bytes(Vec<Vec<u8>>),
}

/// A value of a row.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Value<'a> {
    /// The row has none.
    None,
    /// Of [`Kind::U32`].
    U32(u32),
    /// Of [`Kind::U64`] and [`Kind::Time`].
    U64(u64),
    /// Of [`Kind::I64`].
    I64(i64),
    /// Of [`Kind::Flag`].
    Flag(bool),
    /// Of [`Kind::Uuid`] and [`Kind::Bytes16`].
    Bytes16([u8; 16]),
    /// Of [`Kind::Word`].
    Word(&'a str),
    /// Of [`Kind::Bytes`].
    Bytes(&'a [u8]),
}

/// Texts of few different values: each is kept once and rows hold its number.
#[derive(Clone, Default, Debug)]
pub struct Words {
    /// A number per row, an index into `texts`.
    pub rows: Vec<u32>,
    texts: Vec<String>,
    numbers: HashMap<String, u32>,
}

impl PartialEq for Words {
    fn eq(&self, other: &Words) -> bool {
        self.rows.len() == other.rows.len() && self.iter().eq(other.iter())
    }
}

impl Eq for Words {}

impl Words {
    /// The number of a text, new if it was not there. Rows often repeat the text of the row
    /// before, and most columns have a handful of texts: both are found without hashing.
    pub fn number(&mut self, text: &str) -> u32 {
        if let Some(last) = self.rows.last().filter(|last| self.text(**last) == text) {
            return *last;
        }
        let found = if self.texts.len() <= FEW_TEXTS {
            self.texts
                .iter()
                .position(|known| known == text)
                .map(|at| at as u32)
        } else {
            self.numbers.get(text).copied()
        };
        if let Some(number) = found {
            return number;
        }
        // A file has fewer rows than this can count.
        let number = u32::try_from(self.texts.len()).unwrap_or(u32::MAX);
        self.texts.push(text.to_owned());
        self.numbers.insert(text.to_owned(), number);
        number
    }

    /// Appends a row.
    pub fn push(&mut self, text: &str) {
        let number = self.number(text);
        self.rows.push(number);
    }

    /// The text of a number.
    pub fn text(&self, number: u32) -> &str {
        let text = self.texts.get(number as usize);
        text.map_or("", String::as_str)
    }

    /// The different texts, by number.
    pub fn texts(&self) -> &[String] {
        &self.texts
    }

    /// The text of every row.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.rows.iter().map(|number| self.text(*number))
    }

    /// For every number its place in the alphabet, so that rows sort alike whatever the order
    /// in which texts were met.
    pub fn ranks(&self) -> Vec<u32> {
        let mut sorted: Vec<(&String, usize)> = self.texts.iter().zip(0..).collect();
        sorted.sort();
        let mut ranks = vec![0; sorted.len()];
        for ((_, number), rank) in sorted.into_iter().zip(0..) {
            if let Some(place) = ranks.get_mut(number) {
                *place = rank;
            }
        }
        ranks
    }
}

impl Table {
    /// No rows.
    pub fn new(schema: &Schema) -> Table {
        let columns = schema.fields.iter().map(Column::new).collect();
        Table { columns }
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.columns.first().map_or(0, Column::len)
    }

    /// Appends a row of as many values as there are columns.
    pub fn push<const N: usize>(&mut self, row: [Value<'_>; N]) {
        debug_assert_eq!(N, self.columns.len());
        for (column, value) in self.columns.iter_mut().zip(row) {
            column.push(value);
        }
    }

    /// The bits of a number; 0 where there is none.
    pub fn u64(&self, field: usize, row: usize) -> u64 {
        let values = self.columns.get(field).map(|column| &column.values);
        match values {
            Some(Values::I64(values)) => values.get(row).map_or(0, |value| *value as u64),
            Some(Values::I32(values)) => {
                values.get(row).map_or(0, |value| u64::from(*value as u32))
            }
            _ => 0,
        }
    }

    /// A text; empty where there is none.
    pub fn word(&self, field: usize, row: usize) -> &str {
        match self.columns.get(field).map(|column| &column.values) {
            Some(Values::Word(words)) => {
                words.rows.get(row).map_or("", |number| words.text(*number))
            }
            _ => "",
        }
    }

    /// Sixteen bytes; zeros where there are none.
    pub fn bytes16(&self, field: usize, row: usize) -> [u8; 16] {
        match self.columns.get(field).map(|column| &column.values) {
            Some(Values::Bytes16(values)) => values.get(row).copied().unwrap_or_default(),
            _ => [0; 16],
        }
    }

    /// Bytes; empty where there are none.
    pub fn bytes(&self, field: usize, row: usize) -> &[u8] {
        match self.columns.get(field).map(|column| &column.values) {
            Some(Values::Bytes(values)) => values.get(row).map_or(&[], Vec::as_slice),
            _ => &[],
        }
    }

    /// Yes or no; no where there is none.
    pub fn flag(&self, field: usize, row: usize) -> bool {
        match self.columns.get(field).map(|column| &column.values) {
            Some(Values::Flag(values)) => values.get(row).copied().unwrap_or_default(),
            _ => false,
        }
    }

    /// Whether the row has a value there.
    pub fn has(&self, field: usize, row: usize) -> bool {
        let column = self.columns.get(field);
        column.is_some_and(|column| column.is_present(row))
    }

    /// The rows of those numbers, in that order.
    pub fn take(&self, rows: &[u32]) -> Table {
        let columns = self
            .columns
            .iter()
            .map(|column| column.take(rows))
            .collect();
        Table { columns }
    }

    /// Appends the rows of a table of the same schema.
    pub fn append(&mut self, other: Table) {
        for (column, more) in self.columns.iter_mut().zip(other.columns) {
            column.append(more);
        }
    }

    /// SHA-256 over names, presence and values of all columns, in the order of the rows. Two
    /// files have the same rows if and only if they have the same hash, whatever their writer's
    /// settings were.
    pub fn hash(&self, schema: &Schema) -> [u8; 32] {
        let mut hasher = Sha256::new();
        hasher.update(schema.version.to_le_bytes());
        hasher.update((self.rows() as u64).to_le_bytes());
        for (field, column) in schema.fields.iter().zip(&self.columns) {
            hasher.update((field.name.len() as u64).to_le_bytes());
            hasher.update(field.name);
            column.hash(&mut hasher);
        }
        hasher.finalize().into()
    }
}

impl Column {
    fn new(field: &Field) -> Column {
        let values = match field.kind {
            Kind::U32 => Values::I32(Vec::new()),
            Kind::U64 | Kind::I64 | Kind::Time => Values::I64(Vec::new()),
            Kind::Flag => Values::Flag(Vec::new()),
            Kind::Uuid | Kind::Bytes16 => Values::Bytes16(Vec::new()),
            Kind::Word => Values::Word(Words::default()),
            Kind::Bytes => Values::Bytes(Vec::new()),
        };
        Column {
            values,
            present: field.optional.then(Vec::new),
        }
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        match &self.values {
            Values::I32(values) => values.len(),
            Values::I64(values) => values.len(),
            Values::Flag(values) => values.len(),
            Values::Bytes16(values) => values.len(),
            Values::Word(words) => words.rows.len(),
            Values::Bytes(values) => values.len(),
        }
    }

    /// Whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether the row has a value.
    pub fn is_present(&self, row: usize) -> bool {
        let present = self.present.as_ref();
        present.is_none_or(|present| present.get(row).copied().unwrap_or(false))
    }

    fn push(&mut self, value: Value<'_>) {
        if let Some(present) = &mut self.present {
            present.push(value != Value::None);
        }
        match (&mut self.values, value) {
            (Values::I32(values), Value::U32(value)) => values.push(value as i32),
            (Values::I64(values), Value::U64(value)) => values.push(value as i64),
            (Values::I64(values), Value::I64(value)) => values.push(value),
            (Values::Flag(values), Value::Flag(value)) => values.push(value),
            (Values::Bytes16(values), Value::Bytes16(value)) => values.push(value),
            (Values::Word(words), Value::Word(text)) => words.push(text),
            (Values::Bytes(values), Value::Bytes(value)) => values.push(value.to_vec()),
            (values, value) => {
                debug_assert_eq!(value, Value::None, "a value is not of its column's kind");
                values.push_default();
            }
        }
    }

    fn take(&self, rows: &[u32]) -> Column {
        let values = match &self.values {
            Values::I32(values) => Values::I32(gather(values, rows)),
            Values::I64(values) => Values::I64(gather(values, rows)),
            Values::Flag(values) => Values::Flag(gather(values, rows)),
            Values::Bytes16(values) => Values::Bytes16(gather(values, rows)),
            Values::Word(words) => Values::Word(Words {
                rows: gather(&words.rows, rows),
                texts: words.texts.clone(),
                numbers: words.numbers.clone(),
            }),
            Values::Bytes(values) => Values::Bytes(gather(values, rows)),
        };
        let present = self.present.as_ref();
        Column {
            values,
            present: present.map(|present| gather(present, rows)),
        }
    }

    fn append(&mut self, other: Column) {
        match (&mut self.values, other.values) {
            (Values::I32(values), Values::I32(more)) => values.extend(more),
            (Values::I64(values), Values::I64(more)) => values.extend(more),
            (Values::Flag(values), Values::Flag(more)) => values.extend(more),
            (Values::Bytes16(values), Values::Bytes16(more)) => values.extend(more),
            (Values::Bytes(values), Values::Bytes(more)) => values.extend(more),
            (Values::Word(words), Values::Word(more)) => {
                let texts = more.texts.iter();
                let renumbered: Vec<u32> = texts.map(|text| words.number(text)).collect();
                words.rows.extend(gather(&renumbered, &more.rows));
            }
            _ => {} // Tables of one schema have columns of one kind.
        }
        if let (Some(present), Some(more)) = (&mut self.present, other.present) {
            present.extend(more);
        }
    }

    fn hash(&self, hasher: &mut Sha256) {
        if let Some(present) = &self.present {
            hash_all(hasher, present, |present| [u8::from(present)]);
        }
        match &self.values {
            Values::I32(values) => hash_all(hasher, values, |value| value.to_le_bytes()),
            Values::I64(values) => hash_all(hasher, values, |value| value.to_le_bytes()),
            Values::Flag(values) => hash_all(hasher, values, |value| [u8::from(value)]),
            Values::Bytes16(values) => hash_all(hasher, values, |value| value),
            Values::Word(words) => hash_words(hasher, words),
            Values::Bytes(values) => {
                for value in values {
                    hasher.update((value.len() as u64).to_le_bytes());
                    hasher.update(value);
                }
            }
        }
    }
}

impl Values {
    fn push_default(&mut self) {
        match self {
            Values::I32(values) => values.push(0),
            Values::I64(values) => values.push(0),
            Values::Flag(values) => values.push(false),
            Values::Bytes16(values) => values.push([0; 16]),
            Values::Word(words) => words.push(""),
            Values::Bytes(values) => values.push(Vec::new()),
        }
    }
}

/// The values of those rows; rows that are not there are left out.
fn gather<T: Clone>(values: &[T], rows: &[u32]) -> Vec<T> {
    let found = rows.iter().filter_map(|row| values.get(*row as usize));
    found.cloned().collect()
}

/// Hashes fixed values through a buffer: a hasher is slow on short pieces.
fn hash_all<T: Copy, const N: usize>(
    hasher: &mut Sha256,
    values: &[T],
    bytes: impl Fn(T) -> [u8; N],
) {
    let mut buffer = Vec::with_capacity(512 * N);
    for chunk in values.chunks(512) {
        buffer.clear();
        for value in chunk {
            buffer.extend_from_slice(&bytes(*value));
        }
        hasher.update(&buffer);
    }
}

/// Texts in the order of the alphabet and then a rank per row: the order in which a writer met
/// the texts leaves no trace.
fn hash_words(hasher: &mut Sha256, words: &Words) {
    let mut used = vec![false; words.texts.len()];
    for number in &words.rows {
        if let Some(used) = used.get_mut(*number as usize) {
            *used = true;
        }
    }
    let ranks = words.ranks();
    let mut sorted: Vec<&str> = words.texts.iter().map(String::as_str).collect();
    sorted.sort_unstable();
    let mut by_rank = vec![false; used.len()];
    for (used, rank) in used.into_iter().zip(&ranks) {
        if let Some(place) = by_rank.get_mut(*rank as usize) {
            *place = used;
        }
    }
    // Ranks among the texts that rows use.
    let mut dense = Vec::with_capacity(by_rank.len());
    let mut next = 0u32;
    for (text, used) in sorted.into_iter().zip(by_rank) {
        dense.push(next);
        if used {
            next += 1;
            hasher.update((text.len() as u64).to_le_bytes());
            hasher.update(text);
        }
    }
    let rank_of = gather(&dense, &ranks);
    let rows = gather(&rank_of, &words.rows);
    hash_all(hasher, &rows, |rank| rank.to_le_bytes());
}
