//! A log is closed or left, and opened again.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

use std::path::Path;
use std::sync::Arc;

use tollgate_log::conformance::{append, read_all};
use tollgate_log::{
    Append, AppendError, Health, Log, NewRecord, OpenError, Options, Partition, PartitionSet,
    ReadFrom, RealDisk, Recovery, SegmentLog,
};

fn open(dir: &Path) -> (SegmentLog, Recovery) {
    SegmentLog::open(Arc::new(RealDisk), dir, small()).unwrap()
}

fn small() -> Options {
    Options {
        segment_bytes: 64 << 10,
        first_segment_bytes: 32 << 10,
        block_bytes_max: 16 << 10,
        record_bytes_max: 8 << 10,
        ..Options::default()
    }
}

#[test]
fn keeps_records_cursors_and_order_over_many_openings() {
    let dir = tempfile::tempdir().unwrap();
    let mut expected: Vec<tollgate_log::Record> = Vec::new();
    for round in 0..5u64 {
        let (log, recovery) = open(dir.path());
        assert!(recovery.clean, "round {round}");
        assert_eq!(recovery.cut_bytes, 0);
        assert_eq!(
            read_all(&log, PartitionSet::all(), ReadFrom::Start),
            expected
        );
        let appender = log.appender();
        for number in 0..100 {
            append(
                &appender,
                number % 3,
                &format!("{round}/{number}"),
                &"p".repeat(300),
            );
        }
        expected = read_all(&log, PartitionSet::all(), ReadFrom::Start);
        assert_eq!(expected.len() as u64, (round + 1) * 100);
        assert_eq!(
            expected.last().unwrap().epoch,
            round + 1,
            "the epoch rises by one"
        );
        log.close().unwrap();
        assert_eq!(log.health(), Health::Closed);
        let refused = appender.append(NewRecord {
            partition: Partition(0),
            facts: b"",
            personal: b"",
        });
        assert_eq!(refused.err(), Some(AppendError::Closed));
    }
    let sessions: std::collections::BTreeSet<u64> = expected.iter().map(|r| r.session).collect();
    assert_eq!(sessions.len(), 5, "every opening draws a session");
}

#[test]
fn refuses_what_is_not_its_own() {
    let dir = tempfile::tempdir().unwrap();
    let (log, _) = open(dir.path());
    let Err(OpenError::InUse { holder, .. }) =
        SegmentLog::open(Arc::new(RealDisk), dir.path(), small())
    else {
        panic!("opened twice");
    };
    assert_eq!(holder, std::process::id().to_string());
    drop(log);
    let options = Options {
        partitions: 7,
        ..small()
    };
    let Err(OpenError::PartitionsChanged {
        found: 16,
        wanted: 7,
        ..
    }) = SegmentLog::open(Arc::new(RealDisk), dir.path(), options)
    else {
        panic!("the number of partitions changed");
    };
    let other = tempfile::tempdir().unwrap();
    std::fs::write(other.path().join("something"), "else").unwrap();
    let refused = SegmentLog::open(Arc::new(RealDisk), other.path(), small());
    assert!(matches!(refused, Err(OpenError::OtherProduct { .. })));
    let names: Vec<_> = std::fs::read_dir(other.path())
        .unwrap()
        .map(|e| e.unwrap().file_name())
        .collect();
    assert!(
        !names.contains(&"meta".into()),
        "nothing was made of it: {names:?}"
    );
}
