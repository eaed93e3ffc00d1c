//! Counting: every hit ends as recorded or refused for one reason, exactly.
//!
//! Each thread counts for itself; a snapshot sums the threads. At rest
//! `hits = recorded + refused` to the one (`unrecorded` being one of the reasons), and in between
//! [`Counters::pending`] is what is on its way.

use std::sync::atomic::{AtomicU64, Ordering};

use tollgate_click::Refusal;

/// What was recorded, by kind.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(usize)]
pub enum Recorded {
    /// A click by a link.
    Click = 0,
    /// An impression by the pixel.
    Impression = 1,
    /// An event of a batch.
    Import = 2,
}

impl Recorded {
    /// All kinds.
    pub const ALL: [Recorded; 3] = [Recorded::Click, Recorded::Impression, Recorded::Import];

    /// The name in counters.
    pub fn name(self) -> &'static str {
        match self {
            Recorded::Click => "click",
            Recorded::Impression => "impression",
            Recorded::Import => "import",
        }
    }
}

const KINDS: usize = Recorded::ALL.len();
const REASONS: usize = Refusal::ALL.len();

/// One thread's counts, alone on its cache lines.
#[derive(Default, Debug)]
#[repr(align(128))]
pub(crate) struct Tally {
    hits: AtomicU64,
    recorded: [AtomicU64; KINDS],
    refused: [AtomicU64; REASONS],
    health_checks: AtomicU64,
    connections: [AtomicU64; CONNECTIONS],
}

/// What became of a connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(usize)]
pub(crate) enum Connection {
    Accepted = 0,
    OverCap = 1,
    BadHandshake = 2,
    AcceptFailed = 3,
}

const CONNECTIONS: usize = 4;

impl Tally {
    pub(crate) fn hit(&self, count: u64) {
        self.hits.fetch_add(count, Ordering::Relaxed);
    }

    pub(crate) fn recorded(&self, kind: Recorded, count: u64) {
        add(&self.recorded, kind as usize, count);
    }

    pub(crate) fn refused(&self, reason: Refusal, count: u64) {
        add(&self.refused, reason as usize, count);
    }

    pub(crate) fn health_check(&self) {
        self.health_checks.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn connection(&self, fate: Connection) {
        add(&self.connections, fate as usize, 1);
    }
}

fn add<const N: usize>(counts: &[AtomicU64; N], place: usize, count: u64) {
    if let Some(counter) = counts.get(place) {
        counter.fetch_add(count, Ordering::Release);
    }
}

/// The counts of an edge since its start.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Counters {
    /// Requests and batch items that reached the edge, health checks excepted.
    pub hits: u64,
    recorded: [u64; KINDS],
    refused: [u64; REASONS],
    /// Requests to `/healthz` and `/readyz`.
    pub health_checks: u64,
    /// Connections taken.
    pub connections: u64,
    /// Connections closed at once because too many were open.
    pub connections_over_cap: u64,
    /// Connections closed because a TLS or PROXY protocol handshake failed or took too long.
    pub connections_bad_handshake: u64,
    /// Connections that the system did not hand over, such as for want of file descriptors.
    pub accepts_failed: u64,
}

impl Counters {
    /// The sum over threads. Outcomes are read before hits, so that no outcome is seen without its
    /// hit.
    pub(crate) fn sum<'a>(tallies: impl Iterator<Item = &'a Tally> + Clone) -> Counters {
        let mut sum = Counters::default();
        let mut connections = [0; CONNECTIONS];
        for tally in tallies.clone() {
            collect(&mut sum.recorded, &tally.recorded);
            collect(&mut sum.refused, &tally.refused);
            collect(&mut connections, &tally.connections);
            sum.health_checks += tally.health_checks.load(Ordering::Relaxed);
        }
        sum.hits = tallies
            .map(|tally| tally.hits.load(Ordering::Acquire))
            .sum();
        let [accepted, over_cap, bad_handshake, accept_failed] = connections;
        sum.connections = accepted;
        sum.connections_over_cap = over_cap;
        sum.connections_bad_handshake = bad_handshake;
        sum.accepts_failed = accept_failed;
        sum
    }

    /// Records of that kind that are durable.
    pub fn recorded_of(&self, kind: Recorded) -> u64 {
        self.recorded.get(kind as usize).copied().unwrap_or(0)
    }

    /// Records that are durable.
    pub fn recorded(&self) -> u64 {
        self.recorded.iter().sum()
    }

    /// Hits refused for that reason.
    pub fn refused_for(&self, reason: Refusal) -> u64 {
        self.refused.get(reason as usize).copied().unwrap_or(0)
    }

    /// Hits refused for any reason, `unrecorded` included.
    pub fn refused(&self) -> u64 {
        self.refused.iter().sum()
    }

    /// Hits whose end is not known yet.
    pub fn pending(&self) -> u64 {
        self.hits.saturating_sub(self.recorded() + self.refused())
    }
}

fn collect<const N: usize>(sums: &mut [u64; N], counts: &[AtomicU64; N]) {
    for (sum, count) in sums.iter_mut().zip(counts) {
        *sum += count.load(Ordering::Acquire);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_add_up() {
        let threads = [Tally::default(), Tally::default()];
        threads[0].hit(3);
        threads[0].recorded(Recorded::Click, 1);
        threads[0].refused(Refusal::Forged, 1);
        threads[1].hit(2);
        threads[1].refused(Refusal::Forged, 1);
        threads[1].recorded(Recorded::Import, 1);
        let sum = Counters::sum(threads.iter());
        assert_eq!(
            (sum.hits, sum.recorded(), sum.refused(), sum.pending()),
            (5, 2, 2, 1)
        );
        assert_eq!(sum.refused_for(Refusal::Forged), 2);
        assert_eq!(sum.recorded_of(Recorded::Import), 1);
        assert_eq!(sum.recorded_of(Recorded::Impression), 0);
    }
}
