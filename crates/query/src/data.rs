//! The data behind the API. Every call demands a [`Tenant`] and adds to what is asked whose data
//! they are; nothing else in this crate reaches a store.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::Semaphore;
use tollgate_click::control::{PublisherScope, Role, Scope, Target};
use tollgate_click::{ClickId, Control, Millis, PartitionId};
use tollgate_store::lake::{Found, Lake, LakeError, StoredRow};
use tollgate_store::ledger::{Account, Holder, LedgerError, LedgerReads};
use tollgate_store::rollup::{Answer, Dimension, Filter, Key, Query, QueryError, Rollups};
use tollgate_store::story::{self, Booked, StoryError};

use crate::cursor::Cursors;
use crate::desk::{AuditPage, Desk, NewChange, Written};
use crate::idempotency::{Memory, RequestId};
use crate::node::{EventCounts, Node};
use crate::problem::Problem;
use crate::seen::Seen;
use crate::tenant::Tenant;

/// Reads that may run at a time; more wait.
const READS_MAX: usize = 4;

/// How long a read waits for its turn before it is refused.
const TURN: Duration = Duration::from_secs(2);

/// A ledger that can be moved to another thread.
pub type OpenLedger = Box<dyn LedgerReads + Send>;

/// What the API is made of.
#[derive(Clone)]
pub struct Context {
    /// Who takes changes.
    pub desk: Arc<dyn Desk>,
    /// Where reports are answered from.
    pub rollups: Arc<Rollups>,
    /// Where clicks are found.
    pub lake: Lake,
    /// Opens the ledger for reading.
    pub ledger: Arc<dyn Fn() -> Result<OpenLedger, LedgerError> + Send + Sync>,
    /// The process.
    pub node: Arc<dyn Node>,
    /// Data partitions of the deployment.
    pub partitions: u16,
    /// What cursors are made with; those of another secret are refused.
    pub cursor_secret: [u8; 32],
    /// Where answers to writes outlive the process.
    pub memory: Arc<dyn Memory>,
}

/// The context behind its walls.
pub(crate) struct Data {
    context: Context,
    /// Opened ledgers that nobody uses at the moment.
    ledgers: Arc<Mutex<Vec<OpenLedger>>>,
    turns: Arc<Semaphore>,
    pub(crate) cursors: Cursors,
}

impl Data {
    pub(crate) fn new(context: Context) -> Data {
        let cursors = Cursors::new(context.cursor_secret);
        Data {
            context,
            ledgers: Arc::default(),
            turns: Arc::new(Semaphore::new(READS_MAX)),
            cursors,
        }
    }

    /// The process, which belongs to nobody.
    pub(crate) fn node(&self) -> &dyn Node {
        &*self.context.node
    }

    /// Where answers outlive the process.
    pub(crate) fn memory(&self) -> Arc<dyn Memory> {
        self.context.memory.clone()
    }

    /// Data partitions of the deployment.
    pub(crate) fn partitions(&self) -> u16 {
        self.context.partitions
    }

    /// The tenant of an `Authorization` header.
    pub(crate) fn tenant(&self, authorization: Option<&str>) -> Result<Tenant, Problem> {
        let now = self.node().now();
        let standing = self.context.desk.standing();
        Tenant::of(&standing, authorization, now)
    }

    /// Looks at what stands, as the tenant sees it.
    pub(crate) fn look<T>(&self, tenant: &Tenant, look: impl FnOnce(&Seen<'_>) -> T) -> T {
        let standing = self.context.desk.standing();
        look(&Seen::new(&standing, tenant))
    }

    /// Decides at the desk, over what stands as the tenant sees it, and writes.
    pub(crate) async fn write(
        &self,
        tenant: &Tenant,
        request: Option<RequestId>,
        decide: impl FnOnce(&Seen<'_>, Millis) -> Result<Vec<NewChange>, Problem> + Send + 'static,
    ) -> Result<Written, Problem> {
        let holder = tenant.clone();
        let decide = Box::new(move |standing: &crate::Standing, now| {
            decide(&Seen::new(standing, &holder), now)
        });
        let desk = &self.context.desk;
        desk.submit(tenant.actor(), request, decide).await
    }

    /// What a request has changed whose answer was lost with the process that it was sent to.
    pub(crate) fn carried_out(&self, request: RequestId) -> Option<Vec<Control>> {
        self.context.desk.carried_out(request)
    }

    /// Answers a report over the tenant's clicks.
    pub(crate) async fn report(
        &self,
        tenant: &Tenant,
        mut query: Query,
    ) -> Result<Result<Answer, QueryError>, Problem> {
        query.filters.extend(filters(tenant));
        let only = self.home(tenant);
        let rollups = self.context.rollups.clone();
        self.turn(move || rollups.answer(&query, only.as_deref()))
            .await
    }

    /// Reads the ledger, as the tenant sees it.
    pub(crate) async fn books<T: Send + 'static>(
        &self,
        tenant: &Tenant,
        read: impl FnOnce(&mut Books<'_>) -> Result<T, LedgerError> + Send + 'static,
    ) -> Result<T, Problem> {
        let (idle, open) = (self.ledgers.clone(), self.context.ledger.clone());
        let tenant = tenant.clone();
        let read = self.turn(move || {
            let kept = idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
            let mut ledger = kept.map_or_else(|| open(), Ok)?;
            let mut books = Books {
                ledger: &mut *ledger,
                tenant: &tenant,
            };
            let read = read(&mut books);
            if read.is_ok() {
                idle.lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .push(ledger);
            }
            read
        });
        read.await?.map_err(|error| match error {
            LedgerError::Busy => Problem::unavailable("the ledger is busy", 1),
            error => Problem::broken("the ledger", error),
        })
    }

    /// Finds a click of the tenant's, and everything that its transport repeated of it.
    pub(crate) async fn click(&self, tenant: &Tenant, id: ClickId) -> Result<Vec<Found>, Problem> {
        let lake = self.context.lake.clone();
        let found: Result<Vec<Found>, LakeError> = self.turn(move || lake.find(id)).await?;
        let mut found = found.map_err(|error| {
            self.node().damaged(&error);
            Problem::broken("the lake", error)
        })?;
        found.retain(|one| tenant.sees_advertiser(one.row.facts.advertiser));
        Ok(found)
    }

    /// What a click that the tenant has found has become in the ledger.
    pub(crate) async fn booked(
        &self,
        tenant: &Tenant,
        row: StoredRow,
    ) -> Result<Result<Booked, StoryError>, Problem> {
        let lake = self.context.lake.clone();
        let read = move |books: &mut Books<'_>| match story::booked(&lake, books.ledger(), &row) {
            Err(StoryError::Ledger(error)) => Err(error),
            told => Ok(told),
        };
        self.books(tenant, read).await
    }

    /// Changes from a place on, those that the tenant sees.
    pub(crate) async fn audit(
        &self,
        tenant: &Tenant,
        from: Option<Vec<u8>>,
        limit: usize,
    ) -> Result<AuditPage, Problem> {
        let desk = self.context.desk.clone();
        let page = self
            .turn(move || desk.audit(from.as_deref(), limit))
            .await?;
        let mut page = page?;
        page.changes.retain(|one| match one.change.target() {
            Target::Advertiser(advertiser) => tenant.sees_advertiser(advertiser),
            Target::All => tenant.sees_all(),
        });
        Ok(page)
    }

    /// What the edge has counted, over all tenants.
    pub(crate) fn events(&self, tenant: &Tenant) -> Result<EventCounts, Problem> {
        match tenant.sees_all() {
            true => Ok(self.node().events()),
            false => Err(Problem::forbidden("this key is for some tenants only")),
        }
    }

    /// The partitions that hold the tenant's clicks, where they are not all.
    pub(crate) fn home(&self, tenant: &Tenant) -> Option<Vec<PartitionId>> {
        let Scope::Only(advertisers) = tenant.advertisers() else {
            return None;
        };
        let home = |one: &_| PartitionId::of_advertiser(*one, self.partitions());
        let mut partitions: Vec<PartitionId> = advertisers.iter().map(home).collect();
        partitions.sort_unstable();
        partitions.dedup();
        Some(partitions)
    }

    /// Runs what takes its time on a thread of its own, a few at a time.
    async fn turn<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Problem> {
        let turn = tokio::time::timeout(TURN, self.turns.clone().acquire_owned()).await;
        let Ok(Ok(turn)) = turn else {
            return Err(Problem::unavailable("too many reads at a time", 1));
        };
        let done = tokio::task::spawn_blocking(move || {
            let done = work();
            drop(turn);
            done
        });
        done.await
            .map_err(|error| Problem::broken("the answer", error))
    }
}

/// The ledger as a tenant sees it.
pub(crate) struct Books<'a> {
    ledger: &'a mut dyn LedgerReads,
    tenant: &'a Tenant,
}

impl Books<'_> {
    /// The ledger itself, for what shows only what [`Books::shows`] allows.
    pub(crate) fn ledger(&mut self) -> &mut dyn LedgerReads {
        self.ledger
    }

    /// Whether an account is the tenant's to see.
    pub(crate) fn shows(&self, account: Account) -> bool {
        sees_account(self.tenant, account)
    }
}

/// Whether an account is the tenant's to see: advertisers see no payables, publishers no
/// advertisers, and the platform's own are for those who see everything.
pub(crate) fn sees_account(tenant: &Tenant, account: Account) -> bool {
    let role = tenant.role();
    match account.holder() {
        Holder::Prepaid(advertiser) | Holder::Credit(advertiser) => {
            role != Role::Publisher && tenant.sees_advertiser(advertiser)
        }
        Holder::Payable(publisher) => {
            let is_named = *tenant.publishers() != PublisherScope::All;
            let reaches = is_named || *tenant.advertisers() == Scope::All;
            role != Role::Advertiser && reaches && tenant.sees_publisher(publisher)
        }
        Holder::Revenue | Holder::Adjustments | Holder::Outside => {
            let is_house = !matches!(role, Role::Advertiser | Role::Publisher);
            is_house && tenant.sees_all()
        }
    }
}

/// What every report of a tenant is filtered by.
fn filters(tenant: &Tenant) -> Vec<Filter> {
    let mut filters = Vec::new();
    if let Scope::Only(advertisers) = tenant.advertisers() {
        let numbers = advertisers.iter().map(|one| Key::Number(one.0.into()));
        filters.push(Filter {
            dimension: Dimension::Advertiser,
            any_of: numbers.collect(),
        });
    }
    if let PublisherScope::Only(publishers) = tenant.publishers() {
        let numbers = publishers.iter().map(|one| Key::Number(one.0.into()));
        filters.push(Filter {
            dimension: Dimension::Publisher,
            any_of: numbers.collect(),
        });
    }
    filters
}
