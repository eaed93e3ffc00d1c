//! The stores behind the core: what is kept, and how it is proved.
//!
//! Each store is a trait with a conformance suite that all of its engines run, and an embedded
//! engine. A store decides nothing about a click: it keeps what the core has decided.

pub mod ledger;

pub mod lake;
pub mod rollup;

pub mod live;

pub mod snapshots;

pub mod story;
