//! `spec/vectors.json`: what every implementation of `spec/click-url-v1.md` must agree on.
//!
//! The cases stand in [`cases`]; here they are signed, compared with the file that is kept, and
//! each line of that file is opened again as a server would. Set `TOLLGATE_BLESS=1` to write the
//! file anew after a change that is meant; a second implementation in Python checks it too.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a helper of a test that panics is a test that fails"
)]

mod vectors {
    pub(crate) mod cases;
    pub(crate) mod forge;
    pub(crate) mod refused;
}

use std::path::PathBuf;
use std::process::Command;

use serde_json::{Value, json};
use tollgate_click::{ClickId, Millis, Refusal};
use tollgate_link::explain::explain;
use tollgate_link::{Extras, Keyring, MacroValues, TokenBuf, expand, nonce};

use vectors::cases::{self, CLICK_ID, NOW};
use vectors::{forge, refused};

#[test]
fn the_kept_vectors_are_what_this_implementation_makes() {
    let made = json!({
        "spec": "click-url-v1",
        "now_ms": NOW.0,
        "click_id": CLICK_ID,
        "keys": cases::keys().iter().map(|(key, secret, revoked_at)| json!({
            "key": key.key.0,
            "secret": forge::hex(secret),
            "advertisers": cases::scope_json(&key.scope),
            "not_before_ms": key.not_before.0,
            "not_after_ms": key.not_after.0,
            "revoked_at_ms": revoked_at.map(|at| at.0),
            "test": key.test,
        })).collect::<Vec<_>>(),
        "signed": cases::signed(),
        "refused": refused::all(),
        "queries": cases::queries(),
        "nonces": cases::nonces(),
    });
    let text = serde_json::to_string_pretty(&made).unwrap() + "\n";
    if std::env::var_os("TOLLGATE_BLESS").is_some() {
        std::fs::write(path("vectors.json"), &text).unwrap();
    }
    let kept = std::fs::read_to_string(path("vectors.json")).unwrap();
    let differs = kept
        .lines()
        .zip(text.lines())
        .position(|(kept, made)| kept != made);
    assert_eq!(differs, None, "first line that differs, from 0");
    assert_eq!(kept.len(), text.len());
}

#[test]
fn every_signed_vector_opens_and_goes_where_it_says() {
    let keyring = keyring();
    let mut buf = TokenBuf::new();
    let mut extras = Extras::new();
    for vector in list("signed") {
        let name = &vector["name"];
        let now = Millis(vector["now_ms"].as_u64().unwrap());
        let token = vector["token"].as_str().unwrap();
        let verified = keyring.verify(token, now, &mut buf).unwrap();
        assert_eq!(cases::link_json(&verified.link), vector["link"], "{name}");
        assert_eq!(verified.test, vector["test"].as_bool().unwrap(), "{name}");

        extras
            .read(vector["query"].as_str().unwrap().as_bytes())
            .unwrap();
        let click_id: ClickId = CLICK_ID.parse().unwrap();
        let values = MacroValues::of(&verified.link, click_id, &extras);
        let mut location = Vec::new();
        let link = verified.link;
        expand(link.destination, link.escaping, &values, &mut location).unwrap();
        let location = String::from_utf8(location).unwrap();
        assert_eq!(location, vector["location"].as_str().unwrap(), "{name}");
    }
}

#[test]
fn a_token_explains_itself_in_the_bytes_it_has() {
    for vector in list("signed") {
        let explained = explain(vector["token"].as_str().unwrap()).unwrap();
        let body: Vec<u8> = explained
            .fields
            .iter()
            .flat_map(|field| field.bytes.clone())
            .collect();
        assert_eq!(forge::hex(&body), vector["body_hex"], "{}", vector["name"]);
        let value = |name| {
            explained
                .fields
                .iter()
                .find(|field| field.name == name)
                .unwrap()
        };
        assert_eq!(value("destination").value, vector["link"]["destination"]);
        assert_eq!(value("campaign").value, vector["link"]["campaign"]);
        assert!(explained.fields.iter().all(|field| !field.value.is_empty()));
    }
}

#[test]
fn every_refused_vector_is_refused_for_its_reason() {
    let keyring = keyring();
    let mut buf = TokenBuf::new();
    let mut reasons = Vec::new();
    for vector in list("refused") {
        let now = Millis(vector["now_ms"].as_u64().unwrap());
        let token = vector["token"].as_str().unwrap();
        let error = keyring.verify(token, now, &mut buf).unwrap_err();
        assert_eq!(error.name(), vector["reason"], "{}", vector["name"]);
        let status = match error.refusal() {
            Refusal::Expired => 410,
            Refusal::Forged => 403,
            other => panic!("{other:?} is no answer to a token"),
        };
        assert_eq!(status, vector["status"], "{}", vector["name"]);
        reasons.push(error.name());
    }
    for reason in [
        "malformed",
        "unknown_key",
        "tag",
        "revoked",
        "not_yet_valid",
        "no_longer_valid",
        "scope",
        "limit",
        "destination",
        "expired",
    ] {
        assert!(
            reasons.contains(&reason),
            "no vector is refused as {reason}"
        );
    }
}

#[test]
fn queries_and_nonces_come_out_as_the_vectors_say() {
    let mut extras = Extras::new();
    for vector in list("queries") {
        let query = vector["query"].as_str().unwrap();
        let answer = extras.read(query.as_bytes());
        let refused = answer.err().map(|name| name.0);
        assert_eq!(refused, vector["refused"].as_str(), "{query}");
        if refused.is_none() {
            assert_eq!(cases::kept_json(&extras), vector["kept"], "{query}");
        }
    }
    for vector in list("nonces") {
        let at = Millis(vector["at_ms"].as_u64().unwrap());
        let made = nonce::of_impression(at, vector["id"].as_str().unwrap().as_bytes());
        assert_eq!(made.to_string(), vector["nonce"].as_str().unwrap());
    }
}

#[test]
fn a_typical_link_is_short() {
    let vectors = list("signed");
    let typical = vectors
        .iter()
        .find(|vector| vector["name"] == "typical")
        .unwrap();
    assert_eq!(typical["link"]["destination"].as_str().unwrap().len(), 60);
    let length = "/c/".len() + typical["token"].as_str().unwrap().len();
    assert!(length <= 170, "{length}");
}

/// The second implementation shares nothing with this one but the text of the specification.
#[test]
fn the_python_implementation_agrees() {
    let script = path("check_vectors.py");
    let Ok(answer) = Command::new("python3")
        .arg(&script)
        .arg(path("vectors.json"))
        .output()
    else {
        eprintln!("not run: no python3 to check the vectors with");
        return;
    };
    let said = String::from_utf8_lossy(&answer.stdout);
    let complained = String::from_utf8_lossy(&answer.stderr);
    assert!(answer.status.success(), "{said}{complained}");
    let expected = format!(
        "{} signed, {} refused, {} queries, {} nonces",
        list("signed").len(),
        list("refused").len(),
        list("queries").len(),
        list("nonces").len()
    );
    assert!(said.contains(&expected), "{said}");
}

fn keyring() -> Keyring {
    let mut keyring = Keyring::new();
    for (key, secret, revoked_at) in cases::keys() {
        let number = key.key;
        keyring.insert(key, tollgate_link::Secret::new(secret));
        if let Some(at) = revoked_at {
            assert!(keyring.revoke(number, at));
        }
    }
    keyring
}

fn list(name: &str) -> Vec<Value> {
    let text = std::fs::read_to_string(path("vectors.json")).unwrap();
    let vectors: Value = serde_json::from_str(&text).unwrap();
    let list = vectors[name].as_array().unwrap().clone();
    assert!(!list.is_empty());
    list
}

fn path(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("../../spec")
        .join(name)
}
