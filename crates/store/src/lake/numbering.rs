//! Numbers for 64-bit values, in the order in which they come.

use std::hash::{BuildHasher, RandomState};

/// A slot without a number.
const FREE: u32 = u32::MAX;

/// How far values may lie apart to be found by their place; with it grows what is set to zero.
pub(crate) fn spread_max(rows: usize) -> u64 {
    rows as u64 * 4
}

/// Numbers values that lie near each other, between two bounds, in the order in which they come,
/// and gives them by their numbers.
pub(crate) fn near(
    values: impl Iterator<Item = u64>,
    (low, high): (u64, u64),
    numbers: &mut [u32],
) -> Vec<u64> {
    // One more than the number; 0 as long as there is none.
    let mut found = vec![0u32; (high - low) as usize + 1];
    let mut different = Vec::new();
    for (number, value) in numbers.iter_mut().zip(values) {
        if let Some(found) = found.get_mut((value - low) as usize) {
            if *found == 0 {
                different.push(value);
                *found = different.len() as u32;
            }
            *number = *found - 1;
        }
    }
    different
}

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
    fn near_values_have_the_same_numbers() {
        let values: Vec<u64> = (0..9_000u64).map(|turn| 70 + turn * turn % 997).collect();
        let mut numbering = Numbering::new(4);
        let want: Vec<u32> = values
            .iter()
            .map(|value| numbering.number(*value))
            .collect();
        let mut numbers = vec![0; values.len()];
        let different = near(values.iter().copied(), (70, 70 + 996), &mut numbers);
        assert_eq!((numbers, different), (want, numbering.into_values()));
    }

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
