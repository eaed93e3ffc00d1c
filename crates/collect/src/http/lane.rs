//! The short way of a click over HTTP/1.1: from the socket to the answer without hyper.
//!
//! A whole request for `/c/` or `/l/` that holds no surprise is answered here, straight from the
//! thread's own buffer: one pass over the head, one record, one write. Anything else (a piece of
//! a head, another route, a body, a pipelined request, HTTP/1.0, `Connection: close`, a fault)
//! goes the long way with all its bytes, and the rest of its connection with it; the two ways give
//! the same answers, and refusals are made in one place only.
//!
//! Half of what hyper costs a click is what this way saves; see docs/decisions.

use std::future::{Future as _, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;

use memchr::memchr;
use tokio::io::{AsyncWriteExt, ReadBuf};
use tokio::time::timeout;
use tollgate_click::Refusal;
use tollgate_log::Append;

use super::client::{ClientReader, Peer};
use super::connection::Socket;
use super::gate::{Timer, Wait};
use super::head::{self, Framing};
use super::replies;
use super::site;
use crate::core::target::{Route, Target};
use crate::core::{Desk, Pages, Stamp};
use crate::counters::Recorded;
use crate::directory::Directory;
use crate::drain::Drain;
use crate::worker::Worker;

/// How a connection leaves the lane.
pub(super) enum Left {
    /// It is over.
    Over,
    /// These bytes, and what follows them, go the long way.
    Onwards(Vec<u8>),
}

/// What became of the bytes of one read.
pub(super) enum Taken<C> {
    /// Handed to the log; its answer is ready and waits for the commit.
    Appended { commit: C, head: bool },
    /// Refused and counted.
    Refused { reason: Refusal, head: bool },
    /// Not for this way: nothing was counted.
    Foreign,
}

/// Serves clicks until something else comes. `first` is what has been read already.
pub(super) async fn serve<A: Append + 'static>(
    worker: &Arc<Worker<A>>,
    socket: &mut impl Socket,
    first: Vec<u8>,
    peer: Peer,
    drain: &Drain,
) -> Left {
    let mut answer = Vec::new();
    let mut timer = Timer::default();
    let mut drained = pin!(drain.clone().started());
    let mut waits_for_drain = false;
    let mut taken = take(worker, &first, peer, &mut answer);
    let mut held = first;
    loop {
        if matches!(taken, Taken::Foreign) {
            return Left::Onwards(held);
        }
        if let Some((reason, head)) = refusal(worker, taken).await {
            replies::write_refused(reason, head, worker.books.clock.now(), &mut answer);
        }
        let last = drain.is_on();
        if last {
            replies::announce_close(&mut answer);
        }
        let written = timeout(worker.options.timeouts.write, write(socket, &answer)).await;
        if !matches!(written, Ok(Ok(()))) || last {
            return Left::Over;
        }
        timer.rest();
        held = Vec::new(); // an idle connection keeps no request in memory
        let next = poll_fn(|context| {
            let read = worker.at_scratch(|scratch| {
                let mut scratch = ReadBuf::new(scratch);
                let read = Pin::new(&mut *socket).poll_read(context, &mut scratch);
                read.map(|outcome| {
                    let bytes = outcome.map_or(&[][..], |()| scratch.filled());
                    let taken = take(worker, bytes, peer, &mut answer);
                    if matches!(taken, Taken::Foreign) {
                        held = bytes.to_vec();
                    }
                    // Nothing, or an error: the client has gone.
                    (!bytes.is_empty()).then_some(taken)
                })
            });
            if read.is_ready() {
                return read;
            }
            // The task's waker stays the same: left with the drain once, it will be woken.
            if !waits_for_drain {
                waits_for_drain = true;
                if drained.as_mut().poll(context).is_ready() {
                    return Poll::Ready(None);
                }
            }
            let late = timer.poll(Wait::Idle, &worker.options.timeouts, context);
            if drain.is_on() {
                Poll::Ready(None)
            } else {
                late.map(|()| None)
            }
        });
        match next.await {
            Some(next) => taken = next,
            None => return Left::Over,
        }
    }
}

/// Waits for the receipt; tells why there is none, and whether the request was a HEAD.
async fn refusal<A: Append + 'static>(
    worker: &Worker<A>,
    taken: Taken<A::Commit>,
) -> Option<(Refusal, bool)> {
    match taken {
        Taken::Foreign => None,
        Taken::Refused { reason, head } => Some((reason, head)),
        Taken::Appended { commit, head } => {
            let receipt = worker.receipt(commit, Recorded::Click, 1);
            receipt.await.err().map(|reason| (reason, head))
        }
    }
}

async fn write(socket: &mut impl Socket, answer: &[u8]) -> io::Result<()> {
    socket.write_all(answer).await?;
    socket.flush().await
}

/// Takes one read: a click is stamped and appended, and its answer written into `answer`.
pub(super) fn take<A: Append>(
    worker: &Worker<A>,
    bytes: &[u8],
    peer: Peer,
    answer: &mut Vec<u8>,
) -> Taken<A::Commit> {
    let Some((head, target)) = click_target(bytes) else {
        return Taken::Foreign;
    };
    let mut reader = ClientReader::new(peer, &worker.options.clients);
    let mut surprise = false;
    let checked = head::check_each(bytes, |name, value| {
        surprise |= is_surprise(name, value);
        reader.take(name, value);
    });
    match checked {
        Ok(Some(found)) if found.body == Framing::None && found.bytes == bytes.len() => {}
        _ => return Taken::Foreign,
    }
    if surprise {
        return Taken::Foreign;
    }
    let client = reader.finish();
    let Target { route, query } = Target::parse(target);
    let visit = site::visit(&client, query, head);
    worker.books.tally.hit(1);
    let stamp = |desk: &mut Desk, directory: &Directory| match route {
        _ if client.prefetch => Err(Refusal::Prefetch),
        Route::Click(token) => desk.click(directory, token, &visit),
        Route::Link(slug) => desk.registered(directory, slug, &visit),
        _ => Err(Refusal::Malformed),
    };
    let keep =
        |stamp: Stamp, pages: &Pages| replies::write_redirect(stamp, &pages.location, answer);
    match worker.hand_over(stamp, keep) {
        Ok(((), commit)) => Taken::Appended { commit, head },
        Err(reason) => {
            worker.books.refuse(reason, target.as_bytes());
            Taken::Refused { reason, head }
        }
    }
}

/// Whether it is a HEAD, and the target, of a request line of HTTP/1.1 for a click.
fn click_target(bytes: &[u8]) -> Option<(bool, &str)> {
    let (head, rest) = match bytes.strip_prefix(b"GET ") {
        Some(rest) => (false, rest),
        None => (true, bytes.strip_prefix(b"HEAD ")?),
    };
    if !rest.starts_with(b"/c/") && !rest.starts_with(b"/l/") {
        return None;
    }
    let (target, rest) = rest.split_at_checked(memchr(b' ', rest)?)?;
    rest.starts_with(b" HTTP/1.1\r\n").then_some(())?;
    Some((head, std::str::from_utf8(target).ok()?))
}

/// Headers that ask for more than an answer.
fn is_surprise(name: &[u8], value: &[u8]) -> bool {
    match name.len() {
        6 => name.eq_ignore_ascii_case(b"expect"),
        7 => name.eq_ignore_ascii_case(b"upgrade"),
        10 if name.eq_ignore_ascii_case(b"connection") => {
            !value.eq_ignore_ascii_case(b"keep-alive")
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A request line, and whether it is a HEAD with which target.
    type Row<'a> = (&'a [u8], Option<(bool, &'a str)>);

    #[test]
    fn only_plain_clicks_take_the_short_way() {
        let rows: [Row<'_>; 8] = [
            (b"GET /c/abc?x=1 HTTP/1.1\r\n", Some((false, "/c/abc?x=1"))),
            (b"HEAD /l/abc HTTP/1.1\r\n", Some((true, "/l/abc"))),
            (b"GET /i/abc HTTP/1.1\r\n", None),
            (b"GET /c/abc HTTP/1.0\r\n", None),
            (b"GET /c/abc HTTP/1.1\n", None),
            (b"GET  /c/abc HTTP/1.1\r\n", None),
            (b"POST /c/abc HTTP/1.1\r\n", None),
            (b"GET /c/ab", None),
        ];
        for (line, expected) in rows {
            assert_eq!(click_target(line), expected, "{}", line.escape_ascii());
        }
    }

    #[test]
    fn what_asks_for_more_than_an_answer_goes_the_long_way() {
        assert!(is_surprise(b"Expect", b"100-continue"));
        assert!(is_surprise(b"upgrade", b"h2c"));
        assert!(is_surprise(b"Connection", b"close"));
        assert!(is_surprise(b"connection", b"keep-alive, Upgrade"));
        assert!(!is_surprise(b"Connection", b"Keep-Alive"));
        assert!(!is_surprise(b"Referer", b"close"));
    }
}
