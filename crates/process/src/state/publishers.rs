//! What publishers get of each charge, by version.

use tollgate_click::control::Publisher;
use tollgate_click::{Micros, Millis, PublisherId, money};

use super::index::{Dense, Place, Slot};
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

    /// Where a publisher lies.
    pub(crate) fn place(&self, publisher: PublisherId) -> Option<Place> {
        self.publishers.place(publisher)
    }

    /// Asks memory for where the look-up of a publisher begins.
    pub(crate) fn prefetch_slot(&self, publisher: PublisherId) -> Slot {
        self.publishers.prefetch_slot(publisher)
    }

    /// Asks memory for the publisher at which a look-up begins.
    pub(crate) fn prefetch(&self, slot: Slot) {
        self.publishers.prefetch(slot);
    }

    /// Whether there is such a publisher.
    pub(crate) fn knows(&self, publisher: PublisherId) -> bool {
        self.publishers.place(publisher).is_some()
    }

    /// The part of a charge of the publisher at a place, for a click received then.
    pub(crate) fn share_of(&self, place: Place, received_at: Millis, charge: Micros) -> Micros {
        let known = self.publishers.at(place);
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
