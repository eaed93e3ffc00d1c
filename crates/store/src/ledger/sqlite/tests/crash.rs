//! Processes that are killed, and what they leave behind.
//!
//! Each test starts itself again as a child that posts until it is killed with SIGKILL; then the
//! parent opens the ledger, verifies all of it and lets the next child go on.

use std::env;
use std::io::{BufRead, BufReader};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio, exit};
use std::thread::sleep;
use std::time::Duration;

use super::*;
use crate::ledger::Outcome;
use crate::ledger::conformance::model::Random;
use crate::ledger::conformance::sample::{Worker, minute_posting, partition, some_spends, top_up};
use crate::ledger::conformance::verified;
use crate::ledger::{CommitRequest, LedgerError, LedgerReads};

const FILE: &str = "TOLLGATE_LEDGER_CRASH_FILE";
const STEPS: &str = "TOLLGATE_LEDGER_CRASH_STEPS";
const COMMITS_MAX: u32 = 2_000;
/// How a child ends whose disk is full, or fails.
const FULL: i32 = 40;
const UNCERTAIN: i32 = 41;
/// What a child says before its first commit.
const READY: &str = "posting from now on";
const KILLS: &str = "TOLLGATE_LEDGER_KILLS";

/// The commit that every child makes after a watermark: a function of where it stands, as a
/// replay of the log would be.
fn next_commit(worker: &Worker) -> CommitRequest {
    let (first, minute) = (worker.next(), worker.at.closed_before.0);
    let clicks = minute_posting(minute, first, first + 4, &some_spends(minute % 5));
    let money = top_up(first, minute, first + 5, minute % 5);
    worker.request(first + 6, minute + 1, vec![clicks, money])
}

/// A child posts until it is killed; with `STEPS` it kills itself after as many steps of SQLite's
/// machine.
fn child() {
    let Ok(file) = env::var(FILE) else {
        return;
    };
    let mut ledger = SqliteLedger::open(Path::new(&file)).unwrap();
    let mut worker = Worker::start(&mut ledger, 0).unwrap();
    if let Ok(steps) = env::var(STEPS) {
        let mut left: u64 = steps.parse().unwrap();
        let kill = move || {
            left -= 1;
            if left == 0 {
                let _ = rustix::process::kill_process(
                    rustix::process::getpid(),
                    rustix::process::Signal::KILL,
                );
            }
            false
        };
        ledger.connection.progress_handler(1, Some(kill)).unwrap();
    }
    eprintln!("{READY}");
    // It is killed long before; the end is for a kill that never comes.
    for _ in 0..COMMITS_MAX {
        let request = next_commit(&worker);
        match ledger.commit(&request) {
            Ok(Outcome::Committed(at)) => worker.at = at,
            Err(LedgerError::Full(_)) => exit(FULL),
            Err(LedgerError::Uncertain(_)) => {
                // Nothing more is written by a connection whose disk has failed.
                let again = ledger.commit(&request);
                assert!(matches!(again, Err(LedgerError::Uncertain(_))), "{again:?}");
                exit(UNCERTAIN)
            }
            other => panic!("{other:?}"),
        }
    }
    panic!("not killed");
}

fn start(test: &str, file: &Path, steps: Option<u64>) -> Child {
    let mut command = command(test, file);
    if let Some(steps) = steps {
        command.env(STEPS, steps.to_string());
    }
    command
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

/// This program again, with only that test, as a child.
fn command(test: &str, file: &Path) -> Command {
    let name = format!("{}::{test}", module_path!().split_once("::").unwrap().1);
    let mut command = Command::new(env::current_exe().unwrap());
    command
        .args(["--exact", &name, "--nocapture"])
        .env(FILE, file);
    command
}

/// After a kill the ledger is whole, and the commit that may or may not have been made is
/// resolved by sending it again.
fn recovered(path: &Path, last: &mut u64) {
    let mut ledger = SqliteLedger::open(path).unwrap();
    let at = ledger.watermark(partition(0)).unwrap();
    assert_eq!(at.ordinal.0 % 7, 0, "half a commit");
    assert_eq!(at.postings, at.ordinal.0 / 7 * 2);
    assert!(at.postings >= *last, "a commit is gone");
    *last = at.postings;
    assert_eq!(verified(&mut ledger).unwrap().postings, at.postings);
    let mut worker = Worker::start(&mut ledger, 0).unwrap();
    if at.ordinal.0 > 0 {
        worker.at.ordinal.0 -= 7;
        worker.at.closed_before.0 -= 1;
        let again = next_commit(&worker);
        assert_eq!(ledger.commit(&again).unwrap(), Outcome::AlreadyApplied(at));
    }
}

#[test]
fn a_process_killed_between_any_two_steps_leaves_a_whole_ledger() {
    child();
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("ledger.db");
    drop(SqliteLedger::create(&path, 1).unwrap());
    let (mut last, mut kills) = (0, 0);
    // A commit takes about 1,200 steps: the stride meets every part of one, at other places in
    // each.
    for steps in (1..2_600).step_by(67) {
        let this = "a_process_killed_between_any_two_steps_leaves_a_whole_ledger";
        let status = start(this, &path, Some(steps)).wait().unwrap();
        assert_eq!(status.signal(), Some(9), "{status:?}");
        recovered(&path, &mut last);
        kills += 1;
    }
    eprintln!("{kills} kills at chosen steps, {last} postings, 0 lost");
    assert!(
        last > 20,
        "children were killed before they had posted anything"
    );
}

#[test]
fn a_process_killed_at_any_time_leaves_a_whole_ledger() {
    child();
    let kills = env::var(KILLS).map_or(100, |kills| kills.parse().unwrap());
    let seed = u64::from(std::process::id());
    eprintln!("seed {seed}, {kills} kills");
    let mut random = Random(seed);
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("ledger.db");
    drop(SqliteLedger::create(&path, 1).unwrap());
    let (mut last, mut posted) = (0, 0);
    for number in 0..kills {
        let mut process = start(
            "a_process_killed_at_any_time_leaves_a_whole_ledger",
            &path,
            None,
        );
        let said = BufReader::new(process.stderr.take().unwrap());
        assert!(said.lines().any(|line| line.unwrap() == READY));
        sleep(Duration::from_micros(random.below(30_000)));
        process.kill().unwrap();
        process.wait().unwrap();
        recovered(&path, &mut last);
        if number % 20 == 19 {
            // Verifying all of a ledger that only grows would be most of the test.
            std::fs::remove_file(&path).unwrap();
            drop(SqliteLedger::create(&path, 1).unwrap());
            posted += std::mem::take(&mut last);
        }
    }
    posted += last;
    eprintln!("{posted} postings, 0 lost");
    assert!(
        posted > 0,
        "children were killed before they had posted anything"
    );
}

/// The same at each system call that touches the disk, where `strace` can be had.
#[test]
fn a_process_killed_at_any_system_call_leaves_a_whole_ledger() {
    child();
    let this = "a_process_killed_at_any_system_call_leaves_a_whole_ledger";
    let kill = |calls, when| Fault {
        calls,
        what: "signal=KILL",
        when,
    };
    let (mut files, mut last) = (Files::new(), 0);
    files.fresh(1).unwrap();
    for (calls, stride, most) in [("pwrite64", 5, 150), (SYNC, 1, 20)] {
        for when in (1..=most).step_by(stride) {
            let Some(status) = run_with(this, &files.path(), &kill(calls, when)) else {
                return;
            };
            assert_eq!(status.signal(), Some(9), "{calls} {when}: {status:?}");
            recovered(&files.path(), &mut last);
        }
    }
    assert!(
        last > 20,
        "children were killed before they had posted anything"
    );
}

/// A disk that fails at one system call: no call is answered as done that is not, and what is on
/// the disk is whole.
#[test]
fn a_disk_that_fails_once_leaves_a_whole_ledger() {
    child();
    let this = "a_disk_that_fails_once_leaves_a_whole_ledger";
    let mut ended = [0, 0];
    for (calls, what) in [
        ("pwrite64", "error=ENOSPC"),
        ("pwrite64", "error=EIO"),
        (SYNC, "error=EIO"),
    ] {
        let (mut files, mut last) = (Files::new(), 0);
        files.fresh(1).unwrap();
        for when in (1..=30).step_by(3) {
            let fault = Fault { calls, what, when };
            let Some(status) = run_with(this, &files.path(), &fault) else {
                return;
            };
            match status.code() {
                Some(FULL) => ended[0] += 1,
                Some(UNCERTAIN) => ended[1] += 1,
                // It could not even open the ledger, or take the lease.
                other => assert_eq!(other, Some(101), "{calls} {what} {when}"),
            }
            recovered(&files.path(), &mut last);
        }
    }
    eprintln!("{ended:?} full and uncertain");
    assert!(ended[0] >= 5 && ended[1] >= 10, "{ended:?}");
}

/// SQLite syncs with either, as it was built.
const SYNC: &str = "fsync,fdatasync";

/// What happens to a child at its `when`-th system call of a kind.
struct Fault {
    calls: &'static str,
    what: &'static str,
    when: usize,
}

/// Runs a child under `strace`; none where there is no `strace`.
fn run_with(test: &str, file: &Path, fault: &Fault) -> Option<ExitStatus> {
    let Fault { calls, what, when } = fault;
    let child = command(test, file);
    let mut strace = Command::new("strace");
    strace.args([
        "-f",
        "-qq",
        "-o",
        "/dev/null",
        "-e",
        &format!("trace={calls}"),
    ]);
    strace.args(["-e", &format!("inject={calls}:{what}:when={when}")]);
    strace
        .arg(child.get_program())
        .args(child.get_args())
        .env(FILE, file);
    match strace.output() {
        // strace ends as its child did.
        Ok(done) => Some(done.status),
        Err(_) => {
            eprintln!("SKIPPED: there is no strace");
            None
        }
    }
}
