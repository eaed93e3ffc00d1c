//! `GET /v1/clicks/{id}`: what became of one click.

use serde::Serialize;
use tollgate_click::control::Role;
use tollgate_click::{ClickId, Personal, PublisherId};
use tollgate_store::lake::Found;
use tollgate_store::story::{Booked, Proven};
use utoipa::ToSchema;

use crate::call::{Call, Reply};
use crate::integer::{Integer, Signed, Unsigned};
use crate::problem::Problem;
use crate::reports::{minute_text, time};

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
    /// What it has become in the ledger; none while that cannot be read.
    booked: Option<ShownBooked>,
    /// The personal part, for admins and auditors, while it is kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    personal: Option<ShownPersonal>,
}

/// What a click has become in the ledger.
#[derive(Serialize, ToSchema)]
#[serde(tag = "state", rename_all = "lowercase")]
#[schema(as = Booked)]
pub(crate) enum ShownBooked {
    /// It cost nothing and stands in no line.
    Nothing,
    /// It is billed, and its minute is not posted yet.
    Pending,
    /// It stands in a line.
    Posted(Box<ShownStanding>),
}

/// A click's place in the ledger, with its proof.
#[derive(Serialize, ToSchema)]
#[schema(as = ClickStanding)]
pub(crate) struct ShownStanding {
    /// The posting's number in the click's partition.
    posting: Unsigned,
    /// The posting's hash in the chain.
    posting_hash: String,
    /// The minute that it was posted under.
    minute: String,
    /// The line's number in the posting, from 0.
    line: u32,
    /// The account that was debited.
    account: String,
    /// What the line debits for all its clicks, in micro-units.
    amount_micros: Signed,
    /// The Merkle root over the line's clicks.
    root: Option<String>,
    /// proved, later (the lake has not all clicks of the line yet) or failed.
    proof: &'static str,
    /// The hash of the click's leaf.
    #[serde(skip_serializing_if = "Option::is_none")]
    leaf: Option<String>,
    /// The leaf's place, from 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    index: Option<Unsigned>,
    /// How many leaves there are.
    #[serde(skip_serializing_if = "Option::is_none")]
    leaves: Option<Unsigned>,
    /// The sibling at each level, from the leaf up.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    path: Vec<String>,
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
    let booked = call.data.booked(&call.tenant, found.row.clone()).await;
    // A ledger that is away says nothing of the click itself.
    let booked = match booked {
        Ok(Ok(booked)) => Some(shown_booked(booked)),
        Ok(Err(error)) => {
            tracing::error!(%id, %error, "a click's story cannot be told");
            None
        }
        Err(_) => None,
    };
    Reply::json(&shown(&found, booked, call.tenant.role()))
}

fn shown_booked(booked: Booked) -> ShownBooked {
    let standing = match booked {
        Booked::Nothing => return ShownBooked::Nothing,
        Booked::Pending => return ShownBooked::Pending,
        Booked::Posted(standing) => *standing,
    };
    let (proof, way) = match standing.proof {
        Proven::Yes { leaf, proof } => ("proved", Some((leaf, proof))),
        Proven::Later => ("later", None),
        Proven::No(_) => ("failed", None),
    };
    let way = way.as_ref();
    let path = way.map(|(_, proof)| proof.path.iter().map(ToString::to_string).collect());
    ShownBooked::Posted(Box::new(ShownStanding {
        posting: Integer(standing.number),
        posting_hash: standing.hash.to_string(),
        minute: minute_text(standing.minute.0.into()),
        line: standing.line,
        account: standing.entry.account.to_string(),
        amount_micros: Integer(standing.entry.amount.0),
        root: standing.entry.clicks.map(|clicks| clicks.root.to_string()),
        proof,
        leaf: way.map(|(leaf, _)| leaf.to_string()),
        index: way.map(|(_, proof)| Integer(proof.index)),
        leaves: way.map(|(_, proof)| Integer(proof.leaves)),
        path: path.unwrap_or_default(),
    }))
}

fn shown(found: &Found, booked: Option<ShownBooked>, role: Role) -> Click {
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
        booked,
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
