//! Used nonces, exactly: one table an hour of the nonce's own time, dropped whole.
//!
//! A nonce's key in its hour is 32 bits of advertiser, 22 of millisecond and 74 random: 128
//! exactly. A young hour is one flat [`Table`], about 31 bytes a nonce. When an hour has been
//! over for an hour, most of its nonces have come: they become an immutable run of 16 bytes each
//! that may leave memory, of which 2 bytes a nonce stay, and what comes later is a flat table
//! over it. When that has grown to an eighth of what lies under it, it becomes a run as well.
//!
//! When this happens is decided by the clock of the log alone, so two partitions that have
//! applied the same records hold the same runs. What is in memory is up to the worker.

use std::collections::BTreeMap;
use std::sync::Arc;

use tollgate_click::{AdvertiserId, Millis, Nonce};

mod old;
mod parts;
mod table;

use old::OldRun;
pub(crate) use parts::{NonceDirectory, Piece, part_name};
use table::{Table, mix};

pub(crate) const HOUR_MS: u64 = 3_600_000;

/// Fewer keys than this make no run: a part is a file.
const RUN_MIN: usize = 1 << 12;

/// A further run is made when it would be no smaller than this part of those before.
const RUN_SHARE: usize = 8;

/// Used nonces by hour (hours since 1970).
#[derive(Clone, Default, Debug)]
pub(crate) struct NonceHours {
    hours: BTreeMap<u64, Hour>,
    /// Runs whose keys have left memory.
    released: usize,
    /// What the worker has read of them since the last tick. No part of the state.
    answers: BTreeMap<KeyPlace, u128>,
}

/// The nonces of an hour: in runs, or else in the young table.
#[derive(Clone, Default, Debug)]
struct Hour {
    old: Vec<Old>,
    young: Table,
}

#[derive(Clone, Debug)]
struct Old {
    run: Arc<OldRun>,
    /// Unless they were released.
    keys: Option<Arc<[u128]>>,
}

/// A place in a run: its hour, its number in the hour, and the key's number in it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct KeyPlace {
    hour: u64,
    run: usize,
    place: usize,
}

impl NonceHours {
    /// Uses a nonce up; false when it was used before. [`NonceHours::unanswered`] must be empty.
    pub(crate) fn use_up(&mut self, advertiser: AdvertiserId, nonce: Nonce) -> bool {
        let (hour, key) = placed(advertiser, nonce);
        let Some(tables) = self.hours.get_mut(&hour) else {
            return self.hours.entry(hour).or_default().young.insert(key);
        };
        if !tables.old.is_empty() && tables.used_long_ago(hour, key, &self.answers) {
            return false;
        }
        tables.young.insert(key)
    }

    /// Whether there may be anything to answer.
    pub(crate) fn asks(&self) -> bool {
        self.released > 0
    }

    /// The places of released runs that decide about a nonce and were not answered.
    pub(crate) fn unanswered(&self, advertiser: AdvertiserId, nonce: Nonce) -> Vec<KeyPlace> {
        if self.released == 0 {
            return Vec::new();
        }
        let (hour, key) = placed(advertiser, nonce);
        let Some(tables) = self.hours.get(&hour) else {
            return Vec::new();
        };
        let places = tables.places(hour, key);
        let open = places.filter(|place| tables.key_at(*place, &self.answers).is_none());
        open.collect()
    }

    /// Takes note of a key that the worker has read.
    pub(crate) fn answer(&mut self, place: KeyPlace, key: u128) {
        self.answers.insert(place, key);
    }

    /// Asks memory for where a nonce would lie.
    pub(crate) fn prefetch(&self, advertiser: AdvertiserId, nonce: Nonce) {
        let (hour, key) = placed(advertiser, nonce);
        if let Some(tables) = self.hours.get(&hour) {
            tables.young.prefetch(mix(key));
        }
    }

    /// Makes runs of what came to hours that had ended by that instant.
    pub(crate) fn retire_ended_before(&mut self, instant: Millis) {
        for (hour, tables) in self.hours.range_mut(..instant.0 / HOUR_MS) {
            tables.retire(*hour);
        }
    }

    /// Forgets answers: they are for the next batch only.
    pub(crate) fn forget_answers(&mut self) {
        self.answers.clear();
    }

    /// Drops the hours that had ended by that instant.
    pub(crate) fn forget_ended_before(&mut self, instant: Millis) {
        self.hours = self.hours.split_off(&(instant.0 / HOUR_MS));
        self.released = self.olds().filter(|old| old.keys.is_none()).count();
    }

    /// Lets the keys of the run go whose part has that name; false when there is none.
    pub(crate) fn release(&mut self, part: &str) -> bool {
        let olds = self.hours.iter_mut().flat_map(|(hour, tables)| {
            let olds = tables.old.iter_mut();
            olds.map(|old| (*hour, old))
        });
        let mut named = olds.filter(|(hour, old)| part_name(*hour, old.run.hash()) == part);
        let Some((_, old)) = named.next() else {
            return false;
        };
        self.released += usize::from(old.keys.take().is_some());
        true
    }

    /// How many nonces are known.
    pub(crate) fn len(&self) -> usize {
        let young: usize = self.hours.values().map(|tables| tables.young.len()).sum();
        young + self.olds().map(|old| old.run.len()).sum::<usize>()
    }

    /// Bytes of memory held.
    pub(crate) fn memory_bytes(&self) -> usize {
        let young = self
            .hours
            .values()
            .map(|tables| tables.young.memory_bytes());
        let old = self.olds().map(|old| {
            let keys = old
                .keys
                .as_ref()
                .map_or(0, |keys| size_of_val::<[u128]>(keys));
            keys + old.run.memory_bytes()
        });
        young.chain(old).sum()
    }

    fn olds(&self) -> impl Iterator<Item = &Old> {
        self.hours.values().flat_map(|tables| &tables.old)
    }
}

impl Hour {
    fn used_long_ago(&self, hour: u64, key: u128, answers: &BTreeMap<KeyPlace, u128>) -> bool {
        self.places(hour, key).any(|place| {
            let told = self.key_at(place, answers);
            assert!(told.is_some(), "a key of a released part was not answered");
            told == Some(key)
        })
    }

    /// Where a key may lie in the runs.
    fn places(&self, hour: u64, key: u128) -> impl Iterator<Item = KeyPlace> {
        self.old.iter().enumerate().flat_map(move |(run, old)| {
            let places = old.run.places(key);
            places.map(move |place| KeyPlace { hour, run, place })
        })
    }

    fn key_at(&self, place: KeyPlace, answers: &BTreeMap<KeyPlace, u128>) -> Option<u128> {
        match &self.old.get(place.run)?.keys {
            Some(keys) => keys.get(place.place).copied(),
            None => answers.get(&place).copied(),
        }
    }

    fn retire(&mut self, hour: u64) {
        let below: usize = self.old.iter().map(|old| old.run.len()).sum();
        let count = self.young.len();
        if count < RUN_MIN.max(below / RUN_SHARE) || u32::try_from(count).is_err() {
            return;
        }
        let keys: Arc<[u128]> = std::mem::take(&mut self.young).sorted().collect();
        self.old.push(Old::new(hour, keys));
    }
}

impl Old {
    fn new(hour: u64, keys: Arc<[u128]>) -> Old {
        Old {
            run: Arc::new(OldRun::new(hour, &keys)),
            keys: Some(keys),
        }
    }
}

/// Equal when the same nonces lie in the same runs, in memory or not.
impl PartialEq for NonceHours {
    fn eq(&self, other: &NonceHours) -> bool {
        self.hours == other.hours
    }
}

impl PartialEq for Hour {
    fn eq(&self, other: &Hour) -> bool {
        let runs = |hour: &Hour| {
            hour.old
                .iter()
                .map(|old| old.run.hash())
                .collect::<Vec<_>>()
        };
        runs(self) == runs(other) && self.young == other.young
    }
}

/// The nonce's hour and its key there.
fn placed(advertiser: AdvertiserId, nonce: Nonce) -> (u64, u128) {
    let at = nonce.at().0;
    let in_hour = u128::from(at % HOUR_MS);
    let key = (u128::from(advertiser.0) << 96) | (in_hour << 74) | nonce.random();
    (at / HOUR_MS, key)
}

const _: () = assert!(HOUR_MS <= 1 << 22);

#[cfg(test)]
mod tests;
