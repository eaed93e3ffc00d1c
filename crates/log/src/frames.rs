//! The frames of records on their way into a block; `format.rs` has their bytes.

use crate::api::{NewRecord, Partition};
use crate::format::FRAME_BYTES;

/// Frames, one behind the other, whose sequences are open until the writer has its turn.
///
/// Their heads are kept a second time, side by side. The writer mostly runs on another processor
/// than the one that has encoded them, and to walk from head to head would fetch each from there
/// and wait for it; so it only writes to them.
#[derive(Default)]
pub(crate) struct OpenFrames {
    heads: Vec<[u8; FRAME_BYTES]>,
    bytes: Vec<u8>,
}

impl OpenFrames {
    /// Makes room for so many records, whose frames have so many bytes.
    pub(crate) fn reserve(&mut self, records: usize, bytes: usize) {
        self.heads.reserve(records);
        self.bytes.reserve(bytes);
    }

    /// Appends a frame. Its CRC covers the body only until [`OpenFrames::stamp`] knows the
    /// sequence.
    pub(crate) fn put(&mut self, record: &NewRecord<'_>) {
        let NewRecord {
            partition,
            facts,
            personal,
        } = record;
        let body = self.bytes.len() + FRAME_BYTES;
        self.bytes.extend_from_slice(&[0; FRAME_BYTES]);
        self.bytes.extend_from_slice(facts);
        self.bytes.extend_from_slice(personal);
        // Over both parts in one go, where they lie now.
        let crc = crc32c::crc32c(self.bytes.get(body..).unwrap_or(&[]));
        let [c0, c1, c2, c3] = crc.to_le_bytes();
        let [p0, p1] = partition.0.to_le_bytes();
        let [f0, f1, f2, _] = (facts.len() as u32).to_le_bytes();
        let [l0, l1, l2, _] = (personal.len() as u32).to_le_bytes();
        self.heads
            .push([c0, c1, c2, c3, 0, 0, 0, 0, p0, p1, f0, f1, f2, l0, l1, l2]);
    }

    /// Writes every head, with its sequence and the final CRC.
    pub(crate) fn stamp(&mut self, mut sequence_of: impl FnMut(Partition) -> u32) {
        let mut rest = self.bytes.as_mut_slice();
        for head in &self.heads {
            let [c0, c1, c2, c3, _, _, _, _, p0, p1, f0, f1, f2, l0, l1, l2] = *head;
            let sequence = sequence_of(Partition(u16::from_le_bytes([p0, p1])));
            let [s0, s1, s2, s3] = sequence.to_le_bytes();
            let sealed = [s0, s1, s2, s3, p0, p1, f0, f1, f2, l0, l1, l2];
            let crc = crc32c::crc32c_append(u32::from_le_bytes([c0, c1, c2, c3]), &sealed);
            let Some((place, behind)) = rest.split_first_chunk_mut::<FRAME_BYTES>() else {
                return;
            };
            let [c0, c1, c2, c3] = crc.to_le_bytes();
            *place = [
                c0, c1, c2, c3, s0, s1, s2, s3, p0, p1, f0, f1, f2, l0, l1, l2,
            ];
            let facts = u32::from_le_bytes([f0, f1, f2, 0]) as usize;
            let personal = u32::from_le_bytes([l0, l1, l2, 0]) as usize;
            rest = behind.get_mut(facts + personal..).unwrap_or_default();
        }
    }

    /// All frames.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    pub(crate) fn records(&self) -> u32 {
        self.heads.len() as u32
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.heads.is_empty()
    }

    /// Forgets the frames and keeps the room, but not what only a burst has needed.
    pub(crate) fn clear(&mut self) {
        self.heads.clear();
        self.heads.shrink_to(1 << 14);
        self.bytes.clear();
        self.bytes.shrink_to(1 << 20);
    }
}
