//! Which records of each writer have come: ranges of sequence numbers, so that one that is sent
//! again is known, and one that is missing is known to be missing.

use std::collections::BTreeMap;

use tollgate_click::Millis;

use super::kept::kept;
use crate::effects::Incoming;

/// What has come of each run of a writer.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub(crate) struct Sessions {
    sessions: BTreeMap<u64, Session>,
}

/// One run of a writer. Its broadcasts are numbered apart from its records for this partition.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub(crate) struct Session {
    /// The clock when something last came.
    pub(crate) touched: Millis,
    pub(crate) own: Seen,
    pub(crate) broadcast: Seen,
}

/// The numbers that have come, as ranges that neither overlap nor touch: first -> last.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub(crate) struct Seen {
    ranges: BTreeMap<u64, u64>,
}

kept!(Sessions { sessions });
kept!(Session {
    touched,
    own,
    broadcast
});
kept!(Seen { ranges });

impl Sessions {
    /// Notes a record; false when it had come before.
    pub(crate) fn note(&mut self, incoming: Incoming<'_>, clock: Millis) -> bool {
        let session = self.sessions.entry(incoming.session).or_default();
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
        self.sessions.values().map(each).sum()
    }

    /// Drops sessions of which nothing has come since that instant.
    pub(crate) fn forget_silent_since(&mut self, instant: Millis) {
        self.sessions
            .retain(|_, session| session.touched >= instant);
    }
}

impl Seen {
    fn insert(&mut self, number: u64) -> bool {
        let below = self
            .ranges
            .range(..=number)
            .next_back()
            .map(|(first, last)| (*first, *last));
        if below.is_some_and(|(_, last)| number <= last) {
            return false;
        }
        let joins_below = below.filter(|(_, last)| last.checked_add(1) == Some(number));
        let above = number
            .checked_add(1)
            .and_then(|next| self.ranges.remove(&next));
        let first = joins_below.map_or(number, |(first, _)| first);
        self.ranges.insert(first, above.unwrap_or(number));
        true
    }

    fn missing(&self) -> u64 {
        let mut next = 1;
        let mut missing: u64 = 0;
        for (first, last) in &self.ranges {
            missing = missing.saturating_add(first.saturating_sub(next));
            next = last.saturating_add(1);
        }
        missing
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    proptest! {
        #[test]
        fn ranges_say_what_a_plain_set_says(numbers in proptest::collection::vec(1..40u64, 0..80)) {
            let mut seen = Seen::default();
            let mut plain = BTreeSet::new();
            for number in numbers {
                prop_assert_eq!(seen.insert(number), plain.insert(number));
            }
            let last = plain.last().copied().unwrap_or(0);
            prop_assert_eq!(seen.missing(), last - plain.len() as u64);
            let mut before = None;
            for (first, last) in &seen.ranges {
                prop_assert!(first <= last && before.is_none_or(|end| first - 1 > end));
                before = Some(*last);
            }
        }
    }

    #[test]
    fn the_highest_number_fits() {
        let mut seen = Seen::default();
        assert!(seen.insert(u64::MAX));
        assert!(!seen.insert(u64::MAX));
        assert!(seen.insert(u64::MAX - 1));
        assert_eq!(seen.ranges.len(), 1);
    }
}
