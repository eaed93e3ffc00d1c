//! `tollgate keys`.

use crate::exit::Exit;
use crate::output::Global;

/// Arguments of `tollgate keys`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {}

/// Not built yet.
pub(crate) fn run(_args: Args, _global: &Global) -> anyhow::Result<Exit> {
    anyhow::bail!("`tollgate keys` is not built yet")
}
