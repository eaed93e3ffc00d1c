//! Going round many cleartext connections on one thread, without a task for each.
//!
//! A round: wait until some connections have something to say; read each once; append the clicks
//! among it; flush the log, which may commit them on the spot; answer all that is committed. So a
//! click costs one read and one write, and its share of one wait and one commit.
//!
//! A connection stays here for as long as it sends whole plain clicks ([`lane`]) and takes the
//! answers at once. With anything else it goes onwards to the worker beside this thread, with the
//! bytes that were read of it or still owed to it, and does not come back.
//!
//! Invariants:
//!
//! 1. A connection with a click under way is neither read nor closed until the click is answered.
//! 2. Each click that the log took is counted once: as what its commit says, or as unrecorded when
//!    the edge is stopped before that is known.
//! 3. The kernel tells once of what has come (edge-triggered): whoever may have left bytes unread
//!    is `unread`, and read again before the next wait.

use std::collections::VecDeque;
use std::future::Future;
use std::io::{self, ErrorKind, Read, Write};
use std::pin::Pin;
use std::sync::mpsc::TryRecvError;
use std::sync::{Arc, mpsc};
use std::task::{Context, Poll, Wake, Waker};
use std::time::{Duration, Instant};

use mio::net::TcpStream;
use mio::{Events, Interest, Token};
use slab::Slab;
use tokio::sync::mpsc::UnboundedSender;
use tollgate_click::Refusal;
use tollgate_log::Append;

use super::accept::{Arrival, Onward, Visitor};
use super::caps::Slot;
use super::client::Peer;
use super::lane::{self, Taken};
use super::replies;
use crate::counters::Recorded;
use crate::drain::Drain;
use crate::options::Timeouts;
use crate::worker::Worker;

/// Connections that one round hears at most: enough to share a commit, few enough that what the
/// kernel knows of them is still in the processor's caches when they are answered.
const EARS: usize = 32;

/// Room for one read: any head that takes the short way.
const SCRATCH_BYTES: usize = 16 * 1024;

/// How often silent connections are looked for.
const SWEEP_PAUSE_MIN: Duration = Duration::from_millis(5);
const SWEEP_PAUSE_MAX: Duration = Duration::from_secs(1);

/// Where the bell rings; connections count from 0.
const BELL: Token = Token(usize::MAX);

/// Wakes a thread that goes its rounds: for a commit, a new connection, the end.
pub(crate) struct Bell(mio::Waker);

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        // Fails only when the descriptor is gone, and with it the thread.
        self.0.wake().unwrap_or_default();
    }
}

/// Where connections come to a thread that goes its rounds.
pub(crate) struct Entrance {
    visitors: Option<mpsc::Sender<Visitor>>,
    bell: Waker,
}

impl Entrance {
    /// A connection whose thread has ended is closed.
    pub(crate) fn enter(&self, visitor: Visitor) {
        if let Some(visitors) = &self.visitors {
            visitors.send(visitor).unwrap_or_default();
            self.bell.wake_by_ref();
        }
    }
}

impl Drop for Entrance {
    fn drop(&mut self) {
        self.visitors = None;
        self.bell.wake_by_ref(); // nobody comes any more
    }
}

/// What a thread that goes its rounds waits at; made before the thread.
pub(crate) struct Post {
    poll: mio::Poll,
    visitors: mpsc::Receiver<Visitor>,
    bell: Waker,
}

/// A post, and the entrance to it.
pub(crate) fn post() -> io::Result<(Post, Entrance)> {
    let poll = mio::Poll::new()?;
    let bell = Waker::from(Arc::new(Bell(mio::Waker::new(poll.registry(), BELL)?)));
    let (sender, visitors) = mpsc::channel(); // bounded by the cap on connections
    let entrance = Entrance {
        visitors: Some(sender),
        bell: bell.clone(),
    };
    let post = Post {
        poll,
        visitors,
        bell,
    };
    Ok((post, entrance))
}

impl Post {
    /// Rings for this thread.
    pub(crate) fn bell(&self) -> &Waker {
        &self.bell
    }
}

/// One thread's connections.
pub(crate) struct Rounds<A: Append> {
    worker: Worker<A>,
    drain: Drain,
    onward: UnboundedSender<Arrival>,
    post: Post,
    guests: Slab<Guest>,
    clicks: VecDeque<Click<A::Commit>>,
    /// Guests that may have left bytes unread.
    unread: Vec<usize>,
    scratch: Vec<u8>,
    /// Buffers of answers that have been sent.
    spare: Vec<Vec<u8>>,
    now: Instant,
    sweep_at: Instant,
    /// Nobody comes any more.
    closed: bool,
    draining: bool,
}

/// One connection.
struct Guest {
    socket: TcpStream,
    peer: Peer,
    slot: Slot,
    /// Since when nothing was heard of it.
    since: Instant,
    /// It has been answered before.
    known: bool,
    /// Its click is under way.
    waits: bool,
    /// Something may be left to read: bytes, or the end.
    unread: bool,
    /// It sends nothing any more.
    ended: bool,
}

/// A click that the log has taken, with the answer that goes out when it is committed.
struct Click<C> {
    guest: usize,
    commit: C,
    answer: Vec<u8>,
    head: bool,
}

impl<A: Append> Rounds<A> {
    pub(crate) fn new(
        worker: Worker<A>,
        post: Post,
        onward: UnboundedSender<Arrival>,
        drain: Drain,
    ) -> Rounds<A> {
        let now = Instant::now();
        Rounds {
            worker,
            drain,
            onward,
            post,
            guests: Slab::new(),
            clicks: VecDeque::new(),
            unread: Vec::new(),
            scratch: vec![0; SCRATCH_BYTES],
            spare: Vec::new(),
            now,
            sweep_at: now,
            closed: false,
            draining: false,
        }
    }

    /// Goes round until nobody comes any more and everybody has gone, or the edge is stopped.
    pub(crate) fn run(mut self) -> io::Result<()> {
        let mut events = Events::with_capacity(EARS);
        while !self.is_over() {
            match self.post.poll.poll(&mut events, self.patience()) {
                Err(error) if error.kind() != ErrorKind::Interrupted => return Err(error),
                _ => self.now = Instant::now(),
            }
            let mut called = false;
            for event in &events {
                match event.token() {
                    BELL => called = true,
                    Token(guest) => {
                        self.note_end(guest, event.is_read_closed());
                        self.hear(guest);
                    }
                }
            }
            for guest in std::mem::take(&mut self.unread) {
                self.hear(guest);
            }
            if called {
                self.answer_the_bell();
            }
            self.worker.flush();
            self.answer_committed();
            self.sweep();
        }
        Ok(())
    }

    fn is_over(&self) -> bool {
        let deserted = self.closed && self.guests.is_empty() && self.clicks.is_empty();
        deserted || (self.draining && self.drain.is_stopped())
    }

    /// How long nothing may happen.
    fn patience(&self) -> Option<Duration> {
        if !self.unread.is_empty() {
            return Some(Duration::ZERO);
        }
        (!self.guests.is_empty()).then(|| self.sweep_at.saturating_duration_since(self.now))
    }

    /// Takes in who stands at the entrance, and looks whether the edge is draining.
    fn answer_the_bell(&mut self) {
        loop {
            match self.post.visitors.try_recv() {
                Ok(visitor) => self.admit(visitor),
                Err(TryRecvError::Empty) => break,
                Err(TryRecvError::Disconnected) => {
                    self.closed = true;
                    break;
                }
            }
        }
        if self.drain.is_on() {
            self.draining = true;
            let guests: Vec<usize> = self.guests.iter().map(|(guest, _)| guest).collect();
            for guest in guests {
                // A click that has come already is still answered.
                self.hear(guest);
                self.leave_if(guest, |guest| !guest.waits);
            }
        }
    }

    fn admit(&mut self, visitor: Visitor) {
        let (socket, peer, slot) = visitor.into_guest(&self.worker.options.clients);
        let mut socket = TcpStream::from_std(socket);
        // Answers are small and complete: there is nothing to wait for.
        socket.set_nodelay(true).unwrap_or_default();
        let entry = self.guests.vacant_entry();
        let registry = self.post.poll.registry();
        // Fails only for a socket that has failed already.
        if registry
            .register(&mut socket, Token(entry.key()), Interest::READABLE)
            .is_ok()
        {
            entry.insert(Guest {
                socket,
                peer,
                since: self.now,
                known: false,
                waits: false,
                unread: false,
                ended: false,
                slot,
            });
        }
    }

    /// The end of what a guest sends is told once, often together with its last bytes.
    fn note_end(&mut self, index: usize, ended: bool) {
        if let Some(guest) = self.guests.get_mut(index) {
            guest.ended |= ended;
        }
    }

    /// Reads a guest, unless its click is under way.
    fn hear(&mut self, index: usize) {
        let Some(guest) = self.guests.get_mut(index) else {
            return;
        };
        guest.unread = guest.waits;
        if guest.waits {
            return;
        }
        match guest.socket.read(&mut self.scratch) {
            Ok(count) if count > 0 => {
                guest.unread = guest.ended || count == self.scratch.len();
                self.take(index, count);
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(error) if error.kind() == ErrorKind::Interrupted => self.unread.push(index),
            // It has gone.
            Ok(_) | Err(_) => self.leave_if(index, |_| true),
        }
    }

    /// Takes what was read of a guest.
    fn take(&mut self, index: usize, count: usize) {
        let Some(guest) = self.guests.get_mut(index) else {
            return;
        };
        let bytes = self.scratch.get(..count).unwrap_or_default();
        let mut answer = self.spare.pop().unwrap_or_default();
        match lane::take(&self.worker, bytes, guest.peer, &mut answer) {
            Taken::Appended { commit, head } => {
                guest.waits = true;
                self.clicks.push_back(Click {
                    guest: index,
                    commit,
                    answer,
                    head,
                });
            }
            Taken::Refused { reason, head } => {
                replies::write_refused(reason, head, self.worker.books.clock.now(), &mut answer);
                self.answer(index, answer);
            }
            Taken::Foreign => {
                let first = bytes.to_vec();
                self.send_onward(index, first, Vec::new());
            }
        }
    }

    /// Answers the clicks that are committed, in the order in which the log took them.
    fn answer_committed(&mut self) {
        let bell = self.post.bell.clone();
        let mut context = Context::from_waker(&bell);
        while let Some(click) = self.clicks.front_mut()
            && let Poll::Ready(outcome) = Pin::new(&mut click.commit).poll(&mut context)
            && let Some(click) = self.clicks.pop_front()
        {
            let Click {
                guest,
                head,
                mut answer,
                ..
            } = click;
            let books = &self.worker.books;
            if let Err(reason) = books.settle(Recorded::Click, 1, &outcome) {
                replies::write_refused(reason, head, books.clock.now(), &mut answer);
            }
            self.answer(guest, answer);
        }
    }

    /// Sends an answer.
    fn answer(&mut self, index: usize, mut answer: Vec<u8>) {
        let Some(guest) = self.guests.get_mut(index) else {
            return;
        };
        let last = self.drain.is_on();
        if last {
            replies::announce_close(&mut answer);
        }
        guest.waits = false;
        guest.known = true;
        guest.since = self.now;
        match guest.socket.write(&answer) {
            Ok(count) if count == answer.len() => {
                if last {
                    self.leave_if(index, |_| true);
                } else if guest.unread {
                    self.unread.push(index);
                }
            }
            Ok(count) => {
                let owed = answer.get(count..).unwrap_or_default().to_vec();
                self.send_onward(index, Vec::new(), owed);
            }
            Err(error) if would_wait(&error) => {
                self.send_onward(index, Vec::new(), std::mem::take(&mut answer));
            }
            // It has gone.
            Err(_) => self.leave_if(index, |_| true),
        }
        answer.clear();
        self.spare.push(answer);
    }

    /// Hands a guest to the worker beside this thread: with what was read of it, and what it has
    /// not been told yet.
    fn send_onward(&mut self, index: usize, first: Vec<u8>, owed: Vec<u8>) {
        let Some(mut guest) = self.guests.try_remove(index) else {
            return;
        };
        if self
            .post
            .poll
            .registry()
            .deregister(&mut guest.socket)
            .is_err()
        {
            return; // it has failed, and closes
        }
        let onward = Onward {
            socket: guest.socket.into(),
            peer: guest.peer,
            slot: guest.slot,
            first,
            owed,
        };
        // A worker that has ended takes nobody; the socket closes.
        self.onward
            .send(Arrival::Onward(onward))
            .unwrap_or_default();
    }

    fn leave_if(&mut self, index: usize, leaves: impl FnOnce(&Guest) -> bool) {
        if self.guests.get(index).is_some_and(leaves) {
            self.guests.remove(index); // and the socket closes
        }
    }

    /// Now and then, closes the connections that have been silent for too long.
    fn sweep(&mut self) {
        if self.now < self.sweep_at {
            return;
        }
        let Timeouts {
            first_byte, idle, ..
        } = self.worker.options.timeouts;
        let pause = (first_byte.min(idle) / 8).clamp(SWEEP_PAUSE_MIN, SWEEP_PAUSE_MAX);
        self.sweep_at = self.now + pause;
        let now = self.now;
        self.guests.retain(|_, guest| {
            let allowed = if guest.known { idle } else { first_byte };
            guest.waits || now.duration_since(guest.since) < allowed
        });
    }
}

impl<A: Append> Drop for Rounds<A> {
    fn drop(&mut self) {
        self.answer_committed();
        let books = &self.worker.books;
        books
            .tally
            .refused(Refusal::Unrecorded, self.clicks.len() as u64);
    }
}

fn would_wait(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted)
}
