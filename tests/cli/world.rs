//! A folder with input files, the binary, a running server, and one HTTP request at a time.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc::RecvTimeoutError;
use std::time::{Duration, Instant};

use serde_json::Value;

/// What a browser calls itself.
pub(crate) const BROWSER: &str = "Mozilla/5.0 (X11; Linux x86_64; rv:130.0) Firefox/130.0";

/// How long a test waits for what must come.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// The binary, without any setting of the environment.
pub(crate) fn tollgate() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tollgate"));
    let ours = std::env::vars_os().map(|(name, _)| name);
    ours.filter(|name| name.to_string_lossy().starts_with("TOLLGATE_"))
        .for_each(|name| {
            command.env_remove(name);
        });
    command.env_remove("NO_COLOR");
    command
}

/// Runs the binary to its end. One that does not end (a `serve` that should have refused) is
/// killed, so that the test fails and does not hang.
pub(crate) fn call<S: AsRef<std::ffi::OsStr>>(args: impl IntoIterator<Item = S>) -> Output {
    let mut command = tollgate();
    let command = command.args(args).stdin(Stdio::null());
    let child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let pid = rustix::process::Pid::from_child(&child);
    let (ended, end) = std::sync::mpsc::channel::<()>();
    let watchdog = std::thread::spawn(move || {
        if end.recv_timeout(PATIENCE) == Err(RecvTimeoutError::Timeout) {
            // It may have ended in this very moment, which is as good.
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
        }
    });
    let output = child.wait_with_output().unwrap();
    drop(ended);
    watchdog.join().unwrap();
    output
}

pub(crate) fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

pub(crate) fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// Asserts the exit code and returns standard error.
#[track_caller]
pub(crate) fn refused(output: &Output, code: i32) -> String {
    let told = stderr(output);
    assert_eq!(
        output.status.code(),
        Some(code),
        "stderr: {told}\nstdout: {}",
        stdout(output)
    );
    assert!(!told.contains("panicked"), "{told}");
    told
}

/// A temporary folder with the usual files.
pub(crate) struct World {
    pub(crate) folder: tempfile::TempDir,
}

impl World {
    /// One advertiser with one campaign at 0.35 USD, one link `abc`, one key, free ports.
    pub(crate) fn new() -> World {
        let world = World {
            folder: tempfile::tempdir().unwrap(),
        };
        world.write(
            "t.toml",
            "[edge]\nlisten=[\"127.0.0.1:0\"]\n[api]\nlisten=\"127.0.0.1:0\"\n",
        );
        world.write("campaigns.ndjson", &campaign(350_000, "active"));
        world.write("links.ndjson", &link("abc"));
        let made = call(["keys", "generate", &world.text("keys.ndjson")]);
        assert!(made.status.success(), "{made:?}");
        world
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn text(&self, name: &str) -> String {
        self.path(name).to_str().unwrap().to_owned()
    }

    /// Replaces a file at once, as careful writers do.
    pub(crate) fn write(&self, name: &str, text: &str) {
        let beside = self.path(&format!("{name}.beside"));
        std::fs::write(&beside, text).unwrap();
        std::fs::rename(&beside, self.path(name)).unwrap();
    }

    /// The arguments of `serve` on this folder.
    pub(crate) fn serve_args(&self) -> Vec<String> {
        let mut args = vec!["serve".to_owned(), "--json".to_owned()];
        for (flag, name) in [
            ("--data", "data"),
            ("--config", "t.toml"),
            ("--campaigns", "campaigns.ndjson"),
            ("--links", "links.ndjson"),
            ("--keys", "keys.ndjson"),
        ] {
            args.extend([flag.to_owned(), self.text(name)]);
        }
        args
    }

    pub(crate) fn serve(&self) -> Server {
        Server::start(tollgate().args(self.serve_args()))
    }

    /// A signed link of advertiser 7, campaign 1: its path.
    pub(crate) fn sign(&self, more: &[&str]) -> String {
        let keys = self.text("keys.ndjson");
        let mut args = vec!["link", "sign", "--keys", &keys, "--advertiser", "7"];
        args.extend(["--campaign", "1", "--destination", "https://shoes.example/"]);
        args.extend(["--base", "http://gate"]);
        args.extend(more);
        let signed = call(args);
        assert!(signed.status.success(), "{signed:?}");
        let url = stdout(&signed);
        let start = url.find("http://gate/").expect("a URL") + "http://gate".len();
        url[start..].split_whitespace().next().unwrap().to_owned()
    }

    /// `tollgate report --json` with more arguments.
    pub(crate) fn report(&self, more: &[&str]) -> Value {
        let data = self.text("data");
        let mut args = vec!["report", "--json", "--data", &data];
        args.extend(more);
        let output = call(args);
        assert!(output.status.success(), "{}", stderr(&output));
        serde_json::from_slice(&output.stdout).unwrap()
    }
}

pub(crate) fn campaign(price_micros: i64, state: &str) -> String {
    format!(
        "{{\"advertiser\":7,\"name\":\"Shoes\"}}\n{{\"campaign\":1,\"advertiser\":7,\
         \"name\":\"Autumn\",\"currency\":\"USD\",\"price_micros\":{price_micros},\
         \"state\":\"{state}\"}}\n"
    )
}

pub(crate) fn link(slug: &str) -> String {
    format!(
        "{{\"link\":1,\"slug\":\"{slug}\",\"advertiser\":7,\"campaign\":1,\"publisher\":3,\
         \"placement\":4,\"destination\":\"https://shoes.example/?c={{click_id}}\"}}\n"
    )
}

/// A `tollgate serve --json` that runs.
pub(crate) struct Server {
    child: Child,
    pub(crate) edge: String,
    pub(crate) api: String,
}

/// One HTTP answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Server {
    /// Starts the command and waits for its first words.
    #[track_caller]
    pub(crate) fn start(command: &mut Command) -> Server {
        let command = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut text = String::new();
        for line in BufReader::new(child.stdout.take().unwrap()).lines() {
            let line = line.unwrap();
            text.push_str(&line);
            if line == "}" {
                break;
            }
        }
        let Ok(said) = serde_json::from_str::<Value>(&text) else {
            let output = child.wait_with_output().unwrap();
            panic!("serve did not start: {text} {}", stderr(&output));
        };
        let edge = said["edge"][0].as_str().unwrap_or_default().to_owned();
        Server {
            child,
            edge,
            api: said["api"].as_str().unwrap().to_owned(),
        }
    }

    /// A click by a browser: its answer.
    pub(crate) fn click(&self, path: &str) -> Answer {
        request(&self.edge, "GET", path, BROWSER)
    }

    /// A click that must get a receipt: the click id.
    #[track_caller]
    pub(crate) fn receipt(&self, path: &str) -> String {
        let answer = self.click(path);
        assert_eq!(answer.status, 302, "{answer:?}");
        let id = answer
            .head
            .lines()
            .find_map(|line| line.strip_prefix("click-id: "));
        id.expect("a receipt").to_owned()
    }

    /// `/readyz` of the node.
    pub(crate) fn ready(&self) -> (u16, Value) {
        let answer = request(&self.api, "GET", "/readyz", "test");
        (answer.status, serde_json::from_str(&answer.body).unwrap())
    }

    pub(crate) fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        assert!(
            Command::new("kill")
                .args([name, &pid])
                .status()
                .unwrap()
                .success()
        );
    }

    /// The admin key that the first start on a folder prints, once, on standard error.
    #[track_caller]
    pub(crate) fn first_key(&mut self) -> String {
        let stderr = self.child.stderr.as_mut().unwrap();
        let (mut line, mut byte) = (String::new(), [0]);
        // Byte by byte: what follows is for `end`.
        while stderr.read(&mut byte).unwrap() == 1 {
            match byte[0] {
                b'\n' => line.clear(),
                other => line.push(char::from(other)),
            }
            if let Some((_, key)) = line.split_once("shown this once: ")
                && key.len() == "tgk_1_".len() + 43
            {
                return key.to_owned();
            }
        }
        panic!("it printed no key");
    }

    /// Waits for the end after a signal: exit code (none when killed) and standard error.
    pub(crate) fn end(mut self, signal: &str) -> (Option<i32>, String) {
        self.signal(signal);
        let mut told = String::new();
        self.child
            .stderr
            .take()
            .unwrap()
            .read_to_string(&mut told)
            .unwrap();
        (self.child.wait().unwrap().code(), told)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let lines = self.head.lines().filter_map(|line| line.split_once(": "));
        let mut values = lines.filter(|(known, _)| known.eq_ignore_ascii_case(name));
        values.next().map(|(_, value)| value)
    }
}

/// One request on a connection of its own.
pub(crate) fn request(address: &str, method: &str, path: &str, agent: &str) -> Answer {
    send(
        address,
        &format!("{method} {path} HTTP/1.1\r\nHost: gate\r\nUser-Agent: {agent}\r\n"),
        "",
    )
}

/// Asks the API.
pub(crate) fn read(address: &str, path: &str, key: &str) -> Answer {
    let head = format!("GET {path} HTTP/1.1\r\nHost: api\r\nAuthorization: Bearer {key}\r\n");
    send(address, &head, "")
}

/// Writes over the API.
pub(crate) fn post(
    address: &str,
    path: &str,
    key: &str,
    idempotency: Option<&str>,
    body: &str,
) -> Answer {
    let once = idempotency.map(|key| format!("Idempotency-Key: {key}\r\n"));
    let head = format!(
        "POST {path} HTTP/1.1\r\nHost: api\r\nAuthorization: Bearer {key}\r\n\
         Content-Type: application/json\r\n{}",
        once.unwrap_or_default()
    );
    send(address, &head, body)
}

fn send(address: &str, head: &str, body: &str) -> Answer {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let length = match body.len() {
        0 => String::new(),
        length => format!("Content-Length: {length}\r\n"),
    };
    let text = format!("{head}{length}Connection: close\r\n\r\n{body}");
    stream.write_all(text.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    Answer {
        status,
        head: head.to_owned(),
        body: body.to_owned(),
    }
}

/// Waits until `done` gives something.
#[track_caller]
pub(crate) fn eventually<T>(what: &str, mut done: impl FnMut() -> Option<T>) -> T {
    let started = Instant::now();
    loop {
        if let Some(value) = done() {
            return value;
        }
        assert!(started.elapsed() < PATIENCE, "waited in vain: {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Waits until nobody holds the log's lock. A test that had the log open itself may have lent the
/// lock to a process that another test was just starting.
pub(crate) fn until_unlocked(world: &World) {
    let lock = std::fs::File::open(world.path("data/log/LOCK")).unwrap();
    let shared = rustix::fs::FlockOperation::NonBlockingLockShared;
    eventually("the lock", || rustix::fs::flock(&lock, shared).ok());
}

/// Every name below a folder, with the length of files.
pub(crate) fn listing(folder: &Path) -> Vec<(PathBuf, u64)> {
    let mut found = Vec::new();
    let mut left = vec![folder.to_owned()];
    while let Some(path) = left.pop() {
        for entry in std::fs::read_dir(&path).into_iter().flatten() {
            let entry = entry.unwrap();
            let about = entry.metadata().unwrap();
            if about.is_dir() {
                left.push(entry.path());
            }
            found.push((entry.path(), if about.is_dir() { 0 } else { about.len() }));
        }
    }
    found.sort();
    found
}
