//! Two small files that are replaced whole: what the log is, and what retention has left of it.
//!
//! | `meta` at | bytes | field |
//! |---|---|---|
//! | 0 | 8 | [`META_MAGIC`] |
//! | 8 | 2 | format version |
//! | 10 | 2 | partitions, fixed when the log is created |
//! | 12 | 8 | incarnation, drawn when the log is created |
//! | 20 | 4 | CRC32C of everything before; the last 4 bytes in every version |
//!
//! | `kept` at | bytes | field |
//! |---|---|---|
//! | 0 | 8 | [`KEPT_MAGIC`] |
//! | 8 | 8 | incarnation |
//! | 16 | 4 | first segment whose facts are kept |
//! | 20 | 4 | first segment whose personal parts are kept |
//! | 24 | 4 | CRC32C of everything before |
//!
//! `kept` is written before anything is removed. A file that is missing and that `kept` does not
//! give up was lost, and that is an error, never a silent gap.

use std::io::{self, IoSlice};
use std::path::Path;

use crate::api::Damage;
use crate::disk::{Access, Disk};
use crate::fields::{Put, Take};
use crate::format::VERSION;

pub(crate) const META_NAME: &str = "meta";
pub(crate) const KEPT_NAME: &str = "kept";
const META_MAGIC: [u8; 8] = *b"TollgLog";
const KEPT_MAGIC: [u8; 8] = *b"TollgKep";

/// What a log is, from its creation to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Meta {
    pub(crate) partitions: u16,
    pub(crate) incarnation: u64,
}

/// What retention has left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Kept {
    pub(crate) facts_first: u32,
    pub(crate) personal_first: u32,
}

/// Why one of the small files says nothing.
#[derive(Debug)]
pub(crate) enum MetaError {
    Io(io::Error),
    Damaged(Damage),
    /// It begins with other bytes: not ours.
    OtherProduct,
    Newer(u16),
}

impl Meta {
    pub(crate) fn write(&self, disk: &dyn Disk, dir: &Path) -> io::Result<()> {
        let mut out = Vec::new();
        Put(&mut out)
            .bytes(&META_MAGIC)
            .u16(VERSION)
            .u16(self.partitions)
            .u64(self.incarnation);
        replace(disk, dir, META_NAME, out)
    }

    pub(crate) fn read(disk: &dyn Disk, dir: &Path) -> Result<Meta, MetaError> {
        let bytes = read_checked(disk, dir, META_NAME, META_MAGIC)?;
        let mut take = Take(&bytes);
        let version = take.u16().unwrap_or(0);
        if version > VERSION {
            return Err(MetaError::Newer(version));
        }
        let meta = take.u16().zip(take.u64());
        let meta = meta.map(|(partitions, incarnation)| Meta {
            partitions,
            incarnation,
        });
        meta.filter(|_| version == VERSION && take.0.is_empty())
            .ok_or_else(|| damage(META_NAME))
    }
}

impl Kept {
    pub(crate) const EVERYTHING: Kept = Kept {
        facts_first: 1,
        personal_first: 1,
    };

    pub(crate) fn write(&self, disk: &dyn Disk, dir: &Path, incarnation: u64) -> io::Result<()> {
        let mut out = Vec::new();
        Put(&mut out)
            .bytes(&KEPT_MAGIC)
            .u64(incarnation)
            .u32(self.facts_first)
            .u32(self.personal_first);
        replace(disk, dir, KEPT_NAME, out)
    }

    /// Reads the file; a log whose retention never ran has none.
    pub(crate) fn read(disk: &dyn Disk, dir: &Path, incarnation: u64) -> Result<Kept, MetaError> {
        let bytes = match read_checked(disk, dir, KEPT_NAME, KEPT_MAGIC) {
            Err(MetaError::Io(error)) if error.kind() == io::ErrorKind::NotFound => {
                return Ok(Kept::EVERYTHING);
            }
            other => other?,
        };
        let mut take = Take(&bytes);
        let ours = take.u64() == Some(incarnation);
        let kept = take.u32().zip(take.u32());
        let kept = kept.map(|(facts_first, personal_first)| Kept {
            facts_first,
            personal_first,
        });
        kept.filter(|_| ours && take.0.is_empty())
            .ok_or_else(|| damage(KEPT_NAME))
    }
}

fn damage(name: &str) -> MetaError {
    let what = "it is not a whole file of this log";
    MetaError::Damaged(Damage {
        file: name.to_owned(),
        offset: 0,
        what,
    })
}

/// Replaces a small file so that a crash leaves the old one or the new one.
fn replace(disk: &dyn Disk, dir: &Path, name: &str, mut content: Vec<u8>) -> io::Result<()> {
    let crc = crc32c::crc32c(&content);
    Put(&mut content).u32(crc);
    let temporary = dir.join(format!("{name}.tmp"));
    match disk.remove(&temporary) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let file = disk.create(&temporary)?;
    file.write_at(0, &mut [IoSlice::new(&content)])?;
    file.sync_all()?;
    disk.rename(&temporary, &dir.join(name))?;
    disk.sync_dir(dir)
}

/// The content between magic and CRC.
fn read_checked(
    disk: &dyn Disk,
    dir: &Path,
    name: &str,
    magic: [u8; 8],
) -> Result<Vec<u8>, MetaError> {
    let file = disk
        .open(&dir.join(name), Access::Read)
        .map_err(MetaError::Io)?;
    let mut bytes = vec![0; 64];
    let read = file.read_at(0, &mut bytes).map_err(MetaError::Io)?;
    bytes.truncate(read);
    let (content, crc) = bytes.split_last_chunk::<4>().ok_or_else(|| damage(name))?;
    let whole = crc32c::crc32c(content) == u32::from_le_bytes(*crc);
    let mut take = Take(content);
    match (take.array() == Some(magic), whole) {
        (true, true) => Ok(take.0.to_vec()),
        (false, false) => Err(MetaError::OtherProduct),
        _ => Err(damage(name)),
    }
}
