//! Promises of the rollups, each with a test that fails when it breaks.

mod oracle;

use std::path::Path;
use std::sync::Arc;

use super::*;
use crate::lake::tests::crash_disk::{CrashDisk, Loss};
use crate::lake::tests::files;
use crate::lake::tests::sample::{self, Batch, Dice};
use crate::lake::{Cut, LakeError, LocalObjects, Objects};
use tollgate_click::{Micros, Millis, Ordinal, Outcome, PartitionId};

fn partition(number: u16) -> PartitionId {
    PartitionId::new(number).unwrap()
}

fn local(root: &Path) -> Arc<dyn Objects> {
    Arc::new(LocalObjects::new(root))
}

fn count(writer: &mut RollupWriter, batch: &Batch) {
    for row in sample::rows(std::slice::from_ref(batch)) {
        writer
            .count(row.event, &row.facts, &row.judgement, row.reason)
            .unwrap();
    }
}

fn write(writer: &mut RollupWriter, batch: &Batch) -> Cut {
    count(writer, batch);
    writer.cut(batch.first, batch.last).unwrap()
}

fn everything(metrics: &[Metric], dimensions: &[Dimension]) -> Query {
    Query {
        metrics: metrics.to_vec(),
        dimensions: dimensions.to_vec(),
        filters: vec![],
        from: Millis(sample::START - sample::START % 3_600_000 - 36_000_000),
        to: Millis(sample::START - sample::START % 3_600_000 + 36_000_000),
        limit: ROWS_MAX,
    }
}

#[test]
fn five_hundred_queries_give_what_a_naive_recount_gives() {
    let dir = tempfile::tempdir().unwrap();
    let mut all = Vec::new();
    let mut open = Vec::new();
    for number in [0, 5] {
        let batches = sample::batches(100 + u64::from(number), 6, 250);
        let mut writer = RollupWriter::open(local(dir.path()), partition(number)).unwrap();
        for (index, batch) in batches.iter().enumerate() {
            match index {
                5 => {
                    // The last one is published and not in files.
                    count(&mut writer, batch);
                    writer.publish(batch.last).unwrap();
                }
                _ => assert_eq!(
                    write(&mut writer, batch),
                    Cut::Written { set_aside: vec![] }
                ),
            }
            if index == 2 || (index == 4 && number == 5) {
                // Days are merged while later batches still bring cells for them.
                writer
                    .unmerged()
                    .into_iter()
                    .for_each(|day| writer.merge(day).unwrap());
            }
            if index == 2 {
                fold(&mut writer);
            }
        }
        all.extend(sample::rows(&batches).cloned());
        open.push((partition(number), writer.open_minutes()));
    }
    // The second partition merged late cells, so that its fold had to go.
    let folds = ["p0", "p5"].map(|name| {
        let name = format!("rollup/months/manifests/dt=2026-11/{name}.manifest");
        dir.path().join(name).exists()
    });
    assert_eq!(folds, [true, false]);
    let rollups = Rollups::new(local(dir.path()), open);
    let seed = 4;
    println!("seed {seed}");
    let mut dice = Dice(seed);
    let (mut rows, mut errors) = (0, 0);
    for number in 0..500 {
        let query = oracle::query(&mut dice);
        let answer = rollups.answer(&query, None);
        match (oracle::answer(&query, &all), answer) {
            (Some(want), Ok(answer)) => {
                assert_eq!(answer.rows, want, "query {number}: {query:?}");
                rows += want.len();
            }
            (None, Err(QueryError::Currencies)) => errors += 1,
            (want, answer) => panic!("query {number}: {query:?}: {want:?}, {answer:?}"),
        }
    }
    assert!(rows > 5000, "{rows} rows are too few to mean something");
    assert!(
        (1..400).contains(&errors),
        "{errors} queries with several currencies"
    );
}

#[test]
fn a_merge_changes_no_answer() {
    let dir = tempfile::tempdir().unwrap();
    let batches = sample::batches(110, 5, 200);
    let mut writer = RollupWriter::open(local(dir.path()), partition(3)).unwrap();
    batches
        .iter()
        .for_each(|batch| assert_ne!(write(&mut writer, batch), Cut::Before));
    let queries: Vec<Query> = {
        let mut dice = Dice(5);
        (0..60).map(|_| oracle::query(&mut dice)).collect()
    };
    let ask = || {
        let rollups = Rollups::new(local(dir.path()), []);
        let answers = queries.iter().map(|query| rollups.answer(query, None));
        let rows = answers.map(|answer| {
            answer
                .map(|answer| answer.rows)
                .map_err(|it| it.to_string())
        });
        rows.collect::<Vec<_>>()
    };
    let before = ask();
    for day in writer.unmerged() {
        writer.merge(day).unwrap();
    }
    assert!(writer.unmerged().is_empty());
    assert_eq!(ask(), before);
    fold(&mut writer);
    assert_eq!(ask(), before);
    // By the hour, a merged day is read from fewer cells.
    let query = everything(&[Metric::Gross], &[Dimension::Campaign]);
    let coarse = Rollups::new(local(dir.path()), [])
        .answer(&query, None)
        .unwrap();
    let query = everything(&[Metric::Gross], &[Dimension::Campaign, Dimension::Minute]);
    let fine = Rollups::new(local(dir.path()), [])
        .answer(&query, None)
        .unwrap();
    assert!(
        coarse.cells < fine.cells,
        "{} of {}",
        coarse.cells,
        fine.cells
    );
}

/// Folds every month that is not folded, of which there must be one.
fn fold(writer: &mut RollupWriter) {
    let months = writer.unfolded().unwrap();
    assert_eq!(months, [Month(682)], "2026-11");
    for month in months {
        writer.fold(month).unwrap();
    }
    assert_eq!(writer.unfolded().unwrap(), []);
}

#[test]
fn long_times_are_answered_from_folded_months_and_late_cells_beside_them() {
    let dir = tempfile::tempdir().unwrap();
    let batches = sample::batches(118, 4, 200);
    let mut writer = RollupWriter::open(local(dir.path()), partition(3)).unwrap();
    let query = Query {
        from: Millis(sample::START - sample::START % 86_400_000),
        to: Millis(sample::START - sample::START % 86_400_000 + 3 * 86_400_000),
        ..everything(
            &[Metric::Records, Metric::Gross],
            &[Dimension::Day, Dimension::Country],
        )
    };
    let ask = |done: &[Batch]| {
        let rows: Vec<_> = sample::rows(done).cloned().collect();
        let answer = Rollups::new(local(dir.path()), []).answer(&query, None);
        let answer = answer.unwrap();
        assert_eq!(answer.rows, oracle::answer(&query, &rows).unwrap());
        answer.cells
    };
    for batch in &batches[..2] {
        write(&mut writer, batch);
    }
    let unmerged = ask(&batches[..2]);
    merge(&mut writer);
    let merged = ask(&batches[..2]);
    fold(&mut writer);
    let folded = ask(&batches[..2]);
    assert!(
        folded < merged && merged < unmerged,
        "{folded}, {merged}, {unmerged}"
    );
    // Late cells lie beside the fold; merged, they take it away; folded again, they are in it.
    write(&mut writer, &batches[2]);
    let beside = ask(&batches[..3]);
    assert!(folded < beside, "{folded}, {beside}");
    merge(&mut writer);
    assert!(ask(&batches[..3]) > folded);
    fold(&mut writer);
    write(&mut writer, &batches[3]);
    ask(&batches);
    fold(&mut writer);
    // A fold before the days are merged is as good.
    let whole = ask(&batches);
    merge(&mut writer);
    assert_eq!(ask(&batches), whole);
}

fn merge(writer: &mut RollupWriter) {
    for day in writer.unmerged() {
        writer.merge(day).unwrap();
    }
}

#[test]
fn the_same_clicks_give_the_same_files_whatever_was_published() {
    let batches = sample::batches(111, 3, 150);
    let run = |publish_every: usize| {
        let dir = tempfile::tempdir().unwrap();
        let mut writer = RollupWriter::open(local(dir.path()), partition(3)).unwrap();
        for batch in &batches {
            for (index, row) in sample::rows(std::slice::from_ref(batch)).enumerate() {
                writer
                    .count(row.event, &row.facts, &row.judgement, row.reason)
                    .unwrap();
                if index % publish_every == 0 {
                    writer.publish(row.judgement.ordinal).unwrap();
                }
            }
            writer.cut(batch.first, batch.last).unwrap();
        }
        for day in writer.unmerged() {
            writer.merge(day).unwrap();
        }
        fold(&mut writer);
        files(dir.path())
    };
    let one = run(7);
    // Six tables of two days and their manifests, six tables of a month and its manifest, and
    // the catalog.
    assert_eq!(one.len(), 6 * 2 + 2 + 6 + 1 + 1);
    assert_eq!(run(40), one);
}

#[test]
fn each_click_counts_once_at_every_step() {
    let dir = tempfile::tempdir().unwrap();
    let batches = sample::batches(112, 3, 100);
    let mut writer = RollupWriter::open(local(dir.path()), partition(3)).unwrap();
    let rollups = Rollups::new(local(dir.path()), [(partition(3), writer.open_minutes())]);
    let query = everything(&[Metric::Records, Metric::Impressions, Metric::Gross], &[]);
    let check = |done: &[Batch], through: Ordinal| {
        let answer = rollups.answer(&query, None).unwrap();
        let rows: Vec<_> = sample::rows(done).cloned().collect();
        assert_eq!(answer.rows, oracle::answer(&query, &rows).unwrap());
        assert_eq!(answer.through, [(partition(3), through)]);
    };
    for index in 0..batches.len() {
        count(&mut writer, &batches[index]);
        let before = index
            .checked_sub(1)
            .map_or(Ordinal(0), |before| batches[before].last);
        check(&batches[..index], before); // not published yet
        writer.publish(batches[index].last).unwrap();
        check(&batches[..=index], batches[index].last);
        writer
            .cut(batches[index].first, batches[index].last)
            .unwrap();
        check(&batches[..=index], batches[index].last);
        writer
            .unmerged()
            .into_iter()
            .for_each(|day| writer.merge(day).unwrap());
        check(&batches[..=index], batches[index].last);
    }
    // A replay after a restart counts nothing twice.
    let mut writer = RollupWriter::open(local(dir.path()), partition(3)).unwrap();
    for batch in &batches {
        count(&mut writer, batch);
        assert_eq!(writer.cut(batch.first, batch.last).unwrap(), Cut::Before);
    }
    check(&batches, batches[2].last);
}

#[test]
fn a_reader_that_a_cut_overtakes_counts_each_click_once() {
    let dir = tempfile::tempdir().unwrap();
    let batches = sample::batches(117, 2, 100);
    let mut writer = RollupWriter::open(local(dir.path()), partition(3)).unwrap();
    write(&mut writer, &batches[0]);
    count(&mut writer, &batches[1]);
    writer.publish(batches[1].last).unwrap();
    let before_the_cut = writer.open_minutes().frozen();
    writer.cut(batches[1].first, batches[1].last).unwrap();
    let rollups = Rollups::new(local(dir.path()), [(partition(3), before_the_cut)]);
    let query = everything(&[Metric::Records], &[Dimension::Campaign]);
    let rows: Vec<_> = sample::rows(&batches).cloned().collect();
    let answer = rollups.answer(&query, None).unwrap();
    assert_eq!(answer.rows, oracle::answer(&query, &rows).unwrap());
    assert_eq!(answer.through, [(partition(3), batches[1].last)]);
}

#[test]
fn a_cut_that_fails_can_be_tried_again_and_counts_once() {
    let dir = tempfile::tempdir().unwrap();
    let batches = sample::batches(113, 1, 100);
    let mut writer = RollupWriter::open(local(dir.path()), partition(3)).unwrap();
    count(&mut writer, &batches[0]);
    std::fs::write(dir.path().join("rollup"), b"in the way").unwrap();
    let error = writer.cut(batches[0].first, batches[0].last).unwrap_err();
    assert!(matches!(error, LakeError::Io { .. }), "{error}");
    std::fs::remove_file(dir.path().join("rollup")).unwrap();
    writer.cut(batches[0].first, batches[0].last).unwrap();
    let query = everything(&[Metric::Records, Metric::Uniques], &[Dimension::Campaign]);
    let answer = Rollups::new(local(dir.path()), [])
        .answer(&query, None)
        .unwrap();
    let clicks: i64 = answer.rows.iter().map(|row| row.values[0]).sum();
    let want = sample::rows(&batches)
        .filter(|row| row.event == crate::lake::Event::Click)
        .count();
    assert_eq!(clicks, want as i64);
    assert!(answer.rows.iter().any(|row| row.values[1] > 0));
}

#[test]
fn visitors_are_estimated_and_survive_merges() {
    let dir = tempfile::tempdir().unwrap();
    let batches = sample::batches(114, 4, 600);
    let mut writer = RollupWriter::open(local(dir.path()), partition(3)).unwrap();
    for batch in &batches {
        write(&mut writer, batch);
    }
    let rows: Vec<_> = sample::rows(&batches).cloned().collect();
    for (merged, dimensions) in [
        (false, vec![]),
        (false, vec![Dimension::Campaign]),
        (true, vec![]),
        (true, vec![Dimension::Advertiser, Dimension::Hour]),
        (true, vec![Dimension::Day]),
    ] {
        if merged {
            writer
                .unmerged()
                .into_iter()
                .for_each(|day| writer.merge(day).unwrap());
        }
        let query = everything(&[Metric::Uniques], &dimensions);
        let answer = Rollups::new(local(dir.path()), [])
            .answer(&query, None)
            .unwrap();
        let want = oracle::uniques(&query, &rows);
        assert_eq!(answer.rows.len(), want.len());
        for (row, (keys, want)) in answer.rows.iter().zip(want) {
            assert_eq!(row.keys, keys);
            let off = (row.values[0] - want).abs();
            assert!(
                off * 10 <= want,
                "{keys:?}: {} instead of {want}",
                row.values[0]
            );
        }
    }
    for dimension in [Dimension::Publisher, Dimension::Minute, Dimension::Outcome] {
        let query = everything(&[Metric::Uniques], &[dimension]);
        let answer = Rollups::new(local(dir.path()), []).answer(&query, None);
        assert!(matches!(answer, Err(QueryError::Uniques)), "{dimension:?}");
    }
}

#[test]
fn what_is_asked_badly_is_refused_with_a_reason() {
    let dir = tempfile::tempdir().unwrap();
    let mut writer = RollupWriter::open(local(dir.path()), partition(3)).unwrap();
    write(&mut writer, &sample::batches(115, 1, 200)[0]);
    let good = everything(&[Metric::Gross], &[Dimension::Campaign, Dimension::Minute]);
    let rollups = || Rollups::new(local(dir.path()), []);
    let refused = |change: &dyn Fn(&mut Query)| {
        let mut query = good.clone();
        change(&mut query);
        rollups().answer(&query, None).unwrap_err()
    };
    let filter = |dimension, any_of| Filter { dimension, any_of };
    assert!(matches!(
        refused(&|it| it.metrics.clear()),
        QueryError::NoMetrics
    ));
    assert!(matches!(
        refused(&|it| it.metrics.push(Metric::Gross)),
        QueryError::Twice(_)
    ));
    assert!(matches!(
        refused(&|it| it.dimensions.push(Dimension::Minute)),
        QueryError::Twice(_)
    ));
    assert!(matches!(refused(&|it| it.to = it.from), QueryError::Range));
    assert!(matches!(refused(&|it| it.to.0 += 1), QueryError::Range));
    assert!(matches!(refused(&|it| it.limit = 0), QueryError::Limit));
    assert!(matches!(
        refused(&|it| it.limit = usize::MAX),
        QueryError::Limit
    ));
    let text = Key::Text("1".to_owned());
    assert!(matches!(
        refused(&|it| it
            .filters
            .push(filter(Dimension::Campaign, vec![text.clone()]))),
        QueryError::FilterKind(Dimension::Campaign)
    ));
    assert!(matches!(
        refused(&|it| it
            .filters
            .push(filter(Dimension::Country, vec![Key::Number(1)]))),
        QueryError::FilterKind(Dimension::Country)
    ));
    let many = vec![Key::Number(1); FILTER_VALUES_MAX + 1];
    assert!(matches!(
        refused(&|it| it.filters.push(filter(Dimension::Ad, many.clone()))),
        QueryError::TooManyValues
    ));
    let few = |groups, cells| rollups().limited(Limits { groups, cells });
    let answer = few(3, 1_000_000).answer(&good, None);
    assert!(matches!(answer, Err(QueryError::TooManyGroups(3))));
    let answer = few(1_000_000, 10).answer(&good, None);
    assert!(matches!(answer, Err(QueryError::TooManyCells(10))));
    let answer = rollups()
        .answer(
            &Query {
                limit: 2,
                ..good.clone()
            },
            None,
        )
        .unwrap();
    assert!(answer.more && answer.rows.len() == 2);
    let other = rollups().answer(&good, Some(&[partition(4)])).unwrap();
    assert!(other.rows.is_empty() && other.through.is_empty());
}

#[test]
fn sums_that_leave_64_bits_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let mut writer = RollupWriter::open(local(dir.path()), partition(3)).unwrap();
    let mut row = sample::row(&mut Dice(1), 1, sample::START);
    row.event = crate::lake::Event::Click;
    row.judgement.outcome = Outcome::Billed;
    row.judgement.charge = Micros(i64::MAX - 1);
    for ordinal in 1..=2 {
        row.judgement.ordinal = Ordinal(ordinal);
        let mut count = || writer.count(row.event, &row.facts, &row.judgement, "");
        count().unwrap();
        row.judgement.ordinal = Ordinal(ordinal + 1);
        let error = writer
            .count(row.event, &row.facts, &row.judgement, "")
            .unwrap_err();
        assert!(matches!(error, LakeError::Overflow), "{error}");
        writer.cut(Ordinal(ordinal), Ordinal(ordinal)).unwrap();
    }
    let query = everything(&[Metric::Spend], &[]);
    let answer = Rollups::new(local(dir.path()), []).answer(&query, None);
    assert!(matches!(answer, Err(QueryError::Overflow)));
}

#[test]
fn damage_is_an_error_that_names_the_file_and_never_another_sum() {
    let dir = tempfile::tempdir().unwrap();
    let mut writer = RollupWriter::open(local(dir.path()), partition(3)).unwrap();
    write(&mut writer, &sample::batches(116, 1, 100)[0]);
    let query = everything(
        &[Metric::Gross, Metric::Net],
        &[Dimension::Campaign, Dimension::Minute],
    );
    let ask = || Rollups::new(local(dir.path()), []).answer(&query, None);
    let before = ask().unwrap().rows;
    let folder = dir.path().join("rollup/minutes/dt=2026-11-23");
    let path = std::fs::read_dir(&folder)
        .unwrap()
        .next()
        .unwrap()
        .unwrap()
        .path();
    let bytes = std::fs::read(&path).unwrap();
    let mut found = 0;
    for at in (0..bytes.len()).step_by(11) {
        let mut damaged = bytes.clone();
        damaged[at] ^= 4;
        std::fs::write(&path, damaged).unwrap();
        match ask() {
            Ok(answer) => assert_eq!(answer.rows, before, "byte {at}"),
            Err(QueryError::Files(LakeError::Corrupt { name, .. })) => {
                assert!(path.ends_with(&name), "{name}");
                found += 1;
            }
            Err(error) => panic!("byte {at}: {error}"),
        }
    }
    assert!(found > 100, "{found} of {}", bytes.len() / 11);
    std::fs::remove_file(&path).unwrap();
    assert!(matches!(
        ask(),
        Err(QueryError::Files(LakeError::Missing { .. }))
    ));
}

#[test]
fn a_damaged_file_is_made_again_as_it_was() {
    let dir = tempfile::tempdir().unwrap();
    let batches = sample::batches(119, 3, 150);
    let mut writer = RollupWriter::open(local(dir.path()), partition(3)).unwrap();
    for batch in &batches[..2] {
        write(&mut writer, batch);
    }
    merge(&mut writer);
    write(&mut writer, &batches[2]);
    let all = files(dir.path());
    let mut made = 0;
    for (name, bytes) in all.iter().filter(|(name, _)| name.ends_with(".parquet")) {
        let mut damaged = bytes.clone();
        damaged[bytes.len() / 2] ^= 1;
        std::fs::write(dir.path().join(name), damaged).unwrap();
        let mut rebuild = RollupRebuild::begin(local(dir.path()), partition(3), name).unwrap();
        let from_log = name.contains("/minutes/") || name.contains("/uniques/");
        assert_eq!(rebuild.ordinals().is_some(), from_log, "{name}");
        for row in sample::rows(&batches) {
            rebuild
                .count(row.event, &row.facts, &row.judgement, row.reason)
                .unwrap();
        }
        let rebuilt = rebuild.finish().unwrap();
        let aside = rebuilt.set_aside.unwrap();
        std::fs::remove_file(dir.path().join(aside)).unwrap();
        let again = std::fs::read(dir.path().join(name)).unwrap();
        assert_eq!(&again, bytes, "{name}");
        made += 1;
    }
    assert!(made >= 6 * 2 + 2, "{made}");
    assert_eq!(files(dir.path()), all);
}

#[test]
fn a_reader_that_a_merge_or_a_fold_overtakes_counts_nothing_twice() {
    for folds in [false, true] {
        let dir = tempfile::tempdir().unwrap();
        let batches = sample::batches(120, 2, 100);
        let mut writer = RollupWriter::open(local(dir.path()), partition(3)).unwrap();
        write(&mut writer, &batches[0]);
        count(&mut writer, &batches[1]);
        writer.publish(batches[1].last).unwrap();
        // The reader takes the open cells and the catalog, and is slow.
        let open = writer.open_minutes().frozen();
        let catalog = dir.path().join("rollup/catalogs/p3.catalog");
        let before = std::fs::read(&catalog).unwrap();
        writer.cut(batches[1].first, batches[1].last).unwrap();
        match folds {
            true => fold(&mut writer),
            false => merge(&mut writer),
        }
        let after = std::fs::read(&catalog).unwrap();
        let ask = || {
            let rollups = Rollups::new(local(dir.path()), [(partition(3), open.clone())]);
            let query = Query {
                from: Millis(20_758 * 86_400_000),
                to: Millis(20_788 * 86_400_000),
                ..everything(&[Metric::Records], &[Dimension::Campaign])
            };
            let rows: Vec<_> = sample::rows(&batches).cloned().collect();
            (rollups.answer(&query, None), oracle::answer(&query, &rows))
        };
        std::fs::write(&catalog, before).unwrap();
        let error = ask().0.unwrap_err();
        assert!(
            matches!(error, QueryError::Files(LakeError::Behind { .. })),
            "{error}"
        );
        std::fs::write(&catalog, after).unwrap();
        let (answer, want) = ask();
        assert_eq!(answer.unwrap().rows, want.unwrap());
    }
}

#[test]
fn a_crash_at_any_operation_changes_no_sum() {
    let batches = sample::batches(121, 3, 12);
    let objects = |disk: &CrashDisk| -> Arc<dyn Objects> {
        Arc::new(LocalObjects::on(disk.clone(), Path::new("/")))
    };
    let work = |disk: &CrashDisk| -> Result<(), LakeError> {
        let mut writer = RollupWriter::open(objects(disk), partition(3))?;
        for batch in &batches {
            for row in sample::rows(std::slice::from_ref(batch)) {
                writer.count(row.event, &row.facts, &row.judgement, row.reason)?;
            }
            writer.cut(batch.first, batch.last)?;
            for day in writer.unmerged() {
                writer.merge(day)?;
            }
            for month in writer.unfolded()? {
                writer.fold(month)?;
            }
        }
        Ok(())
    };
    let check = |disk: &CrashDisk, context: &str| {
        for grain in [Dimension::Minute, Dimension::Hour, Dimension::Day] {
            let query = Query {
                from: Millis(20_758 * 86_400_000),
                to: Millis(20_788 * 86_400_000),
                ..everything(
                    &[Metric::Records, Metric::Gross],
                    &[grain, Dimension::Country],
                )
            };
            let answer = Rollups::new(objects(disk), []).answer(&query, None);
            let answer = answer.unwrap_or_else(|error| panic!("{context}: {error}"));
            let through = answer.through.first().map_or(Ordinal(0), |it| it.1);
            let done = batches.iter().filter(|batch| batch.last <= through);
            let done: Vec<Batch> = done.cloned().collect();
            let rows: Vec<_> = sample::rows(&done).cloned().collect();
            assert_eq!(
                answer.rows,
                oracle::answer(&query, &rows).unwrap(),
                "{context}, {grain:?}"
            );
        }
    };
    let whole = CrashDisk::default();
    work(&whole).unwrap();
    check(&whole, "whole");
    let operations = whole.operations();
    assert!(operations > 100, "{operations}");
    for operation in 0..operations {
        let context = format!("killed before operation {operation}");
        let disk = CrashDisk::default();
        disk.dies_at(operation);
        assert!(work(&disk).is_err(), "{context}");
        disk.restart([Loss::Nothing, Loss::Some(operation)][operation as usize % 2]);
        check(&disk, &context);
        // The next process finds what is not durable, goes on, and the power is cut.
        disk.dies_at(7 + operation * 31 % operations);
        let _ = work(&disk); // it may be done before
        disk.restart(Loss::Unsynced);
        check(&disk, &format!("{context}, then a power cut"));
        work(&disk).unwrap_or_else(|error| panic!("{context}: {error}"));
        check(&disk, &context);
    }
}
