//! `tollgate doctor`: examines this machine and, when it is named, a data directory. Each check
//! says what it found and what to do; nothing is changed but a probe file that is removed again.

use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use serde_json::json;
use tollgate_log::{PartitionSet, Read, ReadBudget, ReadFrom, RealDisk, SegmentLog};

use crate::config::{self, Config};
use crate::control::files::Files;
use crate::control::snapshot;
use crate::data_dir::DataDir;
use crate::exit::Exit;
use crate::output::{self, Global};
use crate::worker;

/// Arguments of `tollgate doctor`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Exit codes: 0 all is well (warnings included), 1 something is wrong, 2 \
                        usage."
)]
pub(crate) struct Args {
    /// The data directory, there or to be made.
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// The configuration file.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(flatten)]
    files: Files,
    /// Read every record of the log, not only find its end.
    #[arg(long)]
    full: bool,
}

/// How a check ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Level {
    Fine,
    Warning,
    Wrong,
}

/// One check.
struct Finding {
    name: &'static str,
    level: Level,
    found: String,
}

/// Runs all checks and prints what they found.
pub(crate) fn run(args: Args, global: &Global) -> anyhow::Result<Exit> {
    let mut findings = Vec::new();
    let config = match config::load(args.config.as_deref()) {
        Ok(config) => {
            findings.push(fine("config", "it is good"));
            Some(config)
        }
        Err(error) => {
            findings.push(wrong("config", format!("{error:#}")));
            None
        }
    };
    findings.extend(check_files(&args.files));
    findings.push(check_open_files(config.as_ref()));
    findings.push(check_memory(config.as_ref()));
    let in_use = args
        .data
        .as_ref()
        .is_some_and(|data| DataDir::open(data).is_ok_and(|dir| dir.is_in_use()));
    if let Some(config) = &config {
        findings.extend(check_ports(config, in_use));
    }
    if let Some(data) = &args.data {
        findings.extend(check_data(data, args.full, in_use));
    }
    print(&findings, global)?;
    let problems = findings.iter().any(|finding| finding.level == Level::Wrong);
    Ok(if problems { Exit::Problems } else { Exit::Fine })
}

fn fine(name: &'static str, found: impl Into<String>) -> Finding {
    Finding {
        name,
        level: Level::Fine,
        found: found.into(),
    }
}

fn warning(name: &'static str, found: impl Into<String>) -> Finding {
    Finding {
        name,
        level: Level::Warning,
        found: found.into(),
    }
}

fn wrong(name: &'static str, found: impl Into<String>) -> Finding {
    Finding {
        name,
        level: Level::Wrong,
        found: found.into(),
    }
}

fn check_files(files: &Files) -> Option<Finding> {
    files.paths().next()?;
    Some(match files.read() {
        Ok(wanted) => {
            let links = wanted
                .links
                .as_ref()
                .map_or(0, std::collections::BTreeMap::len);
            let (campaigns, keys) = (wanted.campaigns.len(), wanted.keys.len());
            fine(
                "files",
                format!("{campaigns} campaigns, {links} links, {keys} keys"),
            )
        }
        Err(error) => wrong("files", format!("{error:#}")),
    })
}

/// Each connection takes a descriptor; the log and the system need some of their own.
fn check_open_files(config: Option<&Config>) -> Finding {
    const OWN: u64 = 256;
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    let current = limit.current.unwrap_or(u64::MAX);
    let wanted = config.map_or(0, |config| config.edge.limits.connections as u64) + OWN;
    let found = format!("{current} may be open, {wanted} are needed at full load");
    if current < OWN {
        wrong("open files", format!("{found}: raise it (ulimit -n)"))
    } else if current < wanted {
        warning(
            "open files",
            format!("{found}: raise it (ulimit -n) or lower edge.limits.connections"),
        )
    } else {
        fine("open files", found)
    }
}

fn check_memory(config: Option<&Config>) -> Finding {
    let queue = config.map_or(0, |config| config.log.queue_bytes as u64);
    let wanted_mib = (256u64 << 20).saturating_add(queue) >> 20;
    match available_mib() {
        None => warning("memory", "cannot be read from /proc/meminfo"),
        Some(free) if free < wanted_mib => warning(
            "memory",
            format!("{free} MiB are free, {wanted_mib} MiB are wanted"),
        ),
        Some(free) => fine("memory", format!("{free} MiB are free")),
    }
}

fn available_mib() -> Option<u64> {
    let text = fs::read_to_string("/proc/meminfo").ok()?;
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("MemAvailable:"))?;
    line.trim()
        .strip_suffix("kB")?
        .trim()
        .parse::<u64>()
        .ok()
        .map(|kib| kib / 1024)
}

/// Ports must be free, unless the node that is being examined has them.
fn check_ports(config: &Config, in_use: bool) -> Vec<Finding> {
    let edge = &config.edge;
    let all = [
        &edge.listen[..],
        &edge.proxy_listen,
        &edge.tls_listen,
        &[config.api],
    ]
    .concat();
    let check = |address: SocketAddr| match TcpListener::bind(address) {
        Ok(_) => fine("port", format!("{address} is free")),
        Err(error) if error.kind() == std::io::ErrorKind::AddrInUse && in_use => fine(
            "port",
            format!("{address} is taken, and so is the data directory"),
        ),
        Err(error) => wrong("port", format!("{address}: {error}")),
    };
    all.into_iter().map(check).collect()
}

/// The disk below a directory that need not be there yet, and what is in it when it is.
fn check_data(data: &Path, full: bool, in_use: bool) -> Vec<Finding> {
    let mut findings = Vec::new();
    let there = data.exists();
    let place = data
        .ancestors()
        .find(|path| path.is_dir())
        .unwrap_or(Path::new("."));
    findings.push(check_space(place));
    findings.push(check_sync(place));
    if !there {
        findings.push(fine(
            "data",
            format!("{} will be made by serve", data.display()),
        ));
        return findings;
    }
    let dir = match DataDir::open(data) {
        Ok(dir) => dir,
        Err(error) => {
            findings.push(wrong("data", format!("{error:#}")));
            return findings;
        }
    };
    findings.push(fine(
        "data",
        if in_use {
            "a node runs on it"
        } else {
            "no node runs on it"
        },
    ));
    findings.push(check_clock(&dir));
    findings.push(match read_log(&dir, full) {
        Ok(found) => fine("log", found),
        Err(error) => wrong("log", format!("{error:#}")),
    });
    findings
}

fn check_space(place: &Path) -> Finding {
    const LOW_MIB: u64 = 1024;
    match rustix::fs::statvfs(place) {
        Err(error) => wrong("disk", format!("{}: {error}", place.display())),
        Ok(about) => {
            let mib = about.f_bavail.saturating_mul(about.f_frsize) >> 20;
            let found = format!("{mib} MiB are free at {}", place.display());
            if mib < LOW_MIB {
                warning("disk", found)
            } else {
                fine("disk", found)
            }
        }
    }
}

/// What a receipt waits for: 100 small writes, each synced.
fn check_sync(place: &Path) -> Finding {
    match measure_sync(place) {
        Err(error) => wrong(
            "sync",
            format!("{} cannot be written: {error}", place.display()),
        ),
        Ok(times) => {
            let at = |percent: usize| {
                times
                    .get(times.len() * percent / 100)
                    .copied()
                    .unwrap_or_default()
                    .as_micros()
            };
            let found = format!("fdatasync takes {} us (p50), {} us (p99)", at(50), at(99));
            match at(99) {
                0..20_000 => fine("sync", found),
                _ => warning("sync", format!("{found}: receipts wait for it")),
            }
        }
    }
}

/// The times, sorted. The probe file is removed whatever happens.
fn measure_sync(place: &Path) -> std::io::Result<Vec<Duration>> {
    use std::os::unix::fs::FileExt;
    let path = place.join(format!(".tollgate-doctor-{}", std::process::id()));
    let file = fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .open(&path)?;
    let measure = || {
        let mut times = Vec::new();
        for number in 0..100 {
            file.write_all_at(&[0x55; 4096], number * 4096)?;
            let started = Instant::now();
            file.sync_data()?;
            times.push(started.elapsed());
        }
        times.sort();
        Ok(times)
    };
    let times = measure();
    fs::remove_file(&path)?;
    times
}

fn check_clock(dir: &DataDir) -> Finding {
    let now = tollgate_collect::Clock::system().read();
    let snapshot = match snapshot::load(dir.path()) {
        Ok(snapshot) => snapshot,
        Err(error) => return wrong("clock", format!("the last tick cannot be read: {error}")),
    };
    let last = snapshot.and_then(|snapshot| snapshot.last_tick);
    match worker::check_start(last, now) {
        Ok(()) => fine("clock", "it goes on from the last tick"),
        Err(fault) => wrong("clock", fault.to_string()),
    }
}

fn read_log(dir: &DataDir, full: bool) -> anyhow::Result<String> {
    let log = SegmentLog::open_readonly(Arc::new(RealDisk), &dir.log())?;
    let partitions = log.partitions().saturating_sub(1);
    if !full {
        return Ok(format!(
            "{partitions} partitions, its end is sound (--full reads all of it)"
        ));
    }
    let mut reader = log.reader(PartitionSet::all(), ReadFrom::Start)?;
    let (mut records, mut bytes) = (0, 0);
    loop {
        let step = reader
            .read(ReadBudget::default(), &mut |_| {})
            .context("while reading all")?;
        records += step.records;
        bytes += step.bytes;
        if step.at_end {
            return Ok(format!(
                "{partitions} partitions, {records} records, {bytes} bytes, sound"
            ));
        }
    }
}

fn print(findings: &[Finding], global: &Global) -> anyhow::Result<()> {
    let word = |level| match level {
        Level::Fine => "ok",
        Level::Warning => "warning",
        Level::Wrong => "wrong",
    };
    if global.json {
        let object = |finding: &Finding| {
            let Finding { name, level, found } = finding;
            json!({ "check": name, "level": word(*level), "found": found })
        };
        let wrong = findings
            .iter()
            .filter(|finding| finding.level == Level::Wrong)
            .count();
        let checks: Vec<_> = findings.iter().map(object).collect();
        return output::print_json(&json!({ "checks": checks, "wrong": wrong }));
    }
    let mut text = String::new();
    for finding in findings {
        let color = match finding.level {
            _ if !global.color_stdout() => "",
            Level::Fine => "\x1b[32m",
            Level::Warning => "\x1b[33m",
            Level::Wrong => "\x1b[31m",
        };
        let off = if color.is_empty() { "" } else { "\x1b[0m" };
        let level = word(finding.level);
        text.push_str(&format!(
            "{color}{level:<8}{off} {:<11} {}\n",
            finding.name, finding.found
        ));
    }
    output::print(&text)
}
