//! What is checked of many nouns, each finding with its place.

use tollgate_click::Micros;

use crate::integer::Signed;
use crate::names;
use crate::problem::{Problem, Wrong};

/// The most that a price or budget may be: a billion units.
const AMOUNT_MAX: i64 = 1_000_000_000_000_000;

/// Collects what is wrong.
#[derive(Default)]
pub(crate) struct Checks {
    wrong: Vec<Wrong>,
}

impl Checks {
    /// Notes something that is wrong.
    pub(crate) fn note(&mut self, at: &str, what: impl ToString, allowed: &str) {
        self.wrong.push(Wrong::new(at, what, allowed));
    }

    /// Notes it unless it holds.
    pub(crate) fn need(&mut self, holds: bool, at: &str, what: &str, allowed: &str) {
        if !holds {
            self.note(at, what, allowed);
        }
    }

    pub(crate) fn name(&mut self, name: &str) {
        if let Err(what) = names::check(name) {
            self.note("/name", what, names::ALLOWED);
        }
    }

    /// An amount from `least` up.
    pub(crate) fn amount(
        &mut self,
        at: &str,
        amount: Option<Signed>,
        least: i64,
    ) -> Option<Micros> {
        let amount = amount?.0;
        if !(least..=AMOUNT_MAX).contains(&amount) {
            let allowed = format!("{least} to {AMOUNT_MAX} micro-units, or null");
            self.note(at, "it is out of range", &allowed);
        }
        Some(Micros(amount))
    }

    /// A field that only the service writes.
    pub(crate) fn read_only<T: PartialEq + Default>(
        &mut self,
        at: &str,
        now: &T,
        before: Option<&T>,
    ) {
        let is_kept = before.map_or_else(|| *now == T::default(), |before| before == now);
        self.need(
            is_kept,
            at,
            "it is written by the service only",
            "leave it out",
        );
    }

    /// Everything that is wrong, if anything is.
    pub(crate) fn done(self) -> Result<(), Problem> {
        match self.wrong.is_empty() {
            true => Ok(()),
            false => Err(Problem::all_invalid(self.wrong)),
        }
    }
}

/// A thing that another one names, which is not there, or not for this tenant.
pub(crate) fn absent(at: &str, what: &str) -> Problem {
    Problem::not_found().with(at, format!("there is no such {what}"), "")
}
