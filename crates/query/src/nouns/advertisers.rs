//! Advertisers: who pays.

use serde::{Deserialize, Serialize};
use tollgate_click::control::{self, Payment};
use tollgate_click::{AdvertiserId, Change, Micros};
use tollgate_link::Schemes;
use utoipa::ToSchema;

use super::{Checks, Noun, Turn};
use crate::currencies;
use crate::desk::NewChange;
use crate::integer::Signed;
use crate::names::skeleton;
use crate::problem::Problem;
use crate::seen::Seen;
use crate::standing::Standing;

/// An advertiser.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Advertiser {
    /// Its number, from 1; the next free one where none is given.
    #[serde(default)]
    advertiser: Option<u32>,
    /// Its name, which no other one's reads like.
    name: String,
    /// ISO 4217; never changes.
    currency: String,
    /// How it pays.
    #[serde(default)]
    payment: Pays,
    /// URL schemes beside http and https that its destinations may have.
    #[serde(default)]
    schemes: Vec<String>,
}

/// How an advertiser pays, and with that, where its clicks stop.
#[derive(Clone, Default, PartialEq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(tag = "kind", rename_all = "lowercase", deny_unknown_fields)]
pub(crate) enum Pays {
    /// By invoice, without a limit.
    #[default]
    Open,
    /// By invoice, up to a limit.
    Credit {
        /// Micro-units.
        limit_micros: Signed,
    },
    /// Before its clicks.
    Prepaid,
}

/// Schemes that one advertiser may add, and letters of each.
const SCHEMES_MAX: usize = 16;
const SCHEME_BYTES_MAX: usize = 32;

impl Advertiser {
    pub(crate) fn shown(one: &control::Advertiser) -> Advertiser {
        Advertiser {
            advertiser: Some(one.advertiser.0),
            name: one.name.clone(),
            currency: one.currency.to_string(),
            payment: match one.payment {
                Payment::Open => Pays::Open,
                Payment::Credit { limit } => Pays::Credit {
                    limit_micros: crate::integer::Integer(limit.0),
                },
                Payment::Prepaid => Pays::Prepaid,
            },
            schemes: one.schemes.clone(),
        }
    }
}

impl Noun for Advertiser {
    const ID: &'static str = "advertiser";
    const ID_MAX: u64 = u32::MAX as u64;

    fn id(&self) -> Option<u64> {
        self.advertiser.map(u64::from)
    }

    fn numbered(self, id: u64) -> Advertiser {
        Advertiser {
            advertiser: u32::try_from(id).ok(),
            ..self
        }
    }

    fn last(standing: &Standing) -> u64 {
        let last = standing.advertisers.last_key_value();
        last.map_or(0, |(id, _)| id.0.into())
    }

    fn list<'a>(seen: Seen<'a>, after: Option<u64>) -> Box<dyn Iterator<Item = Self> + 'a> {
        let after = after.map(|after| u32::try_from(after).unwrap_or(u32::MAX));
        Box::new(seen.advertisers(after).map(Advertiser::shown))
    }

    fn get(seen: Seen<'_>, id: u64) -> Option<Advertiser> {
        let id = AdvertiserId(u32::try_from(id).ok()?);
        seen.advertiser(id).map(Advertiser::shown)
    }

    fn is_taken(standing: &Standing, id: u64) -> bool {
        let id = u32::try_from(id).map(AdvertiserId);
        id.is_ok_and(|id| standing.advertisers.contains_key(&id))
    }

    fn unique(&self) -> Vec<(&'static str, String)> {
        vec![("name", skeleton(&self.name))]
    }

    fn check(&self, before: Option<&Advertiser>, turn: &Turn<'_>) -> Result<NewChange, Problem> {
        if before.is_none() && !turn.seen.may_make_for_all() {
            return Err(Problem::forbidden("this key is for some advertisers only"));
        }
        let mut checks = Checks::default();
        checks.name(&self.name);
        let currency = currencies::parse(&self.currency);
        if let Err(what) = &currency {
            checks.note("/currency", what, currencies::ALLOWED);
        }
        let payment = match &self.payment {
            Pays::Open => Payment::Open,
            Pays::Prepaid => Payment::Prepaid,
            Pays::Credit { limit_micros } => {
                let limit = checks.amount("/payment/limit_micros", Some(*limit_micros), 0);
                Payment::Credit {
                    limit: limit.unwrap_or(Micros::ZERO),
                }
            }
        };
        let fits = |scheme: &String| scheme.len() <= SCHEME_BYTES_MAX;
        let allowed = "at most 16 schemes of at most 32 letters, none that runs code";
        let few = self.schemes.len() <= SCHEMES_MAX && self.schemes.iter().all(fits);
        checks.need(
            few,
            "/schemes",
            "there are too many, or one is too long",
            allowed,
        );
        if let Err(what) = Schemes::with(&self.schemes) {
            checks.note("/schemes", what, allowed);
        }
        checks.done()?;
        let currency = currency.map_err(|what| Problem::invalid("/currency", what, ""))?;
        if before.is_some_and(|before| before.currency != self.currency) {
            return Err(Problem::conflict(
                "/currency",
                "it never changes",
                "a new advertiser",
            ));
        }
        let wanted = skeleton(&self.name);
        let mut others = turn.seen.taken().advertisers.values();
        let alike = others.find(|one| {
            Some(u64::from(one.advertiser.0)) != self.id() && skeleton(&one.name) == wanted
        });
        if alike.is_some() && before.is_none_or(|before| before.name != self.name) {
            return Err(Problem::conflict(
                "/name",
                "another one's name reads alike",
                "another name",
            ));
        }
        Ok(Change::Advertiser(control::Advertiser {
            advertiser: AdvertiserId(self.advertiser.unwrap_or(0)),
            name: self.name.clone(),
            schemes: self.schemes.clone(),
            currency,
            payment,
        })
        .into())
    }

    fn removal(&self, _turn: &Turn<'_>) -> Result<Option<NewChange>, Problem> {
        let what = "its books are kept for good";
        Err(Problem::conflict("path", what, "archive its campaigns"))
    }
}
