//! What must change so that what stands is what the files want.
//!
//! Files add and change; only links are removed by leaving them out, and only those that came from
//! files. What a file cannot say (payment, budgets, zone) stays as it was made over the API. Keys
//! and tokens are revoked by saying so, since a file that was cut short must not stop all traffic.
//! What decides a bill in the past never changes: a campaign keeps its advertiser and currency, a
//! key its secret, and what was revoked stays revoked.

use thiserror::Error;
use tollgate_click::control::{Advertiser, Campaign, CampaignState};
use tollgate_click::{Actor, Change, KeyId};
use tollgate_query::NewChange;
use tollgate_query::standing::Standing;

use super::files::{Wanted, WantedKey, WantedToken};

/// What is wanted contradicts what stands: where it is written, and what is wrong.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
#[error("{place}: {what}")]
pub(crate) struct Differs {
    place: String,
    what: String,
}

/// The changes, in an order in which each has what it needs.
pub(crate) fn steps(standing: &Standing, wanted: &Wanted) -> Result<Vec<NewChange>, Differs> {
    let mut steps = Vec::new();
    advertisers(standing, wanted, &mut steps);
    campaigns(standing, wanted, &mut steps)?;
    keys(standing, wanted, &mut steps)?;
    tokens(standing, wanted, &mut steps)?;
    links(standing, wanted, &mut steps);
    Ok(steps)
}

fn advertisers(standing: &Standing, wanted: &Wanted, steps: &mut Vec<NewChange>) {
    for (number, (advertiser, _)) in &wanted.advertisers {
        let known = standing.advertisers.get(number);
        let wanted = Advertiser {
            payment: known.map_or(advertiser.payment, |known| known.payment),
            ..advertiser.clone()
        };
        if known != Some(&wanted) {
            steps.push(Change::Advertiser(wanted).into());
        }
    }
}

fn campaigns(
    standing: &Standing,
    wanted: &Wanted,
    steps: &mut Vec<NewChange>,
) -> Result<(), Differs> {
    for (number, (campaign, place)) in &wanted.campaigns {
        let known = standing.campaigns.get(number);
        let differs = |what: String| Differs {
            place: place.clone(),
            what,
        };
        if let Some(known) = known {
            if known.advertiser != campaign.advertiser {
                let owner = known.advertiser;
                return Err(differs(format!(
                    "campaign {number} is advertiser {owner}'s for good"
                )));
            }
            if known.currency != campaign.currency {
                let currency = known.currency;
                return Err(differs(format!(
                    "campaign {number} is in {currency} for good"
                )));
            }
        }
        let wanted = match known {
            Some(known) => with_unsaid(campaign, known),
            None => campaign.clone(),
        };
        if known != Some(&wanted) {
            steps.push(Change::Campaign(wanted).into());
        }
    }
    Ok(())
}

/// What a file cannot say is as it stands; who is archived stays so.
fn with_unsaid(wanted: &Campaign, known: &Campaign) -> Campaign {
    let is_archived = known.state == CampaignState::Archived;
    Campaign {
        daily_budget: known.daily_budget,
        total_budget: known.total_budget,
        zone: known.zone.clone(),
        offsets: known.offsets.clone(),
        state: if is_archived {
            known.state
        } else {
            wanted.state
        },
        ..wanted.clone()
    }
}

fn keys(standing: &Standing, wanted: &Wanted, steps: &mut Vec<NewChange>) -> Result<(), Differs> {
    for (
        number,
        (
            WantedKey {
                key,
                secret,
                revoked,
            },
            place,
        ),
    ) in &wanted.keys
    {
        let differs = |what: String| Differs {
            place: place.clone(),
            what,
        };
        let known = standing.keys.get(number);
        if known
            .and_then(|known| known.secret)
            .is_some_and(|known| known != *secret)
        {
            let what = format!("key {number} has another secret; a new secret needs a new number");
            return Err(differs(what));
        }
        let was_revoked = known.is_some_and(|known| known.revoked_at.is_some());
        if was_revoked && !revoked {
            return Err(differs(format!(
                "key {number} was revoked for good; make a new one"
            )));
        }
        let changed = known.is_none_or(|known| known.key != *key || known.secret.is_none());
        // In the core a new version of a key is one that is not revoked, so a revoked key is
        // told no more.
        if changed && !was_revoked {
            let change = Change::Key(key.clone());
            steps.push(NewChange {
                change,
                secret: secret.to_vec(),
            });
        }
        if *revoked && !was_revoked {
            steps.push(Change::KeyRevoked(KeyId(number.0)).into());
        }
    }
    Ok(())
}

fn tokens(standing: &Standing, wanted: &Wanted, steps: &mut Vec<NewChange>) -> Result<(), Differs> {
    for (
        number,
        (
            WantedToken {
                token,
                hash,
                revoked,
            },
            place,
        ),
    ) in &wanted.tokens
    {
        let differs = |what: String| Differs {
            place: place.clone(),
            what,
        };
        let known = standing.tokens.get(number);
        if known
            .and_then(|known| known.hash)
            .is_some_and(|known| known != *hash)
        {
            return Err(differs(format!(
                "token {number} has another secret; use a new number"
            )));
        }
        let was_revoked = known.is_some_and(|known| known.revoked);
        if was_revoked && !revoked {
            return Err(differs(format!(
                "token {number} was revoked for good; make a new one"
            )));
        }
        let changed = known.is_none_or(|known| known.token != *token || known.hash.is_none());
        if changed && !was_revoked {
            let change = Change::Token(token.clone());
            steps.push(NewChange {
                change,
                secret: hash.to_vec(),
            });
        }
        if *revoked && !was_revoked {
            steps.push(Change::TokenRevoked(*number).into());
        }
    }
    Ok(())
}

fn links(standing: &Standing, wanted: &Wanted, steps: &mut Vec<NewChange>) {
    let Some(links) = &wanted.links else {
        return;
    };
    for (number, known) in &standing.links {
        if known.by == Actor(0) && !links.contains_key(number) {
            steps.push(Change::LinkRemoved(*number).into());
        }
    }
    for (number, (link, _)) in links {
        if standing.links.get(number).map(|known| &known.link) != Some(link) {
            steps.push(Change::Link(link.clone()).into());
        }
    }
}
