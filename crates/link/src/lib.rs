//! Signed click links: what an ad server embeds to mint them and the edge to open them.
//!
//! The text that others implement is `spec/click-url-v1.md`, with vectors beside it; this crate
//! is its first implementation. It does no I/O and reads no clock.
//!
//! Reading order is the way of a link: its bytes ([`token`]), the MAC over them ([`mac`]),
//! minting ([`sign`]), the keys that are trusted ([`keyring`]) and opening with them
//! ([`verify`]), or reading without them ([`explain`]); then what a link may point at
//! ([`destination`]), what rides along in the query ([`query`]) and what becomes of the macros
//! in the destination ([`macros`]).

pub mod nonce;
pub mod token;

pub mod mac;

pub mod sign;

pub mod keyring;
pub mod verify;

pub mod explain;

pub mod destination;

pub mod query;

pub mod macros;

pub use destination::{DestinationError, Schemes};
pub use keyring::Keyring;
pub use mac::Secret;
pub use macros::{ExpandError, MacroValues, expand};
pub use query::Extras;
pub use sign::{SignError, sign};
pub use token::{ClickLink, TokenBuf};
pub use verify::{Forged, Malformed, Verified, VerifyError};
