//! Ads: creatives, by name.

use serde::{Deserialize, Serialize};
use tollgate_click::control;
use tollgate_click::{AdId, CampaignId, Change};
use utoipa::ToSchema;

use super::checks::absent;
use super::{Checks, Noun, Turn};
use crate::desk::NewChange;
use crate::integer::{Integer, Unsigned};
use crate::params::{Param, Params};
use crate::problem::Problem;
use crate::seen::Seen;
use crate::standing::Standing;

/// What a list of ads takes.
pub(crate) const PARAMS: &[Param] = &[
    super::LIMIT,
    super::CURSOR,
    Param {
        name: "campaign",
        about: "Only this campaign's",
        many: false,
    },
];

/// A creative.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Ad {
    /// Its number, from 1; the next free one where none is given.
    #[serde(default)]
    ad: Option<Unsigned>,
    /// Its campaign; never changes.
    campaign: Unsigned,
    /// Its name.
    name: String,
}

impl Ad {
    pub(crate) fn shown(one: &control::Ad) -> Ad {
        Ad {
            ad: Some(Integer(one.ad.0)),
            campaign: Integer(one.campaign.0),
            name: one.name.clone(),
        }
    }
}

impl Noun for Ad {
    const ID: &'static str = "ad";
    const ID_MAX: u64 = u64::MAX;

    fn id(&self) -> Option<u64> {
        self.ad.map(|id| id.0)
    }

    fn numbered(self, id: u64) -> Ad {
        Ad {
            ad: Some(Integer(id)),
            ..self
        }
    }

    fn last(standing: &Standing) -> u64 {
        standing.ads.last_key_value().map_or(0, |(id, _)| id.0)
    }

    fn list<'a>(seen: Seen<'a>, after: Option<u64>) -> Box<dyn Iterator<Item = Self> + 'a> {
        Box::new(seen.ads(after).map(Ad::shown))
    }

    fn get(seen: Seen<'_>, id: u64) -> Option<Ad> {
        seen.ad(AdId(id)).map(Ad::shown)
    }

    fn is_taken(standing: &Standing, id: u64) -> bool {
        standing.ads.contains_key(&AdId(id))
    }

    fn matches(&self, params: &Params) -> Result<bool, Problem> {
        let wanted: Option<u64> = params.id("campaign")?;
        Ok(wanted.is_none_or(|wanted| wanted == self.campaign.0))
    }

    fn check(&self, before: Option<&Ad>, turn: &Turn<'_>) -> Result<NewChange, Problem> {
        let campaign = turn.seen.campaign(CampaignId(self.campaign.0));
        let campaign = campaign.ok_or_else(|| absent("/campaign", "campaign"))?;
        let mut checks = Checks::default();
        checks.name(&self.name);
        checks.done()?;
        if before.is_some_and(|before| before.campaign != self.campaign) {
            return Err(Problem::conflict(
                "/campaign",
                "it never changes",
                "a new ad",
            ));
        }
        Ok(Change::Ad(control::Ad {
            ad: AdId(self.id().unwrap_or(0)),
            advertiser: campaign.advertiser,
            campaign: campaign.campaign,
            name: self.name.clone(),
        })
        .into())
    }

    fn removal(&self, _turn: &Turn<'_>) -> Result<Option<NewChange>, Problem> {
        Err(Problem::conflict(
            "path",
            "its clicks are kept for good",
            "archive its campaign",
        ))
    }
}
