//! Columns to bytes: a Parquet file, the same for the same rows, and sealed.
//!
//! | bytes | what |
//! |---|---|
//! | 4 | `PAR1` |
//! | | row groups of at most [`Schema::group_rows`] rows: column chunks, then bloom filters |
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

use parquet::basic::{LogicalType, Repetition, TimeUnit, Type as Physical};
use parquet::errors::ParquetError;
use parquet::file::metadata::{KeyValue, RowGroupMetaData};
use parquet::file::properties::{BloomFilterPosition, WriterProperties, WriterVersion};
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::types::{SchemaDescriptor, Type, TypePtr};

use super::columns::{Columns, Field, Kind, RowsHash, Schema};
use super::pages::{self, Press};

/// Files of fewer rows are not compressed: zstd sets up a context per column, which costs more
/// than such a column has bytes.
const COMPRESSED_ROWS_MIN: usize = 256;

/// What a footer mostly takes.
const FOOTER_ROOM: usize = 1 << 16;

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

/// The bytes of a file, and the hash of its rows in hexadecimal.
pub(crate) struct Encoded {
    pub(crate) bytes: Vec<u8>,
    pub(crate) rows_hash: String,
}

/// Encodes rows with more keys for the footer. The same input gives the same bytes.
pub(crate) fn encode(
    schema: &Schema,
    source: &dyn Columns,
    more: &[(&str, String)],
) -> Result<Encoded, ParquetError> {
    let rows = source.rows();
    let compresses = rows >= COMPRESSED_ROWS_MIN;
    let mut press = Press::new(compresses)?;
    let properties = Arc::new(properties());
    let parquet = parquet_schema(schema)?;
    let descriptions = SchemaDescriptor::new(Arc::clone(&parquet));
    let descriptions = descriptions.columns();
    let mut hash = RowsHash::new(schema, rows);
    // Columns come one after the other, and a file has them group by group.
    let mut chunks = Vec::with_capacity(schema.fields.len());
    let mut room = FOOTER_ROOM + rows * 3; // filters have one or two bytes a row
    for (number, (field, description)) in schema.fields.iter().zip(descriptions).enumerate() {
        let column = source.column(number);
        hash.add(field, &column);
        let mut of_column = Vec::new();
        for start in (0..rows).step_by(schema.group_rows) {
            let part = start..rows.min(start + schema.group_rows);
            let description = Arc::clone(description);
            let chunk = pages::chunk(&mut press, description, (field, &column), part)?;
            room += chunk.bytes.len();
            of_column.push(chunk);
        }
        chunks.push(of_column.into_iter());
    }
    let sink = Vec::with_capacity(room);
    let mut writer = SerializedFileWriter::new(sink, parquet, properties)?;
    for _ in (0..rows).step_by(schema.group_rows) {
        let mut group = writer.next_row_group()?;
        for chunk in chunks.iter_mut().filter_map(Iterator::next) {
            group.append_column(&chunk.bytes, chunk.close)?;
        }
        group.close()?;
    }
    writer.flush()?;
    let sums = sums(writer.inner(), writer.flushed_row_groups());
    let rows_hash = hex(&hash.finish());
    let mut pairs = vec![
        (keys::SCHEMA, format!("{}/{}", schema.name, schema.version)),
        (keys::ROWS, rows_hash.clone()),
        (keys::SUMS, sums),
    ];
    pairs.extend(more.iter().cloned());
    for (key, value) in pairs {
        writer.append_key_value_metadata(KeyValue::new(key.to_owned(), value));
    }
    Ok(Encoded {
        bytes: seal(writer.into_inner()?)?,
        rows_hash,
    })
}

/// Lower-case hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn properties() -> WriterProperties {
    WriterProperties::builder()
        .set_writer_version(WriterVersion::PARQUET_1_0)
        .set_created_by("tollgate".to_owned())
        .set_max_row_group_row_count(None)
        .set_offset_index_disabled(true)
        .set_bloom_filter_position(BloomFilterPosition::AfterRowGroup)
        .build()
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
fn seal(mut bytes: Vec<u8>) -> Result<Vec<u8>, ParquetError> {
    let short = || ParquetError::General("the footer is short".into());
    let tail: [u8; 8] = *bytes.last_chunk().ok_or_else(short)?;
    let [a, b, c, d, ..] = tail;
    let footer = u32::from_le_bytes([a, b, c, d]) as usize + tail.len();
    let at = bytes.len().checked_sub(footer).ok_or_else(short)?;
    let footer = bytes.split_off(at);
    bytes.extend_from_slice(SEAL);
    bytes.extend_from_slice(&crc32c::crc32c(&footer).to_le_bytes());
    bytes.extend_from_slice(&footer);
    Ok(bytes)
}
