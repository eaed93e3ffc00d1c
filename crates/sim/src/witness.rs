//! Reads the files of a log by their documented layout and shares no code with the log: what this
//! finds is what is there, whatever the log believes.
//!
//! | file | what is read |
//! |---|---|
//! | `NNNNNNNNNN.live` | blocks from the front, as long as each is whole and follows the one before |
//! | `NNNNNNNNNN.facts`, `.personal` | see [`sealed`] |
//!
//! A segment that has a successor ends where the successor's start block says that it ended: what
//! stands behind was given up after a failed sync.

mod bytes;
mod live;
mod sealed;

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

/// A record that was found.
#[derive(Clone, Copy, Debug)]
pub struct Seen<'a> {
    /// Its lasting part.
    pub facts: &'a [u8],
    /// The part about a person; none once retention has removed it.
    pub personal: Option<&'a [u8]>,
    /// The partition, 65535 for a broadcast.
    pub partition: u16,
    /// Which run of the writer wrote it.
    pub session: u64,
    /// Its number in session and partition.
    pub sequence: u32,
    /// The segment and the offset of the block that holds it: one commit. Sealing forgets it.
    pub block: Option<(u32, u32)>,
}

/// Why the files are not a whole log.
#[derive(Debug, Error)]
pub enum WitnessError {
    /// The system refused.
    #[error("{path}: {source}")]
    Io {
        /// What was read.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The bytes are not what the layout says.
    #[error("{path} at byte {offset}: {what}")]
    Broken {
        /// Which file.
        path: PathBuf,
        /// Where.
        offset: u64,
        /// What is wrong there.
        what: String,
    },
}

impl WitnessError {
    fn broken(path: &Path, offset: u64, what: impl Into<String>) -> WitnessError {
        WitnessError::Broken {
            path: path.to_owned(),
            offset,
            what: what.into(),
        }
    }
}

/// The click id that a click's facts carry, as 32 hex digits; none for any other record.
pub fn click_id(facts: &[u8]) -> Option<String> {
    let (kind, id) = (facts.first()?, facts.get(2..18)?);
    (*kind == 1).then(|| id.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// Hands over every record of the log in `dir`, segment by segment, and checks that sequences are
/// dense in each session and partition.
pub fn read(dir: &Path, mut visit: impl FnMut(Seen<'_>)) -> Result<(), WitnessError> {
    let segments = segments(dir)?;
    let mut sequences: BTreeMap<(u64, u16), Vec<u32>> = BTreeMap::new();
    for (number, segment) in &segments {
        let end = match segments.get(&(number + 1)) {
            Some(next) => next.previous_end(number + 1)?,
            None => None,
        };
        let mut each = |seen: Seen<'_>| {
            sequences
                .entry((seen.session, seen.partition))
                .or_default()
                .push(seen.sequence);
            visit(seen);
        };
        match segment {
            Segment::Live(path) => live::read(path, *number, end, &mut each)?,
            Segment::Sealed { facts, personal } => {
                sealed::read(facts, personal.as_deref(), &mut each)?;
            }
        }
    }
    check_dense(dir, sequences)
}

enum Segment {
    Live(PathBuf),
    Sealed {
        facts: PathBuf,
        personal: Option<PathBuf>,
    },
}

impl Segment {
    /// Where the segment before this one ended; none if this one was prepared and never begun.
    fn previous_end(&self, number: u32) -> Result<Option<u32>, WitnessError> {
        match self {
            Segment::Live(path) => live::previous_end(path, number),
            Segment::Sealed { facts, .. } => sealed::previous_end(facts).map(Some),
        }
    }
}

fn segments(dir: &Path) -> Result<BTreeMap<u32, Segment>, WitnessError> {
    let io = |source| WitnessError::Io {
        path: dir.to_owned(),
        source,
    };
    let mut segments = BTreeMap::new();
    for entry in fs::read_dir(dir).map_err(io)? {
        let path = entry.map_err(io)?.path();
        let name = path
            .file_name()
            .and_then(|name| name.to_str())
            .unwrap_or_default();
        let Some((number, form)) = name.split_once('.') else {
            continue;
        };
        let Ok(number) = number.parse::<u32>() else {
            continue;
        };
        match form {
            // A crash between sealing and removing leaves both; they hold the same records.
            "live" => drop(segments.entry(number).or_insert(Segment::Live(path))),
            "facts" => {
                let personal = path.with_extension("personal");
                let personal = personal.is_file().then_some(personal);
                segments.insert(
                    number,
                    Segment::Sealed {
                        facts: path,
                        personal,
                    },
                );
            }
            _ => {}
        }
    }
    Ok(segments)
}

/// Sealing sorts by partition, so order is not asked for here; each number must be there once.
fn check_dense(dir: &Path, sequences: BTreeMap<(u64, u16), Vec<u32>>) -> Result<(), WitnessError> {
    for ((session, partition), mut numbers) in sequences {
        numbers.sort_unstable();
        let hole = numbers
            .iter()
            .zip(1u32..)
            .find(|(number, expected)| *number != expected);
        if let Some((number, expected)) = hole {
            let what = format!(
                "session {session:016x}, partition {partition}: sequence {expected} expected, \
                 {number} found"
            );
            return Err(WitnessError::broken(dir, 0, what));
        }
    }
    Ok(())
}
