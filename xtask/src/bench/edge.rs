//! `cargo xtask bench edge`: a durable click beside nginx's unsynced log line.
//!
//! Both servers stand on the same pinned core, the client on another; they take turns in each
//! round, and only figures of the same round are compared. nginx answers 302 and buffers a full
//! log line; the edge verifies the link, writes the record and, in `sync`, waits for the disk.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use clap::Args;
use serde::Serialize;
use serde_json::{Value, json};

use super::links::{self, Links};
use super::server::{self, Server};
use super::usage::{Snapshot, memory_peak_mib};
use super::{Bar, judge, keep, machine, median, wrk};
use crate::test::needs;

const SERVER_CORE: usize = 0;
const CLIENT_CORE: usize = 1;
const CONNECTIONS: [u32; 3] = [64, 512, 2048];
const NAMES: [&str; 3] = ["nginx", "tollgate_sync", "tollgate_os"];

/// Arguments of `cargo xtask bench edge`.
#[derive(Debug, Args)]
pub(crate) struct Edge {
    /// Rounds; each server runs once in a round for each number of connections.
    #[arg(long, default_value_t = 3)]
    rounds: u32,
    /// Seconds of each run, after one second of warm-up.
    #[arg(long, default_value_t = 5)]
    seconds: u32,
    /// The build profile of the edge.
    #[arg(long, default_value = "dist")]
    profile: String,
    /// Measure these binaries (tollgate, tollgate-torture) instead of building them.
    #[arg(long, value_name = "FOLDER")]
    built: Option<PathBuf>,
    /// Close with one object on standard output.
    #[arg(long)]
    json: bool,
}

/// One server at one number of connections in one round.
#[derive(Clone, Debug, Serialize)]
struct Run {
    name: &'static str,
    connections: u32,
    round: u32,
    requests_per_s: f64,
    p50_us: u64,
    p99_us: u64,
    /// Busy time of the whole core per request.
    cpu_us_per_request: f64,
    /// The part of it that the server's own threads account for.
    server_us_per_request: f64,
    bytes_per_click: f64,
    fsyncs_per_s: f64,
    foreign_cpu_share: f64,
    steal_share: f64,
    memory_mib: f64,
    refused: u64,
    broken: u64,
}

/// Where everything stands.
struct Bench {
    folder: PathBuf,
    tollgate: PathBuf,
    torture: PathBuf,
    links: Links,
}

impl Edge {
    pub(super) fn run(&self, root: &Path) -> Result<bool> {
        install()?;
        let built = match &self.built {
            Some(folder) => folder.canonicalize()?,
            None => build(root, &self.profile)?,
        };
        let bench = Bench::prepare(root, &built)?;
        bench.check_answers()?;
        let mut runs = Vec::new();
        for round in 1..=self.rounds {
            for connections in CONNECTIONS {
                for name in NAMES {
                    let run = bench.measure(name, connections, round, self.seconds)?;
                    print(&run);
                    runs.push(run);
                }
            }
        }
        let sealed = bench.sealed_bytes()?;
        let ratios = ratios(&runs);
        let open_loop = bench.open_loop(&runs).unwrap_or_else(|error| {
            eprintln!("the open-loop run failed: {error:#}");
            Value::Null
        });
        let met = judge(&bars(&ratios, &runs, &open_loop, &sealed));
        let result = json!({
            "machine": machine::describe(),
            "texts": bench.links.texts,
            "profile": self.profile_of_binaries(),
            "runs": runs,
            "cpu_ratio": ratios,
            "open_loop": open_loop,
            "sealed": sealed,
        });
        keep(root, "edge", &result)?;
        if self.json {
            println!("{result}");
        }
        fs::remove_dir_all(&bench.folder)?;
        Ok(met)
    }
}

/// nginx and wrk from the system's packages. The package of nginx would start a server of its own;
/// a policy that says no is put in its way for the moment, if there is none.
fn install() -> Result<()> {
    let missing = [
        ("nginx", "nginx-light"),
        ("wrk", "wrk"),
        ("taskset", "util-linux"),
    ];
    let missing: Vec<&str> = missing
        .into_iter()
        .filter(|(command, _)| !needs::is_there(command))
        .map(|(_, package)| package)
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    let policy = Path::new("/usr/sbin/policy-rc.d");
    let ours = needs::is_root() && !policy.exists();
    if ours {
        fs::write(policy, "#!/bin/sh\nexit 101\n")?;
        Command::new("chmod").arg("+x").arg(policy).status()?;
    }
    let mut install = vec!["install", "-y", "-qq", "--no-install-recommends"];
    install.extend(missing);
    let done = needs::apt_get(&["update", "-qq"]).and_then(|()| needs::apt_get(&install));
    if ours {
        fs::remove_file(policy)?;
    }
    done.map_err(anyhow::Error::msg)
}

/// Builds what is measured and what makes its links; where the binaries are.
impl Edge {
    /// What the binaries were built with; of binaries that were built before, the folder's name.
    fn profile_of_binaries(&self) -> String {
        let folder = self.built.as_deref().and_then(Path::file_name);
        folder.map_or_else(
            || self.profile.clone(),
            |name| name.to_string_lossy().into_owned(),
        )
    }
}

fn build(root: &Path, profile: &str) -> Result<PathBuf> {
    eprintln!("building with profile {profile}");
    let packages = ["-p", "tollgate", "-p", "tollgate-sim", "--bins"];
    let status = Command::new("cargo")
        .args(["build", "--profile", profile])
        .args(packages)
        .current_dir(root)
        .status()?;
    ensure!(status.success(), "the build failed");
    Ok(crate::built(root, profile))
}

impl Bench {
    fn prepare(root: &Path, built: &Path) -> Result<Bench> {
        let folder = crate::target(root).join("bench-edge");
        if folder.exists() {
            fs::remove_dir_all(&folder)?;
        }
        fs::create_dir_all(&folder)?;
        let torture = built.join("tollgate-torture");
        let links = links::make(root, &folder, &torture)?;
        Ok(Bench {
            folder,
            tollgate: built.join("tollgate"),
            torture,
            links,
        })
    }

    /// A server on an empty folder.
    fn start(&self, name: &str) -> Result<Server> {
        for leftover in ["nginx", "data"] {
            let path = self.folder.join(leftover);
            if path.exists() {
                fs::remove_dir_all(path)?;
            }
        }
        match name {
            "nginx" => server::nginx(&self.folder, SERVER_CORE),
            _ => {
                let durability = name.trim_start_matches("tollgate_");
                server::tollgate(
                    &self.tollgate,
                    &self.folder,
                    &self.links,
                    durability,
                    SERVER_CORE,
                )
            }
        }
    }

    /// A fast wrong answer is no answer.
    fn check_answers(&self) -> Result<()> {
        let edge = self.start("tollgate_sync")?;
        let requests = fs::read_to_string(&self.links.requests)?;
        let path = requests.split('\t').next().unwrap_or_default();
        let head = edge.answer(path)?;
        let receipt = head.starts_with("HTTP/1.1 302") && head.to_lowercase().contains("click-id:");
        ensure!(receipt, "a good link got {head}");
        let mut forged = path.to_owned();
        let last = if forged.ends_with('A') { "Q" } else { "A" };
        forged.replace_range(forged.len() - 5..forged.len() - 4, last);
        let status = edge.status(&forged)?;
        ensure!(status == 403, "a forged link got {status}");
        let head = edge.answer("/c/garbage")?;
        let refused = head.starts_with("HTTP/1.1 4") && !head.to_lowercase().contains("location:");
        ensure!(refused, "garbage got {head}");
        Ok(())
    }

    fn measure(&self, name: &'static str, connections: u32, round: u32, s: u32) -> Result<Run> {
        let mut server = self.start(name)?;
        let load = |seconds| {
            let how = (connections, seconds, CLIENT_CORE);
            wrk::run(&self.folder, &self.links.requests, server.address, how)
        };
        let warm = load(1)?;
        // All that the run before has left to the disk is its own cost.
        Command::new("sync").status()?;
        let processes = server.processes();
        let before = Snapshot::take(&self.folder)?;
        let seen = load(s)?;
        let usage = Snapshot::take(&self.folder)?.since(&before, SERVER_CORE, &processes);
        let memory_mib = processes.iter().map(|pid| memory_peak_mib(*pid)).sum();
        server.kill()?;
        let requests = seen.requests as f64;
        let kept = self.kept_bytes(name, &server.writes)?;
        Ok(Run {
            name,
            connections,
            round,
            requests_per_s: seen.requests_per_s(),
            p50_us: seen.p50_us,
            p99_us: seen.p99_us,
            cpu_us_per_request: usage.core_us / requests,
            server_us_per_request: usage.server_us / requests,
            bytes_per_click: kept.unwrap_or(f64::NAN).max(0.0)
                / if name == "nginx" {
                    requests + warm.requests as f64
                } else {
                    1.0
                },
            fsyncs_per_s: usage.flushes / usage.seconds,
            foreign_cpu_share: usage.foreign_share,
            steal_share: usage.steal_share,
            memory_mib,
            refused: seen.refused,
            broken: seen.broken,
        })
    }

    /// nginx: the bytes of its log. The edge: the bytes per record that a witness finds in its live
    /// segments, since a segment's file is longer than what is in it.
    fn kept_bytes(&self, name: &str, writes: &Path) -> Result<Option<f64>> {
        if name == "nginx" {
            return Ok(Some(fs::metadata(writes.join("access.log"))?.len() as f64));
        }
        let output = Command::new(&self.torture)
            .arg("measure")
            .arg(writes.join("log"))
            .stdin(Stdio::null())
            .output()?;
        ensure!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr).trim()
        );
        let measured: Value = serde_json::from_slice(&output.stdout)?;
        Ok(measured
            .get("live_bytes_per_record")
            .and_then(Value::as_f64))
    }

    /// The log of a run with every link clicked once, sealed.
    fn sealed_bytes(&self) -> Result<Value> {
        let mut server = self.start("tollgate_sync")?;
        let how = (512, 2, CLIENT_CORE);
        wrk::run(&self.folder, &self.links.requests, server.address, how)?;
        server.kill()?;
        let mut measure = Command::new(&self.torture);
        measure
            .args(["measure", "--seal"])
            .arg(server.writes.join("log"));
        let output = measure
            .stdin(Stdio::null())
            .stderr(Stdio::inherit())
            .output()?;
        let measured: Value = serde_json::from_slice(&output.stdout).context("sealing")?;
        eprintln!("sealed: {measured}");
        Ok(measured)
    }

    /// Latency at half the knee, each request's time fixed beforehand.
    fn open_loop(&self, runs: &[Run]) -> Result<Value> {
        let knee = median_of(runs, "tollgate_sync", 512, |run| run.requests_per_s);
        let rate = (knee / 2.0) as u64;
        let fdatasync_p99_us = fdatasync_p99_us(&self.folder)?;
        let mut server = self.start("tollgate_sync")?;
        let load = Command::new(&self.tollgate);
        let output = server::pinned(&load, CLIENT_CORE)
            .args([
                "--json",
                "load",
                "--target",
                &format!("http://{}", server.address),
            ])
            .arg("--keys")
            .arg(&self.links.keys)
            .args([
                "--rate",
                &rate.to_string(),
                "--duration",
                "10s",
                "--connections",
                "256",
            ])
            .stdin(Stdio::null())
            .stderr(Stdio::inherit())
            .output()?;
        server.kill()?;
        let told: Value = serde_json::from_slice(&output.stdout).context("tollgate load")?;
        eprintln!("open loop at {rate}/s: {told}");
        let kept_up = driver_kept_up(rate, &told);
        if !kept_up {
            eprintln!("the driver did not keep up: its latencies are no figure of the edge");
        }
        Ok(json!({
            "rate": rate,
            "fdatasync_p99_us": fdatasync_p99_us,
            "driver_kept_up": kept_up,
            "load": told,
        }))
    }
}

/// Whether the run was what was asked for: the rate was held, and what was late was the edge.
fn driver_kept_up(rate: u64, told: &Value) -> bool {
    let number = |key: &str| told.get(key).and_then(Value::as_u64).unwrap_or(0);
    let held = number("answers_per_s") * 100 >= rate * 98;
    held && number("late") * 100 <= number("planned") && number("driver_busy_percent") <= 92
}

/// How long the disk itself takes for a small write and its sync.
fn fdatasync_p99_us(folder: &Path) -> Result<u64> {
    use std::os::unix::fs::FileExt;
    let path = folder.join("probe");
    let file = fs::File::create(&path)?;
    let block = [7; 4096];
    for index in 0..1000 {
        file.write_all_at(&block, index * 4096)?;
    }
    file.sync_all()?;
    let mut times = Vec::new();
    for index in 0..1000 {
        let began = std::time::Instant::now();
        file.write_all_at(&block, index * 4096)?;
        file.sync_data()?;
        times.push(began.elapsed().as_micros() as u64);
    }
    fs::remove_file(&path)?;
    times.sort_unstable();
    times.get(989).copied().context("a thousand times")
}

fn print(run: &Run) {
    eprintln!(
        "{:<14} {:>5} conns  {:>8.0}/s  p50 {:>6} p99 {:>6} us  {:>6.2} us/request (server {:.2})  \
         {:>5.0} B/click  {:>6.0} flushes/s  foreign {:.0}%  steal {:.0}%  {:.0} MiB  {} refused",
        run.name,
        run.connections,
        run.requests_per_s,
        run.p50_us,
        run.p99_us,
        run.cpu_us_per_request,
        run.server_us_per_request,
        run.bytes_per_click,
        run.fsyncs_per_s,
        run.foreign_cpu_share * 100.0,
        run.steal_share * 100.0,
        run.memory_mib,
        run.refused + run.broken,
    );
}

/// The medians of the same-round ratios of CPU per request, edge to nginx.
fn ratios(runs: &[Run]) -> BTreeMap<String, f64> {
    let mut ratios: BTreeMap<String, Vec<f64>> = BTreeMap::new();
    for run in runs.iter().filter(|run| run.name != "nginx") {
        let same = |other: &&Run| {
            (other.name, other.connections, other.round) == ("nginx", run.connections, run.round)
        };
        if let Some(nginx) = runs.iter().find(same) {
            let name = format!("{}_{}", run.name, run.connections);
            let ratio = run.cpu_us_per_request / nginx.cpu_us_per_request;
            ratios.entry(name).or_default().push(ratio);
        }
    }
    ratios
        .into_iter()
        .map(|(name, ratios)| (name, median(ratios)))
        .collect()
}

fn median_of(runs: &[Run], name: &str, connections: u32, figure: fn(&Run) -> f64) -> f64 {
    let wanted = runs
        .iter()
        .filter(|run| run.name == name && run.connections == connections);
    median(wanted.map(figure).collect())
}

fn bars(
    ratios: &BTreeMap<String, f64>,
    runs: &[Run],
    open_loop: &Value,
    sealed: &Value,
) -> Vec<Bar> {
    let ratio = |name: &str, limit| Bar {
        what: format!("CPU per request, {name} to nginx"),
        figure: ratios.get(name).copied().unwrap_or(f64::NAN),
        at_most: true,
        limit,
    };
    let figure = |what: &str, figure, limit| Bar {
        what: what.to_owned(),
        figure,
        at_most: true,
        limit,
    };
    let bytes = median_of(runs, "tollgate_sync", 512, |run| run.bytes_per_click);
    let memory = median_of(runs, "tollgate_sync", 2048, |run| run.memory_mib);
    let number = |value: Option<&Value>| value.and_then(Value::as_f64).unwrap_or(f64::NAN);
    let valid = open_loop.get("driver_kept_up") == Some(&Value::Bool(true));
    let p99_us = open_loop.pointer("/load/latency_us/p99_us");
    let p99_us = number(p99_us.filter(|_| valid));
    let disk_us = number(open_loop.get("fdatasync_p99_us"));
    vec![
        ratio("tollgate_sync_512", 1.0),
        ratio("tollgate_os_512", 0.7),
        figure("bytes of a live record", bytes, 320.0),
        figure(
            "bytes of a sealed record",
            number(sealed.get("sealed_bytes_per_record")),
            140.0,
        ),
        figure("MiB of memory at 2048 connections", memory, 256.0),
        figure(
            "receipt p99 above the disk's at half the knee, us",
            p99_us - disk_us,
            5_000.0,
        ),
    ]
}
