//! The edge over the log that it really runs on: every receipt is in the segments.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use tollgate_click::{ClickId, Millis, Record};
use tollgate_collect::{Clock, Edge, LogHandle, Wiring};
use tollgate_log::{
    Durability, Log, Options, PartitionSet, Read, ReadBudget, ReadFrom, RealDisk, SegmentLog,
};

use crate::raw::Raw;
use crate::world::{NOW, World, directory, get, options};

const CONNECTIONS: usize = 24;
const CLICKS_EACH: usize = 50;

fn receipts_of_a_crowd(durability: Durability) -> (HashSet<ClickId>, HashSet<ClickId>) {
    let dir = tempfile::tempdir().unwrap();
    let partitions = options().partitions + 1;
    let log_options = Options {
        partitions,
        durability,
        ..Options::default()
    };
    let (log, _) = SegmentLog::open(Arc::new(RealDisk), dir.path(), log_options).unwrap();
    let log = Arc::new(log);
    let (appenders, probe) = (log.clone(), log.clone());
    let writable = move || match probe.health() {
        tollgate_log::Health::Writable => Ok(()),
        other => Err(format!("{other:?}")),
    };
    let handle = LogHandle::new(move || appenders.appender(), writable);
    let wiring = Arc::new(Wiring::from_pointee(directory()));
    let edge = Edge::start(options(), wiring, handle, Clock::new(|| NOW)).unwrap();
    let (address, mint) = (edge.addresses()[0], World::start());
    let receipts = std::thread::scope(|scope| {
        let client = || {
            let mut raw = Raw::open(address);
            let one = |_| {
                let answer = raw.ask(get(format!("/c/{}", mint.token())));
                answer.header("click-id").unwrap().parse().unwrap()
            };
            (0..CLICKS_EACH).map(one).collect::<Vec<ClickId>>()
        };
        let clients: Vec<_> = (0..CONNECTIONS).map(|_| scope.spawn(client)).collect();
        clients
            .into_iter()
            .flat_map(|client| client.join().unwrap())
            .collect()
    });
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .unwrap();
    assert_eq!(
        edge.counters().recorded() as usize,
        CONNECTIONS * CLICKS_EACH
    );
    assert_eq!(runtime.block_on(edge.drain(Duration::from_secs(20))).cut, 0);
    log.close().unwrap();
    let mut stored = HashSet::new();
    let mut reader = log.reader(PartitionSet::all(), ReadFrom::Start).unwrap();
    let mut keep = |record: tollgate_log::RecordRef<'_>| match Record::decode(record.facts) {
        Ok(Record::Click(facts)) => {
            assert!(stored.insert(facts.click_id), "once each");
            assert_eq!(facts.click_id.parts().partition.get(), record.partition.0);
            assert_eq!(facts.received_at(), Millis(NOW.0));
        }
        other => panic!("{other:?}"),
    };
    while !reader
        .read(ReadBudget::default(), &mut keep)
        .unwrap()
        .at_end
    {}
    (receipts, stored)
}

#[test]
fn receipts_are_exactly_what_the_segments_hold() {
    for durability in [Durability::Sync, Durability::Os] {
        let (receipts, stored) = receipts_of_a_crowd(durability);
        assert_eq!(receipts.len(), CONNECTIONS * CLICKS_EACH, "{durability:?}");
        assert_eq!(receipts, stored, "{durability:?}");
    }
}
