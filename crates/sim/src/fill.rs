//! Long logs for benchmarks, made as fast as a disk takes their bytes once: nothing is synced, no
//! zeros are written ahead of the records, nothing is sealed. What comes out is a log like any
//! other.

use std::io::{self, IoSlice};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Result;
use clap::Args;
use rand::rngs::StdRng;
use rand::{RngCore, SeedableRng};
use tollgate_log::{
    Access, Append, Disk, DiskFile, Durability, Housekeeping, LockError, Log, NewRecord, Options,
    Partition, RealDisk, SegmentLog,
};

use crate::writer::wait;

/// Records of a commit.
const COMMIT: usize = 1024;
/// Bytes of a record's parts: about those of a real click.
const FACTS_BYTES: usize = 112;
const PERSONAL_BYTES: usize = 144;
/// Bytes of a record that no other has, the ids and digests of a click.
const OWN_BYTES: usize = 48;

/// Appends until the log is so long.
#[derive(Clone, Debug, Args)]
pub struct Fill {
    /// The directory of the log; nobody may have it open.
    dir: PathBuf,
    /// Bytes of records.
    #[arg(long)]
    bytes: u64,
    /// Partitions of the log, the control partition included.
    #[arg(long, default_value_t = 17)]
    partitions: u16,
}

impl Fill {
    /// Fills the data partitions evenly.
    pub fn run(&self) -> Result<()> {
        let options = Options {
            partitions: self.partitions,
            durability: Durability::Os,
            housekeeping: Housekeeping::Caller,
            ..Options::default()
        };
        let (log, _) = SegmentLog::open(Arc::new(Hasty), &self.dir, options)?;
        let appender = log.appender();
        let mut dice = StdRng::seed_from_u64(1);
        let mut record = [b'~'; FACTS_BYTES + PERSONAL_BYTES];
        let mut written = 0;
        while written < self.bytes {
            let mut last = None;
            for number in 0..COMMIT {
                if let Some(own) = record.get_mut(..OWN_BYTES) {
                    dice.fill_bytes(own);
                }
                last = Some(appender.gather(self.record(number, &record))?);
                written += record.len() as u64;
            }
            appender.flush();
            last.map_or(Ok(()), |commit| wait(commit).map(drop))?;
        }
        Ok(log.close()?)
    }

    fn record<'a>(&self, number: usize, bytes: &'a [u8]) -> NewRecord<'a> {
        let (facts, personal) = bytes.split_at(FACTS_BYTES.min(bytes.len()));
        let data = usize::from(self.partitions.max(2) - 1);
        let partition = Partition(u16::try_from(number % data).unwrap_or(0));
        NewRecord {
            partition,
            facts,
            personal,
        }
    }
}

/// The real disk, but that syncs are left out and zeros take no space.
struct Hasty;

struct HastyFile(Arc<dyn DiskFile>);

impl Disk for Hasty {
    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        RealDisk.create_dir(dir)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        RealDisk.list(dir)
    }

    fn open(&self, path: &Path, access: Access) -> io::Result<Arc<dyn DiskFile>> {
        Ok(Arc::new(HastyFile(RealDisk.open(path, access)?)))
    }

    fn create(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        Ok(Arc::new(HastyFile(RealDisk.create(path)?)))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        RealDisk.rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        RealDisk.remove(path)
    }

    fn sync_dir(&self, _dir: &Path) -> io::Result<()> {
        Ok(())
    }

    fn lock(&self, path: &Path) -> Result<Box<dyn Send + Sync>, LockError> {
        RealDisk.lock(path)
    }
}

impl DiskFile for HastyFile {
    fn write_at(&self, offset: u64, parts: &mut [IoSlice<'_>]) -> io::Result<()> {
        let bytes: usize = parts.iter().map(|part| part.len()).sum();
        let end = offset + bytes as u64;
        let zeros = parts.iter().all(|part| part.iter().all(|byte| *byte == 0));
        if zeros {
            // Behind the end there is nothing but zeros.
            let len = self.0.len()?;
            return if len < end && offset >= len {
                self.0.set_len(end)
            } else {
                self.0.write_at(offset, parts)
            };
        }
        self.0.write_at(offset, parts)
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read_at(offset, buffer)
    }

    fn len(&self) -> io::Result<u64> {
        self.0.len()
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.0.set_len(len)
    }

    fn allocate(&self, _len: u64) -> io::Result<()> {
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }

    fn sync_all(&self) -> io::Result<()> {
        Ok(())
    }

    fn drop_cache(&self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::witness;

    #[test]
    fn what_was_filled_hastily_is_read_like_any_other_log() {
        let folder = tempfile::tempdir().unwrap();
        let fill = Fill {
            dir: folder.path().join("log"),
            bytes: 1 << 20,
            partitions: 3,
        };
        fill.run().unwrap();
        let mut records = 0;
        witness::read(&fill.dir, |_| records += 1).unwrap();
        assert_eq!(records, 4096);
        let options = Options {
            partitions: 3,
            ..Options::default()
        };
        let (log, recovery) = SegmentLog::open(Arc::new(RealDisk), &fill.dir, options).unwrap();
        assert!(recovery.clean);
        log.close().unwrap();
    }
}
