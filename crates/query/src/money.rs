//! Money commands: top-ups, adjustments and credits, each posted once.
//!
//! A command's id comes from the asking key, the advertiser and the `Idempotency-Key`, so the core
//! and the ledger know a repeat for as long as they keep ids, whatever this process remembers.

use http::{StatusCode, header};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use tollgate_click::control::{self, MoneyKind};
use tollgate_click::limits::REASON_BYTES_MAX;
use tollgate_click::{AdvertiserId, CampaignId, Change, Currency, Micros, PublisherId};
use utoipa::ToSchema;

use crate::books::{self, ShownPosting};
use crate::call::{Call, Reply};
use crate::currencies;
use crate::integer::{Integer, Signed, Unsigned};
use crate::names;
use crate::nouns::{Checks, absent, reply};
use crate::problem::Problem;
use crate::seen::Seen;

/// The most that one command may move: a billion units.
const AMOUNT_MAX: i64 = 1_000_000_000_000_000;

/// A money command.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Money {
    /// Whose balance changes.
    advertiser: u32,
    /// What is added to it, in micro-units; an adjustment's may be below 0.
    amount_micros: Signed,
    /// The advertiser's currency; checked when it is given.
    #[serde(default)]
    currency: Option<String>,
    /// The campaign whose clicks are corrected.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    campaign: Option<Unsigned>,
    /// The publisher that gives or gets the other side of an adjustment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    publisher: Option<u32>,
    /// Why, in words; an adjustment must say.
    #[serde(default)]
    reason: String,
    /// The command's id, 32 hex digits; written by the service.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    command: Option<String>,
}

/// Puts money in.
pub(crate) async fn top_up(call: Call) -> Result<Reply, Problem> {
    command(call, MoneyKind::TopUp).await
}

/// Corrects.
pub(crate) async fn adjust(call: Call) -> Result<Reply, Problem> {
    command(call, MoneyKind::Adjustment).await
}

/// Gives credit away.
pub(crate) async fn credit(call: Call) -> Result<Reply, Problem> {
    command(call, MoneyKind::Credit).await
}

/// The posting of a command.
pub(crate) async fn posted(call: Call) -> Result<Reply, Problem> {
    let command = id(&call.id).ok_or_else(Problem::not_found)?;
    let read = move |books: &mut crate::data::Books<'_>| books::posting_of(books, command);
    let found: Option<ShownPosting> = call.data.books(&call.tenant, read).await?;
    Reply::json(&found.ok_or_else(Problem::not_found)?)
}

fn id(text: &str) -> Option<[u8; 16]> {
    let is_plain = text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    let number = u128::from_str_radix(text, 16).ok().filter(|_| is_plain);
    number.map(u128::to_be_bytes)
}

async fn command(call: Call, kind: MoneyKind) -> Result<Reply, Problem> {
    let wanted: Money = call.json()?;
    let key = call.headers.get("idempotency-key");
    let Some(key) = key.and_then(|key| key.to_str().ok()) else {
        let allowed = "a key of your own choice, new for each command";
        return Err(Problem::malformed(
            "Idempotency-Key",
            "money needs one",
            allowed,
        ));
    };
    let mut hasher = Sha256::new();
    hasher.update(b"tollgate/command/1");
    hasher.update(call.tenant.key().to_le_bytes());
    hasher.update(wanted.advertiser.to_le_bytes());
    hasher.update(key.as_bytes());
    let mut command = [0; 16];
    let digest = hasher.finalize();
    command
        .iter_mut()
        .zip(digest)
        .for_each(|(to, from)| *to = from);
    let owner = AdvertiserId(wanted.advertiser);
    let currency = call.data.look(&call.tenant, |seen| {
        seen.advertiser(owner).map(|one| one.currency.to_string())
    });
    let mut shown = wanted.clone();
    shown.currency = currency;
    shown.command = Some(command.iter().map(|byte| format!("{byte:02x}")).collect());
    let decide = move |seen: &Seen<'_>, _| {
        let money = check(&wanted, kind, command, seen)?;
        Ok(vec![Change::Money(money).into()])
    };
    let written = call.write(decide).await?;
    let path = call.question.split('?').next().unwrap_or("").to_owned();
    let id = shown.command.clone().unwrap_or_default();
    let reply = reply(&shown, &written, StatusCode::CREATED)?;
    Ok(reply.header(header::LOCATION, format!("{path}/{id}")))
}

fn check(
    wanted: &Money,
    kind: MoneyKind,
    command: [u8; 16],
    seen: &Seen<'_>,
) -> Result<control::Money, Problem> {
    let advertiser = AdvertiserId(wanted.advertiser);
    let known = seen.advertiser(advertiser);
    let known = known.ok_or_else(|| absent("/advertiser", "advertiser"))?;
    let (campaign, publisher) = named(wanted, seen)?;
    check_terms(wanted, kind, known.currency)?;
    Ok(control::Money {
        command,
        advertiser,
        kind,
        amount: Micros(wanted.amount_micros.0),
        currency: known.currency,
        campaign,
        publisher,
        reason: wanted.reason.clone(),
    })
}

/// The campaign and the publisher that the command names; both must be there, the campaign the
/// advertiser's own.
fn named(
    wanted: &Money,
    seen: &Seen<'_>,
) -> Result<(Option<CampaignId>, Option<PublisherId>), Problem> {
    let advertiser = AdvertiserId(wanted.advertiser);
    let campaign = wanted.campaign.map(|id| CampaignId(id.0));
    let of_it = |id| {
        seen.campaign(id)
            .is_some_and(|one| one.advertiser == advertiser)
    };
    if !campaign.is_none_or(of_it) {
        return Err(absent("/campaign", "campaign of that advertiser"));
    }
    let publisher = wanted.publisher.map(PublisherId);
    if publisher.is_some_and(|id| seen.publisher(id).is_none()) {
        return Err(absent("/publisher", "publisher"));
    }
    Ok((campaign, publisher))
}

fn check_terms(wanted: &Money, kind: MoneyKind, currency: Currency) -> Result<(), Problem> {
    let mut checks = Checks::default();
    checks.need(
        wanted.command.is_none(),
        "/command",
        "it is written by the service",
        "",
    );
    let amount = wanted.amount_micros.0;
    let least = if kind == MoneyKind::Adjustment {
        -AMOUNT_MAX
    } else {
        1
    };
    let fits = amount != 0 && (least..=AMOUNT_MAX).contains(&amount);
    let allowed = format!("{least} to {AMOUNT_MAX} micro-units, not 0");
    checks.need(fits, "/amount_micros", "it is out of range", &allowed);
    let corrects = kind == MoneyKind::Adjustment;
    let plain = wanted.campaign.is_none() && wanted.publisher.is_none();
    checks.need(
        corrects || plain,
        "/campaign",
        "only an adjustment names one",
        "an adjustment",
    );
    if let Some(text) = &wanted.currency {
        let same = currencies::parse(text).is_ok_and(|named| named == currency);
        let allowed = currency.to_string();
        checks.need(same, "/currency", "it is not the advertiser's", &allowed);
    }
    let reason = &wanted.reason;
    let allowed = "1 to 512 bytes that can be seen";
    let must = corrects || !reason.is_empty();
    if must && (reason.len() > REASON_BYTES_MAX || names::check_text(reason).is_err()) {
        checks.note(
            "/reason",
            "it is empty, too long or holds what cannot be seen",
            allowed,
        );
    }
    checks.done()
}

/// A command as it is shown in the audit.
pub(crate) fn shown(money: &control::Money) -> Money {
    Money {
        advertiser: money.advertiser.0,
        amount_micros: Integer(money.amount.0),
        currency: Some(money.currency.to_string()),
        campaign: money.campaign.map(|id| Integer(id.0)),
        publisher: money.publisher.map(|id| id.0),
        reason: money.reason.clone(),
        command: Some(
            money
                .command
                .iter()
                .map(|byte| format!("{byte:02x}"))
                .collect(),
        ),
    }
}
