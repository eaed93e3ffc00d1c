//! Keys of cells: all key columns in two words that sort as the columns do.
//!
//! Of every column only the low bits are taken, up to the highest in which the cells at hand
//! differ. Ids are small numbers or lie near each other, so two words nearly always hold them all;
//! where they do not, a key is the columns themselves.

use super::cells::{Cell, KEYS, Kinds};
use super::names::Names;

/// The key columns of a cell as numbers that sort as the columns do.
pub(crate) type Numbers = [u64; KEYS];

/// What the keys of some cells leave out.
pub(crate) struct Frame {
    /// The bits that all cells have.
    common: Numbers,
    /// The bits that a key has, all ones.
    masks: Numbers,
    /// Columns before this one stand in the first word, the others in the second.
    split: usize,
    /// For a reason's number its place in the alphabet, and back.
    places: Vec<u32>,
    reasons: Vec<u32>,
}

/// Where a column stands in a packed key.
#[derive(Clone, Copy)]
pub(crate) struct Spot {
    pub(crate) is_first: bool,
    common: u64,
    mask: u64,
    shift: u32,
}

impl Frame {
    /// The frame of some cells, whose reasons are those of `names`.
    pub(crate) fn of<'c>(names: &Names, mut cells: impl Iterator<Item = &'c Cell>) -> Frame {
        let places = names.places();
        let mut reasons = vec![0; places.len()];
        for (number, place) in (0..).zip(&places) {
            if let Some(reason) = reasons.get_mut(*place as usize) {
                *reason = number;
            }
        }
        let mut frame = Frame {
            common: [0; KEYS],
            masks: [0; KEYS],
            split: 0,
            places,
            reasons,
        };
        if let Some(first) = cells.next() {
            let first = frame.numbers(&first.kinds);
            for cell in cells {
                let numbers = frame.numbers(&cell.kinds);
                for ((bits, number), first) in frame.masks.iter_mut().zip(numbers).zip(first) {
                    *bits |= number ^ first;
                }
            }
            let ones = |bits: u64| u64::MAX.checked_shr(bits.leading_zeros()).unwrap_or(0);
            frame.masks = frame.masks.map(ones);
            frame.common = first;
            for (common, mask) in frame.common.iter_mut().zip(frame.masks) {
                *common &= !mask;
            }
        }
        let mut bits = 0;
        let fits = |mask: &&u64| {
            bits += mask.count_ones();
            bits <= u64::BITS
        };
        frame.split = frame.masks.iter().take_while(fits).count();
        frame
    }

    /// Whether two words hold a key.
    pub(crate) fn packs(&self) -> bool {
        let rest = self.masks.iter().skip(self.split);
        rest.map(|mask| mask.count_ones()).sum::<u32>() <= u64::BITS
    }

    /// The key columns of a cell.
    pub(crate) fn numbers(&self, kinds: &Kinds) -> Numbers {
        let place = self.places.get(kinds.reason as usize);
        kinds.numbers(place.copied().unwrap_or(0))
    }

    /// Numbers to what they say.
    pub(crate) fn kinds(&self, numbers: &Numbers) -> Kinds {
        Kinds::of(numbers, |place| self.reason(place.into()))
    }

    /// The number of a reason by its place.
    pub(crate) fn reason(&self, place: u64) -> u32 {
        self.reasons.get(place as usize).copied().unwrap_or(0)
    }

    /// The two words of a key.
    pub(crate) fn pack(&self, numbers: &Numbers) -> [u64; 2] {
        let [mut first, mut second] = [0u64; 2];
        let columns = numbers.iter().zip(&self.masks).enumerate();
        for (column, (number, mask)) in columns {
            let word = if column < self.split {
                &mut first
            } else {
                &mut second
            };
            // A column of 64 bits has its word for itself.
            *word = word.checked_shl(mask.count_ones()).unwrap_or(0) | number & mask;
        }
        [first, second]
    }

    /// Where a column stands.
    pub(crate) fn spot(&self, column: usize) -> Spot {
        let is_first = column < self.split;
        let end = if is_first { self.split } else { KEYS };
        let after = self.masks.get(column + 1..end).unwrap_or_default();
        Spot {
            is_first,
            common: self.common.get(column).copied().unwrap_or(0),
            mask: self.masks.get(column).copied().unwrap_or(0),
            shift: after.iter().map(|mask| mask.count_ones()).sum(),
        }
    }
}

impl Spot {
    /// The column's number in its word.
    pub(crate) fn of(self, word: u64) -> u64 {
        self.common | word.checked_shr(self.shift).unwrap_or(0) & self.mask
    }
}
