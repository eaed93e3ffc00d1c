//! What the log does while its disk fails: syncs that fail, space that runs out, a cache that lies.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tollgate_log::conformance::block_on;
use tollgate_log::{
    Append, AppendError, Durability, Health, Log, NewRecord, OpenError, Options, Partition,
    SegmentLog,
};
use tollgate_sim::disk::{Fault, Image, Op, SimDisk};
use tollgate_sim::disk_states::{DIR, options, read_all};

fn open(disk: &SimDisk, options: Options) -> SegmentLog {
    SegmentLog::open(Arc::new(disk.clone()), Path::new(DIR), options)
        .unwrap()
        .0
}

fn append(log: &SegmentLog, facts: &str) -> Result<(), AppendError> {
    let (partition, facts) = (Partition(0), facts.as_bytes());
    let commit = log.appender().append(NewRecord {
        partition,
        facts,
        personal: b"p",
    })?;
    block_on(commit).map(drop)
}

fn facts(log: &SegmentLog) -> Vec<String> {
    let records = read_all(log).unwrap();
    records
        .into_iter()
        .map(|record| String::from_utf8(record.facts).unwrap())
        .collect()
}

#[test]
fn a_failed_sync_fences_the_segment_and_is_not_retried() {
    let disk = SimDisk::new(Image::default(), Fault::None);
    let log = open(&disk, options(1));
    append(&log, "a").unwrap();
    disk.set_fault(Fault::FailingSyncs { from: 0, count: 1 });
    let failed = append(&log, "b");
    assert!(
        matches!(failed, Err(AppendError::Indeterminate(_))),
        "{failed:?}"
    );
    assert_eq!(
        log.health(),
        Health::Writable,
        "a fresh segment was begun at once"
    );
    append(&log, "c").unwrap();
    assert_eq!(facts(&log), ["a", "c"], "what failed is not shown");

    let records = read_all(&log).unwrap();
    assert_ne!(
        records[0].session, records[1].session,
        "no sequence is given twice"
    );
    assert_eq!((records[0].sequence, records[1].sequence), (1, 1));
    let ops = disk.ops();
    let at = ops
        .iter()
        .position(|op| matches!(op, Op::SyncFailed(_)))
        .unwrap();
    let Op::SyncFailed(fenced) = ops[at] else {
        unreachable!()
    };
    let touched = |op: &&Op| matches!(op, Op::Write(f, ..) | Op::Sync(f) if *f == fenced);
    assert_eq!(
        ops[at..].iter().filter(touched).count(),
        0,
        "the segment was touched again"
    );
    drop(log);
    assert_eq!(
        facts(&open(&disk, options(2))),
        ["a", "c"],
        "after opening again"
    );
}

#[test]
fn a_log_that_cannot_go_on_says_so_and_heals() {
    let disk = SimDisk::new(Image::default(), Fault::None);
    let retry_interval = Duration::from_millis(20);
    let log = open(
        &disk,
        Options {
            retry_interval,
            ..options(1)
        },
    );
    append(&log, "a").unwrap();
    disk.set_fault(Fault::FailingSyncs {
        from: 0,
        count: usize::MAX / 2,
    });
    assert!(matches!(
        append(&log, "b"),
        Err(AppendError::Indeterminate(_))
    ));
    assert!(matches!(log.health(), Health::Fenced(_)));
    assert!(matches!(append(&log, "c"), Err(AppendError::Down(_))));
    assert_eq!(facts(&log), ["a"], "reading goes on");
    disk.set_fault(Fault::None);
    while log.health() != Health::Writable {
        std::thread::sleep(retry_interval);
    }
    append(&log, "d").unwrap();
    assert_eq!(facts(&log), ["a", "d"]);
}

#[test]
fn what_only_the_cache_has_is_not_taken_for_durable() {
    let disk = SimDisk::new(Image::default(), Fault::None);
    let log = open(&disk, options(1));
    append(&log, "a").unwrap();
    disk.set_fault(Fault::FailingSyncs {
        from: 0,
        count: usize::MAX / 2,
    });
    assert!(append(&log, "b").is_err());
    drop(log);
    disk.set_fault(Fault::None);
    let log = open(&disk, options(2));
    assert_eq!(facts(&log), ["a"], "b is in the cache, and not on the disk");
}

#[test]
fn a_full_disk_refuses_appends_until_there_is_space() {
    let disk = SimDisk::new(Image::default(), Fault::None);
    let retry_interval = Duration::from_millis(20);
    let log = open(
        &disk,
        Options {
            retry_interval,
            ..options(1)
        },
    );
    disk.set_fault(Fault::Full);
    let mut receipts = Vec::new();
    let refused = loop {
        let facts = format!("{} {}", receipts.len(), "x".repeat(300));
        match append(&log, &facts) {
            Ok(()) => receipts.push(facts),
            Err(refused) => break refused,
        }
    };
    assert_eq!(refused, AppendError::Full);
    assert_eq!(log.health(), Health::Full);
    assert!(!receipts.is_empty(), "what was prepared is used up first");
    assert_eq!(facts(&log), receipts, "reading goes on");
    disk.set_fault(Fault::None);
    while log.health() != Health::Writable {
        std::thread::sleep(retry_interval);
    }
    append(&log, "later").unwrap();
    receipts.push("later".to_owned());
    assert_eq!(facts(&log), receipts);
}

#[test]
fn without_waiting_for_the_sync_readers_still_see_synced_records_only() {
    let disk = SimDisk::new(Image::default(), Fault::None);
    let log = open(
        &disk,
        Options {
            durability: Durability::Os,
            ..options(1)
        },
    );
    append(&log, "a").unwrap();
    append(&log, "b").unwrap();
    assert!(facts(&log).is_empty(), "answered, and not synced yet");
    log.close().unwrap();
    assert_eq!(facts(&log), ["a", "b"]);
    drop(log);
    let soon = Duration::from_millis(5);
    let os = Options {
        durability: Durability::Os,
        sync_interval: soon,
        ..options(2)
    };
    let log = open(&disk, os);
    let before = log.durable();
    append(&log, "c").unwrap();
    let after = log.wait_durable_after(before, Duration::from_secs(60));
    assert!(after > before, "the sync comes by itself");
    assert_eq!(facts(&log), ["a", "b", "c"]);
}

#[test]
fn a_broken_middle_is_named_and_never_cut() {
    let disk = SimDisk::new(Image::default(), Fault::None);
    let log = open(&disk, options(1));
    for number in 0..4 {
        append(&log, &format!("record {number}")).unwrap();
    }
    let left = disk.image();
    let live = Path::new(DIR).join("0000000001.live");
    let offsets: Vec<usize> = read_all(&log)
        .unwrap()
        .iter()
        .map(|record| (record.cursor.position & 0xffff_ffff) as usize - 72)
        .collect();
    let attempt = |image: &Image| {
        let disk = SimDisk::new(image.clone(), Fault::None);
        SegmentLog::open(Arc::new(disk), Path::new(DIR), options(2))
    };
    // A write that the disk has lost without saying so: zeros where a block was, and a later one.
    for (index, offset) in offsets.iter().enumerate() {
        let mut image = left.clone();
        let end = offsets.get(index + 1).copied().unwrap_or(offset + 80);
        image.content_mut(&live).unwrap()[*offset..end].fill(0);
        match attempt(&image) {
            Err(OpenError::Damaged { damage, .. }) => {
                assert!(index < 3, "the last block may be torn");
                assert_eq!(
                    (damage.file.as_str(), damage.offset),
                    ("0000000001.live", *offset as u64)
                );
            }
            Ok((log, recovery)) => {
                assert_eq!(index, 3, "block {index} was cut");
                assert!(recovery.cut_bytes > 0 && !recovery.clean);
                assert_eq!(facts(&log), ["record 0", "record 1", "record 2"]);
            }
            Err(error) => unreachable!("{error}"),
        }
    }
    // A file that was cut, at every length.
    let len = left.clone().content_mut(&live).unwrap().len();
    for cut in offsets[0]..len {
        let mut image = left.clone();
        image.content_mut(&live).unwrap().truncate(cut);
        let refused = attempt(&image).err();
        assert!(
            matches!(refused, Some(OpenError::Damaged { .. })),
            "cut at {cut}: {refused:?}"
        );
    }
}

/// Fills segments and seals them until the file of one is used again.
fn use_again(disk: &SimDisk, log: &SegmentLog) -> Vec<String> {
    let live = |path: &Path| path.extension().is_some_and(|form| form == "live");
    let used_again = || {
        let renamed = |op: &&Op| matches!(op, Op::Rename(_, to, _) if live(to));
        disk.ops().iter().filter(renamed).count()
    };
    let before = used_again();
    let mut receipts = Vec::new();
    while used_again() == before {
        let facts = format!("{} {}", receipts.len(), "x".repeat(300));
        append(log, &facts).unwrap();
        receipts.push(facts);
        log.seal_finished().unwrap();
    }
    receipts
}

#[test]
fn a_used_file_whose_sync_has_failed_is_never_used_again() {
    let disk = SimDisk::new(Image::default(), Fault::None);
    let log = open(&disk, options(1));
    let mut receipts = use_again(&disk, &log);
    append(&log, "in a used file").unwrap();
    receipts.push("in a used file".to_owned());
    disk.set_fault(Fault::FailingSyncs { from: 0, count: 1 });
    let failed = append(&log, "not durable");
    assert!(
        matches!(failed, Err(AppendError::Indeterminate(_))),
        "{failed:?}"
    );
    disk.set_fault(Fault::None);
    for _ in 0..3 {
        receipts.extend(use_again(&disk, &log));
    }
    assert_eq!(facts(&log), receipts);
    let ops = disk.ops();
    let failed = ops.iter().position(|op| matches!(op, Op::SyncFailed(_)));
    let Op::SyncFailed(fenced) = ops[failed.unwrap()] else {
        unreachable!()
    };
    let touched = |op: &&Op| match op {
        Op::Write(file, ..) | Op::Sync(file) | Op::Rename(_, _, file) => *file == fenced,
        _ => false,
    };
    let after = &ops[failed.unwrap()..];
    assert_eq!(after.iter().find(touched), None, "the file was used again");
    drop(log);
    assert_eq!(facts(&open(&disk, options(2))), receipts);
}

#[test]
fn a_full_disk_does_not_stop_a_log_that_uses_its_files_again() {
    let disk = SimDisk::new(Image::default(), Fault::None);
    let retry_interval = Duration::from_millis(20);
    let options = Options {
        retry_interval,
        ..options(1)
    };
    let log = open(&disk, options);
    let mut receipts = use_again(&disk, &log);
    disk.set_fault(Fault::Full);
    for _ in 0..5 {
        receipts.extend(use_again(&disk, &log));
    }
    assert_eq!(facts(&log), receipts, "nothing new had to be reserved");
    // Without sealing there is nothing to use again.
    let refused = loop {
        let facts = format!("{} {}", receipts.len(), "x".repeat(300));
        match append(&log, &facts) {
            Ok(()) => receipts.push(facts),
            Err(refused) => break refused,
        }
    };
    assert_eq!(refused, AppendError::Full);
    disk.set_fault(Fault::None);
    while log.health() != Health::Writable {
        std::thread::sleep(retry_interval);
    }
    append(&log, "later").unwrap();
    receipts.push("later".to_owned());
    assert_eq!(facts(&log), receipts);
}
