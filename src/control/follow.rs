//! What stands, as a process sees it that only answers questions: the control partition of a log
//! that another process writes, read again and again.

use std::ops::Deref;
use std::sync::{Arc, RwLock};

use anyhow::Context;
use tollgate_click::{Actor, Control};
use tollgate_log::{Partition, Read, ReadBudget, ReadFrom, ReadOnlyLog, Reader};
use tollgate_query::idempotency::RequestId;
use tollgate_query::{AuditPage, Decision, Later, Problem, Standing, Written};

use super::snapshot::Snapshot;
use super::{View, desk, read, write};

/// Follows the control partition.
pub(crate) struct Follower {
    log: Arc<ReadOnlyLog>,
    reader: Reader,
    control: Partition,
    standing: Arc<RwLock<Standing>>,
}

/// The desk of such a process: it shows what stands and takes nothing.
pub(crate) struct ReadingDesk {
    log: Arc<ReadOnlyLog>,
    control: Partition,
    standing: Arc<RwLock<Standing>>,
}

impl Follower {
    /// Reads the control partition from the snapshot, or its start, up to what is durable.
    pub(crate) fn open(log: Arc<ReadOnlyLog>, kept: Option<Snapshot>) -> anyhow::Result<Follower> {
        let durable = log.durable();
        let kept = kept.filter(|kept| {
            kept.cursor.incarnation == durable.incarnation && kept.cursor <= durable
        });
        let (from, standing) = match kept {
            Some(kept) => (ReadFrom::Cursor(kept.cursor), kept.standing),
            None => (ReadFrom::Start, Standing::default()),
        };
        let control = Partition(log.partitions().saturating_sub(1));
        let reader = log.reader(control.into(), from);
        let mut follower = Follower {
            reader: reader.context("the control partition cannot be read")?,
            log,
            control,
            standing: Arc::new(RwLock::new(standing)),
        };
        follower.catch_up()?;
        Ok(follower)
    }

    /// Takes what has become durable since.
    pub(crate) fn catch_up(&mut self) -> anyhow::Result<()> {
        loop {
            let (mut last_tick, mut edge_news) = (None, false);
            let mut view = View {
                control: self.control,
                standing: write(&self.standing),
                last_tick: &mut last_tick,
                edge_news: &mut edge_news,
                fault: None,
            };
            let read = self
                .reader
                .read(ReadBudget::default(), &mut |record| view.take(record));
            if let Some(fault) = view.fault {
                return Err(fault);
            }
            drop(view.standing);
            if read.context("the control partition cannot be read")?.at_end {
                return Ok(());
            }
        }
    }

    /// The desk over what it follows.
    pub(crate) fn desk(&self) -> ReadingDesk {
        ReadingDesk {
            log: self.log.clone(),
            control: self.control,
            standing: self.standing.clone(),
        }
    }
}

impl tollgate_query::Desk for ReadingDesk {
    fn standing(&self) -> Box<dyn Deref<Target = Standing> + '_> {
        Box::new(read(&self.standing))
    }

    fn submit(
        &self,
        _by: Actor,
        _request: Option<RequestId>,
        _decide: Decision,
    ) -> Later<'_, Result<Written, Problem>> {
        let what = "no worker here: this process only answers questions; send changes to the one \
                    that takes clicks";
        Box::pin(std::future::ready(Err(Problem::unavailable(what, 60))))
    }

    fn carried_out(&self, _request: RequestId) -> Option<Vec<Control>> {
        None
    }

    fn audit(&self, from: Option<&[u8]>, limit: usize) -> Result<AuditPage, Problem> {
        let from = desk::audit_from(from)?;
        let reader = self.log.reader(self.control.into(), from);
        let page = reader.and_then(|reader| desk::audit_page(reader, self.control, limit));
        page.map_err(desk::audit_problem)
    }
}
