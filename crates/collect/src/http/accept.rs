//! Accepting: one thread takes sockets from all listeners and hands them to the workers in turn.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::mpsc::UnboundedSender;
use tokio::time::timeout;
use tollgate_log::Append;

use super::caps::{Caps, Slot};
use super::client::Peer;
use super::connection::{self, Speaks};
use super::proxy;
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

/// A connection on its way to a worker.
pub(crate) struct Visitor {
    socket: std::net::TcpStream,
    address: IpAddr,
    door: Door,
    slot: Slot,
}

/// Hands sockets to the workers in turn.
pub(crate) struct Usher {
    pub(crate) clients: ClientOptions,
    pub(crate) caps: Arc<Caps>,
    pub(crate) books: Arc<Books>,
    pub(crate) workers: Vec<UnboundedSender<Visitor>>,
    pub(crate) next: AtomicUsize,
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
        if let Some(worker) = self.workers.get(turn) {
            // A worker that has ended takes nobody; the socket closes.
            let _ = worker.send(Visitor {
                socket,
                address,
                door: door.clone(),
                slot,
            });
        }
    }
}

/// Serves one connection on its worker's thread.
pub(crate) async fn welcome<A: Append + 'static>(
    worker: Arc<Worker<A>>,
    visitor: Visitor,
    drain: Drain,
) {
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
