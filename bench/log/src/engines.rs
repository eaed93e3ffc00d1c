//! The engines behind one word: commit these records, durably.

use std::fs::{File, OpenOptions};
use std::future::Future;
use std::io::IoSlice;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context as TaskContext, Poll, Wake, Waker};
use std::thread::{self, Thread};

use anyhow::{Context, Result, bail};
use fjall::{Database, Keyspace, KeyspaceCreateOptions, PersistMode};
use tollgate_log::{
    Append, Appender, Commit, Disk, DiskFile, Housekeeping, Log, NewRecord, Options, Partition,
    RealDisk, SegmentLog,
};

use crate::Record;
use crate::disk::{Counting, Counts};

pub(crate) trait Engine {
    /// Returns when the records are durable, or, in flow, when those of the commit before are.
    fn commit(&mut self, records: &[Record]) -> Result<()>;
    /// Returns when all records are durable.
    fn settle(&mut self) -> Result<()> {
        Ok(())
    }
    /// Syncs of the log so far, where they are counted.
    fn syncs(&self) -> u64 {
        0
    }
    fn close(&mut self) -> Result<()>;
}

pub(crate) fn open(name: &str, folder: &Path, partitions: u16) -> Result<Box<dyn Engine>> {
    Ok(match name {
        "raw" => Box::new(Raw::open(folder)?),
        "raw_direct" => Box::new(RawDirect::open(folder)?),
        "fjall" => Box::new(Fjall::open(folder)?),
        "sqlite" => Box::new(Sqlite::open(folder)?),
        "tollgate" => Box::new(Tollgate::open(folder, partitions, Way::Flow)?),
        "tollgate_call" => Box::new(Tollgate::open(folder, partitions, Way::Call)?),
        "tollgate_sustained" => Box::new(Tollgate::open(folder, partitions, Way::Sustained)?),
        _ => bail!("no engine {name}"),
    })
}

/// The bytes of a block of the log written to a file that was filled with zeros before, as the
/// log's segments are, and synced by `fdatasync`; no threads, no checksums, no readers.
struct Raw {
    file: Arc<dyn DiskFile>,
    at: u64,
    frames: Vec<u8>,
}

/// Longer than what is written in a run: neither loop begins a segment.
pub(crate) const SEGMENT_BYTES: u64 = 384 << 20;
const BLOCK_BYTES: usize = 76;
const FRAME_BYTES: usize = 16;

impl Raw {
    fn open(folder: &Path) -> Result<Raw> {
        let file = zeros(&folder.join("raw"))?;
        Ok(Raw {
            file,
            at: 0,
            frames: Vec::new(),
        })
    }
}

/// A file of zeros, as a segment is prepared.
fn zeros(path: &Path) -> Result<Arc<dyn DiskFile>> {
    let file = RealDisk.create(path)?;
    file.allocate(SEGMENT_BYTES)?;
    let zeros = vec![0; 1 << 20];
    for at in (0..SEGMENT_BYTES).step_by(1 << 20) {
        file.write_at(at, &mut [IoSlice::new(&zeros)])?;
    }
    file.sync_all()?;
    Ok(file)
}

/// As [`Raw`], written past the cache in whole pages, each write synced by itself.
struct RawDirect {
    file: File,
    at: u64,
    pages: Vec<u8>,
}

const PAGE_BYTES: usize = 4096;

impl RawDirect {
    fn open(folder: &Path) -> Result<RawDirect> {
        let path = folder.join("raw-direct");
        drop(zeros(&path)?);
        let flags = rustix::fs::OFlags::DIRECT | rustix::fs::OFlags::DSYNC;
        let file = OpenOptions::new()
            .write(true)
            .custom_flags(flags.bits().cast_signed())
            .open(path)?;
        Ok(RawDirect {
            file,
            at: 0,
            pages: Vec::new(),
        })
    }
}

impl Engine for RawDirect {
    fn commit(&mut self, records: &[Record]) -> Result<()> {
        let bytes: usize = records.iter().map(Record::bytes).sum::<usize>() + BLOCK_BYTES;
        let padded = bytes.next_multiple_of(PAGE_BYTES);
        self.pages.clear();
        self.pages.reserve(padded + PAGE_BYTES);
        // The buffer must begin at a page, too.
        let before = self.pages.as_ptr().align_offset(PAGE_BYTES);
        self.pages.resize(before, 0);
        self.pages.extend_from_slice(&[1; BLOCK_BYTES]);
        for record in records {
            self.pages.extend_from_slice(&[2; FRAME_BYTES]);
            self.pages.extend_from_slice(&record.facts);
            self.pages.extend_from_slice(&record.personal);
        }
        self.pages.resize(before + padded, 0);
        if self.at + padded as u64 > SEGMENT_BYTES {
            self.at = 0;
        }
        let pages = self.pages.get(before..).context("pages")?;
        self.file.write_all_at(pages, self.at)?;
        self.at += padded as u64;
        Ok(())
    }

    fn close(&mut self) -> Result<()> {
        Ok(())
    }
}

impl Engine for Raw {
    fn commit(&mut self, records: &[Record]) -> Result<()> {
        self.frames.clear();
        self.frames.extend_from_slice(&[1; BLOCK_BYTES]);
        for record in records {
            self.frames.extend_from_slice(&[2; FRAME_BYTES]);
            self.frames.extend_from_slice(&record.facts);
            self.frames.extend_from_slice(&record.personal);
        }
        if self.at + self.frames.len() as u64 > SEGMENT_BYTES {
            self.at = 0;
        }
        self.file
            .write_at(self.at, &mut [IoSlice::new(&self.frames)])?;
        self.file.sync_data()?;
        self.at += self.frames.len() as u64;
        Ok(())
    }

    fn close(&mut self) -> Result<()> {
        Ok(())
    }
}

/// The log with its defaults, but for pacing: a commit of a stated size is handed over whole.
struct Tollgate {
    log: SegmentLog,
    appender: Appender,
    way: Way,
    counts: Arc<Counts>,
    /// The commit that is on its way to the disk.
    under_way: Option<Commit>,
}

/// How the log is driven.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    /// As an edge does: the next records come while a commit is synced, never more than one commit
    /// of them. One long segment, as the raw loop has.
    Flow,
    /// One caller who waits for each commit before it makes the next, as the raw loop does. One
    /// long segment.
    Call,
    /// In flow, and segments of the default length are made, filled and sealed in the same time on
    /// the same processors.
    Sustained,
}

impl Tollgate {
    fn open(folder: &Path, partitions: u16, way: Way) -> Result<Tollgate> {
        let mut options = Options {
            partitions,
            commit_interval: std::time::Duration::ZERO,
            housekeeping: Housekeeping::Threads,
            ..Options::default()
        };
        if way != Way::Sustained {
            options.first_segment_bytes = u32::try_from(SEGMENT_BYTES)?;
            options.housekeeping = Housekeeping::Caller;
        }
        let counts = Arc::new(Counts::default());
        let disk = Arc::new(Counting(counts.clone()));
        let (log, _) = SegmentLog::open(disk, &folder.join("log"), options)?;
        let appender = log.appender();
        Ok(Tollgate {
            log,
            appender,
            way,
            counts,
            under_way: None,
        })
    }
}

impl Engine for Tollgate {
    fn commit(&mut self, records: &[Record]) -> Result<()> {
        let records: Vec<NewRecord<'_>> = records.iter().map(new_record).collect();
        if self.way == Way::Call {
            self.appender.commit(&records)?;
            return Ok(());
        }
        let before = self.under_way.replace(self.appender.append_all(&records)?);
        before.map_or(Ok(()), |before| wait(before).map(drop))?;
        Ok(())
    }

    fn settle(&mut self) -> Result<()> {
        self.under_way
            .take()
            .map_or(Ok(()), |last| wait(last).map(drop))?;
        Ok(())
    }

    fn syncs(&self) -> u64 {
        self.counts.syncs.load(Ordering::Relaxed)
    }

    fn close(&mut self) -> Result<()> {
        Ok(self.log.close()?)
    }
}

pub(crate) fn new_record(record: &Record) -> NewRecord<'_> {
    NewRecord {
        partition: Partition(record.partition),
        facts: &record.facts,
        personal: &record.personal,
    }
}

struct Fjall {
    database: Database,
    clicks: Keyspace,
    key: u64,
}

impl Fjall {
    fn open(folder: &Path) -> Result<Fjall> {
        let database = Database::builder(folder.join("fjall")).open()?;
        let clicks = database.keyspace("clicks", KeyspaceCreateOptions::default)?;
        Ok(Fjall {
            database,
            clicks,
            key: 0,
        })
    }
}

impl Engine for Fjall {
    fn commit(&mut self, records: &[Record]) -> Result<()> {
        let mut batch = self
            .database
            .batch()
            .durability(Some(PersistMode::SyncData));
        for record in records {
            self.key += 1;
            let value = [&record.facts[..], &record.personal].concat();
            batch.insert(&self.clicks, self.key.to_be_bytes(), value);
        }
        Ok(batch.commit()?)
    }

    fn close(&mut self) -> Result<()> {
        Ok(())
    }
}

struct Sqlite {
    connection: rusqlite::Connection,
    key: i64,
}

impl Sqlite {
    fn open(folder: &Path) -> Result<Sqlite> {
        let connection = rusqlite::Connection::open(folder.join("sqlite"))?;
        connection.pragma_update(None, "journal_mode", "WAL")?;
        connection.pragma_update(None, "synchronous", "FULL")?;
        connection.execute(
            "CREATE TABLE clicks (key INTEGER PRIMARY KEY, value BLOB)",
            (),
        )?;
        Ok(Sqlite { connection, key: 0 })
    }
}

impl Engine for Sqlite {
    fn commit(&mut self, records: &[Record]) -> Result<()> {
        let transaction = self.connection.transaction()?;
        {
            let mut insert =
                transaction.prepare_cached("INSERT INTO clicks (key, value) VALUES (?1, ?2)")?;
            for record in records {
                self.key += 1;
                let value = [&record.facts[..], &record.personal].concat();
                insert.execute((self.key, value))?;
            }
        }
        transaction.commit().context("SQLite")
    }

    fn close(&mut self) -> Result<()> {
        Ok(())
    }
}

/// Blocks the thread until the future is there.
pub(crate) fn wait<F: Future + Unpin>(mut future: F) -> F::Output {
    struct Unpark(Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut context = TaskContext::from_waker(&waker);
    loop {
        match Pin::new(&mut future).poll(&mut context) {
            Poll::Ready(output) => return output,
            Poll::Pending => thread::park(),
        }
    }
}
