//! Sealing changes no record and no cursor; retention removes what it says and nothing else.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

use std::path::Path;
use std::sync::Arc;

use tollgate_log::conformance::{append, block_on, read_all, read_on};
use tollgate_log::{
    Append, Cursor, Housekeeping, Log, NewRecord, OpenError, Options, Partition, PartitionSet,
    Read, ReadBudget, ReadError, ReadFrom, RealDisk, Record, SegmentLog,
};

fn options() -> Options {
    Options {
        segment_bytes: 20 << 10,
        first_segment_bytes: 20 << 10,
        block_bytes_max: 8 << 10,
        record_bytes_max: 4 << 10,
        seal_group_bytes: 6 << 10,
        housekeeping: Housekeeping::Caller,
        clock_ms: Arc::new(|| 1_700_000_000_000),
        ..Options::default()
    }
}

fn open(dir: &Path) -> SegmentLog {
    SegmentLog::open(Arc::new(RealDisk), dir, options())
        .unwrap()
        .0
}

/// A log of several segments with records of three partitions and broadcasts.
fn filled(dir: &Path) -> SegmentLog {
    let log = open(dir);
    let appender = log.appender();
    for number in 0..300u16 {
        let partition = if number % 10 == 9 {
            Partition::ALL.0
        } else {
            number % 3
        };
        let facts = format!("facts of record {number}");
        append(
            &appender,
            partition,
            &facts,
            &"personal ".repeat(usize::from(number % 40)),
        );
    }
    let records: Vec<String> = (0..40).map(|number| format!("batch {number}")).collect();
    let batch: Vec<_> = records
        .iter()
        .enumerate()
        .map(|(index, facts)| NewRecord {
            partition: Partition(index as u16 % 3),
            facts: facts.as_bytes(),
            personal: b"p",
        })
        .collect();
    block_on(appender.append_all(&batch).unwrap()).unwrap();
    log
}

fn all(log: &SegmentLog) -> Vec<Record> {
    read_all(log, PartitionSet::all(), ReadFrom::Start)
}

#[test]
fn sealing_changes_no_record_and_no_cursor() {
    let dir = tempfile::tempdir().unwrap();
    let log = filled(dir.path());
    let before = all(&log);
    assert_eq!(before.len(), 340);
    let mut half = log.reader(PartitionSet::all(), ReadFrom::Start).unwrap();
    let budget = ReadBudget {
        records_max: 77,
        ..ReadBudget::default()
    };
    half.read(budget, &mut |_| {}).unwrap();

    let sealed = log.seal_finished().unwrap();
    assert!(sealed >= 3, "{sealed} segments were sealed");
    assert_eq!(all(&log), before);
    assert_eq!(
        read_on(&mut half, ReadBudget::default()),
        before[77..],
        "an open reader goes on"
    );
    for (index, record) in before.iter().enumerate().step_by(7) {
        let from = ReadFrom::Cursor(record.cursor);
        let found = read_all(&log, PartitionSet::all(), from);
        assert_eq!(found, before[index..], "from record {index}");
    }
    for partition in 0..3 {
        let wanted = |record: &&Record| {
            record.partition == Partition(partition) || record.partition == Partition::ALL
        };
        let expected: Vec<Record> = before.iter().filter(wanted).cloned().collect();
        let found = read_all(&log, Partition(partition).into(), ReadFrom::Start);
        assert_eq!(found, expected, "partition {partition} alone");
    }
    drop(log);
    let log = open(dir.path());
    assert_eq!(all(&log), before, "after opening again");
    assert!(
        log.seal_finished().unwrap() >= 1,
        "the last segment of the life before"
    );
    assert_eq!(all(&log), before);
}

#[test]
fn retention_gives_up_personal_parts_first_and_facts_later() {
    let dir = tempfile::tempdir().unwrap();
    let log = filled(dir.path());
    let before = all(&log);
    let segments = log.segments().unwrap();
    assert!(
        segments
            .iter()
            .all(|segment| segment.created_ms == 1_700_000_000_000)
    );
    assert_eq!(
        log.expire_facts(segments[2].first).unwrap(),
        0,
        "only sealed segments go"
    );
    log.seal_finished().unwrap();
    let third = segments[2].first;
    assert_eq!(log.expire_personal(third).unwrap(), 2);
    assert_eq!(
        log.expire_personal(third).unwrap(),
        0,
        "a second time changes nothing"
    );
    let without: Vec<Record> = before
        .iter()
        .map(|record| Record {
            personal: record.personal.clone().filter(|_| record.cursor >= third),
            ..record.clone()
        })
        .collect();
    assert_eq!(all(&log), without);
    assert_eq!(log.expire_facts(segments[1].first).unwrap(), 1);
    let kept: Vec<Record> = without
        .iter()
        .filter(|record| record.cursor >= segments[1].first)
        .cloned()
        .collect();
    assert_eq!(all(&log), kept);
    let gone = log
        .reader(PartitionSet::all(), ReadFrom::Cursor(before[0].cursor))
        .err();
    let Some(ReadError::Gone { first }) = gone else {
        panic!("{gone:?}")
    };
    assert_eq!(first, segments[1].first);
    drop(log);
    assert_eq!(all(&open(dir.path())), kept, "after opening again");
}

#[test]
fn a_file_that_retention_has_not_removed_is_missed() {
    for form in ["facts", "personal"] {
        let dir = tempfile::tempdir().unwrap();
        let log = filled(dir.path());
        log.seal_finished().unwrap();
        drop(log);
        let name = format!("0000000002.{form}");
        std::fs::remove_file(dir.path().join(&name)).unwrap();
        let refused = SegmentLog::open(Arc::new(RealDisk), dir.path(), options()).err();
        let Some(OpenError::Missing { file, .. }) = refused else {
            panic!("{refused:?}")
        };
        assert!(file.starts_with("0000000002."), "{file}");
    }
}

#[test]
fn a_second_process_sees_what_is_confirmed() {
    let dir = tempfile::tempdir().unwrap();
    let log = filled(dir.path());
    let before = all(&log);
    let beside = SegmentLog::open_readonly(Arc::new(RealDisk), dir.path()).unwrap();
    let read = |from: ReadFrom| {
        let mut reader = beside.reader(PartitionSet::all(), from).unwrap();
        read_on(&mut reader, ReadBudget::default())
    };
    let seen = read(ReadFrom::Start);
    assert_eq!(
        seen,
        before[..300],
        "the last block is not confirmed beside a live writer"
    );
    append(&log.appender(), 0, "one more", "");
    log.seal_finished().unwrap();
    beside.refresh().unwrap();
    assert_eq!(
        read(ReadFrom::Start),
        before,
        "confirmed by the block after it"
    );
    let end: Cursor = beside.durable();
    drop(log);
    beside.refresh().unwrap();
    assert_eq!(
        read(ReadFrom::Start).len(),
        before.len() + 1,
        "a closed log is shown whole"
    );
    assert_eq!(read(ReadFrom::Cursor(end)).len(), 1);
    let names = || -> Vec<_> {
        std::fs::read_dir(dir.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .collect()
    };
    let names_before = names();
    beside.refresh().unwrap();
    assert_eq!(names(), names_before, "reading changes nothing");
}
