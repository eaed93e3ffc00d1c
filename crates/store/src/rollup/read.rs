//! The reading half of the rollups: which files and columns a query needs, and nothing else.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use tollgate_click::{Ordinal, PartitionId};

use super::cells::{At, KEPT_BY_CAMPAIGNS, KEYS, MINUTES};
use super::query::{Answer, Dimension, Limits, Metric, Query, QueryError};
use super::sums::Sums;
use super::uniques::SKETCH;
use super::writer::{
    CAMPAIGNS_TABLE, HOURS_TABLE, MINUTES_TABLE, OpenMinutes, ROLLUP, UNIQUES_TABLE,
};
use crate::lake::columns::Column;
use crate::lake::decode::{SealedFile, reading};
use crate::lake::listing::Listed;
use crate::lake::places::{Unit, parse_dt};
use crate::lake::shelf::{View, partitions};
use crate::lake::{LakeError, Objects};

/// Footers that are kept in memory.
const FOOTERS_MAX: usize = 20_000;

/// Reads the rollups of all partitions, also while they are written.
pub struct Rollups {
    objects: Arc<dyn Objects>,
    open: BTreeMap<PartitionId, OpenMinutes>,
    limits: Limits,
    footers: Mutex<BTreeMap<String, Arc<SealedFile>>>,
}

impl Rollups {
    /// Reads what is in `objects`, and beside it the open minutes of partitions that are written
    /// in this process.
    pub fn new(
        objects: Arc<dyn Objects>,
        open: impl IntoIterator<Item = (PartitionId, OpenMinutes)>,
    ) -> Rollups {
        Rollups {
            objects,
            open: open.into_iter().collect(),
            limits: Limits::default(),
            footers: Mutex::new(BTreeMap::new()),
        }
    }

    /// The same with other limits.
    #[must_use]
    pub fn limited(self, limits: Limits) -> Rollups {
        Rollups { limits, ..self }
    }

    /// Answers a query over all partitions, or over those that are known to hold what it filters
    /// by: an advertiser lives in one.
    ///
    /// # Errors
    ///
    /// [`QueryError`]; never a part of an answer.
    pub fn answer(
        &self,
        query: &Query,
        only: Option<&[PartitionId]>,
    ) -> Result<Answer, QueryError> {
        query.check()?;
        for _ in 0..2 {
            // A merge may take a file away between listing and reading.
            match self.attempt(query, only) {
                Err(QueryError::Files(LakeError::Missing { .. })) => {}
                done => return done,
            }
        }
        self.attempt(query, only)
    }

    fn attempt(&self, query: &Query, only: Option<&[PartitionId]>) -> Result<Answer, QueryError> {
        let known = partitions(&*self.objects, &ROLLUP)?;
        let mut wanted: BTreeSet<PartitionId> = known.into_iter().collect();
        wanted.extend(self.open.keys());
        if let Some(only) = only {
            wanted.retain(|partition| only.contains(partition));
        }
        let days = self.days(query)?;
        let mut reading = Reading {
            rollups: self,
            query,
            sums: Sums::new(query, self.limits.groups),
            cells: 0,
        };
        let mut through = Vec::new();
        for partition in wanted {
            through.push((partition, reading.partition(partition, &days)?));
        }
        let cells = reading.cells;
        let (rows, more) = reading.sums.rows();
        Ok(Answer {
            rows,
            more,
            through,
            cells,
        })
    }

    /// Days of the query that have files.
    fn days(&self, query: &Query) -> Result<Vec<Unit>, LakeError> {
        let folder = format!("{}/{}", ROLLUP.root, MINUTES.name);
        let entries = self.objects.list(&folder);
        let entries = entries.map_err(|error| reading(&folder, error))?;
        let first = ROLLUP.unit.of(query.from);
        let last = ROLLUP.unit.of(tollgate_click::Millis(query.to.0 - 1)); // `to` is after `from`
        let days = entries
            .iter()
            .filter_map(|entry| parse_dt(&entry.name))
            .map(Unit);
        let mut days: Vec<Unit> = days.filter(|day| (first..=last).contains(day)).collect();
        days.sort_unstable();
        Ok(days)
    }

    /// Opens a file, or finds its footer in memory: a name never means two things.
    fn file(&self, view: &View, listed: &Listed) -> Result<Arc<SealedFile>, LakeError> {
        let name = view.name(listed);
        let mut footers = self.footers.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(file) = footers.get(&name) {
            return Ok(Arc::clone(file));
        }
        drop(footers);
        let file = Arc::new(view.open_file(&*self.objects, listed)?);
        footers = self.footers.lock().unwrap_or_else(PoisonError::into_inner);
        if footers.len() >= FOOTERS_MAX {
            footers.clear();
        }
        footers.insert(name, Arc::clone(&file));
        Ok(file)
    }
}

/// A query while it is answered.
struct Reading<'q> {
    rollups: &'q Rollups,
    query: &'q Query,
    sums: Sums<'q>,
    cells: u64,
}

impl Reading<'_> {
    fn partition(&mut self, partition: PartitionId, days: &[Unit]) -> Result<Ordinal, QueryError> {
        // The open minutes first: if a cut comes in between, the files hold them already.
        let open = self.rollups.open.get(&partition).map(OpenMinutes::get);
        let view = View::open(&*self.rollups.objects, &ROLLUP, partition)?;
        for day in days {
            let files = view.files(&*self.rollups.objects, *day)?;
            self.day(&view, &files)?;
        }
        match open.filter(|open| open.base == view.through()) {
            Some(open) => {
                for table in &open.cells {
                    let columns: Vec<Option<&Column>> = table.columns.iter().map(Some).collect();
                    self.count(table.rows())?;
                    self.sums.add(&columns, table.rows(), false)?;
                }
                Ok(open.through.max(view.through()))
            }
            None => Ok(view.through()),
        }
    }

    fn day(&mut self, view: &View, files: &[Listed]) -> Result<(), QueryError> {
        let coarse = coarsest(self.query);
        let asks_uniques = self.query.metrics.contains(&Metric::Uniques);
        for file in files {
            match file.table {
                MINUTES_TABLE => {
                    let mut coarser = files.iter().filter(|other| other.table == coarse);
                    let same =
                        |other: &&Listed| (other.first, other.last) == (file.first, file.last);
                    let file = coarser.find(same).unwrap_or(file);
                    self.file(view, file)?;
                }
                UNIQUES_TABLE if asks_uniques => self.uniques(view, file)?,
                _ => {}
            }
        }
        Ok(())
    }

    fn file(&mut self, view: &View, listed: &Listed) -> Result<(), QueryError> {
        let (from, to) = self.minutes();
        // A coarser file has the first minutes of hours.
        let low = listed.low - listed.low % 60;
        if low >= to || listed.high < from {
            return Ok(());
        }
        let objects = &*self.rollups.objects;
        let file = self.rollups.file(view, listed)?;
        for group in 0..file.groups() {
            let within = |(low, high): (u64, u64)| low >= from && high < to;
            let is_whole = file.bounds(group, At::Minute as usize).is_some_and(within);
            if !self.may_match(&file, group) {
                continue;
            }
            let rows = file.group_rows(group);
            self.count(rows)?;
            let mut columns: Vec<Option<Column>> =
                (0..MINUTES.fields.len()).map(|_| None).collect();
            for at in Sums::needs(self.query, is_whole) {
                if let Some(place) = columns.get_mut(at as usize) {
                    *place = Some(file.column(objects, group, at as usize)?);
                }
            }
            let columns: Vec<Option<&Column>> = columns.iter().map(Option::as_ref).collect();
            self.sums.add(&columns, rows, is_whole)?;
        }
        Ok(())
    }

    fn uniques(&mut self, view: &View, listed: &Listed) -> Result<(), QueryError> {
        let objects = &*self.rollups.objects;
        let file = self.rollups.file(view, listed)?;
        for group in 0..file.groups() {
            let table = file.group_table(objects, group)?;
            self.count(table.rows())?;
            for row in 0..table.rows() {
                let key = (table.u64(0, row), table.u64(1, row), table.u64(2, row));
                self.sums.add_visitors(key, table.bytes(SKETCH, row))?;
            }
        }
        Ok(())
    }

    /// Whether statistics leave room for a match.
    fn may_match(&self, file: &SealedFile, group: usize) -> bool {
        let (from, to) = self.minutes();
        if let Some((low, high)) = file.bounds(group, At::Minute as usize)
            && (low >= to || high < from)
        {
            return false;
        }
        self.query.filters.iter().all(|filter| {
            let at = filter.dimension.at() as usize;
            let grain = filter.dimension.grain();
            match file.bounds(group, at).filter(|_| at < KEYS) {
                None => true,
                Some((low, high)) => {
                    let low = low - low % grain;
                    let mut numbers = filter.any_of.iter().filter_map(super::query::Key::number);
                    numbers.any(|number| (low..=high).contains(&number))
                }
            }
        })
    }

    fn minutes(&self) -> (u64, u64) {
        (self.query.from.0 / 60_000, self.query.to.0 / 60_000)
    }

    fn count(&mut self, rows: usize) -> Result<(), QueryError> {
        self.cells = self.cells.saturating_add(rows as u64);
        let limit = self.rollups.limits.cells;
        if self.cells > limit {
            return Err(QueryError::TooManyCells(limit));
        }
        Ok(())
    }
}

/// The table with the fewest cells that can answer.
fn coarsest(query: &Query) -> usize {
    let is_lost = |dimension: Dimension| !KEPT_BY_CAMPAIGNS.contains(&dimension.at());
    match (query.is_by_hour(), query.uses(is_lost)) {
        (false, _) => MINUTES_TABLE,
        (true, true) => HOURS_TABLE,
        (true, false) => CAMPAIGNS_TABLE,
    }
}
