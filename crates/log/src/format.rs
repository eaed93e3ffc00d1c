//! The bytes of a live segment, version 1. All numbers are little-endian.
//!
//! A live segment is a row of blocks, and then zeros, or whatever stood there when the file was
//! another segment before. One block is one commit: it is written by one call and synced before the
//! next one is written, so only the last block can be torn.
//!
//! | block | bytes | content |
//! |---|---|---|
//! | header | 72 | see below |
//! | payload | `payload_bytes` | by kind: a segment start, record frames, or a segment end |
//! | trailer | 4 | [`TRAILER`]; never zero, so that a block cut short ends in a zero |
//!
//! | header at | bytes | field |
//! |---|---|---|
//! | 0 | 4 | [`MAGIC`]; each byte has more than one bit set, so no single flip makes a zero |
//! | 4 | 2 | format version |
//! | 6 | 1 | kind: 1 start, 2 records, 3 end |
//! | 7 | 1 | zero |
//! | 8 | 8 | incarnation: drawn when the log was created |
//! | 16 | 8 | epoch: one more with every opening |
//! | 24 | 8 | session: drawn at every opening and after every failed commit |
//! | 32 | 8 | sequence: the block's number in the log |
//! | 40 | 4 | segment |
//! | 44 | 4 | offset of this block in its segment |
//! | 48 | 4 | confirmed: the segment was synced up to this offset before this block was written |
//! | 52 | 4 | previous: the header CRC of the block before, so that blocks form a chain |
//! | 56 | 4 | records |
//! | 60 | 4 | payload bytes |
//! | 64 | 4 | CRC32C of the payload |
//! | 68 | 4 | CRC32C of the 68 bytes before |
//!
//! | frame at | bytes | field |
//! |---|---|---|
//! | 0 | 4 | CRC32C of facts, personal part, then bytes 4 to 16 of this frame |
//! | 4 | 4 | sequence in session and partition, counted from 1 |
//! | 8 | 2 | partition, 65535 for all |
//! | 10 | 3 | bytes of facts |
//! | 13 | 3 | bytes of the personal part |
//! | 16 | | facts, then the personal part |
//!
//! | start payload at | bytes | field |
//! |---|---|---|
//! | 0 | 8 | creation time in Unix milliseconds, by the caller's clock |
//! | 8 | 4 | capacity: the length of the preallocated file |
//! | 12 | 4 | where the segment before ended; 0 if there is none |
//! | 16 | 2 | partitions |
//! | 18 | 2 | what stood in the file before: 0 zeros, 1 another segment of this log |
//!
//! The end payload is the number of records in the segment, 8 bytes.

use crate::api::Partition;
use crate::fields::{Put, Take};

pub(crate) const VERSION: u16 = 1;
pub(crate) const MAGIC: [u8; 4] = *b"TgBk";
pub(crate) const TRAILER: [u8; 4] = *b"\xc3TgE";
pub(crate) const HEADER_BYTES: usize = 72;
pub(crate) const TRAILER_BYTES: usize = TRAILER.len();
pub(crate) const BLOCK_OVERHEAD: usize = HEADER_BYTES + TRAILER_BYTES;
pub(crate) const FRAME_BYTES: usize = 16;
pub(crate) const START_BYTES: usize = 20;
/// The room that a segment keeps for its end block.
pub(crate) const END_BLOCK_BYTES: usize = BLOCK_OVERHEAD + 8;
/// What the three bytes of a frame's lengths can say.
pub(crate) const PART_BYTES_MAX: usize = (1 << 24) - 1;

const _: () = assert!(BLOCK_OVERHEAD <= 80, "the budget of a block");
const _: () = assert!(FRAME_BYTES <= 16, "the budget of a record");

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Start = 1,
    Records = 2,
    End = 3,
}

/// A block's header; the fields are those of the table above.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) kind: Kind,
    pub(crate) incarnation: u64,
    pub(crate) epoch: u64,
    pub(crate) session: u64,
    pub(crate) sequence: u64,
    pub(crate) segment: u32,
    pub(crate) offset: u32,
    pub(crate) confirmed: u32,
    pub(crate) previous: u32,
    pub(crate) records: u32,
    pub(crate) payload_bytes: u32,
    pub(crate) payload_crc: u32,
}

impl Header {
    /// The header's bytes and its CRC, which is the next block's `previous`.
    pub(crate) fn encode(&self) -> (Vec<u8>, u32) {
        let mut out = Vec::with_capacity(HEADER_BYTES);
        Put(&mut out)
            .bytes(&MAGIC)
            .u16(VERSION)
            .u8(self.kind as u8)
            .u8(0)
            .u64(self.incarnation)
            .u64(self.epoch)
            .u64(self.session)
            .u64(self.sequence)
            .u32(self.segment)
            .u32(self.offset)
            .u32(self.confirmed)
            .u32(self.previous)
            .u32(self.records)
            .u32(self.payload_bytes)
            .u32(self.payload_crc);
        let crc = crc32c::crc32c(&out);
        Put(&mut out).u32(crc);
        (out, crc)
    }

    /// Reads a header from the front of `bytes`, with its CRC; `None` unless it is whole.
    pub(crate) fn decode(bytes: &[u8]) -> Option<(Header, u32)> {
        let (checked, crc) = Take(bytes).bytes(HEADER_BYTES)?.split_last_chunk()?;
        let crc = u32::from_le_bytes(*crc);
        let mut take = Take(checked);
        if take.array()? != MAGIC || crc32c::crc32c(checked) != crc || take.u16()? != VERSION {
            return None;
        }
        let kind = match take.u8()? {
            1 => Kind::Start,
            2 => Kind::Records,
            3 => Kind::End,
            _ => return None,
        };
        if take.u8()? != 0 {
            return None;
        }
        let header = Header {
            kind,
            incarnation: take.u64()?,
            epoch: take.u64()?,
            session: take.u64()?,
            sequence: take.u64()?,
            segment: take.u32()?,
            offset: take.u32()?,
            confirmed: take.u32()?,
            previous: take.u32()?,
            records: take.u32()?,
            payload_bytes: take.u32()?,
            payload_crc: take.u32()?,
        };
        Some((header, crc))
    }

    /// The bytes of the whole block.
    pub(crate) fn block_bytes(&self) -> usize {
        BLOCK_OVERHEAD.saturating_add(self.payload_bytes as usize)
    }
}

/// Splits a whole block into its payload, if the CRC says that it is what was written. The trailer
/// only helps to tell how a block was torn: one that lacks nothing else is whole.
pub(crate) fn payload<'a>(header: &Header, block: &'a [u8]) -> Option<&'a [u8]> {
    let mut take = Take(block);
    take.bytes(HEADER_BYTES)?;
    let payload = take.bytes(header.payload_bytes as usize)?;
    take.bytes(TRAILER_BYTES)?;
    let whole = crc32c::crc32c(payload) == header.payload_crc;
    whole.then_some(payload)
}

/// What stands at the start of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Start {
    pub(crate) created_ms: u64,
    pub(crate) capacity: u32,
    /// Where the segment before ended, 0 if this is the log's first.
    pub(crate) previous_end: u32,
    pub(crate) partitions: u16,
    /// The file was another segment before.
    pub(crate) recycled: bool,
}

impl Start {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(START_BYTES);
        Put(&mut out)
            .u64(self.created_ms)
            .u32(self.capacity)
            .u32(self.previous_end)
            .u16(self.partitions)
            .u16(u16::from(self.recycled));
        out
    }

    pub(crate) fn decode(payload: &[u8]) -> Option<Start> {
        let mut take = Take(payload);
        let start = Start {
            created_ms: take.u64()?,
            capacity: take.u32()?,
            previous_end: take.u32()?,
            partitions: take.u16()?,
            recycled: match take.u16()? {
                0 => false,
                1 => true,
                _ => return None,
            },
        };
        take.0.is_empty().then_some(start)
    }
}

/// One record inside a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Frame<'a> {
    pub(crate) crc: u32,
    pub(crate) head: &'a [u8],
    pub(crate) sequence: u32,
    pub(crate) partition: Partition,
    pub(crate) facts: &'a [u8],
    pub(crate) personal: &'a [u8],
    /// Facts and personal part in one piece.
    pub(crate) body: &'a [u8],
}

impl<'a> Frame<'a> {
    /// Takes the next frame; `None` if the bytes do not hold a whole one.
    pub(crate) fn take(take: &mut Take<'a>) -> Option<Frame<'a>> {
        let crc = take.u32()?;
        let head = take.0.get(..FRAME_BYTES - 4)?;
        let sequence = take.u32()?;
        let partition = Partition(take.u16()?);
        let (facts_bytes, personal_bytes) = (take.u24()? as usize, take.u24()? as usize);
        let body = take.bytes(facts_bytes + personal_bytes)?;
        let (facts, personal) = body.split_at_checked(facts_bytes)?;
        Some(Frame {
            crc,
            head,
            sequence,
            partition,
            facts,
            personal,
            body,
        })
    }

    /// Whether the record is the one that was appended.
    pub(crate) fn is_whole(&self) -> bool {
        crc32c::crc32c_append(crc32c::crc32c(self.body), self.head) == self.crc
    }

    pub(crate) fn bytes(&self) -> usize {
        FRAME_BYTES + self.body.len()
    }
}

/// Where the chain of blocks stands: behind the last block that counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Tail {
    pub(crate) segment: u32,
    /// The offset at which the next block of this segment goes.
    pub(crate) end: u32,
    /// The sequence of the next block.
    pub(crate) sequence: u64,
    /// The header CRC of the last block.
    pub(crate) chain: u32,
}

/// The name of a live segment.
pub(crate) fn live_name(segment: u32) -> String {
    format!("{segment:010}.live")
}

/// The name of a sealed segment's facts.
pub(crate) fn facts_name(segment: u32) -> String {
    format!("{segment:010}.facts")
}

/// The name of a sealed segment's personal parts.
pub(crate) fn personal_name(segment: u32) -> String {
    format!("{segment:010}.personal")
}

/// The position of a byte of a segment, as it stands in cursors.
pub(crate) fn position(segment: u32, offset: u32) -> u64 {
    u64::from(segment) << 32 | u64::from(offset)
}

/// The segment and the offset of a position.
pub(crate) fn split_position(position: u64) -> (u32, u32) {
    ((position >> 32) as u32, position as u32)
}
