//! Snapshots of partitions: taken beside the work by a thread of its own, found again at a start.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;

use tollgate_click::{Ordinal, PartitionId};
use tollgate_log::Cursor;
use tollgate_process::{PartBytes, State};
use tollgate_store::lake::Objects;
use tollgate_store::snapshots::{Part, Snapshot, SnapshotError, SnapshotStore};

use super::place;

/// Snapshots kept before the one that a recovery would take: a damaged one costs time only.
const SPARES: usize = 1;

/// A state to be kept.
pub(super) struct Keepsake {
    /// A copy, which costs little.
    pub(super) state: State,
    /// Where the log goes on after it.
    pub(super) cursor: Cursor,
    /// The lowest watermark of the partition's stores.
    pub(super) lowest: Ordinal,
}

/// From where a partition would be recovered at present.
pub(super) struct Kept {
    pub(super) partition: PartitionId,
    pub(super) needed: Cursor,
}

/// Keeps states one after the other.
pub(super) struct Keeping {
    jobs: Option<SyncSender<Keepsake>>,
    /// States that were handed over and are not kept yet.
    waiting: Arc<AtomicUsize>,
    kept: Receiver<Kept>,
    thread: Option<JoinHandle<()>>,
}

impl Keeping {
    /// Starts the thread.
    pub(super) fn start(objects: Arc<dyn Objects>) -> std::io::Result<Keeping> {
        // One waits while one is kept: each is a copy of a state.
        let (jobs, todo) = sync_channel::<Keepsake>(1);
        let (done, kept) = sync_channel(4096);
        let store = SnapshotStore::new(objects);
        let waiting = Arc::new(AtomicUsize::new(0));
        let one_less = waiting.clone();
        let thread = std::thread::Builder::new().name("snapshots".to_owned());
        let thread = thread.spawn(move || {
            for keepsake in todo {
                let partition = keepsake.state.partition();
                match keep(&store, &keepsake) {
                    Ok(Some(needed)) => drop(done.try_send(Kept { partition, needed })),
                    Ok(None) => {}
                    Err(error) => {
                        let partition = partition.get();
                        tracing::warn!(partition, %error, "no snapshot was kept");
                    }
                }
                one_less.fetch_sub(1, Ordering::Release);
            }
        })?;
        Ok(Keeping {
            jobs: Some(jobs),
            waiting,
            kept,
            thread: Some(thread),
        })
    }

    /// Hands a state over, unless another one waits already; then nothing is copied.
    pub(super) fn keep(&self, keepsake: impl FnOnce() -> Keepsake) -> bool {
        let Some(jobs) = &self.jobs else {
            return false;
        };
        // One that is being kept and one that waits: only this thread adds to them.
        if self.waiting.load(Ordering::Acquire) > 1 {
            return false;
        }
        self.waiting.fetch_add(1, Ordering::Release);
        jobs.try_send(keepsake()).is_ok()
    }

    /// What was kept since the last time.
    pub(super) fn kept(&self) -> impl Iterator<Item = Kept> {
        self.kept.try_iter()
    }

    /// Waits until everything handed over is kept.
    pub(super) fn finish(&mut self) {
        self.jobs = None;
        if let Some(thread) = self.thread.take() {
            // It holds nothing that a panic could have spoilt.
            drop(thread.join());
        }
    }
}

/// Parts first, the snapshot last; then what is no longer needed goes. Returns from where the
/// partition would be recovered now.
fn keep(store: &SnapshotStore, keepsake: &Keepsake) -> Result<Option<Cursor>, SnapshotError> {
    let state = &keepsake.state;
    let partition = state.partition();
    let stored = stored_parts(store, partition)?;
    let mut parts = Vec::new();
    for part in state.parts() {
        parts.push(match (part.bytes, stored.get(&part.name)) {
            (PartBytes::New(bytes), _) => store.put_part(partition, &part.name, &bytes)?,
            (PartBytes::Stored, Some(stored)) => stored.clone(),
            (PartBytes::Stored, None) => {
                return Err(SnapshotError::MissingPart { part: part.name });
            }
        });
    }
    store.save(&Snapshot {
        partition,
        ordinal: state.ordinal(),
        cursor: place::bytes(keepsake.cursor),
        apply: state.version() as u16,
        parts,
    })?;
    store.retain(partition, keepsake.lowest, SPARES)?;
    let newest = store.newest_at_or_below(partition, keepsake.lowest)?;
    let cursor = newest
        .snapshot
        .and_then(|found| place::of_bytes(&found.cursor));
    Ok(cursor)
}

fn stored_parts(
    store: &SnapshotStore,
    partition: PartitionId,
) -> Result<BTreeMap<String, Part>, SnapshotError> {
    let newest = store.newest_at_or_below(partition, Ordinal(u64::MAX))?;
    let parts = newest.snapshot.map_or(Vec::new(), |found| found.parts);
    Ok(parts
        .into_iter()
        .map(|part| (part.name.clone(), part))
        .collect())
}

/// The newest state at or below an ordinal that every store has, and where the log goes on. What
/// is damaged is named, set aside, and the one before it is taken; none means the log's start.
pub(super) fn find(
    store: &SnapshotStore,
    partition: PartitionId,
    lowest: Ordinal,
    log: Cursor,
) -> Result<Option<(State, Cursor)>, SnapshotError> {
    loop {
        let newest = store.newest_at_or_below(partition, lowest)?;
        for aside in newest.set_aside {
            let (name, what) = (aside.name, aside.what);
            tracing::warn!(name, what, "a damaged snapshot was set aside");
        }
        let Some(snapshot) = newest.snapshot else {
            return Ok(None);
        };
        let why = match load(store, &snapshot, log) {
            Ok(found) => return Ok(Some(found)),
            Err(Unusable::Store(SnapshotError::Corrupt { name, what })) => {
                // Set aside by whoever found it; the search passes over it now.
                tracing::warn!(name, what, "a damaged snapshot was set aside");
                continue;
            }
            Err(Unusable::Store(error)) => return Err(error),
            Err(Unusable::Useless(why)) => why,
        };
        let aside = store.set_aside(&snapshot, &why)?;
        tracing::warn!(name = aside.name, why, "a snapshot was set aside");
    }
}

enum Unusable {
    Store(SnapshotError),
    Useless(String),
}

fn load(
    store: &SnapshotStore,
    snapshot: &Snapshot,
    log: Cursor,
) -> Result<(State, Cursor), Unusable> {
    let cursor = place::of_bytes(&snapshot.cursor);
    let cursor = cursor.filter(|cursor| cursor.incarnation == log.incarnation && *cursor <= log);
    let Some(cursor) = cursor else {
        return Err(Unusable::Useless("it is of another log".to_owned()));
    };
    let mut parts = Vec::with_capacity(snapshot.parts.len());
    for part in &snapshot.parts {
        let bytes = store.load_part(snapshot.partition, part);
        parts.push((part.name.clone(), bytes.map_err(Unusable::Store)?));
    }
    let state = State::from_parts(parts).map_err(|error| Unusable::Useless(error.to_string()))?;
    if (state.partition(), state.ordinal()) != (snapshot.partition, snapshot.ordinal) {
        return Err(Unusable::Useless("it holds another state".to_owned()));
    }
    Ok((state, cursor))
}
