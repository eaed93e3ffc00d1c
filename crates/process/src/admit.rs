//! First step: is it a new, real record?
//!
//! Ticks, marks and control records end here. A click or an impression goes on unless it is
//! `resent`, `quarantined`, `test` or `unauthorised`, tried in this order.

use tollgate_click::codec::DecodeError;
use tollgate_click::limits::WINDOW_MAX_S;
use tollgate_click::record::Tick;
use tollgate_click::{
    Change, ClickFacts, Control, Judgement, Micros, Millis, Ordinal, Outcome, Record, Source,
};

use crate::effects::{Effect, Effects, Ending, Halt, Incoming, Kind, NotApplied, Reason};
use crate::judge::Hits;
use crate::state::State;

/// A record after the first step.
pub(crate) enum Admitted {
    /// It has come to its end.
    Ended(Effects),
    /// A click or impression that is to be judged.
    Event(Event),
}

/// A click or impression on its way through the core.
pub(crate) struct Event {
    pub(crate) ordinal: Ordinal,
    pub(crate) kind: Kind,
    pub(crate) facts: ClickFacts,
}

/// Admits a record. Up to the line that says so nothing is changed, so that a halted partition
/// can try the record again.
pub(crate) fn admit(
    state: &mut State,
    incoming: Incoming<'_>,
    read: Result<Record, DecodeError>,
) -> Result<Admitted, Halt> {
    let ordinal = state.next_ordinal()?;
    let decoded = readable(read, ordinal)?;
    if let Ok(Record::Control(control)) = &decoded {
        state.check_control(control, ordinal)?;
    }
    if let Ok(record) = &decoded
        && !state.questions_of(record).is_empty()
    {
        return Err(Halt::Unanswered { ordinal });
    }
    // From here on the record is taken.
    let resent = state.take(ordinal, incoming);
    let admitted = match decoded {
        Err(error) => ended(ordinal, unreadable(ordinal, resent, error)),
        Ok(Record::Click(facts)) => {
            admit_event(state, Event::new(ordinal, Kind::Click, facts), resent)
        }
        Ok(Record::Impression(facts)) => {
            admit_event(state, Event::new(ordinal, Kind::Impression, facts), resent)
        }
        Ok(Record::Tick(tick)) => ended(ordinal, admit_tick(state, tick, resent)),
        Ok(Record::Mark(mark)) => {
            state.note_mark(mark);
            ended(ordinal, Effect::Mark(mark))
        }
        Ok(Record::Control(control)) => ended(ordinal, admit_control(state, control)),
    };
    Ok(admitted)
}

impl Event {
    fn new(ordinal: Ordinal, kind: Kind, facts: ClickFacts) -> Event {
        Event {
            ordinal,
            kind,
            facts,
        }
    }

    /// The event's end without a charge.
    fn end(self, outcome: Outcome, reason: Option<Reason>) -> Admitted {
        let judgement = uncharged(self.ordinal, outcome);
        let Event {
            ordinal,
            kind,
            facts,
        } = self;
        let ending = Ending {
            kind,
            facts,
            judgement,
            reason,
            hits: Hits::default(),
        };
        ended(ordinal, Effect::Ended(ending))
    }
}

fn ended(ordinal: Ordinal, effect: Effect) -> Admitted {
    Admitted::Ended(Effects { ordinal, effect })
}

/// Damage is kept for later, bytes of newer code stop the partition.
fn readable(
    read: Result<Record, DecodeError>,
    ordinal: Ordinal,
) -> Result<Result<Record, DecodeError>, Halt> {
    match read {
        Err(error) if error.needs_newer_code() => Err(Halt::NewerCode { ordinal, error }),
        read => Ok(read),
    }
}

fn unreadable(ordinal: Ordinal, resent: bool, error: DecodeError) -> Effect {
    let outcome = if resent {
        Outcome::Resent
    } else {
        Outcome::Quarantined
    };
    Effect::Unreadable {
        judgement: uncharged(ordinal, outcome),
        error,
    }
}

fn uncharged(ordinal: Ordinal, outcome: Outcome) -> Judgement {
    Judgement {
        ordinal,
        outcome,
        charge: Micros::ZERO,
        share: Micros::ZERO,
        currency: None,
    }
}

fn admit_event(state: &State, event: Event, resent: bool) -> Admitted {
    if resent {
        return event.end(Outcome::Resent, None);
    }
    if let Some(nonsense) = nonsense(state, &event.facts) {
        return event.end(Outcome::Quarantined, Some(nonsense));
    }
    if event.facts.test {
        return event.end(Outcome::Test, None);
    }
    if let Some(refused) = refused_key(state, &event.facts) {
        return event.end(Outcome::Unauthorised, Some(refused));
    }
    Admitted::Event(event)
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
