//! The suite that every engine of the ledger runs in its own tests.
//!
//! An engine implements [`Engine`], calls [`run`], and [`model::run`] with as many seeds as it
//! likes. Crashes, disks that are full and rows that were changed behind its back are each
//! engine's own to test: how they happen depends on it.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test suite: it fails by panicking, wherever it is compiled"
)]

pub mod model;
pub mod sample;

mod commits;
mod leases;
mod reads;
mod values;

use super::verify::{Verified, verify};
use super::{Ledger, LedgerError};

/// What the suite asks of an engine under test.
pub trait Engine {
    /// Forgets the ledger there was and makes a new one.
    fn fresh(&mut self, partitions: u16) -> Result<(), LedgerError>;

    /// One more connection to the ledger, as another process would have it.
    fn connect(&mut self) -> Result<Box<dyn Ledger + Send>, LedgerError>;
}

/// One promise; it makes its own ledger.
pub type Case = fn(&mut dyn Engine) -> Result<(), LedgerError>;

/// All promises with their names.
pub const CASES: [(&str, Case); 20] = [
    ("a new ledger is empty", reads::a_new_ledger_is_empty),
    (
        "a commit moves all or nothing",
        commits::a_commit_moves_everything_together,
    ),
    (
        "an empty minute moves the watermark",
        commits::an_empty_minute_moves_only_the_watermark,
    ),
    (
        "redelivery changes nothing",
        commits::redelivery_changes_nothing,
    ),
    ("a commit with holes is a gap", commits::a_hole_is_a_gap),
    (
        "another cut is a conflict",
        commits::another_cut_is_a_conflict,
    ),
    (
        "other content is a conflict",
        commits::other_content_is_a_conflict,
    ),
    (
        "a command is posted once",
        commits::a_command_is_posted_once,
    ),
    (
        "a closed minute stays closed",
        commits::a_closed_minute_stays_closed,
    ),
    (
        "malformed commits change nothing",
        commits::malformed_commits_change_nothing,
    ),
    (
        "an overflow changes nothing",
        commits::an_overflow_changes_nothing,
    ),
    ("an older epoch is fenced", leases::an_older_epoch_is_fenced),
    ("a lease has one holder", leases::a_lease_has_one_holder),
    ("epochs only rise", leases::epochs_only_rise),
    (
        "workers that race post once",
        leases::workers_that_race_post_once,
    ),
    ("pages make the whole", reads::pages_make_the_whole),
    (
        "each record finds its posting",
        reads::each_record_finds_its_posting,
    ),
    ("hours are published once", reads::hours_are_published_once),
    (
        "books do not depend on partitions",
        reads::books_do_not_depend_on_partitions,
    ),
    (
        "the largest values come back",
        values::the_largest_values_come_back,
    ),
];

/// Runs all cases; a failing one panics, and its name is the last that was printed.
pub fn run(engine: &mut dyn Engine) {
    for (name, case) in CASES {
        eprintln!("ledger conformance: {name}");
        case(engine).unwrap();
    }
}

/// Verifies without published roots; a fault is an error.
pub fn verified(ledger: &mut dyn Ledger) -> Result<Verified, LedgerError> {
    verify(ledger, &[], &mut |_| {})
}
