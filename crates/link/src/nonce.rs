//! A nonce for an impression whose id has another shape than UUIDv7.

use sha2::{Digest, Sha256};
use tollgate_click::{Millis, Nonce};

/// The nonce of the impression `id` shown at `at`: the time, and as random part the first 74
/// bits of SHA-256 over the id's bytes. The same id and time give the same nonce on every
/// server, so that its second click is still known as one.
pub fn of_impression(at: Millis, id: &[u8]) -> Nonce {
    let digest = Sha256::digest(id);
    let first_80_bits = digest
        .iter()
        .take(10)
        .fold(0u128, |bits, byte| (bits << 8) | u128::from(*byte));
    Nonce::new(at, first_80_bits >> 6)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_74_bits_of_the_hash_follow_the_time() {
        // SHA-256("abc") begins ba7816bf 8f01cfea 4141 (FIPS 180-4, example).
        let nonce = of_impression(Millis(0x017F_22E2_79B0), b"abc");
        assert_eq!(nonce.at(), Millis(0x017F_22E2_79B0));
        assert_eq!(nonce.random(), 0xba78_16bf_8f01_cfea_4141 >> 6);
    }
}
