//! No waiter is forgotten: the one that is woken for all may go away, or never look again.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::Thread;
use std::time::Duration;

use tollgate_log::{
    Append, Appender, Commit, Durability, Log, NewRecord, Options, Partition, RealDisk, SegmentLog,
};

/// One task of a small executor: polled only when its own waker was called.
struct Task {
    woken: Arc<Flag>,
    commit: Option<Commit>,
}

struct Flag {
    woken: AtomicBool,
    thread: Thread,
}

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.woken.store(true, Ordering::SeqCst);
        self.thread.unpark();
    }
}

/// What happens to a task besides being polled.
#[derive(Clone, Copy, PartialEq)]
enum Manners {
    /// Waits for its commit.
    Good,
    /// Goes away after the first poll.
    Leaves,
    /// Is woken and does not look.
    Ignores,
}

fn manners(random: &mut u64) -> Manners {
    // xorshift: the order of events differs enough from run to run by itself.
    *random ^= *random << 13;
    *random ^= *random >> 7;
    *random ^= *random << 17;
    match *random % 8 {
        0 => Manners::Leaves,
        1 => Manners::Ignores,
        _ => Manners::Good,
    }
}

/// Appends rounds of records and polls each waiter only when it was woken.
fn run(appender: &Appender, rounds: usize, mut random: u64) {
    let mut ignored = Vec::new();
    for _ in 0..rounds {
        let mut waiting = Vec::new();
        for _ in 0..20 {
            let record = NewRecord {
                partition: Partition(1),
                facts: b"facts",
                personal: b"",
            };
            let commit = appender.append(record).unwrap();
            let thread = std::thread::current();
            let woken = Arc::new(Flag {
                woken: AtomicBool::new(true),
                thread,
            });
            let mut task = Task {
                woken,
                commit: Some(commit),
            };
            if poll(&mut task) {
                continue;
            }
            match manners(&mut random) {
                Manners::Good => waiting.push(task),
                Manners::Leaves => drop(task),
                Manners::Ignores => ignored.push(task),
            }
        }
        let mut idle = 0;
        while !waiting.is_empty() {
            let before = waiting.len();
            waiting.retain_mut(|task| !task.woken.woken.load(Ordering::SeqCst) || !poll(task));
            if waiting.len() == before {
                idle += 1;
                assert!(idle < 2_000, "a waiter was forgotten");
                std::thread::park_timeout(Duration::from_millis(10));
            } else {
                idle = 0;
            }
        }
    }
}

/// Polls once; whether it is done.
fn poll(task: &mut Task) -> bool {
    task.woken.woken.store(false, Ordering::SeqCst);
    let waker = Waker::from(task.woken.clone());
    let commit = Pin::new(task.commit.as_mut().unwrap());
    match commit.poll(&mut Context::from_waker(&waker)) {
        Poll::Ready(outcome) => {
            outcome.unwrap();
            true
        }
        Poll::Pending => false,
    }
}

#[test]
fn every_waiter_is_woken() {
    for durability in [Durability::Sync, Durability::Os] {
        let dir = tempfile::tempdir().unwrap();
        let options = Options {
            durability,
            ..Options::default()
        };
        let (log, _) = SegmentLog::open(Arc::new(RealDisk), dir.path(), options).unwrap();
        let shared = log.appender();
        std::thread::scope(|scope| {
            for seed in 1..=3u64 {
                // Two threads share a lane, so that a leader of one has followers of the other.
                let own = (seed == 1).then(|| log.appender());
                let shared = &shared;
                scope.spawn(move || run(own.as_ref().unwrap_or(shared), 40, seed * 0x9e37_79b9));
            }
        });
    }
}

#[test]
fn closing_answers_everyone_though_it_takes_more_than_a_segment() {
    let dir = tempfile::tempdir().unwrap();
    let options = Options {
        record_bytes_max: 1 << 10,
        block_bytes_max: 6 << 10,
        segment_bytes: 8 << 10,
        first_segment_bytes: 8 << 10,
        ..Options::default()
    };
    let (log, _) = SegmentLog::open(Arc::new(RealDisk), dir.path(), options).unwrap();
    let record = NewRecord {
        partition: Partition(1),
        facts: &[7; 1000],
        personal: b"",
    };
    let appenders: Vec<_> = (0..20).map(|_| log.appender()).collect();
    let commits: Vec<Commit> = (0..100)
        .map(|i| appenders[i % 20].append(record).unwrap())
        .collect();
    log.close().unwrap();
    for commit in commits {
        assert!(tollgate_log::conformance::block_on(commit).is_ok());
    }
}

#[test]
fn a_full_queue_refuses_instead_of_growing() {
    let dir = tempfile::tempdir().unwrap();
    let options = Options {
        record_bytes_max: 1 << 10,
        block_bytes_max: 4 << 10,
        queue_bytes_max: 4 << 10,
        commit_interval: Duration::from_millis(50),
        commit_bytes: usize::MAX,
        ..Options::default()
    };
    let (log, _) = SegmentLog::open(Arc::new(RealDisk), dir.path(), options).unwrap();
    let appender = log.appender();
    let record = NewRecord {
        partition: Partition(1),
        facts: &[7; 500],
        personal: b"",
    };
    let mut taken = Vec::new();
    let refused = loop {
        match appender.append(record) {
            Ok(commit) => taken.push(commit),
            Err(refused) => break refused,
        }
    };
    assert_eq!(refused, tollgate_log::AppendError::Overloaded);
    for commit in taken {
        assert!(tollgate_log::conformance::block_on(commit).is_ok());
    }
    assert!(
        appender.append(record).is_ok(),
        "taken again when the queue is empty"
    );
}
