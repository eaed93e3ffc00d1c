//! One partition: its state, and what its records come to in each store.

use tollgate_click::control::Payment;
use tollgate_click::{AdvertiserId, ControlNumber, Millis, Ordinal, Outcome, PartitionId};
use tollgate_log::Cursor;
use tollgate_process::{
    Class, Effect, Effects, Ending, Incoming, Kind, NotApplied, State, apply_all,
};
use tollgate_store::lake::{Cut, Event, Hour, LakeError, LakeRow, LakeWriter, RuleHit};
use tollgate_store::ledger::Watermark;
use tollgate_store::ledger::minute::Payer;
use tollgate_store::rollup::{Day, Month, OpenMinutes, RollupWriter};

use super::batch::{Batch, Taken};
use super::pace::Pace;
use super::patience::{GaveUp, Patience};
use super::posting::Postings;
use super::progress::PartitionView;
use super::snapshots::Keepsake;

/// Records after which the lake is cut: some 30 MB of rows a partition.
const LAKE_ORDINALS_MAX: u64 = 32_768;

/// Records after which the rollups are cut.
const ROLLUP_ORDINALS_MAX: u64 = 131_072;

/// Clicks that are applied at once: what they come to fits a processor's cache.
const RUN: usize = 128;

/// A state is kept after this time of the log at the latest.
const SNAPSHOT_MS: u64 = 15 * 60_000;

/// An hour or a day is merged this long after its end, so that most of what is late has come.
const MERGE_DELAY_MS: u64 = 10 * 60_000;
const HOUR_MS: u64 = 3_600_000;
const DAY_MS: u64 = 24 * HOUR_MS;

/// A partition that is being processed.
pub(super) struct PartitionWorker {
    state: State,
    /// Records before this place are in the state already.
    from: Cursor,
    /// Behind the last record that was applied.
    cursor: Cursor,
    /// Of the lease.
    epoch: u64,
    postings: Postings,
    /// None where no lake is kept.
    lake: Option<LakeWriter>,
    lake_pace: Pace,
    rollup: RollupWriter,
    rollup_pace: Pace,
    published: Ordinal,
    changes: Vec<(ControlNumber, Result<(), String>)>,
    hits: Vec<RuleHit<'static>>,
    told: Vec<Effects>,
    /// Ordinal and clock of the last state that was handed over to be kept.
    kept: (Ordinal, Millis),
    /// Months of the rollups that are not folded; none when that must be looked for.
    to_fold: Option<Vec<Month>>,
    halt: Option<String>,
}

/// Where a partition begins.
pub(super) struct Begin {
    pub(super) state: State,
    pub(super) from: Cursor,
    pub(super) epoch: u64,
    pub(super) watermark: Watermark,
    pub(super) lake: Option<LakeWriter>,
    pub(super) rollup: RollupWriter,
}

impl PartitionWorker {
    /// Goes on from what was kept.
    pub(super) fn new(begin: Begin) -> PartitionWorker {
        let partition = begin.state.partition();
        PartitionWorker {
            from: begin.from,
            cursor: begin.from,
            epoch: begin.epoch,
            postings: Postings::new(partition, begin.epoch, &begin.watermark),
            lake_pace: Pace::new(
                partition,
                20_000,
                LAKE_ORDINALS_MAX,
                begin.lake.as_ref().map_or(Ordinal(0), LakeWriter::through),
            ),
            lake: begin.lake,
            rollup_pace: Pace::new(
                partition,
                50_000,
                ROLLUP_ORDINALS_MAX,
                begin.rollup.through(),
            ),
            published: begin.rollup.through(),
            rollup: begin.rollup,
            changes: Vec::new(),
            hits: Vec::new(),
            told: Vec::new(),
            kept: (begin.state.ordinal(), begin.state.clock()),
            state: begin.state,
            to_fold: None,
            halt: None,
        }
    }

    /// Its number.
    pub(super) fn partition(&self) -> PartitionId {
        self.state.partition()
    }

    /// Whether it has stopped.
    pub(super) fn is_halted(&self) -> bool {
        self.halt.is_some()
    }

    /// Stops it for good.
    pub(super) fn halt(&mut self, why: String) {
        if self.halt.is_none() {
            tracing::error!(
                partition = self.partition().get(),
                why,
                "the partition stops"
            );
            self.halt = Some(why);
        }
    }

    /// Applies a batch and takes what it comes to. Store by store only what the store does not have
    /// is taken, so that a replay repeats nothing.
    ///
    /// Clicks are applied many at once. Nothing that is looked up for them here (the clock, how an
    /// advertiser pays) changes from one click to the next; every other record is applied alone.
    pub(super) fn take_all(
        &mut self,
        batch: &Batch,
        patience: &mut dyn Patience,
    ) -> Result<(), GaveUp> {
        if self.halt.is_some() {
            return Ok(());
        }
        let records: Vec<Taken<'_>> = batch.from(self.from).collect();
        let together = |one: &Taken<'_>, other: &Taken<'_>| one.is_event && other.is_event;
        for run in records.chunk_by(together) {
            for run in run.chunks(RUN) {
                self.take(run, patience)?;
                if self.halt.is_some() {
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    /// One record, or a run of clicks.
    fn take(&mut self, run: &[Taken<'_>], patience: &mut dyn Patience) -> Result<(), GaveUp> {
        let before = self.state.clock();
        let incoming: Vec<Incoming<'_>> = run.iter().map(|taken| taken.incoming).collect();
        let mut told = std::mem::take(&mut self.told);
        told.clear();
        let applied = apply_all(&mut self.state, &incoming, &mut told);
        for (effects, taken) in told.iter().zip(run) {
            self.cursor = taken.cursor.after();
            if let Err(why) = self.perform(effects, taken, before) {
                self.halt(why);
                break;
            }
            self.cut(effects.ordinal, before, patience)?;
        }
        self.told = told;
        if let Err((_, halt)) = applied {
            self.halt(halt.to_string());
        }
        if before == Millis(0) {
            self.kept.1 = self.state.clock(); // the age of what was never kept counts from here
        }
        Ok(())
    }

    fn perform(
        &mut self,
        effects: &Effects,
        taken: &Taken<'_>,
        before: Millis,
    ) -> Result<(), String> {
        let (ordinal, facts) = (effects.ordinal, taken.incoming.facts);
        match &effects.effect {
            Effect::Ended(ending) => self.end(ordinal, ending, taken.personal)?,
            Effect::Tick { tick, counted, .. } => {
                if *counted && tick.epoch > self.epoch {
                    return Err(format!(
                        "another worker has taken over with epoch {}; this one had {}",
                        tick.epoch, self.epoch
                    ));
                }
                self.keep_record(ordinal, facts)?;
            }
            Effect::Control { number, applied } => {
                self.changes.push((*number, told(*applied)));
                self.keep_record(ordinal, facts)?;
            }
            Effect::Money {
                number, accepted, ..
            } => {
                let refused = accepted.map_err(|refusal| refusal.to_string());
                self.changes.push((*number, refused));
                self.keep_record(ordinal, facts)?;
            }
            Effect::Mark(_) | Effect::Unreadable { .. } => {
                self.keep_record(ordinal, facts)?;
            }
        }
        let Some(money) = effects.effect.money_to_post() else {
            let at = (&self.state, self.cursor);
            self.postings.close(ordinal, before, at);
            return Ok(());
        };
        let (payer, at) = (self.payer(money.advertiser), (&self.state, self.cursor));
        self.postings.post_money((ordinal, money), payer, at)
    }

    /// A click or an impression.
    fn end(
        &mut self,
        ordinal: Ordinal,
        ending: &Ending,
        personal: Option<&[u8]>,
    ) -> Result<(), String> {
        let (facts, judgement) = (&ending.facts, ending.judgement);
        let reason = ending.reason.map_or("", |reason| reason.name());
        let event = match ending.kind {
            Kind::Click => Event::Click,
            Kind::Impression => Event::Impression,
        };
        if self.postings.wants(ordinal) {
            let payer = match judgement.outcome {
                Outcome::Billed => self.payer(facts.advertiser),
                _ => Payer::Credit, // it pays nothing
            };
            self.postings.count(facts, &judgement, payer)?;
        }
        if ordinal > self.rollup_pace.after() {
            let counted = self.rollup.count(event, facts, &judgement, reason);
            counted.map_err(|error| error.to_string())?;
            self.rollup_pace.filled();
        }
        if let Some(lake) = &mut self.lake
            && ordinal > self.lake_pace.after()
        {
            hits_of(ending, &mut self.hits);
            let row = LakeRow {
                event,
                facts,
                judgement,
                reason,
                hits: &self.hits,
                personal,
            };
            lake.push(&row).map_err(|error| error.to_string())?;
            self.lake_pace.filled();
        }
        Ok(())
    }

    /// A record that is no readable click.
    fn keep_record(&mut self, ordinal: Ordinal, facts: &[u8]) -> Result<(), String> {
        match &mut self.lake {
            Some(lake) if ordinal > self.lake_pace.after() => {
                let kept = lake.push_record(ordinal, self.state.clock(), facts);
                kept.map_err(|error| error.to_string())
            }
            _ => Ok(()),
        }
    }

    /// From which account an advertiser pays at this moment of the log.
    fn payer(&self, advertiser: AdvertiserId) -> Payer {
        match self.state.payment(advertiser) {
            Some((Payment::Prepaid, _)) => Payer::Prepaid,
            Some((Payment::Open | Payment::Credit { .. }, _)) | None => Payer::Credit,
        }
    }

    /// What is to be committed.
    pub(super) fn postings(&mut self) -> &mut Postings {
        &mut self.postings
    }

    /// Cuts the stores whose turn it is. A disk that says no is asked again; meanwhile nothing is
    /// read, so the log is the spool and memory stays bounded.
    fn cut(
        &mut self,
        ordinal: Ordinal,
        before: Millis,
        patience: &mut dyn Patience,
    ) -> Result<(), GaveUp> {
        let clock = self.state.clock();
        if let Some(lake) = &mut self.lake
            && let Some(first) = self.lake_pace.cuts(ordinal, before, clock)
        {
            let cut = insist(patience, || lake.cut(first, ordinal))?;
            self.has_cut(cut);
            self.lake_pace.cut(ordinal);
        }
        if let Some(first) = self.rollup_pace.cuts(ordinal, before, clock) {
            let rollup = &mut self.rollup;
            let cut = insist(patience, || rollup.cut(first, ordinal))?;
            self.has_cut(cut);
            self.rollup_pace.cut(ordinal);
            self.published = self.published.max(ordinal);
        }
        Ok(())
    }

    fn has_cut(&mut self, cut: Result<Cut, LakeError>) {
        match cut {
            Ok(Cut::Written { set_aside }) => {
                for file in set_aside {
                    tracing::warn!(file, "a damaged file was set aside and written anew");
                }
            }
            Ok(Cut::Before) => {}
            Err(error) => self.halt(error.to_string()),
        }
    }

    /// Shows reports what was counted since the last time.
    pub(super) fn publish(&mut self) {
        let ordinal = self.state.ordinal();
        if self.halt.is_some() || ordinal <= self.published {
            return;
        }
        match self.rollup.publish(ordinal) {
            Ok(()) => self.published = ordinal,
            Err(error) => self.halt(error.to_string()),
        }
    }

    /// Merges the files of one unit of time that is over, or folds a month; false when there is
    /// none.
    pub(super) fn merge_one(&mut self) -> Result<bool, LakeError> {
        let over = self.state.clock().0.saturating_sub(MERGE_DELAY_MS);
        let is_over = |number: u32, each_ms: u64| (u64::from(number) + 1) * each_ms <= over;
        if let Some(lake) = &mut self.lake {
            let mut hours = lake.unmerged().into_iter();
            if let Some(hour) = hours.find(|Hour(hour)| is_over(*hour, HOUR_MS)) {
                return lake.merge(hour).map(|()| true);
            }
        }
        let mut days = self.rollup.unmerged().into_iter();
        if let Some(day) = days.find(|Day(day)| is_over(*day, DAY_MS)) {
            self.to_fold = None;
            return self.rollup.merge(day).map(|()| true);
        }
        // Once after each merged day, and after a start.
        let to_fold = match &mut self.to_fold {
            Some(months) => months,
            None => self.to_fold.insert(self.rollup.unfolded()?),
        };
        match to_fold.pop() {
            Some(month) => self.rollup.fold(month).map(|()| true),
            None => Ok(false),
        }
    }

    /// What reports see beside the files.
    pub(super) fn open_minutes(&self) -> OpenMinutes {
        self.rollup.open_minutes()
    }

    /// Changes that have come since the last time, each with what became of it.
    pub(super) fn changes(&mut self) -> Vec<(ControlNumber, Result<(), String>)> {
        std::mem::take(&mut self.changes)
    }

    /// Behind the last record that was applied.
    pub(super) fn cursor(&self) -> Cursor {
        self.cursor
    }

    /// Whether its state should be kept again.
    pub(super) fn wants_snapshot(&self, ordinals: u64) -> bool {
        let (ordinal, clock) = self.kept;
        let is_time = self.state.clock().since(clock) >= SNAPSHOT_MS;
        let records = self.state.ordinal().0.saturating_sub(ordinal.0);
        self.halt.is_none() && records > 0 && (records >= ordinals || is_time)
    }

    /// What is kept. A record that halts leaves the state as it was, so the state always is the
    /// one behind the cursor.
    pub(super) fn keepsake(&self) -> Keepsake {
        let lowest = self.postings.posted().0.min(self.rollup.through());
        let lake = self.lake.as_ref().map(LakeWriter::through);
        Keepsake {
            state: self.state.clone(),
            cursor: self.cursor,
            lowest: lake.map_or(lowest, |lake| lake.min(lowest)),
        }
    }

    /// It was handed over.
    pub(super) fn has_snapshot(&mut self) {
        self.kept = (self.state.ordinal(), self.state.clock());
    }

    /// How far it is.
    pub(super) fn view(&self) -> PartitionView {
        let (posted, closed_before) = self.postings.posted();
        PartitionView {
            partition: self.partition(),
            clock: self.state.clock(),
            complete_before: self.state.complete_before(),
            ordinal: self.state.ordinal(),
            missing: self.state.missing(),
            published: self.published,
            posted,
            closed_before,
            lake: self.lake.as_ref().map_or(Ordinal(0), LakeWriter::through),
            rollup: self.rollup.through(),
            halt: self.halt.clone(),
        }
    }
}

/// The rules that hit, as the lake keeps them.
pub(super) fn hits_of(ending: &Ending, hits: &mut Vec<RuleHit<'static>>) {
    hits.clear();
    hits.extend(ending.hits.iter().map(|rule| RuleHit {
        rule: rule.name,
        version: rule.version,
        class: match rule.class {
            Class::Givt => "givt",
            Class::Sivt => "sivt",
        },
    }));
}

/// A repeat has taken effect before.
fn told(applied: Result<(), NotApplied>) -> Result<(), String> {
    match applied {
        Ok(()) | Err(NotApplied::Repeat) => Ok(()),
        Err(contradicts @ NotApplied::OtherCurrency) => Err(contradicts.to_string()),
    }
}

/// Tries until it succeeds, fails for good, or patience ends.
fn insist<T>(
    patience: &mut dyn Patience,
    mut attempt: impl FnMut() -> Result<T, LakeError>,
) -> Result<Result<T, LakeError>, GaveUp> {
    loop {
        match attempt() {
            Err(error @ LakeError::Io { .. }) => patience.wait(&error.to_string())?,
            done => return Ok(done),
        }
    }
}
