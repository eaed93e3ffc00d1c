//! Which files hold the rows at this moment: for engines that read Parquet themselves.
//!
//! A folder alone does not say it: a merge leaves the files that it has replaced for a moment, and
//! a dead writer may have left one that no list names. So an engine is given names, not folders.

use std::collections::BTreeSet;

use tollgate_click::{Ordinal, PartitionId};

use crate::lake::columns::Schema;
use crate::lake::decode::reading;
use crate::lake::places::{Grain, Plan, Unit, parse_dt, parse_hour};
use crate::lake::view::{View, partitions};
use crate::lake::writer::LAKE;
use crate::lake::{LakeError, Objects, PERSONAL};
use crate::rollup::writer::ROLLUP;
use crate::rollup::{MINUTES, UNIQUES};

/// A table, and the files that hold its rows.
#[derive(Debug)]
pub struct LiveTable {
    /// Its name and columns.
    pub schema: &'static Schema,
    /// Names of files as [`Objects`] has them; each row is in exactly one of them.
    pub files: Vec<String>,
}

/// All rows of the lake or of the rollups that are in files.
#[derive(Debug)]
pub struct Live {
    /// The tables whose rows are all there. Coarser rollups are not among them: they stand for
    /// merged days only, and are sums of the minutes.
    pub tables: Vec<LiveTable>,
    /// Up to which record of each partition rows are in these files.
    pub through: Vec<(PartitionId, Ordinal)>,
}

/// The lake's `clicks`, `personal` and `records`.
///
/// # Errors
///
/// [`LakeError`] when a list of files cannot be read.
pub fn lake(objects: &dyn Objects) -> Result<Live, LakeError> {
    live(objects, &LAKE, LAKE.tables)
}

/// The rollups' `minutes` and `uniques`.
///
/// # Errors
///
/// As [`lake`].
pub fn rollups(objects: &dyn Objects) -> Result<Live, LakeError> {
    live(objects, &ROLLUP, &[&MINUTES, &UNIQUES])
}

fn live(
    objects: &dyn Objects,
    plan: &'static Plan,
    schemas: &[&'static Schema],
) -> Result<Live, LakeError> {
    let fresh = |schema: &&'static Schema| LiveTable {
        schema,
        files: Vec::new(),
    };
    let mut live = Live {
        tables: schemas.iter().map(fresh).collect(),
        through: Vec::new(),
    };
    for partition in partitions(objects, plan)? {
        // The catalog first: a file that a merge takes off it is named by a manifest by then.
        let view = View::open(objects, plan, partition)?;
        let mut units = merged_units(objects, plan)?;
        units.extend(view.unmerged_units());
        for unit in units {
            for listed in view.files(objects, unit)? {
                let name = plan.tables.get(listed.table).map(|schema| schema.name);
                let mut tables = live.tables.iter_mut();
                let table = tables.find(|table| Some(table.schema.name) == name);
                let Some(table) = table else { continue };
                let file = view.name(&listed);
                // Personal parts go before their time, and retention does not wait for readers.
                let is_gone = table.schema.name == PERSONAL.name && objects.size(&file).is_err();
                if !is_gone {
                    table.files.push(file);
                }
            }
        }
        live.through.push((partition, view.through()));
    }
    Ok(live)
}

/// Units that have a manifest, of any partition.
fn merged_units(objects: &dyn Objects, plan: &Plan) -> Result<BTreeSet<Unit>, LakeError> {
    let list = |folder: &str| {
        let entries = objects.list(folder);
        entries.map_err(|error| reading(folder, error))
    };
    let folder = format!("{}/manifests", plan.root);
    let mut units = BTreeSet::new();
    for day in list(&folder)? {
        let Some(number) = parse_dt(&day.name) else {
            continue;
        };
        if plan.unit == Grain::Day {
            units.insert(Unit(number));
            continue;
        }
        let hours = list(&format!("{folder}/{}", day.name))?;
        let hours = hours.iter().filter_map(|hour| parse_hour(&hour.name));
        units.extend(hours.filter_map(|hour| Some(Unit(number.checked_mul(24)? + hour))));
    }
    Ok(units)
}
