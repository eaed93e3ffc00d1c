//! SHA-256 over a canonical byte layout, each use under a tag of its own, so that the bytes of
//! one thing can never be taken for those of another.

use std::fmt;

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
