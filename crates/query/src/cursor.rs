//! Cursors: where a list goes on, in a text that only this service can make.
//!
//! | bytes | field |
//! |---|---|
//! | 16 | first half of HMAC-SHA-256 over the rest, the asking key's number and the question |
//! | | the place, as the list wants it |
//!
//! in base64url. The MAC ties a cursor to its question and its asker, so that a cursor that was
//! changed, or is somebody else's, or belongs to another question, is refused and not guessed at.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use subtle::ConstantTimeEq;

use crate::problem::Problem;

const MAC_BYTES: usize = 16;

/// Bytes of a place; the keys of a report's row with names fit.
pub const PLACE_BYTES_MAX: usize = 4096;

/// Makes and reads cursors.
#[derive(Clone)]
pub struct Cursors {
    secret: [u8; 32],
}

/// What a cursor belongs to.
#[derive(Clone, Copy, Debug)]
pub struct Question<'a> {
    /// The number of the asking key.
    pub asker: u32,
    /// Everything else that decides what is listed, in one text.
    pub text: &'a str,
}

impl std::fmt::Debug for Cursors {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Cursors(secret hidden)")
    }
}

impl Cursors {
    /// Cursors under a secret; those of another secret are refused.
    pub fn new(secret: [u8; 32]) -> Cursors {
        Cursors { secret }
    }

    /// The cursor of a place.
    pub fn write(&self, question: Question<'_>, place: &[u8]) -> String {
        let mut bytes = self.mac(question, place).to_vec();
        bytes.extend_from_slice(place);
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// The place of a cursor.
    ///
    /// # Errors
    ///
    /// 400: it is not one that was made for this question and key.
    pub fn read(&self, question: Question<'_>, text: &str) -> Result<Vec<u8>, Problem> {
        let refused = || {
            let allowed = "the `next` of the page before, with the same question and key";
            Problem::malformed("cursor", "it is no cursor of this question", allowed)
        };
        if text.len() > (PLACE_BYTES_MAX + MAC_BYTES) * 4 / 3 + 4 {
            return Err(refused());
        }
        let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| refused())?;
        let (mac, place) = bytes.split_at_checked(MAC_BYTES).ok_or_else(refused)?;
        let is_ours = self.mac(question, place).ct_eq(mac);
        match bool::from(is_ours) {
            true => Ok(place.to_vec()),
            false => Err(refused()),
        }
    }

    fn mac(&self, question: Question<'_>, place: &[u8]) -> [u8; MAC_BYTES] {
        let mut out = [0; MAC_BYTES];
        // A key of any length is taken; 32 bytes are.
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(&self.secret) else {
            return out;
        };
        mac.update(&question.asker.to_le_bytes());
        mac.update(&(question.text.len() as u64).to_le_bytes());
        mac.update(question.text.as_bytes());
        mac.update(place);
        let full = mac.finalize().into_bytes();
        out.iter_mut().zip(full).for_each(|(to, from)| *to = from);
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_counts_for_its_question_and_asker_only() {
        let cursors = Cursors::new([7; 32]);
        let question = Question {
            asker: 1,
            text: "/v1/campaigns?",
        };
        let text = cursors.write(question, b"place");
        assert_eq!(cursors.read(question, &text).unwrap(), b"place");
        let others = [
            Question {
                asker: 2,
                ..question
            },
            Question {
                text: "/v1/links?",
                ..question
            },
        ];
        for other in others {
            assert!(cursors.read(other, &text).is_err());
        }
        assert!(Cursors::new([8; 32]).read(question, &text).is_err());
        let bytes = URL_SAFE_NO_PAD.decode(&text).unwrap();
        for bit in 0..bytes.len() * 8 {
            let mut forged = bytes.clone();
            forged[bit / 8] ^= 1 << (bit % 8);
            let forged = URL_SAFE_NO_PAD.encode(forged);
            assert!(cursors.read(question, &forged).is_err(), "bit {bit}");
        }
        for wrong in ["", "a", "!", &"A".repeat(10_000)] {
            assert!(cursors.read(question, wrong).is_err());
        }
    }
}
