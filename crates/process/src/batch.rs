//! Many records at once, and the keys that have left memory.
//!
//! [`apply_all`] does what [`apply`](crate::apply) does one record after the other, byte for byte.
//!
//! A nonce of an old hour may lie in a part of a snapshot and no longer in memory
//! ([`State::release`]). The core does no I/O, so it asks: before a batch is applied, the worker
//! reads 16 bytes for each of [`State::questions`] and hands them to [`State::answer`].

use tollgate_click::{ClickFacts, Record, Source};

use crate::effects::{Effects, Halt, Incoming, Kind};
use crate::state::State;
use crate::state::nonces::{KeyPlace, NonceHours};

/// Applies records in their order and tells what each came to.
///
/// # Errors
///
/// The place of the first record that halts, and why. Those before it are applied and told.
pub fn apply_all(
    state: &mut State,
    records: &[Incoming<'_>],
    tell: &mut impl FnMut(Effects),
) -> Result<(), (usize, Halt)> {
    for (place, record) in records.iter().enumerate() {
        tell(crate::apply(state, *record).map_err(|halt| (place, halt))?);
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
        let read = records
            .iter()
            .filter_map(|record| Record::decode(record.facts).ok());
        read.flat_map(|record| self.questions_of(&record)).collect()
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

    /// What must be answered before this record is applied.
    pub(crate) fn questions_of(&self, record: &Record) -> Vec<Question> {
        let (kind, table, facts) = match record {
            Record::Click(facts) => (Kind::Click, &self.clicked, facts),
            Record::Impression(facts) => (Kind::Impression, &self.shown, facts),
            Record::Tick(_) | Record::Mark(_) | Record::Control(_) => return Vec::new(),
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
