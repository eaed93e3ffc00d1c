//! HTTP around the core: hyper behind our own accept loop.
//!
//! | step | module |
//! |---|---|
//! | a socket is accepted, within the caps | [`accept`], [`caps`] |
//! | who is behind it | [`proxy`], [`tls`], [`client`] |
//! | which HTTP it speaks, and how it ends | [`connection`] |
//! | a plain click is answered at once | [`rounds`], [`lane`] |
//! | all else passes the gate, head by head | [`gate`], [`head`] |
//! | one request becomes one answer | [`site`], [`events`], [`replies`] |

pub(crate) mod accept;
pub(crate) mod caps;

pub(crate) mod client;
pub(crate) mod proxy;
pub(crate) mod tls;

pub(crate) mod connection;
pub(crate) mod lane;
pub(crate) mod rounds;

pub(crate) mod chunks;
pub(crate) mod gate;
pub(crate) mod head;

pub(crate) mod events;
pub(crate) mod inflate;
pub(crate) mod replies;
pub(crate) mod site;
