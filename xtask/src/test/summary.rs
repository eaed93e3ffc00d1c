//! What ran, what failed, what could not run and why.

use std::fmt;
use std::time::Duration;

use super::suites::Listener;

/// One row of the summary.
#[derive(Debug, Default)]
pub(super) struct Suite {
    pub(super) name: String,
    pub(super) passed: usize,
    pub(super) failed: usize,
    pub(super) skipped: usize,
    pub(super) elapsed: Duration,
}

#[derive(Debug, Default)]
pub(super) struct Summary {
    pub(super) failures: Vec<String>,
    suites: Vec<Suite>,
    not_run: Vec<(String, String)>,
    /// Entries of `not_run` that no suite counts.
    skipped: usize,
}

impl Suite {
    pub(super) fn named(name: &str) -> Suite {
        Suite {
            name: name.to_owned(),
            ..Suite::default()
        }
    }

    /// A step that passes or fails as one.
    pub(super) fn whole(name: &str, passed: bool, elapsed: Duration) -> Suite {
        let (passed, failed) = if passed { (1, 0) } else { (0, 1) };
        Suite {
            passed,
            failed,
            elapsed,
            ..Suite::named(name)
        }
    }
}

impl Summary {
    pub(super) fn add(&mut self, suite: Suite) {
        let is_step = suite.passed + suite.failed == 1;
        if suite.failed > 0 && is_step {
            self.failures.push(suite.name.clone());
        }
        self.suites.push(suite);
    }

    pub(super) fn take(&mut self, listener: Listener) {
        self.suites.extend(listener.suites);
        self.failures.extend(listener.failures);
        self.not_run.extend(listener.not_run);
    }

    pub(super) fn could_not_run(&mut self, what: &str, why: &str) {
        self.not_run.push((what.to_owned(), why.to_owned()));
        self.skipped += 1;
    }

    pub(super) fn failed(&self) -> usize {
        self.suites.iter().map(|suite| suite.failed).sum()
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "\n{:<52} {:>7} {:>7} {:>7} {:>8}",
            "suite", "passed", "failed", "skipped", "s"
        )?;
        // A crate without tests or examples has an empty suite.
        let ran = |suite: &&Suite| suite.passed + suite.failed + suite.skipped > 0;
        for suite in self.suites.iter().filter(ran) {
            let Suite {
                name,
                passed,
                failed,
                skipped,
                elapsed,
            } = suite;
            let seconds = elapsed.as_secs_f64();
            writeln!(
                f,
                "{name:<52} {passed:>7} {failed:>7} {skipped:>7} {seconds:>8.1}"
            )?;
        }
        if !self.not_run.is_empty() {
            writeln!(f, "\nCould not run:")?;
        }
        for (what, why) in &self.not_run {
            writeln!(f, "  {what}: {why}")?;
        }
        if !self.failures.is_empty() {
            writeln!(f, "\nFailed:")?;
        }
        for failure in &self.failures {
            writeln!(f, "  {failure}")?;
        }
        let passed: usize = self.suites.iter().map(|suite| suite.passed).sum();
        let skipped: usize = self.suites.iter().map(|suite| suite.skipped).sum();
        let skipped = skipped + self.skipped;
        writeln!(
            f,
            "\n{passed} passed, {} failed, {skipped} skipped",
            self.failed()
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_line_is_the_plain_count() {
        let mut summary = Summary::default();
        summary.add(Suite {
            passed: 3,
            skipped: 1,
            ..Suite::named("a")
        });
        summary.add(Suite::whole("clippy", false, Duration::from_secs(2)));
        summary.could_not_run("power cuts", "not root");
        let text = summary.to_string();
        assert_eq!(text.lines().last(), Some("3 passed, 1 failed, 2 skipped"));
        assert!(text.contains("  power cuts: not root\n"), "{text}");
        assert!(text.contains("Failed:\n  clippy\n"), "{text}");
    }
}
