//! What goes into [`apply`](crate::apply) and what comes out.

use thiserror::Error;
use tollgate_click::codec::DecodeError;
use tollgate_click::record::{Mark, Tick};
use tollgate_click::{AdvertiserId, ClickFacts, ControlNumber, Judgement, Ordinal};

use crate::judge::Rule;

/// A record as the log hands it out.
#[derive(Clone, Copy, Debug)]
pub struct Incoming<'a> {
    /// The record's facts; the personal part never comes here.
    pub facts: &'a [u8],
    /// The random number of the run of the writer that appended it.
    pub session: u64,
    /// Dense per session and partition, from 1; broadcasts count as a partition of their own.
    pub sequence: u64,
    /// Whether it was appended to all partitions.
    pub broadcast: bool,
}

/// What one record came to.
#[derive(Clone, PartialEq, Debug)]
pub struct Effects {
    /// The record's number in its partition, from 1.
    pub ordinal: Ordinal,
    /// What it did.
    pub effect: Effect,
}

/// What a record did.
#[derive(Clone, PartialEq, Debug)]
pub enum Effect {
    /// A click or an impression ended.
    Ended(Ending),
    /// The record could not be read: `quarantined`, or `resent`, and nothing else is known.
    Unreadable {
        /// How it ended.
        judgement: Judgement,
        /// What is wrong with its bytes.
        error: DecodeError,
    },
    /// The clock was moved, unless the tick was of an older epoch or a repeat.
    Tick {
        /// The record.
        tick: Tick,
        /// Whether it counted.
        counted: bool,
    },
    /// An edge will send nothing older.
    Mark(Mark),
    /// A change; `applied` is false for a repeat and for one that contradicts what cannot change.
    Control {
        /// Its number in the control partition.
        number: ControlNumber,
        /// Whether it changed anything.
        applied: bool,
    },
}

/// How a click or an impression ended.
#[derive(Clone, PartialEq, Debug)]
pub struct Ending {
    /// Which of the two.
    pub kind: Kind,
    /// What was told of it.
    pub facts: Box<ClickFacts>,
    /// Outcome and charge.
    pub judgement: Judgement,
    /// Why, where the outcome alone does not say.
    pub reason: Option<Reason>,
    /// All rules that hit, in the order of the table; the first that decides gave the outcome.
    pub hits: Vec<&'static Rule>,
}

/// Clicks and impressions are counted apart.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Kind {
    /// A click.
    Click,
    /// An impression, told by the pixel.
    Impression,
}

/// Why a click ended as it did.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Reason {
    /// Its bytes are damaged.
    Damaged,
    /// Its id names another partition than the one it lies in.
    Misrouted,
    /// Its billing window is longer than any that may be signed.
    WindowTooLong,
    /// Its event time cannot be.
    EventTime,
    /// Its key was revoked when it was received.
    KeyRevoked,
    /// Its key may not sign for its advertiser.
    KeyScope,
    /// A rule decided.
    Rule(&'static Rule),
    /// It came after the link's billing window.
    WindowOver,
    /// Its nonce is from the future.
    NonceAhead,
    /// It was received longer ago than a spool may hold a click and still bill.
    TooLate,
}

impl Reason {
    /// The name in reports.
    pub fn name(self) -> &'static str {
        match self {
            Reason::Damaged => "damaged",
            Reason::Misrouted => "misrouted",
            Reason::WindowTooLong => "window_too_long",
            Reason::EventTime => "event_time",
            Reason::KeyRevoked => "key_revoked",
            Reason::KeyScope => "key_scope",
            Reason::Rule(rule) => rule.name,
            Reason::WindowOver => "window_over",
            Reason::NonceAhead => "nonce_ahead",
            Reason::TooLate => "too_late",
        }
    }
}

/// Why a partition stops. The state is as it was before the record.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
pub enum Halt {
    /// The record was written by newer code.
    #[error("record {ordinal}: {error}; run a newer tollgate")]
    NewerCode {
        /// The number that the record would have had.
        ordinal: Ordinal,
        /// What is unknown.
        error: DecodeError,
    },
    /// A control record is missing.
    #[error(
        "record {ordinal}: control record {number} is change {got} of {}, but change {want} \
         has not come", target_name(*target)
    )]
    ControlGap {
        /// The number that the record would have had.
        ordinal: Ordinal,
        /// The record's number in the control partition.
        number: ControlNumber,
        /// The advertiser whose changes are counted; none for those of all partitions.
        target: Option<AdvertiserId>,
        /// The number expected.
        want: u64,
        /// The number that came.
        got: u64,
    },
    /// A nonce of an old hour may lie in a part that is not in memory.
    #[error("record {ordinal}: an old nonce was looked for and the worker has not read its part")]
    Unanswered {
        /// The number that the record would have had.
        ordinal: Ordinal,
    },
    /// No number is left.
    #[error("the partition has used all ordinals")]
    OrdinalsUsedUp,
}

fn target_name(target: Option<AdvertiserId>) -> String {
    match target {
        Some(advertiser) => format!("advertiser {advertiser}"),
        None => "all partitions".to_owned(),
    }
}
