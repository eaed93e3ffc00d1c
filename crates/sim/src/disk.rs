//! A disk in memory that writes down what is done to it, so that every state can be made in which a
//! power cut may have left it.
//!
//! The model is POSIX at its weakest. A write is durable after a sync of its file, a name after a
//! sync of its directory. Until then a cut may keep it or lose it, each on its own and in any
//! combination, and may keep any part of a write. After a failed sync the pages count as clean: no
//! later sync makes those writes durable, and dropping the cache shows what the disk has.

use std::collections::BTreeMap;
use std::io::{self, IoSlice};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tollgate_log::{Access, Disk, DiskFile, LockError};

/// One thing that was done to the disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Op {
    /// A name for a new file.
    Create(PathBuf, usize),
    /// Another name for a file: from, to, and which file it was.
    Rename(PathBuf, PathBuf, usize),
    /// A name taken away.
    Remove(PathBuf),
    /// All names are durable.
    SyncNames,
    /// Bytes at an offset of a file.
    Write(usize, u64, Vec<u8>),
    /// A file's new length.
    SetLen(usize, u64),
    /// A file's content is durable.
    Sync(usize),
    /// A sync failed: what was not durable in the file may be lost for good.
    SyncFailed(usize),
}

/// Names and contents.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Image {
    names: BTreeMap<PathBuf, usize>,
    files: BTreeMap<usize, Vec<u8>>,
}

impl Image {
    /// Does one operation; syncs change nothing here.
    pub fn apply(&mut self, op: &Op) {
        match op {
            Op::Create(path, file) => {
                self.names.insert(path.clone(), *file);
                self.files.entry(*file).or_default();
            }
            Op::Rename(from, to, file) => {
                // The name's own creation may have been undone by the cut: the file is the same.
                if self.names.get(from) == Some(file) {
                    self.names.remove(from);
                }
                self.names.insert(to.clone(), *file);
                self.files.entry(*file).or_default();
            }
            Op::Remove(path) => {
                self.names.remove(path);
            }
            Op::Write(file, offset, bytes) => {
                let content = self.files.entry(*file).or_default();
                let from = usize::try_from(*offset).unwrap_or(usize::MAX);
                let to = from.saturating_add(bytes.len());
                if content.len() < to {
                    content.resize(to, 0);
                }
                if let Some(place) = content.get_mut(from..to) {
                    place.copy_from_slice(bytes);
                }
            }
            Op::SetLen(file, len) => {
                let len = usize::try_from(*len).unwrap_or(usize::MAX);
                self.files.entry(*file).or_default().resize(len, 0);
            }
            Op::SyncNames | Op::Sync(_) | Op::SyncFailed(_) => {}
        }
    }

    /// Forgets files that have no name.
    pub fn without_nameless(mut self) -> Image {
        let named: std::collections::BTreeSet<usize> = self.names.values().copied().collect();
        self.files.retain(|file, _| named.contains(file));
        self
    }

    /// The names with the contents.
    pub fn contents(&self) -> impl Iterator<Item = (&Path, &[u8])> {
        self.names
            .iter()
            .filter_map(|(path, file)| Some((path.as_path(), self.content(*file)?)))
    }

    /// Turns one bit of a file over.
    pub fn flip(&mut self, path: &Path, byte: usize, bit: u8) {
        let file = self
            .names
            .get(path)
            .and_then(|file| self.files.get_mut(file));
        if let Some(byte) = file.and_then(|content| content.get_mut(byte)) {
            *byte ^= 1 << bit;
        }
    }

    /// The content of a file, to be spoilt.
    pub fn content_mut(&mut self, path: &Path) -> Option<&mut Vec<u8>> {
        self.names
            .get(path)
            .and_then(|file| self.files.get_mut(file))
    }

    fn content(&self, file: usize) -> Option<&[u8]> {
        self.files.get(&file).map(Vec::as_slice)
    }
}

/// What the disk does wrong.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Fault {
    /// Nothing.
    #[default]
    None,
    /// Syncs of content say that they were done, and were not. A log on such a disk must be seen to
    /// lose records, or the trial sees nothing.
    LyingSync,
    /// Syncs of content fail from the one with this number on (counted from 0), so many times.
    FailingSyncs {
        /// The first that fails.
        from: usize,
        /// How many fail.
        count: usize,
    },
    /// There is no space for anything new.
    Full,
}

/// The disk.
#[derive(Clone)]
pub struct SimDisk {
    state: Arc<Mutex<State>>,
}

struct State {
    fault: Fault,
    syncs: usize,
    /// What readers see.
    cache: Image,
    /// The content that is on the disk whatever happens, by file.
    durable: BTreeMap<usize, Vec<u8>>,
    /// Changes of content that are not durable yet.
    dirty: Vec<Op>,
    ops: Vec<Op>,
    next_file: usize,
    locked: bool,
}

impl SimDisk {
    /// A disk that holds what a power cut has left, all of it durable.
    pub fn new(image: Image, fault: Fault) -> SimDisk {
        let next_file = image.files.keys().next_back().map_or(0, |last| last + 1);
        let durable = image.files.clone();
        let (dirty, ops) = (Vec::new(), Vec::new());
        let state = State {
            fault,
            syncs: 0,
            cache: image,
            durable,
            dirty,
            ops,
            next_file,
            locked: false,
        };
        SimDisk {
            state: Arc::new(Mutex::new(state)),
        }
    }

    /// Everything that was done so far.
    pub fn ops(&self) -> Vec<Op> {
        self.state().ops.clone()
    }

    /// How many things were done so far.
    pub fn count(&self) -> usize {
        self.state().ops.len()
    }

    /// What readers see now.
    pub fn image(&self) -> Image {
        self.state().cache.clone().without_nameless()
    }

    /// The disk goes wrong, or right, from now on; syncs are counted anew.
    pub fn set_fault(&self, fault: Fault) {
        let mut state = self.state();
        state.fault = fault;
        state.syncs = 0;
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn change(&mut self, op: Op) {
        self.cache.apply(&op);
        if matches!(op, Op::Write(..) | Op::SetLen(..)) {
            self.dirty.push(op.clone());
        }
        self.ops.push(op);
    }

    fn sync(&mut self, file: usize) -> io::Result<()> {
        let number = self.syncs;
        self.syncs += 1;
        let of_file = |op: &Op| matches!(op, Op::Write(f, ..) | Op::SetLen(f, _) if *f == file);
        match self.fault {
            Fault::LyingSync => return Ok(()),
            Fault::FailingSyncs { from, count } if (from..from + count).contains(&number) => {
                self.dirty.retain(|op| !of_file(op));
                self.ops.push(Op::SyncFailed(file));
                return Err(io::Error::from_raw_os_error(5));
            }
            Fault::None | Fault::Full | Fault::FailingSyncs { .. } => {}
        }
        let (synced, dirty) = std::mem::take(&mut self.dirty)
            .into_iter()
            .partition(of_file);
        self.dirty = dirty;
        let mut on_disk = Image::default();
        on_disk
            .files
            .insert(file, self.durable.remove(&file).unwrap_or_default());
        for op in Vec::from_iter::<Vec<Op>>(synced) {
            on_disk.apply(&op);
        }
        self.durable.extend(on_disk.files);
        self.ops.push(Op::Sync(file));
        Ok(())
    }

    /// What was not durable when a sync failed is read as the disk has it from now on.
    fn drop_cache(&mut self, file: usize) {
        let mut seen = Image::default();
        seen.files
            .insert(file, self.durable.get(&file).cloned().unwrap_or_default());
        for op in &self.dirty {
            if matches!(op, Op::Write(f, ..) | Op::SetLen(f, _) if *f == file) {
                seen.apply(op);
            }
        }
        self.cache.files.extend(seen.files);
    }
}

impl Disk for SimDisk {
    fn create_dir(&self, _dir: &Path) -> io::Result<()> {
        Ok(())
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        let state = self.state();
        let inside = state
            .cache
            .names
            .keys()
            .filter(|path| path.parent() == Some(dir));
        let names = inside.filter_map(|path| path.file_name());
        Ok(names
            .map(|name| name.to_string_lossy().into_owned())
            .collect())
    }

    fn open(&self, path: &Path, _access: Access) -> io::Result<Arc<dyn DiskFile>> {
        let file = self.state().cache.names.get(path).copied();
        let file = file.ok_or(io::ErrorKind::NotFound)?;
        Ok(Arc::new(SimFile {
            disk: self.clone(),
            file,
        }))
    }

    fn create(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        let mut state = self.state();
        if state.cache.names.contains_key(path) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let file = state.next_file;
        state.next_file += 1;
        state.change(Op::Create(path.to_owned(), file));
        Ok(Arc::new(SimFile {
            disk: self.clone(),
            file,
        }))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut state = self.state();
        let file = state
            .cache
            .names
            .get(from)
            .copied()
            .ok_or(io::ErrorKind::NotFound)?;
        state.change(Op::Rename(from.to_owned(), to.to_owned(), file));
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut state = self.state();
        if !state.cache.names.contains_key(path) {
            return Err(io::ErrorKind::NotFound.into());
        }
        state.change(Op::Remove(path.to_owned()));
        Ok(())
    }

    fn sync_dir(&self, _dir: &Path) -> io::Result<()> {
        self.state().ops.push(Op::SyncNames);
        Ok(())
    }

    fn lock(&self, _path: &Path) -> Result<Box<dyn Send + Sync>, LockError> {
        let mut state = self.state();
        if std::mem::replace(&mut state.locked, true) {
            return Err(LockError::Held("the simulation".to_owned()));
        }
        Ok(Box::new(SimLock(self.clone())))
    }
}

struct SimLock(SimDisk);

impl Drop for SimLock {
    fn drop(&mut self) {
        self.0.state().locked = false;
    }
}

struct SimFile {
    disk: SimDisk,
    file: usize,
}

impl DiskFile for SimFile {
    fn write_at(&self, offset: u64, parts: &mut [IoSlice<'_>]) -> io::Result<()> {
        let bytes = parts.iter().flat_map(|part| part.iter().copied()).collect();
        self.disk
            .state()
            .change(Op::Write(self.file, offset, bytes));
        Ok(())
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let state = self.disk.state();
        let content = state.cache.content(self.file).unwrap_or_default();
        let rest = usize::try_from(offset)
            .ok()
            .and_then(|from| content.get(from..));
        let rest = rest.unwrap_or_default();
        let count = rest.len().min(buffer.len());
        if let (Some(to), Some(from)) = (buffer.get_mut(..count), rest.get(..count)) {
            to.copy_from_slice(from);
        }
        Ok(count)
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self
            .disk
            .state()
            .cache
            .content(self.file)
            .unwrap_or_default()
            .len() as u64)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.disk.state().change(Op::SetLen(self.file, len));
        Ok(())
    }

    fn allocate(&self, _len: u64) -> io::Result<()> {
        match self.disk.state().fault {
            Fault::Full => Err(io::Error::from_raw_os_error(28)),
            _ => Ok(()),
        }
    }

    fn sync_data(&self) -> io::Result<()> {
        self.disk.state().sync(self.file)
    }

    fn sync_all(&self) -> io::Result<()> {
        self.disk.state().sync(self.file)
    }

    fn drop_cache(&self) -> io::Result<()> {
        self.disk.state().drop_cache(self.file);
        Ok(())
    }
}
