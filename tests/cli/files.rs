//! Input files: what is wrong is named by file and line; what stood before goes on.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;

use tollgate_log::{Partition, PartitionSet, Read, ReadBudget, ReadFrom, RealDisk, SegmentLog};

use super::world::{World, call, campaign, eventually, link, refused, request};

#[test]
fn a_bad_line_is_named_and_nothing_is_made() {
    let good_link = link("abc");
    let bad_links = [
        ("", "links.ndjson: it holds nothing"),
        ("\n \n", "links.ndjson: it holds nothing"),
        ("{\"link\":1", "links.ndjson:1: "),
        ("[]", "links.ndjson:1: "),
        (
            "{}",
            "links.ndjson:1: it is no link, campaign or advertiser",
        ),
        (
            &format!(
                "{good_link}{}",
                good_link.replace("\"link\":1", "\"link\":2")
            ),
            "links.ndjson:2: slug \"abc\" stands there twice",
        ),
        (
            &format!("{good_link}\n{}", good_link.replace("abc", "abd")),
            "links.ndjson:3: link 1 stands there twice",
        ),
        (
            &good_link.replace("publisher", "publsher"),
            "links.ndjson:1: unknown field `publsher`",
        ),
        (
            &good_link.replace("\"link\":1", "\"link\":-1"),
            "links.ndjson:1: ",
        ),
        (
            &good_link.replace("\"link\":1,", "\"link\":1,\"link\":2,"),
            "duplicate field `link`",
        ),
        (
            &good_link.replace("https:", "javascript:"),
            "links.ndjson:1: destination: ",
        ),
        (
            &good_link.replace("https:", "ftp:"),
            "links.ndjson:1: destination: ",
        ),
        (
            &good_link.replace("shoes.example", "a@b.example"),
            "links.ndjson:1: destination: ",
        ),
        (
            &good_link.replace("abc", "a/b"),
            "links.ndjson:1: slug must be",
        ),
        (
            &good_link.replace("abc", &"a".repeat(65)),
            "links.ndjson:1: slug must be",
        ),
        (
            &good_link.replace("\"placement\":4", "\"escaping\":3"),
            "escaping must be 0 to 2",
        ),
        (
            &good_link.replace("\"placement\":4", "\"placement\":18446744073709551616"),
            "links.ndjson:1: ",
        ),
    ];
    for (text, part) in bad_links {
        let world = World::new();
        world.write("links.ndjson", text);
        let told = refused(&call(world.serve_args()), 2);
        assert!(told.contains(part), "{text:?}: {told}");
        assert!(
            !world.path("data").exists(),
            "{text:?} made a data directory"
        );
    }
    let good = campaign(1, "active");
    let bad_campaigns = [
        (
            campaign(-1, "active"),
            "campaigns.ndjson:2: price_micros must not be below 0",
        ),
        (
            campaign(1, "stopped"),
            "campaigns.ndjson:2: unknown variant `stopped`",
        ),
        (good.replace("USD", "usd"), "campaigns.ndjson:2: currency: "),
        (
            good.replace("Autumn", &"n".repeat(257)),
            "campaigns.ndjson:2: name must be",
        ),
        (
            good.replace("Autumn", "a\\u0000"),
            "campaigns.ndjson:2: name must be",
        ),
        (
            format!("{good}{}", link("abc")),
            "links.ndjson:1: link 1 stands there twice",
        ),
    ];
    for (text, part) in bad_campaigns {
        let world = World::new();
        world.write("campaigns.ndjson", &text);
        let told = refused(&call(world.serve_args()), 2);
        assert!(told.contains(part), "{text:?}: {told}");
        assert!(
            !world.path("data").exists(),
            "{text:?} made a data directory"
        );
    }
}

#[test]
fn secrets_that_others_may_read_are_refused() {
    let world = World::new();
    fs::set_permissions(world.path("keys.ndjson"), fs::Permissions::from_mode(0o644)).unwrap();
    let told = refused(&call(world.serve_args()), 2);
    assert!(told.contains("chmod 0600"), "{told}");
    assert!(!world.path("data").exists());
}

#[test]
fn what_decides_past_bills_cannot_be_changed_by_a_file() {
    let world = World::new();
    world.serve().end("-TERM");
    world.write(
        "campaigns.ndjson",
        &campaign(1, "active").replace("USD", "EUR"),
    );
    let told = refused(&call(world.serve_args()), 2);
    assert!(
        told.contains("campaigns.ndjson:2: campaign 1 is in USD for good"),
        "{told}"
    );
    world.write(
        "campaigns.ndjson",
        &campaign(1, "active").replace("er\":7", "er\":8"),
    );
    let told = refused(&call(world.serve_args()), 2);
    assert!(
        told.contains("campaign 1 is advertiser 7's for good"),
        "{told}"
    );
    world.write("campaigns.ndjson", &campaign(350_000, "active"));
    let keys = fs::read_to_string(world.path("keys.ndjson")).unwrap();
    let digit = keys.find("\"secret\":\"").unwrap() + 10;
    let other = if keys.as_bytes()[digit] == b'0' {
        "1"
    } else {
        "0"
    };
    let mut changed = keys;
    changed.replace_range(digit..=digit, other);
    fs::write(world.path("keys.ndjson"), changed).unwrap();
    let told = refused(&call(world.serve_args()), 2);
    assert!(told.contains("key 1 has another secret"), "{told}");
}

#[test]
fn a_changed_file_counts_without_a_restart() {
    let world = World::new();
    let server = world.serve();
    assert_eq!(server.click("/l/new").status, 404);
    world.write("links.ndjson", &link("new"));
    eventually("the new slug", || {
        (server.click("/l/new").status == 302).then_some(())
    });
    assert_eq!(server.click("/l/abc").status, 404, "the old slug is gone");
    world.write("campaigns.ndjson", &campaign(350_000, "paused"));
    eventually("the pause", || {
        server.receipt(&world.sign(&[]));
        let outcomes = &world.report(&[])["totals"]["outcomes"];
        (outcomes["paused"].as_u64() > Some(0)).then_some(())
    });
}

#[test]
fn a_blank_or_bad_file_never_replaces_the_last_good_one() {
    let world = World::new();
    let server = world.serve();
    for bad in ["", "\n\n", "{\"link\":", "{\"link\":1,\"slug\":\"other\"}"] {
        world.write("links.ndjson", bad);
        let fault = eventually("the fault", || {
            let (status, body) = server.ready();
            assert_eq!(status, 200, "clicks go on");
            let files = body["files"].as_str().unwrap().to_owned();
            (files != "ok").then_some(files)
        });
        assert!(fault.contains("links.ndjson"), "{fault}");
        server.receipt("/l/abc");
        let metrics = request(&server.api, "GET", "/metrics", "test").body;
        assert!(
            metrics.contains("tollgate_check_ok{check=\"files\"} 0"),
            "{metrics}"
        );
        world.write("links.ndjson", &link("abc"));
        server.signal("-HUP");
        eventually("all well", || {
            (server.ready().1["files"] == "ok").then_some(())
        });
    }
    fs::remove_file(world.path("links.ndjson")).unwrap();
    eventually("the fault", || {
        (server.ready().1["files"] != "ok").then_some(())
    });
    server.receipt("/l/abc");
    let (code, told) = server.end("-TERM");
    assert_eq!(code, Some(0));
    assert!(
        told.contains("what stood before goes on"),
        "it is logged: {told}"
    );
}

#[test]
fn a_revoked_key_stops_within_seconds_and_for_good() {
    let world = World::new();
    let server = world.serve();
    server.receipt(&world.sign(&[]));
    let path = world.sign(&[]);
    let keys = world.text("keys.ndjson");
    assert!(
        call(["keys", "revoke", &keys, "--key", "1", "--yes"])
            .status
            .success()
    );
    let started = std::time::Instant::now();
    eventually("the refusal", || {
        (server.click(&path).status == 403).then_some(())
    });
    eprintln!("revoked after {} ms", started.elapsed().as_millis());
    assert_eq!(server.end("-TERM").0, Some(0));
    let revoked = fs::read_to_string(&keys).unwrap();
    fs::write(
        &keys,
        revoked.replace("\"revoked\":true", "\"revoked\":false"),
    )
    .unwrap();
    let told = refused(&call(world.serve_args()), 2);
    assert!(told.contains("key 1 was revoked for good"), "{told}");
    fs::write(&keys, revoked).unwrap();
    let server = world.serve();
    assert_eq!(server.click(&path).status, 403, "after a restart too");
}

/// A secret stands in the control partition's second part, in the snapshot and nowhere else.
#[test]
fn secrets_stay_in_the_control_partition() {
    let world = World::new();
    world.serve().end("-TERM");
    let line = fs::read_to_string(world.path("keys.ndjson")).unwrap();
    let line: serde_json::Value = serde_json::from_str(line.trim()).unwrap();
    let hex = line["secret"].as_str().unwrap();
    let byte = |place| u8::from_str_radix(&hex[place..place + 2], 16).unwrap();
    let secret: Vec<u8> = (0..64).step_by(2).map(byte).collect();
    let log = SegmentLog::open_readonly(Arc::new(RealDisk), &world.path("data/log")).unwrap();
    let mut reader = log.reader(PartitionSet::all(), ReadFrom::Start).unwrap();
    let mut found = Vec::new();
    let holds = |bytes: &[u8]| bytes.windows(32).any(|window| window == secret);
    let progress = reader.read(ReadBudget::default(), &mut |record| {
        assert!(
            !holds(record.facts),
            "in the facts of {:?}",
            record.partition
        );
        if record.personal.is_some_and(holds) {
            found.push(record.partition);
        }
    });
    assert!(progress.unwrap().at_end);
    assert_eq!(
        found,
        [Partition(16)],
        "the control partition stands behind the last one"
    );
}
