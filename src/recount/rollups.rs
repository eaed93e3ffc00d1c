//! The same answer as a recount, from the rollups: what is in files is read, and only what came
//! after is replayed. It changes nothing and works beside a live server and without one.

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::{Context, bail};
use tollgate_click::{Country, Currency, Millis, Outcome, PartitionId};
use tollgate_log::ReadOnlyLog;
use tollgate_process::{Effect, Kind, State, Tally};
use tollgate_store::lake::{Event, Objects};
use tollgate_store::rollup;
use tollgate_store::rollup::{
    Answer, AnswerRow, Key, Metric, Query, ROWS_MAX, RollupWriter, Rollups,
};

use super::dimension::{Cell, Dimension};
use super::{Complete, Question, Recount};
use crate::worker::{Follower, Seen, untouched};

const OUTCOMES: usize = Outcome::ALL.len();

/// How often an answer is tried when a live worker puts the open minutes into files meanwhile.
const ATTEMPTS: usize = 5;

/// Whether the rollups know what is asked; they keep no links, and whole minutes only.
pub(crate) fn can_answer(question: &Question) -> bool {
    let is_minute = |at: Option<Millis>| at.is_none_or(|at| at.0.is_multiple_of(60_000));
    let known = question.by.iter().all(|one| dimension(*one).is_some());
    known && is_minute(question.from) && is_minute(question.to)
}

/// Answers from the rollups of a data directory, up to the log's durable end.
pub(crate) fn answer(
    log: &ReadOnlyLog,
    objects: Arc<dyn Objects>,
    question: &Question,
) -> anyhow::Result<Recount> {
    let objects = untouched(objects);
    for attempt in 1.. {
        if attempt > 1 {
            // The files may be newer than the end of the log that was looked at.
            log.refresh().context("the log cannot be read")?;
        }
        let tail = Tail::read(log, &objects)?;
        let open = tail.writers.iter().map(|(partition, writer)| {
            let open = writer.open_minutes();
            (*partition, open)
        });
        let rollups = Rollups::new(objects.clone(), open);
        let answer = rollups
            .answer(&query(question), None)
            .context("the rollups cannot be read")?;
        if tail.is_whole(&answer) {
            return recount(question, &answer, &tail);
        }
        if attempt == ATTEMPTS {
            break;
        }
    }
    bail!("a worker writes rollups faster than they can be read; ask again, or use --recount")
}

/// What came after the files.
struct Tail {
    follower: Follower,
    writers: BTreeMap<PartitionId, RollupWriter>,
}

impl Tail {
    fn read(log: &ReadOnlyLog, objects: &Arc<dyn Objects>) -> anyhow::Result<Tail> {
        let mut writers = BTreeMap::new();
        for number in 0..log.partitions().saturating_sub(1) {
            let partition = PartitionId::new(number)?;
            // It only counts in memory here: nothing is cut.
            let writer = RollupWriter::open(objects.clone(), partition);
            writers.insert(partition, writer.context("the rollups cannot be read")?);
        }
        let through = |partition| writers.get(&partition).map(RollupWriter::through);
        let mut follower = Follower::open(log, objects, |one| through(one).unwrap_or_default())?;
        while !follower.step(|seen| count(&mut writers, &seen))? {}
        for state in follower.states() {
            if let Some(writer) = writers.get_mut(&state.partition()) {
                writer.publish(state.ordinal().max(writer.through()))?;
            }
        }
        Ok(Tail { follower, writers })
    }

    /// Whether the answer has everything that was read.
    fn is_whole(&self, answer: &Answer) -> bool {
        let through: BTreeMap<_, _> = answer.through.iter().copied().collect();
        let mut states = self.follower.states();
        states.all(|state| {
            let counted = through.get(&state.partition()).copied().unwrap_or_default();
            counted == state.ordinal()
        })
    }

    /// Everything that was ever counted, readable or not.
    fn all_clicks(&self) -> Tally {
        let mut all = Tally::default();
        self.follower
            .states()
            .for_each(|state| all.add(&state.counts().clicks));
        all
    }
}

fn count(writers: &mut BTreeMap<PartitionId, RollupWriter>, seen: &Seen<'_>) -> anyhow::Result<()> {
    let (Effect::Ended(ending), Some(writer)) =
        (&seen.effects.effect, writers.get_mut(&seen.partition))
    else {
        return Ok(());
    };
    let event = match ending.kind {
        Kind::Click => Event::Click,
        Kind::Impression => Event::Impression,
    };
    let reason = ending.reason.map_or("", |reason| reason.name());
    writer.count(event, &ending.facts, &ending.judgement, reason)?;
    Ok(())
}

/// By what the rollups are asked for a dimension.
fn dimension(one: Dimension) -> Option<rollup::Dimension> {
    Some(match one {
        Dimension::Advertiser => rollup::Dimension::Advertiser,
        Dimension::Campaign => rollup::Dimension::Campaign,
        Dimension::Ad => rollup::Dimension::Ad,
        Dimension::Publisher => rollup::Dimension::Publisher,
        Dimension::Placement => rollup::Dimension::Placement,
        Dimension::Link => return None,
        Dimension::Country => rollup::Dimension::Country,
        Dimension::Device => rollup::Dimension::AgentClass,
        Dimension::Minute => rollup::Dimension::Minute,
        Dimension::Hour => rollup::Dimension::Hour,
        Dimension::Day => rollup::Dimension::Day,
        Dimension::Outcome => rollup::Dimension::Outcome,
        Dimension::Reason => rollup::Dimension::Reason,
    })
}

fn query(question: &Question) -> Query {
    let outcomes = Outcome::ALL.into_iter().map(Metric::Of);
    let dimensions = question.by.iter().filter_map(|one| dimension(*one));
    let last = Millis::MAX.0 - Millis::MAX.0 % 60_000;
    Query {
        metrics: outcomes
            .chain([Metric::Spend, Metric::Impressions])
            .collect(),
        dimensions: dimensions.chain([rollup::Dimension::Currency]).collect(),
        filters: Vec::new(),
        from: question.from.unwrap_or(Millis(0)),
        to: question.to.unwrap_or(Millis(last)),
        limit: ROWS_MAX,
    }
}

fn recount(question: &Question, answer: &Answer, tail: &Tail) -> anyhow::Result<Recount> {
    if answer.more {
        bail!("more than {ROWS_MAX} rows: ask for fewer dimensions or a shorter time");
    }
    let mut groups: BTreeMap<Vec<Cell>, Tally> = BTreeMap::new();
    let (mut clicks, mut impressions) = (Tally::default(), 0);
    for row in &answer.rows {
        let (tally, shown) = tally(row)?;
        impressions += shown;
        if tally.records() > 0 {
            clicks.add(&tally);
            groups.entry(cells(question, row)).or_default().add(&tally);
        }
    }
    if question.from.is_none() && question.to.is_none() {
        // A record that cannot be read has no time and no cell, so it is shown only when all is.
        let unreadable = unreadable(&tail.all_clicks(), &clicks);
        if unreadable.records() > 0 {
            clicks.add(&unreadable);
            add_unreadable(&mut groups, question, &unreadable);
        }
    }
    Ok(Recount {
        groups,
        clicks,
        impressions: of_impressions(impressions),
        complete: complete(&tail.follower),
    })
}

/// A row's clicks, and its impressions.
fn tally(row: &AnswerRow) -> anyhow::Result<(Tally, u64)> {
    let mut outcomes = [0; OUTCOMES];
    for (count, value) in outcomes.iter_mut().zip(&row.values) {
        *count = u64::try_from(*value)?;
    }
    let mut more = row.values.iter().skip(OUTCOMES).copied();
    let (spend, shown) = (more.next().unwrap_or(0), more.next().unwrap_or(0));
    let currency = row.keys.last().and_then(|key| match key {
        Key::Text(text) => text.parse::<Currency>().ok(),
        Key::Number(_) => None,
    });
    let spend = currency
        .filter(|_| spend != 0)
        .map(|one| (one, i128::from(spend)));
    let tally = Tally::of_sums(outcomes, spend.into_iter().collect());
    Ok((tally, u64::try_from(shown)?))
}

fn cells(question: &Question, row: &AnswerRow) -> Vec<Cell> {
    let cells = question.by.iter().zip(&row.keys);
    cells
        .map(|(dimension, key)| cell(*dimension, key))
        .collect()
}

fn cell(dimension: Dimension, key: &Key) -> Cell {
    match (dimension, key) {
        (Dimension::Minute | Dimension::Hour | Dimension::Day, Key::Number(minute)) => {
            Cell::Time(Millis(minute.saturating_mul(60_000)))
        }
        (_, Key::Number(number)) => Cell::Number(*number),
        (Dimension::Outcome, Key::Text(text)) => {
            let named = Outcome::ALL
                .into_iter()
                .find(|outcome| outcome.name() == text);
            named.map_or(Cell::Unknown, Cell::Outcome)
        }
        (Dimension::Country, Key::Text(text)) => {
            Cell::Country(text.parse().unwrap_or(Country::UNKNOWN))
        }
        (_, Key::Text(text)) => Cell::Word(text.clone().into()),
    }
}

fn unreadable(all: &Tally, readable: &Tally) -> Tally {
    let outcomes = Outcome::ALL.map(|one| all.of(one).saturating_sub(readable.of(one)));
    Tally::of_sums(outcomes, BTreeMap::new())
}

/// Nothing is known of such records but their outcome.
fn add_unreadable(groups: &mut BTreeMap<Vec<Cell>, Tally>, question: &Question, tally: &Tally) {
    for (place, outcome) in Outcome::ALL.into_iter().enumerate() {
        let mut outcomes = [0; OUTCOMES];
        if let Some(count) = outcomes.get_mut(place) {
            *count = tally.of(outcome);
        }
        let tally = Tally::of_sums(outcomes, BTreeMap::new());
        if tally.records() > 0 {
            let cells = question.by.iter().map(|one| one.of(None, outcome));
            groups.entry(cells.collect()).or_default().add(&tally);
        }
    }
}

/// Impressions are told as one number; none of them costs anything.
fn of_impressions(gross: u64) -> Tally {
    let outcomes = Outcome::ALL.map(|one| if one == Outcome::Free { gross } else { 0 });
    Tally::of_sums(outcomes, BTreeMap::new())
}

fn complete(follower: &Follower) -> Complete {
    let marked = follower
        .states()
        .map(State::complete_before)
        .min()
        .flatten();
    Complete {
        ordinals: follower.states().map(|state| state.ordinal().0).collect(),
        clock: follower
            .states()
            .map(State::clock)
            .min()
            .unwrap_or_default(),
        complete_before: marked.map_or(Millis(0), |minute| minute.start()),
        missing: follower.states().map(State::missing).sum(),
    }
}
