//! Any bytes may stand where a log was: reading them never panics and never makes a record up.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::ffi::OsString;
use std::path::Path;
use std::sync::{Arc, OnceLock};

use proptest::prelude::*;
use tollgate_log::conformance::append;
use tollgate_log::{
    Log, Options, PartitionSet, Read, ReadBudget, ReadFrom, RealDisk, Record, SegmentLog,
    recover_bytes,
};

fn options() -> Options {
    Options {
        record_bytes_max: 256,
        block_bytes_max: 1024,
        segment_bytes: 2048,
        first_segment_bytes: 2048,
        ..Options::default()
    }
}

/// Names and contents of the files of a log, and its records.
type Sample = (Vec<(OsString, Vec<u8>)>, Vec<Record>);

/// A log with a sealed and a closed segment.
fn sample() -> &'static Sample {
    static SAMPLE: OnceLock<Sample> = OnceLock::new();
    SAMPLE.get_or_init(|| {
        let dir = tempfile::tempdir().unwrap();
        let records = fill(dir.path());
        let entries = std::fs::read_dir(dir.path())
            .unwrap()
            .map(|entry| entry.unwrap());
        let mut files: Vec<_> = entries
            .map(|entry| (entry.file_name(), std::fs::read(entry.path()).unwrap()))
            .filter(|(name, _)| name != "LOCK")
            .collect();
        files.sort();
        (files, records)
    })
}

fn fill(dir: &Path) -> Vec<Record> {
    for opening in 0..2 {
        let (log, _) = SegmentLog::open(Arc::new(RealDisk), dir, options()).unwrap();
        for number in 0..5u16 {
            append(
                &log.appender(),
                number % 3,
                &format!("{opening}.{number} facts"),
                "personal",
            );
        }
        log.seal_finished().unwrap();
    }
    read(dir).unwrap()
}

fn read(dir: &Path) -> Option<Vec<Record>> {
    let log = SegmentLog::open_readonly(Arc::new(RealDisk), dir).ok()?;
    let mut reader = log.reader(PartitionSet::all(), ReadFrom::Start).ok()?;
    let mut records = Vec::new();
    loop {
        let mut take = |record: tollgate_log::RecordRef<'_>| records.push(record.to_record());
        if reader.read(ReadBudget::default(), &mut take).ok()?.at_end {
            return Some(records);
        }
    }
}

#[derive(Clone, Debug)]
enum Change {
    Set(usize, u8),
    Cut(usize),
    Insert(usize, Vec<u8>),
    Copy(usize, usize, usize),
}

fn change() -> impl Strategy<Value = Change> {
    prop_oneof![
        (any::<usize>(), any::<u8>()).prop_map(|(at, value)| Change::Set(at, value)),
        any::<usize>().prop_map(Change::Cut),
        (
            any::<usize>(),
            proptest::collection::vec(any::<u8>(), 1..40)
        )
            .prop_map(|(at, bytes)| Change::Insert(at, bytes)),
        (any::<usize>(), any::<usize>(), 1usize..200)
            .prop_map(|(from, to, count)| Change::Copy(from, to, count)),
    ]
}

fn apply(bytes: &mut Vec<u8>, change: &Change) {
    let len = bytes.len().max(1);
    match change {
        Change::Set(at, value) => bytes
            .iter_mut()
            .skip(at % len)
            .take(1)
            .for_each(|b| *b = *value),
        Change::Cut(at) => bytes.truncate(at % len),
        Change::Insert(at, more) => drop(bytes.splice(at % len..at % len, more.iter().copied())),
        Change::Copy(from, to, count) => {
            let part: Vec<u8> = bytes
                .iter()
                .skip(from % len)
                .take(*count)
                .copied()
                .collect();
            bytes
                .iter_mut()
                .skip(to % len)
                .zip(part)
                .for_each(|(to, from)| *to = from);
        }
    }
}

fn config() -> ProptestConfig {
    ProptestConfig {
        cases: 300,
        failure_persistence: None,
        ..Default::default()
    }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn changed_files_show_nothing_else(
        file in any::<prop::sample::Index>(),
        changes in proptest::collection::vec(change(), 1..4),
    ) {
        let dir = tempfile::tempdir().unwrap();
        let (files, expected) = sample();
        for (name, content) in files {
            std::fs::write(dir.path().join(name), content).unwrap();
        }
        let (name, content) = file.get(files);
        let mut bytes = content.clone();
        changes.iter().for_each(|change| apply(&mut bytes, change));
        std::fs::write(dir.path().join(name), &bytes).unwrap();
        recover_bytes(&bytes);
        if let Some(found) = read(dir.path()) {
            prop_assert_eq!(&found, expected);
        }
    }

    #[test]
    fn random_bytes_are_no_log(bytes in proptest::collection::vec(any::<u8>(), 0..4000)) {
        prop_assert_eq!(recover_bytes(&bytes), 0);
    }
}
