//! The real binary: commands that end, and a server that runs until it is told to stop.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use serde_json::Value;

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
}

impl Server {
    /// Starts it and waits until it takes clicks.
    pub(crate) fn start(data: &Path, links: &Path) -> Server {
        let mut child = tollgate()
            .args(["--json", "serve", "--data"])
            .arg(data)
            .arg("--links")
            .arg(links)
            .env("TOLLGATE_EDGE_LISTEN", "127.0.0.1:0")
            .env("TOLLGATE_API_LISTEN", "127.0.0.1:0")
            .env("TOLLGATE_MESSAGES_LEVEL", "error")
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let out = child.stdout.take().unwrap();
        let mut announced = String::new();
        for line in BufReader::new(out).lines() {
            announced.push_str(&line.unwrap());
            if announced.ends_with('}') {
                break;
            }
        }
        let announced: Value = serde_json::from_str(&announced).unwrap();
        let address = announced["edge"][0].as_str().unwrap();
        let url = format!("http://{address}");
        Server { child, url }
    }

    /// Stops it in order.
    pub(crate) fn stop(mut self) {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        assert!(self.child.wait().unwrap().success());
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // After `stop` there is nothing left to end.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
