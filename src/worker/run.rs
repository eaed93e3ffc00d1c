//! The loop: read, apply, perform; and the thread that it runs in.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::Context;
use tollgate_log::{Cursor, Partition, Read, ReadBudget, ReadError, RecordRef, SegmentLog};
use tollgate_store::lake::Objects;
use tollgate_store::ledger::{Hour, Lease, Publication};

use super::batch::Batch;
use super::books::{Books, Trouble};
use super::partition::PartitionWorker;
use super::patience::{GaveUp, Patience};
use super::progress::{PartitionView, Progress};
use super::snapshots::Keeping;
use super::{Faults, Part, repair};

/// Records that are read at once: some hundreds for each partition, which stay in the processor's
/// cache from the log to the stores.
const BUDGET: ReadBudget = ReadBudget {
    records_max: 8_192,
    bytes_max: 4 << 20,
};

/// How often reports are shown what is new: well within the second that is promised.
const PUBLISH: Duration = Duration::from_millis(250);

/// How often leases are renewed.
const RENEW: Duration = Duration::from_secs(60);

/// How often leases, hourly roots and merges are looked after, however busy the worker is.
const LOOK_AFTER: Duration = Duration::from_secs(1);

/// How long the worker waits for something to become durable before it looks around.
const LOOK_AROUND: Duration = Duration::from_millis(250);

/// How long a store that said no is left alone.
const RETRY: Duration = Duration::from_millis(500);

/// At the end, what is durable is still applied for so long.
const LAST_ORDERS: Duration = Duration::from_secs(10);

/// Processes all partitions of a log.
pub(crate) struct Worker<R> {
    pub(super) reader: R,
    pub(super) slots: Vec<Slot>,
    /// What one read has for each of them.
    pub(super) batches: Vec<Batch>,
    pub(super) books: Books,
    pub(super) epoch: u64,
    pub(super) progress: Progress,
    pub(super) published_at: Option<Instant>,
    pub(super) renewed_at: Instant,
    /// The hour whose root was published last, and those before it.
    pub(super) rooted: Option<Hour>,
    pub(super) keeping: Keeping,
    pub(super) snapshot_ordinals: u64,
    pub(super) keeps_lake: bool,
    pub(super) objects: Arc<dyn Objects>,
}

/// A partition that runs, or one that could not be begun.
pub(super) enum Slot {
    Runs(Box<PartitionWorker>, Lease),
    Stopped(PartitionView),
}

/// What a step has done.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Step {
    /// Nothing more was durable.
    pub(super) at_end: bool,
    /// Go on from here.
    pub(super) cursor: Cursor,
}

impl<R: Read> Worker<R> {
    /// The epoch of the leases; ticks carry it. 0 when no lease could be had.
    pub(crate) fn epoch(&self) -> u64 {
        self.epoch
    }

    /// How far the worker is, for others.
    pub(crate) fn progress(&self) -> Progress {
        self.progress.clone()
    }

    /// Does everything that is durable, and ends: for benchmarks and rebuilding.
    pub(crate) fn catch_up(&mut self, patience: &mut dyn Patience) -> Result<(), GaveUp> {
        while !self.step(BUDGET, patience)?.at_end {}
        self.finish();
        Ok(())
    }

    /// Reads what is durable within the budget, applies it and performs what comes out. When this
    /// returns, every commit that is due is in the ledger.
    pub(super) fn step(
        &mut self,
        budget: ReadBudget,
        patience: &mut dyn Patience,
    ) -> Result<Step, GaveUp> {
        self.batches.resize_with(self.slots.len(), Batch::default);
        self.batches.iter_mut().for_each(Batch::clear);
        let (batches, wants_personal) = (&mut self.batches, self.keeps_lake);
        let read = self.reader.read(budget, &mut |record| {
            hand_out(batches, &record, wants_personal);
        });
        for (slot, batch) in self.slots.iter_mut().zip(&self.batches) {
            if let Slot::Runs(partition, _) = slot {
                partition.take_all(batch, patience)?;
            }
        }
        let step = match read {
            Ok(read) => Step {
                at_end: read.at_end,
                cursor: read.cursor,
            },
            Err(error) => self.cannot_read(&error, patience)?,
        };
        self.commit(patience)?;
        self.keep();
        self.tell();
        Ok(step)
    }

    /// Hands over states whose turn it is. When a copy is taken is free: a state is a function of
    /// the log up to its ordinal.
    fn keep(&mut self) {
        for slot in &mut self.slots {
            if let Slot::Runs(partition, _) = slot
                && partition.wants_snapshot(self.snapshot_ordinals)
                && self.keeping.keep(|| partition.keepsake())
            {
                partition.has_snapshot();
            }
        }
        for kept in self.keeping.kept() {
            self.progress.needs(kept.partition, kept.needed);
        }
    }

    /// Waits until what was handed over is kept.
    pub(super) fn finish(&mut self) {
        self.keeping.finish();
    }

    /// A disk that says no is asked again; damage stops every partition, since nobody can tell
    /// whose records are lost.
    fn cannot_read(
        &mut self,
        error: &ReadError,
        patience: &mut dyn Patience,
    ) -> Result<Step, GaveUp> {
        if matches!(error, ReadError::Io { .. }) {
            patience.wait(&error.to_string())?;
        } else {
            let why = format!("the log cannot be read: {error}");
            for slot in &mut self.slots {
                slot.halt(&why);
            }
        }
        Ok(Step {
            at_end: true,
            cursor: self.reader.cursor(),
        })
    }

    /// Commits what is due, partition by partition.
    fn commit(&mut self, patience: &mut dyn Patience) -> Result<(), GaveUp> {
        for slot in &mut self.slots {
            let Slot::Runs(partition, _) = slot else {
                continue;
            };
            while let Some(request) = partition.postings().due() {
                match self.books.commit(request, patience) {
                    Ok(()) => partition.postings().committed(),
                    Err(Trouble::GaveUp) => return Err(GaveUp),
                    Err(Trouble::Halt(why)) => {
                        partition.halt(why);
                        partition.postings().forget_due();
                    }
                }
            }
        }
        Ok(())
    }

    /// Tells who waits. Reports are shown what is new when it is time for it, or when there was
    /// nothing more to read for a while.
    fn tell(&mut self) {
        let now = Instant::now();
        let is_time = self.published_at.is_none_or(|at| now - at >= PUBLISH);
        if is_time {
            self.published_at = Some(now);
        }
        for slot in &mut self.slots {
            if let Slot::Runs(partition, _) = slot {
                if is_time {
                    partition.publish();
                }
                let changes = partition.changes();
                self.progress.moved(partition.view(), changes);
            }
        }
    }

    /// What is done beside reading, now and then: leases, hourly roots, merges.
    fn look_after(&mut self, patience: &mut dyn Patience) -> Result<(), GaveUp> {
        if self.renewed_at.elapsed() >= RENEW {
            self.renewed_at = Instant::now();
            self.renew(patience)?;
        }
        self.publish_root(patience)?;
        for slot in &mut self.slots {
            if let Slot::Runs(partition, _) = slot
                && !partition.is_halted()
            {
                match partition.merge_one() {
                    Ok(false) => {}
                    Ok(true) => break, // one at a time, so that reading is not held up for long
                    Err(error) => {
                        self.progress.damaged(&error);
                        let partition = partition.partition().get();
                        tracing::warn!(partition, %error, "files were not merged");
                    }
                }
            }
        }
        Ok(())
    }

    fn renew(&mut self, patience: &mut dyn Patience) -> Result<(), GaveUp> {
        for slot in &mut self.slots {
            let Slot::Runs(partition, lease) = slot else {
                continue;
            };
            if partition.is_halted() {
                continue;
            }
            match self.books.renew(lease, patience) {
                Ok(()) => {}
                Err(Trouble::GaveUp) => return Err(GaveUp),
                Err(Trouble::Halt(why)) => partition.halt(why),
            }
        }
        Ok(())
    }

    /// The root of the newest hour that every partition has closed.
    fn publish_root(&mut self, patience: &mut dyn Patience) -> Result<(), GaveUp> {
        let views = self.slots.iter().map(Slot::view);
        let closed = views.map(|view| view.closed_before).min();
        let closed = closed
            .map(Hour::of)
            .and_then(|Hour(open)| open.checked_sub(1));
        let Some(hour) = closed.map(Hour).filter(|hour| self.rooted < Some(*hour)) else {
            return Ok(());
        };
        match self.books.publish(hour, patience) {
            Ok(Publication::Published(root)) => {
                let (hour, root) = (root.hour.0, root.root);
                tracing::info!(hour, %root, "the hour's root; keep it outside this machine");
            }
            Ok(Publication::Open { .. } | Publication::Skipped(_)) => {}
            Err(Trouble::GaveUp) => return Err(GaveUp),
            Err(Trouble::Halt(why)) => tracing::error!(why, "no root of the hour was made"),
        }
        self.rooted = Some(hour);
        Ok(())
    }
}

impl Slot {
    fn halt(&mut self, why: &str) {
        match self {
            Slot::Runs(partition, _) => partition.halt(why.to_owned()),
            Slot::Stopped(_) => {}
        }
    }

    pub(super) fn view(&self) -> PartitionView {
        match self {
            Slot::Runs(partition, _) => partition.view(),
            Slot::Stopped(view) => view.clone(),
        }
    }
}

/// To one partition, or to all.
fn hand_out(batches: &mut [Batch], record: &RecordRef<'_>, wants_personal: bool) {
    let place = usize::from(record.partition.0);
    let range = match record.partition {
        Partition::ALL => 0..batches.len(),
        _ => place..place.saturating_add(1),
    };
    let batches = batches.get_mut(range).unwrap_or_default();
    for batch in batches {
        batch.push(record, wants_personal);
    }
}

/// A worker in a thread of its own.
pub(crate) struct RunningWorker {
    thread: JoinHandle<()>,
    repairs: JoinHandle<()>,
    stopping: Arc<AtomicBool>,
}

impl RunningWorker {
    /// Starts the thread. Stores that say no are told to `faults`.
    pub(crate) fn start<R: Read + 'static>(
        worker: Worker<R>,
        log: Arc<SegmentLog>,
        faults: Faults,
    ) -> anyhow::Result<RunningWorker> {
        let stopping = Arc::new(AtomicBool::new(false));
        let patience = UntilStopped {
            stopping: stopping.clone(),
            faults,
        };
        let repairs = repair::start(
            log.clone(),
            worker.objects.clone(),
            worker.progress(),
            stopping.clone(),
        );
        let repairs = repairs.context("cannot start the thread of repairs")?;
        let thread = std::thread::Builder::new()
            .name("worker".to_owned())
            .spawn(move || run(worker, &log, patience))
            .context("cannot start the worker's thread")?;
        Ok(RunningWorker {
            thread,
            repairs,
            stopping,
        })
    }

    /// Applies what is durable, commits what is due and ends. Blocks.
    pub(crate) fn stop(self) -> anyhow::Result<()> {
        self.stopping.store(true, Ordering::Relaxed);
        let ended = self.thread.join().and(self.repairs.join());
        ended.map_err(|_| anyhow::anyhow!("the worker has panicked"))
    }
}

fn run<R: Read>(mut worker: Worker<R>, log: &SegmentLog, mut patience: UntilStopped) {
    let (mut last_orders, mut looked_after) = (None, Instant::now());
    loop {
        let Ok(step) = worker.step(BUDGET, &mut patience) else {
            return; // told to stop while a disk said no
        };
        patience.well();
        if patience.stopping.load(Ordering::Relaxed) {
            let since = *last_orders.get_or_insert_with(Instant::now);
            if step.at_end || since.elapsed() > LAST_ORDERS {
                return worker.finish();
            }
            continue;
        }
        if looked_after.elapsed() >= LOOK_AFTER {
            looked_after = Instant::now();
            if worker.look_after(&mut patience).is_err() {
                return;
            }
        }
        if step.at_end {
            log.wait_durable_after(step.cursor, LOOK_AROUND);
        }
    }
}

/// Waits a little each time, until the worker is told to stop.
struct UntilStopped {
    stopping: Arc<AtomicBool>,
    faults: Faults,
}

impl UntilStopped {
    fn well(&self) {
        if self.faults.set(Part::Stores, None) {
            tracing::info!("the stores take what is written again");
        }
    }
}

impl Patience for UntilStopped {
    fn wait(&mut self, why: &str) -> Result<(), GaveUp> {
        if self.faults.set(Part::Stores, Some(why.to_owned())) {
            tracing::error!(why, "a store says no; the worker waits and tries again");
        }
        if self.stopping.load(Ordering::Relaxed) {
            return Err(GaveUp);
        }
        std::thread::sleep(RETRY);
        Ok(())
    }
}
