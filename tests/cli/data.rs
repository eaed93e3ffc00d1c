//! Data directories that are refused: clearly, and left as they are.

use std::fs;
use std::path::Path;
use std::process::Command;

use super::world::{World, call, listing, refused};

#[test]
fn a_directory_of_newer_code_or_another_product_is_left_alone() {
    for (name, text, part) in [
        (
            "tollgate.format",
            "tollgate data 99\n",
            "has data format 99; this tollgate reads up to 1",
        ),
        (
            "tollgate.format",
            "warehouse 3\n",
            "belongs to another product",
        ),
        (
            "PG_VERSION",
            "17\n",
            "it holds \"PG_VERSION\" and no tollgate.format",
        ),
    ] {
        let world = World::new();
        fs::create_dir(world.path("data")).unwrap();
        fs::write(world.path("data").join(name), text).unwrap();
        let before = listing(world.folder.path());
        let told = refused(&call(world.serve_args()), 3);
        assert!(told.contains(part), "{told}");
        assert!(told.contains("it is left as it is"), "{told}");
        refused(&call(["report", "--data", &world.text("data")]), 3);
        assert_eq!(listing(world.folder.path()), before);
    }
}

#[test]
fn a_log_of_newer_code_is_left_alone() {
    let world = World::new();
    world.serve().end("-TERM");
    let meta = world.path("data/log/meta");
    let mut bytes = fs::read(&meta).unwrap();
    bytes[8] = 0xEE; // whatever field that is, it is not what was written
    fs::write(&meta, &bytes).unwrap();
    let before = listing(world.folder.path());
    refused(&call(world.serve_args()), 3);
    refused(&call(["report", "--data", &world.text("data")]), 3);
    assert_eq!(listing(world.folder.path()), before);
}

#[test]
fn a_second_instance_names_the_first() {
    let world = World::new();
    let server = world.serve();
    let told = refused(&call(world.serve_args()), 3);
    assert!(
        told.contains("is in use by another tollgate, process "),
        "{told}"
    );
    server.receipt("/l/abc"); // the first one does not mind
    assert_eq!(server.end("-TERM").0, Some(0));
}

#[test]
fn the_number_of_partitions_is_fixed() {
    let world = World::new();
    world.serve().end("-TERM");
    let text = fs::read_to_string(world.path("t.toml")).unwrap();
    world.write("t.toml", &format!("{text}[node]\npartitions = 4\n"));
    let told = refused(&call(world.serve_args()), 2);
    assert!(told.contains("node.partitions is 4, but"), "{told}");
    assert!(told.contains("was made with 16"), "{told}");
}

/// A small file system of its own; none where the test may not mount.
struct Mount<'a>(&'a Path);

impl Mount<'_> {
    fn new<'a>(place: &'a Path, options: &str) -> Option<Mount<'a>> {
        fs::create_dir_all(place).unwrap();
        let mount = ["-t", "tmpfs", "-o", options, "tmpfs"];
        let mounted = Command::new("mount").args(mount).arg(place).output();
        if mounted.is_ok_and(|output| output.status.success()) {
            return Some(Mount(place));
        }
        eprintln!("NOT RUN: a small file system cannot be mounted here");
        None
    }
}

impl Drop for Mount<'_> {
    fn drop(&mut self) {
        drop(Command::new("umount").arg("-l").arg(self.0).output());
    }
}

#[test]
fn a_read_only_place_is_refused() {
    let world = World::new();
    let place = world.path("data");
    let Some(_mount) = Mount::new(&place, "ro") else {
        return;
    };
    let told = refused(&call(world.serve_args()), 3);
    assert!(told.contains("Read-only file system"), "{told}");
}

#[test]
fn a_full_place_is_refused_and_works_when_there_is_room() {
    let world = World::new();
    let place = world.path("data");
    let Some(_mount) = Mount::new(&place, "size=1m") else {
        return;
    };
    let told = refused(&call(world.serve_args()), 3);
    assert!(told.contains("full") || told.contains("No space"), "{told}");
    let grown = Command::new("mount")
        .args(["-o", "remount,size=256m"])
        .arg(&place)
        .status();
    assert!(grown.unwrap().success());
    let server = world.serve();
    server.receipt("/l/abc");
    assert_eq!(server.end("-TERM").0, Some(0));
    assert_eq!(world.report(&[])["totals"]["billed"], 1);
}
