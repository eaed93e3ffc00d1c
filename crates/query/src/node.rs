//! What the API tells of the process that it runs in.

use serde::Serialize;
use tollgate_click::{Millis, Minute, Ordinal, PartitionId};
use tollgate_store::lake::LakeError;
use utoipa::ToSchema;

/// How far one partition is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PartitionState {
    /// The partition.
    pub partition: PartitionId,
    /// No edge will send anything that it received before; none while that is not known.
    pub complete_before: Option<Millis>,
    /// Up to here the ledger has every billed click.
    pub posted: Ordinal,
    /// The first minute that the ledger may still post to.
    pub closed_before: Minute,
    /// Up to here the lake has every record.
    pub lake: Ordinal,
    /// Why it has stopped, if it has.
    pub halt: Option<String>,
}

/// What the edge of this process has counted since its start.
#[derive(Clone, PartialEq, Eq, Default, Debug, Serialize, ToSchema)]
pub struct EventCounts {
    /// Whether this process takes clicks.
    pub edge: bool,
    /// Requests that could have been a click, a pixel or a batch item.
    pub hits: u64,
    /// Clicks and impressions that were recorded.
    pub recorded: u64,
    /// Requests that were refused, by reason.
    pub refused: std::collections::BTreeMap<String, u64>,
    /// Requests whose record may or may not be durable.
    pub unrecorded: u64,
}

/// The process.
pub trait Node: Send + Sync {
    /// Whether all is well, and the JSON that says so.
    fn ready(&self) -> (bool, String);
    /// Prometheus text.
    fn metrics(&self) -> String;
    /// How far each partition is, in their order.
    fn partitions(&self) -> Vec<PartitionState>;
    /// What the edge has counted.
    fn events(&self) -> EventCounts;
    /// A file was found damaged; whoever can make it again may.
    fn damaged(&self, _error: &LakeError) {}
    /// The time by which keys expire and changes are stamped.
    fn now(&self) -> Millis;
}
