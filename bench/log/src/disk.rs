//! The real disk, counting what is written and how often it is synced.

use std::io::{self, IoSlice};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tollgate_log::{Access, Disk, DiskFile, LockError, RealDisk};

#[derive(Default)]
pub(crate) struct Counts {
    /// To live segments: blocks, and zeros ahead of them.
    pub(crate) live_bytes: AtomicU64,
    /// To sealed segments.
    pub(crate) sealed_bytes: AtomicU64,
    pub(crate) syncs: AtomicU64,
}

pub(crate) struct Counting(pub(crate) Arc<Counts>);

struct CountingFile {
    file: Arc<dyn DiskFile>,
    counts: Arc<Counts>,
    live: bool,
}

impl Counting {
    fn counting(&self, file: Arc<dyn DiskFile>, path: &Path) -> Arc<dyn DiskFile> {
        let live = path.extension().is_some_and(|form| form == "live");
        let counts = self.0.clone();
        Arc::new(CountingFile { file, counts, live })
    }
}

impl Disk for Counting {
    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        RealDisk.create_dir(dir)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        RealDisk.list(dir)
    }

    fn open(&self, path: &Path, access: Access) -> io::Result<Arc<dyn DiskFile>> {
        Ok(self.counting(RealDisk.open(path, access)?, path))
    }

    fn create(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        Ok(self.counting(RealDisk.create(path)?, path))
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

impl DiskFile for CountingFile {
    fn write_at(&self, offset: u64, parts: &mut [IoSlice<'_>]) -> io::Result<()> {
        let bytes: usize = parts.iter().map(|part| part.len()).sum();
        let counted = match self.live {
            true => &self.counts.live_bytes,
            false => &self.counts.sealed_bytes,
        };
        counted.fetch_add(bytes as u64, Ordering::Relaxed);
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
        self.counts.syncs.fetch_add(1, Ordering::Relaxed);
        self.file.sync_data()
    }

    fn sync_all(&self) -> io::Result<()> {
        self.counts.syncs.fetch_add(1, Ordering::Relaxed);
        self.file.sync_all()
    }

    fn drop_cache(&self) -> io::Result<()> {
        self.file.drop_cache()
    }
}
