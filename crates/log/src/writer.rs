//! The writer: gathers what all appenders have queued, writes it as one block, syncs once, and
//! answers them all.
//!
//! A thread does that, or a caller who waits for its commit anyway and finds nobody at the writer
//! ([`Writer::commit_queued`]): two wake-ups less. With [`Durability::Os`], where a commit is no
//! more than a write, an appender may do it for its own records ([`Writer::commit_here`]), and all
//! that can take long (a sync, the next segment, a disk that refuses) is the writer's own thread's
//! part; the sync that is due now and then runs beside their writes. Whoever commits holds the
//! writer's lock meanwhile; appenders never wait for it.
//!
//! Invariants:
//!
//! 1. A block is written only when the block before it is synced ([`Durability::Sync`]), or states
//!    in its header how far the segment was synced ([`Durability::Os`]).
//! 2. A segment in which a write or a sync has failed is never written or synced again. Its end is
//!    the last synced block; the next segment's start block says so, durably, before any record
//!    follows. The session ends with it, so no sequence is ever given to two records.
//! 3. The durable end moves only after a sync that returned without an error.

mod segments;

use std::io::{self, IoSlice};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use crate::api::{AppendError, Committed, Cursor, Partition};
use crate::appender::{Lane, Taken};
use crate::catalog::Catalog;
use crate::disk::DiskFile;
use crate::format::{Kind, TRAILER, Tail, position};
use crate::options::{Durability, Health};
use crate::pace::{FEW_RECORDS, LEADER_PATIENCE, Pace, now};
use crate::segment::{Author, Prepared, Preparer, behind};
use crate::shared::{Shared, hold};

pub(crate) use segments::is_full;

/// The segment that is being written.
pub(crate) struct Current {
    pub(crate) file: Arc<dyn DiskFile>,
    pub(crate) capacity: u32,
    /// The oldest segment whose bytes may stand behind the end; its own number if those are zeros.
    pub(crate) oldest: u32,
    pub(crate) records: u64,
}

impl Current {
    /// A segment whose start block is durable.
    pub(crate) fn begun(prepared: Prepared) -> Current {
        Current {
            file: prepared.file,
            capacity: prepared.capacity,
            oldest: prepared.oldest,
            records: 0,
        }
    }
}

pub(crate) struct Writer {
    pub(crate) shared: Arc<Shared>,
    pub(crate) preparer: Arc<Preparer>,
    pub(crate) catalog: Arc<Catalog>,
    pub(crate) author: Author,
    /// `None` when it was fenced and no fresh one could be begun.
    pub(crate) current: Option<Current>,
    /// Behind the last block that was written.
    pub(crate) written: Tail,
    /// Behind the last block that was synced.
    pub(crate) synced: Tail,
    /// The last sequence given, by partition; broadcasts come last.
    pub(crate) sequences: Vec<u32>,
    pub(crate) pace: Pace,
}

/// The writer's thread: writes until the log is closed; then drains the queue and closes the
/// segment.
pub(crate) fn run(writer: &Mutex<Writer>, shared: &Shared) -> Result<(), AppendError> {
    shared.bell().answer_here();
    loop {
        wait_for_work(writer, shared);
        shared.bell().answer();
        let closing = shared.closing.load(Ordering::SeqCst);
        let mut held = hold(writer);
        let taken = held.take_all(closing);
        held.heal();
        held.commit_all(taken);
        held.let_go_of_the_past();
        held.wake_the_forgotten();
        if closing {
            return held.finish();
        }
        let due = held.take_due_sync();
        drop(held);
        if let Some((file, tail)) = due {
            let outcome = file.sync_data();
            hold(writer).synced_to(tail, outcome);
        }
    }
}

fn wait_for_work(writer: &Mutex<Writer>, shared: &Shared) {
    let held = hold(writer);
    let (deadline, gather_until) = (held.next_deadline(), held.gather_until());
    drop(held);
    loop {
        let left = deadline.map(|at| at.saturating_duration_since(now()));
        if shared.bell().wait(left) || left.is_some_and(|left| left.is_zero()) {
            break;
        }
    }
    let Some(until) = gather_until else { return };
    loop {
        let left = until.saturating_duration_since(now());
        let enough = shared.queued_bytes.load(Ordering::Relaxed) >= shared.options.commit_bytes;
        if left.is_zero() || enough || shared.closing.load(Ordering::SeqCst) {
            return;
        }
        std::thread::park_timeout(left);
    }
}

impl Writer {
    /// Commits what is queued in one lane, on the lane's own thread, if that takes no more than one
    /// write; says whether nothing is left to do.
    pub(crate) fn commit_here(&mut self, lane: &Arc<Lane>) -> bool {
        if self.shared.refusal().is_some() {
            return false;
        }
        let Some(file) = self.current.as_ref().map(|current| current.file.clone()) else {
            return false;
        };
        let fit = |bytes, records| self.has_room(bytes, records);
        let Some(taken) = lane.take_if(fit) else {
            return lane.is_empty();
        };
        let (bytes, records) = (taken.frames.bytes().len(), taken.frames.records());
        let first_unsynced = self.written == self.synced;
        let mut block = vec![taken];
        let outcome = self.write(&*file, &mut block, records);
        let outcome =
            outcome.map_err(|error| AppendError::Indeterminate(self.give_up("write", &error)));
        // The thread has to learn of a sync that will be due, and of a segment that is needed.
        let wake = first_unsynced || outcome.is_err();
        self.answer(block, bytes, &outcome);
        if wake {
            self.shared.wake_writer();
        }
        true
    }

    /// Commits everything that is queued, on the thread of a caller who would wait for it anyway.
    /// Only with [`Durability::Sync`]: else the writer's thread may be syncing without the lock,
    /// and no other may begin a segment meanwhile.
    pub(crate) fn commit_queued(&mut self) {
        let had_deadline = self.next_deadline().is_some();
        let taken = self.take_all(false);
        self.commit_all(taken);
        if !had_deadline && self.next_deadline().is_some() {
            // The thread sleeps without one.
            self.shared.wake_writer();
        }
    }

    /// When there is something to do even if nobody appends.
    fn next_deadline(&self) -> Option<Instant> {
        let sync = (self.written != self.synced)
            .then(|| self.pace.last_sync + self.shared.options.sync_interval);
        let sweep = self
            .pace
            .completed
            .first()
            .map(|(at, _)| *at + LEADER_PATIENCE);
        let retry = (self.shared.health() != Health::Writable).then_some(self.pace.retry_at);
        [sync, sweep, retry].into_iter().flatten().min()
    }

    /// Under load, records come together until the interval since the last commit is over.
    fn gather_until(&self) -> Option<Instant> {
        let until = self.pace.commit_began + self.shared.options.commit_interval;
        (self.pace.commit_records > FEW_RECORDS).then_some(until)
    }

    fn take_all(&self, closing: bool) -> Vec<Taken> {
        let mut lanes = hold(&self.shared.lanes);
        lanes.closed |= closing;
        lanes.all.retain(|lane| !lane.is_abandoned());
        lanes
            .all
            .iter()
            .filter_map(|lane| lane.take(closing))
            .collect()
    }

    /// Commits everything that was taken, in blocks of bounded size.
    fn commit_all(&mut self, taken: Vec<Taken>) {
        if taken.is_empty() {
            return;
        }
        let records = taken
            .iter()
            .map(|taken| u64::from(taken.frames.records()))
            .sum();
        self.pace.commit_begins(records, &self.shared.options);
        let (mut block, mut bytes) = (Vec::new(), 0);
        for taken in taken {
            if bytes + taken.frames.bytes().len() > self.shared.options.block_bytes_max {
                self.commit(std::mem::take(&mut block), bytes);
                bytes = 0;
            }
            bytes += taken.frames.bytes().len();
            block.push(taken);
        }
        self.commit(block, bytes);
    }

    /// Commits one block and answers its appenders.
    fn commit(&mut self, mut block: Vec<Taken>, bytes: usize) {
        if block.is_empty() {
            return;
        }
        let outcome = self.try_commit(&mut block, bytes);
        self.answer(block, bytes, &outcome);
    }

    /// Tells the appenders of a block what became of it.
    fn answer(
        &mut self,
        block: Vec<Taken>,
        bytes: usize,
        outcome: &Result<Committed, AppendError>,
    ) {
        self.shared.queued_bytes.fetch_sub(bytes, Ordering::Relaxed);
        let now = now();
        for taken in block {
            let batch = taken.finish(outcome.clone());
            // Nobody begins to wait for what is over.
            if !batch.all_awake() {
                self.pace.completed.push((now, batch));
            }
        }
    }

    fn try_commit(&mut self, block: &mut [Taken], bytes: usize) -> Result<Committed, AppendError> {
        let records = block
            .iter()
            .map(|taken| taken.frames.records())
            .fold(0, u32::saturating_add);
        let file = self.make_room(bytes, records)?;
        let committed = self
            .write(&*file, block, records)
            .map_err(|error| AppendError::Indeterminate(self.fence("write", &error)))?;
        if self.shared.options.durability == Durability::Sync {
            self.sync(&*file).map_err(AppendError::Indeterminate)?;
        }
        Ok(committed)
    }

    /// Writes a block for which there is room.
    fn write(
        &mut self,
        file: &dyn DiskFile,
        block: &mut [Taken],
        records: u32,
    ) -> io::Result<Committed> {
        let written = self.write_block(file, block, records)?;
        self.written = written;
        if let Some(current) = &mut self.current {
            current.records += u64::from(records);
        }
        let position = position(written.segment, written.end);
        Ok(Committed {
            cursor: Cursor {
                incarnation: self.author.incarnation,
                position,
            },
        })
    }

    /// Gives every record its sequence, and writes the block in one call.
    fn write_block(
        &mut self,
        file: &dyn DiskFile,
        block: &mut [Taken],
        records: u32,
    ) -> io::Result<Tail> {
        let sequences = &mut self.sequences;
        let last = sequences.len() - 1;
        let mut next = |partition: Partition| {
            let index = usize::from(partition.0).min(last);
            sequences.get_mut(index).map_or(0, |sequence| {
                *sequence += 1;
                *sequence
            })
        };
        let mut header = self
            .author
            .header(Kind::Records, self.written, self.synced.end);
        header.records = records;
        for taken in &mut *block {
            taken.frames.stamp(&mut next);
            let frames = taken.frames.bytes();
            header.payload_bytes += frames.len() as u32;
            header.payload_crc = crc32c::crc32c_append(header.payload_crc, frames);
        }
        let (head, crc) = header.encode();
        let mut parts = Vec::with_capacity(block.len() + 2);
        parts.push(IoSlice::new(&head));
        parts.extend(block.iter().map(|taken| IoSlice::new(taken.frames.bytes())));
        parts.push(IoSlice::new(&TRAILER));
        file.write_at(u64::from(header.offset), &mut parts)?;
        Ok(behind(&header, crc))
    }

    /// Syncs what was written and moves the durable end, or fences the segment.
    fn sync(&mut self, file: &dyn DiskFile) -> Result<(), Arc<str>> {
        self.pace.last_sync = now();
        match file.sync_data() {
            Ok(()) => {
                self.synced = self.written;
                self.shared
                    .durable
                    .advance(position(self.synced.segment, self.synced.end));
                Ok(())
            }
            Err(error) => Err(self.fence("sync", &error)),
        }
    }

    /// With [`Durability::Os`], what is to be synced now, and how far that makes it durable.
    fn take_due_sync(&mut self) -> Option<(Arc<dyn DiskFile>, Tail)> {
        let now = now();
        let due = self.pace.last_sync + self.shared.options.sync_interval;
        if self.written == self.synced || now < due {
            return None;
        }
        let current = self.current.as_ref()?;
        self.pace.last_sync = now;
        Some((current.file.clone(), self.written))
    }

    /// Notes how a sync of all before `tail` has ended; more may have been written meanwhile.
    fn synced_to(&mut self, tail: Tail, outcome: io::Result<()>) {
        if let Err(error) = outcome {
            // It shows in the health; those who appended were told that they do not wait for it.
            self.fence("sync", &error);
            return;
        }
        self.synced = tail;
        if self.current.is_none() {
            // A write has failed meanwhile: the segment ends with what was synced.
            self.written = tail;
        }
        self.shared
            .durable
            .advance(position(tail.segment, tail.end));
    }

    /// Wakes the waiters whose leader was woken a while ago and has not passed it on.
    fn wake_the_forgotten(&mut self) {
        let now = now();
        self.pace.completed.retain(|(at, batch)| {
            let waits = !batch.all_awake();
            if waits && now.duration_since(*at) >= LEADER_PATIENCE {
                batch.wake_rest();
                return false;
            }
            waits
        });
    }
}
