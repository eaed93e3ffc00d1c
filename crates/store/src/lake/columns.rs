//! Rows in memory as columns: what a writer fills, a merge sorts and a file stores.
//!
//! No type of a Parquet or Arrow crate is seen here or above: an engine's line can change without
//! touching a trait.

use std::borrow::Cow;

use sha2::{Digest, Sha256};

use super::words::Words;

/// What a file of one kind holds.
#[derive(Debug)]
pub struct Schema {
    /// The name of the kind and of its folder.
    pub name: &'static str,
    /// Rises with every change of the columns or of their meaning.
    pub version: u32,
    /// The columns, in their order in the file.
    pub fields: &'static [Field],
    /// Rows of one row group at most; with it grows what a reader must read to see one row.
    pub group_rows: usize,
}

/// Rows of a row group of tables that are read by the hour.
pub(crate) const GROUP_ROWS: usize = 1 << 17;

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
    /// As they are: they hardly repeat.
    Plain,
    /// As they are, with a bloom filter to look values up.
    SplitBloom,
}

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
    /// [`Kind::Word`] and [`Kind::Bytes`].
    Word(Box<Words>),
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
            Some(Values::Word(words)) => {
                words.rows.get(row).map_or(&[], |number| words.get(*number))
            }
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
        let mut hash = RowsHash::new(schema, self.rows());
        for (field, column) in schema.fields.iter().zip(&self.columns) {
            hash.add(field, column);
        }
        hash.finish()
    }
}

/// Rows as a file is to have them, a column at a time: so nobody needs all columns at once.
pub(crate) trait Columns {
    /// Number of rows.
    fn rows(&self) -> usize;
    /// A column of all rows.
    fn column(&self, field: usize) -> Cow<'_, Column>;
}

impl Columns for Table {
    fn rows(&self) -> usize {
        Table::rows(self)
    }

    fn column(&self, field: usize) -> Cow<'_, Column> {
        match self.columns.get(field) {
            Some(column) => Cow::Borrowed(column),
            None => Cow::Owned(Column {
                values: Values::of(Kind::Flag),
                present: None,
            }),
        }
    }
}

/// The hash of rows, column by column: see [`Table::hash`].
pub(crate) struct RowsHash(Sha256);

impl RowsHash {
    pub(crate) fn new(schema: &Schema, rows: usize) -> RowsHash {
        let mut hasher = Sha256::new();
        hasher.update(schema.version.to_le_bytes());
        hasher.update((rows as u64).to_le_bytes());
        RowsHash(hasher)
    }

    /// Adds the next column.
    pub(crate) fn add(&mut self, field: &Field, column: &Column) {
        self.0.update((field.name.len() as u64).to_le_bytes());
        self.0.update(field.name);
        column.hash(&mut self.0);
    }

    pub(crate) fn finish(self) -> [u8; 32] {
        self.0.finalize().into()
    }
}

impl Column {
    fn new(field: &Field) -> Column {
        Column {
            values: Values::new(field),
            present: field.optional.then(Vec::new),
        }
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        self.values.len()
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

    #[inline]
    fn push(&mut self, value: Value<'_>) {
        if let Some(present) = &mut self.present {
            present.push(!matches!(value, Value::None));
        }
        match (&mut self.values, value) {
            (Values::I32(values), Value::U32(value)) => values.push(value as i32),
            (Values::I64(values), Value::U64(value)) => values.push(value as i64),
            (Values::I64(values), Value::I64(value)) => values.push(value),
            (Values::Flag(values), Value::Flag(value)) => values.push(value),
            (Values::Bytes16(values), Value::Bytes16(value)) => values.push(value),
            (Values::Word(words), Value::Word(text)) => words.push(text.as_bytes()),
            (Values::Word(words), Value::Bytes(bytes)) => words.push(bytes),
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
            Values::Word(words) => Values::Word(Box::new(words.take(rows))),
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
            (Values::Word(words), Values::Word(more)) => words.append(&more),
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
            Values::Word(words) => words.hash(hasher),
        }
    }
}

impl Values {
    /// None.
    pub(crate) fn new(field: &Field) -> Values {
        match Values::of(field.kind) {
            Values::Word(_) if field.coding == Coding::Plain => {
                Values::Word(Box::new(Words::apart()))
            }
            values => values,
        }
    }

    /// None of a kind.
    pub(crate) fn of(kind: Kind) -> Values {
        match kind {
            Kind::U32 => Values::I32(Vec::new()),
            Kind::U64 | Kind::I64 | Kind::Time => Values::I64(Vec::new()),
            Kind::Flag => Values::Flag(Vec::new()),
            Kind::Uuid | Kind::Bytes16 => Values::Bytes16(Vec::new()),
            Kind::Word | Kind::Bytes => Values::Word(Box::default()),
        }
    }

    /// Number of rows.
    pub(crate) fn len(&self) -> usize {
        match self {
            Values::I32(values) => values.len(),
            Values::I64(values) => values.len(),
            Values::Flag(values) => values.len(),
            Values::Bytes16(values) => values.len(),
            Values::Word(words) => words.rows.len(),
        }
    }

    fn push_default(&mut self) {
        match self {
            Values::I32(values) => values.push(0),
            Values::I64(values) => values.push(0),
            Values::Flag(values) => values.push(false),
            Values::Bytes16(values) => values.push([0; 16]),
            Values::Word(words) => words.push(b""),
        }
    }
}

/// The values of those rows; rows that are not there are left out.
pub(crate) fn gather<T: Copy + PartialEq>(values: &[T], rows: &[u32]) -> Vec<T> {
    // Many columns have one value in all rows, and the others differ early.
    match values.first() {
        Some(first) if values.iter().all(|value| value == first) => vec![*first; rows.len()],
        _ => {
            let found = rows.iter().filter_map(|row| values.get(*row as usize));
            found.copied().collect()
        }
    }
}

/// Hashes fixed values: a single one where all are equal, else all of them, through a buffer, for
/// a hasher is slow on short pieces.
pub(crate) fn hash_all<T: Copy + PartialEq, const N: usize>(
    hasher: &mut Sha256,
    values: &[T],
    bytes: impl Fn(T) -> [u8; N],
) {
    let first = values.first();
    if let Some(first) = first.filter(|first| values.iter().all(|value| value == *first)) {
        hasher.update([1]);
        hasher.update(bytes(*first));
        return;
    }
    hasher.update([0]);
    let mut buffer = Vec::with_capacity(512 * N);
    for chunk in values.chunks(512) {
        buffer.clear();
        for value in chunk {
            buffer.extend_from_slice(&bytes(*value));
        }
        hasher.update(&buffer);
    }
}
