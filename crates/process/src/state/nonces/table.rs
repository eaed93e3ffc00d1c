//! An exact set of 128-bit keys that only grows: flat, open addressing, no pointers a key.
//!
//! - A slot is a key, 0 is an empty slot (the key 0 itself stands in `spilled`). Slots lie in
//!   lines of four, a line of the processor's cache, so a look-up mostly touches one line.
//! - A key's home line rises with its hash, so a table grows in one pass over memory.
//! - A table is cut into shards by the first bits of the hash. A full shard grows by half, and
//!   past 2^14 lines (a megabyte) it becomes two of different size, so that shards grow at
//!   different times: no growth moves more than that, however large the table is, and the whole
//!   stays near the mean of 25 bytes a key (load 0.53 to 0.8 of 16 bytes).
//! - A key that finds `PROBES` lines full goes into an ordered set. Chance does not do that;
//!   one who makes keys whose hashes collide gains a logarithm, not a scan.
//! - Shards are shared between copies until one is written to, so a copy costs next to nothing.
//!
//! Nothing outside may depend on where a key lies: what goes out is sorted by [`order`].

use std::collections::BTreeSet;
use std::iter::repeat_n;
use std::sync::Arc;

use prefetch_index::prefetch_index;

/// Keys in a line.
const LINE: usize = 4;

/// Lines of the smallest table.
const LINES_MIN: usize = 4;

/// A shard that would grow past this is cut in two.
const LINES_MAX: usize = 1 << 14;

/// Lines that are looked at before a key is spilled.
const PROBES: usize = 64;

/// A set of keys.
#[derive(Clone, Default, Debug)]
pub(crate) struct Table {
    /// In the order of their keys' hashes.
    shards: Vec<Shard>,
    /// The shard of all hashes that begin with a number: as many numbers as a power of two.
    places: Vec<u32>,
}

#[derive(Clone, Debug)]
struct Shard {
    lines: Arc<[Line]>,
    /// Keys in `lines`.
    keys: usize,
    /// With so many keys it grows before it takes another.
    keys_max: usize,
    spilled: Arc<BTreeSet<u128>>,
    /// As many first bits of the hash are the same in all its keys.
    depth: u32,
}

#[derive(Clone, Copy, Default, Debug)]
#[repr(align(64))]
struct Line([u128; LINE]);

/// A fixed hash: the two halves multiplied, twice, with high and low half folded.
pub(crate) fn mix(key: u128) -> u64 {
    let fold = |a: u64, b: u64| {
        let product = u128::from(a) * u128::from(b);
        (product as u64) ^ ((product >> 64) as u64)
    };
    let low = (key as u64) ^ 0x9E37_79B9_7F4A_7C15;
    let high = ((key >> 64) as u64) ^ 0xD1B5_4A32_D192_ED03;
    fold(fold(low, high) ^ low, 0xA24B_AED4_963E_E407)
}

/// Where a key stands among others, whatever table holds it.
pub(crate) fn order(key: u128) -> (u64, u128) {
    (mix(key), key)
}

/// A number below `count` that rises with `hash`.
pub(crate) fn scale(hash: u64, count: usize) -> usize {
    ((u128::from(hash) * count as u128) >> 64) as usize
}

impl Table {
    /// Adds a key; false when it was there.
    pub(crate) fn insert(&mut self, key: u128) -> bool {
        let hash = mix(key);
        let place = self.place(hash);
        match self.shards.get_mut(place) {
            Some(shard) if !shard.is_full() => shard.insert(key, hash),
            _ => {
                self.grow(place);
                self.insert(key)
            }
        }
    }

    /// The place of the shard that has the keys of a hash.
    fn place(&self, hash: u64) -> usize {
        let place = self.places.get(scale(hash, self.places.len()));
        place.map_or(0, |place| *place as usize)
    }

    /// Asks memory for the line in which a key of that hash would lie.
    pub(crate) fn prefetch(&self, hash: u64) {
        if let Some(shard) = self.shards.get(self.place(hash)) {
            prefetch_index(&shard.lines, shard.home(hash));
        }
    }

    /// How many keys there are.
    pub(crate) fn len(&self) -> usize {
        self.shards.iter().map(|shard| shard.len()).sum()
    }

    /// Bytes of memory held, without the few that do not grow.
    pub(crate) fn memory_bytes(&self) -> usize {
        let each = |shard: &Shard| size_of_val::<[Line]>(&shard.lines);
        self.shards.iter().map(each).sum()
    }

    /// All keys by [`order`], sorted a shard at a time.
    pub(crate) fn sorted(&self) -> impl Iterator<Item = u128> {
        self.shards.iter().flat_map(|shard| shard.sorted())
    }

    /// Makes room in a shard. Two that come of one have different sizes, so that they do not grow
    /// at the same time ever after.
    fn grow(&mut self, place: usize) {
        let Some(full) = self.shards.get(place) else {
            self.shards.push(Shard::new(LINES_MIN, 0));
            self.places = vec![0];
            return;
        };
        let (lines, depth) = (full.lines.len(), full.depth);
        let larger = match lines * 3 / 2 {
            larger if larger <= LINES_MAX => vec![Shard::new(larger, depth)],
            _ => [lines * 5 / 8, lines * 7 / 8]
                .map(|lines| Shard::new(lines, depth + 1))
                .into(),
        };
        let more = larger.len();
        let smaller: Vec<Shard> = self.shards.splice(place..=place, larger).collect();
        let larger = self.shards.get_mut(place..place + more).unwrap_or_default();
        for key in smaller.iter().flat_map(Shard::keys) {
            let hash = mix(key);
            if let Some(shard) = larger.get_mut(scale(hash << depth, more)) {
                shard.insert(key, hash);
            }
        }
        if more > 1 {
            self.number();
        }
    }

    /// Notes which shard has which hashes.
    fn number(&mut self) {
        let depths = self.shards.iter().map(|shard| shard.depth);
        let deepest = depths.clone().max().unwrap_or(0);
        let places = (0u32..).zip(depths);
        let places = places.flat_map(|(place, depth)| repeat_n(place, 1 << (deepest - depth)));
        self.places = places.collect();
    }
}

impl Shard {
    fn new(lines: usize, depth: u32) -> Shard {
        Shard {
            lines: repeat_n(Line::default(), lines).collect(),
            keys: 0,
            keys_max: lines * LINE * 4 / 5,
            spilled: Arc::default(),
            depth,
        }
    }

    fn is_full(&self) -> bool {
        self.keys >= self.keys_max
    }

    fn len(&self) -> usize {
        self.keys + self.spilled.len()
    }

    /// The first line of a key's probes.
    fn home(&self, hash: u64) -> usize {
        scale(hash << self.depth, self.lines.len())
    }

    fn insert(&mut self, key: u128, hash: u64) -> bool {
        if key == 0 {
            return Arc::make_mut(&mut self.spilled).insert(key);
        }
        let mut at = self.home(hash);
        let lines = Arc::make_mut(&mut self.lines);
        for _ in 0..PROBES {
            let Some(Line(slots)) = lines.get_mut(at) else {
                break;
            };
            for slot in slots {
                if *slot == key {
                    return false;
                }
                if *slot == 0 {
                    *slot = key;
                    self.keys += 1;
                    return true;
                }
            }
            at = if at + 1 < lines.len() { at + 1 } else { 0 };
        }
        Arc::make_mut(&mut self.spilled).insert(key)
    }

    /// All keys.
    fn keys(&self) -> impl Iterator<Item = u128> {
        let slots = self.lines.iter().flat_map(|Line(slots)| slots);
        let keys = slots.copied().filter(|key| *key != 0);
        keys.chain(self.spilled.iter().copied())
    }

    fn sorted(&self) -> Vec<u128> {
        let mut keys: Vec<u128> = self.keys().collect();
        keys.sort_unstable_by_key(|key| order(*key));
        keys
    }
}

impl FromIterator<u128> for Table {
    fn from_iter<T: IntoIterator<Item = u128>>(keys: T) -> Table {
        let mut table = Table::default();
        keys.into_iter().for_each(|key| {
            table.insert(key);
        });
        table
    }
}

/// Two tables are equal when their keys are.
impl PartialEq for Table {
    fn eq(&self, other: &Table) -> bool {
        self.len() == other.len() && self.sorted().eq(other.sorted())
    }
}

impl Eq for Table {}

#[cfg(test)]
mod tests;
