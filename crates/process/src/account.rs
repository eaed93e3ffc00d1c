//! Third step: nonce, campaign, window, price, budgets, shares.
//!
//! With what `admit` has ended before, the outcomes are tried in the order of this table, which
//! is DESIGN.md section 4; the first row that applies is the outcome.
//!
//! | step | outcome | when |
//! |---|---|---|
//! | admit | `resent` | the session's sequence number was seen before |
//! | admit | `quarantined` | damaged, or makes no sense |
//! | admit | `test` | test link or key |
//! | admit | `unauthorised` | key revoked, or not for this advertiser, as of `received_at` |
//! | account | `invalid_givt` | the deciding rule is of class GIVT; the nonce stays unused |
//! | account | `invalid_sivt` | the deciding rule is of class SIVT |
//! | account | `duplicate` | the nonce was used by an earlier click |
//! | account | `unknown_campaign` | no such campaign of this advertiser as of `received_at` |
//! | account | `paused` | paused or archived as of `received_at` |
//! | account | `expired` | nonce outside its window, or received too long ago or far ahead |
//! | account | `over_budget` | the price does not fit the day's budget, the campaign's budget or the account |
//! | account | `free` | an import, an impression, or no price, or a price of 0 |
//! | account | `billed` | otherwise |
//!
//! `over_budget` stands before `free` and never meets it: what costs nothing fits any budget.
//!
//! The first click of a nonce that gets past `invalid_givt` uses it up, whatever it ends as, so
//! that nobody tries a nonce again until one bills. A nonce out of its window touches no table.
//! Impressions walk the same road with nonces of their own and are never charged.

use tollgate_click::control::CampaignState;
use tollgate_click::limits::NONCE_AHEAD_MS_MAX;
use tollgate_click::{Currency, Micros, Millis, Outcome, Source};

use crate::effects::{Ending, Kind, Reason};
use crate::found::Found;
use crate::judge::Class;
use crate::state::State;
use crate::state::campaigns::Terms;
use crate::state::index::Place;

/// Accounts for an event: writes how it ends, why, and what it costs.
pub(crate) fn account(state: &mut State, found: Found, event: &mut Ending) {
    let received_at = event.facts.received_at();
    let campaign = Campaign::of(state, found, received_at);
    let told = outcome(state, event, campaign);
    event.reason = told.reason;
    event.judgement.outcome = told.outcome;
    event.judgement.charge = told.charge;
    event.judgement.currency = campaign.map(|campaign| campaign.currency);
    if told.outcome == Outcome::Billed {
        event.judgement.share = state.share_of(found, received_at, told.charge);
    }
}

/// The campaign that a click names, as of when it was received.
#[derive(Clone, Copy)]
struct Campaign {
    place: Place,
    terms: Terms,
    currency: Currency,
}

impl Campaign {
    fn of(state: &State, found: Found, received_at: Millis) -> Option<Campaign> {
        let place = found.campaign?;
        let (campaign, terms) = state.campaigns.as_of(place, received_at)?;
        let currency = state.accounts.at(campaign.account)?.currency;
        Some(Campaign {
            place,
            terms,
            currency,
        })
    }
}

/// How an event ends.
struct Told {
    outcome: Outcome,
    reason: Option<Reason>,
    charge: Micros,
}

impl Told {
    fn because(outcome: Outcome, reason: Reason) -> Told {
        Told {
            reason: Some(reason),
            ..Told::from(outcome)
        }
    }
}

impl From<Outcome> for Told {
    fn from(outcome: Outcome) -> Told {
        Told {
            outcome,
            reason: None,
            charge: Micros::ZERO,
        }
    }
}

/// The table above, from `invalid_givt` on.
fn outcome(state: &mut State, event: &Ending, campaign: Option<Campaign>) -> Told {
    let deciding = event.hits.deciding();
    if let Some(rule) = deciding.filter(|rule| rule.class == Class::Givt) {
        return Told::because(Outcome::InvalidGivt, Reason::Rule(rule));
    }
    let nonce = use_nonce(state, event);
    if let Some(rule) = deciding {
        return Told::because(Outcome::InvalidSivt, Reason::Rule(rule));
    }
    if nonce == NonceUse::UsedBefore {
        return Outcome::Duplicate.into();
    }
    let Some(Campaign { place, terms, .. }) = campaign else {
        return Outcome::UnknownCampaign.into();
    };
    match terms.state {
        CampaignState::Active => {}
        CampaignState::Paused => return Outcome::Paused.into(),
        CampaignState::Archived => return Told::because(Outcome::Paused, Reason::Archived),
    }
    if let NonceUse::Untouched(reason) = nonce {
        return Told::because(Outcome::Expired, reason);
    }
    let Some(price) = price(event, terms) else {
        return Outcome::Free.into();
    };
    match state.charge(place, event.facts.received_at(), price) {
        Err(reason) => Told::because(Outcome::OverBudget, reason),
        Ok(()) => Told {
            charge: price,
            ..Outcome::Billed.into()
        },
    }
}

/// What became of the click's nonce.
#[derive(Clone, Copy, PartialEq, Debug)]
enum NonceUse {
    /// This click was the first, or its link has none.
    Fresh,
    /// An earlier click had used it.
    UsedBefore,
    /// No table was looked into: the click cannot bill any more.
    Untouched(Reason),
}

fn use_nonce(state: &mut State, event: &Ending) -> NonceUse {
    let facts = &event.facts;
    let received_at = facts.received_at();
    let Source::Signed {
        nonce, window_s, ..
    } = facts.source
    else {
        let untimely = match facts.source {
            Source::Registered { .. } => state.untimely(received_at),
            _ => None,
        };
        return untimely.map_or(NonceUse::Fresh, NonceUse::Untouched);
    };
    if received_at > nonce.at().plus_s(window_s) {
        return NonceUse::Untouched(Reason::WindowOver);
    }
    if nonce.at() > received_at.plus_ms(NONCE_AHEAD_MS_MAX) {
        return NonceUse::Untouched(Reason::NonceAhead);
    }
    // The nonce's hour may be gone by now, so nobody could tell a duplicate any more; or it is
    // one that nobody would ever drop.
    if let Some(reason) = state.untimely(received_at) {
        return NonceUse::Untouched(reason);
    }
    let table = match event.kind {
        Kind::Click => &mut state.clicked,
        Kind::Impression => &mut state.shown,
    };
    if table.use_up(facts.advertiser, nonce) {
        NonceUse::Fresh
    } else {
        NonceUse::UsedBefore
    }
}

/// What a click costs: the link's price, else the campaign's. A price of 0 is none; imports and
/// impressions have none.
fn price(event: &Ending, terms: Terms) -> Option<Micros> {
    let own = match event.facts.source {
        Source::Signed { price, .. } => price,
        Source::Registered { .. } => None,
        Source::Imported { .. } => return None,
    };
    let price = own
        .or(terms.price.get())
        .filter(|price| *price > Micros::ZERO);
    price.filter(|_| event.kind == Kind::Click)
}
