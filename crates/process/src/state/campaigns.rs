//! Campaigns: price and pause by version, budgets as of the last change, and what was spent.

use std::slice::from_ref;

use prefetch_index::prefetch_index;
use tollgate_click::codec::{DecodeError, Reader};
use tollgate_click::control::{self, CampaignState};
use tollgate_click::{AdvertiserId, CampaignId, Millis};

use super::budgets::{Budgets, Spent};
use super::index::{Dense, Place, Slot};
use super::kept::{Kept, kept};
use super::rare::MaybeMicros;
use super::timeline::Timeline;

/// All campaigns of the partition. A campaign of one advertiser is no campaign of another.
#[derive(Clone, PartialEq, Default, Debug)]
pub(crate) struct Campaigns {
    campaigns: Dense<(AdvertiserId, CampaignId), Campaign>,
}

/// One campaign. What it is and what it has spent stand side by side: with their key they fill two
/// lines of the processor's cache, of which `spent` begins in the second.
#[derive(Clone, PartialEq, Debug)]
#[repr(C)]
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
    pub(crate) price: MaybeMicros,
    /// Whether clicks bill.
    pub(crate) state: CampaignState,
}

const _: () = assert!(Dense::<(AdvertiserId, CampaignId), Campaign>::ROW_BYTES == 128);

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
            price: campaign.price.into(),
            state: campaign.state,
        };
        let budgets = Budgets {
            daily: campaign.daily_budget.into(),
            total: campaign.total_budget.into(),
            offsets: campaign.offsets.clone().into(),
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

    /// Where a campaign lies.
    pub(crate) fn place(&self, advertiser: AdvertiserId, campaign: CampaignId) -> Option<Place> {
        self.campaigns.place((advertiser, campaign))
    }

    /// The campaign at a place, unless it began after the click was received.
    pub(crate) fn as_of(&self, place: Place, received_at: Millis) -> Option<(&Campaign, Terms)> {
        let campaign = self.campaigns.at(place)?;
        let terms = campaign.terms.as_of_or_first(received_at)?;
        Some((campaign, *terms))
    }

    /// Asks memory for where the look-up of a campaign begins.
    pub(crate) fn prefetch_slot(&self, advertiser: AdvertiserId, campaign: CampaignId) -> Slot {
        self.campaigns.prefetch_slot((advertiser, campaign))
    }

    /// Asks memory for the campaign at which a look-up begins.
    pub(crate) fn prefetch(&self, slot: Slot) {
        if let Some(campaign) = self.campaigns.prefetch(slot) {
            prefetch_index(from_ref(&campaign.spent), 0);
        }
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

    /// The campaign at a place.
    pub(crate) fn at(&self, place: Place) -> Option<&Campaign> {
        self.campaigns.at(place)
    }

    /// All campaigns.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&(AdvertiserId, CampaignId), &Campaign)> {
        self.campaigns.iter()
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
