//! Files of sealed segments become the next segments, and nothing of their former life shows.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

use std::collections::BTreeSet;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tollgate_log::conformance::{append, read_all, read_on};
use tollgate_log::{
    Housekeeping, Log, OpenError, Options, PartitionSet, Read, ReadBudget, ReadError, ReadFrom,
    RealDisk, Record, SegmentLog,
};

const SEGMENT_BYTES: u32 = 16 << 10;

fn options() -> Options {
    Options {
        partitions: 4,
        record_bytes_max: 2 << 10,
        block_bytes_max: 8 << 10,
        segment_bytes: SEGMENT_BYTES,
        first_segment_bytes: 12 << 10,
        housekeeping: Housekeeping::Caller,
        retry_interval: Duration::ZERO,
        ..Options::default()
    }
}

fn open(dir: &Path) -> SegmentLog {
    SegmentLog::open(Arc::new(RealDisk), dir, options())
        .unwrap()
        .0
}

/// The segments that are there, by the number of their last one.
fn segments(log: &SegmentLog) -> usize {
    log.segments().unwrap().len()
}

/// Appends until so many segments more were begun, sealing what is finished.
fn fill(log: &SegmentLog, more: usize, seal: bool) {
    let until = segments(log) + more;
    let mut number = 0;
    while segments(log) < until {
        let personal = format!("somebody {number} {}", "p".repeat(900));
        append(&log.appender(), number % 4, "facts", &personal);
        number += 1;
        if seal {
            log.seal_finished().unwrap();
        }
    }
}

/// The inodes of the files at the full length of a segment.
fn full_files(dir: &Path) -> Vec<(String, u64)> {
    let entries = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap());
    let mut files: Vec<_> = entries
        .filter(|entry| entry.metadata().unwrap().len() == u64::from(SEGMENT_BYTES))
        .map(|entry| {
            let name = entry.file_name().to_string_lossy().into_owned();
            (name, entry.metadata().unwrap().ino())
        })
        .collect();
    files.sort();
    files
}

fn all(log: &SegmentLog) -> Vec<Record> {
    read_all(log, PartitionSet::all(), ReadFrom::Start)
}

#[test]
fn a_few_files_carry_all_segments() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(dir.path());
    let mut files = BTreeSet::new();
    let mut before = Vec::new();
    for _ in 0..12 {
        fill(&log, 1, true);
        files.extend(full_files(dir.path()).into_iter().map(|(_, file)| file));
        let now = all(&log);
        assert_eq!(now[..before.len()], before, "what was read stays the same");
        before = now;
    }
    assert!(files.len() <= 4, "{} files for 12 segments", files.len());
    drop(log);
    let names: Vec<_> = std::fs::read_dir(dir.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
        .collect();
    assert!(
        names.iter().all(|name| !name.starts_with("spare")),
        "{names:?}"
    );
    let log = open(dir.path());
    assert_eq!(all(&log), before, "after opening again");
}

#[test]
fn a_killed_log_of_used_files_shows_no_former_life() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(dir.path());
    fill(&log, 6, true);
    append(&log.appender(), 1, "the last", "");
    let before = all(&log);
    let left = tempfile::tempdir().unwrap();
    copy(dir.path(), left.path());
    let beside = SegmentLog::open_readonly(Arc::new(RealDisk), left.path()).unwrap();
    let mut reader = beside.reader(PartitionSet::all(), ReadFrom::Start).unwrap();
    assert_eq!(read_on(&mut reader, ReadBudget::default()), before);
    let (log, recovery) = SegmentLog::open(Arc::new(RealDisk), left.path(), options()).unwrap();
    assert!(!recovery.clean && recovery.cut_bytes == 0, "{recovery:?}");
    assert_eq!(all(&log), before);
    assert!(
        full_files(left.path())
            .iter()
            .all(|(name, _)| !name.starts_with("spare"))
    );
}

#[test]
fn readers_of_a_file_that_was_used_again_go_on_in_the_sealed_form() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(dir.path());
    fill(&log, 3, false);
    let beside = SegmentLog::open_readonly(Arc::new(RealDisk), dir.path()).unwrap();
    let mut readers = Vec::new();
    for records in 1..30 {
        let budget = ReadBudget {
            records_max: records,
            ..ReadBudget::default()
        };
        let mut inside = log.reader(PartitionSet::all(), ReadFrom::Start).unwrap();
        let mut other = beside.reader(PartitionSet::all(), ReadFrom::Start).unwrap();
        let mut seen = (Vec::new(), Vec::new());
        inside
            .read(budget, &mut |record| seen.0.push(record.to_record()))
            .unwrap();
        other
            .read(budget, &mut |record| seen.1.push(record.to_record()))
            .unwrap();
        readers.push((inside, other, seen));
    }
    fill(&log, 8, true);
    let after = all(&log);
    beside.refresh().unwrap();
    for (mut inside, mut other, mut seen) in readers {
        seen.0.extend(read_on(&mut inside, ReadBudget::default()));
        assert_eq!(seen.0, after);
        seen.1.extend(read_on(&mut other, ReadBudget::default()));
        assert_eq!(seen.1, after[..seen.1.len()]);
        assert!(
            after.len() - seen.1.len() <= 1,
            "but for the unconfirmed end"
        );
    }
}

#[test]
fn personal_parts_do_not_outlive_their_retention_in_used_files() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(dir.path());
    fill(&log, 4, true);
    // Spread over spares and the stale end of the live segment now.
    append(&log.appender(), 1, "later", "somebody later");
    let last = log.segments().unwrap().last().copied().unwrap();
    assert!(log.expire_personal(last.first).unwrap() > 0);
    let somebody = |content: &[u8]| {
        let mark = b"somebody ";
        content.windows(mark.len()).any(|part| part == mark)
    };
    let found = || -> Vec<String> {
        let entries = std::fs::read_dir(dir.path()).unwrap();
        let holds = |entry: &std::fs::DirEntry| {
            let name = entry.file_name();
            // What is sealed and kept is compressed; the last segments are live still.
            let full = entry.metadata().unwrap().len() == u64::from(SEGMENT_BYTES);
            (full || name.to_string_lossy().starts_with("spare"))
                && somebody(&std::fs::read(entry.path()).unwrap())
        };
        let entries = entries.map(|entry| entry.unwrap()).filter(holds);
        entries
            .map(|entry| entry.file_name().to_string_lossy().into_owned())
            .collect()
    };
    for _ in 0..500 {
        if found().is_empty() {
            break;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    assert_eq!(found(), Vec::<String>::new());
    append(&log.appender(), 1, "goes on", "");
    assert_eq!(all(&log).last().unwrap().facts, b"goes on");
}

/// A log of used files as a killed process leaves it, with the file of the last segment, the byte
/// at which its last block begins, and all its records.
fn killed() -> (tempfile::TempDir, String, usize, Vec<Record>) {
    let dir = tempfile::tempdir().unwrap();
    let log = open(dir.path());
    fill(&log, 6, true);
    append(&log.appender(), 1, "the last", "somebody");
    let records = all(&log);
    let position = records.last().unwrap().cursor.position;
    // A block's header has 72 bytes, and this block one record.
    let block = (position & 0xffff_ffff) as usize - 72;
    let name = format!("{:010}.live", position >> 32);
    let left = tempfile::tempdir().unwrap();
    copy(dir.path(), left.path());
    (left, name, block, records)
}

fn copy(from: &Path, to: &Path) {
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        std::fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
    }
}

#[test]
fn one_changed_bit_of_the_last_block_is_put_right() {
    let (left, name, block, records) = killed();
    // Header, frame and record; the trailer says nothing that the checksums do not.
    let bytes = 72 + 16 + "the last".len() + "somebody".len();
    for bit in (0..bytes * 8).step_by(5) {
        let dir = tempfile::tempdir().unwrap();
        copy(left.path(), dir.path());
        let path = dir.path().join(&name);
        let whole = std::fs::read(&path).unwrap();
        let mut changed = whole.clone();
        changed[block + bit / 8] ^= 1 << (bit % 8);
        std::fs::write(&path, &changed).unwrap();

        let beside = SegmentLog::open_readonly(Arc::new(RealDisk), dir.path()).unwrap();
        let mut reader = beside.reader(PartitionSet::all(), ReadFrom::Start).unwrap();
        let shown = reader.read(ReadBudget::default(), &mut |_| {});
        let Err(ReadError::Damaged(damage)) = shown else {
            panic!("bit {bit}: a reader, who changes nothing, is shown {shown:?}")
        };
        assert_eq!((&damage.file, damage.offset), (&name, block as u64));
        assert_eq!(std::fs::read(&path).unwrap(), changed);

        for (opening, mended_bits) in [(1, 1), (2, 0)] {
            let opened = SegmentLog::open(Arc::new(RealDisk), dir.path(), options());
            let (log, recovery) = opened.unwrap();
            assert_eq!(recovery.mended_bits, mended_bits, "bit {bit}, {opening}");
            assert_eq!(all(&log), records, "bit {bit}, opening {opening}");
        }
        let now = std::fs::read(&path).unwrap();
        assert!(
            whole.starts_with(&now),
            "bit {bit}: what was written stands there"
        );
    }
}

#[test]
fn a_last_block_with_more_than_one_changed_bit_counts_as_torn() {
    let (left, name, block, records) = killed();
    let path = left.path().join(name);
    let mut changed = std::fs::read(&path).unwrap();
    changed[block + 90] ^= 0x11;
    std::fs::write(&path, changed).unwrap();
    let (log, recovery) = SegmentLog::open(Arc::new(RealDisk), left.path(), options()).unwrap();
    assert!(recovery.cut_bytes > 0 && recovery.mended_bits == 0);
    assert_eq!(all(&log), records[..records.len() - 1]);
}

#[test]
fn a_changed_bit_before_the_last_block_stops_recovery() {
    let (left, name, block, _) = killed();
    let path = left.path().join(&name);
    let mut changed = std::fs::read(&path).unwrap();
    changed[block - 50] ^= 1;
    std::fs::write(&path, changed).unwrap();
    let refused = SegmentLog::open(Arc::new(RealDisk), left.path(), options()).err();
    let Some(OpenError::Damaged { damage, .. }) = refused else {
        panic!("{refused:?}")
    };
    assert!(
        damage.file == name && damage.offset < block as u64,
        "{damage}"
    );
}
