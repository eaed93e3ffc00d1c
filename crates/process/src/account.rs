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
use tollgate_click::{ClickFacts, Currency, Judgement, Micros, Outcome, Source};

use crate::admit::{Admitted, Event};
use crate::effects::{Effect, Effects, Ending, Kind, Reason};
use crate::judge::{Class, Hits};
use crate::state::State;
use crate::state::campaigns::Terms;
use crate::state::index::Place;

/// Accounts for a record, and counts it.
pub(crate) fn account(state: &mut State, admitted: Admitted, hits: Hits) -> Effects {
    let effects = match admitted {
        Admitted::Ended(effects) => effects,
        Admitted::Event(event) => end(state, event, hits),
    };
    state.counts.count(&effects.effect);
    effects
}

fn end(state: &mut State, event: Event, hits: Hits) -> Effects {
    let campaign = Campaign::of(state, &event.facts);
    let told = outcome(state, &event, hits, campaign);
    let Event {
        ordinal,
        kind,
        facts,
    } = event;
    let judgement = Judgement {
        ordinal,
        outcome: told.outcome,
        charge: told.charge,
        share: match told.outcome {
            Outcome::Billed => state.share_of(&facts, told.charge),
            _ => Micros::ZERO,
        },
        currency: campaign.map(|campaign| campaign.currency),
    };
    let ending = Ending {
        kind,
        facts,
        judgement,
        reason: told.reason,
        hits,
    };
    Effects {
        ordinal,
        effect: Effect::Ended(ending),
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
    fn of(state: &State, facts: &ClickFacts) -> Option<Campaign> {
        let (advertiser, received_at) = (facts.advertiser, facts.received_at());
        let found = state
            .campaigns
            .as_of(advertiser, facts.campaign, received_at);
        let (place, campaign, terms) = found?;
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
fn outcome(state: &mut State, event: &Event, hits: Hits, campaign: Option<Campaign>) -> Told {
    let deciding = hits.deciding();
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

fn use_nonce(state: &mut State, event: &Event) -> NonceUse {
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
fn price(event: &Event, terms: Terms) -> Option<Micros> {
    let own = match event.facts.source {
        Source::Signed { price, .. } => price,
        Source::Registered { .. } => None,
        Source::Imported { .. } => return None,
    };
    let price = own.or(terms.price).filter(|price| *price > Micros::ZERO);
    price.filter(|_| event.kind == Kind::Click)
}
