//! The witness finds in a log's files what was appended, live and sealed, and notices what is gone.
#![expect(clippy::unwrap_used, reason = "a test fails where it stands")]

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

use tollgate_log::{
    Append, Housekeeping, Log, NewRecord, Options, Partition, RealDisk, SegmentLog,
};
use tollgate_sim::witness;
use tollgate_sim::writer::wait;

const RECORDS: u32 = 400;

type Parts = (u16, Vec<u8>, Vec<u8>);

fn options() -> Options {
    Options {
        partitions: 5,
        record_bytes_max: 1 << 10,
        block_bytes_max: 8 << 10,
        queue_bytes_max: 64 << 10,
        segment_bytes: 16 << 10,
        first_segment_bytes: 16 << 10,
        seal_group_bytes: 2 << 10,
        housekeeping: Housekeeping::Caller,
        ..Options::default()
    }
}

fn record(number: u32) -> Parts {
    let partition = if number.is_multiple_of(50) {
        u16::MAX
    } else {
        (number % 5) as u16
    };
    let facts = [&number.to_be_bytes()[..], &vec![1; number as usize % 90]].concat();
    (partition, facts, vec![2; number as usize % 120])
}

/// Appends all records over two openings, in several segments; seals when told to.
fn make(dir: &Path, seal: bool) {
    for numbers in [0..RECORDS / 2, RECORDS / 2..RECORDS] {
        let (log, _) = SegmentLog::open(Arc::new(RealDisk), dir, options()).unwrap();
        let appender = log.appender();
        for number in numbers {
            let (partition, facts, personal) = record(number);
            let partition = Partition(partition);
            let record = NewRecord {
                partition,
                facts: &facts,
                personal: &personal,
            };
            wait(appender.append(record).unwrap()).unwrap();
        }
        if seal {
            assert!(log.seal_finished().unwrap() > 0);
        }
        log.close().unwrap();
    }
}

fn found(dir: &Path) -> Result<BTreeMap<u32, Parts>, String> {
    let mut found = BTreeMap::new();
    let read = witness::read(dir, |seen| {
        let number = u32::from_be_bytes(*seen.facts.first_chunk().unwrap());
        let personal = seen.personal.unwrap().to_vec();
        let before = found.insert(number, (seen.partition, seen.facts.to_vec(), personal));
        assert!(before.is_none(), "record {number} twice");
    });
    read.map(|()| found).map_err(|error| error.to_string())
}

fn expected() -> BTreeMap<u32, Parts> {
    (0..RECORDS)
        .map(|number| (number, record(number)))
        .collect()
}

fn files(dir: &Path, form: &str) -> Vec<std::path::PathBuf> {
    let paths = fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let mut paths: Vec<_> = paths
        .filter(|path| path.extension().is_some_and(|found| found == form))
        .collect();
    paths.sort();
    paths
}

#[test]
fn everything_is_found_live_and_sealed() {
    for seal in [false, true] {
        let dir = tempfile::tempdir().unwrap();
        make(dir.path(), seal);
        assert_eq!(files(dir.path(), "facts").len() > 2, seal);
        assert_eq!(found(dir.path()).unwrap(), expected(), "sealed: {seal}");
    }
}

#[test]
fn a_changed_byte_is_noticed() {
    for (seal, form) in [(false, "live"), (true, "facts"), (true, "personal")] {
        let dir = tempfile::tempdir().unwrap();
        make(dir.path(), seal);
        let path = files(dir.path(), form).remove(0);
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .open(&path)
            .unwrap();
        let mut byte = [0];
        file.read_exact_at(&mut byte, 300).unwrap();
        file.write_all_at(&[byte[0] ^ 4], 300).unwrap();
        assert!(found(dir.path()).is_err(), "{}", path.display());
    }
}

#[test]
fn a_missing_segment_is_noticed() {
    let dir = tempfile::tempdir().unwrap();
    make(dir.path(), false);
    fs::remove_file(files(dir.path(), "live").remove(1)).unwrap();
    assert!(found(dir.path()).is_err());
}
