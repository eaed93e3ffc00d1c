//! How a log is opened, and what can go wrong when it is.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::api::{AppendError, Cursor, Damage, PARTITIONS_MAX};
use crate::format::{BLOCK_OVERHEAD, END_BLOCK_BYTES, PART_BYTES_MAX, START_BYTES};

/// When a commit is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// After the sync of its block: it survives a power cut.
    Sync,
    /// After the write: it survives the process, and a power cut once
    /// [`Options::sync_interval`] has passed. Readers see synced records only, as ever.
    Os,
}

/// Who prepares segments ahead and seals finished ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Housekeeping {
    /// Two threads of the log.
    Threads,
    /// Nobody in the background: the writer prepares a segment when it needs one, and sealing
    /// happens in [`crate::SegmentLog::seal_finished`]. Every disk operation then has its place in
    /// one order, which is what a crash test wants.
    Caller,
}

/// Gives the time in Unix milliseconds that a new segment is stamped with.
pub type ClockMs = Arc<dyn Fn() -> u64 + Send + Sync>;

/// Draws 64 random bits, for the log's incarnation and the sessions of its writer.
pub type Draw = Arc<dyn Fn() -> io::Result<u64> + Send + Sync>;

/// How a log is opened. Lengths are in bytes.
#[derive(Clone)]
pub struct Options {
    /// The number of partitions, fixed when the log is created.
    pub partitions: u16,
    /// When a commit is answered.
    pub durability: Durability,
    /// Under load, commits start at least this far apart, so that more records share a sync. A
    /// record that comes alone is committed at once.
    pub commit_interval: Duration,
    /// So much in the queue starts a commit before the interval is over.
    pub commit_bytes: usize,
    /// With [`Durability::Os`]: how far apart syncs are.
    pub sync_interval: Duration,
    /// The most that facts or the personal part of one record may have.
    pub record_bytes_max: usize,
    /// The most that one block, and so one call of `append_all`, may have.
    pub block_bytes_max: usize,
    /// The most that may wait for a commit; more is refused as overload.
    pub queue_bytes_max: usize,
    /// The length of a segment.
    pub segment_bytes: u32,
    /// The length of the first segment after opening: small, so that `open` is quick.
    pub first_segment_bytes: u32,
    /// About so many bytes of a segment are sorted by partition together when it is sealed; also
    /// the bound of what a reader of sealed segments holds in memory.
    pub seal_group_bytes: usize,
    /// The zstd level of sealed segments.
    pub seal_level: i32,
    /// How soon a log that cannot write tries again.
    pub retry_interval: Duration,
    /// Who prepares and seals.
    pub housekeeping: Housekeeping,
    /// Stamps new segments, for retention by age. The log itself reads no clock.
    pub clock_ms: ClockMs,
    /// Draws incarnation and sessions: the system's random numbers, unless a test wants to repeat
    /// itself. Two logs, or two sessions of one, must not get the same number.
    pub draw: Draw,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            partitions: 16,
            durability: Durability::Sync,
            commit_interval: Duration::from_millis(3),
            commit_bytes: 128 << 10,
            sync_interval: Duration::from_millis(20),
            record_bytes_max: 1 << 20,
            block_bytes_max: 4 << 20,
            queue_bytes_max: 64 << 20,
            segment_bytes: 64 << 20,
            first_segment_bytes: 8 << 20,
            seal_group_bytes: 16 << 20,
            seal_level: 3,
            retry_interval: Duration::from_millis(200),
            housekeeping: Housekeeping::Threads,
            clock_ms: Arc::new(|| 0),
            draw: Arc::new(|| Ok(getrandom::u64()?)),
        }
    }
}

impl fmt::Debug for Options {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Options")
            .field("partitions", &self.partitions)
            .field("durability", &self.durability)
            .finish_non_exhaustive()
    }
}

impl Options {
    /// Checks that the limits fit into each other and into the format.
    pub(crate) fn validate(&self) -> Result<(), OpenError> {
        let refuse = |what: &str| Err(OpenError::Options(what.to_owned()));
        let overhead = 2 * BLOCK_OVERHEAD + START_BYTES + END_BLOCK_BYTES;
        let smallest = self.block_bytes_max.saturating_add(overhead);
        if self.partitions == 0 || self.partitions > PARTITIONS_MAX {
            return refuse("partitions must be between 1 and 4096");
        }
        if self.record_bytes_max > PART_BYTES_MAX {
            return refuse("record_bytes_max is above what a frame can state (16 MiB - 1)");
        }
        if self.record_bytes_max.saturating_mul(2) > self.block_bytes_max {
            return refuse("block_bytes_max must hold a record of two parts of record_bytes_max");
        }
        if (self.segment_bytes.min(self.first_segment_bytes) as usize) < smallest {
            return refuse("a segment must hold a block of block_bytes_max");
        }
        if self.segment_bytes.max(self.first_segment_bytes) > 1 << 30 {
            return refuse("a segment must not be larger than 1 GiB");
        }
        if self.queue_bytes_max < self.block_bytes_max {
            return refuse("queue_bytes_max must be at least block_bytes_max");
        }
        Ok(())
    }
}

/// What opening a log has found and done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Recovery {
    /// The log was empty, or had been closed in an orderly way.
    pub clean: bool,
    /// Everything before this cursor was durable when the log was opened.
    pub durable: Cursor,
    /// Bytes of a torn block that were cut behind `durable`: they were never acknowledged.
    pub cut_bytes: u64,
    /// Bits of the last block that had changed on disk and were put right. More than 0 asks for a
    /// look at the disk.
    pub mended_bits: u32,
}

/// Whether the log takes records at present.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Health {
    /// Yes.
    Writable,
    /// No: there is no space for the next segment. Goes on by itself.
    Full,
    /// No: writing or syncing failed and no fresh segment could be opened since. Goes on by itself.
    Fenced(Arc<str>),
    /// No: it was closed.
    Closed,
}

impl Health {
    pub(crate) fn refusal(&self) -> Option<AppendError> {
        match self {
            Health::Writable => None,
            Health::Full => Some(AppendError::Full),
            Health::Fenced(why) => Some(AppendError::Down(why.clone())),
            Health::Closed => Some(AppendError::Closed),
        }
    }
}

/// Why a log was not opened. Nothing on disk was harmed.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The options contradict each other.
    #[error("log options: {0}")]
    Options(String),
    /// Another process has it open for writing.
    #[error("{dir} is in use by process {holder}")]
    InUse {
        /// The directory.
        dir: PathBuf,
        /// The process id that the holder has left in the lock file.
        holder: String,
    },
    /// The directory holds something else.
    #[error("{dir} is not a log of Tollgate: {found}")]
    OtherProduct {
        /// The directory.
        dir: PathBuf,
        /// What was found there.
        found: String,
    },
    /// It was written by a later version.
    #[error("{dir} has format version {found}; this build reads up to {supported}")]
    NewerFormat {
        /// The directory.
        dir: PathBuf,
        /// The version that was found.
        found: u16,
        /// The newest version that this build reads.
        supported: u16,
    },
    /// The number of partitions is fixed when a log is created.
    #[error("{dir} has {found} partitions, and {wanted} were asked for; the number is fixed")]
    PartitionsChanged {
        /// The directory.
        dir: PathBuf,
        /// What the log was created with.
        found: u16,
        /// What the options ask for.
        wanted: u16,
    },
    /// A segment is not there although retention has not removed it.
    #[error("{dir}: {file} is missing")]
    Missing {
        /// The directory.
        dir: PathBuf,
        /// The name that was expected.
        file: String,
    },
    /// Stored bytes are not what was written.
    #[error("{dir}: {damage}")]
    Damaged {
        /// The directory.
        dir: PathBuf,
        /// The file and the place.
        damage: Damage,
    },
    /// The directory cannot be written.
    #[error("{dir} cannot be written: {source}")]
    ReadOnly {
        /// The directory.
        dir: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// There is no space for a segment.
    #[error("{dir}: the disk is full")]
    Full {
        /// The directory.
        dir: PathBuf,
    },
    /// The disk refused.
    #[error("{dir}: {context}: {source}")]
    Io {
        /// The directory.
        dir: PathBuf,
        /// What was being done.
        context: String,
        /// What the system said.
        source: io::Error,
    },
}
