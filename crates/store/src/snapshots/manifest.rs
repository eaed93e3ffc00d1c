//! The list of a snapshot's parts, as text with a checksum.
//!
//! ```text
//! tollgate-snapshot 1
//! partition 3
//! ordinal 1999
//! apply 1
//! cursor 0100000000000000
//! part e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855 0 state
//! end 5f3c81aa
//! ```
//!
//! A part's line has SHA-256, length in bytes and name. The last line is the CRC32C of all before
//! it; the hashes cover the parts.

use std::str::FromStr;

use tollgate_click::{Ordinal, PartitionId};

use super::{Part, Snapshot, SnapshotError, corrupt};

const VERSION: u32 = 1;
const HEAD: &str = "tollgate-snapshot ";

pub(super) fn text(snapshot: &Snapshot) -> String {
    let mut text = format!(
        "{HEAD}{VERSION}\npartition {}\nordinal {}\napply {}\ncursor {}\n",
        snapshot.partition,
        snapshot.ordinal,
        snapshot.apply,
        hex(&snapshot.cursor),
    );
    for Part { name, hash, len } in &snapshot.parts {
        text.push_str(&format!("part {} {len} {name}\n", hex(hash)));
    }
    let sum = crc32c::crc32c(text.as_bytes());
    text.push_str(&format!("end {sum:08x}\n"));
    text
}

pub(super) fn parse(name: &str, bytes: &[u8]) -> Result<Snapshot, SnapshotError> {
    let text = std::str::from_utf8(bytes).map_err(|_| corrupt(name, "it is no text"))?;
    let body = text.rsplit_once("\nend ").and_then(|(body, end)| {
        let body = text.get(..=body.len())?;
        (end == format!("{:08x}\n", crc32c::crc32c(body.as_bytes()))).then_some(body)
    });
    let body = body.ok_or_else(|| corrupt(name, "its checksum does not fit"))?;
    let mut lines = body.lines();
    let version = lines
        .next()
        .and_then(|line| line.strip_prefix(HEAD)?.parse().ok());
    match version {
        Some(VERSION) => snapshot(lines).ok_or_else(|| corrupt(name, "a line is broken")),
        Some(version) if version > VERSION => {
            let name = name.to_owned();
            Err(SnapshotError::NewerCode { name, version })
        }
        _ => Err(corrupt(name, "it is no snapshot")),
    }
}

fn snapshot<'a>(mut lines: impl Iterator<Item = &'a str>) -> Option<Snapshot> {
    Some(Snapshot {
        partition: PartitionId::new(value(lines.next(), "partition ")?).ok()?,
        ordinal: Ordinal(value(lines.next(), "ordinal ")?),
        apply: value(lines.next(), "apply ")?,
        cursor: unhex(lines.next()?.strip_prefix("cursor ")?)?,
        parts: lines.map(part).collect::<Option<_>>()?,
    })
}

fn part(line: &str) -> Option<Part> {
    let mut words = line.strip_prefix("part ")?.splitn(3, ' ');
    Some(Part {
        hash: unhex(words.next()?)?.try_into().ok()?,
        len: words.next()?.parse().ok()?,
        name: words.next()?.to_owned(),
    })
}

fn value<T: FromStr>(line: Option<&str>, key: &str) -> Option<T> {
    line?.strip_prefix(key)?.parse().ok()
}

/// Lower-case hexadecimal digits.
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let pairs = text.as_bytes().chunks(2).map(|pair| {
        let pair = std::str::from_utf8(pair)
            .ok()
            .filter(|pair| pair.len() == 2)?;
        u8::from_str_radix(pair, 16).ok()
    });
    pairs.collect()
}
