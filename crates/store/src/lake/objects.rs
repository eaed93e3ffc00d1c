//! The narrow door to where files are kept: named, immutable byte strings in folders.
//!
//! Every call can be answered by an object store as well as by a folder: create-only put (S3:
//! `If-None-Match`; HDFS: rename without overwrite), atomic put, ranged read, list, delete. A
//! call that returned is durable.

use std::collections::BTreeSet;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use super::disk::{Disk, SystemDisk};

/// What a folder holds.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Entry {
    /// The name inside the folder.
    pub name: String,
    /// Whether it is a folder itself.
    pub is_folder: bool,
}

/// What a create-only put found.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Put {
    /// The name was free and is now taken.
    Created,
    /// The name was taken before; nothing was written.
    Exists,
}

/// Where files are kept. Names are relative, with `/` between folders.
pub trait Objects: Send + Sync {
    /// Puts a file under a name that must be free. After `Exists`, too, the name is durable.
    fn put_new(&self, name: &str, bytes: &[u8]) -> io::Result<Put>;
    /// Puts a file in the place of what has the name: readers see the old one or the new one.
    fn put(&self, name: &str, bytes: &[u8]) -> io::Result<()>;
    /// Makes durable what a reader finds under the name, its bytes and the name: whoever put it
    /// may have died before its call returned, and what is built on it must not outlive it. If
    /// there is nothing, that is made durable. An object store has nothing to do here.
    fn settle(&self, name: &str) -> io::Result<()>;
    /// The length in bytes; [`io::ErrorKind::NotFound`] when there is no such file.
    fn size(&self, name: &str) -> io::Result<u64>;
    /// The bytes of a range; an error when the file ends before it.
    fn read(&self, name: &str, range: Range<u64>) -> io::Result<Vec<u8>>;
    /// What is in the folder, sorted; empty when there is no such folder.
    fn list(&self, folder: &str) -> io::Result<Vec<Entry>>;
    /// Deletes the file; fine if it is gone.
    fn delete(&self, name: &str) -> io::Result<()>;
    /// Takes a damaged file out of the way, keeps it for people to look at, and says where.
    fn set_aside(&self, name: &str) -> io::Result<String>;
    /// Removes what dead writers left half-written in a folder and says how many files. Only for
    /// who knows that nobody writes there.
    fn sweep_temporaries(&self, folder: &str) -> io::Result<u64>;
}

/// The suffix of files that were set aside.
pub const BAD: &str = ".bad";

const TEMPORARY: &str = ".tmp-";

/// Files in a folder of the local disk. A file is written under a temporary name, synced, renamed
/// without overwriting, and its folder synced: a crash leaves the old state or the new one.
pub struct LocalObjects<D = SystemDisk> {
    disk: D,
    root: PathBuf,
    /// Folders whose own names this process has made durable.
    folders: Mutex<BTreeSet<PathBuf>>,
    temporaries: AtomicU64,
}

impl LocalObjects {
    /// Keeps files below `root`, which must exist.
    pub fn new(root: &Path) -> LocalObjects {
        LocalObjects::on(SystemDisk, root)
    }
}

impl<D: Disk> LocalObjects<D> {
    /// Keeps files below `root` of `disk`.
    pub fn on(disk: D, root: &Path) -> LocalObjects<D> {
        LocalObjects {
            disk,
            root: root.to_owned(),
            folders: Mutex::new(BTreeSet::new()),
            temporaries: AtomicU64::new(0),
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    /// The folder of `path`, there and durable. One that is already there is synced once as well:
    /// whoever made it may have died before.
    fn folder_of<'a>(&self, path: &'a Path) -> io::Result<&'a Path> {
        let folder = path.parent().unwrap_or(path);
        let mut known = self.folders.lock().unwrap_or_else(PoisonError::into_inner);
        let below_root = folder.ancestors().take_while(|above| *above != self.root);
        let unknown: Vec<&Path> = below_root.filter(|above| !known.contains(*above)).collect();
        for above in unknown.into_iter().rev() {
            self.disk.create_dir(above)?;
            self.disk.sync_dir(above.parent().unwrap_or(&self.root))?;
            known.insert(above.to_owned());
        }
        Ok(folder)
    }

    /// Writes to a name that no other writer uses, of this process or another one.
    fn write_temporary(&self, path: &Path, bytes: &[u8]) -> io::Result<PathBuf> {
        match self.try_write_temporary(path, bytes) {
            // Someone has removed a folder that this process knew.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let mut known = self.folders.lock().unwrap_or_else(PoisonError::into_inner);
                known.clear();
                drop(known);
                self.try_write_temporary(path, bytes)
            }
            done => done,
        }
    }

    fn try_write_temporary(&self, path: &Path, bytes: &[u8]) -> io::Result<PathBuf> {
        let folder = self.folder_of(path)?;
        let number = self.temporaries.fetch_add(1, Ordering::Relaxed);
        let process = std::process::id();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let temporary = folder.join(format!("{TEMPORARY}{process}-{number}-{name}"));
        match self.disk.write_synced(&temporary, bytes) {
            // Left by an earlier process of the same number that died.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                self.disk.remove(&temporary)?;
                self.disk.write_synced(&temporary, bytes)?;
            }
            Err(error) => {
                // A full disk must not stay full of this. The first error is the one that counts.
                let _ = self.disk.remove(&temporary);
                return Err(error);
            }
            Ok(()) => {}
        }
        Ok(temporary)
    }
}

impl<D: Disk> Objects for LocalObjects<D> {
    fn put_new(&self, name: &str, bytes: &[u8]) -> io::Result<Put> {
        let path = self.path(name);
        let temporary = self.write_temporary(&path, bytes)?;
        let put = match self.disk.rename_new(&temporary, &path) {
            Ok(()) => Put::Created,
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                self.disk.remove(&temporary)?;
                Put::Exists
            }
            Err(error) => return Err(error),
        };
        // After `Exists` as well: the one who created it may have died before this line.
        self.disk.sync_dir(self.folder_of(&path)?)?;
        Ok(put)
    }

    fn put(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let path = self.path(name);
        let temporary = self.write_temporary(&path, bytes)?;
        self.disk.rename(&temporary, &path)?;
        self.disk.sync_dir(self.folder_of(&path)?)
    }

    fn settle(&self, name: &str) -> io::Result<()> {
        let path = self.path(name);
        match self.disk.sync_file(&path) {
            Ok(()) => return self.disk.sync_dir(self.folder_of(&path)?),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        match self.disk.sync_dir(path.parent().unwrap_or(&self.root)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            done => done,
        }
    }

    fn size(&self, name: &str) -> io::Result<u64> {
        self.disk.size(&self.path(name))
    }

    fn read(&self, name: &str, range: Range<u64>) -> io::Result<Vec<u8>> {
        self.disk.read(&self.path(name), range)
    }

    fn list(&self, folder: &str) -> io::Result<Vec<Entry>> {
        let mut entries = match self.disk.list(&self.path(folder)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            listed => listed?,
        };
        entries.retain(|entry| !entry.name.starts_with(TEMPORARY));
        entries.sort();
        Ok(entries)
    }

    fn delete(&self, name: &str) -> io::Result<()> {
        let path = self.path(name);
        match self.disk.remove(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(error),
            Ok(()) => self.disk.sync_dir(path.parent().unwrap_or(&self.root)),
        }
    }

    fn set_aside(&self, name: &str) -> io::Result<String> {
        let path = self.path(name);
        for number in 0.. {
            let suffix = if number == 0 {
                BAD.to_owned()
            } else {
                format!(".{number}{BAD}")
            };
            let aside = format!("{name}{suffix}");
            match self.disk.rename_new(&path, &self.path(&aside)) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
                Ok(()) => {
                    self.disk.sync_dir(path.parent().unwrap_or(&self.root))?;
                    return Ok(aside);
                }
            }
        }
        Err(io::ErrorKind::AlreadyExists.into())
    }

    fn sweep_temporaries(&self, folder: &str) -> io::Result<u64> {
        let folder = self.path(folder);
        let mut swept = 0;
        let entries = match self.disk.list(&folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            entries => entries?,
        };
        for entry in entries {
            if entry.name.starts_with(TEMPORARY) && !entry.is_folder {
                self.disk.remove(&folder.join(entry.name))?;
                swept += 1;
            }
        }
        Ok(swept)
    }
}
