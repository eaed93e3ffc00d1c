//! Keys of an old hour: sorted once, never changed, and small in memory.
//!
//! The keys stand in [`order`]. In memory are 16 bits of each key's hash, in the same order and
//! cut into buckets of 32 by the hash's high bits: 2 bytes and an eighth a key. A look-up reads
//! one bucket; in one of 2,000 look-ups of a key that is not there 16 bits happen to be equal.
//! Then the key at that place decides, in memory or, once it has been released, in the part that
//! the worker has stored: 16 bytes at a place that is known.

use sha2::{Digest, Sha256};

use super::table::{mix, scale};

/// Keys in a bucket, on average.
const BUCKET: usize = 32;

/// One immutable set of keys.
#[derive(Clone, Debug)]
pub(crate) struct OldRun {
    keys: usize,
    hash: [u8; 32],
    /// Where each bucket begins; one more for the end.
    starts: Vec<u32>,
    /// The low 16 bits of each key's hash.
    marks: Vec<u16>,
}

impl OldRun {
    /// Of keys in order.
    pub(crate) fn new(hour: u64, keys: &[u128]) -> OldRun {
        let buckets = keys.len() / BUCKET + 1;
        let mut starts = vec![0u32; buckets + 1];
        let mut marks = Vec::with_capacity(keys.len());
        let mut hash = Sha256::new();
        hash.update(header(hour, keys.len()));
        let mut at = 0;
        for (place, key) in keys.iter().enumerate() {
            let mixed = mix(*key);
            let bucket = scale(mixed, buckets);
            while at < bucket {
                at += 1;
                if let Some(start) = starts.get_mut(at) {
                    *start = place as u32; // fewer than 2^32 keys, see `Hour::age`
                }
            }
            marks.push(mixed as u16);
            hash.update(key.to_le_bytes());
        }
        let end = keys.len() as u32;
        starts
            .iter_mut()
            .skip(at + 1)
            .for_each(|start| *start = end);
        let hash = hash.finalize().into();
        OldRun {
            keys: keys.len(),
            hash,
            starts,
            marks,
        }
    }

    /// SHA-256 of the part.
    pub(crate) fn hash(&self) -> [u8; 32] {
        self.hash
    }

    /// How many keys there are.
    pub(crate) fn len(&self) -> usize {
        self.keys
    }

    /// Bytes of memory held, without the keys.
    pub(crate) fn memory_bytes(&self) -> usize {
        self.starts.capacity() * size_of::<u32>() + self.marks.capacity() * size_of::<u16>()
    }

    /// The places at which the key may lie: mostly none, and mostly one when it is there.
    pub(crate) fn places(&self, key: u128) -> impl Iterator<Item = usize> {
        let mixed = mix(key);
        let bucket = scale(mixed, self.starts.len().saturating_sub(1));
        let bound = |at: usize| self.starts.get(at).map_or(0, |start| *start as usize);
        let start = bound(bucket);
        let marks = self.marks.get(start..bound(bucket + 1)).unwrap_or_default();
        let equal = marks
            .iter()
            .enumerate()
            .filter(move |(_, mark)| **mark == mixed as u16);
        equal.map(move |(offset, _)| start + offset)
    }
}

/// Bytes before the first key.
pub(crate) const HEADER_BYTES: usize = 28;

const MAGIC: [u8; 8] = *b"TOLLOLDN";
const VERSION: u32 = 1;

/// Magic, version (u32), hour (u64), number of keys (u64), all little-endian.
pub(crate) fn header(hour: u64, keys: usize) -> [u8; HEADER_BYTES] {
    let mut header = [0; HEADER_BYTES];
    let fields = MAGIC.into_iter().chain(VERSION.to_le_bytes());
    let fields = fields
        .chain(hour.to_le_bytes())
        .chain((keys as u64).to_le_bytes());
    header
        .iter_mut()
        .zip(fields)
        .for_each(|(to, from)| *to = from);
    header
}

#[cfg(test)]
mod tests {
    use super::super::table::order;
    use super::*;

    #[test]
    fn each_key_lies_at_one_of_its_places_and_few_others_have_one() {
        for count in [0, 1, 31, 32, 33, 5_000] {
            let odd = |number: u64| u128::from(number).wrapping_mul(0x9E37_79B9_7F4A_7C15) << 9 | 1;
            let mut keys: Vec<u128> = (0..count).map(odd).collect();
            keys.sort_by_key(|key| order(*key));
            let run = OldRun::new(7, &keys);
            for (place, key) in keys.iter().enumerate() {
                assert!(
                    run.places(*key).any(|found| found == place),
                    "{place} of {count}"
                );
            }
            let strange = (0..10_000).filter(|n| run.places(odd(*n) - 1).next().is_some());
            assert!(strange.count() < 25, "of {count}");
        }
    }
}
