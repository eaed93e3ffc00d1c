//! The first API key: made when there is none, told once, and kept as its hash only.

use tollgate_click::control::{ApiKey, PublisherScope, Role, Scope};
use tollgate_click::{Actor, Change, Millis};
use tollgate_query::{NewChange, Standing, secret};

use super::{OfferError, Sequencer, Who};

/// Makes an admin key if there never was an API key; the text of it is told to nobody else.
pub(crate) async fn make(
    sequencer: &mut Sequencer,
    now: Millis,
) -> Result<Option<String>, OfferError> {
    if !sequencer.standing().api_keys.is_empty() {
        return Ok(None);
    }
    let random = secret::draw().map_err(OfferError::Refused)?;
    let text = secret::api_key(1, &random);
    let hash = secret::hash(&text);
    let decide = move |standing: &Standing, _| match standing.api_keys.is_empty() {
        true => Ok(vec![admin(&hash)]),
        false => Ok(Vec::new()),
    };
    let who = Who {
        by: Actor(0),
        request: None,
    };
    let made = sequencer.decide(Box::new(decide), who, now).await?;
    Ok((!made.is_empty()).then_some(text))
}

fn admin(hash: &[u8; 32]) -> NewChange {
    NewChange {
        change: Change::ApiKey(ApiKey {
            key: 1,
            name: "first".to_owned(),
            role: Role::Admin,
            scope: Scope::All,
            publishers: PublisherScope::All,
            not_after: Millis::MAX,
        }),
        secret: hash.to_vec(),
    }
}
