//! The whole road: real requests in at one end, books out at the other.

mod road {
    mod witness;
}
