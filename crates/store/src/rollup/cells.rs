//! Cells of a rollup: how many clicks of one kind in one span of time, and what they cost.
//!
//! All rollup tables have the same columns. A coarser one has the first minute of its hour or day
//! in `minute`, and zero or nothing in dimensions that it does not keep.

use super::shapes::Shape;
use crate::lake::columns::{Coding, Field, Kind, Schema};

const fn field(name: &'static str, kind: Kind, coding: Coding) -> Field {
    Field {
        name,
        kind,
        coding,
        optional: false,
    }
}

/// The columns of every table of cells.
pub(crate) const FIELDS: &[Field] = &[
    field("advertiser", Kind::U32, Coding::Dictionary),
    field("campaign", Kind::U64, Coding::Dictionary),
    field("minute", Kind::U32, Coding::Delta),
    field("publisher", Kind::U32, Coding::Dictionary),
    field("ad", Kind::U64, Coding::Dictionary),
    field("placement", Kind::U64, Coding::Dictionary),
    field("event", Kind::Word, Coding::Dictionary),
    field("country", Kind::Word, Coding::Dictionary),
    field("agent_class", Kind::Word, Coding::Dictionary),
    field("outcome", Kind::Word, Coding::Dictionary),
    field("reason", Kind::Word, Coding::Dictionary),
    field("currency", Kind::Word, Coding::Dictionary),
    field("clicks", Kind::U64, Coding::Dictionary),
    field("charge_micros", Kind::I64, Coding::Dictionary),
];

/// Places of the columns.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum At {
    Advertiser,
    Campaign,
    Minute,
    Publisher,
    Ad,
    Placement,
    Event,
    Country,
    AgentClass,
    Outcome,
    Reason,
    Currency,
    Clicks,
    Charge,
}

impl At {
    /// All, in their order.
    pub(crate) const ALL: [At; 14] = [
        At::Advertiser,
        At::Campaign,
        At::Minute,
        At::Publisher,
        At::Ad,
        At::Placement,
        At::Event,
        At::Country,
        At::AgentClass,
        At::Outcome,
        At::Reason,
        At::Currency,
        At::Clicks,
        At::Charge,
    ];
}

/// Columns that say which cell it is; the others are sums.
pub(crate) const KEYS: usize = At::Clicks as usize;

/// Rows of one row group of a rollup: one campaign's report reads few others.
pub(crate) const GROUP_ROWS_MAX: usize = 1 << 14;

/// Per minute, over all dimensions.
pub static MINUTES: Schema = schema("minutes");

pub(crate) const fn schema(name: &'static str) -> Schema {
    Schema {
        name,
        version: 2,
        fields: FIELDS,
        group_rows: GROUP_ROWS_MAX,
    }
}

/// A cell.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Cell {
    pub(crate) kinds: Kinds,
    pub(crate) clicks: u64,
    pub(crate) charge: i64,
    /// Register and rank of the one visitor who made it; none of cells that are read back.
    pub(crate) visitor: Option<(u16, u8)>,
}

/// Which cell it is. Names stand as codes that sort like the alphabet, 0 for none; a reason stands
/// as its number among [`Names`](super::names::Names).
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(crate) struct Kinds {
    pub(crate) advertiser: u32,
    pub(crate) campaign: u64,
    pub(crate) minute: u32,
    pub(crate) publisher: u32,
    pub(crate) ad: u64,
    pub(crate) placement: u64,
    pub(crate) event: u8,
    pub(crate) country: [u8; 2],
    pub(crate) agent_class: u8,
    pub(crate) outcome: u8,
    pub(crate) reason: u32,
    pub(crate) currency: [u8; 3],
}

impl Kinds {
    /// Numbers that sort as the key columns do, in their order, when the reason has that place.
    pub(crate) fn numbers(&self, place: u32) -> [u64; KEYS] {
        [
            self.advertiser.into(),
            self.campaign,
            self.minute.into(),
            self.publisher.into(),
            self.ad,
            self.placement,
            self.event.into(),
            five_bits_each(&self.country),
            self.agent_class.into(),
            self.outcome.into(),
            place.into(),
            five_bits_each(&self.currency),
        ]
    }

    /// The kinds again; `reason` is its number by its place.
    pub(crate) fn of(numbers: &[u64; KEYS], reason: impl Fn(u32) -> u32) -> Kinds {
        let [
            advertiser,
            campaign,
            minute,
            publisher,
            ad,
            placement,
            event,
            country,
            agent_class,
            outcome,
            place,
            currency,
        ] = *numbers;
        Kinds {
            advertiser: advertiser as u32,
            campaign,
            minute: minute as u32,
            publisher: publisher as u32,
            ad,
            placement,
            event: event as u8,
            country: capitals(country),
            agent_class: agent_class as u8,
            outcome: outcome as u8,
            reason: reason(place as u32),
            currency: capitals(currency),
        }
    }

    /// What a shape keeps of it.
    pub(crate) fn in_shape(self, shape: &Shape) -> Kinds {
        let keeps = |at: At| shape.keeps(at);
        fn or_none<T: Default>(keeps: bool, value: T) -> T {
            if keeps { value } else { T::default() }
        }
        Kinds {
            advertiser: or_none(keeps(At::Advertiser), self.advertiser),
            campaign: or_none(keeps(At::Campaign), self.campaign),
            minute: self.minute - self.minute % shape.minutes,
            publisher: or_none(keeps(At::Publisher), self.publisher),
            ad: or_none(keeps(At::Ad), self.ad),
            placement: or_none(keeps(At::Placement), self.placement),
            event: or_none(keeps(At::Event), self.event),
            country: or_none(keeps(At::Country), self.country),
            agent_class: or_none(keeps(At::AgentClass), self.agent_class),
            outcome: or_none(keeps(At::Outcome), self.outcome),
            reason: or_none(keeps(At::Reason), self.reason),
            currency: or_none(keeps(At::Currency), self.currency),
        }
    }
}

/// A small number for upper-case letters, or zeros, that sorts as they do.
fn five_bits_each(letters: &[u8]) -> u64 {
    let fold = |number: u64, letter: &u8| number << 5 | u64::from(letter & 31);
    letters.iter().fold(0, fold)
}

/// The letters again.
pub(crate) fn capitals<const N: usize>(number: u64) -> [u8; N] {
    let mut letters = [0; N];
    let mut rest = number;
    for letter in letters.iter_mut().rev() {
        let five = (rest & 31) as u8;
        *letter = if five == 0 { 0 } else { five | 64 };
        rest >>= 5;
    }
    letters
}
