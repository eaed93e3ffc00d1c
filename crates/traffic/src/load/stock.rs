//! Requests made beforehand: signing one costs about as much as sending it, and belongs to nobody's
//! latency.
//!
//! A thread of its own makes them in the order of their numbers and stays a fixed way ahead; the
//! load threads take them by the batch and give the buffers back.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use super::{RenderError, Work};

/// Requests of a batch: few enough that several threads share a short run.
const BATCH: u64 = 16;
/// Batches that lie ready at most: 262,144 requests, some 160 MB.
const READY_MAX: usize = 262_144 / BATCH as usize;

/// Some requests whose numbers follow each other.
#[derive(Debug, Default)]
pub(super) struct Batch {
    first: u64,
    bytes: Vec<u8>,
    requests: Vec<Request>,
}

/// Where a request ends among the bytes of its batch, and whether it is a `HEAD`.
#[derive(Debug)]
struct Request {
    end: usize,
    head: bool,
}

impl Batch {
    /// The number of the request at `index`; none behind the last.
    pub(super) fn op(&self, index: usize) -> Option<u64> {
        (index < self.requests.len()).then_some(self.first + index as u64)
    }

    /// Its bytes, and whether it is a `HEAD`.
    pub(super) fn request(&self, index: usize) -> (&[u8], bool) {
        let before = index.checked_sub(1).and_then(|at| self.requests.get(at));
        let begin = before.map_or(0, |request| request.end);
        let Some(Request { end, head }) = self.requests.get(index) else {
            return (&[], false);
        };
        (self.bytes.get(begin..*end).unwrap_or_default(), *head)
    }

    fn make(&mut self, first: u64, end: u64, work: &dyn Work) -> Result<(), RenderError> {
        self.first = first;
        self.bytes.clear();
        self.requests.clear();
        let mut one = Vec::new();
        for op in first..end {
            one.clear();
            let head = work.render(op, &mut one)?;
            self.bytes.extend_from_slice(&one);
            let end = self.bytes.len();
            self.requests.push(Request { end, head });
        }
        Ok(())
    }
}

/// What a load thread gets.
pub(super) enum Supply {
    /// The next requests.
    Batch(Batch),
    /// They are not made yet.
    Later,
    /// All have been taken.
    Over,
}

/// The requests between the thread that makes them and those that send them.
#[derive(Debug, Default)]
pub(super) struct Stock {
    shelf: Mutex<Shelf>,
    moved: Condvar,
}

#[derive(Debug, Default)]
struct Shelf {
    ready: VecDeque<Batch>,
    spent: Vec<Batch>,
    /// Nothing more will be made.
    complete: bool,
    /// Nothing more is wanted.
    closed: bool,
    failed: Option<RenderError>,
}

impl Stock {
    /// Makes requests 0 to `planned` - 1, or without end, until nothing more is wanted.
    pub(super) fn fill(&self, planned: Option<u64>, work: &dyn Work) {
        let planned = planned.unwrap_or(u64::MAX);
        let mut first = 0;
        while first < planned
            && let Some(mut batch) = self.empty_batch()
        {
            let end = planned.min(first.saturating_add(BATCH));
            let made = batch.make(first, end, work);
            let mut shelf = self.hold();
            match made {
                Ok(()) => shelf.ready.push_back(batch),
                Err(error) => {
                    shelf.failed = Some(error);
                    break;
                }
            }
            first = end;
            // A load thread asks again by itself; only the start waits.
            self.moved.notify_all();
        }
        self.hold().complete = true;
        self.moved.notify_all();
    }

    /// Waits until as much lies ready as may.
    pub(super) fn wait_until_full(&self) {
        let mut shelf = self.hold();
        while !shelf.complete && !shelf.closed && shelf.ready.len() < READY_MAX {
            shelf = self.wait(shelf);
        }
    }

    /// Takes the next requests, and gives those back that are done with.
    pub(super) fn take(&self) -> Result<Supply, RenderError> {
        let mut shelf = self.hold();
        if let Some(batch) = shelf.ready.pop_front() {
            if shelf.ready.len() == READY_MAX / 2 {
                self.moved.notify_all();
            }
            return Ok(Supply::Batch(batch));
        }
        match shelf.failed.take() {
            Some(error) => Err(error),
            None if shelf.complete => Ok(Supply::Over),
            None => Ok(Supply::Later),
        }
    }

    /// Gives a batch back whose requests have all ended.
    pub(super) fn give_back(&self, batch: Batch) {
        self.hold().spent.push(batch);
    }

    /// Nothing more is wanted.
    pub(super) fn close(&self) {
        self.hold().closed = true;
        self.moved.notify_all();
    }

    /// A batch to fill, when there is room for it on the shelf; none when nothing more is wanted.
    fn empty_batch(&self) -> Option<Batch> {
        let mut shelf = self.hold();
        // Full once, it is filled again when half of it is gone: the threads that take from it
        // wake nobody in between.
        if shelf.ready.len() >= READY_MAX {
            while !shelf.closed && shelf.ready.len() > READY_MAX / 2 {
                shelf = self.wait(shelf);
            }
        }
        (!shelf.closed).then(|| shelf.spent.pop().unwrap_or_default())
    }

    fn hold(&self) -> MutexGuard<'_, Shelf> {
        self.shelf.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait<'a>(&self, shelf: MutexGuard<'a, Shelf>) -> MutexGuard<'a, Shelf> {
        self.moved
            .wait(shelf)
            .unwrap_or_else(PoisonError::into_inner)
    }
}
