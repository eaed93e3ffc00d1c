//! The nouns that control records carry, each with its bytes.

use crate::codec::{DecodeError, Reader, put_bytes, put_varint};
use crate::ids::{AdId, AdvertiserId, CampaignId, KeyId, LinkId, PlacementId, PublisherId};
use crate::limits::{DESTINATION_BYTES_MAX, KEY_ADVERTISERS_MAX, NAME_BYTES_MAX, SLUG_BYTES_MAX};
use crate::money::{Currency, Micros};
use crate::time::Millis;

/// An advertiser.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Advertiser {
    /// Its number.
    pub advertiser: AdvertiserId,
    /// Its name.
    pub name: String,
    /// URL schemes beside `http` and `https` that its destinations may have.
    pub schemes: Vec<String>,
}

/// A campaign.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Campaign {
    /// Its number.
    pub campaign: CampaignId,
    /// Who pays for it.
    pub advertiser: AdvertiserId,
    /// Its name.
    pub name: String,
    /// The currency of its prices; never changes.
    pub currency: Currency,
    /// Price of a click whose link names none; none means that such clicks are free.
    pub price: Option<Micros>,
    /// Whether it runs.
    pub state: CampaignState,
}

/// Whether a campaign runs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum CampaignState {
    /// Clicks bill.
    Active = 0,
    /// Clicks redirect and do not bill.
    Paused = 1,
}

/// A registered link.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Link {
    /// Its number.
    pub link: LinkId,
    /// Its path below `/l/`.
    pub slug: String,
    /// Who pays.
    pub advertiser: AdvertiserId,
    /// For which campaign.
    pub campaign: CampaignId,
    /// Which creative; 0 for none.
    pub ad: AdId,
    /// Who shows it; 0 for none.
    pub publisher: PublisherId,
    /// Where; 0 for none.
    pub placement: PlacementId,
    /// Where a click goes, with macros, as checked when the link was made.
    pub destination: String,
    /// How many times macro values are percent-encoded.
    pub escaping: u8,
    /// From when on the link answers 410; none means never.
    pub expires_at: Option<Millis>,
    /// A test link.
    pub test: bool,
}

/// Which advertisers a credential speaks for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Scope {
    /// All advertisers of the deployment.
    All,
    /// These only.
    Only(Vec<AdvertiserId>),
}

/// A key that signs links; its secret is the record's second part.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SigningKey {
    /// Its number, which stands in each token.
    pub key: KeyId,
    /// The advertisers it may sign for.
    pub scope: Scope,
    /// Before this its signatures do not count.
    pub not_before: Millis,
    /// After this its signatures do not count.
    pub not_after: Millis,
    /// Clicks on its links are tests.
    pub test: bool,
}

/// A bearer token that may send batches; its SHA-256 is the record's second part.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct IngestToken {
    /// Its number.
    pub token: u32,
    /// The advertisers it may send for.
    pub scope: Scope,
    /// After this it does not count.
    pub not_after: Millis,
}

impl Scope {
    /// Whether the credential speaks for that advertiser.
    pub fn covers(&self, advertiser: AdvertiserId) -> bool {
        match self {
            Scope::All => true,
            Scope::Only(advertisers) => advertisers.contains(&advertiser),
        }
    }

    fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Scope::All => out.push(0),
            Scope::Only(advertisers) => {
                out.push(1);
                put_varint(out, advertisers.len() as u64);
                advertisers
                    .iter()
                    .for_each(|advertiser| put_varint(out, advertiser.0.into()));
            }
        }
    }

    fn decode(reader: &mut Reader<'_>) -> Result<Scope, DecodeError> {
        if !flag(reader, "scope")? {
            return Ok(Scope::All);
        }
        let count = list_length(reader, KEY_ADVERTISERS_MAX, "scope")?;
        let advertisers = (0..count).map(|_| reader.varint_u32("advertiser").map(AdvertiserId));
        advertisers.collect::<Result<_, _>>().map(Scope::Only)
    }
}

impl Advertiser {
    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        put_varint(out, u64::from(self.advertiser.0));
        put_bytes(out, self.name.as_bytes());
        put_varint(out, self.schemes.len() as u64);
        self.schemes
            .iter()
            .for_each(|scheme| put_bytes(out, scheme.as_bytes()));
    }

    pub(super) fn decode(reader: &mut Reader<'_>) -> Result<Advertiser, DecodeError> {
        let advertiser = AdvertiserId(reader.varint_u32("advertiser")?);
        let name = reader.text(NAME_BYTES_MAX, "name")?.to_owned();
        let count = list_length(reader, SCHEMES_MAX, "schemes")?;
        let schemes =
            (0..count).map(|_| reader.text(SCHEME_BYTES_MAX, "scheme").map(str::to_owned));
        Ok(Advertiser {
            advertiser,
            name,
            schemes: schemes.collect::<Result<_, _>>()?,
        })
    }
}

/// Schemes that one advertiser may add.
pub(crate) const SCHEMES_MAX: usize = 16;
/// Bytes of one scheme.
pub(crate) const SCHEME_BYTES_MAX: usize = 32;
const _: () = assert!(SCHEMES_MAX * (SCHEME_BYTES_MAX + 1) <= 3 * NAME_BYTES_MAX);

impl Campaign {
    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        put_varint(out, self.campaign.0);
        put_varint(out, u64::from(self.advertiser.0));
        put_bytes(out, self.name.as_bytes());
        out.extend_from_slice(&self.currency.bytes());
        put_option(out, self.price.map(|price| price.0.unsigned_abs()));
        out.push(self.state as u8);
    }

    pub(super) fn decode(reader: &mut Reader<'_>) -> Result<Campaign, DecodeError> {
        Ok(Campaign {
            campaign: CampaignId(reader.varint("campaign")?),
            advertiser: AdvertiserId(reader.varint_u32("advertiser")?),
            name: reader.text(NAME_BYTES_MAX, "name")?.to_owned(),
            currency: Currency::from_bytes(reader.array("currency")?)
                .map_err(|_| DecodeError::Invalid("currency"))?,
            price: match option(reader, "price")? {
                None => None,
                Some(price) => Some(Micros(
                    i64::try_from(price).map_err(|_| DecodeError::Invalid("price"))?,
                )),
            },
            state: match reader.u8("campaign state")? {
                0 => CampaignState::Active,
                1 => CampaignState::Paused,
                _ => return Err(DecodeError::Invalid("campaign state")),
            },
        })
    }
}

impl Link {
    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        put_varint(out, self.link.0);
        put_bytes(out, self.slug.as_bytes());
        put_varint(out, u64::from(self.advertiser.0));
        put_varint(out, self.campaign.0);
        put_varint(out, self.ad.0);
        put_varint(out, u64::from(self.publisher.0));
        put_varint(out, self.placement.0);
        put_bytes(out, self.destination.as_bytes());
        out.push(self.escaping);
        put_option(out, self.expires_at.map(|at| at.0));
        out.push(u8::from(self.test));
    }

    pub(super) fn decode(reader: &mut Reader<'_>) -> Result<Link, DecodeError> {
        Ok(Link {
            link: LinkId(reader.varint("link")?),
            slug: reader.text(SLUG_BYTES_MAX, "slug")?.to_owned(),
            advertiser: AdvertiserId(reader.varint_u32("advertiser")?),
            campaign: CampaignId(reader.varint("campaign")?),
            ad: AdId(reader.varint("ad")?),
            publisher: PublisherId(reader.varint_u32("publisher")?),
            placement: PlacementId(reader.varint("placement")?),
            destination: reader
                .text(DESTINATION_BYTES_MAX, "destination")?
                .to_owned(),
            escaping: reader.u8("escaping")?,
            expires_at: option(reader, "expiry")?.map(Millis),
            test: flag(reader, "test")?,
        })
    }
}

impl SigningKey {
    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        put_varint(out, u64::from(self.key.0));
        self.scope.encode(out);
        put_varint(out, self.not_before.0);
        put_varint(out, self.not_after.0);
        out.push(u8::from(self.test));
    }

    pub(super) fn decode(reader: &mut Reader<'_>) -> Result<SigningKey, DecodeError> {
        Ok(SigningKey {
            key: KeyId(reader.varint_u32("key")?),
            scope: Scope::decode(reader)?,
            not_before: Millis(reader.varint("not before")?),
            not_after: Millis(reader.varint("not after")?),
            test: flag(reader, "test")?,
        })
    }
}

impl IngestToken {
    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        put_varint(out, u64::from(self.token));
        self.scope.encode(out);
        put_varint(out, self.not_after.0);
    }

    pub(super) fn decode(reader: &mut Reader<'_>) -> Result<IngestToken, DecodeError> {
        Ok(IngestToken {
            token: reader.varint_u32("token")?,
            scope: Scope::decode(reader)?,
            not_after: Millis(reader.varint("not after")?),
        })
    }
}

fn put_option(out: &mut Vec<u8>, value: Option<u64>) {
    out.push(u8::from(value.is_some()));
    if let Some(value) = value {
        put_varint(out, value);
    }
}

fn option(reader: &mut Reader<'_>, field: &'static str) -> Result<Option<u64>, DecodeError> {
    if flag(reader, field)? {
        reader.varint(field).map(Some)
    } else {
        Ok(None)
    }
}

fn flag(reader: &mut Reader<'_>, field: &'static str) -> Result<bool, DecodeError> {
    match reader.u8(field)? {
        0 => Ok(false),
        1 => Ok(true),
        _ => Err(DecodeError::Invalid(field)),
    }
}

fn list_length(
    reader: &mut Reader<'_>,
    max: usize,
    field: &'static str,
) -> Result<usize, DecodeError> {
    let length = usize::try_from(reader.varint(field)?).unwrap_or(usize::MAX);
    if length <= max {
        Ok(length)
    } else {
        Err(DecodeError::Invalid(field))
    }
}
