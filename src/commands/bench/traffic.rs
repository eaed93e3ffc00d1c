//! The traffic of all benchmarks: a function of its seed, so every run, and every program that
//! is compared, meets the same clicks.
//!
//! Campaigns and publishers are drawn as Zipf has it (the n-th as often as 1/n), nonces are
//! unique but for 2% of clicks that repeat one of the last million, 5% are invalid by their
//! agent or method, and the clock of the log runs at a given number of clicks a second.

use std::collections::BTreeMap;

use tollgate_click::control::{Advertiser, Campaign, CampaignState, Payment, Publisher, Target};
use tollgate_click::facts::Ack;
use tollgate_click::ids::ClickIdParts;
use tollgate_click::record::Tick;
use tollgate_click::{
    Actor, AdId, AdvertiserId, AgentClass, CampaignId, Change, ClickFacts, ClickId, Control,
    ControlNumber, Country, Currency, DataSetId, EdgeId, KeyId, Micros, Millis, Nonce, PartitionId,
    PlacementId, PseudonymKeyId, Pseudonyms, PublisherId, Record, Source,
};
use tollgate_traffic::dice::Dice;

/// 2026-11-01 00:10:00 UTC.
pub(crate) const START_MS: u64 = 1_793_491_800_000;

/// A trillion units: budgets and credit that do not run out.
const PLENTY: Micros = Micros(1 << 60);

/// How large the world is, and how fast its clock runs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shape {
    pub(crate) advertisers: u32,
    pub(crate) campaigns: u32,
    pub(crate) publishers: u32,
    pub(crate) partitions: u16,
    /// Clicks a second of the log's clock.
    pub(crate) clicks_per_s: u64,
}

impl Shape {
    /// The shape of all figures where nothing else is said.
    pub(crate) const USUAL: Shape = Shape {
        advertisers: 10_000,
        campaigns: 100_000,
        publishers: 1_000,
        partitions: 16,
        clicks_per_s: 50_000,
    };

    /// To try the program.
    pub(crate) const SMALL: Shape = Shape {
        advertisers: 20,
        campaigns: 100,
        publishers: 10,
        partitions: 16,
        clicks_per_s: 100,
    };
}

/// Clicks by number.
#[derive(Clone)]
pub(crate) struct Traffic {
    shape: Shape,
    /// When click 0 is received.
    start_ms: u64,
    dice: Dice,
    campaigns: Zipf,
    publishers: Zipf,
}

/// What a draw is for.
enum Purpose {
    Repeat = 1,
    Invalid,
    Campaign,
    Publisher,
    Nonce,
    Delay,
    Person,
    Edge,
}

impl Traffic {
    /// Traffic of that shape and seed.
    pub(crate) fn new(shape: Shape, seed: u64) -> Traffic {
        Traffic {
            shape,
            start_ms: START_MS,
            dice: Dice::new(seed),
            campaigns: Zipf::new(shape.campaigns),
            publishers: Zipf::new(shape.publishers),
        }
    }

    /// How large its world is.
    pub(crate) fn shape(&self) -> Shape {
        self.shape
    }

    /// Moves all that is still to come to a later time.
    pub(crate) fn leap(&mut self, ms: u64) {
        self.start_ms += ms;
    }

    /// What must be known before the first click, each with its partition (none: all).
    pub(crate) fn changes(&self) -> impl Iterator<Item = (Option<PartitionId>, Record)> {
        let publishers = (1..=self.shape.publishers).map(publisher);
        let advertisers = (1..=self.shape.advertisers).flat_map(|number| {
            let campaigns =
                (number..=self.shape.campaigns).step_by(self.shape.advertisers as usize);
            let of = AdvertiserId(number);
            std::iter::once(advertiser(of)).chain(campaigns.map(move |id| campaign(of, id)))
        });
        let mut counts = BTreeMap::new();
        publishers
            .chain(advertisers)
            .zip(1..)
            .map(move |(change, number)| {
                let advertiser = match change.target() {
                    Target::Advertiser(advertiser) => Some(advertiser),
                    Target::All => None,
                };
                let target_number: &mut u64 = counts.entry(advertiser).or_default();
                *target_number += 1;
                let control = Control {
                    number: ControlNumber(number),
                    target_number: *target_number,
                    at: Millis(START_MS - 600_000),
                    by: Actor(0),
                    change,
                };
                let partition = advertiser.map(|advertiser| self.partition_of(advertiser));
                (partition, Record::Control(control))
            })
    }

    /// The tick of a second since the start.
    pub(crate) fn tick(&self, second: u64) -> Record {
        Record::Tick(Tick {
            epoch: 1,
            at: Millis(self.start_ms + second * 1000),
        })
    }

    /// A click by its number, from 0 on, and the partition it belongs to.
    pub(crate) fn click(&self, number: u64) -> (PartitionId, ClickFacts) {
        let shown = self.shown(number);
        let received_at = Millis(self.start_ms + number * 1000 / self.shape.clicks_per_s);
        let campaign = self.campaigns.draw(self.roll(Purpose::Campaign, shown));
        let advertiser = AdvertiserId((campaign - 1) % self.shape.advertisers + 1);
        let partition = self.partition_of(advertiser);
        let (agent_class, head) = self.agent(number);
        let person = self.roll(Purpose::Person, shown);
        let facts = ClickFacts {
            click_id: ClickId::new(ClickIdParts {
                received_at,
                partition,
                edge: EdgeId::default(),
                random: self.roll(Purpose::Edge, number),
            }),
            source: self.source(shown),
            advertiser,
            campaign: CampaignId(campaign.into()),
            ad: AdId(u64::from(campaign) * 4 + person % 4),
            publisher: PublisherId(self.publishers.draw(self.roll(Purpose::Publisher, shown))),
            placement: PlacementId(person % 50_000),
            test: false,
            head,
            agent_class,
            country: Country::UNKNOWN,
            hosting: false,
            data_set: DataSetId(1),
            pseudonym_key: PseudonymKeyId(7),
            pseudonyms: Pseudonyms {
                address: person,
                network: person >> 8,
                agent: person % 9_973,
            },
            previous: None,
            subs: [None; 5],
            control: ControlNumber(111_000),
            ack: Ack::Local,
            personal_digest: (u128::from(person) << 64 | u128::from(number)).to_le_bytes(),
        };
        (partition, facts)
    }

    /// The number of the impression that was clicked: its own, or an earlier click's.
    fn shown(&self, number: u64) -> u64 {
        let roll = self.roll(Purpose::Repeat, number);
        if roll % 100 < 2 {
            let back = 1 + (roll >> 32) % 1_000_000;
            number.saturating_sub(back)
        } else {
            number
        }
    }

    /// The impression was shown up to ten minutes before its first click.
    fn source(&self, shown: u64) -> Source {
        let clicked_ms = self.start_ms + shown * 1000 / self.shape.clicks_per_s;
        let delay_ms = self.roll(Purpose::Delay, shown) % 600_000;
        let random = self.roll(Purpose::Nonce, shown);
        let nonce = (u128::from(random) << 64) | u128::from(shown);
        Source::Signed {
            key: KeyId(1),
            nonce: Nonce::new(Millis(clicked_ms - delay_ms), nonce),
            window_s: 86_400,
            price: random
                .is_multiple_of(2)
                .then_some(Micros((250_000 + random % 100_000) as i64)),
        }
    }

    fn agent(&self, number: u64) -> (AgentClass, bool) {
        match self.roll(Purpose::Invalid, number) % 100 {
            0..3 => (AgentClass::DeclaredBot, false),
            3 => (AgentClass::NonBrowser, false),
            4 => (AgentClass::Desktop, true),
            5..45 => (AgentClass::Desktop, false),
            _ => (AgentClass::Mobile, false),
        }
    }

    fn partition_of(&self, advertiser: AdvertiserId) -> PartitionId {
        PartitionId::of_advertiser(advertiser, self.shape.partitions)
    }

    fn roll(&self, purpose: Purpose, number: u64) -> u64 {
        self.dice.with(purpose as u64).roll(number)
    }
}

fn publisher(number: u32) -> Change {
    Change::Publisher(Publisher {
        publisher: PublisherId(number),
        name: format!("Publisher {number}"),
        share_basis_points: 5_000 + (number % 30 * 100) as u16,
    })
}

fn advertiser(advertiser: AdvertiserId) -> Change {
    Change::Advertiser(Advertiser {
        advertiser,
        name: format!("Advertiser {advertiser}"),
        schemes: Vec::new(),
        currency: dollars(),
        payment: match advertiser.0 % 2 {
            0 => Payment::Open,
            _ => Payment::Credit { limit: PLENTY },
        },
    })
}

fn campaign(advertiser: AdvertiserId, number: u32) -> Change {
    Change::Campaign(Campaign {
        advertiser,
        campaign: CampaignId(number.into()),
        name: format!("Campaign {number}"),
        state: CampaignState::Active,
        price: Some(Micros(300_000)),
        currency: dollars(),
        daily_budget: Some(PLENTY),
        total_budget: number.is_multiple_of(2).then_some(PLENTY),
        zone: String::new(),
        offsets: Vec::new(),
    })
}

fn dollars() -> Currency {
    Currency::from_bytes(*b"USD").unwrap_or_else(|_| unreachable!("USD is three capitals"))
}

/// Draws 1 to n, k with a weight of 1/k, in whole numbers.
#[derive(Clone)]
struct Zipf {
    /// The sum of the weights up to each.
    sums: Vec<u64>,
}

impl Zipf {
    fn new(n: u32) -> Zipf {
        let weights = (1..=u64::from(n)).map(|k| (1 << 50) / k);
        let sums = weights.scan(0, |sum, weight| {
            *sum += weight;
            Some(*sum)
        });
        Zipf {
            sums: sums.collect(),
        }
    }

    fn draw(&self, roll: u64) -> u32 {
        let all = self.sums.last().copied().unwrap_or(1);
        let at = ((u128::from(roll) * u128::from(all)) >> 64) as u64;
        self.sums.partition_point(|sum| *sum <= at) as u32 + 1
    }
}
