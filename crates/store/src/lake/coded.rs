//! The values of one column chunk as its pages have them: by a dictionary where it pays, as
//! differences, byte by byte apart, or plain.

use std::borrow::Cow;
use std::ops::Range;

use parquet::basic::Encoding;

use super::columns::{Coding, Column, Field, Values};
use super::numbering::{self, Numbering};
use super::words::Words;
use super::{delta, hybrid};

/// The values of a chunk, those that are there, ready to be written.
pub(crate) enum Coded<'c> {
    Dictionary {
        /// The entries as a page has them.
        entries: Vec<u8>,
        count: usize,
        indices: Vec<u32>,
        /// The entries as bits, of columns of numbers.
        numbers: Vec<u64>,
    },
    /// Differences, of columns in which all rows have a value.
    ShortSteps(&'c [i32]),
    LongSteps(&'c [i64]),
    Short(Cow<'c, [i32]>),
    Long(Cow<'c, [i64]>),
    Flags(Cow<'c, [bool]>),
    Sixteen(Cow<'c, [[u8; 16]]>),
    Split(Cow<'c, [[u8; 16]]>),
    Strings(&'c Words, Cow<'c, [u32]>),
}

/// Decides how the values of some rows are written.
pub(crate) fn code<'c>(
    field: &Field,
    column: &'c Column,
    rows: Range<usize>,
    present: Option<&[bool]>,
) -> Coded<'c> {
    let by_dictionary = field.coding == Coding::Dictionary;
    match &column.values {
        Values::I32(values) if field.coding == Coding::Delta => {
            Coded::ShortSteps(slice(values, rows))
        }
        Values::I64(values) if field.coding == Coding::Delta => {
            Coded::LongSteps(slice(values, rows))
        }
        Values::I32(values) => {
            let values = dense(values, rows, present);
            let bits = values.iter().map(|value| u64::from(*value as u32));
            numbers(by_dictionary, bits, 4).unwrap_or(Coded::Short(values))
        }
        Values::I64(values) => {
            let values = dense(values, rows, present);
            let bits = values.iter().map(|value| *value as u64);
            numbers(by_dictionary, bits, 8).unwrap_or(Coded::Long(values))
        }
        Values::Flag(values) => Coded::Flags(dense(values, rows, present)),
        Values::Bytes16(values) => {
            let values = dense(values, rows, present);
            match field.coding {
                Coding::Split | Coding::SplitBloom => Coded::Split(values),
                _ => Coded::Sixteen(values),
            }
        }
        Values::Word(words) => {
            let values = dense(&words.rows, rows, present);
            strings(by_dictionary, words, &values).unwrap_or(Coded::Strings(words, values))
        }
    }
}

/// The values of the rows that have one.
fn dense<'c, T: Copy>(
    values: &'c [T],
    rows: Range<usize>,
    present: Option<&[bool]>,
) -> Cow<'c, [T]> {
    let values = values.get(rows).unwrap_or_default();
    match present {
        None => Cow::Borrowed(values),
        Some(present) if !present.contains(&false) => Cow::Borrowed(values),
        Some(present) => {
            let there = values.iter().zip(present).filter(|(_, present)| **present);
            Cow::Owned(there.map(|(value, _)| *value).collect())
        }
    }
}

/// Numbers of `size` bytes by dictionary, if it is wanted and makes them smaller.
fn numbers<'c>(
    wanted: bool,
    mut bits: impl ExactSizeIterator<Item = u64> + Clone,
    size: usize,
) -> Option<Coded<'c>> {
    if !wanted {
        return None;
    }
    let rows = bits.len();
    let first = bits.clone().next().unwrap_or(0);
    let mut indices = vec![0; rows];
    let mut values = vec![first];
    let bounds = bits.clone().fold((first, first), |(low, high), bits| {
        (low.min(bits), high.max(bits))
    });
    if bounds.0 == bounds.1 {
        // One entry, and all indices are 0.
    } else if bounds.1 - bounds.0 < numbering::spread_max(rows) {
        values = numbering::near(bits, bounds, &mut indices);
    } else {
        // Past this many entries a dictionary cannot make values smaller.
        let mut numbering = Numbering::new(rows.min(1 << 12));
        let (mut last, mut index) = (first, numbering.number(first));
        for place in &mut indices {
            let value = bits.next().unwrap_or(0);
            if value != last {
                (last, index) = (value, numbering.number(value));
            }
            *place = index;
        }
        values = numbering.into_values();
    }
    let index_bits = usize::from(hybrid::width_of(values.len() as u32 - 1));
    if values.len() * size + rows * index_bits / 8 > rows * size && rows > 1 {
        return None;
    }
    let bytes = values.iter().map(|value| value.to_le_bytes());
    let entries = bytes.flat_map(|bytes| bytes.into_iter().take(size));
    Some(Coded::Dictionary {
        entries: entries.collect(),
        count: values.len(),
        indices,
        numbers: values,
    })
}

/// Strings by dictionary, if it is wanted and makes them smaller. Entries stand in the order in
/// which rows have them, whatever their numbers are.
fn strings<'c>(wanted: bool, words: &Words, rows: &[u32]) -> Option<Coded<'c>> {
    if !wanted {
        return None;
    }
    let mut places = vec![u32::MAX; words.count()];
    let mut entries = Vec::new();
    let mut count = 0;
    let mut plain = 0;
    let mut indices = Vec::with_capacity(rows.len());
    for number in rows {
        let Some(place) = places.get_mut(*number as usize) else {
            return None; // every row has a string
        };
        if *place == u32::MAX {
            *place = count;
            count += 1;
            put_string(words.get(*number), &mut entries);
        }
        indices.push(*place);
        plain += words.get(*number).len() + 4;
    }
    let index_bits = usize::from(hybrid::width_of(count.saturating_sub(1)));
    let is_smaller = entries.len() + rows.len() * index_bits / 8 <= plain;
    is_smaller.then_some(Coded::Dictionary {
        entries,
        count: count as usize,
        indices,
        numbers: Vec::new(),
    })
}

impl Coded<'_> {
    /// In Parquet's words.
    pub(crate) fn encoding(&self) -> Encoding {
        match self {
            Coded::Dictionary { .. } => Encoding::RLE_DICTIONARY,
            Coded::Split(_) => Encoding::BYTE_STREAM_SPLIT,
            Coded::ShortSteps(_) | Coded::LongSteps(_) => Encoding::DELTA_BINARY_PACKED,
            _ => Encoding::PLAIN,
        }
    }

    /// Appends some values as a page has them.
    pub(crate) fn put(&self, range: Range<usize>, out: &mut Vec<u8>) {
        match self {
            Coded::Dictionary { count, indices, .. } => {
                let width = hybrid::width_of(count.saturating_sub(1) as u32);
                out.push(width);
                hybrid::encode(slice(indices, range), width, out);
            }
            Coded::ShortSteps(values) => delta::encode_short(slice(values, range), out),
            Coded::LongSteps(values) => delta::encode_long(slice(values, range), out),
            Coded::Short(values) => {
                let bytes = slice(values, range).iter().map(|value| value.to_le_bytes());
                out.extend(bytes.flatten());
            }
            Coded::Long(values) => {
                let bytes = slice(values, range).iter().map(|value| value.to_le_bytes());
                out.extend(bytes.flatten());
            }
            Coded::Flags(values) => {
                let eights = slice(values, range).chunks(8).map(|eight| {
                    let bits = eight.iter().rev();
                    bits.fold(0, |byte, flag| byte << 1 | u8::from(*flag))
                });
                out.extend(eights);
            }
            Coded::Sixteen(values) => {
                out.extend_from_slice(slice(values, range).as_flattened());
            }
            Coded::Split(values) => {
                split(slice(values, range), out);
            }
            Coded::Strings(words, rows) => {
                let strings = slice(rows, range).iter();
                strings.for_each(|number| put_string(words.get(*number), out));
            }
        }
    }
}

/// First bytes of all values, then all second ones, and so on.
fn split(values: &[[u8; 16]], out: &mut Vec<u8>) {
    let (count, start) = (values.len(), out.len());
    out.resize(start + count * 16, 0);
    let streams = out.get_mut(start..).unwrap_or_default();
    let mut streams: Vec<&mut [u8]> = streams.chunks_exact_mut(count.max(1)).collect();
    let (eights, rest) = values.as_chunks::<8>();
    for (number, eight) in eights.iter().enumerate() {
        let [low, high] = [0, 64].map(|shift| {
            transposed(eight.map(|value| (u128::from_le_bytes(value) >> shift) as u64))
        });
        let at = number * 8..number * 8 + 8;
        for (stream, bytes) in streams.iter_mut().zip(low.into_iter().chain(high)) {
            if let Some(place) = stream.get_mut(at.clone()) {
                place.copy_from_slice(&bytes.to_le_bytes());
            }
        }
    }
    for (at, value) in (eights.len() * 8..).zip(rest) {
        for (stream, byte) in streams.iter_mut().zip(value) {
            if let Some(place) = stream.get_mut(at) {
                *place = *byte;
            }
        }
    }
}

/// Eight words of eight bytes, the lowest first: byte `i` of word `j` to byte `j` of word `i`.
fn transposed(mut words: [u64; 8]) -> [u64; 8] {
    // Blocks of four by four bytes, then two by two, then single ones.
    for (step, mask) in [
        (4, 0x0000_0000_FFFF_FFFF),
        (2, 0x0000_FFFF_0000_FFFF),
        (1, 0x00FF_00FF_00FF_00FFu64),
    ] {
        let shift = step as u32 * 8;
        for pair in words.chunks_exact_mut(step * 2) {
            let (above, below) = pair.split_at_mut(step);
            for (above, below) in above.iter_mut().zip(below) {
                let swapped = (*above >> shift ^ *below) & mask;
                *below ^= swapped;
                *above ^= swapped << shift;
            }
        }
    }
    words
}

fn slice<T>(values: &[T], range: Range<usize>) -> &[T] {
    values.get(range).unwrap_or_default()
}

fn put_string(string: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(&(string.len() as u32).to_le_bytes());
    out.extend_from_slice(string);
}
