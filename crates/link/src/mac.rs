//! The MAC over a body: HMAC-SHA256, truncated to its first 128 bits.
//!
//! Its input is a context string and the body, each with its length in front (two bytes,
//! little-endian), so that bytes
//! signed here mean nothing anywhere else and no byte can move from one to the other.

use std::fmt;

use hmac::digest::Key;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use subtle::ConstantTimeEq as _;
use zeroize::{Zeroize as _, ZeroizeOnDrop};

/// Bytes of the tag at the end of a token.
pub const TAG_BYTES: usize = 16;

/// Bytes of a secret.
pub const SECRET_BYTES: usize = 32;

const CONTEXT: &[u8] = b"\x08\x00click:v1"; // its length, then itself

type HmacSha256 = Hmac<Sha256>;

/// A signing secret, kept as the two hash states that HMAC starts from; the bytes themselves
/// are not kept. Wiped when dropped and never shown.
#[derive(Clone)]
pub struct Secret {
    keyed: HmacSha256,
}

// An HMAC is two states of its hash, and wiping those on drop is the hash's promise: this stops
// compiling when the feature that keeps it is off.
const _: () = {
    const fn wiped_on_drop<T: ZeroizeOnDrop>() {}
    wiped_on_drop::<Sha256>();
};

impl Secret {
    /// From 32 random bytes; the argument is wiped.
    pub fn new(mut bytes: [u8; SECRET_BYTES]) -> Secret {
        // HMAC fills a short key up with zeros to the hash's block of 64 bytes.
        let mut block = Key::<HmacSha256>::default();
        for (to, from) in block.iter_mut().zip(&bytes) {
            *to = *from;
        }
        let mut keyed = HmacSha256::new(&block);
        block.as_mut_slice().zeroize();
        bytes.zeroize();
        keyed.update(CONTEXT);
        Secret { keyed }
    }

    /// The tag of a body.
    pub(crate) fn tag(&self, body: &[u8]) -> [u8; TAG_BYTES] {
        let mut mac = self.keyed.clone();
        let length = u16::try_from(body.len()).unwrap_or(u16::MAX); // TOKEN_BYTES_MAX is below
        mac.update(&length.to_le_bytes());
        mac.update(body);
        let mut tag = [0; TAG_BYTES];
        tag.iter_mut()
            .zip(mac.finalize().into_bytes())
            .for_each(|(to, from)| *to = from);
        tag
    }

    /// Whether `tag` is the body's, in time that does not depend on where they differ.
    pub(crate) fn accepts(&self, body: &[u8], tag: &[u8; TAG_BYTES]) -> bool {
        self.tag(body).ct_eq(tag).into()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(hidden)")
    }
}
