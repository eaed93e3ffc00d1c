//! Price and pause of campaigns, by version.

use std::collections::BTreeMap;

use tollgate_click::{AdvertiserId, CampaignId, Currency, Micros, Millis};

use super::kept::kept;
use super::timeline::Timeline;

/// What a click on a campaign meets.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Terms {
    /// Of all its prices, for ever.
    pub(crate) currency: Currency,
    /// Of a click whose link names none.
    pub(crate) price: Option<Micros>,
    /// Clicks do not bill.
    pub(crate) paused: bool,
}

kept!(Terms {
    currency,
    price,
    paused
});

/// All campaigns of the partition. A campaign of one advertiser is no campaign of another.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub(crate) struct Campaigns {
    campaigns: BTreeMap<(AdvertiserId, CampaignId), Timeline<Terms>>,
}

kept!(Campaigns { campaigns });

impl Campaigns {
    /// Adds a version; false when it would change the currency, which never changes.
    pub(crate) fn change(
        &mut self,
        advertiser: AdvertiserId,
        campaign: CampaignId,
        at: Millis,
        terms: Terms,
    ) -> bool {
        let timeline = self.campaigns.entry((advertiser, campaign)).or_default();
        if timeline
            .last()
            .is_some_and(|last| last.currency != terms.currency)
        {
            return false;
        }
        timeline.push(at, terms);
        true
    }

    /// The versions of a campaign.
    pub(crate) fn of(
        &self,
        advertiser: AdvertiserId,
        campaign: CampaignId,
    ) -> Option<&Timeline<Terms>> {
        self.campaigns.get(&(advertiser, campaign))
    }

    /// Drops versions that were replaced before that instant.
    pub(crate) fn forget_superseded_before(&mut self, instant: Millis) {
        for timeline in self.campaigns.values_mut() {
            timeline.forget_superseded_before(instant);
        }
    }
}
