//! How a command ends. Scripts rely on these numbers; the README documents them.

use std::fmt;
use std::process::ExitCode;

use crate::config::written::Wrong;
use crate::output::ClosedOutput;

/// The exit code of a command.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub(crate) enum Exit {
    /// All is well.
    Fine = 0,
    /// The command ran and found problems (a difference, a failed check).
    Problems = 1,
    /// It was called wrongly: unknown flag, bad configuration, bad input file.
    Usage = 2,
    /// The machine stood in the way: disk, port, lock, file system.
    Environment = 3,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> ExitCode {
        ExitCode::from(exit as u8)
    }
}

/// An error that the caller can mend by calling differently: it ends with [`Exit::Usage`]. Every
/// other error ends with [`Exit::Environment`].
#[derive(Debug)]
pub(crate) struct Usage(pub(crate) String);

impl fmt::Display for Usage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Usage {}

/// An error that ends the command with [`Exit::Usage`].
pub(crate) fn usage(message: impl Into<String>) -> anyhow::Error {
    anyhow::Error::new(Usage(message.into()))
}

/// The code with which an error ends the command. A closed standard output (`| head`) is no
/// error: the reader has seen enough.
pub(crate) fn of_error(error: &anyhow::Error) -> Exit {
    if error
        .chain()
        .any(|cause| cause.is::<Usage>() || cause.is::<Wrong>())
    {
        Exit::Usage
    } else if error.chain().any(|cause| cause.is::<ClosedOutput>()) {
        Exit::Fine
    } else {
        Exit::Environment
    }
}
