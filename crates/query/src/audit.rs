//! `GET /v1/audit`: every change that was ever made, in its order, with who made it.

use serde::Serialize;
use serde_json::Value;
use tollgate_click::{Actor, Change, Control};
use utoipa::ToSchema;

use crate::call::{Call, Reply};
use crate::integer::{Integer, Unsigned};
use crate::money;
use crate::nouns::ads::Ad;
use crate::nouns::advertisers::Advertiser;
use crate::nouns::api_keys::ApiKey;
use crate::nouns::campaigns::Campaign;
use crate::nouns::keys::Key;
use crate::nouns::links::Link;
use crate::nouns::publishers::Publisher;
use crate::nouns::tokens::Token;
use crate::nouns::{PAGE, Page};
use crate::params::Param;
use crate::problem::Problem;
use crate::reports::time;
use crate::standing::{KnownApiKey, KnownKey, KnownToken};

/// What the route takes.
pub(crate) const PARAMS: &[Param] = PAGE;

const PAGE_DEFAULT: usize = 100;
const PAGE_MAX: usize = 1_000;

/// One change.
#[derive(Serialize, ToSchema)]
#[schema(as = AuditLine)]
pub(crate) struct AuditLine {
    /// Its number, from 1 without gaps.
    number: Unsigned,
    /// When it was accepted.
    at: String,
    /// The number of the API key that made it; 0 for files and the operator.
    by: u32,
    /// What changed.
    change: &'static str,
    /// The thing as it stands from then on, or the number of what was removed.
    object: Value,
}

/// Lists changes.
pub(crate) async fn list(call: Call) -> Result<Reply, Problem> {
    let limit = call.params.count("limit", PAGE_DEFAULT, PAGE_MAX)?;
    let place = call.place()?;
    let page = call.data.audit(&call.tenant, place, limit).await?;
    let items = page.changes.iter().map(shown).collect();
    let next = page.next.map(|place| call.cursor(&place));
    Reply::json(&Page::new(items, next))
}

/// Changes of a write whose own answer is lost that are told.
const CARRIED_OUT_MAX: usize = 100;

/// The answer to a write that was carried out by a process that died before it could answer.
#[derive(Serialize)]
struct CarriedOut {
    /// How many changes it made.
    changes: usize,
    /// The first hundred of them.
    carried_out: Vec<AuditLine>,
}

/// Tells what such a write has changed.
pub(crate) fn carried_out(changes: &[Control]) -> Result<Reply, Problem> {
    Reply::json(&CarriedOut {
        changes: changes.len(),
        carried_out: changes.iter().take(CARRIED_OUT_MAX).map(shown).collect(),
    })
}

fn shown(control: &Control) -> AuditLine {
    let Actor(by) = control.by;
    let (change, object) = what(&control.change);
    AuditLine {
        number: Integer(control.number.0),
        at: time(control.at),
        by,
        change,
        object,
    }
}

fn what(change: &Change) -> (&'static str, Value) {
    match change {
        Change::Advertiser(one) => ("advertiser", json(&Advertiser::shown(one))),
        Change::Publisher(one) => ("publisher", json(&Publisher::shown(one))),
        Change::Campaign(one) => ("campaign", json(&Campaign::shown(one))),
        Change::Ad(one) => ("ad", json(&Ad::shown(one))),
        Change::Link(one) => ("link", json(&Link::shown(one))),
        Change::LinkRemoved(id) => ("link_removed", json(&Integer(id.0))),
        Change::Key(key) => {
            let known = KnownKey {
                key: key.clone(),
                secret: None,
                revoked_at: None,
            };
            ("key", json(&Key::shown(&known)))
        }
        Change::KeyRevoked(id) => ("key_revoked", json(&id.0)),
        Change::Token(token) => {
            let known = KnownToken {
                token: token.clone(),
                hash: None,
                revoked: false,
            };
            ("token", json(&Token::shown(&known)))
        }
        Change::TokenRevoked(id) => ("token_revoked", json(id)),
        Change::ApiKey(key) => {
            let known = KnownApiKey {
                key: key.clone(),
                hash: None,
                revoked: false,
            };
            ("api_key", json(&ApiKey::shown(&known)))
        }
        Change::ApiKeyRevoked(id) => ("api_key_revoked", json(id)),
        Change::Money(one) => (one.kind.name(), json(&money::shown(one))),
        Change::RecordVersion(version) => ("record_version", json(version)),
        Change::ApplyVersion(version) => ("apply_version", json(version)),
    }
}

/// Types of ours always can be written.
fn json(value: &impl Serialize) -> Value {
    serde_json::to_value(value).unwrap_or_default()
}
