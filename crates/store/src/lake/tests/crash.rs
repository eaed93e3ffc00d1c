//! Crashes at every operation of the disk, with every loss that a disk may answer with.

use std::path::Path;
use std::sync::Arc;

use super::crash_disk::{CrashDisk, Loss};
use super::sample::{self, Batch};
use super::{partition, seen, try_seen, write};
use crate::lake::{Lake, LakeError, LakeWriter, LocalObjects, Objects};

fn objects(disk: &CrashDisk) -> Arc<dyn Objects> {
    Arc::new(LocalObjects::on(disk.clone(), Path::new("/")))
}

/// What a worker does: batches, merges of the hours, late batches, merges again, erasure.
fn work(disk: &CrashDisk, batches: &[Batch]) -> Result<(), LakeError> {
    let mut writer = LakeWriter::open(objects(disk), partition())?;
    let (early, late) = batches.split_at(batches.len() - 1);
    for batches in [early, late] {
        for batch in batches {
            write(&mut writer, batch)?;
        }
        for hour in writer.unmerged() {
            writer.merge(hour)?;
        }
    }
    Ok(())
}

/// A reader sees each record up to the watermark exactly once, and nothing after it.
fn check_prefix(disk: &CrashDisk, batches: &[Batch], context: &str) {
    let lake = Lake::new(objects(disk));
    let through = lake.through(partition()).unwrap();
    let is_end = through.0 == 0 || batches.iter().any(|batch| batch.last == through);
    assert!(
        is_end,
        "{context}: watermark {through} is no end of a batch"
    );
    let whole = batches
        .iter()
        .filter(|batch| batch.last <= through)
        .cloned();
    let whole: Vec<Batch> = whole.collect();
    let (rows, personal, records) = try_seen(&lake).unwrap_or_else(|error| {
        panic!("{context}: {error}");
    });
    assert_eq!(rows, sample::stored_rows(&whole), "{context}");
    assert_eq!(personal, sample::stored_personal(&whole), "{context}");
    assert_eq!(records, sample::stored_records(&whole), "{context}");
}

#[test]
fn a_crash_at_any_operation_leaves_a_prefix_and_work_goes_on() {
    let batches = sample::batches(11, 3, 6);
    let whole = CrashDisk::default();
    work(&whole, &batches).unwrap();
    let reference = seen(&Lake::new(objects(&whole)));
    let operations = whole.operations();
    assert!(
        operations > 50,
        "the work is too small to mean something: {operations}"
    );
    for operation in 0..operations {
        let other = [Loss::Nothing, Loss::Some(operation)];
        for loss in [Loss::Unsynced, other[operation as usize % 2]] {
            let context = format!("killed before operation {operation}, losing {loss:?}");
            let disk = CrashDisk::default();
            disk.dies_at(operation);
            assert!(work(&disk, &batches).is_err(), "{context}");
            disk.restart(loss);
            check_prefix(&disk, &batches, &context);
            work(&disk, &batches).unwrap_or_else(|error| panic!("{context}: {error}"));
            assert_eq!(seen(&Lake::new(objects(&disk))), reference, "{context}");
        }
    }
}

#[test]
fn two_crashes_and_then_a_power_cut_lose_nothing_that_was_acknowledged() {
    // The second process finds what the first one did not make durable, and must do it itself.
    let batches = sample::batches(12, 2, 4);
    let whole = CrashDisk::default();
    work(&whole, &batches).unwrap();
    let operations = whole.operations();
    for first in (0..operations).step_by(11) {
        for second in (0..operations).step_by(17) {
            let context = format!("killed before {first}, then {second}, then power cut");
            let disk = CrashDisk::default();
            disk.dies_at(first);
            assert!(work(&disk, &batches).is_err(), "{context}");
            disk.restart(Loss::Nothing);
            disk.dies_at(second);
            let _ = work(&disk, &batches); // it may be done before
            disk.restart(Loss::Unsynced);
            check_prefix(&disk, &batches, &context);
            work(&disk, &batches).unwrap_or_else(|error| panic!("{context}: {error}"));
        }
    }
}

#[test]
fn what_a_dead_process_left_is_made_durable_by_the_next_one() {
    let batches = sample::batches(16, 2, 4);
    let whole = CrashDisk::default();
    work(&whole, &batches).unwrap();
    for operation in 0..whole.operations() {
        let disk = CrashDisk::default();
        disk.dies_at(operation);
        assert!(work(&disk, &batches).is_err());
        disk.restart(Loss::Nothing);
        let mut writer = LakeWriter::open(objects(&disk), partition()).unwrap();
        for batch in &batches {
            write(&mut writer, batch).unwrap();
            let cut_off = disk.fork();
            cut_off.restart(Loss::Unsynced);
            let context = format!("killed before operation {operation}");
            check_prefix(&cut_off, &batches, &context);
            let through = Lake::new(objects(&cut_off)).through(partition()).unwrap();
            assert!(through >= batch.last, "{context}: {through}");
        }
    }
}

#[test]
fn what_was_erased_stays_away_whatever_happened_on_the_way() {
    let batches = sample::batches(17, 1, 12);
    let written = CrashDisk::default();
    let mut writer = LakeWriter::open(objects(&written), partition()).unwrap();
    write(&mut writer, &batches[0]).unwrap();
    let hours = writer.unmerged();
    let erase = |disk: &CrashDisk| -> Result<(), LakeError> {
        let mut writer = LakeWriter::open(objects(disk), partition())?;
        hours
            .iter()
            .try_for_each(|hour| writer.erase_personal(*hour))
    };
    assert!(written.holds(sample::CANARY.as_bytes()));
    let whole = written.fork();
    erase(&whole).unwrap();
    let operations = whole.operations();
    assert!(operations > 3, "{operations}");
    for operation in 0..operations {
        let disk = written.fork();
        disk.dies_at(operation);
        assert!(erase(&disk).is_err(), "{operation}");
        disk.restart(Loss::Nothing);
        erase(&disk).unwrap();
        disk.restart(Loss::Unsynced);
        let context = format!("killed before operation {operation} of the erasure");
        assert!(!disk.holds(sample::CANARY.as_bytes()), "{context}");
        let rows = try_seen(&Lake::new(objects(&disk))).unwrap().0;
        assert_eq!(rows, sample::stored_rows(&batches), "{context}");
    }
}

#[test]
fn what_a_cut_acknowledged_survives_a_power_cut() {
    let batches = sample::batches(13, 3, 8);
    let disk = CrashDisk::default();
    let mut writer = LakeWriter::open(objects(&disk), partition()).unwrap();
    for batch in &batches {
        write(&mut writer, batch).unwrap();
        disk.restart(Loss::Unsynced);
        let through = Lake::new(objects(&disk)).through(partition()).unwrap();
        assert_eq!(through, batch.last);
        check_prefix(&disk, &batches, "after a cut");
    }
    for hour in writer.unmerged() {
        writer.merge(hour).unwrap();
        disk.restart(Loss::Unsynced);
        check_prefix(&disk, &batches, "after a merge");
    }
}

#[test]
fn a_failing_disk_is_an_error_and_the_same_cut_can_be_tried_again() {
    let batches = sample::batches(14, 1, 12);
    let whole = CrashDisk::default();
    let mut writer = LakeWriter::open(objects(&whole), partition()).unwrap();
    let opened = whole.operations();
    write(&mut writer, &batches[0]).unwrap();
    for operation in 0..whole.operations() - opened {
        let disk = CrashDisk::default();
        let mut writer = LakeWriter::open(objects(&disk), partition()).unwrap();
        disk.dies_at(operation);
        assert!(matches!(
            write(&mut writer, &batches[0]),
            Err(LakeError::Io { .. })
        ));
        disk.restart(Loss::Nothing);
        writer.cut(batches[0].first, batches[0].last).unwrap();
        check_prefix(&disk, &batches, &format!("failed at {operation}"));
        let lake = Lake::new(objects(&disk));
        assert_eq!(lake.through(partition()).unwrap(), batches[0].last);
    }
}
