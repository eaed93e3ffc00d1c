//! Which advertisers or publishers a credential speaks for, as JSON: `"all"` or a list of numbers.

use serde::{Deserialize, Serialize};
use tollgate_click::control::ScopeOf;
use tollgate_click::limits::KEY_ADVERTISERS_MAX;
use utoipa::ToSchema;

use super::Checks;

/// `"all"` or a list of numbers.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(untagged)]
pub(crate) enum Reach {
    /// All of the deployment.
    All(All),
    /// These only.
    Only(Vec<u32>),
}

/// The word `all`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum All {
    /// Everybody.
    All,
}

impl Reach {
    /// Everybody: what is meant where nothing is said.
    pub(crate) fn all() -> Reach {
        Reach::All(All::All)
    }

    pub(crate) fn shown<T: Copy>(scope: &ScopeOf<T>, number: impl Fn(T) -> u32) -> Reach {
        match scope {
            ScopeOf::All => Reach::all(),
            ScopeOf::Only(some) => Reach::Only(some.iter().map(|one| number(*one)).collect()),
        }
    }

    /// The scope; every number must be known.
    pub(crate) fn scope<T: Copy>(
        &self,
        at: &str,
        id: impl Fn(u32) -> T,
        is_known: impl Fn(T) -> bool,
        checks: &mut Checks,
    ) -> ScopeOf<T> {
        let Reach::Only(numbers) = self else {
            return ScopeOf::All;
        };
        let allowed = format!("\"all\" or 1 to {KEY_ADVERTISERS_MAX} numbers");
        if numbers.is_empty() || numbers.len() > KEY_ADVERTISERS_MAX {
            checks.note(at, "there are none, or too many", &allowed);
        }
        let mut sorted = numbers.clone();
        sorted.sort_unstable();
        sorted.dedup();
        for number in sorted.iter().filter(|number| !is_known(id(**number))) {
            checks.note(at, format!("there is no number {number}"), &allowed);
        }
        ScopeOf::Only(sorted.into_iter().map(id).collect())
    }
}
