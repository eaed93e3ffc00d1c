//! The binary as its users meet it: called as a process, spoken to over sockets, judged by what it
//! prints, leaves on disk and exits with.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

#[path = "cli/answers.rs"]
mod answers;
#[path = "cli/books.rs"]
mod books;
#[path = "cli/calls.rs"]
mod calls;
#[path = "cli/clock.rs"]
mod clock;
#[path = "cli/config.rs"]
mod config;
#[path = "cli/damage.rs"]
mod damage;
#[path = "cli/data.rs"]
mod data;
#[path = "cli/doctor.rs"]
mod doctor;
#[path = "cli/files.rs"]
mod files;
#[path = "cli/report.rs"]
mod report;
#[path = "cli/serve.rs"]
mod serve;
#[path = "cli/world.rs"]
mod world;
