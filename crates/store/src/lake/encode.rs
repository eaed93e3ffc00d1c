//! Columns to bytes: a Parquet file, the same for the same rows, and sealed.
//!
//! | bytes | what |
//! |---|---|
//! | 4 | `PAR1` |
//! | | row groups of at most [`GROUP_ROWS_MAX`] rows: column chunks, then bloom filters |
//! | 4 | `TGS1` |
//! | 4 | CRC32C of all that follows, little-endian |
//! | | Parquet footer, with our keys below |
//! | 4 | its length |
//! | 4 | `PAR1` |
//!
//! Parquet's writer has no checksums, so the footer carries one per chunk and filter and the seal
//! carries one of the footer: no flipped bit reaches a report. Other readers skip the seal.
//!
//! | key | value |
//! |---|---|
//! | `tollgate.schema` | name and version of the columns |
//! | `tollgate.partition`, `.first`, `.last` | whose rows, and of which ordinals |
//! | `tollgate.rows` | SHA-256 of the rows, see [`Table::hash`] |
//! | `tollgate.sums` | CRC32C of every chunk and then of every filter, 8 hex digits each |

use std::sync::Arc;

use bytes::Bytes;
use parquet::basic::ZstdLevel;
use parquet::basic::{Compression, Encoding, LogicalType, Repetition, TimeUnit, Type as Physical};
use parquet::column::writer::ColumnWriter;
use parquet::data_type::{ByteArray, DataType, FixedLenByteArray};
use parquet::errors::ParquetError;
use parquet::file::metadata::{KeyValue, RowGroupMetaData};
use parquet::file::properties::{
    BloomFilterPosition, EnabledStatistics, WriterProperties, WriterVersion,
};
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::types::{ColumnPath, Type, TypePtr};

use super::columns::{Coding, Column, Field, Kind, Schema, Table, Values};

/// Rows of one row group; with it grows what a reader must decode to see one row.
pub(crate) const GROUP_ROWS_MAX: usize = 1 << 17;

/// How often a bloom filter says yes to a value that is not there. Filters have a power of two
/// of bytes: a full row group gets a byte a row at this rate, and two at a slightly lower one.
const FALSE_POSITIVES: f64 = 0.03;

/// Compression of zstd: level 1 is within a few percent of level 3 on our columns and twice as
/// fast.
const ZSTD_LEVEL: i32 = 1;

/// Files of fewer rows are not compressed: zstd sets up a context per column, which costs more
/// than such a column has bytes.
const COMPRESSED_ROWS_MIN: usize = 256;

/// Values that are copied at once, to stay in the cache.
const SLICE: usize = 1024;

pub(crate) const SEAL: &[u8; 4] = b"TGS1";

/// Keys of the footer.
pub(crate) mod keys {
    pub(crate) const SCHEMA: &str = "tollgate.schema";
    pub(crate) const PARTITION: &str = "tollgate.partition";
    pub(crate) const FIRST: &str = "tollgate.first";
    pub(crate) const LAST: &str = "tollgate.last";
    pub(crate) const ROWS: &str = "tollgate.rows";
    pub(crate) const SUMS: &str = "tollgate.sums";
}

/// Encodes a table with more keys for its footer. The same input gives the same bytes.
pub(crate) fn encode(
    schema: &Schema,
    table: &Table,
    more: &[(&str, String)],
) -> Result<Vec<u8>, ParquetError> {
    let properties = Arc::new(properties(schema, table.rows().min(GROUP_ROWS_MAX))?);
    let mut writer = SerializedFileWriter::new(Vec::new(), parquet_schema(schema)?, properties)?;
    let rows = table.rows();
    for start in (0..rows).step_by(GROUP_ROWS_MAX) {
        let end = rows.min(start + GROUP_ROWS_MAX);
        let mut group = writer.next_row_group()?;
        for column in &table.columns {
            let Some(mut writer) = group.next_column()? else {
                return Err(ParquetError::General("more columns than fields".into()));
            };
            write_column(writer.untyped(), column, start..end)?;
            writer.close()?;
        }
        group.close()?;
    }
    writer.flush()?;
    let sums = sums(writer.inner(), writer.flushed_row_groups());
    let mut pairs = vec![
        (keys::SCHEMA, format!("{}/{}", schema.name, schema.version)),
        (keys::ROWS, hex(&table.hash(schema))),
        (keys::SUMS, sums),
    ];
    pairs.extend(more.iter().cloned());
    for (key, value) in pairs {
        writer.append_key_value_metadata(KeyValue::new(key.to_owned(), value));
    }
    seal(writer.into_inner()?)
}

/// Lower-case hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn properties(schema: &Schema, group_rows: usize) -> Result<WriterProperties, ParquetError> {
    let compression = if group_rows < COMPRESSED_ROWS_MIN {
        Compression::UNCOMPRESSED
    } else {
        Compression::ZSTD(ZstdLevel::try_new(ZSTD_LEVEL)?)
    };
    let mut builder = WriterProperties::builder()
        .set_writer_version(WriterVersion::PARQUET_1_0)
        .set_created_by("tollgate".to_owned())
        .set_compression(compression)
        .set_max_row_group_row_count(None)
        .set_write_batch_size(SLICE)
        .set_statistics_enabled(EnabledStatistics::Chunk)
        .set_offset_index_disabled(true)
        .set_bloom_filter_position(BloomFilterPosition::AfterRowGroup);
    for field in schema.fields {
        let path = ColumnPath::from(field.name);
        let dictionary = field.coding == Coding::Dictionary;
        builder = builder.set_column_dictionary_enabled(path.clone(), dictionary);
        let encoding = match field.coding {
            Coding::Dictionary | Coding::Plain => Encoding::PLAIN,
            Coding::Delta => Encoding::DELTA_BINARY_PACKED,
            Coding::Split | Coding::SplitBloom => Encoding::BYTE_STREAM_SPLIT,
        };
        builder = builder.set_column_encoding(path.clone(), encoding);
        if field.coding == Coding::SplitBloom {
            builder = builder
                .set_column_bloom_filter_enabled(path.clone(), true)
                .set_column_bloom_filter_fpp(path.clone(), FALSE_POSITIVES)
                .set_column_bloom_filter_max_ndv(path, group_rows as u64);
        }
    }
    Ok(builder.build())
}

/// The schema in Parquet's words.
pub(crate) fn parquet_schema(schema: &Schema) -> Result<TypePtr, ParquetError> {
    let mut fields = Vec::with_capacity(schema.fields.len());
    for field in schema.fields {
        fields.push(Arc::new(parquet_field(field)?));
    }
    let group = Type::group_type_builder(schema.name).with_fields(fields);
    Ok(Arc::new(group.build()?))
}

fn parquet_field(field: &Field) -> Result<Type, ParquetError> {
    let unsigned = |bit_width| LogicalType::integer(bit_width, false);
    let (physical, logical) = match field.kind {
        Kind::U32 => (Physical::INT32, Some(unsigned(32))),
        Kind::U64 => (Physical::INT64, Some(unsigned(64))),
        Kind::I64 => (Physical::INT64, None),
        Kind::Time => {
            let utc_millis = LogicalType::timestamp(true, TimeUnit::MILLIS);
            (Physical::INT64, Some(utc_millis))
        }
        Kind::Flag => (Physical::BOOLEAN, None),
        Kind::Uuid => (Physical::FIXED_LEN_BYTE_ARRAY, Some(LogicalType::Uuid)),
        Kind::Bytes16 => (Physical::FIXED_LEN_BYTE_ARRAY, None),
        Kind::Word => (Physical::BYTE_ARRAY, Some(LogicalType::String)),
        Kind::Bytes => (Physical::BYTE_ARRAY, None),
    };
    let repetition = if field.optional {
        Repetition::OPTIONAL
    } else {
        Repetition::REQUIRED
    };
    let is_16 = matches!(field.kind, Kind::Uuid | Kind::Bytes16);
    Type::primitive_type_builder(field.name, physical)
        .with_repetition(repetition)
        .with_logical_type(logical)
        .with_length(if is_16 { 16 } else { -1 })
        .build()
}

fn write_column(
    writer: &mut ColumnWriter<'_>,
    column: &Column,
    rows: std::ops::Range<usize>,
) -> Result<(), ParquetError> {
    let present = column.present.as_ref();
    let present = present.and_then(|present| present.get(rows.clone()));
    match (&column.values, writer) {
        (Values::I32(values), ColumnWriter::Int32ColumnWriter(writer)) => {
            write(writer, values.get(rows), present, |values| values.to_vec())
        }
        (Values::I64(values), ColumnWriter::Int64ColumnWriter(writer)) => {
            write(writer, values.get(rows), present, |values| values.to_vec())
        }
        (Values::Flag(values), ColumnWriter::BoolColumnWriter(writer)) => {
            write(writer, values.get(rows), present, |values| values.to_vec())
        }
        (Values::Bytes16(values), ColumnWriter::FixedLenByteArrayColumnWriter(writer)) => {
            write(writer, values.get(rows), present, |values| {
                let all = Bytes::copy_from_slice(values.as_flattened());
                let pieces = (0..values.len()).map(|index| index * 16);
                let pieces = pieces.map(|at| ByteArray::from(all.slice(at..at + 16)));
                pieces.map(FixedLenByteArray::from).collect()
            })
        }
        (Values::Word(words), ColumnWriter::ByteArrayColumnWriter(writer)) => {
            let texts = words.texts().iter();
            let texts: Vec<ByteArray> = texts
                .map(|text| ByteArray::from(Bytes::copy_from_slice(text.as_bytes())))
                .collect();
            write(writer, words.rows.get(rows), present, |numbers| {
                let found = numbers
                    .iter()
                    .filter_map(|number| texts.get(*number as usize));
                found.cloned().collect()
            })
        }
        (Values::Bytes(values), ColumnWriter::ByteArrayColumnWriter(writer)) => {
            write(writer, values.get(rows), present, |values| {
                let copies = values.iter().map(|value| Bytes::copy_from_slice(value));
                copies.map(ByteArray::from).collect()
            })
        }
        _ => Err(ParquetError::General("a column is not of its kind".into())),
    }
}

/// Writes values slice by slice, leaving out rows without one.
fn write<T: DataType, V: Clone>(
    writer: &mut parquet::column::writer::ColumnWriterImpl<'_, T>,
    values: Option<&[V]>,
    present: Option<&[bool]>,
    convert: impl Fn(&[V]) -> Vec<T::T>,
) -> Result<(), ParquetError> {
    let values = values.unwrap_or_default();
    let Some(present) = present else {
        for slice in values.chunks(SLICE) {
            writer.write_batch(&convert(slice), None, None)?;
        }
        return Ok(());
    };
    for (slice, present) in values.chunks(SLICE).zip(present.chunks(SLICE)) {
        let levels: Vec<i16> = present.iter().map(|present| i16::from(*present)).collect();
        let there = slice.iter().zip(present).filter(|(_, present)| **present);
        let there: Vec<V> = there.map(|(value, _)| value.clone()).collect();
        writer.write_batch(&convert(&there), Some(&levels), None)?;
    }
    Ok(())
}

/// Checksums of all chunks and then of all filters.
fn sums(bytes: &[u8], groups: &[RowGroupMetaData]) -> String {
    let chunks = groups.iter().flat_map(RowGroupMetaData::columns);
    let mut ranges: Vec<(u64, u64)> = chunks.map(|column| column.byte_range()).collect();
    ranges.extend(groups.iter().flat_map(filter_ranges));
    let mut text = String::with_capacity(ranges.len() * 8);
    for (start, length) in ranges {
        let range = start as usize..(start + length) as usize;
        let sum = crc32c::crc32c(bytes.get(range).unwrap_or_default());
        text.push_str(&format!("{sum:08x}"));
    }
    text
}

/// Start and length of the filters of a group, in the order of its columns.
pub(crate) fn filter_ranges(group: &RowGroupMetaData) -> Vec<(u64, u64)> {
    let filters = group.columns().iter().filter_map(|column| {
        let start = u64::try_from(column.bloom_filter_offset()?).ok()?;
        let length = u64::try_from(column.bloom_filter_length()?).ok()?;
        Some((start, length))
    });
    filters.collect()
}

/// Puts the seal before the footer.
fn seal(bytes: Vec<u8>) -> Result<Vec<u8>, ParquetError> {
    let short = || ParquetError::General("the footer is short".into());
    let tail: [u8; 8] = *bytes.last_chunk().ok_or_else(short)?;
    let [a, b, c, d, ..] = tail;
    let footer = u32::from_le_bytes([a, b, c, d]) as usize + tail.len();
    let at = bytes.len().checked_sub(footer).ok_or_else(short)?;
    let (body, footer) = bytes.split_at_checked(at).ok_or_else(short)?;
    let mut sealed = Vec::with_capacity(bytes.len() + 8);
    sealed.extend_from_slice(body);
    sealed.extend_from_slice(SEAL);
    sealed.extend_from_slice(&crc32c::crc32c(footer).to_le_bytes());
    sealed.extend_from_slice(footer);
    Ok(sealed)
}
