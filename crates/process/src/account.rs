//! Third step: nonce, campaign, window, price.
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
//! | account | `unknown_campaign` | no such campaign of this advertiser |
//! | account | `paused` | paused as of `received_at` |
//! | account | `expired` | nonce outside its window, or received too long ago |
//! | account | `free` | an import, or no price, or a price of 0 |
//! | account | `billed` | otherwise |
//!
//! The first click of a nonce that gets past `invalid_givt` uses it up, whatever it ends as, so
//! that nobody tries a nonce again until one bills. A nonce out of its window touches no table.
//! Impressions walk the same road with nonces of their own and are never charged.

use tollgate_click::limits::NONCE_AHEAD_MS_MAX;
use tollgate_click::{ClickFacts, Judgement, Micros, Outcome, Source};

use crate::admit::Event;
use crate::effects::{Effect, Effects, Ending, Kind, Reason};
use crate::judge::{Class, Judged, Verdict};
use crate::state::State;
use crate::state::campaigns::Terms;

/// Accounts for a record, and counts it.
pub(crate) fn account(state: &mut State, judged: Judged) -> Effects {
    let effects = match judged {
        Judged::Ended(effects) => effects,
        Judged::Event(event, verdict) => end(state, event, verdict),
    };
    state.counts.count(&effects.effect);
    effects
}

fn end(state: &mut State, event: Event, verdict: Verdict) -> Effects {
    let terms = state.terms_as_of(&event.facts);
    let (outcome, reason) = outcome(state, &event, &verdict, terms);
    let charge = match outcome {
        Outcome::Billed => price(&event.facts, terms).unwrap_or(Micros::ZERO),
        _ => Micros::ZERO,
    };
    let Event {
        ordinal,
        kind,
        facts,
    } = event;
    let currency = terms.map(|terms| terms.currency);
    let judgement = Judgement {
        ordinal,
        outcome,
        charge,
        share: Micros::ZERO,
        currency,
    };
    let ending = Ending {
        kind,
        facts,
        judgement,
        reason,
        hits: verdict.hits,
    };
    Effects {
        ordinal,
        effect: Effect::Ended(ending),
    }
}

/// The table above, from `invalid_givt` on.
fn outcome(
    state: &mut State,
    event: &Event,
    verdict: &Verdict,
    terms: Option<Terms>,
) -> (Outcome, Option<Reason>) {
    let deciding = verdict.deciding();
    if let Some(rule) = deciding.filter(|rule| rule.class == Class::Givt) {
        return (Outcome::InvalidGivt, Some(Reason::Rule(rule)));
    }
    let nonce = use_nonce(state, event);
    if let Some(rule) = deciding {
        return (Outcome::InvalidSivt, Some(Reason::Rule(rule)));
    }
    if nonce == NonceUse::UsedBefore {
        return (Outcome::Duplicate, None);
    }
    let Some(terms) = terms else {
        return (Outcome::UnknownCampaign, None);
    };
    if matches!(event.facts.source, Source::Imported { .. }) {
        return (Outcome::Free, None);
    }
    if terms.paused {
        return (Outcome::Paused, None);
    }
    if let NonceUse::Untouched(reason) = nonce {
        return (Outcome::Expired, Some(reason));
    }
    let billed = event.kind == Kind::Click && price(&event.facts, Some(terms)).is_some();
    (
        if billed {
            Outcome::Billed
        } else {
            Outcome::Free
        },
        None,
    )
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
        return match facts.source {
            Source::Registered { .. } if state.too_late(received_at) => {
                NonceUse::Untouched(Reason::TooLate)
            }
            _ => NonceUse::Fresh,
        };
    };
    if received_at > nonce.at().plus_s(window_s) {
        return NonceUse::Untouched(Reason::WindowOver);
    }
    if nonce.at() > received_at.plus_ms(NONCE_AHEAD_MS_MAX) {
        return NonceUse::Untouched(Reason::NonceAhead);
    }
    // The nonce's hour may be gone by now, so nobody could tell a duplicate any more.
    if state.too_late(received_at) {
        return NonceUse::Untouched(Reason::TooLate);
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

/// The link's price, else the campaign's; a price of 0 is none.
fn price(facts: &ClickFacts, terms: Option<Terms>) -> Option<Micros> {
    let own = match facts.source {
        Source::Signed { price, .. } => price,
        Source::Registered { .. } | Source::Imported { .. } => None,
    };
    own.or(terms.and_then(|terms| terms.price))
        .filter(|price| *price > Micros::ZERO)
}
