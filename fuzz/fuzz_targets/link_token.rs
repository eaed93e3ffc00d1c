//! Any text as a token: no panic, and nothing is opened but what the key's holder signed.
//!
//! If the first byte is odd, the rest is a body that is signed first, so that the fuzzer gets
//! past the MAC as a careless signer would; else the rest is the text of a token.

#![no_main]

use std::sync::OnceLock;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use libfuzzer_sys::fuzz_target;
use sha2::Sha256;
use tollgate_click::control::{Scope, SigningKey};
use tollgate_click::{KeyId, Millis};
use tollgate_link::explain::explain;
use tollgate_link::{Keyring, Schemes, Secret, TokenBuf, destination, sign};

const NOW: Millis = Millis(1_767_225_600_000);

/// Keys 1 and 128, the shortest number and one of two bytes.
fn keyring() -> &'static Keyring {
    static KEYRING: OnceLock<Keyring> = OnceLock::new();
    KEYRING.get_or_init(|| {
        let mut keyring = Keyring::new();
        for number in [1, 128] {
            let key = SigningKey {
                key: KeyId(number),
                scope: Scope::All,
                not_before: Millis(0),
                not_after: Millis::MAX,
                test: false,
            };
            keyring.insert(key, Secret::new([number as u8; 32]));
        }
        keyring
    })
}

/// The token of a body under the key that its second byte names.
fn signed(body: &[u8]) -> String {
    let key = body.get(1).copied().unwrap_or_default();
    let mut mac = Hmac::<Sha256>::new_from_slice(&[key; 32]).expect("any length is a key");
    mac.update(b"\x08\0click:v1");
    mac.update(&(body.len() as u16).to_le_bytes());
    mac.update(body);
    let tag = mac.finalize().into_bytes();
    URL_SAFE_NO_PAD.encode([body, &tag[..16]].concat())
}

fuzz_target!(|data: &[u8]| {
    let text = match data.split_first() {
        Some((first, body)) if first % 2 == 1 && body.len() < 8192 => signed(body),
        Some((_, text)) => String::from_utf8_lossy(text).into_owned(),
        None => return,
    };
    let text = text.as_str();
    let mut buf = TokenBuf::new();
    let opened = keyring().verify(text, NOW, &mut buf);
    if let Ok(verified) = opened {
        // What opens is the one spelling: signing again gives the same text.
        let link = verified.link;
        assert_eq!(destination::recheck(link.destination, Schemes::WEB), Ok(()));
        let secret = Secret::new([link.key.0 as u8; 32]);
        if let Ok(again) = sign(&link, &secret, Schemes::WEB) {
            assert_eq!(again, text);
        }
    }
    if let Ok(explained) = explain(text) {
        assert!(explained.fields.iter().all(|field| !field.bytes.is_empty()));
    }
});
