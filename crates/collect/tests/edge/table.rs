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
    /// The bytes to send; `token` gives the token that a word stands for.
    pub(crate) fn raw(&self, token: &dyn Fn(&str) -> Option<String>) -> Vec<u8> {
        let mut out = Vec::new();
        let mut rest = self.raw.as_str();
        while let Some((before, after)) = rest.split_once('{') {
            out.extend_from_slice(before.as_bytes());
            let (word, after) = after.split_once('}').unwrap();
            match bytes_of(word) {
                Some(bytes) => out.extend_from_slice(&bytes),
                None => out.extend_from_slice(&stands_for(word, token)),
            }
            rest = after;
        }
        out.extend_from_slice(rest.as_bytes());
        out
    }
}

/// Replaces `{x:..}` and `{repeat:..}` only, since braces are JSON's own.
#[allow(dead_code, reason = "unit and socket tests read different columns")]
pub(crate) fn expand(text: &str) -> Vec<u8> {
    let mut out = Vec::new();
    let mut rest = text;
    while let Some(place) = rest.find('{') {
        let (before, from_brace) = rest.split_at(place);
        out.extend_from_slice(before.as_bytes());
        let word = from_brace[1..].split_once('}').map(|(word, _)| word);
        let bytes = word
            .filter(|word| word.starts_with(['x', 'r']))
            .and_then(bytes_of);
        rest = match (word, bytes) {
            (Some(word), Some(bytes)) => {
                out.extend_from_slice(&bytes);
                &from_brace[word.len() + 2..]
            }
            _ => {
                out.push(b'{');
                &from_brace[1..]
            }
        };
    }
    out.extend_from_slice(rest.as_bytes());
    out
}

fn bytes_of(word: &str) -> Option<Vec<u8>> {
    match word.split_once(':')? {
        ("x", byte) => u8::from_str_radix(byte, 16).ok().map(|byte| vec![byte]),
        ("repeat", what) => {
            let (text, count) = what.rsplit_once(':')?;
            Some(text.repeat(count.parse().ok()?).into_bytes())
        }
        _ => None,
    }
}

fn stands_for(word: &str, token: &dyn Fn(&str) -> Option<String>) -> Vec<u8> {
    let (path, name) = match word {
        "click" => ("/c/", "valid"),
        "pixel" => ("/i/", "valid"),
        "token" => ("", "valid"),
        name => ("", name),
    };
    let token = token(name).unwrap_or_else(|| panic!("{{{word}}} stands for nothing"));
    format!("{path}{token}").into_bytes()
}
