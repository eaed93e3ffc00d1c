//! The data directory of `serve`.
//!
//! | name | what |
//! |---|---|
//! | `tollgate.format` | whose directory this is, and the version of its layout |
//! | `log/` | the log |
//! | `ledger.db` | the books |
//! | `lake/`, `rollup/`, `snapshots/` | what the worker derives from the log |
//! | `control.snapshot` | what stands, see [`crate::control::snapshot`] |
//! | `api.answers` | what writes with an `Idempotency-Key` came to, see [`crate::control::answers`] |
//! | `cursor.key` | the secret of the API's cursors, mode 0600 |
//! | `pseudonym.key` | the secret of pseudonyms, mode 0600 |
//!
//! A directory of another product or of newer code is refused and left as it is.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, bail};
use tollgate_click::PseudonymKeyId;
use tollgate_collect::{PseudonymKey, PseudonymKeys};
use tollgate_store::lake::{LocalObjects, Objects};

const FORMAT_NAME: &str = "tollgate.format";
const FORMAT_WORD: &str = "tollgate data";
const FORMAT_VERSION: u32 = 1;
const PSEUDONYM_NAME: &str = "pseudonym.key";
const CURSOR_NAME: &str = "cursor.key";

/// A data directory that is ours.
#[derive(Clone, Debug)]
pub(crate) struct DataDir {
    path: PathBuf,
}

impl DataDir {
    /// Opens a directory that is there, for reading.
    pub(crate) fn open(path: &Path) -> anyhow::Result<DataDir> {
        let shown = path.display();
        if !path.is_dir() {
            bail!("{shown} is no directory; `tollgate serve --data {shown}` makes one");
        }
        let format = path.join(FORMAT_NAME);
        let text = match read_head(&format) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let found = first_name(path)?.map_or("it is empty".to_owned(), |name| {
                    format!("it holds {name:?} and no {FORMAT_NAME}")
                });
                bail!("{shown} is no data directory of Tollgate: {found}; it is left as it is");
            }
            Err(error) => {
                return Err(error).with_context(|| format!("cannot read {}", format.display()));
            }
        };
        check_format(&text)
            .map_err(|what| anyhow::anyhow!("{shown} {what}; it is left as it is"))?;
        Ok(DataDir {
            path: path.to_owned(),
        })
    }

    /// Opens a directory for writing; one that is absent or empty is made ours.
    pub(crate) fn open_or_create(path: &Path) -> anyhow::Result<DataDir> {
        let cannot_make = || format!("cannot make a data directory at {}", path.display());
        let empty = match fs::exists(path).with_context(cannot_make)? {
            true => path.is_dir() && first_name(path)?.is_none(),
            false => {
                fs::create_dir_all(path).with_context(cannot_make)?;
                true
            }
        };
        if empty {
            let text = format!("{FORMAT_WORD} {FORMAT_VERSION}\n");
            write_new(&path.join(FORMAT_NAME), text.as_bytes(), 0o644).with_context(cannot_make)?;
        }
        DataDir::open(path)
    }

    /// The directory itself.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The log's directory.
    pub(crate) fn log(&self) -> PathBuf {
        self.path.join("log")
    }

    /// The ledger's file.
    pub(crate) fn ledger(&self) -> PathBuf {
        self.path.join("ledger.db")
    }

    /// Where lake, rollups and snapshots are kept.
    pub(crate) fn objects(&self) -> Arc<dyn Objects> {
        Arc::new(LocalObjects::new(&self.path))
    }

    /// Whether a node has the log open at this moment.
    pub(crate) fn is_in_use(&self) -> bool {
        let lock = File::open(self.log().join("LOCK"));
        let shared = rustix::fs::FlockOperation::NonBlockingLockShared;
        lock.is_ok_and(|lock| rustix::fs::flock(&lock, shared).is_err())
    }

    /// The secret of the API's cursors, drawn at the first start. Losing it only means that lists
    /// begin anew.
    pub(crate) fn cursor_secret(&self) -> anyhow::Result<[u8; 32]> {
        self.secret(CURSOR_NAME)
    }

    /// The same for a process that writes nothing: before the first start it is drawn and not kept.
    pub(crate) fn known_cursor_secret(&self) -> anyhow::Result<[u8; 32]> {
        if self.path.join(CURSOR_NAME).exists() {
            return self.cursor_secret();
        }
        let mut secret = [0; 32];
        getrandom::fill(&mut secret).context("cannot draw a secret")?;
        Ok(secret)
    }

    /// A secret that is drawn when it is first needed.
    fn secret<const N: usize>(&self, name: &str) -> anyhow::Result<[u8; N]> {
        let path = self.path.join(name);
        let shown = path.display();
        match fs::read(&path) {
            Ok(bytes) => {
                let secret = bytes.try_into();
                secret.map_err(|_| anyhow::anyhow!("{shown} must hold {N} bytes"))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let mut secret = [0; N];
                getrandom::fill(&mut secret).context("cannot draw a secret")?;
                write_new(&path, &secret, 0o600).with_context(|| format!("cannot make {shown}"))?;
                Ok(secret)
            }
            Err(error) => Err(error).with_context(|| format!("cannot read {shown}")),
        }
    }

    /// The secret of pseudonyms, drawn at the first start. Losing it only means that visitors
    /// before and after are strangers to each other.
    pub(crate) fn pseudonyms(&self) -> anyhow::Result<PseudonymKeys> {
        let secret = self.secret(PSEUDONYM_NAME)?;
        let current = PseudonymKey {
            id: PseudonymKeyId(1),
            secret,
        };
        Ok(PseudonymKeys {
            current,
            previous: None,
        })
    }
}

fn check_format(text: &str) -> Result<(), String> {
    let version = text.trim_end().strip_prefix(FORMAT_WORD).map(str::trim);
    match version.map(str::parse::<u32>) {
        Some(Ok(FORMAT_VERSION)) => Ok(()),
        Some(Ok(version)) if version > FORMAT_VERSION => Err(format!(
            "has data format {version}; this tollgate reads up to {FORMAT_VERSION}, run a newer one"
        )),
        _ => Err(format!(
            "belongs to another product: {FORMAT_NAME} does not say {FORMAT_WORD:?}"
        )),
    }
}

fn read_head(path: &Path) -> io::Result<String> {
    let mut bytes = Vec::new();
    io::Read::read_to_end(&mut io::Read::take(File::open(path)?, 256), &mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// The first name in a directory; `lost+found` of a fresh file system does not count, nor what an
/// interrupted start of ours has left.
fn first_name(path: &Path) -> anyhow::Result<Option<String>> {
    let cannot_list = || format!("cannot list {}", path.display());
    let entries = fs::read_dir(path).with_context(cannot_list)?;
    let mut names = Vec::new();
    for entry in entries {
        names.push(
            entry
                .with_context(cannot_list)?
                .file_name()
                .to_string_lossy()
                .into_owned(),
        );
    }
    names.sort();
    Ok(names
        .into_iter()
        .find(|name| name != "lost+found" && name != "tollgate.new"))
}

/// Writes a file whole or not at all, and makes it durable.
fn write_new(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    let beside = path.with_extension("new");
    let open = || {
        OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(mode)
            .open(&beside)
    };
    let written = open().and_then(|mut file| {
        file.write_all(bytes)?;
        file.sync_all()
    });
    if let Err(error) = written {
        // What is left of it would make the directory look like another product's.
        fs::remove_file(&beside).unwrap_or_default();
        return Err(error);
    }
    fs::rename(&beside, path)?;
    File::open(path.parent().unwrap_or(Path::new(".")))?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(fill: impl Fn(&Path)) -> String {
        let folder = tempfile::tempdir().unwrap();
        fill(folder.path());
        let names = || {
            let entries = fs::read_dir(folder.path()).unwrap();
            entries
                .map(|entry| entry.unwrap().file_name())
                .collect::<Vec<_>>()
        };
        let before = names();
        let told = format!("{:#}", DataDir::open_or_create(folder.path()).unwrap_err());
        assert_eq!(names(), before, "nothing is touched");
        told
    }

    #[test]
    fn a_directory_is_made_once_and_known_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a/b");
        let made = DataDir::open_or_create(&path).unwrap();
        let secret = made.pseudonyms().unwrap().current.secret;
        assert_eq!(
            DataDir::open_or_create(&path)
                .unwrap()
                .pseudonyms()
                .unwrap()
                .current
                .secret,
            secret
        );
        assert!(DataDir::open(&path).is_ok());
        assert!(DataDir::open(folder.path()).is_err());
    }

    #[test]
    fn what_is_not_ours_is_refused_and_left_alone() {
        let told = refusal(|dir| fs::write(dir.join("PG_VERSION"), "17").unwrap());
        assert!(told.contains("\"PG_VERSION\""), "{told}");
        let told = refusal(|dir| fs::write(dir.join(FORMAT_NAME), "something else\n").unwrap());
        assert!(told.contains("another product"), "{told}");
        let told = refusal(|dir| fs::write(dir.join(FORMAT_NAME), "tollgate data 2\n").unwrap());
        assert!(
            told.contains("data format 2; this tollgate reads up to 1"),
            "{told}"
        );
        let told = refusal(|dir| fs::write(dir.join(FORMAT_NAME), [0xff; 4096]).unwrap());
        assert!(told.contains("another product"), "{told}");
    }
}
