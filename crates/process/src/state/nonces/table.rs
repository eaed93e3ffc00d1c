//! An exact set of 128-bit keys that only grows: flat, open addressing, no pointers a key.
//!
//! - A slot is a key, 0 is an empty slot (the key 0 itself stands in `spilled`). Slots lie in
//!   lines of four, a line of the processor's cache, so a look-up mostly touches one line.
//! - A key's home line rises with its hash, so a table grows in one pass over memory.
//! - Past 2^14 keys the table is cut into 64 shards of slightly different size. They grow on
//!   their own and at different times: no growth moves more than 1/64 of a large table, and the
//!   whole is never more than a few percent off the mean of 31 bytes a key (load 0.37 to
//!   0.75 of 16 bytes).
//! - A key that finds `PROBES` lines full goes into an ordered set. Chance does not do that;
//!   one who makes keys whose hashes collide gains a logarithm, not a scan.
//! - Shards are shared between copies until one is written to, so a copy costs next to nothing.
//!
//! Nothing outside may depend on where a key lies: what goes out is sorted by [`order`].

use std::collections::BTreeSet;
use std::sync::Arc;

/// Keys in a line.
const LINE: usize = 4;

/// Lines of the smallest table.
const LINES_MIN: usize = 4;

/// Shards of a table that has grown up.
const SHARDS: usize = 64;

/// More keys than this are cut into shards.
const WHOLE_MAX: usize = 1 << 14;

/// Lines that are looked at before a key is spilled.
const PROBES: usize = 64;

/// A set of keys.
#[derive(Clone, Default, Debug)]
pub(crate) struct Table {
    shards: Vec<Shard>,
}

#[derive(Clone, Debug)]
struct Shard {
    lines: Arc<[Line]>,
    /// Keys in `lines`.
    keys: usize,
    /// With so many keys it grows before it takes another.
    keys_max: usize,
    spilled: Arc<BTreeSet<u128>>,
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

/// The first line of a key's probes rises with the hash below the bits that have chosen the
/// shard.
fn home(hash: u64, lines: usize) -> usize {
    scale(hash.rotate_left(SHARDS.trailing_zeros()), lines)
}

impl Table {
    /// Adds a key; false when it was there.
    pub(crate) fn insert(&mut self, key: u128) -> bool {
        let hash = mix(key);
        let place = scale(hash, self.shards.len());
        let Some(shard) = self.shards.get_mut(place) else {
            self.shards.push(Shard::new(key, hash));
            return true;
        };
        let new = shard.insert(key, hash);
        if new && self.shards.len() == 1 && self.len() > WHOLE_MAX {
            self.split();
        }
        new
    }

    /// The lines in which a key of that hash would lie, to be touched before it is asked for.
    pub(crate) fn near(&self, hash: u64) -> Near<'_> {
        let shard = self.shards.get(scale(hash, self.shards.len()));
        Near {
            lines: shard.map(|shard| &shard.lines),
            hash,
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

    /// The shards' sizes lie between 1 and 2 of what they need, evenly.
    fn split(&mut self) {
        let whole: Vec<u128> = self.sorted().collect();
        let need = whole.len() / SHARDS / LINE * 4 / 3 + LINES_MIN;
        let sized = |number: usize| Shard::of_lines(need + need * number / SHARDS);
        let mut shards: Vec<Shard> = (0..SHARDS).map(sized).collect();
        for key in whole {
            let hash = mix(key);
            if let Some(shard) = shards.get_mut(scale(hash, SHARDS)) {
                shard.insert(key, hash);
            }
        }
        self.shards = shards;
    }
}

impl Shard {
    fn new(key: u128, hash: u64) -> Shard {
        let mut shard = Shard::of_lines(LINES_MIN);
        shard.insert(key, hash);
        shard
    }

    fn of_lines(lines: usize) -> Shard {
        Shard {
            lines: std::iter::repeat_n(Line::default(), lines).collect(),
            keys: 0,
            keys_max: lines * LINE * 3 / 4,
            spilled: Arc::default(),
        }
    }

    fn len(&self) -> usize {
        self.keys + self.spilled.len()
    }

    fn home(&self, hash: u64) -> usize {
        home(hash, self.lines.len())
    }

    fn insert(&mut self, key: u128, hash: u64) -> bool {
        if self.keys >= self.keys_max {
            self.grow();
        }
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

    fn grow(&mut self) {
        let larger = Shard::of_lines((self.lines.len() * 2).max(LINES_MIN));
        let smaller = std::mem::replace(self, larger);
        let slots = smaller.lines.iter().flat_map(|Line(slots)| slots);
        for key in slots
            .copied()
            .filter(|key| *key != 0)
            .chain(smaller.spilled.iter().copied())
        {
            self.insert(key, mix(key));
        }
    }

    fn sorted(&self) -> Vec<u128> {
        let slots = self.lines.iter().flat_map(|Line(slots)| slots);
        let keys = slots.copied().filter(|key| *key != 0);
        let mut keys: Vec<u128> = keys.chain(self.spilled.iter().copied()).collect();
        keys.sort_unstable_by_key(|key| order(*key));
        keys
    }
}

/// A line that is about to be asked for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Near<'t> {
    lines: Option<&'t Arc<[Line]>>,
    hash: u64,
}

impl Near<'_> {
    /// Reads the line, and whether it is shared, which lies before the first line.
    pub(crate) fn touch(self) -> u64 {
        let Some(lines) = self.lines else {
            return 0;
        };
        let line = lines.get(home(self.hash, lines.len()));
        line.map_or(0, |Line([first, ..])| *first as u64) ^ Arc::strong_count(lines) as u64
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
