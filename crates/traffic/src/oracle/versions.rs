//! What changes, by the time from which it holds.

use std::collections::BTreeMap;

use tollgate_click::Millis;
use tollgate_click::limits::CLOCK_SKEW_MS_MAX;

/// The versions of each thing, in the order in which they came.
pub(super) type Versions<K, V> = BTreeMap<K, Vec<(Millis, V)>>;

/// A version holds from its time on; one that is told late, from the one before it on; one that
/// changes nothing is none.
pub(super) fn push<V: PartialEq>(versions: &mut Vec<(Millis, V)>, at: Millis, value: V) -> bool {
    if versions.last().is_none_or(|(_, last)| *last != value) {
        let last = versions.last().map_or(at, |(last, _)| *last);
        versions.push((at.max(last), value));
    }
    true
}

pub(super) fn as_of<V>(versions: Option<&Vec<(Millis, V)>>, at: Millis) -> Option<&V> {
    Some(&versions?.iter().rfind(|(from, _)| *from <= at)?.1)
}

/// The first version also holds for the few seconds before it that clocks may differ by.
pub(super) fn soon<V>(versions: Option<&Vec<(Millis, V)>>, at: Millis) -> Option<&V> {
    let first = versions?.first();
    let soon = first.filter(|(from, _)| *from <= at.plus_ms(CLOCK_SKEW_MS_MAX));
    as_of(versions, at).or(soon.map(|(_, value)| value))
}
