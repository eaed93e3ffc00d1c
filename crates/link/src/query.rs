//! What rides along: query parameters that no signature covers.
//!
//! They can name a sub-id or carry another platform's click id, and nothing else: whatever is
//! unknown is ignored, and whatever has the name of a signed field makes the request forged.

use thiserror::Error;
use tollgate_click::limits::{EXTRA_QUERY_BYTES_MAX, SUB_ID_BYTES_MAX, SUB_IDS};

/// Sub-ids, as parameter and macro names.
pub const SUB_ID_NAMES: [&str; SUB_IDS] = ["sub1", "sub2", "sub3", "sub4", "sub5"];

/// Click ids of other platforms that are passed through, as parameter and macro names.
pub const PLATFORM_CLICK_IDS: [&str; 12] = [
    "gclid",
    "dclid",
    "gbraid",
    "wbraid",
    "fbclid",
    "twclid",
    "msclkid",
    "li_fat_id",
    "rdclid",
    "ttclid",
    "yclid",
    "epik",
];

/// Names of what only a signature may set.
pub const SIGNED_NAMES: [&str; 16] = [
    "alg",
    "version",
    "key",
    "nonce",
    "window",
    "expires",
    "advertiser",
    "campaign",
    "ad",
    "publisher",
    "placement",
    "price",
    "test",
    "escaping",
    "destination",
    "lpurl",
];

/// A parameter has the name of a signed field: the request counts as forged.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
#[error("the parameter {0} may only be set by a signature")]
pub struct SignedName(pub &'static str);

/// The parameters that are kept, decoded. Keep one per thread, so that no click allocates.
#[derive(Clone, Debug)]
pub struct Extras {
    bytes: Vec<u8>,
    subs: [Option<Span>; SUB_IDS],
    platform: [Option<Span>; PLATFORM_CLICK_IDS.len()],
}

/// A part of `Extras::bytes`.
#[derive(Clone, Copy, Debug)]
struct Span {
    start: usize,
    end: usize,
}

impl Extras {
    /// Nothing kept yet, with room for all that can be.
    pub fn new() -> Extras {
        Extras {
            bytes: Vec::with_capacity(EXTRA_QUERY_BYTES_MAX + NAME_BYTES_MAX),
            subs: [None; SUB_IDS],
            platform: [None; PLATFORM_CLICK_IDS.len()],
        }
    }

    /// Reads a request's query, what follows `?`, in place of what was kept before. It is read
    /// as forms are (`&` between parameters, `+` a space, percent-encoding; what is no escape
    /// stays as it is). The first parameter of a name counts. A sub-id over its limit is cut;
    /// a platform's click id over it is left out, since a part of it would be another id.
    /// Kept values end at [`EXTRA_QUERY_BYTES_MAX`] bytes together.
    pub fn read(&mut self, query: &[u8]) -> Result<(), SignedName> {
        self.clear();
        for parameter in query.split(|byte| *byte == b'&') {
            let mut parts = parameter.splitn(2, |byte| *byte == b'=');
            let name = parts.next().unwrap_or_default();
            let value = parts.next().unwrap_or_default();
            match self.classify(name)? {
                Some(Kept::Sub(index)) => self.keep_sub(index, value),
                Some(Kept::Platform(index)) => self.keep_platform(index, value),
                None => {}
            }
        }
        Ok(())
    }

    /// `sub1` to `sub5`.
    pub fn subs(&self) -> [Option<&[u8]>; SUB_IDS] {
        self.subs.map(|span| span.and_then(|span| self.part(span)))
    }

    /// The values of [`PLATFORM_CLICK_IDS`], in that order.
    pub fn platform(&self) -> [Option<&[u8]>; PLATFORM_CLICK_IDS.len()] {
        self.platform
            .map(|span| span.and_then(|span| self.part(span)))
    }

    /// Forgets all parameters.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.subs = [None; SUB_IDS];
        self.platform = [None; PLATFORM_CLICK_IDS.len()];
    }

    fn part(&self, span: Span) -> Option<&[u8]> {
        self.bytes.get(span.start..span.end)
    }

    /// What a parameter's name makes of it. The name is decoded behind the kept bytes, which
    /// end as they were.
    fn classify(&mut self, encoded: &[u8]) -> Result<Option<Kept>, SignedName> {
        let start = self.bytes.len();
        decode(encoded, NAME_BYTES_MAX, &mut self.bytes);
        let name = self.bytes.get(start..).unwrap_or_default();
        let place = |names: &[&str]| names.iter().position(|known| known.as_bytes() == name);
        let kept = match place(&SUB_ID_NAMES) {
            Some(index) => Some(Kept::Sub(index)),
            None => place(&PLATFORM_CLICK_IDS).map(Kept::Platform),
        };
        let signed = SIGNED_NAMES
            .into_iter()
            .find(|signed| name.eq_ignore_ascii_case(signed.as_bytes()));
        self.bytes.truncate(start);
        match signed {
            Some(name) => Err(SignedName(name)),
            None => Ok(kept),
        }
    }

    fn keep_sub(&mut self, index: usize, encoded: &[u8]) {
        let room = EXTRA_QUERY_BYTES_MAX.saturating_sub(self.bytes.len());
        let Some(slot @ None) = self.subs.get_mut(index) else {
            return;
        };
        let start = self.bytes.len();
        decode(encoded, room.min(SUB_ID_BYTES_MAX), &mut self.bytes);
        let end = self.bytes.len();
        *slot = Some(Span { start, end });
    }

    fn keep_platform(&mut self, index: usize, encoded: &[u8]) {
        let room = EXTRA_QUERY_BYTES_MAX.saturating_sub(self.bytes.len());
        let Some(slot @ None) = self.platform.get_mut(index) else {
            return;
        };
        let start = self.bytes.len();
        let limit = room.min(SUB_ID_BYTES_MAX);
        if decode(encoded, limit, &mut self.bytes) {
            let end = self.bytes.len();
            *slot = Some(Span { start, end });
        } else {
            self.bytes.truncate(start);
        }
    }
}

impl Default for Extras {
    fn default() -> Extras {
        Extras::new()
    }
}

/// A parameter that is kept, with its place.
enum Kept {
    Sub(usize),
    Platform(usize),
}

/// Longer than every known name: what does not fit is unknown.
pub(crate) const NAME_BYTES_MAX: usize = 16;

/// Appends at most `limit` decoded bytes. False when there were more.
fn decode(mut encoded: &[u8], limit: usize, out: &mut Vec<u8>) -> bool {
    for _ in 0..limit {
        let Some((byte, rest)) = encoded.split_first() else {
            return true;
        };
        encoded = rest;
        match (*byte, crate::destination::escape(rest)) {
            (b'+', _) => out.push(b' '),
            (b'%', Some(meant)) => {
                out.push(meant);
                encoded = rest.get(2..).unwrap_or_default();
            }
            (byte, _) => out.push(byte),
        }
    }
    encoded.is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(query: &str) -> Extras {
        let mut extras = Extras::new();
        extras.read(query.as_bytes()).unwrap();
        extras
    }

    #[test]
    fn sub_ids_and_platform_ids_are_kept_and_decoded() {
        let extras = read("x=1&sub1=a+b%20c%zz&gclid=Cj0&sub5=%ff%00&utm_campaign=spring");
        assert_eq!(
            extras.subs(),
            [Some(&b"a b c%zz"[..]), None, None, None, Some(b"\xFF\0")]
        );
        assert_eq!(extras.platform()[0], Some(&b"Cj0"[..]));
        assert!(extras.platform()[1..].iter().all(Option::is_none));
    }

    #[test]
    fn the_first_of_a_name_counts_and_an_empty_value_is_a_value() {
        let extras = read("sub1=first&sub1=second&sub2=&sub3&%73ub4=encoded+name");
        assert_eq!(extras.subs()[0], Some(&b"first"[..]));
        assert_eq!(extras.subs()[1], Some(&b""[..]));
        assert_eq!(extras.subs()[2], Some(&b""[..]));
        assert_eq!(extras.subs()[3], Some(&b"encoded name"[..]));
    }

    #[test]
    fn a_second_request_sees_nothing_of_the_first() {
        let mut extras = read("sub1=one&gclid=two");
        extras.read(b"sub2=three").unwrap();
        assert_eq!(extras.subs(), [None, Some(&b"three"[..]), None, None, None]);
        assert!(extras.platform().iter().all(Option::is_none));
    }

    #[test]
    fn a_signed_name_in_any_spelling_is_forged() {
        for name in SIGNED_NAMES {
            let percent: String = name.bytes().map(|byte| format!("%{byte:02x}")).collect();
            for spelling in [name.to_owned(), name.to_uppercase(), percent] {
                for query in [format!("{spelling}=1"), format!("sub1=x&{spelling}")] {
                    let mut extras = Extras::new();
                    let answer = extras.read(query.as_bytes());
                    assert_eq!(answer, Err(SignedName(name)), "{query}");
                }
            }
        }
        // Names that only begin alike are somebody else's.
        read("algorithm=1&adgroup=2&keyword=3&campaign_id=4&destination_country_of_them=5");
    }

    #[test]
    fn what_is_kept_has_limits() {
        let long = "v".repeat(300);
        let extras = read(&format!("sub1={long}&gclid={long}&dclid=short"));
        assert_eq!(extras.subs()[0].map(<[u8]>::len), Some(SUB_ID_BYTES_MAX));
        assert_eq!(extras.platform()[0], None, "a cut click id is another id");
        assert_eq!(extras.platform()[1], Some(&b"short"[..]));

        let all = (1..=5)
            .map(|n| format!("sub{n}={long}&"))
            .collect::<String>();
        let extras = read(&all);
        let kept: usize = extras.subs().iter().flatten().map(|sub| sub.len()).sum();
        assert_eq!(kept, EXTRA_QUERY_BYTES_MAX);
    }

    #[test]
    fn every_known_name_can_be_told_from_a_cut_one() {
        let names = SUB_ID_NAMES
            .iter()
            .chain(&PLATFORM_CLICK_IDS)
            .chain(&SIGNED_NAMES);
        assert!(names.into_iter().all(|name| name.len() < NAME_BYTES_MAX));
    }
}
