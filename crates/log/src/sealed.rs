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
//! A chunk of `n` records, decompressed, holds columns. Of facts: `n` offsets in the live segment
//! and `n` sequences (4 bytes each, stated as the difference to the one before), `n` lengths (4
//! bytes each), then the parts. Of personal parts: `n` lengths, then the parts. Session and epoch
//! are those of the start block: a new session always begins a new segment.

mod reader;

use std::sync::Arc;

pub(crate) use reader::SealedReader;

use crate::api::{Damage, Partition, ReadError};
use crate::catalog::{Catalog, Opening, START_BLOCK_BYTES, io_error, read_failed};
use crate::disk::DiskFile;
use crate::fields::{Put, Take};
use crate::format::{Tail, VERSION};

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
        .map_err(|error| read_failed(at, name, error))?;
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
