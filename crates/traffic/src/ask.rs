//! Questions to an API: one request, its whole answer. Slow and simple; load goes by
//! [`crate::client`].

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use serde_json::Value;
use thiserror::Error;

/// How long a connection, and then each read, may take.
const PATIENCE: Duration = Duration::from_secs(30);
/// Bytes of an answer at most: a bulk answer has a line for each of some ten thousand things.
const ANSWER_BYTES_MAX: u64 = 64 << 20;
/// Headers of an answer at most.
const HEADERS_MAX: usize = 64;

/// An API, and who asks.
#[derive(Clone)]
pub struct Asker {
    /// Where it listens.
    pub address: SocketAddr,
    /// The bearer token; none asks as nobody.
    pub token: Option<String>,
}

/// One answer.
#[derive(Clone, PartialEq, Debug)]
pub struct Reply {
    /// The status.
    pub status: u16,
    /// The body as it came.
    pub text: String,
}

/// Why there is no answer, or not the one that was asked for.
#[derive(Debug, Error)]
pub enum AskError {
    /// The connection failed.
    #[error("{address} does not answer: {source}")]
    Io {
        /// Who was asked.
        address: SocketAddr,
        /// What happened.
        source: io::Error,
    },
    /// What came is no HTTP answer, or no JSON.
    #[error("the answer of {path} makes no sense: {what}")]
    Garbled {
        /// What was asked for.
        path: String,
        /// What is wrong.
        what: String,
    },
    /// It says no.
    #[error("{path} answers {status}: {text}")]
    Refused {
        /// What was asked for.
        path: String,
        /// The status.
        status: u16,
        /// The beginning of the body.
        text: String,
    },
}

impl Asker {
    /// Asks for JSON.
    pub fn get(&self, path: &str) -> Result<Value, AskError> {
        self.json("GET", path, "", &[])
    }

    /// Sends JSON and reads the JSON that answers a success. `key` is an `Idempotency-Key`, which
    /// makes a request that may be sent again.
    pub fn post(&self, path: &str, body: &Value, key: Option<&str>) -> Result<Value, AskError> {
        let mut headers = vec![("Content-Type", "application/json")];
        headers.extend(key.map(|key| ("Idempotency-Key", key)));
        self.json("POST", path, &body.to_string(), &headers)
    }

    /// Sends a request and reads the JSON that answers a success.
    pub fn json(
        &self,
        method: &str,
        path: &str,
        body: &str,
        headers: &[(&str, &str)],
    ) -> Result<Value, AskError> {
        let reply = self.ask(method, path, body, headers)?;
        if !(200..300).contains(&reply.status) {
            return Err(AskError::Refused {
                path: path.to_owned(),
                status: reply.status,
                text: reply.text.chars().take(500).collect(),
            });
        }
        serde_json::from_str(&reply.text).map_err(|error| AskError::Garbled {
            path: path.to_owned(),
            what: error.to_string(),
        })
    }

    /// Sends one request and reads the whole answer, whatever it says.
    pub fn ask(
        &self,
        method: &str,
        path: &str,
        body: &str,
        headers: &[(&str, &str)],
    ) -> Result<Reply, AskError> {
        let bytes = self.exchange(&self.request(method, path, body, headers));
        let bytes = bytes.map_err(|source| AskError::Io {
            address: self.address,
            source,
        })?;
        read(&bytes).map_err(|what| AskError::Garbled {
            path: path.to_owned(),
            what,
        })
    }

    fn request(&self, method: &str, path: &str, body: &str, headers: &[(&str, &str)]) -> String {
        let mut text = format!("{method} {path} HTTP/1.1\r\nHost: {}\r\n", self.address);
        if let Some(token) = &self.token {
            text.push_str(&format!("Authorization: Bearer {token}\r\n"));
        }
        for (name, value) in headers {
            text.push_str(&format!("{name}: {value}\r\n"));
        }
        let length = body.len();
        text.push_str(&format!(
            "Content-Length: {length}\r\nConnection: close\r\n\r\n{body}"
        ));
        text
    }

    fn exchange(&self, request: &str) -> io::Result<Vec<u8>> {
        let mut stream = TcpStream::connect_timeout(&self.address, PATIENCE)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        // A server may answer before it has read all: its answer tells more than this error.
        let written = stream.write_all(request.as_bytes());
        let mut bytes = Vec::new();
        match stream.take(ANSWER_BYTES_MAX).read_to_end(&mut bytes) {
            Err(error) if bytes.is_empty() => Err(written.err().unwrap_or(error)),
            _ => Ok(bytes),
        }
    }
}

impl std::fmt::Debug for Asker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Asker({}, token hidden)", self.address)
    }
}

fn read(bytes: &[u8]) -> Result<Reply, String> {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut response = httparse::Response::new(&mut headers);
    let parsed = response.parse(bytes).map_err(|error| error.to_string())?;
    let httparse::Status::Complete(head) = parsed else {
        return Err("it ends within its headers".to_owned());
    };
    let header = |name: &str| {
        let found = response.headers.iter();
        let mut found = found.filter(|header| header.name.eq_ignore_ascii_case(name));
        found
            .next()
            .and_then(|header| std::str::from_utf8(header.value).ok())
    };
    let rest = bytes.get(head..).unwrap_or_default();
    let body = match (header("transfer-encoding"), header("content-length")) {
        (Some(_), _) => unchunk(rest)?,
        (None, Some(length)) => {
            let length = length
                .trim()
                .parse()
                .map_err(|_| "its length is no number")?;
            rest.get(..length).ok_or("it is cut off")?.to_vec()
        }
        (None, None) => rest.to_vec(),
    };
    Ok(Reply {
        status: response.code.unwrap_or_default(),
        text: String::from_utf8(body).map_err(|_| "it is no text")?,
    })
}

fn unchunk(mut rest: &[u8]) -> Result<Vec<u8>, String> {
    let cut_off = || "it is cut off".to_owned();
    let mut body = Vec::new();
    loop {
        let Ok(httparse::Status::Complete((head, size))) = httparse::parse_chunk_size(rest) else {
            return Err(cut_off());
        };
        if size == 0 {
            return Ok(body);
        }
        let size = usize::try_from(size).unwrap_or(usize::MAX);
        let end = head.saturating_add(size);
        body.extend_from_slice(rest.get(head..end).ok_or_else(cut_off)?);
        rest = rest.get(end + 2..).ok_or_else(cut_off)?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_read_whole_or_not_at_all() {
        let text = |bytes: &str| read(bytes.as_bytes()).map(|reply| (reply.status, reply.text));
        let yes = Ok((200, "{}".to_owned()));
        assert_eq!(text("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"), yes);
        let chunked = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\n{\r\n1\r\n}\r\n";
        assert_eq!(text(&format!("{chunked}0\r\n\r\n")), yes);
        assert_eq!(
            text("HTTP/1.1 404 Not Found\r\n\r\nno"),
            Ok((404, "no".to_owned()))
        );
        for cut in [
            chunked,
            "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n{}",
            "HTTP/1.1 200",
        ] {
            assert!(text(cut).is_err(), "{cut}");
        }
    }

    #[test]
    fn a_request_says_who_asks_and_a_debug_line_does_not() {
        let asker = Asker {
            address: "127.0.0.1:1".parse().unwrap(),
            token: Some("tgk_secret".to_owned()),
        };
        let request = asker.request("POST", "/v1/x", "{}", &[("A", "b")]);
        assert!(request.starts_with("POST /v1/x HTTP/1.1\r\nHost: 127.0.0.1:1\r\n"));
        assert!(request.contains("Authorization: Bearer tgk_secret\r\nA: b\r\n"));
        assert!(request.ends_with("Content-Length: 2\r\nConnection: close\r\n\r\n{}"));
        assert!(!format!("{asker:?}").contains("secret"));
    }
}
