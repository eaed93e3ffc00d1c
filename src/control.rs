//! Control: how files become control records, and control records what the edge believes.
//!
//! One control partition holds every change in one order; its number is the one behind the last
//! data partition. For each change two records are appended in one commit: the full one, with
//! its secret as the personal part, to the control partition, and a copy without the secret to
//! the partitions that it concerns, numbered per target. Nothing that decides a bill lives
//! outside the log: what stands is what the records say, files are only compared with it, and the
//! API writes through the [`desk`], one decision after the other.

use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Duration;

use anyhow::Context;
use tollgate_click::control::Target;
use tollgate_click::record::{Mark, Tick};
use tollgate_click::{
    Actor, Change, Control, ControlNumber, EdgeId, Millis, Minute, PartitionId, Record,
};
use tollgate_collect::Wiring;
use tollgate_log::{
    Append, AppendError, Cursor, Log, NewRecord, Partition, Read, ReadBudget, ReadFrom, Reader,
    RecordRef, SegmentLog,
};
use tollgate_query::idempotency::RequestId;
use tollgate_query::standing::{Numbering, Standing};
use tollgate_query::{Decision, NewChange, Problem};

pub(crate) mod answers;
pub(crate) mod desk;
pub(crate) mod diff;
pub(crate) mod directory;
pub(crate) mod files;
pub(crate) mod first_key;
pub(crate) mod follow;
mod noted;
pub(crate) mod snapshot;
pub(crate) mod zones;

use answers::AnswerBook;
use diff::Differs;
use files::Wanted;
use snapshot::Snapshot;

/// Records of one commit together, in bytes: well below what the log takes as one.
const COMMIT_BYTES_MAX: usize = 512 * 1024;

/// How long a commit may take to become readable before it is looked for again later.
const SEE_PATIENCE: Duration = Duration::from_secs(10);

/// The one writer of the control partition, and the one who tells the edge.
pub(crate) struct Sequencer {
    log: Arc<SegmentLog>,
    reader: Reader,
    partitions: u16,
    /// Read by everybody, written here.
    standing: Arc<RwLock<Standing>>,
    last_tick: Option<Tick>,
    cursor: Cursor,
    wiring: Arc<Wiring>,
    /// Whether something has changed that the edge goes by and was not told.
    edge_news: bool,
    /// An append whose fate is not known: nothing may be numbered before it is.
    unsettled: bool,
    /// What is noted before it is changed.
    book: Arc<AnswerBook>,
}

/// Why changes were not made.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OfferError {
    /// What is wanted contradicts what stands.
    #[error(transparent)]
    Differs(#[from] Differs),
    /// The log did not take them; tried again later.
    #[error("the log took no control record: {0}")]
    Append(#[from] AppendError),
    /// The control partition cannot be read.
    #[error("{0:#}")]
    Read(anyhow::Error),
    /// What was decided at the desk.
    #[error("{0}")]
    Refused(Problem),
}

impl Sequencer {
    /// Reads the control partition from the snapshot (or its start) to its end and tells the
    /// edge.
    pub(crate) fn open(
        log: &Arc<SegmentLog>,
        partitions: u16,
        kept: Option<Snapshot>,
        wiring: Arc<Wiring>,
        book: Arc<AnswerBook>,
    ) -> anyhow::Result<Sequencer> {
        let durable = log.durable();
        let kept = kept.filter(|kept| {
            kept.cursor.incarnation == durable.incarnation && kept.cursor <= durable
        });
        let from = kept
            .as_ref()
            .map_or(ReadFrom::Start, |kept| ReadFrom::Cursor(kept.cursor));
        let reader = log
            .reader(Partition(partitions).into(), from)
            .context("cannot read the control partition")?;
        let (standing, last_tick) = match kept {
            Some(kept) => (kept.standing, kept.last_tick),
            None => (Standing::default(), None),
        };
        let cursor = reader.cursor();
        let mut sequencer = Sequencer {
            log: log.clone(),
            reader,
            partitions,
            standing: Arc::new(RwLock::new(standing)),
            last_tick,
            cursor,
            wiring,
            edge_news: true,
            unsettled: false,
            book,
        };
        sequencer.catch_up()?;
        sequencer.look_notes_up();
        sequencer.tell_edge();
        Ok(sequencer)
    }

    /// The newest tick of the log.
    pub(crate) fn last_tick(&self) -> Option<Tick> {
        self.last_tick
    }

    /// What to keep so that the next start need not read everything.
    pub(crate) fn snapshot(&self) -> Snapshot {
        Snapshot {
            cursor: self.cursor,
            last_tick: self.last_tick,
            standing: self.standing().clone(),
        }
    }

    /// What stands, for everybody to read.
    pub(crate) fn shared(&self) -> Arc<RwLock<Standing>> {
        self.standing.clone()
    }

    /// What stands.
    pub(crate) fn standing(&self) -> RwLockReadGuard<'_, Standing> {
        read(&self.standing)
    }

    /// Goes to the log's durable end without reading what lies between: nobody else writes
    /// control records, and every one of ours was read back when it was appended. `tick` is the
    /// newest one that this node has written.
    pub(crate) fn skip_to_end(&mut self, tick: Option<Tick>) -> anyhow::Result<()> {
        if self.unsettled {
            return self.catch_up();
        }
        let from = ReadFrom::Cursor(self.log.durable());
        let reader = self.log.reader(Partition(self.partitions).into(), from);
        self.reader = reader.context("cannot read the control partition")?;
        self.cursor = self.reader.cursor();
        self.last_tick = tick
            .map(|tick| later(self.last_tick, tick))
            .or(self.last_tick);
        Ok(())
    }

    /// Reads what has become durable.
    fn catch_up(&mut self) -> anyhow::Result<()> {
        loop {
            let mut view = View {
                control: Partition(self.partitions),
                standing: write(&self.standing),
                last_tick: &mut self.last_tick,
                edge_news: &mut self.edge_news,
                fault: None,
            };
            let read = self
                .reader
                .read(ReadBudget::default(), &mut |record| view.take(record));
            if let Some(fault) = view.fault {
                return Err(fault);
            }
            drop(view.standing);
            let progress = read.context("cannot read the control partition")?;
            self.cursor = progress.cursor;
            if progress.at_end {
                return Ok(());
            }
        }
    }

    /// Hands the edge a directory of what stands, if it goes by something that has changed.
    fn tell_edge(&mut self) {
        if std::mem::take(&mut self.edge_news) {
            let directory = directory::build(&self.standing());
            self.wiring.store(Arc::new(directory));
        }
    }

    /// Makes what stands what is wanted; returns the number of changes.
    ///
    /// # Errors
    ///
    /// [`OfferError`]; what was refused for a contradiction has changed nothing. What the log did
    /// not take is offered again by the next call.
    pub(crate) async fn offer(
        &mut self,
        wanted: &Wanted,
        now: Millis,
    ) -> Result<usize, OfferError> {
        let decide = |standing: &Standing| Ok(diff::steps(standing, wanted)?);
        let who = Who {
            by: Actor(0),
            request: None,
        };
        let made = self.change(decide, who, now).await;
        Ok(made?.len())
    }

    /// Makes what a decision over what stands wants.
    ///
    /// # Errors
    ///
    /// [`OfferError`]; what was refused has changed nothing.
    pub(crate) async fn decide(
        &mut self,
        decision: Decision,
        who: Who,
        now: Millis,
    ) -> Result<Vec<Made>, OfferError> {
        let decide = |standing: &Standing| decision(standing, now).map_err(OfferError::Refused);
        self.change(decide, who, now).await
    }

    async fn change(
        &mut self,
        decide: impl FnOnce(&Standing) -> Result<Vec<NewChange>, OfferError>,
        who: Who,
        now: Millis,
    ) -> Result<Vec<Made>, OfferError> {
        let changed = self.try_change(decide, who, now).await;
        self.tell_edge();
        changed
    }

    async fn try_change(
        &mut self,
        decide: impl FnOnce(&Standing) -> Result<Vec<NewChange>, OfferError>,
        who: Who,
        now: Millis,
    ) -> Result<Vec<Made>, OfferError> {
        self.settle().await?;
        if let Some(request) = who.request
            && self.book.carried_out(request).is_some()
        {
            let what = "the first request with this key was carried out; ask again what it did";
            return Err(OfferError::Refused(Problem::unavailable(what, 1)));
        }
        let (news, mut numbering) = {
            let standing = self.standing();
            (decide(&standing)?, standing.numbering().clone())
        };
        let first = numbering.number + 1;
        let (mut made, mut records) = (Vec::new(), Vec::new());
        for new in news {
            let target = new.change.target();
            records.push(Numbered::next(&mut numbering, new, who.by, now));
            made.push(Made {
                number: ControlNumber(numbering.number),
                target,
            });
        }
        self.note(who.request, &records, (first, now)).await?;
        let appended = self.append_all(&records).await;
        if appended.is_err() && !self.unsettled {
            self.look_notes_up();
        }
        appended.map(|()| made)
    }

    /// After an append whose fate is not known: a later one that is read stands behind whatever
    /// became of it, so everything that will ever be read of it has been read then.
    async fn settle(&mut self) -> Result<(), OfferError> {
        if !self.unsettled {
            return Ok(());
        }
        let mut facts = Vec::new();
        let nobody = Mark {
            edge: EdgeId::default(),
            minute: Minute(0),
        };
        Record::Mark(nobody).encode(&mut facts);
        self.append(&[Numbered {
            facts,
            secret: Vec::new(),
            target: None,
        }])
        .await?;
        self.look_notes_up();
        Ok(())
    }

    /// Appends records in commits that the log takes as one.
    async fn append_all(&mut self, mut records: &[Numbered]) -> Result<(), OfferError> {
        while !records.is_empty() {
            let mut bytes = 0;
            let full = records.iter().position(|record| {
                bytes += record.bytes();
                bytes >= COMMIT_BYTES_MAX
            });
            let (commit, rest) = records.split_at(full.map_or(records.len(), |last| last + 1));
            self.append(commit).await?;
            records = rest;
        }
        Ok(())
    }

    /// Appends records to the control partition, and a copy of each without its secret to its
    /// target, in one commit; then reads them back, which is how they count here too.
    async fn append(&mut self, records: &[Numbered]) -> Result<(), OfferError> {
        let mut news = Vec::with_capacity(records.len() * 2);
        for record in records {
            let full = NewRecord {
                partition: Partition(self.partitions),
                facts: &record.facts,
                personal: &record.secret,
            };
            news.push(full);
            let copy = |target| NewRecord {
                partition: self.place(target),
                personal: &[],
                ..full
            };
            news.extend(record.target.map(copy));
        }
        if news.is_empty() {
            return Ok(());
        }
        let commit = self.log.appender().append_all(&news)?;
        self.unsettled = true;
        let committed = commit.await?;
        self.see(committed.cursor).await?;
        self.unsettled = false;
        Ok(())
    }

    /// Reads up to a commit. Told not to wait for the disk, the log answers before its readers
    /// see the record.
    async fn see(&mut self, committed: Cursor) -> Result<(), OfferError> {
        while self.cursor < committed {
            let more = self.log.durable_after(self.cursor);
            if tokio::time::timeout(SEE_PATIENCE, more).await.is_err() {
                let late = anyhow::anyhow!("a commit is not readable yet");
                return Err(OfferError::Read(late));
            }
            self.catch_up().map_err(OfferError::Read)?;
        }
        Ok(())
    }

    fn place(&self, target: Target) -> Partition {
        match target {
            Target::Advertiser(advertiser) => {
                Partition(PartitionId::of_advertiser(advertiser, self.partitions).get())
            }
            Target::All => Partition::ALL,
        }
    }
}

/// Who makes a change.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Who {
    pub(crate) by: Actor,
    /// What makes it the same when it is sent again.
    pub(crate) request: Option<RequestId>,
}

/// A change that was made.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Made {
    pub(crate) number: ControlNumber,
    pub(crate) target: Target,
}

/// A change with its numbers, as bytes.
struct Numbered {
    facts: Vec<u8>,
    secret: Vec<u8>,
    /// Whom it concerns; none for a record that only marks a place.
    target: Option<Target>,
}

impl Numbered {
    fn next(numbering: &mut Numbering, new: NewChange, by: Actor, at: Millis) -> Numbered {
        let NewChange { change, secret } = new;
        let (number, target_number) = numbering.next(&change);
        let target = Some(change.target());
        let mut facts = Vec::new();
        Record::Control(Control {
            number,
            target_number,
            at,
            by,
            change,
        })
        .encode(&mut facts);
        Numbered {
            facts,
            secret,
            target,
        }
    }

    fn bytes(&self) -> usize {
        2 * self.facts.len() + self.secret.len()
    }
}

/// What one read fills.
struct View<'a> {
    control: Partition,
    standing: RwLockWriteGuard<'a, Standing>,
    last_tick: &'a mut Option<Tick>,
    edge_news: &'a mut bool,
    fault: Option<anyhow::Error>,
}

impl View<'_> {
    /// Takes a record of the control partition, or a broadcast tick.
    fn take(&mut self, record: RecordRef<'_>) {
        if self.fault.is_some() {
            return;
        }
        match Record::decode(record.facts) {
            Ok(Record::Control(control)) if record.partition == self.control => {
                let applied = self
                    .standing
                    .apply(&control, record.personal.unwrap_or_default());
                *self.edge_news |= concerns_edge(&control.change);
                self.fault = applied.err().map(anyhow::Error::new);
            }
            Ok(Record::Tick(tick)) => *self.last_tick = Some(later(*self.last_tick, tick)),
            Ok(_) => {}
            Err(error) if record.partition == self.control => {
                let error = anyhow::Error::new(error);
                self.fault = Some(error.context("the control partition holds a bad record"));
            }
            // A broadcast that is damaged is the data partitions' business.
            Err(_) => {}
        }
    }
}

/// Whether the edge goes by it; see [`directory`].
fn concerns_edge(change: &Change) -> bool {
    match change {
        Change::Advertiser(_)
        | Change::Link(_)
        | Change::LinkRemoved(_)
        | Change::Key(_)
        | Change::KeyRevoked(_)
        | Change::Token(_)
        | Change::TokenRevoked(_)
        | Change::RecordVersion(_) => true,
        Change::Campaign(_)
        | Change::Publisher(_)
        | Change::Ad(_)
        | Change::ApiKey(_)
        | Change::ApiKeyRevoked(_)
        | Change::Money(_)
        | Change::ApplyVersion(_) => false,
    }
}

/// Who panicked while changing it changed nothing by halves: each record is applied whole.
pub(crate) fn read(standing: &RwLock<Standing>) -> RwLockReadGuard<'_, Standing> {
    standing.read().unwrap_or_else(PoisonError::into_inner)
}

fn write(standing: &RwLock<Standing>) -> RwLockWriteGuard<'_, Standing> {
    standing.write().unwrap_or_else(PoisonError::into_inner)
}

/// Epoch and time only rise.
fn later(last: Option<Tick>, tick: Tick) -> Tick {
    last.map_or(tick, |last| Tick {
        epoch: last.epoch.max(tick.epoch),
        at: last.at.max(tick.at),
    })
}

#[cfg(test)]
mod tests;
