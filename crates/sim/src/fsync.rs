//! A sync that fails: no receipt for that commit, no second try, and service goes on.
//!
//! strace makes the K-th `fdatasync` of a thread fail with EIO; nothing is synced by that call. The
//! other method is real: a sparse file system on a disk too small for it.
#![expect(
    clippy::disallowed_methods,
    reason = "trials on the real machine take real time"
)]

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Result;
use rand::Rng;
use rand::rngs::StdRng;

use crate::edge::{Binary, Clients, Edge, History};
use crate::full::SmallDisk;
use crate::kill::check;
use crate::loop_disk::{Cut, LoopDisk};
use crate::totals::Totals;

const CLIENTS: u64 = 8;
const PATIENCE: Duration = Duration::from_secs(30);
const CALLS: &str = "fdatasync,fsync,pwrite64,pwritev,pwritev2,write,writev,close,openat,dup,dup3";

/// Trials for as long as `go_on` says so; it is handed their number.
pub fn run(
    totals: &mut Totals,
    dice: &mut StdRng,
    binary: &Binary,
    mut go_on: impl FnMut(u64) -> bool,
) -> Result<()> {
    if let Some(why) = strace_missing() {
        totals.not_run.push(format!("failed syncs: {why}"));
        return Ok(());
    }
    let mut trials = 0;
    while go_on(trials) && totals.problems.is_empty() {
        trials += 1;
        // Each of the first calls once, then calls further on.
        let when = match u32::try_from(trials) {
            Ok(call @ 1..=30) => call,
            _ => dice.random_range(31..300),
        };
        injected(totals, dice, binary, when)?;
    }
    Ok(())
}

/// Writes that fail for real, because the file system's own disk is full.
pub fn run_writeback(totals: &mut Totals, dice: &mut StdRng, binary: &Binary) -> Result<()> {
    if let Some(why) = LoopDisk::missing() {
        totals.not_run.push(format!("failed writebacks: {why}"));
        return Ok(());
    }
    let outer = SmallDisk::make(40 << 20)?;
    let (image, mount) = (outer.path().join("disk.img"), outer.path().join("mount"));
    let inner = LoopDisk::make(&image, 512 << 20, &mount)?;
    let mut edge = binary.start(inner.path())?;
    let text = "x".repeat(1500);
    let clients = Clients::start(edge.address(), CLIENTS, dice.random(), &text);
    let began = Instant::now();
    while began.elapsed() < PATIENCE && edge.get("/readyz").ok() == Some(200) {
        thread::sleep(Duration::from_millis(20));
    }
    thread::sleep(Duration::from_millis(300));
    edge.kill()?;
    let history = clients.stop()?;
    // What the kernel could not write must not be read back from its memory.
    inner.cut(Cut::FlushNothing)?;
    inner.unmount()?;
    outer.resize(512 << 20)?;
    inner.mount()?;
    totals.receipts += history.receipts.len() as u64;
    check(
        totals,
        inner.path(),
        &history,
        "a disk that cannot write back",
    );
    Ok(())
}

/// Why strace cannot be used here.
pub(crate) fn strace_missing() -> Option<String> {
    let mut probe = Command::new("strace");
    probe
        .args(["-f", "-o", "/dev/null", "true"])
        .stderr(Stdio::null());
    match probe.status() {
        Ok(status) if status.success() => None,
        Ok(_) => Some("strace may not trace here".to_owned()),
        Err(error) => Some(format!("strace: {error}")),
    }
}

fn injected(totals: &mut Totals, dice: &mut StdRng, binary: &Binary, when: u32) -> Result<()> {
    let trial = format!("fdatasync {when} fails");
    let folder = tempfile::tempdir()?;
    let log = folder.path().join("strace");
    let under = [
        "strace".to_owned(),
        "-f".to_owned(),
        "-o".to_owned(),
        log.display().to_string(),
        format!("-etrace={CALLS}"),
        format!("-einject=fdatasync:error=EIO:when={when}"),
    ];
    let traced = Binary {
        under: under.to_vec(),
        ..binary.clone()
    };
    let mut edge = match traced.start(folder.path()) {
        Ok(edge) => edge,
        // The sync of an opening: to refuse it is right, and nobody was promised anything.
        Err(_) if has_failed(&log) => return starts_again(totals, dice, binary, folder.path()),
        Err(error) => return Err(error),
    };
    let mut history = clicks_until(&edge, dice, || has_failed(&log))?;
    if !has_failed(&log) {
        totals
            .problems
            .push(format!("{trial}: it never came to that sync"));
        return Ok(());
    }
    // It goes on by itself: fresh receipts come after the failure.
    let after = goes_on(&edge, dice)?;
    if after.receipts.is_empty() {
        totals.problems.push(format!(
            "{trial}: no receipts after it: {}",
            edge.messages()
        ));
    }
    history.extend(after);
    edge.kill()?;
    totals.receipts += history.receipts.len() as u64;
    check(totals, folder.path(), &history, &trial);
    let traced = fs::read_to_string(&log)?;
    totals
        .problems
        .extend(retries(&traced).into_iter().map(|line| {
            format!("{trial}: a file was written or synced after its sync had failed: {line}")
        }));
    Ok(())
}

/// After an opening that failed the next one finds nothing amiss.
fn starts_again(
    totals: &mut Totals,
    dice: &mut StdRng,
    binary: &Binary,
    folder: &Path,
) -> Result<()> {
    let mut edge = binary.start(folder)?;
    let history = goes_on(&edge, dice)?;
    edge.kill()?;
    totals.receipts += history.receipts.len() as u64;
    check(
        totals,
        folder,
        &history,
        "an opening after one whose sync failed",
    );
    Ok(())
}

fn clicks_until(edge: &Edge, dice: &mut StdRng, done: impl Fn() -> bool) -> Result<History> {
    let clients = Clients::start(edge.address(), CLIENTS, dice.random(), "");
    let began = Instant::now();
    while !done() && began.elapsed() < PATIENCE {
        thread::sleep(Duration::from_millis(20));
    }
    clients.stop()
}

/// Clicks until a receipt comes, or patience ends.
pub(crate) fn goes_on(edge: &Edge, dice: &mut StdRng) -> Result<History> {
    let mut history = History::default();
    let began = Instant::now();
    while history.receipts.is_empty() && began.elapsed() < PATIENCE {
        let clients = Clients::start(edge.address(), 1, dice.random(), "");
        thread::sleep(Duration::from_millis(100));
        history.extend(clients.stop()?);
    }
    Ok(history)
}

fn has_failed(log: &Path) -> bool {
    fs::read_to_string(log).is_ok_and(|text| text.contains("(INJECTED)"))
}

/// Calls on a descriptor whose sync has failed, before it was closed.
fn retries(traced: &str) -> Vec<String> {
    let mut fenced = BTreeSet::new();
    let mut retries = Vec::new();
    for line in traced.lines() {
        let Some((call, file)) = call_of(line) else {
            continue;
        };
        match call {
            "close" => drop(fenced.remove(file)),
            "fdatasync" if line.contains("(INJECTED)") => drop(fenced.insert(file.to_owned())),
            "fdatasync" | "fsync" | "pwrite64" | "pwritev" | "pwritev2"
                if fenced.contains(file) =>
            {
                retries.push(line.to_owned());
            }
            _ => {}
        }
    }
    retries
}

/// `1234  fdatasync(7) = -1 EIO (Input/output error) (INJECTED)`: the call and its descriptor.
fn call_of(line: &str) -> Option<(&str, &str)> {
    let rest = line
        .trim_start_matches(|letter: char| letter.is_ascii_digit())
        .trim_start();
    let (call, arguments) = rest.split_once('(')?;
    Some((call, arguments.split([',', ')', ' ']).next()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    const FAILED: &str = "12 fdatasync(7) = -1 EIO (Input/output error) (INJECTED)\n";

    #[test]
    fn a_second_try_is_noticed() {
        for call in [
            "fdatasync(7) = 0",
            "pwritev(7, [{iov_base=...}], 3, 4096) = 9",
        ] {
            assert_eq!(retries(&format!("{FAILED}12 {call}\n")).len(), 1, "{call}");
        }
        for call in ["fdatasync(8) = 0", "close(7) = 0\n12 fdatasync(7) = 0"] {
            assert_eq!(retries(&format!("{FAILED}12 {call}\n")).len(), 0, "{call}");
        }
    }
}
