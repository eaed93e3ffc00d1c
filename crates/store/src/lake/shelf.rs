//! A partition's files in one store: written in the order of ordinals, merged when a unit of
//! time is closed, found by whoever reads.
//!
//! What holds:
//!
//! 1. Batches follow each other without a hole. A batch's files are written first and the catalog
//!    last, so the catalog's `through` is the watermark: everything up to it is in files.
//! 2. A reader takes the catalog first and then manifests. A file of the catalog counts only if
//!    it lies past `through` of its unit's manifest: a merge becomes visible in one step, with
//!    the manifest, and no row is seen twice or not at all.
//! 3. No file is changed. A merge writes a new one, and the old ones go after the manifest.
//! 4. Only the holder of the partition's lease writes. Whatever it repeats after a crash has the
//!    same name and the same rows; a difference is an error that names the file.

use std::collections::BTreeSet;
use std::sync::Arc;

use tollgate_click::{Ordinal, PartitionId};

use super::columns::{Columns, Table};
use super::decode::{SealedFile, reading};
use super::encode::{Encoded, encode, keys};
use super::errors::LakeError;
use super::listing::{Listed, Listing};
use super::objects::{Objects, Put};
use super::places::{Plan, Unit, parse_file};
use super::view::uncovered;

/// Rows up to which neighbouring files are merged into one; bounds the memory of a merge.
pub(crate) const MERGED_ROWS_MAX: u64 = 1 << 20;

/// The half that writes.
pub(crate) struct Shelf {
    pub(crate) objects: Arc<dyn Objects>,
    pub(crate) plan: &'static Plan,
    pub(crate) partition: PartitionId,
    catalog: Listing,
    /// Files of the batch that is being written.
    batch: Vec<Listed>,
    /// Where damaged files were put since the last commit.
    set_aside: Vec<String>,
}

/// A table with its place, ready to be written.
pub(crate) struct Sheet<'a> {
    /// Index of its schema in the plan.
    pub(crate) table: usize,
    pub(crate) unit: Unit,
    /// The ordinals that it speaks for.
    pub(crate) ordinals: (Ordinal, Ordinal),
    pub(crate) rows: &'a dyn Columns,
    /// Least and greatest of what the table is looked up by.
    pub(crate) bounds: (u64, u64),
}

/// What a merge does with rows.
pub(crate) trait Merger {
    /// The rows of several files, one after the other, as those of one.
    fn join(&self, table: usize, rows: Table) -> Result<Table, LakeError>;
    /// Whether files of a table may be gone by retention.
    fn may_be_gone(&self, table: usize) -> bool;
    /// The rows of a derived table from those of the first.
    fn derive(&self, table: usize, rows: &Table) -> Result<Table, LakeError>;
}

impl Shelf {
    /// Reads the partition's catalog.
    pub(crate) fn open(
        objects: Arc<dyn Objects>,
        plan: &'static Plan,
        partition: PartitionId,
    ) -> Result<Shelf, LakeError> {
        let name = plan.catalog(partition);
        // The watermark that is read here is believed, so it must survive a power cut.
        let settled = objects.settle(&name);
        settled.map_err(|error| LakeError::io(&name, error))?;
        let catalog = Listing::load(&*objects, plan, &name)?;
        Ok(Shelf {
            objects,
            plan,
            partition,
            catalog: catalog.unwrap_or_default(),
            batch: Vec::new(),
            set_aside: Vec::new(),
        })
    }

    /// The last ordinal up to which everything is in files.
    pub(crate) fn through(&self) -> Ordinal {
        self.catalog.through
    }

    /// Whether a batch is still to be written; an error when there is a hole before it.
    pub(crate) fn wants(&self, (first, last): (Ordinal, Ordinal)) -> Result<bool, LakeError> {
        let through = self.through();
        if last <= through {
            return Ok(false);
        }
        if first.0 == through.0.saturating_add(1) && first <= last {
            return Ok(true);
        }
        Err(LakeError::Gap {
            partition: self.partition,
            first,
            through,
        })
    }

    /// Writes a file of a batch. One that is there already must have the same rows; one that is
    /// there and damaged is set aside.
    pub(crate) fn write(&mut self, sheet: &Sheet<'_>) -> Result<(), LakeError> {
        if sheet.rows.rows() > 0 {
            let file = self.put(sheet)?;
            self.batch.push(file);
        }
        Ok(())
    }

    /// Drops what a batch wrote that did not come to its end; its files stay, and count for
    /// nothing until their batch is committed.
    pub(crate) fn forget_batch(&mut self) {
        self.batch.clear();
    }

    /// Makes the batch up to `last` visible, and says which damaged files were set aside.
    pub(crate) fn commit(&mut self, last: Ordinal) -> Result<Vec<String>, LakeError> {
        let mut next = self.catalog.clone();
        next.through = last;
        next.files.append(&mut self.batch);
        next.save(
            &*self.objects,
            self.plan,
            &self.plan.catalog(self.partition),
        )?;
        self.catalog = next;
        Ok(self.take_set_aside())
    }

    /// Where damaged files were put since the last call or commit.
    pub(crate) fn take_set_aside(&mut self) -> Vec<String> {
        std::mem::take(&mut self.set_aside)
    }

    /// Units with files that no manifest covers, oldest first.
    pub(crate) fn unmerged(&self) -> BTreeSet<Unit> {
        self.catalog.files.iter().map(|file| file.unit).collect()
    }

    /// The last ordinal of the files of a unit that no manifest covers.
    pub(crate) fn last_unmerged(&self, unit: Unit) -> Option<Ordinal> {
        let files = self.catalog.files.iter().filter(|file| file.unit == unit);
        files.map(|file| file.last).max()
    }

    /// Merges the files of a unit.
    pub(crate) fn merge(&mut self, unit: Unit, merger: &dyn Merger) -> Result<(), LakeError> {
        let name = self.plan.manifest(unit, self.partition);
        // Files go for what this manifest says, so it must survive a power cut.
        let settled = self.objects.settle(&name);
        settled.map_err(|error| LakeError::io(&name, error))?;
        let old = Listing::load(&*self.objects, self.plan, &name)?.unwrap_or_default();
        let mut files = uncovered(&old, &self.catalog, unit);
        files.retain(|file| !self.plan.derived.contains(&file.table));
        let mut merged = Vec::new();
        for group in groups(&files) {
            merged.extend(self.merge_group(&group, merger)?);
        }
        let firsts: Vec<Listed> = merged
            .iter()
            .filter(|file| file.table == 0)
            .copied()
            .collect();
        for file in firsts {
            self.derive(&file, &old, merger, &mut merged)?;
        }
        merged.sort_unstable();
        if merged != old.files {
            let through = self.through();
            let mut manifest = Listing {
                through,
                files: merged,
            };
            manifest.save(&*self.objects, self.plan, &name)?;
        }
        if self.unmerged().contains(&unit) {
            let mut next = self.catalog.clone();
            next.files.retain(|file| file.unit != unit);
            next.save(
                &*self.objects,
                self.plan,
                &self.plan.catalog(self.partition),
            )?;
            self.catalog = next;
        }
        self.sweep(unit)
    }

    /// Deletes the files of one table of a unit and takes them off the lists.
    pub(crate) fn erase(&mut self, unit: Unit, table: usize) -> Result<(), LakeError> {
        let name = self.plan.manifest(unit, self.partition);
        let objects = Arc::clone(&self.objects);
        if let Some(mut manifest) = Listing::load(&*objects, self.plan, &name)? {
            manifest.files.retain(|file| file.table != table);
            manifest.save(&*objects, self.plan, &name)?;
        }
        let mut next = self.catalog.clone();
        next.files
            .retain(|file| (file.unit, file.table) != (unit, table));
        next.save(&*objects, self.plan, &self.plan.catalog(self.partition))?;
        self.catalog = next;
        let Some(schema) = self.plan.tables.get(table) else {
            return Ok(());
        };
        let folder = self.plan.folder(schema.name, unit);
        let entries = objects
            .list(&folder)
            .map_err(|error| reading(&folder, error))?;
        let prefix = format!("p{}-", self.partition);
        // Damaged files that were set aside go too: they hold what must be erased.
        for entry in entries
            .iter()
            .filter(|entry| entry.name.starts_with(&prefix))
        {
            let name = format!("{folder}/{}", entry.name);
            objects
                .delete(&name)
                .map_err(|error| LakeError::io(&name, error))?;
        }
        // What a call before this one deleted and did not live to make durable must not come back.
        let settled = objects.settle(&format!("{folder}/{prefix}"));
        settled.map_err(|error| LakeError::io(&folder, error))
    }

    /// Writes a file that belongs to no batch: made from others.
    pub(crate) fn put(&mut self, sheet: &Sheet<'_>) -> Result<Listed, LakeError> {
        let Sheet {
            table,
            unit,
            ordinals,
            rows,
            bounds,
        } = *sheet;
        let Some(schema) = self.plan.tables.get(table).copied() else {
            return Err(LakeError::encode(self.plan.root, "no such table"));
        };
        let name = self.plan.file(schema, unit, self.partition, ordinals);
        let (first, last) = ordinals;
        let more = [
            (keys::PARTITION, self.partition.to_string()),
            (keys::FIRST, first.to_string()),
            (keys::LAST, last.to_string()),
        ];
        let encoded = encode(schema, rows, &more);
        let Encoded { bytes, rows_hash } =
            encoded.map_err(|error| LakeError::encode(&name, error))?;
        let put = || {
            self.objects
                .put_new(&name, &bytes)
                .map_err(|error| LakeError::io(&name, error))
        };
        if put()? == Put::Exists {
            // Read whole: a name that is taken by damage is as good as free.
            let there = SealedFile::open(&*self.objects, &name, schema);
            let there = there.and_then(|file| file.verified(&*self.objects).map(|_| file));
            match there {
                Ok(file) if file.rows_hash == rows_hash => {}
                Ok(_) => return Err(LakeError::Different { name }),
                Err(LakeError::Corrupt { .. }) => {
                    let aside = self.objects.set_aside(&name);
                    self.set_aside
                        .push(aside.map_err(|error| LakeError::io(&name, error))?);
                    put()?;
                }
                Err(error) => return Err(error),
            }
        }
        let (low, high) = bounds;
        Ok(Listed {
            table,
            unit,
            first,
            last,
            rows: rows.rows() as u64,
            low,
            high,
        })
    }

    fn merge_group(
        &mut self,
        group: &[Listed],
        merger: &dyn Merger,
    ) -> Result<Option<Listed>, LakeError> {
        let [first, .., last] = group else {
            return Ok(group.first().copied());
        };
        let mut rows: Option<Table> = None;
        for file in group {
            match (self.read(file), &mut rows) {
                (Ok(more), Some(rows)) => rows.append(more),
                (Ok(more), None) => rows = Some(more),
                (Err(LakeError::Missing { .. }), _) if merger.may_be_gone(first.table) => {}
                (Err(error), _) => return Err(error),
            }
        }
        let Some(rows) = rows else {
            return Ok(None);
        };
        let low = group.iter().map(|file| file.low).min().unwrap_or(0);
        let high = group.iter().map(|file| file.high).max().unwrap_or(0);
        let sheet = Sheet {
            table: first.table,
            unit: first.unit,
            ordinals: (first.first, last.last),
            rows: &merger.join(first.table, rows)?,
            bounds: (low, high),
        };
        self.put(&sheet).map(Some)
    }

    /// Adds the derived files of one of the first table's, unless they are there.
    fn derive(
        &mut self,
        base: &Listed,
        old: &Listing,
        merger: &dyn Merger,
        merged: &mut Vec<Listed>,
    ) -> Result<(), LakeError> {
        let mut rows = None;
        for table in self.plan.derived {
            let mut there = old.files.iter().filter(|file| file.table == *table);
            let there = there.find(|file| (file.first, file.last) == (base.first, base.last));
            if let Some(file) = there {
                merged.push(*file);
                continue;
            }
            let rows = match &mut rows {
                Some(rows) => rows,
                none => none.insert(self.read(base)?),
            };
            let sheet = Sheet {
                table: *table,
                unit: base.unit,
                ordinals: (base.first, base.last),
                rows: &merger.derive(*table, rows)?,
                bounds: (base.low, base.high),
            };
            merged.push(self.put(&sheet)?);
        }
        Ok(())
    }

    /// The rows of a file, compared with their hash.
    fn read(&self, file: &Listed) -> Result<Table, LakeError> {
        let Some(schema) = self.plan.tables.get(file.table).copied() else {
            return Err(LakeError::corrupt(self.plan.root, "no such table"));
        };
        let ordinals = (file.first, file.last);
        let name = self.plan.file(schema, file.unit, self.partition, ordinals);
        let opened = SealedFile::open(&*self.objects, &name, schema)?;
        opened.verified(&*self.objects)
    }

    /// Deletes the files of a unit that its manifest has replaced.
    pub(crate) fn sweep(&self, unit: Unit) -> Result<(), LakeError> {
        let name = self.plan.manifest(unit, self.partition);
        let manifest = Listing::load(&*self.objects, self.plan, &name)?.unwrap_or_default();
        for (table, schema) in self.plan.tables.iter().enumerate() {
            let folder = self.plan.folder(schema.name, unit);
            let entries = self
                .objects
                .list(&folder)
                .map_err(|error| reading(&folder, error))?;
            for entry in entries {
                let Some((first, last)) = parse_file(&entry.name, self.partition) else {
                    continue;
                };
                let mut kept = manifest.files.iter().filter(|file| file.table == table);
                let is_kept = kept.any(|file| (file.first, file.last) == (first, last));
                if !is_kept && last <= manifest.through {
                    let name = format!("{folder}/{}", entry.name);
                    self.objects
                        .delete(&name)
                        .map_err(|error| LakeError::io(&name, error))?;
                }
            }
        }
        Ok(())
    }
}

/// Neighbouring files of one table whose rows fit one file.
fn groups(files: &[Listed]) -> Vec<Vec<Listed>> {
    let mut groups: Vec<Vec<Listed>> = Vec::new();
    let mut rows = 0;
    for file in files {
        let fits = rows + file.rows <= MERGED_ROWS_MAX;
        match groups.last_mut() {
            Some(group) if fits && group.last().map(|last| last.table) == Some(file.table) => {
                group.push(*file);
                rows += file.rows;
            }
            _ => {
                groups.push(vec![*file]);
                rows = file.rows;
            }
        }
    }
    groups
}
