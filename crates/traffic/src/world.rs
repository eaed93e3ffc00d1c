//! A made-up market: advertisers with campaigns, keys and registered links, and the people and
//! robots who click. Everything is a function of the seed.

pub(crate) mod visitor;

pub use visitor::Visitor;

use serde_json::{Value, json};
use tollgate_click::control::{
    Advertiser, Campaign, CampaignState, Money, MoneyKind, Payment, Publisher, ZoneOffset,
};
use tollgate_click::{
    AdvertiserId, CampaignId, Change, Currency, KeyId, Micros, Millis, PublisherId,
};
use tollgate_link::Secret;

use crate::dice::Dice;

/// Advertisers, numbered from 1.
pub const ADVERTISERS: u32 = 12;
/// Campaigns, numbered from 1; campaign c belongs to advertiser (c - 1) % [`ADVERTISERS`] + 1.
pub const CAMPAIGNS: u64 = 60;
/// Registered links, numbered from 1.
pub const LINKS: u64 = 90;

/// Publishers, numbered from 1; links name a few more, which nobody has told of.
pub const PUBLISHERS: u32 = 38;
/// Publishers that signed links name.
pub(crate) const PUBLISHERS_NAMED: u64 = 40;

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
    /// How many clicks the limits are made for; none means that nothing is limited.
    limited_for: Option<u64>,
}

/// The currency of all advertisers, unless told otherwise.
const CURRENCY: &[&str] = &["USD"];

/// Zones without summer time, each with its quarters of an hour ahead of UTC, so that a table of
/// one line says what a database of zones says.
const ZONES: [(&str, i32); 4] = [
    ("UTC", 0),
    ("Asia/Kolkata", 22),
    ("America/Phoenix", -28),
    ("Asia/Tokyo", 36),
];

impl World {
    /// The market of that seed; links and impressions are made as of `now`.
    pub fn new(seed: u64, now: Millis) -> World {
        World {
            dice: Dice::new(seed),
            now,
            currencies: CURRENCY,
            limited_for: None,
        }
    }

    /// The same market with advertisers of several currencies.
    pub fn with_currencies(self, currencies: &'static [&'static str]) -> World {
        World { currencies, ..self }
    }

    /// The same market with budgets, balances and credit limits, some of which run out when that
    /// many clicks come.
    pub fn with_limits_for(self, clicks: u64) -> World {
        let limited_for = Some(clicks);
        World {
            limited_for,
            ..self
        }
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
    pub fn currency_of(&self, advertiser: u32) -> Currency {
        let mut names = self.currencies.iter().cycle();
        let name = names.nth(advertiser as usize % self.currencies.len().max(1));
        let known = name.and_then(|name| name.parse().ok());
        known.unwrap_or_else(|| unreachable!("the names are capitals"))
    }

    /// All that was made before the first click, in an order in which each has what it needs.
    pub fn changes(&self) -> Vec<Change> {
        let publishers = (1..=PUBLISHERS).map(|number| Change::Publisher(self.publisher(number)));
        let advertisers =
            (1..=ADVERTISERS).map(|number| Change::Advertiser(self.advertiser(number)));
        let campaigns = (1..=CAMPAIGNS).map(|number| Change::Campaign(self.campaign(number)));
        let money = (1..=ADVERTISERS).filter_map(|number| self.top_up(number).map(Change::Money));
        let nouns = publishers.chain(advertisers).chain(campaigns);
        nouns.chain(money).collect()
    }

    fn publisher(&self, number: u32) -> Publisher {
        let share = 5_000 + self.dice.with(4).below(number.into(), 4_001);
        Publisher {
            publisher: PublisherId(number),
            name: format!("Publisher {number}"),
            share_basis_points: u16::try_from(share).unwrap_or_default(),
        }
    }

    fn advertiser(&self, number: u32) -> Advertiser {
        let limit = self.expected_of_advertiser(number).map(|all| part(all, 50));
        let payment = match (number % 4, limit) {
            (3, Some(limit)) => Payment::Credit { limit },
            (1 | 2, Some(_)) => Payment::Prepaid,
            _ => Payment::Open,
        };
        Advertiser {
            advertiser: AdvertiserId(number),
            name: format!("Advertiser {number}"),
            schemes: Vec::new(),
            currency: self.currency_of(number),
            payment,
        }
    }

    /// What a prepaid advertiser has paid in: every other one more than enough.
    fn top_up(&self, number: u32) -> Option<Money> {
        let expected = self.expected_of_advertiser(number)?;
        let percent = match number % 4 {
            1 => 300,
            2 => 60,
            _ => return None,
        };
        Some(Money {
            command: u128::from(number).to_be_bytes(),
            advertiser: AdvertiserId(number),
            kind: MoneyKind::TopUp,
            amount: part(expected, percent),
            currency: self.currency_of(number),
            campaign: None,
            publisher: None,
            reason: "first payment".to_owned(),
        })
    }

    fn campaign(&self, number: u64) -> Campaign {
        let advertiser = World::advertiser_of(number);
        let expected = self.expected_of(number);
        let zone = ZONES.get(number as usize % ZONES.len());
        let (zone, quarters) = zone.copied().unwrap_or(("UTC", 0));
        let offset = ZoneOffset {
            from: Millis(0),
            seconds: quarters * 900,
        };
        Campaign {
            campaign: CampaignId(number),
            advertiser: AdvertiserId(advertiser),
            name: format!("Campaign {number}"),
            currency: self.currency_of(advertiser),
            price: self.price_micros(number).map(Micros),
            state: match number {
                PAUSED_CAMPAIGN => CampaignState::Paused,
                _ => CampaignState::Active,
            },
            daily_budget: expected
                .filter(|_| number % 5 == 1)
                .map(|all| part(all, 40)),
            total_budget: expected
                .filter(|_| number % 5 == 3)
                .map(|all| part(all, 60)),
            zone: zone.to_owned(),
            offsets: vec![offset],
        }
    }

    /// About what a campaign would cost without limits, in micro-units.
    fn expected_of(&self, campaign: u64) -> Option<i64> {
        let clicks = i64::try_from(self.limited_for?).unwrap_or(i64::MAX / 4_000_000);
        // Two clicks in three could bill, and campaign c gets 1 / (4.68 c) of them.
        let clicks = clicks * 100 / i64::try_from(campaign).unwrap_or(1) / 700;
        Some(clicks.max(1) * self.price_micros(campaign).unwrap_or(400_000))
    }

    fn expected_of_advertiser(&self, advertiser: u32) -> Option<i64> {
        let own = (1..=CAMPAIGNS).filter(|number| World::advertiser_of(*number) == advertiser);
        own.map(|campaign| self.expected_of(campaign)).sum()
    }

    /// The campaign of a registered link; test and expired links have one like any other.
    pub fn campaign_of_link(&self, link: u64) -> u64 {
        self.dice.with(2).below(link, CAMPAIGNS) + 1
    }

    /// Who shows a registered link.
    pub(crate) fn publisher_of_link(link: u64) -> u32 {
        (link % 9) as u32 + 1
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

    /// All of it as the API takes it: paths and bodies, in an order in which each has what it
    /// needs. Keys come by a file, since the API draws its own secrets.
    pub fn requests(&self) -> Vec<Request> {
        let mut requests = Vec::new();
        let mut campaigns = Vec::new();
        let mut money = Vec::new();
        for change in self.changes() {
            match change {
                Change::Publisher(one) => {
                    requests.push(Request::new("/v1/publishers", publisher_json(&one)))
                }
                Change::Advertiser(one) => {
                    requests.push(Request::new("/v1/advertisers", advertiser_json(&one)))
                }
                Change::Campaign(one) => campaigns.push(campaign_json(&one)),
                Change::Money(one) => money.push(top_up(&one)),
                _ => {}
            }
        }
        requests.push(Request::new("/v1/campaigns/bulk", Value::Array(campaigns)));
        requests.push(Request::new(
            "/v1/links/bulk",
            Value::Array(self.link_lines()),
        ));
        requests.extend(money);
        requests
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
                "publisher": World::publisher_of_link(link),
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

/// A request that makes something.
#[derive(Clone, PartialEq, Debug)]
pub struct Request {
    /// The path below the API's address.
    pub path: &'static str,
    /// What is to be made.
    pub body: Value,
    /// The `Idempotency-Key`, for money.
    pub key: Option<String>,
}

impl Request {
    fn new(path: &'static str, body: Value) -> Request {
        let key = None;
        Request { path, body, key }
    }
}

fn publisher_json(publisher: &Publisher) -> Value {
    json!({
        "publisher": publisher.publisher.0,
        "name": publisher.name,
        "share_basis_points": publisher.share_basis_points,
    })
}

fn advertiser_json(advertiser: &Advertiser) -> Value {
    let payment = match advertiser.payment {
        Payment::Open => json!({"kind": "open"}),
        Payment::Prepaid => json!({"kind": "prepaid"}),
        Payment::Credit { limit } => json!({"kind": "credit", "limit_micros": limit.0}),
    };
    json!({
        "advertiser": advertiser.advertiser.0,
        "name": advertiser.name,
        "currency": advertiser.currency.to_string(),
        "payment": payment,
    })
}

fn campaign_json(campaign: &Campaign) -> Value {
    json!({
        "campaign": campaign.campaign.0,
        "advertiser": campaign.advertiser.0,
        "name": campaign.name,
        "currency": campaign.currency.to_string(),
        "price_micros": campaign.price.map(|price| price.0),
        "state": if campaign.state == CampaignState::Paused { "paused" } else { "active" },
        "daily_budget_micros": campaign.daily_budget.map(|budget| budget.0),
        "total_budget_micros": campaign.total_budget.map(|budget| budget.0),
        "zone": campaign.zone,
    })
}

fn top_up(money: &Money) -> Request {
    Request {
        path: "/v1/top-ups",
        body: json!({
            "advertiser": money.advertiser.0,
            "amount_micros": money.amount.0,
            "currency": money.currency.to_string(),
            "reason": money.reason,
        }),
        key: Some(format!("first-payment-{}", money.advertiser)),
    }
}

/// That many hundredths.
fn part(all: i64, percent: i64) -> Micros {
    Micros(all.saturating_mul(percent) / 100)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
