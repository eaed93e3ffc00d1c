//! A deployment in memory with an own and a foreign one of everything.

use std::ops::Deref;
use std::sync::{Arc, Mutex, RwLock};

use axum::Router;
use axum::body::Body;
use http::{Request, StatusCode};
use http_body_util::BodyExt;
use serde_json::Value;
use tollgate_click::control::{
    Ad, Advertiser, ApiKey, Campaign, CampaignState, IngestToken, Link, Payment, Publisher,
    PublisherScope, Role, Scope, ScopeOf, SigningKey, Target,
};
use tollgate_click::facts::Ack;
use tollgate_click::ids::ClickIdParts;
use tollgate_click::{
    Actor, AdId, AdvertiserId, AgentClass, CampaignId, Change, ClickFacts, ClickId, Control,
    ControlNumber, Country, DataSetId, EdgeId, Judgement, KeyId, LinkId, Micros, Millis, Ordinal,
    Outcome, PartitionId, PlacementId, PseudonymKeyId, Pseudonyms, PublisherId, Source,
};
use tollgate_query::data::OpenLedger;
use tollgate_query::idempotency::{Nowhere, RequestId};
use tollgate_query::{
    AuditPage, Context, Decision, Desk, EventCounts, Later, NewChange, Node, PartitionState,
    Problem, Standing, Written, secret,
};
use tollgate_store::lake::{Event, Lake, LocalObjects};
use tollgate_store::ledger::SqliteLedger;
use tollgate_store::rollup::{RollupWriter, Rollups};
use tower::ServiceExt;

pub(crate) const NOW: Millis = Millis(1_795_000_000_000);
pub(crate) const PARTITIONS: u16 = 4;
/// Minutes older than this are posted.
pub(crate) const CLOSED_AGO_MS: u64 = 10 * 60_000;

/// A desk that applies at once.
#[derive(Default)]
pub(crate) struct MemoryDesk {
    standing: RwLock<Standing>,
    changes: Mutex<Vec<Control>>,
    /// Held by a test that lets nobody read the audit.
    gate: Arc<tokio::sync::RwLock<()>>,
}

impl MemoryDesk {
    fn take(&self, by: Actor, news: Vec<NewChange>) -> Written {
        let mut standing = self.standing.write().unwrap();
        let mut numbering = standing.numbering().clone();
        let mut written = Written::default();
        for NewChange { change, secret } in news {
            let (number, target_number) = numbering.next(&change);
            let places = match change.target() {
                Target::All => u32::from(PARTITIONS),
                Target::Advertiser(_) => 1,
            };
            let control = Control {
                number,
                target_number,
                at: NOW,
                by,
                change,
            };
            standing.apply(&control, &secret).unwrap();
            written.numbers.push(number);
            written.partitions = places;
            written.applied = places;
            self.changes.lock().unwrap().push(control);
        }
        written
    }
}

impl Desk for MemoryDesk {
    fn standing(&self) -> Box<dyn Deref<Target = Standing> + '_> {
        Box::new(self.standing.read().unwrap())
    }

    fn submit(
        &self,
        by: Actor,
        _request: Option<RequestId>,
        decide: Decision,
    ) -> Later<'_, Result<Written, Problem>> {
        let decided = decide(&self.standing.read().unwrap(), NOW);
        let written = decided.map(|news| self.take(by, news));
        Box::pin(std::future::ready(written))
    }

    fn carried_out(&self, _request: RequestId) -> Option<Vec<Control>> {
        None
    }

    fn audit(&self, from: Option<&[u8]>, limit: usize) -> Result<AuditPage, Problem> {
        drop(self.gate.blocking_read());
        let from = from.map_or(0, |from| {
            usize::from(u16::from_le_bytes([from[0], from[1]]))
        });
        let changes = self.changes.lock().unwrap();
        let page: Vec<Control> = changes.iter().skip(from).take(limit).cloned().collect();
        let end = from + page.len();
        Ok(AuditPage {
            next: (end < changes.len()).then(|| (end as u16).to_le_bytes().to_vec()),
            changes: page,
        })
    }
}

struct TestNode;

impl Node for TestNode {
    fn ready(&self) -> (bool, String) {
        (true, "{}\n".to_owned())
    }
    fn metrics(&self) -> String {
        String::new()
    }
    fn partitions(&self) -> Vec<PartitionState> {
        let state = |number| PartitionState {
            partition: PartitionId::new(number).unwrap(),
            complete_before: Some(NOW),
            posted: Ordinal(3),
            closed_before: Millis(NOW.0 - CLOSED_AGO_MS).minute(),
            lake: Ordinal(3),
            halt: None,
        };
        (0..PARTITIONS).map(state).collect()
    }
    fn events(&self) -> EventCounts {
        EventCounts::default()
    }
    fn now(&self) -> Millis {
        NOW
    }
}

/// The deployment, with its router.
pub(crate) struct Deployment {
    pub(crate) router: Router,
    desk: Arc<MemoryDesk>,
    folder: Arc<tempfile::TempDir>,
}

/// A click for the rollups.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clicked {
    pub(crate) advertiser: u32,
    pub(crate) campaign: u64,
    pub(crate) publisher: u32,
    pub(crate) ago_ms: u64,
    /// Charged, or free.
    pub(crate) charge: i64,
}

impl Clicked {
    fn record(&self, partition: PartitionId, ordinal: Ordinal) -> (ClickFacts, Judgement) {
        let click_id = ClickId::new(ClickIdParts {
            received_at: Millis(NOW.0 - self.ago_ms),
            partition,
            edge: EdgeId::default(),
            random: ordinal.0,
        });
        let facts = ClickFacts {
            click_id,
            source: Source::Registered { link: LinkId(31) },
            advertiser: AdvertiserId(self.advertiser),
            campaign: CampaignId(self.campaign),
            ad: AdId(0),
            publisher: PublisherId(self.publisher),
            placement: PlacementId(0),
            test: false,
            head: false,
            agent_class: AgentClass::Desktop,
            country: Country::default(),
            hosting: false,
            data_set: DataSetId(0),
            pseudonym_key: PseudonymKeyId(1),
            pseudonyms: Pseudonyms::default(),
            previous: None,
            subs: [None; 5],
            control: ControlNumber(0),
            ack: Ack::Local,
            personal_digest: [0; 16],
        };
        let is_billed = self.charge > 0;
        let judgement = Judgement {
            ordinal,
            outcome: if is_billed {
                Outcome::Billed
            } else {
                Outcome::Free
            },
            charge: Micros(self.charge),
            share: Micros(0),
            currency: "USD".parse().ok(),
        };
        (facts, judgement)
    }
}

/// An answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: http::HeaderMap,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.body))
    }
}

/// Whose key: a role, and whether it sees all tenants or its own only.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Holder {
    pub(crate) role: Role,
    pub(crate) narrow: bool,
}

pub(crate) const ADMIN: Holder = Holder {
    role: Role::Admin,
    narrow: false,
};

impl Holder {
    /// All that there can be: a role of a tenant is narrow.
    pub(crate) fn all() -> Vec<Holder> {
        let both = Role::ALL
            .into_iter()
            .flat_map(|role| [true, false].map(|narrow| Holder { role, narrow }));
        let is_tenant = |role| matches!(role, Role::Advertiser | Role::Publisher);
        both.filter(|holder| holder.narrow || !is_tenant(holder.role))
            .collect()
    }

    fn number(self) -> u32 {
        100 + self.role as u32 * 2 + u32::from(self.narrow)
    }

    pub(crate) fn key(self) -> String {
        secret::api_key(self.number(), &[self.number() as u8; 32])
    }

    fn made(self) -> NewChange {
        let (scope, publishers) = match (self.narrow, self.role) {
            (false, _) => (Scope::All, PublisherScope::All),
            (true, Role::Advertiser) => (ScopeOf::Only(vec![AdvertiserId(1)]), ScopeOf::All),
            (true, Role::Publisher) => (ScopeOf::All, ScopeOf::Only(vec![PublisherId(1)])),
            (true, _) => {
                let own = ScopeOf::Only(vec![AdvertiserId(1)]);
                (own, ScopeOf::Only(vec![PublisherId(1)]))
            }
        };
        NewChange {
            change: Change::ApiKey(ApiKey {
                key: self.number(),
                name: "test".to_owned(),
                role: self.role,
                scope,
                publishers,
                not_after: Millis::MAX,
            }),
            secret: secret::hash(&self.key()).to_vec(),
        }
    }
}

/// One of everything for the own tenant (1) and one for a foreign one (2), whose texts all say
/// `foreign`.
fn seeds() -> Vec<NewChange> {
    let mut seeds: Vec<NewChange> = Vec::new();
    for (number, word) in [(1u32, "own"), (2, "foreign")] {
        let (advertiser, id) = (AdvertiserId(number), u64::from(number));
        let changes = [
            Change::Advertiser(Advertiser {
                advertiser,
                name: format!("{word} advertiser"),
                schemes: Vec::new(),
                currency: "USD".parse().unwrap(),
                payment: Payment::Open,
            }),
            Change::Publisher(Publisher {
                publisher: PublisherId(number),
                name: format!("{word} publisher"),
                share_basis_points: 7_000,
            }),
            Change::Campaign(Campaign {
                campaign: CampaignId(10 + id),
                advertiser,
                name: format!("{word} campaign"),
                currency: "USD".parse().unwrap(),
                price: Some(Micros(350_000)),
                state: CampaignState::Active,
                daily_budget: None,
                total_budget: None,
                zone: "UTC".to_owned(),
                offsets: Vec::new(),
            }),
            Change::Ad(Ad {
                ad: AdId(20 + id),
                advertiser,
                campaign: CampaignId(10 + id),
                name: format!("{word} ad"),
            }),
            Change::Link(Link {
                link: LinkId(30 + id),
                slug: word.to_owned(),
                advertiser,
                campaign: CampaignId(10 + id),
                ad: AdId(0),
                publisher: PublisherId(number),
                placement: PlacementId(0),
                destination: format!("https://example.com/{word}"),
                escaping: 1,
                expires_at: None,
                test: false,
            }),
        ];
        seeds.extend(changes.map(NewChange::from));
    }
    seeds.push(NewChange {
        change: Change::Key(SigningKey {
            key: KeyId(41),
            scope: Scope::All,
            not_before: Millis(0),
            not_after: Millis::MAX,
            test: false,
        }),
        secret: vec![1; 32],
    });
    seeds.push(NewChange {
        change: Change::Token(IngestToken {
            token: 51,
            scope: Scope::All,
            not_after: Millis::MAX,
        }),
        secret: vec![2; 32],
    });
    seeds.extend(Holder::all().into_iter().map(Holder::made));
    seeds
}

impl Deployment {
    pub(crate) fn new() -> Deployment {
        let desk = Arc::new(MemoryDesk::default());
        desk.take(Actor(0), seeds());
        Deployment::over(desk, Arc::new(tempfile::tempdir().unwrap()))
    }

    /// The same data behind a process that has read nothing of them yet.
    pub(crate) fn again(&self) -> Deployment {
        Deployment::over(self.desk.clone(), self.folder.clone())
    }

    fn over(desk: Arc<MemoryDesk>, folder: Arc<tempfile::TempDir>) -> Deployment {
        let objects = Arc::new(LocalObjects::new(folder.path()));
        let path = folder.path().join("ledger.db");
        let router = tollgate_query::router(Context {
            desk: desk.clone(),
            rollups: Arc::new(Rollups::new(objects.clone(), [])),
            lake: Lake::new(objects),
            ledger: Arc::new(move || {
                Ok(Box::new(SqliteLedger::create(&path, PARTITIONS)?) as OpenLedger)
            }),
            node: Arc::new(TestNode),
            partitions: PARTITIONS,
            cursor_secret: [9; 32],
            memory: Arc::new(Nowhere),
        });
        Deployment {
            router,
            desk,
            folder,
        }
    }

    /// Whoever reads the audit waits until the guard is dropped.
    pub(crate) async fn shut_the_audit(&self) -> tokio::sync::OwnedRwLockWriteGuard<()> {
        self.desk.gate.clone().write_owned().await
    }

    /// Flips a bit in the middle of the first rollup file that is found.
    pub(crate) fn damage_a_rollup(&self) {
        let mut folder = self.folder.path().join("rollup/minutes");
        let file = loop {
            let found = std::fs::read_dir(&folder)
                .unwrap()
                .next()
                .unwrap()
                .unwrap()
                .path();
            if found.is_file() {
                break found;
            }
            folder = found;
        };
        let mut bytes = std::fs::read(&file).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        std::fs::write(&file, bytes).unwrap();
    }

    /// Counts clicks into the rollups' files.
    pub(crate) fn count(&self, clicks: &[Clicked]) {
        let objects = Arc::new(LocalObjects::new(self.folder.path()));
        for number in 0..PARTITIONS {
            let partition = PartitionId::new(number).unwrap();
            let home = |one: &&Clicked| {
                PartitionId::of_advertiser(AdvertiserId(one.advertiser), PARTITIONS) == partition
            };
            let mut writer = RollupWriter::open(objects.clone(), partition).unwrap();
            let mut last = Ordinal(0);
            for (ordinal, one) in (1..).zip(clicks.iter().filter(home)) {
                last = Ordinal(ordinal);
                let (facts, judgement) = one.record(partition, last);
                writer.count(Event::Click, &facts, &judgement, "").unwrap();
            }
            if last > Ordinal(0) {
                writer.cut(Ordinal(1), last).unwrap();
            }
        }
    }

    /// Sends a request; `body` is JSON when it is not empty.
    pub(crate) async fn send(
        &self,
        holder: Option<Holder>,
        (method, path): (&str, &str),
        body: &str,
        headers: &[(&str, &str)],
    ) -> Answer {
        let mut request = Request::builder().method(method).uri(path);
        if let Some(holder) = holder {
            request = request.header("authorization", format!("Bearer {}", holder.key()));
        }
        if !body.is_empty() {
            request = request.header("content-type", "application/json");
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Body::from(body.to_owned())).unwrap();
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let bytes = body.collect().await.unwrap().to_bytes();
        Answer {
            status: parts.status,
            headers: parts.headers,
            body: String::from_utf8_lossy(&bytes).into_owned(),
        }
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.send(Some(ADMIN), ("GET", path), "", &[]).await
    }

    pub(crate) async fn post(&self, path: &str, body: &str) -> Answer {
        self.send(Some(ADMIN), ("POST", path), body, &[]).await
    }

    pub(crate) async fn patch(&self, path: &str, body: &str) -> Answer {
        self.send(Some(ADMIN), ("PATCH", path), body, &[]).await
    }
}
