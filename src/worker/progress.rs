//! How far the worker is: for those who wait for it, and for those who tell it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;
use tollgate_click::{ControlNumber, Millis, Minute, Ordinal, PartitionId};
use tollgate_log::Cursor;
use tollgate_store::lake::LakeError;
use tollgate_store::rollup::OpenMinutes;

/// Refusals of changes that are kept for those who ask; the oldest go first. Who asks has just
/// made the change.
const REFUSALS_MAX: usize = 4096;

/// A view of the worker that can be passed around.
#[derive(Clone)]
pub(crate) struct Progress(Arc<Shared>);

struct Shared {
    partitions: Vec<Mutex<Partition>>,
    /// Counts the times that a partition has got on with changes or has stopped.
    news: watch::Sender<u64>,
    /// Files that somebody has found damaged and that wait to be made again.
    damaged: Mutex<BTreeSet<String>>,
}

struct Partition {
    view: PartitionView,
    open: Option<OpenMinutes>,
    /// Records from here on are read again at a restart.
    needed: Cursor,
    changes: ControlNumber,
    refused: BTreeMap<ControlNumber, String>,
}

/// How far one partition is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct PartitionView {
    pub(crate) partition: PartitionId,
    /// The newest tick.
    pub(crate) clock: Millis,
    /// No edge will send anything that it received before; none while no edge has said so.
    pub(crate) complete_before: Option<Minute>,
    /// Records that were applied.
    pub(crate) ordinal: Ordinal,
    /// Records that must exist and have not come.
    pub(crate) missing: u64,
    /// Up to here reports in this process have every click.
    pub(crate) published: Ordinal,
    /// Up to here the ledger has every billed click.
    pub(crate) posted: Ordinal,
    /// The first minute that the ledger may still post to.
    pub(crate) closed_before: Minute,
    /// Up to here the lake has every record.
    pub(crate) lake: Ordinal,
    /// Up to here the rollups' files have every click.
    pub(crate) rollup: Ordinal,
    /// Why it has stopped, if it has.
    pub(crate) halt: Option<String>,
}

/// What became of a change in a partition.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Applied {
    /// Whether it took effect.
    pub(crate) accepted: bool,
    /// Why not.
    pub(crate) reason: Option<String>,
}

impl Progress {
    /// Nothing was done yet in any of `partitions`.
    pub(crate) fn new(partitions: impl IntoIterator<Item = PartitionId>, from: Cursor) -> Progress {
        let fresh = |partition| {
            Mutex::new(Partition {
                view: PartitionView::new(partition),
                open: None,
                needed: from,
                changes: ControlNumber(0),
                refused: BTreeMap::new(),
            })
        };
        Progress(Arc::new(Shared {
            partitions: partitions.into_iter().map(fresh).collect(),
            news: watch::Sender::new(0),
            damaged: Mutex::default(),
        }))
    }

    /// How far each partition is, in their order.
    pub(crate) fn partitions(&self) -> Vec<PartitionView> {
        let partitions = self.0.partitions.iter();
        partitions.map(|one| held(one).view.clone()).collect()
    }

    /// Partitions that have stopped, with their reasons.
    pub(crate) fn halts(&self) -> Vec<(PartitionId, String)> {
        let views = self.partitions().into_iter();
        views
            .filter_map(|view| Some((view.partition, view.halt?)))
            .collect()
    }

    /// What reports see beside the files, of each partition whose rollups are open.
    pub(crate) fn open_minutes(&self) -> Vec<(PartitionId, OpenMinutes)> {
        let partitions = self.0.partitions.iter().map(held);
        partitions
            .filter_map(|one| Some((one.view.partition, one.open.clone()?)))
            .collect()
    }

    /// A file of the lake or the rollups is damaged or missing: it will be made again from the log.
    pub(crate) fn damaged(&self, error: &LakeError) {
        if let LakeError::Corrupt { name, .. } | LakeError::Missing { name } = error {
            let mut damaged = self
                .0
                .damaged
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            damaged.insert(name.clone());
        }
    }

    /// From where the log must be kept: a restart, and a partition that has stopped, read on from
    /// here.
    pub(crate) fn needed(&self) -> Option<Cursor> {
        let partitions = self.0.partitions.iter().map(held);
        partitions.map(|one| one.needed).min()
    }

    /// Waits until a change has come to `partition`, and says what became of it; money is posted
    /// by then. Refused at once where the partition has stopped.
    pub(crate) async fn control_applied(
        &self,
        number: ControlNumber,
        partition: PartitionId,
    ) -> Applied {
        let mut news = self.0.news.subscribe();
        loop {
            if let Some(applied) = self.known(number, partition) {
                return applied;
            }
            if news.changed().await.is_err() {
                return refused("the worker has stopped".to_owned());
            }
        }
    }

    fn known(&self, number: ControlNumber, partition: PartitionId) -> Option<Applied> {
        let Some(one) = self.of(partition) else {
            return Some(refused(format!("there is no partition {partition}")));
        };
        if let Some(reason) = one.refused.get(&number) {
            return Some(refused(reason.clone()));
        }
        if number <= one.changes {
            return Some(Applied {
                accepted: true,
                reason: None,
            });
        }
        let halt = one.view.halt.as_ref()?;
        Some(refused(format!(
            "partition {partition} has stopped: {halt}"
        )))
    }

    fn of(&self, partition: PartitionId) -> Option<MutexGuard<'_, Partition>> {
        let mut partitions = self.0.partitions.iter().map(held);
        partitions.find(|one| one.view.partition == partition)
    }
}

/// The worker's own calls.
impl Progress {
    /// A file to be made again.
    pub(super) fn next_damaged(&self) -> Option<String> {
        let mut damaged = self
            .0
            .damaged
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        damaged.pop_first()
    }

    /// Reports may look here for what is not in files.
    pub(super) fn opened(&self, partition: PartitionId, open: OpenMinutes) {
        if let Some(mut one) = self.of(partition) {
            one.open = Some(open);
        }
    }

    /// A partition has got on, with these changes: their numbers rise.
    pub(super) fn moved(
        &self,
        view: PartitionView,
        changes: impl IntoIterator<Item = (ControlNumber, Result<(), String>)>,
    ) {
        let Some(mut one) = self.of(view.partition) else {
            return;
        };
        let mut is_news = view.halt != one.view.halt;
        one.view = view;
        for (number, result) in changes {
            is_news = true;
            one.changes = one.changes.max(number);
            if let Err(reason) = result {
                one.refused.insert(number, reason);
            }
        }
        while one.refused.len() > REFUSALS_MAX {
            one.refused.pop_first();
        }
        drop(one);
        if is_news {
            self.0.news.send_modify(|news| *news = news.wrapping_add(1));
        }
    }

    /// A restart would read a partition's records from here on.
    pub(super) fn needs(&self, partition: PartitionId, from: Cursor) {
        if let Some(mut one) = self.of(partition) {
            one.needed = from;
        }
    }
}

impl PartitionView {
    /// Before the first record.
    pub(super) fn new(partition: PartitionId) -> PartitionView {
        PartitionView {
            partition,
            clock: Millis(0),
            complete_before: None,
            ordinal: Ordinal(0),
            missing: 0,
            published: Ordinal(0),
            posted: Ordinal(0),
            closed_before: Minute(0),
            lake: Ordinal(0),
            rollup: Ordinal(0),
            halt: None,
        }
    }
}

fn refused(reason: String) -> Applied {
    Applied {
        accepted: false,
        reason: Some(reason),
    }
}

fn held(one: &Mutex<Partition>) -> MutexGuard<'_, Partition> {
    one.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn start() -> (Progress, PartitionId) {
        let partition = PartitionId::new(0).unwrap();
        let from = Cursor {
            incarnation: 1,
            position: 0,
        };
        (Progress::new([partition], from), partition)
    }

    #[tokio::test]
    async fn who_waits_for_a_change_hears_what_became_of_it() {
        let (progress, partition) = start();
        let waiting = |number| {
            let progress = progress.clone();
            tokio::spawn(async move {
                progress
                    .control_applied(ControlNumber(number), partition)
                    .await
            })
        };
        let (first, second, third) = (waiting(1), waiting(2), waiting(3));
        let changes = [
            (ControlNumber(1), Ok(())),
            (ControlNumber(2), Err("no".to_owned())),
        ];
        progress.moved(PartitionView::new(partition), changes);
        assert!(first.await.unwrap().accepted);
        assert_eq!(second.await.unwrap(), refused("no".to_owned()));
        let view = PartitionView {
            halt: Some("a gap".to_owned()),
            ..PartitionView::new(partition)
        };
        progress.moved(view, []);
        let told = third.await.unwrap().reason.unwrap();
        assert_eq!(told, "partition 0 has stopped: a gap");
        assert_eq!(progress.halts(), [(partition, "a gap".to_owned())]);
    }
}
