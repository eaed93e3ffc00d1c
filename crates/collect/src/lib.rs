//! The HTTP edge: request -> record -> append -> 302.
//!
//! A click that gets a `302` with a `Click-Id` has its record in the log for good; nothing else
//! gets a `Click-Id`. The crate knows keys and registered links ([`Directory`], handed in by the
//! binary and swapped whole), and neither campaigns nor prices: every authentic, unexpired link
//! redirects, and valid, duplicate and suspect clicks get the same answer.
//!
//! Reading order: what the edge is told ([`options`], [`directory`]), what it does with one request
//! without a word about HTTP ([`core`]), how it counts ([`counters`], [`quarantine`],
//! [`readiness`], [`metrics`]), and at last the HTTP around it and the threads that run it.

pub mod directory;
pub mod options;

pub mod core;

pub mod counters;
pub mod metrics;
pub mod quarantine;
pub mod readiness;

mod drain;
mod edge;
mod http;
mod worker;

pub use core::clock::Clock;
pub use counters::{Counters, Recorded};
pub use directory::{Directory, Wiring};
pub use edge::{Drained, Edge, LogHandle, RunningEdge, StartError};
pub use http::tls::TlsError;
pub use options::{
    ClientOptions, EdgeOptions, ForwardedHeader, Limits, ListenerOptions, PseudonymKey,
    PseudonymKeys, Timeouts, TlsFiles,
};
pub use quarantine::Sample;
pub use readiness::{Check, Readiness};
