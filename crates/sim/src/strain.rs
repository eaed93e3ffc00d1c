//! Calls that fail, come late or find nothing left: receipts stay true, and service goes on.
//!
//! Each trial strains one call of the real binary, again and again or once, while clients click;
//! then the strain stays and a fresh receipt must come, and every receipt must be in the log.
#![expect(
    clippy::disallowed_methods,
    reason = "trials on the real machine take real time"
)]

use std::fs;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Result;
use rand::Rng;
use rand::rngs::StdRng;

use crate::edge::{self, Binary, Clients, History};
use crate::fsync::{goes_on, strace_missing};
use crate::kill::check;
use crate::totals::Totals;

const PATIENCE: Duration = Duration::from_secs(30);
/// How long clients click under a strain that has been felt.
const CLICKS: Duration = Duration::from_millis(300);
/// More clients than `FEW_FILES` has room for.
const CROWD: u64 = 90;
const FEW_FILES: &str = "--nofile=64:64";

/// What is done to the binary, in strace's words; `{k}` is where it begins. No false EAGAIN: a
/// kernel that says so tells when the wait is over, and a lie about it is no fault that exists.
const STRAINS: [&str; 12] = [
    "recvfrom:error=EINTR:when={k}+5",
    "recvfrom:error=ECONNRESET:when={k}+9",
    "sendto:error=EPIPE:when={k}+9",
    "accept4:error=EMFILE:when={k}+3",
    "accept4:error=ECONNABORTED:when={k}+3",
    "epoll_wait:error=EINTR:when={k}+4",
    "fdatasync:delay_enter=400000:when={k}+2",
    "pwrite64,pwritev:error=ENOSPC:when={k}",
    "pwrite64,pwritev:error=EDQUOT:when={k}",
    "pwrite64,pwritev:error=EFBIG:when={k}",
    "pwrite64,pwritev:error=EIO:when={k}",
    "pwrite64,pwritev:error=EINTR:when={k}",
];

/// Trials for as long as `go_on` says so; it is handed their number. Every third strains the reads
/// of an opening, every seventh leaves few files, the others go through the strains in turn.
pub fn run(
    totals: &mut Totals,
    dice: &mut StdRng,
    binary: &Binary,
    mut go_on: impl FnMut(u64) -> bool,
) -> Result<()> {
    if let Some(why) = strace_missing() {
        totals.not_run.push(format!("strained calls: {why}"));
        return Ok(());
    }
    let mut strains = STRAINS.iter().cycle();
    let mut trials = 0;
    while go_on(trials) && totals.problems.is_empty() {
        trials += 1;
        match trials {
            _ if trials.is_multiple_of(7) => few_files(totals, dice, binary)?,
            _ if trials.is_multiple_of(3) => unreadable(totals, dice, binary)?,
            _ => strained(totals, dice, binary, strains.next().unwrap_or(&""))?,
        }
    }
    Ok(())
}

/// The binary under strace with one injection.
fn under_strace(binary: &Binary, trace: &Path, injection: &str, only: &[String]) -> Binary {
    let calls = injection.split(':').next().unwrap_or_default();
    let mut under = vec![
        "strace".to_owned(),
        "-f".to_owned(),
        "-o".to_owned(),
        trace.display().to_string(),
        format!("-etrace={calls}"),
        format!("-einject={injection}"),
    ];
    under.extend(only.iter().map(|path| format!("-P{path}")));
    Binary {
        under,
        ..binary.clone()
    }
}

fn felt(trace: &Path) -> bool {
    let text = fs::read_to_string(trace).unwrap_or_default();
    text.contains("(INJECTED)") || text.contains("(DELAYED)")
}

fn strained(totals: &mut Totals, dice: &mut StdRng, binary: &Binary, strain: &str) -> Result<()> {
    // What is strained again and again begins early: a connection is accepted once.
    let last = if strain.contains('+') { 6 } else { 24 };
    let trial = strain.replace("{k}", &dice.random_range(2..=last).to_string());
    let folder = tempfile::tempdir()?;
    let trace = folder.path().join("strace");
    let traced = under_strace(binary, &trace, &trial, &[]);
    let mut edge = match traced.start(folder.path()) {
        Ok(edge) => edge,
        // Felt while it opened its files: to refuse is right, and nobody was promised anything.
        Err(_) if felt(&trace) => {
            let nothing = History::default();
            return opens_again(totals, dice, binary, folder.path(), nothing, &trial);
        }
        Err(error) => return Err(error.context(trial)),
    };
    let clients = Clients::start(edge.address(), 8, dice.random(), "");
    let began = Instant::now();
    while !felt(&trace) && began.elapsed() < PATIENCE {
        thread::sleep(Duration::from_millis(20));
    }
    thread::sleep(CLICKS);
    let mut history = clients.stop()?;
    if !felt(&trace) {
        totals.problems.push(format!("{trial}: it was never felt"));
    }
    let after = goes_on(&edge, dice)?;
    if after.receipts.is_empty() {
        let messages = edge.messages();
        let problem = format!("{trial}: no receipts after it: {messages}");
        totals.problems.push(problem);
    }
    history.extend(after);
    edge.kill()?;
    judge(totals, folder.path(), &history, &trial);
    Ok(())
}

/// A read of an opening log fails: it opens all the same, or names the file and harms nothing.
fn unreadable(totals: &mut Totals, dice: &mut StdRng, binary: &Binary) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let mut edge = binary.start(folder.path())?;
    let clients = Clients::start(edge.address(), 8, dice.random(), "");
    thread::sleep(CLICKS);
    edge.kill()?;
    let mut history = clients.stop()?;
    let trial = format!("pread64:error=EIO:when={}", dice.random_range(1..12));
    let trace = folder.path().join("strace");
    let log = edge::log(folder.path());
    let files: Vec<String> = fs::read_dir(&log)?
        .filter_map(|entry| Some(entry.ok()?.path().display().to_string()))
        .collect();
    let traced = under_strace(binary, &trace, &trial, &files);
    match traced.start(folder.path()) {
        Ok(mut edge) => {
            history.extend(goes_on(&edge, dice)?);
            edge.kill()?;
        }
        Err(error) => {
            let told = format!("{error:#}");
            if !told.contains(&log.display().to_string()) {
                let problem = format!("{trial}: it does not name the file: {told}");
                totals.problems.push(problem);
            }
        }
    }
    opens_again(totals, dice, binary, folder.path(), history, &trial)
}

/// Fewer files than clients: connections wait, the log has what it needs, all is well afterwards.
fn few_files(totals: &mut Totals, dice: &mut StdRng, binary: &Binary) -> Result<()> {
    let trial = format!("prlimit {FEW_FILES}");
    let folder = tempfile::tempdir()?;
    let limited = Binary {
        under: vec!["prlimit".to_owned(), FEW_FILES.to_owned()],
        ..binary.clone()
    };
    let mut edge = limited.start(folder.path())?;
    let clients = Clients::start(edge.address(), CROWD, dice.random(), "");
    thread::sleep(CLICKS);
    let mut history = clients.stop()?;
    let crowded = history.receipts.len();
    let after = goes_on(&edge, dice)?;
    if crowded == 0 || after.receipts.is_empty() {
        let (after, messages) = (after.receipts.len(), edge.messages());
        let problem = format!("{trial}: {crowded} receipts in it, {after} after it: {messages}");
        totals.problems.push(problem);
    }
    history.extend(after);
    edge.kill()?;
    judge(totals, folder.path(), &history, &trial);
    Ok(())
}

/// Without the strain it opens what is there, gives receipts, and has what was promised before.
fn opens_again(
    totals: &mut Totals,
    dice: &mut StdRng,
    binary: &Binary,
    folder: &Path,
    mut history: History,
    trial: &str,
) -> Result<()> {
    let mut edge = binary.start(folder)?;
    let after = goes_on(&edge, dice)?;
    edge.kill()?;
    if after.receipts.is_empty() {
        let problem = format!("an opening after {trial}: no receipts");
        totals.problems.push(problem);
    }
    history.extend(after);
    judge(totals, folder, &history, trial);
    Ok(())
}

fn judge(totals: &mut Totals, folder: &Path, history: &History, trial: &str) {
    totals.receipts += history.receipts.len() as u64;
    check(totals, folder, history, trial);
}
