//! Reading a log beside the process that writes it, or when none does.
//!
//! Only what is known to be durable is shown. Beside a writer that is what a later block, an end
//! block or the next segment confirms, so the very last block may be missing. Without a writer the
//! lock is taken for a moment, and the end is found as recovery finds it. Nothing is changed.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::api::{Cursor, PartitionSet, ReadError, ReadFrom};
use crate::catalog::Catalog;
use crate::disk::{Disk, LockError};
use crate::format::position;
use crate::log::LOCK_NAME;
use crate::open::{Door, Look};
use crate::options::OpenError;
use crate::read::Reader;
use crate::shared::Durable;

/// How often the directory is looked at again when the writer changes it meanwhile.
const LOOKS: usize = 5;

/// A log that is read only.
pub struct ReadOnlyLog {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    catalog: Arc<Catalog>,
    durable: Arc<Durable>,
    partitions: u16,
}

impl ReadOnlyLog {
    pub(crate) fn open(disk: Arc<dyn Disk>, dir: &Path) -> Result<ReadOnlyLog, OpenError> {
        let meta = Door { disk: &*disk, dir }.meta()?;
        let incarnation = meta.incarnation;
        let catalog = Catalog::empty(disk.clone(), dir.to_owned(), incarnation);
        let log = ReadOnlyLog {
            disk,
            dir: dir.to_owned(),
            catalog: Arc::new(catalog),
            durable: Arc::new(Durable::new(incarnation, 0)),
            partitions: meta.partitions,
        };
        log.refresh()?;
        Ok(log)
    }

    /// Looks what has become durable since; readers of this log see it too.
    pub fn refresh(&self) -> Result<Cursor, OpenError> {
        for _ in 1..LOOKS {
            match self.look() {
                // The writer seals, removes and writes meanwhile; a second look shows one state.
                Err(OpenError::Missing { .. } | OpenError::Damaged { .. }) => {}
                other => return other,
            }
        }
        self.look()
    }

    fn look(&self) -> Result<Cursor, OpenError> {
        let door = Door {
            disk: &*self.disk,
            dir: &self.dir,
        };
        let incarnation = self.catalog.incarnation;
        let lock = self.disk.lock(&self.dir.join(LOCK_NAME));
        let written = matches!(lock, Err(LockError::Held(_)));
        let kept = door.kept(incarnation)?;
        let mut segments = door.segments(kept)?;
        let look = if written {
            Look::BesideWriter
        } else {
            Look::Reader
        };
        let found = door.last_used(incarnation, &mut segments, look)?.scan;
        drop(lock);
        self.catalog.replace(kept, segments);
        if let Some(found) = found {
            let end = position(found.tail.segment, found.tail.end);
            self.durable.advance(end.max(self.durable.position()));
        }
        Ok(self.durable.cursor())
    }

    /// A reader of the given partitions (and of broadcasts).
    pub fn reader(&self, partitions: PartitionSet, from: ReadFrom) -> Result<Reader, ReadError> {
        Reader::new(self.catalog.clone(), self.durable.clone(), partitions, from)
    }

    /// Everything before this cursor was durable at the last look.
    pub fn durable(&self) -> Cursor {
        self.durable.cursor()
    }

    /// The number of partitions that the log was created with.
    pub fn partitions(&self) -> u16 {
        self.partitions
    }
}
