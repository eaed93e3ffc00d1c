//! Ids: plain numbers that do not mix, and the two UUIDv7 shapes, click id and nonce.
//!
//! A click id says when and where the click was received, so that the id alone finds its hour
//! and partition in any store:
//!
//! | bits | what |
//! |---|---|
//! | 48 | `received_at`, Unix milliseconds |
//! | 4 | version, 7 |
//! | 12 | partition |
//! | 2 | variant, 0b10 |
//! | 14 | edge |
//! | 48 | random |
//!
//! A nonce has the same frame with the impression's time and 74 random bits (RFC 9562, UUIDv7).

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

use crate::limits::{EDGES_MAX, PARTITIONS_MAX};
use crate::time::Millis;

macro_rules! number {
    ($(#[$doc:meta])* $name:ident($inner:ty)) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Debug)]
        pub struct $name(pub $inner);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

number!(/// Who pays for clicks; the unit of partitioning.
    AdvertiserId(u32));
number!(/// A campaign of one advertiser: price, state, budget.
    CampaignId(u64));
number!(/// A creative.
    AdId(u64));
number!(/// Who showed the ad and is paid a share.
    PublisherId(u32));
number!(/// Where the publisher showed it.
    PlacementId(u64));
number!(/// A registered link.
    LinkId(u64));
number!(/// A key that signs links.
    KeyId(u32));
number!(/// The secret under which pseudonyms were made.
    PseudonymKeyId(u32));
number!(/// The version of the data (country, hosting, agents) that derived facts come from.
    DataSetId(u32));
number!(/// A record's number in its partition, counted from 1 by the core.
    Ordinal(u64));
number!(/// A change's number in the control partition, counted from 1.
    ControlNumber(u64));
number!(/// Who made a change: an API key's number; 0 for files given to `serve` and the operator.
    Actor(u32));

/// A partition's number, below [`PARTITIONS_MAX`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Debug)]
pub struct PartitionId(u16);

/// An edge's number, below [`EDGES_MAX`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Debug)]
pub struct EdgeId(u16);

/// A number that does not fit its bits of the click id.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
#[error("{what} {number} is not below {limit}")]
pub struct TooLarge {
    what: &'static str,
    number: u16,
    limit: u16,
}

impl PartitionId {
    /// The partition of that number.
    pub fn new(number: u16) -> Result<PartitionId, TooLarge> {
        if number < PARTITIONS_MAX {
            Ok(PartitionId(number))
        } else {
            Err(TooLarge {
                what: "partition",
                number,
                limit: PARTITIONS_MAX,
            })
        }
    }

    /// Where an advertiser lives in a log of `partitions` partitions. The edge stamps this on
    /// the record and nobody computes it again. The multiplier spreads small numbers evenly
    /// (SplitMix64's finaliser); `partitions` of 0 counts as 1.
    pub fn of_advertiser(advertiser: AdvertiserId, partitions: u16) -> PartitionId {
        let mut mixed = u64::from(advertiser.0).wrapping_add(0x9E37_79B9_7F4A_7C15);
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^= mixed >> 31;
        let count = u64::from(partitions.clamp(1, PARTITIONS_MAX));
        PartitionId((mixed % count) as u16)
    }

    /// The number.
    pub fn get(self) -> u16 {
        self.0
    }
}

impl EdgeId {
    /// The edge of that number.
    pub fn new(number: u16) -> Result<EdgeId, TooLarge> {
        if number < EDGES_MAX {
            Ok(EdgeId(number))
        } else {
            Err(TooLarge {
                what: "edge",
                number,
                limit: EDGES_MAX,
            })
        }
    }

    /// The number.
    pub fn get(self) -> u16 {
        self.0
    }
}

impl fmt::Display for PartitionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for EdgeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

const VERSION_7: u128 = 7 << 76;
const VARIANT: u128 = 0b10 << 62;
const FRAME_MASK: u128 = (0xF << 76) | (0b11 << 62);

/// The id of one click.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ClickId(u128);

/// The id of one impression inside a signed link: used up by its first click.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Nonce(u128);

/// Bytes or text that are no UUIDv7.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
#[error("not a UUIDv7")]
pub struct NotUuidV7;

/// What a click id is made of.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ClickIdParts {
    /// When the edge received the click.
    pub received_at: Millis,
    /// The partition that its record went to.
    pub partition: PartitionId,
    /// The edge that received it.
    pub edge: EdgeId,
    /// Random bits; only the lowest 48 count.
    pub random: u64,
}

impl ClickId {
    /// The id of no click: all parts are 0.
    pub(crate) const BLANK: ClickId = ClickId(VERSION_7 | VARIANT);

    /// Packs the parts; the time is cut to 48 bits.
    pub fn new(parts: ClickIdParts) -> ClickId {
        let ClickIdParts {
            received_at,
            partition,
            edge,
            random,
        } = parts;
        ClickId(
            (u128::from(received_at.0.min(Millis::MAX.0)) << 80)
                | VERSION_7
                | (u128::from(partition.0) << 64)
                | VARIANT
                | (u128::from(edge.0) << 48)
                | u128::from(random & ((1 << 48) - 1)),
        )
    }

    /// The parts of the id.
    pub fn parts(self) -> ClickIdParts {
        ClickIdParts {
            received_at: self.received_at(),
            partition: PartitionId(((self.0 >> 64) & 0xFFF) as u16),
            edge: EdgeId(((self.0 >> 48) & 0x3FFF) as u16),
            random: (self.0 as u64) & ((1 << 48) - 1),
        }
    }

    /// The 8-4-4-4-12 form, as `Display` writes it.
    pub fn text(self) -> [u8; 36] {
        uuid_text(self.0)
    }

    /// When the edge received the click.
    pub fn received_at(self) -> Millis {
        Millis((self.0 >> 80) as u64)
    }

    /// Big-endian bytes, as in RFC 9562.
    pub fn bytes(self) -> [u8; 16] {
        self.0.to_be_bytes()
    }

    /// From big-endian bytes.
    pub fn from_bytes(bytes: [u8; 16]) -> Result<ClickId, NotUuidV7> {
        uuid_v7(u128::from_be_bytes(bytes)).map(ClickId)
    }
}

impl Nonce {
    /// A nonce of that time with the lowest 74 bits of `random`. An ad server whose impression
    /// ids have another shape passes the impression's time and 74 bits of a hash of its id.
    pub fn new(at: Millis, random: u128) -> Nonce {
        let low = random & ((1 << 62) - 1);
        let high = (random >> 62) & 0xFFF;
        let time = u128::from(at.0.min(Millis::MAX.0)) << 80;
        Nonce(time | VERSION_7 | (high << 64) | VARIANT | low)
    }

    /// The impression's time.
    pub fn at(self) -> Millis {
        Millis((self.0 >> 80) as u64)
    }

    /// The 74 random bits, without version and variant.
    pub fn random(self) -> u128 {
        (((self.0 >> 64) & 0xFFF) << 62) | (self.0 & ((1 << 62) - 1))
    }

    /// Big-endian bytes, as in RFC 9562.
    pub fn bytes(self) -> [u8; 16] {
        self.0.to_be_bytes()
    }

    /// From big-endian bytes.
    pub fn from_bytes(bytes: [u8; 16]) -> Result<Nonce, NotUuidV7> {
        uuid_v7(u128::from_be_bytes(bytes)).map(Nonce)
    }
}

fn uuid_v7(bits: u128) -> Result<u128, NotUuidV7> {
    if bits & FRAME_MASK == VERSION_7 | VARIANT {
        Ok(bits)
    } else {
        Err(NotUuidV7)
    }
}

/// Writes the 8-4-4-4-12 form in lower case.
fn write_uuid(bits: u128, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    f.write_str(std::str::from_utf8(&uuid_text(bits)).map_err(|_| fmt::Error)?)
}

/// The 8-4-4-4-12 form in lower case, without the formatting machinery: each receipt has one.
fn uuid_text(bits: u128) -> [u8; 36] {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digit = |nibble: u8| DIGITS.get(usize::from(nibble)).copied().unwrap_or(b'0');
    let mut text = [b'-'; 36];
    let mut place = 0;
    for (index, byte) in bits.to_be_bytes().into_iter().enumerate() {
        place += usize::from(matches!(index, 4 | 6 | 8 | 10));
        if let Some([high, low]) = text.get_mut(place..place + 2) {
            (*high, *low) = (digit(byte >> 4), digit(byte & 0xF));
        }
        place += 2;
    }
    text
}

/// Reads the 8-4-4-4-12 form, upper or lower case, and nothing else.
fn read_uuid(text: &str) -> Result<u128, NotUuidV7> {
    if text.len() != 36 {
        return Err(NotUuidV7);
    }
    let mut bits: u128 = 0;
    for (index, byte) in text.bytes().enumerate() {
        if matches!(index, 8 | 13 | 18 | 23) {
            if byte != b'-' {
                return Err(NotUuidV7);
            }
            continue;
        }
        let digit = char::from(byte).to_digit(16).ok_or(NotUuidV7)?;
        bits = (bits << 4) | u128::from(digit);
    }
    uuid_v7(bits)
}

impl fmt::Display for ClickId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_uuid(self.0, f)
    }
}

impl fmt::Display for Nonce {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_uuid(self.0, f)
    }
}

impl FromStr for ClickId {
    type Err = NotUuidV7;

    fn from_str(text: &str) -> Result<ClickId, NotUuidV7> {
        read_uuid(text).map(ClickId)
    }
}

impl FromStr for Nonce {
    type Err = NotUuidV7;

    fn from_str(text: &str) -> Result<Nonce, NotUuidV7> {
        read_uuid(text).map(Nonce)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn click_id_gives_back_its_parts(
            at in 0..=Millis::MAX.0, partition in 0..PARTITIONS_MAX, edge in 0..EDGES_MAX,
            random in 0u64..(1 << 48),
        ) {
            let parts = ClickIdParts {
                received_at: Millis(at),
                partition: PartitionId::new(partition).unwrap(),
                edge: EdgeId::new(edge).unwrap(),
                random,
            };
            let id = ClickId::new(parts);
            prop_assert_eq!(id.parts(), parts);
            prop_assert_eq!(id.to_string().parse::<ClickId>(), Ok(id));
            prop_assert_eq!(ClickId::from_bytes(id.bytes()), Ok(id));
        }

        #[test]
        fn nonce_gives_back_time_and_random(at in 0..=Millis::MAX.0, random in 0u128..(1 << 74)) {
            let nonce = Nonce::new(Millis(at), random);
            prop_assert_eq!(nonce.at(), Millis(at));
            prop_assert_eq!(nonce.random(), random);
            prop_assert_eq!(nonce.to_string().parse::<Nonce>(), Ok(nonce));
        }
    }

    #[test]
    fn the_rfc_example_is_a_nonce_of_its_time() {
        // RFC 9562, appendix A.6.
        let nonce: Nonce = "017F22E2-79B0-7CC3-98C4-DC0C0C07398F".parse().unwrap();
        assert_eq!(nonce.at(), Millis(0x017F_22E2_79B0));
    }

    #[test]
    fn other_uuids_are_refused() {
        for wrong in [
            "017f22e2-79b0-4cc3-98c4-dc0c0c07398f", // version 4
            "017f22e2-79b0-7cc3-18c4-dc0c0c07398f", // variant 0
            "017f22e279b07cc398c4dc0c0c07398f",
            "017f22e2-79b0-7cc3-98c4-dc0c0c07398g",
            "017f22e2_79b0-7cc3-98c4-dc0c0c07398f",
            "",
        ] {
            assert_eq!(wrong.parse::<ClickId>(), Err(NotUuidV7), "{wrong}");
        }
    }

    #[test]
    fn advertisers_spread_over_partitions() {
        let mut counts = [0u32; 16];
        for advertiser in 0..16_000 {
            let partition = PartitionId::of_advertiser(AdvertiserId(advertiser), 16);
            counts[usize::from(partition.get())] += 1;
        }
        assert!(
            counts.iter().all(|count| (800..1200).contains(count)),
            "{counts:?}"
        );
    }

    #[test]
    fn an_advertiser_never_moves() {
        // Written down once: another result would send a live log's advertiser elsewhere.
        let of = |advertiser| PartitionId::of_advertiser(AdvertiserId(advertiser), 16).get();
        assert_eq!([of(0), of(1), of(2), of(1000), of(u32::MAX)], PINNED);
    }

    const PINNED: [u16; 5] = [15, 1, 14, 8, 0];
}
