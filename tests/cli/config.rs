//! Bad configuration: one message, exit 2, nothing made. What each mistake is told is tested
//! where it is read; here, that it comes out of every command that reads one.

use super::world::{World, call, listing, refused, stdout, tollgate};

#[test]
fn a_bad_file_stops_serve_before_anything_is_made() {
    let bad = [
        ("", "it holds no setting"),
        ("  \r\n\n", "it holds no setting"),
        (
            "[edge]\nlisten = [\"127.0.0.1:0\"]\ndurabilty = 1\n",
            ":3: unknown key edge.durabilty",
        ),
        (
            "[log]\ndurabilty = \"os\"\n",
            ":2: unknown key log.durabilty, meant log.durability?",
        ),
        (
            "[node]\npartitions = 0\n",
            ":2: node.partitions: 0 is not allowed; allowed: 1 to 4095",
        ),
        ("[node]\npartitions = \"x\"\n", "it must be a whole number"),
        (
            "[link]\nexpiry = \"399d\"\n[log]\nfacts_retention = \"100d\"\n",
            "link.expiry: it is longer",
        ),
        (
            "[api]\nlisten = \"127.0.0.1:8080\"\n",
            ":2: api.listen: 127.0.0.1:8080 clashes with",
        ),
        (
            "[edge.timeouts]\nidle = \"-5s\"\n",
            "whole number and a unit",
        ),
        ("[edge\n", ":1: "),
    ];
    let world = World::new();
    for (text, part) in bad {
        world.write("t.toml", text);
        let before = listing(world.folder.path());
        for args in [
            world.serve_args(),
            vec![
                "config".to_owned(),
                "check".to_owned(),
                world.text("t.toml"),
            ],
        ] {
            let told = refused(&call(&args), 2);
            assert!(told.contains(part), "{text:?}: {told}");
            assert_eq!(told.trim_end().lines().count(), 1, "one message: {told}");
        }
        assert_eq!(
            listing(world.folder.path()),
            before,
            "{text:?} made something"
        );
    }
    let told = refused(&call(["config", "check", &world.text("absent")]), 2);
    assert!(told.contains("cannot be read"), "{told}");
    let told = refused(
        &call(["config", "check", world.folder.path().to_str().unwrap()]),
        2,
    );
    assert!(told.contains("it is a directory"), "{told}");
}

#[test]
fn what_is_in_force_is_shown_with_its_origin() {
    let world = World::new();
    world.write("t.toml", "[node]\nedge = 5\n");
    let mut show = tollgate();
    show.args([
        "config",
        "show",
        &world.text("t.toml"),
        "--origin",
        "--json",
    ]);
    let output = show.env("TOLLGATE_LOG_DURABILITY", "os").output().unwrap();
    let shown: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(shown["node.edge"]["value"], 5);
    assert!(
        shown["node.edge"]["origin"]
            .as_str()
            .unwrap()
            .ends_with("t.toml:2")
    );
    assert_eq!(shown["log.durability"]["value"], "os");
    assert_eq!(
        shown["log.durability"]["origin"],
        "environment TOLLGATE_LOG_DURABILITY"
    );
    assert_eq!(shown["node.partitions"]["origin"], "default");
    let plain = stdout(&call(["config", "show"]));
    assert!(
        plain.contains("edge.listen = [\"0.0.0.0:8080\"]\n"),
        "{plain}"
    );
    assert!(
        call(["config", "check", &world.text("t.toml")])
            .status
            .success()
    );
}
