//! Runs `cargo test` over the workspace and reads what it says.

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use super::summary::{Suite, Summary};

/// No suite is silent for longer, so one that is hangs.
const SILENCE_MAX: Duration = Duration::from_secs(15 * 60);

/// Every suite of every crate as a newcomer builds it. Those of engines that are features, with
/// builds of their own, come behind it, so that a mistake in the rest is told before.
const RUNS: &[&[&str]] = &[
    &["--workspace"],
    &["-p", "tollgate-datafusion", "--features", "engine"],
];

/// Runs every suite, and goes on after a failure.
pub(super) fn run(root: &Path, summary: &mut Summary) -> Result<()> {
    let log_path = crate::target(root).join("xtask-test.log");
    let mut log = File::create(&log_path).context("the log of the tests")?;
    for what in RUNS {
        run_some(root, what, &mut log, summary)?;
    }
    println!("(all output: {})", log_path.display());
    Ok(())
}

fn run_some(root: &Path, what: &[&str], log: &mut File, summary: &mut Summary) -> Result<()> {
    println!("== cargo test {}", what.join(" "));
    let (reader, writer) = io::pipe()?;
    let mut child = Command::new("cargo")
        .arg("test")
        .args(what)
        .args(["--no-fail-fast", "--", "--show-output"])
        .current_dir(root)
        .env("CARGO_TERM_COLOR", "never")
        .stdin(Stdio::null())
        .stderr(writer.try_clone()?)
        .stdout(writer)
        .spawn()
        .context("starting cargo test")?;
    let mut listener = Listener::default();
    let hung = follow(reader, |line| {
        writeln!(log, "{line}")?;
        if listener.hear(line) {
            println!("{line}");
        }
        Ok(())
    })?;
    if hung {
        end(child.id());
    }
    let succeeded = child.wait()?.success();
    listener.close(succeeded, hung);
    summary.take(listener);
    Ok(())
}

/// Hands over each line until the end, or until there was silence for too long.
fn follow(reader: io::PipeReader, mut each: impl FnMut(&str) -> Result<()>) -> Result<bool> {
    let (sender, lines) = mpsc::channel();
    thread::spawn(move || {
        let mut reader = BufReader::new(reader);
        let mut line = Vec::new();
        while reader
            .read_until(b'\n', &mut line)
            .is_ok_and(|count| count > 0)
        {
            let text = String::from_utf8_lossy(&line).trim_end().to_owned();
            line.clear();
            if sender.send(text).is_err() {
                return;
            }
        }
    });
    loop {
        match lines.recv_timeout(SILENCE_MAX) {
            Ok(line) => each(&line)?,
            Err(mpsc::RecvTimeoutError::Disconnected) => return Ok(false),
            Err(mpsc::RecvTimeoutError::Timeout) => return Ok(true),
        }
    }
}

/// Ends cargo and what it has started, the last one first: a test that hangs is at the end.
fn end(process: u32) {
    let path = format!("/proc/{process}/task/{process}/children");
    let children = fs::read_to_string(path).unwrap_or_default();
    children
        .split_whitespace()
        .filter_map(|child| child.parse().ok())
        .for_each(end);
    // If it is gone already, that is what was wanted.
    drop(
        Command::new("kill")
            .args(["-KILL", &process.to_string()])
            .status(),
    );
}

/// Understands the lines of cargo and of the test harness.
#[derive(Default)]
pub(super) struct Listener {
    pub(super) suites: Vec<Suite>,
    pub(super) failures: Vec<String>,
    /// What a test said it could not do, with the reason.
    pub(super) not_run: Vec<(String, String)>,
    open: Option<(Suite, Instant)>,
    section: Section,
    /// The test whose output is being shown.
    test: String,
}

#[derive(Default, Clone, Copy, PartialEq, Eq)]
enum Section {
    #[default]
    Running,
    /// Output of tests that passed: read, not shown.
    Successes,
    Failures,
}

impl Listener {
    /// Takes a line in; true if it should be shown.
    pub(super) fn hear(&mut self, line: &str) -> bool {
        if let Some(name) = suite_name(line) {
            self.abandon();
            self.open = Some((Suite::named(&name), Instant::now()));
            self.section = Section::Running;
            return true;
        }
        if let Some(counts) = line.strip_prefix("test result: ") {
            self.finish(counts);
            self.section = Section::Running;
            return true;
        }
        match line {
            "successes:" => self.section = Section::Successes,
            "failures:" => self.section = Section::Failures,
            _ => {}
        }
        if let Some(name) = line
            .strip_prefix("---- ")
            .and_then(|rest| rest.split(' ').next())
        {
            self.test = name.to_owned();
        }
        if let Some((name, result)) = line
            .strip_prefix("test ")
            .and_then(|l| l.split_once(" ... "))
        {
            self.judge(name, result);
        }
        if let (Some(why), Section::Successes) = (skip_reason(line), self.section) {
            self.not_run.push((self.test.clone(), why.to_owned()));
            if let Some((suite, _)) = &mut self.open {
                suite.skipped += 1;
            }
        }
        // Between suites cargo speaks; inside one only its failures are worth a line.
        self.section == Section::Failures || self.open.is_none()
    }

    fn judge(&mut self, name: &str, result: &str) {
        let Some((suite, _)) = &self.open else { return };
        if result.starts_with("FAILED") {
            self.failures.push(format!("{}: {name}", suite.name));
        } else if let Some(reason) = result.strip_prefix("ignored") {
            let reason = reason.trim_start_matches(", ");
            let reason = if reason.is_empty() {
                "ignored without a reason"
            } else {
                reason
            };
            self.not_run.push((name.to_owned(), reason.to_owned()));
        }
    }

    /// `ok. 3 passed; 0 failed; 1 ignored; ...`
    fn finish(&mut self, counts: &str) {
        let Some((mut suite, began)) = self.open.take() else {
            return;
        };
        let words: Vec<&str> = counts
            .split([' ', ';'])
            .filter(|word| !word.is_empty())
            .collect();
        let count = |label: &str| {
            let pairs = words.iter().zip(words.iter().skip(1));
            let number = pairs
                .filter(|(_, word)| **word == label)
                .map(|(number, _)| number);
            number
                .filter_map(|number| number.parse::<usize>().ok())
                .sum::<usize>()
        };
        suite.passed = count("passed").saturating_sub(suite.skipped);
        suite.skipped += count("ignored");
        suite.failed = count("failed");
        suite.elapsed = began.elapsed();
        self.suites.push(suite);
    }

    /// A suite without a result died.
    fn abandon(&mut self) {
        if let Some((mut suite, began)) = self.open.take() {
            self.failures
                .push(format!("{}: ended without a result", suite.name));
            suite.failed = 1;
            suite.elapsed = began.elapsed();
            self.suites.push(suite);
        }
    }

    pub(super) fn close(&mut self, succeeded: bool, hung: bool) {
        self.abandon();
        if hung {
            self.failures
                .push("cargo test hung and was ended".to_owned());
        }
        let failed: usize = self.suites.iter().map(|suite| suite.failed).sum();
        if !succeeded && failed == 0 {
            self.suites
                .push(Suite::whole("cargo test", false, Duration::ZERO));
            self.failures
                .push("cargo test failed outside the suites".to_owned());
        }
    }
}

/// `Running unittests src/lib.rs (target/debug/deps/tollgate_click-0123)`, `Doc-tests x`.
fn suite_name(line: &str) -> Option<String> {
    let line = line.trim_start();
    if let Some(name) = line.strip_prefix("Doc-tests ") {
        return Some(format!("{name} (examples)"));
    }
    let (source, binary) = line.strip_prefix("Running ")?.split_once(" (")?;
    let binary = binary.trim_end_matches(')').rsplit('/').next()?;
    let name = binary.rsplit_once('-').map_or(binary, |(name, _)| name);
    Some(format!(
        "{name} ({})",
        source.trim_start_matches("unittests ")
    ))
}

fn skip_reason(line: &str) -> Option<&str> {
    line.trim_start().strip_prefix("SKIPPED: ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heard(text: &str) -> Listener {
        let mut listener = Listener::default();
        for line in text.lines() {
            listener.hear(line);
        }
        listener
    }

    const OUTPUT: &str = "     Running unittests src/lib.rs (target/debug/deps/tollgate_x-0a1b)\n\
        running 4 tests\n\
        test a ... ok\n\
        test b ... FAILED\n\
        test c ... ignored, needs a moon\n\
        test d ... ok\n\
        \n\
        successes:\n\
        \n\
        ---- d stdout ----\n\
        SKIPPED: not root\n\
        \n\
        failures:\n\
        \n\
        ---- b stdout ----\n\
        SKIPPED: this test failed all the same\n\
        \n\
        test result: FAILED. 2 passed; 1 failed; 1 ignored; 0 measured; 0 filtered out\n";

    #[test]
    fn counts_and_reasons_are_read() {
        let mut listener = heard(OUTPUT);
        listener.close(false, false);
        let [suite] = listener.suites.as_slice() else {
            panic!("one suite")
        };
        assert_eq!(suite.name, "tollgate_x (src/lib.rs)");
        assert_eq!((suite.passed, suite.failed, suite.skipped), (1, 1, 2));
        assert_eq!(listener.failures, ["tollgate_x (src/lib.rs): b"]);
        let not_run = [("c", "needs a moon"), ("d", "not root")];
        assert_eq!(
            listener.not_run,
            not_run.map(|(a, b)| (a.to_owned(), b.to_owned()))
        );
    }

    #[test]
    fn a_suite_that_dies_counts_as_failed() {
        let text = "     Running tests/a.rs (target/debug/deps/a-01)\nrunning 1 test\n";
        let next = "     Running tests/b.rs (target/debug/deps/b-01)\n\
                    test result: ok. 1 passed; 0 failed; 0 ignored\n";
        let mut listener = heard(&format!("{text}{next}"));
        listener.close(false, false);
        assert_eq!(
            listener.failures,
            ["a (tests/a.rs): ended without a result"]
        );
        let counts: Vec<_> = listener
            .suites
            .iter()
            .map(|s| (s.passed, s.failed))
            .collect();
        assert_eq!(counts, [(0, 1), (1, 0)]);
    }

    #[test]
    fn a_failure_outside_the_suites_is_a_failure() {
        let mut listener = heard("error: could not compile\n");
        listener.close(false, false);
        assert_eq!(listener.failures.len(), 1);
        assert_eq!(
            listener
                .suites
                .iter()
                .map(|suite| suite.failed)
                .sum::<usize>(),
            1
        );
    }

    #[test]
    fn failures_are_shown_and_successes_are_not() {
        let mut listener = Listener::default();
        let shown: Vec<&str> = OUTPUT.lines().filter(|line| listener.hear(line)).collect();
        assert!(shown.contains(&"---- b stdout ----"));
        assert!(!shown.contains(&"SKIPPED: not root") && !shown.contains(&"test a ... ok"));
    }
}
