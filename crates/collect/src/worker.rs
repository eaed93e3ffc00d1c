//! One thread's half of the hallway that knows the log: record -> append -> receipt.

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use arc_swap::Cache;
use tollgate_click::Refusal;
use tollgate_log::{Append, AppendError, Committed, NewRecord, Partition};

use crate::core::clock::Clock;
use crate::core::{Desk, Pages, Stamp};
use crate::counters::{Recorded, Tally};
use crate::directory::{Directory, Wiring};
use crate::options::EdgeOptions;
use crate::quarantine::Quarantine;
use crate::readiness::Readiness;

/// What one thread works with.
pub(crate) struct Worker<A> {
    pub(crate) options: Arc<EdgeOptions>,
    pub(crate) readiness: Arc<Readiness>,
    pub(crate) books: Arc<Books>,
    appender: A,
    /// Somebody goes rounds and ends each with [`Worker::flush`].
    gathers: bool,
    // Only this worker's own thread takes the lock, and never across an await: it is free, and it
    // lets connections be spawned as ordinary tasks.
    place: Mutex<Place>,
    batches: AtomicUsize,
    /// Where a request is read to before anything is known of it.
    scratch: Mutex<Vec<u8>>,
}

/// Room for one read: any head that takes the short way.
const SCRATCH_BYTES: usize = 16 * 1024;

/// A thread's desk with the directory that lies on it.
struct Place {
    desk: Desk,
    directory: Cache<Arc<Wiring>, Arc<Directory>>,
}

/// What one thread has counted and kept; it outlives the thread.
#[derive(Debug)]
pub(crate) struct Books {
    pub(crate) tally: Tally,
    pub(crate) quarantine: Quarantine,
    pub(crate) clock: Clock,
}

impl Books {
    /// Counts a refused hit, whose arrival was counted, and keeps a sample of it.
    pub(crate) fn refuse(&self, reason: Refusal, sample: &[u8]) {
        self.tally.refused(reason, 1);
        self.quarantine.keep(self.clock.now(), reason, sample);
    }

    /// Counts records as what their commit has made of them.
    pub(crate) fn settle(
        &self,
        kind: Recorded,
        count: u64,
        outcome: &Result<Committed, AppendError>,
    ) -> Result<(), Refusal> {
        match outcome {
            Ok(_) => {
                self.tally.recorded(kind, count);
                Ok(())
            }
            Err(error) => {
                let reason = failed_commit(error);
                self.tally.refused(reason, count);
                Err(reason)
            }
        }
    }
}

impl<A: Append> Worker<A> {
    pub(crate) fn new(
        options: Arc<EdgeOptions>,
        readiness: Arc<Readiness>,
        books: Arc<Books>,
        wiring: Arc<Wiring>,
        appender: A,
        desk: Desk,
    ) -> Worker<A> {
        let directory = Cache::new(wiring);
        let place = Mutex::new(Place { desk, directory });
        let batches = AtomicUsize::new(0);
        let scratch = Mutex::new(vec![0; SCRATCH_BYTES]);
        Worker {
            options,
            readiness,
            books,
            appender,
            gathers: false,
            place,
            batches,
            scratch,
        }
    }

    /// The same for a thread that goes rounds and ends each with [`Worker::flush`].
    pub(crate) fn going_rounds(self) -> Worker<A> {
        Worker {
            gathers: true,
            ..self
        }
    }

    /// Ends a round.
    pub(crate) fn flush(&self) {
        self.appender.flush();
    }

    /// Works at the desk with the directory of the moment.
    pub(crate) fn at_desk<T>(&self, work: impl FnOnce(&mut Desk, &Directory) -> T) -> T {
        let mut held = self.place.lock().unwrap_or_else(PoisonError::into_inner);
        let Place { desk, directory } = &mut *held;
        work(desk, directory.load())
    }

    /// Works with the thread's scratch buffer, whose content means nothing before or after.
    pub(crate) fn at_scratch<T>(&self, work: impl FnOnce(&mut [u8]) -> T) -> T {
        work(&mut self.scratch.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Stamps one record and hands it to the log. `keep` takes what the answer needs from the
    /// pages before the next request turns them over.
    pub(crate) fn record<T>(
        &self,
        kind: Recorded,
        stamp: impl FnOnce(&mut Desk, &Directory) -> Result<Stamp, Refusal>,
        keep: impl FnOnce(Stamp, &Pages) -> Result<T, Refusal>,
    ) -> Result<(T, Receipt<A::Commit>), Refusal> {
        let (kept, commit) = self.hand_over(stamp, keep)?;
        Ok((kept, self.receipt(commit, kind, 1)))
    }

    /// The same for a caller that follows the commit to its end and counts it.
    pub(crate) fn hand_over<T>(
        &self,
        stamp: impl FnOnce(&mut Desk, &Directory) -> Result<Stamp, Refusal>,
        keep: impl FnOnce(Stamp, &Pages) -> Result<T, Refusal>,
    ) -> Result<(T, A::Commit), Refusal> {
        self.at_desk(|desk, directory| {
            if !directory.is_writable() {
                return Err(Refusal::Overload);
            }
            let stamp = stamp(desk, directory)?;
            let pages = desk.pages();
            let kept = keep(stamp, pages)?;
            let record = NewRecord {
                partition: Partition(stamp.partition.get()),
                facts: &pages.facts,
                personal: &pages.personal,
            };
            let taken = if self.gathers {
                self.appender.gather(record)
            } else {
                self.appender.append(record)
            };
            Ok((kept, taken.map_err(|error| refusal(&error))?))
        })
    }

    /// Hands the records of a batch to the log as one.
    pub(crate) fn append_all(
        &self,
        records: &[NewRecord<'_>],
    ) -> Result<Receipt<A::Commit>, Refusal> {
        let commit = self
            .appender
            .append_all(records)
            .map_err(|error| refusal(&error))?;
        Ok(self.receipt(commit, Recorded::Import, records.len() as u64))
    }

    /// A commit that is followed to its end and counted, whoever waits.
    pub(crate) fn receipt(
        &self,
        commit: A::Commit,
        kind: Recorded,
        count: u64,
    ) -> Receipt<A::Commit> {
        Receipt {
            commit: Some(commit),
            books: self.books.clone(),
            kind,
            count,
            followed: false,
        }
    }

    /// A place to work on a batch, if one is free.
    pub(crate) fn batch_place(self: &Arc<Self>) -> Option<BatchPlace<A>> {
        let taken = self.batches.fetch_add(1, Ordering::Relaxed);
        let place = BatchPlace(self.clone());
        (taken < self.options.limits.batches_max).then_some(place)
    }
}

/// One of the few places for batches; free again when dropped.
pub(crate) struct BatchPlace<A>(Arc<Worker<A>>);

impl<A> Drop for BatchPlace<A> {
    fn drop(&mut self) {
        self.0.batches.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Why the log took nothing, as the edge counts and answers it.
fn refusal(error: &AppendError) -> Refusal {
    match error {
        AppendError::Overloaded
        | AppendError::Full
        | AppendError::Down(_)
        | AppendError::Closed
        | AppendError::NoSuchPartition { .. } => Refusal::Overload,
        AppendError::TooLarge { .. } => Refusal::Malformed,
        AppendError::Indeterminate(_) => Refusal::Unrecorded,
    }
}

/// The same when the log had taken it and the commit failed: a log that was closed over a record
/// has not said what became of it.
fn failed_commit(error: &AppendError) -> Refusal {
    match error {
        AppendError::Closed => Refusal::Unrecorded,
        other => refusal(other),
    }
}

/// Resolves when the records are durable, and counts them as what they became. When nobody waits
/// any more (the client has gone), the commit is followed to its end all the same: a record that
/// became durable was recorded.
pub(crate) struct Receipt<C>
where
    C: Future<Output = Result<Committed, AppendError>> + Send + Unpin + 'static,
{
    commit: Option<C>,
    books: Arc<Books>,
    kind: Recorded,
    count: u64,
    followed: bool,
}

impl<C> Future for Receipt<C>
where
    C: Future<Output = Result<Committed, AppendError>> + Send + Unpin + 'static,
{
    type Output = Result<(), Refusal>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        let Some(commit) = &mut this.commit else {
            return Poll::Ready(Err(Refusal::Unrecorded)); // polled after its end
        };
        let Poll::Ready(outcome) = Pin::new(commit).poll(context) else {
            return Poll::Pending;
        };
        this.commit = None;
        Poll::Ready(this.books.settle(this.kind, this.count, &outcome))
    }
}

impl<C> Drop for Receipt<C>
where
    C: Future<Output = Result<Committed, AppendError>> + Send + Unpin + 'static,
{
    fn drop(&mut self) {
        let Some(commit) = self.commit.take() else {
            return;
        };
        let (books, kind, count) = (self.books.clone(), self.kind, self.count);
        match tokio::runtime::Handle::try_current() {
            Ok(runtime) if !self.followed => {
                // Bounded by the log's queue: each such task stands for a record in it.
                let commit = Some(commit);
                runtime.spawn(Receipt {
                    commit,
                    books,
                    kind,
                    count,
                    followed: true,
                });
            }
            // The thread ends and its tasks with it.
            _ => books.tally.refused(Refusal::Unrecorded, count),
        }
    }
}
