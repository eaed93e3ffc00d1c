//! How long a link takes: minting, opening, and opening what is forged.
//!
//! `cargo run --release -p tollgate-link --example link_speed`
//!
//! The last lines compare tags that differ in their first and in their last byte: equal times
//! within the noise are what a constant-time compare looks like. No test asserts a time.

use std::hint::black_box;
use std::time::Instant;

use tollgate_click::control::{Scope, SigningKey};
use tollgate_click::{
    AdId, AdvertiserId, CampaignId, KeyId, Micros, Millis, Nonce, PlacementId, PublisherId,
};
use tollgate_link::{
    ClickLink, Extras, Keyring, MacroValues, Schemes, Secret, SignError, TokenBuf, expand, sign,
};

const NOW: Millis = Millis(1_767_225_600_000);
const LINKS: u32 = 4096;
const ROUNDS: u32 = 200;

fn main() -> Result<(), SignError> {
    let secret = Secret::new([7; 32]);
    let tokens = (0..LINKS)
        .map(|index| sign(&link(index), &secret, Schemes::WEB))
        .collect::<Result<Vec<_>, _>>()?;
    let mut keyring = Keyring::new();
    for number in 1..=4 {
        keyring.insert(key(number), Secret::new([number as u8 + 6; 32]));
    }
    let mut buf = TokenBuf::new();

    report("sign", || {
        for index in 0..LINKS {
            black_box(sign(&link(index), &secret, Schemes::WEB).is_ok());
        }
    });
    report("verify", || {
        for token in &tokens {
            assert!(keyring.verify(token, NOW, &mut buf).is_ok());
        }
    });
    let extras = Extras::new();
    let click_id = "019b76da-a800-7007-8001-0123456789ab".parse();
    let mut location = Vec::with_capacity(8192);
    report("verify and expand", || {
        for token in &tokens {
            if let (Ok(verified), Ok(click_id)) = (keyring.verify(token, NOW, &mut buf), &click_id)
            {
                let values = MacroValues::of(&verified.link, *click_id, &extras);
                location.clear();
                black_box(expand(verified.link.destination, 1, &values, &mut location).is_ok());
            }
        }
    });
    for (name, from_end) in [("first", 20), ("last", 3)] {
        let forged: Vec<String> = tokens
            .iter()
            .map(|token| altered(token, from_end))
            .collect();
        report(&format!("refuse, tag differs in its {name} bytes"), || {
            for token in &forged {
                assert!(keyring.verify(token, NOW, &mut buf).is_err());
            }
        });
    }
    Ok(())
}

fn report(name: &str, mut all_links: impl FnMut()) {
    let mut best = f64::INFINITY;
    for _ in 0..ROUNDS {
        let start = Instant::now();
        all_links();
        best = best.min(start.elapsed().as_nanos() as f64 / f64::from(LINKS));
    }
    println!("{name}: {best:.0} ns a link (best of {ROUNDS} rounds over {LINKS} links)");
}

/// Another character in place of the one that stands `from_end` before the end.
fn altered(token: &str, from_end: usize) -> String {
    let at = token.len().saturating_sub(from_end);
    let (head, tail) = token.split_at(at);
    let other = if tail.starts_with('A') { 'B' } else { 'A' };
    format!("{head}{other}{}", tail.get(1..).unwrap_or_default())
}

fn link(index: u32) -> ClickLink<'static> {
    ClickLink {
        key: KeyId(1),
        nonce: Nonce::new(NOW, u128::from(index) * 0x9E37_79B9_7F4A_7C15),
        window_s: 86_400,
        expires_at: NOW.plus_s(30 * 86_400),
        advertiser: AdvertiserId(7),
        campaign: CampaignId(1001),
        ad: AdId(52),
        publisher: PublisherId(310),
        placement: PlacementId(4),
        price: Some(Micros(350_000)),
        test: false,
        escaping: 1,
        destination: "https://shop.example.com/spring/offer?sku=48151623&from=mail",
        lpurl: None,
    }
}

fn key(number: u32) -> SigningKey {
    SigningKey {
        key: KeyId(number),
        scope: Scope::All,
        not_before: Millis(0),
        not_after: Millis::MAX,
        test: false,
    }
}
