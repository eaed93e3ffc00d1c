//! Samples of refused requests, for whoever wants to know what is being refused: the last few of
//! each thread, each cut, so that a flood grows neither memory nor disk.

use std::sync::Mutex;

use tollgate_click::{Millis, Refusal};

/// Bytes kept of one refused request.
pub const SAMPLE_BYTES_MAX: usize = 512;

/// One refused request.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Sample {
    /// When.
    pub at: Millis,
    /// Under which reason it was counted.
    pub reason: Refusal,
    /// The start of its target, or of what came in place of a request. Bytes of strangers: escape
    /// them wherever they are shown.
    pub bytes: Vec<u8>,
}

/// The last samples of one thread.
#[derive(Debug)]
pub(crate) struct Quarantine {
    ring: Mutex<Ring>,
}

#[derive(Debug)]
struct Ring {
    samples: Vec<Sample>,
    capacity: usize,
    next: usize,
}

impl Quarantine {
    pub(crate) fn new(capacity: usize) -> Quarantine {
        Quarantine {
            ring: Mutex::new(Ring {
                samples: Vec::new(),
                capacity,
                next: 0,
            }),
        }
    }

    /// Keeps a sample in place of the oldest.
    pub(crate) fn keep(&self, at: Millis, reason: Refusal, bytes: &[u8]) {
        let Ok(mut ring) = self.ring.lock() else {
            return;
        };
        if ring.capacity == 0 {
            return;
        }
        let cut = bytes.get(..SAMPLE_BYTES_MAX).unwrap_or(bytes);
        let next = ring.next;
        ring.next = (next + 1) % ring.capacity;
        if let Some(oldest) = ring.samples.get_mut(next) {
            oldest.at = at;
            oldest.reason = reason;
            oldest.bytes.clear();
            oldest.bytes.extend_from_slice(cut);
        } else {
            ring.samples.push(Sample {
                at,
                reason,
                bytes: cut.to_vec(),
            });
        }
    }

    /// The samples, oldest first.
    pub(crate) fn samples(&self) -> Vec<Sample> {
        let Ok(ring) = self.ring.lock() else {
            return Vec::new();
        };
        let (newer, older) = ring.samples.split_at(ring.next.min(ring.samples.len()));
        older.iter().chain(newer).cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_leaves_the_last_samples_cut() {
        let quarantine = Quarantine::new(3);
        for number in 0..1_000u64 {
            let bytes = vec![b'x'; 400 + number as usize];
            quarantine.keep(Millis(number), Refusal::Forged, &bytes);
        }
        let samples = quarantine.samples();
        let times: Vec<u64> = samples.iter().map(|sample| sample.at.0).collect();
        assert_eq!(times, [997, 998, 999]);
        assert!(
            samples
                .iter()
                .all(|sample| sample.bytes.len() == SAMPLE_BYTES_MAX)
        );
        let none = Quarantine::new(0);
        none.keep(Millis(1), Refusal::Forged, b"x");
        assert!(none.samples().is_empty());
    }
}
