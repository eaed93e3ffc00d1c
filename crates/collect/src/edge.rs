//! The edge as a running thing: its threads, its start, its end.
//!
//! One thread accepts. Threads that serve come in pairs: one goes round the plain connections, the
//! worker beside it has a runtime and serves all others. Each of them has a log appender, a desk
//! and books of its own, so that requests on different threads share nothing but the clock's last
//! instant and the directory.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::runtime::{Builder, Runtime};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::sync::oneshot;
use tollgate_log::Append;

use crate::core::clock::Clock;
use crate::core::desk::{Desk, DeskError, DeskParts};
use crate::core::ids::ClickIds;
use crate::counters::{Counters, Tally};
use crate::directory::Wiring;
use crate::drain::{Drain, DrainSwitch};
use crate::http::accept::{self, Arrival, Door, Usher};
use crate::http::caps::Caps;
use crate::http::rounds::{self, Rounds};
use crate::http::tls::{Certificate, TlsError};
use crate::options::{EdgeOptions, ListenerOptions};
use crate::quarantine::{Quarantine, Sample};
use crate::readiness::{LogProbe, Readiness};
use crate::worker::{Books, Worker};

/// The append half of a log, as an edge needs it.
pub struct LogHandle<A> {
    appender: Box<dyn Fn() -> A>,
    writable: LogProbe,
}

impl<A: Append> LogHandle<A> {
    /// `appender` is called once a thread; `writable` says why the log takes nothing, for
    /// `/readyz`.
    pub fn new(
        appender: impl Fn() -> A + 'static,
        writable: impl Fn() -> Result<(), String> + Send + Sync + 'static,
    ) -> LogHandle<A> {
        LogHandle {
            appender: Box::new(appender),
            writable: Arc::new(writable),
        }
    }
}

/// Starts edges.
///
/// An edge on a free port over a log in memory:
///
/// ```
/// use std::sync::Arc;
/// use std::time::Duration;
/// use tollgate_click::{EdgeId, PseudonymKeyId};
/// use tollgate_collect::{
///     Clock, Directory, Edge, EdgeOptions, LogHandle, PseudonymKey, PseudonymKeys, Wiring,
/// };
/// use tollgate_log::{Log, MemoryLog};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let current = PseudonymKey { id: PseudonymKeyId(1), secret: [7; 16] };
/// let keys = PseudonymKeys { current, previous: None };
/// let options = EdgeOptions::new(EdgeId::new(0)?, "127.0.0.1:0".parse()?, keys);
/// let wiring = Arc::new(Wiring::from_pointee(Directory::default()));
/// let log = MemoryLog::new(options.partitions, 1);
/// let handle = LogHandle::new(move || log.appender(), || Ok(()));
/// let edge = Edge::start(options, wiring, handle, Clock::system())?;
/// assert_ne!(edge.addresses()[0].port(), 0);
/// assert_eq!(edge.counters().hits, 0);
/// let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
/// assert_eq!(runtime.block_on(edge.drain(Duration::from_secs(5))).cut, 0);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Edge;

/// Why an edge does not start. Nothing is left running.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Options that make no edge.
    #[error("{0}")]
    Options(&'static str),
    /// A listener cannot be opened.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// Its address.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// A certificate is not good.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// A desk cannot be set up.
    #[error(transparent)]
    Desk(#[from] DeskError),
    /// A thread or its runtime cannot be made.
    #[error("cannot start a thread: {0}")]
    Thread(#[from] io::Error),
}

/// An edge that serves. Dropping it cuts everything off; [`RunningEdge::drain`] does not.
pub struct RunningEdge {
    addresses: Vec<SocketAddr>,
    books: Vec<Arc<Books>>,
    caps: Arc<Caps>,
    certificates: Vec<Arc<Certificate>>,
    readiness: Arc<Readiness>,
    switch: DrainSwitch,
    drain_delay: Duration,
    ended: Vec<oneshot::Receiver<()>>,
    threads: Vec<JoinHandle<()>>,
}

/// How a drain went.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Drained {
    /// Connections that were still open at the deadline and were cut.
    pub cut: usize,
}

impl Edge {
    /// Starts all threads; when it returns, all listeners are open.
    pub fn start<A: Append + 'static>(
        options: EdgeOptions,
        wiring: Arc<Wiring>,
        log: LogHandle<A>,
        clock: Clock,
    ) -> Result<RunningEdge, StartError> {
        check(&options)?;
        let options = Arc::new(options);
        let doors = doors(&options)?;
        let readiness = Readiness::new(clock.clone(), wiring.clone(), log.writable.clone());
        let mut edge = RunningEdge::without_threads(&options, &doors, readiness);
        let mut secret = [0; 16];
        getrandom::fill(&mut secret).map_err(DeskError::Random)?;
        let mut usher = Usher {
            clients: options.clients.clone(),
            caps: edge.caps.clone(),
            books: edge.new_books(&options, &clock),
            rounds: Vec::new(),
            workers: Vec::new(),
            next: AtomicUsize::new(0),
        };
        let mut ids = ClickIds::for_threads(options.edge, secret, 2 * options.threads).into_iter();
        let mut new_worker = |edge: &mut RunningEdge| {
            let parts = DeskParts {
                clock: clock.clone(),
                ids: ids.next().ok_or(StartError::Options("too few ids"))?,
                keys: options.pseudonyms.clone(),
                partitions: options.partitions,
                ack: options.ack,
                window_s_max: options.limits.window_s_max,
            };
            let worker = Worker::new(
                options.clone(),
                edge.readiness.clone(),
                edge.new_books(&options, &clock),
                wiring.clone(),
                (log.appender)(),
                Desk::new(parts)?,
            );
            Ok::<_, StartError>(worker)
        };
        for _ in 0..options.threads {
            let (arrivals, queue) = unbounded_channel(); // bounded by the cap on connections
            let worker = new_worker(&mut edge)?;
            let drain = edge.switch.view();
            edge.spawn_with_runtime("edge-worker", move |runtime| {
                runtime.block_on(work(Arc::new(worker), queue, drain));
            })?;
            if doors.iter().any(Door::is_plain) {
                let (post, entrance) = rounds::post()?;
                edge.switch.ring(post.bell().clone());
                let worker = new_worker(&mut edge)?.going_rounds();
                let rounds = Rounds::new(worker, post, arrivals.clone(), edge.switch.view());
                // An error ends the thread, and its connections with it.
                edge.spawn("edge-rounds", move || rounds.run().unwrap_or_default())?;
                usher.rounds.push(entrance);
            }
            usher.workers.push(arrivals);
        }
        edge.listen(&options.listeners, doors, usher)?;
        Ok(edge)
    }
}

fn check(options: &EdgeOptions) -> Result<(), StartError> {
    if options.threads == 0 {
        return Err(StartError::Options("an edge needs at least one thread"));
    }
    if options.listeners.is_empty() {
        return Err(StartError::Options("an edge needs at least one listener"));
    }
    if options.partitions == 0 || options.partitions > tollgate_click::limits::PARTITIONS_MAX {
        return Err(StartError::Options("partitions must be between 1 and 4096"));
    }
    Ok(())
}

fn doors(options: &EdgeOptions) -> Result<Vec<Door>, TlsError> {
    let door = |listener: &ListenerOptions| {
        let certificate = listener.tls.clone().map(Certificate::load).transpose()?;
        let proxy_protocol = listener.proxy_protocol;
        Ok(Door {
            certificate: certificate.map(Arc::new),
            proxy_protocol,
        })
    };
    options.listeners.iter().map(door).collect()
}

/// One worker thread: takes its connections and serves them, to the end of the last one.
async fn work<A: Append + 'static>(
    worker: Arc<Worker<A>>,
    mut queue: UnboundedReceiver<Arrival>,
    drain: Drain,
) {
    let (alive, mut last) = tokio::sync::mpsc::channel::<()>(1);
    let serve = async {
        while let Some(arrival) = queue.recv().await {
            let (worker, drain, alive) = (worker.clone(), drain.clone(), alive.clone());
            tokio::spawn(async move {
                accept::welcome(worker, arrival, drain).await;
                drop(alive);
            });
        }
        // The acceptor has ended: wait for the connections, then for commits that nobody waits
        // for any more.
        drop(alive);
        last.recv().await;
        while Counters::sum([&worker.books.tally].into_iter()).pending() > 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::select! {
        () = serve => {}
        () = drain.clone().stopped() => {}
    }
}

impl RunningEdge {
    fn without_threads(options: &EdgeOptions, doors: &[Door], readiness: Readiness) -> RunningEdge {
        let certificates = doors.iter().filter_map(|door| door.certificate.clone());
        RunningEdge {
            addresses: Vec::new(),
            books: Vec::new(),
            caps: Arc::new(Caps::new(&options.limits)),
            certificates: certificates.collect(),
            readiness: Arc::new(readiness),
            switch: DrainSwitch::new(),
            drain_delay: options.timeouts.drain_delay,
            ended: Vec::new(),
            threads: Vec::new(),
        }
    }

    /// The addresses of the listeners, in the order of the options.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// What was counted since the start.
    pub fn counters(&self) -> Counters {
        Counters::sum(self.books.iter().map(|books| &books.tally))
    }

    /// Samples of what was refused last, oldest first.
    pub fn quarantine(&self) -> Vec<Sample> {
        let mut samples: Vec<Sample> = self
            .books
            .iter()
            .flat_map(|books| books.quarantine.samples())
            .collect();
        samples.sort_by_key(|sample| sample.at);
        samples
    }

    /// Connections that are open now.
    pub fn connections(&self) -> usize {
        self.caps.open()
    }

    /// What `/readyz` says, and where fresh ticks are noted.
    pub fn readiness(&self) -> &Arc<Readiness> {
        &self.readiness
    }

    /// Reads all certificates again; a bad one leaves its old one in use.
    pub fn reload_certificates(&self) -> Result<(), TlsError> {
        self.certificates
            .iter()
            .try_for_each(|certificate| certificate.reload())
    }

    /// Ends the edge: not ready, then (after the drain delay) no new connections, then each open
    /// one ends after the request at hand. What is still open after `deadline` is cut. Needs a
    /// runtime with time.
    pub async fn drain(mut self, deadline: Duration) -> Drained {
        self.readiness.start_draining();
        tokio::time::sleep(self.drain_delay).await;
        self.switch.start();
        let ended = std::mem::take(&mut self.ended);
        let all_ended = async {
            for thread in ended {
                // A thread that is gone without a word has ended too.
                let _ = thread.await;
            }
        };
        let in_time = tokio::time::timeout(deadline, all_ended).await.is_ok();
        let cut = if in_time { 0 } else { self.caps.open() };
        self.finish();
        Drained { cut }
    }

    fn new_books(&mut self, options: &EdgeOptions, clock: &Clock) -> Arc<Books> {
        let books = Arc::new(Books {
            tally: Tally::default(),
            quarantine: Quarantine::new(options.limits.quarantine_samples),
            clock: clock.clone(),
        });
        self.books.push(books.clone());
        books
    }

    fn spawn_with_runtime(
        &mut self,
        name: &str,
        run: impl FnOnce(Runtime) + Send + 'static,
    ) -> Result<(), StartError> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        self.spawn(name, move || run(runtime))
    }

    fn spawn(&mut self, name: &str, run: impl FnOnce() + Send + 'static) -> Result<(), StartError> {
        let (end, ended) = oneshot::channel();
        let thread = std::thread::Builder::new()
            .name(name.to_owned())
            .spawn(move || {
                run();
                let _ = end.send(()); // nobody may be listening
            })?;
        self.ended.push(ended);
        self.threads.push(thread);
        Ok(())
    }

    /// Starts the accepting thread and waits until its listeners are open.
    fn listen(
        &mut self,
        listeners: &[ListenerOptions],
        doors: Vec<Door>,
        usher: Usher,
    ) -> Result<(), StartError> {
        let wanted: Vec<SocketAddr> = listeners.iter().map(|listener| listener.address).collect();
        let drain = self.switch.view();
        let (report, opened) = mpsc::channel();
        self.spawn_with_runtime("edge-accept", move |runtime| {
            runtime.block_on(async move {
                let mut listening = Vec::new();
                for (address, door) in wanted.into_iter().zip(doors) {
                    let open = || {
                        let listener = accept::listen(address)?;
                        Ok((listener.local_addr()?, listener))
                    };
                    let opened = open().map(|(bound, listener)| {
                        listening.push((listener, door));
                        bound
                    });
                    let opened = opened.map_err(|source| StartError::Listen { address, source });
                    let _ = report.send(opened);
                }
                drop(report);
                let usher = Arc::new(usher);
                for (listener, door) in listening {
                    tokio::spawn(accept::accept_all(listener, door, usher.clone()));
                }
                drop(usher);
                drain.started().await;
            });
        })?;
        self.addresses = opened.iter().collect::<Result<_, StartError>>()?;
        Ok(())
    }

    fn finish(&mut self) {
        self.readiness.start_draining();
        self.switch.stop();
        for thread in self.threads.drain(..) {
            // A worker that panicked has lost its connections and nothing else.
            let _ = thread.join();
        }
    }
}

impl Drop for RunningEdge {
    fn drop(&mut self) {
        self.finish();
    }
}
