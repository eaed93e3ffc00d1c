//! `cargo xtask torture`: starts the fault trials, which live in `crates/sim`.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use clap::Args;
use serde_json::Value;

/// Kill, cut the power, fail the sync, fill the disk, and compare with the receipts.
#[derive(Debug, Args)]
pub(crate) struct Torture {
    /// About how long.
    #[arg(long, default_value_t = 10, value_name = "N")]
    minutes: u64,
    /// Repeats a run; drawn and printed when absent.
    #[arg(long, value_name = "S")]
    seed: Option<u64>,
    /// Only the kinds of trial whose name begins so: states, kill, power, fsync, full.
    #[arg(long, value_name = "KIND")]
    only: Option<String>,
    /// Close with one object on standard output.
    #[arg(long)]
    json: bool,
}

/// How the short tier ended.
pub(crate) struct Ended {
    pub(crate) passed: usize,
    pub(crate) failed: Vec<String>,
    pub(crate) not_run: Vec<String>,
    /// The totals as the trials printed them.
    pub(crate) totals: String,
}

/// The long tier, on optimised binaries.
pub(crate) fn run(root: &Path, torture: &Torture) -> Result<bool> {
    let build = [
        "build",
        "--release",
        "-p",
        "tollgate",
        "-p",
        "tollgate-sim",
        "--bins",
    ];
    let status = Command::new("cargo")
        .args(build)
        .current_dir(root)
        .status()?;
    ensure!(status.success(), "the build failed");
    let mut command = trials(root, "release");
    command.args(["--minutes", &torture.minutes.to_string()]);
    if let Some(seed) = torture.seed {
        command.args(["--seed", &seed.to_string()]);
    }
    if let Some(only) = &torture.only {
        command.args(["--only", only]);
    }
    if torture.json {
        command.arg("--json");
    }
    Ok(command.status().context("starting the trials")?.success())
}

/// The short tier, on the binaries of the test build.
pub(crate) fn short(root: &Path) -> Result<Ended> {
    let output = trials(root, "debug")
        .arg("--json")
        .stderr(Stdio::inherit())
        .output()
        .context("starting the trials")?;
    let totals = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    let object: Value = serde_json::from_str(&totals).unwrap_or(Value::Null);
    let list = |key: &str| {
        let list = object
            .get(key)
            .and_then(Value::as_array)
            .into_iter()
            .flatten();
        list.filter_map(Value::as_str)
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    let count = |key: &str| object.get(key).and_then(Value::as_u64);
    let mut failed = Vec::new();
    for key in ["lost", "false_receipts", "undetected"] {
        match count(key) {
            Some(0) => {}
            Some(number) => failed.push(format!("{number} {key}")),
            None => failed.push(format!("the totals do not say `{key}`")),
        }
    }
    if !output.status.success() && failed.is_empty() {
        failed.push(format!("a trial failed, see above ({})", output.status));
    }
    let trials = ["crash_states", "kills", "power_cuts", "bit_flips"];
    let passed = trials
        .into_iter()
        .filter(|key| count(key).is_some_and(|n| n > 0))
        .count();
    Ok(Ended {
        passed,
        failed,
        not_run: list("not_run"),
        totals,
    })
}

fn trials(root: &Path, profile: &str) -> Command {
    let folder: PathBuf = crate::target(root).join(profile);
    let mut command = Command::new(folder.join("tollgate-torture"));
    command.arg("--tollgate").arg(folder.join("tollgate"));
    command.stdin(Stdio::null()).current_dir(root);
    command
}
