//! A lean HTTP/1.1 client: one keep-alive connection, one request at a time, request bytes in,
//! status and headers out.
//!
//! Its one fine point is honesty about failures: it tells a request of which no byte left
//! ([`ExchangeError::NotSent`]) from one whose answer was lost ([`ExchangeError::Lost`]), because
//! the second may have been recorded.

use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::time::Duration;

use thiserror::Error;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
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

/// One open connection.
#[derive(Debug)]
pub struct Connection {
    stream: TcpStream,
    patience: Patience,
    buffer: Vec<u8>,
    usable: bool,
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
    /// Opens a connection.
    pub async fn open(address: SocketAddr, patience: Patience) -> io::Result<Connection> {
        let stream = timeout(patience.connect, TcpStream::connect(address))
            .await
            .map_err(|_| io::Error::from(ErrorKind::TimedOut))??;
        stream.set_nodelay(true)?;
        Ok(Connection {
            stream,
            patience,
            buffer: Vec::with_capacity(2048),
            usable: true,
        })
    }

    /// Whether another request may be sent: the last answer was whole, did not close the
    /// connection, and the other side has not hung up since.
    pub fn is_usable(&self) -> bool {
        let mut byte = [0];
        let quiet = |error: io::Error| error.kind() == ErrorKind::WouldBlock;
        self.usable && self.stream.try_read(&mut byte).is_err_and(quiet)
    }

    /// Sends one request and waits for its whole answer. `head` tells that the request is a
    /// `HEAD`, whose answer has no body whatever its headers say.
    pub async fn exchange(&mut self, request: &[u8], head: bool) -> Result<Answer, ExchangeError> {
        let usable = std::mem::replace(&mut self.usable, false);
        if !usable {
            return Err(ExchangeError::NotSent);
        }
        let patience = self.patience.answer;
        match timeout(patience, self.exchange_patiently(request, head)).await {
            Ok(result) => result,
            Err(_) => Err(ExchangeError::Lost(Lost::TimedOut)),
        }
    }

    async fn exchange_patiently(
        &mut self,
        request: &[u8],
        head: bool,
    ) -> Result<Answer, ExchangeError> {
        // The first write tells whether anything left; a later failure is indeterminate.
        let written = self.stream.write(request).await.unwrap_or(0);
        if written == 0 {
            return Err(ExchangeError::NotSent);
        }
        let rest = request.get(written..).unwrap_or_default();
        // An edge may answer a bad request before it has read it all: read on even so.
        let all_written = self.stream.write_all(rest).await.is_ok();
        let (answer, keep) = self.read_answer(head).await.map_err(ExchangeError::Lost)?;
        self.usable = all_written && keep;
        Ok(answer)
    }

    /// Reads one answer and tells whether the connection stays open.
    async fn read_answer(&mut self, head: bool) -> Result<(Answer, bool), Lost> {
        self.buffer.clear();
        loop {
            if self.read_more().await? == 0 {
                return Err(Lost::Closed);
            }
            if let Some(parsed) = parse(&self.buffer, head)? {
                return self.finish(parsed).await;
            }
            if self.buffer.len() > ANSWER_BYTES_MAX {
                return Err(Lost::Garbled);
            }
        }
    }

    async fn finish(&mut self, parsed: Parsed) -> Result<(Answer, bool), Lost> {
        let Parsed {
            mut answer,
            header_bytes,
            body,
            keep_alive,
        } = parsed;
        let keep = match body {
            Body::Bytes(length) => {
                let end = header_bytes.saturating_add(length);
                while self.buffer.len() < end {
                    if self.read_more().await? == 0 {
                        return Err(Lost::Closed);
                    }
                }
                answer.body_bytes = length;
                let body = self.buffer.get(header_bytes..end);
                answer.overloaded = body == Some(b"overloaded\n");
                keep_alive && self.buffer.len() == end
            }
            Body::UntilClose => {
                while self.read_more().await? > 0 {
                    if self.buffer.len() > ANSWER_BYTES_MAX {
                        return Err(Lost::Garbled);
                    }
                }
                answer.body_bytes = self.buffer.len().saturating_sub(header_bytes);
                false
            }
        };
        Ok((answer, keep))
    }

    async fn read_more(&mut self) -> Result<usize, Lost> {
        self.stream
            .read_buf(&mut self.buffer)
            .await
            .map_err(|_| Lost::Closed)
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
