//! What the edge does with one request, without a word about HTTP: parse, verify, stamp, encode,
//! and the bytes of the redirect. Another loop than hyper's can be put around it.

pub mod target;

pub mod agent;
pub mod clock;
pub mod ids;
pub mod pseudonym;
mod stamp;

pub mod desk;

pub mod events;

pub use desk::{Desk, Pages};
pub use stamp::{Stamp, Visit};
