//! The facts of a click or impression: everything that may decide about money, and nothing that
//! names a person.
//!
//! The core reads facts only, so the personal part can be erased without changing an outcome, a
//! digest or a bill.
//!
//! # Layout, version 1
//!
//! | offset | bytes | field |
//! |---|---|---|
//! | 0 | 1 | kind: 1 click, 2 impression |
//! | 1 | 1 | version: 1 |
//! | 2 | 16 | click id, big-endian; holds `received_at`, partition and edge |
//! | 18 | 1 | source: 1 signed, 2 registered, 3 imported |
//! | 19 | 2 | flags, see the constants below |
//! | 21 | 1 | agent class |
//! | 22 | 2 | country, ISO 3166-1 alpha-2, zeros when unknown |
//! | 24 | 24 | pseudonyms of address, network and agent, 8 bytes each |
//! | 48 | 16 | digest of the personal part |
//! | 64 | varints | pseudonym key, data set, control number, advertiser, campaign, ad, publisher, placement |
//! | | | signed: key (varint), nonce (16), billing window in seconds (varint), with `PRICE` the price in micros (varint) |
//! | | | registered: link (varint); imported: event time in ms (varint) |
//! | | 24 | with `PREVIOUS`: the three pseudonyms under the previous key |
//! | | 8 each | with `SUB1`..`SUB5`: the pseudonyms of those sub-ids |

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

use crate::codec::{DecodeError, Reader, put_varint};
use crate::ids::{
    AdId, AdvertiserId, CampaignId, ClickId, ControlNumber, DataSetId, KeyId, LinkId, Nonce,
    PlacementId, PseudonymKeyId, PublisherId,
};
use crate::limits::SUB_IDS;
use crate::money::Micros;
use crate::time::Millis;

/// What comes before the first varint, without kind and version.
const FIXED_BYTES: usize = 62;

/// Version of the layout above.
pub const VERSION: u8 = 1;

const TEST: u16 = 1 << 0;
const HEAD: u16 = 1 << 1;
const HOSTING: u16 = 1 << 2;
const PRICE: u16 = 1 << 3;
const PREVIOUS: u16 = 1 << 4;
const ACK_SHIFT: u16 = 5; // two bits
const SUB_SHIFT: u16 = 7; // five bits
const SUBS: u16 = ((1 << SUB_IDS) - 1) << SUB_SHIFT;
const KNOWN: u16 = (1 << (SUB_SHIFT + SUB_IDS as u16)) - 1;

/// What decides about a click.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ClickFacts {
    /// Id, and with it `received_at`, partition and edge.
    pub click_id: ClickId,
    /// The kind of link, with what only that kind has.
    pub source: Source,
    /// Who pays.
    pub advertiser: AdvertiserId,
    /// For which campaign.
    pub campaign: CampaignId,
    /// Which creative; 0 when the link names none.
    pub ad: AdId,
    /// Who showed it; 0 when the link names none.
    pub publisher: PublisherId,
    /// Where it was shown; 0 when the link names none.
    pub placement: PlacementId,
    /// A test link or test key: counts in nothing, touches no state.
    pub test: bool,
    /// The request was a `HEAD`.
    pub head: bool,
    /// What kind of program asked.
    pub agent_class: AgentClass,
    /// Country of the address.
    pub country: Country,
    /// The address belongs to a hosting provider.
    pub hosting: bool,
    /// Which data the derived facts come from.
    pub data_set: DataSetId,
    /// The key of `pseudonyms`.
    pub pseudonym_key: PseudonymKeyId,
    /// Stand-ins for address, network and agent.
    pub pseudonyms: Pseudonyms,
    /// The same under the previous key, during the longest rule window after a rotation.
    pub previous: Option<Pseudonyms>,
    /// Stand-ins for `sub1` to `sub5`.
    pub subs: [Option<u64>; SUB_IDS],
    /// The newest control number that the edge had applied.
    pub control: ControlNumber,
    /// What the answer waited for.
    pub ack: Ack,
    /// Ties the personal part to these facts.
    pub personal_digest: [u8; 16],
}

/// The kind of link that was clicked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Source {
    /// `/c/<token>` or `/i/<token>`.
    Signed {
        /// The key that signed.
        key: KeyId,
        /// The impression.
        nonce: Nonce,
        /// Seconds after the nonce's time in which a click bills.
        window_s: u32,
        /// The price in the link; none means the campaign's.
        price: Option<Micros>,
    },
    /// `/l/<slug>`.
    Registered {
        /// The link.
        link: LinkId,
    },
    /// History with its own time: reported, touches no state, never bills.
    Imported {
        /// When the event happened, by its sender's word.
        event_time: Millis,
    },
}

/// Keyed stand-ins for what would name a person: equal inputs give equal numbers while the key
/// lives, and no input can be told from the number without it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default, Debug)]
pub struct Pseudonyms {
    /// Of the whole address.
    pub address: u64,
    /// Of its network, IPv4 /24 or IPv6 /48.
    pub network: u64,
    /// Of the user agent.
    pub agent: u64,
}

/// What kind of program asked.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[repr(u8)]
pub enum AgentClass {
    /// No user agent was sent.
    Missing = 0,
    /// A browser on a desktop.
    Desktop = 1,
    /// A browser or app on a phone.
    Mobile = 2,
    /// A browser or app on a tablet.
    Tablet = 3,
    /// Says that it is a robot.
    DeclaredBot = 4,
    /// Neither a browser nor a robot by its own word: a library, a command line tool.
    NonBrowser = 5,
}

/// What the answer waited for.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[repr(u8)]
pub enum Ack {
    /// The local disk.
    Local = 0,
    /// The replicated log.
    Replicated = 1,
    /// Only the operating system: told not to wait.
    Os = 2,
}

/// An ISO 3166-1 alpha-2 code, or unknown.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Debug)]
pub struct Country([u8; 2]);

/// Text that is no country code.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
#[error("a country is two upper-case letters, such as DE")]
pub struct BadCountry;

impl Country {
    /// Not known.
    pub const UNKNOWN: Country = Country([0, 0]);

    /// The two letters; none when unknown.
    pub fn code(self) -> Option<[char; 2]> {
        let Country([first, second]) = self;
        (self != Country::UNKNOWN).then(|| [char::from(first), char::from(second)])
    }

    fn from_bytes(bytes: [u8; 2]) -> Result<Country, BadCountry> {
        let known = bytes.iter().all(u8::is_ascii_uppercase);
        if known || bytes == [0, 0] {
            Ok(Country(bytes))
        } else {
            Err(BadCountry)
        }
    }
}

impl FromStr for Country {
    type Err = BadCountry;

    fn from_str(text: &str) -> Result<Country, BadCountry> {
        let bytes: [u8; 2] = text.as_bytes().try_into().map_err(|_| BadCountry)?;
        if bytes == [0, 0] {
            Err(BadCountry)
        } else {
            Country::from_bytes(bytes)
        }
    }
}

impl fmt::Display for Country {
    /// The two letters, or `--` when unknown.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.code() {
            Some([first, second]) => write!(f, "{first}{second}"),
            None => f.write_str("--"),
        }
    }
}

impl AgentClass {
    /// All classes, for tables and tests.
    pub const ALL: [AgentClass; 6] = [
        AgentClass::Missing,
        AgentClass::Desktop,
        AgentClass::Mobile,
        AgentClass::Tablet,
        AgentClass::DeclaredBot,
        AgentClass::NonBrowser,
    ];

    /// The name in reports.
    pub fn name(self) -> &'static str {
        match self {
            AgentClass::Missing => "missing",
            AgentClass::Desktop => "desktop",
            AgentClass::Mobile => "mobile",
            AgentClass::Tablet => "tablet",
            AgentClass::DeclaredBot => "declared_bot",
            AgentClass::NonBrowser => "non_browser",
        }
    }

    fn from_code(code: u8) -> Result<AgentClass, DecodeError> {
        match code {
            0 => Ok(AgentClass::Missing),
            1 => Ok(AgentClass::Desktop),
            2 => Ok(AgentClass::Mobile),
            3 => Ok(AgentClass::Tablet),
            4 => Ok(AgentClass::DeclaredBot),
            5 => Ok(AgentClass::NonBrowser),
            _ => Err(DecodeError::Invalid("agent class")),
        }
    }
}

impl Ack {
    fn from_code(code: u16) -> Result<Ack, DecodeError> {
        match code {
            0 => Ok(Ack::Local),
            1 => Ok(Ack::Replicated),
            2 => Ok(Ack::Os),
            _ => Err(DecodeError::Invalid("ack")),
        }
    }
}

impl ClickFacts {
    /// Facts of nothing, to be read over.
    pub const BLANK: ClickFacts = ClickFacts {
        click_id: ClickId::BLANK,
        source: Source::Registered { link: LinkId(0) },
        advertiser: AdvertiserId(0),
        campaign: CampaignId(0),
        ad: AdId(0),
        publisher: PublisherId(0),
        placement: PlacementId(0),
        test: false,
        head: false,
        agent_class: AgentClass::Missing,
        country: Country::UNKNOWN,
        hosting: false,
        data_set: DataSetId(0),
        pseudonym_key: PseudonymKeyId(0),
        pseudonyms: Pseudonyms {
            address: 0,
            network: 0,
            agent: 0,
        },
        previous: None,
        subs: [None; SUB_IDS],
        control: ControlNumber(0),
        ack: Ack::Local,
        personal_digest: [0; 16],
    };

    /// When the edge received the click.
    pub fn received_at(&self) -> Millis {
        self.click_id.received_at()
    }

    /// The instant under which the click is reported: its event time for an import, else when
    /// it was received.
    pub fn reported_at(&self) -> Millis {
        match self.source {
            Source::Imported { event_time } => event_time,
            Source::Signed { .. } | Source::Registered { .. } => self.received_at(),
        }
    }

    /// Appends the layout above; `kind` is the record's kind byte.
    pub(crate) fn encode(&self, kind: u8, out: &mut Vec<u8>) {
        out.extend_from_slice(&[kind, VERSION]);
        out.extend_from_slice(&self.click_id.bytes());
        out.push(match self.source {
            Source::Signed { .. } => 1,
            Source::Registered { .. } => 2,
            Source::Imported { .. } => 3,
        });
        out.extend_from_slice(&self.flags().to_le_bytes());
        out.push(self.agent_class as u8);
        out.extend_from_slice(&self.country.0);
        self.pseudonyms.encode(out);
        out.extend_from_slice(&self.personal_digest);
        put_varint(out, u64::from(self.pseudonym_key.0));
        put_varint(out, u64::from(self.data_set.0));
        put_varint(out, self.control.0);
        put_varint(out, u64::from(self.advertiser.0));
        put_varint(out, self.campaign.0);
        put_varint(out, self.ad.0);
        put_varint(out, u64::from(self.publisher.0));
        put_varint(out, self.placement.0);
        self.source.encode(out);
        if let Some(previous) = &self.previous {
            previous.encode(out);
        }
        for sub in self.subs.iter().flatten() {
            out.extend_from_slice(&sub.to_le_bytes());
        }
    }

    fn flags(&self) -> u16 {
        let mut flags = (self.ack as u16) << ACK_SHIFT;
        let priced = matches!(self.source, Source::Signed { price: Some(_), .. });
        let named = [
            (self.test, TEST),
            (self.head, HEAD),
            (self.hosting, HOSTING),
            (priced, PRICE),
            (self.previous.is_some(), PREVIOUS),
        ];
        for (_, flag) in named.into_iter().filter(|(set, _)| *set) {
            flags |= flag;
        }
        for (index, _) in self
            .subs
            .iter()
            .enumerate()
            .filter(|(_, sub)| sub.is_some())
        {
            flags |= 1 << (SUB_SHIFT + index as u16);
        }
        flags
    }

    /// Reads what follows the kind byte over these facts, which then mean nothing after an error:
    /// nothing is carried, and that is what most of the time of a read would go into.
    #[inline]
    pub(crate) fn read(&mut self, kind: u8, reader: &mut Reader<'_>) -> Result<(), DecodeError> {
        let version = reader.u8("version")?;
        if version != VERSION {
            return Err(DecodeError::UnknownVersion { kind, version });
        }
        let mut fixed = reader.part::<FIXED_BYTES>("the fields of fixed length")?;
        self.click_id = ClickId::from_bytes(fixed.array("click id")?)
            .map_err(|_| DecodeError::Invalid("click id"))?;
        let source_code = fixed.u8("source")?;
        let flags = fixed.u16("flags")?;
        if flags & !KNOWN != 0 {
            return Err(DecodeError::Invalid("flags"));
        }
        self.agent_class = AgentClass::from_code(fixed.u8("agent class")?)?;
        self.country = Country::from_bytes(fixed.array("country")?)
            .map_err(|_| DecodeError::Invalid("country"))?;
        self.pseudonyms = Pseudonyms::decode(&mut fixed)?;
        self.personal_digest = fixed.array("personal digest")?;
        self.pseudonym_key = PseudonymKeyId(reader.varint_u32("pseudonym key")?);
        self.data_set = DataSetId(reader.varint_u32("data set")?);
        self.control = ControlNumber(reader.varint("control number")?);
        self.advertiser = AdvertiserId(reader.varint_u32("advertiser")?);
        self.campaign = CampaignId(reader.varint("campaign")?);
        self.ad = AdId(reader.varint("ad")?);
        self.publisher = PublisherId(reader.varint_u32("publisher")?);
        self.placement = PlacementId(reader.varint("placement")?);
        self.source = Source::decode(source_code, flags & PRICE != 0, reader)?;
        self.test = flags & TEST != 0;
        self.head = flags & HEAD != 0;
        self.hosting = flags & HOSTING != 0;
        self.ack = Ack::from_code((flags >> ACK_SHIFT) & 0b11)?;
        (self.previous, self.subs) = (None, [None; SUB_IDS]);
        if flags & (PREVIOUS | SUBS) != 0 {
            self.read_rare(flags, reader)?;
        }
        Ok(())
    }

    /// What most clicks do not have.
    fn read_rare(&mut self, flags: u16, reader: &mut Reader<'_>) -> Result<(), DecodeError> {
        if flags & PREVIOUS != 0 {
            self.previous = Some(Pseudonyms::decode(reader)?);
        }
        for (index, sub) in self.subs.iter_mut().enumerate() {
            if flags & (1 << (SUB_SHIFT + index as u16)) != 0 {
                *sub = Some(reader.u64("sub-id pseudonym")?);
            }
        }
        Ok(())
    }
}

impl Pseudonyms {
    fn encode(&self, out: &mut Vec<u8>) {
        for number in [self.address, self.network, self.agent] {
            out.extend_from_slice(&number.to_le_bytes());
        }
    }

    #[inline]
    fn decode(reader: &mut Reader<'_>) -> Result<Pseudonyms, DecodeError> {
        Ok(Pseudonyms {
            address: reader.u64("address pseudonym")?,
            network: reader.u64("network pseudonym")?,
            agent: reader.u64("agent pseudonym")?,
        })
    }
}

impl Source {
    fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Source::Signed {
                key,
                nonce,
                window_s,
                price,
            } => {
                put_varint(out, u64::from(key.0));
                out.extend_from_slice(&nonce.bytes());
                put_varint(out, u64::from(*window_s));
                if let Some(price) = price {
                    put_varint(out, price.0.unsigned_abs());
                }
            }
            Source::Registered { link } => put_varint(out, link.0),
            Source::Imported { event_time } => put_varint(out, event_time.0),
        }
    }

    #[inline]
    fn decode(code: u8, priced: bool, reader: &mut Reader<'_>) -> Result<Source, DecodeError> {
        if priced && code != 1 {
            return Err(DecodeError::Invalid("flags"));
        }
        match code {
            1 => Ok(Source::Signed {
                key: KeyId(reader.varint_u32("key")?),
                nonce: Nonce::from_bytes(reader.array("nonce")?)
                    .map_err(|_| DecodeError::Invalid("nonce"))?,
                window_s: reader.varint_u32("billing window")?,
                price: if priced {
                    Some(reader.micros("price")?)
                } else {
                    None
                },
            }),
            2 => Ok(Source::Registered {
                link: LinkId(reader.varint("link")?),
            }),
            3 => Ok(Source::Imported {
                event_time: Millis(reader.varint("event time")?),
            }),
            _ => Err(DecodeError::Invalid("source")),
        }
    }
}
