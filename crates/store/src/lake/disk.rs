//! The local disk as the lake needs it, narrow enough that a test can put a crashing one behind.
//!
//! What a crash may do: a written file is whole, because it was synced before it got its name; a
//! name, and the absence of one, is durable only after its folder was synced.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::Path;

use rustix::fs::{CWD, RenameFlags};

use super::objects::Entry;

/// A disk with folders and files.
pub trait Disk: Send + Sync {
    /// Makes one folder; fine if it is there.
    fn create_dir(&self, folder: &Path) -> io::Result<()>;
    /// Makes the names in a folder durable.
    fn sync_dir(&self, folder: &Path) -> io::Result<()>;
    /// Makes the bytes of a file durable; [`io::ErrorKind::NotFound`] when it is not there.
    fn sync_file(&self, path: &Path) -> io::Result<()>;
    /// Writes a whole file and makes its bytes durable.
    fn write_synced(&self, path: &Path, bytes: &[u8]) -> io::Result<()>;
    /// Renames; [`io::ErrorKind::AlreadyExists`] when the new name is taken.
    fn rename_new(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Renames over what has the name.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Removes a file; [`io::ErrorKind::NotFound`] when it is not there.
    fn remove(&self, path: &Path) -> io::Result<()>;
    /// The file's length in bytes.
    fn size(&self, path: &Path) -> io::Result<u64>;
    /// The bytes of a range; an error when the file ends before it.
    fn read(&self, path: &Path, range: Range<u64>) -> io::Result<Vec<u8>>;
    /// What is in the folder, in any order; [`io::ErrorKind::NotFound`] when it is not there.
    fn list(&self, folder: &Path) -> io::Result<Vec<Entry>>;
}

/// The operating system's file system.
#[derive(Clone, Copy, Default, Debug)]
pub struct SystemDisk;

impl Disk for SystemDisk {
    fn create_dir(&self, folder: &Path) -> io::Result<()> {
        match fs::create_dir(folder) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && folder.is_dir() => Ok(()),
            done => done,
        }
    }

    fn sync_dir(&self, folder: &Path) -> io::Result<()> {
        File::open(folder)?.sync_all()
    }

    fn sync_file(&self, path: &Path) -> io::Result<()> {
        File::open(path)?.sync_all()
    }

    fn write_synced(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        let mut options = OpenOptions::new();
        let mut file = options.write(true).create_new(true).open(path)?;
        file.write_all(bytes)?;
        file.sync_all()
    }

    fn rename_new(&self, from: &Path, to: &Path) -> io::Result<()> {
        rustix::fs::renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE)?;
        Ok(())
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn size(&self, path: &Path) -> io::Result<u64> {
        fs::metadata(path).map(|metadata| metadata.len())
    }

    fn read(&self, path: &Path, range: Range<u64>) -> io::Result<Vec<u8>> {
        let length = usize::try_from(range.end.saturating_sub(range.start));
        let length = length.map_err(|_| io::ErrorKind::OutOfMemory)?;
        let file = File::open(path)?;
        if file.metadata()?.len() < range.end {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let mut bytes = vec![0; length];
        file.read_exact_at(&mut bytes, range.start)?;
        Ok(bytes)
    }

    fn list(&self, folder: &Path) -> io::Result<Vec<Entry>> {
        let mut entries = Vec::new();
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            let name = entry.file_name();
            // Not ours if it is no UTF-8.
            if let Some(name) = name.to_str() {
                entries.push(Entry {
                    name: name.to_owned(),
                    is_folder: entry.file_type()?.is_dir(),
                });
            }
        }
        Ok(entries)
    }
}
