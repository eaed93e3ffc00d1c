//! The log on a disk that is cut off, and on one that lies.

#![allow(
    clippy::print_stdout,
    reason = "a test of many states says how many there were"
)]

use tollgate_sim::disk::Fault;
use tollgate_sim::disk_states::crash_states_on;
use tollgate_sim::{Tier, bit_flips, crash_states};

const SEED: u64 = 1;

#[test]
fn every_crash_state_recovers() {
    let totals = crash_states(SEED, Tier::Short);
    println!("seed {SEED}: {totals:?}");
    assert!(totals.is_good(), "seed {SEED}: {totals:#?}");
    assert!(totals.states > 1_000 && totals.in_recovery > 100 && totals.receipts > 1_000);
}

#[test]
fn a_disk_that_lies_about_syncs_is_seen_to_lose_records() {
    let totals = crash_states_on(SEED, Tier::Short, Fault::LyingSync);
    println!("seed {SEED}: {totals:?}");
    assert!(totals.lost > 0, "the enumerator sees nothing: {totals:#?}");
}

#[test]
fn every_flipped_bit_is_noticed() {
    let totals = bit_flips(SEED, Tier::Short);
    println!("seed {SEED}: {totals:?}");
    assert_eq!(totals.undetected, 0, "seed {SEED}: {totals:#?}");
    assert!(totals.detected > 5_000);
}
