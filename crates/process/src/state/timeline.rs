//! The versions of something that changes, each holding from its time on.

use tollgate_click::Millis;
use tollgate_click::codec::{DecodeError, Reader};
use tollgate_click::limits::CLOCK_SKEW_MS_MAX;

use super::kept::Kept;
use super::rare::Rare;

/// Versions in the order of their times. The newest one, which most clicks ask for, lies in
/// front.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Timeline<T> {
    since: Millis,
    newest: T,
    older: Rare<(Millis, T)>,
}

impl<T: PartialEq> Timeline<T> {
    /// The first version.
    pub(crate) fn new(at: Millis, version: T) -> Timeline<T> {
        Timeline {
            since: at,
            newest: version,
            older: Rare::default(),
        }
    }

    /// Adds a version. One whose writer's clock lags holds from the version before it on: the
    /// order of changes is the log's. One that changes nothing is none: a budget that is edited
    /// every second makes no prices to keep.
    pub(crate) fn push(&mut self, at: Millis, version: T) {
        if version == self.newest {
            return;
        }
        let before = std::mem::replace(&mut self.newest, version);
        self.older.change(|older| older.push((self.since, before)));
        self.since = self.since.max(at);
    }

    /// The version in force at an instant; none before the first.
    pub(crate) fn as_of(&self, instant: Millis) -> Option<&T> {
        if self.since <= instant {
            return Some(&self.newest);
        }
        let after = self.older.partition_point(|(at, _)| *at <= instant);
        let (_, version) = self.older.get(after.checked_sub(1)?)?;
        Some(version)
    }

    /// The same, but the first version also holds for the few seconds before it that clocks may
    /// differ by.
    pub(crate) fn as_of_or_first(&self, instant: Millis) -> Option<&T> {
        self.as_of(instant).or_else(|| {
            let (at, first) = match self.older.first() {
                Some((at, first)) => (*at, first),
                None => (self.since, &self.newest),
            };
            (at <= instant.plus_ms(CLOCK_SKEW_MS_MAX)).then_some(first)
        })
    }

    /// Drops the versions that a later one had replaced by that instant.
    pub(crate) fn forget_superseded_before(&mut self, instant: Millis) {
        if self.older.is_empty() {
            return;
        }
        let replaced = match self.since <= instant {
            true => self.older.len(),
            false => self
                .older
                .partition_point(|(at, _)| *at <= instant)
                .saturating_sub(1),
        };
        self.older.change(|older| drop(older.drain(..replaced)));
    }
}

impl<T: Kept> Kept for Timeline<T> {
    fn put(&self, out: &mut Vec<u8>) {
        self.since.put(out);
        self.newest.put(out);
        self.older.put(out);
    }

    fn take(reader: &mut Reader<'_>) -> Result<Timeline<T>, DecodeError> {
        let timeline = Timeline {
            since: Kept::take(reader)?,
            newest: Kept::take(reader)?,
            older: Rare::<(Millis, T)>::take(reader)?,
        };
        let last = timeline.older.last().map_or(Millis(0), |(at, _)| *at);
        if last > timeline.since || !timeline.older.is_sorted_by_key(|(at, _)| *at) {
            return Err(DecodeError::Invalid("the order of versions"));
        }
        Ok(timeline)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn abc() -> Timeline<char> {
        let mut timeline = Timeline::new(Millis(10_000), 'a');
        timeline.push(Millis(20_000), 'b');
        timeline.push(Millis(30_000), 'c');
        timeline
    }

    #[test]
    fn a_version_holds_from_its_time_to_the_next() {
        let found =
            [9_999, 10_000, 19_999, 20_000, 99_000].map(|at| abc().as_of(Millis(at)).copied());
        assert_eq!(found, [None, Some('a'), Some('a'), Some('b'), Some('c')]);
    }

    #[test]
    fn the_first_also_holds_as_long_before_it_as_clocks_differ() {
        let found =
            [7_999, 8_000, 10_000, 30_000].map(|at| abc().as_of_or_first(Millis(at)).copied());
        assert_eq!(found, [None, Some('a'), Some('a'), Some('c')]);
        let only = Timeline::new(Millis(10_000), 'a');
        assert_eq!(only.as_of_or_first(Millis(8_000)), Some(&'a'));
        assert_eq!(only.as_of_or_first(Millis(7_999)), None);
    }

    #[test]
    fn a_lagging_clock_does_not_undo_a_later_change() {
        let mut timeline = abc();
        timeline.push(Millis(5_000), 'd');
        assert_eq!(timeline.as_of(Millis(29_999)), Some(&'b'));
        assert_eq!(timeline.as_of(Millis(30_000)), Some(&'d'));
        timeline.push(Millis(40_000), 'e');
        assert_eq!(timeline.as_of(Millis(39_999)), Some(&'d'));
    }

    #[test]
    fn what_does_not_change_is_not_kept() {
        let mut timeline = abc();
        timeline.push(Millis(40_000), 'c');
        assert_eq!(timeline, abc());
    }

    #[test]
    fn forgetting_keeps_what_was_in_force_then() {
        let mut timeline = abc();
        timeline.forget_superseded_before(Millis(25_000));
        assert_eq!(timeline.as_of(Millis(25_000)), Some(&'b'));
        assert_eq!(timeline.as_of(Millis(19_000)), None);
        timeline.forget_superseded_before(Millis(30_000));
        assert_eq!(timeline, Timeline::new(Millis(30_000), 'c'));
    }
}
