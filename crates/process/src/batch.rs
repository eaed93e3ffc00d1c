//! Many records at once, and the keys that have left memory.
//!
//! [`apply_all`] does what [`apply`](crate::apply) does one record after the other, byte for byte.
//!
//! A nonce of an old hour may lie in a part of a snapshot and no longer in memory
//! ([`State::release`]). The core does no I/O, so it asks: before a batch is applied, the worker
//! reads 16 bytes for each of [`State::questions`] and hands them to [`State::answer`].

use tollgate_click::{ClickFacts, Record, Source};

use crate::admit::admit_other;
use crate::effects::{Effects, Halt, Incoming, Kind};
use crate::found::{Found, Likely};
use crate::state::State;
use crate::state::nonces::{KeyPlace, NonceHours};

/// Events that are read and looked for at once, before the first of them is settled.
const AHEAD: usize = 32;

/// Applies records in their order and appends what each came to.
///
/// A look-up waits for memory, and the one after it waits for the first. So a few events are read
/// first, and the processor is told what settling them will read; these waits overlap.
///
/// # Errors
///
/// The place of the first record that halts, and why. Those before it are applied and told.
pub fn apply_all(
    state: &mut State,
    records: &[Incoming<'_>],
    told: &mut Vec<Effects>,
) -> Result<(), (usize, Halt)> {
    let mut place = 0;
    let are_events = |one: &Incoming<'_>, next: &Incoming<'_>| is_event(one) && is_event(next);
    for run in records.chunk_by(are_events) {
        for ahead in run.chunks(AHEAD) {
            match ahead {
                [other] if !is_event(other) => {
                    told.push(admit_other(state, *other).map_err(|halt| (place, halt))?);
                }
                events => {
                    let settled = settle_all(state, events, told);
                    settled.map_err(|(settled, halt)| (place + settled, halt))?;
                }
            }
            place += ahead.len();
        }
    }
    Ok(())
}

fn is_event(incoming: &Incoming<'_>) -> bool {
    Record::is_event(incoming.facts)
}

/// Reads up to [`AHEAD`] events, finds what they name, and settles one after the other. Each pass
/// asks for the memory that the next one reads.
fn settle_all(
    state: &mut State,
    events: &[Incoming<'_>],
    told: &mut Vec<Effects>,
) -> Result<(), (usize, Halt)> {
    let first = told.len();
    let mut likely = [Likely::default(); AHEAD];
    told.extend(events.iter().map(|_| Effects::BLANK));
    let read = told.get_mut(first..).unwrap_or_default();
    for ((event, incoming), likely) in read.iter_mut().zip(events).zip(&mut likely) {
        event.read(incoming.facts);
        *likely = state.prefetch_slots(event);
    }
    for likely in likely.into_iter().take(read.len()) {
        state.prefetch_rows(likely);
    }
    let mut found = [Found::default(); AHEAD];
    for (event, found) in read.iter().zip(&mut found) {
        *found = Found::of(state, event);
        state.prefetch_account(*found);
    }
    for (place, ((event, found), incoming)) in read.iter_mut().zip(found).zip(events).enumerate() {
        if let Err(halt) = crate::settle(state, *incoming, found, event) {
            told.truncate(first + place);
            return Err((place, halt));
        }
    }
    Ok(())
}

/// A key that lies in a part: 16 bytes to be read.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Question {
    /// The part's name.
    pub part: String,
    /// Where in the part the bytes lie.
    pub offset: u64,
    table: Kind,
    place: KeyPlace,
}

impl State {
    /// What must be answered before these records are applied: nothing while nothing was
    /// released, and seldom more than the repeats of old nonces after that. Answers hold until
    /// the next tick.
    pub fn questions(&self, records: &[Incoming<'_>]) -> Vec<Question> {
        if !self.clicked.asks() && !self.shown.asks() {
            return Vec::new();
        }
        let questions = records
            .iter()
            .flat_map(|record| match Record::decode(record.facts) {
                Ok(Record::Click(facts)) => self.questions_of(Kind::Click, &facts),
                Ok(Record::Impression(facts)) => self.questions_of(Kind::Impression, &facts),
                _ => Vec::new(),
            });
        questions.collect()
    }

    /// Takes the 16 bytes that were asked for.
    pub fn answer(&mut self, question: &Question, bytes: [u8; 16]) {
        let table = match question.table {
            Kind::Click => &mut self.clicked,
            Kind::Impression => &mut self.shown,
        };
        table.answer(question.place, u128::from_le_bytes(bytes));
    }

    /// Lets go of an old hour whose part was stored and will be at hand for questions; false when
    /// the state has no such part. Equality, hash and outcomes do not change with it.
    pub fn release(&mut self, part: &str) -> bool {
        let released = [&mut self.clicked, &mut self.shown].map(|table| table.release(part));
        released.contains(&true)
    }

    /// How many used nonces are known.
    pub fn nonces(&self) -> usize {
        self.clicked.len() + self.shown.len()
    }

    /// Bytes of memory that the used nonces hold.
    pub fn nonce_bytes(&self) -> usize {
        self.clicked.memory_bytes() + self.shown.memory_bytes()
    }

    /// Whether something must be answered before this event is settled.
    pub(crate) fn asks_for(&self, kind: Kind, facts: &ClickFacts) -> bool {
        let asks = self.clicked.asks() || self.shown.asks();
        asks && !self.questions_of(kind, facts).is_empty()
    }

    fn questions_of(&self, kind: Kind, facts: &ClickFacts) -> Vec<Question> {
        let table = match kind {
            Kind::Click => &self.clicked,
            Kind::Impression => &self.shown,
        };
        questions(kind, table, facts)
    }
}

fn questions(kind: Kind, table: &NonceHours, facts: &ClickFacts) -> Vec<Question> {
    let Source::Signed { nonce, .. } = facts.source else {
        return Vec::new();
    };
    let places = table.unanswered(facts.advertiser, nonce).into_iter();
    let located = places.filter_map(|place| Some((place, table.located(place)?)));
    let question = |(place, (part, offset))| Question {
        part,
        offset,
        table: kind,
        place,
    };
    located.map(question).collect()
}
