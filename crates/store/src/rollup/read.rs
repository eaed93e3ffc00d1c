//! The reading half of the rollups: which files and columns a query needs, and nothing else.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use tollgate_click::{Ordinal, PartitionId};

use super::cells::{At, FIELDS, KEYS};
use super::months::{MONTHS, days_with_files};
use super::query::{Answer, Limits, Metric, Query, QueryError};
use super::shapes::{DAY, DAYS_OF_MONTH, FINEST, Level, OF_DAY, WHOLE_MONTH, coarsest};
use super::sums::Sums;
use super::uniques::SKETCH;
use super::writer::{MINUTES_TABLE, OpenMinutes, ROLLUP, UNIQUES_TABLE, table_of};
use crate::lake::columns::Column;
use crate::lake::decode::SealedFile;
use crate::lake::listing::{Listed, Listing};
use crate::lake::places::{Unit, first_day, month_of};
use crate::lake::view::{View, partitions};
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
            // A merge may take a file away between listing and reading, or be ahead of the list.
            match self.attempt(query, only) {
                Err(QueryError::Files(LakeError::Missing { .. } | LakeError::Behind { .. })) => {}
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
        let first = ROLLUP.unit.of(query.from);
        let last = ROLLUP.unit.of(tollgate_click::Millis(query.to.0 - 1)); // `to` is after `from`
        let mut days = days_with_files(&*self.objects)?;
        days.retain(|day| (first..=last).contains(day));
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
        let objects = &*self.rollups.objects;
        let view = View::open(objects, &ROLLUP, partition)?;
        let folded = self.months(partition, days)?;
        let mut merged = folded.values().copied().max().unwrap_or_default();
        for day in days {
            let files = match folded.get(day) {
                Some(through) => view.unmerged(*day, *through),
                None => {
                    let (files, through) = view.files_through(objects, *day)?;
                    merged = merged.max(through);
                    files
                }
            };
            self.day(&view, &files)?;
        }
        match open.filter(|open| open.base == view.through()) {
            Some(open) => {
                if merged > view.through() {
                    // A cut and a merge came in between: the files hold open cells already.
                    let name = ROLLUP.catalog(partition);
                    return Err(LakeError::Behind { name }.into());
                }
                for piece in &open.pieces {
                    let table = piece.table()?;
                    let columns: Vec<Option<&Column>> = table.columns.iter().map(Some).collect();
                    self.count(table.rows())?;
                    let within = Some(self.query.minutes());
                    self.sums.add(&columns, table.rows(), within)?;
                }
                Ok(open.through.max(view.through()))
            }
            None => Ok(view.through()),
        }
    }

    /// Answers whole days from folded months, and says which days and up to which ordinal. The
    /// catalog was taken before: what a fold misses is in there.
    fn months(
        &mut self,
        partition: PartitionId,
        days: &[Unit],
    ) -> Result<BTreeMap<Unit, Ordinal>, QueryError> {
        let mut folded = BTreeMap::new();
        if self.query.metrics.contains(&Metric::Uniques) {
            return Ok(folded); // months have no sketches
        }
        let of_days = coarsest(&DAYS_OF_MONTH, self.query);
        let of_month = coarsest(&WHOLE_MONTH, self.query);
        let Some(of_days) = of_days else {
            return Ok(folded);
        };
        let day = u64::from(DAY);
        let minutes = self.query.minutes();
        let whole = minutes.start.div_ceil(day)..minutes.end / day;
        let view = View::without_catalog(&MONTHS, partition);
        let is_whole = |day: &&Unit| whole.contains(&u64::from(day.0));
        let whole_days: Vec<Unit> = days.iter().filter(is_whole).copied().collect();
        for of_one in whole_days.chunk_by(|one, other| month_of(one.0) == month_of(other.0)) {
            let Some(month) = of_one.first().map(|day| month_of(day.0)) else {
                continue;
            };
            let name = MONTHS.manifest(Unit(month), partition);
            let manifest = Listing::load(&*self.rollups.objects, &MONTHS, &name)?;
            let Some(manifest) = manifest else { continue };
            let all = u64::from(first_day(month))..u64::from(first_day(month.saturating_add(1)));
            let is_all = whole.start <= all.start && all.end <= whole.end;
            let (level, within) = match of_month.filter(|_| is_all) {
                Some(of_month) => (of_month, 0..1),
                None => (of_days, whole.start * day..whole.end * day),
            };
            for file in &manifest.files {
                let table = MONTHS.tables.get(file.table);
                if table.is_some_and(|table| table.name == level.schema.name) {
                    self.file(&view, file, level, within.clone())?;
                }
            }
            folded.extend(of_one.iter().map(|day| (*day, manifest.through)));
        }
        Ok(folded)
    }

    fn day(&mut self, view: &View, files: &[Listed]) -> Result<(), QueryError> {
        let level = Some(&OF_DAY).filter(|_| self.query.is_by_hour());
        let level = level.and_then(|levels| coarsest(levels, self.query));
        let asks_uniques = self.query.metrics.contains(&Metric::Uniques);
        let minutes = self.query.minutes();
        for file in files {
            match file.table {
                MINUTES_TABLE => {
                    let same = |other: &&Listed| {
                        let is_coarser = level.map(|level| table_of(level.schema));
                        Some(other.table) == is_coarser
                            && (other.first, other.last) == (file.first, file.last)
                    };
                    match (files.iter().find(same), level) {
                        (Some(coarser), Some(level)) => {
                            self.file(view, coarser, level, minutes.clone())?;
                        }
                        _ => self.file(view, file, &FINEST, minutes.clone())?,
                    }
                }
                UNIQUES_TABLE if asks_uniques => self.uniques(view, file)?,
                _ => {}
            }
        }
        Ok(())
    }

    fn file(
        &mut self,
        view: &View,
        listed: &Listed,
        level: &Level,
        within: Range<u64>,
    ) -> Result<(), QueryError> {
        // A coarser file has the first minutes of its spans.
        let low = listed.low - listed.low % u64::from(level.shape.minutes);
        if low >= within.end || listed.high < within.start {
            return Ok(());
        }
        let objects = &*self.rollups.objects;
        let file = self.rollups.file(view, listed)?;
        for group in 0..file.groups() {
            if !self.may_match(&file, group, &within) {
                continue;
            }
            let bounds = file.bounds(group, At::Minute as usize);
            let is_whole =
                bounds.is_some_and(|(low, high)| low >= within.start && high < within.end);
            let rows = file.group_rows(group);
            self.count(rows)?;
            let mut columns: Vec<Option<Column>> = FIELDS.iter().map(|_| None).collect();
            for at in Sums::needs(self.query, is_whole) {
                if let Some(place) = columns.get_mut(at as usize) {
                    *place = Some(file.column(objects, group, at as usize)?);
                }
            }
            let columns: Vec<Option<&Column>> = columns.iter().map(Option::as_ref).collect();
            let within = Some(within.clone()).filter(|_| !is_whole);
            self.sums.add(&columns, rows, within)?;
        }
        Ok(())
    }

    fn uniques(&mut self, view: &View, listed: &Listed) -> Result<(), QueryError> {
        let objects = &*self.rollups.objects;
        let file = self.rollups.file(view, listed)?;
        for group in 0..file.groups() {
            // Advertiser, campaign and minute stand in the same places as with cells.
            if !self.may_match(&file, group, &self.query.minutes()) {
                continue;
            }
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
    fn may_match(&self, file: &SealedFile, group: usize, within: &Range<u64>) -> bool {
        if let Some((low, high)) = file.bounds(group, At::Minute as usize)
            && (low >= within.end || high < within.start)
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

    fn count(&mut self, rows: usize) -> Result<(), QueryError> {
        self.cells = self.cells.saturating_add(rows as u64);
        let limit = self.rollups.limits.cells;
        if self.cells > limit {
            return Err(QueryError::TooManyCells(limit));
        }
        Ok(())
    }
}
