//! What a command shows: its result on standard output, everything else on standard error.
//!
//! Nothing here panics when the other end is closed: a closed standard output ends the command
//! quietly, a closed standard error is ignored.

use std::fmt;
use std::io::{self, IsTerminal, Write};

use clap::ColorChoice;
use indicatif::{ProgressState, ProgressStyle};
use serde::Serialize;

/// The flags that every command takes.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Global {
    /// Print one JSON object on standard output; progress stays on standard error.
    #[arg(long, global = true, help_heading = "Global options")]
    pub(crate) json: bool,
    /// When to use colour; NO_COLOR in the environment means never.
    #[arg(long, global = true, value_name = "WHEN", default_value = "auto")]
    #[arg(help_heading = "Global options")]
    pub(crate) color: ColorChoice,
}

impl Global {
    /// Whether text on standard output is coloured.
    pub(crate) fn color_stdout(&self) -> bool {
        self.color_on(io::stdout().is_terminal())
    }

    /// Whether text on standard error is coloured.
    pub(crate) fn color_stderr(&self) -> bool {
        self.color_on(io::stderr().is_terminal())
    }

    /// Whether progress bars are drawn: only on a terminal.
    pub(crate) fn progress(&self) -> bool {
        io::stderr().is_terminal()
    }

    fn color_on(&self, terminal: bool) -> bool {
        let refused = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        match self.color {
            ColorChoice::Always => true,
            ColorChoice::Never => false,
            ColorChoice::Auto => terminal && !refused,
        }
    }
}

/// Standard output was closed or cannot be written.
#[derive(Debug)]
pub(crate) struct ClosedOutput(io::Error);

impl fmt::Display for ClosedOutput {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "standard output was closed: {}", self.0)
    }
}

impl std::error::Error for ClosedOutput {}

/// Writes to standard output at once.
pub(crate) fn print(text: &str) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Err(ClosedOutput(error).into()),
        Err(error) => Err(anyhow::Error::new(error).context("cannot write to standard output")),
    }
}

/// Writes one JSON object and a newline to standard output.
pub(crate) fn print_json(value: &impl Serialize) -> anyhow::Result<()> {
    let mut text = serde_json::to_string_pretty(value)?;
    text.push('\n');
    print(&text)
}

/// The look of a progress bar; `{rate}` in its template is whole things a second.
pub(crate) fn bar_style(template: &str) -> ProgressStyle {
    let rate = |state: &ProgressState, out: &mut dyn fmt::Write| {
        // Nobody can be told when a bar is not drawn.
        write!(out, "{:.0}/s", state.per_sec()).unwrap_or_default();
    };
    match ProgressStyle::with_template(template) {
        Ok(style) => style.with_key("rate", rate),
        Err(_) => ProgressStyle::default_bar(), // it shows the same numbers
    }
}

/// Writes a line to standard error. Nobody can be told when that fails, so failure is ignored.
pub(crate) fn note(line: impl fmt::Display) {
    drop(writeln!(io::stderr(), "{line}"));
}
