//! What the appenders, the writer and the readers of an open log share.

use std::future::Future;
use std::ops::Range;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::{Context, Poll, Waker};
use std::thread::Thread;
use std::time::Duration;

use crate::api::{AppendError, Cursor};
use crate::appender::Lane;
use crate::options::{Health, Options};

/// Locks a mutex. A thread that panicked while holding one has not left half a change behind: the
/// log's critical sections only move values.
pub(crate) fn hold<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Waits for a condition variable; see [`hold`] for poisoning.
pub(crate) fn wait<'a, T>(changed: &Condvar, guard: MutexGuard<'a, T>) -> MutexGuard<'a, T> {
    changed.wait(guard).unwrap_or_else(PoisonError::into_inner)
}

/// Waits for a condition variable, but no longer than this.
pub(crate) fn wait_timeout<'a, T>(
    changed: &Condvar,
    guard: MutexGuard<'a, T>,
    timeout: Duration,
) -> MutexGuard<'a, T> {
    changed
        .wait_timeout(guard, timeout)
        .unwrap_or_else(PoisonError::into_inner)
        .0
}

/// The state between the threads of a log.
pub(crate) struct Shared {
    pub(crate) options: Options,
    /// One per appender. Closed under this lock, so that no lane is added to a closed log unseen.
    pub(crate) lanes: Mutex<Lanes>,
    pub(crate) queued_bytes: AtomicUsize,
    pub(crate) durable: Arc<Durable>,
    pub(crate) closing: AtomicBool,
    bell: Bell,
    health: Mutex<Health>,
    writable: AtomicBool,
}

/// The lanes of all appenders.
#[derive(Default)]
pub(crate) struct Lanes {
    pub(crate) all: Vec<Arc<Lane>>,
    pub(crate) closed: bool,
}

impl Shared {
    pub(crate) fn new(options: Options, incarnation: u64, durable: u64) -> Shared {
        Shared {
            options,
            lanes: Mutex::default(),
            queued_bytes: AtomicUsize::new(0),
            durable: Arc::new(Durable::new(incarnation, durable)),
            closing: AtomicBool::new(false),
            bell: Bell::default(),
            health: Mutex::new(Health::Writable),
            writable: AtomicBool::new(true),
        }
    }

    pub(crate) fn health(&self) -> Health {
        hold(&self.health).clone()
    }

    pub(crate) fn set_health(&self, health: Health) {
        let mut held = hold(&self.health);
        if *held != Health::Closed {
            self.writable
                .store(health == Health::Writable, Ordering::Release);
            *held = health;
        }
    }

    /// Why nothing is taken at present, if so.
    pub(crate) fn refusal(&self) -> Option<AppendError> {
        if self.writable.load(Ordering::Acquire) {
            None
        } else {
            self.health().refusal()
        }
    }

    /// Wakes the writer if it has to know that the bytes that are queued have grown.
    pub(crate) fn queued(&self, grown: &Range<usize>) {
        let enough = self.options.commit_bytes;
        self.bell.ring(grown.start < enough && grown.end >= enough);
    }

    /// Wakes the writer for what was queued without a word.
    pub(crate) fn flushed(&self) {
        let queued = self.queued_bytes.load(Ordering::Relaxed);
        self.bell.ring(queued >= self.options.commit_bytes);
    }

    /// Wakes the writer.
    pub(crate) fn wake_writer(&self) {
        self.bell.ring(true);
    }

    pub(crate) fn bell(&self) -> &Bell {
        &self.bell
    }
}

/// Wakes the writer thread, with a system call only if it may be sleeping for this.
#[derive(Default)]
pub(crate) struct Bell {
    rung: AtomicBool,
    writer: OnceLock<Thread>,
}

impl Bell {
    /// Names the thread to wake: the caller's.
    pub(crate) fn answer_here(&self) {
        self.writer.get_or_init(std::thread::current);
    }

    /// Rings; with `urgent` also a writer that has heard the bell and is gathering a commit.
    fn ring(&self, urgent: bool) {
        if (!self.rung.swap(true, Ordering::SeqCst) || urgent)
            && let Some(writer) = self.writer.get()
        {
            writer.unpark();
        }
    }

    /// Sleeps until the bell is rung or the time is over; says whether it was rung.
    pub(crate) fn wait(&self, timeout: Option<Duration>) -> bool {
        if !self.rung.load(Ordering::SeqCst) {
            match timeout {
                Some(timeout) => std::thread::park_timeout(timeout),
                None => std::thread::park(),
            }
        }
        self.rung.load(Ordering::SeqCst)
    }

    /// Answers: from here on a new ring wakes again. What was queued before it is visible now.
    pub(crate) fn answer(&self) {
        self.rung.swap(false, Ordering::SeqCst);
    }
}

/// The durable end of the log, and those who wait for it to move.
pub(crate) struct Durable {
    incarnation: u64,
    position: AtomicU64,
    waiting: AtomicUsize,
    tasks: Mutex<Tasks>,
    moved: Condvar,
}

#[derive(Default)]
struct Tasks {
    next_id: u64,
    wakers: Vec<(u64, Waker)>,
    closed: bool,
}

impl Durable {
    pub(crate) fn new(incarnation: u64, position: u64) -> Durable {
        Durable {
            incarnation,
            position: AtomicU64::new(position),
            waiting: AtomicUsize::new(0),
            tasks: Mutex::default(),
            moved: Condvar::new(),
        }
    }

    pub(crate) fn position(&self) -> u64 {
        self.position.load(Ordering::Acquire)
    }

    pub(crate) fn cursor(&self) -> Cursor {
        Cursor {
            incarnation: self.incarnation,
            position: self.position(),
        }
    }

    /// Moves the durable end; whoever waits for it is woken.
    pub(crate) fn advance(&self, position: u64) {
        debug_assert!(position >= self.position());
        self.position.store(position, Ordering::SeqCst);
        if self.waiting.load(Ordering::SeqCst) > 0 {
            self.wake_all(false);
        }
    }

    /// Nothing will move any more.
    pub(crate) fn close(&self) {
        self.wake_all(true);
    }

    fn wake_all(&self, close: bool) {
        let mut tasks = hold(&self.tasks);
        tasks.closed |= close;
        let wakers = std::mem::take(&mut tasks.wakers);
        drop(tasks);
        self.moved.notify_all();
        for (_, waker) in wakers {
            waker.wake();
        }
    }

    /// Blocks until the durable end lies past `position`, the log is closed, or the time is over.
    pub(crate) fn wait_past(&self, position: u64, timeout: Duration) -> Cursor {
        self.waiting.fetch_add(1, Ordering::SeqCst);
        let tasks = hold(&self.tasks);
        let still = |tasks: &mut Tasks| !tasks.closed && self.position() <= position;
        drop(self.moved.wait_timeout_while(tasks, timeout, still));
        self.waiting.fetch_sub(1, Ordering::SeqCst);
        self.cursor()
    }
}

/// Resolves when the durable end lies past a cursor, or when the log is closed.
pub struct DurableAfter {
    shared: Arc<Shared>,
    position: u64,
    id: Option<u64>,
}

impl DurableAfter {
    pub(crate) fn new(shared: Arc<Shared>, position: u64) -> DurableAfter {
        DurableAfter {
            shared,
            position,
            id: None,
        }
    }
}

impl Future for DurableAfter {
    type Output = Cursor;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Cursor> {
        let this = &mut *self;
        let durable = &this.shared.durable;
        let mut tasks = hold(&durable.tasks);
        let id = *this.id.get_or_insert_with(|| {
            durable.waiting.fetch_add(1, Ordering::SeqCst);
            tasks.next_id += 1;
            tasks.next_id
        });
        // Counted as waiting before looking: either this look sees the move, or the mover sees us.
        if durable.position() > this.position || tasks.closed {
            return Poll::Ready(durable.cursor());
        }
        tasks.wakers.retain(|(other, _)| *other != id);
        tasks.wakers.push((id, context.waker().clone()));
        Poll::Pending
    }
}

impl Drop for DurableAfter {
    fn drop(&mut self) {
        let Some(id) = self.id else { return };
        let durable = &self.shared.durable;
        durable.waiting.fetch_sub(1, Ordering::SeqCst);
        hold(&durable.tasks)
            .wakers
            .retain(|(other, _)| *other != id);
    }
}
