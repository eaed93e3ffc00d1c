//! The whole road: real requests in at one end, books out at the other.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test fails where its helpers do"
)]

mod road {
    mod binary;

    mod witness;

    mod demo;
    mod load;
    mod replay;
}
