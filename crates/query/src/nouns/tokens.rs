//! Ingest tokens: what may send batches of events. The text is shown once.

use serde::{Deserialize, Serialize};
use tollgate_click::control;
use tollgate_click::{AdvertiserId, Change, Millis};
use utoipa::ToSchema;

use super::keys::end;
use super::scope::Reach;
use super::{Checks, Noun, Turn};
use crate::desk::NewChange;
use crate::integer::{Integer, Unsigned};
use crate::problem::Problem;
use crate::secret;
use crate::seen::Seen;
use crate::standing::{KnownToken, Standing};

/// A token that may send batches.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Token {
    /// Its number, from 1; the next free one where none is given.
    #[serde(default)]
    token: Option<u32>,
    /// The advertisers it may send for.
    #[serde(default = "Reach::all")]
    advertisers: Reach,
    /// After this it does not count, Unix milliseconds.
    #[serde(default = "end")]
    not_after_ms: Unsigned,
    /// Whether it was revoked; written by the service.
    #[serde(default)]
    revoked: bool,
    /// `tg_...`; shown once, when the token is made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    secret: Option<String>,
}

impl Token {
    pub(crate) fn shown(known: &KnownToken) -> Token {
        let token = &known.token;
        Token {
            token: Some(token.token),
            advertisers: Reach::shown(&token.scope, |one| one.0),
            not_after_ms: Integer(token.not_after.0),
            revoked: known.revoked,
            secret: None,
        }
    }
}

impl Noun for Token {
    const ID: &'static str = "token";
    const ID_MAX: u64 = u32::MAX as u64;

    fn id(&self) -> Option<u64> {
        self.token.map(u64::from)
    }

    fn numbered(self, id: u64) -> Token {
        Token {
            token: u32::try_from(id).ok(),
            ..self
        }
    }

    fn last(standing: &Standing) -> u64 {
        standing
            .tokens
            .last_key_value()
            .map_or(0, |(id, _)| (*id).into())
    }

    fn list<'a>(seen: Seen<'a>, after: Option<u64>) -> Box<dyn Iterator<Item = Self> + 'a> {
        let after = after.map(|after| u32::try_from(after).unwrap_or(u32::MAX));
        Box::new(seen.tokens(after).map(Token::shown))
    }

    fn get(seen: Seen<'_>, id: u64) -> Option<Token> {
        seen.token(u32::try_from(id).ok()?).map(Token::shown)
    }

    fn is_taken(standing: &Standing, id: u64) -> bool {
        let id = u32::try_from(id);
        id.is_ok_and(|id| standing.tokens.contains_key(&id))
    }

    fn check(&self, before: Option<&Token>, turn: &Turn<'_>) -> Result<NewChange, Problem> {
        if !turn.seen.tenant().sees_all() {
            return Err(Problem::forbidden("this key is for some tenants only"));
        }
        if before.is_some_and(|before| before.revoked) {
            return Err(Problem::conflict(
                "path",
                "it is revoked for good",
                "a new token",
            ));
        }
        let mut checks = Checks::default();
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
        let known = |one| turn.seen.advertiser(one).is_some();
        let scope = self
            .advertisers
            .scope("/advertisers", AdvertiserId, known, &mut checks);
        checks.done()?;
        Ok(NewChange {
            change: Change::Token(control::IngestToken {
                token: self.token.unwrap_or(0),
                scope,
                not_after: Millis(self.not_after_ms.0),
            }),
            secret: match before {
                None => secret::hash(&secret::ingest_token(&turn.random)).to_vec(),
                Some(_) => Vec::new(),
            },
        })
    }

    fn removal(&self, _turn: &Turn<'_>) -> Result<Option<NewChange>, Problem> {
        let revoke = || Change::TokenRevoked(self.token.unwrap_or(0)).into();
        Ok((!self.revoked).then(revoke))
    }

    fn with_secret(self, random: &[u8; 32]) -> Token {
        Token {
            secret: Some(secret::ingest_token(random)),
            ..self
        }
    }
}
