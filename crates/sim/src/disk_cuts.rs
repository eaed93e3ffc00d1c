//! What a power cut may leave of a disk: every subset of what was not synced, and every tear of the
//! write that it has interrupted.

use std::collections::BTreeSet;

use rand::Rng;
use rand::rngs::StdRng;

use crate::disk::{Image, Op};

/// More undone operations than this are sampled, not enumerated.
const SUBSETS_MAX: usize = 8;
const SECTOR_BYTES: usize = 512;

/// Where the write is torn that a cut has interrupted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tears {
    /// At every byte: the part before it, the part after it, and some middle part.
    AtEveryByte,
    /// At so many bytes that are drawn.
    AtSome(usize),
}

/// What a cut after the first `cut` operations may leave of a disk that began as `image`.
pub(crate) fn states(
    ops: &[Op],
    cut: usize,
    image: &Image,
    (tears, random): (Tears, &mut StdRng),
) -> Vec<Image> {
    let done = ops.get(..cut).unwrap_or(ops);
    let open: Vec<usize> = (0..done.len())
        .filter(|index| is_open(done, *index))
        .collect();
    let build = |keep: &dyn Fn(usize) -> Option<Vec<Op>>| {
        let mut image = image.clone();
        for (index, op) in done.iter().enumerate() {
            match open
                .binary_search(&index)
                .is_ok()
                .then(|| keep(index))
                .flatten()
            {
                Some(parts) => parts.iter().for_each(|part| image.apply(part)),
                None => image.apply(op),
            }
        }
        image.without_nameless()
    };
    let mut states = Vec::new();
    for kept in subsets(open.len(), random) {
        let keep = |index: usize| {
            let place = open.binary_search(&index).unwrap_or(0);
            (!kept.contains(&place)).then(Vec::new)
        };
        states.push(build(&keep));
    }
    // The last write may be torn, with everything else kept or lost.
    if let Some((last, op)) = done.iter().enumerate().next_back()
        && let Op::Write(file, offset, bytes) = op
    {
        for parts in torn((*file, *offset, bytes), tears, random) {
            for others in [true, false] {
                let keep = |index: usize| match index == last {
                    true => Some(parts.clone()),
                    false => (!others).then(Vec::new),
                };
                states.push(build(&keep));
            }
        }
    }
    states
}

/// Whether a cut at the end of `done` may still undo the operation.
fn is_open(done: &[Op], index: usize) -> bool {
    let later = done.get(index + 1..).unwrap_or_default();
    match done.get(index) {
        Some(Op::Write(file, ..) | Op::SetLen(file, _)) => {
            let synced = |op: &&Op| matches!(op, Op::Sync(f) | Op::SyncFailed(f) if f == file);
            // After a failed sync no later one reaches the write any more.
            !matches!(later.iter().find(synced), Some(Op::Sync(_)))
        }
        Some(Op::Create(..) | Op::Rename(..) | Op::Remove(_)) => !later.contains(&Op::SyncNames),
        _ => false,
    }
}

/// Which of `count` operations are kept: all subsets, or a sample that holds the extremes.
fn subsets(count: usize, random: &mut StdRng) -> Vec<BTreeSet<usize>> {
    if count <= SUBSETS_MAX {
        let all = 0..1usize << count;
        return all
            .map(|bits| (0..count).filter(|i| bits >> i & 1 == 1).collect())
            .collect();
    }
    let mut sample = vec![BTreeSet::new(), (0..count).collect()];
    for left_out in 0..count {
        sample.push((0..count).filter(|index| *index != left_out).collect());
        sample.push(BTreeSet::from([left_out]));
    }
    for _ in 0..1 << SUBSETS_MAX {
        sample.push((0..count).filter(|_| random.random()).collect());
    }
    sample
}

/// The parts of a write that may be all that reached the disk.
fn torn(
    (file, offset, bytes): (usize, u64, &[u8]),
    tears: Tears,
    random: &mut StdRng,
) -> Vec<Vec<Op>> {
    let part = |from: usize, to: usize| {
        let bytes = bytes.get(from..to).unwrap_or_default().to_vec();
        Op::Write(file, offset + from as u64, bytes)
    };
    let zero = bytes.iter().all(|byte| *byte == 0);
    if zero {
        // Filling with zeros: where it was torn shows in the length only.
        return vec![vec![part(0, bytes.len() / 2)]];
    }
    let mut torn = Vec::new();
    let places: Vec<usize> = match tears {
        Tears::AtEveryByte => (0..bytes.len()).collect(),
        Tears::AtSome(count) => (0..count)
            .map(|_| random.random_range(0..bytes.len()))
            .collect(),
    };
    for at in places {
        torn.push(vec![part(0, at)]);
        torn.push(vec![part(at, bytes.len())]);
        let (from, to) = (
            random.random_range(0..=at),
            random.random_range(at..=bytes.len()),
        );
        torn.push(vec![part(from, to)]);
    }
    let first = usize::try_from(offset).unwrap_or(0) / SECTOR_BYTES;
    let last = (usize::try_from(offset).unwrap_or(0) + bytes.len().max(1) - 1) / SECTOR_BYTES;
    let base = usize::try_from(offset).unwrap_or(0);
    for kept in subsets(last - first + 1, random) {
        let sectors = kept.iter().map(|sector| {
            let from = ((first + sector) * SECTOR_BYTES).max(base) - base;
            let to = ((first + sector + 1) * SECTOR_BYTES).min(base + bytes.len()) - base;
            part(from, to)
        });
        torn.push(sectors.collect());
    }
    torn
}
