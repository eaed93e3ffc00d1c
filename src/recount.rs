//! The recount by replay: the log from its start through the core, all partitions in one pass.
//!
//! It works beside a live server and without one, changes nothing, and refuses when the start of
//! the log is gone, since a state that begins in the middle bills nonces twice.

use std::collections::BTreeMap;

use anyhow::{Context, bail};
use tollgate_click::{Millis, PartitionId};
use tollgate_log::{
    Cursor, Partition, PartitionSet, Read, ReadBudget, ReadError, ReadFrom, ReadOnlyLog, RecordRef,
};
use tollgate_process::{
    ApplyVersion, Effect, Effects, Ending, Incoming, Kind, State, Tally, apply,
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

/// Reads the log to its durable end. `progress` hears the cursor and the number of records read
/// after each step.
pub(crate) fn run(
    log: &ReadOnlyLog,
    question: &Question,
    mut progress: impl FnMut(Cursor, u64),
) -> anyhow::Result<Recount> {
    let data_partitions = log.partitions().saturating_sub(1);
    let mut counting = Counting::new(data_partitions, question)?;
    let partitions: PartitionSet = (0..data_partitions).map(Partition).collect();
    let mut reader = log
        .reader(partitions, from_the_start(log))
        .map_err(refuse_gone)?;
    let mut records = 0;
    loop {
        let mut fault = None;
        let read = reader.read(ReadBudget::default(), &mut |record| {
            if fault.is_none() {
                fault = counting.take(record).err();
            }
        });
        if let Some(fault) = fault {
            return Err(fault);
        }
        let step = read.map_err(refuse_gone)?;
        records += step.records as u64;
        progress(step.cursor, records);
        if step.at_end {
            return Ok(counting.finish());
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

struct Counting<'q> {
    question: &'q Question,
    states: Vec<State>,
    groups: BTreeMap<Vec<Cell>, Tally>,
    clicks: Tally,
    impressions: Tally,
}

impl Counting<'_> {
    fn new(partitions: u16, question: &Question) -> anyhow::Result<Counting<'_>> {
        let fresh = |number| PartitionId::new(number).map(|id| State::new(id, ApplyVersion::V1));
        Ok(Counting {
            question,
            states: (0..partitions).map(fresh).collect::<Result<_, _>>()?,
            groups: BTreeMap::new(),
            clicks: Tally::default(),
            impressions: Tally::default(),
        })
    }

    fn take(&mut self, record: RecordRef<'_>) -> anyhow::Result<()> {
        let broadcast = record.partition == Partition::ALL;
        let incoming = Incoming {
            facts: record.facts,
            session: record.session,
            sequence: record.sequence,
            broadcast,
        };
        let place = usize::from(record.partition.0);
        let range = if broadcast {
            0..self.states.len()
        } else {
            place..place.saturating_add(1)
        };
        let Some(concerned) = self.states.get_mut(range) else {
            bail!("a record lies in partition {place}, which this log does not have");
        };
        for state in concerned {
            let partition = state.partition();
            let effects =
                apply(state, incoming).with_context(|| format!("partition {partition} halts"))?;
            count(&mut self.groups, self.question, &effects);
            tally(
                &mut self.clicks,
                &mut self.impressions,
                self.question,
                &effects,
            );
        }
        if self.groups.len() > GROUPS_MAX {
            bail!("more than {GROUPS_MAX} groups: ask for fewer dimensions or a shorter time");
        }
        Ok(())
    }

    fn finish(self) -> Recount {
        let states = &self.states;
        let complete_before = states
            .iter()
            .map(|state| state.complete_before())
            .min()
            .flatten();
        let complete = Complete {
            ordinals: states.iter().map(|state| state.ordinal().0).collect(),
            clock: states.iter().map(State::clock).min().unwrap_or_default(),
            complete_before: complete_before.map_or(Millis(0), |minute| minute.start()),
            missing: states.iter().map(State::missing).sum(),
        };
        Recount {
            groups: self.groups,
            clicks: self.clicks,
            impressions: self.impressions,
            complete,
        }
    }
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
