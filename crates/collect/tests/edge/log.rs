//! A log whose commits do what a test says.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

use tollgate_click::{Personal, Record};
use tollgate_log::{Append, AppendError, Committed, Cursor, NewRecord};

/// What becomes of appends from now on.
#[derive(Clone, Debug)]
pub(crate) enum Mode {
    /// Durable at once.
    Commit,
    /// Taken, and pending until [`TestLog::release`].
    Hold,
    /// Not taken.
    Refuse(AppendError),
    /// Taken, and the commit fails.
    Fail(AppendError),
}

/// A record as it was appended.
#[derive(Clone, Debug)]
pub(crate) struct Appended {
    pub(crate) partition: u16,
    pub(crate) facts: Vec<u8>,
    pub(crate) personal: Vec<u8>,
    /// Which call it came with.
    pub(crate) call: usize,
}

#[derive(Clone)]
pub(crate) struct TestLog(Arc<Mutex<State>>);

struct State {
    mode: Mode,
    durable: Vec<Appended>,
    calls: usize,
    held: VecDeque<(Vec<Appended>, Commit)>,
}

#[derive(Clone)]
pub(crate) struct Commit(Arc<Mutex<Cell>>);

#[derive(Default)]
struct Cell {
    outcome: Option<Result<(), AppendError>>,
    waker: Option<Waker>,
}

impl TestLog {
    pub(crate) fn new() -> TestLog {
        let (durable, held) = (Vec::new(), VecDeque::new());
        TestLog(Arc::new(Mutex::new(State {
            mode: Mode::Commit,
            durable,
            calls: 0,
            held,
        })))
    }

    pub(crate) fn set(&self, mode: Mode) {
        self.0.lock().unwrap().mode = mode;
    }

    pub(crate) fn writable(&self) -> Result<(), String> {
        match &self.0.lock().unwrap().mode {
            Mode::Refuse(error) => Err(error.to_string()),
            _ => Ok(()),
        }
    }

    /// Ends every commit that is held.
    pub(crate) fn release(&self, outcome: Result<(), AppendError>) {
        let mut state = self.0.lock().unwrap();
        for (records, commit) in std::mem::take(&mut state.held) {
            if outcome.is_ok() {
                state.durable.extend(records);
            }
            commit.end(outcome.clone());
        }
    }

    pub(crate) fn held(&self) -> usize {
        self.0.lock().unwrap().held.len()
    }

    pub(crate) fn durable(&self) -> Vec<Appended> {
        self.0.lock().unwrap().durable.clone()
    }

    pub(crate) fn durable_count(&self) -> usize {
        self.0.lock().unwrap().durable.len()
    }

    pub(crate) fn last(&self) -> Appended {
        self.durable().pop().unwrap()
    }
}

impl Appended {
    pub(crate) fn record(&self) -> Record {
        Record::decode(&self.facts).unwrap()
    }

    pub(crate) fn click(&self) -> tollgate_click::ClickFacts {
        match self.record() {
            Record::Click(facts) => facts,
            other => panic!("no click: {other:?}"),
        }
    }

    pub(crate) fn person(&self) -> Personal<'_> {
        Personal::decode(&self.personal).unwrap()
    }
}

impl Append for TestLog {
    type Commit = Commit;

    fn append_all(&self, records: &[NewRecord<'_>]) -> Result<Commit, AppendError> {
        let mut state = self.0.lock().unwrap();
        state.calls += 1;
        let call = state.calls;
        let copy = |record: &NewRecord<'_>| Appended {
            partition: record.partition.0,
            facts: record.facts.to_vec(),
            personal: record.personal.to_vec(),
            call,
        };
        let records: Vec<_> = records.iter().map(copy).collect();
        let commit = Commit(Arc::default());
        match state.mode.clone() {
            Mode::Commit => {
                state.durable.extend(records);
                commit.end(Ok(()));
            }
            Mode::Hold => state.held.push_back((records, commit.clone())),
            Mode::Refuse(error) => return Err(error),
            Mode::Fail(error) => commit.end(Err(error)),
        }
        Ok(commit)
    }
}

impl Commit {
    fn end(&self, outcome: Result<(), AppendError>) {
        let mut cell = self.0.lock().unwrap();
        cell.outcome = Some(outcome);
        if let Some(waker) = cell.waker.take() {
            waker.wake();
        }
    }
}

impl Future for Commit {
    type Output = Result<Committed, AppendError>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let mut cell = self.0.lock().unwrap();
        cell.waker = Some(context.waker().clone());
        let cursor = Cursor {
            incarnation: 1,
            position: 1,
        };
        match cell.outcome.clone() {
            None => Poll::Pending,
            Some(outcome) => Poll::Ready(outcome.map(|()| Committed { cursor })),
        }
    }
}
