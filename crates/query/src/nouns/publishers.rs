//! Publishers: who shows ads and is paid a share.

use serde::{Deserialize, Serialize};
use tollgate_click::control::{self, PublisherScope};
use tollgate_click::money::WHOLE_BASIS_POINTS;
use tollgate_click::{Change, PublisherId};
use utoipa::ToSchema;

use super::{Checks, Noun, Turn};
use crate::desk::NewChange;
use crate::names::skeleton;
use crate::problem::Problem;
use crate::seen::Seen;
use crate::standing::Standing;

/// A publisher.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Publisher {
    /// Its number, from 1; the next free one where none is given.
    #[serde(default)]
    publisher: Option<u32>,
    /// Its name, which no other one's reads like.
    name: String,
    /// Its part of each charge in ten-thousandths, as of the time a click is received.
    share_basis_points: u16,
}

impl Publisher {
    pub(crate) fn shown(one: &control::Publisher) -> Publisher {
        Publisher {
            publisher: Some(one.publisher.0),
            name: one.name.clone(),
            share_basis_points: one.share_basis_points,
        }
    }
}

impl Noun for Publisher {
    const ID: &'static str = "publisher";
    const ID_MAX: u64 = u32::MAX as u64;

    fn id(&self) -> Option<u64> {
        self.publisher.map(u64::from)
    }

    fn numbered(self, id: u64) -> Publisher {
        Publisher {
            publisher: u32::try_from(id).ok(),
            ..self
        }
    }

    fn last(standing: &Standing) -> u64 {
        let last = standing.publishers.last_key_value();
        last.map_or(0, |(id, _)| id.0.into())
    }

    fn list<'a>(seen: Seen<'a>, after: Option<u64>) -> Box<dyn Iterator<Item = Self> + 'a> {
        let after = after.map(|after| u32::try_from(after).unwrap_or(u32::MAX));
        Box::new(seen.publishers(after).map(Publisher::shown))
    }

    fn get(seen: Seen<'_>, id: u64) -> Option<Publisher> {
        let id = PublisherId(u32::try_from(id).ok()?);
        seen.publisher(id).map(Publisher::shown)
    }

    fn is_taken(standing: &Standing, id: u64) -> bool {
        let id = u32::try_from(id).map(PublisherId);
        id.is_ok_and(|id| standing.publishers.contains_key(&id))
    }

    fn check(&self, before: Option<&Publisher>, turn: &Turn<'_>) -> Result<NewChange, Problem> {
        let sees_all = *turn.seen.tenant().publishers() == PublisherScope::All;
        if before.is_none() && !sees_all {
            return Err(Problem::forbidden("this key is for some publishers only"));
        }
        let mut checks = Checks::default();
        checks.name(&self.name);
        let fits = self.share_basis_points <= WHOLE_BASIS_POINTS;
        checks.need(
            fits,
            "/share_basis_points",
            "it is out of range",
            "0 to 10000",
        );
        checks.done()?;
        let wanted = skeleton(&self.name);
        let mut others = turn.seen.taken().publishers.values();
        let alike = others.find(|one| {
            Some(u64::from(one.publisher.0)) != self.id() && skeleton(&one.name) == wanted
        });
        if alike.is_some() && before.is_none_or(|before| before.name != self.name) {
            return Err(Problem::conflict(
                "/name",
                "another one's name reads alike",
                "another name",
            ));
        }
        Ok(Change::Publisher(control::Publisher {
            publisher: PublisherId(self.publisher.unwrap_or(0)),
            name: self.name.clone(),
            share_basis_points: self.share_basis_points,
        })
        .into())
    }

    fn removal(&self, _turn: &Turn<'_>) -> Result<Option<NewChange>, Problem> {
        Err(Problem::conflict(
            "path",
            "its books are kept for good",
            "a share of 0",
        ))
    }
}
