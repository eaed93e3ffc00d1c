//! Development tasks: `cargo xtask tidy`, `test`, `torture` and `bench`.
//!
//! Uses nothing of the product's crates: it must build when they do not, and it is no judge of
//! itself.

mod tidy;

mod test;
mod torture;

mod bench;

use std::env;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::{Parser, Subcommand};

/// Development tasks of Tollgate.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    task: Task,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Check the house style: crate table, words, lengths, lints.
    Tidy,
    /// Run every test: install what they need, check, build, run, sum up.
    Test,
    /// Run the long tier of the fault trials.
    Torture(torture::Torture),
    /// Measure beside a peer.
    #[command(subcommand)]
    Bench(bench::Bench),
}

fn main() -> ExitCode {
    match run(Cli::parse().task) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::from(3)
        }
    }
}

fn run(task: Task) -> Result<bool> {
    let root = root()?;
    match task {
        Task::Tidy => tidy::run(&root),
        Task::Test => test::run(&root),
        Task::Torture(torture) => torture::run(&root, &torture),
        Task::Bench(bench) => bench::run(&root, &bench),
    }
}

/// The root of the checkout.
fn root() -> Result<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    Ok(folder
        .parent()
        .context("xtask stands at the root of the filesystem")?
        .to_owned())
}

/// Where builds go: shared between checkouts when `CARGO_TARGET_DIR` is set.
fn target(root: &Path) -> PathBuf {
    env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), |folder| root.join(folder))
}

/// Where cargo puts what it builds with a profile.
fn built(root: &Path, profile: &str) -> PathBuf {
    target(root).join(if profile == "dev" { "debug" } else { profile })
}
