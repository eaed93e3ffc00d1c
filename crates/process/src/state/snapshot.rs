//! The state of a partition as parts: what recovery starts from.
//!
//! The used nonces lie in parts of their own ([`super::nonces`]), all else in the part `state`,
//! which names the others by their hashes. So its hash is the hash of the whole state.
//!
//! The part `state`, version 1, little-endian; values as in [`super::kept`]:
//!
//! | bytes | field |
//! |---|---|
//! | 8 | `TOLLSTAT` |
//! | 4 | version: 1 |
//! | | the fields of [`State`] in the order of `kept_state`, nonces as their directory |
//! | 32 | SHA-256 of all before |
//!
//! Code of version N reads N and N − 1 (there is no version 0) and writes N; another version is
//! refused by number. A part that is cut, altered, missing or too many is refused by name.

use std::collections::{BTreeMap, BTreeSet};

use sha2::{Digest, Sha256};
use thiserror::Error;
use tollgate_click::codec::{DecodeError, Reader};

use super::State;
use super::kept::Kept;
use super::nonces::{NonceDirectory, NonceHours, Piece, part_name};

const STATE: &str = "state";
const MAGIC: [u8; 8] = *b"TOLLSTAT";
const VERSION: u32 = 1;

/// One part of a snapshot.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Part {
    /// Its name: `state`, or a name that carries the hash of its bytes.
    pub name: String,
    /// SHA-256 of its bytes.
    pub hash: [u8; 32],
    /// What it holds.
    pub bytes: PartBytes,
}

/// What a part holds.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum PartBytes {
    /// These bytes.
    New(Vec<u8>),
    /// What was stored under this name before: see [`State::release`].
    Stored,
}

/// Why a state cannot be read.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
#[error("snapshot part {part}, byte {offset}: {why}")]
pub struct BadSnapshot {
    /// The part's name.
    pub part: String,
    /// Where in the part.
    pub offset: usize,
    /// What is wrong.
    pub why: BadPart,
}

/// What is wrong with a part.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
pub enum BadPart {
    /// It was not given.
    #[error("the part is missing")]
    Missing,
    /// Nothing names it.
    #[error("the part belongs to no state given here")]
    Unknown,
    /// Its bytes are not those that were written.
    #[error("the part is damaged: its hash is not the one written")]
    Hash,
    /// It was written by code of another time.
    #[error("version {0} is not read by this version (it reads {VERSION})")]
    Version(u32),
    /// A field cannot be read.
    #[error(transparent)]
    Field(#[from] DecodeError),
}

impl State {
    /// The state's parts, each encoded when it is asked for, `state` last. A copy of the state
    /// costs little, so the worker takes one and goes on while another thread walks this.
    pub fn parts(&self) -> impl Iterator<Item = Part> {
        let mut directories = [NonceDirectory::default(), NonceDirectory::default()];
        let clicked = self.clicked.pieces().map(|piece| (0, piece));
        let shown = self.shown.pieces().map(|piece| (1, piece));
        let mut pieces = clicked.chain(shown);
        let mut told = BTreeSet::new();
        std::iter::from_fn(move || {
            for (table, (piece, noted)) in pieces.by_ref() {
                if let Some(directory) = directories.get_mut::<usize>(table) {
                    directory.add(noted);
                }
                if told.insert(piece.name.clone()) {
                    return Some(Part::of(piece));
                }
            }
            let last = told.insert(STATE.to_owned());
            last.then(|| self.part(&directories))
        })
    }

    /// The state that has these parts, in any order.
    ///
    /// # Errors
    ///
    /// [`BadSnapshot`] when any of them is not as it was written.
    pub fn from_parts(
        parts: impl IntoIterator<Item = (String, Vec<u8>)>,
    ) -> Result<State, BadSnapshot> {
        let mut parts: BTreeMap<String, Vec<u8>> = parts.into_iter().collect();
        let bytes = parts.remove(STATE);
        let bytes = bytes.ok_or_else(|| bad(STATE, 0, BadPart::Missing))?;
        let (mut state, directories) = read_part(&bytes)?;
        let mut known = BTreeSet::new();
        for (table, directory) in [&mut state.clicked, &mut state.shown]
            .into_iter()
            .zip(&directories)
        {
            directory.read(table, &parts)?;
            known.extend(directory.names());
        }
        match parts.keys().find(|name| !known.contains(*name)) {
            Some(unknown) => Err(bad(unknown, 0, BadPart::Unknown)),
            None => Ok(state),
        }
    }

    /// One number for the whole state: equal states, and only they, have equal hashes. It costs
    /// as much as a snapshot.
    pub fn hash(&self) -> [u8; 32] {
        self.parts().last().map_or([0; 32], |part| part.hash)
    }

    fn part(&self, directories: &[NonceDirectory; 2]) -> Part {
        let mut bytes = [MAGIC.as_slice(), &VERSION.to_le_bytes()].concat();
        put_state(self, directories, &mut bytes);
        let sum = Sha256::digest(&bytes);
        bytes.extend_from_slice(&sum);
        Part {
            name: STATE.to_owned(),
            hash: Sha256::digest(&bytes).into(),
            bytes: PartBytes::New(bytes),
        }
    }
}

impl Part {
    fn of(piece: Piece) -> Part {
        Part {
            name: piece.name,
            hash: piece.hash,
            bytes: piece.bytes.map_or(PartBytes::Stored, PartBytes::New),
        }
    }
}

impl NonceDirectory {
    fn add(&mut self, other: NonceDirectory) {
        self.chunks.extend(other.chunks);
        self.runs.extend(other.runs);
    }

    /// Each part's name, hash and whether it is a run.
    fn entries(&self) -> impl Iterator<Item = (String, [u8; 32], bool)> {
        let chunks = self
            .chunks
            .iter()
            .map(|hash| (part_name(0, *hash), *hash, false));
        let run = |(hour, hash): &(u64, [u8; 32])| (part_name(*hour, *hash), *hash, true);
        chunks.chain(self.runs.iter().map(run))
    }

    fn names(&self) -> impl Iterator<Item = String> {
        self.entries().map(|(name, ..)| name)
    }

    fn read(
        &self,
        nonces: &mut NonceHours,
        parts: &BTreeMap<String, Vec<u8>>,
    ) -> Result<(), BadSnapshot> {
        for (name, hash, is_run) in self.entries() {
            let bytes = parts
                .get(&name)
                .ok_or_else(|| bad(&name, 0, BadPart::Missing))?;
            if hash != <[u8; 32]>::from(Sha256::digest(bytes)) {
                return Err(bad(&name, bytes.len(), BadPart::Hash));
            }
            let mut reader = Reader::new(bytes);
            let taken = if is_run {
                nonces.take_run(&mut reader)
            } else {
                nonces.take_chunk(&mut reader)
            };
            taken.map_err(|error| bad(&name, bytes.len() - left(reader), error.into()))?;
        }
        Ok(())
    }
}

fn bad(part: &str, offset: usize, why: BadPart) -> BadSnapshot {
    let part = part.to_owned();
    BadSnapshot { part, offset, why }
}

/// Bytes that were not read yet.
fn left(reader: Reader<'_>) -> usize {
    match reader.finish() {
        Err(DecodeError::Trailing(bytes)) => bytes,
        _ => 0,
    }
}

fn read_part(bytes: &[u8]) -> Result<(State, [NonceDirectory; 2]), BadSnapshot> {
    let damaged = || bad(STATE, bytes.len(), BadPart::Hash);
    let (body, sum) = bytes.split_last_chunk::<32>().ok_or_else(damaged)?;
    if *sum != <[u8; 32]>::from(Sha256::digest(body)) {
        return Err(damaged());
    }
    let mut reader = Reader::new(body);
    let taken = read_body(&mut reader);
    taken.map_err(|why| bad(STATE, body.len() - left(reader), why))
}

fn read_body(reader: &mut Reader<'_>) -> Result<(State, [NonceDirectory; 2]), BadPart> {
    if reader.array("the first bytes")? != MAGIC {
        return Err(DecodeError::Invalid("the first bytes").into());
    }
    match u32::from_le_bytes(reader.array("the version")?) {
        VERSION => {}
        other => return Err(BadPart::Version(other)),
    }
    let read = take_state(reader)?;
    reader.finish()?;
    Ok(read)
}

/// The fields of the state in the order in which they are written, once for both directions. A
/// field that is missing here does not compile.
macro_rules! kept_state {
    ($($field:ident),+ ; $($nonces:ident),+ $(; not $derived:ident)*) => {
        fn put_state(state: &State, directories: &[NonceDirectory; 2], out: &mut Vec<u8>) {
            let State { $($field,)+ $($nonces: _,)+ $($derived: _,)* } = state;
            $($field.put(out);)+
            directories.iter().for_each(|directory| directory.put(out));
        }

        fn take_state(
            reader: &mut Reader<'_>,
        ) -> Result<(State, [NonceDirectory; 2]), DecodeError> {
            let state = State {
                $($field: Kept::take(reader)?,)+
                $($nonces: NonceHours::default(),)+
                $($derived: Default::default(),)*
            };
            Ok((state, [Kept::take(reader)?, Kept::take(reader)?]))
        }
    };
}

kept_state!(
    partition, version, ordinal, epoch, clock, changes, sessions, keys, accounts, campaigns,
    publishers, commands, marks, recent, counts, opened; clicked, shown
);

#[cfg(test)]
mod tests;
