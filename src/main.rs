//! Tollgate: counts, judges and bills ad clicks. One binary, one command a task.

mod cli;
mod commands;
mod config;
mod exit;
mod keyfile;
mod output;
mod span;

fn main() -> std::process::ExitCode {
    cli::main()
}
