//! SHA-256 over a canonical byte layout, each use under a tag of its own, so that the bytes of
//! one thing can never be taken for those of another.

use std::fmt;

use sha2::block_api::compress256;
use sha2::{Digest, Sha256};

/// A SHA-256.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Hash(pub [u8; 32]);

impl Hash {
    /// Nothing yet: what stands before the first hourly root.
    pub const ZERO: Hash = Hash([0; 32]);
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// SHA-256 of a message that was padded by [`padded`]: what is hashed for each click is short and
/// of a known length, and needs no buffer in between.
pub(crate) fn of_blocks(blocks: &[[u8; 64]]) -> Hash {
    // The square roots of the first eight primes (FIPS 180-4, 5.3.3).
    let mut state = [
        0x6a09_e667,
        0xbb67_ae85,
        0x3c6e_f372,
        0xa54f_f53a,
        0x510e_527f,
        0x9b05_688c,
        0x1f83_d9ab,
        0x5be0_cd19,
    ];
    compress256(&mut state, blocks);
    let mut bytes = [0; 32];
    for (to, word) in bytes.chunks_exact_mut(4).zip(state) {
        to.copy_from_slice(&word.to_be_bytes());
    }
    Hash(bytes)
}

/// A message in whole blocks: its parts, a bit, zeros, and its length in bits. The caller knows
/// that it takes these blocks and no fewer: 9 to 72 bytes are left.
pub(crate) fn padded<const BLOCKS: usize, const PARTS: usize>(
    parts: [&[u8]; PARTS],
) -> [[u8; 64]; BLOCKS] {
    let mut blocks = [[0; 64]; BLOCKS];
    let bytes = blocks.as_flattened_mut();
    let mut length = 0;
    for part in parts {
        if let Some(to) = bytes.get_mut(length..length + part.len()) {
            to.copy_from_slice(part);
        }
        length += part.len();
    }
    if let Some(end) = bytes.get_mut(length) {
        *end = 0x80;
    }
    if let Some(bits) = bytes.last_chunk_mut::<8>() {
        *bits = (length as u64 * 8).to_be_bytes();
    }
    blocks
}

/// Feeds fields into a hash: numbers little-endian at their full width, strings with their length
/// before them, so that two different lists of fields never give the same bytes.
#[derive(Clone)]
pub(crate) struct Fields {
    hasher: Sha256,
}

impl Fields {
    /// Starts with the tag.
    pub(crate) fn tagged(tag: &'static str) -> Fields {
        let mut fields = Fields {
            hasher: Sha256::new(),
        };
        fields.bytes(tag.as_bytes());
        fields
    }

    pub(crate) fn u8(&mut self, value: u8) -> &mut Fields {
        self.hasher.update([value]);
        self
    }

    pub(crate) fn u16(&mut self, value: u16) -> &mut Fields {
        self.hasher.update(value.to_le_bytes());
        self
    }

    pub(crate) fn u32(&mut self, value: u32) -> &mut Fields {
        self.hasher.update(value.to_le_bytes());
        self
    }

    pub(crate) fn u64(&mut self, value: u64) -> &mut Fields {
        self.hasher.update(value.to_le_bytes());
        self
    }

    pub(crate) fn i64(&mut self, value: i64) -> &mut Fields {
        self.hasher.update(value.to_le_bytes());
        self
    }

    pub(crate) fn hash(&mut self, value: &Hash) -> &mut Fields {
        self.hasher.update(value.0);
        self
    }

    pub(crate) fn fixed(&mut self, value: &[u8; 16]) -> &mut Fields {
        self.hasher.update(value);
        self
    }

    pub(crate) fn bytes(&mut self, value: &[u8]) -> &mut Fields {
        self.u64(value.len() as u64);
        self.hasher.update(value);
        self
    }

    pub(crate) fn finish(self) -> Hash {
        Hash(self.hasher.finalize().into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_messages_hash_as_any_other() {
        let message: Vec<u8> = (0..120u8).map(|byte| byte.wrapping_mul(7)).collect();
        for length in 0..=55 {
            let message = &message[..length];
            let expected = Hash(Sha256::digest(message).into());
            assert_eq!(
                of_blocks(&padded::<1, 1>([message])),
                expected,
                "{length} bytes"
            );
        }
        for length in 56..=119 {
            let (one, other) = message[..length].split_at(length / 3);
            let expected = Hash(Sha256::digest(&message[..length]).into());
            let found = of_blocks(&padded::<2, 2>([one, other]));
            assert_eq!(found, expected, "{length} bytes");
        }
    }
}
