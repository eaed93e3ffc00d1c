//! Which records of each writer have come: ranges of sequence numbers, so that one that is sent
//! again is known, and one that is missing is known to be missing.

use std::collections::BTreeMap;

use tollgate_click::Millis;
use tollgate_click::codec::{DecodeError, Reader};

use super::kept::{Kept, kept};
use crate::effects::Incoming;

/// What has come of each run of a writer.
#[derive(Clone, Default, Debug)]
pub(crate) struct Sessions {
    /// By their numbers.
    sessions: Vec<(u64, Session)>,
    /// Where the last record's session lies: mostly the next one's too. No part of the state.
    latest: usize,
}

/// One run of a writer. Its broadcasts are numbered apart from its records for this partition.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub(crate) struct Session {
    /// The clock when something last came.
    pub(crate) touched: Millis,
    pub(crate) own: Seen,
    pub(crate) broadcast: Seen,
}

/// The numbers that have come, as ranges that neither overlap nor touch. All but the highest are
/// rare: something is missing below.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Seen {
    /// The highest; from 1 to 0 when nothing has come.
    first: u64,
    last: u64,
    /// The others: first -> last.
    below: BTreeMap<u64, u64>,
}

kept!(Session {
    touched,
    own,
    broadcast
});

impl Sessions {
    /// Notes a record; false when it had come before.
    pub(crate) fn note(&mut self, incoming: Incoming<'_>, clock: Millis) -> bool {
        let latest = self.sessions.get(self.latest);
        if latest.is_none_or(|(number, _)| *number != incoming.session) {
            self.latest = self.place_of(incoming.session);
        }
        let Some((_, session)) = self.sessions.get_mut(self.latest) else {
            unreachable!("a session has a place once it is asked for");
        };
        session.touched = clock;
        let seen = if incoming.broadcast {
            &mut session.broadcast
        } else {
            &mut session.own
        };
        seen.insert(incoming.sequence)
    }

    /// Numbers below the highest of their session that have not come; sessions count from 1.
    pub(crate) fn missing(&self) -> u64 {
        let each = |session: &Session| session.own.missing() + session.broadcast.missing();
        self.sessions.iter().map(|(_, session)| each(session)).sum()
    }

    /// Drops sessions of which nothing has come since that instant.
    pub(crate) fn forget_silent_since(&mut self, instant: Millis) {
        self.sessions
            .retain(|(_, session)| session.touched >= instant);
    }

    /// The session's place, made if there is none.
    fn place_of(&mut self, session: u64) -> usize {
        let found = self
            .sessions
            .binary_search_by_key(&session, |(number, _)| *number);
        found.unwrap_or_else(|place| {
            self.sessions.insert(place, (session, Session::default()));
            place
        })
    }
}

impl PartialEq for Sessions {
    fn eq(&self, other: &Sessions) -> bool {
        self.sessions == other.sessions
    }
}

impl Kept for Sessions {
    fn put(&self, out: &mut Vec<u8>) {
        self.sessions.put(out);
    }

    fn take(reader: &mut Reader<'_>) -> Result<Sessions, DecodeError> {
        let sessions: Vec<(u64, Session)> = Kept::take(reader)?;
        if !sessions.is_sorted_by(|(one, _), (next, _)| one < next) {
            return Err(DecodeError::Invalid("the order of sessions"));
        }
        Ok(Sessions {
            sessions,
            latest: 0,
        })
    }
}

impl Default for Seen {
    fn default() -> Seen {
        Seen {
            first: 1,
            last: 0,
            below: BTreeMap::new(),
        }
    }
}

impl Seen {
    fn insert(&mut self, number: u64) -> bool {
        if number.checked_sub(1) == Some(self.last) {
            self.last = number;
            return true;
        }
        if number > self.last {
            if self.last >= self.first {
                self.below.insert(self.first, self.last);
            }
            (self.first, self.last) = (number, number);
            return true;
        }
        number < self.first && self.insert_below(number)
    }

    /// A number below the highest range.
    fn insert_below(&mut self, number: u64) -> bool {
        let under = self.below.range(..=number).next_back();
        let under = under.map(|(first, last)| (*first, *last));
        if under.is_some_and(|(_, last)| number <= last) {
            return false;
        }
        let joins_under = under.filter(|(_, last)| last + 1 == number); // below a higher number
        let first = joins_under.map_or(number, |(first, _)| first);
        let next = number + 1;
        if next == self.first {
            self.below.remove(&first);
            self.first = first;
        } else {
            let last = self.below.remove(&next).unwrap_or(number);
            self.below.insert(first, last);
        }
        true
    }

    /// The ranges in order.
    fn ranges(&self) -> impl Iterator<Item = (u64, u64)> {
        let below = self.below.iter().map(|(first, last)| (*first, *last));
        let highest = (self.last >= self.first).then_some((self.first, self.last));
        below.chain(highest)
    }

    fn missing(&self) -> u64 {
        let mut next = 1;
        let mut missing: u64 = 0;
        for (first, last) in self.ranges() {
            missing = missing.saturating_add(first.saturating_sub(next));
            next = last.saturating_add(1);
        }
        missing
    }
}

impl Kept for Seen {
    fn put(&self, out: &mut Vec<u8>) {
        self.ranges().collect::<Vec<_>>().put(out);
    }

    fn take(reader: &mut Reader<'_>) -> Result<Seen, DecodeError> {
        let mut seen = Seen::default();
        for (first, last) in Vec::<(u64, u64)>::take(reader)? {
            let before = (seen.first, seen.last);
            let empty = before.1 < before.0;
            let apart = empty || first > before.1.saturating_add(1);
            if first > last || !apart {
                return Err(DecodeError::Invalid("the ranges of a session"));
            }
            if !empty {
                seen.below.insert(before.0, before.1);
            }
            (seen.first, seen.last) = (first, last);
        }
        Ok(seen)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    proptest! {
        #[test]
        fn ranges_say_what_a_plain_set_says(numbers in proptest::collection::vec(0..40u64, 0..80)) {
            let mut seen = Seen::default();
            let mut plain = BTreeSet::new();
            for number in numbers {
                prop_assert_eq!(seen.insert(number), plain.insert(number));
            }
            let last = plain.last().copied().unwrap_or(0);
            let from_one = plain.iter().filter(|number| **number > 0).count();
            prop_assert_eq!(seen.missing(), last - from_one as u64);
            let mut before = None;
            for (first, last) in seen.ranges() {
                prop_assert!(first <= last && before.is_none_or(|end| first - 1 > end));
                before = Some(last);
            }
            let mut bytes = Vec::new();
            seen.put(&mut bytes);
            prop_assert_eq!(Seen::take(&mut Reader::new(&bytes)), Ok(seen));
        }
    }

    #[test]
    fn the_highest_number_fits() {
        let mut seen = Seen::default();
        assert!(seen.insert(u64::MAX));
        assert!(!seen.insert(u64::MAX));
        assert!(seen.insert(u64::MAX - 1));
        assert_eq!(seen.ranges().count(), 1);
    }
}
