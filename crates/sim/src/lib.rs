//! The simulator: disks that fail, processes that are killed, power that is cut, and a witness that
//! shares nothing with the log. For development only; nothing ships with it.

pub mod totals;
pub mod witness;

pub mod unsynced;
pub mod writer;

pub mod loop_disk;
pub mod power;
