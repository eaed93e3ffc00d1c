//! Power cuts: a file system is shut down under a writer, mounted again, recovered, and what is
//! there is compared with what was acknowledged.
//!
//! What a trial promises to notice is itself tried: the same loop over a log whose sync was taken
//! out must go red.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::{Context, Result};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tollgate_log::{Log, PartitionSet, Read, ReadBudget, ReadFrom, RealDisk, SegmentLog};

use crate::loop_disk::{Cut, LoopDisk};
use crate::totals::Totals;
use crate::witness;
use crate::writer::{READY, Writer, id_of};

/// Bytes of the file system; a log of a few dozen trials fits.
const IMAGE_BYTES: u64 = 192 << 20;
/// Trials on one file system, so that later recoveries meet what earlier cuts have left.
const TRIALS_PER_DISK: u64 = 20;

/// Runs trials for as long as `go_on` says so (it is handed their number), then the trials of a log
/// without its sync.
pub fn run(
    totals: &mut Totals,
    dice: &mut StdRng,
    mut go_on: impl FnMut(u64) -> bool,
) -> Result<()> {
    if let Some(why) = LoopDisk::missing() {
        totals.not_run.push(format!("power cuts: {why}"));
        return Ok(());
    }
    let folder = tempfile::tempdir()?;
    let mut trials = 0;
    while go_on(trials) && totals.problems.is_empty() {
        let bench = Bench::new(folder.path(), dice)?;
        let mut receipts = BTreeSet::new();
        for _ in 0..TRIALS_PER_DISK {
            if !go_on(trials) || !totals.problems.is_empty() {
                break;
            }
            let told = bench.trial(dice, &mut receipts, false)?;
            trials += 1;
            totals.power_cuts += told.cuts;
            totals.receipts += told.receipts;
            bench.compare(totals, &receipts, &told, trials);
        }
    }
    for os in [false, true] {
        must_go_red(totals, dice, folder.path(), os)?;
    }
    Ok(())
}

/// A file system with a log on it.
struct Bench {
    disk: LoopDisk,
    writer: Writer,
}

/// What one trial has shown.
#[derive(Debug, Default)]
struct Told {
    cuts: u64,
    /// Receipts of this trial.
    receipts: u64,
    /// Flushes of the device until the cut.
    flushes: u64,
    /// Commits that gave a receipt in this trial, as the witness finds them.
    commits: u64,
    /// The ids that the witness found, of all trials on this disk.
    found: Vec<String>,
    /// The ids that the log itself read.
    read: Vec<String>,
    error: Option<String>,
}

impl Bench {
    fn new(folder: &Path, dice: &mut StdRng) -> Result<Bench> {
        let (image, mount) = (folder.join("disk.img"), folder.join("mount"));
        let disk = LoopDisk::make(&image, IMAGE_BYTES, &mount)?;
        let writer = Writer {
            dir: mount.join("log"),
            seed: 0,
            threads: dice.random_range(1..9),
            batch: *[1, 4, 32].get(dice.random_range(0..3)).unwrap_or(&1),
            partitions: *[1, 16, 64].get(dice.random_range(0..3)).unwrap_or(&1),
            segment_bytes: 128 << 10 << dice.random_range(0..5),
            os: false,
            no_sync: false,
        };
        Ok(Bench { disk, writer })
    }

    /// Writes, cuts, mounts; now and then cuts again while the log recovers; then recovers.
    fn trial(
        &self,
        dice: &mut StdRng,
        receipts: &mut BTreeSet<String>,
        no_sync: bool,
    ) -> Result<Told> {
        let mut told = Told::default();
        let writer = Writer {
            seed: dice.random(),
            no_sync,
            ..self.writer.clone()
        };
        let after = Duration::from_micros(dice.random_range(0..60_000));
        let (fresh, flushes) = self.write_and_cut(&writer, after, true, cut(dice))?;
        let fresh: BTreeSet<String> = fresh.into_iter().collect();
        let commits = self.commits(&fresh);
        told.cuts += 1;
        told.flushes = flushes;
        told.receipts = fresh.len() as u64;
        receipts.extend(fresh.iter().cloned());
        if dice.random_ratio(1, 5) {
            for _ in 0..dice.random_range(1..4) {
                let writer = Writer {
                    seed: dice.random(),
                    ..writer.clone()
                };
                let after = Duration::from_micros(dice.random_range(0..12_000));
                let (fresh, _) = self.write_and_cut(&writer, after, false, cut(dice))?;
                told.cuts += 1;
                told.receipts += fresh.len() as u64;
                receipts.extend(fresh);
            }
        }
        let recovered = commits.and_then(|commits| {
            told.commits = commits;
            self.recover(&mut told)
        });
        told.error = recovered.err().map(|error| format!("{error:#}"));
        Ok(told)
    }

    /// Starts a writer and cuts the power so long after its start, or after it was ready; the
    /// receipts that it told of, and the flushes that the device had seen.
    fn write_and_cut(
        &self,
        writer: &Writer,
        after: Duration,
        when_ready: bool,
        cut: Cut,
    ) -> Result<(Vec<String>, u64)> {
        let before = self.disk.flushes()?;
        let mut process = Process::start(writer)?;
        if when_ready {
            process.wait_ready()?;
        }
        thread::sleep(after);
        self.disk.cut(cut).context("cutting the power")?;
        let flushes = self.disk.flushes()? - before;
        let receipts = process.kill()?;
        self.disk.unmount()?;
        self.disk.mount()?;
        Ok((receipts, flushes))
    }

    fn recover(&self, told: &mut Told) -> Result<()> {
        let dir = &self.writer.dir;
        let (log, _) = SegmentLog::open(Arc::new(RealDisk), dir, self.writer.options())?;
        let mut reader = log.reader(PartitionSet::all(), ReadFrom::Start)?;
        loop {
            let progress = reader.read(ReadBudget::default(), &mut |record| {
                told.read.extend(id_of(record.facts));
            })?;
            if progress.at_end {
                break;
            }
        }
        log.close()?;
        drop(log);
        Ok(witness::read(dir, |seen| {
            told.found.extend(id_of(seen.facts))
        })?)
    }

    /// The commits that hold the receipts, by what stands on the disk before anybody recovers it.
    fn commits(&self, fresh: &BTreeSet<String>) -> Result<u64> {
        let mut commits = BTreeSet::new();
        witness::read(&self.writer.dir, |seen| {
            if id_of(seen.facts).is_some_and(|id| fresh.contains(&id)) {
                commits.extend(seen.block);
            }
        })?;
        Ok(commits.len() as u64)
    }

    fn compare(&self, totals: &mut Totals, receipts: &BTreeSet<String>, told: &Told, trial: u64) {
        let name = format!("power cut {trial}");
        if let Some(error) = &told.error {
            totals
                .problems
                .push(format!("{name}: the log does not recover: {error}"));
            return;
        }
        totals.compare(receipts, &told.found, &name);
        let (mut found, mut read) = (told.found.clone(), told.read.clone());
        found.sort_unstable();
        read.sort_unstable();
        if found != read {
            let (found, read) = (found.len(), read.len());
            totals.problems.push(format!(
                "{name}: the log reads {read} records, an independent witness finds {found}"
            ));
        }
        if told.flushes < told.commits {
            let Told {
                flushes, commits, ..
            } = told;
            totals.problems.push(format!(
                "{name}: the device was flushed {flushes} times for {commits} acknowledged commits"
            ));
        }
    }
}

fn cut(dice: &mut StdRng) -> Cut {
    if dice.random() {
        Cut::FlushJournal
    } else {
        Cut::FlushNothing
    }
}

/// A log without its sync: the loop has to notice within a few trials, in each mode.
fn must_go_red(totals: &mut Totals, dice: &mut StdRng, folder: &Path, os: bool) -> Result<()> {
    let mut bench = Bench::new(folder, dice)?;
    bench.writer.os = os;
    let mut receipts = BTreeSet::new();
    for _ in 0..3 {
        let told = bench.trial(dice, &mut receipts, true)?;
        let mut seen = Totals::default();
        bench.compare(&mut seen, &receipts, &told, 0);
        totals.power_cuts += told.cuts;
        if let Some(problem) = seen.problems.first() {
            eprintln!("torture: power: without its sync, as it should be, {problem}");
            return Ok(());
        }
    }
    let mode = if os { "os" } else { "sync" };
    let problem = format!("power cuts do not notice a log without its sync (durability {mode})");
    totals.problems.push(problem);
    Ok(())
}

/// A writer in a process of its own.
struct Process {
    child: Child,
    ready: Receiver<()>,
    told: Option<JoinHandle<Vec<String>>>,
}

impl Process {
    fn start(writer: &Writer) -> Result<Process> {
        // Not by its path: a build may put another file there meanwhile.
        let mut command = Command::new("/proc/self/exe");
        command
            .arg("writer")
            .arg(&writer.dir)
            .args(arguments(writer));
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()?;
        let stdout = child
            .stdout
            .take()
            .context("the writer's standard output")?;
        let (sender, ready) = mpsc::sync_channel(1);
        let told = Some(thread::spawn(move || listen(stdout, &sender)));
        Ok(Process { child, ready, told })
    }

    fn wait_ready(&self) -> Result<()> {
        self.ready
            .recv_timeout(Duration::from_secs(60))
            .context("the writer did not get ready")
    }

    /// Kills it and gives the receipts that it told of.
    fn kill(&mut self) -> Result<Vec<String>> {
        self.child.kill()?;
        self.child.wait()?;
        let told = self.told.take().context("killed twice")?.join();
        told.map_err(|_| anyhow::anyhow!("the listener has panicked"))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It has ended already unless the trial failed half-way.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn listen(stdout: ChildStdout, ready: &mpsc::SyncSender<()>) -> Vec<String> {
    let mut receipts = Vec::new();
    let mut reader = BufReader::new(stdout);
    let mut line = String::new();
    // A line that the kill has cut off was not told.
    while reader.read_line(&mut line).is_ok_and(|bytes| bytes > 0) && line.ends_with('\n') {
        match line.trim_end() {
            READY => drop(ready.try_send(())),
            id => receipts.push(id.to_owned()),
        }
        line.clear();
    }
    receipts
}

fn arguments(writer: &Writer) -> Vec<String> {
    let Writer {
        seed,
        threads,
        batch,
        partitions,
        segment_bytes,
        os,
        no_sync,
        ..
    } = writer;
    let mut arguments = vec![
        format!("--seed={seed}"),
        format!("--threads={threads}"),
        format!("--batch={batch}"),
        format!("--partitions={partitions}"),
        format!("--segment-bytes={segment_bytes}"),
    ];
    arguments.extend(os.then(|| "--os".to_owned()));
    arguments.extend(no_sync.then(|| "--no-sync".to_owned()));
    arguments
}

/// The dice of a run: the same seed throws the same trials.
pub fn dice(seed: u64, kind: u64) -> StdRng {
    StdRng::seed_from_u64(seed ^ kind.rotate_left(32))
}
