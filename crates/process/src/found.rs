//! Where the things lie that an event names. One event's look-ups wait for memory one after the
//! other, those of many events do not: so each is asked for in a pass of its own, a pass before it
//! is read.

use tollgate_click::Source;

use crate::effects::{Effect, Effects, Ending, Kind};
use crate::state::State;
use crate::state::index::{Place, Slot};

/// What an event names. Nothing ever moves, so this holds until a control record comes.
#[derive(Clone, Copy, Default)]
pub(crate) struct Found {
    pub(crate) campaign: Option<Place>,
    pub(crate) publisher: Option<Place>,
}

impl Found {
    /// Looks an event's campaign and publisher up.
    pub(crate) fn of(state: &State, event: &Effects) -> Found {
        let Some(ending) = event_of(event) else {
            return Found::default();
        };
        let facts = &ending.facts;
        Found {
            campaign: state.campaigns.place(facts.advertiser, facts.campaign),
            publisher: state.publishers.place(facts.publisher),
        }
    }
}

/// Where the look-ups of an event begin.
#[derive(Clone, Copy, Default)]
pub(crate) struct Likely {
    campaign: Slot,
    publisher: Slot,
}

impl State {
    /// Asks memory for the first of what an event's look-ups read, and for its nonce.
    pub(crate) fn prefetch_slots(&self, event: &Effects) -> Likely {
        let Some(ending) = event_of(event) else {
            return Likely::default();
        };
        let facts = &ending.facts;
        if let Source::Signed { nonce, .. } = facts.source {
            let table = match ending.kind {
                Kind::Click => &self.clicked,
                Kind::Impression => &self.shown,
            };
            table.prefetch(facts.advertiser, nonce);
        }
        Likely {
            campaign: self
                .campaigns
                .prefetch_slot(facts.advertiser, facts.campaign),
            publisher: self.publishers.prefetch_slot(facts.publisher),
        }
    }

    /// Asks memory for the campaign and the publisher at which the look-ups begin.
    pub(crate) fn prefetch_rows(&self, likely: Likely) {
        self.campaigns.prefetch(likely.campaign);
        self.publishers.prefetch(likely.publisher);
    }

    /// Asks memory for the account that pays.
    pub(crate) fn prefetch_account(&self, found: Found) {
        let campaign = found.campaign.and_then(|place| self.campaigns.at(place));
        if let Some(campaign) = campaign {
            self.accounts.prefetch(campaign.account);
        }
    }
}

fn event_of(effects: &Effects) -> Option<&Ending> {
    match &effects.effect {
        Effect::Ended(ending) => Some(ending),
        _ => None,
    }
}
