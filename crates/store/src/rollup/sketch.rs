//! How many different visitors: HyperLogLog with 2^11 registers, a standard error of 2.3%.
//!
//! A register holds the greatest rank of the visitors that fall on it, so a sketch depends on who
//! came and not on the order, and joining sketches is taking the greater of two registers: the
//! same visitors give the same bytes, however they were cut into batches.
//!
//! | bytes | what |
//! |---|---|
//! | 1 | 1: a list of registers that are not 0; 2: all registers |
//! | 3 each | register (u16, little-endian) and rank, sorted; at most [`LISTED_MAX`] |
//! | 2048 | ranks |
//!
//! The estimate is Otmar Ertl's improved raw estimator ("New cardinality estimation algorithms for
//! HyperLogLog sketches", 2017), which needs no tables of corrections.

const LG_REGISTERS: u32 = 11;

/// Registers of a sketch.
pub(crate) const REGISTERS: usize = 1 << LG_REGISTERS;

/// The greatest rank: all bits after the register's are 0.
const RANK_MAX: u8 = (64 - LG_REGISTERS + 1) as u8;

/// Past this many, a list is longer than all registers.
const LISTED_MAX: usize = REGISTERS / 3;

const LIST: u8 = 1;
const WHOLE: u8 = 2;

/// The register and the rank of a visitor.
pub(crate) fn register(visitor: u64) -> (u16, u8) {
    // Pseudonyms are uniform, but not each one that is counted is a pseudonym.
    let mut mixed = visitor.wrapping_add(0x9E37_79B9_7F4A_7C15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    mixed ^= mixed >> 31;
    let register = (mixed >> (64 - LG_REGISTERS)) as u16;
    let rank = (mixed << LG_REGISTERS).leading_zeros() as u8 + 1;
    (register, rank.min(RANK_MAX))
}

/// The bytes of a sketch from its registers that are not 0, sorted.
pub(crate) fn encode(registers: &[(u16, u8)]) -> Vec<u8> {
    if registers.len() <= LISTED_MAX {
        let mut bytes = vec![LIST];
        for (register, rank) in registers {
            bytes.extend_from_slice(&register.to_le_bytes());
            bytes.push(*rank);
        }
        return bytes;
    }
    let mut bytes = vec![0; 1 + REGISTERS];
    for (register, rank) in registers {
        if let Some(place) = bytes.get_mut(1 + usize::from(*register)) {
            *place = *rank;
        }
    }
    if let Some(kind) = bytes.first_mut() {
        *kind = WHOLE;
    }
    bytes
}

/// Sketches that are joined.
pub(crate) struct Union(Vec<u8>);

impl Union {
    pub(crate) fn new() -> Union {
        Union(vec![0; REGISTERS])
    }

    /// Adds a stored sketch; none when it is no sketch.
    pub(crate) fn add(&mut self, sketch: &[u8]) -> Option<()> {
        match sketch.split_first()? {
            (&LIST, list) if list.len().is_multiple_of(3) => {
                for entry in list.as_chunks::<3>().0 {
                    let [low, high, rank] = *entry;
                    self.raise(u16::from_le_bytes([low, high]), rank)?;
                }
                Some(())
            }
            (&WHOLE, ranks) if ranks.len() == REGISTERS => {
                let ranks = (0u16..).zip(ranks);
                ranks
                    .map(|(register, rank)| self.raise(register, *rank))
                    .collect()
            }
            _ => None,
        }
    }

    /// The bytes of the joined sketch.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let registers = (0u16..).zip(self.0.iter().copied());
        let taken: Vec<(u16, u8)> = registers.filter(|(_, rank)| *rank > 0).collect();
        encode(&taken)
    }

    /// About how many visitors.
    pub(crate) fn estimate(&self) -> u64 {
        let mut counts = [0.0f64; RANK_MAX as usize + 1];
        for rank in &self.0 {
            if let Some(count) = counts.get_mut(usize::from(*rank)) {
                *count += 1.0;
            }
        }
        let [none, ranks @ .., full] = &counts;
        let registers = REGISTERS as f64;
        let mut sum = registers * tau(1.0 - full / registers);
        for count in ranks.iter().rev() {
            sum = 0.5 * (sum + count);
        }
        sum += registers * sigma(none / registers);
        let alpha = 1.0 / (2.0 * std::f64::consts::LN_2);
        (alpha * registers * registers / sum).round() as u64
    }

    fn raise(&mut self, register: u16, rank: u8) -> Option<()> {
        let place = self.0.get_mut(usize::from(register))?;
        *place = rank.max(*place);
        (rank <= RANK_MAX).then_some(())
    }
}

/// `x + Σ x^(2^k) · 2^(k-1)`, over k from 1.
fn sigma(mut x: f64) -> f64 {
    if x >= 1.0 {
        return f64::INFINITY;
    }
    let (mut sum, mut weight) = (x, 1.0);
    loop {
        x *= x;
        let before = sum;
        sum += x * weight;
        weight += weight;
        if sum <= before {
            return sum;
        }
    }
}

/// `(1 - x - Σ (1 - x^(2^-k))² · 2^-k) / 3`, over k from 1.
fn tau(mut x: f64) -> f64 {
    if x <= 0.0 || x >= 1.0 {
        return 0.0;
    }
    let (mut sum, mut weight) = (1.0 - x, 1.0);
    loop {
        x = x.sqrt();
        let before = sum;
        weight *= 0.5;
        sum -= (1.0 - x) * (1.0 - x) * weight;
        if sum >= before {
            return sum / 3.0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    fn sketch(visitors: impl Iterator<Item = u64>) -> Vec<u8> {
        let mut registers: BTreeMap<u16, u8> = BTreeMap::new();
        for (register, rank) in visitors.map(register) {
            let there = registers.entry(register).or_default();
            *there = rank.max(*there);
        }
        encode(&registers.into_iter().collect::<Vec<_>>())
    }

    fn estimate(sketch: &[u8]) -> u64 {
        let mut union = Union::new();
        union.add(sketch).unwrap();
        union.estimate()
    }

    #[test]
    fn estimates_are_near_what_is_true() {
        for count in [0u64, 1, 2, 10, 100, 1_000, 5_000, 20_000, 300_000] {
            let estimate = estimate(&sketch(0..count)) as f64;
            let off = (estimate - count as f64).abs();
            assert!(off <= count as f64 * 0.07, "{estimate} for {count}");
        }
    }

    #[test]
    fn the_same_visitors_give_the_same_bytes_however_they_come() {
        for count in [0u64, 5, 500, 700, 900, 40_000] {
            let whole = sketch(0..count);
            let mut union = Union::new();
            union.add(&sketch((count / 3..count).rev())).unwrap();
            union.add(&sketch(0..count / 2)).unwrap();
            assert_eq!(union.encode(), whole, "{count}");
            assert_eq!(union.estimate(), estimate(&whole));
        }
    }

    #[test]
    fn damage_is_no_sketch() {
        for bytes in [
            &[][..],
            &[3],
            &[1, 0],
            &[1, 0, 8, 5],
            &[2, 0],
            &[1, 0, 0, 60],
        ] {
            assert_eq!(Union::new().add(bytes), None, "{bytes:?}");
        }
    }
}
