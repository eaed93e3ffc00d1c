//! `tollgate keys` and `tollgate link` as a user calls them.

#![allow(
    clippy::expect_used,
    reason = "a helper of a test that panics is a test that fails"
)]

use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

fn tollgate(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tollgate"));
    let output = command.args(arguments).output();
    output.expect("the binary runs")
}

/// Standard output of a call that must end with that exit code.
fn said(code: i32, arguments: &[&str]) -> String {
    let output = tollgate(arguments);
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert_eq!(
        output.status.code(),
        Some(code),
        "{arguments:?}: {complaint}"
    );
    String::from_utf8(output.stdout).expect("text")
}

fn json(code: i32, arguments: &[&str]) -> Value {
    let text = said(code, &[arguments, &["--json"]].concat());
    serde_json::from_str(&text).expect("one JSON object")
}

fn complaint(code: i32, arguments: &[&str]) -> String {
    let output = tollgate(arguments);
    assert_eq!(output.status.code(), Some(code), "{arguments:?}");
    assert_eq!(output.stdout, b"", "{arguments:?}");
    String::from_utf8(output.stderr).expect("text")
}

fn sign<'a>(keys: &'a str, destination: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    let mut arguments = vec!["link", "sign", "--keys", keys, "--advertiser", "7"];
    arguments.extend(["--campaign", "1", "--destination", destination]);
    arguments.extend(more);
    arguments
}

#[test]
fn a_link_is_signed_verified_explained_and_its_key_revoked() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("keys");
    let keys = path.to_str().expect("text");
    assert_eq!(
        json(0, &["keys", "generate", keys])["keys"][0]["state"],
        "live"
    );
    said(2, &["keys", "generate", keys]);

    let url = said(
        0,
        &sign(
            keys,
            "https://example.com/?c={click_id}",
            &["--window", "1h"],
        ),
    );
    let url = url.trim_end();
    assert!(url.starts_with("http://localhost:8080/c/"), "{url}");
    let opened = json(0, &["link", "verify", url, "--keys", keys]);
    assert_eq!(opened["opens"], true);
    assert_eq!(opened["destination"], "https://example.com/?c={click_id}");

    let explained = json(0, &["link", "explain", url]);
    assert_eq!(explained["verified"], false);
    let fields = explained["fields"].as_array().expect("fields");
    let window = fields
        .iter()
        .find(|field| field["name"] == "window")
        .expect("a window");
    assert_eq!(
        (&window["value"], &window["bytes"]),
        (&"3600 s".into(), &"901c".into())
    );
    assert!(said(0, &["link", "explain", url]).starts_with("not verified"));

    // One letter of the token, and a parameter that only a signature may set.
    let other = if url.ends_with('A') { "Q" } else { "A" };
    let altered = format!("{}{other}", &url[..url.len() - 1]);
    let refused = json(1, &["link", "verify", &altered, "--keys", keys]);
    assert_eq!(
        (&refused["opens"], &refused["status"]),
        (&false.into(), &403.into())
    );
    let priced = format!("{url}?price=0");
    let refused = json(1, &["link", "verify", &priced, "--keys", keys]);
    assert_eq!(refused["reason"], "signed_name");
    let late = json(
        1,
        &[
            "link",
            "verify",
            url,
            "--keys",
            keys,
            "--at-ms",
            "99999999999999",
        ],
    );
    assert_eq!(late["status"], 410);

    assert!(complaint(2, &["keys", "revoke", keys, "--key", "1"]).contains("--yes"));
    said(0, &["keys", "revoke", keys, "--key", "1", "--yes"]);
    let refused = json(1, &["link", "verify", url, "--keys", keys]);
    assert_eq!(refused["reason"], "revoked");
    let nobody = complaint(2, &sign(keys, "https://example.com/", &[]));
    assert!(nobody.contains("no live key"), "{nobody}");
}

#[test]
fn keys_rotate_and_secrets_stay_in_the_file() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("keys");
    let keys = path.to_str().expect("text");
    said(
        0,
        &[
            "keys",
            "generate",
            keys,
            "--advertisers",
            "7,8",
            "--key",
            "41",
        ],
    );
    let old = said(0, &sign(keys, "https://example.com/", &[]));
    let rotated = json(0, &["keys", "rotate", keys, "--old-valid", "31d"]);
    assert_eq!(rotated["keys"][1]["number"], 42);
    assert_eq!(rotated["keys"][1]["advertisers"], serde_json::json!([7, 8]));
    let new = json(0, &sign(keys, "https://example.com/", &[]));
    assert_eq!(new["key"], 42, "the newest key signs");
    said(0, &["link", "verify", old.trim_end(), "--keys", keys]);

    let token = json(0, &["keys", "token", keys, "--valid", "90d"]);
    assert!(token["secret"].as_str().expect("text").starts_with("tg_"));
    let listed = said(0, &["keys", "list", keys]);
    for line in std::fs::read_to_string(&path).expect("the file").lines() {
        let line: Value = serde_json::from_str(line).expect("an object a line");
        let secret = line["secret"].as_str().expect("a secret");
        assert!(!listed.contains(secret) && !rotated.to_string().contains(secret));
    }
    said(0, &["keys", "revoke", keys, "--token", "1", "--yes"]);
    assert!(said(0, &["keys", "list", keys]).contains("revoked"));
}

#[test]
fn what_cannot_be_signed_is_refused_with_its_reason() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("keys");
    let keys = path.to_str().expect("text");
    said(0, &["keys", "generate", keys]);
    for (destination, more, part) in [
        ("javascript:alert(1)", &[][..], "never allowed"),
        ("https://a@b.example/", &[], "user info"),
        ("http://127.0.0.1/", &[], "not public"),
        ("https://example.com/a b", &[], "percent-encoded"),
        ("ftp://example.com/", &[], "not listed"),
        (
            "https://example.com/",
            &["--scheme", "data"],
            "never allowed",
        ),
        ("https://example.com/", &["--window", "24"], "such as 24h"),
        (
            "https://example.com/",
            &["--window", "31d"],
            "billing window",
        ),
        (
            "https://example.com/",
            &["--expires", "401d"],
            "hard expiry",
        ),
        ("https://example.com/", &["--escaping", "3"], "0..=2"),
        ("https://example.com/", &["--price-micros=-1"], "-1"),
        ("https://example.com/", &["--key", "9"], "no key 9"),
        ("https://example.com/{lpurl}", &[], "lpurl"),
        ("https://example.com/", &["--nonce", "42"], "no UUIDv7"),
    ] {
        let said = complaint(2, &sign(keys, destination, more));
        assert!(said.contains(part), "{destination} {more:?}: {said}");
    }
    let signed = json(0, &sign(keys, "https://example.com/a b", &["--normalise"]));
    assert_eq!(signed["destination"], "https://example.com/a%20b");
    said(0, &sign(keys, "http://127.0.0.1/", &["--private-hosts"]));

    said(1, &["link", "verify", "nonsense", "--keys", keys]);
    said(1, &["link", "explain", "nonsense"]);
    let missing = Path::new(keys).with_extension("missing");
    let missing = missing.to_str().expect("text");
    assert!(complaint(3, &["link", "verify", "x", "--keys", missing]).contains("cannot open"));
    complaint(2, &["link", "verify", "x"]);
}

#[test]
fn a_link_keeps_to_the_configuration_of_the_edge() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name).to_str().expect("text").to_owned();
    let (keys, config) = (path("keys"), path("tollgate.toml"));
    said(0, &["keys", "generate", &keys]);
    let text = "[link]\nwindow = \"2h\"\nwindow_max = \"4h\"\nexpiry = \"3d\"\n";
    std::fs::write(&config, text).expect("a file");
    let destination = "https://example.com/";
    let long = &["--config", &config, "--window", "5h"];
    let refused = complaint(2, &sign(&keys, destination, long));
    assert!(
        refused.contains("window_max") && refused.contains("14400 s"),
        "{refused}"
    );
    said(0, &sign(&keys, destination, &["--window", "5h"]));

    let most = &["--config", &config, "--window", "4h"];
    said(0, &sign(&keys, destination, most));
    let url = said(0, &sign(&keys, destination, &["--config", &config]));
    let explained = json(0, &["link", "explain", url.trim_end()]);
    let fields = explained["fields"].as_array().expect("fields");
    let window = fields.iter().find(|field| field["name"] == "window");
    let window = window.expect("a window")["value"].to_string();
    assert!(window.contains("7200") || window.contains("2h"), "{window}");
}
