//! Byte strings of few different values: each is kept once, and rows hold its number. Strings
//! that hardly repeat are kept one a row.

use std::fmt;
use std::hash::{BuildHasher, RandomState};

use sha2::{Digest, Sha256};

use super::columns::{gather, hash_all};

/// Strings that are searched one by one; more are found by their hash.
const FEW: usize = 16;

/// A slot without a number.
const FREE: u32 = u32::MAX;

/// Places of [`Words::recent`], a power of two.
const RECENT: usize = 64;

/// Strings of rows. The order in which strings were met shows in their numbers and in nothing
/// that is written.
#[derive(Clone, Default)]
pub struct Words {
    /// A number per row.
    pub rows: Vec<u32>,
    /// All different strings, one after the other.
    bytes: Vec<u8>,
    /// Where the string of a number ends in `bytes`.
    ends: Vec<usize>,
    /// Numbers by hash: a power of two many, at most half taken; none while strings are few.
    slots: Vec<u32>,
    /// Numbers that were asked for last, by a few bytes of their strings; empty at first. Rows
    /// often repeat one of a handful of strings, which is found here with one comparison.
    recent: Vec<u32>,
    /// What is kept here comes from strangers, so the hash is seeded.
    seed: Seed,
    /// Every row has a string for itself: none is looked for.
    apart: bool,
}

/// Two odd numbers that nobody outside knows.
#[derive(Clone, Copy, Debug)]
struct Seed(u64, u64);

impl Default for Seed {
    fn default() -> Seed {
        let random = RandomState::new();
        Seed(random.hash_one(0) | 1, random.hash_one(1) | 1)
    }
}

impl PartialEq for Words {
    fn eq(&self, other: &Words) -> bool {
        self.rows.len() == other.rows.len() && self.iter().eq(other.iter())
    }
}

impl Eq for Words {}

impl fmt::Debug for Words {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rows = self.iter().map(String::from_utf8_lossy);
        formatter.debug_list().entries(rows).finish()
    }
}

impl Words {
    /// Strings that hardly repeat.
    pub(crate) fn apart() -> Words {
        Words {
            apart: true,
            ..Words::default()
        }
    }

    /// The number of a string, new if it was not there.
    pub fn number(&mut self, string: &[u8]) -> u32 {
        if self.apart {
            return self.add(string);
        }
        let ends = string.first().into_iter().chain(string.last());
        let mixed = ends.fold(string.len(), |mixed, byte| mixed * 31 + usize::from(*byte));
        let place = mixed % RECENT;
        match self.recent.get(place) {
            Some(number) if *number != FREE && self.get(*number) == string => return *number,
            Some(_) => {}
            None => self.recent = vec![FREE; RECENT],
        }
        let number = self.find(string).unwrap_or_else(|| self.add(string));
        if let Some(recent) = self.recent.get_mut(place) {
            *recent = number;
        }
        number
    }

    /// Appends a row.
    pub fn push(&mut self, string: &[u8]) {
        let number = self.number(string);
        self.rows.push(number);
    }

    /// Takes all rows and strings out.
    pub(crate) fn clear(&mut self) {
        self.rows.clear();
        self.bytes.clear();
        self.ends.clear();
        self.slots.clear();
        self.recent.clear();
    }

    /// How many different strings there are.
    pub fn count(&self) -> usize {
        self.ends.len()
    }

    /// The string of a number; empty if there is none.
    #[inline]
    pub fn get(&self, number: u32) -> &[u8] {
        let at = number as usize;
        let start = at.checked_sub(1).and_then(|before| self.ends.get(before));
        let end = self.ends.get(at).copied().unwrap_or(0);
        self.bytes
            .get(start.copied().unwrap_or(0)..end)
            .unwrap_or_default()
    }

    /// The string of a number as text; empty if it is none.
    pub fn text(&self, number: u32) -> &str {
        std::str::from_utf8(self.get(number)).unwrap_or_default()
    }

    /// The different strings as texts, by number.
    pub fn texts(&self) -> impl Iterator<Item = &str> {
        (0..self.count() as u32).map(|number| self.text(number))
    }

    /// The string of every row.
    pub fn iter(&self) -> impl Iterator<Item = &[u8]> {
        self.rows.iter().map(|number| self.get(*number))
    }

    /// For every number its place in the alphabet, so that rows sort alike whatever the order
    /// in which strings were met.
    pub fn ranks(&self) -> Vec<u32> {
        let mut sorted: Vec<u32> = (0..self.count() as u32).collect();
        sorted.sort_unstable_by_key(|number| self.get(*number));
        let mut ranks = vec![0; sorted.len()];
        for (number, rank) in sorted.into_iter().zip(0..) {
            if let Some(place) = ranks.get_mut(number as usize) {
                *place = rank;
            }
        }
        ranks
    }

    /// The rows of those numbers, in that order, with the same strings.
    pub(crate) fn take(&self, rows: &[u32]) -> Words {
        Words {
            rows: gather(&self.rows, rows),
            ..self.strings()
        }
    }

    /// Those rows, by numbers of the strings that are here.
    pub(crate) fn with_rows(&self, rows: Vec<u32>) -> Words {
        Words {
            rows,
            ..self.strings()
        }
    }

    /// Appends rows.
    pub(crate) fn append(&mut self, more: &Words) {
        let strings = 0..more.count() as u32;
        let renumbered: Vec<u32> = strings
            .map(|number| self.number(more.get(number)))
            .collect();
        self.rows.extend(gather(&renumbered, &more.rows));
    }

    /// The strings that rows have, each once in the order of the rows, and their numbers in it; or
    /// all, of those that are kept apart.
    pub(crate) fn hash(&self, hasher: &mut Sha256) {
        let mut lengths = Vec::new();
        let mut strings = Vec::new();
        let mut places = vec![FREE; self.count()];
        let mut numbers = Vec::with_capacity(self.rows.len());
        for number in &self.rows {
            let place = places.get_mut(*number as usize);
            let known = place.as_ref().map_or(FREE, |place| **place);
            if known != FREE && !self.apart {
                numbers.push(known);
                continue;
            }
            let next = lengths.len() as u32;
            if let Some(place) = place {
                *place = next;
            }
            let string = self.get(*number);
            lengths.push(string.len() as u32);
            strings.extend_from_slice(string);
            numbers.push(next);
        }
        hasher.update((lengths.len() as u64).to_le_bytes());
        hash_all(hasher, &lengths, u32::to_le_bytes);
        hasher.update(&strings);
        if !self.apart {
            hash_all(hasher, &numbers, u32::to_le_bytes);
        }
    }

    /// The same strings and no rows.
    fn strings(&self) -> Words {
        Words {
            rows: Vec::new(),
            bytes: self.bytes.clone(),
            ends: self.ends.clone(),
            slots: Vec::new(),
            recent: Vec::new(),
            seed: self.seed,
            apart: self.apart,
        }
    }

    fn find(&mut self, string: &[u8]) -> Option<u32> {
        if self.count() <= FEW {
            return (0..self.count() as u32).find(|number| self.get(*number) == string);
        }
        if self.slots.is_empty() {
            self.occupy_all();
        }
        let number = self.slots.get(self.slot(string)).copied();
        number.filter(|number| *number != FREE)
    }

    fn add(&mut self, string: &[u8]) -> u32 {
        let number = self.count() as u32; // a file has fewer rows than this can count
        self.bytes.extend_from_slice(string);
        self.ends.push(self.bytes.len());
        if self.count() > FEW && !self.apart {
            if self.count() * 2 > self.slots.len() {
                self.occupy_all();
            } else {
                self.occupy(number);
            }
        }
        number
    }

    /// Gives all strings their slots: copies come without.
    fn occupy_all(&mut self) {
        self.slots = vec![FREE; (self.count() * 4).next_power_of_two()];
        (0..self.count() as u32).for_each(|known| self.occupy(known));
    }

    fn occupy(&mut self, number: u32) {
        let slot = self.slot(self.get(number));
        if let Some(slot) = self.slots.get_mut(slot) {
            *slot = number;
        }
    }

    /// Where the string stands among the slots, or is to stand.
    fn slot(&self, string: &[u8]) -> usize {
        let mask = self.slots.len().wrapping_sub(1);
        let mut at = self.seed.hash(string) as usize & mask;
        loop {
            match self.slots.get(at) {
                Some(number) if *number != FREE && self.get(*number) != string => {
                    at = (at + 1) & mask;
                }
                _ => return at,
            }
        }
    }
}

impl Seed {
    /// Folds products of 16 bytes each.
    fn hash(self, string: &[u8]) -> u64 {
        let Seed(one, other) = self;
        let fold = |mixed: u64, sixteen: &[u8; 16]| {
            let word = u128::from_le_bytes(*sixteen);
            let factors = (word as u64 ^ mixed, (word >> 64) as u64 ^ other);
            let product = u128::from(factors.0) * u128::from(factors.1);
            product as u64 ^ (product >> 64) as u64
        };
        let (sixteens, rest) = string.as_chunks::<16>();
        let mixed = sixteens.iter().fold(one ^ string.len() as u64, fold);
        let mut last = [0; 16];
        last.iter_mut().zip(rest).for_each(|(to, from)| *to = *from);
        let mixed = fold(mixed, &last);
        let product = u128::from(mixed ^ one) * u128::from(other);
        product as u64 ^ (product >> 64) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(texts: &[&str]) -> Words {
        let mut words = Words::default();
        texts.iter().for_each(|text| words.push(text.as_bytes()));
        words
    }

    fn hash(words: &Words) -> [u8; 32] {
        let mut hasher = Sha256::new();
        words.hash(&mut hasher);
        hasher.finalize().into()
    }

    #[test]
    fn few_and_many_strings_keep_their_numbers() {
        let mut words = Words::default();
        for turn in 0..3 {
            for number in 0..2000u32 {
                let text = format!("{}", number * 7919 % 2000);
                words.push(text.as_bytes());
                assert_eq!(words.rows.last(), Some(&number), "turn {turn}");
                assert_eq!(words.text(number), text);
            }
        }
        assert_eq!(words.count(), 2000);
        assert_eq!(words.get(2000), b"");
        words.clear();
        assert_eq!((words.count(), words.number(b"new")), (0, 0));
    }

    #[test]
    fn the_order_in_which_strings_were_met_leaves_no_trace() {
        let one = words(&["b", "", "a", "b"]);
        let mut other = words(&["unused", "a", "b", "", "x", "y"]).take(&[2, 3, 1, 2]);
        assert_eq!(one, other);
        assert_eq!(hash(&one), hash(&other));
        other.append(&words(&["c", "a"]));
        let whole = words(&["b", "", "a", "b", "c", "a"]);
        assert_eq!(other, whole);
        assert_eq!(hash(&other), hash(&whole));
        let apart = |texts: &[&str]| {
            let mut words = Words::apart();
            texts.iter().for_each(|text| words.push(text.as_bytes()));
            words
        };
        let once = apart(&["b", "b"]);
        assert_eq!((once.count(), once.get(1)), (2, &b"b"[..]));
        assert_eq!(once, words(&["b", "b"]));
        assert_ne!(hash(&once), hash(&apart(&["b", "bb"])));
        assert_ne!(hash(&once), hash(&apart(&["bb", ""])));
        for different in [
            words(&["b", "", "a"]),
            words(&["b", "a", "", "b"]),
            words(&["b", "", "a", "bb"]),
            words(&["", "b", "a", "b"]),
        ] {
            assert_ne!(one, different);
            assert_ne!(hash(&one), hash(&different), "{different:?}");
        }
    }
}
