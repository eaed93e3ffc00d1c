//! The pages of a column chunk to values: what [`super::pages`] writes, page by page.

use std::ops::Range;

use bytes::Bytes;
use parquet::basic::Encoding;
use parquet::column::page::{Page, PageReader};
use parquet::errors::ParquetError;

use super::columns::{Column, Field, Kind, Values};
use super::hybrid;

/// Reads some rows; pages without any of them are passed over.
pub(crate) fn read(
    mut pages: impl PageReader,
    field: &Field,
    rows: Range<usize>,
) -> Result<Column, ParquetError> {
    let mut reading = Reading {
        field,
        values: Values::new(field),
        present: field.optional.then(Vec::new),
        dictionary: None,
    };
    let mut start = 0;
    while let Some(next) = pages.peek_next_page()? {
        let length = next.num_levels.or(next.num_rows).unwrap_or(0);
        let is_past = start >= rows.end;
        let is_before = !next.is_dict && start + length <= rows.start && length > 0;
        if is_past || is_before {
            pages.skip_next_page()?;
        } else if let Some(page) = pages.get_next_page()? {
            let wanted = rows.start.saturating_sub(start)..rows.end - start;
            let read = reading.page(&page, wanted);
            read.ok_or_else(|| bad(field, "a page of wrong values"))?;
        }
        start += if next.is_dict { 0 } else { length };
    }
    Ok(Column {
        values: reading.values,
        present: reading.present,
    })
}

struct Reading<'f> {
    field: &'f Field,
    values: Values,
    present: Option<Vec<bool>>,
    dictionary: Option<Entries>,
}

/// The entries of a dictionary.
enum Entries {
    Numbers(Vec<u64>),
    /// Numbers of strings among the values' own.
    Strings(Vec<u32>),
}

impl Reading<'_> {
    /// Takes the rows in `wanted`, counted from the start of the page; none when bytes do not fit.
    fn page(&mut self, page: &Page, wanted: Range<usize>) -> Option<()> {
        match page {
            Page::DictionaryPage {
                buf, num_values, ..
            } => {
                self.dictionary = Some(self.entries(buf, *num_values as usize)?);
                Some(())
            }
            Page::DataPage {
                buf,
                num_values,
                encoding,
                ..
            } => {
                let rows = *num_values as usize;
                let wanted = wanted.start..wanted.end.min(rows);
                let Some(present) = &mut self.present else {
                    return self.values(buf, *encoding, rows, wanted);
                };
                let (length, rest) = buf.split_first_chunk::<4>()?;
                let length = u32::from_le_bytes(*length) as usize;
                let (levels, values) = rest.split_at_checked(length)?;
                let mut there = Vec::with_capacity(rows);
                hybrid::decode(levels, 1, rows, &mut there)?;
                present.extend(there.get(wanted.clone())?.iter().map(|level| *level == 1));
                self.sparse(values, *encoding, &there, wanted)
            }
            Page::DataPageV2 { .. } => None, // never written
        }
    }

    fn entries(&mut self, buf: &Bytes, count: usize) -> Option<Entries> {
        Some(match &mut self.values {
            Values::I32(_) => {
                let entries = buf.get(..count.checked_mul(4)?)?.as_chunks::<4>().0.iter();
                Entries::Numbers(
                    entries
                        .map(|it| u64::from(u32::from_le_bytes(*it)))
                        .collect(),
                )
            }
            Values::I64(_) => {
                let entries = buf.get(..count.checked_mul(8)?)?.as_chunks::<8>().0.iter();
                Entries::Numbers(entries.map(|it| u64::from_le_bytes(*it)).collect())
            }
            Values::Word(words) => {
                let mut rest: &[u8] = buf;
                let mut numbers = Vec::new();
                for _ in 0..count {
                    numbers.push(words.number(string(&mut rest, self.field.kind)?));
                }
                Entries::Strings(numbers)
            }
            Values::Flag(_) | Values::Bytes16(_) => return None,
        })
    }

    /// Values of a page in which some rows have none.
    fn sparse(
        &mut self,
        bytes: &[u8],
        encoding: Encoding,
        there: &[u32],
        wanted: Range<usize>,
    ) -> Option<()> {
        let count = |levels: &[u32]| levels.iter().filter(|level| **level == 1).count();
        let before = count(there.get(..wanted.start)?);
        let levels = there.get(wanted)?;
        let inside = count(levels);
        let from = self.values.len();
        if inside > 0 {
            self.values(bytes, encoding, count(there), before..before + inside)?;
        }
        match &mut self.values {
            Values::I32(values) => spread(values, from, levels, 0),
            Values::I64(values) => spread(values, from, levels, 0),
            Values::Flag(values) => spread(values, from, levels, false),
            Values::Bytes16(values) => spread(values, from, levels, [0; 16]),
            Values::Word(words) => {
                let none = words.number(b"");
                spread(&mut words.rows, from, levels, none)
            }
        }
    }

    /// Values of a page in which all rows have one.
    fn values(
        &mut self,
        bytes: &[u8],
        encoding: Encoding,
        rows: usize,
        wanted: Range<usize>,
    ) -> Option<()> {
        match encoding {
            Encoding::RLE_DICTIONARY => self.indexed(bytes, wanted),
            Encoding::PLAIN => self.plain(bytes, wanted),
            Encoding::BYTE_STREAM_SPLIT => {
                let Values::Bytes16(values) = &mut self.values else {
                    return None;
                };
                let from = values.len();
                values.resize(from + wanted.len(), [0; 16]);
                for place in 0..16 {
                    let stream = bytes.get(place * rows..(place + 1) * rows)?;
                    let values = values.get_mut(from..)?.iter_mut();
                    for (value, byte) in values.zip(stream.get(wanted.clone())?) {
                        *value.get_mut(place)? = *byte;
                    }
                }
                Some(())
            }
            _ => None,
        }
    }

    fn indexed(&mut self, bytes: &[u8], wanted: Range<usize>) -> Option<()> {
        let (width, bytes) = bytes.split_first()?;
        if *width > 32 {
            return None;
        }
        let mut indices = Vec::with_capacity(wanted.end);
        hybrid::decode(bytes, *width, wanted.end, &mut indices)?;
        let indices = indices.get(wanted)?;
        match (&mut self.values, self.dictionary.as_ref()?) {
            (Values::I32(values), Entries::Numbers(entries)) => {
                look_up(values, entries, indices, |bits| bits as i32)
            }
            (Values::I64(values), Entries::Numbers(entries)) => {
                look_up(values, entries, indices, |bits| bits as i64)
            }
            (Values::Word(words), Entries::Strings(entries)) => {
                look_up(&mut words.rows, entries, indices, |number| number)
            }
            _ => None,
        }
    }

    fn plain(&mut self, bytes: &[u8], wanted: Range<usize>) -> Option<()> {
        let sized = |size: usize| bytes.get(wanted.start * size..wanted.end * size);
        match &mut self.values {
            Values::I32(values) => {
                let found = sized(4)?.as_chunks::<4>().0.iter();
                values.extend(found.map(|it| i32::from_le_bytes(*it)));
            }
            Values::I64(values) => {
                let found = sized(8)?.as_chunks::<8>().0.iter();
                values.extend(found.map(|it| i64::from_le_bytes(*it)));
            }
            Values::Bytes16(values) => values.extend(sized(16)?.as_chunks::<16>().0),
            Values::Flag(values) => {
                for row in wanted {
                    values.push(bytes.get(row / 8)? >> (row % 8) & 1 == 1);
                }
            }
            Values::Word(words) => {
                let mut rest = bytes;
                for row in 0..wanted.end {
                    let string = string(&mut rest, self.field.kind)?;
                    if row >= wanted.start {
                        words.push(string);
                    }
                }
            }
        }
        Some(())
    }
}

/// Moves the values after `from` to the rows whose level is 1.
fn spread<T: Copy>(values: &mut Vec<T>, from: usize, levels: &[u32], none: T) -> Option<()> {
    let dense = values.split_off(from);
    let mut dense = dense.into_iter();
    values.reserve(levels.len());
    for level in levels {
        values.push(if *level == 1 { dense.next()? } else { none });
    }
    Some(())
}

fn look_up<E: Copy, V>(
    values: &mut Vec<V>,
    entries: &[E],
    indices: &[u32],
    convert: impl Fn(E) -> V,
) -> Option<()> {
    values.reserve(indices.len());
    for index in indices {
        values.push(convert(*entries.get(*index as usize)?));
    }
    Some(())
}

/// The next string of plain ones; text must be UTF-8.
fn string<'a>(rest: &mut &'a [u8], kind: Kind) -> Option<&'a [u8]> {
    let (length, tail) = rest.split_first_chunk::<4>()?;
    let (string, tail) = tail.split_at_checked(u32::from_le_bytes(*length) as usize)?;
    *rest = tail;
    let fits = kind == Kind::Bytes || std::str::from_utf8(string).is_ok();
    fits.then_some(string)
}

fn bad(field: &Field, what: &str) -> ParquetError {
    ParquetError::General(format!("column {}: {what}", field.name))
}
