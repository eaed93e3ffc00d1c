//! What a recount says.

use std::sync::Arc;

use tollgate_log::{
    Append, Housekeeping, Log, NewRecord, Options, Partition, RealDisk, SegmentLog,
};

use super::world::{World, call, eventually, refused, stdout, until_unlocked};

/// A served folder with a few clicks.
fn clicked() -> World {
    let world = World::new();
    let server = world.serve();
    let signed = world.sign(&["--publisher", "9", "--placement", "8", "--ad", "6"]);
    server.receipt(&signed);
    server.receipt(&signed);
    server.receipt("/l/abc");
    assert_eq!(server.end("-TERM").0, Some(0));
    world
}

#[test]
fn every_dimension_adds_up_to_the_totals() {
    let world = clicked();
    let totals = world.report(&[])["totals"].clone();
    for by in [
        "advertiser",
        "campaign",
        "ad",
        "publisher",
        "placement",
        "link",
        "country",
        "device",
        "minute",
        "hour",
        "day",
        "outcome",
        "reason",
        "campaign,link,outcome",
    ] {
        let report = world.report(&["--by", by]);
        assert_eq!(report["totals"], totals, "{by}");
        for count in ["gross", "net", "total_net", "duplicates", "billed"] {
            let rows = report["rows"].as_array().unwrap();
            let sum: u64 = rows.iter().map(|row| row[count].as_u64().unwrap()).sum();
            assert_eq!(sum, totals[count].as_u64().unwrap(), "{by} {count}");
        }
    }
    let rows = world.report(&["--by", "publisher,placement,ad,link"])["rows"].clone();
    assert_eq!(rows[0]["publisher"], 3);
    assert_eq!(rows[0]["link"], 1);
    assert_eq!(
        (&rows[1]["publisher"], &rows[1]["ad"]),
        (&9.into(), &6.into())
    );
}

#[test]
fn the_same_log_gives_the_same_bytes() {
    let world = clicked();
    let data = world.text("data");
    for form in ["--json", "--csv", "--by=campaign,minute"] {
        let args = ["report", "--data", &data, form];
        assert_eq!(call(args).stdout, call(args).stdout);
    }
}

/// The rollups with the end of the log, and the whole log through the core: the same words.
#[test]
fn a_recount_finds_what_the_rollups_say() {
    let world = clicked();
    for by in [
        "campaign,publisher,ad,placement",
        "country,device,hour",
        "outcome,reason",
        "day",
    ] {
        let recounted = world.report(&["--by", by, "--recount"]);
        assert_eq!(world.report(&["--by", by]), recounted, "{by}");
        let server = world.serve();
        server.receipt("/l/abc");
        eventually("the click is in the report", || {
            let gross = |report: serde_json::Value| report["totals"]["gross"].as_u64();
            (gross(world.report(&["--by", by])) > gross(recounted.clone())).then_some(())
        });
        assert_eq!(server.end("-TERM").0, Some(0));
    }
    let data = world.text("data");
    let tail = call([
        "tail",
        "--data",
        &data,
        "--last",
        "9",
        "--no-follow",
        "--json",
    ]);
    let text = stdout(&tail);
    let lines = text
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    let lines: Vec<_> = lines.collect();
    assert_eq!(lines.len(), 7, "{text}");
    let billed = lines
        .iter()
        .filter(|line| line["outcome"] == "billed")
        .count() as u64;
    assert_eq!(world.report(&[])["totals"]["billed"], billed);
}

#[test]
fn a_time_cuts_exactly() {
    let world = clicked();
    let gross = |args: &[&str]| world.report(args)["totals"]["gross"].as_u64().unwrap();
    assert_eq!(gross(&["--from", "2020-01-01"]), 3);
    assert_eq!(gross(&["--from", "2020-01-01", "--to", "2020-01-02"]), 0);
    assert_eq!(gross(&["--to", "2500-01-01T00:00:00Z"]), 3);
    let data = world.text("data");
    let told = refused(&call(["report", "--data", &data, "--from", "yesterday"]), 2);
    assert!(told.contains("2026-11-23T10:00:00Z"), "{told}");
    refused(
        &call([
            "report",
            "--data",
            &data,
            "--from",
            "2021-01-01",
            "--to",
            "2020-01-01",
        ]),
        2,
    );
    let told = refused(&call(["report", "--data", &data, "--by", "campain"]), 2);
    assert!(told.contains("campaign"), "{told}");
}

#[test]
fn a_table_is_for_people_and_csv_for_sheets() {
    let world = clicked();
    let data = world.text("data");
    let table = stdout(&call(["report", "--data", &data, "--by", "campaign"]));
    let lines: Vec<&str> = table.lines().collect();
    assert!(lines[0].starts_with("campaign  gross  net"), "{table}");
    assert!(lines[1].ends_with("0.700000 USD"), "{table}");
    assert!(lines[2].starts_with("total"), "{table}");
    assert!(
        table.contains("records in 16 partitions; last tick 20"),
        "{table}"
    );
    let csv = stdout(&call([
        "report", "--data", &data, "--by", "campaign", "--csv",
    ]));
    let header =
        "campaign,gross,net,total_net,duplicates,invalid_givt,invalid_sivt,billed,currency,spend";
    assert_eq!(csv, format!("{header}\r\n1,3,2,2,1,0,0,2,USD,0.700000\r\n"));
}

/// A log whose first segments were given up.
#[test]
fn a_log_without_its_start_is_refused() {
    let world = World::new();
    std::fs::create_dir(world.path("data")).unwrap();
    std::fs::write(world.path("data/tollgate.format"), "tollgate data 1\n").unwrap();
    let options = Options {
        partitions: 17,
        record_bytes_max: 8 << 10,
        block_bytes_max: 16 << 10,
        segment_bytes: 64 << 10,
        first_segment_bytes: 64 << 10,
        housekeeping: Housekeeping::Caller,
        ..Options::default()
    };
    let opened = SegmentLog::open(Arc::new(RealDisk), &world.path("data/log"), options);
    let (log, _) = opened.unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    let appender = log.appender();
    for _ in 0..60 {
        // Marks with a long personal part, to fill segments.
        let facts = [5, 1, 1, 0, 1];
        let record = NewRecord {
            partition: Partition(0),
            facts: &facts,
            personal: &[7; 8000],
        };
        runtime.block_on(appender.append(record).unwrap()).unwrap();
    }
    log.seal_finished().unwrap();
    let before = log.durable();
    let data = world.text("data");
    assert!(
        log.expire_facts(before).unwrap() > 0,
        "something was given up"
    );
    log.close().unwrap();
    drop(log);
    let told = refused(&call(["report", "--data", &data]), 3);
    assert!(
        told.contains("retention has cut off the start of the log"),
        "{told}"
    );
}

#[test]
fn a_partition_that_needs_newer_code_says_so() {
    let world = clicked();
    let options = Options {
        partitions: 17,
        ..Options::default()
    };
    let opened = SegmentLog::open(Arc::new(RealDisk), &world.path("data/log"), options);
    let (log, _) = opened.unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    let damaged = NewRecord {
        partition: Partition(3),
        facts: &[1, 1, 7],
        personal: &[],
    };
    runtime
        .block_on(log.appender().append(damaged).unwrap())
        .unwrap();
    let totals = world.report(&[])["totals"].clone();
    assert_eq!(totals["gross"], 3, "a damaged record takes nothing with it");
    let newer = NewRecord {
        partition: Partition(3),
        facts: &[1, 99],
        personal: &[],
    };
    runtime
        .block_on(log.appender().append(newer).unwrap())
        .unwrap();
    log.close().unwrap();
    drop(log);
    until_unlocked(&world);
    let told = refused(&call(["report", "--data", &world.text("data")]), 3);
    assert!(told.contains("partition 3 halts"), "{told}");
    assert!(told.contains("run a newer tollgate"), "{told}");
}
