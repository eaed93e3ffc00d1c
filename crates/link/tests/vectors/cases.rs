//! The links, keys, queries and nonces of the vectors.

use serde_json::{Map, Value, json};
use tollgate_click::control::{Scope, SigningKey};
use tollgate_click::{
    AdId, AdvertiserId, CampaignId, KeyId, Micros, Millis, Nonce, PlacementId, PublisherId,
};
use tollgate_link::query::{PLATFORM_CLICK_IDS, SIGNED_NAMES, SUB_ID_NAMES};
use tollgate_link::{ClickLink, Extras, MacroValues, Schemes, Secret, expand, nonce, sign};

use super::forge;

/// When the vectors are opened: 2026-01-01T00:00:00Z.
pub(crate) const NOW: Millis = Millis(1_767_225_600_000);
pub(crate) const CLICK_ID: &str = "019b76da-a800-7007-8001-0123456789ab";
const DAY_MS: u64 = 86_400_000;

/// Every key, with its secret and when it was revoked.
pub(crate) fn keys() -> Vec<(SigningKey, [u8; 32], Option<Millis>)> {
    let year = 365 * DAY_MS;
    let key = |number: u32| SigningKey {
        key: KeyId(number),
        scope: Scope::All,
        not_before: Millis(NOW.0 - year),
        not_after: Millis(NOW.0 + year),
        test: false,
    };
    let only = Scope::Only(vec![AdvertiserId(7), AdvertiserId(8)]);
    vec![
        (key(1), secret(1), None),
        (
            SigningKey {
                scope: only,
                ..key(2)
            },
            secret(2),
            None,
        ),
        (
            SigningKey {
                test: true,
                ..key(3)
            },
            secret(3),
            None,
        ),
        (key(4), secret(4), Some(NOW)),
        (
            SigningKey {
                not_after: Millis(NOW.0 - 1),
                ..key(5)
            },
            secret(5),
            None,
        ),
        (
            SigningKey {
                not_before: Millis(NOW.0 + 1),
                ..key(6)
            },
            secret(6),
            None,
        ),
        (key(8), secret(8), Some(Millis(NOW.0 + 1))),
        (
            SigningKey {
                not_before: NOW,
                not_after: NOW,
                ..key(300)
            },
            secret(9),
            None,
        ),
    ]
}

/// 32 bytes that count up from `seed` times 16.
pub(crate) fn secret(seed: u8) -> [u8; 32] {
    std::array::from_fn(|index| seed.wrapping_mul(16).wrapping_add(index as u8))
}

pub(crate) fn secret_of(key: KeyId) -> [u8; 32] {
    let keys = keys();
    let found = keys.iter().find(|(known, ..)| known.key == key);
    found.unwrap().1
}

/// A link with a value in every field that is not optional.
pub(crate) fn typical() -> ClickLink<'static> {
    ClickLink {
        key: KeyId(1),
        nonce: Nonce::new(Millis(NOW.0 - 90_000), 0x155_0123_4567_89ab_cdef),
        window_s: 86_400,
        expires_at: Millis(NOW.0 - 90_000 + 30 * DAY_MS),
        advertiser: AdvertiserId(7),
        campaign: CampaignId(1001),
        ad: AdId(52),
        publisher: PublisherId(310),
        placement: PlacementId(4),
        price: Some(Micros(350_000)),
        test: false,
        escaping: 1,
        destination: "https://shop.example.com/spring/offer?sku=48151623&from=mail", // 60 bytes
        lpurl: None,
    }
}

/// One with every field.
pub(crate) fn full() -> ClickLink<'static> {
    ClickLink {
        test: true,
        escaping: 2,
        destination: "https://tracker.example/r?to={lpurl}&id={click_id}",
        lpurl: Some("https://land.example/a%20b?x=1&y=2#z"),
        ..typical()
    }
}

/// The signed vectors.
pub(crate) fn signed() -> Vec<Value> {
    let link = typical();
    let longest = format!("https://example.com/{}", "x".repeat(2028));
    let mut vectors = vec![
        vector("typical", &link, ""),
        vector("every field", &full(), ""),
        vector("smallest", &smallest(), ""),
        vector("largest numbers", &largest(), ""),
        vector(
            "longest destination",
            &ClickLink {
                destination: &longest,
                ..link
            },
            "",
        ),
        vector(
            "no price",
            &ClickLink {
                price: None,
                ..link
            },
            "",
        ),
        vector(
            "price of zero",
            &ClickLink {
                price: Some(Micros(0)),
                ..link
            },
            "",
        ),
        vector("test link", &ClickLink { test: true, ..link }, ""),
        vector(
            "test key",
            &ClickLink {
                key: KeyId(3),
                ..link
            },
            "",
        ),
        vector(
            "key of two advertisers",
            &ClickLink {
                key: KeyId(2),
                ..link
            },
            "",
        ),
        vector(
            "key revoked one ms later",
            &ClickLink {
                key: KeyId(8),
                ..link
            },
            "",
        ),
        vector(
            "key valid in this ms only",
            &ClickLink {
                key: KeyId(300),
                ..link
            },
            "",
        ),
        vector(
            "last ms before the hard expiry",
            &ClickLink {
                expires_at: NOW,
                ..link
            },
            "",
        ),
        vector("nonce of a foreign impression id", &foreign(), ""),
        vector(
            "unicode",
            &unicode(),
            "sub1=gr%C3%BC%C3%9Fe+%E8%A9%95%E4%BE%A1+%F0%9F%9A%80",
        ),
        vector(
            "bytes that are no text",
            &subs(1),
            "sub1=%FF%C3%28&sub2=%ED%A0%80",
        ),
        vector(
            "control characters are left out",
            &subs(0),
            "sub1=a%0D%0Ab%00c%7F&sub2=%250a",
        ),
        vector(
            "unknown parameters are ignored",
            &link,
            "utm_source=x&foo=bar&=&&sub6=1",
        ),
        vector(
            "ours inside theirs",
            &subs(1),
            "sub1=https%3A%2F%2Fgate.example%2Fc%2FAQ-_",
        ),
    ];
    for escaping in 0..=2 {
        let name = format!("escaping level {escaping}");
        vectors.push(vector(
            &name,
            &subs(escaping),
            "sub1=a%20b%26c/%2525%3F&sub2=%7Bad%7D",
        ));
        let name = format!("their tracker inside ours, level {escaping}");
        vectors.push(vector(&name, &ClickLink { escaping, ..full() }, ""));
    }
    vectors.extend(macros());
    vectors
}

/// One vector a macro, and the braces that are none.
fn macros() -> Vec<Value> {
    let fixed = ["click_id", "campaign", "ad", "publisher", "placement"];
    let names = fixed.iter().chain(&SUB_ID_NAMES).chain(&PLATFORM_CLICK_IDS);
    let mut vectors: Vec<Value> = names
        .map(|name| {
            let destination = format!("https://example.com/{{{name}}}?v={{{name}}}#{{{name}}}");
            let link = ClickLink {
                destination: &destination,
                ..typical()
            };
            let query = if fixed.contains(name) {
                String::new()
            } else {
                format!("{name}=V-1~")
            };
            vector(&format!("macro {name}"), &link, &query)
        })
        .collect();
    let others = "https://example.com/{}{AD}{ad%20}{sub6}{ad?x=${AUCTION_ID}&y=%7Bad%7D&z={{ad}}";
    let link = ClickLink {
        destination: others,
        ..typical()
    };
    vectors.push(vector("braces that are no macro", &link, ""));
    let absent = "https://example.com/?a={sub1}&b={gclid}&c={sub5}";
    let link = ClickLink {
        destination: absent,
        ..typical()
    };
    vectors.push(vector("absent values", &link, "sub5="));
    vectors
}

fn smallest() -> ClickLink<'static> {
    ClickLink {
        window_s: 1,
        expires_at: NOW,
        advertiser: AdvertiserId(0),
        campaign: CampaignId(0),
        ad: AdId(0),
        publisher: PublisherId(0),
        placement: PlacementId(0),
        price: None,
        escaping: 0,
        destination: "http://a",
        ..typical()
    }
}

fn largest() -> ClickLink<'static> {
    ClickLink {
        nonce: Nonce::new(Millis(Millis::MAX.0 - 1), u128::MAX),
        window_s: 30 * 86_400,
        expires_at: Millis::MAX,
        advertiser: AdvertiserId(u32::MAX),
        campaign: CampaignId(u64::MAX),
        ad: AdId(u64::MAX),
        publisher: PublisherId(u32::MAX),
        placement: PlacementId(u64::MAX),
        price: Some(Micros(i64::MAX)),
        ..typical()
    }
}

fn foreign() -> ClickLink<'static> {
    let nonce = nonce::of_impression(Millis(NOW.0 - 90_000), b"imp-000042");
    ClickLink { nonce, ..typical() }
}

fn unicode() -> ClickLink<'static> {
    let destination = "https://xn--bcher-kva.example/stra%C3%9Fe/%F0%9F%98%80?q={sub1}#%E8%A9%95";
    ClickLink {
        destination,
        ..typical()
    }
}

fn subs(escaping: u8) -> ClickLink<'static> {
    let destination = "https://example.com/p/{sub1}?q={sub2}";
    ClickLink {
        escaping,
        destination,
        ..typical()
    }
}

fn vector(name: &str, link: &ClickLink<'_>, query: &str) -> Value {
    let secret = secret_of(link.key);
    let token = sign(link, &Secret::new(secret), Schemes::WEB).unwrap();
    let body = forge::body(&forge::fields(link));
    assert_eq!(
        token,
        forge::token(&secret, &body),
        "{name}: signed by hand"
    );

    let mut extras = Extras::new();
    extras.read(query.as_bytes()).unwrap();
    let values = MacroValues::of(link, CLICK_ID.parse().unwrap(), &extras);
    let mut location = Vec::new();
    expand(link.destination, link.escaping, &values, &mut location).unwrap();
    json!({
        "name": name,
        "link": link_json(link),
        "body_hex": forge::hex(&body),
        "token": token,
        "now_ms": NOW.0,
        "test": link.test || link.key == KeyId(3),
        "query": query,
        "location": String::from_utf8(location).unwrap(),
    })
}

/// Numbers of 64 bits are strings, since not every JSON reader can hold them.
pub(crate) fn link_json(link: &ClickLink<'_>) -> Value {
    json!({
        "key": link.key.0,
        "nonce": link.nonce.to_string(),
        "window_s": link.window_s,
        "expires_at_ms": link.expires_at.0,
        "advertiser": link.advertiser.0,
        "campaign": link.campaign.to_string(),
        "ad": link.ad.to_string(),
        "publisher": link.publisher.0,
        "placement": link.placement.to_string(),
        "price_micros": link.price.map(|price| price.0.to_string()),
        "test": link.test,
        "escaping": link.escaping,
        "destination": link.destination,
        "lpurl": link.lpurl,
    })
}

pub(crate) fn scope_json(scope: &Scope) -> Value {
    match scope {
        Scope::All => json!("all"),
        Scope::Only(advertisers) => advertisers.iter().map(|id| id.0).collect(),
    }
}

/// What the query gives, and queries that are refused.
pub(crate) fn queries() -> Vec<Value> {
    let long = "v".repeat(300);
    let mut queries = vec![
        String::new(),
        "sub1=a&sub2=b+c&sub3=%64&sub4=%zz%4&sub5=%C3%BC".to_owned(),
        "sub1=first&sub1=second&sub2&sub3=".to_owned(),
        "%73ub1=name&Sub2=no&sub3=a=b&sub4=a;b".to_owned(),
        "gclid=Cj0KCQ&fbclid=IwAR0&other=1".to_owned(),
        format!("sub1={long}&gclid={long}&dclid=kept"),
        (1..=5).map(|n| format!("sub{n}={long}&")).collect(),
        "alGorithm=1&campaign_id=2&adgroup=3".to_owned(),
    ];
    queries.extend(SIGNED_NAMES.map(|name| format!("sub1=x&{name}=1")));
    queries.extend(["ALG=none", "%61lg", "gclid=1&Price=0&gclid=2"].map(str::to_owned));
    queries
        .into_iter()
        .map(|query| query_json(&query))
        .collect()
}

fn query_json(query: &str) -> Value {
    let mut extras = Extras::new();
    match extras.read(query.as_bytes()) {
        Ok(()) => json!({ "query": query, "kept": kept_json(&extras) }),
        Err(name) => json!({ "query": query, "refused": name.0 }),
    }
}

/// Kept values by name, in hex since they need not be text.
pub(crate) fn kept_json(extras: &Extras) -> Value {
    let subs = SUB_ID_NAMES.into_iter().zip(extras.subs());
    let platform = PLATFORM_CLICK_IDS.into_iter().zip(extras.platform());
    let kept = subs
        .chain(platform)
        .filter_map(|(name, value)| value.map(|value| (name.to_owned(), json!(forge::hex(value)))));
    Value::Object(kept.collect::<Map<_, _>>())
}

pub(crate) fn nonces() -> Vec<Value> {
    let ids = [
        (NOW, "imp-000042"),
        (NOW, ""),
        (Millis(0), "b3f1c2d4-0001-4000-8000-00000000abcd"),
        (Millis::MAX, "größe"),
    ];
    ids.iter()
        .map(|(at, id)| {
            let nonce = nonce::of_impression(*at, id.as_bytes()).to_string();
            json!({ "at_ms": at.0, "id": id, "nonce": nonce })
        })
        .collect()
}
