//! What can go wrong with files, and whether it is the disk, the bytes or the caller.

use std::io;

use thiserror::Error;
use tollgate_click::{Ordinal, PartitionId};

/// Why the lake or the rollups could not do what they were asked.
#[derive(Debug, Error)]
pub enum LakeError {
    /// The disk or object store said no; the same call may be tried again.
    #[error("{name}: {source}")]
    Io {
        /// The file or folder.
        name: String,
        /// What it said.
        source: io::Error,
    },
    /// The bytes are not what was written. Nothing of the file was used.
    #[error("{name} is damaged: {what}; set it aside and rebuild it from the log")]
    Corrupt {
        /// The file.
        name: String,
        /// What does not fit.
        what: String,
    },
    /// A catalog names a file that is not there.
    #[error("{name} is missing; rebuild it from the log")]
    Missing {
        /// The file.
        name: String,
    },
    /// A merge was faster than its reader: the reader's list is older than the files. Try again.
    #[error("{name} is older than the files of its partition; try again")]
    Behind {
        /// The list.
        name: String,
    },
    /// A file of that name is there and has other rows: the log or the code is not the one that
    /// wrote it.
    #[error("{name} exists with other rows than this log gives")]
    Different {
        /// The file.
        name: String,
    },
    /// It was written by newer code.
    #[error("{name} has version {version}; run a newer tollgate")]
    NewerCode {
        /// The file.
        name: String,
        /// Its version.
        version: u32,
    },
    /// A batch does not begin where the one before it ended.
    #[error("partition {partition}: batch begins at {first}, but {through} was the last")]
    Gap {
        /// Whose batch.
        partition: PartitionId,
        /// Where it begins.
        first: Ordinal,
        /// Where the partition's last batch ended.
        through: Ordinal,
    },
    /// A row lies outside its batch, or rows are not in the order of their ordinals.
    #[error("partition {partition}: row {ordinal} is out of order in its batch")]
    RowOrder {
        /// Whose batch.
        partition: PartitionId,
        /// The row.
        ordinal: Ordinal,
    },
    /// The Parquet library refused; a limit of the format or a bug.
    #[error("{name} cannot be encoded: {what}")]
    Encode {
        /// The file.
        name: String,
        /// What it said.
        what: String,
    },
    /// A sum left the range of its type.
    #[error("a sum left the range of 64 bits")]
    Overflow,
}

impl LakeError {
    pub(crate) fn io(name: &str, source: io::Error) -> LakeError {
        LakeError::Io {
            name: name.to_owned(),
            source,
        }
    }

    pub(crate) fn corrupt(name: &str, what: impl ToString) -> LakeError {
        LakeError::Corrupt {
            name: name.to_owned(),
            what: what.to_string(),
        }
    }

    pub(crate) fn encode(name: &str, what: impl ToString) -> LakeError {
        LakeError::Encode {
            name: name.to_owned(),
            what: what.to_string(),
        }
    }
}
