//! Tokens that must not be opened.

use serde_json::{Value, json};
use tollgate_click::{AdvertiserId, KeyId, Micros, Millis, Nonce};
use tollgate_link::ClickLink;

use super::cases::{NOW, full, secret, secret_of, typical};
use super::forge;

/// All of them.
pub(crate) fn all() -> Vec<Value> {
    let mut vectors = keys();
    vectors.extend(altered());
    vectors.extend(respelled());
    vectors.extend(wrong_tags());
    vectors.extend(other_encodings());
    vectors.extend(never_valid());
    vectors
}

fn vector(name: impl Into<String>, token: impl Into<String>, reason: &str) -> Value {
    at(NOW, name, token, reason)
}

fn at(now: Millis, name: impl Into<String>, token: impl Into<String>, reason: &str) -> Value {
    let status = if reason == "expired" { 410 } else { 403 };
    let (name, token): (String, String) = (name.into(), token.into());
    json!({
        "name": name, "token": token, "now_ms": now.0, "status": status, "reason": reason,
    })
}

/// By the key that the link names.
fn signed(link: &ClickLink<'_>) -> String {
    forge::token(&secret_of(link.key), &forge::body(&forge::fields(link)))
}

/// Authentic but late, and keys that do not count.
fn keys() -> Vec<Value> {
    let link = typical();
    let by = |key| {
        signed(&ClickLink {
            key: KeyId(key),
            ..link
        })
    };
    let body = |key| {
        forge::body(&forge::fields(&ClickLink {
            key: KeyId(key),
            ..link
        }))
    };
    let stranger = ClickLink {
        key: KeyId(2),
        advertiser: AdvertiserId(9),
        ..link
    };
    let late = Millis(link.expires_at.0 + 1);
    vec![
        at(
            late,
            "one ms past the hard expiry",
            signed(&link),
            "expired",
        ),
        at(
            Millis::MAX,
            "key long past and link too",
            signed(&link),
            "no_longer_valid",
        ),
        vector("key revoked in this ms", by(4), "revoked"),
        vector("key valid until the ms before", by(5), "no_longer_valid"),
        vector("key valid from the next ms on", by(6), "not_yet_valid"),
        vector("key of other advertisers", signed(&stranger), "scope"),
        vector(
            "unknown key",
            forge::token(&secret(1), &body(7)),
            "unknown_key",
        ),
        vector(
            "signed with another key's secret",
            forge::token(&secret(2), &body(1)),
            "tag",
        ),
        vector(
            "signed with a secret nobody has",
            forge::token(&[0; 32], &body(1)),
            "tag",
        ),
    ]
}

/// The lowest bit of the first and of the last byte of every field flipped, and of the tag.
fn altered() -> Vec<Value> {
    let link = full();
    let bytes = forge::unbase64(&signed(&link));
    let mut fields = forge::fields(&link);
    fields.push(("tag", bytes[bytes.len() - 16..].to_vec()));
    let mut vectors = Vec::new();
    let mut start = 0;
    for (name, field) in fields {
        let end = start + field.len() - 1;
        for (which, position) in [("first", start), ("last", end)] {
            let mut altered = bytes.clone();
            altered[position] ^= 1;
            let reason = match (name, which) {
                ("version", _) => "malformed",
                ("key", _) => "unknown_key", // 1 becomes 0
                _ => "tag",
            };
            let name = format!("{which} byte of {name} altered");
            vectors.push(vector(name, forge::base64(&altered), reason));
        }
        start = end + 1;
    }
    assert_eq!(start, bytes.len());
    vectors
}

/// The right bytes in another spelling.
fn respelled() -> Vec<Value> {
    let token = (0..)
        .map(|random| Nonce::new(typical().nonce.at(), random))
        .map(|nonce| signed(&ClickLink { nonce, ..typical() }))
        .find(|token| token.contains('-') && token.contains('_'))
        .unwrap();
    let standard = token.replace('-', "+").replace('_', "/");
    assert_ne!(
        token.len() % 4,
        0,
        "the last character must have unused bits"
    );
    let last = token.chars().last().unwrap();
    let alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let index = alphabet.find(last).unwrap();
    let twin = format!(
        "{}{}",
        &token[..token.len() - 1],
        &alphabet[index + 1..index + 2]
    );
    let percent = format!("%{:02X}{}", token.as_bytes()[0], &token[1..]);
    let swapped: String = token
        .chars()
        .map(|c| {
            if c.is_ascii_lowercase() {
                c.to_ascii_uppercase()
            } else {
                c
            }
        })
        .collect();
    let spellings = [
        ("empty", String::new()),
        ("one character", "A".to_owned()),
        ("as long as a tag alone", "A".repeat(22)),
        ("one character short", token[..token.len() - 1].to_owned()),
        ("one character more", format!("{token}A")),
        ("padded with =", format!("{token}=")),
        ("padded with ==", format!("{token}==")),
        ("standard base64 alphabet", standard),
        ("unused bits of the last character set", twin),
        ("percent-encoded", percent),
        ("space in front", format!(" {token}")),
        ("line break behind", format!("{token}\n")),
        ("twice", format!("{token}{token}")),
        ("a dot behind", format!("{token}.")),
        ("not ASCII", format!("{token}ü")),
        ("longer than any token", "A".repeat(8000)),
    ];
    let mut vectors: Vec<Value> = spellings
        .into_iter()
        .map(|(name, text)| {
            let reason = match name {
                "one character short" | "twice" | "one character more" => reason_of(&text),
                _ => "malformed",
            };
            vector(name, text, reason)
        })
        .collect();
    vectors.push(vector("upper case", &*swapped, reason_of(&swapped)));
    vectors
}

/// A text that still decodes fails at its key or tag, by where it was hit.
fn reason_of(text: &str) -> &'static str {
    use base64::Engine as _;
    let decoded = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(text);
    match decoded.as_deref() {
        Ok([1, 1, ..]) => "tag",
        Ok([1, ..]) => "unknown_key",
        _ => "malformed",
    }
}

/// The right body under a MAC that was made in another way.
fn wrong_tags() -> Vec<Value> {
    let secret = secret(1);
    let body = forge::body(&forge::fields(&typical()));
    let context = forge::string16(b"click:v1");
    let tagged = |tag: &[u8]| forge::base64(&[&body, tag].concat());
    let of = |input: &[u8]| tagged(&forge::hmac(&secret, input)[..16]);
    let whole = forge::hmac(&secret, &[&context[..], &forge::string16(&body)].concat());
    let other = forge::string16(b"click:v2");
    vec![
        vector("tag left out", forge::base64(&body), "tag"),
        vector("tag of zeros", tagged(&[0; 16]), "tag"),
        vector("tag not truncated", tagged(&whole), "tag"),
        vector("last half of the MAC", tagged(&whole[16..]), "tag"),
        vector("tag of 15 bytes", tagged(&whole[..15]), "tag"),
        vector("MAC without a context", of(&forge::string16(&body)), "tag"),
        vector(
            "MAC of another context",
            of(&[&other[..], &forge::string16(&body)].concat()),
            "tag",
        ),
        vector(
            "MAC without lengths",
            of(&[b"click:v1", &body[..]].concat()),
            "tag",
        ),
        vector("MAC of the body alone", of(&body), "tag"),
    ]
}

/// Rightly signed bodies that are not the one encoding of a link.
fn other_encodings() -> Vec<Value> {
    let link = typical();
    let body = forge::body(&forge::fields(&link));
    let sign = |body: Vec<u8>| forge::token(&secret(1), &body);
    let put = |field, bytes| sign(forge::with(&link, field, bytes));
    let padded = |value: u64| {
        let mut bytes = forge::varint(value);
        *bytes.last_mut().unwrap() |= 0x80;
        bytes.push(0);
        bytes
    };
    let mut wrong_nonce = link.nonce.bytes();
    wrong_nonce[6] ^= 0x30; // version 4
    let mut wrong_variant = link.nonce.bytes();
    wrong_variant[8] ^= 0x80;
    let destination = link.destination.as_bytes();
    let long_length = [padded(destination.len() as u64), destination.to_vec()].concat();
    let short = [
        forge::varint(destination.len() as u64 + 1),
        destination.to_vec(),
    ]
    .concat();
    let too_long = forge::string(format!("https://example.com/{}", "x".repeat(2029)).as_bytes());
    let malformed = [
        ("key not minimal", put("key", padded(1))),
        ("window not minimal", put("window", padded(86_400))),
        (
            "expiry not minimal",
            put("expires", padded(link.expires_at.0)),
        ),
        ("advertiser not minimal", put("advertiser", padded(7))),
        ("campaign not minimal", put("campaign", padded(1001))),
        ("placement not minimal", put("placement", padded(4))),
        ("price not minimal", put("price", padded(350_000))),
        (
            "length of the destination not minimal",
            put("destination", long_length),
        ),
        (
            "advertiser over 32 bits",
            put("advertiser", forge::varint(1 << 32)),
        ),
        (
            "campaign over 64 bits",
            put("campaign", [&[0xFF; 9][..], &[2]].concat()),
        ),
        ("price over 63 bits", put("price", forge::varint(1 << 63))),
        (
            "expiry over 48 bits",
            put("expires", forge::varint(1 << 48)),
        ),
        ("version 0", put("version", vec![0])),
        ("version 2", put("version", vec![2])),
        ("unknown flag", put("flags", vec![0b0010_1010])),
        ("escaping 3", put("flags", vec![0b0001_1010])),
        (
            "flag of a price that is not there",
            put("price", Vec::new()),
        ),
        (
            "nonce of UUID version 4",
            put("nonce", wrong_nonce.to_vec()),
        ),
        (
            "nonce of another variant",
            put("nonce", wrong_variant.to_vec()),
        ),
        ("destination cut off", put("destination", short)),
        (
            "destination that is not UTF-8",
            put("destination", forge::string(b"https://a/\xFF")),
        ),
        ("destination of 2,049 bytes", put("destination", too_long)),
        (
            "a byte behind the last field",
            sign([&body[..], &[0]].concat()),
        ),
        ("body of no fields", sign(vec![1, 1])),
    ];
    malformed
        .map(|(name, token)| vector(name, token, "malformed"))
        .to_vec()
}

/// Rightly signed and encoded, with values that no link may have.
fn never_valid() -> Vec<Value> {
    let link = typical();
    let at = link.nonce.at().0;
    let over = at + 400 * 86_400_000 + 1;
    let limits = [
        (
            "window of 0",
            ClickLink {
                window_s: 0,
                ..link
            },
        ),
        (
            "window over 30 days",
            ClickLink {
                window_s: 30 * 86_400 + 1,
                ..link
            },
        ),
        (
            "expiry at the nonce's time",
            ClickLink {
                expires_at: Millis(at),
                ..link
            },
        ),
        (
            "expiry over 400 days",
            ClickLink {
                expires_at: Millis(over),
                ..link
            },
        ),
        (
            "lpurl without its macro",
            ClickLink {
                lpurl: Some("https://a.example/"),
                ..link
            },
        ),
        (
            "macro without its lpurl",
            ClickLink {
                destination: "https://a/{lpurl}",
                ..link
            },
        ),
        (
            "nonce later than the expiry",
            ClickLink {
                nonce: Nonce::new(Millis::MAX, 1),
                ..link
            },
        ),
    ];
    let destinations = [
        "",
        "javascript:alert(1)",
        "data:text/html,x",
        "ftp://example.com/",
        "//evil.example/",
        "https:\\\\evil.example/",
        "https://good.example@evil.example/",
        "https://a/\r\nX: y",
        "https://a/%0d%0aX:%20y",
        "https://a/\0",
        "https://a/ b",
        "https://ä.example/",
        "https://{sub1}/",
        "https:///path",
        "HTTPS://a/",
        "http://127.1/",
        "https://a:0/",
    ];
    let lpurl = ClickLink {
        lpurl: Some("javascript:alert(1)"),
        ..full()
    };
    let mut vectors: Vec<Value> = limits
        .iter()
        .map(|(name, link)| vector(*name, signed(link), "limit"))
        .collect();
    vectors.extend(destinations.iter().map(|destination| {
        let link = ClickLink {
            destination,
            price: Some(Micros(1)),
            ..link
        };
        vector(
            format!("destination {destination:?}"),
            signed(&link),
            "destination",
        )
    }));
    vectors.push(vector(
        "lpurl that runs code",
        signed(&lpurl),
        "destination",
    ));
    vectors
}
