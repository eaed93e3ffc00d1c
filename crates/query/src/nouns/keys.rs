//! Signing keys: what mints links. The secret is shown once.

use serde::{Deserialize, Serialize};
use tollgate_click::control;
use tollgate_click::{AdvertiserId, Change, KeyId, Millis};
use utoipa::ToSchema;

use super::scope::Reach;
use super::{Checks, Noun, Turn};
use crate::desk::NewChange;
use crate::integer::{Integer, Unsigned};
use crate::problem::Problem;
use crate::seen::Seen;
use crate::standing::{KnownKey, Standing};

/// A key that signs links.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Key {
    /// Its number, from 1; the next free one where none is given.
    #[serde(default)]
    key: Option<u32>,
    /// The advertisers it may sign for.
    #[serde(default = "Reach::all")]
    advertisers: Reach,
    /// Before this its signatures do not count, Unix milliseconds.
    #[serde(default = "start")]
    not_before_ms: Unsigned,
    /// After this they do not count.
    #[serde(default = "end")]
    not_after_ms: Unsigned,
    /// Clicks on its links are tests.
    #[serde(default)]
    test: bool,
    /// From when on it is revoked; written by the service.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    revoked_at_ms: Option<Unsigned>,
    /// 64 hex digits: drawn where none is given; shown once, when the key is made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    secret: Option<String>,
}

fn start() -> Unsigned {
    Integer(0)
}

/// The latest time there is.
pub(crate) fn end() -> Unsigned {
    Integer(Millis::MAX.0)
}

impl Key {
    pub(crate) fn shown(known: &KnownKey) -> Key {
        let key = &known.key;
        Key {
            key: Some(key.key.0),
            advertisers: Reach::shown(&key.scope, |one| one.0),
            not_before_ms: Integer(key.not_before.0),
            not_after_ms: Integer(key.not_after.0),
            test: key.test,
            revoked_at_ms: known.revoked_at.map(|at| Integer(at.0)),
            secret: None,
        }
    }
}

impl Noun for Key {
    const ID: &'static str = "key";
    const ID_MAX: u64 = u32::MAX as u64;

    fn id(&self) -> Option<u64> {
        self.key.map(u64::from)
    }

    fn numbered(self, id: u64) -> Key {
        Key {
            key: u32::try_from(id).ok(),
            ..self
        }
    }

    fn last(standing: &Standing) -> u64 {
        standing
            .keys
            .last_key_value()
            .map_or(0, |(id, _)| id.0.into())
    }

    fn list<'a>(seen: Seen<'a>, after: Option<u64>) -> Box<dyn Iterator<Item = Self> + 'a> {
        let after = after.map(|after| u32::try_from(after).unwrap_or(u32::MAX));
        Box::new(seen.keys(after).map(Key::shown))
    }

    fn get(seen: Seen<'_>, id: u64) -> Option<Key> {
        let id = KeyId(u32::try_from(id).ok()?);
        seen.key(id).map(Key::shown)
    }

    fn is_taken(standing: &Standing, id: u64) -> bool {
        let id = u32::try_from(id).map(KeyId);
        id.is_ok_and(|id| standing.keys.contains_key(&id))
    }

    fn check(&self, before: Option<&Key>, turn: &Turn<'_>) -> Result<NewChange, Problem> {
        if !turn.seen.tenant().sees_all() {
            return Err(Problem::forbidden("this key is for some tenants only"));
        }
        if before.is_some_and(|before| before.revoked_at_ms.is_some()) {
            return Err(Problem::conflict(
                "path",
                "it is revoked for good",
                "a new key",
            ));
        }
        let mut checks = Checks::default();
        let old = before.map(|before| &before.revoked_at_ms);
        checks.read_only("/revoked_at_ms", &self.revoked_at_ms, old);
        let fits = before.is_none() && self.given_secret().is_some();
        let allowed = "64 hex digits when the key is made, or none";
        checks.need(
            self.secret.is_none() || fits,
            "/secret",
            "it cannot be one",
            allowed,
        );
        let ends = self.not_after_ms.0 <= Millis::MAX.0;
        let order = self.not_before_ms.0 <= self.not_after_ms.0;
        let allowed = "Unix milliseconds from not_before_ms up";
        checks.need(
            ends && order,
            "/not_after_ms",
            "it is out of range",
            allowed,
        );
        let known = |one| turn.seen.advertiser(one).is_some();
        let scope = self
            .advertisers
            .scope("/advertisers", AdvertiserId, known, &mut checks);
        checks.done()?;
        Ok(NewChange {
            change: Change::Key(control::SigningKey {
                key: KeyId(self.key.unwrap_or(0)),
                scope,
                not_before: Millis(self.not_before_ms.0),
                not_after: Millis(self.not_after_ms.0),
                test: self.test,
            }),
            // A change without it keeps the one that is known.
            secret: match before {
                None => turn.random.to_vec(),
                Some(_) => Vec::new(),
            },
        })
    }

    fn removal(&self, _turn: &Turn<'_>) -> Result<Option<NewChange>, Problem> {
        let revoke = || Change::KeyRevoked(KeyId(self.key.unwrap_or(0))).into();
        Ok(self.revoked_at_ms.is_none().then(revoke))
    }

    fn with_secret(self, random: &[u8; 32]) -> Key {
        let secret = random.iter().map(|byte| format!("{byte:02x}")).collect();
        Key {
            secret: Some(secret),
            ..self
        }
    }

    fn given_secret(&self) -> Option<[u8; 32]> {
        self.secret.as_deref().and_then(unhex)
    }
}

/// 32 bytes from 64 hex digits.
fn unhex(text: &str) -> Option<[u8; 32]> {
    let (high, low) = text.split_at_checked(32)?;
    let half = |text: &str| {
        let is_plain = text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        u128::from_str_radix(text, 16).ok().filter(|_| is_plain)
    };
    let mut bytes = [0; 32];
    let both = half(high)?
        .to_be_bytes()
        .into_iter()
        .chain(half(low)?.to_be_bytes());
    bytes.iter_mut().zip(both).for_each(|(to, from)| *to = from);
    Some(bytes)
}
