//! What a run has cost: processor time by core and by process, flushes of the disk, memory.
//!
//! A server's own threads do not show what the kernel does for it: interrupts, writeback, the
//! flush itself. So the cost of a request is the busy time of the whole pinned core, for every
//! server, and what other processes took in the meantime is told beside it.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Instant;

use anyhow::{Context, Result};

/// The clock of `/proc/stat`; fixed on Linux.
const TICK_US: f64 = 10_000.0;
const KERNEL_THREAD: u64 = 0x0020_0000;

/// The counters at one moment.
pub(super) struct Snapshot {
    at: Instant,
    busy_ticks: BTreeMap<String, u64>,
    steal_ticks: u64,
    /// Processor time of user processes, by process.
    process_ticks: BTreeMap<u32, u64>,
    run_ns: BTreeMap<u32, u64>,
    flushes: u64,
}

/// What happened between two moments.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Usage {
    pub(super) seconds: f64,
    /// Busy time of the pinned core.
    pub(super) core_us: f64,
    /// Time of the server's own threads.
    pub(super) server_us: f64,
    /// Time of processes that are neither the server, nor the client, nor this one, as a share of
    /// one core.
    pub(super) foreign_share: f64,
    pub(super) steal_share: f64,
    pub(super) flushes: f64,
}

impl Snapshot {
    /// Reads the counters; `folder` says which disk's flushes count.
    pub(super) fn take(folder: &Path) -> Result<Snapshot> {
        let stat = fs::read_to_string("/proc/stat").context("/proc/stat")?;
        let (mut busy_ticks, mut steal_ticks) = (BTreeMap::new(), 0);
        for line in stat.lines().filter(|line| line.starts_with("cpu")) {
            let mut words = line.split_whitespace();
            let name = words.next().unwrap_or_default().to_owned();
            let ticks: Vec<u64> = words.filter_map(|word| word.parse().ok()).collect();
            // user, nice, system, idle, iowait, irq, softirq, steal.
            let at = |index: usize| ticks.get(index).copied().unwrap_or(0);
            if name == "cpu" {
                steal_ticks = at(7);
            }
            busy_ticks.insert(name, at(0) + at(1) + at(2) + at(5) + at(6));
        }
        let (process_ticks, run_ns) = processes();
        let flushes = flushes(folder).unwrap_or(0);
        let at = Instant::now();
        Ok(Snapshot {
            at,
            busy_ticks,
            steal_ticks,
            process_ticks,
            run_ns,
            flushes,
        })
    }

    /// What happened since `before`, with the server on `core`.
    pub(super) fn since(&self, before: &Snapshot, core: usize, server: &[u32]) -> Usage {
        let seconds = (self.at - before.at).as_secs_f64();
        let name = format!("cpu{core}");
        let core_ticks = grown(&self.busy_ticks, &before.busy_ticks, &name);
        let server_ns: u64 = server
            .iter()
            .map(|pid| grown(&self.run_ns, &before.run_ns, pid))
            .sum();
        let known = |pid: &&u32| server.contains(pid) || is_ours(**pid);
        let foreign = self.process_ticks.keys().filter(|pid| !known(pid));
        let foreign: u64 = foreign
            .map(|pid| grown(&self.process_ticks, &before.process_ticks, pid))
            .sum();
        let share = |ticks: u64| ticks as f64 * TICK_US / 1e6 / seconds;
        Usage {
            seconds,
            core_us: core_ticks as f64 * TICK_US,
            server_us: server_ns as f64 / 1e3,
            foreign_share: share(foreign),
            steal_share: share(self.steal_ticks.saturating_sub(before.steal_ticks)),
            flushes: self.flushes.saturating_sub(before.flushes) as f64,
        }
    }
}

fn grown<K: Ord>(now: &BTreeMap<K, u64>, before: &BTreeMap<K, u64>, key: &K) -> u64 {
    let at = |map: &BTreeMap<K, u64>| map.get(key).copied().unwrap_or(0);
    at(now).saturating_sub(at(before))
}

/// Ticks and nanoseconds on a processor of every user process.
fn processes() -> (BTreeMap<u32, u64>, BTreeMap<u32, u64>) {
    let (mut ticks, mut nanoseconds) = (BTreeMap::new(), BTreeMap::new());
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Some(pid) = entry
            .file_name()
            .to_str()
            .and_then(|name| name.parse().ok())
        else {
            continue;
        };
        if let Some(used) = process_ticks(&entry.path()) {
            ticks.insert(pid, used);
            nanoseconds.insert(pid, run_ns(&entry.path()));
        }
    }
    (ticks, nanoseconds)
}

/// User and system ticks of a process; none for a kernel thread, whose work is the server's.
fn process_ticks(folder: &Path) -> Option<u64> {
    let stat = fs::read_to_string(folder.join("stat")).ok()?;
    // The name in brackets may hold anything.
    let (_, rest) = stat.rsplit_once(')')?;
    let words: Vec<&str> = rest.split_whitespace().collect();
    let number = |index: usize| words.get(index).and_then(|word| word.parse::<u64>().ok());
    let is_kernel = number(6)? & KERNEL_THREAD != 0;
    (!is_kernel).then_some(number(11)? + number(12)?)
}

fn run_ns(folder: &Path) -> u64 {
    let tasks = fs::read_dir(folder.join("task"))
        .into_iter()
        .flatten()
        .flatten();
    let of_task = |task: fs::DirEntry| {
        let text = fs::read_to_string(task.path().join("schedstat")).ok()?;
        text.split_whitespace().next()?.parse::<u64>().ok()
    };
    tasks.filter_map(of_task).sum()
}

/// This process, or one that was started by it: the client.
fn is_ours(pid: u32) -> bool {
    let own = std::process::id();
    pid == own || parent(pid) == Some(own)
}

fn parent(pid: u32) -> Option<u32> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(')')?
        .1
        .split_whitespace()
        .nth(1)?
        .parse()
        .ok()
}

/// The flushes that the disk under `folder` has completed.
fn flushes(folder: &Path) -> Option<u64> {
    let device = fs::metadata(folder).ok()?.dev();
    let (major, minor) = (device >> 8 & 0xfff, device & 0xff | device >> 12 & 0xfff00);
    let stat = fs::read_to_string(format!("/sys/dev/block/{major}:{minor}/stat")).ok()?;
    stat.split_whitespace().nth(15)?.parse().ok()
}

/// The most memory that a process has had resident, in MiB.
pub(super) fn memory_peak_mib(pid: u32) -> f64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|line| {
        line.trim()
            .trim_end_matches("kB")
            .trim()
            .parse::<f64>()
            .ok()
    });
    kib.unwrap_or(0.0) / 1024.0
}
