//! Sealed segments: two files of one layout, facts and personal parts, in compressed chunks.
//!
//! | file at | bytes | content |
//! |---|---|---|
//! | 0 | 8, 2, 2, 4 | `TollgFct` or `TollgPsn`, version 1, zero, CRC of the 12 bytes before |
//! | 16 | 96 | the start block of the live segment |
//! | 112 | | chunks, each one zstd frame, then the index of 36 bytes a chunk |
//! | end - 40 | 4, 4, 4 | footer: where the index begins, its entries, its CRC |
//! | end - 28 | 4, 8, 4, 4, 8 | live end, sequence, chain, CRC of the 28 bytes before, `TollgEnd` |
//!
//! | entry at | bytes | field |
//! |---|---|---|
//! | 0 | 4, 2, 2 | group, partition, zero |
//! | 8 | 4, 4, 4 | records, offsets of the first and the last in the live segment |
//! | 20 | 4, 4, 4, 4 | where the chunk begins, its bytes, its bytes decompressed, its CRC |
//!
//! A chunk of `n` facts holds `n` offsets and `n` sequences (each the difference to the one
//! before), `n` lengths, then the parts; a chunk of personal parts holds `n` lengths, then the
//! parts.

use std::fs;
use std::path::Path;

use super::bytes::{Bytes, crc32c};
use super::live::start_of;
use super::{Seen, WitnessError};

const START_AT: usize = 16;
const CHUNKS_AT: usize = 112;
const ENTRY_BYTES: usize = 36;
const FOOTER_BYTES: usize = 40;

/// Reads all records of both files.
pub(super) fn read(
    facts: &Path,
    personal: Option<&Path>,
    visit: &mut dyn FnMut(Seen<'_>),
) -> Result<(), WitnessError> {
    let facts = Sealed::open(facts, b"TollgFct")?;
    let personal = personal
        .map(|path| Sealed::open(path, b"TollgPsn"))
        .transpose()?;
    if personal
        .as_ref()
        .is_some_and(|personal| personal.entries.len() != facts.entries.len())
    {
        return Err(facts.broken(0, "facts and personal parts have different chunks"));
    }
    for (index, entry) in facts.entries.iter().enumerate() {
        let other = personal
            .as_ref()
            .and_then(|file| Some((file, file.entries.get(index)?)));
        let chunk = facts.chunk(entry)?;
        let parts = other.map(|(file, other)| file.chunk(other)).transpose()?;
        let session = facts.session;
        records(entry, session, &chunk, parts.as_deref(), visit)
            .ok_or_else(|| facts.broken(entry.at, "the columns of a chunk do not fit it"))?;
    }
    Ok(())
}

/// Where the segment before ended, by the copy of the start block.
pub(super) fn previous_end(facts: &Path) -> Result<u32, WitnessError> {
    Ok(Sealed::open(facts, b"TollgFct")?.previous_end)
}

struct Sealed<'a> {
    path: &'a Path,
    bytes: Vec<u8>,
    session: u64,
    previous_end: u32,
    entries: Vec<Entry>,
}

struct Entry {
    partition: u16,
    records: usize,
    at: usize,
    bytes: usize,
    raw_bytes: usize,
    crc: u32,
}

impl<'a> Sealed<'a> {
    fn open(path: &'a Path, magic: &[u8; 8]) -> Result<Sealed<'a>, WitnessError> {
        let io = |source| WitnessError::Io {
            path: path.to_owned(),
            source,
        };
        let bytes = fs::read(path).map_err(io)?;
        let (mut session, mut previous_end, mut entries) = (0, 0, Vec::new());
        let parsed = (|| {
            let preamble = bytes.get(..12)?;
            let crc = Bytes(bytes.get(12..)?).u32()?;
            (preamble.starts_with(magic) && crc32c(&[preamble]) == crc).then_some(())?;
            (session, previous_end) = start_of(bytes.get(START_AT..CHUNKS_AT)?)?;
            entries = index(&bytes)?;
            Some(())
        })();
        let sealed = Sealed {
            path,
            session,
            previous_end,
            entries,
            bytes,
        };
        parsed
            .map(|()| sealed)
            .ok_or_else(|| WitnessError::broken(path, 0, "not a sealed file"))
    }

    fn chunk(&self, entry: &Entry) -> Result<Vec<u8>, WitnessError> {
        let stored = entry.at.checked_add(entry.bytes);
        let stored = stored.and_then(|end| self.bytes.get(entry.at..end));
        let stored = stored.filter(|stored| crc32c(&[stored]) == entry.crc);
        let raw = stored.and_then(|stored| zstd::bulk::decompress(stored, entry.raw_bytes).ok());
        raw.filter(|raw| raw.len() == entry.raw_bytes)
            .ok_or_else(|| self.broken(entry.at, "a chunk is not whole"))
    }

    fn broken(&self, at: usize, what: &str) -> WitnessError {
        WitnessError::broken(self.path, at as u64, what)
    }
}

fn index(bytes: &[u8]) -> Option<Vec<Entry>> {
    let footer_at = bytes.len().checked_sub(FOOTER_BYTES)?;
    let footer = bytes.get(footer_at..)?;
    let whole = Bytes(footer.get(28..)?).u32()? == crc32c(&[footer.get(..28)?]);
    (whole && footer.ends_with(b"TollgEnd")).then_some(())?;
    let mut fields = Bytes(footer);
    let (at, count, crc) = (
        fields.u32()? as usize,
        fields.u32()? as usize,
        fields.u32()?,
    );
    let index = bytes.get(at..footer_at)?;
    (index.len() == count.checked_mul(ENTRY_BYTES)? && crc32c(&[index]) == crc).then_some(())?;
    index.chunks_exact(ENTRY_BYTES).map(entry).collect()
}

fn entry(bytes: &[u8]) -> Option<Entry> {
    let mut fields = Bytes(bytes);
    fields.take(4)?;
    let partition = u16::try_from(fields.number(2)?).ok()?;
    fields.take(2)?;
    let records = fields.u32()? as usize;
    fields.take(8)?;
    let (at, bytes) = (fields.u32()? as usize, fields.u32()? as usize);
    let (raw_bytes, crc) = (fields.u32()? as usize, fields.u32()?);
    Some(Entry {
        partition,
        records,
        at,
        bytes,
        raw_bytes,
        crc,
    })
}

/// Hands over a chunk's records; `None` if the columns do not fill the chunk exactly.
fn records(
    entry: &Entry,
    session: u64,
    facts: &[u8],
    personal: Option<&[u8]>,
    visit: &mut dyn FnMut(Seen<'_>),
) -> Option<()> {
    let mut facts = Bytes(facts);
    let mut personal = personal.map(Bytes);
    column(&mut facts, entry.records)?;
    let mut sequence = 0u32;
    let sequences = column(&mut facts, entry.records)?;
    let lengths = column(&mut facts, entry.records)?;
    let personal_lengths = match &mut personal {
        Some(personal) => column(personal, entry.records)?,
        None => Vec::new(),
    };
    for (index, (step, length)) in sequences.into_iter().zip(lengths).enumerate() {
        sequence = sequence.wrapping_add(step);
        let personal = match &mut personal {
            Some(personal) => Some(personal.take(*personal_lengths.get(index)? as usize)?),
            None => None,
        };
        let facts = facts.take(length as usize)?;
        let partition = entry.partition;
        visit(Seen {
            facts,
            personal,
            partition,
            session,
            sequence,
            block: None,
        });
    }
    let rest = facts.0.len() + personal.map_or(0, |personal| personal.0.len());
    (rest == 0).then_some(())
}

fn column(bytes: &mut Bytes<'_>, count: usize) -> Option<Vec<u32>> {
    (0..count).map(|_| bytes.u32()).collect()
}
