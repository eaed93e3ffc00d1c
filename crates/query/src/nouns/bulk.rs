//! Bulk: thousands of things in one request, all of them or none.
//!
//! What stands already in the same words is left as it is, so the same request may be sent again.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use http::StatusCode;
use serde::Serialize;
use tollgate_click::Millis;
use utoipa::ToSchema;

use super::{Noun, Turn, make, reply};
use crate::call::{Call, Reply};
use crate::desk::NewChange;
use crate::integer::{Integer, Unsigned};
use crate::problem::{ERRORS_MAX, Problem, Wrong};
use crate::secret;
use crate::seen::Seen;

/// Things of one request.
const ITEMS_MAX: usize = 25_000;

/// Bytes of one request.
pub(crate) const BULK_BYTES_MAX: usize = 32 << 20;

/// What a bulk request has made.
#[derive(Serialize, ToSchema)]
pub(crate) struct Bulk {
    /// How many are new.
    made: usize,
    /// How many stood already, in the same words.
    unchanged: usize,
    /// The number of each, in the order of the request.
    ids: Vec<Unsigned>,
}

/// Makes many.
pub(crate) async fn create_all<N: Noun>(call: Call) -> Result<Reply, Problem> {
    let items: Vec<N> = call.json()?;
    if items.is_empty() || items.len() > ITEMS_MAX {
        let what = format!("there are {}", items.len());
        let allowed = format!("1 to {ITEMS_MAX} items");
        return Err(Problem::invalid("body", what, &allowed));
    }
    let items = items.into_iter().map(N::completed);
    let items = items.collect::<Result<Vec<N>, Problem>>()?;
    let random = secret::draw()?;
    let made = Arc::new(Mutex::new((Vec::new(), 0)));
    let slot = made.clone();
    let decide = move |seen: &Seen<'_>, now: Millis| {
        let turn = Turn {
            seen: *seen,
            now,
            random,
        };
        let (ids, changes) = make_all(items, &turn)?;
        *slot.lock().unwrap_or_else(PoisonError::into_inner) = (ids, changes.len());
        Ok(changes)
    };
    let written = call.write(decide).await?;
    let (ids, made) = {
        let mut made = made.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut *made)
    };
    let bulk = Bulk {
        made,
        unchanged: ids.len().saturating_sub(made),
        ids: ids.into_iter().map(Integer).collect(),
    };
    reply(&bulk, &written, StatusCode::CREATED)
}

fn make_all<N: Noun>(
    items: Vec<N>,
    turn: &Turn<'_>,
) -> Result<(Vec<u64>, Vec<NewChange>), Problem> {
    let mut next = N::last(turn.seen.taken()).saturating_add(1);
    let highest = items.iter().filter_map(N::id).max().unwrap_or(0);
    next = next.max(highest.saturating_add(1));
    let (mut ids, mut changes) = (Vec::with_capacity(items.len()), Vec::new());
    let mut shared: BTreeSet<(&'static str, String)> = BTreeSet::new();
    let mut refused: Option<Problem> = None;
    let mut wrong: Vec<Wrong> = Vec::new();
    for (index, item) in items.into_iter().enumerate() {
        if wrong.len() >= ERRORS_MAX {
            break;
        }
        let mut unique = item.unique();
        unique.extend(item.id().map(|id| (N::ID, id.to_string())));
        for key in unique {
            let field = key.0;
            if !shared.insert(key) {
                let at = format!("/{index}/{field}");
                wrong.push(Wrong::new(
                    at,
                    "it stands in this request before",
                    "each once",
                ));
            }
        }
        if let Some(id) = item.id().filter(|id| stands(&item, *id, turn)) {
            ids.push(id);
            continue;
        }
        match make(item, next, turn) {
            Ok((made, change)) => {
                let id = made.id().unwrap_or(next);
                next = next.max(id.saturating_add(1));
                ids.push(id);
                changes.push(change);
            }
            Err(problem) => {
                let placed = problem.errors().iter().map(|one| Wrong {
                    at: format!("/{index}{}", one.at),
                    ..one.clone()
                });
                wrong.extend(placed);
                refused.get_or_insert(problem);
            }
        }
    }
    match (wrong.is_empty(), refused) {
        (true, None) => Ok((ids, changes)),
        (_, Some(problem)) => Err(problem.instead(wrong)),
        (false, None) => Err(Problem::all_invalid(wrong)),
    }
}

/// Whether it stands in the same words.
fn stands<N: Noun>(item: &N, id: u64, turn: &Turn<'_>) -> bool {
    let known = N::get(turn.seen, id);
    known.is_some_and(|known| known == item.clone().filled_like(&known))
}
