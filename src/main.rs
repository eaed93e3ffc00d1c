//! Tollgate: counts, judges and bills ad clicks. One binary, one command a task.

mod api;
mod cli;
mod commands;
mod config;
mod control;
mod data_dir;
mod exit;
mod keyfile;
mod node;
mod output;
mod recount;
mod span;
mod worker;

// The edge frees and takes small buffers on every request; see docs/decisions.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    cli::main()
}
