//! The edge over real sockets: every row of the tables, and what only a running edge shows.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on fails; helpers are tests too"
)]

#[path = "edge/log.rs"]
mod log;
#[path = "edge/raw.rs"]
mod raw;
#[path = "edge/table.rs"]
mod table;
#[path = "edge/world.rs"]
mod world;

#[path = "edge/batches.rs"]
mod batches;
#[path = "edge/conservation.rs"]
mod conservation;
#[path = "edge/doors.rs"]
mod doors;
#[path = "edge/ending.rs"]
mod ending;
#[path = "edge/failing_log.rs"]
mod failing_log;
#[path = "edge/receipts.rs"]
mod receipts;
#[path = "edge/refusals.rs"]
mod refusals;
#[path = "edge/rounds.rs"]
mod rounds;
#[path = "edge/second_reader.rs"]
mod second_reader;
#[path = "edge/segments.rs"]
mod segments;
#[path = "edge/slow.rs"]
mod slow;
