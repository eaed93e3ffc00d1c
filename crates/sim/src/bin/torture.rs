//! The fault trials: `cargo xtask torture` starts them, `cargo xtask test` their short tier.
#![expect(
    clippy::disallowed_methods,
    reason = "trials on the real machine take real time"
)]

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use clap::{Parser, Subcommand};
use tollgate_sim::edge::Binary;
use tollgate_sim::fill::Fill;
use tollgate_sim::measure::Measure;
use tollgate_sim::mint::Mint;
use tollgate_sim::totals::Totals;
use tollgate_sim::writer::Writer;
use tollgate_sim::{Tier, bit_flips, crash_states, fsync, full, kill, power, strain};

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
    /// Links and files for a benchmark.
    #[command(hide = true)]
    Mint(Mint),
    /// Bytes per record of a log.
    #[command(hide = true)]
    Measure(Measure),
    /// A long log for a benchmark.
    #[command(hide = true)]
    Fill(Fill),
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
    /// Only this kind of trial: states, power, kill, fsync, strain, writeback or full.
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
        Some(Part::Mint(mint)) => mint.run().map(|()| true),
        Some(Part::Measure(measure)) => measure.run().map(|()| true),
        Some(Part::Fill(fill)) => fill.run().map(|()| true),
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
    let mut torture = Torture {
        seed,
        totals: Totals {
            seed,
            ..Totals::default()
        },
    };
    eprintln!("torture: seed {seed}");
    let wanted = |kind: &&Kind| trials.only.as_deref().is_none_or(|only| kind.name == only);
    let kinds: Vec<&Kind> = KINDS.iter().filter(wanted).collect();
    ensure!(
        !kinds.is_empty(),
        "--only must be one of {:?}",
        KINDS.map(|kind| kind.name)
    );
    let Some(minutes) = trials.minutes else {
        for kind in kinds {
            torture.run(kind, trials, 0, Tier::Short, kind.short)?;
        }
        return torture.close(trials.json);
    };
    let (began, time) = (Instant::now(), Duration::from_secs(60 * minutes));
    let mut round = 0;
    while round == 0 || began.elapsed() < time && torture.totals.is_good() {
        for kind in &kinds {
            torture.run(kind, trials, round, Tier::Long, kind.round)?;
        }
        round += 1;
    }
    torture.close(trials.json)
}

/// A kind of trial, and how many of it make the short tier and one round of the long one.
struct Kind {
    name: &'static str,
    short: u64,
    round: u64,
}

const KINDS: [Kind; 7] = [
    Kind {
        name: "states",
        short: 1,
        round: 1,
    },
    Kind {
        name: "power",
        short: 300,
        round: 200,
    },
    Kind {
        name: "kill",
        short: 100,
        round: 50,
    },
    Kind {
        name: "fsync",
        short: 50,
        round: 50,
    },
    Kind {
        name: "strain",
        short: 50,
        round: 50,
    },
    Kind {
        name: "writeback",
        short: 1,
        round: 1,
    },
    Kind {
        name: "full",
        short: 20,
        round: 5,
    },
];

struct Torture {
    seed: u64,
    totals: Totals,
}

impl Torture {
    /// Runs so many trials of a kind and says how it went.
    fn run(
        &mut self,
        kind: &Kind,
        trials: &Trials,
        round: u64,
        tier: Tier,
        count: u64,
    ) -> Result<()> {
        let began = Instant::now();
        let before = self.totals.clone();
        let seed = self.seed.wrapping_add(round);
        let dice = &mut power::dice(seed, kind.short);
        let totals = &mut self.totals;
        let enough = |done| done < count;
        let binary = trials.tollgate.as_deref().map(Binary::plain);
        match (kind.name, &binary) {
            ("states", _) => states(totals, seed, tier, round),
            ("power", _) => power::run(totals, dice, enough)?,
            (name, None) => totals.not_run.push(format!("{name}: no binary was given")),
            ("kill", Some(binary)) => kill::run(totals, dice, binary, enough)?,
            ("fsync", Some(binary)) => fsync::run(totals, dice, binary, enough)?,
            ("strain", Some(binary)) => strain::run(totals, dice, binary, enough)?,
            ("writeback", Some(binary)) => fsync::run_writeback(totals, dice, binary)?,
            (_, Some(binary)) => full::run(totals, dice, binary, enough)?,
        }
        let verdict = if totals.problems.len() > before.problems.len() {
            "FAILED"
        } else {
            "ok"
        };
        let receipts = totals.receipts - before.receipts;
        let seconds = began.elapsed().as_secs_f64();
        eprintln!(
            "torture: {}: {verdict}, {receipts} receipts, {seconds:.1} s",
            kind.name
        );
        Ok(())
    }

    fn close(self, json: bool) -> Result<bool> {
        eprint!("{}", self.totals);
        if json {
            println!("{}", serde_json::to_string(&self.totals)?);
        }
        Ok(self.totals.is_good())
    }
}

/// Every state that a cut may leave on a disk in memory, and every flipped bit of a small log.
fn states(totals: &mut Totals, seed: u64, tier: Tier, round: u64) {
    let found = crash_states(seed, tier);
    totals.crash_states += found.states;
    totals.receipts += found.receipts;
    totals.lost += found.lost;
    totals.false_receipts += found.false_records;
    if !found.is_good() {
        totals.problems.push(format!("crash states: {found:?}"));
    }
    // The flips are exhaustive: once is enough.
    if round == 0 {
        let flips = bit_flips(seed, tier);
        totals.bit_flips += flips.flips;
        totals.undetected += flips.undetected;
        if flips.undetected > 0 {
            totals.problems.push(format!("bit flips: {flips:?}"));
        }
    }
}
