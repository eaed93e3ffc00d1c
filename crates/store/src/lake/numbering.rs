//! Numbers for 64-bit values, in the order in which they come.

use std::hash::{BuildHasher, RandomState};

/// A slot without a number.
const FREE: u32 = u32::MAX;

/// The different values so far; each has the next number, from 0.
pub(crate) struct Numbering {
    values: Vec<u64>,
    /// A value and its number: a power of two many, at most half taken.
    slots: Vec<(u64, u32)>,
    seed: u64,
}

impl Numbering {
    /// No values, with room for some.
    pub(crate) fn new(room: usize) -> Numbering {
        let slots = (room.max(16) * 2).next_power_of_two();
        Numbering {
            values: Vec::with_capacity(room),
            slots: vec![(0, FREE); slots],
            // Ids come from strangers: without a seed they could all meet in one slot.
            seed: RandomState::new().hash_one(0),
        }
    }

    /// The number of a value, the next one if it is new.
    pub(crate) fn number(&mut self, value: u64) -> u32 {
        let slot = self.slot(value);
        let count = self.values.len() as u32; // fewer than FREE: memory ends before
        match self.slots.get_mut(slot) {
            Some((_, number)) if *number != FREE => return *number,
            Some(place) => *place = (value, count),
            None => {}
        }
        self.values.push(value);
        if self.values.len() * 2 >= self.slots.len() {
            self.grow();
        }
        count
    }

    /// The values by their numbers.
    pub(crate) fn into_values(self) -> Vec<u64> {
        self.values
    }

    fn grow(&mut self) {
        self.slots = vec![(0, FREE); self.slots.len() * 4];
        for number in 0..self.values.len() {
            let value = self.values.get(number).copied().unwrap_or_default();
            let slot = self.slot(value);
            if let Some(place) = self.slots.get_mut(slot) {
                *place = (value, number as u32);
            }
        }
    }

    /// Where the value stands, or is to stand.
    fn slot(&self, value: u64) -> usize {
        let mask = self.slots.len() - 1;
        let product = u128::from(value ^ self.seed) * 0x9E37_79B9_7F4A_7C15;
        let mut at = (product as u64 ^ (product >> 64) as u64) as usize & mask;
        loop {
            match self.slots.get(at) {
                Some((there, number)) if *number != FREE && *there != value => {
                    at = (at + 1) & mask;
                }
                _ => return at,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    #[test]
    fn numbers_are_those_of_a_plain_map() {
        let mut numbering = Numbering::new(4);
        let mut plain = BTreeMap::new();
        for turn in 0..30_000u64 {
            let value = (turn * turn % 7919) << (turn % 3 * 20);
            let next = plain.len() as u32;
            let want = *plain.entry(value).or_insert(next);
            assert_eq!(numbering.number(value), want);
        }
        let values = numbering.into_values();
        assert_eq!(values.len(), plain.len());
        assert!(
            plain
                .iter()
                .all(|(value, number)| values[*number as usize] == *value)
        );
    }
}
