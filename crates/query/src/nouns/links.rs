//! Links: registered destinations behind short paths.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use tollgate_click::control;
use tollgate_click::limits::SLUG_BYTES_MAX;
use tollgate_click::{AdId, CampaignId, Change, LinkId, Millis, PlacementId, PublisherId};
use tollgate_link::token::ESCAPING_MAX;
use tollgate_link::{Schemes, destination};
use utoipa::ToSchema;

use super::checks::absent;
use super::{Checks, Noun, Turn};
use crate::desk::NewChange;
use crate::integer::{Integer, Unsigned};
use crate::params::{Param, Params};
use crate::problem::Problem;
use crate::secret;
use crate::seen::Seen;
use crate::standing::Standing;

/// What a list of links takes.
pub(crate) const PARAMS: &[Param] = &[
    super::LIMIT,
    super::CURSOR,
    Param {
        name: "advertiser",
        about: "Only this advertiser's",
        many: false,
    },
    Param {
        name: "campaign",
        about: "Only this campaign's",
        many: false,
    },
    Param {
        name: "slug",
        about: "Only the one of this slug",
        many: false,
    },
];

/// A registered link.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Link {
    /// Its number, from 1; the next free one where none is given.
    #[serde(default)]
    link: Option<Unsigned>,
    /// Its path below `/l/`: 1 to 64 letters, digits, -, _, . or ~; drawn where none is given.
    #[serde(default)]
    slug: String,
    /// Who pays: its campaign's advertiser, where none is given.
    #[serde(default)]
    advertiser: Option<u32>,
    /// For which campaign.
    campaign: Unsigned,
    /// Which creative; 0 for none.
    #[serde(default = "none")]
    ad: Unsigned,
    /// Who shows it; 0 for none.
    #[serde(default)]
    publisher: u32,
    /// Where; 0 for none.
    #[serde(default = "none")]
    placement: Unsigned,
    /// Where a click goes, with macros.
    destination: String,
    /// How many times macro values are percent-encoded, 0 to 2.
    #[serde(default = "once")]
    escaping: u8,
    /// From when on the link answers 410; none means never.
    #[serde(default)]
    expires_at_ms: Option<Unsigned>,
    /// A test link: its clicks count nowhere.
    #[serde(default)]
    test: bool,
}

fn none() -> Unsigned {
    Integer(0)
}

fn once() -> u8 {
    1
}

impl Link {
    pub(crate) fn shown(one: &control::Link) -> Link {
        Link {
            link: Some(Integer(one.link.0)),
            slug: one.slug.clone(),
            advertiser: Some(one.advertiser.0),
            campaign: Integer(one.campaign.0),
            ad: Integer(one.ad.0),
            publisher: one.publisher.0,
            placement: Integer(one.placement.0),
            destination: one.destination.clone(),
            escaping: one.escaping,
            expires_at_ms: one.expires_at.map(|at| Integer(at.0)),
            test: one.test,
        }
    }

    fn check_fields(&self, turn: &Turn<'_>, campaign: &control::Campaign) -> Result<(), Problem> {
        let mut checks = Checks::default();
        let letter = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte);
        let fits = (1..=SLUG_BYTES_MAX).contains(&self.slug.len());
        let is_plain = !matches!(self.slug.as_str(), "." | "..") && self.slug.bytes().all(letter);
        let allowed = "1 to 64 letters, digits, -, _, . or ~";
        checks.need(fits && is_plain, "/slug", "it cannot be a path", allowed);
        let escaping = self.escaping <= ESCAPING_MAX;
        checks.need(
            escaping,
            "/escaping",
            "it is out of range",
            &format!("0 to {ESCAPING_MAX}"),
        );
        let past = self.expires_at_ms.is_some_and(|at| at.0 > Millis::MAX.0);
        checks.need(
            !past,
            "/expires_at_ms",
            "it is out of range",
            "Unix milliseconds",
        );
        let owner = turn.seen.advertiser(campaign.advertiser);
        let schemes = owner.map_or(&[][..], |one| &one.schemes);
        // Schemes were checked when they were listed; ones that are bad allow nothing more.
        let schemes = Schemes::with(schemes).unwrap_or_default();
        if let Err(what) = destination::check(&self.destination, &schemes) {
            checks.note(
                "/destination",
                what,
                "a public http or https URL, or a listed scheme",
            );
        }
        checks.done()
    }
}

impl Noun for Link {
    const ID: &'static str = "link";
    const ID_MAX: u64 = u64::MAX;

    fn id(&self) -> Option<u64> {
        self.link.map(|id| id.0)
    }

    fn numbered(self, id: u64) -> Link {
        Link {
            link: Some(Integer(id)),
            ..self
        }
    }

    fn last(standing: &Standing) -> u64 {
        standing.highest_link().0
    }

    fn list<'a>(seen: Seen<'a>, after: Option<u64>) -> Box<dyn Iterator<Item = Self> + 'a> {
        Box::new(seen.links(after).map(|known| Link::shown(&known.link)))
    }

    fn get(seen: Seen<'_>, id: u64) -> Option<Link> {
        seen.link(LinkId(id)).map(|known| Link::shown(&known.link))
    }

    fn is_taken(standing: &Standing, id: u64) -> bool {
        standing.links.contains_key(&LinkId(id))
    }

    fn matches(&self, params: &Params) -> Result<bool, Problem> {
        let advertiser: Option<u32> = params.id("advertiser")?;
        let campaign: Option<u64> = params.id("campaign")?;
        let is_its = advertiser.is_none_or(|wanted| Some(wanted) == self.advertiser);
        let of_campaign = campaign.is_none_or(|wanted| wanted == self.campaign.0);
        Ok(is_its && of_campaign && params.get("slug").is_none_or(|wanted| wanted == self.slug))
    }

    fn unique(&self) -> Vec<(&'static str, String)> {
        vec![("slug", self.slug.clone())]
    }

    fn completed(self) -> Result<Link, Problem> {
        if !self.slug.is_empty() {
            return Ok(self);
        }
        let random = secret::draw()?;
        let slug = URL_SAFE_NO_PAD.encode(random.get(..8).unwrap_or(&random));
        Ok(Link { slug, ..self })
    }

    fn filled_like(self, known: &Link) -> Link {
        Link {
            advertiser: self.advertiser.or(known.advertiser),
            ..self
        }
    }

    fn check(&self, before: Option<&Link>, turn: &Turn<'_>) -> Result<NewChange, Problem> {
        let campaign = turn.seen.campaign(CampaignId(self.campaign.0));
        let campaign = campaign.ok_or_else(|| absent("/campaign", "campaign"))?;
        let owner = campaign.advertiser;
        if self.advertiser.is_some_and(|named| named != owner.0) {
            return Err(absent("/campaign", "campaign of that advertiser"));
        }
        if before.is_some_and(|before| before.advertiser != Some(owner.0)) {
            return Err(Problem::conflict(
                "/advertiser",
                "it never changes",
                "a new link",
            ));
        }
        if self.ad.0 != 0
            && turn
                .seen
                .ad(AdId(self.ad.0))
                .is_none_or(|ad| ad.advertiser != owner)
        {
            let is_kept = before.is_some_and(|before| before.ad == self.ad);
            if !is_kept {
                return Err(absent("/ad", "ad of that advertiser"));
            }
        }
        self.check_fields(turn, campaign)?;
        let taken = turn.seen.taken().link_of_slug(&self.slug);
        if taken.is_some_and(|taken| Some(taken.0) != self.id()) {
            return Err(Problem::conflict(
                "/slug",
                "it is taken",
                "another one, or none",
            ));
        }
        Ok(Change::Link(control::Link {
            link: LinkId(self.id().unwrap_or(0)),
            slug: self.slug.clone(),
            advertiser: owner,
            campaign: campaign.campaign,
            ad: AdId(self.ad.0),
            publisher: PublisherId(self.publisher),
            placement: PlacementId(self.placement.0),
            destination: self.destination.clone(),
            escaping: self.escaping,
            expires_at: self.expires_at_ms.map(|at| Millis(at.0)),
            test: self.test,
        })
        .into())
    }

    fn removal(&self, _turn: &Turn<'_>) -> Result<Option<NewChange>, Problem> {
        let id = self.id().unwrap_or(0);
        Ok(Some(Change::LinkRemoved(LinkId(id)).into()))
    }
}
