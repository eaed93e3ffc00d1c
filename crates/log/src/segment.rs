//! Making a segment ready, and beginning it.

use std::io::{self, IoSlice};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use crate::catalog::Catalog;
use crate::disk::{Access, Disk, DiskFile};
use crate::format::{Header, Kind, Start, TRAILER, Tail, live_name};
use crate::options::Housekeeping;
use crate::shared::{Shared, hold};
use crate::spares::Spare;

/// A segment file, durable under its name, that holds no block of its segment yet: zeros, or what a
/// former life has left.
pub(crate) struct Prepared {
    pub(crate) segment: u32,
    pub(crate) capacity: u32,
    /// The oldest segment whose bytes may stand in the file; its own number if it holds zeros.
    pub(crate) oldest: u32,
    pub(crate) file: Arc<dyn DiskFile>,
}

/// Makes a new segment file. This is the only place that can run out of space.
///
/// It is filled with zeros, so that a commit changes nothing but data and one `fdatasync` has no
/// metadata to write. Space that is only reserved would not do: the first write to it changes the
/// file's extents, and receipts were lost that way.
pub(crate) fn prepare(
    disk: &dyn Disk,
    dir: &Path,
    segment: u32,
    capacity: u32,
    stop: &AtomicBool,
) -> io::Result<Prepared> {
    const CHUNK_BYTES: usize = 1 << 20;
    /// Synced piece by piece, so that the commits of the live segment wait for little at a time.
    const SYNC_EVERY: u64 = 4 << 20;
    let path = dir.join(live_name(segment));
    remove_if_there(disk, &path)?;
    let file = disk.create(&path)?;
    file.allocate(u64::from(capacity))?;
    let zeros = vec![0; CHUNK_BYTES.min(capacity as usize)];
    let mut filled = 0;
    while filled < u64::from(capacity) {
        if stop.load(Ordering::Relaxed) {
            return Err(io::ErrorKind::Interrupted.into());
        }
        let chunk = zeros.len().min((u64::from(capacity) - filled) as usize);
        file.write_at(
            filled,
            &mut [IoSlice::new(zeros.get(..chunk).unwrap_or(&[]))],
        )?;
        filled += chunk as u64;
        if filled % SYNC_EVERY == 0 && filled < u64::from(capacity) {
            file.sync_data()?;
        }
    }
    file.sync_all()?;
    disk.sync_dir(dir)?;
    Ok(Prepared {
        segment,
        capacity,
        oldest: segment,
        file,
    })
}

/// Makes a segment file of a spare one if there is any, else a new one.
fn prepare_or_reuse(
    catalog: &Catalog,
    (segment, capacity): (u32, u32),
    stop: &AtomicBool,
) -> io::Result<Prepared> {
    let (disk, dir) = (&*catalog.disk, &catalog.dir);
    if let Some(spare) = catalog.spares.take() {
        if let Ok(prepared) = reuse(disk, dir, (segment, capacity), spare) {
            return Ok(prepared);
        }
        remove_if_there(disk, &dir.join(spare.name()))?;
    }
    prepare(disk, dir, segment, capacity, stop)
}

/// Gives a spare file its new name, durably before its first block: a block behind a name that a
/// power cut takes back would be lost.
fn reuse(
    disk: &dyn Disk,
    dir: &Path,
    (segment, capacity): (u32, u32),
    spare: Spare,
) -> io::Result<Prepared> {
    let path = dir.join(live_name(segment));
    disk.rename(&dir.join(spare.name()), &path)?;
    disk.sync_dir(dir)?;
    let file = disk.open(&path, Access::Write)?;
    if file.len()? != u64::from(capacity) {
        return Err(io::ErrorKind::InvalidData.into());
    }
    Ok(Prepared {
        segment,
        capacity,
        oldest: spare.oldest,
        file,
    })
}

pub(crate) fn remove_if_there(disk: &dyn Disk, path: &Path) -> io::Result<()> {
    match disk.remove(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Who writes, as every block header states it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Author {
    pub(crate) incarnation: u64,
    pub(crate) epoch: u64,
    pub(crate) session: u64,
}

impl Author {
    /// The header of the block that goes behind `tail`.
    pub(crate) fn header(&self, kind: Kind, tail: Tail, confirmed: u32) -> Header {
        Header {
            kind,
            incarnation: self.incarnation,
            epoch: self.epoch,
            session: self.session,
            sequence: tail.sequence,
            segment: tail.segment,
            offset: tail.end,
            confirmed,
            previous: tail.chain,
            records: 0,
            payload_bytes: 0,
            payload_crc: 0,
        }
    }
}

/// Writes a block of one payload behind `tail`; returns the tail behind it. Syncs nothing.
pub(crate) fn write_small_block(
    file: &dyn DiskFile,
    mut header: Header,
    payload: &[u8],
) -> io::Result<Tail> {
    header.payload_bytes = payload.len() as u32;
    header.payload_crc = crc32c::crc32c(payload);
    let (bytes, crc) = header.encode();
    let mut parts = [
        IoSlice::new(&bytes),
        IoSlice::new(payload),
        IoSlice::new(&TRAILER),
    ];
    file.write_at(u64::from(header.offset), &mut parts)?;
    Ok(behind(&header, crc))
}

/// Where the chain stands behind the block.
pub(crate) fn behind(header: &Header, crc: u32) -> Tail {
    Tail {
        segment: header.segment,
        end: header.offset.saturating_add(header.block_bytes() as u32),
        sequence: header.sequence + 1,
        chain: crc,
    }
}

/// Writes and syncs the start block of a prepared segment. It states where the segment before
/// ended, and once it is durable nothing behind that end counts any more.
pub(crate) fn begin(
    prepared: &Prepared,
    author: Author,
    before: Tail,
    stamp: (u64, u16),
) -> io::Result<Tail> {
    let (created_ms, partitions) = stamp;
    let capacity = prepared.capacity;
    let start = Start {
        created_ms,
        capacity,
        previous_end: before.end,
        partitions,
        recycled: prepared.oldest != prepared.segment,
    };
    let tail = Tail {
        segment: prepared.segment,
        end: 0,
        ..before
    };
    let header = author.header(Kind::Start, tail, 0);
    let tail = write_small_block(&*prepared.file, header, &start.encode())?;
    prepared.file.sync_data()?;
    Ok(tail)
}

/// Makes the next segment ready while the present one is written.
pub(crate) struct Preparer {
    catalog: Arc<Catalog>,
    state: Mutex<State>,
    changed: Condvar,
    stop: AtomicBool,
    inline: bool,
    retry: Duration,
}

#[derive(Default)]
struct State {
    wanted: Option<(u32, u32)>,
    ready: Option<io::Result<Prepared>>,
}

impl Preparer {
    pub(crate) fn new(catalog: Arc<Catalog>, shared: &Shared) -> Preparer {
        Preparer {
            catalog,
            state: Mutex::default(),
            changed: Condvar::new(),
            stop: AtomicBool::new(false),
            inline: shared.options.housekeeping == Housekeeping::Caller,
            retry: shared.options.retry_interval,
        }
    }

    /// Asks for a segment, in place of whatever was asked for before.
    pub(crate) fn request(&self, segment: u32, capacity: u32) {
        *hold(&self.state) = State {
            wanted: Some((segment, capacity)),
            ready: None,
        };
        self.changed.notify_all();
    }

    /// The segment asked for. Waits for work in progress, but not for a disk that has refused: then
    /// the error is returned, and the preparer keeps trying.
    pub(crate) fn take(&self) -> io::Result<Prepared> {
        let mut state = hold(&self.state);
        if self.inline {
            let wanted = state.wanted.ok_or(io::ErrorKind::InvalidInput)?;
            return prepare_or_reuse(&self.catalog, wanted, &self.stop);
        }
        loop {
            match state.ready.take() {
                Some(Ok(prepared)) => {
                    state.wanted = None;
                    return Ok(prepared);
                }
                Some(Err(error)) => {
                    let shown = io::Error::new(error.kind(), error.to_string());
                    state.ready = Some(Err(error));
                    return Err(shown);
                }
                None => state = crate::shared::wait(&self.changed, state),
            }
        }
    }

    /// Makes a segment anew whose file may hold bytes older than segment `first`.
    pub(crate) fn drop_older(&self, first: u32) {
        let mut state = hold(&self.state);
        if matches!(&state.ready, Some(Ok(prepared)) if prepared.oldest < first) {
            state.ready = None;
            self.changed.notify_all();
        }
    }

    /// Whether the next call of `take` gives a segment at once, or would try to make one.
    pub(crate) fn may_have_one(&self) -> bool {
        self.inline || matches!(hold(&self.state).ready, Some(Ok(_)))
    }

    /// Ends the thread and takes away a segment that was made for nothing.
    pub(crate) fn stop(&self) {
        self.stop.store(true, Ordering::Relaxed);
        // Under the lock, so that the thread is not between its look at the flag and its sleep.
        drop(hold(&self.state));
        self.changed.notify_all();
    }

    /// The thread: makes what is wanted, and tries again for as long as the disk refuses.
    pub(crate) fn run(&self, shared: &Shared) {
        let mut state = hold(&self.state);
        while !self.stop.load(Ordering::Relaxed) {
            let made = matches!(state.ready, Some(Ok(_)));
            let Some(wanted) = state.wanted.filter(|_| !made) else {
                state = crate::shared::wait(&self.changed, state);
                continue;
            };
            drop(state);
            let made = prepare_or_reuse(&self.catalog, wanted, &self.stop);
            let failed = made.is_err();
            state = hold(&self.state);
            if state.wanted == Some(wanted) {
                state.ready = Some(made);
                self.changed.notify_all();
                shared.wake_writer();
            }
            if failed && !self.stop.load(Ordering::Relaxed) {
                state = crate::shared::wait_timeout(&self.changed, state, self.retry);
            }
        }
        if let Some((segment, _)) = state.wanted {
            let path = self.catalog.dir.join(live_name(segment));
            drop(remove_if_there(&*self.catalog.disk, &path));
        }
    }
}
