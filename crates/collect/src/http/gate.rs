//! The gate between a socket and hyper: no head passes that is not whole, strict and alone.
//!
//! - Bytes of a head are held back until the head is whole and [`head::check`] is content. In the
//!   common case it arrives in one piece: it is checked where it lies in hyper's buffer, nothing is
//!   copied and nothing held.
//! - Behind a head without a body nothing may follow before the answer: a pipelined request is
//!   refused together with the one in front of it, so that never two requests come from one.
//! - What does not pass is answered, counted and closed here; hyper only learns that the
//!   connection has ended. A close leaves the client time to read the answer: what it still sends
//!   is read and dropped for a while, since closing over unread bytes would reset the connection.
//! - All waiting of a connection that has spoken is timed here: for the rest of a head, for a body,
//!   between requests, for a client that does not read. hyper's own header timer would allocate and
//!   register a timer for each request; the gate's is armed once and looked at when it rings.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep_until};
use tollgate_click::Refusal;

use super::chunks::Chunks;
use super::head::{self, Fault, Framing};
use super::replies;
use crate::options::{EdgeOptions, Timeouts};
use crate::worker::Books;

/// Most bytes read at once while holding a head back, or while a client is being let go.
const PIECE_BYTES: usize = 4096;

/// How long, and over how many bytes, a client that was refused may go on sending.
const LINGER: Duration = Duration::from_secs(1);
const LINGER_BYTES_MAX: usize = 256 * 1024;

/// A socket (or a TLS session) with the gate in front of it.
pub(crate) struct Gate<S> {
    socket: S,
    options: Arc<EdgeOptions>,
    books: Arc<Books>,
    phase: Phase,
    /// Bytes that have come and not been passed; the first `passed` of them may go.
    held: Vec<u8>,
    passed: usize,
    /// The held bytes came with what was passed before: they have not been looked at.
    unseen: bool,
    requests: u64,
    closing: Option<Closing>,
    timer: Timer,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Phase {
    /// Before or in a head.
    Head,
    /// In a body of a stated length.
    Body { left: u64 },
    /// In a chunked body.
    Chunked(Chunks),
    /// HTTP/2: everything passes.
    Open,
}

/// How a connection is ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Closing {
    /// Sending the answer to a fault.
    Farewell(&'static [u8]),
    /// Saying that nothing more will be sent.
    Shutdown,
    /// Dropping what the client still sends.
    Linger { left: usize },
    /// Nothing is left to do.
    Done,
}

/// What is being waited for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Wait {
    Idle,
    Head,
    Body,
    Write,
    Close,
}

impl<S> Gate<S> {
    /// A gate for HTTP/1, whose first bytes have been read already.
    pub(crate) fn new(
        socket: S,
        first: Vec<u8>,
        options: Arc<EdgeOptions>,
        books: Arc<Books>,
    ) -> Gate<S> {
        Gate {
            socket,
            options,
            books,
            phase: Phase::Head,
            held: first,
            passed: 0,
            unseen: true,
            requests: 0,
            closing: None,
            timer: Timer::default(),
        }
    }

    /// A gate that lets everything pass and times only a client that does not read.
    pub(crate) fn open(
        socket: S,
        first: Vec<u8>,
        options: Arc<EdgeOptions>,
        books: Arc<Books>,
    ) -> Gate<S> {
        Gate {
            phase: Phase::Open,
            ..Gate::new(socket, first, options, books)
        }
    }

    /// How many of `bytes`, which nobody has seen, may pass.
    fn look(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.phase == Phase::Head {
            return self.admit(bytes).map_err(|fault| self.refuse(fault, bytes));
        }
        let taken = match &mut self.phase {
            Phase::Head | Phase::Open => bytes.len(),
            Phase::Body { left } => {
                let taken = bytes
                    .len()
                    .min(usize::try_from(*left).unwrap_or(usize::MAX));
                *left -= taken as u64;
                if *left == 0 {
                    self.phase = Phase::Head;
                }
                taken
            }
            Phase::Chunked(chunks) => {
                // The request that the body belongs to meets the error and answers it.
                let taken = chunks
                    .follow(bytes)
                    .map_err(|_| io::ErrorKind::InvalidData)?;
                if *chunks == Chunks::Done {
                    self.phase = Phase::Head;
                }
                taken
            }
        };
        if self.phase == Phase::Head {
            self.timer.rest();
            self.unseen = true;
        }
        Ok(taken)
    }

    /// Looks at the head that `bytes` start with; 0 when more of it must come.
    fn admit(&mut self, bytes: &[u8]) -> Result<usize, Fault> {
        let Some(found) = head::check(bytes)? else {
            return Ok(0);
        };
        self.phase = match found.body {
            Framing::None if bytes.len() > found.bytes => return Err(Fault::Malformed),
            Framing::None => Phase::Head,
            Framing::Length(left) => Phase::Body { left },
            Framing::Chunked => Phase::Chunked(Chunks::START),
        };
        self.requests += 1;
        self.unseen = true;
        self.timer.rest();
        Ok(found.bytes)
    }

    fn look_at_held(&mut self) -> io::Result<()> {
        let held = std::mem::take(&mut self.held);
        // What came with a request and is not its body is a second request.
        let pipelined = self.unseen && self.phase == Phase::Head && self.requests > 0;
        self.unseen = false;
        let looked = if pipelined {
            Err(self.refuse(Fault::Malformed, &held))
        } else {
            self.look(&held)
        };
        self.held = held;
        self.passed = looked?;
        Ok(())
    }

    /// Hands out what may pass.
    fn hand_out(&mut self, buf: &mut ReadBuf<'_>) {
        let count = self.passed.min(buf.remaining());
        buf.put_slice(self.held.get(..count).unwrap_or_default());
        self.held.drain(..count);
        self.passed -= count;
        if self.held.is_empty() {
            self.held = Vec::new(); // an idle connection keeps no memory here
        }
    }

    /// Counts what will not pass and prepares the answer to it.
    fn refuse(&mut self, fault: Fault, sample: &[u8]) -> io::Error {
        self.books.tally.hit(1);
        self.books.refuse(Refusal::Malformed, sample);
        // An answer that the client has not read would be mixed up with this one.
        let busy = self.timer.is_waiting_for(Wait::Write);
        self.closing = Some(if busy {
            Closing::Done
        } else {
            Closing::Farewell(farewell(fault))
        });
        io::ErrorKind::InvalidData.into()
    }

    fn wait_for(&self) -> Wait {
        match self.phase {
            Phase::Head if !self.held.is_empty() => Wait::Head,
            Phase::Head => Wait::Idle,
            Phase::Body { .. } | Phase::Chunked(_) | Phase::Open => Wait::Body,
        }
    }

    /// Ready when what is waited for is late.
    fn poll_late(&mut self, wait: Wait, context: &mut Context<'_>) -> Poll<()> {
        self.timer.poll(wait, &self.options.timeouts, context)
    }
}

impl<S: AsyncRead + Unpin> Gate<S> {
    /// Reads straight into hyper's buffer; what may not pass (yet) is taken back out and held.
    fn poll_direct(
        &mut self,
        context: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<usize>> {
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.socket).poll_read(context, buf))?;
        let fresh = buf.filled().get(before..).unwrap_or_default();
        let count = fresh.len();
        if count == 0 {
            return Poll::Ready(Ok(0));
        }
        self.unseen = false;
        let looked = self.look(fresh);
        let passed = *looked.as_ref().unwrap_or(&0);
        self.held
            .extend_from_slice(fresh.get(passed..).unwrap_or_default());
        buf.set_filled(before + passed);
        Poll::Ready(looked.map(|_| count))
    }

    /// Reads more of a head behind what is held of it.
    fn poll_more(&mut self, context: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let mut piece = [0; PIECE_BYTES];
        let mut piece = ReadBuf::new(&mut piece);
        ready!(Pin::new(&mut self.socket).poll_read(context, &mut piece))?;
        let fresh = piece.filled();
        let pieces_before = self.held.len() / PIECE_BYTES;
        self.held.extend_from_slice(fresh);
        // Without a line's end nothing has become whole or wrong but the length, which is looked at
        // now and then: a head that comes byte by byte is not read again for each of them.
        if fresh.contains(&b'\n') || self.held.len() / PIECE_BYTES > pieces_before {
            self.look_at_held()?;
        }
        Poll::Ready(Ok(fresh.len()))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Gate<S> {
    /// Ends the connection so that the client can read the last answer. Ready when it is over.
    fn poll_close(&mut self, context: &mut Context<'_>) -> Poll<()> {
        while let Some(closing) = self.closing.filter(|closing| *closing != Closing::Done) {
            let Poll::Ready(next) = self.poll_closing(closing, context) else {
                ready!(self.poll_late(Wait::Close, context));
                break;
            };
            self.closing = Some(next.unwrap_or(Closing::Done));
        }
        self.closing = Some(Closing::Done);
        Poll::Ready(())
    }

    fn poll_closing(
        &mut self,
        closing: Closing,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<Closing>> {
        let socket = Pin::new(&mut self.socket);
        Poll::Ready(Ok(match closing {
            Closing::Farewell(bytes) if !bytes.is_empty() => {
                let written = ready!(socket.poll_write(context, bytes))?;
                Closing::Farewell(bytes.get(written.max(1)..).unwrap_or_default())
            }
            Closing::Farewell(_) => {
                ready!(socket.poll_flush(context))?;
                Closing::Shutdown
            }
            Closing::Shutdown => {
                ready!(socket.poll_shutdown(context))?;
                Closing::Linger {
                    left: LINGER_BYTES_MAX,
                }
            }
            Closing::Linger { left } => {
                let mut piece = [0; PIECE_BYTES];
                let mut piece = ReadBuf::new(&mut piece);
                ready!(socket.poll_read(context, &mut piece))?;
                match left.checked_sub(piece.filled().len()) {
                    Some(left) if !piece.filled().is_empty() => Closing::Linger { left },
                    _ => Closing::Done,
                }
            }
            Closing::Done => Closing::Done,
        }))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for Gate<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buf.filled().len();
        loop {
            if this.closing.is_some() {
                ready!(this.poll_close(context));
                return Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()));
            }
            this.hand_out(buf);
            if buf.filled().len() > before {
                return Poll::Ready(Ok(())); // and what follows is looked at when it is asked for
            }
            if this.unseen && !this.held.is_empty() {
                this.look_at_held()
                    .or_else(|error| this.closing.map(drop).ok_or(error))?;
                continue;
            }
            let read = if this.held.is_empty() {
                this.poll_direct(context, buf)
            } else {
                this.poll_more(context)
            };
            match read {
                Poll::Ready(Ok(0)) => return Poll::Ready(Ok(())), // the client has gone
                Poll::Ready(Ok(_)) => continue,
                Poll::Ready(Err(_)) if this.closing.is_some() => continue,
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending if this.phase == Phase::Open => return Poll::Pending,
                Poll::Pending => {}
            }
            let wait = this.wait_for();
            ready!(this.poll_late(wait, context));
            match wait {
                Wait::Idle => return Poll::Ready(Ok(())), // as if it had gone
                Wait::Head => {
                    let held = std::mem::take(&mut this.held);
                    this.refuse(Fault::TooSlow, &held);
                }
                Wait::Body | Wait::Write | Wait::Close => {
                    return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
                }
            }
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Gate<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if let Poll::Ready(written) = Pin::new(&mut this.socket).poll_write(context, bytes) {
            if this.timer.is_waiting_for(Wait::Write) {
                this.timer.rest();
            }
            return Poll::Ready(written);
        }
        ready!(this.poll_late(Wait::Write, context));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().socket).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let unread = matches!(this.phase, Phase::Body { .. } | Phase::Chunked(_));
        if !unread && this.held.is_empty() {
            return Pin::new(&mut this.socket).poll_shutdown(context);
        }
        this.closing.get_or_insert(Closing::Shutdown);
        this.poll_close(context).map(Ok)
    }
}

fn farewell(fault: Fault) -> &'static [u8] {
    match fault {
        Fault::Malformed => replies::RAW_400,
        Fault::LineTooLong => replies::RAW_414,
        Fault::HeadersTooLarge => replies::RAW_431,
        Fault::TooSlow => replies::RAW_408,
    }
}

/// One timer for everything that a connection waits for. It is armed for the earliest deadline
/// seen and, when it rings, armed again for the one that holds then: a request in time costs a
/// look at the clock and no work on the timer.
#[derive(Default)]
pub(super) struct Timer {
    waiting: Option<(Wait, Instant)>,
    sleep: Option<Pin<Box<Sleep>>>,
}

impl Timer {
    fn is_waiting_for(&self, wait: Wait) -> bool {
        self.waiting.is_some_and(|(current, _)| current == wait)
    }

    /// What was waited for has come.
    pub(super) fn rest(&mut self) {
        self.waiting = None;
    }

    /// Ready when what is waited for is late.
    pub(super) fn poll(
        &mut self,
        wait: Wait,
        timeouts: &Timeouts,
        context: &mut Context<'_>,
    ) -> Poll<()> {
        let deadline = match self.waiting {
            Some((current, deadline)) if current == wait => deadline,
            _ => Instant::now() + duration(wait, timeouts),
        };
        self.waiting = Some((wait, deadline));
        let sleep = self
            .sleep
            .get_or_insert_with(|| Box::pin(sleep_until(deadline)));
        if sleep.deadline() > deadline {
            sleep.as_mut().reset(deadline);
        }
        loop {
            ready!(sleep.as_mut().poll(context));
            if sleep.deadline() >= deadline {
                return Poll::Ready(());
            }
            sleep.as_mut().reset(deadline);
        }
    }
}

fn duration(wait: Wait, timeouts: &Timeouts) -> Duration {
    match wait {
        Wait::Idle => timeouts.idle,
        Wait::Head => timeouts.head,
        Wait::Body => timeouts.body,
        Wait::Write => timeouts.write,
        Wait::Close => LINGER,
    }
}
