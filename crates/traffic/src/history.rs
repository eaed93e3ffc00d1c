//! The independent history: one JSON line for each thing that a driver did or saw.
//!
//! | line | meaning |
//! |---|---|
//! | `run` | the first line: when the run began and at what it was aimed |
//! | `invoke` | request `op` was meant to leave `intended_us` after the beginning |
//! | `ok` | it got a receipt: the click of that id is kept for good |
//! | `fail` | it was refused with that status, or (status 0) never left: it is not kept |
//! | `info` | its answer was lost: it counts once or not at all |
//!
//! `invoke` is written before the request leaves, so a history that ends early leaves requests
//! open, and an open request is indeterminate. The driver writes; checkers that share nothing
//! with the log or the core read ([`read`], [`Operations`]).

use std::collections::BTreeMap;
use std::io::{self, BufRead, BufWriter, Write};
use std::sync::{Mutex, PoisonError};

use serde::{Deserialize, Serialize};
use thiserror::Error;
use tollgate_click::ClickId;

use crate::ending::Ending;
use crate::truth::Truth;

/// One line.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub enum Event {
    /// The run begins.
    Run {
        /// Unix time in ms; all `_us` fields count from here.
        started_at_ms: u64,
        /// What the requests are sent to.
        target: String,
        /// The seed of generated traffic.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        seed: Option<u64>,
    },
    /// A request is about to leave.
    Invoke {
        /// Its number in the run.
        op: u64,
        /// When it was meant to leave.
        intended_us: u64,
        /// What must come of it, if the sender knows.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        truth: Option<Truth>,
    },
    /// A receipt came.
    Ok {
        /// Its number in the run.
        op: u64,
        /// When the answer was whole.
        at_us: u64,
        /// The receipt.
        click_id: String,
    },
    /// It is certain that nothing was kept.
    Fail {
        /// Its number in the run.
        op: u64,
        /// When that was known.
        at_us: u64,
        /// The answer's status; 0 when the request never left.
        status: u16,
    },
    /// It is not known whether the click was kept.
    Info {
        /// Its number in the run.
        op: u64,
        /// When the answer was given up.
        at_us: u64,
        /// What was seen instead of an answer.
        error: String,
    },
}

/// Writes a history from any number of threads.
#[derive(Debug)]
pub struct Writer<W: Write> {
    out: Mutex<BufWriter<W>>,
}

impl<W: Write> Writer<W> {
    /// Writes to `out`, buffered.
    pub fn new(out: W) -> Writer<W> {
        Writer {
            out: Mutex::new(BufWriter::with_capacity(1 << 16, out)),
        }
    }

    /// Appends one line.
    pub fn write(&self, event: &Event) -> io::Result<()> {
        let mut line = serde_json::to_vec(event)?;
        line.push(b'\n');
        self.lock().write_all(&line)
    }

    /// Hands all lines to the operating system.
    pub fn flush(&self) -> io::Result<()> {
        self.lock().flush()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BufWriter<W>> {
        self.out.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Event {
    /// The line that closes request `op`.
    pub fn of_ending(op: u64, at_us: u64, ending: Ending) -> Event {
        match ending {
            Ending::Receipt(id) => Event::Ok {
                op,
                at_us,
                click_id: id.to_string(),
            },
            Ending::Refused(status) => Event::Fail { op, at_us, status },
            Ending::NotSent => Event::Fail {
                op,
                at_us,
                status: 0,
            },
            Ending::Indeterminate(lost) => Event::Info {
                op,
                at_us,
                error: lost.name().to_owned(),
            },
            // A checker must not take an impossible answer for a refusal.
            Ending::Odd(status) => Event::Info {
                op,
                at_us,
                error: format!("odd_{status}"),
            },
        }
    }
}

/// A line that is no line of a history.
#[derive(Debug, Error)]
pub enum ReadError {
    /// The file cannot be read.
    #[error("the history cannot be read: {0}")]
    Io(#[from] io::Error),
    /// A line is no event.
    #[error("line {line}: {source}")]
    Line {
        /// Counted from 1.
        line: usize,
        /// What is wrong with it.
        source: serde_json::Error,
    },
    /// A line closes a request that is not open.
    #[error("line {line}: request {op} is not open")]
    NotOpen {
        /// Counted from 1.
        line: usize,
        /// The request.
        op: u64,
    },
    /// A receipt that is no click id.
    #[error("line {line}: the receipt is no click id")]
    NotAnId {
        /// Counted from 1.
        line: usize,
    },
}

/// What a history says of each request.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Operations {
    /// By number, in the order of sending.
    pub by_op: BTreeMap<u64, Operation>,
}

/// One request.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Operation {
    /// What must come of it, if the sender said so.
    pub truth: Option<Truth>,
    /// What became of it.
    pub fate: Fate,
}

/// What became of a request, as far as its sender knows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fate {
    /// Kept for good under this id.
    Kept(ClickId),
    /// Not kept; the status, 0 when it never left.
    NotKept(u16),
    /// Kept once or not at all.
    Unknown,
}

impl Fate {
    /// The receipt, if there is one.
    pub fn kept(self) -> Option<ClickId> {
        match self {
            Fate::Kept(id) => Some(id),
            Fate::NotKept(_) | Fate::Unknown => None,
        }
    }
}

impl From<Ending> for Fate {
    /// What a checker may believe: an impossible answer is taken for no answer at all.
    fn from(ending: Ending) -> Fate {
        match ending {
            Ending::Receipt(id) => Fate::Kept(id),
            Ending::Refused(status) => Fate::NotKept(status),
            Ending::NotSent => Fate::NotKept(0),
            Ending::Indeterminate(_) | Ending::Odd(_) => Fate::Unknown,
        }
    }
}

/// Reads a whole history. A last line that is cut off is left out: the driver was killed.
pub fn read(mut input: impl BufRead) -> Result<Operations, ReadError> {
    let mut operations = Operations::default();
    let mut text = Vec::new();
    for line in 1.. {
        text.clear();
        if input.read_until(b'\n', &mut text)? == 0 || text.last() != Some(&b'\n') {
            break;
        }
        let event =
            serde_json::from_slice(&text).map_err(|source| ReadError::Line { line, source })?;
        operations.apply(event, line)?;
    }
    Ok(operations)
}

impl Operations {
    fn apply(&mut self, event: Event, line: usize) -> Result<(), ReadError> {
        let (op, fate) = match event {
            Event::Run { .. } => return Ok(()),
            Event::Invoke { op, truth, .. } => {
                let fate = Fate::Unknown;
                self.by_op.insert(op, Operation { truth, fate });
                return Ok(());
            }
            Event::Ok { op, click_id, .. } => {
                let id = click_id.parse().map_err(|_| ReadError::NotAnId { line })?;
                (op, Fate::Kept(id))
            }
            Event::Fail { op, status, .. } => (op, Fate::NotKept(status)),
            Event::Info { op, .. } => (op, Fate::Unknown),
        };
        let open = self.by_op.get_mut(&op);
        open.ok_or(ReadError::NotOpen { line, op })?.fate = fate;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ending::Lost;

    #[test]
    fn a_history_gives_back_each_fate_and_leaves_open_requests_unknown() {
        let id: ClickId = "017f22e2-79b0-7cc3-98c4-dc0c0c07398f".parse().unwrap();
        let writer = Writer::new(Vec::new());
        let run = Event::Run {
            started_at_ms: 5,
            target: "http://127.0.0.1:1".to_owned(),
            seed: Some(1),
        };
        writer.write(&run).unwrap();
        let endings = [
            Ending::Receipt(id),
            Ending::Refused(403),
            Ending::NotSent,
            Ending::Indeterminate(Lost::Closed),
            Ending::Odd(302),
        ];
        for op in 0..6 {
            let invoke = Event::Invoke {
                op,
                intended_us: op * 10,
                truth: None,
            };
            writer.write(&invoke).unwrap();
        }
        for (op, ending) in endings.into_iter().enumerate() {
            writer
                .write(&Event::of_ending(op as u64, 99, ending))
                .unwrap();
        }
        let mut bytes = writer.out.into_inner().unwrap().into_inner().unwrap();
        bytes.extend_from_slice(b"{\"type\":\"ok\",\"op\":5,\"at_");
        let operations = read(bytes.as_slice()).unwrap();
        let fates: Vec<Fate> = operations.by_op.values().map(|o| o.fate).collect();
        assert_eq!(
            fates,
            [
                Fate::Kept(id),
                Fate::NotKept(403),
                Fate::NotKept(0),
                Fate::Unknown,
                Fate::Unknown,
                Fate::Unknown
            ]
        );
    }

    #[test]
    fn a_line_that_is_wrong_is_named() {
        let closing = b"{\"type\":\"fail\",\"op\":1,\"at_us\":1,\"status\":403}\n";
        assert!(matches!(
            read(&closing[..]),
            Err(ReadError::NotOpen { line: 1, op: 1 })
        ));
        let wrong = b"{\"type\":\"invoke\",\"op\":1,\"intended_us\":1}\n{}\n";
        assert!(matches!(
            read(&wrong[..]),
            Err(ReadError::Line { line: 2, .. })
        ));
    }
}
