//! `cargo xtask bench log`: the log beside a raw write-and-sync loop, fjall and SQLite. The peers
//! are built in a workspace of their own, so that no build of the product ever compiles them.

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use clap::Args;
use serde_json::{Value, json};

use super::{Bar, judge, keep, machine};

/// Arguments of `cargo xtask bench log`.
#[derive(Debug, Args)]
pub(crate) struct Log {
    /// Rounds; each engine runs once in a round for each size of commit.
    #[arg(long, default_value_t = 5)]
    rounds: u32,
    /// Milliseconds of each run.
    #[arg(long, default_value_t = 1000)]
    run_ms: u32,
    /// Close with one object on standard output.
    #[arg(long)]
    json: bool,
}

impl Log {
    pub(super) fn run(&self, root: &Path) -> Result<bool> {
        let folder = root.join("bench/log");
        let target = crate::target(root);
        let mut build = Command::new("cargo");
        build
            .args(["build", "--release", "--locked", "--target-dir"])
            .arg(&target);
        ensure!(
            build.current_dir(&folder).status()?.success(),
            "the build failed"
        );
        let work = target.join("bench-log");
        let output = Command::new(target.join("release/tollgate-bench-log"))
            .arg(&work)
            .args([self.rounds.to_string(), self.run_ms.to_string()])
            .stdin(Stdio::null())
            .stderr(Stdio::inherit())
            .output()?;
        ensure!(
            output.status.success(),
            "the benchmark failed: {}",
            output.status
        );
        let measured: Value = serde_json::from_slice(&output.stdout).context("its result")?;
        let met = judge(&bars(&measured));
        let result = json!({ "machine": machine::describe(), "log": measured });
        keep(root, "log", &result)?;
        if self.json {
            println!("{result}");
        }
        Ok(met)
    }
}

fn bars(measured: &Value) -> Vec<Bar> {
    let ratio = |key: &str| {
        let value = measured
            .pointer(&format!("/ratio/{key}"))
            .and_then(Value::as_f64);
        value.unwrap_or(f64::NAN)
    };
    let least = |what: &str, key: &str, limit| Bar {
        what: what.to_owned(),
        figure: ratio(key),
        at_most: false,
        limit,
    };
    vec![
        least(
            "records/s to the raw loop, 1,024 a commit, 1 partition",
            "raw_1024_1",
            0.85,
        ),
        least(
            "records/s to the raw loop, 1,024 a commit, 64 partitions",
            "raw_1024_64",
            0.85,
        ),
        least(
            "records/s to fjall, 1,024 a commit, 1 partition",
            "fjall_1024_1",
            5.0,
        ),
        least(
            "records/s to fjall, 1,024 a commit, 64 partitions",
            "fjall_1024_64",
            5.0,
        ),
        least("64 partitions to 1, 1,024 a commit", "partitions_1024", 0.9),
    ]
}
