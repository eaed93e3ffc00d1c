//! What publishers get of each charge, by version.

use tollgate_click::control::Publisher;
use tollgate_click::{Micros, Millis, PublisherId, money};

use super::index::{Dense, Place};
use super::kept::kept;
use super::timeline::Timeline;

/// All publishers.
#[derive(Clone, PartialEq, Default, Debug)]
pub(crate) struct Publishers {
    /// Shares in basis points.
    publishers: Dense<PublisherId, Timeline<u16>>,
}

kept!(Publishers { publishers });

impl Publishers {
    /// A new or changed publisher.
    pub(crate) fn change(&mut self, at: Millis, publisher: &Publisher) {
        let share = publisher.share_basis_points;
        match self.publishers.get_mut(publisher.publisher) {
            Some(known) => known.push(at, share),
            None => {
                let known = Timeline::new(at, share);
                self.publishers.push(publisher.publisher, known);
            }
        }
    }

    /// Where a publisher lies in all likelihood.
    pub(crate) fn likely(&self, publisher: PublisherId) -> Option<Place> {
        self.publishers.likely(publisher)
    }

    /// Reads what a share is reckoned from.
    pub(crate) fn touch(&self, place: Place, publisher: PublisherId) -> u64 {
        let shares = self.publishers.if_at(place, publisher);
        shares.map_or(0, |shares| shares.since().0)
    }

    /// Whether there is such a publisher.
    pub(crate) fn knows(&self, publisher: PublisherId) -> bool {
        self.publishers.place(publisher).is_some()
    }

    /// The publisher's part of a charge for a click received then; nothing for one that is not
    /// known.
    pub(crate) fn share_of(
        &self,
        publisher: PublisherId,
        charge: Micros,
        received_at: Millis,
    ) -> Micros {
        let known = self.publishers.get(publisher);
        let share = known.and_then(|known| known.as_of_or_first(received_at));
        // No share is above the whole and no charge below 0, so that split never fails.
        share.map_or(Micros::ZERO, |share| {
            money::split(charge, *share).map_or(Micros::ZERO, |shares| shares.publisher)
        })
    }

    /// Drops versions that were replaced before that instant.
    pub(crate) fn forget_superseded_before(&mut self, instant: Millis) {
        for shares in self.publishers.values_mut() {
            shares.forget_superseded_before(instant);
        }
    }
}
