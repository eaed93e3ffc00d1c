//! Bytes to columns: a sealed Parquet file, of which nothing is used before its checksum fits.
//!
//! One ranged read fetches the footer, one more each chunk that is asked for, so that a query
//! pays for the columns and row groups it needs, on a disk or an object store.

use std::io;
use std::ops::Range;
use std::sync::Arc;

use bytes::{Buf, Bytes};
use parquet::bloom_filter::Sbbf;
use parquet::column::reader::{ColumnReader, get_column_reader};
use parquet::errors::ParquetError;
use parquet::file::metadata::{ParquetMetaData, ParquetMetaDataReader, RowGroupMetaData};
use parquet::file::reader::{ChunkReader, Length};
use parquet::file::statistics::Statistics;
use tollgate_click::{Ordinal, PartitionId};

use super::columns::{Coding, Column, Field, Schema, Table, Values};
use super::encode::{SEAL, filter_ranges, hex, keys};
use super::errors::LakeError;
use super::inflate::Pages;
use super::objects::Objects;
use super::unpage;

/// What is read at first: holds the footer of nearly every file.
const TAIL: u64 = 64 * 1024;

/// An open file: its footer was read and fits its seal.
pub(crate) struct SealedFile {
    name: String,
    schema: &'static Schema,
    metadata: ParquetMetaData,
    /// Of every chunk, group by group.
    chunk_sums: Vec<u32>,
    /// Of every filter, group by group.
    filter_sums: Vec<u32>,
    /// Hexadecimal hash of the rows.
    pub(crate) rows_hash: String,
    /// Whose rows these are.
    pub(crate) partition: PartitionId,
    /// The ordinals that the file speaks for.
    pub(crate) ordinals: (Ordinal, Ordinal),
}

impl SealedFile {
    /// Reads and checks the footer.
    pub(crate) fn open(
        objects: &dyn Objects,
        name: &str,
        schema: &'static Schema,
    ) -> Result<SealedFile, LakeError> {
        let size = objects.size(name).map_err(|error| reading(name, error))?;
        let tail = size.saturating_sub(TAIL)..size;
        let tail = objects
            .read(name, tail)
            .map_err(|error| reading(name, error))?;
        let corrupt = |what: &str| LakeError::corrupt(name, what);
        let end: [u8; 8] = *tail
            .last_chunk()
            .ok_or_else(|| corrupt("it is too short"))?;
        let [a, b, c, d, magic @ ..] = end;
        if magic != *b"PAR1" {
            return Err(corrupt("it does not end as it should"));
        }
        // Seal, its sum, the footer, its length, the magic.
        let length = u64::from(u32::from_le_bytes([a, b, c, d])) + 8 + 8;
        let start = size.checked_sub(length);
        let start = start.ok_or_else(|| corrupt("its footer is longer than the file"))?;
        let sealed = if length <= tail.len() as u64 {
            tail.get(tail.len() - length as usize..)
                .unwrap_or_default()
                .to_vec()
        } else {
            objects
                .read(name, start..size)
                .map_err(|error| reading(name, error))?
        };
        let footer = unseal(&sealed).ok_or_else(|| corrupt("the seal of its footer is broken"))?;
        let metadata = ParquetMetaDataReader::decode_metadata(footer)
            .map_err(|error| LakeError::corrupt(name, error))?;
        SealedFile::from_metadata(name, schema, metadata)
    }

    fn from_metadata(
        name: &str,
        schema: &'static Schema,
        metadata: ParquetMetaData,
    ) -> Result<SealedFile, LakeError> {
        let corrupt = |what: &str| LakeError::corrupt(name, what);
        let pairs = metadata.file_metadata().key_value_metadata();
        let value = |key: &str| {
            let mut pairs = pairs.into_iter().flatten();
            let pair = pairs.find(|pair| pair.key == key);
            let value = pair.and_then(|pair| pair.value.clone());
            value.ok_or_else(|| corrupt(&format!("its footer has no {key}")))
        };
        check_schema(name, schema, &value(keys::SCHEMA)?)?;
        let number = |key: &str| {
            let number = value(key)?.parse::<u64>();
            number.map_err(|_| corrupt(&format!("{key} is no number")))
        };
        let partition = u16::try_from(number(keys::PARTITION)?).ok();
        let partition = partition.and_then(|partition| PartitionId::new(partition).ok());
        let ordinals = (Ordinal(number(keys::FIRST)?), Ordinal(number(keys::LAST)?));
        let mut sums = parse_sums(&value(keys::SUMS)?)
            .ok_or_else(|| corrupt("its checksums cannot be read"))?;
        let groups = metadata.row_groups();
        let chunks: usize = groups.iter().map(RowGroupMetaData::num_columns).sum();
        let filters: usize = groups.iter().map(|group| filter_ranges(group).len()).sum();
        if sums.len() != chunks + filters || chunks != groups.len() * schema.fields.len() {
            return Err(corrupt("it has other columns than its schema"));
        }
        let filter_sums = sums.split_off(chunks);
        Ok(SealedFile {
            name: name.to_owned(),
            schema,
            chunk_sums: sums,
            filter_sums,
            rows_hash: value(keys::ROWS)?,
            partition: partition.ok_or_else(|| corrupt("its partition cannot be"))?,
            ordinals,
            metadata,
        })
    }

    /// Number of row groups.
    pub(crate) fn groups(&self) -> usize {
        self.metadata.num_row_groups()
    }

    /// Rows of a group.
    pub(crate) fn group_rows(&self, group: usize) -> usize {
        let group = self.metadata.row_groups().get(group);
        group.map_or(0, |group| usize::try_from(group.num_rows()).unwrap_or(0))
    }

    /// Rows of the file.
    pub(crate) fn rows(&self) -> usize {
        (0..self.groups()).map(|group| self.group_rows(group)).sum()
    }

    /// The least and greatest bits of a number column in a group; none when not known.
    pub(crate) fn bounds(&self, group: usize, field: usize) -> Option<(u64, u64)> {
        let column = self
            .metadata
            .row_groups()
            .get(group)?
            .columns()
            .get(field)?;
        match column.statistics()? {
            // Sign bits are kept: only unsigned kinds and times are asked for.
            Statistics::Int32(found) => {
                let (min, max) = (*found.min_opt()?, *found.max_opt()?);
                Some((u64::from(min as u32), u64::from(max as u32)))
            }
            Statistics::Int64(found) => Some((*found.min_opt()? as u64, *found.max_opt()? as u64)),
            _ => None,
        }
    }

    /// Whether a group may hold the value; false is certain. True where there is no filter.
    pub(crate) fn may_hold(
        &self,
        objects: &dyn Objects,
        group: usize,
        field: usize,
        value: &[u8],
    ) -> Result<bool, LakeError> {
        let Some(metadata) = self.metadata.row_groups().get(group) else {
            return Ok(false);
        };
        let Some(column) = metadata.columns().get(field) else {
            return Ok(true);
        };
        let before = self.metadata.row_groups().iter().take(group);
        let skipped: usize = before.map(|group| filter_ranges(group).len()).sum();
        let ranges = filter_ranges(metadata);
        let wanted = column
            .bloom_filter_offset()
            .and_then(|at| u64::try_from(at).ok());
        let index = ranges.iter().position(|(start, _)| Some(*start) == wanted);
        let Some((index, (start, length))) = index.and_then(|at| Some((at, *ranges.get(at)?)))
        else {
            return Ok(true);
        };
        let sum = self.filter_sums.get(skipped + index).copied();
        let piece = self.read(objects, start..start + length, sum)?;
        let filter = Sbbf::read_from_column_chunk(column, &piece)
            .map_err(|error| LakeError::corrupt(&self.name, error))?;
        Ok(filter.is_none_or(|filter| filter.check(value)))
    }

    /// A column of a group.
    pub(crate) fn column(
        &self,
        objects: &dyn Objects,
        group: usize,
        field: usize,
    ) -> Result<Column, LakeError> {
        self.part(objects, group, field, 0..self.group_rows(group))
    }

    /// Some rows of a column of a group. The whole chunk is read, for its checksum; only pages
    /// that hold such rows are decoded.
    pub(crate) fn part(
        &self,
        objects: &dyn Objects,
        group: usize,
        field: usize,
        rows: Range<usize>,
    ) -> Result<Column, LakeError> {
        let missing = || LakeError::corrupt(&self.name, "a column is missing");
        let metadata = self.metadata.row_groups().get(group).ok_or_else(missing)?;
        let chunk = metadata.columns().get(field).ok_or_else(missing)?;
        let kind = self.schema.fields.get(field).ok_or_else(missing)?;
        let (start, length) = chunk.byte_range();
        let index = group * self.schema.fields.len() + field;
        let sum = self.chunk_sums.get(index).copied();
        let piece = self.read(objects, start..start + length, sum)?;
        let pages = Pages::new(Arc::new(piece), chunk, self.group_rows(group));
        let column = pages.and_then(|pages| {
            if kind.coding == Coding::Delta {
                let reader = get_column_reader(chunk.column_descr_ptr(), Box::new(pages));
                read_delta(reader, kind, rows.clone())
            } else {
                unpage::read(pages, kind, rows.clone())
            }
        });
        let column = column.map_err(|error| LakeError::corrupt(&self.name, error))?;
        if column.len() == rows.len() {
            Ok(column)
        } else {
            Err(LakeError::corrupt(&self.name, "a column is short"))
        }
    }

    /// Its name.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// The rows of a group.
    pub(crate) fn group_table(
        &self,
        objects: &dyn Objects,
        group: usize,
    ) -> Result<Table, LakeError> {
        self.part_table(objects, group, 0..self.group_rows(group))
    }

    /// Some rows of a group.
    pub(crate) fn part_table(
        &self,
        objects: &dyn Objects,
        group: usize,
        rows: Range<usize>,
    ) -> Result<Table, LakeError> {
        let fields = 0..self.schema.fields.len();
        let columns = fields.map(|field| self.part(objects, group, field, rows.clone()));
        Ok(Table {
            columns: columns.collect::<Result<_, _>>()?,
        })
    }

    /// All rows.
    pub(crate) fn table(&self, objects: &dyn Objects) -> Result<Table, LakeError> {
        let mut table = Table::new(self.schema);
        for group in 0..self.groups() {
            table.append(self.group_table(objects, group)?);
        }
        Ok(table)
    }

    /// All rows, after comparing them with the hash in the footer.
    pub(crate) fn verified(&self, objects: &dyn Objects) -> Result<Table, LakeError> {
        let table = self.table(objects)?;
        if hex(&table.hash(self.schema)) == self.rows_hash {
            Ok(table)
        } else {
            Err(LakeError::corrupt(
                &self.name,
                "its rows do not give its hash",
            ))
        }
    }

    fn read(
        &self,
        objects: &dyn Objects,
        range: Range<u64>,
        sum: Option<u32>,
    ) -> Result<Piece, LakeError> {
        let start = range.start;
        let bytes = objects
            .read(&self.name, range)
            .map_err(|error| reading(&self.name, error))?;
        if Some(crc32c::crc32c(&bytes)) == sum {
            let bytes = Bytes::from(bytes);
            Ok(Piece { start, bytes })
        } else {
            Err(LakeError::corrupt(
                &self.name,
                format!("checksum at byte {start}"),
            ))
        }
    }
}

/// An error of a read in the words of the lake.
pub(crate) fn reading(name: &str, error: io::Error) -> LakeError {
    match error.kind() {
        io::ErrorKind::NotFound => LakeError::Missing {
            name: name.to_owned(),
        },
        io::ErrorKind::UnexpectedEof => LakeError::corrupt(name, "it is too short"),
        _ => LakeError::io(name, error),
    }
}

fn unseal(sealed: &[u8]) -> Option<&[u8]> {
    let rest = sealed.strip_prefix(SEAL)?;
    let (sum, rest) = rest.split_first_chunk::<4>()?;
    let is_whole = crc32c::crc32c(rest) == u32::from_le_bytes(*sum);
    let (footer, _) = rest.split_at_checked(rest.len().checked_sub(8)?)?;
    is_whole.then_some(footer)
}

fn check_schema(name: &str, schema: &Schema, text: &str) -> Result<(), LakeError> {
    let (kind, version) = text.split_once('/').unwrap_or((text, ""));
    match version.parse::<u32>() {
        Ok(version) if kind == schema.name && version > schema.version => {
            let name = name.to_owned();
            Err(LakeError::NewerCode { name, version })
        }
        Ok(version) if kind == schema.name && version == schema.version => Ok(()),
        _ => Err(LakeError::corrupt(name, format!("its schema is {text}"))),
    }
}

fn parse_sums(text: &str) -> Option<Vec<u32>> {
    let digits = text.as_bytes().chunks(8).map(std::str::from_utf8);
    digits
        .map(|digits| u32::from_str_radix(digits.ok()?, 16).ok())
        .collect()
}

/// A part of a file that answers at its offsets in the file.
struct Piece {
    start: u64,
    bytes: Bytes,
}

impl Piece {
    fn from(&self, start: u64) -> Result<Bytes, ParquetError> {
        let skip = start
            .checked_sub(self.start)
            .and_then(|skip| usize::try_from(skip).ok());
        let skip = skip.filter(|skip| *skip <= self.bytes.len());
        let skip = skip.ok_or_else(|| ParquetError::EOF("a page lies outside its chunk".into()))?;
        Ok(self.bytes.slice(skip..))
    }
}

impl Length for Piece {
    fn len(&self) -> u64 {
        self.start + self.bytes.len() as u64
    }
}

impl ChunkReader for Piece {
    type T = bytes::buf::Reader<Bytes>;

    fn get_read(&self, start: u64) -> Result<Self::T, ParquetError> {
        self.from(start).map(Buf::reader)
    }

    fn get_bytes(&self, start: u64, length: usize) -> Result<Bytes, ParquetError> {
        let rest = self.from(start)?;
        if length <= rest.len() {
            Ok(rest.slice(..length))
        } else {
            Err(ParquetError::EOF("a page is longer than its chunk".into()))
        }
    }
}

/// Columns of differences are left to the library; all rows have a value in them.
fn read_delta(
    reader: ColumnReader,
    field: &Field,
    rows: Range<usize>,
) -> Result<Column, ParquetError> {
    let values = match reader {
        ColumnReader::Int32ColumnReader(mut reader) => {
            let mut values = Vec::with_capacity(rows.len());
            reader.skip_records(rows.start)?;
            reader.read_records(rows.len(), None, None, &mut values)?;
            Values::I32(values)
        }
        ColumnReader::Int64ColumnReader(mut reader) => {
            let mut values = Vec::with_capacity(rows.len());
            reader.skip_records(rows.start)?;
            reader.read_records(rows.len(), None, None, &mut values)?;
            Values::I64(values)
        }
        _ => {
            let name = field.name;
            let wrong = format!("column {name} is not of its kind");
            return Err(ParquetError::General(wrong));
        }
    };
    let present = None;
    Ok(Column { values, present })
}
