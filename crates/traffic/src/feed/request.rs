//! A recorded click as the bytes of an HTTP request, as a trusted proxy would send it on.

use std::net::Ipv4Addr;

use sha2::{Digest, Sha256};
use tollgate_click::Country;
use tollgate_click::limits::{AGENT_BYTES_MAX, LANGUAGE_BYTES_MAX, REFERRER_BYTES_MAX};

use super::{FeedClick, LinkLine};

/// The address that stands for a recorded visitor, inside 10.0.0.0/8: the feed has none, so it is
/// a fixed function of user agent, city and place.
pub fn address_of(click: &FeedClick) -> Ipv4Addr {
    let mut hash = Sha256::new();
    for field in [
        Some(&click.agent),
        click.city.as_ref(),
        click.place.as_ref(),
    ] {
        let text = field.map(String::as_bytes).unwrap_or_default();
        hash.update((text.len() as u64).to_le_bytes());
        hash.update(text);
    }
    let mut digest = hash.finalize().into_iter();
    let mut next = || digest.next().unwrap_or_default();
    Ipv4Addr::new(10, next(), next(), next())
}

impl FeedClick {
    /// The request for `link` that this click was.
    pub fn request(&self, link: &LinkLine, host: &str) -> Vec<u8> {
        let mut out = format!("GET /l/{} HTTP/1.1\r\nHost: {host}\r\n", link.slug).into_bytes();
        let address = address_of(self).to_string();
        let country = self.country.as_deref();
        let country = country.filter(|country| country.parse::<Country>().is_ok());
        let headers = [
            ("User-Agent", Some(self.agent.as_str()), AGENT_BYTES_MAX),
            ("Referer", self.referrer.as_deref(), REFERRER_BYTES_MAX),
            (
                "Accept-Language",
                self.language.as_deref(),
                LANGUAGE_BYTES_MAX,
            ),
            ("X-Forwarded-For", Some(address.as_str()), 15),
            ("X-Country", country, 2),
        ];
        for (name, value, bytes_max) in headers {
            let value = value.map(|value| header_value(value, bytes_max));
            if let Some(value) = value.filter(|value| !value.is_empty()) {
                out.extend_from_slice(name.as_bytes());
                out.extend_from_slice(b": ");
                out.extend_from_slice(&value);
                out.extend_from_slice(b"\r\n");
            }
        }
        out.extend_from_slice(b"\r\n");
        out
    }
}

/// What a header may carry of a text: no control characters, so that no recorded text can end the
/// header, and no more than the edge keeps.
fn header_value(text: &str, bytes_max: usize) -> Vec<u8> {
    let plain = |byte: u8| if byte.is_ascii_control() { b' ' } else { byte };
    let bytes: Vec<u8> = text.bytes().take(bytes_max).map(plain).collect();
    bytes.trim_ascii().to_vec()
}
