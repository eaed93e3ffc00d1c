//! The fault trials: `cargo xtask torture` starts them, `cargo xtask test` their short tier.
#![expect(
    clippy::disallowed_methods,
    reason = "trials on the real machine take real time"
)]

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::Result;
use clap::{Parser, Subcommand};
use tollgate_sim::power;
use tollgate_sim::totals::Totals;
use tollgate_sim::writer::Writer;

/// Kill, cut the power, fail the sync, fill the disk, and compare with the receipts.
#[derive(Debug, Parser)]
#[command(args_conflicts_with_subcommands = true)]
struct Cli {
    #[command(subcommand)]
    part: Option<Part>,
    #[command(flatten)]
    trials: Trials,
}

#[derive(Debug, Subcommand)]
enum Part {
    /// The process that a power cut hits.
    #[command(hide = true)]
    Writer(Writer),
}

#[derive(Debug, clap::Args)]
struct Trials {
    /// The binary under trial.
    #[arg(long, value_name = "FILE")]
    tollgate: Option<PathBuf>,
    /// About how long; without it the short tier, which counts instead.
    #[arg(long, value_name = "N")]
    minutes: Option<u64>,
    /// Repeats a run; drawn and printed when absent.
    #[arg(long, value_name = "S")]
    seed: Option<u64>,
    /// Only this kind of trial.
    #[arg(long, value_name = "KIND")]
    only: Option<String>,
    /// Close with one object on standard output.
    #[arg(long)]
    json: bool,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let ended = match cli.part {
        Some(Part::Writer(writer)) => writer.run().map(|()| true),
        None => run(&cli.trials),
    };
    match ended {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::from(3)
        }
    }
}

fn run(trials: &Trials) -> Result<bool> {
    let seed = trials.seed.unwrap_or_else(rand::random);
    let mut totals = Totals {
        seed,
        ..Totals::default()
    };
    eprintln!("torture: seed {seed}");
    let began = Instant::now();
    power::run(&mut totals, &mut power::dice(seed, 3), |n| {
        trials
            .minutes
            .map_or(n < 300, |m| began.elapsed() < Duration::from_secs(60 * m))
    })?;
    eprint!("{totals}");
    if trials.json {
        println!("{}", serde_json::to_string(&totals)?);
    }
    Ok(totals.is_good())
}
