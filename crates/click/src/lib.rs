//! The vocabulary of Tollgate: what a click is, in types and in bytes.
//!
//! Every other crate speaks in these words and none of them is defined twice. The crate does no
//! I/O, reads no clock and knows no text format but its own binary one, so that the core that
//! decides about money can be replayed anywhere with the same result.
//!
//! Reading order is the order of the modules below: limits, then the small words (ids, time,
//! money), then the record that carries a click, the control records that change the rules,
//! and at last how a click can end.

pub mod limits;

pub mod ids;
pub mod money;
pub mod time;

pub mod codec;
pub mod control;
pub mod facts;
pub mod personal;
pub mod record;

pub mod effect;
pub mod outcome;

pub use control::{Change, Control};
pub use effect::Judgement;
pub use facts::{AgentClass, ClickFacts, Country, Pseudonyms, Source};
pub use ids::{
    Actor, AdId, AdvertiserId, CampaignId, ClickId, ControlNumber, DataSetId, EdgeId, KeyId,
    LinkId, Nonce, Ordinal, PartitionId, PlacementId, PseudonymKeyId, PublisherId,
};
pub use money::{Currency, Micros};
pub use outcome::{Outcome, Refusal};
pub use personal::Personal;
pub use record::Record;
pub use time::{Millis, Minute};
