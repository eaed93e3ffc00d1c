//! Things looked up by every click: they lie side by side in the order in which they were made,
//! and a table with a fixed hash function finds their places.
//!
//! The order is the log's, so walking them gives the same on every machine; the table is never
//! walked. It is open addressing over 4 bytes a slot, at most half full; the key stands with the
//! value, so that a look-up waits for memory twice: for the slot, and for the value itself.

use std::hash::{Hash, Hasher};

use prefetch_index::prefetch_index;
use tollgate_click::codec::{DecodeError, Reader, put_varint};

use super::kept::Kept;

/// Where a thing lies. It never moves.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Place(u32);

/// Where a look-up begins.
#[derive(Clone, Copy, Default, Debug)]
pub(crate) struct Slot(usize);

/// Values by key, in the order in which they were made. None is ever taken out: whoever makes
/// them bounds their number.
#[derive(Clone, Debug)]
pub(crate) struct Dense<K, V> {
    /// Places + 1, or 0; as many as a power of two.
    slots: Vec<u32>,
    rows: Vec<Row<K, V>>,
}

/// A key and its value, from the beginning of a line of the processor's cache on.
#[derive(Clone, PartialEq, Debug)]
#[repr(C, align(64))]
struct Row<K, V> {
    key: K,
    value: V,
}

impl<K, V> Default for Dense<K, V> {
    fn default() -> Dense<K, V> {
        Dense {
            slots: Vec::new(),
            rows: Vec::new(),
        }
    }
}

impl<K: Copy + Eq + Hash, V> Dense<K, V> {
    /// Bytes of memory that a key and its value take.
    pub(crate) const ROW_BYTES: usize = size_of::<Row<K, V>>();

    /// Where the value of a key lies.
    pub(crate) fn place(&self, key: K) -> Option<Place> {
        let mut slot = self.slot(key);
        loop {
            let place = self.slots.get(slot)?.checked_sub(1)?;
            if self.rows.get(place as usize)?.key == key {
                return Some(Place(place));
            }
            slot = (slot + 1) & (self.slots.len() - 1);
        }
    }

    /// The slot at which a key's look-up begins, asked of memory: the first step of a look-up
    /// ahead. The second is [`Dense::prefetch`].
    pub(crate) fn prefetch_slot(&self, key: K) -> Slot {
        let slot = self.slot(key);
        prefetch_index(&self.slots, slot);
        Slot(slot)
    }

    /// Asks memory for the first line of the value that is named in a slot, in all likelihood the
    /// key's. Nothing of the value may be read yet; its other lines may be asked for.
    pub(crate) fn prefetch(&self, Slot(slot): Slot) -> Option<&V> {
        let place = self.slots.get(slot)?.checked_sub(1)?;
        self.prefetch_at(Place(place))
    }

    /// The same for the value at a place.
    pub(crate) fn prefetch_at(&self, Place(place): Place) -> Option<&V> {
        prefetch_index(&self.rows, place as usize);
        self.rows.get(place as usize).map(|row| &row.value)
    }

    /// The value of a key.
    pub(crate) fn get(&self, key: K) -> Option<&V> {
        self.at(self.place(key)?)
    }

    /// The value of a key, to change it.
    pub(crate) fn get_mut(&mut self, key: K) -> Option<&mut V> {
        self.at_mut(self.place(key)?)
    }

    /// The value at a place.
    pub(crate) fn at(&self, place: Place) -> Option<&V> {
        self.rows.get(place.0 as usize).map(|row| &row.value)
    }

    /// The value at a place, to change it.
    pub(crate) fn at_mut(&mut self, place: Place) -> Option<&mut V> {
        let row = self.rows.get_mut(place.0 as usize);
        row.map(|row| &mut row.value)
    }

    /// Puts a value under a key that has none yet.
    pub(crate) fn push(&mut self, key: K, value: V) -> Place {
        let place = self.rows.len() as u32; // a control record each: 2^32 fit in no memory
        assert!(self.place(key).is_none(), "a key has one place for good");
        self.rows.push(Row { key, value });
        if self.rows.len() * 2 > self.slots.len() {
            self.grow();
        } else {
            self.enter(key, place);
        }
        Place(place)
    }

    fn grow(&mut self) {
        self.slots = vec![0; (self.slots.len() * 2).max(8)];
        let keys: Vec<K> = self.rows.iter().map(|row| row.key).collect();
        (0..)
            .zip(keys)
            .for_each(|(place, key)| self.enter(key, place));
    }

    /// Notes a place in the first slot that is free.
    fn enter(&mut self, key: K, place: u32) {
        let mut slot = self.slot(key);
        while let Some(taken) = self.slots.get_mut(slot) {
            if *taken == 0 {
                *taken = place + 1;
                return;
            }
            slot = (slot + 1) & (self.slots.len() - 1);
        }
    }

    fn slot(&self, key: K) -> usize {
        let mut hasher = FixedHasher::default();
        key.hash(&mut hasher);
        hasher.finish() as usize & self.slots.len().wrapping_sub(1)
    }

    /// All in the order in which they were made.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&K, &V)> {
        self.rows.iter().map(|row| (&row.key, &row.value))
    }

    /// All values, to change them.
    pub(crate) fn values_mut(&mut self) -> impl Iterator<Item = &mut V> {
        self.rows.iter_mut().map(|row| &mut row.value)
    }
}

impl<K: PartialEq, V: PartialEq> PartialEq for Dense<K, V> {
    fn eq(&self, other: &Dense<K, V>) -> bool {
        self.rows == other.rows
    }
}

impl<K: Kept + Copy + Eq + Hash, V: Kept> Kept for Dense<K, V> {
    fn put(&self, out: &mut Vec<u8>) {
        put_varint(out, self.rows.len() as u64);
        for Row { key, value } in &self.rows {
            key.put(out);
            value.put(out);
        }
    }

    fn take(reader: &mut Reader<'_>) -> Result<Dense<K, V>, DecodeError> {
        let mut dense = Dense::default();
        for (key, value) in Vec::<(K, V)>::take(reader)? {
            if dense.place(key).is_some() {
                return Err(DecodeError::Invalid("a key that stands twice"));
            }
            dense.push(key, value);
        }
        Ok(dense)
    }
}

impl Kept for Place {
    fn put(&self, out: &mut Vec<u8>) {
        self.0.put(out);
    }

    fn take(reader: &mut Reader<'_>) -> Result<Place, DecodeError> {
        u32::take(reader).map(Place)
    }
}

/// SplitMix64's finaliser over the numbers of a key. The keys are numbers that the operator's own
/// API gives out, so nobody outside can choose them to collide.
#[derive(Clone, Copy, Default)]
pub(crate) struct FixedHasher(u64);

impl Hasher for FixedHasher {
    fn write(&mut self, bytes: &[u8]) {
        bytes
            .iter()
            .for_each(|byte| self.write_u64(u64::from(*byte)));
    }

    fn write_u32(&mut self, number: u32) {
        self.write_u64(u64::from(number));
    }

    fn write_u64(&mut self, number: u64) {
        let mut mixed = (self.0 ^ number).wrapping_add(0x9E37_79B9_7F4A_7C15);
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        self.0 = mixed ^ (mixed >> 31);
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_put_in_comes_back_in_its_order() {
        let mut dense = Dense::default();
        for key in (0..1000u32).rev() {
            let place = dense.push(key, u64::from(key) * 3);
            assert_eq!(dense.place(key), Some(place));
        }
        assert_eq!(dense.get(7), Some(&21));
        assert_eq!(dense.get(1000), None);
        let keys: Vec<u32> = dense.iter().map(|(key, _)| *key).collect();
        assert!(keys.is_sorted_by(|one, next| one > next));
        let mut bytes = Vec::new();
        dense.put(&mut bytes);
        let back = Dense::<u32, u64>::take(&mut Reader::new(&bytes)).unwrap();
        assert_eq!(back, dense);
        assert_eq!(back.get(999), Some(&2997));
    }

    #[test]
    fn a_key_that_stands_twice_is_damage() {
        let mut bytes = Vec::new();
        vec![(1u32, 2u64), (1, 3)].put(&mut bytes);
        assert!(Dense::<u32, u64>::take(&mut Reader::new(&bytes)).is_err());
    }
}
