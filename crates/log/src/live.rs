//! Reading a live segment, block by block, without copying a record.

use std::sync::Arc;

use crate::api::{Cursor, Damage, PartitionSet, ReadBudget, ReadError, RecordRef};
use crate::catalog::{Catalog, read_failed};
use crate::disk::DiskFile;
use crate::fields::Take;
use crate::format::{Frame, HEADER_BYTES, Header, Kind, Tail, live_name, payload, position};
use crate::recover::{Identity, follows, header_at};

/// How much is read from the disk at a time; a larger block is read whole.
const WINDOW_BYTES: usize = 1 << 20;

/// Takes records on behalf of a caller, up to a budget.
pub(crate) struct Sink<'a> {
    pub(crate) partitions: &'a PartitionSet,
    pub(crate) budget: ReadBudget,
    pub(crate) records: usize,
    pub(crate) bytes: usize,
    pub(crate) visit: &'a mut dyn FnMut(RecordRef<'_>),
}

impl Sink<'_> {
    pub(crate) fn is_full(&self) -> bool {
        self.records >= self.budget.records_max || self.bytes >= self.budget.bytes_max
    }

    pub(crate) fn give(&mut self, record: RecordRef<'_>) {
        self.records += 1;
        self.bytes += record.facts.len() + record.personal.map_or(0, <[u8]>::len);
        (self.visit)(record);
    }
}

/// How a visit of a segment ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Everything up to the limit was handed out.
    Done,
    /// The budget is used up; go on at this offset.
    Stopped(u32),
}

/// An open live segment.
pub(crate) struct LiveReader {
    file: Arc<dyn DiskFile>,
    identity: Identity,
    /// Where the next block begins, and what it must follow once a block has been read.
    tail: Tail,
    chained: bool,
    /// The block at the tail, once it was read and checked.
    loaded: Option<(Header, u32)>,
    window: Window,
}

/// A piece of the file in memory.
#[derive(Default)]
struct Window {
    base: u32,
    bytes: Vec<u8>,
}

impl LiveReader {
    /// Opens the segment so that reading goes on at `from`.
    pub(crate) fn open(
        catalog: &Catalog,
        segment: u32,
        from: u32,
        limit: u32,
    ) -> Result<LiveReader, ReadError> {
        let file = catalog.open(&live_name(segment))?;
        let mut reader = LiveReader {
            file,
            identity: catalog.identity(segment),
            tail: Tail {
                segment,
                end: from,
                sequence: 0,
                chain: 0,
            },
            chained: false,
            loaded: None,
            window: Window::default(),
        };
        // A bookmark between two blocks is the common case; any other place is found by walking.
        if from > 0 && from < limit && reader.header(limit)?.is_none() {
            reader.tail.end = 0;
            while reader.tail.end < limit {
                let (header, crc) = reader.load(limit)?;
                if header.offset as usize + header.block_bytes() > from as usize {
                    break;
                }
                reader.pass(&header, crc);
            }
        }
        Ok(reader)
    }

    /// Hands out the records from the offset `from` to the offset `limit`.
    pub(crate) fn visit(
        &mut self,
        from: u32,
        limit: u32,
        sink: &mut Sink<'_>,
    ) -> Result<Step, ReadError> {
        while self.tail.end < limit {
            let (header, crc) = self.load(limit)?;
            if header.kind == Kind::Records
                && let Some(stopped) = self.visit_block(&header, from, sink)?
            {
                return Ok(Step::Stopped(stopped));
            }
            self.pass(&header, crc);
        }
        Ok(Step::Done)
    }

    /// Everything in front of this offset was handed out.
    pub(crate) fn reached(&self) -> u32 {
        self.tail.end
    }

    /// Whether the blocks that were read end where the next segment says that they do.
    pub(crate) fn ends_at(&self, end: u32, next: &Header) -> Result<(), ReadError> {
        let expected = Tail {
            end: self.tail.end,
            sequence: next.sequence,
            chain: next.previous,
            ..self.tail
        };
        if self.tail.end == end && (!self.chained || self.tail == expected) {
            return Ok(());
        }
        Err(self.damage(
            self.tail.end,
            "the next segment says that this one ends otherwise",
        ))
    }

    /// Hands out the records of the loaded block; the offset of the one that was too much.
    fn visit_block(
        &self,
        header: &Header,
        from: u32,
        sink: &mut Sink<'_>,
    ) -> Result<Option<u32>, ReadError> {
        let block = self
            .window
            .get(header.offset, header.block_bytes())
            .unwrap_or(&[]);
        let whole = block.len().saturating_sub(crate::format::TRAILER_BYTES);
        let mut take = Take(block.get(HEADER_BYTES..whole).unwrap_or(&[]));
        let mut offset = header.offset + HEADER_BYTES as u32;
        for _ in 0..header.records {
            let frame = Frame::take(&mut take)
                .ok_or_else(|| self.damage(offset, "a record reaches over the end of its block"))?;
            let here = offset;
            offset += frame.bytes() as u32;
            if here < from || !sink.partitions.contains(frame.partition) {
                continue;
            }
            if sink.is_full() {
                return Ok(Some(here));
            }
            if !frame.is_whole() {
                return Err(self.damage(here, "a record does not match its checksum"));
            }
            let position = position(header.segment, here);
            sink.give(RecordRef {
                partition: frame.partition,
                facts: frame.facts,
                personal: Some(frame.personal),
                cursor: Cursor {
                    incarnation: header.incarnation,
                    position,
                },
                session: header.session,
                sequence: u64::from(frame.sequence),
                epoch: header.epoch,
            });
        }
        Ok(None)
    }

    /// The block at the tail, whole, checked and in memory.
    fn load(&mut self, limit: u32) -> Result<(Header, u32), ReadError> {
        if let Some(loaded) = self.loaded {
            return Ok(loaded);
        }
        let at = self.tail.end;
        let Some((header, crc)) = self.header(limit)? else {
            return Err(self.damage(at, "there is no readable block header"));
        };
        if header.block_bytes() > limit.saturating_sub(at) as usize {
            return Err(self.damage(at, "a block reaches over the end of the segment"));
        }
        if self.chained {
            follows(&header, self.tail).map_err(|what| self.damage(at, what))?;
        }
        self.fill(at, header.block_bytes(), limit)?;
        let block = self.window.get(at, header.block_bytes()).unwrap_or(&[]);
        if payload(&header, block).is_none() {
            return Err(self.damage(at, "the block does not match its checksum"));
        }
        self.loaded = Some((header, crc));
        Ok((header, crc))
    }

    /// The header at the tail, if there is one.
    fn header(&mut self, limit: u32) -> Result<Option<(Header, u32)>, ReadError> {
        let at = self.tail.end;
        self.fill(at, HEADER_BYTES, limit)?;
        let bytes = self.window.get(at, HEADER_BYTES).unwrap_or(&[]);
        Ok(header_at(bytes, at as usize, self.identity))
    }

    fn pass(&mut self, header: &Header, crc: u32) {
        self.tail = crate::segment::behind(header, crc);
        self.chained = true;
        self.loaded = None;
    }

    /// Brings `count` bytes at `at` into the window, and as many more as it holds before `limit`.
    fn fill(&mut self, at: u32, count: usize, limit: u32) -> Result<(), ReadError> {
        if self.window.get(at, count).is_some() {
            return Ok(());
        }
        let left = limit.saturating_sub(at) as usize;
        self.window.base = at;
        self.window
            .bytes
            .resize(count.max(WINDOW_BYTES).min(left), 0);
        let read = self
            .file
            .read_at(u64::from(at), &mut self.window.bytes)
            .map_err(|error| {
                read_failed(u64::from(at), &live_name(self.identity.segment), error)
            })?;
        self.window.bytes.truncate(read);
        Ok(())
    }

    fn damage(&self, offset: u32, what: &'static str) -> ReadError {
        let file = live_name(self.identity.segment);
        Damage {
            file,
            offset: u64::from(offset),
            what,
        }
        .into()
    }
}

impl Window {
    fn get(&self, at: u32, count: usize) -> Option<&[u8]> {
        let from = at.checked_sub(self.base)? as usize;
        self.bytes.get(from..from.checked_add(count)?)
    }
}
