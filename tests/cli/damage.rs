//! Damaged files under a running node: named, confined, and made again where that is possible.

use std::path::{Path, PathBuf};

use super::books::posted;
use super::world::{Answer, Server, World, eventually, request, tollgate};

fn again(world: &World) -> Server {
    let mut args = world.serve_args();
    args.push("--accept-clock".to_owned());
    Server::start(tollgate().args(args))
}

fn metric(server: &Server, name: &str) -> Vec<u64> {
    let metrics = request(&server.api, "GET", "/metrics", "test").body;
    let lines = metrics.lines().filter(|line| line.starts_with(name));
    let numbers = lines.filter_map(|line| line.rsplit(' ').next()?.parse().ok());
    numbers.collect()
}

/// Changes a line of the ledger as a failing disk would: without any of the schema's rules.
fn damage_a_line(ledger: &Path) {
    let db = rusqlite::Connection::open(ledger).unwrap();
    let name = "entries_stay";
    let rule: String = db
        .query_row(
            "SELECT sql FROM sqlite_schema WHERE name = ?1",
            [name],
            |row| row.get(0),
        )
        .unwrap();
    let change = "UPDATE entries SET amount_micros = amount_micros - 1 WHERE line = 0";
    db.execute_batch(&format!("DROP TRIGGER {name}; {change}; {rule};"))
        .unwrap();
}

#[test]
fn a_corrupt_ledger_stops_its_partition_and_no_click() {
    let (world, _, _) = posted();
    damage_a_line(&world.path("data/ledger.db"));
    let server = again(&world);
    let told = eventually("the partition has stopped", || {
        let (_, ready) = server.ready();
        let stopped = ready["processor"]["stopped"].to_string();
        stopped.contains("posting 1, line 0").then_some(stopped)
    });
    assert_eq!(
        metric(&server, "tollgate_partition_stopped{")
            .iter()
            .sum::<u64>(),
        1,
        "{told}"
    );
    let ordinals = || {
        metric(&server, "tollgate_partition_ordinal{")
            .iter()
            .sum::<u64>()
    };
    let before = ordinals();
    server.receipt("/l/abc"); // its advertiser is the one whose partition has stopped
    eventually("the others go on", || {
        (ordinals() > before + 15).then_some(())
    });
    assert_eq!(server.ready().0, 200, "the edge takes clicks");
    assert_eq!(server.end("-TERM").0, Some(0));
}

fn files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => files(&path, found),
            false => found.push(path),
        }
    }
}

#[test]
fn a_damaged_file_is_made_again_while_the_node_runs() {
    let (world, [first, ..], key) = posted();
    let server = again(&world);
    let agent = format!("test\r\nAuthorization: Bearer {key}");
    let ask = |path: &str| -> Answer { request(&server.api, "GET", path, &agent) };
    let story = format!("/v1/clicks/{first}");
    let report = "/v1/reports?metrics=gross,spend&dimensions=campaign";
    for (folder, question) in [("lake/clicks", story.as_str()), ("rollup/minutes", report)] {
        let whole = ask(question);
        assert_eq!(whole.status, 200, "{whole:?}");
        let mut found = Vec::new();
        files(&world.path("data").join(folder), &mut found);
        let kept: Vec<Vec<u8>> = found
            .iter()
            .map(|path| std::fs::read(path).unwrap())
            .collect();
        for (path, bytes) in found.iter().zip(&kept) {
            let mut flipped = bytes.clone();
            flipped.iter_mut().step_by(97).for_each(|byte| *byte ^= 8);
            std::fs::write(path, flipped).unwrap();
        }
        let asked = ask(question);
        assert_ne!(asked.status, 200, "damage is not served: {asked:?}");
        let mended = eventually("the file is made again", || {
            let answer = ask(question);
            (answer.status == 200).then_some(answer)
        });
        let rows = |answer: &Answer| {
            let answer: serde_json::Value = serde_json::from_str(&answer.body).unwrap();
            (answer["rows"].clone(), answer["records"].clone())
        };
        assert_eq!(rows(&mended), rows(&whole));
        let mut aside = 0;
        for (path, bytes) in found.iter().zip(&kept) {
            let now = std::fs::read(path).unwrap();
            let bad = format!("{}.bad", path.display());
            aside += usize::from(now == *bytes && Path::new(&bad).exists());
        }
        assert!(aside > 0, "{folder}: {found:?}");
    }
    assert_eq!(server.end("-TERM").0, Some(0));
}
