//! A node from its first click to its end.

use std::fs;

use super::world::{BROWSER, Server, World, eventually, link, request, tollgate};

#[test]
fn a_click_becomes_a_receipt_a_count_and_a_bill() {
    let world = World::new();
    let server = world.serve();
    assert_eq!(server.ready().0, 200);
    let signed = world.sign(&[]);
    let first = server.receipt(&signed);
    let second = server.receipt(&signed);
    assert_ne!(first, second);
    server.receipt("/l/abc");
    assert_eq!(request(&server.edge, "HEAD", "/l/abc", BROWSER).status, 302);
    server.receipt(&world.sign(&["--price-micros", "123456"]));
    server.receipt(&world.sign(&["--test"]));
    let forged = world.sign(&[]).replace("/c/A", "/c/B");
    assert!(server.click(&forged).status >= 400);

    let live = world.report(&["--by", "campaign"]);
    let totals = &live["totals"];
    assert_eq!(totals["gross"], 5, "{totals}");
    assert_eq!(totals["net"], 3);
    assert_eq!(totals["total_net"], 3);
    assert_eq!(totals["duplicates"], 1);
    assert_eq!(totals["invalid_givt"], 1);
    assert_eq!(totals["billed"], 3);
    assert_eq!(totals["outcomes"]["test"], 1);
    assert_eq!(totals["spend_micros"]["USD"], 2 * 350_000 + 123_456);
    assert_eq!(live["rows"][0]["campaign"], 1);
    assert_eq!(live["complete"]["missing"], 0);

    let metrics = request(&server.api, "GET", "/metrics", "test").body;
    assert!(
        metrics.contains("tollgate_edge_recorded_total{kind=\"click\"} 6"),
        "{metrics}"
    );
    assert_eq!(server.end("-TERM").0, Some(0));
    assert_eq!(
        world.report(&[])["totals"],
        *totals,
        "the same without the server"
    );
}

#[test]
fn a_killed_node_has_every_receipt_after_its_restart() {
    let world = World::new();
    let mut receipts = 0;
    for _ in 0..3 {
        let server = world.serve();
        for _ in 0..5 {
            server.receipt(&world.sign(&[]));
            receipts += 1;
        }
        assert_eq!(server.end("-KILL").0, None);
    }
    let totals = &world.report(&[])["totals"];
    assert_eq!(totals["billed"], receipts);
    assert_eq!(totals["gross"], receipts);
}

#[test]
fn what_stands_lives_in_the_log_and_not_in_the_files() {
    let world = World::new();
    world.serve().end("-TERM");
    let snapshot = world.path("data/control.snapshot");
    let (data, config) = (world.text("data"), world.text("t.toml"));
    let without_files = || {
        let args = ["serve", "--json", "--data", &data, "--config", &config];
        Server::start(tollgate().args(args))
    };
    let signed = world.sign(&[]);
    let server = without_files();
    server.receipt("/l/abc");
    server.receipt(&signed);
    server.end("-TERM");
    let bytes = fs::read(&snapshot).unwrap();
    fs::remove_file(&snapshot).unwrap();
    let server = without_files();
    server.receipt("/l/abc");
    server.end("-TERM");
    for place in [0, 20, bytes.len() / 2, bytes.len() - 1] {
        let mut damaged = bytes.clone();
        damaged[place] ^= 1;
        fs::write(&snapshot, damaged).unwrap();
        let server = without_files();
        server.receipt("/l/abc");
        server.end("-TERM");
    }
    let mode = std::os::unix::fs::MetadataExt::mode(&fs::metadata(&snapshot).unwrap());
    assert_eq!(mode & 0o777, 0o600, "it holds secrets");
}

#[test]
fn the_roles_can_be_had_apart() {
    let world = World::new();
    let mut args = world.serve_args();
    args.extend(["--role".to_owned(), "process".to_owned()]);
    let server = Server::start(tollgate().args(&args));
    assert_eq!(server.edge, "", "no edge");
    assert_eq!(server.ready().0, 200);
    assert_eq!(server.end("-INT").0, Some(0));
    args.pop();
    args.push("collect".to_owned());
    let server = Server::start(tollgate().args(&args));
    server.receipt("/l/abc");
    assert_eq!(server.end("-TERM").0, Some(0));
    assert_eq!(world.report(&[])["totals"]["billed"], 1);
}

#[test]
fn the_api_answers_only_what_it_knows() {
    let world = World::new();
    let server = world.serve();
    assert_eq!(request(&server.api, "GET", "/healthz", "t").body, "ok\n");
    assert_eq!(request(&server.api, "GET", "/nothing", "t").status, 404);
    assert_eq!(request(&server.api, "POST", "/metrics", "t").status, 405);
    assert_eq!(
        request(&server.edge, "GET", "/metrics", "t").status,
        404,
        "not on the edge"
    );
}

#[test]
fn told_not_to_wait_for_the_disk_it_still_hears_every_change() {
    let world = World::new();
    let text = fs::read_to_string(world.path("t.toml")).unwrap();
    world.write(
        "t.toml",
        &format!("{text}[log]\ndurability = \"os\"\nsync_interval = \"2s\"\n"),
    );
    let server = world.serve();
    server.receipt("/l/abc");
    server.receipt(&world.sign(&[]));
    world.write("links.ndjson", &link("new"));
    eventually("the new slug", || {
        (server.click("/l/new").status == 302).then_some(())
    });
    assert_eq!(server.end("-TERM").0, Some(0));
    assert_eq!(
        world.report(&[])["totals"]["outcomes"]["billed"],
        2,
        "the third is a double click"
    );
}

#[test]
fn many_links_come_in_many_commits_and_stand_after_a_restart() {
    let world = World::new();
    let line = |number: u32| {
        link(&format!("s{number}")).replace("\"link\":1", &format!("\"link\":{number}"))
    };
    world.write("links.ndjson", &(1..=10_000).map(line).collect::<String>());
    let server = world.serve();
    server.receipt("/l/s1");
    server.receipt("/l/s10000");
    server.end("-KILL");
    let server = world.serve();
    server.receipt("/l/s5000");
    assert_eq!(server.end("-TERM").0, Some(0));
    let totals = &world.report(&[])["totals"];
    assert_eq!(totals["billed"], 3, "{totals}");
}
