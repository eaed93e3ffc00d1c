//! Second step: the rule book. A table of rules; all that hit are kept, the first that decides
//! gives the verdict.
//!
//! The book is fixed in this version. Later it comes through the log and is read as of
//! `received_at`; a rule's name and version already stand in each verdict.

use tollgate_click::{AgentClass, ClickFacts, LinkId, Millis, Source};

use crate::admit::{Admitted, Event};
use crate::effects::{Effects, Kind};
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
    hits: fn(&Evidence<'_>) -> bool,
}

impl PartialEq for Rule {
    fn eq(&self, other: &Rule) -> bool {
        (self.name, self.version) == (other.name, other.version)
    }
}

/// The rule book, in the order in which it is read.
pub static RULES: [Rule; 5] = [
    // MRC: a click must be acted upon by a user; HEAD fetches headers only.
    givt("head", |evidence| evidence.facts.head),
    givt("declared_bot", |evidence| {
        evidence.facts.agent_class == AgentClass::DeclaredBot
    }),
    // MRC: agents that are no browser are invalid.
    givt("non_browser", |evidence| {
        evidence.facts.agent_class == AgentClass::NonBrowser
    }),
    // Privacy tools send no agent either, so this one is kept and does not decide.
    Rule {
        decides: false,
        ..givt("no_agent", |evidence| {
            evidence.facts.agent_class == AgentClass::Missing
        })
    },
    givt("double_click", |evidence| evidence.repeated),
];

const fn givt(name: &'static str, hits: fn(&Evidence<'_>) -> bool) -> Rule {
    Rule {
        name,
        version: 1,
        class: Class::Givt,
        decides: true,
        hits,
    }
}

/// What the rules look at.
struct Evidence<'a> {
    facts: &'a ClickFacts,
    /// The same visitor clicked the same link a moment ago.
    repeated: bool,
}

/// A record after the second step.
pub(crate) enum Judged {
    /// It had come to its end before.
    Ended(Effects),
    /// A click or impression with its verdict.
    Event(Event, Verdict),
}

/// What the rules say.
pub(crate) struct Verdict {
    /// All that hit, in the order of the table.
    pub(crate) hits: Vec<&'static Rule>,
}

impl Verdict {
    /// The first hit that decides.
    pub(crate) fn deciding(&self) -> Option<&'static Rule> {
        self.hits.iter().copied().find(|rule| rule.decides)
    }
}

/// Judges a click or impression. A click that another rule finds invalid leaves no trace for the
/// double-click rule: a scanner does not spoil the reader's click.
pub(crate) fn judge(state: &mut State, admitted: Admitted) -> Judged {
    let event = match admitted {
        Admitted::Ended(effects) => return Judged::Ended(effects),
        Admitted::Event(event) => event,
    };
    let visit = registered_click(&event);
    let evidence = Evidence {
        facts: &event.facts,
        repeated: visit.is_some_and(|visit| state.recent.repeated(&visit, DOUBLE_CLICK_MS)),
    };
    let hits = RULES.iter().filter(|rule| (rule.hits)(&evidence)).collect();
    let verdict = Verdict { hits };
    let traced = verdict
        .deciding()
        .is_none_or(|rule| rule.name == "double_click");
    if let Some(visit) = visit.filter(|_| traced) {
        state.recent.note(&visit);
    }
    Judged::Event(event, verdict)
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

fn registered_click(event: &Event) -> Option<Visit> {
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
