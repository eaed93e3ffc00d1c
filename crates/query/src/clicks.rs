//! `GET /v1/clicks/{id}`: what became of one click.

use serde::Serialize;
use tollgate_click::control::Role;
use tollgate_click::{ClickId, Personal, PublisherId};
use tollgate_store::lake::Found;
use utoipa::ToSchema;

use crate::books::{self, ShownPosting};
use crate::call::{Call, Reply};
use crate::integer::{Integer, Signed, Unsigned};
use crate::problem::Problem;
use crate::reports::time;

/// A click with its story.
#[derive(Serialize, ToSchema)]
pub(crate) struct Click {
    /// Its id.
    id: String,
    /// click or impression.
    event: &'static str,
    /// When the edge received it.
    received_at: String,
    /// The edge.
    edge: u16,
    /// The partition.
    partition: u16,
    /// Its number there.
    ordinal: Unsigned,
    advertiser: u32,
    campaign: Unsigned,
    ad: Unsigned,
    publisher: u32,
    placement: Unsigned,
    /// Two letters; empty when unknown.
    country: String,
    /// The kind of program that asked.
    device: &'static str,
    /// How it ended.
    outcome: &'static str,
    /// Why, where the outcome alone does not say.
    reason: String,
    /// All rules that hit, as name/version/class with commas between.
    hits: String,
    /// What the advertiser is charged, in micro-units.
    charge_micros: Signed,
    /// What of it is the publisher's; not told to advertisers.
    #[serde(skip_serializing_if = "Option::is_none")]
    share_micros: Option<Signed>,
    /// The currency of the charge.
    currency: Option<String>,
    /// The file of the lake that holds it, and its row there.
    file: String,
    file_row: Unsigned,
    /// The posting that covers it, once it is posted.
    posting: Option<ShownPosting>,
    /// The personal part, for admins and auditors, while it is kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    personal: Option<ShownPersonal>,
}

/// What was told about a person.
#[derive(Serialize, ToSchema)]
#[schema(as = ClickPersonal)]
pub(crate) struct ShownPersonal {
    address: Option<String>,
    agent: String,
    referrer: String,
    language: String,
    subs: Vec<Option<String>>,
}

/// Finds a click.
pub(crate) async fn get(call: Call) -> Result<Reply, Problem> {
    let id: ClickId = call.id.parse().map_err(|_| Problem::not_found())?;
    let found = call.data.click(&call.tenant, id).await?;
    // The first is the click; later ones are what its transport sent again.
    let found = found.into_iter().next().ok_or_else(Problem::not_found)?;
    let partition = id.parts().partition;
    let (ordinal, campaign) = (found.row.judgement.ordinal, found.row.facts.campaign);
    let is_billed = found.row.judgement.charge.0 != 0;
    let posting = call.data.books(&call.tenant, move |books| {
        if !is_billed {
            return Ok(None);
        }
        let Some(mut posting) = books.ledger().posting_at(partition, ordinal)? else {
            return Ok(None);
        };
        posting
            .posting
            .lines
            .retain(|line| line.campaign == Some(campaign));
        Ok(Some(books::shown_posting(books, &posting)))
    });
    // A ledger that is away says nothing of the click itself.
    let posting = posting.await.unwrap_or(None);
    Reply::json(&shown(&found, posting, call.tenant.role()))
}

fn shown(found: &Found, posting: Option<ShownPosting>, role: Role) -> Click {
    let (facts, judgement) = (&found.row.facts, &found.row.judgement);
    let parts = facts.click_id.parts();
    let sees_share = role != Role::Advertiser && facts.publisher != PublisherId(0);
    let sees_person = matches!(role, Role::Admin | Role::Auditor);
    let personal = found
        .personal
        .as_ref()
        .and_then(|kept| kept.part.as_deref());
    Click {
        id: facts.click_id.to_string(),
        event: found.row.event.name(),
        received_at: time(parts.received_at),
        edge: parts.edge.get(),
        partition: parts.partition.get(),
        ordinal: Integer(judgement.ordinal.0),
        advertiser: facts.advertiser.0,
        campaign: Integer(facts.campaign.0),
        ad: Integer(facts.ad.0),
        publisher: facts.publisher.0,
        placement: Integer(facts.placement.0),
        country: facts
            .country
            .code()
            .map_or(String::new(), |code| code.iter().collect()),
        device: facts.agent_class.name(),
        outcome: judgement.outcome.name(),
        reason: found.row.reason.clone(),
        hits: found.row.hits.clone(),
        charge_micros: Integer(judgement.charge.0),
        share_micros: sees_share.then_some(Integer(judgement.share.0)),
        currency: judgement.currency.map(|currency| currency.to_string()),
        file: found.file.clone(),
        file_row: Integer(found.file_row),
        posting,
        personal: personal.filter(|_| sees_person).and_then(person),
    }
}

fn person(part: &[u8]) -> Option<ShownPersonal> {
    let personal = Personal::decode(part).ok()?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Some(ShownPersonal {
        address: personal.address.map(|address| address.to_string()),
        agent: text(personal.agent),
        referrer: text(personal.referrer),
        language: text(personal.language),
        subs: personal.subs.iter().map(|sub| sub.map(text)).collect(),
    })
}

/// What the edge of this process has counted.
pub(crate) async fn events(call: Call) -> Result<Reply, Problem> {
    Reply::json(&call.data.events(&call.tenant)?)
}
