//! The processor: it reads the log once for all partitions, hands each record to the core, and
//! performs what comes out.
//!
//! What holds:
//!
//! 1. What is written where, and in which pieces, is a function of the log: nothing is cut by a
//!    timer, a buffer or a restart. Only *when* it is written is free.
//! 2. A store's watermark says what it has. After any crash the log is applied again from its
//!    start or a snapshot, with the effects up to each watermark left out.
//! 3. A partition that must not go on stops alone and says why; the edge and the others go on.

mod heart;

mod batch;
mod begin;
mod books;
mod follow;
mod pace;
mod partition;
mod patience;
mod place;
mod posting;
mod progress;
mod repair;
mod run;
mod snapshots;

pub(crate) use begin::{Identity, SNAPSHOT_ORDINALS, Stores};
pub(crate) use follow::{Follower, Seen, untouched};
pub(crate) use heart::{Faults, Heart, Part, check_start};
pub(crate) use patience::{GaveUp, Patience};
pub(crate) use progress::{PartitionView, Progress};
pub(crate) use run::{RunningWorker, Worker};

#[cfg(test)]
mod tests;
