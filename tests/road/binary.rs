//! The real binary: commands that end, and a server that runs until it is told to stop.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use serde_json::Value;
use tollgate_traffic::ask::Asker;
use tollgate_traffic::target::Target;

/// How long a test waits for what must come.
const PATIENCE: Duration = Duration::from_secs(60);

/// How a command ended.
pub(crate) struct Ended {
    pub(crate) code: i32,
    /// The object on standard output; null when there was none.
    pub(crate) json: Value,
    /// Standard error.
    pub(crate) told: String,
}

fn tollgate() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tollgate"));
    // Only what the test says counts, whatever the settings of whoever runs it.
    let settings = std::env::vars_os().map(|(name, _)| name);
    for name in settings.filter(|name| name.to_string_lossy().starts_with("TOLLGATE_")) {
        command.env_remove(name);
    }
    command
}

/// Runs a command to its end.
pub(crate) fn run(args: &[&str]) -> Ended {
    let output = tollgate().arg("--json").args(args).output().unwrap();
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    let json = match output.stdout.is_empty() {
        true => Value::Null,
        false => serde_json::from_slice(&output.stdout).unwrap(),
    };
    let code = output.status.code().unwrap_or(-1);
    Ended { code, json, told }
}

/// `tollgate serve` on free ports of this machine.
pub(crate) struct Server {
    child: Child,
    pub(crate) url: String,
    /// Where the API is.
    pub(crate) api: String,
    /// The admin key; none but at the first start on a folder.
    pub(crate) key: Option<String>,
}

impl Server {
    /// Starts it and waits until it takes clicks.
    pub(crate) fn start(data: &Path, links: Option<&Path>) -> Server {
        let mut command = tollgate();
        command.args(["--json", "serve", "--data"]).arg(data);
        if let Some(links) = links {
            command.arg("--links").arg(links);
        }
        let is_new = !data.exists();
        let mut child = command
            .env("TOLLGATE_EDGE_LISTEN", "127.0.0.1:0")
            .env("TOLLGATE_API_LISTEN", "127.0.0.1:0")
            .env("TOLLGATE_MESSAGES_LEVEL", "error")
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let messages = BufReader::new(child.stderr.take().unwrap());
        let out = child.stdout.take().unwrap();
        let mut announced = String::new();
        for line in BufReader::new(out).lines() {
            announced.push_str(&line.unwrap());
            if announced.ends_with('}') {
                break;
            }
        }
        let announced: Value = serde_json::from_str(&announced).unwrap();
        let url = |value: &Value| format!("http://{}", value.as_str().unwrap());
        let keys = pass_on(messages);
        Server {
            child,
            url: url(&announced["edge"][0]),
            api: url(&announced["api"]),
            key: is_new.then(|| keys.recv_timeout(PATIENCE).unwrap()),
        }
    }

    /// Asks its API as its first admin.
    pub(crate) fn asker(&self) -> Asker {
        Asker {
            address: Target::parse(&self.api).unwrap().address,
            token: self.key.clone(),
        }
    }

    /// Rows of a report once it counts `records`, which it must within a while.
    pub(crate) fn report(&self, question: &str, records: u64) -> Vec<Value> {
        let started = Instant::now();
        loop {
            let path = format!("/v1/reports?limit=100000&{question}");
            let answer = self.asker().get(&path).unwrap();
            let rows = answer["rows"].as_array().unwrap().clone();
            let of = |row: &Value| row["records"].as_u64().unwrap();
            if rows.iter().map(of).sum::<u64>() == records {
                return rows;
            }
            assert!(started.elapsed() < PATIENCE, "not {records}: {answer}");
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// Stops it in order.
    pub(crate) fn stop(mut self) {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        assert!(self.child.wait().unwrap().success());
    }
}

/// Passes messages on to the test's own, and the API key that is among them to whoever waits.
fn pass_on(messages: impl BufRead + Send + 'static) -> mpsc::Receiver<String> {
    let (told, keys) = mpsc::channel();
    std::thread::spawn(move || {
        for line in messages.lines().map_while(Result::ok) {
            let key = line.split([' ', '"']).find(|word| word.starts_with("tgk_"));
            match key {
                Some(key) => drop(told.send(key.to_owned())),
                None => eprintln!("serve: {line}"),
            }
        }
    });
    keys
}

impl Drop for Server {
    fn drop(&mut self) {
        // After `stop` there is nothing left to end.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
