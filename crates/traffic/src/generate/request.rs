//! A click as the bytes of an HTTP request.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use tollgate_click::limits::{EXPIRY_MAX_S, WINDOW_MAX_S};
use tollgate_click::{
    AdId, AdvertiserId, CampaignId, Micros, Millis, Nonce, PlacementId, PublisherId,
};
use tollgate_link::{ClickLink, Schemes, SignError};

use super::{Case, Click, Fake, Manner, Plan};
use crate::world::visitor::{library, robot, write_header};
use crate::world::{Key, World};

/// Writes the request and says whether it is a `HEAD`.
pub(super) fn render(
    plan: &Plan,
    host: &str,
    click: &Click,
    out: &mut Vec<u8>,
) -> Result<bool, SignError> {
    let method = match (click.case, click.manner) {
        (Case::Malformed, _) => "PUT",
        (_, Manner::Head) => "HEAD",
        _ => "GET",
    };
    let path = path(plan, click)?;
    let visitor = plan.visitor(click);
    let bits = plan.dice.with(40).roll(click.op);
    let agent = match click.manner {
        Manner::Robot => robot(bits),
        Manner::Library => library(bits),
        Manner::Person | Manner::Head | Manner::Prefetch => visitor.agent,
    };
    // Each click says which request it is; one visitor in three has a publisher's sub-id too.
    let query = match bits % 3 {
        0 => format!("?sub1=slot-{}&sub5={}", bits % 97, click.op),
        _ => format!("?sub5={}", click.op),
    };
    out.extend_from_slice(format!("{method} {path}{query} HTTP/1.1\r\n").as_bytes());
    visitor.write_headers(host, agent, out);
    if click.manner == Manner::Prefetch {
        write_header("Sec-Purpose", "prefetch", out);
    }
    if method == "PUT" {
        write_header("Content-Length", "0", out);
    }
    out.extend_from_slice(b"\r\n");
    Ok(method == "HEAD")
}

fn path(plan: &Plan, click: &Click) -> Result<String, SignError> {
    if click.case == Case::UnknownSlug {
        return Ok(format!("/l/nobody-{}", click.leader));
    }
    if click.case.is_registered() {
        return Ok(format!("/l/{}", World::slug(plan.link(click))));
    }
    Ok(format!("/c/{}", token(plan, click)?))
}

fn token(plan: &Plan, click: &Click) -> Result<String, SignError> {
    let bits = plan.dice.with(41).roll(click.leader);
    let live = if bits.is_multiple_of(2) {
        Key::Live
    } else {
        Key::NextLive
    };
    let (key, secret) = match click.case {
        Case::TestKey => (Key::Test, Key::Test),
        Case::Fake(Fake::WrongSecret) => (live, Key::Unknown),
        Case::Fake(Fake::UnknownKey) => (Key::Unknown, Key::Unknown),
        Case::Fake(Fake::RevokedKey) => (Key::Revoked, Key::Revoked),
        Case::Fake(Fake::LapsedKey) => (Key::Lapsed, Key::Lapsed),
        Case::Fake(Fake::ForeignAdvertiser) => (Key::Narrow, Key::Narrow),
        _ => (live, live),
    };
    let signed = sign(plan, click, key, secret)?;
    Ok(match click.case {
        Case::Fake(Fake::Mutated) => turn_a_bit(&signed, bits >> 8),
        Case::Fake(Fake::Truncated) => signed.chars().take(signed.len() - 5).collect(),
        Case::Fake(Fake::Padded) => format!("{signed}="),
        Case::Fake(Fake::Gibberish) => format!("{bits:x}.not~a~token"),
        _ => signed,
    })
}

/// A link that no generated click has.
pub(super) fn fresh(plan: &Plan, now: Millis) -> Result<String, SignError> {
    let campaign = 4; // open-handed: it has no budget
    let link = ClickLink {
        key: Key::Live.id(),
        nonce: Nonce::new(now, u128::from(plan.dice.with(43).roll(now.0))),
        window_s: WINDOW_MAX_S,
        expires_at: now.plus_s(EXPIRY_MAX_S),
        advertiser: AdvertiserId(World::advertiser_of(campaign)),
        campaign: CampaignId(campaign),
        ad: AdId(1),
        publisher: PublisherId(1),
        placement: PlacementId(1),
        price: None,
        test: false,
        escaping: 1,
        destination: "https://example.com/?click={click_id}",
        lpurl: None,
    };
    tollgate_link::sign(&link, &plan.world().secret(Key::Live), Schemes::WEB)
}

fn sign(plan: &Plan, click: &Click, key: Key, secret: Key) -> Result<String, SignError> {
    let impression = plan.impression(click);
    let bits = plan.dice.with(42).roll(click.leader);
    let campaign = impression.campaign;
    let destination = match bits % 3 {
        0 => format!("https://shop-{campaign}.example/"),
        1 => format!("https://shop-{campaign}.example/sale?click={{click_id}}&from={{publisher}}"),
        _ => format!(
            "https://shop-{campaign}.example/item/{}#reviews",
            bits % 1000
        ),
    };
    let link = ClickLink {
        key: key.id(),
        nonce: impression.nonce,
        window_s: impression.window_s,
        expires_at: impression.expires_at,
        advertiser: AdvertiserId(impression.advertiser),
        campaign: CampaignId(campaign),
        ad: AdId(bits % 300 + 1),
        publisher: PublisherId(impression.publisher),
        placement: PlacementId((bits >> 40) % 200 + 1),
        price: impression.price_micros.map(Micros),
        test: click.case == Case::TestFlag,
        escaping: 1,
        destination: &destination,
        lpurl: None,
    };
    tollgate_link::sign(&link, &plan.world().secret(secret), Schemes::WEB)
}

/// Turns one bit of the token's bytes.
fn turn_a_bit(token: &str, bits: u64) -> String {
    let mut bytes = URL_SAFE_NO_PAD.decode(token).unwrap_or_default();
    let place = bits.checked_rem(bytes.len() as u64).unwrap_or_default();
    if let Some(byte) = usize::try_from(place).ok().and_then(|at| bytes.get_mut(at)) {
        *byte ^= 1 << ((bits >> 32) % 8);
    }
    URL_SAFE_NO_PAD.encode(bytes)
}
