//! A damaged file of the lake or the rollups, made again from the log while the worker goes on.
//!
//! Who meets the damage names the file ([`Progress::damaged`]): a merge, or a question to the API.
//! A thread of its own replays the file's records from the newest snapshot before them, sets the
//! damaged file aside, and writes it anew; being a function of these records, it comes out as it
//! was. The newest snapshot that is damaged is set aside by whoever looks for one.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use tollgate_click::{Ordinal, PartitionId};
use tollgate_log::{Cursor, Log, Partition, PartitionSet, Read, ReadBudget, ReadError, ReadFrom};
use tollgate_process::{ApplyVersion, Effect, Effects, Incoming, Kind, State, apply};
use tollgate_store::lake::{Event, LakeRebuild, LakeRow, Objects, Rebuilt, RuleHit};
use tollgate_store::rollup::RollupRebuild;
use tollgate_store::snapshots::SnapshotStore;

use super::begin::START_GONE;
use super::partition::hits_of;
use super::progress::Progress;
use super::snapshots;

/// How often it is asked for damaged files.
const LOOK: Duration = Duration::from_millis(250);

/// A file that could not be made again is tried once more after this time at the earliest.
const AGAIN: Duration = Duration::from_secs(600);

/// Starts the thread; it ends when `stopping` is set.
pub(super) fn start<L: Log + 'static>(
    log: Arc<L>,
    objects: Arc<dyn Objects>,
    progress: Progress,
    stopping: Arc<AtomicBool>,
) -> std::io::Result<JoinHandle<()>> {
    let thread = std::thread::Builder::new().name("repair".to_owned());
    thread.spawn(move || {
        let mut tried: BTreeMap<String, Instant> = BTreeMap::new();
        while !stopping.load(Ordering::Relaxed) {
            let Some(name) = progress.next_damaged() else {
                std::thread::sleep(LOOK);
                continue;
            };
            if tried.get(&name).is_some_and(|at| at.elapsed() < AGAIN) {
                continue;
            }
            match file(&*log, &objects, &name, &stopping) {
                Ok(Rebuilt {
                    rows, set_aside, ..
                }) => tracing::warn!(name, rows, set_aside, "a damaged file was made again"),
                Err(error) => {
                    let error = format!("{error:#}");
                    tracing::error!(name, error, "a damaged file was not made again");
                    tried.insert(name, Instant::now());
                }
            }
        }
    })
}

/// Makes one file again, unless `stopping` is set meanwhile.
pub(super) fn file<L: Log>(
    log: &L,
    objects: &Arc<dyn Objects>,
    name: &str,
    stopping: &AtomicBool,
) -> anyhow::Result<Rebuilt> {
    let partition = partition_of(name).context("its name tells no partition")?;
    let replay = Replay {
        log,
        objects,
        partition,
        stopping,
    };
    if name.starts_with("lake/") {
        let mut rebuild = LakeRebuild::begin(objects.clone(), partition, name)?;
        replay.over(rebuild.ordinals(), |seen| {
            lake(&mut rebuild, seen);
            Ok(())
        })?;
        return Ok(rebuild.finish()?);
    }
    let mut rebuild = RollupRebuild::begin(objects.clone(), partition, name)?;
    if let Some(ordinals) = rebuild.ordinals() {
        replay.over(ordinals, |seen| match &seen.effects.effect {
            Effect::Ended(ending) => {
                let reason = ending.reason.map_or("", |reason| reason.name());
                let event = event_of(ending.kind);
                Ok(rebuild.count(event, &ending.facts, &ending.judgement, reason)?)
            }
            _ => Ok(()),
        })?;
    }
    Ok(rebuild.finish()?)
}

/// A file's name is `p3-` and its ordinals, in a folder of its table and time.
fn partition_of(name: &str) -> Option<PartitionId> {
    let (_, file) = name.rsplit_once('/')?;
    let (number, _) = file.strip_prefix('p')?.split_once('-')?;
    PartitionId::new(number.parse().ok()?).ok()
}

/// A record with what it came to.
struct Seen<'a> {
    effects: &'a Effects,
    state: &'a State,
    facts: &'a [u8],
    personal: Option<&'a [u8]>,
}

fn lake(rebuild: &mut LakeRebuild, seen: Seen<'_>) {
    let Effect::Ended(ending) = &seen.effects.effect else {
        rebuild.push_record(seen.effects.ordinal, seen.state.clock(), seen.facts);
        return;
    };
    let mut hits: Vec<RuleHit<'static>> = Vec::new();
    hits_of(ending, &mut hits);
    rebuild.push(&LakeRow {
        event: event_of(ending.kind),
        facts: &ending.facts,
        judgement: ending.judgement,
        reason: ending.reason.map_or("", |reason| reason.name()),
        hits: &hits,
        personal: seen.personal,
    });
}

fn event_of(kind: Kind) -> Event {
    match kind {
        Kind::Click => Event::Click,
        Kind::Impression => Event::Impression,
    }
}

/// The log of one partition, applied again.
struct Replay<'a, L> {
    log: &'a L,
    objects: &'a Arc<dyn Objects>,
    partition: PartitionId,
    stopping: &'a AtomicBool,
}

impl<L: Log> Replay<'_, L> {
    /// Shows the records from the first to the last.
    fn over(
        &self,
        (first, last): (Ordinal, Ordinal),
        mut show: impl FnMut(Seen<'_>) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        let store = SnapshotStore::new(self.objects.clone());
        let before = Ordinal(first.0.saturating_sub(1));
        let durable = self.log.durable();
        let start = Cursor {
            position: 0,
            ..durable
        };
        let found = snapshots::find(&store, self.partition, before, durable)?;
        let fresh = || (State::new(self.partition, ApplyVersion::V1), start);
        let (mut state, from) = found.unwrap_or_else(fresh);
        let only = PartitionSet::from(Partition(self.partition.get()));
        let mut reader = self
            .log
            .reader(only, ReadFrom::Cursor(from))
            .map_err(refuse)?;
        let mut done = Ok(());
        while done.is_ok() && state.ordinal() < last {
            if self.stopping.load(Ordering::Relaxed) {
                bail!("told to stop");
            }
            let read = reader.read(ReadBudget::default(), &mut |record| {
                if done.is_err() || state.ordinal() >= last {
                    return;
                }
                let incoming = Incoming {
                    facts: record.facts,
                    session: record.session,
                    sequence: record.sequence,
                    broadcast: record.partition == Partition::ALL,
                };
                done = match apply(&mut state, incoming) {
                    Ok(effects) if effects.ordinal >= first => show(Seen {
                        effects: &effects,
                        state: &state,
                        facts: record.facts,
                        personal: record.personal,
                    }),
                    Ok(_) => Ok(()),
                    Err(halt) => Err(halt.into()),
                };
            });
            if read.map_err(refuse)?.at_end && state.ordinal() < last {
                bail!("the log ends at record {}", state.ordinal());
            }
        }
        done
    }
}

fn refuse(error: ReadError) -> anyhow::Error {
    match error {
        ReadError::Gone { .. } => anyhow::anyhow!(START_GONE),
        other => anyhow::Error::new(other).context("the log cannot be read"),
    }
}
