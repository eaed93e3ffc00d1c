//! A client that sends bytes and reads answers, and knows as little HTTP as that takes.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

/// Far above what anything here takes: only a hang lasts as long.
const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) struct Raw<S = TcpStream> {
    pub(crate) socket: S,
    pub(crate) unread: Vec<u8>,
}

#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Raw {
    pub(crate) fn open(address: SocketAddr) -> Raw {
        let socket = TcpStream::connect(address).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        socket.set_write_timeout(Some(PATIENCE)).unwrap();
        socket.set_nodelay(true).unwrap();
        Raw {
            socket,
            unread: Vec::new(),
        }
    }

    /// One request on a connection of its own.
    pub(crate) fn once(address: SocketAddr, bytes: impl AsRef<[u8]>) -> Answer {
        let mut raw = Raw::open(address);
        raw.send(bytes);
        raw.answer()
    }

    pub(crate) fn end_sending(&self) {
        self.socket.shutdown(Shutdown::Write).unwrap();
    }
}

impl<S: Read + Write> Raw<S> {
    pub(crate) fn over(socket: S) -> Raw<S> {
        Raw {
            socket,
            unread: Vec::new(),
        }
    }

    /// An edge that has said no need not read on: a broken pipe is no failure here.
    pub(crate) fn send(&mut self, bytes: impl AsRef<[u8]>) {
        let _ = self.socket.write_all(bytes.as_ref());
        let _ = self.socket.flush();
    }

    pub(crate) fn ask(&mut self, bytes: impl AsRef<[u8]>) -> Answer {
        self.send(bytes);
        self.answer()
    }

    /// The next answer to anything but a HEAD.
    pub(crate) fn answer(&mut self) -> Answer {
        self.try_answer(false)
            .expect("the connection ended without an answer")
    }

    /// The next answer to a HEAD: a length, and no body.
    pub(crate) fn answer_to_head(&mut self) -> Answer {
        self.try_answer(true)
            .expect("the connection ended without an answer")
    }

    pub(crate) fn try_answer(&mut self, to_head: bool) -> Option<Answer> {
        let end = loop {
            let found = self
                .unread
                .windows(4)
                .position(|window| window == b"\r\n\r\n");
            match found {
                Some(end) => break end + 4,
                None if !self.read_more() => return None,
                None => {}
            }
        };
        let head = String::from_utf8(self.unread.drain(..end).collect()).unwrap();
        let mut lines = head.trim_end().split("\r\n");
        let status = lines
            .next()
            .unwrap()
            .split(' ')
            .nth(1)
            .unwrap()
            .parse()
            .unwrap();
        let headers: Vec<_> = lines
            .map(|line| {
                line.split_once(": ")
                    .unwrap_or((line.trim_end_matches(':'), ""))
            })
            .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
            .collect();
        let mut answer = Answer {
            status,
            headers,
            body: Vec::new(),
        };
        let length = answer
            .header("content-length")
            .map_or(0, |value| value.parse().unwrap());
        if !to_head {
            while self.unread.len() < length {
                assert!(self.read_more(), "the body of {answer:?} ended early");
            }
            answer.body = self.unread.drain(..length).collect();
        }
        Some(answer)
    }

    /// Whether the edge ends the connection without another byte.
    pub(crate) fn is_ended(&mut self) -> bool {
        self.unread.is_empty() && !self.read_more()
    }

    /// Reads and forgets; false at the end.
    pub(crate) fn read_to_end_piece(&mut self) -> bool {
        self.unread.clear();
        self.read_more()
    }

    fn read_more(&mut self) -> bool {
        let mut piece = [0; 4096];
        match self.socket.read(&mut piece) {
            Ok(count) => {
                self.unread.extend_from_slice(&piece[..count]);
                count > 0
            }
            Err(error) if error.kind() == ErrorKind::ConnectionReset => false,
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => false,
            Err(error) => panic!("neither a byte nor an end: {error}"),
        }
    }
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str())
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    /// No receipt, no redirect, no cookie, not to be kept.
    pub(crate) fn assert_promises_nothing(&self, what: &str) {
        for name in [
            "location",
            "click-id",
            "set-cookie",
            "etag",
            "last-modified",
        ] {
            assert_eq!(self.header(name), None, "{what}: {self:?}");
        }
        assert_eq!(
            self.header("cache-control"),
            Some("no-store, private"),
            "{what}"
        );
        assert_ne!(self.status, 302, "{what}");
    }
}
