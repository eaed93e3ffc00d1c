//! Generated clicks whose truth is known.
//!
//! Click number n of a seed is a pure function of both, so nothing is kept and any part of the
//! traffic can be made again. A click is a *link case* (what the link is worth) and a *manner*
//! (who asks, and how). Some clicks repeat the link of an earlier one, its *leader*: the double
//! click, the retry, the mail scanner.
//!
//! What must come of each click is known by construction and holds whatever the order of
//! arrival: of all honest clicks on one nonce exactly one gets the link's own outcome and the
//! others are duplicates, whichever comes first. [`Plan::by_construction`] counts so; the oracle
//! counts click by click; a test holds them against each other. Limits break this: who is first
//! over a budget is the log's to say (see [`crate::books`]).

mod day;
mod request;
mod tables;

pub use tables::{Case, Fake, Manner};

use std::collections::BTreeMap;

use tollgate_click::{Millis, Nonce, Outcome, Refusal};

use crate::dice::Dice;
use crate::load::{RenderError, Work};
use crate::truth::{Seen, Through, Truth};
use crate::world::{
    CAMPAIGNS, EXPIRED_LINK, LINKS, PAUSED_CAMPAIGN, PUBLISHERS_NAMED, TEST_LINK, UNKNOWN_CAMPAIGN,
    Visitor, World,
};
use day::Day;
use tables::{Repeat, Zipf};

const HOUR_MS: u64 = 3_600_000;

/// Clicks of one seed on one market.
#[derive(Clone, Debug)]
pub struct Plan {
    world: World,
    dice: Dice,
    zipf: Zipf,
    host: String,
    day: Option<Day>,
}

/// One click.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Click {
    /// Its number.
    pub op: u64,
    /// The click whose link it uses; its own number when the link is new.
    pub leader: u64,
    /// What the link is worth.
    pub case: Case,
    /// Who asks, and how.
    pub manner: Manner,
    /// Who clicks.
    pub visitor: u64,
}

impl Click {
    /// Whether a person clicks a valid signed link that is new.
    pub fn is_plain(&self) -> bool {
        (self.case, self.manner) == (Case::Valid, Manner::Person) && self.leader == self.op
    }
}

/// What an impression says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Impression {
    pub(crate) nonce: Nonce,
    pub(crate) window_s: u32,
    pub(crate) expires_at: Millis,
    pub(crate) advertiser: u32,
    pub(crate) campaign: u64,
    pub(crate) publisher: u32,
    pub(crate) price_micros: Option<i64>,
}

impl Plan {
    /// Clicks on `world`, sent to `host` (what stands in the `Host` header).
    pub fn new(world: World, host: impl Into<String>) -> Plan {
        Plan {
            world,
            dice: world.dice().with(100),
            zipf: Zipf::new(CAMPAIGNS),
            host: host.into(),
            day: None,
        }
    }

    /// The same clicks, `clicks` of them spread over the 24 hours from `start` on, busy and quiet
    /// as a day is. Links are made when they are clicked, not before.
    pub fn over_a_day(self, start: Millis, clicks: u64) -> Plan {
        let day = Some(Day::new(start, clicks));
        Plan { day, ..self }
    }

    /// When a click is meant to come.
    pub fn at(&self, op: u64) -> Millis {
        self.day.map_or(self.world.now(), |day| day.at(op))
    }

    /// The market.
    pub fn world(&self) -> &World {
        &self.world
    }

    /// Click number `op`.
    pub fn click(&self, op: u64) -> Click {
        let mut leader = op;
        while let Some((_, earlier)) = self.repeat(leader) {
            leader = earlier;
        }
        let case = Case::of_dice(self.dice.with(1).roll(leader));
        let (manner, visitor) = match self.repeat(op) {
            _ if case.refusal().is_some() => (Manner::Person, leader),
            None => (Manner::of_dice(self.dice.with(2).roll(op)), op),
            Some((Repeat::Double | Repeat::Retry, _)) => (Manner::Person, leader),
            Some((Repeat::Scan, _)) if self.dice.with(3).roll(op).is_multiple_of(2) => {
                (Manner::Head, op)
            }
            Some((Repeat::Scan, _)) => (Manner::Robot, op),
        };
        Click {
            op,
            leader,
            case,
            manner,
            visitor,
        }
    }

    /// Which earlier click a click repeats, and how.
    fn repeat(&self, op: u64) -> Option<(Repeat, u64)> {
        let (repeat, distance) = Repeat::of_dice(self.dice.with(4).roll(op))?;
        Some((repeat, op.checked_sub(distance)?))
    }

    pub(crate) fn visitor(&self, click: &Click) -> Visitor {
        Visitor::new(self.world.dice(), click.visitor)
    }

    /// What the signed link of a click says.
    pub(crate) fn impression(&self, click: &Click) -> Impression {
        let of = |purpose: u64| self.dice.with(purpose).roll(click.leader);
        let now = self.at(click.leader).0;
        let popular = self.zipf.pick(of(20));
        let campaign = match click.case {
            Case::UnknownCampaign => UNKNOWN_CAMPAIGN,
            Case::Paused => PAUSED_CAMPAIGN,
            // Campaign 2 belongs to advertiser 2, and advertiser 1 has the narrow key.
            Case::Fake(Fake::ForeignAdvertiser) => 2,
            _ if popular == PAUSED_CAMPAIGN => 1,
            _ => popular,
        };
        let owner = World::advertiser_of(campaign);
        let advertiser = match click.case {
            Case::ForeignCampaign => owner % crate::world::ADVERTISERS + 1,
            _ => owner,
        };
        let fresh_age_ms = of(21) % (2 * HOUR_MS);
        let (age_ms, window_s) = match click.case {
            Case::WindowOver if of(22).is_multiple_of(2) => (25 * HOUR_MS, 24 * 3600),
            Case::WindowOver => (3 * HOUR_MS, 600),
            Case::HardExpired => (31 * 24 * HOUR_MS, 24 * 3600),
            _ => (fresh_age_ms, 24 * 3600),
        };
        let shown_at = Millis(now.saturating_sub(age_ms));
        let random = (u128::from(of(23)) << 64) | u128::from(of(24));
        // One link in four carries its own price.
        let price = 40_000 + i64::try_from(of(25) % 100_000).unwrap_or_default() * 7;
        Impression {
            nonce: Nonce::new(shown_at, random),
            window_s,
            expires_at: shown_at.plus_s(30 * 24 * 3600),
            advertiser,
            campaign,
            publisher: (of(27) % PUBLISHERS_NAMED) as u32 + 1,
            price_micros: of(26).is_multiple_of(4).then_some(price),
        }
    }

    /// The registered link of a click.
    pub(crate) fn link(&self, click: &Click) -> u64 {
        match click.case {
            Case::ExpiredLink => EXPIRED_LINK,
            Case::TestLink => TEST_LINK,
            _ => self.dice.with(30).below(click.leader, LINKS - 2) + 1,
        }
    }

    /// The token of a link that nobody has clicked, shown at `now`, on an open-handed campaign. It
    /// bills for as long as a link may.
    pub fn fresh_link(&self, now: Millis) -> Option<String> {
        request::fresh(self, now).ok()
    }

    /// What must come of click number `op`.
    pub fn truth(&self, op: u64) -> Truth {
        let click = self.click(op);
        let refusal = match click.manner {
            Manner::Prefetch => Some((503, Refusal::Prefetch)),
            _ => click.case.refusal(),
        };
        if let Some((status, reason)) = refusal {
            let reason = reason.name().to_owned();
            return Truth::Refuse { status, reason };
        }
        let (advertiser, campaign, publisher, through) = if click.case.is_registered() {
            let link = self.link(&click);
            let campaign = self.world.campaign_of_link(link);
            let visitor = self.visitor(&click).fingerprint();
            let advertiser = World::advertiser_of(campaign);
            let publisher = World::publisher_of_link(link);
            let through = Through::Registered { link, visitor };
            (advertiser, campaign, publisher, through)
        } else {
            let impression = self.impression(&click);
            let through = Through::Signed {
                nonce: impression.nonce.to_string(),
                window_s: impression.window_s,
                price_micros: impression.price_micros,
            };
            let Impression {
                advertiser,
                campaign,
                publisher,
                ..
            } = impression;
            (advertiser, campaign, publisher, through)
        };
        Truth::Record(Seen {
            advertiser,
            campaign,
            publisher,
            test: matches!(click.case, Case::TestLink | Case::TestKey | Case::TestFlag),
            invalid: click.manner.is_invalid(),
            through,
        })
    }

    /// Outcomes of clicks 0 to `count` - 1 when all get their answer, counted by links instead
    /// of by clicks.
    ///
    /// Clicks on registered links are taken to follow each other within the double-click time.
    pub fn by_construction(&self, count: u64) -> BTreeMap<Outcome, u64> {
        let mut honest: BTreeMap<(u64, u64), (Case, u64)> = BTreeMap::new();
        let mut outcomes = BTreeMap::new();
        let mut add = |outcome, clicks| {
            if clicks > 0 {
                *outcomes.entry(outcome).or_default() += clicks;
            }
        };
        for click in (0..count).map(|op| self.click(op)) {
            let Truth::Record(seen) = self.truth(click.op) else {
                continue;
            };
            match (seen.test, seen.invalid) {
                (true, _) => add(Outcome::Test, 1),
                (false, true) => add(Outcome::InvalidGivt, 1),
                (false, false) => {
                    let visitor = if click.case.is_registered() {
                        click.visitor
                    } else {
                        0
                    };
                    let group = honest.entry((click.leader, visitor));
                    group.or_insert((click.case, 0)).1 += 1;
                }
            }
        }
        for ((leader, _), (case, clicks)) in honest {
            let own = self.own_outcome(leader);
            match case {
                Case::WindowOver => add(own, clicks),
                _ if case.is_registered() => {
                    add(own, 1);
                    add(Outcome::InvalidGivt, clicks - 1);
                }
                _ => {
                    add(own, 1);
                    add(Outcome::Duplicate, clicks - 1);
                }
            }
        }
        outcomes
    }

    /// How the one honest click on a leader's link ends.
    fn own_outcome(&self, leader: u64) -> Outcome {
        let click = self.click(leader);
        let (campaign, own_price) = if click.case.is_registered() {
            (self.world.campaign_of_link(self.link(&click)), None)
        } else {
            let impression = self.impression(&click);
            (impression.campaign, impression.price_micros)
        };
        match click.case {
            Case::UnknownCampaign | Case::ForeignCampaign => Outcome::UnknownCampaign,
            _ if campaign == PAUSED_CAMPAIGN => Outcome::Paused,
            Case::WindowOver => Outcome::Expired,
            _ if own_price.or(self.world.price_micros(campaign)).is_none() => Outcome::Free,
            _ => Outcome::Billed,
        }
    }
}

impl Work for Plan {
    fn render(&self, op: u64, out: &mut Vec<u8>) -> Result<bool, RenderError> {
        let click = self.click(op);
        request::render(self, &self.host, &click, out).map_err(|error| RenderError {
            op,
            reason: error.to_string(),
        })
    }

    fn truth(&self, op: u64) -> Option<Truth> {
        Some(Plan::truth(self, op))
    }
}

#[cfg(test)]
mod tests;
