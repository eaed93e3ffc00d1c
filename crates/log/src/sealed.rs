//! The bytes of a sealed segment, version 1, and reading them. All numbers are little-endian.
//!
//! A sealed segment is two files of the same layout, one for facts, one for personal parts. The
//! segment's records are cut into groups in the order of the log; inside a group each partition has
//! one chunk, which can be read alone. A reader decodes one group at a time and hands its records
//! out in the order of the log.
//!
//! | file at | bytes | content |
//! |---|---|---|
//! | 0 | 8 | [`FACTS_MAGIC`] or [`PERSONAL_MAGIC`] |
//! | 8 | 2 | format version |
//! | 10 | 2 | zero |
//! | 12 | 4 | CRC32C of the 12 bytes before |
//! | 16 | 96 | the start block of the live segment, as it was |
//! | 112 | | chunks, each one zstd frame |
//! | | 36 each | index: one entry per chunk, by group, then partition |
//! | | 40 | footer |
//!
//! | entry at | bytes | field |
//! |---|---|---|
//! | 0 | 4 | group, counted from 0 |
//! | 4 | 2 | partition |
//! | 6 | 2 | zero |
//! | 8 | 4 | records |
//! | 12 | 4 | offset of the first record in the live segment |
//! | 16 | 4 | offset of the last record |
//! | 20 | 4 | where the chunk begins in this file |
//! | 24 | 4 | its bytes |
//! | 28 | 4 | its bytes when decompressed |
//! | 32 | 4 | CRC32C of the chunk as it is stored |
//!
//! | footer at | bytes | field |
//! |---|---|---|
//! | 0 | 4 | where the index begins |
//! | 4 | 4 | entries |
//! | 8 | 4 | CRC32C of the index |
//! | 12 | 4 | where the live segment ended |
//! | 16 | 8 | sequence of the block after it |
//! | 24 | 4 | header CRC of its last block |
//! | 28 | 4 | CRC32C of the 28 bytes before |
//! | 32 | 8 | [`END_MAGIC`] |
//!
//! A chunk of `n` records, decompressed, holds columns: of facts, `n` offsets in the live segment
//! and `n` sequences (4 bytes each, each stated as the difference to the one before), `n` lengths (4
//! bytes each), then the parts; of personal parts, `n` lengths, then the parts. Session and epoch are
//! those of the start block: a new session always begins a new segment.

use std::ops::Range;
use std::sync::Arc;

use crate::api::{Cursor, Damage, Partition, PartitionSet, ReadError, RecordRef};
use crate::catalog::{Catalog, Opening, START_BLOCK_BYTES, io_error};
use crate::disk::DiskFile;
use crate::fields::{Put, Take};
use crate::format::{Header, Tail, VERSION, facts_name, personal_name, position};
use crate::live::{Sink, Step};

pub(crate) const FACTS_MAGIC: [u8; 8] = *b"TollgFct";
pub(crate) const PERSONAL_MAGIC: [u8; 8] = *b"TollgPsn";
pub(crate) const END_MAGIC: [u8; 8] = *b"TollgEnd";
/// Where the copy of the start block stands.
pub(crate) const START_BLOCK_AT: u64 = 16;
/// Where the chunks begin.
pub(crate) const CHUNKS_AT: usize = START_BLOCK_AT as usize + START_BLOCK_BYTES;
const ENTRY_BYTES: usize = 36;
const FOOTER_BYTES: usize = 40;

/// The file's first 16 bytes.
pub(crate) fn encode_preamble(magic: [u8; 8]) -> Vec<u8> {
    let mut out = Vec::new();
    Put(&mut out).bytes(&magic).u16(VERSION).u16(0);
    let crc = crc32c::crc32c(&out);
    Put(&mut out).u32(crc);
    out
}

/// One chunk in the index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) group: u32,
    pub(crate) partition: Partition,
    pub(crate) records: u32,
    pub(crate) first: u32,
    pub(crate) last: u32,
    pub(crate) at: u32,
    pub(crate) bytes: u32,
    pub(crate) raw_bytes: u32,
    pub(crate) crc: u32,
}

impl Entry {
    fn take(take: &mut Take<'_>) -> Option<Entry> {
        let (group, partition, zero) = (take.u32()?, Partition(take.u16()?), take.u16()?);
        let entry = Entry {
            group,
            partition,
            records: take.u32()?,
            first: take.u32()?,
            last: take.u32()?,
            at: take.u32()?,
            bytes: take.u32()?,
            raw_bytes: take.u32()?,
            crc: take.u32()?,
        };
        (zero == 0).then_some(entry)
    }

    /// What the entries of a chunk of facts and of its personal parts have in common.
    fn matches(&self, other: &Entry) -> bool {
        let key = |entry: &Entry| {
            (
                entry.group,
                entry.partition,
                entry.records,
                entry.first,
                entry.last,
            )
        };
        key(self) == key(other)
    }
}

/// Index and footer, as they stand at the end of the file.
pub(crate) fn encode_index(entries: &[Entry], at: u32, tail: Tail) -> Vec<u8> {
    let mut out = Vec::with_capacity(entries.len() * ENTRY_BYTES + FOOTER_BYTES);
    for entry in entries {
        Put(&mut out)
            .u32(entry.group)
            .u16(entry.partition.0)
            .u16(0)
            .u32(entry.records)
            .u32(entry.first)
            .u32(entry.last)
            .u32(entry.at)
            .u32(entry.bytes)
            .u32(entry.raw_bytes)
            .u32(entry.crc);
    }
    let index_crc = crc32c::crc32c(&out);
    let mut footer = Vec::with_capacity(FOOTER_BYTES);
    Put(&mut footer)
        .u32(at)
        .u32(entries.len() as u32)
        .u32(index_crc)
        .u32(tail.end)
        .u64(tail.sequence)
        .u32(tail.chain);
    let crc = crc32c::crc32c(&footer);
    Put(&mut footer).u32(crc).bytes(&END_MAGIC);
    out.extend(footer);
    out
}

/// One of the two files of a sealed segment, with its index.
struct SealedFile {
    name: String,
    file: Arc<dyn DiskFile>,
    opening: Opening,
    entries: Vec<Entry>,
    tail: Tail,
}

impl SealedFile {
    fn open(
        catalog: &Catalog,
        segment: u32,
        name: String,
        magic: [u8; 8],
    ) -> Result<SealedFile, ReadError> {
        let file = catalog.open(&name)?;
        let len = file
            .len()
            .map_err(|error| io_error("measure", &name, error))?;
        let head = read_exactly(&*file, &name, 0, CHUNKS_AT)?;
        let (preamble, start) = head
            .split_at_checked(START_BLOCK_AT as usize)
            .unwrap_or_default();
        if preamble != encode_preamble(magic) {
            return Err(damage(
                &name,
                0,
                "it does not begin as a sealed file of this version",
            ));
        }
        let opening = Opening::decode(start, catalog.identity(segment))
            .ok_or_else(|| damage(&name, START_BLOCK_AT, "the start block is not whole"))?;
        let footer_at = len.saturating_sub(FOOTER_BYTES as u64);
        let footer = read_exactly(&*file, &name, footer_at, FOOTER_BYTES)?;
        let footer = Footer::decode(&footer, segment)
            .filter(|footer| footer.index_ends_at() == footer_at)
            .ok_or_else(|| damage(&name, footer_at, "the footer is not whole"))?;
        let index_bytes = footer.entries as usize * ENTRY_BYTES;
        let index = read_exactly(&*file, &name, u64::from(footer.index_at), index_bytes)?;
        let entries = footer
            .entries(&index)
            .ok_or_else(|| damage(&name, u64::from(footer.index_at), "the index is not whole"))?;
        Ok(SealedFile {
            name,
            file,
            opening,
            entries,
            tail: footer.tail,
        })
    }

    /// Reads, checks and decompresses one chunk.
    fn chunk(&self, entry: &Entry) -> Result<Vec<u8>, ReadError> {
        let at = u64::from(entry.at);
        let stored = read_exactly(&*self.file, &self.name, at, entry.bytes as usize)?;
        if crc32c::crc32c(&stored) != entry.crc {
            return Err(damage(
                &self.name,
                at,
                "the chunk does not match its checksum",
            ));
        }
        let raw = zstd::bulk::decompress(&stored, entry.raw_bytes as usize).ok();
        raw.filter(|raw| raw.len() == entry.raw_bytes as usize)
            .ok_or_else(|| damage(&self.name, at, "the chunk cannot be decompressed"))
    }
}

struct Footer {
    index_at: u32,
    entries: u32,
    index_crc: u32,
    tail: Tail,
}

impl Footer {
    fn decode(bytes: &[u8], segment: u32) -> Option<Footer> {
        let mut take = Take(bytes);
        let (index_at, entries, index_crc) = (take.u32()?, take.u32()?, take.u32()?);
        let (end, sequence, chain) = (take.u32()?, take.u64()?, take.u32()?);
        let tail = Tail {
            segment,
            end,
            sequence,
            chain,
        };
        let crc = crc32c::crc32c(bytes.get(..28)?);
        let whole = take.u32()? == crc && take.array()? == END_MAGIC;
        whole.then_some(Footer {
            index_at,
            entries,
            index_crc,
            tail,
        })
    }

    fn index_ends_at(&self) -> u64 {
        u64::from(self.index_at) + u64::from(self.entries) * ENTRY_BYTES as u64
    }

    fn entries(&self, index: &[u8]) -> Option<Vec<Entry>> {
        let mut take = Take(index);
        let whole = crc32c::crc32c(index) == self.index_crc;
        let entries: Option<Vec<Entry>> =
            (0..self.entries).map(|_| Entry::take(&mut take)).collect();
        entries.filter(|_| whole)
    }
}

/// An open sealed segment, for some partitions.
pub(crate) struct SealedReader {
    facts: SealedFile,
    /// `None` once retention has removed the personal parts.
    personal: Option<SealedFile>,
    /// The wanted chunks, as places in the index, group by group.
    groups: Vec<Vec<usize>>,
    next_group: usize,
    rows: Group,
}

/// The records of one group, decoded, in the order of the log.
#[derive(Default)]
struct Group {
    chunks: Vec<Chunk>,
    rows: Vec<Row>,
}

struct Chunk {
    partition: Partition,
    facts: Vec<u8>,
    personal: Option<Vec<u8>>,
}

struct Row {
    offset: u32,
    sequence: u32,
    chunk: usize,
    facts: Range<usize>,
    personal: Range<usize>,
}

impl SealedReader {
    pub(crate) fn open(
        catalog: &Catalog,
        segment: u32,
        partitions: &PartitionSet,
    ) -> Result<SealedReader, ReadError> {
        let facts = SealedFile::open(catalog, segment, facts_name(segment), FACTS_MAGIC)?;
        let personal = (segment >= catalog.kept().personal_first)
            .then(|| SealedFile::open(catalog, segment, personal_name(segment), PERSONAL_MAGIC))
            .transpose()?;
        if let Some(personal) = &personal {
            let pairs = facts.entries.iter().zip(&personal.entries);
            let fits = facts.entries.len() == personal.entries.len()
                && pairs
                    .clone()
                    .all(|(facts, personal)| facts.matches(personal));
            if !fits || facts.opening != personal.opening || facts.tail != personal.tail {
                return Err(damage(
                    &personal.name,
                    0,
                    "it does not belong to the facts beside it",
                ));
            }
        }
        let mut groups: Vec<Vec<usize>> = Vec::new();
        let mut group = None;
        for (index, entry) in facts.entries.iter().enumerate() {
            if !partitions.contains(entry.partition) {
                continue;
            }
            if group.replace(entry.group) != Some(entry.group) {
                groups.push(Vec::new());
            }
            groups
                .last_mut()
                .into_iter()
                .for_each(|group| group.push(index));
        }
        Ok(SealedReader {
            facts,
            personal,
            groups,
            next_group: 0,
            rows: Group::default(),
        })
    }

    /// Hands out the records from the offset `from` on.
    pub(crate) fn visit(&mut self, from: u32, sink: &mut Sink<'_>) -> Result<Step, ReadError> {
        loop {
            if let Some(stopped) = self.visit_group(from, sink)? {
                return Ok(Step::Stopped(stopped));
            }
            let Some(group) = self.groups.get(self.next_group) else {
                return Ok(Step::Done);
            };
            let entries = group
                .iter()
                .filter_map(|index| self.facts.entries.get(*index));
            let wanted = entries.map(|entry| entry.last).max() >= Some(from);
            self.rows = if wanted {
                self.decode(group)?
            } else {
                Group::default()
            };
            self.next_group += 1;
        }
    }

    /// Whether the segment ends where the next one says that it does.
    pub(crate) fn ends_at(&self, end: u32, next: &Header) -> Result<(), ReadError> {
        let tail = self.facts.tail;
        if (tail.end, tail.sequence, tail.chain) == (end, next.sequence, next.previous) {
            return Ok(());
        }
        Err(damage(
            &self.facts.name,
            0,
            "the next segment says that this one ends otherwise",
        ))
    }

    /// Hands out decoded records; the offset of the one that was too much.
    fn visit_group(&self, from: u32, sink: &mut Sink<'_>) -> Result<Option<u32>, ReadError> {
        let header = &self.facts.opening.header;
        let first = self.rows.rows.partition_point(|row| row.offset < from);
        for row in self.rows.rows.get(first..).unwrap_or(&[]) {
            if sink.is_full() {
                return Ok(Some(row.offset));
            }
            let chunk = self.rows.chunks.get(row.chunk);
            let facts = chunk.and_then(|chunk| chunk.facts.get(row.facts.clone()));
            let (Some(chunk), Some(facts)) = (chunk, facts) else {
                return Err(damage(
                    &self.facts.name,
                    0,
                    "a record reaches over its chunk",
                ));
            };
            let personal = chunk
                .personal
                .as_ref()
                .map(|all| all.get(row.personal.clone()));
            if personal == Some(None) {
                return Err(damage(
                    &self.facts.name,
                    0,
                    "a personal part reaches over its chunk",
                ));
            }
            let position = position(header.segment, row.offset);
            sink.give(RecordRef {
                partition: chunk.partition,
                facts,
                personal: personal.flatten(),
                cursor: Cursor {
                    incarnation: header.incarnation,
                    position,
                },
                session: header.session,
                sequence: u64::from(row.sequence),
                epoch: header.epoch,
            });
        }
        Ok(None)
    }

    fn decode(&self, group: &[usize]) -> Result<Group, ReadError> {
        let mut decoded = Group::default();
        for index in group {
            let Some(entry) = self.facts.entries.get(*index) else {
                continue;
            };
            let facts = self.facts.chunk(entry)?;
            let of_personal = self.personal.as_ref();
            let personal = of_personal
                .and_then(|file| file.entries.get(*index).map(|entry| file.chunk(entry)))
                .transpose()?;
            let chunk = decoded.chunks.len();
            rows(
                entry,
                chunk,
                (&facts, personal.as_deref()),
                &mut decoded.rows,
            )
            .filter(|last| *last == entry.last)
            .ok_or_else(|| {
                let at = u64::from(entry.at);
                damage(
                    &self.facts.name,
                    at,
                    "the chunk does not hold what the index says",
                )
            })?;
            decoded.chunks.push(Chunk {
                partition: entry.partition,
                facts,
                personal,
            });
        }
        decoded.rows.sort_unstable_by_key(|row| row.offset);
        Ok(decoded)
    }
}

/// Splits a chunk into its records; the offset of the last one, if the columns hold what they must.
fn rows(
    entry: &Entry,
    chunk: usize,
    (facts, personal): (&[u8], Option<&[u8]>),
    out: &mut Vec<Row>,
) -> Option<u32> {
    let count = entry.records as usize;
    let column = count.checked_mul(4)?;
    let mut take = Take(facts);
    let mut offsets = Take(take.bytes(column)?);
    let mut sequences = Take(take.bytes(column)?);
    let mut lengths = Take(take.bytes(column)?);
    let mut personal_lengths = Take(personal.map_or(Some(&[][..]), |all| all.get(..column))?);
    let (mut facts_at, mut personal_at) = (facts.len() - take.0.len(), column);
    let (mut offset, mut sequence) = (0u32, 0u32);
    for _ in 0..count {
        offset = offset.wrapping_add(offsets.u32()?);
        sequence = sequence.wrapping_add(sequences.u32()?);
        let facts_end = facts_at.checked_add(lengths.u32()? as usize)?;
        let personal_bytes = if personal.is_some() {
            personal_lengths.u32()?
        } else {
            0
        };
        let personal_end = personal_at.checked_add(personal_bytes as usize)?;
        let (facts, personal) = (facts_at..facts_end, personal_at..personal_end);
        out.push(Row {
            offset,
            sequence,
            chunk,
            facts,
            personal,
        });
        (facts_at, personal_at) = (facts_end, personal_end);
    }
    let filled = facts_at == facts.len() && personal.is_none_or(|all| personal_at == all.len());
    filled.then_some(offset)
}

fn read_exactly(
    file: &dyn DiskFile,
    name: &str,
    at: u64,
    count: usize,
) -> Result<Vec<u8>, ReadError> {
    let len = file
        .len()
        .map_err(|error| io_error("measure", name, error))?;
    if len.saturating_sub(at) < count as u64 {
        return Err(damage(name, len, "the file is too short"));
    }
    let mut bytes = vec![0; count];
    let read = file
        .read_at(at, &mut bytes)
        .map_err(|error| io_error("read", name, error))?;
    if read == count {
        Ok(bytes)
    } else {
        Err(damage(name, at, "the file is too short"))
    }
}

fn damage(name: &str, offset: u64, what: &'static str) -> ReadError {
    Damage {
        file: name.to_owned(),
        offset,
        what,
    }
    .into()
}
