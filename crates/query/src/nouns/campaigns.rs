//! Campaigns: price, budgets, zone, and whether they run.

use serde::{Deserialize, Serialize};
use tollgate_click::control::{self, CampaignState};
use tollgate_click::{AdvertiserId, CampaignId, Change, Micros};
use utoipa::ToSchema;

use super::checks::absent;
use super::{Checks, Noun, Turn};
use crate::currencies;
use crate::desk::NewChange;
use crate::integer::{Integer, Signed, Unsigned};
use crate::names::skeleton;
use crate::params::{Param, Params};
use crate::problem::Problem;
use crate::seen::Seen;
use crate::standing::Standing;
use crate::zones;

/// What a list of campaigns takes.
pub(crate) const PARAMS: &[Param] = &[
    super::LIMIT,
    super::CURSOR,
    Param {
        name: "advertiser",
        about: "Only this advertiser's",
        many: false,
    },
    Param {
        name: "state",
        about: "Only active, paused or archived ones",
        many: false,
    },
];

/// A campaign.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Campaign {
    /// Its number, from 1; the next free one where none is given.
    #[serde(default)]
    campaign: Option<Unsigned>,
    /// Who pays; never changes.
    advertiser: u32,
    /// Its name, which no other one's of its advertiser reads like.
    name: String,
    /// ISO 4217; its advertiser's where none is given; never changes.
    #[serde(default)]
    currency: Option<String>,
    /// Price of a click whose link names none; none means that such clicks are free. A change
    /// holds for clicks received after it.
    #[serde(default)]
    price_micros: Option<Signed>,
    /// Whether it runs.
    #[serde(default)]
    state: State,
    /// What its clicks received in one day of its zone may cost; none means no limit.
    #[serde(default)]
    daily_budget_micros: Option<Signed>,
    /// What its clicks may cost in all; none means no limit. Below what is spent it stops clicks.
    #[serde(default)]
    total_budget_micros: Option<Signed>,
    /// Its time zone, by its IANA name.
    #[serde(default = "utc")]
    zone: String,
}

/// Whether a campaign runs.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum State {
    /// Clicks bill.
    #[default]
    Active,
    /// Clicks redirect and do not bill.
    Paused,
    /// As paused, for good.
    Archived,
}

fn utc() -> String {
    "UTC".to_owned()
}

impl Campaign {
    pub(crate) fn shown(one: &control::Campaign) -> Campaign {
        let micros = |amount: Micros| Integer(amount.0);
        Campaign {
            campaign: Some(Integer(one.campaign.0)),
            advertiser: one.advertiser.0,
            name: one.name.clone(),
            currency: Some(one.currency.to_string()),
            price_micros: one.price.map(micros),
            state: match one.state {
                CampaignState::Active => State::Active,
                CampaignState::Paused => State::Paused,
                CampaignState::Archived => State::Archived,
            },
            daily_budget_micros: one.daily_budget.map(micros),
            total_budget_micros: one.total_budget.map(micros),
            zone: match one.zone.is_empty() {
                true => utc(),
                false => one.zone.clone(),
            },
        }
    }

    fn check_kept(&self, before: &Campaign) -> Result<(), Problem> {
        if before.advertiser != self.advertiser {
            return Err(Problem::conflict(
                "/advertiser",
                "it never changes",
                "a new campaign",
            ));
        }
        if before.currency != self.currency {
            return Err(Problem::conflict(
                "/currency",
                "it never changes",
                "a new campaign",
            ));
        }
        if before.state == State::Archived {
            return Err(Problem::conflict(
                "/state",
                "it is archived for good",
                "a new campaign",
            ));
        }
        Ok(())
    }
}

impl Noun for Campaign {
    const ID: &'static str = "campaign";
    const ID_MAX: u64 = u64::MAX;

    fn id(&self) -> Option<u64> {
        self.campaign.map(|id| id.0)
    }

    fn numbered(self, id: u64) -> Campaign {
        Campaign {
            campaign: Some(Integer(id)),
            ..self
        }
    }

    fn last(standing: &Standing) -> u64 {
        standing
            .campaigns
            .last_key_value()
            .map_or(0, |(id, _)| id.0)
    }

    fn list<'a>(seen: Seen<'a>, after: Option<u64>) -> Box<dyn Iterator<Item = Self> + 'a> {
        Box::new(seen.campaigns(after).map(Campaign::shown))
    }

    fn get(seen: Seen<'_>, id: u64) -> Option<Campaign> {
        seen.campaign(CampaignId(id)).map(Campaign::shown)
    }

    fn is_taken(standing: &Standing, id: u64) -> bool {
        standing.campaigns.contains_key(&CampaignId(id))
    }

    fn matches(&self, params: &Params) -> Result<bool, Problem> {
        let wanted: Option<u32> = params.id("advertiser")?;
        let state = match params.get("state") {
            None => None,
            Some("active") => Some(State::Active),
            Some("paused") => Some(State::Paused),
            Some("archived") => Some(State::Archived),
            Some(_) => {
                let allowed = "active, paused, archived";
                return Err(Problem::malformed("state", "it is not known", allowed));
            }
        };
        let is_its = wanted.is_none_or(|wanted| wanted == self.advertiser);
        Ok(is_its && state.is_none_or(|state| state == self.state))
    }

    fn unique(&self) -> Vec<(&'static str, String)> {
        vec![(
            "name",
            format!("{}/{}", self.advertiser, skeleton(&self.name)),
        )]
    }

    fn filled_like(self, known: &Campaign) -> Campaign {
        Campaign {
            currency: self.currency.or_else(|| known.currency.clone()),
            ..self
        }
    }

    fn check(&self, before: Option<&Campaign>, turn: &Turn<'_>) -> Result<NewChange, Problem> {
        let owner = AdvertiserId(self.advertiser);
        let advertiser = turn.seen.advertiser(owner);
        let of_old = before.and_then(|_| turn.seen.campaign(CampaignId(self.id()?)));
        if before.is_none() && advertiser.is_none() {
            return Err(absent("/advertiser", "advertiser"));
        }
        if let Some(before) = before {
            self.check_kept(before)?;
        }
        let home = advertiser.map(|one| one.currency);
        let mut checks = Checks::default();
        if before.is_none_or(|before| before.name != self.name) {
            checks.name(&self.name);
        }
        let currency = match &self.currency {
            None => home.ok_or_else(|| "there is none".to_owned()),
            Some(text) => match of_old {
                // What stands was right when it was made.
                Some(old) => Ok(old.currency),
                None => currencies::parse(text),
            },
        };
        if let Err(what) = &currency {
            checks.note("/currency", what, currencies::ALLOWED);
        }
        let price = checks.amount("/price_micros", self.price_micros, 0);
        let daily = checks.amount("/daily_budget_micros", self.daily_budget_micros, 1);
        let total = checks.amount("/total_budget_micros", self.total_budget_micros, 1);
        let offsets = zones::offsets(&self.zone, turn.now);
        if let Err(what) = &offsets {
            checks.note("/zone", what, zones::ALLOWED);
        }
        checks.done()?;
        let currency = currency.map_err(|what| Problem::invalid("/currency", what, ""))?;
        if home.is_some_and(|home| home != currency) {
            let what = "it is not its advertiser's";
            return Err(Problem::invalid(
                "/currency",
                what,
                "the advertiser's, or none",
            ));
        }
        let alike = turn.seen.taken().campaign_named(owner, &self.name);
        let is_other = alike.is_some_and(|alike| Some(alike.0) != self.id());
        if is_other && before.is_none_or(|before| before.name != self.name) {
            let what = "another campaign's name reads alike";
            return Err(Problem::conflict("/name", what, "another name"));
        }
        Ok(Change::Campaign(control::Campaign {
            campaign: CampaignId(self.id().unwrap_or(0)),
            advertiser: owner,
            name: self.name.clone(),
            currency,
            price,
            state: match self.state {
                State::Active => CampaignState::Active,
                State::Paused => CampaignState::Paused,
                State::Archived => CampaignState::Archived,
            },
            daily_budget: daily,
            total_budget: total,
            zone: self.zone.clone(),
            offsets: offsets.unwrap_or_default(),
        })
        .into())
    }

    /// What was spent is in the books for good, so it is archived.
    fn removal(&self, turn: &Turn<'_>) -> Result<Option<NewChange>, Problem> {
        let archived = Campaign {
            state: State::Archived,
            ..self.clone()
        };
        match self.state {
            State::Archived => Ok(None),
            _ => archived.check(Some(self), turn).map(Some),
        }
    }
}
