//! The nouns of the trade: advertisers, publishers, campaigns, creatives and links.

use crate::codec::{DecodeError, Reader, put_bytes, put_option, put_signed, put_varint};
use crate::ids::{AdId, AdvertiserId, CampaignId, LinkId, PlacementId, PublisherId};
use crate::limits::{
    DESTINATION_BYTES_MAX, NAME_BYTES_MAX, SLUG_BYTES_MAX, ZONE_NAME_BYTES_MAX, ZONE_OFFSET_S_MAX,
    ZONE_OFFSETS_MAX,
};
use crate::money::{Currency, Micros, WHOLE_BASIS_POINTS};
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
    /// The currency of its account; never changes.
    pub currency: Currency,
    /// How it pays.
    pub payment: Payment,
}

/// How an advertiser pays, and with that, where its clicks stop.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Payment {
    /// By invoice, without a limit.
    Open,
    /// By invoice: clicks stop where it would owe more than the limit.
    Credit {
        /// Not below 0.
        limit: Micros,
    },
    /// Before its clicks, which stop where the balance would fall below 0.
    Prepaid,
}

/// A publisher.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Publisher {
    /// Its number.
    pub publisher: PublisherId,
    /// Its name.
    pub name: String,
    /// Its part of each charge in ten-thousandths, at most [`WHOLE_BASIS_POINTS`]; read as of
    /// `received_at`.
    pub share_basis_points: u16,
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
    /// The currency of its prices, which is its advertiser's; never changes.
    pub currency: Currency,
    /// Price of a click whose link names none; none means that such clicks are free.
    pub price: Option<Micros>,
    /// Whether it runs.
    pub state: CampaignState,
    /// What its clicks received in one day of its zone may cost; none means no limit.
    pub daily_budget: Option<Micros>,
    /// What its clicks may cost in all; none means no limit.
    pub total_budget: Option<Micros>,
    /// The name of its time zone, for people; the core reads `offsets`.
    pub zone: String,
    /// The zone's offsets from UTC in the order of their times; none means UTC.
    pub offsets: Vec<ZoneOffset>,
}

/// An offset from UTC that holds until the next one of its list.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ZoneOffset {
    /// From when on; the first of a list also holds before.
    pub from: Millis,
    /// Seconds that local clocks are ahead of UTC, at most 18 hours either way.
    pub seconds: i32,
}

/// Whether a campaign runs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum CampaignState {
    /// Clicks bill.
    Active = 0,
    /// Clicks redirect and do not bill.
    Paused = 1,
    /// As paused, and out of sight.
    Archived = 2,
}

/// A creative: names only, the core ignores it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Ad {
    /// Its number.
    pub ad: AdId,
    /// Who pays for it.
    pub advertiser: AdvertiserId,
    /// Its campaign.
    pub campaign: CampaignId,
    /// Its name.
    pub name: String,
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

impl Advertiser {
    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        put_varint(out, u64::from(self.advertiser.0));
        put_bytes(out, self.name.as_bytes());
        put_varint(out, self.schemes.len() as u64);
        self.schemes
            .iter()
            .for_each(|scheme| put_bytes(out, scheme.as_bytes()));
        out.extend_from_slice(&self.currency.bytes());
        self.payment.encode(out);
    }

    pub(super) fn decode(reader: &mut Reader<'_>) -> Result<Advertiser, DecodeError> {
        let advertiser = AdvertiserId(reader.varint_u32("advertiser")?);
        let name = reader.text(NAME_BYTES_MAX, "name")?.to_owned();
        let count = reader.list_length(SCHEMES_MAX, "schemes")?;
        let schemes =
            (0..count).map(|_| reader.text(SCHEME_BYTES_MAX, "scheme").map(str::to_owned));
        Ok(Advertiser {
            advertiser,
            name,
            schemes: schemes.collect::<Result<_, _>>()?,
            currency: reader.currency()?,
            payment: Payment::decode(reader)?,
        })
    }
}

impl Payment {
    fn encode(self, out: &mut Vec<u8>) {
        match self {
            Payment::Open => out.push(0),
            Payment::Credit { limit } => {
                out.push(1);
                put_varint(out, limit.0.unsigned_abs());
            }
            Payment::Prepaid => out.push(2),
        }
    }

    fn decode(reader: &mut Reader<'_>) -> Result<Payment, DecodeError> {
        match reader.u8("payment")? {
            0 => Ok(Payment::Open),
            1 => Ok(Payment::Credit {
                limit: reader.micros("credit limit")?,
            }),
            2 => Ok(Payment::Prepaid),
            _ => Err(DecodeError::Invalid("payment")),
        }
    }
}

/// Schemes that one advertiser may add.
pub(crate) const SCHEMES_MAX: usize = 16;
/// Bytes of one scheme.
pub(crate) const SCHEME_BYTES_MAX: usize = 32;
// An advertiser has no destination, so its record is below the limit of all.
const _: () = assert!(SCHEMES_MAX * (SCHEME_BYTES_MAX + 1) <= DESTINATION_BYTES_MAX);

impl Publisher {
    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        put_varint(out, u64::from(self.publisher.0));
        put_bytes(out, self.name.as_bytes());
        out.extend_from_slice(&self.share_basis_points.to_le_bytes());
    }

    pub(super) fn decode(reader: &mut Reader<'_>) -> Result<Publisher, DecodeError> {
        let publisher = Publisher {
            publisher: PublisherId(reader.varint_u32("publisher")?),
            name: reader.text(NAME_BYTES_MAX, "name")?.to_owned(),
            share_basis_points: reader.u16("share")?,
        };
        if publisher.share_basis_points > WHOLE_BASIS_POINTS {
            return Err(DecodeError::Invalid("share"));
        }
        Ok(publisher)
    }
}

impl Campaign {
    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        put_varint(out, self.campaign.0);
        put_varint(out, u64::from(self.advertiser.0));
        put_bytes(out, self.name.as_bytes());
        out.extend_from_slice(&self.currency.bytes());
        put_option(out, self.price.map(|price| price.0.unsigned_abs()));
        out.push(self.state as u8);
        for budget in [self.daily_budget, self.total_budget] {
            put_option(out, budget.map(|budget| budget.0.unsigned_abs()));
        }
        put_bytes(out, self.zone.as_bytes());
        put_varint(out, self.offsets.len() as u64);
        for offset in &self.offsets {
            put_varint(out, offset.from.0);
            put_signed(out, i64::from(offset.seconds));
        }
    }

    pub(super) fn decode(reader: &mut Reader<'_>) -> Result<Campaign, DecodeError> {
        Ok(Campaign {
            campaign: CampaignId(reader.varint("campaign")?),
            advertiser: AdvertiserId(reader.varint_u32("advertiser")?),
            name: reader.text(NAME_BYTES_MAX, "name")?.to_owned(),
            currency: reader.currency()?,
            price: reader.micros_option("price")?,
            state: match reader.u8("campaign state")? {
                0 => CampaignState::Active,
                1 => CampaignState::Paused,
                2 => CampaignState::Archived,
                _ => return Err(DecodeError::Invalid("campaign state")),
            },
            daily_budget: reader.micros_option("daily budget")?,
            total_budget: reader.micros_option("total budget")?,
            zone: reader.text(ZONE_NAME_BYTES_MAX, "zone")?.to_owned(),
            offsets: decode_offsets(reader)?,
        })
    }
}

fn decode_offsets(reader: &mut Reader<'_>) -> Result<Vec<ZoneOffset>, DecodeError> {
    let count = reader.list_length(ZONE_OFFSETS_MAX, "zone offsets")?;
    let offset = |_| {
        let from = Millis(reader.varint("zone offset")?);
        let seconds = i32::try_from(reader.signed("zone offset")?);
        let seconds = seconds.map_err(|_| DecodeError::Invalid("zone offset"))?;
        Ok(ZoneOffset { from, seconds })
    };
    let offsets: Vec<ZoneOffset> = (0..count).map(offset).collect::<Result<_, _>>()?;
    let rising = offsets.is_sorted_by(|one, next| one.from < next.from);
    let near = |offset: &ZoneOffset| offset.seconds.abs() <= ZONE_OFFSET_S_MAX;
    if rising && offsets.iter().all(near) {
        Ok(offsets)
    } else {
        Err(DecodeError::Invalid("zone offset"))
    }
}

impl Ad {
    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        put_varint(out, self.ad.0);
        put_varint(out, u64::from(self.advertiser.0));
        put_varint(out, self.campaign.0);
        put_bytes(out, self.name.as_bytes());
    }

    pub(super) fn decode(reader: &mut Reader<'_>) -> Result<Ad, DecodeError> {
        Ok(Ad {
            ad: AdId(reader.varint("ad")?),
            advertiser: AdvertiserId(reader.varint_u32("advertiser")?),
            campaign: CampaignId(reader.varint("campaign")?),
            name: reader.text(NAME_BYTES_MAX, "name")?.to_owned(),
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
            expires_at: reader.option("expiry")?.map(Millis),
            test: reader.flag("test")?,
        })
    }
}
