//! What a key may do, and what signing refuses.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a helper of a test that panics is a test that fails"
)]

use tollgate_click::control::{Scope, SigningKey};
use tollgate_click::{
    AdId, AdvertiserId, CampaignId, KeyId, Micros, Millis, Nonce, PlacementId, PublisherId,
};
use tollgate_link::sign::Limit;
use tollgate_link::{
    ClickLink, DestinationError, Forged, Keyring, Schemes, Secret, SignError, TokenBuf,
    VerifyError, sign,
};

const NOW: Millis = Millis(1_767_225_600_000);

fn link(key: u32) -> ClickLink<'static> {
    ClickLink {
        key: KeyId(key),
        nonce: Nonce::new(NOW, 5),
        window_s: 86_400,
        expires_at: NOW.plus_s(86_400),
        advertiser: AdvertiserId(7),
        campaign: CampaignId(1),
        ad: AdId(0),
        publisher: PublisherId(0),
        placement: PlacementId(0),
        price: None,
        test: false,
        escaping: 1,
        destination: "https://example.com/",
        lpurl: None,
    }
}

fn key(number: u32) -> SigningKey {
    SigningKey {
        key: KeyId(number),
        scope: Scope::All,
        not_before: Millis(NOW.0 - 10),
        not_after: Millis(NOW.0 + 10),
        test: false,
    }
}

fn secret(number: u32) -> Secret {
    Secret::new([number as u8; 32])
}

fn open(keyring: &Keyring, token: &str, now: Millis) -> Result<bool, VerifyError> {
    let mut buf = TokenBuf::new();
    keyring
        .verify(token, now, &mut buf)
        .map(|verified| verified.test)
}

fn signed(key: u32) -> String {
    sign(&link(key), &secret(key), Schemes::WEB).unwrap()
}

#[test]
fn two_keys_are_live_and_each_ends_on_its_own() {
    let mut keyring = Keyring::new();
    keyring.insert(key(2), secret(2));
    keyring.insert(key(1), secret(1));
    assert_eq!(open(&keyring, &signed(1), NOW), Ok(false));
    assert_eq!(open(&keyring, &signed(2), NOW), Ok(false));
    assert_eq!(
        open(&keyring, &signed(3), NOW),
        Err(Forged::UnknownKey.into())
    );

    assert!(keyring.revoke(KeyId(1), NOW));
    assert!(!keyring.revoke(KeyId(3), NOW));
    assert_eq!(open(&keyring, &signed(1), NOW), Err(Forged::Revoked.into()));
    assert_eq!(open(&keyring, &signed(1), Millis(NOW.0 - 1)), Ok(false));
    assert_eq!(open(&keyring, &signed(2), NOW), Ok(false));
}

#[test]
fn a_revocation_is_for_good_and_the_earliest_counts() {
    let mut keyring = Keyring::new();
    keyring.insert(key(1), secret(1));
    keyring.revoke(KeyId(1), NOW);
    keyring.revoke(KeyId(1), Millis(NOW.0 + 5));
    keyring.insert(key(1), secret(1));
    assert_eq!(keyring.len(), 1);
    assert_eq!(open(&keyring, &signed(1), NOW), Err(Forged::Revoked.into()));
}

#[test]
fn a_key_that_is_given_again_counts_as_given_last() {
    let mut keyring = Keyring::new();
    keyring.insert(key(1), secret(1));
    let test = SigningKey {
        test: true,
        ..key(1)
    };
    keyring.insert(test, secret(9));
    assert_eq!(open(&keyring, &signed(1), NOW), Err(Forged::Tag.into()));
    let token = sign(&link(1), &secret(9), Schemes::WEB).unwrap();
    assert_eq!(
        open(&keyring, &token, NOW),
        Ok(true),
        "all links of a test key are tests"
    );
}

#[test]
fn validity_holds_from_the_first_to_the_last_ms() {
    let mut keyring = Keyring::new();
    keyring.insert(key(1), secret(1));
    let at = |offset: i64| {
        open(
            &keyring,
            &signed(1),
            Millis(NOW.0.wrapping_add_signed(offset)),
        )
    };
    assert_eq!(at(-11), Err(Forged::NotYetValid.into()));
    assert_eq!(at(-10), Ok(false));
    assert_eq!(at(10), Ok(false));
    assert_eq!(at(11), Err(Forged::NoLongerValid.into()));
}

#[test]
fn a_listed_scheme_is_opened_for_its_advertiser_only() {
    let ftp = Schemes::with(["ftp"]).unwrap();
    let destination = "ftp://files.example.com/a";
    let mine = ClickLink {
        destination,
        ..link(1)
    };
    let theirs = ClickLink {
        advertiser: AdvertiserId(8),
        ..mine
    };
    let mut keyring = Keyring::new();
    keyring.insert(key(1), secret(1));
    keyring.set_schemes(AdvertiserId(7), ftp.clone());
    let token = |link| sign(link, &secret(1), &ftp).unwrap();
    assert_eq!(open(&keyring, &token(&mine), NOW), Ok(false));
    let refused = Forged::Destination(DestinationError::UnlistedScheme);
    assert_eq!(open(&keyring, &token(&theirs), NOW), Err(refused.into()));
    keyring.set_schemes(AdvertiserId(7), Schemes::default());
    assert_eq!(open(&keyring, &token(&mine), NOW), Err(refused.into()));
}

#[test]
fn signing_refuses_what_could_never_be_opened() {
    let link = link(1);
    let refused = |link: &ClickLink<'_>| sign(link, &secret(1), Schemes::WEB).unwrap_err();
    let limit = |link: &ClickLink<'_>| match refused(link) {
        SignError::Limit(limit) => limit,
        other => panic!("{other}"),
    };
    assert_eq!(
        limit(&ClickLink {
            window_s: 0,
            ..link
        }),
        Limit::Window
    );
    assert_eq!(
        limit(&ClickLink {
            window_s: 2_592_001,
            ..link
        }),
        Limit::Window
    );
    assert_eq!(
        limit(&ClickLink {
            expires_at: NOW,
            ..link
        }),
        Limit::Expiry
    );
    let over = NOW.plus_ms(400 * 86_400_000 + 1);
    assert_eq!(
        limit(&ClickLink {
            expires_at: over,
            ..link
        }),
        Limit::Expiry
    );
    assert_eq!(
        limit(&ClickLink {
            escaping: 3,
            ..link
        }),
        Limit::Escaping
    );
    assert_eq!(
        limit(&ClickLink {
            price: Some(Micros(-1)),
            ..link
        }),
        Limit::Price
    );
    let land = "https://land.example/";
    assert_eq!(
        limit(&ClickLink {
            lpurl: Some(land),
            ..link
        }),
        Limit::Lpurl
    );
    let tracker = ClickLink {
        destination: "https://t.example/{lpurl}",
        ..link
    };
    assert_eq!(limit(&tracker), Limit::Lpurl);
    assert_eq!(
        refused(&ClickLink {
            lpurl: Some("file:///etc/passwd"),
            ..tracker
        }),
        SignError::Lpurl(DestinationError::NeverScheme)
    );
    assert_eq!(
        refused(&ClickLink {
            destination: "http://10.0.0.1/",
            ..link
        }),
        SignError::Destination(DestinationError::PrivateHost)
    );
    let long = format!("https://land.example/{}", "/".repeat(2000));
    let bulky = ClickLink {
        lpurl: Some(&long),
        escaping: 2,
        ..tracker
    };
    assert!(matches!(refused(&bulky), SignError::TooLong(_)));
    assert!(
        sign(
            &ClickLink {
                escaping: 1,
                ..bulky
            },
            &secret(1),
            Schemes::WEB
        )
        .is_ok()
    );
}

#[test]
fn a_secret_does_not_show_itself() {
    let mut keyring = Keyring::new();
    keyring.insert(key(1), Secret::new(*b"do-not-print-me-do-not-print-me!"));
    let shown = format!("{keyring:?}");
    assert!(shown.contains("Secret(hidden)"), "{shown}");
    assert!(
        !shown.contains("print") && !shown.contains("100, 111"),
        "{shown}"
    );
}
