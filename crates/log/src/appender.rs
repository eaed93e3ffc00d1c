//! The appenders' side of a group commit.
//!
//! Each appender has a lane of its own: a buffer of encoded records behind a mutex that nobody
//! else takes, except the writer once a commit. All records that a commit takes from a lane share
//! one [`Batch`], and its outcome reaches them by *one* wake from the writer: the first waiter is
//! woken, and when it looks, or goes away without looking, it wakes the others on its own thread.
//! Should it do neither, the writer wakes them itself a little later, so no waiter depends on
//! another's manners.

use std::future::Future;
use std::ops::Range;
use std::pin::Pin;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};

use crate::api::{Append, AppendError, Committed, NewRecord, Partition};
use crate::format::FRAME_BYTES;
use crate::frames::OpenFrames;
use crate::options::Durability;
use crate::shared::{Shared, hold};
use crate::writer::Writer;

/// The segment log's writing half. A clone has a lane of its own: give each thread one.
pub struct Appender {
    shared: Arc<Shared>,
    writer: Arc<Mutex<Writer>>,
    lane: Arc<Lane>,
}

impl Appender {
    pub(crate) fn new(shared: Arc<Shared>, writer: Arc<Mutex<Writer>>) -> Appender {
        let lane = Arc::new(Lane::default());
        let mut lanes = hold(&shared.lanes);
        hold(&lane.queue).closed = lanes.closed;
        lanes.all.push(lane.clone());
        drop(lanes);
        Appender {
            shared,
            writer,
            lane,
        }
    }

    /// Checks the records against the limits; their bytes as frames.
    fn check(&self, records: &[NewRecord<'_>]) -> Result<usize, AppendError> {
        let options = &self.shared.options;
        let mut frames = 0;
        for record in records {
            if record.partition != Partition::ALL && record.partition.0 >= options.partitions {
                let (partition, partitions) = (record.partition.0, options.partitions);
                return Err(AppendError::NoSuchPartition {
                    partition,
                    partitions,
                });
            }
            let bytes = record.facts.len().max(record.personal.len());
            if bytes > options.record_bytes_max {
                return Err(AppendError::TooLarge {
                    bytes,
                    limit: options.record_bytes_max,
                });
            }
            frames += FRAME_BYTES + record.facts.len() + record.personal.len();
        }
        if frames > options.block_bytes_max {
            return Err(AppendError::TooLarge {
                bytes: frames,
                limit: options.block_bytes_max,
            });
        }
        Ok(frames)
    }
}

impl Clone for Appender {
    fn clone(&self) -> Appender {
        Appender::new(self.shared.clone(), self.writer.clone())
    }
}

impl Appender {
    /// Puts the records into the lane; their commit, and how the bytes that are queued have grown.
    /// Tells nobody.
    fn queue(&self, records: &[NewRecord<'_>]) -> Result<(Commit, Range<usize>), AppendError> {
        let bytes = self.check(records)?;
        if let Some(refusal) = self.shared.refusal() {
            return Err(refusal);
        }
        let options = &self.shared.options;
        let before = self.shared.queued_bytes.load(Ordering::Relaxed);
        if before.saturating_add(bytes) > options.queue_bytes_max {
            return Err(AppendError::Overloaded);
        }
        let mut queue = hold(&self.lane.queue);
        if queue.closed {
            return Err(AppendError::Closed);
        }
        if queue.frames.bytes().len() + bytes > options.block_bytes_max {
            return Err(AppendError::Overloaded);
        }
        queue.frames.reserve(records.len(), bytes);
        for record in records {
            queue.frames.put(record);
        }
        let batch = queue.batch.get_or_insert_default().clone();
        // While the lane is held: the writer takes them off again as soon as it has the lane.
        let before = self.shared.queued_bytes.fetch_add(bytes, Ordering::Relaxed);
        let grown = before..before.saturating_add(bytes);
        Ok((Commit { batch, place: None }, grown))
    }

    /// Appends several records as one, and returns when they are as durable as was asked for. For a
    /// thread that has nothing else to do meanwhile: if nobody is at the writer, it writes and
    /// syncs here, with all that others have queued, and no other thread has to be woken.
    pub fn commit(&self, records: &[NewRecord<'_>]) -> Result<Committed, AppendError> {
        let (commit, _) = self.queue(records)?;
        let here = match self.shared.options.durability {
            Durability::Sync => self.sync_here(),
            Durability::Os => self.commit_here(),
        };
        if !here {
            self.shared.wake_writer();
        }
        commit.wait()
    }

    /// Whether all that is queued was committed and synced here. Not when somebody is at the
    /// writer.
    fn sync_here(&self) -> bool {
        let writer = self.writer.try_lock();
        writer.is_ok_and(|mut writer| {
            writer.commit_queued();
            true
        })
    }

    /// Whether the lane was committed here. Not when another thread is at the writer, or when it
    /// takes more than a write: that is the writer's own thread's part.
    fn commit_here(&self) -> bool {
        match self.writer.try_lock() {
            Ok(mut writer) => writer.commit_here(&self.lane),
            Err(_) => false,
        }
    }
}

impl Append for Appender {
    type Commit = Commit;

    fn append_all(&self, records: &[NewRecord<'_>]) -> Result<Commit, AppendError> {
        let (commit, grown) = self.queue(records)?;
        self.shared.queued(&grown);
        Ok(commit)
    }

    fn gather(&self, record: NewRecord<'_>) -> Result<Commit, AppendError> {
        let (commit, _) = self.queue(&[record])?;
        Ok(commit)
    }

    fn flush(&self) {
        if self.lane.is_empty() {
            return;
        }
        let here = self.shared.options.durability == Durability::Os;
        if !here || !self.commit_here() {
            self.shared.flushed();
        }
    }
}

/// The queue of one appender.
#[derive(Default)]
pub(crate) struct Lane {
    pub(crate) queue: Mutex<Queue>,
}

#[derive(Default)]
pub(crate) struct Queue {
    frames: OpenFrames,
    batch: Option<Arc<Batch>>,
    closed: bool,
    /// A buffer that a commit has finished with.
    spare: OpenFrames,
}

/// What a commit takes from a lane.
pub(crate) struct Taken {
    pub(crate) lane: Arc<Lane>,
    pub(crate) frames: OpenFrames,
    pub(crate) batch: Arc<Batch>,
}

impl Lane {
    /// Takes what is queued; with `close` nothing is queued any more after it.
    pub(crate) fn take(self: &Arc<Lane>, close: bool) -> Option<Taken> {
        hold(&self.queue).closed |= close;
        self.take_if(|_, _| true)
    }

    /// Takes what is queued if its bytes and records fit.
    pub(crate) fn take_if(self: &Arc<Lane>, fit: impl FnOnce(usize, u32) -> bool) -> Option<Taken> {
        let mut queue = hold(&self.queue);
        if !fit(queue.frames.bytes().len(), queue.frames.records()) {
            return None;
        }
        let batch = queue.batch.take()?;
        let spare = std::mem::take(&mut queue.spare);
        let frames = std::mem::replace(&mut queue.frames, spare);
        Some(Taken {
            lane: self.clone(),
            frames,
            batch,
        })
    }

    /// Nothing is queued.
    pub(crate) fn is_empty(&self) -> bool {
        hold(&self.queue).batch.is_none()
    }

    /// Nobody can append here any more, and nothing is queued.
    pub(crate) fn is_abandoned(self: &Arc<Lane>) -> bool {
        Arc::strong_count(self) == 1 && self.is_empty()
    }
}

impl Taken {
    /// Tells everyone who waits, by waking one of them, and gives the buffer back.
    pub(crate) fn finish(self, outcome: Result<Committed, AppendError>) -> Arc<Batch> {
        self.batch.complete(outcome);
        let mut frames = self.frames;
        frames.clear();
        let mut queue = hold(&self.lane.queue);
        if queue.frames.is_empty() {
            // The one that the processor's caches still hold is filled first.
            std::mem::swap(&mut queue.frames, &mut frames);
        }
        queue.spare = frames;
        self.batch
    }
}

/// The records of one lane in one commit, and those who wait for them.
#[derive(Default)]
pub(crate) struct Batch {
    state: Mutex<BatchState>,
}

#[derive(Default)]
struct BatchState {
    outcome: Option<Result<Committed, AppendError>>,
    /// By place; a waiter that went away leaves `None`.
    wakers: Vec<Option<Waker>>,
}

impl Batch {
    fn complete(&self, outcome: Result<Committed, AppendError>) {
        let mut state = hold(&self.state);
        state.outcome = Some(outcome);
        let leader = state.wakers.iter_mut().find_map(Option::take);
        drop(state);
        if let Some(leader) = leader {
            leader.wake();
        }
    }

    /// Wakes whoever has not been woken.
    pub(crate) fn wake_rest(&self) {
        let rest = std::mem::take(&mut hold(&self.state).wakers);
        for waker in rest.into_iter().flatten() {
            waker.wake();
        }
    }

    /// Whether nobody is left to be woken.
    pub(crate) fn all_awake(&self) -> bool {
        hold(&self.state).wakers.iter().all(Option::is_none)
    }
}

/// Resolves when the records of one append are as durable as was asked for.
pub struct Commit {
    batch: Arc<Batch>,
    place: Option<usize>,
}

impl Commit {
    /// Blocks the thread until the outcome is there.
    fn wait(mut self) -> Result<Committed, AppendError> {
        let waker = Waker::from(Arc::new(Unpark(thread::current())));
        let mut context = Context::from_waker(&waker);
        loop {
            if let Poll::Ready(outcome) = Pin::new(&mut self).poll(&mut context) {
                return outcome;
            }
            thread::park();
        }
    }
}

/// Wakes a thread that waits for its commit.
struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Unpark>) {
        self.0.unpark();
    }
}

impl Future for Commit {
    type Output = Result<Committed, AppendError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        let mut state = hold(&this.batch.state);
        if let Some(outcome) = state.outcome.clone() {
            drop(state);
            this.batch.wake_rest();
            return Poll::Ready(outcome);
        }
        let place = *this.place.get_or_insert_with(|| {
            state.wakers.push(None);
            state.wakers.len() - 1
        });
        if let Some(waker) = state.wakers.get_mut(place)
            && !waker
                .as_ref()
                .is_some_and(|waker| waker.will_wake(context.waker()))
        {
            *waker = Some(context.waker().clone());
        }
        Poll::Pending
    }
}

impl Drop for Commit {
    fn drop(&mut self) {
        let mut state = hold(&self.batch.state);
        if state.outcome.is_some() {
            // It may have been the one that was woken for all.
            drop(state);
            self.batch.wake_rest();
        } else if let Some(place) = self.place
            && let Some(waker) = state.wakers.get_mut(place)
        {
            *waker = None;
        }
    }
}
