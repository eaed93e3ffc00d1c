//! A lean HTTP/1.1 client: one keep-alive connection, one request at a time, request bytes in,
//! status and headers out. It never waits: its owner watches the socket and says when it is ready.
//!
//! Its one fine point is honesty about failures: it tells a request of which no byte left
//! ([`ExchangeError::NotSent`]) from one whose answer was lost ([`ExchangeError::Lost`]), because
//! the second may have been recorded.

use std::io::{self, ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::time::Duration;

use mio::event::Source;
use mio::net::TcpStream;
use mio::{Interest, Registry, Token};
use thiserror::Error;
use tollgate_click::ClickId;

use crate::ending::{Ending, Lost};

/// Header bytes of an answer at most; more is [`Lost::Garbled`].
const ANSWER_BYTES_MAX: usize = 64 * 1024;
/// Headers of an answer at most.
const ANSWER_HEADERS_MAX: usize = 64;

/// How long the client waits.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Patience {
    /// For a connection.
    pub connect: Duration,
    /// For a whole answer, from the first byte sent.
    pub answer: Duration,
}

impl Default for Patience {
    fn default() -> Patience {
        Patience {
            connect: Duration::from_secs(2),
            answer: Duration::from_secs(10),
        }
    }
}

/// One connection.
#[derive(Debug)]
pub struct Connection {
    stream: TcpStream,
    state: State,
    /// What has come of an answer that is not whole yet.
    held: Vec<u8>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    /// Not open yet.
    Opening,
    /// Another request may be sent.
    Idle,
    /// So much of a request was sent; its answer is due.
    Asking { sent: usize },
    /// No other request may be sent.
    Spent,
}

/// The answer to one request.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// `Location` is there.
    pub location: bool,
    /// What stands in `Click-Id`, if it is there.
    pub click_id: Option<Result<ClickId, NotAnId>>,
    /// `Retry-After` is there.
    pub retry_after: bool,
    /// The body is the word of an edge that has certainly not recorded the click.
    pub overloaded: bool,
    /// The body's length in bytes.
    pub body_bytes: usize,
}

/// A `Click-Id` that holds no click id.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct NotAnId;

/// Why there is no answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
pub enum ExchangeError {
    /// No byte of the request was written.
    #[error("nothing was sent")]
    NotSent,
    /// Some byte was written and no whole answer came.
    #[error("the answer was lost")]
    Lost(Lost),
}

impl Connection {
    /// Begins to open a connection.
    pub fn open(address: SocketAddr) -> io::Result<Connection> {
        Ok(Connection {
            stream: TcpStream::connect(address)?,
            state: State::Opening,
            held: Vec::new(),
        })
    }

    /// Has the socket watched for all that it may have to say, each thing told once.
    pub fn watch(&mut self, registry: &Registry, token: Token) -> io::Result<()> {
        let all = Interest::READABLE | Interest::WRITABLE;
        self.stream.register(registry, token, all)
    }

    /// Whether the connection is open by now; an error when it never will be.
    pub fn opened(&mut self) -> io::Result<bool> {
        if self.state == State::Opening {
            if let Some(error) = self.stream.take_error()? {
                return Err(error);
            }
            match self.stream.peer_addr() {
                Err(error) if error.kind() == ErrorKind::NotConnected => return Ok(false),
                other => other.map(drop)?,
            }
            self.stream.set_nodelay(true)?;
            self.state = State::Idle;
        }
        Ok(true)
    }

    /// Whether a request may be sent: the connection is open, and the last answer was whole and
    /// did not close it.
    pub fn is_usable(&self) -> bool {
        self.state == State::Idle
    }

    /// Sends a request. The first write tells whether anything left; what fails later is
    /// indeterminate.
    pub fn send(&mut self, request: &[u8]) -> Result<(), ExchangeError> {
        let usable = self.is_usable();
        self.state = State::Spent;
        match usable.then(|| self.stream.write(request)) {
            Some(Ok(sent)) if sent > 0 => {
                self.state = State::Asking { sent };
                Ok(())
            }
            _ => Err(ExchangeError::NotSent),
        }
    }

    /// Goes on with `request` when the socket has something to say; returns its answer when that
    /// is whole. `head` tells that the request is a `HEAD`, whose answer has no body whatever its
    /// headers say; `ended`, that the other side has hung up behind what it sent.
    pub fn go_on(
        &mut self,
        (request, head): (&[u8], bool),
        ended: bool,
        scratch: &mut [u8],
    ) -> Option<Result<Answer, Lost>> {
        let State::Asking { sent } = self.state else {
            return None;
        };
        let sent = self.send_rest(request, sent);
        let judged = loop {
            let count = match self.stream.read(scratch) {
                Ok(count) => count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return None,
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(_) => break Err(Lost::Closed),
            };
            let bytes = scratch.get(..count).unwrap_or_default();
            match self.take(bytes, head) {
                Ok(Some(judged)) => break Ok(judged),
                Err(lost) => break Err(lost),
                // A read that has not filled the buffer has emptied the socket.
                Ok(None) if count < scratch.len() && !ended => return None,
                Ok(None) => {}
            }
        };
        let keeps = matches!(judged, Ok((_, true))) && sent == request.len() && !ended;
        self.state = if keeps { State::Idle } else { State::Spent };
        self.held.clear();
        Some(judged.map(|(answer, _)| answer))
    }

    /// Writes what is left of a request; how much of it was sent then. An edge may answer a bad
    /// request before it has read it all, so a failure says nothing yet.
    fn send_rest(&mut self, request: &[u8], sent: usize) -> usize {
        let rest = request.get(sent..).unwrap_or_default();
        if rest.is_empty() {
            return sent;
        }
        let sent = sent + self.stream.write(rest).unwrap_or(0);
        self.state = State::Asking { sent };
        sent
    }

    /// Takes what was read, nothing when the other side has hung up; the answer, when it is whole,
    /// and whether the connection may be kept.
    fn take(&mut self, bytes: &[u8], head: bool) -> Result<Option<(Answer, bool)>, Lost> {
        if self.held.is_empty() && !bytes.is_empty() {
            let judged = judge(bytes, head, false);
            if let Ok(None) = judged {
                self.held.extend_from_slice(bytes);
            }
            return judged;
        }
        self.held.extend_from_slice(bytes);
        judge(&self.held, head, bytes.is_empty())
    }

    /// Whether the other side has hung up, or spoken unasked, on a connection that is kept.
    pub fn is_stale(&mut self) -> bool {
        let quiet = |error: io::Error| error.kind() == ErrorKind::WouldBlock;
        !self.stream.read(&mut [0]).is_err_and(quiet)
    }
}

impl Answer {
    /// What the answer means for the click.
    ///
    /// An edge answers 503 with `Retry-After` when it is overloaded, and then its body says so,
    /// and when its log failed before it could say whether the click is kept: that answer
    /// promises nothing. 503 without it refuses a prefetch.
    pub fn ending(&self) -> Ending {
        match (self.status, &self.click_id) {
            (302, Some(Ok(id))) if self.location => Ending::Receipt(*id),
            (302, _) | (_, Some(_)) => Ending::Odd(self.status),
            (503, None) if self.retry_after && !self.overloaded => {
                Ending::Indeterminate(Lost::Busy)
            }
            (500 | 502 | 504, None) => Ending::Indeterminate(Lost::Failed),
            (status, None) => Ending::Refused(status),
        }
    }
}

impl From<ExchangeError> for Ending {
    fn from(error: ExchangeError) -> Ending {
        match error {
            ExchangeError::NotSent => Ending::NotSent,
            ExchangeError::Lost(lost) => Ending::Indeterminate(lost),
        }
    }
}

struct Parsed {
    answer: Answer,
    header_bytes: usize,
    body: Body,
    keep_alive: bool,
}

enum Body {
    Bytes(usize),
    UntilClose,
}

/// The answer that `bytes` hold, when it is whole, and whether the connection may be kept;
/// `closed` tells that no more will come.
fn judge(bytes: &[u8], head: bool, closed: bool) -> Result<Option<(Answer, bool)>, Lost> {
    let wait = || match closed {
        true => Err(Lost::Closed),
        false if bytes.len() > ANSWER_BYTES_MAX => Err(Lost::Garbled),
        false => Ok(None),
    };
    let Some(parsed) = parse(bytes, head)? else {
        return wait();
    };
    let Parsed {
        mut answer,
        header_bytes,
        body,
        keep_alive,
    } = parsed;
    match body {
        Body::Bytes(length) => {
            let end = header_bytes.saturating_add(length);
            let Some(body) = bytes.get(header_bytes..end) else {
                return wait();
            };
            answer.body_bytes = length;
            answer.overloaded = body == b"overloaded\n";
            Ok(Some((answer, keep_alive && bytes.len() == end)))
        }
        Body::UntilClose if closed => {
            answer.body_bytes = bytes.len().saturating_sub(header_bytes);
            Ok(Some((answer, false)))
        }
        Body::UntilClose => wait(),
    }
}

/// Reads the head of an answer; `None` asks for more bytes. Interim answers (1xx) and chunked
/// bodies are never asked for and count as garbled.
fn parse(bytes: &[u8], head: bool) -> Result<Option<Parsed>, Lost> {
    let mut headers = [httparse::EMPTY_HEADER; ANSWER_HEADERS_MAX];
    let mut response = httparse::Response::new(&mut headers);
    let header_bytes = match response.parse(bytes).map_err(|_| Lost::Garbled)? {
        httparse::Status::Complete(length) => length,
        httparse::Status::Partial => return Ok(None),
    };
    let status = response.code.filter(|code| *code >= 200);
    let status = status.ok_or(Lost::Garbled)?;
    let mut answer = Answer {
        status,
        location: false,
        click_id: None,
        retry_after: false,
        overloaded: false,
        body_bytes: 0,
    };
    let mut length = None;
    let mut keep_alive = response.version == Some(1);
    for header in response.headers.iter() {
        let is = |name: &str| header.name.eq_ignore_ascii_case(name);
        let text = std::str::from_utf8(header.value).unwrap_or_default();
        if is("click-id") {
            answer.click_id = Some(text.parse().map_err(|_| NotAnId));
        } else if is("location") {
            answer.location = true;
        } else if is("retry-after") {
            answer.retry_after = true;
        } else if is("content-length") {
            length = Some(text.parse::<usize>().map_err(|_| Lost::Garbled)?);
        } else if is("connection") && text.eq_ignore_ascii_case("close") {
            keep_alive = false;
        } else if is("transfer-encoding") {
            return Err(Lost::Garbled);
        }
    }
    if length.is_some_and(|length| length > ANSWER_BYTES_MAX) {
        return Err(Lost::Garbled);
    }
    let body = match length {
        _ if head || status == 204 || status == 304 => Body::Bytes(0),
        Some(length) => Body::Bytes(length),
        None => Body::UntilClose,
    };
    Ok(Some(Parsed {
        answer,
        header_bytes,
        body,
        keep_alive,
    }))
}

#[cfg(test)]
mod tests;
