//! The API's listener: connections with time limits, and what its router is made of.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context as _;
use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tollgate_click::{Millis, PartitionId, Refusal};
use tollgate_collect::{Clock, RunningEdge};
use tollgate_query::data::OpenLedger;
use tollgate_query::idempotency::Memory;
use tollgate_query::throttle::Peer;
use tollgate_query::{Context, Desk, EventCounts, PartitionState};
use tollgate_store::lake::{Lake, LakeError, Objects};
use tollgate_store::ledger::SqliteLedger;
use tollgate_store::rollup::{OpenMinutes, Rollups};

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
    pub(crate) desk: Arc<dyn Desk>,
    /// Where lake and rollups are.
    pub(crate) objects: Arc<dyn Objects>,
    /// Minutes that are not in files yet, of partitions that are written in this process.
    pub(crate) open: Vec<(PartitionId, OpenMinutes)>,
    /// The ledger's file.
    pub(crate) ledger: PathBuf,
    pub(crate) partitions: u16,
    /// How far each partition is.
    pub(crate) states: Box<dyn Fn() -> Vec<PartitionState> + Send + Sync>,
    /// Hears of damaged files.
    pub(crate) damaged: Box<dyn Fn(&LakeError) + Send + Sync>,
    pub(crate) edge: Arc<Mutex<Option<RunningEdge>>>,
    pub(crate) clock: Clock,
    /// What cursors are made with, in every process over the same data.
    pub(crate) cursor_secret: [u8; 32],
    pub(crate) memory: Arc<dyn Memory>,
}

/// Opens the listener.
pub(crate) async fn listen(address: SocketAddr) -> anyhow::Result<(TcpListener, SocketAddr)> {
    let cannot = || format!("cannot listen on {address} (api.listen)");
    let listener = TcpListener::bind(address).await.with_context(cannot)?;
    let bound = listener.local_addr().with_context(cannot)?;
    Ok((listener, bound))
}

/// The service over these parts.
pub(crate) fn router(parts: Parts<impl Status>) -> axum::Router {
    let path = parts.ledger;
    tollgate_query::router(Context {
        rollups: Arc::new(Rollups::new(parts.objects.clone(), parts.open)),
        lake: Lake::new(parts.objects),
        ledger: Arc::new(move || {
            let ledger = SqliteLedger::open_read_only(&path)?;
            Ok(Box::new(ledger) as OpenLedger)
        }),
        partitions: parts.partitions,
        cursor_secret: parts.cursor_secret,
        memory: parts.memory,
        desk: parts.desk,
        node: Arc::new(NodeView {
            status: parts.status,
            states: parts.states,
            damaged: parts.damaged,
            edge: parts.edge,
            clock: parts.clock,
        }),
    })
}

/// Serves until it is dropped.
pub(crate) async fn serve(listener: TcpListener, router: axum::Router) {
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let Ok(place) = places.clone().acquire_owned().await else {
            return;
        };
        let (stream, peer) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                // Such as for want of file descriptors: it passes, or it will be seen.
                tracing::warn!(%error, "the API cannot accept");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let service = TowerToHyperService::new(router.clone());
        let service = service_fn(move |mut request: Request<Incoming>| {
            request.extensions_mut().insert(Peer(peer.ip()));
            service.call(request)
        });
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
    states: Box<dyn Fn() -> Vec<PartitionState> + Send + Sync>,
    damaged: Box<dyn Fn(&LakeError) + Send + Sync>,
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
        (self.states)()
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

    fn damaged(&self, error: &LakeError) {
        (self.damaged)(error);
    }

    fn now(&self) -> Millis {
        self.clock.read()
    }
}

/// How far the partitions of a worker in this process are.
pub(crate) fn states_of(
    progress: Option<Progress>,
) -> Box<dyn Fn() -> Vec<PartitionState> + Send + Sync> {
    Box::new(move || {
        let views = progress.as_ref().map(Progress::partitions);
        views.unwrap_or_default().into_iter().map(state).collect()
    })
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
