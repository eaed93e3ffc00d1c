//! Mutated tokens: none but the one that was signed is ever opened.
//!
//! `TOLLGATE_MUTATIONS` sets how many are tried (a million without it), `TOLLGATE_SEED` with
//! which seed.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a helper of a test that panics is a test that fails"
)]

use proptest::prelude::*;
use tollgate_click::control::{Scope, SigningKey};
use tollgate_click::{
    AdId, AdvertiserId, CampaignId, KeyId, Micros, Millis, Nonce, PlacementId, PublisherId,
};
use tollgate_link::{ClickLink, Keyring, Schemes, Secret, TokenBuf, sign};

const NOW: Millis = Millis(1_767_225_600_000);
const ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

fn keyring() -> Keyring {
    let mut keyring = Keyring::new();
    for number in 1..=3 {
        let key = SigningKey {
            key: KeyId(number),
            scope: Scope::All,
            not_before: Millis(0),
            not_after: Millis::MAX,
            test: false,
        };
        keyring.insert(key, secret(number));
    }
    keyring
}

fn secret(number: u32) -> Secret {
    Secret::new([number as u8; 32])
}

fn link(destination: &str) -> ClickLink<'_> {
    ClickLink {
        key: KeyId(1),
        nonce: Nonce::new(NOW, 1 << 73),
        window_s: 86_400,
        expires_at: NOW.plus_s(86_400),
        advertiser: AdvertiserId(7),
        campaign: CampaignId(300),
        ad: AdId(0),
        publisher: PublisherId(3),
        placement: PlacementId(4),
        price: Some(Micros(350_000)),
        test: false,
        escaping: 1,
        destination,
        lpurl: None,
    }
}

#[test]
fn no_mutation_of_a_token_is_opened() {
    let read = |name, default| {
        let set = std::env::var(name).ok();
        set.map_or(default, |text| text.parse::<u64>().unwrap())
    };
    let count = read("TOLLGATE_MUTATIONS", 1_000_000);
    let seed = read("TOLLGATE_SEED", 0x7011_6A7E);
    eprintln!("{count} mutations, TOLLGATE_SEED={seed}");

    let keyring = keyring();
    let mut buf = TokenBuf::new();
    let originals: Vec<Vec<u8>> = (1..=3)
        .map(|number| {
            let link = ClickLink {
                key: KeyId(number),
                ..link("https://example.com/a?b={sub1}")
            };
            let token = sign(&link, &secret(number), Schemes::WEB).unwrap();
            assert!(keyring.verify(&token, NOW, &mut buf).is_ok());
            token.into_bytes()
        })
        .collect();

    let mut random = Random(seed);
    let mut tried = 0;
    while tried < count {
        let mut text = random.pick(&originals).clone();
        for _ in 0..=random.below(3) {
            mutate(&mut text, &originals, &mut random);
        }
        if originals.contains(&text) {
            continue;
        }
        let Ok(text) = String::from_utf8(text) else {
            continue; // a bit flip out of UTF-8: no &str can hold it
        };
        tried += 1;
        let opened = keyring.verify(&text, NOW, &mut buf);
        assert!(
            opened.is_err(),
            "seed {seed}: {text:?} was opened as {opened:?}"
        );
    }
}

/// One change: a bit, a character, two places swapped, a piece left out, put in or taken from
/// another token, the end cut or padded, a part written in another way.
fn mutate(text: &mut Vec<u8>, others: &[Vec<u8>], random: &mut Random) {
    if text.is_empty() {
        text.push(b'A');
    }
    let at = random.below(text.len());
    match random.below(10) {
        0 => text[at] ^= 1 << random.below(8),
        1 => text[at] = *random.pick(ALPHABET),
        2 => {
            let other = random.below(text.len());
            text.swap(at, other);
        }
        3 => drop(text.remove(at)),
        4 => text.insert(at, *random.pick(ALPHABET)),
        5 => text.truncate(at),
        6 => {
            let other = random.pick(others);
            let from = random.below(other.len());
            text.truncate(at);
            text.extend_from_slice(&other[from..]);
        }
        7 => {
            let tail = random.pick(&["=", "==", "\n", " ", "A", "&alg=none"]);
            text.extend_from_slice(tail.as_bytes());
        }
        8 => {
            let escape = format!("%{:02x}", text[at]);
            text.splice(at..=at, escape.into_bytes());
        }
        _ => {
            let byte = text[at];
            text[at] = match byte {
                b'-' => b'+',
                b'_' => b'/',
                b if b.is_ascii_lowercase() => b.to_ascii_uppercase(),
                b => b.to_ascii_lowercase(),
            };
        }
    }
}

/// SplitMix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit as u64) as usize
    }

    fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        let index = self.below(from.len());
        &from[index]
    }
}

prop_compose! {
    fn ids()(
        key in 1u32..=3, advertiser: u32, campaign: u64, ad: u64, publisher: u32, placement: u64,
        nonce_at in 0..NOW.0, random: u128, window_s in 1u32..=2_592_000,
        life in 1u64..34_560_000_000,
        price in proptest::option::of(0i64..), test: bool, escaping in 0u8..=2,
    ) -> ClickLink<'static> {
        ClickLink {
            key: KeyId(key),
            nonce: Nonce::new(Millis(nonce_at), random),
            window_s,
            expires_at: Millis(nonce_at + life),
            advertiser: AdvertiserId(advertiser),
            campaign: CampaignId(campaign),
            ad: AdId(ad),
            publisher: PublisherId(publisher),
            placement: PlacementId(placement),
            price: price.map(Micros),
            test,
            escaping,
            destination: "",
            lpurl: None,
        }
    }
}

proptest! {
    #[test]
    fn what_is_signed_is_what_is_opened(
        ids in ids(),
        path in "[a-zA-Z0-9._~/?#=&{}-]{0,80}",
        lpurl in proptest::option::of("https://[a-z]{1,9}\\.example/[a-z{}]{0,20}"),
    ) {
        let lpurl_macro = if lpurl.is_some() { "{lpurl}" } else { "" };
        let destination = format!("https://example.com/{path}{lpurl_macro}");
        let link = ClickLink { destination: &destination, lpurl: lpurl.as_deref(), ..ids };
        prop_assume!(destination.contains("{lpurl}") == lpurl.is_some());
        let token = sign(&link, &secret(link.key.0), Schemes::WEB).unwrap();
        let mut buf = TokenBuf::new();
        let keyring = keyring();
        // Opened at its last instant, so that no link has expired.
        let verified = keyring.verify(&token, link.expires_at, &mut buf).unwrap();
        prop_assert_eq!(verified.link, link);
        prop_assert_eq!(verified.test, link.test);
    }
}
