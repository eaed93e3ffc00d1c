//! The deterministic core: what a record of the log does to its partition.
//!
//! [`apply`] is a pure function of the state and the record. It reads no clock, does no I/O,
//! uses no floats and walks no randomly seeded map, so the same log gives the same outcomes and
//! the same bill on every machine, whatever the batch size or restart point.
//!
//! Invariants:
//! - Every record gets one ordinal, counted from 1, and one [`Effect`]; every click and every
//!   impression ends in exactly one outcome, by the first row of the table in [`account`] that
//!   applies.
//! - An error ([`Halt`]) leaves the state as it was: with newer code, or with the missing record,
//!   the same record can be applied again.
//! - What is kept has a stated end: nonces, versions and sessions go when no click that could
//!   still bill can ask for them ([`state`] says why).

mod account;
mod admit;
mod batch;
mod effects;
mod found;
mod judge;
pub mod state;
mod tally;

use tollgate_click::Record;

pub use batch::{Question, apply_all};
pub use effects::{
    Closed, Effect, Effects, Ending, Halt, Incoming, Kind, MoneyRefusal, NotApplied, Reason,
};
pub use judge::{Class, DOUBLE_CLICK_MS, Hits, RULES, Rule};
pub use state::{ApplyVersion, BadPart, BadSnapshot, Part, PartBytes, State};
pub use tally::{Counts, Tally};

use found::Found;

/// Applies one record.
///
/// # Errors
///
/// [`Halt`] when the partition must not go on: newer code is needed, or a control record is
/// missing. Damage is no error, it ends as `quarantined`.
pub fn apply(state: &mut State, incoming: Incoming<'_>) -> Result<Effects, Halt> {
    if !Record::is_event(incoming.facts) {
        return admit::admit_other(state, incoming);
    }
    let mut event = Effects::BLANK;
    event.read(incoming.facts);
    let found = Found::of(state, &event);
    settle(state, incoming, found, &mut event)?;
    Ok(event)
}

/// The hallway that every click and impression walks. What it comes to is written where it was
/// read to, so that it need not be carried from room to room.
fn settle(
    state: &mut State,
    incoming: Incoming<'_>,
    found: Found,
    event: &mut Effects,
) -> Result<(), Halt> {
    if let Some(ending) = admit::admit(state, incoming, event)? {
        judge::judge(state, ending);
        account::account(state, found, ending);
    }
    state.counts.count(&event.effect);
    Ok(())
}
