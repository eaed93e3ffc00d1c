//! Damage: whatever happens to the bytes, a reader gets the rows that were written or an error
//! that names the file.

use std::path::{Path, PathBuf};

use super::sample;
use super::{Seen, files, local, partition, seen, try_seen, write};
use crate::lake::{Cut, Lake, LakeError, LakeRebuild, LakeWriter};

fn written(seed: u64) -> (tempfile::TempDir, Vec<sample::Batch>, Seen) {
    let dir = tempfile::tempdir().unwrap();
    let batches = sample::batches(seed, 2, 30);
    let mut writer = LakeWriter::open(local(dir.path()), partition()).unwrap();
    write(&mut writer, &batches[0]).unwrap();
    for hour in writer.unmerged() {
        writer.merge(hour).unwrap();
    }
    write(&mut writer, &batches[1]).unwrap();
    let seen = seen(&Lake::new(local(dir.path())));
    (dir, batches, seen)
}

fn expect_same_or_named(root: &Path, name: &str, before: &Seen, what: &str) -> bool {
    let lake = Lake::new(local(root));
    match try_seen(&lake) {
        Ok(after) => {
            assert_eq!(&after, before, "{what} of {name} changed what is read");
            false
        }
        Err(LakeError::Corrupt { name: named, .. }) => {
            assert_eq!(named, name, "{what}");
            true
        }
        Err(error) => panic!("{what} of {name}: {error}"),
    }
}

#[test]
fn every_flipped_bit_is_found_or_harmless() {
    let (dir, _, before) = written(21);
    let (mut found, mut harmless) = (0, 0);
    for (name, bytes) in files(dir.path()) {
        let path = dir.path().join(&name);
        // Every third byte of small files, every 127th of the others; a different bit each.
        let step = if bytes.len() < 1000 { 3 } else { 127 };
        for at in (0..bytes.len()).step_by(step) {
            let mut damaged = bytes.clone();
            damaged[at] ^= 1 << (at % 8);
            std::fs::write(&path, &damaged).unwrap();
            if expect_same_or_named(dir.path(), &name, &before, &format!("bit at {at}")) {
                found += 1;
            } else {
                // The magic at the start, and filters, which rows are read without.
                harmless += 1;
            }
        }
        std::fs::write(&path, &bytes).unwrap();
    }
    assert!(
        found > 250 && harmless * 3 < found,
        "{found} found, {harmless} harmless"
    );
}

#[test]
fn a_flipped_bit_in_a_filter_is_found_by_who_reads_it() {
    let (dir, _, (rows, ..)) = written(22);
    let lake = Lake::new(local(dir.path()));
    let row = &rows[0];
    let name = lake.find(row.facts.click_id).unwrap()[0].file.clone();
    let path = dir.path().join(&name);
    let bytes = std::fs::read(&path).unwrap();
    let mut refused = 0;
    for at in (0..bytes.len()).step_by(13) {
        let mut damaged = bytes.clone();
        damaged[at] ^= 0x10;
        std::fs::write(&path, &damaged).unwrap();
        match lake.find(row.facts.click_id) {
            Ok(found) => assert!(found.iter().any(|found| found.row == *row), "byte {at}"),
            Err(LakeError::Corrupt { name: named, .. }) => {
                assert_eq!(named, name);
                refused += 1;
            }
            Err(error) => panic!("byte {at}: {error}"),
        }
    }
    assert!(
        refused + 1 >= bytes.len() / 13,
        "{refused} of {} bytes",
        bytes.len()
    );
}

#[test]
fn truncated_zeroed_swapped_and_missing_files_are_named() {
    let (dir, _, before) = written(23);
    let all = files(dir.path());
    for (name, bytes) in &all {
        let path = dir.path().join(name);
        for length in [0, 1, bytes.len() / 2, bytes.len() - 1] {
            std::fs::write(&path, &bytes[..length]).unwrap();
            assert!(
                expect_same_or_named(dir.path(), name, &before, "truncation"),
                "{name}"
            );
        }
        std::fs::write(&path, vec![0; bytes.len()]).unwrap();
        assert!(
            expect_same_or_named(dir.path(), name, &before, "zeros"),
            "{name}"
        );
        std::fs::write(&path, bytes).unwrap();
    }
    let clicks = |name: &&(String, Vec<u8>)| name.0.starts_with("lake/clicks/");
    let files: Vec<&(String, Vec<u8>)> = all.iter().filter(clicks).collect();
    let [one, .., other] = files.as_slice() else {
        panic!("too few files")
    };
    std::fs::write(dir.path().join(&one.0), &other.1).unwrap();
    assert!(expect_same_or_named(
        dir.path(),
        &one.0,
        &before,
        "another file's bytes"
    ));
    std::fs::remove_file(dir.path().join(&one.0)).unwrap();
    let error = try_seen(&Lake::new(local(dir.path()))).unwrap_err();
    assert!(
        matches!(&error, LakeError::Missing { name } if *name == one.0),
        "{error}"
    );
}

#[test]
fn a_damaged_file_is_set_aside_when_its_batch_is_written_again() {
    let dir = tempfile::tempdir().unwrap();
    let batches = sample::batches(24, 1, 30);
    let mut writer = LakeWriter::open(local(dir.path()), partition()).unwrap();
    write(&mut writer, &batches[0]).unwrap();
    let before = files(dir.path());
    let (name, bytes) = before
        .iter()
        .find(|it| it.0.starts_with("lake/clicks"))
        .unwrap()
        .clone();
    let path: PathBuf = dir.path().join(&name);
    std::fs::write(&path, &bytes[..bytes.len() - 5]).unwrap();
    std::fs::remove_file(dir.path().join("lake/catalogs/p3.catalog")).unwrap();
    let mut writer = LakeWriter::open(local(dir.path()), partition()).unwrap();
    let set_aside = vec![format!("{name}.bad")];
    assert_eq!(
        write(&mut writer, &batches[0]).unwrap(),
        Cut::Written { set_aside }
    );
    assert_eq!(std::fs::read(&path).unwrap(), bytes);
    assert_eq!(
        seen(&Lake::new(local(dir.path()))).0,
        sample::stored_rows(&batches)
    );
}

#[test]
fn newer_files_ask_for_newer_code() {
    let (dir, ..) = written(25);
    let path = dir.path().join("lake/catalogs/p3.catalog");
    let text = std::fs::read_to_string(&path).unwrap();
    let body = text
        .rsplit_once("end ")
        .unwrap()
        .0
        .replace("tollgate-files 1", "tollgate-files 2");
    let sum = crc32c::crc32c(body.as_bytes());
    std::fs::write(&path, format!("{body}end {sum:08x}\n")).unwrap();
    let error = LakeWriter::open(local(dir.path()), partition())
        .err()
        .unwrap();
    assert!(
        matches!(error, LakeError::NewerCode { version: 2, .. }),
        "{error}"
    );
}

#[test]
fn a_damaged_or_missing_file_is_made_again_as_it_was() {
    let (dir, batches, before) = written(26);
    let all = files(dir.path());
    let (mut made, mut other) = (0, 0);
    for (name, bytes) in &all {
        let path = dir.path().join(name);
        if !name.ends_with(".parquet") {
            let begun = LakeRebuild::begin(local(dir.path()), partition(), name);
            assert!(matches!(begun, Err(LakeError::Missing { .. })), "{name}");
            other += 1;
            continue;
        }
        for damage in ["a bit of a chunk", "the end", "the file"] {
            match damage {
                "a bit of a chunk" => {
                    let mut damaged = bytes.clone();
                    damaged[9] ^= 1;
                    std::fs::write(&path, damaged).unwrap();
                }
                "the end" => std::fs::write(&path, &bytes[..bytes.len() - 1]).unwrap(),
                _ => std::fs::remove_file(&path).unwrap(),
            }
            // A missing personal part is no damage: it may have been erased.
            if !(damage == "the file" && name.contains("/personal/")) {
                let error = try_seen(&Lake::new(local(dir.path()))).unwrap_err();
                let (LakeError::Corrupt { name: named, .. } | LakeError::Missing { name: named }) =
                    error
                else {
                    panic!("{error}");
                };
                assert_eq!(named, *name);
            }
            let mut rebuild = LakeRebuild::begin(local(dir.path()), partition(), name).unwrap();
            // More records than those of the file, as a replay from a snapshot has them.
            for sample in batches.iter().flat_map(|batch| &batch.samples) {
                match sample {
                    sample::Sample::Row(row) => rebuild.push(&row.borrowed()),
                    sample::Sample::Record(ordinal, clock, facts) => {
                        rebuild.push_record(*ordinal, *clock, facts);
                    }
                }
            }
            let rebuilt = rebuild.finish().unwrap();
            assert_eq!(rebuilt.name, *name);
            assert_eq!(
                rebuilt.set_aside.is_some(),
                damage != "the file",
                "{damage}"
            );
            assert_eq!(&std::fs::read(&path).unwrap(), bytes, "{damage} of {name}");
            if let Some(aside) = rebuilt.set_aside {
                std::fs::remove_file(dir.path().join(aside)).unwrap();
            }
            made += 1;
        }
    }
    assert!(made > 12 && other > 1, "{made} made, {other} others");
    assert_eq!(seen(&Lake::new(local(dir.path()))), before);
    assert_eq!(files(dir.path()), all);
}

#[test]
fn a_log_that_gives_other_rows_rebuilds_nothing() {
    let (dir, batches, _) = written(27);
    let clicks = |it: &&(String, Vec<u8>)| it.0.starts_with("lake/clicks");
    let (name, _) = files(dir.path()).iter().find(clicks).unwrap().clone();
    let path = dir.path().join(&name);
    std::fs::write(&path, b"damaged").unwrap();
    let rebuild = |samples: &[sample::Sample]| {
        let mut rebuild = LakeRebuild::begin(local(dir.path()), partition(), &name).unwrap();
        for sample in samples {
            if let sample::Sample::Row(row) = sample {
                rebuild.push(&row.borrowed());
            }
        }
        rebuild.finish()
    };
    let samples: Vec<sample::Sample> = batches.iter().flat_map(|it| it.samples.clone()).collect();
    let error = rebuild(&samples[..samples.len() / 3]).unwrap_err();
    assert!(matches!(error, LakeError::Different { .. }), "{error}");
    assert_eq!(
        std::fs::read(&path).unwrap(),
        b"damaged",
        "nothing was changed"
    );
    rebuild(&samples).unwrap();
}
