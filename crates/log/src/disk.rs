//! The only door to the disk, narrow enough that a test can put a crashing disk behind it.
//!
//! Every call means what POSIX means, at its weakest: a write is durable after a sync of its file,
//! a name after a sync of its directory, and neither before.

use std::fs::{self, File};
use std::io::{self, IoSlice, Write};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::Arc;

use rustix::fs::{Advice, FallocateFlags, FlockOperation, Mode, OFlags};

/// A disk with directories and files.
pub trait Disk: Send + Sync + 'static {
    /// Makes the directory and its parents durable; fine if it is there.
    fn create_dir(&self, dir: &Path) -> io::Result<()>;
    /// The names in the directory, sorted.
    fn list(&self, dir: &Path) -> io::Result<Vec<String>>;
    /// Opens a file that is there.
    fn open(&self, path: &Path, access: Access) -> io::Result<Arc<dyn DiskFile>>;
    /// Makes a new, empty file; refuses if the name is taken.
    fn create(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>>;
    /// Gives a file another name, replacing what had it.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Takes a name away.
    fn remove(&self, path: &Path) -> io::Result<()>;
    /// Makes the names in the directory durable.
    fn sync_dir(&self, dir: &Path) -> io::Result<()>;
    /// Takes the one lock of the path without waiting; it is held until the value is dropped.
    fn lock(&self, path: &Path) -> Result<Box<dyn Send + Sync>, LockError>;
}

/// An open file. All offsets and lengths are in bytes.
pub trait DiskFile: Send + Sync {
    /// Writes all parts, one behind the other, in as few calls as the system allows.
    fn write_at(&self, offset: u64, parts: &mut [IoSlice<'_>]) -> io::Result<()>;
    /// Fills the buffer as far as the file goes, and says how far that was.
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize>;
    /// The file's length.
    fn len(&self) -> io::Result<u64>;
    /// Cuts the file, or extends it by a hole.
    fn set_len(&self, len: u64) -> io::Result<()>;
    /// Reserves space, so that running out of it shows now and not in the middle of a commit.
    fn allocate(&self, len: u64) -> io::Result<()>;
    /// Makes content (and the length needed to read it) durable.
    fn sync_data(&self) -> io::Result<()>;
    /// Makes content and everything about the file durable.
    fn sync_all(&self) -> io::Result<()>;
    /// Forgets cached clean pages, so that the next read is answered by the device.
    fn drop_cache(&self) -> io::Result<()>;

    /// Whether the file is empty.
    fn is_empty(&self) -> io::Result<bool> {
        Ok(self.len()? == 0)
    }
}

/// What a file is opened for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Reading only.
    Read,
    /// Reading and writing.
    Write,
}

/// Why the lock was not taken.
#[derive(Debug)]
pub enum LockError {
    /// Somebody has it; what they wrote into the file (their process id).
    Held(String),
    /// The system refused.
    Io(io::Error),
}

/// The disk of this machine.
#[derive(Clone, Copy, Debug, Default)]
pub struct RealDisk;

impl Disk for RealDisk {
    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        if dir.is_dir() {
            return Ok(());
        }
        let parent = dir.parent().filter(|parent| !parent.as_os_str().is_empty());
        if let Some(parent) = parent {
            self.create_dir(parent)?;
        }
        match fs::create_dir(dir) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
        self.sync_dir(parent.unwrap_or(Path::new(".")))
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(dir)? {
            names.push(entry?.file_name().to_string_lossy().into_owned());
        }
        names.sort();
        Ok(names)
    }

    fn open(&self, path: &Path, access: Access) -> io::Result<Arc<dyn DiskFile>> {
        let file = fs::OpenOptions::new()
            .read(true)
            .write(access == Access::Write)
            .open(path)?;
        Ok(Arc::new(RealFile { file }))
    }

    fn create(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        let file = fs::OpenOptions::new()
            .read(true)
            .write(true)
            .create_new(true)
            .open(path)?;
        Ok(Arc::new(RealFile { file }))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        File::open(dir)?.sync_all()
    }

    fn lock(&self, path: &Path) -> Result<Box<dyn Send + Sync>, LockError> {
        let lock: OwnedFd = open_lock(path).map_err(|error| LockError::Io(error.into()))?;
        match rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(rustix::io::Errno::WOULDBLOCK) => {
                let holder = fs::read_to_string(path).unwrap_or_default();
                return Err(LockError::Held(holder.trim().to_owned()));
            }
            Err(error) => return Err(LockError::Io(error.into())),
        }
        let mut file = File::from(lock);
        // The lock is the flock; the number is only there to be named in a refusal, so a disk that
        // is read-only or full takes nothing away from it.
        if file.set_len(0).is_ok() {
            drop(writeln!(file, "{}", std::process::id()));
        }
        Ok(Box::new(file))
    }
}

/// Opens the lock file, falling back to reading when writing is not allowed: `flock` needs neither.
fn open_lock(path: &Path) -> rustix::io::Result<OwnedFd> {
    let mode = Mode::from_raw_mode(0o644);
    let flags = OFlags::CLOEXEC;
    match rustix::fs::open(path, flags | OFlags::RDWR | OFlags::CREATE, mode) {
        Err(rustix::io::Errno::ROFS | rustix::io::Errno::ACCESS) => {
            rustix::fs::open(path, flags | OFlags::RDONLY, mode)
        }
        opened => opened,
    }
}

struct RealFile {
    file: File,
}

impl DiskFile for RealFile {
    fn write_at(&self, mut offset: u64, mut parts: &mut [IoSlice<'_>]) -> io::Result<()> {
        IoSlice::advance_slices(&mut parts, 0);
        while !parts.is_empty() {
            // IOV_MAX is 1,024 on Linux; a longer list is cut into several calls.
            let count = parts.len().min(1024);
            let head = parts.get(..count).unwrap_or(&[]);
            let written =
                rustix::io::retry_on_intr(|| rustix::io::pwritev(&self.file, head, offset))?;
            if written == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
            offset += written as u64;
            IoSlice::advance_slices(&mut parts, written);
        }
        Ok(())
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let mut filled = 0;
        while let Some(rest) = buffer.get_mut(filled..).filter(|rest| !rest.is_empty()) {
            let place = offset + filled as u64;
            match rustix::io::retry_on_intr(|| rustix::io::pread(&self.file, &mut *rest, place))? {
                0 => break,
                read => filled += read,
            }
        }
        Ok(filled)
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.file.set_len(len)
    }

    fn allocate(&self, len: u64) -> io::Result<()> {
        let reserve = || rustix::fs::fallocate(&self.file, FallocateFlags::empty(), 0, len);
        match rustix::io::retry_on_intr(reserve) {
            // Not every file system can reserve; the zeros that are written next do it as well.
            Err(rustix::io::Errno::OPNOTSUPP | rustix::io::Errno::NOSYS) => Ok(()),
            other => Ok(other?),
        }
    }

    fn sync_data(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    fn sync_all(&self) -> io::Result<()> {
        self.file.sync_all()
    }

    fn drop_cache(&self) -> io::Result<()> {
        Ok(rustix::fs::fadvise(&self.file, 0, None, Advice::DontNeed)?)
    }
}
