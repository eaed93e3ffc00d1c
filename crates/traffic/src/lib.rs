//! Traffic whose truth is known, and the witness that checks the books against it.
//!
//! This crate stands outside the product: it speaks HTTP to an edge like any browser, writes
//! down what it asked and what it was told, and works out with plain maps what the bill must
//! be. It may use the vocabulary (`click`) and the link format (`link`), which an ad server uses
//! too, and shares no code with the core or the stores, so that a mistake there cannot hide here.
//!
//! Reading order: the words of a request's fate ([`ending`], [`history`]), how requests travel
//! ([`client`], [`target`], [`load`], [`ask`]), where they come from ([`world`], [`generate`],
//! [`fresh`], [`feed`]), and what must come of them ([`truth`], [`oracle`], [`books`],
//! [`compare`]).

pub mod ending;
pub mod history;

pub mod ask;
pub mod client;
pub mod load;
pub mod target;

pub mod dice;
pub mod feed;
pub mod fresh;
pub mod generate;
pub mod world;

pub mod books;
pub mod compare;
pub mod oracle;
pub mod truth;
