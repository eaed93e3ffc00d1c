//! When a store is cut: a function of the log, so that a replay cuts at the same places.

use tollgate_click::{Millis, Ordinal, PartitionId};

const MINUTE_MS: u64 = 60_000;
const HOUR_MS: u64 = 3_600_000;

/// The cuts of one store of one partition: at the tick that enters another minute if there is
/// something to write, at the tick that enters another hour, and after a fixed number of records,
/// which bounds memory after any gap.
///
/// Minutes and hours begin at another second in each partition, so that not all of them write at
/// once.
pub(super) struct Pace {
    offset_ms: u64,
    ordinals_max: u64,
    after: Ordinal,
    is_empty: bool,
}

impl Pace {
    /// Goes on behind the last cut; `offset_ms` sets a store apart from others of its partition.
    pub(super) fn new(
        partition: PartitionId,
        offset_ms: u64,
        ordinals_max: u64,
        after: Ordinal,
    ) -> Pace {
        // 37 and 60 have no common factor: neighbours lie far apart and 60 partitions meet none.
        let second = u64::from(partition.get()) * 37 % 60;
        Pace {
            offset_ms: offset_ms + second * 1000,
            ordinals_max,
            after,
            is_empty: true,
        }
    }

    /// The last record of the last cut: what comes up to here is in files.
    pub(super) fn after(&self) -> Ordinal {
        self.after
    }

    /// There is something to write.
    pub(super) fn filled(&mut self) {
        self.is_empty = false;
    }

    /// Whether the store is cut behind `ordinal`, which moved the clock from `before` to `clock`:
    /// the first record of the batch.
    pub(super) fn cuts(&self, ordinal: Ordinal, before: Millis, clock: Millis) -> Option<Ordinal> {
        let records = ordinal.0.checked_sub(self.after.0)?;
        let entered = |each: u64| {
            let of = |at: Millis| at.0.saturating_add(self.offset_ms) / each;
            before > Millis(0) && of(clock) > of(before)
        };
        let ends = records >= self.ordinals_max
            || (!self.is_empty && entered(MINUTE_MS))
            || entered(HOUR_MS);
        (ends && records > 0).then_some(Ordinal(self.after.0 + 1))
    }

    /// It was cut there.
    pub(super) fn cut(&mut self, ordinal: Ordinal) {
        self.after = ordinal;
        self.is_empty = true;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pace() -> Pace {
        Pace::new(PartitionId::default(), 0, 100, Ordinal(10))
    }

    #[test]
    fn a_store_is_cut_where_the_log_says() {
        let mut pace = pace();
        let at = |minutes: u64| Millis(1_000 * HOUR_MS + minutes * MINUTE_MS);
        let first = Some(Ordinal(11));
        assert_eq!(
            pace.cuts(Ordinal(11), at(1), at(2)),
            None,
            "nothing to write"
        );
        assert_eq!(
            pace.cuts(Ordinal(11), at(59), at(60)),
            first,
            "another hour"
        );
        assert_eq!(
            pace.cuts(Ordinal(110), at(1), at(1)),
            first,
            "a hundred records"
        );
        assert_eq!(pace.cuts(Ordinal(109), at(1), at(1)), None);
        pace.filled();
        assert_eq!(pace.cuts(Ordinal(11), at(1), at(2)), first);
        assert_eq!(
            pace.cuts(Ordinal(11), Millis(0), at(2)),
            None,
            "the first tick of all"
        );
        pace.cut(Ordinal(11));
        assert_eq!(pace.cuts(Ordinal(12), at(2), at(3)), None);
        assert_eq!(
            pace.cuts(Ordinal(11), at(2), at(99)),
            None,
            "a replay of what is in files"
        );
    }
}
