//! A made-up market: advertisers with campaigns, keys and registered links, and the people and
//! robots who click. Everything is a function of the seed.

pub(crate) mod visitor;

pub use visitor::Visitor;

use serde_json::{Value, json};
use tollgate_click::{Currency, KeyId, Millis};
use tollgate_link::Secret;

use crate::dice::Dice;
use crate::oracle::{Campaigns, Terms};

/// Advertisers, numbered from 1.
pub const ADVERTISERS: u32 = 12;
/// Campaigns, numbered from 1; campaign c belongs to advertiser (c - 1) % [`ADVERTISERS`] + 1.
pub const CAMPAIGNS: u64 = 60;
/// Registered links, numbered from 1.
pub const LINKS: u64 = 90;

/// A number that no campaign has.
pub const UNKNOWN_CAMPAIGN: u64 = 999_999;
/// The campaign that is paused.
pub const PAUSED_CAMPAIGN: u64 = 13;
/// Every campaign whose number has this remainder by [`FREE_STEP`] has no price.
const FREE_STEP: u64 = 20;

/// The registered link that is past its expiry.
pub const EXPIRED_LINK: u64 = LINKS;
/// The registered link that is a test.
pub const TEST_LINK: u64 = LINKS - 1;

/// What a signing key is there for.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
#[repr(u8)]
pub enum Key {
    /// One of two live keys.
    Live = 1,
    /// The other: keys rotate without a gap.
    NextLive = 2,
    /// Its clicks are tests.
    Test = 3,
    /// Revoked.
    Revoked = 4,
    /// Past its time.
    Lapsed = 5,
    /// May sign for advertiser 1 only.
    Narrow = 6,
    /// Not in the key file.
    Unknown = 7,
}

/// The market of one seed at one time.
#[derive(Clone, Copy, Debug)]
pub struct World {
    dice: Dice,
    now: Millis,
    currencies: &'static [&'static str],
}

/// The currency of all advertisers, unless told otherwise.
const CURRENCY: &[&str] = &["USD"];

impl World {
    /// The market of that seed; links and impressions are made as of `now`.
    pub fn new(seed: u64, now: Millis) -> World {
        World {
            dice: Dice::new(seed),
            now,
            currencies: CURRENCY,
        }
    }

    /// The same market with advertisers of several currencies.
    pub fn with_currencies(self, currencies: &'static [&'static str]) -> World {
        World { currencies, ..self }
    }

    /// As of when links were made.
    pub fn now(&self) -> Millis {
        self.now
    }

    pub(crate) fn dice(&self) -> Dice {
        self.dice
    }

    /// Who runs the campaign.
    pub fn advertiser_of(campaign: u64) -> u32 {
        let index = campaign.saturating_sub(1) % u64::from(ADVERTISERS);
        u32::try_from(index).unwrap_or_default() + 1
    }

    /// What a click on the campaign costs when the link names no price: 0.05 to 2.55 units.
    pub fn price_micros(&self, campaign: u64) -> Option<i64> {
        if campaign.is_multiple_of(FREE_STEP) {
            return None;
        }
        let step = self.dice.with(1).below(campaign, 250_001);
        Some(50_000 + i64::try_from(step).unwrap_or_default() * 10)
    }

    /// The currency of an advertiser.
    pub fn currency_of(&self, advertiser: u32) -> &'static str {
        let mut names = self.currencies.iter().cycle();
        let name = names.nth(advertiser as usize % self.currencies.len().max(1));
        name.copied().unwrap_or("USD")
    }

    /// The campaigns as the witness needs them.
    pub fn campaigns(&self) -> Campaigns {
        let terms = |campaign| {
            let advertiser = World::advertiser_of(campaign);
            let currency: Currency = self.currency_of(advertiser).parse().ok()?;
            let terms = Terms {
                currency,
                price_micros: self.price_micros(campaign),
                paused: campaign == PAUSED_CAMPAIGN,
            };
            Some(((advertiser, campaign), terms))
        };
        (1..=CAMPAIGNS).filter_map(terms).collect()
    }

    /// The campaign of a registered link; test and expired links have one like any other.
    pub fn campaign_of_link(&self, link: u64) -> u64 {
        self.dice.with(2).below(link, CAMPAIGNS) + 1
    }

    /// The slug of a registered link.
    pub fn slug(link: u64) -> String {
        format!("offer-{link}")
    }

    /// The secret bytes of a key.
    pub fn secret_bytes(&self, key: Key) -> [u8; 32] {
        let mut bytes = [0; 32];
        let dice = self.dice.with(3).with(key as u64);
        for (index, chunk) in bytes.chunks_exact_mut(8).enumerate() {
            chunk.copy_from_slice(&dice.roll(index as u64).to_le_bytes());
        }
        bytes
    }

    pub(crate) fn secret(&self, key: Key) -> Secret {
        Secret::new(self.secret_bytes(key))
    }

    /// The lines of the campaigns file.
    pub fn campaign_lines(&self) -> Vec<Value> {
        let advertisers = (1..=ADVERTISERS).map(|advertiser| {
            json!({"advertiser": advertiser, "name": format!("Advertiser {advertiser}")})
        });
        let campaigns = (1..=CAMPAIGNS).map(|campaign| {
            let advertiser = World::advertiser_of(campaign);
            json!({
                "campaign": campaign,
                "advertiser": advertiser,
                "name": format!("Campaign {campaign}"),
                "currency": self.currency_of(advertiser),
                "price_micros": self.price_micros(campaign),
                "state": if campaign == PAUSED_CAMPAIGN { "paused" } else { "active" },
            })
        });
        advertisers.chain(campaigns).collect()
    }

    /// The lines of the links file.
    pub fn link_lines(&self) -> Vec<Value> {
        let line = |link| {
            let campaign = self.campaign_of_link(link);
            let expires_at_ms = (link == EXPIRED_LINK).then_some(self.now.0 - 60_000);
            json!({
                "link": link,
                "slug": World::slug(link),
                "advertiser": World::advertiser_of(campaign),
                "campaign": campaign,
                "publisher": link % 9 + 1,
                "placement": link % 31 + 1,
                "destination": format!("https://offers.example/{link}?click={{click_id}}"),
                "escaping": 1,
                "expires_at_ms": expires_at_ms,
                "test": link == TEST_LINK,
            })
        };
        (1..=LINKS).map(line).collect()
    }

    /// The lines of the keys file.
    pub fn key_lines(&self) -> Vec<Value> {
        let (day_ms, now) = (86_400_000, self.now.0);
        let line = |key: Key| {
            let not_after = match key {
                Key::Lapsed => now - day_ms,
                _ => now + 400 * day_ms,
            };
            let advertisers = match key {
                Key::Narrow => json!([1]),
                _ => json!("all"),
            };
            json!({
                "key": key.id().0,
                "secret": hex(&self.secret_bytes(key)),
                "advertisers": advertisers,
                "not_before_ms": 0,
                "not_after_ms": not_after,
                "revoked": key == Key::Revoked,
                "test": key == Key::Test,
            })
        };
        Key::IN_FILE.into_iter().map(line).collect()
    }
}

impl Key {
    /// The keys that the key file holds.
    pub const IN_FILE: [Key; 6] = [
        Key::Live,
        Key::NextLive,
        Key::Test,
        Key::Revoked,
        Key::Lapsed,
        Key::Narrow,
    ];

    /// The number that stands in tokens.
    pub fn id(self) -> KeyId {
        KeyId(self as u32)
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
