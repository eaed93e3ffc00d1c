//! The independent witness: what must become of a log, worked out record by record with plain
//! maps and nothing of the core's code.
//!
//! It is slow and simple on purpose. [`Oracle::event`] is the table of outcomes, one line a row
//! and in its order; what follows says what each row means. Sessions, visits and money commands
//! are forgotten when the design says so, versions never: what a click received longer ago than
//! those are kept is called does not matter, it costs nothing. Where else the core and this file
//! differ, one of them is wrong.

mod versions;

use std::collections::{BTreeMap, BTreeSet};
use std::iter::once;

use tollgate_click::control::{Advertiser, Campaign, CampaignState, Money, MoneyKind};
use tollgate_click::control::{Payment, Scope};
use tollgate_click::limits::{self, NONCE_AHEAD_MS_MAX, WINDOW_MAX_S};
use tollgate_click::record::Tick;
use tollgate_click::{AdvertiserId, CampaignId, KeyId, LinkId, Nonce, PartitionId, PublisherId};
use tollgate_click::{AgentClass, Change, ClickFacts, Control, Currency, Micros, Millis, Outcome};
use tollgate_click::{Record, Source};

use versions::{Versions, as_of, push, soon};

/// A click of the same visitor on the same registered link within this time of the last one is a
/// double-click. Written down here again, because a witness does not ask the accused.
const DOUBLE_CLICK_MS: u64 = 10_000;
/// A visit is remembered for at least this long, and for less than twice as long.
const VISITS_KEPT_MS: u64 = 600_000;
const SPOOL_LIMIT_MS: u64 = limits::SPOOL_LIMIT_S as u64 * 1000;
const MONEY_ID_MS: u64 = 400 * DAY_MS as u64;
/// A click from further in the future comes from an edge whose clock is wrong.
const AHEAD_MS: u64 = 35 * DAY_MS as u64;
const HOUR_MS: u64 = 3_600_000;
const DAY_MS: i64 = 86_400_000;

/// What must become of a record.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Said {
    /// The partition stops, and the record has changed nothing.
    Halt,
    /// A click or an impression ended; what it costs, and the publisher's part of that.
    Ended(Outcome, i64, i64),
    /// A tick; whether it counted.
    Tick(bool),
    /// A mark.
    Mark,
    /// A change; whether it was applied, for money: accepted.
    Control(bool),
}

/// Who sent a record: the writer's run, the record's number in it, whether it went to all.
pub type Sender = (u64, u64, bool);

/// One partition.
#[derive(Clone, Default, Debug)]
pub struct Oracle {
    partition: PartitionId,
    epoch: u64,
    clock: Millis,
    /// What came of each run, and the clock when something last did.
    sessions: BTreeMap<u64, (Millis, BTreeSet<(u64, bool)>)>,
    /// The last change of each target.
    changes: BTreeMap<String, u64>,
    /// None from a revocation on.
    keys: Versions<KeyId, Option<Scope>>,
    campaigns: Versions<(AdvertiserId, CampaignId), (Option<Micros>, CampaignState)>,
    /// With the budgets and the zone that hold now.
    newest: BTreeMap<(AdvertiserId, CampaignId), Campaign>,
    publishers: Versions<PublisherId, u16>,
    advertisers: BTreeMap<AdvertiserId, Advertiser>,
    /// Used by clicks and, apart from those, by impressions.
    used: BTreeSet<(bool, AdvertiserId, Nonce)>,
    /// The newest visit of an address and agent to a link, and in which age it was told.
    visits: BTreeMap<(LinkId, u64, u64), (Millis, u64)>,
    visits_age: (u64, Millis),
    /// Of an advertiser, for good.
    currency: BTreeMap<AdvertiserId, Currency>,
    /// Money commands, whether they were accepted, and the clock then.
    commands: BTreeMap<[u8; 16], (Money, bool, Millis)>,
    balance: BTreeMap<AdvertiserId, i64>,
    /// Of a campaign on a day, and in all.
    spent: BTreeMap<(AdvertiserId, CampaignId, Option<i64>), i64>,
}

impl Oracle {
    /// A partition before its first record.
    pub fn new(partition: PartitionId) -> Oracle {
        Oracle {
            partition,
            ..Oracle::default()
        }
    }

    /// What must become of the next record, told by its facts.
    pub fn take(&mut self, facts: &[u8], (session, sequence, broadcast): Sender) -> Said {
        let record = match Record::decode(facts) {
            Err(error) if error.needs_newer_code() => return Said::Halt,
            Ok(Record::Control(control)) if self.is_gap(&control) => return Said::Halt,
            record => record,
        };
        let (touched, numbers) = self.sessions.entry(session).or_default();
        *touched = self.clock;
        let resent = !numbers.insert((sequence, broadcast));
        match record {
            Err(_) if resent => Said::Ended(Outcome::Resent, 0, 0),
            Err(_) => Said::Ended(Outcome::Quarantined, 0, 0),
            Ok(Record::Click(facts)) => self.ended(&facts, resent, true),
            Ok(Record::Impression(facts)) => self.ended(&facts, resent, false),
            Ok(Record::Tick(tick)) => {
                Said::Tick(!resent && self.epoch <= tick.epoch && self.tick(tick))
            }
            Ok(Record::Mark(_)) => Said::Mark,
            Ok(Record::Control(control)) => Said::Control(self.control(control)),
        }
    }

    fn ended(&mut self, facts: &ClickFacts, resent: bool, is_click: bool) -> Said {
        let charge = match self.event(facts, resent, is_click) {
            Err(outcome) => return Said::Ended(outcome, 0, 0),
            Ok(charge) => charge,
        };
        for day in [None, Some(self.day(facts))] {
            let spent = self.spent.entry((facts.advertiser, facts.campaign, day));
            *spent.or_default() += charge;
        }
        *self.balance.entry(facts.advertiser).or_default() -= charge;
        let versions = self.publishers.get(&facts.publisher);
        let share = soon(versions, facts.received_at());
        // Half a micro-unit stays with the platform.
        let share = (charge * share.map_or(0, |share| i64::from(*share)) + 4_999) / 10_000;
        Said::Ended(Outcome::Billed, charge, share)
    }

    /// The table: the first row that applies is the outcome; what passes them all bills its price.
    fn event(&mut self, facts: &ClickFacts, resent: bool, is_click: bool) -> Result<i64, Outcome> {
        let no = |row: bool, outcome: Outcome| if row { Err(outcome) } else { Ok(()) };
        no(resent, Outcome::Resent)?;
        no(self.makes_no_sense(facts), Outcome::Quarantined)?;
        no(facts.test, Outcome::Test)?;
        no(self.is_unauthorised(facts), Outcome::Unauthorised)?;
        no(is_invalid(facts), Outcome::InvalidGivt)?;
        let in_time = self.is_in_time(facts);
        let twice = is_click && self.is_double_click(facts, in_time);
        no(twice, Outcome::InvalidGivt)?;
        no(in_time && self.is_used(facts, is_click), Outcome::Duplicate)?;
        let versions = self.campaigns.get(&(facts.advertiser, facts.campaign));
        let campaign = soon(versions, facts.received_at());
        let (price, state) = *campaign.ok_or(Outcome::UnknownCampaign)?;
        no(state != CampaignState::Active, Outcome::Paused)?;
        no(!in_time, Outcome::Expired)?;
        let price = price_of(facts, price).filter(|price| is_click && price.0 > 0);
        let price = price.ok_or(Outcome::Free)?.0;
        no(price > self.left(facts), Outcome::OverBudget)?;
        Ok(price)
    }

    fn makes_no_sense(&self, facts: &ClickFacts) -> bool {
        let nonsense = match facts.source {
            Source::Signed { window_s, .. } => window_s > WINDOW_MAX_S,
            Source::Imported { event_time } => event_time > Millis::MAX,
            Source::Registered { .. } => false,
        };
        nonsense || facts.click_id.parts().partition != self.partition
    }

    /// A key that nobody has told of is the edge's word.
    fn is_unauthorised(&self, facts: &ClickFacts) -> bool {
        let Source::Signed { key, .. } = facts.source else {
            return false;
        };
        let covers = |scope: &Scope| scope.covers(facts.advertiser);
        let told = as_of(self.keys.get(&key), facts.received_at());
        told.is_some_and(|scope| !scope.as_ref().is_some_and(covers))
    }

    /// A visitor is known by the newest visit, under this pseudonym or the one before it. Who comes
    /// at a time that cannot be is not remembered.
    fn is_double_click(&mut self, facts: &ClickFacts, in_time: bool) -> bool {
        let Source::Registered { link } = facts.source else {
            return false;
        };
        let at = facts.received_at();
        let mut names = once(&facts.pseudonyms).chain(&facts.previous);
        let double = names.any(|name| {
            let seen = self.visits.get(&(link, name.address, name.agent));
            seen.is_some_and(|(seen, _)| seen.0.abs_diff(at.0) <= DOUBLE_CLICK_MS)
        });
        let name = (link, facts.pseudonyms.address, facts.pseudonyms.agent);
        if in_time {
            let (seen, age) = self.visits.entry(name).or_default();
            (*seen, *age) = (at.max(*seen), self.visits_age.0);
        }
        double
    }

    /// Inside its billing window and the spool limit.
    fn is_in_time(&self, facts: &ClickFacts) -> bool {
        let received = facts.received_at();
        let ahead = self.clock.0 > 0 && received.since(self.clock) > AHEAD_MS;
        let received_well = !ahead && self.clock.since(received) <= SPOOL_LIMIT_MS;
        match facts.source {
            Source::Imported { .. } => true,
            Source::Registered { .. } => received_well,
            Source::Signed {
                nonce, window_s, ..
            } => {
                let over = received > nonce.at().plus_s(window_s);
                received_well && !over && nonce.at() <= received.plus_ms(NONCE_AHEAD_MS_MAX)
            }
        }
    }

    fn is_used(&mut self, facts: &ClickFacts, is_click: bool) -> bool {
        match facts.source {
            Source::Signed { nonce, .. } => !self.used.insert((is_click, facts.advertiser, nonce)),
            _ => false,
        }
    }

    /// What a click may still cost: the least of what each limit, as it is now, leaves.
    fn left(&self, facts: &ClickFacts) -> i64 {
        let spent = |day| self.spent(facts.advertiser, facts.campaign, day);
        let balance = self.balance(facts.advertiser);
        let terms = self.newest.get(&(facts.advertiser, facts.campaign));
        let total = terms.and_then(|terms| terms.total_budget);
        let daily = terms.and_then(|terms| terms.daily_budget);
        let payer = self.advertisers.get(&facts.advertiser);
        let limits = [
            total.map(|budget| budget.0 - spent(None)),
            daily.map(|budget| budget.0 - spent(Some(self.day(facts)))),
            payer.and_then(|payer| match payer.payment {
                Payment::Open => None,
                Payment::Prepaid => Some(balance),
                Payment::Credit { limit } => Some(balance + limit.0),
            }),
        ];
        limits.into_iter().flatten().min().unwrap_or(i64::MAX)
    }

    /// The day on the campaign's calendar when the click was received.
    fn day(&self, facts: &ClickFacts) -> i64 {
        let terms = self.newest.get(&(facts.advertiser, facts.campaign));
        let offsets = terms.map_or(&[][..], |terms| &terms.offsets);
        let at = facts.received_at();
        let begun = offsets.iter().rfind(|offset| offset.from <= at);
        let seconds = begun.or(offsets.first()).map_or(0, |offset| offset.seconds);
        let local = at.0.cast_signed() + i64::from(seconds) * 1000;
        local.div_euclid(DAY_MS)
    }

    /// The time of the newest tick.
    pub fn clock(&self) -> Millis {
        self.clock
    }

    /// What an advertiser has left, below 0 where it owes.
    pub fn balance(&self, advertiser: AdvertiserId) -> i64 {
        self.balance.get(&advertiser).copied().unwrap_or(0)
    }

    /// What a campaign's clicks received on a day (none: ever) have cost.
    pub fn spent(&self, payer: AdvertiserId, campaign: CampaignId, day: Option<i64>) -> i64 {
        *self.spent.get(&(payer, campaign, day)).unwrap_or(&0)
    }

    fn tick(&mut self, tick: Tick) -> bool {
        let before = self.clock;
        (self.epoch, self.clock) = (tick.epoch, before.max(tick.at));
        if self.clock.since(self.visits_age.1) >= VISITS_KEPT_MS {
            self.visits_age = (self.visits_age.0 + 1, self.clock);
            self.visits
                .retain(|_, (_, age)| *age + 1 >= self.visits_age.0);
        }
        if before.0 / HOUR_MS != self.clock.0 / HOUR_MS {
            let silent = before.0.saturating_sub(SPOOL_LIMIT_MS);
            self.sessions.retain(|_, (touched, _)| touched.0 >= silent);
            self.commands
                .retain(|_, (.., at)| self.clock.since(*at) <= MONEY_ID_MS);
        }
        true
    }

    /// Changes are numbered per advertiser, or for all.
    fn is_gap(&self, control: &Control) -> bool {
        let last = self.changes.get(&format!("{:?}", control.change.target()));
        control.target_number > last.unwrap_or(&0) + 1
    }

    fn control(&mut self, control: Control) -> bool {
        let target = format!("{:?}", control.change.target());
        let last = self.changes.entry(target).or_default();
        if control.target_number <= *last {
            return false;
        }
        *last = control.target_number;
        let at = control.at;
        match control.change {
            Change::Advertiser(new) if !self.is_paid_in(new.advertiser, new.currency) => false,
            Change::Campaign(new) if !self.is_paid_in(new.advertiser, new.currency) => false,
            Change::Advertiser(new) => {
                self.advertisers.insert(new.advertiser, new);
                true
            }
            Change::Campaign(new) => {
                let (name, terms) = ((new.advertiser, new.campaign), (new.price, new.state));
                self.newest.insert(name, new);
                push(self.campaigns.entry(name).or_default(), at, terms)
            }
            Change::Publisher(new) => {
                let versions = self.publishers.entry(new.publisher).or_default();
                push(versions, at, new.share_basis_points)
            }
            Change::Key(new) => push(self.keys.entry(new.key).or_default(), at, Some(new.scope)),
            Change::KeyRevoked(key) => push(self.keys.entry(key).or_default(), at, None),
            Change::Money(money) => self.money(money, at),
            _ => true,
        }
    }

    /// The first currency that is told of is the advertiser's for good.
    fn is_paid_in(&mut self, advertiser: AdvertiserId, currency: Currency) -> bool {
        *self.currency.entry(advertiser).or_insert(currency) == currency
    }

    /// A repeat is answered as the first was; other words under a known name are refused.
    fn money(&mut self, money: Money, at: Millis) -> bool {
        if let Some((known, accepted, _)) = self.commands.get(&money.command) {
            return *known == money && *accepted;
        }
        let advertiser = money.advertiser;
        let has = |campaign| self.campaigns.contains_key(&(advertiser, campaign));
        let knows = |publisher| self.publishers.contains_key(&publisher);
        let takes = money.kind == MoneyKind::Adjustment && money.amount.0 < 0;
        let accepted = self.advertisers.contains_key(&advertiser)
            && self.currency.get(&advertiser) == Some(&money.currency)
            && money.campaign.is_none_or(has)
            && money.publisher.is_none_or(knows)
            && (takes || money.amount.0 > 0);
        let amount = if accepted { money.amount.0 } else { 0 };
        *self.balance.entry(advertiser).or_default() += amount;
        self.commands
            .insert(money.command, (money, accepted, at.max(self.clock)));
        accepted
    }
}

/// Agents that say they are no browser, and requests that no person makes.
fn is_invalid(facts: &ClickFacts) -> bool {
    facts.head
        || matches!(
            facts.agent_class,
            AgentClass::DeclaredBot | AgentClass::NonBrowser
        )
}

/// The link's, else the campaign's; history has none.
fn price_of(facts: &ClickFacts, campaign: Option<Micros>) -> Option<Micros> {
    match facts.source {
        Source::Signed { price, .. } => price.or(campaign),
        Source::Registered { .. } => campaign,
        Source::Imported { .. } => None,
    }
}
