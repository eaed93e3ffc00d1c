//! Load over the real binary, with a history that is held against the log.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::BufReader;

use tollgate_traffic::history::{self, Fate};

use super::binary::{Server, run};

#[test]
fn the_history_of_a_run_and_the_log_agree() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (data, links, log) = (path("data"), path("links.ndjson"), path("history.jsonl"));
    let lines = [
        r#"{"campaign":1,"advertiser":1,"currency":"USD","price_micros":1000}"#,
        r#"{"link":1,"slug":"a","advertiser":1,"campaign":1,"destination":"https://a.example/"}"#,
        r#"{"link":2,"slug":"b","advertiser":1,"campaign":1,"destination":"https://b.example/"}"#,
    ];
    std::fs::write(&links, lines.join("\n")).unwrap();
    let server = Server::start(data.as_ref(), Some(links.as_ref()));
    let load = [
        "load",
        "--target",
        &server.url,
        "--links",
        &links,
        "--rate",
        "200",
    ];
    let more = [
        "--duration",
        "2s",
        "--connections",
        "8",
        "--history",
        &log,
        "--seed",
        "5",
    ];
    let ended = run(&[&load[..], &more[..]].concat());
    assert_eq!(ended.code, 0, "{}", ended.told);
    assert_eq!(ended.json["planned"], 400);
    assert_eq!(ended.json["receipts"], 400, "{}", ended.json);
    server.stop();

    let operations = history::read(BufReader::new(File::open(&log).unwrap())).unwrap();
    let kept: BTreeSet<_> = operations
        .by_op
        .values()
        .filter_map(|one| one.fate.kept())
        .collect();
    assert_eq!(kept.len(), 400, "each request has a receipt of its own");
    assert!(
        operations
            .by_op
            .values()
            .all(|one| one.fate != Fate::Unknown)
    );
    let ended = run(&["report", "--data", &data]);
    assert_eq!(ended.json["totals"]["gross"], 400);
}

#[test]
fn a_dead_target_ends_with_what_was_not_sent() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let folder = tempfile::tempdir().unwrap();
    let links = folder.path().join("links.ndjson");
    std::fs::write(&links, "{\"slug\":\"a\"}\n").unwrap();
    let links = links.to_str().unwrap();
    let load = [
        "load",
        "--target",
        &url,
        "--links",
        links,
        "--rate",
        "500",
        "--duration",
        "1s",
    ];
    let ended = run(&load);
    assert_eq!(ended.code, 3, "{}", ended.told);
    assert_eq!(
        (&ended.json["planned"], &ended.json["not_sent"]),
        (&500.into(), &500.into())
    );
}
