//! First step: is it a new, real record?
//!
//! Ticks, marks and control records end here. A click or an impression goes on unless it is
//! `resent`, `quarantined`, `test` or `unauthorised`, tried in this order.

use tollgate_click::limits::WINDOW_MAX_S;
use tollgate_click::record::Tick;
use tollgate_click::{Change, ClickFacts, Control, Millis, Outcome, Record, Source};

use crate::effects::{Effect, Effects, Ending, Halt, Incoming, NotApplied, Reason, uncharged};
use crate::state::State;

/// Admits a click or an impression: what goes on, or none when it has come to its end. Up to the
/// line that says so nothing is changed, so that a halted partition can try the record again.
pub(crate) fn admit<'e>(
    state: &mut State,
    incoming: Incoming<'_>,
    event: &'e mut Effects,
) -> Result<Option<&'e mut Ending>, Halt> {
    let ordinal = state.next_ordinal()?;
    match &event.effect {
        Effect::Unreadable { error, .. } if error.needs_newer_code() => {
            let error = *error;
            return Err(Halt::NewerCode { ordinal, error });
        }
        Effect::Ended(ending) if state.asks_for(ending.kind, &ending.facts) => {
            return Err(Halt::Unanswered { ordinal });
        }
        _ => {}
    }
    // From here on the record is taken.
    let resent = state.take(ordinal, incoming);
    event.ordinal = ordinal;
    match &mut event.effect {
        Effect::Ended(ending) => {
            ending.judgement.ordinal = ordinal;
            let Some((outcome, reason)) = refused(state, &ending.facts, resent) else {
                return Ok(Some(ending));
            };
            ending.judgement.outcome = outcome;
            ending.reason = reason;
        }
        Effect::Unreadable { judgement, .. } => *judgement = uncharged(ordinal, unread(resent)),
        _ => unreachable!("an event is read to one of the two"),
    }
    Ok(None)
}

/// Admits what is no event, which ends here.
pub(crate) fn admit_other(state: &mut State, incoming: Incoming<'_>) -> Result<Effects, Halt> {
    let ordinal = state.next_ordinal()?;
    let read = Record::decode(incoming.facts);
    match &read {
        Err(error) if error.needs_newer_code() => {
            let error = *error;
            return Err(Halt::NewerCode { ordinal, error });
        }
        Ok(Record::Control(control)) => state.check_control(control, ordinal)?,
        _ => {}
    }
    // From here on the record is taken.
    let resent = state.take(ordinal, incoming);
    let effect = match read {
        Ok(Record::Tick(tick)) => admit_tick(state, tick, resent),
        Ok(Record::Mark(mark)) => {
            state.note_mark(mark);
            Effect::Mark(mark)
        }
        Ok(Record::Control(control)) => admit_control(state, control),
        Ok(Record::Click(_) | Record::Impression(_)) => unreachable!("events have their own road"),
        Err(error) => Effect::Unreadable {
            judgement: uncharged(ordinal, unread(resent)),
            error,
        },
    };
    state.counts.count(&effect);
    Ok(Effects { ordinal, effect })
}

/// How a record ends that cannot be read: damage is kept for later.
fn unread(resent: bool) -> Outcome {
    if resent {
        Outcome::Resent
    } else {
        Outcome::Quarantined
    }
}

/// Whether an event ends here: what it ends as, and why.
fn refused(state: &State, facts: &ClickFacts, resent: bool) -> Option<(Outcome, Option<Reason>)> {
    if resent {
        return Some((Outcome::Resent, None));
    }
    if let Some(nonsense) = nonsense(state, facts) {
        return Some((Outcome::Quarantined, Some(nonsense)));
    }
    if facts.test {
        return Some((Outcome::Test, None));
    }
    let refused = refused_key(state, facts)?;
    Some((Outcome::Unauthorised, Some(refused)))
}

/// What no edge of ours writes.
fn nonsense(state: &State, facts: &ClickFacts) -> Option<Reason> {
    if facts.click_id.parts().partition != state.partition() {
        return Some(Reason::Misrouted);
    }
    match facts.source {
        // A longer window could meet a nonce hour that is already gone.
        Source::Signed { window_s, .. } if window_s > WINDOW_MAX_S => Some(Reason::WindowTooLong),
        Source::Imported { event_time } if event_time > Millis::MAX => Some(Reason::EventTime),
        _ => None,
    }
}

/// The edge has checked the signature; the core checks what the edge may not have heard yet. A
/// key that the core has not heard of is the edge's word.
fn refused_key(state: &State, facts: &ClickFacts) -> Option<Reason> {
    let Source::Signed { key, .. } = facts.source else {
        return None;
    };
    let standing = state.key_as_of(key, facts.received_at())?;
    if standing.revoked {
        Some(Reason::KeyRevoked)
    } else if !standing.scope.covers(facts.advertiser) {
        Some(Reason::KeyScope)
    } else {
        None
    }
}

fn admit_tick(state: &mut State, tick: Tick, resent: bool) -> Effect {
    let counted = !resent && state.counts_tick(tick);
    let closed = if counted {
        state.move_clock(tick)
    } else {
        None
    };
    Effect::Tick {
        tick,
        counted,
        closed: closed.map(Box::new),
    }
}

/// Repeats are known by their target number, so the transport's numbers do not matter here.
fn admit_control(state: &mut State, control: Control) -> Effect {
    let number = control.number;
    if !state.take_change(&control) {
        let applied = Err(NotApplied::Repeat);
        return Effect::Control { number, applied };
    }
    if let Change::Money(money) = control.change {
        let (accepted, repeat) = state.receive(control.at, &money);
        return Effect::Money {
            command: money.command,
            money,
            accepted,
            number,
            repeat,
        };
    }
    let applied = state.change(control.at, control.change);
    Effect::Control { number, applied }
}
