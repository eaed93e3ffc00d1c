//! The Merkle tree over the billed clicks of one line: 32 bytes in the ledger by which each
//! single click can be proved to stand in it, at its price.
//!
//! The tree is the one of RFC 6962, section 2.1: leaves and inner nodes are hashed under
//! different first bytes, a tree of n leaves splits at the largest power of two below n, and the
//! root of no leaves is the hash of nothing. Leaves stand in the order of the clicks in their
//! partition.
//!
//! | a leaf's bytes | field |
//! |---|---|
//! | 1 | 0 |
//! | 16 | click id, big-endian |
//! | 8 | `received_at`, Unix ms, little-endian |
//! | 8 | price in micro-units, little-endian |
//! | 8 | the publisher's share of it in micro-units, little-endian |
//!
//! A node is the byte 1 and its two children's hashes.

use sha2::{Digest, Sha256};
use tollgate_click::{ClickId, Micros, Millis};

use super::hash::{Hash, of_blocks, padded};

/// What the ledger vouches for of one billed click.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct BilledClick {
    /// Its id.
    pub id: ClickId,
    /// When it was received.
    pub received_at: Millis,
    /// What the advertiser was charged.
    pub price: Micros,
    /// What of it the publisher is paid.
    pub share: Micros,
}

/// The way from a leaf to the root.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Proof {
    /// The leaf's place, from 0.
    pub index: u64,
    /// How many leaves the tree has.
    pub leaves: u64,
    /// The sibling at each level, from the leaf up.
    pub path: Vec<Hash>,
}

impl BilledClick {
    /// The hash of the click's leaf.
    pub fn leaf(&self) -> Hash {
        let blocks = padded::<1, 5>([
            &[0],
            &self.id.bytes(),
            &self.received_at.0.to_le_bytes(),
            &self.price.0.to_le_bytes(),
            &self.share.0.to_le_bytes(),
        ]);
        of_blocks(&blocks)
    }
}

/// Takes leaves one by one and keeps one hash per level: about 1 KiB for any number of clicks.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Tree {
    leaves: u64,
    /// Roots of the perfect subtrees so far, the largest first: one per set bit of `leaves`.
    peaks: Vec<Hash>,
}

impl Tree {
    /// A tree of no leaves.
    pub fn new() -> Tree {
        Tree::default()
    }

    /// Forgets its leaves, but not its room.
    pub fn clear(&mut self) {
        self.leaves = 0;
        self.peaks.clear();
    }

    /// How many leaves there are.
    pub fn leaves(&self) -> u64 {
        self.leaves
    }

    /// Adds the next leaf.
    pub fn push(&mut self, leaf: Hash) {
        let mut peak = leaf;
        // Adding 1 to a binary number: each trailing one is a peak of the same height to merge.
        for _ in 0..self.leaves.trailing_ones() {
            if let Some(left) = self.peaks.pop() {
                peak = node(&left, &peak);
            }
        }
        self.peaks.push(peak);
        self.leaves += 1;
    }

    /// The root over all leaves so far.
    pub fn root(&self) -> Hash {
        let mut peaks = self.peaks.iter().rev().copied();
        let smallest = peaks
            .next()
            .unwrap_or_else(|| Hash(Sha256::digest([]).into()));
        peaks.fold(smallest, |right, left| node(&left, &right))
    }
}

/// The root over these leaves.
pub fn root(leaves: &[Hash]) -> Hash {
    let mut tree = Tree::new();
    leaves.iter().for_each(|leaf| tree.push(*leaf));
    tree.root()
}

/// Proves the leaf at `index`, or nothing when there is none.
pub fn prove(leaves: &[Hash], index: usize) -> Option<Proof> {
    leaves.get(index)?;
    let mut path = Vec::new();
    let (mut part, mut at) = (leaves, index);
    while part.len() > 1 {
        let (left, right) = part.split_at_checked(split_point(part.len()))?;
        if at < left.len() {
            path.push(root(right));
            part = left;
        } else {
            path.push(root(left));
            at -= left.len();
            part = right;
        }
    }
    path.reverse();
    Some(Proof {
        index: index as u64,
        leaves: leaves.len() as u64,
        path,
    })
}

/// Whether `proof` leads from `leaf` to `root`.
pub fn verify_proof(leaf: Hash, proof: &Proof, root: Hash) -> bool {
    if proof.index >= proof.leaves {
        return false;
    }
    // Walks up: `index` and `last` are the places of our node and of the last node of its level.
    let (mut index, mut last) = (proof.index, proof.leaves - 1);
    let mut hash = leaf;
    for sibling in &proof.path {
        if last == 0 {
            return false;
        }
        if index % 2 == 1 || index == last {
            hash = node(sibling, &hash);
            // A last node without a right sibling rises alone until it is a right child.
            while index % 2 == 0 && index != 0 {
                index >>= 1;
                last >>= 1;
            }
        } else {
            hash = node(&hash, sibling);
        }
        index >>= 1;
        last >>= 1;
    }
    last == 0 && hash == root
}

fn node(left: &Hash, right: &Hash) -> Hash {
    of_blocks(&padded::<2, 3>([&[1], &left.0, &right.0]))
}

/// The largest power of two below `leaves`, which is at least 2.
fn split_point(leaves: usize) -> usize {
    leaves.next_power_of_two() / 2
}

#[cfg(test)]
mod tests;
