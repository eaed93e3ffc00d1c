//! The keys that are trusted, and what each may do. Permissions come from here, never from the
//! token.

use tollgate_click::control::SigningKey;
use tollgate_click::{AdvertiserId, KeyId, Millis};

use crate::destination::Schemes;
use crate::mac::Secret;

/// Keys by number, and the schemes that an advertiser's destinations may have beside `http`
/// and `https`. Any number of keys is live at a time, so that keys rotate without a gap.
#[derive(Clone, Default, Debug)]
pub struct Keyring {
    keys: Vec<TrustedKey>,                 // ascending by number
    schemes: Vec<(AdvertiserId, Schemes)>, // ascending by advertiser
}

/// A key with its secret.
#[derive(Clone, Debug)]
pub(crate) struct TrustedKey {
    pub(crate) key: SigningKey,
    pub(crate) secret: Secret,
    pub(crate) revoked_at: Option<Millis>,
}

impl Keyring {
    /// No keys: every token is forged.
    pub fn new() -> Keyring {
        Keyring::default()
    }

    /// Adds a key or replaces the one of its number. A revoked key stays revoked.
    pub fn insert(&mut self, key: SigningKey, secret: Secret) {
        let (index, revoked_at) = match self.position(key.key) {
            Ok(index) => (index, self.keys.remove(index).revoked_at),
            Err(index) => (index, None),
        };
        let trusted = TrustedKey {
            key,
            secret,
            revoked_at,
        };
        self.keys.insert(index, trusted);
    }

    /// Stops a key for clicks received at `at` or later; the earliest revocation counts. False
    /// when there is no such key.
    pub fn revoke(&mut self, key: KeyId, at: Millis) -> bool {
        let found = self
            .position(key)
            .ok()
            .and_then(|index| self.keys.get_mut(index));
        if let Some(trusted) = found {
            trusted.revoked_at = Some(trusted.revoked_at.map_or(at, |earlier| earlier.min(at)));
            return true;
        }
        false
    }

    /// Lets an advertiser's destinations have these schemes; without a word only `http` and
    /// `https` are opened.
    pub fn set_schemes(&mut self, advertiser: AdvertiserId, schemes: Schemes) {
        match self
            .schemes
            .binary_search_by_key(&advertiser, |(id, _)| *id)
        {
            Ok(index) => {
                if let Some(entry) = self.schemes.get_mut(index) {
                    entry.1 = schemes;
                }
            }
            Err(index) => self.schemes.insert(index, (advertiser, schemes)),
        }
    }

    /// Number of keys, revoked ones too.
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// Whether there is no key.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    pub(crate) fn find(&self, key: KeyId) -> Option<&TrustedKey> {
        self.position(key)
            .ok()
            .and_then(|index| self.keys.get(index))
    }

    pub(crate) fn schemes_of(&self, advertiser: AdvertiserId) -> &Schemes {
        let found = self
            .schemes
            .binary_search_by_key(&advertiser, |(id, _)| *id);
        let entry = found.ok().and_then(|index| self.schemes.get(index));
        entry.map_or(Schemes::WEB, |(_, schemes)| schemes)
    }

    fn position(&self, key: KeyId) -> Result<usize, usize> {
        self.keys
            .binary_search_by_key(&key, |trusted| trusted.key.key)
    }
}
