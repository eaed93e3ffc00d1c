//! Hands out the records of a sealed segment, one decoded group at a time.

use std::ops::Range;

use super::{Entry, FACTS_MAGIC, PERSONAL_MAGIC, SealedFile, damage};
use crate::api::{Cursor, Partition, PartitionSet, ReadError, RecordRef};
use crate::catalog::Catalog;
use crate::fields::Take;
use crate::format::{Header, facts_name, personal_name, position};
use crate::live::{Sink, Step};

/// An open sealed segment, for some partitions.
pub(crate) struct SealedReader {
    facts: SealedFile,
    /// `None` when nobody wants the personal parts, or retention has removed them.
    personal: Option<SealedFile>,
    /// The wanted chunks, as places in the index, group by group.
    groups: Vec<Vec<usize>>,
    next_group: usize,
    rows: Group,
}

/// The records of one group, decoded, in the order of the log.
#[derive(Default)]
struct Group {
    chunks: Vec<Chunk>,
    rows: Vec<Row>,
}

struct Chunk {
    partition: Partition,
    facts: Vec<u8>,
    personal: Option<Vec<u8>>,
}

struct Row {
    offset: u32,
    sequence: u32,
    chunk: usize,
    facts: Range<usize>,
    personal: Range<usize>,
}

impl SealedReader {
    pub(crate) fn open(
        catalog: &Catalog,
        segment: u32,
        partitions: &PartitionSet,
        wants_personal: bool,
    ) -> Result<SealedReader, ReadError> {
        let facts = SealedFile::open(catalog, segment, facts_name(segment), FACTS_MAGIC)?;
        let personal = (wants_personal && segment >= catalog.kept().personal_first)
            .then(|| SealedFile::open(catalog, segment, personal_name(segment), PERSONAL_MAGIC))
            .transpose()?;
        if let Some(personal) = &personal {
            let pairs = facts.entries.iter().zip(&personal.entries);
            let fits = facts.entries.len() == personal.entries.len()
                && pairs
                    .clone()
                    .all(|(facts, personal)| facts.matches(personal));
            if !fits || facts.opening != personal.opening || facts.tail != personal.tail {
                return Err(damage(
                    &personal.name,
                    0,
                    "it does not belong to the facts beside it",
                ));
            }
        }
        let mut groups: Vec<Vec<usize>> = Vec::new();
        let mut group = None;
        for (index, entry) in facts.entries.iter().enumerate() {
            if !partitions.contains(entry.partition) {
                continue;
            }
            if group.replace(entry.group) != Some(entry.group) {
                groups.push(Vec::new());
            }
            groups
                .last_mut()
                .into_iter()
                .for_each(|group| group.push(index));
        }
        Ok(SealedReader {
            facts,
            personal,
            groups,
            next_group: 0,
            rows: Group::default(),
        })
    }

    /// Hands out the records from the offset `from` on.
    pub(crate) fn visit(&mut self, from: u32, sink: &mut Sink<'_>) -> Result<Step, ReadError> {
        loop {
            if let Some(stopped) = self.visit_group(from, sink)? {
                return Ok(Step::Stopped(stopped));
            }
            let Some(group) = self.groups.get(self.next_group) else {
                return Ok(Step::Done);
            };
            let entries = group
                .iter()
                .filter_map(|index| self.facts.entries.get(*index));
            let wanted = entries.map(|entry| entry.last).max() >= Some(from);
            self.rows = if wanted {
                self.decode(group)?
            } else {
                Group::default()
            };
            self.next_group += 1;
        }
    }

    /// Whether the segment ends where the next one says that it does.
    pub(crate) fn ends_at(&self, end: u32, next: &Header) -> Result<(), ReadError> {
        let tail = self.facts.tail;
        if (tail.end, tail.sequence, tail.chain) == (end, next.sequence, next.previous) {
            return Ok(());
        }
        Err(damage(
            &self.facts.name,
            0,
            "the next segment says that this one ends otherwise",
        ))
    }

    /// Hands out decoded records; the offset of the one that was too much.
    fn visit_group(&self, from: u32, sink: &mut Sink<'_>) -> Result<Option<u32>, ReadError> {
        let header = &self.facts.opening.header;
        let first = self.rows.rows.partition_point(|row| row.offset < from);
        for row in self.rows.rows.get(first..).unwrap_or(&[]) {
            if sink.is_full() {
                return Ok(Some(row.offset));
            }
            let chunk = self.rows.chunks.get(row.chunk);
            let facts = chunk.and_then(|chunk| chunk.facts.get(row.facts.clone()));
            let (Some(chunk), Some(facts)) = (chunk, facts) else {
                return Err(damage(
                    &self.facts.name,
                    0,
                    "a record reaches over its chunk",
                ));
            };
            let personal = chunk
                .personal
                .as_ref()
                .map(|all| all.get(row.personal.clone()));
            if personal == Some(None) {
                return Err(damage(
                    &self.facts.name,
                    0,
                    "a personal part reaches over its chunk",
                ));
            }
            let position = position(header.segment, row.offset);
            sink.give(RecordRef {
                partition: chunk.partition,
                facts,
                personal: personal.flatten(),
                cursor: Cursor {
                    incarnation: header.incarnation,
                    position,
                },
                session: header.session,
                sequence: u64::from(row.sequence),
                epoch: header.epoch,
            });
        }
        Ok(None)
    }

    fn decode(&self, group: &[usize]) -> Result<Group, ReadError> {
        let mut decoded = Group::default();
        for index in group {
            let Some(entry) = self.facts.entries.get(*index) else {
                continue;
            };
            let facts = self.facts.chunk(entry)?;
            let of_personal = self.personal.as_ref();
            let personal = of_personal
                .and_then(|file| file.entries.get(*index).map(|entry| file.chunk(entry)))
                .transpose()?;
            let chunk = decoded.chunks.len();
            rows(
                entry,
                chunk,
                (&facts, personal.as_deref()),
                &mut decoded.rows,
            )
            .filter(|last| *last == entry.last)
            .ok_or_else(|| {
                let at = u64::from(entry.at);
                damage(
                    &self.facts.name,
                    at,
                    "the chunk does not hold what the index says",
                )
            })?;
            decoded.chunks.push(Chunk {
                partition: entry.partition,
                facts,
                personal,
            });
        }
        decoded.rows.sort_unstable_by_key(|row| row.offset);
        Ok(decoded)
    }
}

/// Splits a chunk into its records; the offset of the last one, if the columns hold what they must.
fn rows(
    entry: &Entry,
    chunk: usize,
    (facts, personal): (&[u8], Option<&[u8]>),
    out: &mut Vec<Row>,
) -> Option<u32> {
    let count = entry.records as usize;
    let column = count.checked_mul(4)?;
    let mut take = Take(facts);
    let mut offsets = Take(take.bytes(column)?);
    let mut sequences = Take(take.bytes(column)?);
    let mut lengths = Take(take.bytes(column)?);
    let mut personal_lengths = Take(personal.map_or(Some(&[][..]), |all| all.get(..column))?);
    let (mut facts_at, mut personal_at) = (facts.len() - take.0.len(), column);
    let (mut offset, mut sequence) = (0u32, 0u32);
    for _ in 0..count {
        offset = offset.wrapping_add(offsets.u32()?);
        sequence = sequence.wrapping_add(sequences.u32()?);
        let facts_end = facts_at.checked_add(lengths.u32()? as usize)?;
        let personal_bytes = if personal.is_some() {
            personal_lengths.u32()?
        } else {
            0
        };
        let personal_end = personal_at.checked_add(personal_bytes as usize)?;
        let (facts, personal) = (facts_at..facts_end, personal_at..personal_end);
        out.push(Row {
            offset,
            sequence,
            chunk,
            facts,
            personal,
        });
        (facts_at, personal_at) = (facts_end, personal_end);
    }
    let filled = facts_at == facts.len() && personal.is_none_or(|all| personal_at == all.len());
    filled.then_some(offset)
}
