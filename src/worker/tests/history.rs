//! Made-up logs, by a seed.

use tollgate_click::control::{
    Advertiser, Campaign, CampaignState, Change, Control, Money, MoneyKind, Payment, Publisher,
    Target,
};
use tollgate_click::facts::Ack;
use tollgate_click::ids::ClickIdParts;
use tollgate_click::record::{Mark, Tick};
use tollgate_click::{
    Actor, AdId, AdvertiserId, AgentClass, CampaignId, ClickFacts, ClickId, ControlNumber, Country,
    DataSetId, EdgeId, KeyId, LinkId, Micros, Millis, Nonce, PartitionId, Personal, PlacementId,
    PseudonymKeyId, Pseudonyms, PublisherId, Record, Source,
};
use tollgate_log::{Append, MemoryLog, NewRecord, Partition};

/// 2026-11-23 23:57:30 UTC: histories cross minutes, an hour and a day.
pub(crate) const START: Millis = Millis(1_795_478_250_000);

pub(crate) const PARTITIONS: u16 = 3;
const ADVERTISERS: u32 = 8;

/// SplitMix64.
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (mixed ^ (mixed >> 31)) % end
    }
}

/// A log that is being written.
pub(crate) struct History {
    pub(crate) log: MemoryLog,
    pub(crate) now: Millis,
    dice: Dice,
    controls: u64,
    targets: std::collections::BTreeMap<Option<AdvertiserId>, u64>,
    nonces: Vec<(AdvertiserId, Nonce)>,
}

impl History {
    /// An empty one: advertisers, publishers and campaigns, and the first tick.
    pub(crate) fn new(seed: u64) -> History {
        let mut history = History {
            log: MemoryLog::new(PARTITIONS + 1, 7),
            now: START,
            dice: Dice(seed),
            controls: 0,
            targets: Default::default(),
            nonces: Vec::new(),
        };
        history.tick(1);
        for number in 1..=3 {
            history.change(Change::Publisher(Publisher {
                publisher: PublisherId(number),
                name: String::new(),
                share_basis_points: 2_500 * number as u16,
            }));
        }
        for number in 0..ADVERTISERS {
            let advertiser = AdvertiserId(number);
            history.change(Change::Advertiser(Advertiser {
                advertiser,
                name: String::new(),
                schemes: Vec::new(),
                currency: "USD".parse().unwrap(),
                payment: match number % 3 {
                    0 => Payment::Open,
                    1 => Payment::Prepaid,
                    _ => Payment::Credit {
                        limit: Micros(20_000),
                    },
                },
            }));
            for campaign in 0..3 {
                history.change(Change::Campaign(Campaign {
                    campaign: CampaignId(u64::from(number * 10 + campaign)),
                    advertiser,
                    name: String::new(),
                    currency: "USD".parse().unwrap(),
                    price: (campaign > 0).then_some(Micros(1_000 * i64::from(campaign) + 7)),
                    state: CampaignState::Active,
                    daily_budget: None,
                    total_budget: (number == 0).then_some(Micros(15_000)),
                    zone: String::new(),
                    offsets: Vec::new(),
                }));
            }
        }
        history
    }

    /// Goes on for so many seconds with about `each` clicks in each.
    pub(crate) fn go_on(&mut self, seconds: u64, each: u64) {
        for _ in 0..seconds {
            for _ in 0..self.dice.below(2 * each + 1) {
                self.now = self.now.plus_ms(self.dice.below(1000 / (2 * each)));
                self.event();
            }
            self.now = Millis(self.now.0 - self.now.0 % 1000 + 1000);
            self.tick(1);
            if self.now.0.is_multiple_of(60_000) {
                self.mark();
            }
            if self.dice.below(5) == 0 {
                self.money();
            }
        }
    }

    pub(crate) fn tick(&mut self, epoch: u64) {
        let at = self.now;
        self.append(Partition::ALL, &Record::Tick(Tick { epoch, at }), b"");
    }

    fn mark(&mut self) {
        let edge = EdgeId::new(1).unwrap();
        let minute = self.now.minute();
        self.append(Partition::ALL, &Record::Mark(Mark { edge, minute }), b"");
    }

    pub(crate) fn change(&mut self, change: Change) -> ControlNumber {
        let target = change.target();
        let (partition, counted) = match target {
            Target::Advertiser(advertiser) => (self.place(advertiser), Some(advertiser)),
            Target::All => (Partition::ALL, None),
        };
        let target_number = self.targets.entry(counted).or_default();
        *target_number += 1;
        self.controls += 1;
        let number = ControlNumber(self.controls);
        let control = Control {
            number,
            target_number: *target_number,
            at: self.now,
            by: Actor(0),
            change,
        };
        self.append(partition, &Record::Control(control), b"");
        number
    }

    /// A money command; some repeat an id, some name nobody.
    fn money(&mut self) {
        let command = self.dice.below(30) as u8;
        let kind = MoneyKind::ALL[self.dice.below(3) as usize];
        let amount = self.dice.below(30_000) as i64;
        let taken = kind == MoneyKind::Adjustment && amount % 2 == 0;
        self.change(Change::Money(Money {
            // An id is used for one advertiser only, as the API sees to.
            advertiser: AdvertiserId(u32::from(command) % (ADVERTISERS + 1)),
            command: [command; 16],
            kind,
            amount: Micros(if taken { -amount } else { amount }),
            currency: "USD".parse().unwrap(),
            campaign: None,
            publisher: (amount % 5 == 0).then_some(PublisherId(2)),
            reason: "why not".to_owned(),
        }));
    }

    /// Bytes as they are.
    pub(crate) fn raw(&mut self, partition: u16, facts: &[u8]) {
        let partition = Partition(partition);
        let record = NewRecord {
            partition,
            facts,
            personal: b"",
        };
        drop(self.log.append(record).unwrap());
    }

    fn event(&mut self) {
        if self.dice.below(40) == 0 {
            let place = self.dice.below(PARTITIONS.into()) as u16;
            return self.raw(place, &[1, 1, 0xff]);
        }
        let facts = self.click();
        let mut personal = Vec::new();
        Personal {
            salt: [9; 16],
            address: Some("192.0.2.7".parse().unwrap()),
            agent: b"Mozilla/5.0",
            referrer: b"",
            language: b"de",
            subs: [None; 5],
        }
        .encode(&mut personal);
        let place = self.place(facts.advertiser);
        let record = match self.dice.below(10) {
            0 => Record::Impression(facts),
            _ => Record::Click(facts),
        };
        self.append(place, &record, &personal);
    }

    /// A click of somebody: most are new, some repeat a nonce, some come late or from a bot.
    pub(crate) fn click(&mut self) -> ClickFacts {
        let dice = &mut self.dice;
        let advertiser = AdvertiserId(dice.below(ADVERTISERS.into()) as u32);
        let late = if dice.below(30) == 0 {
            dice.below(7_200_000)
        } else {
            0
        };
        let received_at = Millis(self.now.0 - late);
        let fresh = (
            advertiser,
            Nonce::new(Millis(received_at.0 - 5_000), u128::from(dice.0)),
        );
        let known = self.nonces.len() as u64;
        let (advertiser, nonce) = match dice.below(8) {
            0 if known > 0 => self.nonces[dice.below(known) as usize],
            _ => fresh,
        };
        self.nonces.push((advertiser, nonce));
        let source = match dice.below(6) {
            0 => Source::Registered {
                link: LinkId(dice.below(4)),
            },
            1 => Source::Imported {
                event_time: Millis(received_at.0 - 100_000),
            },
            _ => Source::Signed {
                key: KeyId(1),
                nonce,
                window_s: 86_400,
                price: (dice.below(4) == 0).then_some(Micros(dice.below(900) as i64)),
            },
        };
        let visitor = dice.below(50);
        ClickFacts {
            click_id: ClickId::new(ClickIdParts {
                received_at,
                partition: PartitionId::of_advertiser(advertiser, PARTITIONS),
                edge: EdgeId::new(1).unwrap(),
                random: self.nonces.len() as u64,
            }),
            source,
            advertiser,
            campaign: CampaignId(u64::from(advertiser.0) * 10 + dice.below(4)),
            ad: AdId(dice.below(2)),
            publisher: PublisherId(dice.below(5) as u32),
            placement: PlacementId(4),
            test: dice.below(50) == 0,
            head: dice.below(50) == 0,
            agent_class: match dice.below(20) {
                0 => AgentClass::DeclaredBot,
                1 => AgentClass::Missing,
                _ => AgentClass::Desktop,
            },
            country: Country::UNKNOWN,
            hosting: false,
            data_set: DataSetId(1),
            pseudonym_key: PseudonymKeyId(1),
            pseudonyms: Pseudonyms {
                address: visitor,
                network: visitor,
                agent: visitor,
            },
            previous: None,
            subs: [None; 5],
            control: ControlNumber(0),
            ack: Ack::Local,
            personal_digest: [0; 16],
        }
    }

    fn place(&self, advertiser: AdvertiserId) -> Partition {
        Partition(PartitionId::of_advertiser(advertiser, PARTITIONS).get())
    }

    fn append(&mut self, partition: Partition, record: &Record, personal: &[u8]) {
        let mut facts = Vec::new();
        record.encode(&mut facts);
        let record = NewRecord {
            partition,
            facts: &facts,
            personal,
        };
        drop(self.log.append(record).unwrap());
    }
}
