//! Nonces as parts of a snapshot.
//!
//! All that lies in young tables is cut into chunks of 2^20 keys, hour after hour and in the
//! hour by [`order`], so equal tables give equal chunks and an old chunk that has not changed has
//! the name that it had. Each run of an old hour is a part of its own, written once.
//!
//! A chunk, version 1, little-endian:
//!
//! | bytes | field |
//! |---|---|
//! | 8 | `TOLLNONC` |
//! | 4 | version: 1 |
//! | | for each hour, in order: |
//! | 8 | hour since 1970 |
//! | 8 | number of keys |
//! | 16 each | keys by the hash's order |
//!
//! A run, version 1: `TOLLOLDN`, version (4), hour (8), number of keys (8), the keys; so key
//! number `n` lies at 28 + 16 n.

use sha2::{Digest, Sha256};
use tollgate_click::codec::{DecodeError, Reader};

use super::old::{HEADER_BYTES, header};
use super::{KeyPlace, NonceHours, Old};
use crate::state::kept::kept;

const MAGIC: [u8; 8] = *b"TOLLNONC";
const VERSION: u32 = 1;
const KEY_BYTES: usize = 16;

/// Keys in a chunk: 16 MiB.
const CHUNK_KEYS: usize = 1 << 20;

/// Which parts hold a table's nonces, in their order.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub(crate) struct NonceDirectory {
    /// SHA-256 of the chunks.
    pub(crate) chunks: Vec<[u8; 32]>,
    /// Hour and SHA-256 of the runs.
    pub(crate) runs: Vec<(u64, [u8; 32])>,
}

kept!(NonceDirectory { chunks, runs });

/// One part.
pub(crate) struct Piece {
    pub(crate) name: String,
    pub(crate) hash: [u8; 32],
    /// None when the worker has it.
    pub(crate) bytes: Option<Vec<u8>>,
}

/// The name of a run's part, or of a chunk when its hour is 0.
pub(crate) fn part_name(hour: u64, hash: [u8; 32]) -> String {
    let hex: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
    match hour {
        0 => format!("nonces-{hex}"),
        hour => format!("nonces-old-{hour}-{hex}"),
    }
}

impl NonceHours {
    /// The parts, encoded as they are asked for, and where each is noted.
    pub(crate) fn pieces(&self) -> impl Iterator<Item = (Piece, NonceDirectory)> {
        let runs = self.hours.iter().flat_map(|(hour, tables)| {
            let olds = tables.old.iter();
            olds.map(|old| (old.piece(*hour), (*hour, old.run.hash())))
        });
        let runs = runs.map(|(piece, run)| {
            let noted = NonceDirectory {
                chunks: Vec::new(),
                runs: vec![run],
            };
            (piece, noted)
        });
        let chunks = self.chunks().map(|bytes| {
            let hash: [u8; 32] = Sha256::digest(&bytes).into();
            let piece = Piece {
                name: part_name(0, hash),
                hash,
                bytes: Some(bytes),
            };
            (
                piece,
                NonceDirectory {
                    chunks: vec![hash],
                    runs: Vec::new(),
                },
            )
        });
        runs.chain(chunks)
    }

    fn chunks(&self) -> impl Iterator<Item = Vec<u8>> {
        let all = self.hours.iter();
        let keys = all.flat_map(|(hour, tables)| tables.young.sorted().map(|key| (*hour, key)));
        let mut keys = keys.peekable();
        std::iter::from_fn(move || {
            keys.peek()?;
            let mut chunk = Chunk::new();
            keys.by_ref()
                .take(CHUNK_KEYS)
                .for_each(|(hour, key)| chunk.push(hour, key));
            Some(chunk.finish())
        })
    }

    /// Adds the keys of a chunk.
    pub(crate) fn take_chunk(&mut self, reader: &mut Reader<'_>) -> Result<(), DecodeError> {
        check_head(reader, MAGIC)?;
        while reader.finish().is_err() {
            let hour = reader.u64("an hour")?;
            let young = &mut self.hours.entry(hour).or_default().young;
            for _ in 0..reader.u64("a number of nonces")? {
                let key = u128::from_le_bytes(reader.array("a nonce")?);
                if !young.insert(key) {
                    return Err(DecodeError::Invalid("a nonce that stands twice"));
                }
            }
        }
        Ok(())
    }

    /// Adds a run.
    pub(crate) fn take_run(&mut self, reader: &mut Reader<'_>) -> Result<(), DecodeError> {
        check_head(reader, *b"TOLLOLDN")?;
        let hour = reader.u64("an hour")?;
        let mut keys = Vec::new();
        for _ in 0..reader.u64("a number of nonces")? {
            keys.push(u128::from_le_bytes(reader.array("a nonce")?));
        }
        reader.finish()?;
        let tables = self.hours.entry(hour).or_default();
        tables.old.push(Old::new(hour, keys.into()));
        Ok(())
    }

    /// Name and offset of the 16 bytes that answer for a place.
    pub(crate) fn located(&self, place: KeyPlace) -> Option<(String, u64)> {
        let old = self.hours.get(&place.hour)?.old.get(place.run)?;
        let offset = HEADER_BYTES + place.place * KEY_BYTES;
        Some((part_name(place.hour, old.run.hash()), offset as u64))
    }
}

impl Old {
    fn piece(&self, hour: u64) -> Piece {
        let hash = self.run.hash();
        let bytes = self.keys.as_ref().map(|keys| {
            let mut bytes = Vec::with_capacity(HEADER_BYTES + keys.len() * KEY_BYTES);
            bytes.extend_from_slice(&header(hour, keys.len()));
            keys.iter()
                .for_each(|key| bytes.extend_from_slice(&key.to_le_bytes()));
            bytes
        });
        Piece {
            name: part_name(hour, hash),
            hash,
            bytes,
        }
    }
}

fn check_head(reader: &mut Reader<'_>, magic: [u8; 8]) -> Result<(), DecodeError> {
    if reader.array("the first bytes")? != magic {
        return Err(DecodeError::Invalid("the first bytes"));
    }
    match u32::from_le_bytes(reader.array("the version")?) {
        VERSION => Ok(()),
        _ => Err(DecodeError::Invalid("the version, of newer code")),
    }
}

/// A chunk that is being written.
struct Chunk {
    bytes: Vec<u8>,
    hour: Option<u64>,
    /// Keys of the hour, and the place of their number.
    keys: u64,
    number_at: usize,
}

impl Chunk {
    fn new() -> Chunk {
        let bytes = [MAGIC.as_slice(), &VERSION.to_le_bytes()].concat();
        Chunk {
            bytes,
            hour: None,
            keys: 0,
            number_at: 0,
        }
    }

    fn push(&mut self, hour: u64, key: u128) {
        if self.hour != Some(hour) {
            self.end_hour();
            self.hour = Some(hour);
            self.bytes.extend_from_slice(&hour.to_le_bytes());
            self.number_at = self.bytes.len();
            self.bytes.extend_from_slice(&[0; 8]);
        }
        self.keys += 1;
        self.bytes.extend_from_slice(&key.to_le_bytes());
    }

    fn end_hour(&mut self) {
        let number = self.bytes.get_mut(self.number_at..self.number_at + 8);
        if let Some(number) = number.filter(|_| self.hour.is_some()) {
            number.copy_from_slice(&self.keys.to_le_bytes());
        }
        self.keys = 0;
    }

    fn finish(mut self) -> Vec<u8> {
        self.end_hour();
        self.bytes
    }
}
