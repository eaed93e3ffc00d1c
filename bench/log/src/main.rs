//! Appends to the log beside a raw write-and-sync loop of the same bytes, fjall and SQLite.
//!
//! Arguments: a folder to work in, rounds, milliseconds of a run, and, to look at a part only, the
//! names of engines with commas between, and a size of commit. Everyone runs once in each round
//! and only figures of the same round are compared. The result is one JSON object on standard
//! output.

mod disk;
mod engines;
mod rates;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use serde_json::{Value, json};

const COMMITS: [usize; 3] = [1, 64, 1024];
const PARTITIONS: [u16; 2] = [1, 64];
/// Bytes of facts and of the personal part of a record.
const FACTS_BYTES: usize = 110;
const PERSONAL_BYTES: usize = 140;

fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let folder = PathBuf::from(arguments.next().context("a folder")?);
    let rounds: usize = arguments.next().context("rounds")?.parse()?;
    let time = Duration::from_millis(arguments.next().context("milliseconds")?.parse()?);
    let only: Option<String> = arguments.next();
    let size: Option<usize> = arguments.next().map(|size| size.parse()).transpose()?;
    let mut runs = Vec::new();
    for round in 1..=rounds {
        for commit in COMMITS
            .into_iter()
            .filter(|commit| size.is_none_or(|size| size == *commit))
        {
            let mut names = names(commit);
            if let Some(only) = &only {
                names.retain(|(name, _)| only.split(',').any(|other| other == *name));
            }
            // Nobody always runs behind the same neighbour.
            let turn = round % names.len();
            names.rotate_left(turn);
            for (name, partitions) in names {
                let run = measure(&folder, name, partitions, (commit, round), time)?;
                eprintln!("{run}");
                runs.push(run);
            }
        }
    }
    let rates = match only {
        None => rates::measure(&folder)?,
        Some(_) => Vec::new(),
    };
    fs::remove_dir_all(&folder)?;
    let result = json!({ "runs": runs, "ratio": ratios(&runs), "rates": rates });
    println!("{result}");
    Ok(())
}

fn names(commit: usize) -> Vec<(&'static str, u16)> {
    let peers = ["raw", "raw_direct", "fjall", "sqlite"].map(|name| (name, 1));
    let more = ["tollgate_call", "tollgate_sustained"].map(|name| (name, 1));
    let more = more.into_iter().filter(|_| commit == 1024);
    peers
        .into_iter()
        .chain(PARTITIONS.map(|partitions| ("tollgate", partitions)))
        .chain(more)
        .collect()
}

/// Commits of so many records for so long.
fn measure(
    folder: &Path,
    name: &str,
    partitions: u16,
    (commit, round): (usize, usize),
    time: Duration,
) -> Result<Value> {
    if folder.exists() {
        fs::remove_dir_all(folder)?;
    }
    fs::create_dir_all(folder)?;
    // What the run before has left to the disk is not this one's cost.
    Command::new("sync").status()?;
    let mut engine = engines::open(name, folder, partitions)?;
    let records = records(commit, partitions);
    for _ in 0..20 {
        engine.commit(&records)?;
    }
    engine.settle()?;
    let syncs = engine.syncs();
    let (cpu, busy, began) = (cpu_us(), busy_us(), Instant::now());
    let mut times = Vec::new();
    let bytes: usize = records.iter().map(Record::bytes).sum();
    // A run ends before its segment does; 20 commits were made before it.
    let commits_max = (engines::SEGMENT_BYTES as usize - (64 << 20)) / (bytes + 80).max(4096);
    while began.elapsed() < time && times.len() < commits_max {
        let commit_began = Instant::now();
        engine.commit(&records)?;
        times.push(commit_began.elapsed());
    }
    engine.settle()?;
    let (seconds, cpu, busy) = (
        began.elapsed().as_secs_f64(),
        cpu_us() - cpu,
        busy_us() - busy,
    );
    let syncs = engine.syncs() - syncs;
    engine.close()?;
    let count = (times.len() * commit) as f64;
    times.sort_unstable();
    let percentile = |share: f64| {
        let index = (times.len() as f64 * share) as usize;
        times
            .get(index.min(times.len() - 1))
            .map_or(0, |time| time.as_micros() as u64)
    };
    Ok(json!({
        "name": name,
        "partitions": partitions,
        "records_per_commit": commit,
        "round": round,
        "records_per_s": (count / seconds).round(),
        "p50_us": percentile(0.5),
        "p99_us": percentile(0.99),
        // All syncs, those of segments and of sealing too; 0 where they are not counted.
        "syncs_per_commit": (syncs as f64 / times.len() as f64 * 1000.0).round() / 1000.0,
        "cpu_us_per_record": (cpu / count * 1000.0).round() / 1000.0,
        // Of one core; the kernel's work for this run is in it.
        "foreign_cpu_share": ((busy - cpu).max(0.0) / seconds / 1e4).round() / 100.0,
    }))
}

/// A record of the length of a real click: partition, facts, personal part.
pub(crate) struct Record {
    pub(crate) partition: u16,
    pub(crate) facts: Vec<u8>,
    pub(crate) personal: Vec<u8>,
}

impl Record {
    /// Its bytes in a block.
    pub(crate) fn bytes(&self) -> usize {
        16 + self.facts.len() + self.personal.len()
    }
}

/// Incompressible bytes, spread over the partitions.
fn records(count: usize, partitions: u16) -> Vec<Record> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut byte = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 24) as u8
    };
    let mut bytes = |count| (0..count).map(|_| byte()).collect::<Vec<u8>>();
    (0..count)
        .map(|index| Record {
            partition: (index % usize::from(partitions)) as u16,
            facts: bytes(FACTS_BYTES),
            personal: bytes(PERSONAL_BYTES),
        })
        .collect()
}

/// Medians of the same-round ratios of records per second: `raw_1024_64` is the log with 64
/// partitions to the raw loop, both at 1,024 records a commit.
fn ratios(runs: &[Value]) -> BTreeMap<String, f64> {
    let text = |run: &Value, key: &str| run[key].as_str().unwrap_or_default().to_owned();
    let number = |run: &Value, key: &str| run[key].as_f64().unwrap_or(f64::NAN);
    let mut ratios: BTreeMap<String, Vec<f64>> = BTreeMap::new();
    for run in runs.iter().filter(|run| text(run, "name") == "tollgate") {
        let (commit, round) = (number(run, "records_per_commit"), number(run, "round"));
        let partitions = number(run, "partitions");
        let same = |other: &&Value| {
            number(other, "records_per_commit") == commit && number(other, "round") == round
        };
        for other in runs.iter().filter(same) {
            let ratio = number(run, "records_per_s") / number(other, "records_per_s");
            let key = match text(other, "name").as_str() {
                "tollgate" if partitions == 64.0 && number(other, "partitions") == 1.0 => {
                    format!("partitions_{commit}")
                }
                "tollgate" => continue,
                name => format!("{name}_{commit}_{partitions}"),
            };
            ratios.entry(key).or_default().push(ratio);
        }
    }
    ratios
        .into_iter()
        .map(|(key, ratios)| (key, median(ratios)))
        .collect()
}

fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures.get(figures.len() / 2).copied().unwrap_or(f64::NAN)
}

/// Busy time of all processors so far, whoever has used it.
fn busy_us() -> f64 {
    let stat = fs::read_to_string("/proc/stat").unwrap_or_default();
    let line = stat.lines().next().unwrap_or_default();
    let ticks: Vec<f64> = line
        .split_whitespace()
        .skip(1)
        .flat_map(str::parse)
        .collect();
    // user, nice, system, idle, iowait, irq, softirq; a tick is 10 ms.
    let busy = [0, 1, 2, 5, 6].map(|index| ticks.get(index).copied().unwrap_or(0.0));
    busy.iter().sum::<f64>() * 10_000.0
}

/// Processor time of all threads so far.
pub(crate) fn cpu_us() -> f64 {
    let tasks = fs::read_dir("/proc/self/task")
        .into_iter()
        .flatten()
        .flatten();
    let of_task = |task: fs::DirEntry| {
        let text = fs::read_to_string(task.path().join("schedstat")).ok()?;
        text.split_whitespace().next()?.parse::<f64>().ok()
    };
    tasks.filter_map(of_task).sum::<f64>() / 1000.0
}
