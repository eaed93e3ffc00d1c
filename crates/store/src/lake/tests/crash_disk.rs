//! A disk in memory that dies at a given operation and forgets what POSIX lets it forget.

use std::collections::BTreeMap;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use super::sample::Dice;
use crate::lake::disk::Disk;
use crate::lake::objects::Entry;

type Names = BTreeMap<PathBuf, Node>;

#[derive(Clone, PartialEq, Eq, Debug)]
enum Node {
    Folder,
    File(Arc<Vec<u8>>),
}

/// What a crash leaves of changes whose folder was not synced.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Loss {
    /// Everything stays: the process was killed.
    Nothing,
    /// All of them are gone: the power was cut.
    Unsynced,
    /// Each one may be gone.
    Some(u64),
}

#[derive(Clone, Default)]
pub(crate) struct CrashDisk(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    live: Names,
    durable: Names,
    operations: u64,
    dies_at: Option<u64>,
}

impl CrashDisk {
    /// The process that uses it dies before its operation of that number, counted from now.
    pub(crate) fn dies_at(&self, operation: u64) {
        let mut state = self.0.lock().unwrap();
        state.dies_at = Some(state.operations + operation);
    }

    /// Operations that changed something, so far.
    pub(crate) fn operations(&self) -> u64 {
        self.0.lock().unwrap().operations
    }

    /// The names of all files.
    pub(crate) fn names(&self) -> Vec<String> {
        let state = self.0.lock().unwrap();
        let files = state.live.iter().filter(|(_, node)| **node != Node::Folder);
        files.map(|(path, _)| path.display().to_string()).collect()
    }

    /// Whether any file holds those bytes.
    pub(crate) fn holds(&self, bytes: &[u8]) -> bool {
        let state = self.0.lock().unwrap();
        let mut files = state.live.values().filter_map(|node| match node {
            Node::File(bytes) => Some(bytes),
            Node::Folder => None,
        });
        files.any(|file| file.windows(bytes.len()).any(|window| window == bytes))
    }

    /// Changes the bytes of a file, as a failing medium does.
    pub(crate) fn damage(&self, path: &Path, change: impl FnOnce(&mut Vec<u8>)) {
        let mut state = self.0.lock().unwrap();
        let mut bytes = (*file(&state.live, path).unwrap()).clone();
        change(&mut bytes);
        let node = Node::File(Arc::new(bytes));
        set(&mut state.live, path, Some(node.clone()));
        set(&mut state.durable, path, Some(node));
    }

    /// Another disk with the same on it, in use and durable.
    pub(crate) fn fork(&self) -> CrashDisk {
        let state = self.0.lock().unwrap();
        CrashDisk(Arc::new(Mutex::new(State {
            live: state.live.clone(),
            durable: state.durable.clone(),
            ..State::default()
        })))
    }

    /// Starts again with what is left.
    pub(crate) fn restart(&self, loss: Loss) {
        let mut state = self.0.lock().unwrap();
        state.dies_at = None;
        if loss == Loss::Nothing {
            return; // nothing is lost, and nothing became durable by it
        }
        let mut dice = Dice(match loss {
            Loss::Some(seed) => seed,
            Loss::Nothing | Loss::Unsynced => 0,
        });
        let names = state.live.keys().chain(state.durable.keys()).cloned();
        for name in names.collect::<std::collections::BTreeSet<_>>() {
            let keeps_change = match loss {
                Loss::Some(_) => dice.one_in(2),
                Loss::Nothing | Loss::Unsynced => false,
            };
            if keeps_change {
                let node = state.live.get(&name).cloned();
                set(&mut state.durable, &name, node);
            }
        }
        // What lies in a folder that is gone is gone.
        let durable = state.durable.clone();
        let is_reachable = |path: &Path| {
            let mut above = path.ancestors().skip(1);
            above.all(|above| above == Path::new("/") || durable.contains_key(above))
        };
        state.durable.retain(|path, _| is_reachable(path));
        state.live = state.durable.clone();
    }

    fn change<T>(&self, change: impl FnOnce(&mut State) -> io::Result<T>) -> io::Result<T> {
        let mut state = self.0.lock().unwrap();
        if state.dies_at.is_some_and(|at| state.operations >= at) {
            return Err(io::Error::other("killed"));
        }
        state.operations += 1;
        change(&mut state)
    }
}

fn set(names: &mut Names, name: &Path, node: Option<Node>) {
    match node {
        Some(node) => names.insert(name.to_owned(), node),
        None => names.remove(name),
    };
}

fn file(names: &Names, path: &Path) -> io::Result<Arc<Vec<u8>>> {
    match names.get(path) {
        Some(Node::File(bytes)) => Ok(bytes.clone()),
        _ => Err(io::ErrorKind::NotFound.into()),
    }
}

impl Disk for CrashDisk {
    fn create_dir(&self, folder: &Path) -> io::Result<()> {
        self.change(|state| {
            state.live.entry(folder.to_owned()).or_insert(Node::Folder);
            Ok(())
        })
    }

    fn sync_dir(&self, folder: &Path) -> io::Result<()> {
        if folder != Path::new("/") && !self.0.lock().unwrap().live.contains_key(folder) {
            return Err(io::ErrorKind::NotFound.into());
        }
        self.change(|state| {
            let names = state.live.keys().chain(state.durable.keys()).cloned();
            let inside: Vec<PathBuf> = names.filter(|name| name.parent() == Some(folder)).collect();
            for name in inside {
                let node = state.live.get(&name).cloned();
                set(&mut state.durable, &name, node);
            }
            Ok(())
        })
    }

    fn sync_file(&self, path: &Path) -> io::Result<()> {
        self.size(path)?;
        self.change(|_| Ok(())) // bytes are durable as soon as they are written
    }

    fn write_synced(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        self.change(|state| {
            if state.live.contains_key(path) {
                return Err(io::ErrorKind::AlreadyExists.into());
            }
            state
                .live
                .insert(path.to_owned(), Node::File(Arc::new(bytes.to_vec())));
            Ok(())
        })
    }

    fn rename_new(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.change(|state| {
            if state.live.contains_key(to) {
                return Err(io::ErrorKind::AlreadyExists.into());
            }
            let bytes = file(&state.live, from)?;
            state.live.remove(from);
            state.live.insert(to.to_owned(), Node::File(bytes));
            Ok(())
        })
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.change(|state| {
            let bytes = file(&state.live, from)?;
            state.live.remove(from);
            state.live.insert(to.to_owned(), Node::File(bytes));
            Ok(())
        })
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.change(|state| {
            file(&state.live, path)?;
            state.live.remove(path);
            Ok(())
        })
    }

    fn size(&self, path: &Path) -> io::Result<u64> {
        let state = self.0.lock().unwrap();
        file(&state.live, path).map(|bytes| bytes.len() as u64)
    }

    fn read(&self, path: &Path, range: Range<u64>) -> io::Result<Vec<u8>> {
        let state = self.0.lock().unwrap();
        let bytes = file(&state.live, path)?;
        let range = range.start as usize..range.end as usize;
        let bytes = bytes.get(range).ok_or(io::ErrorKind::UnexpectedEof)?;
        Ok(bytes.to_vec())
    }

    fn list(&self, folder: &Path) -> io::Result<Vec<Entry>> {
        let state = self.0.lock().unwrap();
        if !state.live.contains_key(folder) {
            return Err(io::ErrorKind::NotFound.into());
        }
        let inside = state
            .live
            .iter()
            .filter(|(name, _)| name.parent() == Some(folder));
        let entries = inside.map(|(name, node)| Entry {
            name: name.file_name().unwrap().to_str().unwrap().to_owned(),
            is_folder: *node == Node::Folder,
        });
        Ok(entries.collect())
    }
}
