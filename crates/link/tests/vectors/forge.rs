//! A signer without scruples: the layout by hand, so that it can also be got wrong.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use tollgate_link::ClickLink;

/// The body's fields in their order, each with its bytes.
pub(crate) fn fields(link: &ClickLink<'_>) -> Vec<(&'static str, Vec<u8>)> {
    let flags = u8::from(link.test)
        | u8::from(link.price.is_some()) << 1
        | u8::from(link.lpurl.is_some()) << 2
        | link.escaping << 3;
    let mut fields = vec![
        ("version", vec![1]),
        ("key", varint(link.key.0.into())),
        ("flags", vec![flags]),
        ("nonce", link.nonce.bytes().to_vec()),
        ("window", varint(link.window_s.into())),
        ("expires", varint(link.expires_at.0)),
        ("advertiser", varint(link.advertiser.0.into())),
        ("campaign", varint(link.campaign.0)),
        ("ad", varint(link.ad.0)),
        ("publisher", varint(link.publisher.0.into())),
        ("placement", varint(link.placement.0)),
    ];
    if let Some(price) = link.price {
        fields.push(("price", varint(price.0 as u64)));
    }
    fields.push(("destination", string(link.destination.as_bytes())));
    if let Some(lpurl) = link.lpurl {
        fields.push(("lpurl", string(lpurl.as_bytes())));
    }
    fields
}

/// The fields with one of them replaced.
pub(crate) fn with(link: &ClickLink<'_>, field: &str, bytes: Vec<u8>) -> Vec<u8> {
    let mut fields = fields(link);
    let found = fields.iter_mut().find(|(name, _)| *name == field);
    found.unwrap().1 = bytes;
    body(&fields)
}

pub(crate) fn body(fields: &[(&str, Vec<u8>)]) -> Vec<u8> {
    fields.iter().flat_map(|(_, bytes)| bytes.clone()).collect()
}

/// The token of any bytes, rightly signed.
pub(crate) fn token(secret: &[u8; 32], body: &[u8]) -> String {
    let tag = hmac(secret, &[string16(b"click:v1"), string16(body)].concat());
    URL_SAFE_NO_PAD.encode([body, &tag[..16]].concat())
}

pub(crate) fn hmac(secret: &[u8; 32], input: &[u8]) -> Vec<u8> {
    let mut mac = <Hmac<Sha256> as KeyInit>::new_from_slice(secret).unwrap();
    mac.update(input);
    mac.finalize().into_bytes().to_vec()
}

pub(crate) fn base64(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

pub(crate) fn unbase64(token: &str) -> Vec<u8> {
    URL_SAFE_NO_PAD.decode(token).unwrap()
}

pub(crate) fn varint(mut value: u64) -> Vec<u8> {
    let mut out = Vec::new();
    while value >= 128 {
        out.push((value % 128) as u8 + 128);
        value /= 128;
    }
    out.push(value as u8);
    out
}

pub(crate) fn string(bytes: &[u8]) -> Vec<u8> {
    [varint(bytes.len() as u64), bytes.to_vec()].concat()
}

/// As the MAC's input holds it, with two bytes of length.
pub(crate) fn string16(bytes: &[u8]) -> Vec<u8> {
    [&(bytes.len() as u16).to_le_bytes(), bytes].concat()
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
