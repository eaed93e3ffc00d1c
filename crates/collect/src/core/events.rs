//! Batches of events: JSON or NDJSON text becomes items, each good or with the reason why not.
//!
//! Nothing that a sender wrote is ever repeated in a reason.

use std::net::IpAddr;

use serde::Deserialize;
use serde::de::{self, Deserializer, Visitor};
use serde_json::value::RawValue;
use tollgate_click::limits::{BATCH_ITEMS_MAX, NONCE_AHEAD_MS_MAX, SUB_IDS};
use tollgate_click::{AdId, AdvertiserId, CampaignId, Country, Millis, PlacementId, PublisherId};

/// How a batch is written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum BatchForm {
    /// One JSON array of items.
    Json,
    /// One item a line; empty lines are skipped.
    Ndjson,
}

/// Why a batch is refused whole.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum BatchFault {
    /// Not UTF-8, no JSON array, or empty.
    Syntax,
    /// More than [`BATCH_ITEMS_MAX`] items.
    TooManyItems,
}

/// Why one item is refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ItemFault {
    /// Not an item of the schema.
    Malformed,
    /// The token does not speak for this advertiser.
    Forbidden,
    /// Its event time is older than imports may be.
    Late,
    /// Its event time lies in the future.
    Future,
}

impl ItemFault {
    /// The word in the answer.
    pub fn name(self) -> &'static str {
        match self {
            ItemFault::Malformed => "malformed",
            ItemFault::Forbidden => "forbidden",
            ItemFault::Late => "late",
            ItemFault::Future => "future",
        }
    }
}

/// What happened.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// A click.
    Click,
    /// An impression.
    Impression,
}

/// One event with its own time. Ids that are left out are 0.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct EventItem {
    /// What happened.
    pub kind: Kind,
    /// Who pays.
    pub advertiser: AdvertiserId,
    /// For which campaign.
    pub campaign: CampaignId,
    /// Which creative.
    pub ad: AdId,
    /// Who showed it.
    pub publisher: PublisherId,
    /// Where.
    pub placement: PlacementId,
    /// When, by the sender's word.
    pub event_time: Millis,
    /// The client's address.
    pub address: Option<IpAddr>,
    /// Its country.
    pub country: Country,
    /// The user agent.
    pub agent: String,
    /// The referrer.
    pub referrer: String,
    subs: [Option<String>; SUB_IDS],
}

impl EventItem {
    /// The event's time, if it lies within what may be imported at `now`.
    pub(super) fn event_time_within(
        &self,
        now: Millis,
        age_ms_max: u64,
    ) -> Result<Millis, ItemFault> {
        if self.event_time > now.plus_ms(NONCE_AHEAD_MS_MAX) {
            Err(ItemFault::Future)
        } else if now.since(self.event_time) > age_ms_max {
            Err(ItemFault::Late)
        } else {
            Ok(self.event_time)
        }
    }

    /// `sub1` to `sub5`.
    pub(super) fn subs(&self) -> [Option<&[u8]>; SUB_IDS] {
        self.subs
            .each_ref()
            .map(|sub| sub.as_ref().map(|text| text.as_bytes()))
    }
}

/// The items of a batch in their order.
pub fn parse(
    body: &[u8],
    form: BatchForm,
) -> Result<Vec<Result<EventItem, ItemFault>>, BatchFault> {
    let text = std::str::from_utf8(body).map_err(|_| BatchFault::Syntax)?;
    let items: Vec<&str> = match form {
        BatchForm::Json => {
            let raw: Vec<&RawValue> = serde_json::from_str(text).map_err(|_| BatchFault::Syntax)?;
            raw.into_iter().map(RawValue::get).collect()
        }
        BatchForm::Ndjson => {
            let lines = text
                .split('\n')
                .map(|line| line.strip_suffix('\r').unwrap_or(line));
            lines.filter(|line| !line.is_empty()).collect()
        }
    };
    if items.len() > BATCH_ITEMS_MAX {
        return Err(BatchFault::TooManyItems);
    }
    if items.is_empty() && form == BatchForm::Ndjson {
        return Err(BatchFault::Syntax);
    }
    Ok(items.into_iter().map(parse_item).collect())
}

fn parse_item(text: &str) -> Result<EventItem, ItemFault> {
    // serde_json stops at 128 levels, and no field of ours is deeper than one.
    let written: Written = serde_json::from_str(text).map_err(|_| ItemFault::Malformed)?;
    Ok(EventItem {
        kind: written.kind,
        advertiser: AdvertiserId(written.advertiser),
        campaign: CampaignId(written.campaign),
        ad: AdId(written.ad),
        publisher: PublisherId(written.publisher),
        placement: PlacementId(written.placement),
        event_time: written.event_time,
        address: written.ip,
        country: match written.country {
            None => Country::UNKNOWN,
            Some(code) => code.parse().map_err(|_| ItemFault::Malformed)?,
        },
        agent: written.user_agent,
        referrer: written.referrer,
        subs: [
            written.sub1,
            written.sub2,
            written.sub3,
            written.sub4,
            written.sub5,
        ],
    })
}

/// The schema of an item. A key twice and a key unknown are errors.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    #[serde(rename = "type")]
    kind: Kind,
    advertiser: u32,
    campaign: u64,
    #[serde(deserialize_with = "event_time")]
    event_time: Millis,
    #[serde(default)]
    ad: u64,
    #[serde(default)]
    publisher: u32,
    #[serde(default)]
    placement: u64,
    ip: Option<IpAddr>,
    country: Option<String>,
    #[serde(default)]
    user_agent: String,
    #[serde(default)]
    referrer: String,
    sub1: Option<String>,
    sub2: Option<String>,
    sub3: Option<String>,
    sub4: Option<String>,
    sub5: Option<String>,
}

/// Unix milliseconds as an integer, or RFC 3339 text.
fn event_time<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Millis, D::Error> {
    struct Time;

    impl Visitor<'_> for Time {
        type Value = Millis;

        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("Unix milliseconds or RFC 3339 text")
        }

        fn visit_u64<E: de::Error>(self, ms: u64) -> Result<Millis, E> {
            Ok(Millis(ms))
        }

        fn visit_str<E: de::Error>(self, text: &str) -> Result<Millis, E> {
            let stamp: jiff::Timestamp = text.parse().map_err(E::custom)?;
            // Before 1970 is as late as 1970.
            Ok(Millis(u64::try_from(stamp.as_millisecond()).unwrap_or(0)))
        }
    }

    deserializer.deserialize_any(Time)
}
