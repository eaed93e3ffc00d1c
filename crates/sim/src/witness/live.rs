//! Live segments: blocks, each one commit.
//!
//! | block at | bytes | field |
//! |---|---|---|
//! | 0 | 4 | `TgBk` |
//! | 4 | 2, 1, 1 | version 1; kind: 1 start, 2 records, 3 end; zero |
//! | 8 | 8, 8, 8, 8 | incarnation, epoch, session, sequence of the block |
//! | 40 | 4, 4, 4, 4 | segment, offset, confirmed, CRC of the header before |
//! | 56 | 4, 4, 4, 4 | records, payload bytes, CRC of the payload, CRC of the 68 bytes before |
//! | 72 | | payload, then `c3` `TgE` |
//!
//! | frame at | bytes | field |
//! |---|---|---|
//! | 0 | 4 | CRC of facts, personal part, then bytes 4 to 16 |
//! | 4 | 4, 2, 3, 3 | sequence, partition, bytes of facts, bytes of the personal part |
//! | 16 | | facts, personal part |

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

use super::bytes::{Bytes, crc32c};
use super::{Seen, WitnessError};

const HEADER_BYTES: usize = 72;
const TRAILER: &[u8] = b"\xc3TgE";
const START: u8 = 1;
const RECORDS: u8 = 2;
const END: u8 = 3;

struct Block {
    kind: u8,
    session: u64,
    segment: u32,
    offset: u32,
    previous: u32,
    records: u32,
    crc: u32,
    payload: Vec<u8>,
}

/// Reads the records in front of `end`, or all whole blocks that follow one another.
pub(super) fn read(
    path: &Path,
    number: u32,
    end: Option<u32>,
    visit: &mut dyn FnMut(Seen<'_>),
) -> Result<(), WitnessError> {
    let file = open(path)?;
    let (mut offset, mut chain) = (0u32, None);
    while end.is_none_or(|end| offset < end) {
        let follows = |block: &Block| {
            let chained = chain.is_none_or(|chain| block.previous == chain);
            block.segment == number && block.offset == offset && chained
        };
        let block = match block_at(&file, path, offset)?.filter(follows) {
            Some(block) => block,
            None if end.is_some() => {
                let what = "a durable block is not whole or not the next one";
                return Err(WitnessError::broken(path, u64::from(offset), what));
            }
            // The torn tail of the newest segment.
            None => return Ok(()),
        };
        frames(path, &block, visit)?;
        offset = block.end();
        chain = Some(block.crc);
        if block.kind == END {
            return Ok(());
        }
    }
    Ok(())
}

/// Where the segment before ended, by this segment's start block. The file may be another segment's
/// that was to become this one.
pub(super) fn previous_end(path: &Path, number: u32) -> Result<Option<u32>, WitnessError> {
    let start = block_at(&open(path)?, path, 0)?.filter(|block| block.segment == number);
    Ok(start.as_ref().and_then(Block::previous_end))
}

/// The session and the previous end that a start block states.
pub(super) fn start_of(block: &[u8]) -> Option<(u64, u32)> {
    let (header, rest) = block.split_first_chunk::<HEADER_BYTES>()?;
    let (mut start, payload_bytes, payload_crc) = header_of(header)?;
    let (payload, trailer) = rest.split_at_checked(payload_bytes as usize)?;
    (trailer == TRAILER && crc32c(&[payload]) == payload_crc).then_some(())?;
    start.payload = payload.to_vec();
    Some((start.session, start.previous_end()?))
}

fn open(path: &Path) -> Result<File, WitnessError> {
    File::open(path).map_err(|source| WitnessError::Io {
        path: path.to_owned(),
        source,
    })
}

/// The block at `offset`, if there is a whole one.
fn block_at(file: &File, path: &Path, offset: u32) -> Result<Option<Block>, WitnessError> {
    let io = |source| WitnessError::Io {
        path: path.to_owned(),
        source,
    };
    let mut header = [0; HEADER_BYTES];
    let length = file.metadata().map_err(io)?.len();
    let at = u64::from(offset);
    if at + HEADER_BYTES as u64 > length {
        return Ok(None);
    }
    file.read_exact_at(&mut header, at).map_err(io)?;
    let Some((mut block, payload_bytes, payload_crc)) = header_of(&header) else {
        return Ok(None);
    };
    let rest = u64::from(payload_bytes) + TRAILER.len() as u64;
    if at + HEADER_BYTES as u64 + rest > length {
        return Ok(None);
    }
    let mut bytes = vec![0; payload_bytes as usize + TRAILER.len()];
    file.read_exact_at(&mut bytes, at + HEADER_BYTES as u64)
        .map_err(io)?;
    // The last four bytes help to judge a tear; a block that lacks nothing else is whole.
    bytes.truncate(payload_bytes as usize);
    let whole = crc32c(&[&bytes]) == payload_crc;
    block.payload = bytes;
    Ok(whole.then_some(block))
}

fn header_of(header: &[u8; HEADER_BYTES]) -> Option<(Block, u32, u32)> {
    let (checked, crc) = header.split_last_chunk::<4>()?;
    let crc = u32::from_le_bytes(*crc);
    let mut bytes = Bytes(checked);
    let known = bytes.take(4)? == b"TgBk" && bytes.number(2)? == 1 && crc32c(&[checked]) == crc;
    known.then_some(())?;
    let kind = u8::try_from(bytes.number(1)?).ok()?;
    bytes.take(1 + 8 + 8)?;
    let session = bytes.number(8)?;
    bytes.take(8)?;
    let (segment, offset) = (bytes.u32()?, bytes.u32()?);
    bytes.take(4)?;
    let (previous, records) = (bytes.u32()?, bytes.u32()?);
    let (payload_bytes, payload_crc) = (bytes.u32()?, bytes.u32()?);
    let payload = Vec::new();
    let block = Block {
        kind,
        session,
        segment,
        offset,
        previous,
        records,
        crc,
        payload,
    };
    Some((block, payload_bytes, payload_crc))
}

fn frames(path: &Path, block: &Block, visit: &mut dyn FnMut(Seen<'_>)) -> Result<(), WitnessError> {
    if block.kind != RECORDS {
        return Ok(());
    }
    let mut bytes = Bytes(&block.payload);
    let mut count = 0;
    while !bytes.0.is_empty() {
        let seen = frame(&mut bytes, block).ok_or_else(|| {
            let what = format!("frame {count} of the block is not whole");
            WitnessError::broken(path, u64::from(block.offset), what)
        })?;
        visit(seen);
        count += 1;
    }
    if count != block.records {
        let what = format!("{count} records in a block that states {}", block.records);
        return Err(WitnessError::broken(path, u64::from(block.offset), what));
    }
    Ok(())
}

fn frame<'a>(bytes: &mut Bytes<'a>, block: &Block) -> Option<Seen<'a>> {
    let crc = bytes.u32()?;
    let head = bytes.0.get(..12)?;
    let sequence = bytes.u32()?;
    let partition = u16::try_from(bytes.number(2)?).ok()?;
    let facts_bytes = usize::try_from(bytes.number(3)?).ok()?;
    let personal_bytes = usize::try_from(bytes.number(3)?).ok()?;
    let (facts, personal) = (bytes.take(facts_bytes)?, bytes.take(personal_bytes)?);
    (crc32c(&[facts, personal, head]) == crc).then_some(Seen {
        facts,
        personal: Some(personal),
        partition,
        session: block.session,
        sequence,
        block: Some((block.segment, block.offset)),
    })
}

impl Block {
    fn previous_end(&self) -> Option<u32> {
        let mut payload = Bytes(&self.payload);
        payload.take(12)?;
        payload.u32().filter(|_| self.kind == START)
    }

    fn end(&self) -> u32 {
        let bytes = HEADER_BYTES + self.payload.len() + TRAILER.len();
        self.offset
            .saturating_add(u32::try_from(bytes).unwrap_or(u32::MAX))
    }
}
