//! The keys file: signing keys and ingest tokens with their secrets, one JSON object a line.
//!
//! It is read and written with mode 0600 only, and always written whole under another name and
//! then renamed, so that `serve`, which re-reads it when it changes, never sees half of it.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use serde::{Deserialize, Serialize};
use tollgate_click::control::{IngestToken, Scope, SigningKey};
use tollgate_click::limits::KEY_ADVERTISERS_MAX;
use tollgate_click::{AdvertiserId, KeyId, Millis};
use tollgate_link::Secret;

use crate::exit::usage;

/// One line of the file.
#[derive(Clone, Debug, Serialize)]
#[serde(untagged)]
pub(crate) enum Line {
    /// `{"key": ...}`
    Key(KeyLine),
    /// `{"token": ...}`
    Token(TokenLine),
}

/// A key that signs links.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct KeyLine {
    pub(crate) key: u32,
    /// 64 hex digits.
    pub(crate) secret: String,
    pub(crate) advertisers: Advertisers,
    #[serde(default)]
    pub(crate) not_before_ms: u64,
    #[serde(default = "no_end")]
    pub(crate) not_after_ms: u64,
    #[serde(default)]
    pub(crate) revoked: bool,
    #[serde(default)]
    pub(crate) test: bool,
}

/// A token that may send batches.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct TokenLine {
    pub(crate) token: u32,
    /// `tg_` and what follows, as it stands in the `Authorization` header.
    pub(crate) secret: String,
    pub(crate) advertisers: Advertisers,
    #[serde(default = "no_end")]
    pub(crate) not_after_ms: u64,
    #[serde(default)]
    pub(crate) revoked: bool,
}

/// `"all"` or a list of numbers.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(untagged)]
pub(crate) enum Advertisers {
    /// `"all"`
    All(All),
    /// `[7, 8]`
    Only(Vec<u32>),
}

/// The word `all`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum All {
    /// Every advertiser.
    All,
}

fn no_end() -> u64 {
    Millis::MAX.0
}

impl std::fmt::Debug for KeyLine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "KeyLine({}, secret hidden)", self.key)
    }
}

impl std::fmt::Debug for TokenLine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "TokenLine({}, secret hidden)", self.token)
    }
}

/// Reads the whole file. A file that others may read is refused, and so are two keys or two
/// tokens of one number.
pub(crate) fn read(path: &Path) -> anyhow::Result<Vec<Line>> {
    let shown = path.display();
    let file = File::open(path).with_context(|| format!("cannot open {shown}"))?;
    let mode = file
        .metadata()
        .with_context(|| format!("cannot examine {shown}"))?
        .mode();
    if mode & 0o077 != 0 {
        let mode = mode & 0o777;
        return Err(usage(format!(
            "{shown} holds secrets and may be used by others (mode {mode:04o}): chmod 0600 {shown}"
        )));
    }
    let text = io::read_to_string(file).with_context(|| format!("cannot read {shown}"))?;
    parse(&text).map_err(|(line, wrong)| usage(format!("{shown}:{line}: {wrong}")))
}

/// Reads the text of a file; an error is a line number and what is wrong there.
fn parse(text: &str) -> Result<Vec<Line>, (usize, String)> {
    let mut lines: Vec<Line> = Vec::new();
    for (number, text) in (1..).zip(text.lines()) {
        if text.trim().is_empty() {
            continue;
        }
        let line = parse_line(text).map_err(|wrong| (number, wrong))?;
        if lines.iter().any(|earlier| earlier.id() == line.id()) {
            let (kind, id) = line.id();
            return Err((number, format!("{kind} {id} stands there twice")));
        }
        lines.push(line);
    }
    Ok(lines)
}

fn parse_line(text: &str) -> Result<Line, String> {
    let object: serde_json::Value =
        serde_json::from_str(text).map_err(|error| error.to_string())?;
    let line = if object.get("token").is_some() {
        serde_json::from_str(text).map(Line::Token)
    } else {
        serde_json::from_str(text).map(Line::Key)
    };
    let line = line.map_err(|error| error.to_string())?;
    line.check()?;
    Ok(line)
}

/// Writes a file that must not exist yet.
pub(crate) fn create(path: &Path, lines: &[Line]) -> anyhow::Result<()> {
    let mut file = match open_new(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            return Err(usage(format!(
                "{} exists; it is left as it is",
                path.display()
            )));
        }
        opened => opened.with_context(|| format!("cannot create {}", path.display()))?,
    };
    write_all(&mut file, lines).with_context(|| format!("cannot write {}", path.display()))
}

/// Puts new lines in the place of a file's old ones.
pub(crate) fn replace(path: &Path, lines: &[Line]) -> anyhow::Result<()> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.new", std::process::id()));
    let beside = path.with_file_name(name);
    let written = write_and_rename(&beside, path, lines);
    if written.is_err() {
        // What is left over is of no use, and its own removal failing changes nothing.
        drop(std::fs::remove_file(&beside));
    }
    written.with_context(|| format!("cannot write {}", path.display()))
}

fn write_and_rename(beside: &Path, path: &Path, lines: &[Line]) -> anyhow::Result<()> {
    let mut file = open_new(beside)?;
    write_all(&mut file, lines)?;
    std::fs::rename(beside, path)?;
    File::open(folder_of(path))?.sync_all()?;
    Ok(())
}

fn folder_of(path: &Path) -> PathBuf {
    let parent = path
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty());
    parent.unwrap_or(Path::new(".")).to_owned()
}

fn open_new(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
}

fn write_all(file: &mut File, lines: &[Line]) -> anyhow::Result<()> {
    for line in lines {
        writeln!(file, "{}", serde_json::to_string(line)?)?;
    }
    file.sync_all()?;
    Ok(())
}

impl Line {
    fn id(&self) -> (&'static str, u32) {
        match self {
            Line::Key(line) => ("key", line.key),
            Line::Token(line) => ("token", line.token),
        }
    }

    fn check(&self) -> Result<(), String> {
        let (advertisers, secret_is_fine, wanted) = match self {
            Line::Key(line) => {
                let fine = secret_bytes(&line.secret).is_some();
                (&line.advertisers, fine, "64 hex digits")
            }
            Line::Token(line) => {
                let fine = line.secret.len() >= 35 && line.secret.starts_with("tg_");
                (&line.advertisers, fine, "tg_ and at least 32 characters")
            }
        };
        if !secret_is_fine {
            return Err(format!("secret must be {wanted}"));
        }
        match advertisers {
            Advertisers::Only(list) if list.is_empty() || list.len() > KEY_ADVERTISERS_MAX => Err(
                format!("advertisers must be \"all\" or 1 to {KEY_ADVERTISERS_MAX} numbers"),
            ),
            _ => Ok(()),
        }
    }
}

impl Advertisers {
    /// As control records hold it.
    pub(crate) fn scope(&self) -> Scope {
        match self {
            Advertisers::All(All::All) => Scope::All,
            Advertisers::Only(list) => {
                Scope::Only(list.iter().map(|number| AdvertiserId(*number)).collect())
            }
        }
    }
}

impl KeyLine {
    /// As control records hold it; `revoked` is a change of its own.
    pub(crate) fn signing_key(&self) -> SigningKey {
        SigningKey {
            key: KeyId(self.key),
            scope: self.advertisers.scope(),
            not_before: Millis(self.not_before_ms),
            not_after: Millis(self.not_after_ms.min(Millis::MAX.0)),
            test: self.test,
        }
    }

    /// The secret's bytes.
    pub(crate) fn secret_bytes(&self) -> anyhow::Result<[u8; 32]> {
        let bytes = secret_bytes(&self.secret);
        bytes.ok_or_else(|| usage(format!("the secret of key {} is broken", self.key)))
    }

    /// The secret, ready to sign.
    pub(crate) fn secret(&self) -> anyhow::Result<Secret> {
        self.secret_bytes().map(Secret::new)
    }
}

impl TokenLine {
    /// As control records hold it; `revoked` is a change of its own.
    pub(crate) fn ingest_token(&self) -> IngestToken {
        IngestToken {
            token: self.token,
            scope: self.advertisers.scope(),
            not_after: Millis(self.not_after_ms.min(Millis::MAX.0)),
        }
    }
}

fn secret_bytes(hex: &str) -> Option<[u8; 32]> {
    let digits = hex.as_bytes();
    let mut bytes = [0; 32];
    if digits.len() != 64 || !digits.iter().all(u8::is_ascii_hexdigit) {
        return None;
    }
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    fn key(number: u32, more: &str) -> String {
        let secret = "0f".repeat(32);
        format!(r#"{{"key":{number},"secret":"{secret}","advertisers":"all"{more}}}"#)
    }

    #[test]
    fn keys_and_tokens_are_read_with_their_defaults() {
        let token = format!(
            r#"{{"token":1,"secret":"tg_{}","advertisers":[7,8]}}"#,
            "x".repeat(43)
        );
        let text = format!("{}\n\n{token}\n", key(1, ""));
        let lines = parse(&text).unwrap();
        let [Line::Key(key), Line::Token(token)] = &lines[..] else {
            panic!("{lines:?}");
        };
        assert_eq!(key.signing_key().scope, Scope::All);
        assert_eq!(key.signing_key().not_after, Millis::MAX);
        assert_eq!(key.secret_bytes().unwrap(), [15; 32]);
        assert_eq!(
            token.ingest_token().scope,
            Scope::Only(vec![AdvertiserId(7), AdvertiserId(8)])
        );
        assert!(
            !format!("{lines:?}").contains("0f0f"),
            "secrets are not shown"
        );
    }

    #[test]
    fn a_wrong_line_is_named() {
        for (line, part) in [
            (key(1, ""), "key 1 stands there twice"),
            (key(2, r#","sceret":1"#), "unknown field `sceret`"),
            (key(2, "").replace("0f0f", "0f0"), "64 hex digits"),
            (key(2, "").replace("0f", "+f"), "64 hex digits"),
            (key(2, "").replace(r#""all""#, "[]"), "1 to 512 numbers"),
            (key(2, "").replace(r#""all""#, r#""some""#), "line 1 column"),
            (
                r#"{"token":1,"secret":"short","advertisers":"all"}"#.to_owned(),
                "tg_ and",
            ),
            ("{".to_owned(), "EOF"),
            ("[]".to_owned(), "invalid"),
        ] {
            let text = format!("{}\n{line}", key(1, ""));
            let (number, wrong) = parse(&text).unwrap_err();
            assert_eq!(number, 2, "{line}");
            assert!(wrong.contains(part), "{line}: {wrong}");
        }
    }

    #[test]
    fn a_file_is_private_and_replaced_whole() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys");
        let lines = parse(&key(1, "")).unwrap();
        create(&path, &lines).unwrap();
        let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&path), 0o600);
        assert!(create(&path, &[]).is_err(), "never written over");
        assert_eq!(read(&path).unwrap().len(), 1);

        replace(&path, &parse(&[key(1, ""), key(2, "")].join("\n")).unwrap()).unwrap();
        assert_eq!(mode(&path), 0o600);
        assert_eq!(read(&path).unwrap().len(), 2);
        assert_eq!(
            std::fs::read_dir(folder.path()).unwrap().count(),
            1,
            "nothing left over"
        );

        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
        let error = read(&path).unwrap_err();
        assert!(error.to_string().contains("chmod 0600"), "{error}");
    }
}
