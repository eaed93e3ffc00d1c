//! One connection: which HTTP it speaks, how it is served, how it ends.
//!
//! HTTP/2 comes by ALPN or by prior knowledge (its preface are the connection's first bytes); its
//! `Upgrade` from HTTP/1 is not taken. hyper's `half_close` is on, so that hyper never reads while
//! a request is being answered: the gate sees heads only between answers, and a client that has
//! gone does not take back a click that is already in the log's hands.

use std::future::{Future, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::Poll;
use std::time::Duration;

use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite};
use tokio::time::{Instant, timeout, timeout_at};
use tollgate_click::Refusal;
use tollgate_click::limits::{HEADER_BYTES_MAX, HEADERS_MAX};
use tollgate_log::Append;

use super::client::Peer;
use super::gate::Gate;
use super::lane::{self, Left};
use super::site;
use crate::drain::Drain;
use crate::options::Timeouts;
use crate::worker::Worker;

/// What a socket or a TLS session is to a connection.
pub(crate) trait Socket: AsyncRead + AsyncWrite + Unpin + Send + 'static {}

impl<S: AsyncRead + AsyncWrite + Unpin + Send + 'static> Socket for S {}

/// Which HTTP a connection speaks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Speaks {
    /// Its first bytes tell.
    Tells,
    /// HTTP/2, by ALPN.
    Http2,
}

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const FIRST_BYTES: usize = 2048;

/// hyper's own buffers: a head and some of a body, or the answer to a batch.
const BUFFER_BYTES_MAX: usize = 2 * HEADER_BYTES_MAX;

const H2_STREAM_WINDOW_BYTES: u32 = 64 * 1024;
const H2_CONNECTION_WINDOW_BYTES: u32 = 1024 * 1024;
const H2_SEND_BUFFER_BYTES: usize = 64 * 1024;

/// Serves a connection to its end.
pub(crate) async fn serve<A: Append + 'static>(
    worker: Arc<Worker<A>>,
    socket: impl Socket,
    speaks: Speaks,
    peer: Peer,
    drain: Drain,
) {
    match speaks {
        Speaks::Http2 => serve_h2(worker, socket, Vec::new(), peer, drain).await,
        Speaks::Tells => serve_from(worker, socket, Vec::new(), peer, drain).await,
    }
}

/// Serves a connection of which `first` has been read already, to its end.
pub(crate) async fn serve_from<A: Append + 'static>(
    worker: Arc<Worker<A>>,
    mut socket: impl Socket,
    first: Vec<u8>,
    peer: Peer,
    drain: Drain,
) {
    let first = first_bytes(&mut socket, first, &worker.options.timeouts);
    // No bytes: a client that has gone, has been too slow to say anything, or has said nothing yet
    // when the edge ends.
    let Some(Ok(first)) = drain.or_leave(first).await else {
        return;
    };
    if first.starts_with(PREFACE) {
        return serve_h2(worker, socket, first, peer, drain).await;
    }
    if first.is_empty() {
        return;
    }
    // Clicks first; what is more than a click goes on to hyper, with its bytes.
    match lane::serve(&worker, &mut socket, first, peer, &drain).await {
        Left::Over => {}
        Left::Onwards(held) => Box::pin(serve_h1(worker, socket, held, peer, drain)).await,
    }
}

/// Reads until it is clear which HTTP this is; empty when the client went without a word.
async fn first_bytes(
    socket: &mut impl Socket,
    mut first: Vec<u8>,
    timeouts: &Timeouts,
) -> io::Result<Vec<u8>> {
    if first.is_empty() {
        first.reserve(FIRST_BYTES);
        timeout(timeouts.first_byte, socket.read_buf(&mut first)).await??;
    }
    let deadline = Instant::now() + timeouts.head;
    while first.len() < PREFACE.len() && !first.is_empty() && PREFACE.starts_with(&first) {
        if timeout_at(deadline, socket.read_buf(&mut first)).await?? == 0 {
            break;
        }
    }
    Ok(first)
}

async fn serve_h1<A: Append + 'static>(
    worker: Arc<Worker<A>>,
    socket: impl Socket,
    first: Vec<u8>,
    peer: Peer,
    drain: Drain,
) {
    let books = worker.books.clone();
    let gate = Gate::new(socket, first, worker.options.clone(), books.clone());
    let service = service_fn(move |request| site::answer(worker.clone(), peer, request));
    let connection = http1::Builder::new()
        .half_close(true)
        .pipeline_flush(false)
        .header_read_timeout(None) // the gate's part
        .max_headers(HEADERS_MAX)
        .max_buf_size(BUFFER_BYTES_MAX)
        .serve_connection(TokioIo::new(gate), service);
    let mut connection = pin!(connection);
    let mut ended = until_drain(connection.as_mut(), drain).await;
    if ended.is_none() {
        connection.as_mut().graceful_shutdown();
        ended = Some(connection.await);
    }
    // Every other error is a client that has gone, or has been answered by gate or route.
    if let Some(Err(error)) = ended
        && error.is_parse()
    {
        books.tally.hit(1);
        books.refuse(Refusal::Malformed, b"refused by the second parser");
    }
}

/// Polls a connection to its end, or until it is to be drained (none).
async fn until_drain<C: Future>(mut connection: Pin<&mut C>, drain: Drain) -> Option<C::Output> {
    let mut started = pin!(drain.clone().started());
    let mut waits = false;
    poll_fn(|context| {
        if let Poll::Ready(output) = connection.as_mut().poll(context) {
            return Poll::Ready(Some(output));
        }
        // The task's waker stays the same: left with the drain once, it will be woken, and a look
        // at the flag is all that a request pays.
        if !waits {
            waits = true;
            if started.as_mut().poll(context).is_ready() {
                return Poll::Ready(None);
            }
        }
        if drain.is_on() {
            Poll::Ready(None)
        } else {
            Poll::Pending
        }
    })
    .await
}

async fn serve_h2<A: Append + 'static>(
    worker: Arc<Worker<A>>,
    socket: impl Socket,
    first: Vec<u8>,
    peer: Peer,
    drain: Drain,
) {
    let options = worker.options.clone();
    let gate = Gate::open(socket, first, options.clone(), worker.books.clone());
    let streams = Arc::new(Streams::default());
    let counted = streams.clone();
    let service = service_fn(move |request| {
        let open = counted.clone().open();
        let answer = site::answer(worker.clone(), peer, request);
        async move {
            let reply = answer.await;
            drop(open);
            reply
        }
    });
    let connection = http2::Builder::new(TokioExecutor::new())
        .timer(TokioTimer::new())
        .max_concurrent_streams(options.limits.h2_streams_max)
        .max_pending_accept_reset_streams(options.limits.h2_resets_max)
        .max_local_error_reset_streams(options.limits.h2_resets_max)
        .max_header_list_size(HEADER_BYTES_MAX as u32)
        .initial_stream_window_size(H2_STREAM_WINDOW_BYTES)
        .initial_connection_window_size(H2_CONNECTION_WINDOW_BYTES)
        .max_send_buf_size(H2_SEND_BUFFER_BYTES)
        .serve_connection(TokioIo::new(gate), service);
    let mut connection = pin!(connection);
    let idle = options.timeouts.idle;
    let ended = tokio::select! {
        ended = until_drain(connection.as_mut(), drain) => ended.is_some(),
        () = streams.idle(idle) => false,
    };
    if !ended {
        connection.as_mut().graceful_shutdown();
        // A client that ignores the GOAWAY, or trickles a stream that never becomes a request, is
        // cut off after another idle time without one.
        tokio::select! {
            _ = connection => {}
            () = streams.idle(idle) => {}
        }
    }
}

/// The requests of one HTTP/2 connection. Bytes that make no request (pings, settings, headers that
/// never end) do not count as life.
#[derive(Default)]
struct Streams {
    opened: AtomicU64,
    closed: AtomicU64,
}

/// One request of a connection.
struct OpenStream(Arc<Streams>);

impl Streams {
    fn open(self: Arc<Streams>) -> OpenStream {
        self.opened.fetch_add(1, Ordering::Relaxed);
        OpenStream(self)
    }

    /// Resolves when there has been no request for a whole period.
    async fn idle(&self, period: Duration) {
        loop {
            let closed_before = self.closed.load(Ordering::Relaxed);
            let opened_before = self.opened.load(Ordering::Relaxed);
            tokio::time::sleep(period).await;
            let opened = self.opened.load(Ordering::Relaxed);
            let quiet = opened == opened_before && opened == closed_before;
            if quiet {
                return;
            }
        }
    }
}

impl Drop for OpenStream {
    fn drop(&mut self) {
        self.0.closed.fetch_add(1, Ordering::Relaxed);
    }
}
