//! Click ids: 48 bits that nobody can guess and no two clicks of a run share.
//!
//! A counter, sent through a secret permutation of the 48-bit numbers: what is drawn looks random,
//! and as a permutation never maps two counts to one number, no draw repeats before 2^48 draws,
//! let alone within its millisecond. Threads count disjoint numbers (thread `t` of `n` counts
//! `t`, `t + n`, ...), so nothing is shared between them and nothing has to be remembered.
//!
//! The permutation is a Feistel network of four rounds over two 24-bit halves with SipHash as round
//! function, its key drawn at start (Luby and Rackoff: four rounds of a pseudo-random function are
//! a strong pseudo-random permutation).

use siphasher::sip::SipHasher13;
use tollgate_click::ids::ClickIdParts;
use tollgate_click::{ClickId, EdgeId, Millis, PartitionId};

const HALF_BITS: u32 = 24;
const HALF: u64 = (1 << HALF_BITS) - 1;
const ROUNDS: [u8; 4] = [0, 1, 2, 3];

/// The ids of one thread.
#[derive(Clone, Debug)]
pub struct ClickIds {
    edge: EdgeId,
    permutation: Permutation,
    count: u64,
    step: u64,
}

impl ClickIds {
    /// One source for each of `threads` threads of an edge, all under one secret drawn for this
    /// run.
    pub fn for_threads(edge: EdgeId, secret: [u8; 16], threads: usize) -> Vec<ClickIds> {
        let permutation = Permutation(SipHasher13::new_with_key(&secret));
        let step = threads as u64;
        (0..step)
            .map(|count| ClickIds {
                edge,
                permutation,
                count,
                step,
            })
            .collect()
    }

    /// A new id.
    pub fn draw(&mut self, received_at: Millis, partition: PartitionId) -> ClickId {
        let random = self.permutation.forward(self.count);
        self.count = self.count.wrapping_add(self.step);
        ClickId::new(ClickIdParts {
            received_at,
            partition,
            edge: self.edge,
            random,
        })
    }
}

#[derive(Clone, Copy, Debug)]
struct Permutation(SipHasher13);

impl Permutation {
    fn forward(self, number: u64) -> u64 {
        let halves = ((number >> HALF_BITS) & HALF, number & HALF);
        let (left, right) = ROUNDS.into_iter().fold(halves, |(left, right), round| {
            (right, left ^ self.mixed(round, right))
        });
        (left << HALF_BITS) | right
    }

    fn mixed(self, round: u8, half: u64) -> u64 {
        self.0
            .hash(&((u64::from(round) << HALF_BITS) | half).to_le_bytes())
            & HALF
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashSet;

    impl Permutation {
        fn back(self, number: u64) -> u64 {
            let halves = ((number >> HALF_BITS) & HALF, number & HALF);
            let (left, right) = ROUNDS
                .into_iter()
                .rev()
                .fold(halves, |(left, right), round| {
                    (right ^ self.mixed(round, left), left)
                });
            (left << HALF_BITS) | right
        }
    }

    proptest! {
        #[test]
        fn the_permutation_can_be_undone(secret: [u8; 16], number in 0u64..(1 << 48)) {
            let permutation = Permutation(SipHasher13::new_with_key(&secret));
            let drawn = permutation.forward(number);
            prop_assert!(drawn < 1 << 48);
            prop_assert_eq!(permutation.back(drawn), number);
        }
    }

    #[test]
    fn threads_share_no_id_within_a_millisecond() {
        let partition = PartitionId::new(3).unwrap();
        let mut seen = HashSet::new();
        for mut ids in ClickIds::for_threads(EdgeId::new(5).unwrap(), [7; 16], 3) {
            for _ in 0..10_000 {
                let id = ids.draw(Millis(1_700_000_000_000), partition);
                assert!(seen.insert(id), "{id} was drawn twice");
                assert_eq!(id.parts().edge.get(), 5);
            }
        }
    }

    #[test]
    fn neighbours_look_unrelated() {
        let mut ids = ClickIds::for_threads(EdgeId::default(), [1; 16], 1).remove(0);
        let mut draw = || ids.draw(Millis(0), PartitionId::default()).parts().random;
        let flips: u32 = (0..1_000).map(|_| (draw() ^ draw()).count_ones()).sum();
        assert!(
            (22_000..26_000).contains(&flips),
            "{flips} of 48,000 bits differ"
        );
    }
}
