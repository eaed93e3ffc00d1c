//! The API's listener: connections with time limits, and what its router is made of.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context as _;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tollgate_click::{Millis, Refusal};
use tollgate_collect::{Clock, RunningEdge};
use tollgate_query::data::OpenLedger;
use tollgate_query::{Context, EventCounts, PartitionState};
use tollgate_store::lake::{Lake, Objects};
use tollgate_store::ledger::SqliteLedger;
use tollgate_store::rollup::Rollups;

use crate::control::desk::Desk;
use crate::worker::{PartitionView, Progress};

/// Open connections; more wait.
const CONNECTIONS_MAX: usize = 256;

/// What is told of the whole node.
pub(crate) trait Status: Send + Sync + 'static {
    /// Whether all is well, and the JSON that says so.
    fn ready(&self) -> (bool, String);
    /// Prometheus text.
    fn metrics(&self) -> String;
}

/// What the API is made of.
pub(crate) struct Parts<S> {
    pub(crate) status: S,
    pub(crate) desk: Desk,
    /// Where lake and rollups are.
    pub(crate) objects: Arc<dyn Objects>,
    /// The ledger's file.
    pub(crate) ledger: PathBuf,
    pub(crate) partitions: u16,
    pub(crate) progress: Option<Progress>,
    pub(crate) edge: Arc<Mutex<Option<RunningEdge>>>,
    pub(crate) clock: Clock,
}

/// Opens the listener.
pub(crate) async fn listen(address: SocketAddr) -> anyhow::Result<(TcpListener, SocketAddr)> {
    let cannot = || format!("cannot listen on {address} (api.listen)");
    let listener = TcpListener::bind(address).await.with_context(cannot)?;
    let bound = listener.local_addr().with_context(cannot)?;
    Ok((listener, bound))
}

/// The service over these parts.
pub(crate) fn router(parts: Parts<impl Status>) -> anyhow::Result<axum::Router> {
    let open = parts.progress.as_ref().map(Progress::open_minutes);
    let mut cursor_secret = [0; 32];
    getrandom::fill(&mut cursor_secret).context("cannot draw a secret")?;
    let path = parts.ledger.clone();
    Ok(tollgate_query::router(Context {
        rollups: Arc::new(Rollups::new(
            parts.objects.clone(),
            open.unwrap_or_default(),
        )),
        lake: Lake::new(parts.objects.clone()),
        ledger: Arc::new(move || {
            let ledger = SqliteLedger::open_read_only(&path)?;
            Ok(Box::new(ledger) as OpenLedger)
        }),
        partitions: parts.partitions,
        cursor_secret,
        desk: Arc::new(parts.desk),
        node: Arc::new(NodeView {
            status: parts.status,
            progress: parts.progress,
            edge: parts.edge,
            clock: parts.clock,
        }),
    }))
}

/// Serves until it is dropped.
pub(crate) async fn serve(listener: TcpListener, router: axum::Router) {
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let Ok(place) = places.clone().acquire_owned().await else {
            return;
        };
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                // Such as for want of file descriptors: it passes, or it will be seen.
                tracing::warn!(%error, "the API cannot accept");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let service = TowerToHyperService::new(router.clone());
        tokio::spawn(async move {
            let mut server = http1::Builder::new();
            server
                .timer(TokioTimer::new())
                .header_read_timeout(Duration::from_secs(10));
            let served = server.serve_connection(TokioIo::new(stream), service).await;
            if let Err(error) = served {
                tracing::debug!(%error, "an API connection broke");
            }
            drop(place);
        });
    }
}

/// The node as the API tells of it.
struct NodeView<S> {
    status: S,
    progress: Option<Progress>,
    edge: Arc<Mutex<Option<RunningEdge>>>,
    clock: Clock,
}

impl<S: Status> tollgate_query::Node for NodeView<S> {
    fn ready(&self) -> (bool, String) {
        self.status.ready()
    }

    fn metrics(&self) -> String {
        self.status.metrics()
    }

    fn partitions(&self) -> Vec<PartitionState> {
        let views = self.progress.as_ref().map(Progress::partitions);
        views.unwrap_or_default().into_iter().map(state).collect()
    }

    fn events(&self) -> EventCounts {
        let edge = self.edge.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(counters) = edge.as_ref().map(RunningEdge::counters) else {
            return EventCounts::default();
        };
        let refused = Refusal::ALL.into_iter();
        let refused = refused.filter(|reason| *reason != Refusal::Unrecorded);
        EventCounts {
            edge: true,
            hits: counters.hits,
            recorded: counters.recorded(),
            refused: refused
                .map(|reason| (reason.name().to_owned(), counters.refused_for(reason)))
                .collect(),
            unrecorded: counters.refused_for(Refusal::Unrecorded),
        }
    }

    fn now(&self) -> Millis {
        self.clock.read()
    }
}

fn state(view: PartitionView) -> PartitionState {
    PartitionState {
        partition: view.partition,
        complete_before: view.complete_before.map(|minute| minute.start()),
        posted: view.posted,
        closed_before: view.closed_before,
        lake: view.lake,
        halt: view.halt,
    }
}
