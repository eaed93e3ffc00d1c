//! One column chunk: a dictionary where it pays, and pages of at most [`PAGE_ROWS_MAX`] rows.
//!
//! Written here and not by the Parquet library because a click has forty columns, most of which
//! say the same in all rows of a batch: a column of one value costs nearly nothing here, and a
//! dictionary one look-up a value. What is written is plain Parquet: dictionary pages and data
//! pages of the first version, values `PLAIN`, `RLE_DICTIONARY`, `BYTE_STREAM_SPLIT` or
//! `DELTA_BINARY_PACKED`.

use std::ops::Range;

use bytes::Bytes;
use parquet::basic::{Compression, Encoding, PageType, ZstdLevel};
use parquet::bloom_filter::Sbbf;
use parquet::column::page::{CompressedPage, Page, PageWriteSpec, PageWriter};
use parquet::column::writer::ColumnCloseResult;
use parquet::errors::ParquetError;
use parquet::file::metadata::ColumnChunkMetaData;
use parquet::file::statistics::Statistics;
use parquet::file::writer::{SerializedPageWriter, TrackedWrite};
use parquet::schema::types::ColumnDescPtr;

use super::coded::{self, Coded};
use super::columns::{Coding, Column, Field, Kind};
use super::hybrid;

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

/// The chunk of a column, ready to be put into a row group.
pub(crate) struct Chunk {
    pub(crate) bytes: Bytes,
    pub(crate) close: ColumnCloseResult,
}

/// Makes the chunk of some rows of a column.
pub(crate) fn chunk(
    press: &mut Press,
    description: ColumnDescPtr,
    (field, column): (&Field, &Column),
    rows: Range<usize>,
) -> Result<Chunk, ParquetError> {
    let present = column.present.as_ref();
    let present = present.map(|present| present.get(rows.clone()).unwrap_or_default());
    let coded = coded::code(field, column, rows.clone(), present);
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
    Ok(Chunk {
        bytes: Bytes::from(sink.into_inner()?),
        close,
    })
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

/// Least and greatest of a column of numbers, as its kind orders them.
fn statistics(kind: Kind, coded: &Coded<'_>) -> Option<Statistics> {
    let bits: Vec<u64> = match coded {
        Coded::Dictionary { indices, .. } if indices.is_empty() => return None,
        Coded::Dictionary { numbers, .. } => numbers.clone(),
        Coded::Short(values) => bits_of(values, |value| u64::from(value as u32)),
        Coded::ShortSteps(values) => bits_of(values, |value| u64::from(value as u32)),
        Coded::Long(values) => bits_of(values, |value| value as u64),
        Coded::LongSteps(values) => bits_of(values, |value| value as u64),
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

fn bits_of<T: Copy>(values: &[T], bits: impl Fn(T) -> u64) -> Vec<u64> {
    values.iter().map(|value| bits(*value)).collect()
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
