//! Campaigns: price and pause by version, budgets as of the last change, and what was spent.

use tollgate_click::codec::{DecodeError, Reader};
use tollgate_click::control::{self, CampaignState};
use tollgate_click::{AdvertiserId, CampaignId, Micros, Millis};

use super::budgets::{Budgets, Spent};
use super::index::{Dense, Place};
use super::kept::{Kept, kept};
use super::timeline::Timeline;

/// All campaigns of the partition. A campaign of one advertiser is no campaign of another.
#[derive(Clone, PartialEq, Default, Debug)]
pub(crate) struct Campaigns {
    campaigns: Dense<(AdvertiserId, CampaignId), Campaign>,
}

/// One campaign.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Campaign {
    /// Whose account pays.
    pub(crate) account: Place,
    /// As of `received_at`.
    terms: Timeline<Terms>,
    /// As of now.
    pub(crate) budgets: Budgets,
    pub(crate) spent: Spent,
}

/// What a click on a campaign meets, as of when it was received.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Terms {
    /// Of a click whose link names none.
    pub(crate) price: Option<Micros>,
    /// Whether clicks bill.
    pub(crate) state: CampaignState,
}

kept!(Campaigns { campaigns });
kept!(Campaign {
    account,
    terms,
    budgets,
    spent
});
kept!(Terms { price, state });

impl Campaigns {
    /// A new or changed campaign of an account in its currency.
    pub(crate) fn change(&mut self, at: Millis, campaign: &control::Campaign, account: Place) {
        let terms = Terms {
            price: campaign.price,
            state: campaign.state,
        };
        let budgets = Budgets {
            daily: campaign.daily_budget,
            total: campaign.total_budget,
            offsets: campaign.offsets.clone(),
        };
        let key = (campaign.advertiser, campaign.campaign);
        if let Some(known) = self.campaigns.get_mut(key) {
            known.terms.push(at, terms);
            known.budgets = budgets;
            return;
        }
        let campaign = Campaign {
            account,
            terms: Timeline::new(at, terms),
            budgets,
            spent: Spent::default(),
        };
        self.campaigns.push(key, campaign);
    }

    /// The campaign that a click names, unless it began after the click was received.
    pub(crate) fn as_of(
        &self,
        advertiser: AdvertiserId,
        campaign: CampaignId,
        received_at: Millis,
    ) -> Option<(Place, &Campaign, Terms)> {
        let place = self.campaigns.place((advertiser, campaign))?;
        let campaign = self.campaigns.at(place)?;
        let terms = campaign.terms.as_of_or_first(received_at)?;
        Some((place, campaign, *terms))
    }

    /// Where a campaign lies in all likelihood.
    pub(crate) fn likely(&self, advertiser: AdvertiserId, campaign: CampaignId) -> Option<Place> {
        self.campaigns.likely((advertiser, campaign))
    }

    /// The campaign, if it lies at a likely place.
    pub(crate) fn if_at(
        &self,
        place: Place,
        advertiser: AdvertiserId,
        campaign: CampaignId,
    ) -> Option<&Campaign> {
        self.campaigns.if_at(place, (advertiser, campaign))
    }

    /// A campaign, whenever it began.
    pub(crate) fn get(&self, advertiser: AdvertiserId, campaign: CampaignId) -> Option<&Campaign> {
        self.campaigns.get((advertiser, campaign))
    }

    /// The campaign at a place, to charge it.
    pub(crate) fn at_mut(&mut self, place: Place) -> Option<&mut Campaign> {
        self.campaigns.at_mut(place)
    }

    /// Drops versions that were replaced before an instant, and dates that are over by the clock.
    pub(crate) fn forget(&mut self, superseded_before: Millis, clock: Millis) {
        for campaign in self.campaigns.values_mut() {
            campaign.terms.forget_superseded_before(superseded_before);
            campaign.spent.forget_over(clock);
        }
    }

    /// All campaigns.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &((AdvertiserId, CampaignId), Campaign)> {
        self.campaigns.iter()
    }
}

impl Campaign {
    /// Reads what a charge reads.
    pub(crate) fn touch(&self) -> u64 {
        let budget = self.budgets.daily.map_or(0, |daily| daily.0 as u64);
        budget ^ self.spent.total().0 as u64 ^ self.terms.since().0
    }
}

impl Kept for CampaignState {
    fn put(&self, out: &mut Vec<u8>) {
        out.push(*self as u8);
    }

    fn take(reader: &mut Reader<'_>) -> Result<CampaignState, DecodeError> {
        match reader.u8("campaign state")? {
            0 => Ok(CampaignState::Active),
            1 => Ok(CampaignState::Paused),
            2 => Ok(CampaignState::Archived),
            _ => Err(DecodeError::Invalid("campaign state")),
        }
    }
}
