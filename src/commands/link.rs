//! `tollgate link`.

use crate::exit::Exit;
use crate::output::Global;

/// Arguments of `tollgate link`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {}

/// Not built yet.
pub(crate) fn run(_args: Args, _global: &Global) -> anyhow::Result<Exit> {
    anyhow::bail!("`tollgate link` is not built yet")
}
