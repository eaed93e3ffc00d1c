//! The writer's way from one segment to the next: when the present one is full, when it was fenced,
//! when its file must not be kept, and at the end.

use std::io;
use std::sync::Arc;

use super::{Current, Writer};
use crate::api::AppendError;
use crate::disk::DiskFile;
use crate::format::{BLOCK_OVERHEAD, END_BLOCK_BYTES, Kind, position};
use crate::options::Health;
use crate::pace::now;
use crate::segment::{begin, write_small_block};
use crate::spares::Spare;

impl Writer {
    /// Gives the present segment up and tries a fresh one at once.
    pub(super) fn fence(&mut self, what: &str, error: &io::Error) -> Arc<str> {
        let why = self.give_up(what, error);
        // A failure here is kept in the health, and `heal` tries again.
        self.roll().unwrap_or_default();
        why
    }

    /// Gives the present segment up: what was not synced in it is cut. `heal` finds a fresh one.
    pub(super) fn give_up(&mut self, what: &str, error: &io::Error) -> Arc<str> {
        let why: Arc<str> =
            format!("{what} of segment {} failed: {error}", self.written.segment).into();
        self.current = None;
        self.written = self.synced;
        self.pace.retry_at = now();
        self.shared.set_health(Health::Fenced(why.clone()));
        why
    }

    /// Whether the present segment and session have room for a block.
    pub(super) fn has_room(&self, bytes: usize, records: u32) -> bool {
        let needed = bytes + BLOCK_OVERHEAD + END_BLOCK_BYTES;
        let room = self.current.as_ref().map_or(0, |current| {
            current.capacity.saturating_sub(self.written.end) as usize
        });
        needed <= room && self.has_sequences(records)
    }

    fn has_sequences(&self, records: u32) -> bool {
        let last = self.sequences.iter().max().copied().unwrap_or(0);
        last.checked_add(records).is_some()
    }

    /// A segment with room for a block, the present one or the next.
    pub(super) fn make_room(
        &mut self,
        bytes: usize,
        records: u32,
    ) -> Result<Arc<dyn DiskFile>, AppendError> {
        if let Some(current) = &self.current {
            if self.has_room(bytes, records) {
                return Ok(current.file.clone());
            }
        } else if let Some(refusal) = self.shared.health().refusal() {
            // Fenced: `heal` has just tried, or will when its time has come.
            return Err(refusal);
        }
        self.next_segment(records)?;
        let current = self.current.as_ref().ok_or(AppendError::Full)?;
        Ok(current.file.clone())
    }

    /// Begins the next segment, for so many records, when all of the present one is synced.
    fn next_segment(&mut self, records: u32) -> Result<(), AppendError> {
        if self.written != self.synced
            && let Some(file) = self.current.as_ref().map(|current| current.file.clone())
        {
            self.sync(&*file).map_err(AppendError::Down)?;
        }
        if !self.has_sequences(records) {
            self.end_session();
        }
        self.roll()
    }

    /// Begins the next segment behind the synced end of the present one.
    fn roll(&mut self) -> Result<(), AppendError> {
        self.pace.retry_at = now() + self.shared.options.retry_interval;
        let prepared = self
            .preparer
            .take()
            .map_err(|error| self.refuse("prepare", &error))?;
        // From here on the present segment is over, whatever happens: the start block that ends it
        // may be durable even if writing it fails.
        let finished = self.current.take();
        if finished.is_none() {
            self.end_session();
        }
        let options = &self.shared.options;
        let stamp = ((options.clock_ms)(), options.partitions);
        let tail = match begin(&prepared, self.author, self.synced, stamp) {
            Ok(tail) => tail,
            Err(error) => {
                self.preparer.request(prepared.segment, prepared.capacity);
                return Err(self.refuse("begin", &error));
            }
        };
        if let Some(finished) = finished {
            self.finished(&finished);
        }
        self.catalog.began(tail.segment);
        (self.written, self.synced) = (tail, tail);
        self.current = Some(Current::begun(prepared));
        self.preparer
            .request(tail.segment + 1, options.segment_bytes);
        self.shared.set_health(Health::Writable);
        Ok(())
    }

    /// A segment was ended in good order: its file is used again once it is sealed, or is cut. The
    /// next start block has said that nothing behind the end counts.
    fn finished(&self, finished: &Current) {
        let (segment, oldest) = (self.synced.segment, finished.oldest);
        let of_full_length = finished.capacity == self.shared.options.segment_bytes;
        if !of_full_length || !self.catalog.spares.finished(Spare { segment, oldest }) {
            // For the space, and for what a former life has left there.
            let end = u64::from(self.synced.end);
            finished.file.set_len(end).unwrap_or_default();
        }
    }

    /// Ends the present segment if personal parts stand behind its end that retention has given up.
    pub(super) fn let_go_of_the_past(&mut self) {
        let first = self.catalog.spares.personal_first();
        self.preparer.drop_older(first);
        let past = |current: &Current| current.oldest < first;
        if self.current.as_ref().is_some_and(past) {
            // A failure has set the health.
            self.next_segment(0).unwrap_or_default();
        }
    }

    /// Sets the health after a refusal of the disk, and says what to tell appenders.
    fn refuse(&self, what: &str, error: &io::Error) -> AppendError {
        let health = if is_full(error) {
            Health::Full
        } else {
            let segment = self.written.segment + 1;
            Health::Fenced(format!("{what} of segment {segment} failed: {error}").into())
        };
        self.shared.set_health(health.clone());
        health.refusal().unwrap_or(AppendError::Full)
    }

    /// Draws a new session: sequences begin again.
    fn end_session(&mut self) {
        // Without random numbers a session still must not be used twice.
        self.author.session =
            (self.shared.options.draw)().unwrap_or_else(|_| self.author.session.wrapping_add(1));
        self.sequences.fill(0);
    }

    /// Tries to get a log that cannot write going again, when it is time or a segment is there.
    pub(super) fn heal(&mut self) {
        let sick = matches!(self.shared.health(), Health::Full | Health::Fenced(_));
        if !sick || now() < self.pace.retry_at {
            return;
        }
        self.pace.retry_at = now() + self.shared.options.retry_interval;
        if self.preparer.may_have_one() {
            // A failure has set the health.
            self.roll().unwrap_or_default();
        }
    }

    /// Writes the end block, so that the next opening knows that nothing is missing.
    pub(super) fn finish(&mut self) -> Result<(), AppendError> {
        for (_, batch) in self.pace.completed.drain(..) {
            batch.wake_rest();
        }
        let Some(current) = self.current.take() else {
            return self.shut(Ok(()));
        };
        let header = self.author.header(Kind::End, self.written, self.synced.end);
        let ended = write_small_block(&*current.file, header, &current.records.to_le_bytes())
            .and_then(|tail| current.file.sync_data().map(|()| tail));
        let outcome = match ended {
            Ok(tail) => {
                self.shared
                    .durable
                    .advance(position(tail.segment, tail.end));
                // For the space, and for what a former life has left there.
                current
                    .file
                    .set_len(u64::from(tail.end))
                    .unwrap_or_default();
                Ok(())
            }
            Err(error) => Err(AppendError::Indeterminate(
                format!("closing the log failed: {error}").into(),
            )),
        };
        self.shut(outcome)
    }

    fn shut(&self, outcome: Result<(), AppendError>) -> Result<(), AppendError> {
        self.shared.set_health(Health::Closed);
        self.shared.durable.close();
        outcome
    }
}

/// No space, no quota, no inodes, or a limit on the file's size: it may pass.
pub(crate) fn is_full(error: &io::Error) -> bool {
    use io::ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull};
    matches!(error.kind(), StorageFull | QuotaExceeded | FileTooLarge)
}
