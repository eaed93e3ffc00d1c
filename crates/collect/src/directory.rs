//! What the edge may believe: keys, registered links, ingest tokens.

use std::collections::HashMap;
use std::sync::Arc;

use arc_swap::ArcSwap;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use tollgate_click::control::{IngestToken, Link};
use tollgate_click::{AdvertiserId, ControlNumber, Millis};
use tollgate_link::{Keyring, Schemes};

/// The directory that all threads of an edge read; a new one is swapped in whole.
pub type Wiring = ArcSwap<Directory>;

/// Keys, links and tokens as of one control number.
#[derive(Clone, Debug)]
pub struct Directory {
    /// The keys that sign links, and what extra schemes their advertisers may use.
    pub keys: Keyring,
    /// Registered links by slug.
    pub links: HashMap<String, Arc<Link>>,
    /// Tokens that may send batches, by the SHA-256 of their secret.
    pub tokens: HashMap<[u8; 32], IngestToken>,
    /// Schemes beside `http` and `https`, for the destinations of registered links.
    pub schemes: HashMap<AdvertiserId, Schemes>,
    /// The newest change that is applied; stamped on every record.
    pub control: ControlNumber,
    /// The version of records to write; an edge that cannot write it is not ready.
    pub record_version: u8,
}

impl Default for Directory {
    fn default() -> Directory {
        Directory {
            keys: Keyring::new(),
            links: HashMap::new(),
            tokens: HashMap::new(),
            schemes: HashMap::new(),
            control: ControlNumber(0),
            record_version: tollgate_click::facts::VERSION,
        }
    }
}

impl Directory {
    /// Whether there is nothing that a request could be checked against.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty() && self.links.is_empty() && self.tokens.is_empty()
    }

    /// Whether this build can write the records that are asked for.
    pub fn is_writable(&self) -> bool {
        self.record_version == tollgate_click::facts::VERSION
    }

    /// The token with that secret, if it is still valid. Only hashes are compared: a sender who
    /// times the look-up learns about the hash of a guess, which tells nothing about a secret.
    pub fn token(&self, secret: &[u8], now: Millis) -> Option<&IngestToken> {
        let hash: [u8; 32] = Sha256::digest(secret).into();
        let (known, token) = self.tokens.get_key_value(&hash)?;
        let same: bool = known.ct_eq(&hash).into();
        (same && now <= token.not_after).then_some(token)
    }

    pub(crate) fn schemes_of(&self, advertiser: AdvertiserId) -> &Schemes {
        self.schemes.get(&advertiser).unwrap_or(Schemes::WEB)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use tollgate_click::control::Scope;

    pub(crate) fn token(not_after: Millis) -> IngestToken {
        IngestToken {
            token: 1,
            scope: Scope::All,
            not_after,
        }
    }

    #[test]
    fn a_token_counts_with_its_secret_until_its_time() {
        let mut directory = Directory::default();
        directory
            .tokens
            .insert(Sha256::digest(b"tg_secret").into(), token(Millis(10)));
        assert!(directory.token(b"tg_secret", Millis(10)).is_some());
        assert!(directory.token(b"tg_secret", Millis(11)).is_none());
        assert!(directory.token(b"tg_secreT", Millis(10)).is_none());
        assert!(directory.token(b"", Millis(10)).is_none());
    }
}
