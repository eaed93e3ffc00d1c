//! Accepting: one thread takes sockets from all listeners and hands them to the workers in turn.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::mpsc::UnboundedSender;
use tokio::time::timeout;
use tollgate_log::Append;

use super::caps::{Caps, Slot};
use super::client::Peer;
use super::connection::{self, Speaks};
use super::proxy;
use super::rounds::Entrance;
use super::tls::{Certificate, H2};
use crate::counters::Connection;
use crate::drain::Drain;
use crate::options::ClientOptions;
use crate::worker::{Books, Worker};

/// Connections that the kernel keeps for us while we are busy.
const BACKLOG: u32 = 4096;

/// How long accepting rests when the system has nothing to accept with, such as no descriptors.
const REST: Duration = Duration::from_millis(50);

/// What the connections of one listener begin with.
#[derive(Clone)]
pub(crate) struct Door {
    pub(crate) certificate: Option<Arc<Certificate>>,
    pub(crate) proxy_protocol: bool,
}

impl Door {
    /// A connection begins with its first request.
    pub(crate) fn is_plain(&self) -> bool {
        self.certificate.is_none() && !self.proxy_protocol
    }
}

/// A connection on its way from a listener.
pub(crate) struct Visitor {
    socket: std::net::TcpStream,
    address: IpAddr,
    door: Door,
    slot: Slot,
}

/// A connection that leaves the rounds.
pub(crate) struct Onward {
    pub(crate) socket: std::net::TcpStream,
    pub(crate) peer: Peer,
    pub(crate) slot: Slot,
    /// What was read of it and not taken.
    pub(crate) first: Vec<u8>,
    /// What is left to send of its last answer.
    pub(crate) owed: Vec<u8>,
}

/// A connection that comes to a worker.
pub(crate) enum Arrival {
    Visitor(Visitor),
    Onward(Onward),
}

/// Hands sockets to the threads in turn.
pub(crate) struct Usher {
    pub(crate) clients: ClientOptions,
    pub(crate) caps: Arc<Caps>,
    pub(crate) books: Arc<Books>,
    /// For connections of plain doors.
    pub(crate) rounds: Vec<Entrance>,
    /// For all others.
    pub(crate) workers: Vec<UnboundedSender<Arrival>>,
    pub(crate) next: AtomicUsize,
}

impl Visitor {
    /// What its connection is, whoever accepted it.
    pub(crate) fn into_guest(self, clients: &ClientOptions) -> (std::net::TcpStream, Peer, Slot) {
        (self.socket, Peer::new(self.address, clients), self.slot)
    }
}

/// Opens a listener.
pub(crate) fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() {
        TcpSocket::new_v4()
    } else {
        TcpSocket::new_v6()
    }?;
    socket.set_reuseaddr(true)?; // a restart must not wait for old connections to be forgotten
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// Accepts until the listener is dropped with this task.
pub(crate) async fn accept_all(listener: TcpListener, door: Door, usher: Arc<Usher>) {
    loop {
        match listener.accept().await {
            Ok((socket, from)) => usher.seat(socket, from.ip(), &door),
            Err(error) if is_of_one_connection(&error) => {}
            Err(_) => {
                usher.books.tally.connection(Connection::AcceptFailed);
                tokio::time::sleep(REST).await;
            }
        }
    }
}

/// The connection had ended before it was accepted; the next one is waiting.
fn is_of_one_connection(error: &io::Error) -> bool {
    let kinds = [
        io::ErrorKind::ConnectionAborted,
        io::ErrorKind::ConnectionReset,
        io::ErrorKind::Interrupted,
    ];
    kinds.contains(&error.kind())
}

impl Usher {
    fn seat(&self, socket: TcpStream, address: IpAddr, door: &Door) {
        let tally = &self.books.tally;
        let Some(slot) = self.caps.take(address, !self.clients.trusts(address)) else {
            return tally.connection(Connection::OverCap); // and the socket closes
        };
        // Fails only for a socket that has failed already.
        let Ok(socket) = socket.into_std() else {
            return;
        };
        tally.connection(Connection::Accepted);
        let turn = self.next.fetch_add(1, Ordering::Relaxed) % self.workers.len().max(1);
        let visitor = Visitor {
            socket,
            address,
            door: door.clone(),
            slot,
        };
        if door.is_plain()
            && let Some(entrance) = self.rounds.get(turn)
        {
            entrance.enter(visitor);
        } else if let Some(worker) = self.workers.get(turn) {
            // A worker that has ended takes nobody; the socket closes.
            let _ = worker.send(Arrival::Visitor(visitor));
        }
    }
}

/// Serves one connection on its worker's thread.
pub(crate) async fn welcome<A: Append + 'static>(
    worker: Arc<Worker<A>>,
    arrival: Arrival,
    drain: Drain,
) {
    match arrival {
        Arrival::Visitor(visitor) => open(worker, visitor, drain).await,
        Arrival::Onward(onward) => go_on(worker, onward, drain).await,
    }
}

/// Goes on with a connection that has left the rounds.
async fn go_on<A: Append + 'static>(worker: Arc<Worker<A>>, onward: Onward, drain: Drain) {
    let Ok(mut socket) = TcpStream::from_std(onward.socket) else {
        return;
    };
    let owed = timeout(
        worker.options.timeouts.write,
        socket.write_all(&onward.owed),
    );
    if matches!(owed.await, Ok(Ok(()))) {
        connection::serve_from(worker, socket, onward.first, onward.peer, drain).await;
    }
    drop(onward.slot);
}

/// Serves one connection of a listener.
async fn open<A: Append + 'static>(worker: Arc<Worker<A>>, visitor: Visitor, drain: Drain) {
    let Visitor {
        socket,
        address,
        door,
        slot,
    } = visitor;
    let Ok(mut socket) = TcpStream::from_std(socket) else {
        return;
    };
    // Answers are small and complete: there is nothing to wait for.
    let _ = socket.set_nodelay(true);
    let options = worker.options.clone();
    let in_time = options.timeouts.first_byte;
    let mut peer = Peer::new(address, &options.clients);
    let bad_handshake = |worker: &Worker<A>| {
        worker.books.tally.connection(Connection::BadHandshake);
    };
    if door.proxy_protocol {
        let read = timeout(in_time, proxy::read(&mut socket));
        let named = match drain.or_leave(read).await {
            None => return,
            Some(Ok(Ok(named))) if peer.trusted => named,
            Some(_) => return bad_handshake(&worker),
        };
        peer = named.map_or(peer, |address| Peer::new(address, &options.clients));
    }
    match door.certificate {
        None => connection::serve(worker, socket, Speaks::Tells, peer, drain).await,
        Some(certificate) => {
            let accept = timeout(in_time, certificate.acceptor().accept(socket));
            let session = match drain.or_leave(accept).await {
                None => return,
                Some(Ok(Ok(session))) => session,
                Some(_) => return bad_handshake(&worker),
            };
            let h2 = session.get_ref().1.alpn_protocol() == Some(H2);
            let speaks = if h2 { Speaks::Http2 } else { Speaks::Tells };
            connection::serve(worker, session, speaks, peer, drain).await;
        }
    }
    drop(slot);
}
