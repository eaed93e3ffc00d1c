//! Files of sealed segments that wait to become the next ones: overwriting a file in place needs no
//! zeros first, and a sync of it has no metadata to write.
//!
//! What makes this safe:
//!
//! 1. A file is kept only when both sealed files of its segment are durable under their names, and
//!    only if no write and no sync of it has ever failed.
//! 2. Every block names its segment under its checksum, so the blocks of a former life are nobody's
//!    data; the start block says that such bytes may stand behind the end (`recover.rs`).
//! 3. A reader that still holds the file finds foreign blocks in it, looks again, and goes on in
//!    the sealed form (`read.rs`).
//! 4. Personal parts do not outlive their retention in a spare, nor behind the end of the segment
//!    that it has become: both know the oldest segment whose bytes they may hold. When retention
//!    passes that one, spares are removed, and the live segment is ended and cut.
//! 5. Spares live as long as the open log: opening and closing remove them. There are never more
//!    than [`SPARES_MAX`].

use std::collections::BTreeMap;
use std::sync::Mutex;

use crate::shared::hold;

/// As many as a burst that outruns sealing for a moment can use.
const SPARES_MAX: usize = 2;
/// What the name of every spare begins with; it is no segment's name.
pub(crate) const SPARE_PREFIX: &str = "spare-";

/// A file that may become a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Spare {
    /// The segment that it was.
    pub(crate) segment: u32,
    /// The oldest segment whose bytes may still stand in it.
    pub(crate) oldest: u32,
}

impl Spare {
    pub(crate) fn name(&self) -> String {
        format!("{SPARE_PREFIX}{:010}", self.segment)
    }
}

/// The spares of an open log, and the segments whose files may become some.
#[derive(Default)]
pub(crate) struct Spares {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    files: Vec<Spare>,
    /// Segments that were ended in good order at full length, by number, until they are sealed.
    finished: BTreeMap<u32, Spare>,
    /// The first segment whose personal parts are kept.
    personal_first: u32,
}

impl Spares {
    /// Notes a segment that was ended in good order; says whether its file may be used again.
    pub(crate) fn finished(&self, spare: Spare) -> bool {
        let mut state = hold(&self.state);
        let fresh = spare.oldest >= state.personal_first;
        if fresh {
            state.finished.insert(spare.segment, spare);
        }
        fresh
    }

    /// Whether the file of a segment that is now sealed is to be kept.
    pub(crate) fn wanted(&self, segment: u32) -> Option<Spare> {
        let mut state = hold(&self.state);
        let spare = state.finished.remove(&segment)?;
        (spare.oldest >= state.personal_first && state.files.len() < SPARES_MAX).then_some(spare)
    }

    /// Takes a file that is durable under its name; false if retention has passed it meanwhile.
    pub(crate) fn put(&self, spare: Spare) -> bool {
        let mut state = hold(&self.state);
        let fresh = spare.oldest >= state.personal_first;
        if fresh {
            state.files.push(spare);
        }
        fresh
    }

    /// Gives a file away, the oldest first.
    pub(crate) fn take(&self) -> Option<Spare> {
        let mut state = hold(&self.state);
        (!state.files.is_empty()).then(|| state.files.remove(0))
    }

    /// Retention has given up the personal parts before `personal_first`: the files that may hold
    /// some of them, for the caller to remove.
    pub(crate) fn forget_before(&self, personal_first: u32) -> Vec<Spare> {
        let mut state = hold(&self.state);
        state.personal_first = personal_first;
        let (gone, kept) = state
            .files
            .drain(..)
            .partition(|spare| spare.oldest < personal_first);
        state.files = kept;
        gone
    }

    /// The first segment whose bytes may stand in a file that is written.
    pub(crate) fn personal_first(&self) -> u32 {
        hold(&self.state).personal_first
    }
}
