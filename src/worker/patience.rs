//! How long to go on trying when a disk says no.

/// Decides whether something is tried again.
pub(crate) trait Patience {
    /// Told why it failed; returns when it is time for another attempt.
    fn wait(&mut self, why: &str) -> Result<(), GaveUp>;
}

/// The worker was told to stop while it was waiting. Nothing is lost: it comes back by replay.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct GaveUp;
