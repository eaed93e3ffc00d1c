//! What opening a log finds in its directory: the refusals, and the end of the log.
//!
//! Nothing that was durable is changed here. What a crash has left over (segments that were never
//! begun, files half made, names half removed) is taken away, so that a crash in the middle of this
//! leaves less of it, and nothing else.

use std::collections::BTreeMap;
use std::io::{self, IoSlice};
use std::path::Path;

use crate::api::{Cursor, Damage};
use crate::catalog::Form;
use crate::disk::{Access, Disk};
use crate::format::{Tail, VERSION, facts_name, live_name, personal_name, position};
use crate::log::{Forms, LOCK_NAME};
use crate::meta::{KEPT_NAME, Kept, META_NAME, Meta, MetaError};
use crate::options::{OpenError, Options, Recovery};
use crate::recover::{Broken, Identity, Scan, Scanned, mend, scan, scan_while_written};
use crate::segment::remove_if_there;
use crate::spares::SPARE_PREFIX;
use crate::writer::is_full;

/// A directory that is being opened.
pub(crate) struct Door<'a> {
    pub(crate) disk: &'a dyn Disk,
    pub(crate) dir: &'a Path,
}

/// What was found.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) kept: Kept,
    pub(crate) segments: Forms,
    /// The end of the log; segment 0 if it is new.
    pub(crate) tail: Tail,
    pub(crate) epoch: u64,
    clean: bool,
    cut_bytes: u64,
    mended_bits: u32,
}

/// On whose behalf the last segment is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Look {
    /// The one writer's, who puts right what can be.
    Writer,
    /// A reader's while nobody writes; it changes nothing.
    Reader,
    /// A reader's beside the writer.
    BesideWriter,
}

/// The last segment that was begun, and how many bits of it had to be put right.
pub(crate) struct LastUsed {
    pub(crate) scan: Option<Scan>,
    unused: Vec<u32>,
    mended_bits: u32,
}

impl Found {
    pub(crate) fn recovery(&self, incarnation: u64) -> Recovery {
        let durable = Cursor {
            incarnation,
            position: position(self.tail.segment, self.tail.end),
        };
        Recovery {
            clean: self.clean,
            durable,
            cut_bytes: self.cut_bytes,
            mended_bits: self.mended_bits,
        }
    }
}

/// The forms in which one segment is there.
#[derive(Clone, Copy, Debug, Default)]
struct Files {
    live: bool,
    facts: bool,
    personal: bool,
}

impl Door<'_> {
    /// Reads what the log is, or makes it a log if the directory is empty.
    pub(crate) fn meta_or_create(&self, options: &Options) -> Result<Meta, OpenError> {
        let names = self.list()?;
        let meta = if names.iter().any(|name| name == META_NAME) {
            self.meta()?
        } else {
            let ours = [LOCK_NAME, "meta.tmp"];
            if let Some(found) = names
                .into_iter()
                .find(|name| !ours.contains(&name.as_str()))
            {
                let found = format!("no `{META_NAME}` beside `{found}`");
                return Err(OpenError::OtherProduct {
                    dir: self.dir.to_owned(),
                    found,
                });
            }
            self.create(options)?
        };
        if meta.partitions != options.partitions {
            let (found, wanted) = (meta.partitions, options.partitions);
            return Err(OpenError::PartitionsChanged {
                dir: self.dir.to_owned(),
                found,
                wanted,
            });
        }
        Ok(meta)
    }

    /// Refuses a directory that holds something else, before anything is made in it.
    pub(crate) fn refuse_foreign(&self) -> Result<(), OpenError> {
        let names = self.list()?;
        let ours = [LOCK_NAME, META_NAME, "meta.tmp"];
        match names.iter().find(|name| !ours.contains(&name.as_str())) {
            Some(other) if !names.iter().any(|name| name == META_NAME) => {
                let found = format!("there is no `{META_NAME}` beside `{other}`");
                Err(OpenError::OtherProduct {
                    dir: self.dir.to_owned(),
                    found,
                })
            }
            _ => Ok(()),
        }
    }

    fn create(&self, options: &Options) -> Result<Meta, OpenError> {
        let incarnation =
            (options.draw)().map_err(|error| self.refusal("draw an incarnation", error))?;
        let meta = Meta {
            partitions: options.partitions,
            incarnation,
        };
        meta.write(self.disk, self.dir)
            .map_err(|error| self.refusal("write meta", error))?;
        Ok(meta)
    }

    /// Reads what the log is.
    pub(crate) fn meta(&self) -> Result<Meta, OpenError> {
        Meta::read(self.disk, self.dir).map_err(|error| self.meta_error(META_NAME, error))
    }

    /// Reads what retention has left.
    pub(crate) fn kept(&self, incarnation: u64) -> Result<Kept, OpenError> {
        Kept::read(self.disk, self.dir, incarnation)
            .map_err(|error| self.meta_error(KEPT_NAME, error))
    }

    fn meta_error(&self, name: &str, error: MetaError) -> OpenError {
        let dir = self.dir.to_owned();
        match error {
            MetaError::Io(error) => self.refusal(&format!("read {name}"), error),
            MetaError::Damaged(damage) => OpenError::Damaged { dir, damage },
            MetaError::OtherProduct => OpenError::OtherProduct {
                dir,
                found: format!("`{name}` is something else"),
            },
            MetaError::Newer(found) => OpenError::NewerFormat {
                dir,
                found,
                supported: VERSION,
            },
        }
    }

    /// Takes leftovers away and finds the end of the log.
    pub(crate) fn recover(&self, meta: Meta) -> Result<Found, OpenError> {
        let kept = self.kept(meta.incarnation)?;
        self.remove_leftovers(kept)?;
        let mut segments = self.segments(kept)?;
        let last = self.last_used(meta.incarnation, &mut segments, Look::Writer)?;
        for segment in last.unused {
            self.remove(&live_name(segment))?;
        }
        let Some(scan) = last.scan else {
            let tail = Tail {
                segment: 0,
                end: 0,
                sequence: 0,
                chain: 0,
            };
            return Ok(Found {
                kept,
                segments,
                tail,
                epoch: 0,
                clean: true,
                cut_bytes: 0,
                mended_bits: 0,
            });
        };
        Ok(Found {
            kept,
            segments,
            tail: scan.tail,
            epoch: scan.header.epoch,
            clean: scan.closed,
            cut_bytes: scan.torn_bytes,
            mended_bits: last.mended_bits,
        })
    }

    /// Scans the last segment that was begun; those after it, which were not, leave the table.
    pub(crate) fn last_used(
        &self,
        incarnation: u64,
        segments: &mut Forms,
        look: Look,
    ) -> Result<LastUsed, OpenError> {
        let mut unused = Vec::new();
        let mut mended_bits = 0;
        while let Some((&segment, form)) = segments.last_key_value() {
            if *form == Form::Sealed {
                // A segment is sealed only after the next one was begun.
                return Err(self.missing(live_name(segment + 1)));
            }
            let identity = Identity {
                incarnation,
                segment,
            };
            let name = live_name(segment);
            let looked = self.scan(&name, identity, look);
            let (scanned, mended) =
                looked.map_err(|error| self.refusal(&format!("read {name}"), error))?;
            mended_bits += mended;
            match scanned {
                Ok(Some(scan)) => {
                    return Ok(LastUsed {
                        scan: Some(scan),
                        unused,
                        mended_bits,
                    });
                }
                Ok(None) => {
                    segments.remove(&segment);
                    unused.push(segment);
                }
                Err(Broken { offset, what }) => {
                    let damage = Damage {
                        file: name,
                        offset: u64::from(offset),
                        what,
                    };
                    return Err(OpenError::Damaged {
                        dir: self.dir.to_owned(),
                        damage,
                    });
                }
            }
        }
        let kept = self.kept(incarnation)?;
        if kept != Kept::EVERYTHING {
            return Err(self.missing(live_name(kept.facts_first)));
        }
        Ok(LastUsed {
            scan: None,
            unused,
            mended_bits,
        })
    }

    /// Scans one segment, and says how many bits had to be put right in it. For the writer they are
    /// right on the disk then, before anything is built on them; a reader that comes to the block
    /// is told that it is damaged.
    fn scan(&self, name: &str, identity: Identity, look: Look) -> io::Result<(Scanned, u32)> {
        let mut bytes = self.as_the_disk_has_it(name)?;
        if look == Look::BesideWriter {
            return Ok((scan_while_written(&bytes, identity), 0));
        }
        let mut mended_bits = 0;
        loop {
            let scanned = scan(&bytes, identity);
            let Some(mend) = mend(&bytes, identity, &scanned) else {
                return Ok((scanned, mended_bits));
            };
            if look == Look::Writer {
                let file = self.disk.open(&self.dir.join(name), Access::Write)?;
                file.write_at(u64::from(mend.offset), &mut [IoSlice::new(&[mend.value])])?;
                file.sync_data()?;
            }
            if let Some(byte) = bytes.get_mut(mend.offset as usize) {
                *byte = mend.value;
            }
            mended_bits += 1;
        }
    }

    /// Reads a file past the cache. After a failed sync the cache may hold what the disk does not,
    /// and call it clean; so all is synced, and what the cache calls clean is dropped.
    fn as_the_disk_has_it(&self, name: &str) -> io::Result<Vec<u8>> {
        let file = self.disk.open(&self.dir.join(name), Access::Read)?;
        file.sync_data()?;
        file.drop_cache()?;
        let mut bytes = vec![0; usize::try_from(file.len()?).unwrap_or(usize::MAX)];
        let read = file.read_at(0, &mut bytes)?;
        bytes.truncate(read);
        Ok(bytes)
    }

    /// The segments that are there, every one from the first that is kept.
    pub(crate) fn segments(&self, kept: Kept) -> Result<Forms, OpenError> {
        let mut segments = BTreeMap::new();
        let mut expected = kept.facts_first;
        for (segment, files) in self.files()? {
            if segment < kept.facts_first {
                continue;
            }
            if segment != expected {
                return Err(self.missing(live_name(expected)));
            }
            if files.facts && !files.personal && segment >= kept.personal_first {
                return Err(self.missing(personal_name(segment)));
            }
            if !files.facts && !files.live {
                return Err(self.missing(facts_name(segment)));
            }
            let form = if files.facts {
                Form::Sealed
            } else {
                Form::Live
            };
            segments.insert(segment, form);
            expected += 1;
        }
        Ok(segments)
    }

    fn files(&self) -> Result<BTreeMap<u32, Files>, OpenError> {
        let mut found: BTreeMap<u32, Files> = BTreeMap::new();
        for name in self.list()? {
            let Some((number, form)) = name.split_once('.') else {
                continue;
            };
            let Ok(segment) = number.parse() else {
                continue;
            };
            let files = found.entry(segment).or_default();
            match form {
                "live" => files.live = true,
                "facts" => files.facts = true,
                "personal" => files.personal = true,
                _ => {}
            }
        }
        Ok(found)
    }

    /// Takes away what a crash has left of sealing, retention and replacing.
    fn remove_leftovers(&self, kept: Kept) -> Result<(), OpenError> {
        for name in self.list()? {
            if name.ends_with(".tmp") || name.starts_with(SPARE_PREFIX) {
                self.remove(&name)?;
            }
        }
        for (segment, files) in self.files()? {
            let gone = segment < kept.facts_first;
            let personal_gone = segment < kept.personal_first && files.facts;
            if files.live && (files.facts || gone) {
                self.remove(&live_name(segment))?;
            }
            if files.personal && (personal_gone || gone) {
                self.remove(&personal_name(segment))?;
            }
            if files.facts && gone {
                self.remove(&facts_name(segment))?;
            }
        }
        Ok(())
    }

    /// Gives back the space behind the end of a segment that a later one has ended.
    pub(crate) fn cut(&self, tail: Tail) {
        if let Ok(file) = self
            .disk
            .open(&self.dir.join(live_name(tail.segment)), Access::Write)
            && file.len().is_ok_and(|len| len > u64::from(tail.end))
        {
            // For the space only: nothing behind the end counts.
            file.set_len(u64::from(tail.end)).unwrap_or_default();
        }
    }

    /// Takes a segment away that could not be made, and says why.
    pub(crate) fn give_up(&self, segment: u32, error: io::Error) -> OpenError {
        // If this fails too, the next opening finds a segment that was never begun.
        drop(remove_if_there(
            self.disk,
            &self.dir.join(live_name(segment)),
        ));
        self.refusal("prepare a segment", error)
    }

    fn list(&self) -> Result<Vec<String>, OpenError> {
        self.disk
            .list(self.dir)
            .map_err(|error| self.refusal("list the directory", error))
    }

    fn remove(&self, name: &str) -> Result<(), OpenError> {
        remove_if_there(self.disk, &self.dir.join(name))
            .map_err(|error| self.refusal(&format!("remove {name}"), error))
    }

    fn missing(&self, file: String) -> OpenError {
        OpenError::Missing {
            dir: self.dir.to_owned(),
            file,
        }
    }

    /// Sorts an error of the disk by what the operator has to do.
    pub(crate) fn refusal(&self, context: &str, source: io::Error) -> OpenError {
        use io::ErrorKind::{PermissionDenied, ReadOnlyFilesystem};
        let dir = self.dir.to_owned();
        match source.kind() {
            PermissionDenied | ReadOnlyFilesystem => OpenError::ReadOnly { dir, source },
            _ if is_full(&source) => OpenError::Full { dir },
            _ => OpenError::Io {
                dir,
                context: context.to_owned(),
                source,
            },
        }
    }
}
