//! API keys: who may ask and write here. The text is shown once.

use serde::{Deserialize, Serialize};
use tollgate_click::control::{self, PublisherScope, Role, Scope};
use tollgate_click::{AdvertiserId, Change, Millis, PublisherId};
use utoipa::ToSchema;

use super::keys::end;
use super::scope::Reach;
use super::{Checks, Noun, Turn};
use crate::desk::NewChange;
use crate::integer::{Integer, Unsigned};
use crate::problem::Problem;
use crate::secret;
use crate::seen::Seen;
use crate::standing::{KnownApiKey, Standing};

/// A bearer token of this API.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ApiKey {
    /// Its number, from 1; the next free one where none is given.
    #[serde(default)]
    api_key: Option<u32>,
    /// Its name.
    name: String,
    /// What it may do; never changes.
    role: RoleWord,
    /// The advertisers that it sees; an advertiser's key names them.
    #[serde(default = "Reach::all")]
    advertisers: Reach,
    /// The publishers that it sees; a publisher's key names them.
    #[serde(default = "Reach::all")]
    publishers: Reach,
    /// After this it does not count, Unix milliseconds.
    #[serde(default = "end")]
    not_after_ms: Unsigned,
    /// Whether it was revoked; written by the service.
    #[serde(default)]
    revoked: bool,
    /// `tgk_...`; shown once, when the key is made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    secret: Option<String>,
}

/// A role.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
#[schema(as = Role)]
enum RoleWord {
    /// Everything.
    Admin,
    /// Money.
    Finance,
    /// Reads all reports.
    Analyst,
    /// Its own advertisers' campaigns and reports.
    Advertiser,
    /// Its own publishers' reports.
    Publisher,
    /// Reads everything, changes nothing.
    Auditor,
}

impl RoleWord {
    const ALL: [(RoleWord, Role); 6] = [
        (RoleWord::Admin, Role::Admin),
        (RoleWord::Finance, Role::Finance),
        (RoleWord::Analyst, Role::Analyst),
        (RoleWord::Advertiser, Role::Advertiser),
        (RoleWord::Publisher, Role::Publisher),
        (RoleWord::Auditor, Role::Auditor),
    ];

    pub(crate) fn shown(role: Role) -> RoleWord {
        let found = RoleWord::ALL.iter().find(|(_, known)| *known == role);
        found.map_or(RoleWord::Auditor, |(word, _)| *word)
    }

    fn role(self) -> Role {
        let found = RoleWord::ALL.iter().find(|(word, _)| *word == self);
        found.map_or(Role::Auditor, |(_, role)| *role)
    }
}

impl ApiKey {
    pub(crate) fn shown(known: &KnownApiKey) -> ApiKey {
        let key = &known.key;
        ApiKey {
            api_key: Some(key.key),
            name: key.name.clone(),
            role: RoleWord::shown(key.role),
            advertisers: Reach::shown(&key.scope, |one| one.0),
            publishers: Reach::shown(&key.publishers, |one| one.0),
            not_after_ms: Integer(key.not_after.0),
            revoked: known.revoked,
            secret: None,
        }
    }
}

impl Noun for ApiKey {
    const ID: &'static str = "api_key";
    const ID_MAX: u64 = u32::MAX as u64;

    fn id(&self) -> Option<u64> {
        self.api_key.map(u64::from)
    }

    fn numbered(self, id: u64) -> ApiKey {
        ApiKey {
            api_key: u32::try_from(id).ok(),
            ..self
        }
    }

    fn last(standing: &Standing) -> u64 {
        standing
            .api_keys
            .last_key_value()
            .map_or(0, |(id, _)| (*id).into())
    }

    fn list<'a>(seen: Seen<'a>, after: Option<u64>) -> Box<dyn Iterator<Item = Self> + 'a> {
        let after = after.map(|after| u32::try_from(after).unwrap_or(u32::MAX));
        Box::new(seen.api_keys(after).map(ApiKey::shown))
    }

    fn get(seen: Seen<'_>, id: u64) -> Option<ApiKey> {
        seen.api_key(u32::try_from(id).ok()?).map(ApiKey::shown)
    }

    fn is_taken(standing: &Standing, id: u64) -> bool {
        let id = u32::try_from(id);
        id.is_ok_and(|id| standing.api_keys.contains_key(&id))
    }

    fn check(&self, before: Option<&ApiKey>, turn: &Turn<'_>) -> Result<NewChange, Problem> {
        if !turn.seen.tenant().sees_all() {
            return Err(Problem::forbidden("this key is for some tenants only"));
        }
        if before.is_some_and(|before| before.revoked) {
            return Err(Problem::conflict(
                "path",
                "it is revoked for good",
                "a new key",
            ));
        }
        if before.is_some_and(|before| before.role != self.role) {
            return Err(Problem::conflict("/role", "it never changes", "a new key"));
        }
        let mut checks = Checks::default();
        checks.name(&self.name);
        checks.read_only(
            "/revoked",
            &self.revoked,
            before.map(|before| &before.revoked),
        );
        checks.need(
            self.secret.is_none(),
            "/secret",
            "it is drawn by the service",
            "",
        );
        let ends = self.not_after_ms.0 <= Millis::MAX.0;
        checks.need(
            ends,
            "/not_after_ms",
            "it is out of range",
            "Unix milliseconds",
        );
        let (advertisers, publishers) = (&self.advertisers, &self.publishers);
        let known = |one| turn.seen.advertiser(one).is_some();
        let scope = advertisers.scope("/advertisers", AdvertiserId, known, &mut checks);
        let known = |one| turn.seen.publisher(one).is_some();
        let publishers = publishers.scope("/publishers", PublisherId, known, &mut checks);
        let role = self.role.role();
        let names = (role != Role::Advertiser || scope != Scope::All)
            && (role != Role::Publisher || publishers != PublisherScope::All);
        let allowed = "a list of the key's own";
        checks.need(names, "/role", "its key names whose data it sees", allowed);
        checks.done()?;
        Ok(NewChange {
            change: Change::ApiKey(control::ApiKey {
                key: self.api_key.unwrap_or(0),
                name: self.name.clone(),
                role,
                scope,
                publishers,
                not_after: Millis(self.not_after_ms.0),
            }),
            secret: match before {
                None => {
                    let number = self.api_key.unwrap_or(0);
                    secret::hash(&secret::api_key(number, &turn.random)).to_vec()
                }
                Some(_) => Vec::new(),
            },
        })
    }

    /// The last admin cannot lock everybody out.
    fn removal(&self, turn: &Turn<'_>) -> Result<Option<NewChange>, Problem> {
        if self.revoked {
            return Ok(None);
        }
        let is_admin = |known: &KnownApiKey| {
            let key = &known.key;
            let live = !known.revoked && known.hash.is_some() && turn.now <= key.not_after;
            live && key.role == Role::Admin && key.scope == Scope::All
        };
        let others = turn.seen.taken().api_keys.values();
        let mut others = others.filter(|known| Some(known.key.key) != self.api_key);
        if self.role == RoleWord::Admin && !others.any(is_admin) {
            let what = "it is the last admin's";
            return Err(Problem::conflict(
                "path",
                what,
                "make another admin key first",
            ));
        }
        Ok(Some(
            Change::ApiKeyRevoked(self.api_key.unwrap_or(0)).into(),
        ))
    }

    fn with_secret(self, random: &[u8; 32]) -> ApiKey {
        let number = self.api_key.unwrap_or(0);
        ApiKey {
            secret: Some(secret::api_key(number, random)),
            ..self
        }
    }
}
