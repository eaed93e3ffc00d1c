//! Time as the log carries it: Unix milliseconds and Unix minutes, stamped by an edge, never
//! read from a clock here.

use std::fmt;

/// Unix time in milliseconds. The click id keeps 48 bits of it (until the year 10889).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Debug)]
pub struct Millis(pub u64);

/// Unix time in whole minutes, the grain of postings and reports.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Debug)]
pub struct Minute(pub u32);

impl Millis {
    /// The largest time that fits the 48 bits of a click id.
    pub const MAX: Millis = Millis((1 << 48) - 1);

    /// The minute this instant lies in; times past the year 10136 stay in the last minute.
    pub fn minute(self) -> Minute {
        Minute(u32::try_from(self.0 / 60_000).unwrap_or(u32::MAX))
    }

    /// This instant `ms` milliseconds later, at most [`Millis::MAX`].
    pub fn plus_ms(self, ms: u64) -> Millis {
        Millis(self.0.saturating_add(ms).min(Self::MAX.0))
    }

    /// This instant `seconds` later, at most [`Millis::MAX`].
    pub fn plus_s(self, seconds: u32) -> Millis {
        self.plus_ms(u64::from(seconds).saturating_mul(1000))
    }

    /// Milliseconds since `earlier`; 0 when `earlier` is later.
    pub fn since(self, earlier: Millis) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

impl Minute {
    /// The first instant of the minute.
    pub fn start(self) -> Millis {
        Millis(u64::from(self.0).saturating_mul(60_000))
    }
}

impl fmt::Display for Millis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn minute_of_an_instant_starts_at_or_before_it() {
        let at = Millis(1_356_999_059_000);
        assert_eq!(at.minute(), Minute(22_616_650));
        assert_eq!(at.minute().start(), Millis(1_356_999_000_000));
    }

    #[test]
    fn arithmetic_stops_at_the_edges() {
        assert_eq!(Millis::MAX.plus_s(1), Millis::MAX);
        assert_eq!(Millis(5).since(Millis(9)), 0);
    }
}
