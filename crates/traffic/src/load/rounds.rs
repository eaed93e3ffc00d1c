//! A load thread: many connections, and one loop that goes round them.
//!
//! A round: begin what is due while a connection is idle, wait until a socket has something to say
//! or the next request is due, read the answers. Nothing is made, allocated or formatted in it: a
//! request costs one write, one read and its share of one wait.
//!
//! A connection ([`Lane`]) has one request at a time (no pipelining) and keeps it until it has
//! ended, over as many connections and pauses as that takes.

use std::collections::VecDeque;
use std::io::{self, ErrorKind};
use std::rc::Rc;
use std::time::Duration;

use mio::{Events, Poll, Token};

use super::alarm::Alarm;
use super::shared::{Shared, micros};
use super::stock::{Batch, Supply};
use super::tally::Took;
use super::{LoadError, Tally};
use crate::client::Connection;
use crate::ending::{Ending, Lost};
use crate::history::Event;

/// Pause of a lane whose connection was refused.
const REFUSED_PAUSE: Duration = Duration::from_millis(20);
/// Requests that are begun before answers are looked for again: reading them late would be charged
/// to the edge.
const BURST: usize = 8;
/// The thread wakes for what is due at most this often: each waking costs as much as a request.
const STEP: Duration = Duration::from_micros(200);
/// How often the run's end and lanes that pause or wait for too long are looked for.
const SWEEP: Duration = Duration::from_millis(5);
/// How soon requests that were not made yet are asked for again.
const SOON: Duration = Duration::from_millis(1);
/// Answers that are heard in one round at most.
const EARS: usize = 256;
/// Room for one read: any answer.
const SCRATCH_BYTES: usize = 16 * 1024;
/// Where the alarm rings; lanes count from 0.
const ALARM: Token = Token(usize::MAX);

/// One thread's connections.
struct Rounds<'a> {
    shared: &'a Shared,
    poll: Poll,
    alarm: Alarm,
    lanes: Vec<Lane>,
    /// Those without a request; the one that has waited for longest comes first.
    idle: VecDeque<usize>,
    /// Requests that were taken and not begun, and which of them is next.
    batch: Rc<Batch>,
    next: usize,
    tally: Tally,
    scratch: Vec<u8>,
    sweep_at: Duration,
}

/// One connection's place.
#[derive(Default)]
struct Lane {
    connection: Option<Connection>,
    task: Option<Task>,
    /// Since when it has nothing to do.
    idle_at: Duration,
}

/// A request under way.
struct Task {
    batch: Rc<Batch>,
    index: usize,
    op: u64,
    intended: Duration,
    sent: Duration,
    idle_at: Duration,
    /// Its connection was opened for it, so another one would help no more.
    fresh: bool,
    stage: Stage,
}

/// What a request waits for.
#[derive(Clone, Copy)]
enum Stage {
    /// A connection, until then.
    Opening(Duration),
    /// An answer, until then.
    Asking(Duration),
    /// Being sent again, or ended if that is how it ended, when the time has come.
    Resting(Duration, Option<Ending>),
}

/// When a round has to look for requests again.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Next {
    Now,
    At(Duration),
    /// They are not made yet.
    Soon,
    /// When a lane is idle.
    Answer,
    /// Nothing more begins.
    Over,
}

/// Drives `lanes` connections on this thread until the run ends.
pub(super) fn run(shared: &Shared, lanes: usize) -> Result<Tally, LoadError> {
    let mut rounds = Rounds::new(shared, lanes)?;
    let ended = rounds.go_round();
    if ended.is_err() {
        shared.stop();
    }
    ended?;
    rounds.tally.busy(Busy::of_this_thread(), shared.now());
    Ok(rounds.tally)
}

impl<'a> Rounds<'a> {
    fn new(shared: &'a Shared, lanes: usize) -> Result<Rounds<'a>, LoadError> {
        let poll = Poll::new().map_err(LoadError::Thread)?;
        let alarm = Alarm::new(poll.registry(), ALARM).map_err(LoadError::Thread)?;
        Ok(Rounds {
            shared,
            poll,
            alarm,
            lanes: std::iter::repeat_with(Lane::default).take(lanes).collect(),
            idle: (0..lanes).collect(),
            batch: Rc::default(),
            next: 0,
            tally: Tally::new()?,
            scratch: vec![0; SCRATCH_BYTES],
            sweep_at: SWEEP,
        })
    }

    fn go_round(&mut self) -> Result<(), LoadError> {
        let mut events = Events::with_capacity(EARS);
        loop {
            let next = self.begin_due()?;
            if next == Next::Over && self.idle.len() == self.lanes.len() {
                return Ok(());
            }
            let patience = self.patience(next).map_err(LoadError::Thread)?;
            match self.poll.poll(&mut events, Some(patience)) {
                Err(error) if error.kind() != ErrorKind::Interrupted => {
                    return Err(LoadError::Thread(error));
                }
                _ => {}
            }
            for event in &events {
                if event.token() != ALARM {
                    self.hear(event.token().0, event.is_read_closed())?;
                }
            }
            self.sweep()?;
        }
    }

    /// How long to wait for sockets, with the alarm set for what is due before that.
    fn patience(&self, next: Next) -> io::Result<Duration> {
        match next {
            Next::Now => return Ok(Duration::ZERO),
            Next::Soon => return Ok(SOON),
            Next::At(due) => {
                let wait = due.saturating_sub(self.shared.now()).max(STEP);
                if wait < SWEEP {
                    self.alarm.ring_after(wait)?;
                }
            }
            Next::Answer | Next::Over => {}
        }
        Ok(SWEEP)
    }

    /// Begins requests that are due, as many as a round may.
    fn begin_due(&mut self) -> Result<Next, LoadError> {
        for _ in 0..BURST {
            let now = self.shared.now();
            if self.shared.is_over(now) {
                return Ok(Next::Over);
            }
            if self.idle.is_empty() {
                return Ok(Next::Answer);
            }
            let Some(op) = self.batch.op(self.next) else {
                match self.shared.stock.take()? {
                    Supply::Batch(batch) => self.turn_to(batch),
                    Supply::Later => return Ok(Next::Soon),
                    Supply::Over => return Ok(Next::Over),
                }
                continue;
            };
            let due = self.shared.options.pace.due(op);
            if let Some(due) = due.filter(|due| *due > now) {
                return Ok(Next::At(due));
            }
            if let Some(lane) = self.idle.pop_front() {
                self.begin(lane, op, (due.unwrap_or(now), now))?;
            }
        }
        Ok(Next::Now)
    }

    fn turn_to(&mut self, batch: Batch) {
        let done = std::mem::replace(&mut self.batch, Rc::new(batch));
        self.next = 0;
        self.release(done);
    }

    /// Gives a batch back when nobody holds it any more.
    fn release(&self, batch: Rc<Batch>) {
        if let Some(batch) = Rc::into_inner(batch) {
            self.shared.stock.give_back(batch);
        }
    }

    /// Begins request `op`, the next of the batch, on an idle lane.
    fn begin(
        &mut self,
        index: usize,
        op: u64,
        (intended, now): (Duration, Duration),
    ) -> Result<(), LoadError> {
        self.shared.tell(|shared| Event::Invoke {
            op,
            intended_us: micros(intended),
            truth: shared.work.truth(op),
        })?;
        if let Some(lane) = self.lanes.get_mut(index) {
            lane.task = Some(Task {
                batch: Rc::clone(&self.batch),
                index: self.next,
                op,
                intended,
                sent: now,
                idle_at: lane.idle_at,
                fresh: false,
                stage: Stage::Asking(Duration::MAX),
            });
        }
        self.next += 1;
        self.send(index)
    }

    /// Sends a lane's request, over a new connection if there is none that can be used. A kept one
    /// may turn out to be closed before a byte left: then it goes over a new one, and only then.
    fn send(&mut self, index: usize) -> Result<(), LoadError> {
        let patience = self.shared.options.patience;
        let now = self.shared.now();
        let Some(lane) = self.lanes.get_mut(index) else {
            return Ok(());
        };
        let Lane {
            connection,
            task: Some(task),
            ..
        } = lane
        else {
            return Ok(());
        };
        let (request, _) = task.batch.request(task.index);
        if let Some(kept) = connection
            && kept.send(request).is_ok()
        {
            task.stage = Stage::Asking(now.saturating_add(patience.answer));
            return Ok(());
        }
        *connection = None;
        if std::mem::replace(&mut task.fresh, true) {
            return self.settle(index, Ending::NotSent);
        }
        let opened = Connection::open(self.shared.options.address).and_then(|mut opened| {
            opened.watch(self.poll.registry(), Token(index))?;
            Ok(opened)
        });
        match opened {
            Ok(opened) => {
                *connection = Some(opened);
                task.stage = Stage::Opening(now.saturating_add(patience.connect));
                Ok(())
            }
            Err(_) => self.refuse(index),
        }
    }

    /// No connection could be had.
    fn refuse(&mut self, index: usize) -> Result<(), LoadError> {
        self.shared.unreached();
        let until = self.shared.now() + REFUSED_PAUSE;
        if let Some(lane) = self.lanes.get_mut(index) {
            lane.connection = None;
            if let Some(task) = &mut lane.task {
                task.stage = Stage::Resting(until, Some(Ending::NotSent));
            }
        }
        Ok(())
    }

    /// A lane's socket has something to say.
    fn hear(&mut self, index: usize, ended: bool) -> Result<(), LoadError> {
        let Some(lane) = self.lanes.get_mut(index) else {
            return Ok(());
        };
        let Some(connection) = &mut lane.connection else {
            return Ok(());
        };
        let Some(task) = &lane.task else {
            if connection.is_stale() {
                lane.connection = None;
            }
            return Ok(());
        };
        match task.stage {
            Stage::Opening(_) => match connection.opened() {
                Ok(false) => Ok(()),
                Ok(true) => {
                    self.shared.reached();
                    self.send(index)
                }
                Err(_) => self.refuse(index),
            },
            Stage::Asking(_) => {
                let request = task.batch.request(task.index);
                match connection.go_on(request, ended, &mut self.scratch) {
                    None => Ok(()),
                    Some(Ok(answer)) => {
                        if !connection.is_usable() {
                            lane.connection = None;
                        }
                        self.settle(index, answer.ending())
                    }
                    Some(Err(lost)) => self.lose(index, lost),
                }
            }
            Stage::Resting(..) => {
                if connection.is_stale() {
                    lane.connection = None;
                }
                Ok(())
            }
        }
    }

    fn lose(&mut self, index: usize, lost: Lost) -> Result<(), LoadError> {
        if let Some(lane) = self.lanes.get_mut(index) {
            lane.connection = None;
        }
        self.settle(index, Ending::Indeterminate(lost))
    }

    /// Ends a lane's request, unless it is certainly not recorded and its sender wants it sent
    /// again.
    fn settle(&mut self, index: usize, ending: Ending) -> Result<(), LoadError> {
        let Some(task) = self
            .lanes
            .get_mut(index)
            .and_then(|lane| lane.task.as_mut())
        else {
            return Ok(());
        };
        let again = match ending {
            Ending::Refused(_) | Ending::NotSent if !self.shared.is_stopped() => {
                self.shared.work.again(task.op, ending)
            }
            _ => None,
        };
        match again {
            Some(pause) => {
                let until = self.shared.now().saturating_add(pause);
                task.stage = Stage::Resting(until, None);
                Ok(())
            }
            None => self.end(index, ending),
        }
    }

    fn end(&mut self, index: usize, ending: Ending) -> Result<(), LoadError> {
        let now = self.shared.now();
        let Some(lane) = self.lanes.get_mut(index) else {
            return Ok(());
        };
        let Some(task) = lane.task.take() else {
            return Ok(());
        };
        lane.idle_at = now;
        self.idle.push_back(index);
        self.tally.count(
            ending,
            Took {
                since_intended: now.saturating_sub(task.intended),
                since_sent: now.saturating_sub(task.sent),
                lag: task.sent.saturating_sub(task.intended.max(task.idle_at)),
            },
        );
        self.shared
            .tell(|_| Event::of_ending(task.op, micros(now), ending))?;
        self.shared.count(ending, now);
        self.shared.work.ended(task.op, ending);
        self.release(task.batch);
        Ok(())
    }

    /// Now and then, goes on with the lanes that have waited for long enough.
    fn sweep(&mut self) -> Result<(), LoadError> {
        let now = self.shared.now();
        if now < self.sweep_at {
            return Ok(());
        }
        self.sweep_at = now + SWEEP;
        for index in 0..self.lanes.len() {
            let task = self.lanes.get(index).and_then(|lane| lane.task.as_ref());
            match task.map(|task| task.stage) {
                Some(Stage::Opening(until)) if until <= now => self.refuse(index)?,
                Some(Stage::Asking(until)) if until <= now => self.lose(index, Lost::TimedOut)?,
                Some(Stage::Resting(until, then)) if until <= now => match then {
                    Some(ending) => self.settle(index, ending)?,
                    None => self.send_again(index)?,
                },
                _ => {}
            }
        }
        Ok(())
    }

    fn send_again(&mut self, index: usize) -> Result<(), LoadError> {
        if let Some(task) = self
            .lanes
            .get_mut(index)
            .and_then(|lane| lane.task.as_mut())
        {
            task.fresh = false;
        }
        self.send(index)
    }
}

/// What a thread has had of a processor, and how long it wanted one in vain; nothing where the
/// system does not tell.
#[derive(Clone, Copy, Default, Debug)]
pub(super) struct Busy {
    pub(super) ran: Duration,
    pub(super) queued: Duration,
}

impl Busy {
    fn of_this_thread() -> Busy {
        let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
        let mut numbers = text
            .split_whitespace()
            .map(|word| word.parse().unwrap_or(0));
        let mut time = || Duration::from_nanos(numbers.next().unwrap_or(0));
        Busy {
            ran: time(),
            queued: time(),
        }
    }
}
