//! The books as an operator meets them: verified, shown, exported, and the story of one click.

use std::time::SystemTime;

use serde_json::Value;

use super::clock::{now_ms, tick};
use super::world::{Server, World, call, eventually, refused, request, stdout, tollgate};

/// Three clicks, one of them a repeat, posted and in the lake: the log's clock was moved over
/// the end of the minute. And the first API key.
pub(crate) fn posted() -> (World, [String; 3], String) {
    let world = World::new();
    let server = world.serve();
    let signed = world.sign(&["--publisher", "9"]);
    let ids = [
        server.receipt(&signed),
        server.receipt(&signed),
        server.receipt("/l/abc"),
    ];
    let (code, told) = server.end("-TERM");
    assert_eq!(code, Some(0));
    let key = told.split(|c: char| c.is_whitespace() || c == '"' || c == '\\');
    let key = key
        .filter(|word| word.starts_with("tgk_"))
        .map(str::to_owned);
    let key = key.collect::<Vec<_>>().swap_remove(0);
    tick(&world, now_ms() + 150_000);
    let mut args = world.serve_args();
    args.push("--accept-clock".to_owned());
    let server = Server::start(tollgate().args(args));
    eventually("the clicks are posted and in the lake", || {
        let metrics = request(&server.api, "GET", "/metrics", "test").body;
        let all = |name: &str| {
            let lines = metrics.lines().filter(|line| line.starts_with(name));
            let numbers = lines.filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok());
            numbers.max().unwrap_or(0)
        };
        (all("tollgate_partition_posted") > 4 && all("tollgate_partition_lake{") > 4).then_some(())
    });
    assert_eq!(server.end("-TERM").0, Some(0));
    (world, ids, key)
}

fn json(world: &World, args: &[&str]) -> Value {
    let data = world.text("data");
    let output = call(args.iter().copied().chain(["--data", &data, "--json"]));
    serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{output:?}"))
}

#[test]
fn the_books_are_sound_and_tell_the_story_of_each_click() {
    let (world, [first, second, third], _) = posted();
    let data = world.text("data");
    let sound = json(&world, &["ledger", "verify"]);
    assert_eq!(sound["sound"], true);
    assert!(sound["lines"].as_u64().unwrap() >= 2, "{sound}");

    let accounts = json(&world, &["ledger", "balances"])["accounts"].clone();
    let balance = |kind: &str| {
        let mut found = accounts.as_array().unwrap().iter();
        found.find(|one| one["kind"] == kind).unwrap()["balance_micros"].clone()
    };
    assert_eq!(balance("credit"), -700_000, "two clicks at 0.35");
    assert_eq!(balance("revenue"), 700_000, "no publisher has a share");
    let table = stdout(&call([
        "ledger", "balances", "--data", &data, "--kind", "credit",
    ]));
    assert!(
        table.lines().count() == 2 && table.contains("credit/7/USD"),
        "{table}"
    );

    let books = stdout(&call(["ledger", "export", "--data", &data]));
    assert!(books.starts_with("books,1\n") && books.contains("campaign,7,1,USD,2,700000"));
    let file = world.text("books.txt");
    json(&world, &["ledger", "export", "--to", &file]);
    assert_eq!(std::fs::read_to_string(&file).unwrap(), books);

    for (id, outcome, proved) in [
        (&first, "billed", Value::Bool(true)),
        (&second, "duplicate", Value::Null),
        (&third, "billed", Value::Bool(true)),
    ] {
        let story = json(&world, &["click", id]);
        let record = &story["records"][0];
        assert_eq!(record["outcome"], outcome, "{story}");
        assert_eq!(record["ledger"]["proved"], proved, "{story}");
        if outcome == "billed" {
            assert_eq!(record["ledger"]["line_clicks"], 2);
            assert_eq!(record["charge_micros"], 350_000);
        }
        let told = stdout(&call(["click", id, "--data", &data, "--personal"]));
        assert!(
            told.contains("outcome") && told.contains("Firefox"),
            "{told}"
        );
    }
    let stranger = SystemTime::UNIX_EPOCH.elapsed().unwrap().as_millis() as u64;
    let stranger = format!(
        "{:08x}-{:04x}-7000-8000-000000000000",
        stranger >> 16,
        stranger & 0xffff
    );
    let lost = call(["click", &stranger, "--data", &data]);
    assert_eq!(lost.status.code(), Some(1), "{lost:?}");
}

#[test]
fn a_changed_byte_is_named() {
    let (world, [id, ..], _) = posted();
    let path = world.path("data/ledger.db");
    let data = world.text("data");
    // The campaign's line: its Merkle root stands nowhere else.
    let story = json(&world, &["click", &id]);
    let root = story["records"][0]["ledger"]["root"]
        .as_str()
        .unwrap()
        .to_owned();
    let digits = |place: usize| u8::from_str_radix(&root[2 * place..2 * place + 2], 16).unwrap();
    let root: Vec<u8> = (0..32).map(digits).collect();
    let mut bytes = std::fs::read(&path).unwrap();
    let places = (0..bytes.len() - 32).filter(|place| bytes[*place..][..32] == root);
    let places: Vec<usize> = places.collect();
    assert!(!places.is_empty());
    places.iter().for_each(|place| bytes[*place + 7] ^= 2);
    std::fs::write(&path, bytes).unwrap();
    let output = call(["ledger", "verify", "--data", &data]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(stdout(&output).contains("posting 1, line"), "{output:?}");
    refused(
        &call(["ledger", "verify", "--data", &world.text("nowhere")]),
        3,
    );
}
