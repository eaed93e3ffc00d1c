//! Both engines of this crate run the suite of the log.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

use std::cell::Cell;
use std::sync::Arc;
use std::time::Duration;

use tollgate_log::conformance::{self, PARTITIONS};
use tollgate_log::{Durability, Log, MemoryLog, Options, RealDisk, SegmentLog};

#[test]
fn memory_log() {
    let incarnation = Cell::new(0);
    conformance::run(|| {
        incarnation.set(incarnation.get() + 1);
        MemoryLog::new(PARTITIONS, incarnation.get())
    });
}

/// A log that keeps its directory for as long as it lives.
struct Kept {
    log: SegmentLog,
    _dir: tempfile::TempDir,
}

impl Log for Kept {
    type Appender = <SegmentLog as Log>::Appender;
    type Reader = <SegmentLog as Log>::Reader;

    fn appender(&self) -> Self::Appender {
        self.log.appender()
    }

    fn reader(
        &self,
        partitions: tollgate_log::PartitionSet,
        from: tollgate_log::ReadFrom,
    ) -> Result<Self::Reader, tollgate_log::ReadError> {
        self.log.reader(partitions, from)
    }

    fn durable(&self) -> tollgate_log::Cursor {
        self.log.durable()
    }
}

fn fresh(options: Options) -> Kept {
    let dir = tempfile::tempdir().unwrap();
    let (log, recovery) = SegmentLog::open(Arc::new(RealDisk), dir.path(), options).unwrap();
    assert!(recovery.clean);
    Kept { log, _dir: dir }
}

#[test]
fn segment_log() {
    let options = Options {
        partitions: PARTITIONS,
        ..Options::default()
    };
    conformance::run(|| fresh(options.clone()));
}

#[test]
fn segment_log_of_tiny_segments() {
    let options = Options {
        partitions: PARTITIONS,
        segment_bytes: 160 << 10,
        first_segment_bytes: 160 << 10,
        block_bytes_max: 150 << 10,
        record_bytes_max: 75 << 10,
        commit_bytes: 1 << 10,
        ..Options::default()
    };
    assert_eq!(options.durability, Durability::Sync);
    conformance::run(|| fresh(options.clone()));
}

#[test]
fn rounds_that_do_not_wait_for_the_disk() {
    let options = Options {
        partitions: PARTITIONS,
        durability: Durability::Os,
        sync_interval: Duration::from_millis(1),
        segment_bytes: 8 << 10,
        first_segment_bytes: 8 << 10,
        block_bytes_max: 6 << 10,
        record_bytes_max: 1 << 10,
        ..Options::default()
    };
    for _ in 0..3 {
        conformance::rounds(&fresh(options.clone()));
    }
}
