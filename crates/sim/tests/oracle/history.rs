//! Histories: what edges, a worker and an operator put into the log of one partition, with all
//! that goes wrong on the way. Few values a field, so that they meet.

use std::fmt;

use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;
use rand::{Rng, SeedableRng};
use tollgate_click::control::{
    Advertiser, Campaign, CampaignState, Money, MoneyKind, Payment, Publisher, Scope, SigningKey,
    ZoneOffset,
};
use tollgate_click::facts::Ack;
use tollgate_click::ids::ClickIdParts;
use tollgate_click::record::{Mark, Tick};
use tollgate_click::{
    Actor, AdId, AdvertiserId, AgentClass, CampaignId, Change, ClickFacts, ClickId, Control,
    ControlNumber, Country, DataSetId, EdgeId, KeyId, LinkId, Micros, Millis, Nonce, PartitionId,
    PlacementId, PseudonymKeyId, Pseudonyms, PublisherId, Record, Source,
};

/// The partition that all this happens in.
pub(crate) const PARTITION: u16 = 3;
/// Who pays.
pub(crate) const ADVERTISERS: [u32; 3] = [1, 2, 3];
/// What for; each advertiser may have each number. Nobody ever makes the last one.
pub(crate) const CAMPAIGNS: [u64; 4] = [1, 2, 3, 9];

const SECOND: u64 = 1_000;
const MINUTE: u64 = 60 * SECOND;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;
const YEAR: u64 = 365 * DAY;
/// 2026-11-24 22:50 UTC: a day ends soon.
const START: u64 = 1_795_560_600_000;
const PRICES: [i64; 6] = [0, 1, 3, 99_999, 350_000, 350_001];
const BUDGETS: [i64; 6] = [0, 350_000, 700_000, 1_000_000, 1_050_000, 5_000_000];

/// A record on its way into the log.
#[derive(Clone, PartialEq)]
pub(crate) struct Sent {
    pub(crate) facts: Vec<u8>,
    pub(crate) session: u64,
    pub(crate) sequence: u64,
    pub(crate) broadcast: bool,
}

impl fmt::Display for Sent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{:x} {}", self.session, self.sequence)?;
        let kind = if self.broadcast { " to all] " } else { "] " };
        match Record::decode(&self.facts) {
            Ok(Record::Click(facts)) => write!(f, "{kind}{} {facts:?}", facts.received_at()),
            Ok(record) => write!(f, "{kind}{record:?}"),
            Err(error) => write!(f, "{kind}{error}"),
        }
    }
}

/// One history, in the order of the log.
pub(crate) struct History {
    pub(crate) records: Vec<Sent>,
}

impl History {
    /// The history of a seed.
    pub(crate) fn generate(seed: u64) -> History {
        let mut world = World::new(seed);
        world.found();
        let steps = world.dice.random_range(20..160);
        for _ in 0..steps {
            world.step();
        }
        // Whoever was away comes back.
        for edge in 0..world.edges.len() {
            world.come_back(edge);
        }
        let records = world.log;
        History { records }
    }
}

/// One that takes clicks. Two of them believe that they are the same edge.
struct Edge {
    id: u16,
    session: u64,
    sequence: u64,
    /// How far its clock lies off, in ms.
    off: i64,
    /// What it could not send yet; none while the log is there.
    spool: Option<Vec<Sent>>,
}

struct World {
    dice: StdRng,
    log: Vec<Sent>,
    /// The true time.
    now: u64,
    edges: Vec<Edge>,
    worker: (u64, u64),
    embedded: bool,
    epoch: u64,
    changes: Vec<(Option<AdvertiserId>, u64)>,
    controls: u64,
    nonces: Vec<Nonce>,
    clicks: u64,
    commands: u8,
}

impl World {
    fn new(seed: u64) -> World {
        let mut dice = StdRng::seed_from_u64(seed);
        let mut edge = |id, off| Edge {
            id,
            session: dice.random(),
            sequence: 0,
            off,
            spool: None,
        };
        let mut edges = vec![edge(1, 0), edge(2, 900), edge(2, -700)];
        // Now and then a clock is wrong: an hour, a day, years; ahead and behind.
        if let 0..3 = seed % 10 {
            let off = [HOUR, DAY, 9 * DAY, 3 * YEAR][(seed / 10 % 4) as usize].cast_signed();
            edges.push(edge(4, if seed.is_multiple_of(2) { off } else { -off }));
        }
        World {
            worker: (dice.random(), 0),
            embedded: seed.is_multiple_of(2),
            dice,
            log: Vec::new(),
            now: START,
            edges,
            epoch: 1,
            changes: Vec::new(),
            controls: 0,
            nonces: Vec::new(),
            clicks: 0,
            commands: 0,
        }
    }

    /// Most histories begin with advertisers, campaigns and money.
    fn found(&mut self) {
        self.tick(0);
        for advertiser in ADVERTISERS {
            if self.dice.random_ratio(4, 5) {
                self.advertiser(AdvertiserId(advertiser));
            }
            for campaign in 1..=2 {
                if self.dice.random_ratio(9, 10) {
                    self.campaign(AdvertiserId(advertiser), campaign);
                }
            }
            if self.dice.random_ratio(2, 3) {
                self.money(AdvertiserId(advertiser));
            }
        }
        for publisher in 1..=2 {
            self.publisher(publisher);
        }
        self.now += 3 * SECOND;
    }

    fn step(&mut self) {
        self.pass_time();
        let edge = self.dice.random_range(0..self.edges.len());
        let advertiser = AdvertiserId(*ADVERTISERS.choose(&mut self.dice).unwrap());
        let (campaign, other) = (self.dice.random_range(1..=3), self.dice.random_range(0..3));
        match self.dice.random_range(0..100) {
            0..52 => self.event(edge),
            52..62 => self.tick(other),
            62..68 => self.again(),
            68..72 => self.go_away(edge),
            72..76 => self.come_back(edge),
            76..79 => self.restart(edge),
            79..84 => self.campaign(advertiser, campaign),
            84..87 => self.advertiser(advertiser),
            87..91 => self.money(advertiser),
            91..93 => self.publisher(other + 1),
            93..96 => self.key(),
            96..98 => self.damage(edge),
            98 => self.skip_a_change(advertiser),
            _ => self.mark(edge),
        }
    }

    /// Mostly moments; sometimes the worker is dead for hours, or a clock leaps.
    fn pass_time(&mut self) {
        self.now += match self.dice.random_range(0..200) {
            0..120 => self.dice.random_range(0..3 * SECOND),
            120..170 => self.dice.random_range(0..MINUTE),
            170..185 => self.dice.random_range(0..30 * MINUTE),
            185..193 => self.dice.random_range(HOUR..9 * HOUR),
            193..197 => self.dice.random_range(DAY..4 * DAY),
            197 => 8 * DAY,
            198 => 38 * DAY,
            _ => 0,
        };
    }

    fn tick(&mut self, way: u32) {
        let leap = self.dice.random_ratio(1, 150);
        let at = match self.dice.random_range(0..10) {
            _ if leap => self.now + 2 * YEAR,
            0 => self.now.saturating_sub(5 * MINUTE),
            _ => self.now,
        };
        let epoch = match way {
            1 if self.dice.random_ratio(1, 3) => self.epoch.saturating_sub(1),
            2 if self.dice.random_ratio(1, 3) => {
                // Another worker takes over.
                self.epoch += 1;
                self.worker = (self.dice.random(), 0);
                self.epoch
            }
            _ => self.epoch,
        };
        let at = Millis(at);
        self.broadcast(&Record::Tick(Tick { epoch, at }));
    }

    fn broadcast(&mut self, record: &Record) {
        // On one machine, worker and first edge write in one session.
        let first = &self.edges[0];
        if self.embedded && self.worker.0 != first.session {
            self.worker = (first.session, 0);
        }
        self.worker.1 += 1;
        let (session, sequence) = self.worker;
        let sent = Sent {
            facts: encoded(record),
            session,
            sequence,
            broadcast: true,
        };
        self.log.push(sent);
    }

    /// What an edge sends goes to the log, or to its spool while the log is away.
    fn send(&mut self, edge: usize, facts: Vec<u8>) {
        let edge = &mut self.edges[edge];
        edge.sequence += 1;
        let sent = Sent {
            facts,
            session: edge.session,
            sequence: edge.sequence,
            broadcast: false,
        };
        match &mut edge.spool {
            Some(spool) => spool.push(sent),
            None => self.log.push(sent),
        }
    }

    /// Transport sends something again: mostly of late, sometimes of long ago.
    fn again(&mut self) {
        let recent = self.log.len().saturating_sub(10);
        let from = if self.dice.random_ratio(1, 4) {
            0
        } else {
            recent
        };
        let count = self.dice.random_range(1..4);
        for _ in 0..count {
            let sent = self.log[self.dice.random_range(from..self.log.len())].clone();
            self.log.push(sent);
        }
    }

    fn go_away(&mut self, edge: usize) {
        self.edges[edge].spool.get_or_insert_default();
    }

    /// The spool goes out, sometimes a part of it twice.
    fn come_back(&mut self, edge: usize) {
        let spool = self.edges[edge].spool.take().unwrap_or_default();
        if !spool.is_empty() && self.dice.random_ratio(1, 3) {
            let cut = self.dice.random_range(0..spool.len());
            self.log.extend_from_slice(&spool[..cut]);
        }
        self.log.extend(spool);
    }

    /// The same edge, another session; its spool is still there.
    fn restart(&mut self, edge: usize) {
        let session = self.dice.random();
        let edge = &mut self.edges[edge];
        (edge.session, edge.sequence) = (session, 0);
    }

    fn mark(&mut self, edge: usize) {
        let id = EdgeId::new(self.edges[edge].id).unwrap();
        let minute = Millis(self.now).minute();
        self.send(edge, encoded(&Record::Mark(Mark { edge: id, minute })));
    }

    /// A click or an impression, once, twice (two people, one nonce), or again from another edge.
    fn event(&mut self, edge: usize) {
        let facts = self.facts(edge);
        let record = match self.dice.random_range(0..8) {
            0 => Record::Impression(facts.clone()),
            _ => Record::Click(facts.clone()),
        };
        self.send(edge, encoded(&record));
        if self.dice.random_ratio(1, 6) {
            let other = self.dice.random_range(0..self.edges.len());
            self.now += self.dice.random_range(0..15 * SECOND);
            let click_id = self.click_id(other);
            self.send(
                other,
                encoded(&Record::Click(ClickFacts { click_id, ..facts })),
            );
        }
    }

    fn damage(&mut self, edge: usize) {
        let mut facts = encoded(&Record::Click(self.facts(edge)));
        match self.dice.random_range(0..3) {
            0 => facts.truncate(facts.len() - 1),
            1 => facts[0] = 77, // a kind of newer code
            _ => facts[18] = 9, // no such source
        }
        self.send(edge, facts);
    }

    fn click_id(&mut self, edge: usize) -> ClickId {
        self.clicks += 1;
        let edge = &self.edges[edge];
        let elsewhere = u16::from(self.dice.random_ratio(1, 80));
        ClickId::new(ClickIdParts {
            received_at: Millis(self.now.saturating_add_signed(edge.off)),
            partition: PartitionId::new(PARTITION + elsewhere).unwrap(),
            edge: EdgeId::new(edge.id).unwrap(),
            random: self.clicks,
        })
    }

    fn facts(&mut self, edge: usize) -> ClickFacts {
        let click_id = self.click_id(edge);
        let source = self.source(click_id.received_at());
        let dice = &mut self.dice;
        let agent_class = match dice.random_range(0..30) {
            0 => AgentClass::DeclaredBot,
            1 => AgentClass::NonBrowser,
            2 => AgentClass::Missing,
            _ => AgentClass::Mobile,
        };
        let person = |number| Pseudonyms {
            address: number,
            network: 7,
            agent: number % 2,
        };
        let visitor = dice.random_range(0..3);
        ClickFacts {
            click_id,
            source,
            advertiser: AdvertiserId(*[1, 1, 1, 2, 2, 3].choose(dice).unwrap()),
            campaign: CampaignId(*[1, 1, 1, 1, 1, 2, 2, 2, 3, 9].choose(dice).unwrap()),
            ad: AdId(0),
            publisher: PublisherId(dice.random_range(0..4)),
            placement: PlacementId(0),
            test: dice.random_ratio(1, 40),
            head: dice.random_ratio(1, 40),
            agent_class,
            country: Country::UNKNOWN,
            hosting: false,
            data_set: DataSetId(1),
            pseudonym_key: PseudonymKeyId(1),
            pseudonyms: person(visitor),
            // The key of pseudonyms has changed, and the old name rides along.
            previous: dice
                .random_ratio(1, 10)
                .then(|| person(dice.random_range(0..3))),
            subs: [None; 5],
            control: ControlNumber(0),
            ack: Ack::Local,
            personal_digest: [0; 16],
        }
    }

    fn source(&mut self, received_at: Millis) -> Source {
        match self.dice.random_range(0..20) {
            0 => {
                let event_time = match self.dice.random_range(0..3) {
                    0 => Millis(1 << 60),
                    _ => Millis(self.dice.random_range(0..START)),
                };
                return Source::Imported { event_time };
            }
            1..5 => {
                let link = LinkId(self.dice.random_range(1..3));
                return Source::Registered { link };
            }
            _ => {}
        }
        let dice = &mut self.dice;
        let known = dice.random_ratio(2, 5) && !self.nonces.is_empty();
        let nonce = if known {
            *self.nonces.choose(dice).unwrap()
        } else {
            let at = match dice.random_range(0..20) {
                0 => received_at.plus_ms(dice.random_range(4 * MINUTE..6 * MINUTE)),
                1 => Millis(
                    received_at
                        .0
                        .saturating_sub(dice.random_range(HOUR..32 * DAY)),
                ),
                _ => Millis(
                    received_at
                        .0
                        .saturating_sub(dice.random_range(0..20 * MINUTE)),
                ),
            };
            let nonce = Nonce::new(at, dice.random());
            self.nonces.push(nonce);
            nonce
        };
        let windows = [
            86_400,
            86_400,
            86_400,
            86_400,
            60,
            3_600,
            30 * 86_400,
            30 * 86_400,
        ];
        let too_long = dice.random_ratio(1, 60);
        let window = if too_long {
            30 * 86_400 + 1
        } else {
            *windows.choose(dice).unwrap()
        };
        let price = *PRICES.choose(dice).unwrap();
        Source::Signed {
            key: KeyId(*[9, 9, 9, 9, 9, 1, 2, 3].choose(dice).unwrap()),
            nonce,
            window_s: window,
            price: dice.random_ratio(1, 4).then_some(Micros(price)),
        }
    }

    fn change(&mut self, change: Change) {
        let target = match change.target() {
            tollgate_click::control::Target::Advertiser(advertiser) => Some(advertiser),
            tollgate_click::control::Target::All => None,
        };
        let known = self.changes.iter().position(|(name, _)| *name == target);
        let index = known.unwrap_or_else(|| {
            self.changes.push((target, 0));
            self.changes.len() - 1
        });
        self.changes[index].1 += 1;
        self.controls += 1;
        // The operator's clock lies off now and then.
        let at = match self.dice.random_range(0..12) {
            0 => self.now.saturating_sub(HOUR),
            1 => self.now + SECOND,
            _ => self.now,
        };
        let control = Control {
            number: ControlNumber(self.controls),
            target_number: self.changes[index].1,
            at: Millis(at),
            by: Actor(0),
            change,
        };
        self.broadcast(&Record::Control(control));
    }

    /// A change that never arrives: those after it halt the partition until it does.
    fn skip_a_change(&mut self, advertiser: AdvertiserId) {
        self.advertiser(advertiser);
        let lost = self.log.pop().unwrap();
        self.campaign(advertiser, 1);
        if self.dice.random() {
            self.log.push(lost);
        }
    }

    fn currency(&mut self) -> tollgate_click::Currency {
        let other = self.dice.random_ratio(1, 12);
        if other { "EUR" } else { "USD" }.parse().unwrap()
    }

    fn advertiser(&mut self, advertiser: AdvertiserId) {
        let payment = match self.dice.random_range(0..4) {
            0 => Payment::Open,
            1 => Payment::Credit {
                limit: Micros(*BUDGETS.choose(&mut self.dice).unwrap()),
            },
            _ => Payment::Prepaid,
        };
        let currency = self.currency();
        self.change(Change::Advertiser(Advertiser {
            advertiser,
            name: "A".to_owned(),
            schemes: Vec::new(),
            currency,
            payment,
        }));
    }

    fn campaign(&mut self, advertiser: AdvertiserId, campaign: u64) {
        let currency = self.currency();
        let dice = &mut self.dice;
        let mut budget = |one_in| {
            let budget = Micros(*BUDGETS.choose(dice).unwrap());
            dice.random_ratio(1, one_in).then_some(budget)
        };
        let (daily_budget, total_budget) = (budget(3), budget(4));
        let state = match dice.random_range(0..12) {
            0 | 1 => CampaignState::Paused,
            2 => CampaignState::Archived,
            _ => CampaignState::Active,
        };
        let price = *PRICES.choose(dice).unwrap();
        let price = dice.random_ratio(5, 6).then_some(Micros(price.max(1)));
        // Summer time ends within the history.
        let offset = |from, hours| ZoneOffset {
            from: Millis(from),
            seconds: hours * 3600,
        };
        let offsets = match dice.random_range(0..3) {
            0 => Vec::new(),
            1 => vec![offset(START - DAY, 2), offset(START + 2 * HOUR, 1)],
            _ => vec![offset(START + HOUR, -8)],
        };
        self.change(Change::Campaign(Campaign {
            campaign: CampaignId(campaign),
            advertiser,
            name: "C".to_owned(),
            currency,
            price,
            state,
            daily_budget,
            total_budget,
            zone: "Zone".to_owned(),
            offsets,
        }));
    }

    fn publisher(&mut self, publisher: u32) {
        let share = *[0, 1, 3_333, 5_000, 7_000, 9_999, 10_000]
            .choose(&mut self.dice)
            .unwrap();
        self.change(Change::Publisher(Publisher {
            publisher: PublisherId(publisher),
            name: "P".to_owned(),
            share_basis_points: share,
        }));
    }

    fn key(&mut self) {
        let key = KeyId(self.dice.random_range(1..4));
        if self.dice.random_ratio(1, 3) {
            return self.change(Change::KeyRevoked(key));
        }
        let scope = match self.dice.random_range(0..3) {
            0 => Scope::Only(vec![AdvertiserId(1), AdvertiserId(2)]),
            _ => Scope::All,
        };
        self.change(Change::Key(SigningKey {
            key,
            scope,
            not_before: Millis(0),
            not_after: Millis::MAX,
            test: false,
        }));
    }

    fn money(&mut self, advertiser: AdvertiserId) {
        let currency = self.currency();
        let dice = &mut self.dice;
        let amount = *[0, 1, 350_000, 700_000, 2_000_001].choose(dice).unwrap();
        let (kind, amount) = match dice.random_range(0..6) {
            0 => (MoneyKind::Adjustment, amount),
            1 => (MoneyKind::Adjustment, -amount),
            2 => (MoneyKind::Credit, amount),
            _ => (MoneyKind::TopUp, amount),
        };
        // The same command comes again, with other words too.
        if dice.random_ratio(4, 5) {
            self.commands += 1;
        }
        let command = [self.commands; 16];
        let campaign = dice.random_ratio(1, 5).then_some(CampaignId(1));
        let publisher = dice
            .random_ratio(1, 5)
            .then(|| PublisherId(dice.random_range(1..4)));
        self.change(Change::Money(Money {
            command,
            advertiser,
            kind,
            amount: Micros(amount),
            currency,
            campaign,
            publisher,
            reason: "R".to_owned(),
        }));
    }
}

fn encoded(record: &Record) -> Vec<u8> {
    let mut facts = Vec::new();
    record.encode(&mut facts);
    facts
}
