//! Free SQL over the lake and the rollups of a data directory, by DataFusion.
//!
//! What holds:
//!
//! 1. It reads and never writes: a statement that is no question is refused before it runs, and
//!    no other file than those of the tables can be named.
//! 2. A table is the files that hold its rows at one moment, each row once; the answer says up to
//!    which record of each partition that is.
//! 3. No type of DataFusion or Arrow is seen outside: answers are rows of [`Cell`].
//!
//! It is an operator's tool, with no tenants, in a process of its own; the API has typed questions
//! instead, answered by the kernels of `tollgate-store`. That both give the same bytes for the
//! same question is the test of this crate.
//!
//! Without the feature `engine` the crate is empty.

#![cfg(feature = "engine")]

mod answer;
mod cell;
mod tables;

pub use answer::{Answer, Complete, Sql, SqlError};
pub use cell::{Cell, csv_header, csv_row, json_row};
