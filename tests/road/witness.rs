//! Generated traffic through an edge, a log on disk and the core, against what must come of it.
//! Nothing of the command line is in the way, so a difference here is one of the road itself.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tollgate_click::control::{Link, Scope, SigningKey, Target};
use tollgate_click::{
    Actor, AdId, AdvertiserId, CampaignId, Control, ControlNumber, EdgeId, LinkId, Micros, Millis,
    PartitionId, Personal, PlacementId, PseudonymKeyId, PublisherId, Record, Refusal,
};
use tollgate_collect::{
    Clock, Counters, Directory, Edge, EdgeOptions, LogHandle, PseudonymKey, PseudonymKeys, Wiring,
};
use tollgate_link::{Keyring, Secret};
use tollgate_log::{
    Append, Health, Log, NewRecord, Options, Partition, PartitionSet, Read, ReadBudget, ReadFrom,
    RealDisk, SegmentLog,
};
use tollgate_process::{ApplyVersion, Effect, Ending, Incoming, State, apply};
use tollgate_traffic::books::{Kept, Told, books};
use tollgate_traffic::client::Patience;
use tollgate_traffic::compare::{Difference, Side, differences, refusals};
use tollgate_traffic::ending::Ending as HttpEnding;
use tollgate_traffic::fresh;
use tollgate_traffic::generate::Plan;
use tollgate_traffic::history::Fate;
use tollgate_traffic::load::{self, Pace, RenderError, Work};
use tollgate_traffic::world::{Key, World};

const PARTITIONS: u16 = 4;
const CLICKS: u64 = 3_000;

#[test]
fn generated_traffic_is_judged_and_billed_as_its_truth_says() {
    for seed in [1, 20_261_123] {
        let (found, wrong_answers) = run(seed);
        assert_eq!(wrong_answers, Vec::<String>::new(), "seed {seed}");
        assert_eq!(found, [], "seed {seed}");
    }
}

/// Sends the traffic of a seed and compares.
fn run(seed: u64) -> (Vec<Difference>, Vec<String>) {
    let world = World::new(seed, fresh::now()).with_currencies(&["USD", "EUR", "JPY"]);
    let dir = tempfile::tempdir().unwrap();
    let options = Options {
        partitions: PARTITIONS,
        ..Options::default()
    };
    let (log, _) = SegmentLog::open(Arc::new(RealDisk), dir.path(), options).unwrap();
    let log = Arc::new(log);
    append_market(&log, &world);
    let (endings, counters) = send(&log, &world);
    let (side, kept) = recount(&log);
    log.close().unwrap();
    let plan = Plan::new(world, "");
    let told: Vec<Told> = endings
        .iter()
        .map(|(op, ending)| (*op, plan.truth(*op), Fate::from(*ending)))
        .collect();
    let books = books(&world.changes(), &told, &kept);
    assert_eq!(books.lost, 0, "an answer was lost on a quiet machine");
    let by_link = plan.by_construction(CLICKS);
    assert_eq!(books.by_outcome(), by_link, "the two witnesses differ");
    let refused =
        Refusal::ALL.map(|reason| (reason.name().to_owned(), counters.refused_for(reason)));
    let refused = refused
        .into_iter()
        .filter(|(_, count)| *count > 0)
        .collect();
    let mut found = differences(&books, &side);
    found.extend(refusals(&books, &refused));
    (found, books.wrong)
}

struct Recorder {
    plan: Plan,
    endings: Mutex<Vec<(u64, HttpEnding)>>,
}

impl Work for Recorder {
    fn render(&self, op: u64, out: &mut Vec<u8>) -> Result<bool, RenderError> {
        self.plan.render(op, out)
    }

    fn ended(&self, op: u64, ending: HttpEnding) {
        self.endings.lock().unwrap().push((op, ending));
    }
}

fn send(log: &Arc<SegmentLog>, world: &World) -> (Vec<(u64, HttpEnding)>, Counters) {
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

/// The market, as a sequencer writes it.
fn append_market(log: &SegmentLog, world: &World) {
    let appender = log.appender();
    let mut numbers: BTreeMap<Option<AdvertiserId>, u64> = BTreeMap::new();
    let mut commits = Vec::new();
    for (number, change) in (1..).zip(world.changes()) {
        let (target, partition) = match change.target() {
            Target::All => (None, Partition::ALL),
            Target::Advertiser(advertiser) => {
                let place = PartitionId::of_advertiser(advertiser, PARTITIONS);
                (Some(advertiser), Partition(place.get()))
            }
        };
        let target_number = numbers.entry(target).or_insert(0);
        *target_number += 1;
        let control = Control {
            number: ControlNumber(number),
            target_number: *target_number,
            at: Millis(world.now().0 - 1_000),
            by: Actor(0),
            change,
        };
        let mut facts = Vec::new();
        Record::Control(control).encode(&mut facts);
        let record = NewRecord {
            partition,
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
fn recount(log: &SegmentLog) -> (Side, Vec<Kept>) {
    let mut states: Vec<State> = (0..PARTITIONS)
        .map(|p| State::new(PartitionId::new(p).unwrap(), ApplyVersion::V1))
        .collect();
    let mut side = Side {
        name: "core",
        outcomes: Some(BTreeMap::new()),
        spend_micros: Some(BTreeMap::new()),
        ..Side::default()
    };
    let mut kept = Vec::new();
    let mut reader = log.reader(PartitionSet::all(), ReadFrom::Start).unwrap();
    loop {
        let progress = reader.read(ReadBudget::default(), &mut |record| {
            let broadcast = record.partition == Partition::ALL;
            let place = usize::from(record.partition.0);
            let concerned = match broadcast {
                true => &mut states[..],
                false => &mut states[place..=place],
            };
            for state in concerned {
                let incoming = Incoming {
                    facts: record.facts,
                    session: record.session,
                    sequence: record.sequence,
                    broadcast,
                };
                let Effect::Ended(ending) = apply(state, incoming).unwrap().effect else {
                    continue;
                };
                let subs = Personal::decode(record.personal.unwrap()).unwrap().subs;
                let op = std::str::from_utf8(subs[4].unwrap()).unwrap().parse();
                kept.push(Kept {
                    id: ending.facts.click_id,
                    op: op.ok(),
                });
                enter(&mut side, &ending);
            }
        });
        if progress.unwrap().at_end {
            return (side, kept);
        }
    }
}

fn enter(side: &mut Side, ending: &Ending) {
    let campaign = (ending.facts.advertiser.0, ending.facts.campaign.0);
    let outcomes = side.outcomes.as_mut().unwrap().entry(campaign).or_default();
    *outcomes.entry(ending.judgement.outcome).or_default() += 1;
    if ending.judgement.charge != Micros::ZERO {
        let spend = side.spend_micros.as_mut().unwrap().entry(campaign);
        *spend.or_default() += ending.judgement.charge.0;
    }
}
