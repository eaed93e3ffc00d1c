//! Used nonces, exactly: one table an hour of the nonce's own time, dropped whole.

use std::collections::{BTreeMap, BTreeSet};

use tollgate_click::{AdvertiserId, Millis, Nonce};

const HOUR_MS: u64 = 3_600_000;

/// Used nonces by hour (hours since 1970).
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub(crate) struct NonceHours {
    hours: BTreeMap<u64, BTreeSet<u128>>,
}

impl NonceHours {
    /// Uses a nonce up; false when it was used before.
    pub(crate) fn use_up(&mut self, advertiser: AdvertiserId, nonce: Nonce) -> bool {
        let hour = nonce.at().0 / HOUR_MS;
        self.hours
            .entry(hour)
            .or_default()
            .insert(key(advertiser, nonce))
    }

    /// Drops the hours that had ended by that instant.
    pub(crate) fn forget_ended_before(&mut self, instant: Millis) {
        self.hours = self.hours.split_off(&(instant.0 / HOUR_MS));
    }

    /// The hours in order, each with its keys in order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&u64, &BTreeSet<u128>)> {
        self.hours.iter()
    }
}

/// 32 bits of advertiser, 22 of millisecond in the hour, 74 random: 128 exactly.
fn key(advertiser: AdvertiserId, nonce: Nonce) -> u128 {
    let in_hour = u128::from(nonce.at().0 % HOUR_MS);
    (u128::from(advertiser.0) << 96) | (in_hour << 74) | nonce.random()
}

const _: () = assert!(HOUR_MS <= 1 << 22);

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: u64 = 24 * HOUR_MS;

    #[test]
    fn a_nonce_is_used_once_an_advertiser() {
        let mut used = NonceHours::default();
        let nonce = Nonce::new(Millis(DAY + 5), 42);
        assert!(used.use_up(AdvertiserId(1), nonce));
        assert!(!used.use_up(AdvertiserId(1), nonce));
        assert!(used.use_up(AdvertiserId(2), nonce));
        assert!(used.use_up(AdvertiserId(1), Nonce::new(Millis(DAY + 6), 42)));
        assert!(used.use_up(AdvertiserId(1), Nonce::new(Millis(DAY + HOUR_MS + 5), 42)));
    }

    #[test]
    fn an_hour_is_dropped_when_it_has_ended_and_not_before() {
        let mut used = NonceHours::default();
        let nonce = Nonce::new(Millis(DAY + HOUR_MS - 1), 7);
        assert!(used.use_up(AdvertiserId(1), nonce));
        used.forget_ended_before(Millis(DAY + HOUR_MS - 1));
        assert!(!used.use_up(AdvertiserId(1), nonce), "the hour still runs");
        used.forget_ended_before(Millis(DAY + HOUR_MS));
        assert!(used.use_up(AdvertiserId(1), nonce), "the hour has ended");
    }

    #[test]
    fn no_two_nonces_share_a_key() {
        let all_random = (1u128 << 74) - 1;
        let last = Nonce::new(Millis(HOUR_MS - 1), all_random);
        let key = key(AdvertiserId(u32::MAX), last);
        assert_eq!(key >> 96, u128::from(u32::MAX));
        assert_eq!((key >> 74) & ((1 << 22) - 1), u128::from(HOUR_MS - 1));
        assert_eq!(key & all_random, all_random);
    }
}
