//! Generated traffic through an edge, a log on disk and the core, against what must come of it.
//! Nothing of the command line is in the way, so a difference here is one of the road itself.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tollgate_click::control::{Campaign, CampaignState, Link, Scope, SigningKey};
use tollgate_click::{
    Actor, AdId, AdvertiserId, CampaignId, Change, ClickId, Control, ControlNumber, EdgeId, LinkId,
    Micros, Millis, PartitionId, PlacementId, PseudonymKeyId, PublisherId, Record, Refusal,
};
use tollgate_collect::{
    Clock, Counters, Directory, Edge, EdgeOptions, LogHandle, PseudonymKey, PseudonymKeys, Wiring,
};
use tollgate_link::{Keyring, Secret};
use tollgate_log::{
    Append, Health, Log, NewRecord, Options, Partition, PartitionSet, Read, ReadBudget, ReadFrom,
    RealDisk, SegmentLog,
};
use tollgate_process::{ApplyVersion, Effect, Incoming, State, apply};
use tollgate_traffic::client::Patience;
use tollgate_traffic::compare::{Counted, Difference, differences};
use tollgate_traffic::ending::Ending;
use tollgate_traffic::fresh;
use tollgate_traffic::generate::Plan;
use tollgate_traffic::history::Fate;
use tollgate_traffic::load::{self, Pace, RenderError, Work};
use tollgate_traffic::oracle::{self, Truth};
use tollgate_traffic::world::{Key, World};

const PARTITIONS: u16 = 4;
const CLICKS: u64 = 3_000;

#[test]
fn generated_traffic_is_judged_and_billed_as_its_truth_says() {
    for seed in [1, 20_261_123] {
        let (found, wrong_answers) = run(seed);
        assert_eq!(wrong_answers, [], "seed {seed}");
        assert_eq!(found, [], "seed {seed}");
    }
}

/// Sends the traffic of a seed and compares.
fn run(seed: u64) -> (Vec<Difference>, Vec<(u64, String)>) {
    let world = World::new(seed, fresh::now()).with_currencies(&["USD", "EUR", "JPY"]);
    let dir = tempfile::tempdir().unwrap();
    let options = Options {
        partitions: PARTITIONS,
        ..Options::default()
    };
    let (log, _) = SegmentLog::open(Arc::new(RealDisk), dir.path(), options).unwrap();
    let log = Arc::new(log);
    append_campaigns(&log, &world);
    let (endings, counters) = send(&log, &world);
    let mut counted = recount(&log);
    for reason in Refusal::ALL {
        let refused = counters.refused_for(reason);
        if refused > 0 {
            counted.refused.insert(reason.name().to_owned(), refused);
        }
    }
    log.close().unwrap();
    let plan = Plan::new(world, "");
    compare(&plan, &endings, &counted)
}

fn compare(
    plan: &Plan,
    endings: &[(u64, Ending)],
    counted: &Counted,
) -> (Vec<Difference>, Vec<(u64, String)>) {
    let told: Vec<(u64, Truth, Fate)> = endings
        .iter()
        .map(|(op, ending)| (*op, Plan::truth(plan, *op), Fate::from(*ending)))
        .collect();
    let receipts: BTreeSet<ClickId> = told.iter().filter_map(|told| told.2.kept()).collect();
    let told = told.iter().map(|(op, truth, fate)| (*op, truth, *fate));
    let (least, most) = oracle::bounds(&plan.world().campaigns(), told);
    assert_eq!(least, most, "an answer was lost on a quiet machine");
    let by_link = plan.by_construction(CLICKS);
    assert_eq!(least.by_outcome(), by_link, "the two witnesses differ");
    let found = differences((&least, &most), counted, &receipts, 0);
    (found, least.wrong_answers)
}

struct Recorder {
    plan: Plan,
    endings: Mutex<Vec<(u64, Ending)>>,
}

impl Work for Recorder {
    fn render(&self, op: u64, out: &mut Vec<u8>) -> Result<bool, RenderError> {
        self.plan.render(op, out)
    }

    fn ended(&self, op: u64, ending: Ending) {
        self.endings.lock().unwrap().push((op, ending));
    }
}

fn send(log: &Arc<SegmentLog>, world: &World) -> (Vec<(u64, Ending)>, Counters) {
    let key = PseudonymKey {
        id: PseudonymKeyId(1),
        secret: [7; 16],
    };
    let keys = PseudonymKeys {
        current: key,
        previous: None,
    };
    let any_port = SocketAddr::from(([127, 0, 0, 1], 0));
    let mut options = EdgeOptions::new(EdgeId::new(1).unwrap(), any_port, keys);
    options.partitions = PARTITIONS;
    let wiring = Arc::new(Wiring::from_pointee(directory(world)));
    let (log, probed) = (Arc::clone(log), Arc::clone(log));
    let handle = LogHandle::new(
        move || log.appender(),
        move || match probed.health() {
            Health::Writable => Ok(()),
            other => Err(format!("{other:?}")),
        },
    );
    let edge = Edge::start(options, wiring, handle, Clock::system()).unwrap();
    let address = edge.addresses()[0];
    let work = Arc::new(Recorder {
        plan: Plan::new(*world, address.to_string()),
        endings: Mutex::new(Vec::new()),
    });
    let options = load::Options {
        address,
        connections: 32,
        threads: 1,
        pace: Pace::Closed {
            total: Some(CLICKS),
            duration: None,
        },
        patience: Patience::default(),
        give_up: Duration::from_secs(5),
    };
    let run = load::start(options, work.clone(), None).unwrap();
    let summary = run.join().unwrap();
    assert_eq!(summary.sent, CLICKS);
    let counters = edge.counters();
    drop(edge);
    let endings = std::mem::take(&mut *work.endings.lock().unwrap());
    (endings, counters)
}

/// The keys and links of the world, as an edge knows them.
fn directory(world: &World) -> Directory {
    let mut keys = Keyring::new();
    for key in Key::IN_FILE {
        let scope = match key {
            Key::Narrow => Scope::Only(vec![AdvertiserId(1)]),
            _ => Scope::All,
        };
        let not_after = match key {
            Key::Lapsed => Millis(world.now().0 - 1),
            _ => Millis::MAX,
        };
        let signing = SigningKey {
            key: key.id(),
            scope,
            not_before: Millis(0),
            not_after,
            test: key == Key::Test,
        };
        keys.insert(signing, Secret::new(world.secret_bytes(key)));
    }
    keys.revoke(Key::Revoked.id(), Millis(0));
    let lines = world.link_lines();
    let link = |line: &serde_json::Value| {
        let number = |field: &str| line[field].as_u64().unwrap_or(0);
        let link = Link {
            link: LinkId(number("link")),
            slug: line["slug"].as_str().unwrap().to_owned(),
            advertiser: AdvertiserId(number("advertiser") as u32),
            campaign: CampaignId(number("campaign")),
            ad: AdId(number("ad")),
            publisher: PublisherId(number("publisher") as u32),
            placement: PlacementId(number("placement")),
            destination: line["destination"].as_str().unwrap().to_owned(),
            escaping: number("escaping") as u8,
            expires_at: line["expires_at_ms"].as_u64().map(Millis),
            test: line["test"].as_bool().unwrap(),
        };
        (link.slug.clone(), Arc::new(link))
    };
    Directory {
        keys,
        links: lines.iter().map(link).collect(),
        ..Directory::default()
    }
}

fn append_campaigns(log: &SegmentLog, world: &World) {
    let appender = log.appender();
    let mut numbers: BTreeMap<u32, u64> = BTreeMap::new();
    let mut commits = Vec::new();
    for (index, ((advertiser, campaign), terms)) in world.campaigns().into_iter().enumerate() {
        let target_number = numbers.entry(advertiser).or_insert(0);
        *target_number += 1;
        let state = if terms.paused {
            CampaignState::Paused
        } else {
            CampaignState::Active
        };
        let control = Control {
            number: ControlNumber(index as u64 + 1),
            target_number: *target_number,
            at: Millis(world.now().0 - 1_000),
            by: Actor(0),
            change: Change::Campaign(Campaign {
                campaign: CampaignId(campaign),
                advertiser: AdvertiserId(advertiser),
                name: String::new(),
                currency: terms.currency,
                price: terms.price_micros.map(Micros),
                state,
                daily_budget: None,
                total_budget: None,
                zone: String::new(),
                offsets: Vec::new(),
            }),
        };
        let mut facts = Vec::new();
        Record::Control(control).encode(&mut facts);
        let partition = PartitionId::of_advertiser(AdvertiserId(advertiser), PARTITIONS);
        let record = NewRecord {
            partition: Partition(partition.get()),
            facts: &facts,
            personal: b"",
        };
        commits.push(appender.append(record).unwrap());
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    for commit in commits {
        runtime.block_on(commit).unwrap();
    }
}

/// Reads the log from its start through the core.
fn recount(log: &SegmentLog) -> Counted {
    let mut states: Vec<State> = (0..PARTITIONS)
        .map(|p| State::new(PartitionId::new(p).unwrap(), ApplyVersion::V1))
        .collect();
    let mut counted = Counted::default();
    let mut reader = log.reader(PartitionSet::all(), ReadFrom::Start).unwrap();
    loop {
        let progress = reader.read(ReadBudget::default(), &mut |record| {
            let incoming = Incoming {
                facts: record.facts,
                session: record.session,
                sequence: record.sequence,
                broadcast: false,
            };
            let state = &mut states[usize::from(record.partition.0)];
            let Effect::Ended(ending) = apply(state, incoming).unwrap().effect else {
                return;
            };
            let campaign = (ending.facts.advertiser.0, ending.facts.campaign.0);
            *counted.recorded.entry(ending.facts.click_id).or_default() += 1;
            let outcomes = counted.outcomes.entry(campaign).or_default();
            *outcomes.entry(ending.judgement.outcome).or_default() += 1;
            if ending.judgement.charge != Micros::ZERO {
                let spend = counted.spend_micros.entry(campaign).or_default();
                let currency = ending.judgement.currency.unwrap();
                *spend.entry(currency).or_default() += i128::from(ending.judgement.charge.0);
            }
        });
        if progress.unwrap().at_end {
            return counted;
        }
    }
}
