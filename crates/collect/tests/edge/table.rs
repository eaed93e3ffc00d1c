//! The tables of requests under `tests/data`, as their README tells.

use serde::Deserialize;

#[derive(Deserialize)]
struct Table {
    row: Vec<Row>,
}

/// One request and what it gets.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(dead_code, reason = "unit and socket tests read different columns")]
pub(crate) struct Row {
    pub(crate) name: String,
    raw: String,
    pub(crate) head: Option<String>,
    pub(crate) status: u16,
    pub(crate) refused: String,
    #[serde(default)]
    pub(crate) closes: bool,
    /// Names of headers that the answer has, with their values; an empty value means any.
    #[serde(default)]
    pub(crate) headers: Vec<(String, String)>,
}

/// The rows of a table.
pub(crate) fn rows(text: &str) -> Vec<Row> {
    let table: Table = toml::from_str(text).unwrap();
    table.row
}

impl Row {
    /// The bytes to send, with `token` as the valid one.
    pub(crate) fn raw_with(&self, token: &str) -> Vec<u8> {
        let mut out = Vec::new();
        let mut rest = self.raw.as_str();
        while let Some((before, after)) = rest.split_once('{') {
            out.extend_from_slice(before.as_bytes());
            let (word, after) = after.split_once('}').unwrap();
            out.extend_from_slice(&stands_for(word, token));
            rest = after;
        }
        out.extend_from_slice(rest.as_bytes());
        out
    }
}

fn stands_for(word: &str, token: &str) -> Vec<u8> {
    match word.split_once(':') {
        None if word == "click" => format!("/c/{token}").into_bytes(),
        None if word == "pixel" => format!("/i/{token}").into_bytes(),
        None if word == "token" => token.into(),
        Some(("x", byte)) => vec![u8::from_str_radix(byte, 16).unwrap()],
        Some(("repeat", what)) => {
            let (text, count) = what.rsplit_once(':').unwrap();
            text.repeat(count.parse().unwrap()).into_bytes()
        }
        _ => panic!("{{{word}}} stands for nothing"),
    }
}
