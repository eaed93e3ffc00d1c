//! The versions of something that changes, each holding from its time on.

use tollgate_click::Millis;
use tollgate_click::codec::{DecodeError, Reader};

use super::kept::Kept;

/// Versions in the order of their times.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Timeline<T> {
    versions: Vec<(Millis, T)>,
}

impl<T> Default for Timeline<T> {
    fn default() -> Timeline<T> {
        Timeline {
            versions: Vec::new(),
        }
    }
}

impl<T> Timeline<T> {
    /// Adds a version. One whose writer's clock lags holds from the version before it on: the
    /// order of changes is the log's.
    pub(crate) fn push(&mut self, at: Millis, version: T) {
        let last = self.versions.last().map_or(Millis(0), |(last, _)| *last);
        self.versions.push((at.max(last), version));
    }

    /// The version in force at an instant; none before the first.
    pub(crate) fn as_of(&self, instant: Millis) -> Option<&T> {
        let after = self.versions.partition_point(|(at, _)| *at <= instant);
        self.versions
            .get(after.checked_sub(1)?)
            .map(|(_, version)| version)
    }

    /// The first version, if it held by that instant.
    pub(crate) fn first_if_by(&self, instant: Millis) -> Option<&T> {
        self.versions
            .first()
            .filter(|(at, _)| *at <= instant)
            .map(|(_, version)| version)
    }

    /// The newest version.
    pub(crate) fn last(&self) -> Option<&T> {
        self.versions.last().map(|(_, version)| version)
    }

    /// Drops the versions that a later one had replaced by that instant.
    pub(crate) fn forget_superseded_before(&mut self, instant: Millis) {
        let after = self.versions.partition_point(|(at, _)| *at <= instant);
        self.versions.drain(..after.saturating_sub(1));
    }
}

impl<T: Kept> Kept for Timeline<T> {
    fn put(&self, out: &mut Vec<u8>) {
        self.versions.put(out);
    }

    fn take(reader: &mut Reader<'_>) -> Result<Timeline<T>, DecodeError> {
        let versions: Vec<(Millis, T)> = Kept::take(reader)?;
        if !versions.is_sorted_by_key(|(at, _)| *at) {
            return Err(DecodeError::Invalid("the order of versions"));
        }
        Ok(Timeline { versions })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn abc() -> Timeline<char> {
        let mut timeline = Timeline::default();
        [(10, 'a'), (20, 'b'), (30, 'c')]
            .into_iter()
            .for_each(|(at, v)| timeline.push(Millis(at), v));
        timeline
    }

    #[test]
    fn a_version_holds_from_its_time_to_the_next() {
        let found: Vec<_> = [9, 10, 19, 20, 99]
            .map(|at| abc().as_of(Millis(at)).copied())
            .to_vec();
        assert_eq!(found, [None, Some('a'), Some('a'), Some('b'), Some('c')]);
    }

    #[test]
    fn a_lagging_clock_does_not_undo_a_later_change() {
        let mut timeline = abc();
        timeline.push(Millis(5), 'd');
        assert_eq!(timeline.as_of(Millis(29)), Some(&'b'));
        assert_eq!(timeline.as_of(Millis(30)), Some(&'d'));
    }

    #[test]
    fn forgetting_keeps_what_was_in_force_then() {
        let mut timeline = abc();
        timeline.forget_superseded_before(Millis(25));
        assert_eq!(timeline.as_of(Millis(25)), Some(&'b'));
        assert_eq!(timeline.as_of(Millis(19)), None);
        timeline.forget_superseded_before(Millis(1_000));
        assert_eq!(timeline.last(), Some(&'c'));
    }
}
