//! Nouns: what is listed, made, changed and removed over the API, all in one way.
//!
//! A noun is a JSON object with the same fields in requests, answers and the files of `serve`. A
//! change is a merge patch (RFC 7396) over what stands at its turn, and is checked whole.

pub(crate) mod ads;
pub(crate) mod advertisers;
pub(crate) mod api_keys;
pub(crate) mod campaigns;
pub(crate) mod keys;
pub(crate) mod links;
pub(crate) mod publishers;
pub(crate) mod scope;
pub(crate) mod tokens;

mod bulk;
mod checks;

use std::sync::{Arc, Mutex, PoisonError};

use http::{HeaderName, StatusCode, header};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tollgate_click::Millis;
use utoipa::ToSchema;

pub(crate) use bulk::{BULK_BYTES_MAX, Bulk, create_all};
pub(crate) use checks::{Checks, absent};

use crate::call::{Call, Reply, etag, json_fault};
use crate::desk::{NewChange, Written};
use crate::params::{Param, Params};
use crate::problem::Problem;
use crate::secret;
use crate::seen::Seen;
use crate::standing::Standing;

/// Things of one page when nothing is said, and at most.
const PAGE_DEFAULT: usize = 100;
const PAGE_MAX: usize = 1_000;

const APPLIED: HeaderName = HeaderName::from_static("tollgate-applied");
const CONTROL: HeaderName = HeaderName::from_static("tollgate-control");

pub(crate) const LIMIT: Param = Param {
    name: "limit",
    about: "How many of a page, 1 to 1000; 100 when it is not given",
    many: false,
};
pub(crate) const CURSOR: Param = Param {
    name: "cursor",
    about: "`next` of the page before",
    many: false,
};
pub(crate) const PAGE: &[Param] = &[LIMIT, CURSOR];

/// A thing that stands, as JSON.
pub(crate) trait Noun:
    Serialize + DeserializeOwned + Clone + PartialEq + Send + Sync + 'static
{
    /// The field of its number.
    const ID: &'static str;
    /// The highest number there can be.
    const ID_MAX: u64;

    /// Its number; none in a request to make one, where the next free one is taken.
    fn id(&self) -> Option<u64>;
    /// The same with a number.
    fn numbered(self, id: u64) -> Self;
    /// The highest number that is taken, whosever it is.
    fn last(standing: &Standing) -> u64;
    /// Those that the tenant sees, by number.
    fn list<'a>(seen: Seen<'a>, after: Option<u64>) -> Box<dyn Iterator<Item = Self> + 'a>;
    /// The one of that number, if the tenant sees it.
    fn get(seen: Seen<'_>, id: u64) -> Option<Self>;
    /// Whether a number is taken, whosever it is.
    fn is_taken(standing: &Standing, id: u64) -> bool;
    /// Whether it is one that is asked for.
    fn matches(&self, _params: &Params) -> Result<bool, Problem> {
        Ok(true)
    }
    /// What no two of them may share: the field, and what is compared.
    fn unique(&self) -> Vec<(&'static str, String)> {
        Vec::new()
    }
    /// Fills in what a request to make one may leave out and the service draws.
    fn completed(self) -> Result<Self, Problem> {
        Ok(self)
    }
    /// The same with what was left out as it stands, where that has no default of its own.
    fn filled_like(self, _known: &Self) -> Self {
        self
    }
    /// Checks it whole, as new or as a change of what stood, and says the change.
    fn check(&self, before: Option<&Self>, turn: &Turn<'_>) -> Result<NewChange, Problem>;
    /// The change that removes it; some things are put away instead.
    fn removal(&self, turn: &Turn<'_>) -> Result<Option<NewChange>, Problem>;
    /// The secret that a request to make one brings along.
    fn given_secret(&self) -> Option<[u8; 32]> {
        None
    }
    /// What is shown once, when it is made.
    fn with_secret(self, _random: &[u8; 32]) -> Self {
        self
    }
}

/// The turn of a decision at the desk.
pub(crate) struct Turn<'a> {
    pub(crate) seen: Seen<'a>,
    pub(crate) now: Millis,
    /// For secrets.
    pub(crate) random: [u8; 32],
}

/// A page of things.
#[derive(Serialize, ToSchema)]
pub(crate) struct Page<T: ToSchema> {
    /// By number.
    items: Vec<T>,
    /// The cursor of the next page; none at the end.
    next: Option<String>,
}

impl<T: ToSchema> Page<T> {
    pub(crate) fn new(items: Vec<T>, next: Option<String>) -> Page<T> {
        Page { items, next }
    }
}

/// Lists.
pub(crate) async fn list<N: Noun + ToSchema>(call: Call) -> Result<Reply, Problem> {
    let limit = call.params.count("limit", PAGE_DEFAULT, PAGE_MAX)?;
    let after = call.place()?.map(|place| number(&place)).transpose()?;
    let items = call.data.look(&call.tenant, |seen| {
        let mut items = Vec::new();
        for one in N::list(*seen, after) {
            if one.matches(&call.params)? {
                items.push(one);
            }
            if items.len() > limit {
                break;
            }
        }
        Ok::<_, Problem>(items)
    });
    let mut items = items?;
    let is_cut = items.len() > limit;
    items.truncate(limit);
    let last = items.last().and_then(Noun::id).filter(|_| is_cut);
    let next = last.map(|id| call.cursor(&id.to_le_bytes()));
    Reply::json(&Page { items, next })
}

fn number(place: &[u8]) -> Result<u64, Problem> {
    let bytes = place.try_into().map(u64::from_le_bytes);
    bytes.map_err(|_| Problem::malformed("cursor", "it is of another list", ""))
}

/// Gets one.
pub(crate) async fn get<N: Noun>(call: Call) -> Result<Reply, Problem> {
    let id = call.number()?;
    let found = call.data.look(&call.tenant, |seen| N::get(*seen, id));
    let found = found.ok_or_else(Problem::not_found)?;
    Ok(Reply::json(&found)?.header(header::ETAG, etag(&found)))
}

/// Makes one.
pub(crate) async fn create<N: Noun>(call: Call) -> Result<Reply, Problem> {
    let wanted: N = call.json::<N>()?.completed()?;
    let random = match wanted.given_secret() {
        Some(given) => given,
        None => secret::draw()?,
    };
    let made = Arc::new(Mutex::new(None));
    let slot = made.clone();
    let decide = move |seen: &Seen<'_>, now| {
        let turn = Turn {
            seen: *seen,
            now,
            random,
        };
        let first = N::last(seen.taken()).saturating_add(1);
        let (numbered, change) = make(wanted, first, &turn)?;
        *slot.lock().unwrap_or_else(PoisonError::into_inner) = numbered.id();
        Ok(vec![change])
    };
    let written = call.write(decide).await?;
    let id = made
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .unwrap_or(0);
    let found = call.data.look(&call.tenant, |seen| N::get(*seen, id));
    let found = found.ok_or_else(Problem::not_found)?;
    let tag = etag(&found);
    let path = call.question.split('?').next().unwrap_or("");
    let without = Reply::json(&found)?.body;
    let mut reply = reply(&found.with_secret(&random), &written, StatusCode::CREATED)?;
    reply.without_secret = Some(without).filter(|without| *without != reply.body);
    Ok(reply
        .header(header::ETAG, tag)
        .header(header::LOCATION, format!("{path}/{id}")))
}

/// Numbers and checks a new one.
fn make<N: Noun>(wanted: N, next: u64, turn: &Turn<'_>) -> Result<(N, NewChange), Problem> {
    let at = || format!("/{}", N::ID);
    let taken = turn.seen.taken();
    if let Some(id) = wanted.id() {
        if !turn.seen.tenant().sees_all() {
            let what = "numbers are given by the service";
            return Err(Problem::invalid(at(), what, "no number"));
        }
        if id == 0 || id > N::ID_MAX {
            let allowed = format!("1 to {}", N::ID_MAX);
            return Err(Problem::invalid(at(), "it is out of range", &allowed));
        }
        if N::is_taken(taken, id) {
            return Err(Problem::conflict(
                at(),
                "the number is taken",
                "another one, or none",
            ));
        }
    }
    let id = wanted.id().unwrap_or(next);
    if id > N::ID_MAX {
        return Err(Problem::conflict(
            at(),
            "the highest number is taken",
            "a free number",
        ));
    }
    let numbered = wanted.numbered(id);
    let change = numbered.check(None, turn)?;
    Ok((numbered, change))
}

/// Changes one by a merge patch.
pub(crate) async fn patch<N: Noun>(call: Call) -> Result<Reply, Problem> {
    let id = call.number()?;
    let patch: Value = call.json()?;
    let if_match = call.if_match();
    let decide = move |seen: &Seen<'_>, now| {
        let before = N::get(*seen, id).ok_or_else(Problem::not_found)?;
        Call::check_version(if_match.as_deref(), &etag(&before))?;
        let after: N = patched(&before, &patch)?;
        if after.id() != Some(id) {
            let at = format!("/{}", N::ID);
            return Err(Problem::conflict(at, "the number never changes", ""));
        }
        if after == before {
            return Ok(Vec::new());
        }
        let turn = Turn {
            seen: *seen,
            now,
            random: [0; 32],
        };
        Ok(vec![after.check(Some(&before), &turn)?])
    };
    let written = call.write(decide).await?;
    shown::<N>(&call, id, &written)
}

/// Removes one, or puts it away.
pub(crate) async fn remove<N: Noun>(call: Call) -> Result<Reply, Problem> {
    let id = call.number()?;
    let if_match = call.if_match();
    let decide = move |seen: &Seen<'_>, now| {
        let before = N::get(*seen, id).ok_or_else(Problem::not_found)?;
        Call::check_version(if_match.as_deref(), &etag(&before))?;
        let turn = Turn {
            seen: *seen,
            now,
            random: [0; 32],
        };
        Ok(before.removal(&turn)?.into_iter().collect())
    };
    let written = call.write(decide).await?;
    match shown::<N>(&call, id, &written) {
        Err(problem) if problem.status() == StatusCode::NOT_FOUND => {
            reply(&Gone { removed: true }, &written, StatusCode::OK)
        }
        shown => shown,
    }
}

/// What a removal leaves.
#[derive(Serialize)]
struct Gone {
    removed: bool,
}

fn shown<N: Noun>(call: &Call, id: u64, written: &Written) -> Result<Reply, Problem> {
    let found = call.data.look(&call.tenant, |seen| N::get(*seen, id));
    let found = found.ok_or_else(Problem::not_found)?;
    let tag = etag(&found);
    Ok(reply(&found, written, StatusCode::OK)?.header(header::ETAG, tag))
}

/// The answer to a write: done, or 202 while not every partition has applied it.
pub(crate) fn reply(
    shown: &impl Serialize,
    written: &Written,
    done: StatusCode,
) -> Result<Reply, Problem> {
    if let Some((number, why)) = written.refused.first() {
        let what = format!("the core refuses change {number}: {why}");
        return Err(Problem::conflict("body", what, ""));
    }
    let is_applied = written.applied >= written.partitions;
    let status = if is_applied {
        done
    } else {
        StatusCode::ACCEPTED
    };
    let applied = format!("{}/{}", written.applied, written.partitions);
    let mut reply = Reply::json(shown)?.status(status).header(APPLIED, applied);
    if let Some(last) = written.numbers.last() {
        reply = reply.header(CONTROL, last.to_string());
    }
    Ok(reply)
}

/// A merge patch (RFC 7396).
fn patched<N: Noun>(before: &N, patch: &Value) -> Result<N, Problem> {
    let Value::Object(_) = patch else {
        return Err(Problem::malformed(
            "body",
            "it is no JSON object",
            "a merge patch",
        ));
    };
    let mut value = serde_json::to_value(before).map_err(|error| Problem::broken("it", error))?;
    merge(&mut value, patch, 0);
    N::deserialize(value)
        .map_err(|error| Problem::malformed("body", json_fault(&error), "see /v1/openapi.json"))
}

/// How deep objects of ours are.
const DEPTH_MAX: usize = 4;

fn merge(value: &mut Value, patch: &Value, depth: usize) {
    let Value::Object(changes) = patch else {
        *value = patch.clone();
        return;
    };
    if !value.is_object() || depth == DEPTH_MAX {
        *value = Value::Object(Default::default());
    }
    let Value::Object(fields) = value else {
        return;
    };
    for (name, change) in changes {
        match change {
            Value::Null => {
                fields.remove(name);
            }
            _ => merge(
                fields.entry(name.clone()).or_insert(Value::Null),
                change,
                depth + 1,
            ),
        }
    }
}
