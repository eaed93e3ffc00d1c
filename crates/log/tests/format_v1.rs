//! A log of format version 1 as it was written when the version was made: it must stay readable,
//! and the same calls must still write the same bytes.
//!
//! A new version gets a fixture of its own beside this one, and this one stays. To make a fixture,
//! run this test with `TOLLGATE_WRITE_FIXTURE=1`; it writes to `tests/fixtures/v1`, and a log whose
//! last file was another segment before, to `tests/fixtures/v1-used-again`.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tollgate_log::conformance::{append, read_on};
use tollgate_log::{
    Housekeeping, Log, Options, Partition, PartitionSet, ReadBudget, ReadFrom, RealDisk, Record,
    SegmentLog,
};

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fixtures")
        .join(name)
}

fn options() -> Options {
    let drawn = Arc::new(AtomicU64::new(0x0102_0304_0506_0708));
    Options {
        partitions: 4,
        record_bytes_max: 256,
        block_bytes_max: 1024,
        segment_bytes: 2048,
        first_segment_bytes: 2048,
        housekeeping: Housekeeping::Caller,
        clock_ms: Arc::new(|| 1_767_225_600_000),
        draw: Arc::new(move || Ok(drawn.fetch_add(0x1111_1111_1111_1111, Ordering::Relaxed))),
        ..Options::default()
    }
}

/// Three segments: one sealed, one closed, one left by a writer that was killed.
fn write(dir: &Path) {
    let options = options();
    for opening in 0..3 {
        let (log, _) = SegmentLog::open(Arc::new(RealDisk), dir, options.clone()).unwrap();
        for number in 0..4u16 {
            let partition = if number == 3 {
                Partition::ALL.0
            } else {
                number
            };
            let facts = format!("facts {opening}.{number}");
            append(
                &log.appender(),
                partition,
                &facts,
                &format!("personal {opening}.{number}"),
            );
        }
        if opening == 1 {
            log.seal_finished().unwrap();
        }
        if opening == 2 {
            let name = dir.join("0000000003.live");
            let left = std::fs::read(&name).unwrap();
            drop(log);
            std::fs::write(&name, left).unwrap();
        }
    }
    std::fs::remove_file(dir.join("LOCK")).unwrap();
}

fn files(dir: &Path) -> BTreeMap<String, Vec<u8>> {
    std::fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap())
        .filter(|entry| entry.file_name() != "LOCK")
        .map(|entry| {
            let name = entry.file_name().to_string_lossy().into_owned();
            (name, std::fs::read(entry.path()).unwrap())
        })
        .collect()
}

/// Sealed segments, and one left by a killed writer in a file that was another segment before.
fn write_used_again(dir: &Path) {
    let (log, _) = SegmentLog::open(Arc::new(RealDisk), dir, options()).unwrap();
    for number in 0..USED_AGAIN {
        let personal = format!("personal {number} {}", "p".repeat(200));
        append(
            &log.appender(),
            number % 4,
            &facts_used_again(number),
            &personal,
        );
        log.seal_finished().unwrap();
    }
    let mut names = files(dir).into_keys();
    let last = dir.join(names.rfind(|name| name.ends_with(".live")).unwrap());
    let left = std::fs::read(&last).unwrap();
    drop(log);
    std::fs::write(&last, left).unwrap();
    std::fs::remove_file(dir.join("LOCK")).unwrap();
}

const USED_AGAIN: u16 = 14;

fn facts_used_again(number: u16) -> String {
    format!("facts {number} {}", "f".repeat(200))
}

fn compare(now: &Path, name: &str) {
    if std::env::var_os("TOLLGATE_WRITE_FIXTURE").is_some() {
        std::fs::create_dir_all(fixture(name)).unwrap();
        for (file, content) in files(now) {
            std::fs::write(fixture(name).join(file), content).unwrap();
        }
    }
    let (now, then) = (files(now), files(&fixture(name)));
    assert_eq!(
        now.keys().collect::<Vec<_>>(),
        then.keys().collect::<Vec<_>>()
    );
    for (file, content) in &now {
        // What zstd makes of the same bytes may change with its version; reading it may not.
        let compressed = file.ends_with(".facts") || file.ends_with(".personal");
        assert!(
            compressed || then.get(file) == Some(content),
            "{file} is written otherwise"
        );
    }
}

#[test]
fn version_1_is_written_as_ever() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path());
    compare(dir.path(), "v1");
    let dir = tempfile::tempdir().unwrap();
    write_used_again(dir.path());
    compare(dir.path(), "v1-used-again");
}

#[test]
fn a_used_file_of_version_1_is_read() {
    let dir = tempfile::tempdir().unwrap();
    for (name, content) in files(&fixture("v1-used-again")) {
        if name.ends_with(".live") {
            assert_eq!(content[72 + 18], 1, "{name} was another segment before");
        }
        std::fs::write(dir.path().join(name), content).unwrap();
    }
    let (log, recovery) = SegmentLog::open(Arc::new(RealDisk), dir.path(), options()).unwrap();
    assert!(!recovery.clean && recovery.cut_bytes == 0 && recovery.mended_bits == 0);
    let mut reader = log.reader(PartitionSet::all(), ReadFrom::Start).unwrap();
    let found = read_on(&mut reader, ReadBudget::default());
    let found: Vec<String> = found
        .into_iter()
        .map(|record| String::from_utf8(record.facts).unwrap())
        .collect();
    let expected: Vec<String> = (0..USED_AGAIN).map(facts_used_again).collect();
    assert_eq!(found, expected);
}

#[test]
fn version_1_is_read() {
    let dir = tempfile::tempdir().unwrap();
    for (name, content) in files(&fixture("v1")) {
        std::fs::write(dir.path().join(name), content).unwrap();
    }
    let (log, recovery) = SegmentLog::open(Arc::new(RealDisk), dir.path(), options()).unwrap();
    assert!(
        !recovery.clean,
        "the last segment was left by a killed writer"
    );
    assert_eq!(recovery.cut_bytes, 0);
    let mut reader = log.reader(PartitionSet::all(), ReadFrom::Start).unwrap();
    let found = read_on(&mut reader, ReadBudget::default());
    let expected: Vec<Record> = (0..12u64)
        .map(|index| {
            let (opening, number) = (index / 4, index % 4);
            let partition = if number == 3 {
                Partition::ALL
            } else {
                Partition(number as u16)
            };
            Record {
                partition,
                facts: format!("facts {opening}.{number}").into_bytes(),
                personal: Some(format!("personal {opening}.{number}").into_bytes()),
                cursor: found[index as usize].cursor,
                session: 0x0102_0304_0506_0708 + 0x1111_1111_1111_1111 * (opening + 1),
                sequence: 1,
                epoch: opening + 1,
            }
        })
        .collect();
    assert_eq!(found, expected);
}
