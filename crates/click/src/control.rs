//! Control records: every change of what decides about clicks, carried by the log like any
//! event, so that a replay judges each click by the rules of its day.
//!
//! # Layout, version 1
//!
//! | bytes | field |
//! |---|---|
//! | 1 | kind: 6 |
//! | 1 | version: 1 |
//! | varint | number in the control partition |
//! | varint | number at the target (an advertiser's or all partitions' changes are counted) |
//! | varint | time of the change, Unix ms |
//! | varint | who made it |
//! | 1 | change code |
//! | | the change's fields in the order of its struct |
//!
//! A number is a varint (one that may be negative with its sign in the lowest bit), a share two
//! bytes, a currency its three letters, a string its length as varint and its bytes, a list its
//! length and its items, an option one byte 0 or 1 and the value. A signing key's secret and the
//! hash of a token or API key are not in here: they are the record's second part, which the core
//! never reads.

mod access;
mod money;
mod nouns;

pub use access::{ApiKey, IngestToken, PublisherScope, Role, Scope, ScopeOf, SigningKey};
pub use money::{Money, MoneyKind};
pub use nouns::{Ad, Advertiser, Campaign, CampaignState, Link, Payment, Publisher, ZoneOffset};

use crate::codec::{DecodeError, Reader, put_varint};
use crate::ids::{Actor, AdvertiserId, ControlNumber, KeyId, LinkId};
use crate::time::Millis;

/// Version of the layout above.
pub const VERSION: u8 = 1;

/// One change with its place in the order of changes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Control {
    /// Number in the control partition, from 1, without gaps.
    pub number: ControlNumber,
    /// Number among the changes of its target, from 1, without gaps: a repeat is ignored, a gap
    /// halts the partition.
    pub target_number: u64,
    /// When the change was accepted.
    pub at: Millis,
    /// Who made it.
    pub by: Actor,
    /// What changes.
    pub change: Change,
}

/// What changes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Change {
    /// An advertiser is new or changed.
    Advertiser(Advertiser),
    /// A campaign is new or changed.
    Campaign(Campaign),
    /// A registered link is new or changed.
    Link(Link),
    /// A registered link stops.
    LinkRemoved(LinkId),
    /// A signing key is new or changed.
    Key(SigningKey),
    /// A signing key stops at the time of the change.
    KeyRevoked(KeyId),
    /// A token that may send batches is new or changed.
    Token(IngestToken),
    /// A token stops.
    TokenRevoked(u32),
    /// The edges write records of this version from now on.
    RecordVersion(u8),
    /// A publisher is new or changed.
    Publisher(Publisher),
    /// A creative is new or changed.
    Ad(Ad),
    /// An API key is new or changed.
    ApiKey(ApiKey),
    /// An API key stops.
    ApiKeyRevoked(u32),
    /// A money command.
    Money(Money),
    /// The core applies records by this version from now on.
    ApplyVersion(u16),
}

/// Which partitions a change concerns.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Target {
    /// The partition of one advertiser.
    Advertiser(AdvertiserId),
    /// All partitions.
    All,
}

impl Change {
    /// Whom the change concerns.
    pub fn target(&self) -> Target {
        match self {
            Change::Advertiser(advertiser) => Target::Advertiser(advertiser.advertiser),
            Change::Campaign(campaign) => Target::Advertiser(campaign.advertiser),
            Change::Link(link) => Target::Advertiser(link.advertiser),
            Change::Ad(ad) => Target::Advertiser(ad.advertiser),
            Change::Money(money) => Target::Advertiser(money.advertiser),
            Change::LinkRemoved(_)
            | Change::Key(_)
            | Change::KeyRevoked(_)
            | Change::Token(_)
            | Change::TokenRevoked(_)
            | Change::RecordVersion(_)
            | Change::Publisher(_)
            | Change::ApiKey(_)
            | Change::ApiKeyRevoked(_)
            | Change::ApplyVersion(_) => Target::All,
        }
    }

    fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Change::Advertiser(advertiser) => {
                out.push(1);
                advertiser.encode(out);
            }
            Change::Campaign(campaign) => {
                out.push(2);
                campaign.encode(out);
            }
            Change::Link(link) => {
                out.push(3);
                link.encode(out);
            }
            Change::LinkRemoved(link) => {
                out.push(4);
                put_varint(out, link.0);
            }
            Change::Key(key) => {
                out.push(5);
                key.encode(out);
            }
            Change::KeyRevoked(key) => {
                out.push(6);
                put_varint(out, u64::from(key.0));
            }
            Change::Token(token) => {
                out.push(7);
                token.encode(out);
            }
            Change::TokenRevoked(token) => {
                out.push(8);
                put_varint(out, u64::from(*token));
            }
            Change::RecordVersion(version) => out.extend_from_slice(&[9, *version]),
            Change::Publisher(publisher) => {
                out.push(10);
                publisher.encode(out);
            }
            Change::Ad(ad) => {
                out.push(11);
                ad.encode(out);
            }
            Change::ApiKey(key) => {
                out.push(12);
                key.encode(out);
            }
            Change::ApiKeyRevoked(key) => {
                out.push(13);
                put_varint(out, u64::from(*key));
            }
            Change::Money(money) => {
                out.push(14);
                money.encode(out);
            }
            Change::ApplyVersion(version) => {
                out.push(15);
                out.extend_from_slice(&version.to_le_bytes());
            }
        }
    }

    fn decode(reader: &mut Reader<'_>) -> Result<Change, DecodeError> {
        match reader.u8("change code")? {
            1 => Advertiser::decode(reader).map(Change::Advertiser),
            2 => Campaign::decode(reader).map(Change::Campaign),
            3 => Link::decode(reader).map(Change::Link),
            4 => reader
                .varint("link")
                .map(|link| Change::LinkRemoved(LinkId(link))),
            5 => SigningKey::decode(reader).map(Change::Key),
            6 => reader
                .varint_u32("key")
                .map(|key| Change::KeyRevoked(KeyId(key))),
            7 => IngestToken::decode(reader).map(Change::Token),
            8 => reader.varint_u32("token").map(Change::TokenRevoked),
            9 => reader.u8("record version").map(Change::RecordVersion),
            10 => Publisher::decode(reader).map(Change::Publisher),
            11 => Ad::decode(reader).map(Change::Ad),
            12 => ApiKey::decode(reader).map(Change::ApiKey),
            13 => reader.varint_u32("API key").map(Change::ApiKeyRevoked),
            14 => Money::decode(reader).map(Change::Money),
            15 => reader.u16("apply version").map(Change::ApplyVersion),
            code => Err(DecodeError::UnknownVersion {
                kind: code,
                version: VERSION,
            }),
        }
    }
}

impl Control {
    pub(crate) fn encode(&self, kind: u8, out: &mut Vec<u8>) {
        out.extend_from_slice(&[kind, VERSION]);
        put_varint(out, self.number.0);
        put_varint(out, self.target_number);
        put_varint(out, self.at.0);
        put_varint(out, u64::from(self.by.0));
        self.change.encode(out);
    }

    pub(crate) fn decode(kind: u8, reader: &mut Reader<'_>) -> Result<Control, DecodeError> {
        let version = reader.u8("version")?;
        if version != VERSION {
            return Err(DecodeError::UnknownVersion { kind, version });
        }
        Ok(Control {
            number: ControlNumber(reader.varint("control number")?),
            target_number: reader.varint("target number")?,
            at: Millis(reader.varint("time of change")?),
            by: Actor(reader.varint_u32("actor")?),
            change: Change::decode(reader)?,
        })
    }
}
