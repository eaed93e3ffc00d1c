//! What goes into [`apply`](crate::apply) and what comes out.

use thiserror::Error;
use tollgate_click::codec::DecodeError;
use tollgate_click::control::Money;
use tollgate_click::record::{Mark, Tick};
use tollgate_click::{
    AdvertiserId, ClickFacts, ControlNumber, Judgement, Micros, Minute, Ordinal, Outcome, Record,
};

use crate::judge::{Hits, Rule};
use crate::tally::Counts;

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
#[allow(
    clippy::large_enum_variant,
    reason = "nearly all effects are endings, and a click must not cost an allocation"
)]
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
        /// What the minute came to that it has closed.
        closed: Option<Box<Closed>>,
    },
    /// An edge will send nothing older.
    Mark(Mark),
    /// A change that is no money command.
    Control {
        /// Its number in the control partition.
        number: ControlNumber,
        /// Whether it was applied.
        applied: Result<(), NotApplied>,
    },
    /// A money command. It is to be posted when [`Effect::money_to_post`] says so.
    Money {
        /// Its id.
        command: [u8; 16],
        /// What it says.
        money: Money,
        /// Whether the account took it; of a repeat, whether it had.
        accepted: Result<(), MoneyRefusal>,
        /// Its number in the control partition.
        number: ControlNumber,
        /// The same command has come before: nothing was changed and nothing is to be posted.
        repeat: bool,
    },
}

/// What the records of one minute came to: those after the tick that opened it and before the
/// one that closed it. All of them are posted under this minute.
#[derive(Clone, PartialEq, Debug)]
pub struct Closed {
    /// The minute of the clock while they were applied.
    pub minute: Minute,
    /// Their counts, and what they cost. The tick that opened the minute is counted in it.
    pub counts: Counts,
}

/// Why a change was not applied.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
pub enum NotApplied {
    /// It was applied before.
    #[error("it was applied before")]
    Repeat,
    /// An account is in one currency for good, and so are its campaigns.
    #[error("the advertiser's account is in another currency for good")]
    OtherCurrency,
}

/// Why a money command was refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
#[repr(u8)]
pub enum MoneyRefusal {
    /// No record of the advertiser has come.
    #[error("the advertiser is not known")]
    UnknownAdvertiser = 0,
    /// The advertiser has no such campaign.
    #[error("the advertiser has no such campaign")]
    UnknownCampaign = 1,
    /// No record of the publisher has come.
    #[error("the publisher is not known")]
    UnknownPublisher = 2,
    /// The account is in another currency.
    #[error("the advertiser's account is in another currency")]
    OtherCurrency = 3,
    /// A top-up or credit that is not above 0, or an adjustment of 0.
    #[error("the amount must be above 0, and for an adjustment not 0")]
    Amount = 4,
    /// The balance would leave the range of 64-bit micro-units.
    #[error("the balance would leave the range of 64-bit micro-units")]
    TooLarge = 5,
    /// Its id was used for another command.
    #[error("the command's id was used for another command")]
    IdReused = 6,
}

/// How a click or an impression ended.
#[derive(Clone, PartialEq, Debug)]
pub struct Ending {
    /// Which of the two.
    pub kind: Kind,
    /// What was told of it.
    pub facts: ClickFacts,
    /// Outcome and charge.
    pub judgement: Judgement,
    /// Why, where the outcome alone does not say.
    pub reason: Option<Reason>,
    /// All rules that hit, in the order of the table; the first that decides gave the outcome.
    pub hits: Hits,
}

impl Effects {
    /// Where an event is read to.
    pub(crate) const BLANK: Effects = Effects {
        ordinal: Ordinal(0),
        effect: Effect::Ended(Ending {
            kind: Kind::Click,
            facts: ClickFacts::BLANK,
            judgement: uncharged(Ordinal(0), Outcome::Quarantined),
            reason: None,
            hits: Hits::NONE,
        }),
    };

    /// Reads a click or an impression over [`Effects::BLANK`], before the core says a word about
    /// it.
    #[inline]
    pub(crate) fn read(&mut self, facts: &[u8]) {
        let Effect::Ended(ending) = &mut self.effect else {
            return;
        };
        if !Record::is_click(facts) {
            ending.kind = Kind::Impression;
        }
        if let Err(error) = Record::read_event(facts, &mut ending.facts) {
            let judgement = ending.judgement;
            self.effect = Effect::Unreadable { judgement, error };
        }
    }
}

/// An end that costs nothing.
pub(crate) const fn uncharged(ordinal: Ordinal, outcome: Outcome) -> Judgement {
    Judgement {
        ordinal,
        outcome,
        charge: Micros::ZERO,
        share: Micros::ZERO,
        currency: None,
    }
}

/// Clicks and impressions are counted apart.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Kind {
    /// A click.
    Click,
    /// An impression, told by the pixel.
    Impression,
}

impl Effect {
    /// The money command, when it is to be posted: it was accepted, and for the first time.
    pub fn money_to_post(&self) -> Option<&Money> {
        match self {
            Effect::Money {
                money,
                accepted: Ok(()),
                repeat: false,
                ..
            } => Some(money),
            _ => None,
        }
    }
}

impl NotApplied {
    /// The name in reports.
    pub fn name(self) -> &'static str {
        match self {
            NotApplied::Repeat => "repeat",
            NotApplied::OtherCurrency => "other_currency",
        }
    }
}

impl MoneyRefusal {
    /// All reasons.
    pub const ALL: [MoneyRefusal; 7] = [
        MoneyRefusal::UnknownAdvertiser,
        MoneyRefusal::UnknownCampaign,
        MoneyRefusal::UnknownPublisher,
        MoneyRefusal::OtherCurrency,
        MoneyRefusal::Amount,
        MoneyRefusal::TooLarge,
        MoneyRefusal::IdReused,
    ];

    /// The name in reports.
    pub fn name(self) -> &'static str {
        match self {
            MoneyRefusal::UnknownAdvertiser => "unknown_advertiser",
            MoneyRefusal::UnknownCampaign => "unknown_campaign",
            MoneyRefusal::UnknownPublisher => "unknown_publisher",
            MoneyRefusal::OtherCurrency => "other_currency",
            MoneyRefusal::Amount => "amount",
            MoneyRefusal::TooLarge => "too_large",
            MoneyRefusal::IdReused => "id_reused",
        }
    }
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
    /// It was received further ahead of the partition's clock than any outage explains.
    ReceivedAhead,
    /// The campaign was archived when it was received.
    Archived,
    /// Its price does not fit what is left of the day's budget.
    DailyBudget,
    /// Its price does not fit what is left of the campaign's budget.
    TotalBudget,
    /// Its price does not fit the advertiser's balance and credit.
    Balance,
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
            Reason::ReceivedAhead => "received_ahead",
            Reason::Archived => "archived",
            Reason::DailyBudget => "daily_budget",
            Reason::TotalBudget => "total_budget",
            Reason::Balance => "balance",
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
    /// The log asks for a version of `apply` that this code does not have.
    #[error("record {ordinal}: apply version {version} is unknown; run a newer tollgate")]
    UnknownApply {
        /// The number that the record would have had.
        ordinal: Ordinal,
        /// The version.
        version: u16,
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
