//! Numbers for keys: each different key of a fixed number of words gets the next number, from 0.
//!
//! An open-addressed table with linear probing; keys lie one after the other in the order of
//! their numbers, so that going through them needs no hashing and the order depends on nothing
//! but the input.

/// Slots that are not taken.
const FREE: u32 = u32::MAX;

/// The different keys so far.
pub(crate) struct Groups {
    width: usize,
    keys: Vec<u64>,
    /// The number of the key in a slot; a power of two many, at most half of them taken.
    slots: Vec<u32>,
    count: usize,
}

impl Groups {
    /// No keys; each will have `width` words, at least one.
    pub(crate) fn new(width: usize) -> Groups {
        Groups {
            width: width.max(1),
            keys: Vec::new(),
            slots: vec![FREE; 64],
            count: 0,
        }
    }

    /// The number of a key, the next one if it is new.
    pub(crate) fn number(&mut self, key: &[u64]) -> usize {
        debug_assert_eq!(key.len(), self.width);
        if self.count * 2 >= self.slots.len() {
            self.grow();
        }
        let mask = self.slots.len() - 1;
        let mut at = hash(key) as usize & mask;
        loop {
            match self.slots.get_mut(at) {
                Some(slot) if *slot == FREE => {
                    *slot = self.count as u32; // fewer than FREE: memory ends before
                    self.keys.extend_from_slice(key);
                    self.count += 1;
                    return self.count - 1;
                }
                Some(slot)
                    if self
                        .keys
                        .get(*slot as usize * self.width..)
                        .is_some_and(|rest| rest.starts_with(key)) =>
                {
                    return *slot as usize;
                }
                _ => at = (at + 1) & mask,
            }
        }
    }

    /// The keys by their numbers.
    pub(crate) fn keys(&self) -> impl Iterator<Item = &[u64]> {
        self.keys.chunks_exact(self.width)
    }

    fn grow(&mut self) {
        let size = self.slots.len() * 4;
        let mut slots = vec![FREE; size];
        for (key, number) in self.keys.chunks_exact(self.width).zip(0u32..) {
            let mut at = hash(key) as usize & (size - 1);
            loop {
                match slots.get_mut(at) {
                    Some(slot) if *slot == FREE => {
                        *slot = number;
                        break;
                    }
                    _ => at = (at + 1) & (size - 1),
                }
            }
        }
        self.slots = slots;
    }
}

/// Folds 128-bit products: every bit of a key reaches the low bits of the hash.
fn hash(key: &[u64]) -> u64 {
    let mut mixed = 0x9E37_79B9_7F4A_7C15u64;
    for word in key {
        let product = u128::from(mixed ^ word) * 0xD6E8_FEB8_6659_FD93;
        mixed = (product as u64) ^ ((product >> 64) as u64);
        mixed = mixed.rotate_left(23) ^ 0xA076_1D64_78BD_642F;
    }
    mixed ^ (mixed >> 32)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    #[test]
    fn numbers_are_those_of_a_plain_map() {
        for width in [1, 2, 6] {
            let mut groups = Groups::new(width);
            let mut plain: BTreeMap<Vec<u64>, usize> = BTreeMap::new();
            for turn in 0..20_000u64 {
                let word =
                    |index: u64| ((turn * turn + index * 7) % 997 * (index + 1)) << (index * 9);
                let key: Vec<u64> = (0..width as u64).map(word).collect();
                let next = plain.len();
                let want = *plain.entry(key.clone()).or_insert(next);
                assert_eq!(groups.number(&key), want);
            }
            assert_eq!(groups.keys().count(), plain.len());
            for (number, key) in groups.keys().enumerate() {
                assert_eq!(plain[key], number);
            }
        }
    }

    #[test]
    fn keys_that_differ_in_one_bit_spread() {
        let mut groups = Groups::new(1);
        let low: Vec<u64> = (0..64).map(|bit| hash(&[1 << bit]) & 0xFFFF).collect();
        let mut different = low.clone();
        different.sort_unstable();
        different.dedup();
        assert!(different.len() > 60, "{low:?}");
        assert_eq!(groups.number(&[0]), 0);
    }
}
