//! A second reader of HTTP, llhttp in its strict form as Node.js carries it: what it refuses is
//! not taken here. Two readers that disagree on where a request ends are how one is smuggled.

use std::cell::Cell;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};

use proptest::prelude::*;
use proptest::sample::select;

use crate::raw::Raw;
use crate::table::rows;
use crate::world::World;

/// Answers 200 to each request that it understands, and nothing kind to the rest.
const SERVER: &str = r"
const answer = (request, response) => {
  request.resume();
  request.on('end', () => { response.setHeader('Content-Length', 0); response.end(); });
};
const server = require('http').createServer(answer);
server.on('checkExpectation', answer).on('checkContinue', answer);
server.on('clientError', (error, socket) => socket.end('HTTP/1.1 400 \r\n\r\n'));
server.on('upgrade', (request, socket) => socket.end('HTTP/1.1 400 \r\n\r\n'));
server.on('connect', (request, socket) => socket.end('HTTP/1.1 400 \r\n\r\n'));
server.listen(0, '127.0.0.1', () => console.log(server.address().port));
process.stdin.on('end', () => process.exit()).resume();
";

struct SecondReader {
    process: Child,
    address: SocketAddr,
}

impl SecondReader {
    /// None where there is no Node.js; the test then says so.
    fn start() -> Option<SecondReader> {
        let started = Command::new("node")
            .args(["-e", SERVER])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn();
        let Ok(mut process) = started else {
            println!("SKIPPED: there is no node to be the second reader of HTTP");
            return None;
        };
        let mut line = String::new();
        let stdout = process.stdout.take().unwrap();
        BufReader::new(stdout).read_line(&mut line).unwrap();
        let port = line.trim().parse().unwrap();
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        Some(SecondReader { process, address })
    }

    /// Whether it takes what comes first in these bytes for a request.
    fn accepts(&self, bytes: &[u8]) -> bool {
        let mut raw = Raw::open(self.address);
        raw.send(bytes);
        raw.end_sending();
        let answer = raw.try_answer(bytes.starts_with(b"HEAD "));
        answer.is_some_and(|answer| answer.status == 200)
    }
}

impl Drop for SecondReader {
    fn drop(&mut self) {
        drop(self.process.stdin.take());
        let _ = self.process.wait();
    }
}

/// Sends the bytes to the edge; whether anything was recorded. One request counts once at most.
fn taken(world: &World, bytes: &[u8]) -> bool {
    let before = world.settled();
    let mut raw = world.open();
    raw.send(bytes);
    raw.end_sending();
    let head = bytes.starts_with(b"HEAD ");
    let first = raw.try_answer(head);
    let more = first.is_some() && raw.try_answer(head).is_some();
    let after = world.settled();
    let shown = bytes.escape_ascii();
    assert!(!more, "two answers to {shown}");
    assert!(after.hits <= before.hits + 1, "two hits from {shown}");
    let taken = after.recorded() > before.recorded();
    let receipt = first.is_some_and(|answer| answer.header("click-id").is_some());
    assert!(taken || !receipt, "a receipt without a record for {shown}");
    taken
}

#[test]
fn what_a_strict_reader_refuses_is_not_taken() {
    let Some(reader) = SecondReader::start() else {
        return;
    };
    let world = World::start();
    let tables = [
        include_str!("../data/bad_requests.toml"),
        include_str!("../data/clicks.toml"),
    ];
    let mut count = 0;
    for row in tables.iter().flat_map(|table| rows(table)) {
        let bytes = row.raw(&|word| world.token_named(word));
        if taken(&world, &bytes) {
            assert!(reader.accepts(&bytes), "{}", row.name);
            count += 1;
        }
    }
    assert!(count >= 5, "only {count} rows of the tables were taken");

    let config = ProptestConfig {
        cases: 1_500,
        failure_persistence: None,
        ..ProptestConfig::default()
    };
    let mut runner = proptest::test_runner::TestRunner::new(config);
    let (both, neither) = (Cell::new(0), Cell::new(0));
    let outcome = runner.run(&request(), |pieces| {
        let click = format!("/c/{}", world.token());
        let bytes = pieces.replace("{click}", &click).into_bytes();
        let bytes: Vec<u8> = bytes.into_iter().map(placed).collect();
        match (taken(&world, &bytes), reader.accepts(&bytes)) {
            (true, false) => prop_assert!(false, "taken: {}", bytes.escape_ascii()),
            (true, true) => both.set(both.get() + 1),
            (false, false) => neither.set(neither.get() + 1),
            (false, true) => {}
        }
        Ok(())
    });
    outcome.unwrap_or_else(|failure| panic!("{failure}"));
    let (both, neither) = (both.get(), neither.get());
    let enough = both > 50 && neither > 50;
    assert!(
        enough,
        "one-sided requests: {both} taken, {neither} refused"
    );
}

/// `~` stands for a byte that is no text.
fn placed(byte: u8) -> u8 {
    if byte == b'~' { 0x80 } else { byte }
}

const METHODS: &[&str] = &[
    "GET", "GET", "GET", "HEAD", "POST", "get", "G\tET", "GET\0", " GET",
];
const TARGETS: &[&str] = &[
    "{click}",
    "{click}",
    "{click}",
    "{click}?sub1=a b",
    "{click}?a=~",
    "{click}#f",
    "*",
    "http://x{click}",
    "{click}\t",
    "",
];
const VERSIONS: &[&str] = &[
    "HTTP/1.1",
    "HTTP/1.1",
    "HTTP/1.1",
    "HTTP/1.0",
    "HTTP/1.2",
    "HTTP/2.0",
    "http/1.1",
    "HTTP/1.1 ",
    "HTTP/11",
    "HTTP/1",
    "",
];
const ENDS: &[&str] = &[
    "\r\n", "\r\n", "\r\n", "\r\n", "\r\n", "\n", "\r", "\r\r\n", "\0\r\n",
];
const HEADERS: &[&str] = &[
    "Host: x",
    "Host: x",
    "Host : x",
    "host:y",
    " Host: x",
    "Host",
    ": x",
    "Ho st: x",
    "H\0st: x",
    "X-A: \0",
    "X-A: \x7f",
    "X-A: ~",
    "X~: a",
    "X(: a",
    "X-A:",
    "X-A:\tb\x0bc",
    "X-A: a\rb",
    "User-Agent: Mozilla/5.0",
    "Referer: https://a.example/",
    "Cookie: a=b",
    "Content-Length: 0",
    "Content-Length: 5",
    "Content-Length: +5",
    "Content-Length: 0x5",
    "Content-Length: 5, 5",
    "Content-Length: 5 5",
    "Content-Length:",
    "Content-Length: -1",
    "Content-Length: 99999999999999999999",
    "Content-Length : 0",
    "Transfer-Encoding: chunked",
    "Transfer-Encoding: xchunked",
    "Transfer-Encoding: chunked, gzip",
    "Transfer-Encoding: gzip",
    "Transfer-Encoding:\x0bchunked",
    "Transfer-Encoding: chunked\r\n\t, chunked",
    "Connection: close",
    "Connection: keep-alive, Upgrade",
    "Upgrade: websocket",
    "Expect: 100-continue",
    "Expect: 200-ok",
    "Trailer: X",
    "Keep-Alive: 5",
];
const BODIES: &[&str] = &[
    "",
    "",
    "",
    "hello",
    "0\r\n\r\n",
    "5\r\nhello\r\n0\r\n\r\n",
    "5;a=\"\n\"\r\nhello\r\n0\r\n\r\n",
    "5 \r\nhello\r\n0\r\n\r\n",
    "0x5\r\nhello\r\n0\r\n\r\n",
    "fffffffffffffffff\r\nhello\r\n",
    "5\nhello\n0\n\n",
    "GET {click} HTTP/1.1\r\nHost: x\r\n\r\n",
    "\r\n\r\n",
];

/// A request of pieces, most of them good ones, so that single faults stand alone.
fn request() -> impl Strategy<Value = String> {
    let mostly = |good, pieces| prop_oneof![9 => Just(good), 1 => select(pieces)];
    let line = (
        mostly("GET", METHODS),
        mostly("{click}", TARGETS),
        mostly("HTTP/1.1", VERSIONS),
        mostly("\r\n", ENDS),
    );
    let header = (select(HEADERS), mostly("\r\n", ENDS));
    let headers = proptest::collection::vec(header, 0..3);
    let pieces = (
        line,
        mostly("Host: x\r\n", &[""]),
        headers,
        mostly("", BODIES),
    );
    pieces.prop_map(|((method, target, version, end), host, headers, body)| {
        let headers: String = headers
            .iter()
            .flat_map(|(header, end)| [*header, end])
            .collect();
        format!("{method} {target} {version}{end}{host}{headers}\r\n{body}")
    })
}
