//! `cargo xtask test`: the one test command. It installs what the tests need, checks the style,
//! builds once, runs every suite, and closes with what ran and what could not.

pub(crate) mod needs;
mod suites;
mod summary;

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::Result;

use self::summary::{Suite, Summary};
use crate::torture;

/// Runs everything; false when anything failed.
pub(crate) fn run(root: &Path) -> Result<bool> {
    let mut summary = Summary::default();
    needs::install(&mut summary);
    check(
        &mut summary,
        root,
        "format",
        "cargo",
        &["fmt", "--all", "--", "--check"],
    );
    tidy(&mut summary, root);
    check(&mut summary, root, "clippy", "cargo", CLIPPY);
    deny(&mut summary, root);
    if check(&mut summary, root, "build", "cargo", BUILD) {
        suites::run(root, &mut summary)?;
        short_torture(root, &mut summary)?;
    } else {
        summary.could_not_run("all test suites", "the build failed");
    }
    print!("{summary}");
    Ok(summary.failed() == 0)
}

const CLIPPY: &[&str] = &[
    "clippy",
    "--workspace",
    "--all-targets",
    "--quiet",
    "--",
    "-D",
    "warnings",
];
/// The very units that `cargo test` runs, and the binaries that tests start.
const BUILD: &[&str] = &["build", "--workspace", "--all-targets", "--quiet"];
/// The advisories are a download, so only what is known offline is checked.
const DENY: &[&str] = &[
    "deny",
    "--offline",
    "--locked",
    "check",
    "bans",
    "licenses",
    "sources",
];

/// A step that succeeds or fails as a whole.
fn check(
    summary: &mut Summary,
    root: &Path,
    name: &str,
    program: &str,
    arguments: &[&str],
) -> bool {
    println!("== {name}: {program} {}", arguments.join(" "));
    let began = Instant::now();
    let status = Command::new(program)
        .args(arguments)
        .current_dir(root)
        .stdin(Stdio::null())
        .status();
    let passed = match status {
        Ok(status) => status.success(),
        Err(error) => {
            println!("{program}: {error}");
            false
        }
    };
    summary.add(Suite::whole(name, passed, began.elapsed()));
    passed
}

fn tidy(summary: &mut Summary, root: &Path) {
    println!("== tidy");
    let began = Instant::now();
    let passed = crate::tidy::run(root).unwrap_or_else(|error| {
        println!("tidy: {error:#}");
        false
    });
    summary.add(Suite::whole("tidy", passed, began.elapsed()));
}

/// Building cargo-deny would cost more than it finds here, so it runs where it is installed.
fn deny(summary: &mut Summary, root: &Path) {
    let version = Command::new("cargo").args(["deny", "--version"]).output();
    if version.is_ok_and(|output| output.status.success()) {
        check(summary, root, "licences and sources", "cargo", DENY);
    } else {
        let why = "cargo-deny is not installed (cargo install cargo-deny)";
        summary.could_not_run("licences and sources", why);
    }
}

/// The short tier of the fault trials, on the binaries that are already built.
fn short_torture(root: &Path, summary: &mut Summary) -> Result<()> {
    println!("== torture, short tier");
    let began = Instant::now();
    let ended = torture::short(root)?;
    let mut suite = Suite::named("torture, short tier");
    suite.passed = ended.passed;
    suite.failed = ended.failed.len();
    suite.elapsed = began.elapsed();
    summary.add(suite);
    for failure in ended.failed {
        summary.failures.push(format!("torture: {failure}"));
    }
    for what in ended.not_run {
        summary.could_not_run("torture", &what);
    }
    println!("{}", ended.totals);
    Ok(())
}
