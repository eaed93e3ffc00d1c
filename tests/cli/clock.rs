//! A clock that cannot be believed.

use std::sync::Arc;
use std::time::SystemTime;

use tollgate_click::record::Tick;
use tollgate_click::{Millis, Record};
use tollgate_log::{Append, Log, NewRecord, Options, Partition, RealDisk, SegmentLog};

use super::world::{World, call, refused, until_unlocked};

pub(crate) fn now_ms() -> u64 {
    SystemTime::UNIX_EPOCH.elapsed().unwrap().as_millis() as u64
}

/// Leaves a last tick of that time in a data directory that was served before.
pub(crate) fn tick(world: &World, at: u64) {
    let options = Options {
        partitions: 17,
        ..Options::default()
    };
    let opened = SegmentLog::open(Arc::new(RealDisk), &world.path("data/log"), options);
    let (log, _) = opened.unwrap();
    let mut facts = Vec::new();
    Record::Tick(Tick {
        epoch: 1_000,
        at: Millis(at),
    })
    .encode(&mut facts);
    let record = NewRecord {
        partition: Partition::ALL,
        facts: &facts,
        personal: &[],
    };
    let commit = log.appender().append(record).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    runtime.block_on(commit).unwrap();
    log.close().unwrap();
    drop(log);
    until_unlocked(world);
}

fn accepted(world: &World) {
    let mut args = world.serve_args();
    args.push("--accept-clock".to_owned());
    let server = super::world::Server::start(super::world::tollgate().args(args));
    server.receipt(&world.sign(&[]));
    assert_eq!(server.end("-TERM").0, Some(0));
    assert_eq!(world.report(&[])["totals"]["billed"], 1);
}

#[test]
fn time_does_not_go_back_unless_an_operator_says_so() {
    let world = World::new();
    world.serve().end("-TERM");
    tick(&world, now_ms() + 3_600_000);
    let told = refused(&call(world.serve_args()), 3);
    assert!(
        told.contains("ms before the last tick of the log"),
        "{told}"
    );
    assert!(told.contains("--accept-clock"), "{told}");
    let doctor = call([
        "doctor",
        "--data",
        &world.text("data"),
        "--config",
        &world.text("t.toml"),
    ]);
    assert!(
        doctor.status.success(),
        "the snapshot is older than that tick"
    );
    accepted(&world);
}

#[test]
fn a_log_that_was_silent_for_long_asks_whether_the_clock_is_right() {
    let world = World::new();
    // A data directory as an old run would have left it, so that its only tick is old.
    std::fs::create_dir(world.path("data")).unwrap();
    std::fs::write(world.path("data/tollgate.format"), "tollgate data 1\n").unwrap();
    tick(&world, now_ms() - 36 * 86_400_000);
    let told = refused(&call(world.serve_args()), 3);
    assert!(told.contains("36 days after the last tick"), "{told}");
    accepted(&world);
    let server = world.serve(); // and from then on it is believed
    assert_eq!(server.end("-TERM").0, Some(0));
}
