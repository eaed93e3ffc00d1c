//! The beginning of a worker: leases, what each store has, and where the log is read from.

use std::sync::Arc;
use std::time::Instant;

use tollgate_click::PartitionId;
use tollgate_log::{Cursor, Log, Partition, PartitionSet, Read, ReadBudget, ReadError, ReadFrom};
use tollgate_process::{ApplyVersion, State};
use tollgate_store::lake::{LakeWriter, Objects};
use tollgate_store::ledger::{Lease, Watermark};
use tollgate_store::rollup::RollupWriter;
use tollgate_store::snapshots::SnapshotStore;

use super::books::{Books, OpenLedger, Trouble};
use super::partition::{Begin, PartitionWorker};
use super::patience::{GaveUp, Patience};
use super::place;
use super::progress::{PartitionView, Progress};
use super::run::{Slot, Worker};
use super::snapshots::{self, Keeping};

/// Where a worker writes.
pub(crate) struct Stores {
    pub(crate) ledger: OpenLedger,
    pub(crate) objects: Arc<dyn Objects>,
    /// Whether a lake is kept: without one no click can be told and nothing be proved.
    pub(crate) lake: bool,
    /// Records of a partition after which its state is kept again.
    pub(crate) snapshot_ordinals: u64,
}

/// What [`Stores::snapshot_ordinals`] is where nobody says otherwise: with 16 partitions, a start
/// applies at most some 8 million records again.
pub(crate) const SNAPSHOT_ORDINALS: u64 = 1 << 19;

/// Who works.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Identity<'a> {
    /// A name that a restarted process keeps.
    pub(crate) owner: &'a str,
    /// Leases get an epoch above this one: the newest in the log.
    pub(crate) epoch_above: u64,
    /// Data partitions of the log.
    pub(crate) partitions: u16,
}

impl<R: Read> Worker<R> {
    /// Takes the leases and opens the stores. A partition whose stores are not sound is stopped
    /// from the beginning; the others go on.
    pub(crate) fn begin<L: Log<Reader = R>>(
        log: &L,
        stores: Stores,
        who: Identity<'_>,
        patience: &mut dyn Patience,
    ) -> Result<Worker<R>, Unfit> {
        let all: Vec<PartitionId> = (0..who.partitions)
            .filter_map(|number| PartitionId::new(number).ok())
            .collect();
        let mut books = Books::new(stores.ledger);
        let start = Cursor {
            position: 0,
            ..log.durable()
        };
        // One epoch for all: one tick serves them all.
        let newest = books.newest_epoch(&all, patience)?;
        let epoch_above = newest.max(who.epoch_above);
        let mut slots = Vec::with_capacity(all.len());
        let mut epoch = 0;
        for partition in &all {
            let mut opening = Opening {
                books: &mut books,
                objects: &stores.objects,
                keeps_lake: stores.lake,
                durable: log.durable(),
                start,
            };
            let who = Identity { epoch_above, ..who };
            slots.push(match opening.open(*partition, who, patience) {
                Ok((begin, lease)) => {
                    epoch = epoch.max(lease.epoch);
                    Slot::Runs(Box::new(PartitionWorker::new(begin)), lease)
                }
                Err(Trouble::GaveUp) => return Err(GaveUp.into()),
                Err(Trouble::Halt(why)) => stopped(*partition, why),
            });
        }
        let progress = Progress::new(all.iter().copied(), start);
        let mut reader = reader(log, &all, &mut slots)?;
        if !stores.lake {
            reader.skip_personal();
        }
        let keeping = Keeping::start(stores.objects.clone()).map_err(Unfit::Thread)?;
        for slot in &slots {
            if let Slot::Runs(partition, _) = slot {
                progress.opened(partition.partition(), partition.open_minutes());
                progress.needs(partition.partition(), partition.cursor());
            }
            progress.moved(slot.view(), []);
        }
        Ok(Worker {
            reader,
            slots,
            batches: Vec::new(),
            books,
            epoch,
            progress,
            published_at: None,
            renewed_at: Instant::now(),
            rooted: None,
            keeping,
            snapshot_ordinals: stores.snapshot_ordinals,
            keeps_lake: stores.lake,
            objects: stores.objects,
        })
    }
}

/// Why there is no worker at all.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unfit {
    /// It was told to stop.
    #[error("told to stop while the stores were opened")]
    GaveUp,
    /// The log cannot be read.
    #[error("the log cannot be read: {0}")]
    Log(#[from] ReadError),
    /// The system gives no thread.
    #[error("cannot start a thread: {0}")]
    Thread(std::io::Error),
}

impl From<GaveUp> for Unfit {
    fn from(_: GaveUp) -> Unfit {
        Unfit::GaveUp
    }
}

/// One partition after the other.
struct Opening<'a> {
    books: &'a mut Books,
    objects: &'a Arc<dyn Objects>,
    keeps_lake: bool,
    durable: Cursor,
    start: Cursor,
}

impl Opening<'_> {
    fn open(
        &mut self,
        partition: PartitionId,
        who: Identity<'_>,
        patience: &mut dyn Patience,
    ) -> Result<(Begin, Lease), Trouble> {
        let (owner, epoch_above) = (who.owner, who.epoch_above);
        let lease = self
            .books
            .acquire(partition, owner, epoch_above, patience)?;
        let watermark = self.books.watermark(partition, patience)?;
        self.check_log(&watermark)?;
        let halt = |error: tollgate_store::lake::LakeError| Trouble::Halt(error.to_string());
        let lake = || LakeWriter::open(self.objects.clone(), partition);
        let lake = self.keeps_lake.then(lake).transpose().map_err(halt)?;
        let rollup = RollupWriter::open(self.objects.clone(), partition).map_err(halt)?;
        let lowest = watermark.ordinal.min(rollup.through());
        let lowest = lake
            .as_ref()
            .map_or(lowest, |lake| lake.through().min(lowest));
        let store = SnapshotStore::new(self.objects.clone());
        let found = snapshots::find(&store, partition, lowest, self.durable);
        let found = found.map_err(|error| Trouble::Halt(error.to_string()))?;
        let fresh = || (State::new(partition, ApplyVersion::V1), self.start);
        let (state, from) = found.unwrap_or_else(fresh);
        let begin = Begin {
            state,
            from,
            epoch: lease.epoch,
            watermark,
            lake,
            rollup,
        };
        Ok((begin, lease))
    }

    /// The ledger must be this log's, and not ahead of it.
    fn check_log(&self, watermark: &Watermark) -> Result<(), Trouble> {
        let Some(posted) = place::back(&watermark.cursor) else {
            return Ok(());
        };
        if posted.incarnation != self.durable.incarnation {
            let why = "the ledger was posted from another log than this one";
            return Err(Trouble::Halt(why.to_owned()));
        }
        if posted > self.durable {
            return Err(Trouble::Halt(format!(
                "the ledger is posted up to record {}, which this log does not have: it has lost \
                 its end, or is an older copy",
                watermark.ordinal
            )));
        }
        Ok(())
    }
}

/// A reader from the first place that any partition needs. Those that need what retention has
/// taken are stopped.
fn reader<L: Log>(
    log: &L,
    all: &[PartitionId],
    slots: &mut [Slot],
) -> Result<L::Reader, ReadError> {
    let wanted: PartitionSet = all.iter().map(|one| Partition(one.get())).collect();
    loop {
        let from = slots.iter().filter_map(|slot| match slot {
            Slot::Runs(partition, _) => Some(partition.cursor()),
            Slot::Stopped(_) => None,
        });
        let from = ReadFrom::Cursor(from.min().unwrap_or(log.durable()));
        match log.reader(wanted.clone(), from).and_then(probe::<L>) {
            Err(ReadError::Gone { first }) => {
                for slot in slots.iter_mut() {
                    let gone = matches!(slot, Slot::Runs(one, _) if one.cursor() < first);
                    if gone {
                        *slot = stopped(slot.view().partition, START_GONE.to_owned());
                    }
                }
            }
            Err(error) => return Err(error),
            Ok(()) => return log.reader(wanted, from),
        }
    }
}

/// What is said where the log cannot be replayed from its start.
pub(super) const START_GONE: &str = "retention has cut off the start of the log, and there is no \
                                     snapshot to go on from";

/// Whether there is something to read where a reader stands: it may have been given up.
fn probe<L: Log>(mut reader: L::Reader) -> Result<(), ReadError> {
    let one = ReadBudget {
        records_max: 1,
        ..ReadBudget::default()
    };
    reader.read(one, &mut |_| {}).map(|_| ())
}

fn stopped(partition: PartitionId, why: String) -> Slot {
    tracing::error!(
        partition = partition.get(),
        why,
        "the partition does not start"
    );
    Slot::Stopped(PartitionView {
        halt: Some(why),
        ..PartitionView::new(partition)
    })
}
