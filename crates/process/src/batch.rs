//! Many records at once, and the keys that have left memory.
//!
//! [`apply_all`] does what [`apply`](crate::apply) does one record after the other, byte for byte.
//!
//! A nonce of an old hour may lie in a part of a snapshot and no longer in memory
//! ([`State::release`]). The core does no I/O, so it asks: before a batch is applied, the worker
//! reads 16 bytes for each of [`State::questions`] and hands them to [`State::answer`].

use std::hint::black_box;

use tollgate_click::codec::DecodeError;
use tollgate_click::{ClickFacts, Record, Source};

use crate::effects::{Effects, Halt, Incoming, Kind};
use crate::state::State;
use crate::state::nonces::{KeyPlace, Near, NonceHours};

/// Records that are read and looked for at once, before the first of them is applied.
const AHEAD: usize = 32;

/// Applies records in their order and tells what each came to.
///
/// A look-up waits for memory, and the one after it waits for the first. So a few records are
/// read first, and the places of their nonces and campaigns are touched; these waits overlap.
///
/// # Errors
///
/// The place of the first record that halts, and why. Those before it are applied and told.
pub fn apply_all(
    state: &mut State,
    records: &[Incoming<'_>],
    tell: &mut impl FnMut(Effects),
) -> Result<(), (usize, Halt)> {
    let mut read = Vec::with_capacity(AHEAD);
    let mut place = 0;
    for ahead in records.chunks(AHEAD) {
        read.extend(ahead.iter().map(|record| Record::decode(record.facts)));
        touch(state, &read);
        for (record, read) in ahead.iter().zip(read.drain(..)) {
            tell(crate::apply_read(state, *record, read).map_err(|halt| (place, halt))?);
            place += 1;
        }
    }
    Ok(())
}

/// Reads what applying the records will read, so that it is at hand then. Each pass is short and
/// none waits for itself, so that the processor runs ahead of the memory it waits for.
fn touch(state: &State, read: &[Result<Record, DecodeError>]) {
    let mut near = [None; AHEAD];
    let mut places = [(None, None); AHEAD];
    for ((near, places), facts) in near.iter_mut().zip(&mut places).zip(clicks(read)) {
        if let Source::Signed { nonce, .. } = facts.source {
            *near = state.clicked.near(facts.advertiser, nonce);
        }
        *places = (
            state.campaigns.likely(facts.advertiser, facts.campaign),
            state.publishers.likely(facts.publisher),
        );
    }
    let sum = |sum: u64, read: u64| sum.wrapping_add(read);
    black_box(near.into_iter().flatten().map(Near::touch).fold(0, sum));
    let mut campaigns = [None; AHEAD];
    for ((found, (place, _)), facts) in campaigns.iter_mut().zip(&places).zip(clicks(read)) {
        let found_at = |place| {
            state
                .campaigns
                .if_at(place, facts.advertiser, facts.campaign)
        };
        *found = place.and_then(found_at);
    }
    let campaigns = campaigns.iter().flatten();
    black_box(
        campaigns
            .clone()
            .map(|campaign| campaign.touch())
            .fold(0, sum),
    );
    let publishers = places
        .iter()
        .zip(clicks(read))
        .filter_map(|((_, place), facts)| {
            let place = (*place)?;
            Some(state.publishers.touch(place, facts.publisher))
        });
    black_box(publishers.fold(0, sum));
    let accounts = campaigns.filter_map(|campaign| state.accounts.at(campaign.account));
    black_box(
        accounts
            .map(|account| account.balance().0 as u64)
            .fold(0, sum),
    );
}

fn clicks(read: &[Result<Record, DecodeError>]) -> impl Iterator<Item = &ClickFacts> + Clone {
    read.iter().filter_map(|record| match record {
        Ok(Record::Click(facts)) => Some(facts),
        _ => None,
    })
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
