//! One column chunk: a dictionary where it pays, and pages of at most [`PAGE_ROWS_MAX`] rows.
//!
//! Written here and not by the Parquet library because a click has forty columns, most of which
//! say the same in all rows of a batch: a column of one value costs nearly nothing here, and a
//! dictionary one look-up a value. What is written is plain Parquet: dictionary pages and data
//! pages of the first version, values `PLAIN`, `RLE_DICTIONARY` or `BYTE_STREAM_SPLIT`.

use std::borrow::Cow;
use std::ops::Range;

use bytes::Bytes;
use parquet::basic::{Compression, Encoding, PageType, ZstdLevel};
use parquet::bloom_filter::Sbbf;
use parquet::column::page::{CompressedPage, Page, PageWriteSpec, PageWriter};
use parquet::column::writer::ColumnCloseResult;
use parquet::errors::ParquetError;
use parquet::file::metadata::ColumnChunkMetaData;
use parquet::file::statistics::Statistics;
use parquet::file::writer::{SerializedPageWriter, SerializedRowGroupWriter, TrackedWrite};
use parquet::schema::types::ColumnDescPtr;

use super::columns::{Coding, Column, Field, Kind, Values};
use super::hybrid;
use super::numbering::Numbering;
use super::words::Words;

/// Rows of a page; with it grows what must be decoded to see one row.
pub(crate) const PAGE_ROWS_MAX: usize = 1 << 14;

/// Compression of zstd: level 1 is within a few percent of level 3 on our columns and twice as
/// fast.
pub(crate) const ZSTD_LEVEL: i32 = 1;

/// How often a bloom filter says yes to a value that is not there. Filters have a power of two
/// of bytes: a full row group gets a byte a row at this rate, and two at a slightly lower one.
const FALSE_POSITIVES: f64 = 0.03;

/// Compresses pages, with one context for all columns of a file.
pub(crate) struct Press(Option<zstd::bulk::Compressor<'static>>);

impl Press {
    /// One that compresses, or leaves pages as they are.
    pub(crate) fn new(compresses: bool) -> Result<Press, ParquetError> {
        if !compresses {
            return Ok(Press(None));
        }
        Ok(Press(Some(zstd::bulk::Compressor::new(ZSTD_LEVEL)?)))
    }

    fn codec(&self) -> Result<Compression, ParquetError> {
        match self.0 {
            None => Ok(Compression::UNCOMPRESSED),
            Some(_) => Ok(Compression::ZSTD(ZstdLevel::try_new(ZSTD_LEVEL)?)),
        }
    }

    fn press(&mut self, bytes: Vec<u8>) -> Result<Bytes, ParquetError> {
        Ok(match &mut self.0 {
            None => Bytes::from(bytes),
            Some(zstd) => Bytes::from(zstd.compress(&bytes)?),
        })
    }
}

/// Appends the chunk of a column's rows to a row group.
pub(crate) fn write_chunk(
    group: &mut SerializedRowGroupWriter<'_, Vec<u8>>,
    press: &mut Press,
    description: ColumnDescPtr,
    (field, column): (&Field, &Column),
    rows: Range<usize>,
) -> Result<(), ParquetError> {
    let present = column.present.as_ref();
    let present = present.map(|present| present.get(rows.clone()).unwrap_or_default());
    let coded = code(field, column, rows.clone(), present);
    let mut sink = TrackedWrite::new(Vec::new());
    let mut pages = Pages {
        writer: SerializedPageWriter::new(&mut sink),
        press,
        compressed: 0,
        uncompressed: 0,
    };
    let mut chunk = ColumnChunkMetaData::builder(description)
        .set_compression(pages.press.codec()?)
        .set_num_values(rows.len() as i64)
        .set_encodings(vec![Encoding::PLAIN, Encoding::RLE, coded.encoding()]);
    if let Coded::Dictionary { entries, count, .. } = &coded {
        let spec = pages.dictionary(entries, *count)?;
        chunk = chunk.set_dictionary_page_offset(Some(spec.offset as i64));
    }
    let first = pages.data(&coded, rows.len(), present)?;
    let (compressed, uncompressed) = (pages.compressed, pages.uncompressed);
    chunk = chunk
        .set_data_page_offset(first as i64)
        .set_total_compressed_size(compressed as i64)
        .set_total_uncompressed_size(uncompressed as i64);
    if let Some(statistics) = statistics(field.kind, &coded) {
        chunk = chunk.set_statistics(statistics);
    }
    let close = ColumnCloseResult {
        bytes_written: compressed as u64,
        rows_written: rows.len() as u64,
        metadata: chunk.build()?,
        bloom_filter: filter(field, &coded)?,
        column_index: None,
        offset_index: None,
    };
    group.append_column(&Bytes::from(sink.into_inner()?), close)
}

struct Pages<'a> {
    writer: SerializedPageWriter<'a, Vec<u8>>,
    press: &'a mut Press,
    compressed: usize,
    uncompressed: usize,
}

impl Pages<'_> {
    fn dictionary(&mut self, entries: &[u8], count: usize) -> Result<PageWriteSpec, ParquetError> {
        let page = Page::DictionaryPage {
            buf: self.press.press(entries.to_vec())?,
            num_values: count as u32,
            encoding: Encoding::PLAIN,
            is_sorted: false,
        };
        self.put(page, entries.len())
    }

    /// Writes the pages of all rows and says where the first one begins.
    fn data(
        &mut self,
        coded: &Coded<'_>,
        rows: usize,
        present: Option<&[bool]>,
    ) -> Result<u64, ParquetError> {
        let mut first = None;
        let mut value = 0;
        for start in (0..rows).step_by(PAGE_ROWS_MAX) {
            let end = rows.min(start + PAGE_ROWS_MAX);
            let present = present.map(|present| present.get(start..end).unwrap_or_default());
            let mut bytes = Vec::new();
            let mut values = end - start;
            if let Some(present) = present {
                let levels: Vec<u32> = present.iter().map(|present| u32::from(*present)).collect();
                values = present.iter().filter(|present| **present).count();
                bytes.extend_from_slice(&[0; 4]);
                hybrid::encode(&levels, 1, &mut bytes);
                let length = bytes.len().saturating_sub(4) as u32;
                if let Some(place) = bytes.first_chunk_mut::<4>() {
                    *place = length.to_le_bytes();
                }
            }
            coded.put(value..value + values, &mut bytes);
            value += values;
            let uncompressed = bytes.len();
            let page = Page::DataPage {
                buf: self.press.press(bytes)?,
                num_values: (end - start) as u32,
                encoding: coded.encoding(),
                def_level_encoding: Encoding::RLE,
                rep_level_encoding: Encoding::RLE,
                statistics: None,
            };
            let spec = self.put(page, uncompressed)?;
            first.get_or_insert(spec.offset);
        }
        first.ok_or_else(|| ParquetError::General("a chunk has no rows".into()))
    }

    fn put(&mut self, page: Page, uncompressed: usize) -> Result<PageWriteSpec, ParquetError> {
        let spec = self
            .writer
            .write_page(CompressedPage::new(page, uncompressed))?;
        self.compressed += spec.compressed_size;
        self.uncompressed += spec.uncompressed_size;
        debug_assert_ne!(spec.page_type, PageType::INDEX_PAGE);
        Ok(spec)
    }
}

/// The values of a chunk, those that are there, ready to be written.
enum Coded<'c> {
    Dictionary {
        /// The entries as a page has them.
        entries: Vec<u8>,
        count: usize,
        indices: Vec<u32>,
        /// The entries as bits, of columns of numbers.
        numbers: Vec<u64>,
    },
    Short(Cow<'c, [i32]>),
    Long(Cow<'c, [i64]>),
    Flags(Cow<'c, [bool]>),
    Sixteen(Cow<'c, [[u8; 16]]>),
    Split(Cow<'c, [[u8; 16]]>),
    Strings(&'c Words, Cow<'c, [u32]>),
}

fn code<'c>(
    field: &Field,
    column: &'c Column,
    rows: Range<usize>,
    present: Option<&[bool]>,
) -> Coded<'c> {
    let by_dictionary = field.coding == Coding::Dictionary;
    match &column.values {
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
    if bits.clone().any(|bits| bits != first) {
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
    fn encoding(&self) -> Encoding {
        match self {
            Coded::Dictionary { .. } => Encoding::RLE_DICTIONARY,
            Coded::Split(_) => Encoding::BYTE_STREAM_SPLIT,
            _ => Encoding::PLAIN,
        }
    }

    /// Appends some values as a page has them.
    fn put(&self, range: Range<usize>, out: &mut Vec<u8>) {
        match self {
            Coded::Dictionary { count, indices, .. } => {
                let width = hybrid::width_of(count.saturating_sub(1) as u32);
                out.push(width);
                hybrid::encode(slice(indices, range), width, out);
            }
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
                let values = slice(values, range);
                for place in 0..16 {
                    out.extend(values.iter().filter_map(|value| value.get(place)));
                }
            }
            Coded::Strings(words, rows) => {
                let strings = slice(rows, range).iter();
                strings.for_each(|number| put_string(words.get(*number), out));
            }
        }
    }
}

fn slice<T>(values: &[T], range: Range<usize>) -> &[T] {
    values.get(range).unwrap_or_default()
}

fn put_string(string: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(&(string.len() as u32).to_le_bytes());
    out.extend_from_slice(string);
}

/// Least and greatest of a column of numbers, as its kind orders them.
fn statistics(kind: Kind, coded: &Coded<'_>) -> Option<Statistics> {
    let bits: Vec<u64> = match coded {
        Coded::Dictionary { indices, .. } if indices.is_empty() => return None,
        Coded::Dictionary { numbers, .. } => numbers.clone(),
        Coded::Short(values) => values
            .iter()
            .map(|value| u64::from(*value as u32))
            .collect(),
        Coded::Long(values) => values.iter().map(|value| *value as u64).collect(),
        _ => return None,
    };
    match kind {
        Kind::U32 => {
            let (min, max) = (*bits.iter().min()? as i32, *bits.iter().max()? as i32);
            Some(Statistics::int32(Some(min), Some(max), None, None, false))
        }
        Kind::U64 => {
            let (min, max) = (*bits.iter().min()? as i64, *bits.iter().max()? as i64);
            Some(Statistics::int64(Some(min), Some(max), None, None, false))
        }
        Kind::I64 | Kind::Time => {
            let signed = bits.iter().map(|bits| *bits as i64);
            let (min, max) = (signed.clone().min()?, signed.max()?);
            Some(Statistics::int64(Some(min), Some(max), None, None, false))
        }
        _ => None,
    }
}

fn filter(field: &Field, coded: &Coded<'_>) -> Result<Option<Sbbf>, ParquetError> {
    let (Coding::SplitBloom, Coded::Split(values)) = (field.coding, coded) else {
        return Ok(None);
    };
    let mut filter = Sbbf::new_with_ndv_fpp(values.len() as u64, FALSE_POSITIVES)?;
    for value in values.iter() {
        filter.insert(value.as_slice());
    }
    Ok(Some(filter))
}
