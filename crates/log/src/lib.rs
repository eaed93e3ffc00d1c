//! A durable partitioned log of byte strings. It does not know what a click is.
//!
//! What holds, before how it is done:
//!
//! 1. A commit that resolves to `Ok` is on the disk for good ([`Durability::Sync`]): after any
//!    crash of process or machine it is read exactly once, in the order of its partition.
//! 2. Readers see durable records only, in this process and in any other.
//! 3. A record that was refused, or cut as torn, is never read. One whose commit failed is either
//!    read by everybody or by nobody, and its sequence is never given to another record.
//! 4. After a failed write or sync the segment is not touched again: no retry, since the kernel may
//!    have thrown the pages away and call them clean.
//! 5. Bytes that were durable and have changed are reported with file and offset before they reach
//!    a caller. A torn tail is cut; a broken middle is never skipped.
//! 6. Everything that waits is bounded: the queue, a block, a segment, a reader's buffer.
//!
//! All partitions share one physical stream of segments, one writer and one sync; `format.rs` has
//! the bytes as tables. Finished segments are sealed: compressed, sorted by partition in groups,
//! facts and personal parts in separate files with separate retention; `sealed.rs` has those bytes.
//!
//! Records go the way of these modules: `appender` (encode, queue), `writer` (one block, one sync,
//! one wake), `segment` and `spares` (prepare ahead, use files again), `recover` and `open` (find
//! the end), `live` and `sealed` (read), `seal` and `retention` (compress, give up).

mod api;
mod appender;
mod catalog;
#[cfg(any(test, feature = "conformance"))]
pub mod conformance;
mod disk;
mod fields;
mod format;
mod frames;
mod live;
mod log;
mod memory;
mod meta;
mod one_bit;
mod open;
mod options;
mod pace;
mod read;
mod readonly;
mod recover;
mod retention;
mod seal;
mod sealed;
mod segment;
mod shared;
mod spares;
mod writer;

pub use api::{
    Append, AppendError, Committed, Cursor, Damage, Log, NewRecord, PARTITIONS_MAX, Partition,
    PartitionSet, Progress, Read, ReadBudget, ReadError, ReadFrom, Record, RecordRef,
};
pub use appender::{Appender, Commit};
pub use disk::{Access, Disk, DiskFile, LockError, RealDisk};
pub use log::SegmentLog;
pub use memory::{MemoryLog, MemoryReader};
pub use options::{ClockMs, Draw, Durability, Health, Housekeeping, OpenError, Options, Recovery};
pub use read::Reader;
pub use readonly::ReadOnlyLog;
pub use recover::recover_bytes;
pub use retention::SegmentInfo;
pub use shared::DurableAfter;
