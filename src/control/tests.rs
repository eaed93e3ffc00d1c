//! The sequencer over a log whose disk is full for a while.

use std::io::{self, IoSlice};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use tollgate_click::PublisherId;
use tollgate_click::control::Publisher;
use tollgate_log::{Access, Disk, DiskFile, Durability, LockError, Options, RealDisk};

use super::*;

/// A disk that takes no more files, and no longer ones, while it is full.
#[derive(Clone, Default)]
struct Filling {
    full: Arc<AtomicBool>,
}

struct FillingFile {
    disk: Filling,
    file: Arc<dyn DiskFile>,
}

impl Filling {
    fn room(&self) -> io::Result<()> {
        match self.full.load(Ordering::SeqCst) {
            true => Err(io::Error::from(io::ErrorKind::StorageFull)),
            false => Ok(()),
        }
    }

    fn file(&self, file: Arc<dyn DiskFile>) -> Arc<dyn DiskFile> {
        let disk = self.clone();
        Arc::new(FillingFile { disk, file })
    }
}

impl Disk for Filling {
    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        RealDisk.create_dir(dir)
    }
    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        RealDisk.list(dir)
    }
    fn open(&self, path: &Path, access: Access) -> io::Result<Arc<dyn DiskFile>> {
        Ok(self.file(RealDisk.open(path, access)?))
    }
    fn create(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        self.room()?;
        Ok(self.file(RealDisk.create(path)?))
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

impl DiskFile for FillingFile {
    fn write_at(&self, offset: u64, parts: &mut [IoSlice<'_>]) -> io::Result<()> {
        let bytes: usize = parts.iter().map(|part| part.len()).sum();
        if offset + bytes as u64 > self.file.len()? {
            self.disk.room()?;
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
        self.disk.room()?;
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

const PARTITIONS: u16 = 2;

fn log(disk: &Filling, dir: &Path) -> Arc<SegmentLog> {
    let options = Options {
        partitions: PARTITIONS + 1,
        durability: Durability::Os,
        record_bytes_max: 16 << 10,
        block_bytes_max: 32 << 10,
        segment_bytes: 64 << 10,
        first_segment_bytes: 64 << 10,
        retry_interval: Duration::from_millis(10),
        ..Options::default()
    };
    Arc::new(
        SegmentLog::open(Arc::new(disk.clone()), dir, options)
            .unwrap()
            .0,
    )
}

fn sequencer(log: &Arc<SegmentLog>, dir: &Path) -> Sequencer {
    let book = Arc::new(AnswerBook::open(dir, Millis(0)).unwrap());
    Sequencer::open(log, PARTITIONS, None, Arc::default(), book).unwrap()
}

/// Makes one publisher.
async fn make(sequencer: &mut Sequencer, number: u32) -> Result<Vec<Made>, OfferError> {
    let decide = move |_: &Standing, _: Millis| {
        let publisher = Change::Publisher(Publisher {
            publisher: PublisherId(number),
            name: format!("publisher {number:0200}"),
            share_basis_points: 7_000,
        });
        Ok(vec![publisher.into()])
    };
    let who = Who {
        by: Actor(0),
        request: None,
    };
    sequencer.decide(Box::new(decide), who, Millis(1_000)).await
}

#[tokio::test]
async fn a_full_disk_refuses_changes_and_confuses_none() {
    let (folder, disk) = (tempfile::tempdir().unwrap(), Filling::default());
    let log_dir = folder.path().join("log");
    let log = log(&disk, &log_dir);
    let mut sequencer = sequencer(&log, folder.path());
    let (mut made, mut refused, mut number) = (Vec::new(), 0, 0);
    for round in 0..3 {
        disk.full.store(true, Ordering::SeqCst);
        let before = refused;
        while refused < before + 20 {
            number += 1;
            assert!(number < 10_000, "the disk does not fill");
            match make(&mut sequencer, number).await {
                Ok(_) => made.push(number),
                Err(OfferError::Append(_)) => {
                    refused += 1;
                    tokio::time::sleep(Duration::from_millis(2)).await;
                }
                Err(other) => panic!("{other}"),
            }
        }
        disk.full.store(false, Ordering::SeqCst);
        let mut tries = 0;
        loop {
            number += 1;
            tries += 1;
            match make(&mut sequencer, number).await {
                Ok(_) => break made.push(number),
                Err(_) if tries < 2_000 => tokio::time::sleep(Duration::from_millis(5)).await,
                Err(other) => panic!("round {round}: {other}"),
            }
        }
    }
    // What was answered stands. What was refused stands at most if nobody could know.
    let known: Vec<u32> = sequencer
        .standing()
        .publishers
        .keys()
        .map(|one| one.0)
        .collect();
    assert!(
        made.iter().all(|number| known.contains(number)),
        "{made:?} {known:?}"
    );
    assert!(
        known.len() <= made.len() + refused && made.len() > 100,
        "{known:?}"
    );
    let number = sequencer.standing().number();
    assert_eq!(number.0, known.len() as u64, "numbers have no gaps");
    // The log says the same to the next process, and to each partition without a gap.
    let kept = sequencer.standing().clone();
    drop(sequencer);
    log.close().unwrap();
    drop(log);
    let log = self::log(&disk, &log_dir);
    assert!(*self::sequencer(&log, folder.path()).standing() == kept);
}
