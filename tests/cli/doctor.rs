//! What the doctor finds.

use std::fs;

use super::world::{World, call, listing, stdout};

fn levels(args: &[&str]) -> (Option<i32>, Vec<(String, String, String)>) {
    let mut all = vec!["doctor", "--json"];
    all.extend(args);
    let output = call(all);
    let told: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
    let checks = told["checks"].as_array().unwrap().iter();
    let checks = checks.map(|one| {
        (
            text(&one["check"]),
            text(&one["level"]),
            text(&one["found"]),
        )
    });
    (output.status.code(), checks.collect())
}

fn level<'a>(checks: &'a [(String, String, String)], name: &str) -> &'a str {
    let found = checks.iter().find(|(check, ..)| check == name);
    &found.unwrap_or_else(|| panic!("no check {name}")).1
}

#[test]
fn a_healthy_node_is_found_healthy_and_left_as_it_is() {
    let world = World::new();
    let (data, config) = (world.text("data"), world.text("t.toml"));
    let (code, checks) = levels(&["--data", &data, "--config", &config]);
    assert_eq!(code, Some(0), "{checks:?}");
    assert!(!world.path("data").exists(), "doctor makes nothing");
    world.serve().end("-TERM");
    let before = listing(world.folder.path());
    let (code, checks) = levels(&["--data", &data, "--config", &config, "--full"]);
    assert_eq!(code, Some(0), "{checks:?}");
    for name in [
        "config",
        "open files",
        "memory",
        "port",
        "disk",
        "data",
        "clock",
        "log",
    ] {
        assert_ne!(level(&checks, name), "wrong", "{checks:?}");
    }
    assert_eq!(listing(world.folder.path()), before);
    let text = stdout(&call(["doctor", "--config", &config]));
    assert!(text.starts_with("ok       config"), "{text}");
}

#[test]
fn what_is_wrong_is_found() {
    let world = World::new();
    let server = world.serve();
    world.write("bad.toml", "[node]\nedge = -1\n");
    let (code, checks) = levels(&["--config", &world.text("bad.toml")]);
    assert_eq!((code, level(&checks, "config")), (Some(1), "wrong"));
    let taken = format!(
        "[edge]\nlisten=[\"{}\"]\n[api]\nlisten=\"127.0.0.1:0\"\n",
        server.edge
    );
    world.write("taken.toml", &taken);
    let (code, checks) = levels(&["--config", &world.text("taken.toml")]);
    assert_eq!((code, level(&checks, "port")), (Some(1), "wrong"));
    world.write("links.ndjson", "");
    let (code, checks) = levels(&[
        "--config",
        &world.text("t.toml"),
        "--links",
        &world.text("links.ndjson"),
    ]);
    assert_eq!((code, level(&checks, "files")), (Some(1), "wrong"));
    server.end("-TERM");

    let segment = fs::read_dir(world.path("data/log"))
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let segment = segment
        .filter(|path| path.extension().is_some_and(|e| e == "live"))
        .min()
        .unwrap();
    let mut bytes = fs::read(&segment).unwrap();
    bytes[200] ^= 0x40;
    fs::write(&segment, bytes).unwrap();
    let (data, config) = (world.text("data"), world.text("t.toml"));
    let (code, checks) = levels(&["--data", &data, "--config", &config, "--full"]);
    assert_eq!(
        (code, level(&checks, "log")),
        (Some(1), "wrong"),
        "{checks:?}"
    );
    let (code, checks) = levels(&["--data", &world.text("t.toml"), "--config", &config]);
    assert_eq!(code, Some(1), "a file is no data directory: {checks:?}");
}
