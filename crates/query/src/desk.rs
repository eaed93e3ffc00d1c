//! The desk: the one place where changes are decided, ordered and written.
//!
//! A write is a decision over what stands at its turn, so that two writers never both pass a
//! check that only one may pass. The desk runs decisions one after the other, writes what they
//! want as control records, and answers when the partitions that they concern have applied them.

use std::future::Future;
use std::ops::Deref;
use std::pin::Pin;

use tollgate_click::ids::Actor;
use tollgate_click::{Change, Control, ControlNumber, Millis};

use crate::idempotency::RequestId;
use crate::problem::Problem;
use crate::standing::Standing;

/// A future that can be kept in a trait object.
pub type Later<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// One change, with what goes into its record's second part.
#[derive(Clone, PartialEq, Eq)]
pub struct NewChange {
    /// The change.
    pub change: Change,
    /// A signing key's secret, or the hash of a token or API key; else empty.
    pub secret: Vec<u8>,
}

/// What a decision comes to, over what stands at its turn and the desk's time.
pub type Decision =
    Box<dyn FnOnce(&Standing, Millis) -> Result<Vec<NewChange>, Problem> + Send + 'static>;

/// What became of a write.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Written {
    /// The numbers of its changes; none when nothing had to change.
    pub numbers: Vec<ControlNumber>,
    /// Partitions that it concerns.
    pub partitions: u32,
    /// How many of them have applied it.
    pub applied: u32,
    /// What the core has refused of it: the change, and why.
    pub refused: Vec<(ControlNumber, String)>,
}

/// A page of the audit.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct AuditPage {
    /// Changes in their order.
    pub changes: Vec<Control>,
    /// Where the next page begins, in the log's own words; none at the end.
    pub next: Option<Vec<u8>>,
}

/// What the API asks of the sequencer.
pub trait Desk: Send + Sync {
    /// What stands, for as long as the guard is held; not across an await.
    fn standing(&self) -> Box<dyn Deref<Target = Standing> + '_>;

    /// Makes a decision at its turn and writes what it wants. Answers when all partitions that
    /// it concerns have applied it, or after a while when some have not.
    /// A write with a request is noted under it first, so that it is known after a crash whether
    /// it was carried out.
    fn submit(
        &self,
        by: Actor,
        request: Option<RequestId>,
        decide: Decision,
    ) -> Later<'_, Result<Written, Problem>>;

    /// What a request has changed that was noted and whose answer was not kept; none when it has
    /// changed nothing, or was answered, or is not known.
    fn carried_out(&self, request: RequestId) -> Option<Vec<Control>>;

    /// At most `limit` changes of the control partition from a place on; from its beginning when
    /// none is given. Reads the log and takes its time.
    ///
    /// # Errors
    ///
    /// [`Problem`]: the log cannot be read, or there is no such place.
    fn audit(&self, from: Option<&[u8]>, limit: usize) -> Result<AuditPage, Problem>;
}

impl From<Change> for NewChange {
    fn from(change: Change) -> NewChange {
        NewChange {
            change,
            secret: Vec::new(),
        }
    }
}

impl std::fmt::Debug for NewChange {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "NewChange({:?}, secret hidden)", self.change)
    }
}
