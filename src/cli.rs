//! The command line: what was called, and how it ends.

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use serde_json::json;

use crate::commands::{
    bench, click, completions, config, demo, doctor, import, keys, ledger, link, load, replay,
    report, serve, sql, tail,
};
use crate::exit::{self, Exit};
use crate::output::{self, Global};

/// Counts, judges and bills ad clicks: durable first, then the redirect.
#[derive(Debug, Parser)]
#[command(
    name = "tollgate",
    version,
    arg_required_else_help = true,
    max_term_width = 100
)]
#[command(
    after_help = "Exit codes: 0 fine, 1 found problems, 2 usage or configuration, \
                        3 environment (disk, port, lock)."
)]
pub(crate) struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the whole system on a temporary folder with traffic whose truth is known.
    Demo(demo::Args),
    /// Run the click edge and the processor on a data directory.
    Serve(serve::Args),
    /// Sign, verify and explain click links.
    Link(link::Args),
    /// Make signing keys and ingest tokens.
    Keys(keys::Args),
    /// Send recorded clicks as real HTTP requests.
    Replay(replay::Args),
    /// Send history with its own event times: reported, never billed.
    Import(import::Args),
    /// Send open-loop load and write its own history.
    Load(load::Args),
    /// Print what clicks come to.
    Report(report::Args),
    /// Check a configuration file or show what is in force.
    Config(config::Args),
    /// Show clicks as they come, with how each ended.
    Tail(tail::Args),
    /// Tell the whole story of one click.
    Click(click::Args),
    /// Verify the ledger, show balances, export the books.
    Ledger(ledger::Args),
    /// Ask lake and rollups in SQL (in builds with the feature `sql`).
    Sql(sql::Args),
    /// Measure how fast the parts are on this machine.
    Bench(bench::Args),
    /// Examine this machine and a data directory.
    Doctor(doctor::Args),
    /// Print the completion script of a shell.
    Completions(completions::Args),
}

/// Parses the arguments, runs the command and says how it ended.
pub(crate) fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return refuse(&error),
    };
    let global = cli.global;
    let ended = match cli.command {
        Command::Demo(args) => demo::run(args, &global),
        Command::Serve(args) => serve::run(args, &global),
        Command::Link(args) => link::run(args, &global),
        Command::Keys(args) => keys::run(args, &global),
        Command::Replay(args) => replay::run(args, &global),
        Command::Import(args) => import::run(args, &global),
        Command::Load(args) => load::run(args, &global),
        Command::Report(args) => report::run(args, &global),
        Command::Config(args) => config::run(args, &global),
        Command::Tail(args) => tail::run(args, &global),
        Command::Click(args) => click::run(args, &global),
        Command::Ledger(args) => ledger::run(args, &global),
        Command::Sql(args) => sql::run(args, &global),
        Command::Bench(args) => bench::run(args, &global),
        Command::Doctor(args) => doctor::run(args, &global),
        Command::Completions(args) => completions::run(args, &global),
    };
    ended.unwrap_or_else(|error| fail(&error, &global)).into()
}

/// Help and version are fine, everything else that clap refuses is a wrong call.
fn refuse(error: &clap::Error) -> ExitCode {
    // A closed terminal leaves nobody to tell.
    drop(error.print());
    match error.exit_code() {
        0 => Exit::Fine.into(),
        _ => Exit::Usage.into(),
    }
}

fn fail(error: &anyhow::Error, global: &Global) -> Exit {
    let exit = exit::of_error(error);
    if exit != Exit::Fine {
        let red = if global.color_stderr() {
            ("\x1b[1;31m", "\x1b[0m")
        } else {
            ("", "")
        };
        output::note(format_args!("{}error:{} {error:#}", red.0, red.1));
        if global.json {
            let message = format!("{error:#}");
            let object = json!({ "error": message, "exit": exit as u8 });
            // When standard output is closed as well, the exit code still tells.
            drop(output::print_json(&object));
        }
    }
    exit
}
