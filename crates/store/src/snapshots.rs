//! Snapshots: the state of a partition at an ordinal, so that a start replays minutes, not days.
//!
//! | name | what |
//! |---|---|
//! | `snapshots/p3/parts/<64 hex digits>` | a part of a state: bytes with that SHA-256 |
//! | `snapshots/p3/00000000000000001999.snapshot` | the parts that make up the state after ordinal 1999 |
//!
//! What holds:
//!
//! 1. A part is written once and never changed. Snapshots that share a part share its file.
//! 2. Parts first, then the manifest: a snapshot that is found is whole. A crash in between leaves
//!    parts that nobody names, which [`SnapshotStore::retain`] removes.
//! 3. What is read has the hash that the manifest names. What is damaged is named, set aside, and
//!    the snapshot before it is taken.
//! 4. Only the holder of the partition's lease saves, sets aside and retains, one call at a time.
//!
//! Nothing here knows what a part means. A snapshot is worth nothing but time: all of them can be
//! deleted, and the state comes from the log.

mod manifest;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::io;
use std::sync::Arc;

use sha2::{Digest, Sha256};
use thiserror::Error;
use tollgate_click::{Ordinal, PartitionId};

use crate::lake::Objects;
use crate::lake::objects::Put;

const ROOT: &str = "snapshots";
const SUFFIX: &str = ".snapshot";

/// The state of a partition at an ordinal.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Snapshot {
    /// Whose state.
    pub partition: PartitionId,
    /// The last record that it has seen.
    pub ordinal: Ordinal,
    /// Where the log goes on after that record, in the log's own bytes.
    pub cursor: Vec<u8>,
    /// The version of `apply` that was in force.
    pub apply: u16,
    /// What it consists of, in the order of the state.
    pub parts: Vec<Part>,
}

/// A part of a state that lies in the store.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Part {
    /// What the state calls it.
    pub name: String,
    /// SHA-256 of its bytes.
    pub hash: [u8; 32],
    /// Number of its bytes.
    pub len: u64,
}

/// What the search for a snapshot found.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Newest {
    /// The newest one that can be used; none means: from the beginning of the log.
    pub snapshot: Option<Snapshot>,
    /// Damaged ones on the way, for the operator.
    pub set_aside: Vec<SetAside>,
}

/// A damaged file that was taken out of the way.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SetAside {
    /// Its name.
    pub name: String,
    /// What did not fit.
    pub what: String,
    /// Where it lies now.
    pub aside: String,
}

/// What [`SnapshotStore::retain`] removed.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Retained {
    /// Snapshots that are left.
    pub kept: u64,
    /// Snapshots that were removed.
    pub snapshots: u64,
    /// Parts that no snapshot names any more, and were removed.
    pub parts: u64,
}

/// Why a snapshot could not be saved or used.
#[derive(Debug, Error)]
pub enum SnapshotError {
    /// The disk or object store said no; the same call may be tried again.
    #[error("{name}: {source}")]
    Io {
        /// The file or folder.
        name: String,
        /// What it said.
        source: io::Error,
    },
    /// The bytes are not what was saved. The file was set aside if it was there: ask for the
    /// newest snapshot again.
    #[error("{name} is damaged: {what}")]
    Corrupt {
        /// The file.
        name: String,
        /// What does not fit.
        what: String,
    },
    /// It was written by newer code.
    #[error("{name} has version {version}; run a newer tollgate")]
    NewerCode {
        /// The file.
        name: String,
        /// Its version.
        version: u32,
    },
    /// A snapshot names a part that is not in the store; nothing was saved.
    #[error("part {part} of the snapshot is not in the store")]
    MissingPart {
        /// What the state calls it.
        part: String,
    },
    /// A part's name is empty or has more than one line.
    #[error("{part:?} is no name for a part")]
    BadName {
        /// The name.
        part: String,
    },
}

/// The snapshots of all partitions.
#[derive(Clone)]
pub struct SnapshotStore {
    objects: Arc<dyn Objects>,
}

impl SnapshotStore {
    /// Keeps snapshots in `objects`.
    pub fn new(objects: Arc<dyn Objects>) -> SnapshotStore {
        SnapshotStore { objects }
    }

    /// Makes a part durable, so that a snapshot can name it. One that is there is not written
    /// again; one that is there and damaged is set aside and written anew.
    ///
    /// # Errors
    ///
    /// [`SnapshotError::Io`], [`SnapshotError::BadName`].
    pub fn put_part(
        &self,
        partition: PartitionId,
        name: &str,
        bytes: &[u8],
    ) -> Result<Part, SnapshotError> {
        check_name(name)?;
        let part = Part {
            name: name.to_owned(),
            hash: Sha256::digest(bytes).into(),
            len: bytes.len() as u64,
        };
        let file = part_name(partition, &part);
        let put = || {
            let put = self.objects.put_new(&file, bytes);
            put.map_err(|error| io_error(&file, error))
        };
        // A write to a name that is taken costs as much as one to a free name, and is not needed.
        if self.size(&file)?.is_none() && put()? == Put::Created {
            return Ok(part);
        }
        if self.read(&file)?.is_some_and(|there| there == bytes) {
            let settled = self.objects.settle(&file);
            settled.map_err(|error| io_error(&file, error))?;
        } else {
            self.take_away(&file, "it is not what its name says")?;
            put()?;
        }
        Ok(part)
    }

    /// Saves a snapshot whose parts are in the store: those that [`Self::put_part`] returned, and
    /// those of a snapshot that [`Self::newest_at_or_below`] returned or that was saved before.
    /// One of the same ordinal is replaced.
    ///
    /// # Errors
    ///
    /// [`SnapshotError::MissingPart`], [`SnapshotError::BadName`], [`SnapshotError::Io`]; the
    /// snapshots before are what they were.
    pub fn save(&self, snapshot: &Snapshot) -> Result<(), SnapshotError> {
        for part in &snapshot.parts {
            check_name(&part.name)?;
            if self.size(&part_name(snapshot.partition, part))? != Some(part.len) {
                let part = part.name.clone();
                return Err(SnapshotError::MissingPart { part });
            }
        }
        let name = manifest_name(snapshot.partition, snapshot.ordinal);
        let put = self.objects.put(&name, manifest::text(snapshot).as_bytes());
        put.map_err(|error| io_error(&name, error))
    }

    /// The newest snapshot of a partition that has seen no record after `ordinal`. Damaged ones,
    /// and those that miss a part, are set aside on the way. It is durable when this returns.
    ///
    /// # Errors
    ///
    /// [`SnapshotError::NewerCode`]; [`SnapshotError::Io`], also where a file is there and cannot
    /// be read.
    pub fn newest_at_or_below(
        &self,
        partition: PartitionId,
        ordinal: Ordinal,
    ) -> Result<Newest, SnapshotError> {
        let mut newest = Newest::default();
        let ordinals = self.ordinals(partition)?.into_iter().rev();
        for at in ordinals.filter(|at| *at <= ordinal) {
            let name = manifest_name(partition, at);
            match self.whole(partition, at) {
                Ok(snapshot) => {
                    let settled = self.objects.settle(&name);
                    settled.map_err(|error| io_error(&name, error))?;
                    newest.snapshot = Some(snapshot);
                    return Ok(newest);
                }
                Err(SnapshotError::Corrupt { name, what }) => {
                    newest.set_aside.push(self.take_away(&name, &what)?);
                }
                Err(error) => return Err(error),
            }
        }
        Ok(newest)
    }

    /// The bytes of a part of a snapshot. A damaged part is set aside, so that the snapshots that
    /// name it are passed over from now on.
    ///
    /// # Errors
    ///
    /// [`SnapshotError::Corrupt`]: ask for the newest snapshot again. [`SnapshotError::Io`].
    pub fn load_part(&self, partition: PartitionId, part: &Part) -> Result<Vec<u8>, SnapshotError> {
        let name = part_name(partition, part);
        let Some(bytes) = self.read(&name)? else {
            return Err(corrupt(&name, "it is missing"));
        };
        if <[u8; 32]>::from(Sha256::digest(&bytes)) == part.hash {
            return Ok(bytes);
        }
        let what = "it is not what its name says";
        let aside = self.take_away(&name, what)?;
        Err(corrupt(
            &name,
            &format!("{what}; it lies in {} now", aside.aside),
        ))
    }

    /// Takes a snapshot out of the way that could be read and yet gives no state.
    ///
    /// # Errors
    ///
    /// [`SnapshotError::Io`].
    pub fn set_aside(&self, snapshot: &Snapshot, what: &str) -> Result<SetAside, SnapshotError> {
        self.take_away(&manifest_name(snapshot.partition, snapshot.ordinal), what)
    }

    /// Keeps every snapshot after `lowest`, the newest one up to it, and `spares` before that
    /// one; removes the others, parts that no snapshot names, and what dead writers left.
    /// `lowest` is the lowest watermark of all stores.
    ///
    /// # Errors
    ///
    /// [`SnapshotError`]; a snapshot is removed whole or not at all.
    pub fn retain(
        &self,
        partition: PartitionId,
        lowest: Ordinal,
        spares: usize,
    ) -> Result<Retained, SnapshotError> {
        // What is kept must be durable before what it stands for goes; damaged ones do not count.
        self.newest_at_or_below(partition, lowest)?;
        let ordinals = self.ordinals(partition)?;
        let passed = ordinals.iter().filter(|at| **at <= lowest).count();
        let (gone, kept) = ordinals.split_at(passed.saturating_sub(spares.saturating_add(1)));
        for ordinal in gone {
            self.delete(&manifest_name(partition, *ordinal))?;
        }
        let mut named = BTreeSet::new();
        for ordinal in kept {
            match self.manifest(partition, *ordinal) {
                Ok(snapshot) => named.extend(snapshot.parts.iter().map(part_file)),
                Err(SnapshotError::Corrupt { .. }) => {} // found and set aside when it is needed
                Err(error) => return Err(error),
            }
        }
        let folder = parts_folder(partition);
        let parts = self.list(&folder)?;
        let unnamed = parts.iter().filter(|file| !named.contains(*file));
        let unnamed: Vec<&String> = unnamed.filter(|file| is_part_file(file)).collect();
        for file in &unnamed {
            self.delete(&format!("{folder}/{file}"))?;
        }
        for folder in [folder, partition_folder(partition)] {
            let swept = self.objects.sweep_temporaries(&folder);
            swept.map_err(|error| io_error(&folder, error))?;
        }
        Ok(Retained {
            kept: kept.len() as u64,
            snapshots: gone.len() as u64,
            parts: unnamed.len() as u64,
        })
    }

    /// A snapshot whose parts are there in their length; their bytes are checked when loaded.
    fn whole(&self, partition: PartitionId, ordinal: Ordinal) -> Result<Snapshot, SnapshotError> {
        let snapshot = self.manifest(partition, ordinal)?;
        for part in &snapshot.parts {
            let file = part_name(partition, part);
            if self.size(&file)? != Some(part.len) {
                let what = format!("its part {file} is missing or cut off");
                return Err(corrupt(&manifest_name(partition, ordinal), &what));
            }
        }
        Ok(snapshot)
    }

    fn manifest(
        &self,
        partition: PartitionId,
        ordinal: Ordinal,
    ) -> Result<Snapshot, SnapshotError> {
        let name = manifest_name(partition, ordinal);
        let bytes = self.read(&name)?;
        let bytes = bytes.ok_or_else(|| corrupt(&name, "it is missing"))?;
        let snapshot = manifest::parse(&name, &bytes)?;
        if (snapshot.partition, snapshot.ordinal) == (partition, ordinal) {
            Ok(snapshot)
        } else {
            Err(corrupt(&name, "it is another snapshot under this name"))
        }
    }

    /// The ordinals of a partition's snapshots, rising.
    fn ordinals(&self, partition: PartitionId) -> Result<Vec<Ordinal>, SnapshotError> {
        let names = self.list(&partition_folder(partition))?;
        let ordinals = names.iter().filter_map(|name| {
            let digits = name
                .strip_suffix(SUFFIX)
                .filter(|digits| digits.len() == 20);
            digits?.parse().ok().map(Ordinal)
        });
        Ok(ordinals.collect())
    }

    fn take_away(&self, name: &str, what: &str) -> Result<SetAside, SnapshotError> {
        let aside = self.objects.set_aside(name);
        Ok(SetAside {
            name: name.to_owned(),
            what: what.to_owned(),
            aside: aside.map_err(|error| io_error(name, error))?,
        })
    }

    /// The names of files in a folder, sorted.
    fn list(&self, folder: &str) -> Result<Vec<String>, SnapshotError> {
        let entries = self.objects.list(folder);
        let entries = entries.map_err(|error| io_error(folder, error))?;
        let files = entries.into_iter().filter(|entry| !entry.is_folder);
        Ok(files.map(|entry| entry.name).collect())
    }

    fn size(&self, name: &str) -> Result<Option<u64>, SnapshotError> {
        match self.objects.size(name) {
            Ok(size) => Ok(Some(size)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(io_error(name, error)),
        }
    }

    fn read(&self, name: &str) -> Result<Option<Vec<u8>>, SnapshotError> {
        let Some(size) = self.size(name)? else {
            return Ok(None);
        };
        let bytes = self.objects.read(name, 0..size);
        bytes.map(Some).map_err(|error| io_error(name, error))
    }

    fn delete(&self, name: &str) -> Result<(), SnapshotError> {
        let deleted = self.objects.delete(name);
        deleted.map_err(|error| io_error(name, error))
    }
}

fn partition_folder(partition: PartitionId) -> String {
    format!("{ROOT}/p{partition}")
}

fn parts_folder(partition: PartitionId) -> String {
    format!("{}/parts", partition_folder(partition))
}

fn manifest_name(partition: PartitionId, Ordinal(ordinal): Ordinal) -> String {
    format!("{}/{ordinal:020}{SUFFIX}", partition_folder(partition))
}

fn part_name(partition: PartitionId, part: &Part) -> String {
    format!("{}/{}", parts_folder(partition), part_file(part))
}

fn part_file(part: &Part) -> String {
    manifest::hex(&part.hash)
}

/// Files that were set aside are kept for people to look at.
fn is_part_file(name: &str) -> bool {
    name.len() == 64 && name.bytes().all(|byte| byte.is_ascii_hexdigit())
}

fn check_name(name: &str) -> Result<(), SnapshotError> {
    if name.is_empty() || name.contains(['\n', '\r']) {
        let part = name.to_owned();
        return Err(SnapshotError::BadName { part });
    }
    Ok(())
}

fn io_error(name: &str, source: io::Error) -> SnapshotError {
    let name = name.to_owned();
    SnapshotError::Io { name, source }
}

fn corrupt(name: &str, what: &str) -> SnapshotError {
    SnapshotError::Corrupt {
        name: name.to_owned(),
        what: what.to_owned(),
    }
}
