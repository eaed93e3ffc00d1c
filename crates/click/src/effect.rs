//! What the core says of a record.

use crate::ids::Ordinal;
use crate::money::{Currency, Micros};
use crate::outcome::Outcome;

/// How one click ended, and what it costs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Judgement {
    /// The record's number in its partition.
    pub ordinal: Ordinal,
    /// How it ended.
    pub outcome: Outcome,
    /// What the advertiser is charged; 0 unless the outcome is `billed`.
    pub charge: Micros,
    /// What of the charge is the publisher's, see [`crate::money::split`]; the rest is the
    /// platform's.
    pub share: Micros,
    /// In which currency; none where no campaign is known.
    pub currency: Option<Currency>,
}
