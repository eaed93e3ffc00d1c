//! What changes, by the time from which it holds.

use std::collections::BTreeMap;

use tollgate_click::Millis;
use tollgate_click::limits::CLOCK_SKEW_MS_MAX;

/// The versions of each thing, in the order in which they came.
pub(super) type Versions<K, V> = BTreeMap<K, Vec<(Millis, V)>>;

/// A version holds from its time on; one that is told late, from the one before it on; one that
/// changes nothing is none.
pub(super) fn push<K: Ord, V: PartialEq>(
    versions: &mut Versions<K, V>,
    key: K,
    at: Millis,
    value: V,
) -> bool {
    let versions = versions.entry(key).or_default();
    if versions.last().is_some_and(|(_, last)| *last == value) {
        return true;
    }
    let last = versions.last().map_or(at, |(last, _)| *last);
    versions.push((at.max(last), value));
    true
}

pub(super) fn as_of<'a, K: Ord, V>(
    versions: &'a Versions<K, V>,
    key: &K,
    at: Millis,
) -> Option<&'a V> {
    let begun = versions.get(key)?.iter().rfind(|(from, _)| *from <= at);
    begun.map(|(_, value)| value)
}

/// The first version also holds for the few seconds before it that clocks may differ by.
pub(super) fn soon<'a, K: Ord, V>(
    versions: &'a Versions<K, V>,
    key: &K,
    at: Millis,
) -> Option<&'a V> {
    let first = versions.get(key)?.first();
    let soon = first.filter(|(from, _)| *from <= at.plus_ms(CLOCK_SKEW_MS_MAX));
    as_of(versions, key, at).or(soon.map(|(_, value)| value))
}
