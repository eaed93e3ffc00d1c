//! The API over a desk in memory: what each tenant may do and see, and what each noun refuses.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on fails; helpers are tests too"
)]

mod api {
    mod deployment;
    mod garbage;
    mod limits;
    mod nouns;
    mod openapi;
    mod reports;
    mod tenants;
}
