//! Development tasks: `cargo xtask tidy`, `test`, `torture` and `bench`.
//!
//! Uses nothing of the product's crates: it must build when they do not, and it is no judge of
//! itself.

mod tidy;

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
