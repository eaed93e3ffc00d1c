//! Money commands: what changes an advertiser's balance beside its clicks.

use crate::codec::{DecodeError, Reader, put_bytes, put_option, put_signed, put_varint};
use crate::ids::{AdvertiserId, CampaignId, PublisherId};
use crate::limits::REASON_BYTES_MAX;
use crate::money::{Currency, Micros};

/// A money command. The core accepts or refuses it, and knows it by its id from then on.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Money {
    /// Its id: a repeat is ignored and answered as the first was.
    pub command: [u8; 16],
    /// Whose balance changes.
    pub advertiser: AdvertiserId,
    /// What it is.
    pub kind: MoneyKind,
    /// What is added to the balance; below 0 only where an adjustment takes away.
    pub amount: Micros,
    /// The advertiser's currency; another one is refused.
    pub currency: Currency,
    /// The campaign whose clicks are corrected.
    pub campaign: Option<CampaignId>,
    /// The publisher whose clicks are corrected.
    pub publisher: Option<PublisherId>,
    /// Why, in words.
    pub reason: String,
}

/// The kinds of money commands.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[repr(u8)]
pub enum MoneyKind {
    /// Money came in.
    TopUp = 0,
    /// A correction of what was charged, either way.
    Adjustment = 1,
    /// Credit that is given away.
    Credit = 2,
}

impl MoneyKind {
    /// All kinds.
    pub const ALL: [MoneyKind; 3] = [MoneyKind::TopUp, MoneyKind::Adjustment, MoneyKind::Credit];

    /// The name in the API and in files.
    pub fn name(self) -> &'static str {
        match self {
            MoneyKind::TopUp => "top_up",
            MoneyKind::Adjustment => "adjustment",
            MoneyKind::Credit => "credit",
        }
    }

    fn from_code(code: u8) -> Result<MoneyKind, DecodeError> {
        let found = MoneyKind::ALL.into_iter().find(|kind| *kind as u8 == code);
        found.ok_or(DecodeError::Invalid("money kind"))
    }
}

impl Money {
    /// Appends its fields in their order.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.command);
        put_varint(out, u64::from(self.advertiser.0));
        out.push(self.kind as u8);
        put_signed(out, self.amount.0);
        out.extend_from_slice(&self.currency.bytes());
        put_option(out, self.campaign.map(|campaign| campaign.0));
        put_option(out, self.publisher.map(|publisher| publisher.0.into()));
        put_bytes(out, self.reason.as_bytes());
    }

    pub(super) fn decode(reader: &mut Reader<'_>) -> Result<Money, DecodeError> {
        Ok(Money {
            command: reader.array("command id")?,
            advertiser: AdvertiserId(reader.varint_u32("advertiser")?),
            kind: MoneyKind::from_code(reader.u8("money kind")?)?,
            amount: Micros(reader.signed("amount")?),
            currency: reader.currency()?,
            campaign: reader.option("campaign")?.map(CampaignId),
            publisher: {
                let number = reader.option("publisher")?.map(u32::try_from).transpose();
                let number = number.map_err(|_| DecodeError::Invalid("publisher"))?;
                number.map(PublisherId)
            },
            reason: reader.text(REASON_BYTES_MAX, "reason")?.to_owned(),
        })
    }
}
