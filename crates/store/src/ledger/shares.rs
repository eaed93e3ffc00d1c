//! How the price of one click is shared: the rule stands in the vocabulary, since the core
//! computes shares and the ledger checks them.

pub use tollgate_click::money::{ShareError, Shares, WHOLE_BASIS_POINTS as WHOLE, split};
