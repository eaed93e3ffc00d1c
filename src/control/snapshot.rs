//! `control.snapshot`: what stands, as of a place in the control partition, so that a start need
//! not read the log from its beginning. It holds secrets, so its mode is 0600.
//!
//! | bytes | field |
//! |---|---|
//! | 8 | `TGCTRL\x00` and the version, 1 |
//! | 8, 8 | the cursor: incarnation, position, little-endian |
//! | varints | last tick: 0, or 1 with epoch and time |
//! | varints | newest change; targets: count, then each as advertiser + 1 (0 for all) and number |
//! | 2 strings each | changes that make what stands: count, then facts and second part of each |
//! | 32 | SHA-256 of all before |
//!
//! It is written beside, synced and renamed, so that it is there whole or not at all. One that is
//! damaged is not used: the log is read from its start instead.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use sha2::{Digest, Sha256};
use tollgate_click::codec::{DecodeError, Reader, put_bytes, put_varint};
use tollgate_click::limits::RECORD_PART_BYTES_MAX;
use tollgate_click::record::Tick;
use tollgate_click::{Actor, AdvertiserId, Change, Control, ControlNumber, Millis, Record};
use tollgate_log::Cursor;

use tollgate_query::standing::{Numbering, Standing};

const MAGIC: &[u8; 8] = b"TGCTRL\x00\x01";
const NAME: &str = "control.snapshot";

/// What stands, and where in the log that is.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Snapshot {
    pub(crate) cursor: Cursor,
    pub(crate) last_tick: Option<Tick>,
    pub(crate) standing: Standing,
}

/// The snapshot of a data directory; none when there is none or it is damaged.
pub(crate) fn load(dir: &Path) -> io::Result<Option<Snapshot>> {
    let bytes = match fs::read(dir.join(NAME)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        read => read?,
    };
    let snapshot = decode(&bytes);
    if let Err(error) = &snapshot {
        tracing::warn!(%error, "{NAME} is damaged and not used; the log is read instead");
    }
    Ok(snapshot.ok())
}

/// Keeps a snapshot in a data directory.
pub(crate) fn save(dir: &Path, snapshot: &Snapshot) -> io::Result<()> {
    let (beside, path) = (dir.join("control.snapshot.new"), dir.join(NAME));
    let open = || {
        OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&beside)
    };
    let written = open().and_then(|mut file| {
        file.write_all(&encode(snapshot))?;
        file.sync_all()
    });
    if written.is_err() {
        // A full disk keeps its old snapshot; the half of a new one only takes space.
        fs::remove_file(&beside).unwrap_or_default();
        return written;
    }
    fs::rename(&beside, &path)?;
    File::open(dir)?.sync_all()
}

fn encode(snapshot: &Snapshot) -> Vec<u8> {
    let Snapshot {
        cursor,
        last_tick,
        standing,
    } = snapshot;
    let mut out = MAGIC.to_vec();
    out.extend_from_slice(&cursor.incarnation.to_le_bytes());
    out.extend_from_slice(&cursor.position.to_le_bytes());
    put_varint(&mut out, u64::from(last_tick.is_some()));
    if let Some(tick) = last_tick {
        put_varint(&mut out, tick.epoch);
        put_varint(&mut out, tick.at.0);
    }
    let numbering = standing.numbering();
    put_varint(&mut out, numbering.number);
    put_varint(&mut out, numbering.targets.len() as u64);
    for (target, number) in &numbering.targets {
        put_varint(
            &mut out,
            target.map_or(0, |advertiser| u64::from(advertiser.0) + 1),
        );
        put_varint(&mut out, *number);
    }
    let changes = changes(standing);
    put_varint(&mut out, changes.len() as u64);
    for (control, secret) in changes {
        let mut facts = Vec::new();
        Record::Control(control).encode(&mut facts);
        put_bytes(&mut out, &facts);
        put_bytes(&mut out, &secret);
    }
    let digest = Sha256::digest(&out);
    out.extend_from_slice(&digest);
    out
}

/// The fewest changes that make what stands.
fn changes(standing: &Standing) -> Vec<(Control, Vec<u8>)> {
    let mut changes = Vec::new();
    let mut add = |change, secret: Option<[u8; 32]>, at, by| {
        let control = Control {
            number: ControlNumber(0),
            target_number: 0,
            at,
            by,
            change,
        };
        changes.push((control, secret.map(Vec::from).unwrap_or_default()));
    };
    let (at, nobody) = (Millis(0), Actor(0));
    add(
        Change::RecordVersion(standing.record_version),
        None,
        at,
        nobody,
    );
    for advertiser in standing.advertisers.values() {
        add(Change::Advertiser(advertiser.clone()), None, at, nobody);
    }
    for publisher in standing.publishers.values() {
        add(Change::Publisher(publisher.clone()), None, at, nobody);
    }
    for campaign in standing.campaigns.values() {
        add(Change::Campaign(campaign.clone()), None, at, nobody);
    }
    for ad in standing.ads.values() {
        add(Change::Ad(ad.clone()), None, at, nobody);
    }
    for known in standing.links.values() {
        add(Change::Link(known.link.clone()), None, at, known.by);
    }
    let highest = standing.highest_link();
    if !standing.links.contains_key(&highest) {
        // It was removed, and its number is not given again.
        add(Change::LinkRemoved(highest), None, at, nobody);
    }
    for known in standing.keys.values() {
        add(Change::Key(known.key.clone()), known.secret, at, nobody);
        if let Some(at) = known.revoked_at {
            add(Change::KeyRevoked(known.key.key), None, at, nobody);
        }
    }
    for known in standing.tokens.values() {
        add(Change::Token(known.token.clone()), known.hash, at, nobody);
        if known.revoked {
            add(Change::TokenRevoked(known.token.token), None, at, nobody);
        }
    }
    for known in standing.api_keys.values() {
        add(Change::ApiKey(known.key.clone()), known.hash, at, nobody);
        if known.revoked {
            add(Change::ApiKeyRevoked(known.key.key), None, at, nobody);
        }
    }
    changes
}

fn decode(bytes: &[u8]) -> Result<Snapshot, DecodeError> {
    let damaged = DecodeError::Invalid("checksum");
    let (body, digest) = bytes.split_last_chunk::<32>().ok_or(damaged)?;
    if Sha256::digest(body)[..] != digest[..] {
        return Err(damaged);
    }
    let mut reader = Reader::new(body);
    if reader.array("magic")? != *MAGIC {
        return Err(DecodeError::Invalid("magic or version"));
    }
    let cursor = Cursor {
        incarnation: reader.u64("cursor")?,
        position: reader.u64("cursor")?,
    };
    let last_tick = match reader.varint("tick")? {
        0 => None,
        _ => Some(Tick {
            epoch: reader.varint("epoch")?,
            at: Millis(reader.varint("tick")?),
        }),
    };
    let mut standing = Standing::numbered(numbering(&mut reader)?);
    for _ in 0..reader.varint("changes")? {
        let facts = reader.bytes(RECORD_PART_BYTES_MAX, "change")?;
        let secret = reader.bytes(RECORD_PART_BYTES_MAX, "second part")?;
        let Record::Control(control) = Record::decode(facts)? else {
            return Err(DecodeError::Invalid("change"));
        };
        standing.change(&control, secret);
    }
    reader.finish()?;
    Ok(Snapshot {
        cursor,
        last_tick,
        standing,
    })
}

fn numbering(reader: &mut Reader<'_>) -> Result<Numbering, DecodeError> {
    let mut numbering = Numbering {
        number: reader.varint("number")?,
        ..Numbering::default()
    };
    for _ in 0..reader.varint("targets")? {
        let target = reader
            .varint("target")?
            .checked_sub(1)
            .map(u32::try_from)
            .transpose();
        let target = target
            .map_err(|_| DecodeError::Invalid("target"))?
            .map(AdvertiserId);
        numbering
            .targets
            .insert(target, reader.varint("target number")?);
    }
    Ok(numbering)
}

#[cfg(test)]
mod tests;
