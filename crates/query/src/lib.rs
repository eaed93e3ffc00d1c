//! The API of a deployment: reports, clicks, books, and every write an admin makes.
//!
//! What holds:
//!
//! 1. A question is typed: metrics, dimensions and filters from closed lists, never text that an
//!    engine would read.
//! 2. Whose data are read comes from the credential. A [`Tenant`] is made from an API key only,
//!    and everything in [`data`] demands one.
//! 3. A foreign thing and an absent one get the same answer.
//! 4. Every write is a control record with its author, decided in one order by the [`Desk`], and
//!    answers when it is applied.
//! 5. One table ([`routes::ROUTES`]) says what there is: the router, the policy, the OpenAPI
//!    document and the test of all routes against all tenants are made from it.
//!
//! Reading order is the order of the modules: words, who asks, what stands and who changes it,
//! the data behind, the routes, then each noun.

pub mod integer;
pub mod names;
pub mod problem;
pub mod zones;

pub mod cursor;
pub mod params;
pub mod secret;

pub mod standing;

pub mod tenant;
pub mod throttle;

pub mod desk;
pub mod node;

mod seen;

pub mod data;

mod call;
pub mod idempotency;
pub mod routes;
mod serve;

mod currencies;
mod nouns;

mod reports;

mod audit;
mod books;
mod clicks;
mod money;

mod openapi;

pub use data::Context;
pub use desk::{AuditPage, Decision, Desk, Later, NewChange, Written};
pub use node::{EventCounts, Node, PartitionState};
pub use openapi::document;
pub use problem::Problem;
pub use serve::router;
pub use standing::Standing;
pub use tenant::Tenant;
