//! What must change so that what stands is what the files want.
//!
//! Files add and change; only links are removed by leaving them out. Keys and tokens are revoked
//! by saying so, since a file that was cut short must not stop all traffic. What decides a bill
//! in the past never changes: a campaign keeps its advertiser and currency, a key its secret, and
//! what was revoked stays revoked.

use thiserror::Error;
use tollgate_click::{Change, KeyId};

use super::files::{Wanted, WantedKey, WantedToken};
use super::standing::Standing;

/// One change, with what goes into the record's second part.
#[derive(Clone, PartialEq)]
pub(crate) struct Step {
    pub(crate) change: Change,
    pub(crate) secret: Vec<u8>,
}

/// What is wanted contradicts what stands: where it is written, and what is wrong.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
#[error("{place}: {what}")]
pub(crate) struct Differs {
    place: String,
    what: String,
}

/// The changes, in an order in which each has what it needs.
pub(crate) fn steps(standing: &Standing, wanted: &Wanted) -> Result<Vec<Step>, Differs> {
    let mut steps = Vec::new();
    advertisers(standing, wanted, &mut steps);
    campaigns(standing, wanted, &mut steps)?;
    keys(standing, wanted, &mut steps)?;
    tokens(standing, wanted, &mut steps)?;
    links(standing, wanted, &mut steps);
    Ok(steps)
}

impl From<Change> for Step {
    fn from(change: Change) -> Step {
        Step {
            change,
            secret: Vec::new(),
        }
    }
}

fn advertisers(standing: &Standing, wanted: &Wanted, steps: &mut Vec<Step>) {
    for (number, (advertiser, _)) in &wanted.advertisers {
        if standing.advertisers.get(number) != Some(advertiser) {
            steps.push(Change::Advertiser(advertiser.clone()).into());
        }
    }
}

fn campaigns(standing: &Standing, wanted: &Wanted, steps: &mut Vec<Step>) -> Result<(), Differs> {
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
        if known != Some(campaign) {
            steps.push(Change::Campaign(campaign.clone()).into());
        }
    }
    Ok(())
}

fn keys(standing: &Standing, wanted: &Wanted, steps: &mut Vec<Step>) -> Result<(), Differs> {
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
            steps.push(Step {
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

fn tokens(standing: &Standing, wanted: &Wanted, steps: &mut Vec<Step>) -> Result<(), Differs> {
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
            steps.push(Step {
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

fn links(standing: &Standing, wanted: &Wanted, steps: &mut Vec<Step>) {
    let Some(links) = &wanted.links else {
        return;
    };
    for number in standing
        .links
        .keys()
        .filter(|number| !links.contains_key(number))
    {
        steps.push(Change::LinkRemoved(*number).into());
    }
    for (number, (link, _)) in links {
        if standing.links.get(number) != Some(link) {
            steps.push(Change::Link(link.clone()).into());
        }
    }
}
