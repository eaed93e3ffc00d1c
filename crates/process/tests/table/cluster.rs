//! Applies rows to the partitions of a log, with crashes between.

use tollgate_click::{Outcome, PartitionId};
use tollgate_process::{
    ApplyVersion, Effect, Effects, Halt, Kind, MoneyRefusal, NotApplied, PartBytes, State, Tally,
    apply,
};

use super::books::Books;
use super::world::{Row, shown_minute};

/// When the workers crash.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Crashes {
    Never,
    /// After every batch of so many records: what was applied since the snapshot before it is
    /// lost and applied again from there, and must come to the same.
    EveryBatch(usize),
}

/// What a case came to.
pub(crate) struct Run {
    /// Row by row.
    pub(crate) told: Vec<Told>,
    pub(crate) books: Books,
    pub(crate) clicks: Tally,
    pub(crate) states: Vec<State>,
}

/// What a row came to, in the words of the tables.
#[derive(Clone, PartialEq, Default, Debug)]
pub(crate) struct Told {
    pub(crate) outcome: String,
    pub(crate) charge: String,
    pub(crate) share: String,
    pub(crate) why: String,
    pub(crate) left: String,
    pub(crate) posted_in: String,
}

/// A partition, until it halts.
#[derive(Clone)]
struct Worker {
    state: State,
    halted: bool,
}

pub(crate) fn run(rows: &[Row], partitions: u16, crashes: Crashes) -> Run {
    let fresh = |number| Worker {
        state: State::new(PartitionId::new(number).unwrap(), ApplyVersion::V1),
        halted: false,
    };
    let mut workers: Vec<Worker> = (0..partitions).map(fresh).collect();
    let mut run = Run {
        told: Vec::new(),
        books: Books::default(),
        clicks: Tally::default(),
        states: Vec::new(),
    };
    let batch = match crashes {
        Crashes::Never => rows.len().max(1),
        Crashes::EveryBatch(size) => size,
    };
    for batch in rows.chunks(batch) {
        let snapshots: Vec<_> = workers.iter().map(Worker::snapshot).collect();
        let first: Vec<_> = batch
            .iter()
            .map(|row| apply_row(&mut workers, row))
            .collect();
        if matches!(crashes, Crashes::EveryBatch(_)) {
            let hashes: Vec<_> = workers.iter().map(|worker| worker.state.hash()).collect();
            workers = snapshots.into_iter().map(Worker::restore).collect();
            let again: Vec<_> = batch
                .iter()
                .map(|row| apply_row(&mut workers, row))
                .collect();
            assert!(first == again, "a replay came to something else");
            let restored = workers.iter().map(|worker| worker.state.hash());
            assert!(restored.eq(hashes), "a replay left another state");
        }
        for (row, (told, effects)) in batch.iter().zip(first) {
            for (minute, effects) in effects {
                run.books
                    .enter(minute, &effects, &format!("line {}", row.line));
            }
            run.told.push(told);
        }
    }
    workers
        .iter()
        .for_each(|worker| run.clicks.add(&worker.state.counts().clicks));
    run.states = workers.into_iter().map(|worker| worker.state).collect();
    run
}

type Applied = (Told, Vec<(tollgate_click::Minute, Effects)>);

/// Applies a row to the partitions that it goes to; all of them must tell the same.
fn apply_row(workers: &mut [Worker], row: &Row) -> Applied {
    let home = PartitionId::of_advertiser(row.advertiser, workers.len() as u16);
    let mut effects = Vec::new();
    let mut told: Option<Told> = None;
    for (number, worker) in workers.iter_mut().enumerate() {
        if row.partition.is_some_and(|one| usize::from(one) != number) {
            continue;
        }
        let minute = worker.state.clock().minute();
        let mut one = match worker.apply(row) {
            None => outcome("stopped"),
            Some(Err(halt)) => Told {
                why: halt.to_string(),
                ..outcome("halt")
            },
            Some(Ok(told_here)) => {
                let told = told_of(&told_here);
                effects.push((minute, told_here));
                told
            }
        };
        one.posted_in = shown_minute(minute);
        if let Some(told) = &told {
            // The ordinals in the words of a halt are each partition's own.
            assert_eq!(told.outcome, one.outcome, "line {}", row.line);
        }
        told.get_or_insert(one);
    }
    let mut told = told.unwrap();
    let home = &workers[usize::from(home.get())].state;
    let left = home.balance(row.advertiser);
    told.left = left.map_or(String::new(), |left| left.to_string());
    (told, effects)
}

impl Worker {
    fn apply(&mut self, row: &Row) -> Option<Result<Effects, Halt>> {
        if self.halted {
            return None;
        }
        let before = self.state.hash();
        let applied = apply(&mut self.state, row.incoming());
        if applied.is_err() {
            self.halted = true;
            assert_eq!(self.state.hash(), before, "a halt changes nothing");
        }
        Some(applied)
    }

    fn snapshot(&self) -> (bool, Vec<(String, Vec<u8>)>) {
        let parts = self.state.parts().map(|part| match part.bytes {
            PartBytes::New(bytes) => (part.name, bytes),
            PartBytes::Stored => panic!("nothing was released"),
        });
        (self.halted, parts.collect())
    }

    fn restore((halted, parts): (bool, Vec<(String, Vec<u8>)>)) -> Worker {
        let state = State::from_parts(parts).unwrap();
        Worker { state, halted }
    }
}

fn outcome(name: &str) -> Told {
    Told {
        outcome: name.to_owned(),
        ..Told::default()
    }
}

fn told_of(effects: &Effects) -> Told {
    match &effects.effect {
        Effect::Ended(ending) => {
            let judgement = &ending.judgement;
            assert_eq!(judgement.ordinal, effects.ordinal);
            let billed = judgement.outcome == Outcome::Billed;
            assert_eq!(
                billed,
                judgement.charge.0 > 0,
                "billed clicks cost, and only they"
            );
            assert!(
                !billed || ending.kind == Kind::Click,
                "impressions are free"
            );
            assert!((0..=judgement.charge.0).contains(&judgement.share.0));
            let shown = |amount: tollgate_click::Micros| match billed {
                true => amount.to_string(),
                false => String::new(),
            };
            Told {
                charge: shown(judgement.charge),
                share: shown(judgement.share),
                why: ending.reason.map_or("", |reason| reason.name()).to_owned(),
                ..outcome(judgement.outcome.name())
            }
        }
        Effect::Unreadable { judgement, .. } => Told {
            why: "damaged".to_owned(),
            ..outcome(judgement.outcome.name())
        },
        Effect::Tick { counted: false, .. } => outcome("ignored"),
        Effect::Control { applied, .. } => match applied {
            Ok(()) => Told::default(),
            Err(why) => Told {
                why: why.name().to_owned(),
                ..outcome(match why {
                    NotApplied::Repeat => "ignored",
                    NotApplied::OtherCurrency => "refused",
                })
            },
        },
        Effect::Money {
            accepted, repeat, ..
        } => Told {
            why: accepted.err().map_or("", MoneyRefusal::name).to_owned(),
            ..outcome(match (accepted, repeat) {
                (_, true) => "repeat",
                (Ok(()), false) => "",
                (Err(_), false) => "refused",
            })
        },
        Effect::Tick { .. } | Effect::Mark(_) => Told::default(),
    }
}
