//! Tells what a live segment holds, from its bytes alone.
//!
//! A pure function of bytes, so that recovery can be fuzzed and repeated: it changes nothing. What
//! follows the last readable block is one of three things:
//!
//! - *nothing*: zeros, or a former life of the file, as the segment was prepared;
//! - *torn*: a block that never became durable. In a segment that was filled with zeros it shows
//!   zeros where the tear was: at its front, at its end, or in a whole sector;
//! - *damaged*: bytes that were durable and have changed. Either a later block says that this place
//!   had been synced, or nothing in the block is zero that a tear would have left so.
//!
//! In a file that was another segment before, a tear leaves bytes of that life, which look like
//! anything. Every block that has a block of this segment behind it is judged as strictly as ever.
//! The last one of a log whose process was killed may be torn, or damaged after its receipt was
//! given. If one bit is all that is wrong with it, that bit is put right ([`mend`], `one_bit.rs`)
//! before anything is judged: what then stands there is the block as it was written, under two
//! layers of checksums, so a receipt for it holds; and if it was a tear after all, a record that
//! nobody was told of is kept, which a commit that was cut short may always do. Anything else is a
//! tear.

use crate::catalog::Opening;
use crate::fields::Take;
use crate::format::{Frame, HEADER_BYTES, Header, Kind, MAGIC, Start, Tail, payload};
use crate::one_bit::mended;
use crate::segment::behind;

/// The unit in which disks write or do not write.
const SECTOR_BYTES: usize = 512;

/// What a scan of a live segment has found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Scan {
    pub(crate) header: Header,
    pub(crate) start: Start,
    pub(crate) tail: Tail,
    pub(crate) records: u64,
    /// An end block closes the segment.
    pub(crate) closed: bool,
    /// Up to here a later block proves that the bytes were synced.
    pub(crate) confirmed: u32,
    /// Bytes of a torn block behind the tail.
    pub(crate) torn_bytes: u64,
}

/// A live segment cannot be read beyond this offset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Broken {
    pub(crate) offset: u32,
    pub(crate) what: &'static str,
}

/// What a live segment holds; `None` if it was prepared and never used: its start block was not
/// written, or was torn.
pub(crate) type Scanned = Result<Option<Scan>, Broken>;

/// Which log and segment the bytes must belong to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(crate) incarnation: u64,
    pub(crate) segment: u32,
}

/// Reads the segment from its first block to its last, and judges what follows. The segment must
/// not be written at the same time.
pub(crate) fn scan(bytes: &[u8], identity: Identity) -> Scanned {
    let Some(mut scan) = walk(bytes, identity)? else {
        return Ok(None);
    };
    let offset = scan.tail.end;
    let broken = |what| Err(Broken { offset, what });
    if !scan.closed && (bytes.len() as u64) < u64::from(scan.start.capacity) {
        // Only a segment that was closed, or ended by the next one, is ever cut.
        return broken("the file is shorter than it was made");
    }
    let rest = match scan.start.recycled {
        true => judge_recycled(bytes, offset as usize, identity),
        false => judge(bytes, offset as usize, identity),
    };
    match rest {
        Rest::Nothing => {}
        // An end block was written by a close that drained everything: nothing follows it.
        Rest::Torn(_) if scan.closed => return broken("there are bytes behind the end block"),
        Rest::Torn(bytes) => scan.torn_bytes = bytes,
        Rest::Damaged(what) => return broken(what),
    }
    Ok(Some(scan))
}

/// Reads a segment that another process may be writing: only what a later block confirms counts.
pub(crate) fn scan_while_written(bytes: &[u8], identity: Identity) -> Scanned {
    let Some(mut scan) = walk(bytes, identity)? else {
        return Ok(None);
    };
    let offset = scan.tail.end;
    if was_confirmed(bytes, offset as usize, identity) {
        return Err(Broken {
            offset,
            what: "a later block says that this place had been synced",
        });
    }
    if !scan.closed {
        scan.tail.end = scan.confirmed;
    }
    Ok(Some(scan))
}

/// A byte of a segment that has to be another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Mend {
    pub(crate) offset: u32,
    pub(crate) value: u8,
}

/// What puts the block behind the last readable one right, in a file that was another segment
/// before, if one bit is all that is wrong with it. `scanned` is what was made of the bytes as they
/// are.
pub(crate) fn mend(bytes: &[u8], identity: Identity, scanned: &Scanned) -> Option<Mend> {
    let offset = match scanned {
        Ok(Some(scan)) if scan.closed || !scan.start.recycled => return None,
        Ok(Some(scan)) => scan.tail.end,
        Ok(None) => 0,
        Err(_) => return None,
    };
    let rest = bytes.get(offset as usize..)?;
    let (header, payload, mut mend) = mended(rest, offset as usize, identity)?;
    let fits = match scanned {
        Ok(Some(scan)) => take_block(&mut scan.clone(), &header, &payload).is_ok(),
        _ => Start::decode(&payload).is_some_and(|start| start.recycled),
    };
    mend.offset += offset;
    fits.then_some(mend)
}

/// Follows the chain of readable blocks from the start block.
fn walk(bytes: &[u8], identity: Identity) -> Scanned {
    let Some(opening) = Opening::decode(bytes, identity) else {
        if is_former_life(bytes, identity) && !was_confirmed(bytes, 0, identity) {
            // Without records the segment may as well not have been begun.
            return Ok(None);
        }
        return match judge(bytes, 0, identity) {
            Rest::Nothing | Rest::Torn(_) => Ok(None),
            Rest::Damaged(what) => Err(Broken { offset: 0, what }),
        };
    };
    let mut scan = Scan {
        header: opening.header,
        start: opening.start,
        tail: behind(&opening.header, opening.crc),
        records: 0,
        closed: false,
        confirmed: 0,
        torn_bytes: 0,
    };
    while !scan.closed
        && let Some((header, payload, crc)) = block_at(bytes, scan.tail.end as usize, identity)
    {
        take_block(&mut scan, &header, payload).map_err(|what| Broken {
            offset: scan.tail.end,
            what,
        })?;
        scan.tail = behind(&header, crc);
    }
    Ok(Some(scan))
}

/// Counts a readable block, if it is the one that has to stand there.
fn take_block(scan: &mut Scan, header: &Header, payload: &[u8]) -> Result<(), &'static str> {
    follows(header, scan.tail)?;
    match header.kind {
        Kind::Start => return Err("there is a second segment start"),
        Kind::Records => frames_are_whole(header, payload)?,
        Kind::End if payload != scan.records.to_le_bytes() => {
            return Err("the end block counts other records than there are");
        }
        Kind::End => scan.closed = true,
    }
    scan.records += u64::from(header.records);
    scan.confirmed = header.confirmed;
    Ok(())
}

/// Whether the block is the one that comes next in the chain.
pub(crate) fn follows(header: &Header, tail: Tail) -> Result<(), &'static str> {
    if header.sequence != tail.sequence || header.previous != tail.chain {
        return Err("the block does not follow the one before it");
    }
    if header.confirmed > header.offset {
        return Err("the block confirms more than was written");
    }
    Ok(())
}

/// Checks that the payload is exactly the frames that the header counts, each with its CRC.
fn frames_are_whole(header: &Header, payload: &[u8]) -> Result<(), &'static str> {
    let mut take = Take(payload);
    for _ in 0..header.records {
        let frame = Frame::take(&mut take).ok_or("a record reaches over the end of its block")?;
        if !frame.is_whole() {
            return Err("a record does not match its checksum");
        }
    }
    if take.0.is_empty() {
        Ok(())
    } else {
        Err("a block holds more than its records")
    }
}

/// The block at `offset`, its payload and header CRC, if it is whole and belongs there.
fn block_at(bytes: &[u8], offset: usize, identity: Identity) -> Option<(Header, &[u8], u32)> {
    let rest = bytes.get(offset..)?;
    let (header, crc) = header_at(rest, offset, identity)?;
    Some((header, payload(&header, rest)?, crc))
}

/// The header at the front of `rest`, if it says that it stands at `offset` of this segment.
pub(crate) fn header_at(rest: &[u8], offset: usize, identity: Identity) -> Option<(Header, u32)> {
    let (header, crc) = Header::decode(rest)?;
    let here = header.incarnation == identity.incarnation
        && header.segment == identity.segment
        && header.offset as usize == offset;
    here.then_some((header, crc))
}

enum Rest {
    Nothing,
    /// So many bytes up to the last one that is not zero.
    Torn(u64),
    Damaged(&'static str),
}

/// Judges what follows the last readable block.
fn judge(bytes: &[u8], offset: usize, identity: Identity) -> Rest {
    let rest = bytes.get(offset..).unwrap_or(&[]);
    let used = used_bytes(rest);
    if used == 0 {
        return Rest::Nothing;
    }
    if was_confirmed(bytes, offset, identity) {
        return Rest::Damaged("a later block says that this place had been synced");
    }
    let extent = match header_at(rest, offset, identity) {
        Some((header, _)) if header.block_bytes() > rest.len() => {
            return Rest::Damaged("the file is shorter than the block");
        }
        Some((header, _)) => header.block_bytes(),
        None => HEADER_BYTES,
    };
    let cut_at_front = rest.first() == Some(&0);
    let cut_at_end = used < extent;
    if cut_at_front || cut_at_end || has_zero_sector(bytes, offset, extent) {
        Rest::Torn(used as u64)
    } else {
        Rest::Damaged("the block does not match its checksum, and no write was torn here")
    }
}

/// Judges what follows the last readable block in a file that was another segment before.
fn judge_recycled(bytes: &[u8], offset: usize, identity: Identity) -> Rest {
    let rest = bytes.get(offset..).unwrap_or(&[]);
    if was_confirmed(bytes, offset, identity) {
        return Rest::Damaged("a later block says that this place had been synced");
    }
    match header_at(rest, offset, identity) {
        Some((header, _)) if header.block_bytes() > rest.len() => {
            Rest::Damaged("the file is shorter than the block")
        }
        Some((header, _)) => Rest::Torn(header.block_bytes() as u64),
        None => Rest::Nothing,
    }
}

/// Whether the file was another segment of this log, and its blocks are still there.
fn is_former_life(bytes: &[u8], identity: Identity) -> bool {
    let mut from = 0;
    while let Some(found) = find_magic(bytes, from) {
        if let Some((header, _)) = bytes.get(found..).and_then(Header::decode)
            && header.incarnation == identity.incarnation
            && header.segment < identity.segment
            && header.offset as usize == found
        {
            return true;
        }
        from = found + 1;
    }
    false
}

/// The length up to the last byte that is not zero.
fn used_bytes(rest: &[u8]) -> usize {
    static ZEROS: [u8; 4096] = [0; 4096];
    let mut used = rest.len();
    while let Some(chunk) = rest.get(used.saturating_sub(ZEROS.len())..used) {
        if chunk.is_empty() || Some(chunk) != ZEROS.get(..chunk.len()) {
            break;
        }
        used -= chunk.len();
    }
    let last = rest
        .get(..used)
        .and_then(|rest| rest.iter().rposition(|byte| *byte != 0));
    last.map_or(0, |last| last + 1)
}

/// Whether a header further on says that `offset` had been synced before it was written.
fn was_confirmed(bytes: &[u8], offset: usize, identity: Identity) -> bool {
    let mut from = offset + 1;
    while let Some(found) = find_magic(bytes, from) {
        let header = bytes
            .get(found..)
            .and_then(|rest| header_at(rest, found, identity));
        if header.is_some_and(|(header, _)| header.confirmed as usize > offset) {
            return true;
        }
        from = found + 1;
    }
    false
}

fn find_magic(bytes: &[u8], from: usize) -> Option<usize> {
    let [first, ..] = MAGIC;
    let rest = bytes.get(from..)?;
    let mut at = 0;
    while let Some(next) = rest.get(at..)?.iter().position(|byte| *byte == first) {
        if rest
            .get(at + next..)
            .is_some_and(|rest| rest.starts_with(&MAGIC))
        {
            return Some(from + at + next);
        }
        at += next + 1;
    }
    None
}

/// Whether a sector that the piece touches is zero as far as it belongs to the piece and beyond.
fn has_zero_sector(bytes: &[u8], offset: usize, extent: usize) -> bool {
    let first = offset / SECTOR_BYTES;
    let last = (offset + extent - 1) / SECTOR_BYTES;
    (first..=last).any(|sector| {
        let from = offset.max(sector * SECTOR_BYTES);
        let to = bytes.len().min((sector + 1) * SECTOR_BYTES);
        bytes
            .get(from..to)
            .is_some_and(|piece| piece.iter().all(|byte| *byte == 0))
    })
}

/// Reads any bytes as if they were a live segment, for fuzzing: never panics, and never finds a
/// record that its checksums do not bear out. Returns how many records it found.
pub fn recover_bytes(bytes: &[u8]) -> u64 {
    let Some((header, _)) = Header::decode(bytes) else {
        return 0;
    };
    let identity = Identity {
        incarnation: header.incarnation,
        segment: header.segment,
    };
    scan(bytes, identity)
        .ok()
        .flatten()
        .map_or(0, |scan| scan.records)
}
