//! Opening, using and closing a log on disk.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crate::api::{AppendError, Cursor, Log, PartitionSet, ReadError, ReadFrom};
use crate::appender::Appender;
use crate::catalog::{Catalog, Form};
use crate::disk::{Disk, LockError};
use crate::format::{Tail, position};
use crate::meta::Meta;
use crate::open::{Door, Found};
use crate::options::{Health, Housekeeping, OpenError, Options, Recovery};
use crate::pace::Pace;
use crate::read::Reader;
use crate::readonly::ReadOnlyLog;
use crate::seal::Sealing;
use crate::segment::{Author, Preparer, begin, prepare};
use crate::shared::{DurableAfter, Shared, hold};
use crate::writer::{self, Current, Writer};

/// The name of the lock file.
pub(crate) const LOCK_NAME: &str = "LOCK";

/// A durable log in a directory, open for appending and reading.
///
/// Dropping it closes it, but only [`SegmentLog::close`] says how that went.
pub struct SegmentLog {
    pub(crate) shared: Arc<Shared>,
    pub(crate) catalog: Arc<Catalog>,
    preparer: Arc<Preparer>,
    writer: Arc<Mutex<Writer>>,
    threads: Mutex<Threads>,
    sealing: Arc<Sealing>,
    /// Held while retention gives something up.
    pub(crate) retention: Mutex<()>,
    _lock: Box<dyn Send + Sync>,
}

#[derive(Default)]
struct Threads {
    writer: Option<JoinHandle<Result<(), AppendError>>>,
    others: Vec<JoinHandle<()>>,
}

impl SegmentLog {
    /// Opens the log in `dir`, which is created if it is not there, and recovers what an earlier
    /// process has left. A new segment is begun, so the log takes records when this returns.
    pub fn open(
        disk: Arc<dyn Disk>,
        dir: &Path,
        options: Options,
    ) -> Result<(SegmentLog, Recovery), OpenError> {
        options.validate()?;
        let door = Door { disk: &*disk, dir };
        disk.create_dir(dir)
            .map_err(|error| door.refusal("create the directory", error))?;
        door.refuse_foreign()?;
        let lock = disk
            .lock(&dir.join(LOCK_NAME))
            .map_err(|error| match error {
                LockError::Held(holder) => OpenError::InUse {
                    dir: dir.to_owned(),
                    holder,
                },
                LockError::Io(error) => door.refusal("lock", error),
            })?;
        let meta = door.meta_or_create(&options)?;
        let found = door.recover(meta)?;
        let recovery = found.recovery(meta.incarnation);
        let log = SegmentLog::start(disk.clone(), dir, options, (meta, found), lock)?;
        Ok((log, recovery))
    }

    /// Opens the log for reading beside a process that may be writing it.
    pub fn open_readonly(disk: Arc<dyn Disk>, dir: &Path) -> Result<ReadOnlyLog, OpenError> {
        ReadOnlyLog::open(disk, dir)
    }

    /// Begins a segment behind what was found, and starts the threads.
    fn start(
        disk: Arc<dyn Disk>,
        dir: &Path,
        options: Options,
        (meta, found): (Meta, Found),
        lock: Box<dyn Send + Sync>,
    ) -> Result<SegmentLog, OpenError> {
        let door = Door { disk: &*disk, dir };
        let session = (options.draw)().map_err(|error| door.refusal("draw a session", error))?;
        let author = Author {
            incarnation: meta.incarnation,
            epoch: found.epoch + 1,
            session,
        };
        let durable = position(found.tail.segment, found.tail.end);
        let shared = Arc::new(Shared::new(options, meta.incarnation, durable));
        let catalog = Catalog::new(
            disk.clone(),
            dir.to_owned(),
            meta.incarnation,
            found.kept,
            found.segments,
        );
        let catalog = Arc::new(catalog);
        let preparer = Arc::new(Preparer::new(catalog.clone(), &shared));
        let (current, tail) = begin_first(&door, &shared, author, found.tail)?;
        catalog.began(tail.segment);
        door.cut(found.tail);
        preparer.request(tail.segment + 1, shared.options.segment_bytes);
        let writer = Writer {
            shared: shared.clone(),
            preparer: preparer.clone(),
            catalog: catalog.clone(),
            author,
            current: Some(current),
            written: tail,
            synced: tail,
            sequences: vec![0; usize::from(shared.options.partitions) + 1],
            pace: Pace::new(),
        };
        let sealing = Arc::new(Sealing::new(catalog.clone(), &shared.options));
        let log = SegmentLog {
            shared,
            catalog,
            preparer,
            writer: Arc::new(Mutex::new(writer)),
            threads: Mutex::default(),
            sealing,
            retention: Mutex::new(()),
            _lock: lock,
        };
        log.spawn()
            .map_err(|error| door.refusal("start a thread", error))?;
        Ok(log)
    }

    fn spawn(&self) -> io::Result<()> {
        let mut threads = hold(&self.threads);
        let named = |name: &str| thread::Builder::new().name(name.to_owned());
        if self.shared.options.housekeeping == Housekeeping::Threads {
            let (preparer, shared) = (self.preparer.clone(), self.shared.clone());
            threads
                .others
                .push(named("log-prepare").spawn(move || preparer.run(&shared))?);
            let sealing = self.sealing.clone();
            threads
                .others
                .push(named("log-seal").spawn(move || sealing.run())?);
        }
        let (writer, shared) = (self.writer.clone(), self.shared.clone());
        threads.writer = Some(named("log-write").spawn(move || writer::run(&writer, &shared))?);
        Ok(())
    }

    /// Whether records are taken at present, and if not, why.
    pub fn health(&self) -> Health {
        self.shared.health()
    }

    /// Blocks until something behind `cursor` is durable, the log is closed, or the time is over;
    /// returns the durable end.
    pub fn wait_durable_after(&self, cursor: Cursor, timeout: Duration) -> Cursor {
        self.shared.durable.wait_past(cursor.position, timeout)
    }

    /// Resolves as [`SegmentLog::wait_durable_after`] returns, without a time limit.
    pub fn durable_after(&self, cursor: Cursor) -> DurableAfter {
        DurableAfter::new(self.shared.clone(), cursor.position)
    }

    /// Seals every finished segment now, and returns how many that were. With
    /// [`Housekeeping::Threads`] this happens in the background.
    pub fn seal_finished(&self) -> Result<u32, ReadError> {
        self.sealing.seal_finished(false)
    }

    /// Why the last finished segment could not be sealed, if so. It stays readable as it is.
    pub fn seal_failure(&self) -> Option<String> {
        self.sealing.failure()
    }

    /// Commits what was queued, writes an end block, and stops. Appends are refused from then on;
    /// readers still read.
    pub fn close(&self) -> Result<(), AppendError> {
        self.shared.closing.store(true, Ordering::SeqCst);
        self.shared.wake_writer();
        self.sealing.stop();
        let mut threads = hold(&self.threads);
        let written = threads.writer.take().map(JoinHandle::join);
        // Only now: what was queued may have needed another segment.
        self.preparer.stop();
        for thread in threads.others.drain(..) {
            // It holds nothing that a panic could have spoilt.
            drop(thread.join());
        }
        self.catalog.remove_spares();
        match written {
            None => Ok(()),
            Some(Ok(outcome)) => outcome,
            Some(Err(_)) => Err(AppendError::Indeterminate("the writer has panicked".into())),
        }
    }
}

impl Drop for SegmentLog {
    fn drop(&mut self) {
        // Whoever wants to know how it went has called `close`.
        self.close().unwrap_or_default();
    }
}

impl Log for SegmentLog {
    type Appender = Appender;
    type Reader = Reader;

    fn appender(&self) -> Appender {
        Appender::new(self.shared.clone(), self.writer.clone())
    }

    fn reader(&self, partitions: PartitionSet, from: ReadFrom) -> Result<Reader, ReadError> {
        Reader::new(
            self.catalog.clone(),
            self.shared.durable.clone(),
            partitions,
            from,
        )
    }

    fn durable(&self) -> Cursor {
        self.shared.durable.cursor()
    }
}

/// Makes and begins the first segment of this opening.
fn begin_first(
    door: &Door<'_>,
    shared: &Shared,
    author: Author,
    before: Tail,
) -> Result<(Current, Tail), OpenError> {
    let options = &shared.options;
    let (segment, capacity) = (before.segment + 1, options.first_segment_bytes);
    let prepared = prepare(door.disk, door.dir, segment, capacity, &shared.closing)
        .map_err(|error| door.give_up(segment, error))?;
    let stamp = ((options.clock_ms)(), options.partitions);
    let tail = begin(&prepared, author, before, stamp)
        .map_err(|error| door.refusal("begin a segment", error))?;
    Ok((Current::begun(prepared), tail))
}

/// The forms of the segments that a directory holds.
pub(crate) type Forms = BTreeMap<u32, Form>;
