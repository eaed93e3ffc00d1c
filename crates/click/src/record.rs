//! The record: one event in the log. Its first byte is its kind, its second its version.
//!
//! | kind | record | layout |
//! |---|---|---|
//! | 1 | click | [`crate::facts`] |
//! | 2 | impression | [`crate::facts`] |
//! | 4 | tick | kind, version 1, epoch (varint), time in ms (varint) |
//! | 5 | mark | kind, version 1, edge (u16), minute (varint) |
//! | 6 | control | [`crate::control`] |

use crate::codec::{DecodeError, Reader, put_varint};
use crate::control::Control;
use crate::facts::ClickFacts;
use crate::ids::EdgeId;
use crate::time::{Millis, Minute};

const CLICK: u8 = 1;
const IMPRESSION: u8 = 2;
const TICK: u8 = 4;
const MARK: u8 = 5;
const CONTROL: u8 = 6;
const VERSION: u8 = 1;

/// One event in the log, as its facts tell it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Record {
    /// A click.
    Click(ClickFacts),
    /// An impression, told by the pixel.
    Impression(ClickFacts),
    /// The record that moves a partition's clock.
    Tick(Tick),
    /// An edge's word about what it will not send any more.
    Mark(Mark),
    /// A change of what decides about clicks.
    Control(Control),
}

/// Moves a partition's clock and cuts the batches of the stores.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Tick {
    /// The lease under which it was written; older ones are ignored.
    pub epoch: u64,
    /// The writer's clock.
    pub at: Millis,
}

/// An edge will send nothing that it received before `minute`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Mark {
    /// The edge.
    pub edge: EdgeId,
    /// The first minute that may still come.
    pub minute: Minute,
}

impl Record {
    /// Appends the record's bytes.
    pub fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Record::Click(facts) => facts.encode(CLICK, out),
            Record::Impression(facts) => facts.encode(IMPRESSION, out),
            Record::Tick(tick) => {
                out.extend_from_slice(&[TICK, VERSION]);
                put_varint(out, tick.epoch);
                put_varint(out, tick.at.0);
            }
            Record::Mark(mark) => {
                out.extend_from_slice(&[MARK, VERSION]);
                out.extend_from_slice(&mark.edge.get().to_le_bytes());
                put_varint(out, u64::from(mark.minute.0));
            }
            Record::Control(control) => control.encode(CONTROL, out),
        }
    }

    /// Whether bytes are those of a click or an impression, sound or damaged.
    #[inline]
    pub fn is_event(bytes: &[u8]) -> bool {
        matches!(bytes.first(), Some(&(CLICK | IMPRESSION)))
    }

    /// Whether bytes are those of a click, sound or damaged.
    #[inline]
    pub fn is_click(bytes: &[u8]) -> bool {
        bytes.first() == Some(&CLICK)
    }

    /// Reads a whole click or impression over facts, as [`Record::decode`] does: the road of
    /// nearly all records, on which nothing is moved. After an error the facts mean nothing.
    #[inline]
    pub fn read_event(bytes: &[u8], facts: &mut ClickFacts) -> Result<(), DecodeError> {
        let mut reader = Reader::new(bytes);
        match reader.u8("kind")? {
            kind @ (CLICK | IMPRESSION) => facts.read(kind, &mut reader)?,
            kind => return Err(DecodeError::UnknownKind(kind)),
        }
        reader.finish()
    }

    /// Reads a whole record. An unknown kind or version asks for newer code; anything else that
    /// is wrong is damage.
    pub fn decode(bytes: &[u8]) -> Result<Record, DecodeError> {
        let mut reader = Reader::new(bytes);
        let event = |bytes| {
            let mut facts = ClickFacts::BLANK;
            Record::read_event(bytes, &mut facts).map(|()| facts)
        };
        let record = match reader.u8("kind")? {
            CLICK => return event(bytes).map(Record::Click),
            IMPRESSION => return event(bytes).map(Record::Impression),
            TICK => Record::Tick(decode_tick(&mut reader)?),
            MARK => Record::Mark(decode_mark(&mut reader)?),
            CONTROL => Record::Control(Control::decode(CONTROL, &mut reader)?),
            kind => return Err(DecodeError::UnknownKind(kind)),
        };
        reader.finish()?;
        Ok(record)
    }
}

fn decode_tick(reader: &mut Reader<'_>) -> Result<Tick, DecodeError> {
    version_1(TICK, reader)?;
    Ok(Tick {
        epoch: reader.varint("epoch")?,
        at: Millis(reader.varint("time")?),
    })
}

fn decode_mark(reader: &mut Reader<'_>) -> Result<Mark, DecodeError> {
    version_1(MARK, reader)?;
    let edge = EdgeId::new(reader.u16("edge")?).map_err(|_| DecodeError::Invalid("edge"))?;
    Ok(Mark {
        edge,
        minute: Minute(reader.varint_u32("minute")?),
    })
}

fn version_1(kind: u8, reader: &mut Reader<'_>) -> Result<(), DecodeError> {
    match reader.u8("version")? {
        VERSION => Ok(()),
        version => Err(DecodeError::UnknownVersion { kind, version }),
    }
}

#[cfg(test)]
mod tests;
