//! The closed-loop client: wrk, pinned, with one thread (two on one core add a scheduling slice).

use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use serde::Deserialize;

use super::server::pinned;

const SCRIPT: &str = include_str!("click.lua");

/// What wrk saw.
#[derive(Clone, Copy, Debug, Deserialize)]
pub(super) struct Seen {
    pub(super) requests: u64,
    pub(super) us: u64,
    pub(super) p50_us: u64,
    pub(super) p99_us: u64,
    /// Connections and reads that failed or took too long.
    pub(super) broken: u64,
    /// Answers of status 400 and above.
    pub(super) refused: u64,
}

impl Seen {
    pub(super) fn requests_per_s(&self) -> f64 {
        self.requests as f64 * 1e6 / self.us as f64
    }
}

/// Loads `address` for so many seconds from `core`.
pub(super) fn run(
    folder: &Path,
    requests: &Path,
    address: SocketAddr,
    (connections, seconds, core): (u32, u32, usize),
) -> Result<Seen> {
    let script = folder.join("click.lua");
    std::fs::write(&script, SCRIPT)?;
    let wrk = Command::new("wrk");
    let output = pinned(&wrk, core)
        .args([
            "-t1",
            &format!("-c{connections}"),
            &format!("-d{seconds}s"),
            "--latency",
        ])
        .args(["--timeout", "10s", "-s"])
        .arg(&script)
        .arg(format!("http://{address}/"))
        .env("REQUESTS", requests)
        .env("SEED", connections.to_string())
        .stdin(Stdio::null())
        .output()
        .context("wrk")?;
    let text = String::from_utf8_lossy(&output.stdout);
    let result = text.lines().find_map(|line| line.strip_prefix("RESULT "));
    let said = String::from_utf8_lossy(&output.stderr);
    let result = result.with_context(|| format!("wrk gave no result: {text}{said}"))?;
    let seen: Seen = serde_json::from_str(result)?;
    ensure!(seen.requests > 0, "wrk got no answers");
    Ok(seen)
}
