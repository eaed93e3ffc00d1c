//! Postings per second of the embedded ledger: minute postings of 1,000 campaign lines each.
//!
//! `cargo run -p tollgate-store --features conformance --example ledger_bench [postings]`
//! in an optimised profile; prints one JSON object.

#![allow(clippy::unwrap_used, reason = "a benchmark stops at the first error")]

use std::path::Path;
use std::time::Instant;

use tollgate_store::ledger::books;
use tollgate_store::ledger::conformance::sample::{Spend, Worker, minute_posting};
use tollgate_store::ledger::{SqliteLedger, verify};

const CAMPAIGNS: u64 = 1_000;
const PUBLISHERS: u32 = 100;

fn main() {
    let count: u32 = std::env::args()
        .nth(1)
        .map_or(200, |count| count.parse().unwrap());
    let folder = std::env::temp_dir().join(format!("tollgate-ledger-{}", std::process::id()));
    std::fs::create_dir(&folder).unwrap();
    let path = folder.join("ledger.db");
    run(&path, count);
    std::fs::remove_dir_all(&folder).unwrap();
}

fn run(path: &Path, count: u32) {
    let mut ledger = SqliteLedger::create(path, 1).unwrap();
    let mut worker = Worker::start(&mut ledger, 0).unwrap();
    let (mut lines, mut committing) = (0, 0.0);
    for minute in 0..count {
        let first = worker.next();
        let posting = minute_posting(minute, first, first + 9_999, &spends(minute));
        lines += posting.lines.len();
        let request = worker.request(first + 9_999, minute + 1, vec![posting]);
        let started = Instant::now();
        worker.commit(&mut ledger, &request).unwrap();
        committing += started.elapsed().as_secs_f64();
    }
    let (checked, verifying) = timed(|| verify::verify(&mut ledger, &[], &mut |_| {}).unwrap());
    let ((), writing) = timed(|| books::write(&mut ledger, &mut std::io::sink()).unwrap());
    ledger.checkpoint().unwrap();
    let bytes = std::fs::metadata(path).unwrap().len();
    println!(
        "{{\"postings\":{count},\"lines\":{lines},\"postings_per_s\":{:.1},\
         \"lines_per_s\":{:.0},\"verified_lines_per_s\":{:.0},\"books_lines_per_s\":{:.0},\
         \"bytes_per_line\":{:.1}}}",
        f64::from(count) / committing,
        lines as f64 / committing,
        checked.lines as f64 / verifying,
        lines as f64 / writing,
        bytes as f64 / lines as f64,
    );
}

/// 1,000 campaigns of 300 advertisers, other ones each minute out of 5,000.
fn spends(minute: u32) -> Vec<Spend> {
    let spend = |number: u64| {
        let campaign = (u64::from(minute) * 37 + number * 5) % 5_000;
        Spend {
            advertiser: (campaign % 300) as u32,
            campaign,
            publisher: (number as u32 + minute) % PUBLISHERS,
            price: 100_000 + number as i64,
            clicks: 2,
        }
    };
    (0..CAMPAIGNS).map(spend).collect()
}

fn timed<T>(work: impl FnOnce() -> T) -> (T, f64) {
    let started = Instant::now();
    let done = work();
    (done, started.elapsed().as_secs_f64())
}
