//! The real binary in a process of its own, and clients that write down what they were told.
#![expect(
    clippy::disallowed_methods,
    reason = "trials on the real machine take real time"
)]

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context, Result, bail};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use crate::mint;

/// How long a server may take to be ready on a machine that does other things as well.
const READY_MAX: Duration = Duration::from_secs(60);
const CLIENT_PATIENCE: Duration = Duration::from_secs(20);

/// How to start the binary under trial.
#[derive(Clone, Debug)]
pub struct Binary {
    /// The binary.
    pub tollgate: PathBuf,
    /// What it runs under, such as strace with its arguments.
    pub under: Vec<String>,
    /// Told to answer before the sync.
    pub os: bool,
}

/// A running server; killed when it is dropped.
#[derive(Debug)]
pub struct Edge {
    child: Child,
    address: SocketAddr,
    folder: PathBuf,
}

impl Binary {
    /// The binary alone.
    pub fn plain(tollgate: &Path) -> Binary {
        Binary {
            tollgate: tollgate.to_owned(),
            under: Vec::new(),
            os: false,
        }
    }

    /// Starts it on a data directory under `folder` and waits until it is ready.
    pub fn start(&self, folder: &Path) -> Result<Edge> {
        let mut edge = self.launch(folder)?;
        let began = Instant::now();
        while edge.get("/readyz").ok() != Some(200) {
            if let Some(status) = edge.child.try_wait()? {
                bail!("serve ended with {status}: {}", edge.messages());
            }
            if began.elapsed() > READY_MAX {
                bail!(
                    "serve is not ready after {READY_MAX:?}: {}",
                    edge.messages()
                );
            }
            thread::sleep(Duration::from_millis(5));
        }
        Ok(edge)
    }

    /// Starts it and waits for nothing.
    pub fn launch(&self, folder: &Path) -> Result<Edge> {
        let files = mint::files(folder)?;
        let address = free_address()?;
        let durability = if self.os { "os" } else { "sync" };
        let config = folder.join("tollgate.toml");
        let text = format!(
            "[edge]\nlisten = [\"{address}\"]\nthreads = 2\n\
             [log]\ndurability = \"{durability}\"\nsegment = \"16MiB\"\n\
             [api]\nlisten = \"127.0.0.1:0\"\n[messages]\nlevel = \"warn\"\n"
        );
        fs::write(&config, text)?;
        let mut words = self
            .under
            .iter()
            .map(String::as_str)
            .chain(self.tollgate.to_str());
        let mut command = Command::new(words.next().context("the binary's path is not UTF-8")?);
        command
            .args(words)
            .args(["serve", "--role", "collect", "--data"])
            .arg(data(folder));
        command
            .arg("--config")
            .arg(&config)
            .arg("--keys")
            .arg(&files.keys);
        command
            .arg("--links")
            .arg(&files.links)
            .arg("--campaigns")
            .arg(&files.campaigns);
        let messages = fs::File::create(folder.join("messages"))?;
        let child = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(messages)
            .spawn();
        let child = child.with_context(|| format!("starting {:?}", self.tollgate))?;
        Ok(Edge {
            child,
            address,
            folder: folder.to_owned(),
        })
    }
}

/// The data directory of a server that was started on `folder`.
pub fn data(folder: &Path) -> PathBuf {
    folder.join("data")
}

/// Its log.
pub fn log(folder: &Path) -> PathBuf {
    data(folder).join("log")
}

impl Edge {
    /// Where it answers.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What it said on standard error.
    pub fn messages(&self) -> String {
        fs::read_to_string(self.folder.join("messages")).unwrap_or_default()
    }

    /// The status of a plain request.
    pub fn get(&self, path: &str) -> io::Result<u16> {
        let mut client = Client::connect(self.address)?;
        Ok(client.get(path, "")?.status)
    }

    /// Ends it at once, and with it what it runs under.
    pub fn kill(&mut self) -> Result<()> {
        // Under strace the server is a child; it is killed first, so that strace can write its log.
        for child in children(self.child.id()) {
            signal(child, "KILL")?;
        }
        drop(self.child.kill());
        self.child.wait()?;
        Ok(())
    }
}

impl Drop for Edge {
    fn drop(&mut self) {
        // A trial that failed half-way still leaves nothing running.
        drop(self.kill());
    }
}

fn children(parent: u32) -> Vec<u32> {
    let path = format!("/proc/{parent}/task/{parent}/children");
    let text = fs::read_to_string(path).unwrap_or_default();
    text.split_whitespace()
        .filter_map(|pid| pid.parse().ok())
        .collect()
}

fn signal(pid: u32, name: &str) -> Result<()> {
    Command::new("kill")
        .args([format!("-{name}"), pid.to_string()])
        .status()?;
    Ok(())
}

fn free_address() -> Result<SocketAddr> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?)
}

/// What the clients were told.
#[derive(Clone, Debug, Default)]
pub struct History {
    /// The ids of all receipts.
    pub receipts: BTreeSet<String>,
    /// Requests that were answered otherwise, and so promise nothing.
    pub refused: u64,
    /// Requests whose answer did not come: each may be in the log or not.
    pub unknown: u64,
    /// A receipt without an id, an id without a receipt, the same id twice.
    pub wrong: Vec<String>,
}

impl History {
    /// Adds what another run was told.
    pub fn extend(&mut self, other: History) {
        for id in other.receipts {
            self.receipt(id);
        }
        self.refused += other.refused;
        self.unknown += other.unknown;
        self.wrong.extend(other.wrong);
    }

    fn receipt(&mut self, id: String) {
        if !self.receipts.insert(id.clone()) {
            self.wrong.push(format!("click id {id} was given twice"));
        }
    }

    fn take(&mut self, answer: io::Result<Answer>) {
        match answer {
            Err(_) => self.unknown += 1,
            Ok(Answer {
                status: 302,
                click_id: Some(id),
                ..
            }) => self.receipt(id),
            Ok(Answer { status: 302, .. }) => self.wrong.push("a 302 without a Click-Id".into()),
            Ok(Answer {
                status,
                click_id: Some(id),
                ..
            }) => {
                self.wrong.push(format!("a {status} with Click-Id {id}"));
            }
            Ok(_) => self.refused += 1,
        }
    }
}

/// Clients that click until they are stopped.
#[derive(Debug)]
pub struct Clients {
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<History>>,
}

impl Clients {
    /// Starts so many, each with one request at a time and `text` in its headers.
    pub fn start(address: SocketAddr, count: u64, seed: u64, text: &str) -> Clients {
        let stop = Arc::new(AtomicBool::new(false));
        let client = |number| {
            let (stop, text) = (stop.clone(), text.to_owned());
            let dice = StdRng::seed_from_u64(seed.wrapping_add(number));
            thread::spawn(move || click_until(&stop, address, dice, &text))
        };
        let threads = (0..count).map(client).collect();
        Clients { stop, threads }
    }

    /// Lets nothing more begin; what all of them were told.
    pub fn stop(self) -> Result<History> {
        self.stop.store(true, Ordering::SeqCst);
        let mut history = History::default();
        for thread in self.threads {
            let told = thread
                .join()
                .map_err(|_| anyhow::anyhow!("a client has panicked"))?;
            history.extend(told);
        }
        Ok(history)
    }
}

fn click_until(stop: &AtomicBool, address: SocketAddr, mut dice: StdRng, text: &str) -> History {
    let mut history = History::default();
    let mut client = None;
    let headers =
        format!("User-Agent: Mozilla/5.0 (trial)\r\nReferer: https://n.example/{text}\r\n");
    while !stop.load(Ordering::SeqCst) {
        let Some(open) = client.as_mut() else {
            match Client::connect(address) {
                Ok(open) => client = Some(open),
                // Nothing was asked, so nothing can be missing.
                Err(_) => thread::sleep(Duration::from_millis(2)),
            }
            continue;
        };
        let path = match dice.random::<bool>() {
            true => mint::registered(&mut dice),
            false => mint::signed(now_ms(), &mut dice).unwrap_or_default(),
        };
        let answer = open.get(&path, &headers);
        if answer.as_ref().map_or(true, |answer| answer.closes) {
            client = None;
        }
        history.take(answer);
    }
    history
}

fn now_ms() -> u64 {
    let since = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// One connection that asks and waits: small enough to be believed.
struct Client {
    reader: BufReader<TcpStream>,
}

struct Answer {
    status: u16,
    click_id: Option<String>,
    closes: bool,
}

impl Client {
    fn connect(address: SocketAddr) -> io::Result<Client> {
        let stream = TcpStream::connect_timeout(&address, CLIENT_PATIENCE)?;
        stream.set_read_timeout(Some(CLIENT_PATIENCE))?;
        stream.set_write_timeout(Some(CLIENT_PATIENCE))?;
        stream.set_nodelay(true)?;
        Ok(Client {
            reader: BufReader::new(stream),
        })
    }

    fn get(&mut self, path: &str, headers: &str) -> io::Result<Answer> {
        let request = format!("GET {path} HTTP/1.1\r\nHost: t.example\r\n{headers}\r\n");
        self.reader.get_mut().write_all(request.as_bytes())?;
        let broken = || io::Error::from(io::ErrorKind::InvalidData);
        let status = self.line()?;
        let status = status.split(' ').nth(1).and_then(|text| text.parse().ok());
        let mut answer = Answer {
            status: status.ok_or_else(broken)?,
            click_id: None,
            closes: false,
        };
        let mut body_bytes = 0;
        loop {
            let line = self.line()?;
            let Some((name, value)) = line.split_once(':') else {
                break;
            };
            match (name.to_ascii_lowercase().as_str(), value.trim()) {
                ("click-id", value) => answer.click_id = Some(plain(value)),
                ("content-length", value) => body_bytes = value.parse().map_err(|_| broken())?,
                ("connection", value) => answer.closes = value.eq_ignore_ascii_case("close"),
                _ => {}
            }
        }
        io::copy(&mut (&mut self.reader).take(body_bytes), &mut io::sink())?;
        Ok(answer)
    }

    fn line(&mut self) -> io::Result<String> {
        let mut line = String::new();
        if self.reader.read_line(&mut line)? == 0 || !line.ends_with("\r\n") {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(line.trim_end().to_owned())
    }
}

/// A click id as 32 hex digits, however it was written.
fn plain(id: &str) -> String {
    id.chars()
        .filter(|letter| *letter != '-')
        .collect::<String>()
        .to_ascii_lowercase()
}
