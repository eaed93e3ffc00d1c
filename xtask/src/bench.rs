//! `cargo xtask bench`: figures beside a peer that is measured in the same rounds on this machine.

mod edge;
mod links;
mod log;
mod machine;
mod restart;
mod server;
mod usage;
mod wrk;

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use clap::Subcommand;
use serde_json::Value;

/// What to measure.
#[derive(Debug, Subcommand)]
pub(crate) enum Bench {
    /// The click edge beside nginx, both on one pinned core.
    Edge(edge::Edge),
    /// The log beside a raw write-and-sync loop, fjall and SQLite.
    Log(log::Log),
    /// From `kill -9` to the next receipt, with a long log.
    Restart(restart::Restart),
}

/// Runs a benchmark; false when a bar was missed.
pub(crate) fn run(root: &Path, bench: &Bench) -> Result<bool> {
    match bench {
        Bench::Edge(edge) => edge.run(root),
        Bench::Log(log) => log.run(root),
        Bench::Restart(restart) => restart.run(root),
    }
}

/// A figure and what it has to reach.
struct Bar {
    what: String,
    figure: f64,
    /// The figure must be at most (true) or at least (false) the limit.
    at_most: bool,
    limit: f64,
}

impl Bar {
    fn is_met(&self) -> bool {
        if self.at_most {
            self.figure <= self.limit
        } else {
            self.figure >= self.limit
        }
    }
}

/// Prints the bars; true when all are met.
fn judge(bars: &[Bar]) -> bool {
    for bar in bars {
        let verdict = if bar.is_met() { "met" } else { "MISSED" };
        let relation = if bar.at_most { "at most" } else { "at least" };
        let Bar {
            what,
            figure,
            limit,
            ..
        } = bar;
        eprintln!("bar {verdict}: {what}: {figure:.2}, {relation} {limit}");
    }
    bars.iter().all(Bar::is_met)
}

/// Keeps a result under `bench/results/<date>-<machine>/`.
fn keep(root: &Path, name: &str, result: &Value) -> Result<()> {
    let folder = root.join("bench/results").join(machine::folder());
    fs::create_dir_all(&folder)?;
    let path = folder.join(format!("{name}.json"));
    let text = serde_json::to_string_pretty(result)?;
    fs::write(&path, text + "\n").with_context(|| path.display().to_string())?;
    eprintln!("kept in {}", path.display());
    Ok(())
}

fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    let middle = figures.len() / 2;
    figures.get(middle).copied().unwrap_or(f64::NAN)
}
