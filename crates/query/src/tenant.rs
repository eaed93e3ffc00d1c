//! Who asks, and what is theirs.
//!
//! A [`Tenant`] can only be made from a credential. Everything that reads or writes data demands
//! one, so no handler can forget to ask whose data they are.

use tollgate_click::control::{ApiKey, PublisherScope, Role, Scope};
use tollgate_click::ids::Actor;
use tollgate_click::{AdvertiserId, Millis, PublisherId};

use crate::problem::Problem;
use crate::secret;
use crate::standing::Standing;

/// The holder of a live API key.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Tenant {
    key: u32,
    role: Role,
    advertisers: Scope,
    publishers: PublisherScope,
}

impl Tenant {
    /// The tenant of an `Authorization` header.
    ///
    /// # Errors
    ///
    /// 401, the same for every reason.
    pub(crate) fn of(
        standing: &Standing,
        authorization: Option<&str>,
        now: Millis,
    ) -> Result<Tenant, Problem> {
        let text = authorization.and_then(bearer);
        let text = text.ok_or_else(Problem::unauthenticated)?;
        let number = secret::number_of(text).ok_or_else(Problem::unauthenticated)?;
        let known = standing.api_keys.get(&number);
        // An unknown key is compared too, with a hash that no text has been found for.
        let kept = known.and_then(|known| known.hash).unwrap_or([0; 32]);
        let is_same = secret::same(&secret::hash(text), &kept);
        let live = known.filter(|known| {
            is_same && known.hash.is_some() && !known.revoked && now <= known.key.not_after
        });
        live.map(|known| Tenant::holding(&known.key))
            .ok_or_else(Problem::unauthenticated)
    }

    fn holding(key: &ApiKey) -> Tenant {
        Tenant {
            key: key.key,
            role: key.role,
            advertisers: key.scope.clone(),
            publishers: key.publishers.clone(),
        }
    }

    /// The number of the key.
    pub fn key(&self) -> u32 {
        self.key
    }

    /// Who stands in the changes that it makes.
    pub fn actor(&self) -> Actor {
        Actor(self.key)
    }

    /// What it may do.
    pub fn role(&self) -> Role {
        self.role
    }

    /// The advertisers that it sees.
    pub fn advertisers(&self) -> &Scope {
        &self.advertisers
    }

    /// The publishers that it sees.
    pub fn publishers(&self) -> &PublisherScope {
        &self.publishers
    }

    /// Whether an advertiser's things are its to see.
    pub fn sees_advertiser(&self, advertiser: AdvertiserId) -> bool {
        self.advertisers.covers(advertiser)
    }

    /// Whether a publisher's things are its to see.
    pub fn sees_publisher(&self, publisher: PublisherId) -> bool {
        self.publishers.covers(publisher)
    }

    /// Whether it sees the whole deployment.
    pub fn sees_all(&self) -> bool {
        self.advertisers == Scope::All && self.publishers == PublisherScope::All
    }
}

/// The token of `Bearer <token>`; the scheme's case does not matter (RFC 9110, 11.1).
fn bearer(header: &str) -> Option<&str> {
    let (scheme, token) = header.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then_some(token)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tollgate_click::control::ScopeOf;
    use tollgate_click::{Change, Control, ControlNumber};

    fn standing(key: &ApiKey, text: &str) -> Standing {
        let mut standing = Standing::default();
        let control = Control {
            number: ControlNumber(1),
            target_number: 1,
            at: Millis(1),
            by: Actor(0),
            change: Change::ApiKey(key.clone()),
        };
        standing.apply(&control, &secret::hash(text)).unwrap();
        standing
    }

    #[test]
    fn only_the_live_key_itself_is_let_in() {
        let key = ApiKey {
            key: 3,
            name: "n".to_owned(),
            role: Role::Advertiser,
            scope: ScopeOf::Only(vec![AdvertiserId(1)]),
            publishers: ScopeOf::All,
            not_after: Millis(100),
        };
        let text = secret::api_key(3, &[5; 32]);
        let mut known = standing(&key, &text);
        let of = |known: &Standing, header: &str, now| Tenant::of(known, Some(header), Millis(now));
        let tenant = of(&known, &format!("bearer {text}"), 100).unwrap();
        assert_eq!((tenant.key(), tenant.role()), (3, Role::Advertiser));
        assert!(tenant.sees_advertiser(AdvertiserId(1)));
        assert!(!tenant.sees_advertiser(AdvertiserId(2)));
        assert!(
            of(&known, &format!("Bearer {text}"), 101).is_err(),
            "expired"
        );
        let other = secret::api_key(3, &[6; 32]);
        let unknown = secret::api_key(4, &[5; 32]);
        for wrong in [
            text.clone(),
            format!("Basic {text}"),
            format!("Bearer  {text}"),
            format!("Bearer {}", &text[..text.len() - 1]),
            format!("Bearer {other}"),
            format!("Bearer {unknown}"),
            "Bearer ".to_owned(),
        ] {
            assert!(of(&known, &wrong, 1).is_err(), "{wrong}");
        }
        known.api_keys.get_mut(&3).unwrap().revoked = true;
        assert!(of(&known, &format!("Bearer {text}"), 1).is_err(), "revoked");
        known.api_keys.get_mut(&3).unwrap().revoked = false;
        known.api_keys.get_mut(&3).unwrap().hash = None;
        assert!(
            of(&known, &format!("Bearer {text}"), 1).is_err(),
            "its hash is gone"
        );
    }
}
