//! The simulator: disks that fail, processes that are killed, power that is cut, and a witness that
//! shares nothing with the log. For development only; nothing ships with it.

pub mod totals;
pub mod witness;

pub mod unsynced;
pub mod writer;

pub mod disk;
mod disk_cuts;
pub mod disk_flips;
pub mod disk_states;

pub mod loop_disk;
pub mod power;

pub mod edge;
pub mod fill;
pub mod measure;
pub mod mint;

pub mod full;
pub mod kill;

pub mod fsync;
pub mod strain;

pub use disk_flips::{FlipTotals, bit_flips};
pub use disk_states::{CrashTotals, Tier, crash_states};
