//! The recount by replay: the log from its start through the core, partition by partition.
//!
//! It works beside a live server and without one, changes nothing, and refuses when the start of
//! the log is gone, since a state that begins in the middle bills nonces twice.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::mpsc::{Sender, channel};

use anyhow::{Context, bail};
use tollgate_click::{Millis, Minute, PartitionId};
use tollgate_log::{
    Cursor, Partition, PartitionSet, Progress, Read, ReadBudget, ReadError, ReadFrom, ReadOnlyLog,
    RecordRef,
};
use tollgate_process::{
    ApplyVersion, Effect, Effects, Ending, Incoming, Kind, State, Tally, apply_all,
};

pub(crate) mod dimension;
pub(crate) mod rollups;

use dimension::{Cell, Dimension};

/// What is counted by what, over which time.
#[derive(Clone, Default, Debug)]
pub(crate) struct Question {
    /// The columns of the groups, in their order.
    pub(crate) by: Vec<Dimension>,
    /// Clicks reported at or after this.
    pub(crate) from: Option<Millis>,
    /// Clicks reported before this.
    pub(crate) to: Option<Millis>,
}

/// What a recount has found.
#[derive(Debug)]
pub(crate) struct Recount {
    /// Clicks by the question's dimensions.
    pub(crate) groups: BTreeMap<Vec<Cell>, Tally>,
    /// All clicks of the question's time.
    pub(crate) clicks: Tally,
    /// All impressions of the question's time.
    pub(crate) impressions: Tally,
    /// What the answer is complete up to.
    pub(crate) complete: Complete,
}

/// Up to where the log was read.
#[derive(Clone, Debug)]
pub(crate) struct Complete {
    /// Records of each partition, which is the ordinal of its last one.
    pub(crate) ordinals: Vec<u64>,
    /// The newest tick; 0 when there is none.
    pub(crate) clock: Millis,
    /// No edge will send anything that it received before; 0 when no edge has said so.
    pub(crate) complete_before: Millis,
    /// Records that must exist and have not come.
    pub(crate) missing: u64,
}

/// Groups beyond this are refused: the answer would not fit memory, nor any reader.
const GROUPS_MAX: usize = 1_000_000;

/// Records of a partition that are applied at once.
const RUN: usize = 128;

/// Reads the log to its durable end: partitions by turns, as many at once as there are processors,
/// for none knows of another. `progress` hears how far the log was read on average and how many
/// records were, broadcasts once for each partition.
pub(crate) fn run(
    log: &ReadOnlyLog,
    question: &Question,
    mut progress: impl FnMut(u64, u64),
) -> anyhow::Result<Recount> {
    let partitions = log.partitions().saturating_sub(1);
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    let (next, (tell, told)) = (AtomicU16::new(0), channel());
    std::thread::scope(|scope| {
        for _ in 0..processors.min(usize::from(partitions)) {
            let (next, tell) = (&next, tell.clone());
            scope.spawn(move || {
                while let Some(partition) = take_turn(next, partitions) {
                    let counted = of_partition(log, question, partition, &tell);
                    let failed = counted.is_err();
                    // Nobody listens any more when another partition has failed.
                    if tell
                        .send(Told::Counted(partition, counted.map(Box::new)))
                        .is_err()
                        || failed
                    {
                        next.store(partitions, Ordering::Relaxed);
                    }
                }
            });
        }
        drop(tell);
        let mut sum = Sum::default();
        let (mut records, mut positions) = (0, vec![0; usize::from(partitions)]);
        for told in told {
            match told {
                Told::Read(partition, step) => {
                    records += step.records as u64;
                    if let Some(position) = positions.get_mut(usize::from(partition)) {
                        *position = step.cursor.position;
                    }
                    let all: u64 = positions.iter().sum();
                    progress(all / u64::from(partitions.max(1)), records);
                }
                Told::Counted(partition, counted) => sum.add(partition, *counted?)?,
            }
        }
        Ok(sum.finish(question))
    })
}

/// What a thread tells.
enum Told {
    Read(u16, Progress),
    Counted(u16, anyhow::Result<Box<Counted>>),
}

fn take_turn(next: &AtomicU16, partitions: u16) -> Option<u16> {
    let partition = next.fetch_add(1, Ordering::Relaxed);
    (partition < partitions).then_some(partition)
}

/// One partition from the log's start to its end.
fn of_partition(
    log: &ReadOnlyLog,
    question: &Question,
    partition: u16,
    tell: &Sender<Told>,
) -> anyhow::Result<Counted> {
    let mut counting = Counting::new(PartitionId::new(partition)?, question);
    let only = PartitionSet::from(Partition(partition));
    let reader = log.reader(only, from_the_start(log));
    let mut reader = reader.map_err(refuse_gone)?;
    reader.skip_personal();
    loop {
        let mut fault = None;
        let read = reader.read(ReadBudget::default(), &mut |record| {
            if fault.is_none() {
                fault = counting.take(&record).err();
            }
        });
        if let Some(fault) = fault {
            return Err(fault);
        }
        let step = read.map_err(refuse_gone)?;
        // Who listens has gone only if the answer is of no use any more.
        if tell.send(Told::Read(partition, step)).is_err() || step.at_end {
            return counting.finish();
        }
    }
}

/// The first place that a log can have, so that a start that was cut off is told.
fn from_the_start(log: &ReadOnlyLog) -> ReadFrom {
    ReadFrom::Cursor(Cursor {
        position: 0,
        ..log.durable()
    })
}

fn refuse_gone(error: ReadError) -> anyhow::Error {
    match error {
        ReadError::Gone { .. } => anyhow::anyhow!(
            "retention has cut off the start of the log: a recount by replay needs all of it"
        ),
        other => anyhow::Error::new(other).context("the log cannot be read"),
    }
}

/// One partition's part of the answer.
struct Counted {
    groups: BTreeMap<Vec<Cell>, Tally>,
    clicks: Tally,
    impressions: Tally,
    ordinal: u64,
    clock: Millis,
    complete_before: Option<Minute>,
    missing: u64,
}

/// A partition while it is counted.
struct Counting<'q> {
    question: &'q Question,
    state: State,
    groups: BTreeMap<Vec<Cell>, Tally>,
    clicks: Tally,
    impressions: Tally,
    /// Records that were read and are not applied: their bytes, and where each ends.
    bytes: Vec<u8>,
    waiting: Vec<Waiting>,
    told: Vec<Effects>,
}

#[derive(Clone, Copy)]
struct Waiting {
    end: usize,
    session: u64,
    sequence: u64,
    broadcast: bool,
}

impl<'q> Counting<'q> {
    fn new(partition: PartitionId, question: &'q Question) -> Counting<'q> {
        Counting {
            question,
            state: State::new(partition, ApplyVersion::V1),
            groups: BTreeMap::new(),
            clicks: Tally::default(),
            impressions: Tally::default(),
            bytes: Vec::new(),
            waiting: Vec::new(),
            told: Vec::new(),
        }
    }

    fn take(&mut self, record: &RecordRef<'_>) -> anyhow::Result<()> {
        self.bytes.extend_from_slice(record.facts);
        self.waiting.push(Waiting {
            end: self.bytes.len(),
            session: record.session,
            sequence: record.sequence,
            broadcast: record.partition == Partition::ALL,
        });
        if self.waiting.len() == RUN {
            self.apply()?;
        }
        Ok(())
    }

    /// Applies what waits, and counts what it comes to.
    fn apply(&mut self) -> anyhow::Result<()> {
        let mut start = 0;
        let incoming = self.waiting.iter().map(|one| {
            let facts = self.bytes.get(start..one.end).unwrap_or_default();
            start = one.end;
            Incoming {
                facts,
                session: one.session,
                sequence: one.sequence,
                broadcast: one.broadcast,
            }
        });
        let incoming: Vec<Incoming<'_>> = incoming.collect();
        let partition = self.state.partition();
        let (question, groups) = (self.question, &mut self.groups);
        let (clicks, impressions) = (&mut self.clicks, &mut self.impressions);
        self.told.clear();
        let applied = apply_all(&mut self.state, &incoming, &mut self.told);
        for effects in &self.told {
            if !question.by.is_empty() {
                count(groups, question, effects);
            }
            tally(clicks, impressions, question, effects);
        }
        applied
            .map_err(|(_, halt)| halt)
            .with_context(|| format!("partition {partition} halts"))?;
        self.bytes.clear();
        self.waiting.clear();
        check_groups(&self.groups)
    }

    fn finish(mut self) -> anyhow::Result<Counted> {
        self.apply()?;
        Ok(Counted {
            ordinal: self.state.ordinal().0,
            clock: self.state.clock(),
            complete_before: self.state.complete_before(),
            missing: self.state.missing(),
            groups: self.groups,
            clicks: self.clicks,
            impressions: self.impressions,
        })
    }
}

/// All partitions that were counted.
#[derive(Default)]
struct Sum {
    counted: BTreeMap<u16, Counted>,
    groups: BTreeMap<Vec<Cell>, Tally>,
}

impl Sum {
    fn add(&mut self, partition: u16, mut counted: Counted) -> anyhow::Result<()> {
        for (cells, tally) in std::mem::take(&mut counted.groups) {
            self.groups.entry(cells).or_default().add(&tally);
        }
        self.counted.insert(partition, counted);
        check_groups(&self.groups)
    }

    fn finish(mut self, question: &Question) -> Recount {
        let of = self.counted.values();
        let (mut clicks, mut impressions) = (Tally::default(), Tally::default());
        for one in of.clone() {
            clicks.add(&one.clicks);
            impressions.add(&one.impressions);
        }
        // One group of everything needs no look at each click.
        if question.by.is_empty() && clicks.records() > 0 {
            self.groups.insert(Vec::new(), clicks.clone());
        }
        let complete_before = of.clone().map(|one| one.complete_before).min().flatten();
        let complete = Complete {
            ordinals: of.clone().map(|one| one.ordinal).collect(),
            clock: of.clone().map(|one| one.clock).min().unwrap_or_default(),
            complete_before: complete_before.map_or(Millis(0), |minute| minute.start()),
            missing: of.map(|one| one.missing).sum(),
        };
        Recount {
            groups: self.groups,
            clicks,
            impressions,
            complete,
        }
    }
}

fn check_groups(groups: &BTreeMap<Vec<Cell>, Tally>) -> anyhow::Result<()> {
    if groups.len() > GROUPS_MAX {
        bail!("more than {GROUPS_MAX} groups: ask for fewer dimensions or a shorter time");
    }
    Ok(())
}

fn count(groups: &mut BTreeMap<Vec<Cell>, Tally>, question: &Question, effects: &Effects) {
    let (ending, judgement) = match &effects.effect {
        Effect::Ended(ending) if ending.kind == Kind::Click && inside(question, ending) => {
            (Some(ending), &ending.judgement)
        }
        Effect::Unreadable { judgement, .. } if question.is_all_time() => (None, judgement),
        _ => return,
    };
    let cells = question
        .by
        .iter()
        .map(|one| one.of(ending, judgement.outcome))
        .collect();
    groups.entry(cells).or_default().count(judgement);
}

fn tally(clicks: &mut Tally, impressions: &mut Tally, question: &Question, effects: &Effects) {
    match &effects.effect {
        Effect::Ended(ending) if inside(question, ending) => match ending.kind {
            Kind::Click => clicks.count(&ending.judgement),
            Kind::Impression => impressions.count(&ending.judgement),
        },
        Effect::Unreadable { judgement, .. } if question.is_all_time() => clicks.count(judgement),
        _ => {}
    }
}

fn inside(question: &Question, ending: &Ending) -> bool {
    let at = ending.facts.reported_at();
    question.from.is_none_or(|from| at >= from) && question.to.is_none_or(|to| at < to)
}

impl Question {
    /// A record that cannot be read has no time, so it is shown only when all time is.
    fn is_all_time(&self) -> bool {
        self.from.is_none() && self.to.is_none()
    }
}
