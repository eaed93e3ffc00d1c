//! Who writes: the one who flushes a round, with [`Durability::Os`], and the one who waits for a
//! commit.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::future::Future;
use std::io::{self, IoSlice};
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker};
use std::thread::{self, ThreadId};
use std::time::Duration;

use tollgate_log::conformance::{block_on, read_all};
use tollgate_log::{
    Access, Append, AppendError, Appender, Commit, Committed, Disk, DiskFile, Durability, Health,
    LockError, Log, NewRecord, Options, Partition, PartitionSet, ReadFrom, RealDisk, SegmentLog,
};

/// A disk on which the writes of one thread are counted, and fail on demand.
#[derive(Clone)]
struct Watched {
    thread: ThreadId,
    writes: Arc<AtomicUsize>,
    fails: Arc<AtomicBool>,
}

struct WatchedFile {
    disk: Watched,
    file: Arc<dyn DiskFile>,
}

impl Watched {
    /// Watches the calling thread.
    fn new() -> Watched {
        Watched {
            thread: thread::current().id(),
            writes: Arc::default(),
            fails: Arc::default(),
        }
    }

    fn watch(&self, file: Arc<dyn DiskFile>) -> Arc<dyn DiskFile> {
        let disk = self.clone();
        Arc::new(WatchedFile { disk, file })
    }
}

impl Disk for Watched {
    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        RealDisk.create_dir(dir)
    }
    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        RealDisk.list(dir)
    }
    fn open(&self, path: &Path, access: Access) -> io::Result<Arc<dyn DiskFile>> {
        Ok(self.watch(RealDisk.open(path, access)?))
    }
    fn create(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        Ok(self.watch(RealDisk.create(path)?))
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        RealDisk.rename(from, to)
    }
    fn remove(&self, path: &Path) -> io::Result<()> {
        RealDisk.remove(path)
    }
    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        RealDisk.sync_dir(dir)
    }
    fn lock(&self, path: &Path) -> Result<Box<dyn Send + Sync>, LockError> {
        RealDisk.lock(path)
    }
}

impl DiskFile for WatchedFile {
    fn write_at(&self, offset: u64, parts: &mut [IoSlice<'_>]) -> io::Result<()> {
        if thread::current().id() == self.disk.thread {
            self.disk.writes.fetch_add(1, Ordering::SeqCst);
            if self.disk.fails.load(Ordering::SeqCst) {
                return Err(io::Error::other("on demand"));
            }
        }
        self.file.write_at(offset, parts)
    }
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        self.file.read_at(offset, buffer)
    }
    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }
    fn set_len(&self, len: u64) -> io::Result<()> {
        self.file.set_len(len)
    }
    fn allocate(&self, len: u64) -> io::Result<()> {
        self.file.allocate(len)
    }
    fn sync_data(&self) -> io::Result<()> {
        self.file.sync_data()
    }
    fn sync_all(&self) -> io::Result<()> {
        self.file.sync_all()
    }
    fn drop_cache(&self) -> io::Result<()> {
        self.file.drop_cache()
    }
}

fn open(disk: &Watched, dir: &Path, sync_interval: Duration) -> SegmentLog {
    let options = Options {
        durability: Durability::Os,
        retry_interval: Duration::from_millis(5),
        sync_interval,
        ..Options::default()
    };
    let disk = Arc::new(disk.clone());
    SegmentLog::open(disk, dir, options).unwrap().0
}

fn gather(appender: &impl Append<Commit = Commit>, facts: &str) -> Result<Commit, AppendError> {
    appender.gather(NewRecord {
        partition: Partition(3),
        facts: facts.as_bytes(),
        personal: b"somebody",
    })
}

fn look(commit: &mut Commit) -> Option<Result<Committed, AppendError>> {
    let mut context = Context::from_waker(Waker::noop());
    match Pin::new(commit).poll(&mut context) {
        Poll::Ready(outcome) => Some(outcome),
        Poll::Pending => None,
    }
}

fn facts(log: &SegmentLog) -> Vec<String> {
    let records = read_all(log, PartitionSet::all(), ReadFrom::Start);
    records
        .into_iter()
        .map(|record| String::from_utf8(record.facts).unwrap())
        .collect()
}

#[test]
fn who_flushes_a_round_writes_it_and_is_answered_at_once() {
    const ROUNDS: usize = 100;
    let (dir, disk) = (tempfile::tempdir().unwrap(), Watched::new());
    let log = open(&disk, dir.path(), Duration::from_millis(1));
    let appender = log.appender();
    let before = disk.writes.load(Ordering::SeqCst);
    let mut expected = Vec::new();
    let mut at_once = 0;
    for round in 0..ROUNDS {
        let names = (0..7).map(|number| format!("{round}.{number}"));
        let names: Vec<String> = names.collect();
        let mut commits: Vec<Commit> = names
            .iter()
            .map(|name| gather(&appender, name).unwrap())
            .collect();
        appender.flush();
        at_once += usize::from(matches!(look(&mut commits[0]), Some(Ok(_))));
        for commit in commits {
            block_on(commit).unwrap();
        }
        expected.extend(names);
    }
    // Now and then the log's own thread is at the writer, and then it is its turn.
    let writes = disk.writes.load(Ordering::SeqCst) - before;
    assert!(at_once > ROUNDS / 2, "{at_once} of {ROUNDS} rounds");
    assert!((ROUNDS / 2..=ROUNDS).contains(&writes), "{writes} writes");
    log.close().unwrap();
    assert_eq!(facts(&log), expected, "each once and in order");
}

#[test]
fn the_sync_of_a_round_comes_by_itself() {
    let (dir, disk) = (tempfile::tempdir().unwrap(), Watched::new());
    let log = open(&disk, dir.path(), Duration::from_millis(2));
    let appender = log.appender();
    for round in 0..5 {
        let before = log.durable();
        let commit = gather(&appender, &round.to_string()).unwrap();
        appender.flush();
        block_on(commit).unwrap();
        let after = log.wait_durable_after(before, Duration::from_secs(20));
        assert!(after > before, "nobody has synced round {round}");
    }
}

#[test]
fn a_round_that_cannot_be_written_is_told_so_and_the_next_goes_on() {
    let (dir, disk) = (tempfile::tempdir().unwrap(), Watched::new());
    let log = open(&disk, dir.path(), Duration::from_secs(3600));
    let appender = log.appender();
    let round = |name: &str| {
        let commit = gather(&appender, name)?;
        appender.flush();
        block_on(commit)
    };
    round("a").unwrap();
    disk.fails.store(true, Ordering::SeqCst);
    // Now and then the log's own thread writes, whose writes do not fail.
    let failed = (0..1000).find_map(|_| round("b").err());
    assert!(
        matches!(failed, Some(AppendError::Indeterminate(_))),
        "{failed:?}"
    );
    disk.fails.store(false, Ordering::SeqCst);
    while log.health() != Health::Writable {
        thread::sleep(Duration::from_millis(1));
    }
    round("c").unwrap();
    log.close().unwrap();
    let records = read_all(&log, PartitionSet::all(), ReadFrom::Start);
    let last = records.last().unwrap();
    assert_eq!((last.facts.as_slice(), last.sequence), (&b"c"[..], 1));
    let ids: Vec<(u64, u64)> = records
        .iter()
        .map(|record| (record.session, record.sequence))
        .collect();
    let mut distinct = ids.clone();
    distinct.sort_unstable();
    distinct.dedup();
    assert_eq!(distinct.len(), ids.len(), "no sequence is given twice");
}

#[test]
fn what_was_gathered_before_the_end_is_answered() {
    let (dir, disk) = (tempfile::tempdir().unwrap(), Watched::new());
    let log = open(&disk, dir.path(), Duration::from_secs(3600));
    let appender = log.appender();
    let mut commit = gather(&appender, "last").unwrap();
    assert!(look(&mut commit).is_none(), "nobody has flushed");
    log.close().unwrap();
    block_on(commit).unwrap();
    appender.flush();
    assert!(matches!(
        gather(&appender, "late"),
        Err(AppendError::Closed)
    ));
    assert_eq!(facts(&log), ["last"]);
}

fn commit(appender: &Appender, facts: &str) -> Result<Committed, AppendError> {
    appender.commit(&[NewRecord {
        partition: Partition(3),
        facts: facts.as_bytes(),
        personal: b"somebody",
    }])
}

#[test]
fn who_waits_for_a_commit_makes_it() {
    const COMMITS: usize = 100;
    for durability in [Durability::Sync, Durability::Os] {
        let (dir, disk) = (tempfile::tempdir().unwrap(), Watched::new());
        let options = Options {
            durability,
            sync_interval: Duration::from_millis(1),
            ..Options::default()
        };
        let (log, _) = SegmentLog::open(Arc::new(disk.clone()), dir.path(), options).unwrap();
        let appender = log.appender();
        let before = disk.writes.load(Ordering::SeqCst);
        let mut expected = Vec::new();
        for number in 0..COMMITS {
            // What others have queued comes along.
            let beside = gather(&log.appender(), &format!("{number} beside")).unwrap();
            let committed = commit(&appender, &number.to_string()).unwrap();
            if durability == Durability::Sync {
                assert!(log.durable() >= committed.cursor);
                block_on(beside).unwrap();
            }
            expected.extend([format!("{number} beside"), number.to_string()]);
        }
        let writes = disk.writes.load(Ordering::SeqCst) - before;
        assert!(writes > COMMITS / 2, "{writes} writes of {COMMITS} commits");
        log.close().unwrap();
        let mut found = facts(&log);
        found.sort();
        expected.sort();
        assert_eq!(found, expected);
        assert_eq!(commit(&appender, "late"), Err(AppendError::Closed));
    }
}

#[test]
fn many_who_wait_are_all_answered() {
    let (dir, disk) = (tempfile::tempdir().unwrap(), Watched::new());
    let (log, _) = SegmentLog::open(Arc::new(disk), dir.path(), Options::default()).unwrap();
    thread::scope(|scope| {
        for thread in 0..8 {
            let appender = log.appender();
            scope.spawn(move || {
                for number in 0..50 {
                    commit(&appender, &format!("{thread}.{number}")).unwrap();
                }
            });
        }
    });
    assert_eq!(facts(&log).len(), 400);
}

#[test]
fn a_commit_that_fails_here_fences_the_segment_and_the_next_goes_on() {
    let (dir, disk) = (tempfile::tempdir().unwrap(), Watched::new());
    let (log, _) =
        SegmentLog::open(Arc::new(disk.clone()), dir.path(), Options::default()).unwrap();
    let appender = log.appender();
    commit(&appender, "a").unwrap();
    disk.fails.store(true, Ordering::SeqCst);
    // Now and then the log's own thread writes, whose writes do not fail.
    let failed = (0..1000).find_map(|_| commit(&appender, "b").err());
    assert!(
        matches!(failed, Some(AppendError::Indeterminate(_))),
        "{failed:?}"
    );
    disk.fails.store(false, Ordering::SeqCst);
    while log.health() != Health::Writable {
        thread::sleep(Duration::from_millis(1));
    }
    commit(&appender, "c").unwrap();
    log.close().unwrap();
    let found = facts(&log);
    assert_eq!((&*found[0], &**found.last().unwrap()), ("a", "c"));
}
