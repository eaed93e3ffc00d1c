//! The lake: every click for good, as Parquet files that any engine can read.
//!
//! A partition's rows arrive in the order of their ordinals and are cut into batches from outside,
//! at ticks of the log. A batch becomes one file per hour of receipt and table:
//!
//! | table | rows | sorted by |
//! |---|---|---|
//! | `clicks` | clicks and impressions: facts, verdict, outcome, charge | advertiser, campaign, time, ordinal |
//! | `personal` | their personal parts, with a retention of their own | ordinal |
//! | `records` | ticks, marks, control records and unreadable records, as bytes | ordinal |
//!
//! What holds:
//!
//! 1. Files are functions of the log: the same rows give the same bytes under the same name. A
//!    name that is taken is compared by the hash of its rows; a difference is an error.
//! 2. A crash at any point leaves the old state or the new one; repeating the batch completes it.
//! 3. Whatever is read has passed a checksum. A damaged file is named, and nothing of it is used.
//! 4. Merging changes no row, and deleting personal parts changes no number.
//!
//! [`places`] says how files are named, [`encode`] what is in them, [`shelf`] how batches and
//! merges go together, [`view`] what readers see. No call needs more of a backend than [`Objects`]
//! offers.

pub mod disk;
pub mod errors;
pub mod objects;

pub mod columns;
pub(crate) mod filling;
pub(crate) mod groups;
mod numbering;
pub mod words;

mod coded;
pub(crate) mod decode;
mod delta;
mod encode;
mod hybrid;
mod inflate;
mod pages;
mod unpage;

pub(crate) mod listing;
pub(crate) mod places;
pub(crate) mod shelf;
pub(crate) mod view;

pub mod billed;
pub mod clicks;
pub mod personal;
mod read;
pub(crate) mod rebuild;
pub(crate) mod writer;

pub use billed::{Billed, Wanted};
pub use clicks::{CLICKS, Event, LakeRow, RuleHit, StoredRow};
pub use errors::LakeError;
pub use objects::{LocalObjects, Objects};
pub use personal::{PERSONAL, RECORDS, StoredPersonal};
pub use read::{Found, Lake, StoredRecord};
pub use rebuild::{LakeRebuild, Rebuilt};
pub use writer::{Cut, Hour, LakeWriter};

#[cfg(test)]
pub(crate) mod tests;
