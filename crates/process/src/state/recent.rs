//! Who clicked which registered link a moment ago.
//!
//! Two generations: visits go to the young one, which becomes the old one after ten minutes of
//! the clock. So a visit is kept for ten to twenty minutes and each tick costs nothing.

use std::collections::BTreeMap;

use tollgate_click::{LinkId, Millis, Pseudonyms};

use super::kept::kept;
use crate::judge::Visit;

const GENERATION_MS: u64 = 10 * 60 * 1000;

/// A visitor, as far as facts tell: address and agent.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct Visitor {
    pub(crate) address: u64,
    pub(crate) agent: u64,
}

kept!(Visitor { address, agent });

impl Visitor {
    /// The visitor behind those pseudonyms.
    pub(crate) fn of(pseudonyms: &Pseudonyms) -> Visitor {
        Visitor {
            address: pseudonyms.address,
            agent: pseudonyms.agent,
        }
    }
}

type Visits = BTreeMap<(LinkId, Visitor), Millis>;

/// The newest visit of each visitor to each link.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub(crate) struct RecentVisits {
    young: Visits,
    old: Visits,
    young_since: Millis,
}

kept!(RecentVisits {
    young,
    old,
    young_since
});

impl RecentVisits {
    /// Whether the visitor was at this link within `window_ms`, before or (in a late spool)
    /// after.
    pub(crate) fn repeated(&self, visit: &Visit, window_ms: u64) -> bool {
        let mut names = [Some(visit.visitor), visit.previous].into_iter().flatten();
        names.any(|visitor| {
            self.last(visit.link, visitor)
                .is_some_and(|at| at.0.abs_diff(visit.at.0) <= window_ms)
        })
    }

    /// Notes a visit; one that comes late does not hide a newer one.
    pub(crate) fn note(&mut self, visit: &Visit) {
        let newest = self
            .last(visit.link, visit.visitor)
            .map_or(visit.at, |at| at.max(visit.at));
        self.young.insert((visit.link, visit.visitor), newest);
    }

    /// Drops the old generation when the young one has come of age.
    pub(crate) fn age(&mut self, clock: Millis) {
        if clock.since(self.young_since) >= GENERATION_MS {
            self.old = std::mem::take(&mut self.young);
            self.young_since = clock;
        }
    }

    fn last(&self, link: LinkId, visitor: Visitor) -> Option<Millis> {
        let name = (link, visitor);
        self.young
            .get(&name)
            .or_else(|| self.old.get(&name))
            .copied()
    }
}
