//! Second step: the rule book. A table of rules; all that hit are kept, the first that decides
//! gives the verdict.
//!
//! The book is fixed in this version. Later it comes through the log and is read as of
//! `received_at`; a rule's name and version already stand in each verdict.

use tollgate_click::{AgentClass, LinkId, Millis, Source};

use crate::effects::{Ending, Kind};
use crate::state::State;
use crate::state::recent::Visitor;

/// Two clicks on one registered link by the same address and agent within this time are one
/// intent: the later one is `double_click`. Measured between `received_at`, and from the last
/// click to the next, so a hammering client bills once. A signed link needs no such window, its
/// nonce bills once for ever.
pub const DOUBLE_CLICK_MS: u64 = 10_000;

/// General or sophisticated invalid traffic, the two classes of the Media Rating Council.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Class {
    /// Found by lists and parameter checks.
    Givt,
    /// Found by analysis.
    Sivt,
}

/// One rule of the book.
#[derive(Debug)]
pub struct Rule {
    /// Its name, which stands in reports as the reason.
    pub name: &'static str,
    /// Rises with every change of its meaning.
    pub version: u16,
    /// What a hit is.
    pub class: Class,
    /// Whether a hit decides, or is only kept beside the verdict.
    pub decides: bool,
}

impl PartialEq for Rule {
    fn eq(&self, other: &Rule) -> bool {
        (self.name, self.version) == (other.name, other.version)
    }
}

/// The rule book, in the order in which it is read.
pub static RULES: [Rule; 5] = [
    // MRC: a click must be acted upon by a user; HEAD fetches headers only.
    givt("head"),
    givt("declared_bot"),
    // MRC: agents that are no browser are invalid.
    givt("non_browser"),
    // Privacy tools send no agent either, so this one is kept and does not decide.
    Rule {
        decides: false,
        ..givt("no_agent")
    },
    givt("double_click"),
];

const fn givt(name: &'static str) -> Rule {
    Rule {
        name,
        version: 1,
        class: Class::Givt,
        decides: true,
    }
}

/// The rules that hit: a bit for each rule of the book.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Hits(u32);

const _: () = assert!(RULES.len() <= 32);

impl Hits {
    pub(crate) const NONE: Hits = Hits(0);

    /// What hits an event, in the order of the book; `repeated` when the same visitor clicked the
    /// same link a moment ago.
    fn of(event: &Ending, repeated: bool) -> Hits {
        let agent = event.facts.agent_class;
        let hit: [bool; RULES.len()] = [
            event.facts.head,
            agent == AgentClass::DeclaredBot,
            agent == AgentClass::NonBrowser,
            agent == AgentClass::Missing,
            repeated,
        ];
        let bits = (0..)
            .zip(hit)
            .map(|(index, hit): (u32, _)| u32::from(hit) << index);
        Hits(bits.sum())
    }

    /// Whether no rule hit.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The rules in the order of the book.
    pub fn iter(self) -> impl Iterator<Item = &'static Rule> {
        let rules = (0..).zip(&RULES);
        rules.filter_map(move |(index, rule): (u32, _)| (self.0 >> index & 1 == 1).then_some(rule))
    }

    /// The first one that decides.
    pub(crate) fn deciding(self) -> Option<&'static Rule> {
        if self.is_empty() {
            return None;
        }
        self.iter().find(|rule| rule.decides)
    }
}

/// Judges a click or impression. A click that another rule finds invalid leaves no trace for the
/// double-click rule: a scanner does not spoil the reader's click. Nor does one that came at a time
/// that cannot be.
pub(crate) fn judge(state: &mut State, event: &mut Ending) {
    let visit = registered_click(event);
    let repeated = visit.is_some_and(|visit| state.recent.repeated(&visit, DOUBLE_CLICK_MS));
    event.hits = Hits::of(event, repeated);
    if let Some(visit) = visit {
        let deciding = event.hits.deciding();
        let traced = deciding.is_none_or(|rule| rule.name == "double_click");
        if traced && state.untimely(visit.at).is_none() {
            state.recent.note(&visit);
        }
    }
}

/// Who clicked which registered link, and when.
#[derive(Clone, Copy)]
pub(crate) struct Visit {
    pub(crate) link: LinkId,
    pub(crate) visitor: Visitor,
    /// The same visitor under the previous pseudonym key.
    pub(crate) previous: Option<Visitor>,
    pub(crate) at: Millis,
}

fn registered_click(event: &Ending) -> Option<Visit> {
    let Source::Registered { link } = event.facts.source else {
        return None;
    };
    (event.kind == Kind::Click).then(|| Visit {
        link,
        visitor: Visitor::of(&event.facts.pseudonyms),
        previous: event.facts.previous.as_ref().map(Visitor::of),
        at: event.facts.received_at(),
    })
}
