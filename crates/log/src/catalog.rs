//! Which segments there are, in which form, and what retention has left of them.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex};

use crate::api::{Damage, ReadError};
use crate::disk::{Access, Disk, DiskFile};
use crate::format::{
    BLOCK_OVERHEAD, Header, Kind, START_BYTES, Start, facts_name, live_name, payload,
};
use crate::meta::Kept;
use crate::recover::{Identity, header_at};
use crate::shared::{hold, wait};
use crate::spares::Spares;

/// The bytes of a start block.
pub(crate) const START_BLOCK_BYTES: usize = BLOCK_OVERHEAD + START_BYTES;

/// The segments of a log.
pub(crate) struct Catalog {
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) dir: PathBuf,
    pub(crate) incarnation: u64,
    pub(crate) spares: Spares,
    table: Mutex<Table>,
    begun: Condvar,
}

struct Table {
    kept: Kept,
    segments: BTreeMap<u32, Form>,
}

impl Table {
    fn last(&self) -> u32 {
        self.segments
            .last_key_value()
            .map_or(0, |(segment, _)| *segment)
    }
}

/// How a segment is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// As it was written.
    Live,
    /// Compressed, facts and personal parts apart.
    Sealed,
}

/// The start block of a segment: what it is, and where the segment before it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Opening {
    pub(crate) header: Header,
    pub(crate) crc: u32,
    pub(crate) start: Start,
}

impl Opening {
    /// Reads a start block.
    pub(crate) fn decode(block: &[u8], identity: Identity) -> Option<Opening> {
        let (header, crc) = header_at(block, 0, identity)?;
        let start = Start::decode(payload(&header, block)?)?;
        (header.kind == Kind::Start).then_some(Opening { header, crc, start })
    }
}

impl Catalog {
    pub(crate) fn new(
        disk: Arc<dyn Disk>,
        dir: PathBuf,
        incarnation: u64,
        kept: Kept,
        segments: BTreeMap<u32, Form>,
    ) -> Catalog {
        let table = Mutex::new(Table { kept, segments });
        Catalog {
            disk,
            dir,
            incarnation,
            spares: Spares::default(),
            table,
            begun: Condvar::new(),
        }
    }

    /// A catalog before the first look at the directory.
    pub(crate) fn empty(disk: Arc<dyn Disk>, dir: PathBuf, incarnation: u64) -> Catalog {
        Catalog::new(disk, dir, incarnation, Kept::EVERYTHING, BTreeMap::new())
    }

    /// A segment was begun, which ends the one before.
    pub(crate) fn began(&self, segment: u32) {
        hold(&self.table).segments.insert(segment, Form::Live);
        self.begun.notify_all();
    }

    /// The number of the newest segment.
    pub(crate) fn last_begun(&self) -> u32 {
        hold(&self.table).last()
    }

    /// Blocks until a segment after this one was begun, or `stop` says so.
    pub(crate) fn wait_begun_after(&self, segment: u32, stop: impl Fn() -> bool) {
        let mut table = hold(&self.table);
        while table.last() <= segment && !stop() {
            table = wait(&self.begun, table);
        }
    }

    /// Makes those who wait look again.
    pub(crate) fn wake_waiting(&self) {
        drop(hold(&self.table));
        self.begun.notify_all();
    }

    /// A segment has been sealed.
    pub(crate) fn sealed(&self, segment: u32) {
        hold(&self.table).segments.insert(segment, Form::Sealed);
    }

    /// Replaces the whole table, for a reader that has looked at the directory again.
    pub(crate) fn replace(&self, kept: Kept, segments: BTreeMap<u32, Form>) {
        *hold(&self.table) = Table { kept, segments };
    }

    /// Retention has given up more.
    pub(crate) fn keep(&self, kept: Kept) {
        let mut table = hold(&self.table);
        table.kept = kept;
        table.segments = table.segments.split_off(&kept.facts_first);
    }

    pub(crate) fn kept(&self) -> Kept {
        hold(&self.table).kept
    }

    pub(crate) fn form(&self, segment: u32) -> Option<Form> {
        hold(&self.table).segments.get(&segment).copied()
    }

    /// The segments with their forms, oldest first.
    pub(crate) fn segments(&self) -> Vec<(u32, Form)> {
        hold(&self.table)
            .segments
            .iter()
            .map(|(segment, form)| (*segment, *form))
            .collect()
    }

    pub(crate) fn identity(&self, segment: u32) -> Identity {
        Identity {
            incarnation: self.incarnation,
            segment,
        }
    }

    /// The start block of a segment in whichever form it is.
    pub(crate) fn opening(&self, segment: u32) -> Result<Opening, ReadError> {
        match self.read_opening(segment) {
            Err(_) if self.sealed_meanwhile(segment) => self.read_opening(segment),
            done => done,
        }
    }

    /// Whether the segment is sealed, here or by the process that writes the log: then its live
    /// file may be gone, or be another segment by now.
    pub(crate) fn sealed_meanwhile(&self, segment: u32) -> bool {
        match self.form(segment) {
            None => return false,
            Some(Form::Sealed) => return true,
            Some(Form::Live) => {}
        }
        let sealed = self.open(&facts_name(segment)).is_ok();
        if sealed {
            self.sealed(segment);
        }
        sealed
    }

    fn read_opening(&self, segment: u32) -> Result<Opening, ReadError> {
        let (name, at) = match self.form(segment) {
            Some(Form::Sealed) => (facts_name(segment), crate::sealed::START_BLOCK_AT),
            _ => (live_name(segment), 0),
        };
        let file = self.open(&name)?;
        let mut block = [0; START_BLOCK_BYTES];
        let read = file
            .read_at(at, &mut block)
            .map_err(|error| read_failed(at, &name, error))?;
        Opening::decode(block.get(..read).unwrap_or(&[]), self.identity(segment)).ok_or_else(|| {
            Damage {
                file: name,
                offset: at,
                what: "the segment's start block is not whole",
            }
            .into()
        })
    }

    /// Takes the spare files away; one that stays is removed at the next opening.
    pub(crate) fn remove_spares(&self) {
        while let Some(spare) = self.spares.take() {
            drop(self.disk.remove(&self.dir.join(spare.name())));
        }
    }

    /// Opens a file of the log for reading.
    pub(crate) fn open(&self, name: &str) -> Result<Arc<dyn DiskFile>, ReadError> {
        let opened = self.disk.open(&self.dir.join(name), Access::Read);
        opened.map_err(|error| io_error("open", name, error))
    }
}

pub(crate) fn io_error(doing: &str, name: &str, error: io::Error) -> ReadError {
    ReadError::Io {
        context: format!("{doing} {name}"),
        error,
    }
}

/// A read that failed, with its place.
pub(crate) fn read_failed(at: u64, name: &str, error: io::Error) -> ReadError {
    io_error(&format!("read byte {at} of"), name, error)
}
