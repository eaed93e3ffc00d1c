//! Tollgate: counts, judges and bills ad clicks. One binary, one command a task.

mod cli;
mod commands;
mod exit;
mod output;

fn main() -> std::process::ExitCode {
    cli::main()
}
