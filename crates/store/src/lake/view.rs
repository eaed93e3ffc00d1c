//! What a reader sees of a partition's files: the catalog first, then manifests, so that a merge
//! shows in one step.

use std::collections::BTreeSet;
use std::io;

use tollgate_click::{Ordinal, PartitionId};

use super::decode::{SealedFile, reading};
use super::errors::LakeError;
use super::listing::{Listed, Listing};
use super::objects::Objects;
use super::places::{Plan, Unit};

/// What a reader sees of a partition.
pub(crate) struct View {
    pub(crate) partition: PartitionId,
    plan: &'static Plan,
    catalog: Listing,
}

impl View {
    /// Takes the catalog; a partition without one has no rows yet.
    pub(crate) fn open(
        objects: &dyn Objects,
        plan: &'static Plan,
        partition: PartitionId,
    ) -> Result<View, LakeError> {
        let catalog = Listing::load(objects, plan, &plan.catalog(partition))?;
        Ok(View {
            partition,
            plan,
            catalog: catalog.unwrap_or_default(),
        })
    }

    /// Files of another plan that have manifests and no catalog.
    pub(crate) fn without_catalog(plan: &'static Plan, partition: PartitionId) -> View {
        View {
            partition,
            plan,
            catalog: Listing::default(),
        }
    }

    /// The last ordinal that the view holds.
    pub(crate) fn through(&self) -> Ordinal {
        self.catalog.through
    }

    /// The files of a unit.
    pub(crate) fn files(
        &self,
        objects: &dyn Objects,
        unit: Unit,
    ) -> Result<Vec<Listed>, LakeError> {
        self.files_through(objects, unit).map(|(files, _)| files)
    }

    /// The files of a unit, and how far those of them go that are merged.
    pub(crate) fn files_through(
        &self,
        objects: &dyn Objects,
        unit: Unit,
    ) -> Result<(Vec<Listed>, Ordinal), LakeError> {
        let name = self.plan.manifest(unit, self.partition);
        let manifest = Listing::load(objects, self.plan, &name)?.unwrap_or_default();
        let files = uncovered(&manifest, &self.catalog, unit);
        Ok((files, manifest.through))
    }

    /// Units with files that the catalog names.
    pub(crate) fn unmerged_units(&self) -> impl Iterator<Item = Unit> + '_ {
        self.catalog.files.iter().map(|file| file.unit)
    }

    /// Files of a unit that no merge has seen, after an ordinal.
    pub(crate) fn unmerged(&self, unit: Unit, after: Ordinal) -> Vec<Listed> {
        let files = self.catalog.files.iter().copied();
        files
            .filter(|file| file.unit == unit && file.last > after)
            .collect()
    }

    /// The file of that name, if a list names it.
    pub(crate) fn listed(&self, objects: &dyn Objects, name: &str) -> Result<Listed, LakeError> {
        let missing = || LakeError::Missing {
            name: name.to_owned(),
        };
        let unit = self.plan.unit_of(name).ok_or_else(missing)?;
        let files = self.files(objects, unit)?;
        let found = files.into_iter().find(|file| self.name(file) == name);
        found.ok_or_else(missing)
    }

    /// The file of another table that has the same ordinals.
    pub(crate) fn sibling(
        &self,
        objects: &dyn Objects,
        file: &Listed,
        table: usize,
    ) -> Result<Listed, LakeError> {
        let files = self.files(objects, file.unit)?;
        let same = |other: &Listed| {
            other.table == table && (other.first, other.last) == (file.first, file.last)
        };
        let found = files.into_iter().find(same);
        found.ok_or_else(|| LakeError::Missing {
            name: self.name(&Listed { table, ..*file }),
        })
    }

    /// The name of a file of the view.
    pub(crate) fn name(&self, file: &Listed) -> String {
        let schema = self.plan.tables.get(file.table);
        let ordinals = (file.first, file.last);
        schema.map_or_else(String::new, |schema| {
            self.plan.file(schema, file.unit, self.partition, ordinals)
        })
    }

    /// Opens a file of the view.
    pub(crate) fn open_file(
        &self,
        objects: &dyn Objects,
        file: &Listed,
    ) -> Result<SealedFile, LakeError> {
        let Some(schema) = self.plan.tables.get(file.table).copied() else {
            return Err(LakeError::corrupt(self.plan.root, "no such table"));
        };
        let ordinals = (file.first, file.last);
        let name = self.name(file);
        let opened = SealedFile::open(objects, &name, schema)?;
        let is_it = opened.partition == self.partition && opened.ordinals == ordinals;
        if is_it && opened.rows() as u64 == file.rows {
            Ok(opened)
        } else {
            Err(LakeError::corrupt(
                &name,
                "it is another file under this name",
            ))
        }
    }
}

/// Tries again when a merge took a file away between listing and reading.
pub(crate) fn with_fresh_view<T>(
    attempt: impl Fn() -> Result<T, LakeError>,
) -> Result<T, LakeError> {
    for _ in 0..2 {
        match attempt() {
            Err(LakeError::Missing { .. }) => {}
            done => return done,
        }
    }
    attempt()
}

/// The files of a manifest and those of the catalog that it does not cover.
pub(crate) fn uncovered(manifest: &Listing, catalog: &Listing, unit: Unit) -> Vec<Listed> {
    let mut files = manifest.files.clone();
    let recent = catalog.files.iter().filter(|file| file.unit == unit);
    files.extend(recent.filter(|file| file.last > manifest.through));
    files.sort_unstable();
    files
}

/// Partitions that have a catalog.
pub(crate) fn partitions(
    objects: &dyn Objects,
    plan: &Plan,
) -> Result<Vec<PartitionId>, LakeError> {
    let folder = plan.catalogs();
    let entries = objects
        .list(&folder)
        .map_err(|error: io::Error| reading(&folder, error))?;
    let found = entries
        .iter()
        .filter_map(|entry| super::places::parse_catalog(&entry.name));
    let found: BTreeSet<PartitionId> = found.collect();
    Ok(found.into_iter().collect())
}
