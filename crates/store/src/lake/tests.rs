//! Promises of the lake, each with a test that fails when it breaks.

mod billed;
mod crash;
pub(crate) mod crash_disk;
mod damage;
mod pages;
pub(crate) mod sample;

use std::path::Path;
use std::sync::Arc;

use super::*;
use sample::{Batch, Sample};
use tollgate_click::{Millis, Ordinal, PartitionId};

pub(crate) fn partition() -> PartitionId {
    PartitionId::new(3).unwrap()
}

pub(crate) fn write(writer: &mut LakeWriter, batch: &Batch) -> Result<Cut, LakeError> {
    for sample in &batch.samples {
        match sample {
            Sample::Row(row) => writer.push(&row.borrowed())?,
            Sample::Record(ordinal, clock, facts) => {
                writer.push_record(*ordinal, *clock, facts)?;
            }
        }
    }
    writer.cut(batch.first, batch.last)
}

fn local(root: &Path) -> Arc<dyn Objects> {
    Arc::new(LocalObjects::new(root))
}

/// All files below a folder with their bytes.
pub(crate) fn files(root: &Path) -> Vec<(String, Vec<u8>)> {
    let mut found = Vec::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let name = path.strip_prefix(root).unwrap().display().to_string();
                found.push((name, std::fs::read(path).unwrap()));
            }
        }
    }
    found.sort();
    found
}

/// Everything a reader sees, in the order of ordinals.
pub(crate) fn seen(lake: &Lake) -> (Vec<StoredRow>, Vec<StoredPersonal>, Vec<StoredRecord>) {
    try_seen(lake).unwrap()
}

type Seen = (Vec<StoredRow>, Vec<StoredPersonal>, Vec<StoredRecord>);

pub(crate) fn try_seen(lake: &Lake) -> Result<Seen, LakeError> {
    let (mut rows, mut personal, mut records) = Seen::default();
    for hour in lake.hours()? {
        rows.extend(lake.rows(partition(), hour)?);
        personal.extend(lake.personal(partition(), hour)?);
        records.extend(lake.records(partition(), hour)?);
    }
    rows.sort_by_key(|row| row.judgement.ordinal);
    personal.sort_by_key(|row| row.ordinal);
    records.sort_by_key(|row| row.ordinal);
    Ok((rows, personal, records))
}

#[test]
fn what_was_pushed_comes_back_whole() {
    let dir = tempfile::tempdir().unwrap();
    let batches = sample::batches(1, 4, 300);
    let mut writer = LakeWriter::open(local(dir.path()), partition()).unwrap();
    for batch in &batches {
        assert_eq!(
            write(&mut writer, batch).unwrap(),
            Cut::Written { set_aside: vec![] }
        );
    }
    let lake = Lake::new(local(dir.path()));
    let (rows, personal, records) = seen(&lake);
    assert_eq!(rows, sample::stored_rows(&batches));
    assert_eq!(personal, sample::stored_personal(&batches));
    assert_eq!(records, sample::stored_records(&batches));
    assert_eq!(lake.through(partition()).unwrap(), batches[3].last);
    assert_eq!(lake.partitions().unwrap(), [partition()]);
}

#[test]
fn the_same_rows_give_the_same_bytes_under_the_same_names() {
    let batches = sample::batches(2, 3, 200);
    let write_all = || {
        let dir = tempfile::tempdir().unwrap();
        let mut writer = LakeWriter::open(local(dir.path()), partition()).unwrap();
        for batch in &batches {
            write(&mut writer, batch).unwrap();
        }
        files(dir.path())
    };
    assert_eq!(write_all(), write_all());
}

#[test]
fn a_replay_finds_its_batches_written() {
    let dir = tempfile::tempdir().unwrap();
    let batches = sample::batches(3, 3, 100);
    let mut writer = LakeWriter::open(local(dir.path()), partition()).unwrap();
    for batch in &batches {
        write(&mut writer, batch).unwrap();
    }
    let before = files(dir.path());
    let mut writer = LakeWriter::open(local(dir.path()), partition()).unwrap();
    for batch in &batches {
        assert_eq!(write(&mut writer, batch).unwrap(), Cut::Before);
    }
    // The catalog is lost: everything is written again, onto the same files.
    std::fs::remove_file(dir.path().join("lake/catalogs/p3.catalog")).unwrap();
    let mut writer = LakeWriter::open(local(dir.path()), partition()).unwrap();
    for batch in &batches {
        assert_eq!(
            write(&mut writer, batch).unwrap(),
            Cut::Written { set_aside: vec![] }
        );
    }
    assert_eq!(files(dir.path()), before);
}

#[test]
fn other_rows_under_a_taken_name_are_an_error_that_names_the_file() {
    let dir = tempfile::tempdir().unwrap();
    let batches = sample::batches(4, 1, 50);
    let mut writer = LakeWriter::open(local(dir.path()), partition()).unwrap();
    write(&mut writer, &batches[0]).unwrap();
    std::fs::remove_file(dir.path().join("lake/catalogs/p3.catalog")).unwrap();
    let mut other = batches.clone();
    for sample in &mut other[0].samples {
        if let Sample::Row(row) = sample {
            row.judgement.charge.0 += 1;
        }
    }
    let mut writer = LakeWriter::open(local(dir.path()), partition()).unwrap();
    let error = write(&mut writer, &other[0]).unwrap_err();
    assert!(
        matches!(&error, LakeError::Different { name } if name.contains("/p3-1-")),
        "{error}"
    );
}

#[test]
fn batches_follow_each_other_and_rows_lie_in_their_batch() {
    let dir = tempfile::tempdir().unwrap();
    let batches = sample::batches(5, 3, 50);
    let mut writer = LakeWriter::open(local(dir.path()), partition()).unwrap();
    write(&mut writer, &batches[0]).unwrap();
    // A hole.
    let error = write(&mut writer, &batches[2]).unwrap_err();
    assert!(matches!(error, LakeError::Gap { .. }), "{error}");
    // A batch that does not end where one ended before.
    let mut writer = LakeWriter::open(local(dir.path()), partition()).unwrap();
    let error = writer
        .cut(Ordinal(1), Ordinal(batches[0].last.0 + 1))
        .unwrap_err();
    assert!(matches!(error, LakeError::Gap { .. }), "{error}");
    // A row of the next batch.
    let mut writer = LakeWriter::open(local(dir.path()), partition()).unwrap();
    let mut early = batches[1].clone();
    early.last.0 -= 2; // its very last record is not pushed
    let error = write(&mut writer, &early).unwrap_err();
    assert!(matches!(error, LakeError::RowOrder { .. }), "{error}");
    // A row of the batch before.
    let mut writer = LakeWriter::open(local(dir.path()), partition()).unwrap();
    let mut late = batches[1].clone();
    late.first.0 += 1;
    let error = write(&mut writer, &late).unwrap_err();
    assert!(matches!(error, LakeError::RowOrder { .. }), "{error}");
    // Rows out of order.
    let mut writer = LakeWriter::open(local(dir.path()), partition()).unwrap();
    let mut turned = batches[1].clone();
    turned.samples.reverse();
    let error = write(&mut writer, &turned).unwrap_err();
    assert!(matches!(error, LakeError::RowOrder { .. }), "{error}");
}

#[test]
fn a_merge_changes_no_row_and_leaves_one_file() {
    let dir = tempfile::tempdir().unwrap();
    let batches = sample::batches(6, 6, 150);
    let mut writer = LakeWriter::open(local(dir.path()), partition()).unwrap();
    for batch in &batches[..4] {
        write(&mut writer, batch).unwrap();
    }
    let lake = Lake::new(local(dir.path()));
    let before = seen(&lake);
    for hour in writer.unmerged() {
        writer.merge(hour).unwrap();
        writer.verify(hour).unwrap();
    }
    assert_eq!(seen(&lake), before);
    assert!(writer.unmerged().is_empty());
    // Late rows come for merged hours, are seen beside the merged file, and are merged again.
    for batch in &batches[4..] {
        write(&mut writer, batch).unwrap();
    }
    assert_eq!(seen(&lake).0, sample::stored_rows(&batches));
    for hour in writer.unmerged() {
        writer.merge(hour).unwrap();
    }
    assert_eq!(seen(&lake).0, sample::stored_rows(&batches));
    assert_eq!(seen(&lake).1, sample::stored_personal(&batches));
    assert_eq!(seen(&lake).2, sample::stored_records(&batches));
    for (name, _) in files(dir.path()) {
        let folder = Path::new(&name).parent().unwrap();
        let in_folder = files(&dir.path().join(folder)).len();
        assert_eq!(in_folder, 1, "{}", folder.display());
    }
}

#[test]
fn a_replay_after_a_merge_does_not_bring_old_files_back() {
    let dir = tempfile::tempdir().unwrap();
    let batches = sample::batches(7, 3, 100);
    let mut writer = LakeWriter::open(local(dir.path()), partition()).unwrap();
    for batch in &batches {
        write(&mut writer, batch).unwrap();
    }
    for hour in writer.unmerged() {
        writer.merge(hour).unwrap();
    }
    // The catalog comes back from an old backup: batches are written again beside merged files.
    std::fs::remove_file(dir.path().join("lake/catalogs/p3.catalog")).unwrap();
    let mut writer = LakeWriter::open(local(dir.path()), partition()).unwrap();
    for batch in &batches {
        write(&mut writer, batch).unwrap();
    }
    let lake = Lake::new(local(dir.path()));
    assert_eq!(seen(&lake).0, sample::stored_rows(&batches));
    for hour in writer.unmerged() {
        writer.merge(hour).unwrap();
    }
    assert_eq!(seen(&lake).0, sample::stored_rows(&batches));
}

#[test]
fn deleting_personal_parts_changes_no_number() {
    let dir = tempfile::tempdir().unwrap();
    let batches = sample::batches(8, 4, 100);
    let mut writer = LakeWriter::open(local(dir.path()), partition()).unwrap();
    for batch in &batches[..2] {
        write(&mut writer, batch).unwrap();
    }
    let lake = Lake::new(local(dir.path()));
    let hours = writer.unmerged();
    writer.merge(hours[0]).unwrap();
    for hour in &hours {
        writer.erase_personal(*hour).unwrap();
    }
    assert_eq!(seen(&lake).0, sample::stored_rows(&batches[..2]));
    assert!(seen(&lake).1.is_empty());
    let canary = sample::CANARY.as_bytes();
    for (name, bytes) in files(dir.path()) {
        assert!(!name.contains("/personal/"), "{name}");
        assert!(
            !bytes.windows(canary.len()).any(|window| window == canary),
            "{name}"
        );
    }
    // An operator's `rm` is as good, before and after a merge.
    for batch in &batches[2..] {
        write(&mut writer, batch).unwrap();
    }
    std::fs::remove_dir_all(dir.path().join("lake/personal")).unwrap();
    assert_eq!(seen(&lake).0, sample::stored_rows(&batches));
    for hour in writer.unmerged() {
        writer.merge(hour).unwrap();
        writer.verify(hour).unwrap();
    }
    assert_eq!(seen(&lake).0, sample::stored_rows(&batches));
    assert_eq!(seen(&lake).2, sample::stored_records(&batches));
}

#[test]
fn a_click_is_found_by_its_id_alone() {
    let dir = tempfile::tempdir().unwrap();
    let batches = sample::batches(9, 4, 200);
    let mut writer = LakeWriter::open(local(dir.path()), partition()).unwrap();
    for batch in &batches {
        write(&mut writer, batch).unwrap();
    }
    let lake = Lake::new(local(dir.path()));
    let rows = sample::stored_rows(&batches);
    let personal = sample::stored_personal(&batches);
    for merged in [false, true] {
        if merged {
            let hours = writer.unmerged();
            hours
                .into_iter()
                .for_each(|hour| writer.merge(hour).unwrap());
        }
        for (row, part) in rows.iter().zip(&personal).step_by(7) {
            let found = lake.find(row.facts.click_id).unwrap();
            let same = rows
                .iter()
                .filter(|it| it.facts.click_id == row.facts.click_id);
            assert_eq!(found.len(), same.count());
            assert!(found.is_sorted_by_key(|found| found.row.judgement.ordinal));
            let it = found.iter().find(|found| found.row == *row).unwrap();
            assert_eq!(it.personal.as_ref(), Some(part));
            assert!(dir.path().join(&it.file).exists());
        }
    }
    let mut absent = rows[0].facts.click_id.parts();
    absent.random ^= 1;
    assert_eq!(lake.find(tollgate_click::ClickId::new(absent)).unwrap(), []);
}

#[test]
fn filters_keep_most_files_closed() {
    // Counts reads of id columns: with a false-positive rate of 2%, absent ids open few chunks.
    let dir = tempfile::tempdir().unwrap();
    let batches = sample::batches(10, 1, 400);
    let mut writer = LakeWriter::open(local(dir.path()), partition()).unwrap();
    write(&mut writer, &batches[0]).unwrap();
    let objects = LocalObjects::new(dir.path());
    let view = view::View::open(&objects, &writer::LAKE, partition()).unwrap();
    let hour = writer.unmerged()[0];
    let files = view.files(&objects, places::Unit(hour.0)).unwrap();
    let clicks = files
        .iter()
        .find(|file| file.table == writer::CLICKS_TABLE)
        .unwrap();
    let file = view.open_file(&objects, clicks).unwrap();
    let field = clicks::At::ClickId as usize;
    let may_hold = |number: u128| {
        let odd = 0x9E37_79B9_7F4A_7C15_F39C_C060_5CED_C835;
        let bytes = number.wrapping_mul(odd).to_be_bytes();
        file.may_hold(&objects, 0, field, &bytes).unwrap()
    };
    let yes = (1..=1000).filter(|number| may_hold(*number)).count();
    assert!(yes < 80, "{yes} of 1000 absent ids pass the filter");
}

#[test]
fn other_parquet_readers_read_sealed_files() {
    use parquet::file::reader::{FileReader, SerializedFileReader};
    let dir = tempfile::tempdir().unwrap();
    let batches = sample::batches(15, 1, 300);
    let mut writer = LakeWriter::open(local(dir.path()), partition()).unwrap();
    write(&mut writer, &batches[0]).unwrap();
    let mut ids = Vec::new();
    for (name, bytes) in files(dir.path()) {
        if name.starts_with("lake/clicks/") {
            let reader = SerializedFileReader::new(bytes::Bytes::from(bytes)).unwrap();
            for row in reader.get_row_iter(None).unwrap() {
                ids.push(row.unwrap().to_string());
            }
        }
    }
    assert_eq!(ids.len(), sample::stored_rows(&batches).len());
    for row in sample::stored_rows(&batches) {
        let ordinal = format!("ordinal: {}", row.judgement.ordinal);
        let outcome = format!("outcome: \"{}\"", row.judgement.outcome.name());
        let has = |text: &String| text.contains(&format!("{ordinal},")) && text.contains(&outcome);
        assert!(ids.iter().any(has), "{ordinal}, {outcome}");
    }
}

#[test]
fn temporaries_are_not_listed() {
    let dir = tempfile::tempdir().unwrap();
    let objects = LocalObjects::new(dir.path());
    objects.put_new("a/b", b"x").unwrap();
    std::fs::write(dir.path().join("a/.tmp-1-0-b"), b"half").unwrap();
    let names: Vec<String> = objects
        .list("a")
        .unwrap()
        .into_iter()
        .map(|it| it.name)
        .collect();
    assert_eq!(names, ["b"]);
    assert_eq!(objects.sweep_temporaries("a").unwrap(), 1);
    assert!(!dir.path().join("a/.tmp-1-0-b").exists());
}

#[test]
fn a_folder_that_someone_removed_is_made_again() {
    let dir = tempfile::tempdir().unwrap();
    let objects = LocalObjects::new(dir.path());
    objects.put_new("a/b/c", b"x").unwrap();
    std::fs::remove_dir_all(dir.path().join("a")).unwrap();
    objects.put_new("a/b/d", b"y").unwrap();
    assert_eq!(objects.read("a/b/d", 0..1).unwrap(), b"y");
}

#[test]
fn far_times_have_a_place() {
    let dir = tempfile::tempdir().unwrap();
    let mut writer = LakeWriter::open(local(dir.path()), partition()).unwrap();
    writer
        .push_record(Ordinal(1), Millis(u64::MAX), b"x")
        .unwrap();
    writer.push_record(Ordinal(2), Millis(0), b"y").unwrap();
    writer.cut(Ordinal(1), Ordinal(2)).unwrap();
    let lake = Lake::new(local(dir.path()));
    let mut found = Vec::new();
    for hour in writer.unmerged() {
        found.extend(lake.records(partition(), hour).unwrap());
    }
    assert_eq!(found.len(), 2);
}
