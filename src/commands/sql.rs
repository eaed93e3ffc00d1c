//! `tollgate sql`: free SQL over the lake and the rollups, for an operator.

use std::path::PathBuf;

use crate::exit::Exit;
use crate::output::Global;

#[cfg(feature = "sql")]
mod ask;

/// Arguments of `tollgate sql`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Works beside a live server and without one, and changes nothing: only questions \
                        are taken (SELECT, EXPLAIN). Tables are clicks, personal and records of \
                        the lake, minutes and uniques of the rollups; without a question their \
                        columns are listed. Clicks of the last minutes are not in files yet: \
                        `tollgate report` has them. Exit codes: 0 fine, 2 usage or a wrong \
                        question, 3 the files cannot be read."
)]
#[cfg_attr(
    not(feature = "sql"),
    allow(dead_code, reason = "told before it is looked at")
)]
pub(crate) struct Args {
    /// One question; its tables and columns when there is none.
    #[arg(value_name = "SELECT")]
    question: Option<String>,
    /// The data directory.
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    /// Print comma-separated values.
    #[arg(long, conflicts_with = "json")]
    csv: bool,
}

/// Asks and prints.
#[cfg(feature = "sql")]
pub(crate) fn run(args: Args, global: &Global) -> anyhow::Result<Exit> {
    ask::run(args, global)
}

/// Says how to get it: the engine is in the packages, and not in a build that did not ask.
#[cfg(not(feature = "sql"))]
pub(crate) fn run(_args: Args, _global: &Global) -> anyhow::Result<Exit> {
    Err(crate::exit::usage(
        "this tollgate was built without its SQL engine; `cargo build --release --features sql` \
         makes one that has it (some 20 minutes on two cores), and `tollgate report` answers \
         without",
    ))
}
