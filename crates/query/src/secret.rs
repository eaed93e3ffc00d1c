//! Secrets that are shown once: API keys and ingest tokens. What is kept is a SHA-256.
//!
//! An API key is `tgk_`, its number, `_` and 32 random bytes in base64url. The number only says
//! which hash to compare with; all 256 bits that count are random, so a plain hash is enough.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::problem::Problem;

const KEY_PREFIX: &str = "tgk_";
const TOKEN_PREFIX: &str = "tg_";
const SECRET_BYTES: usize = 32;
/// `tgk_`, ten digits, `_` and 43 letters.
const KEY_BYTES_MAX: usize = 4 + 10 + 1 + 43;

/// Random bytes for one secret.
///
/// # Errors
///
/// 503: the system gives none.
pub fn draw() -> Result<[u8; SECRET_BYTES], Problem> {
    let mut bytes = [0; SECRET_BYTES];
    let drawn = getrandom::fill(&mut bytes);
    drawn.map_err(|error| Problem::broken("the system's random source", error))?;
    Ok(bytes)
}

/// An API key as it is shown once and then sent with each request.
pub fn api_key(number: u32, random: &[u8; SECRET_BYTES]) -> String {
    format!("{KEY_PREFIX}{number}_{}", URL_SAFE_NO_PAD.encode(random))
}

/// An ingest token as it is shown once and then sent with each batch.
pub fn ingest_token(random: &[u8; SECRET_BYTES]) -> String {
    format!("{TOKEN_PREFIX}{}", URL_SAFE_NO_PAD.encode(random))
}

/// What is kept of a key or token.
pub fn hash(text: &str) -> [u8; 32] {
    Sha256::digest(text.as_bytes()).into()
}

/// The number that stands in an API key, if it has the shape of one.
pub fn number_of(key: &str) -> Option<u32> {
    if key.len() > KEY_BYTES_MAX {
        return None;
    }
    let (number, secret) = key.strip_prefix(KEY_PREFIX)?.split_once('_')?;
    let is_plain = number.bytes().all(|byte| byte.is_ascii_digit()) && !number.starts_with('0');
    let is_whole = secret.len() == 43;
    number.parse().ok().filter(|_| is_plain && is_whole)
}

/// Whether two hashes are the same, in a time that does not tell where they differ.
pub fn same(one: &[u8; 32], other: &[u8; 32]) -> bool {
    one.ct_eq(other).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_says_its_number_and_nothing_else_does() {
        let key = api_key(12, &[0xFF; 32]);
        assert_eq!(key, "tgk_12___________________________________________8");
        assert_eq!(number_of(&key), Some(12));
        let cut = &key[..key.len() - 1];
        let long = format!("{key}x");
        for wrong in [
            "", "tgk_", "tgk_12", "tgk_12_", "tgk_-1_x", cut, &long, "tg_abc",
        ] {
            assert_eq!(number_of(wrong), None, "{wrong}");
        }
        assert_eq!(number_of(&key.replace("12", "012")), None);
        assert_eq!(number_of(&key.replace("12", "99999999999")), None);
        assert!(same(&hash(&key), &hash(&key)));
        assert!(!same(&hash(&key), &hash(cut)));
    }
}
