//! The state of one partition: everything that a later record may ask for.
//!
//! What is kept, and until when (`clock` is the time of the newest tick):
//!
//! | part | dropped | why nobody can ask for it any more |
//! |---|---|---|
//! | nonces of an hour | clock > hour's end + longest window + spool limit | a click on them is out of its window, or received longer ago than the spool limit, and touches no table |
//! | versions of campaigns, shares and keys | superseded before clock − window − spool limit | the same |
//! | what a campaign's day has cost | clock > the day's end in any zone + spool limit | the same |
//! | ids of money commands | 400 days after they came | a repeat after that is a new command |
//! | sessions | silent for longer than the spool limit | what is sent again later cannot bill; a live one sends a mark a minute |
//! | recent visits | 10 to 20 minutes after the visit | far past the double-click window |
//!
//! Accounts, campaigns with what they have cost in all, publishers and keys are never dropped: a
//! few hundred bytes for each that was ever made, an archived campaign still knows its spend. A
//! click received further ahead of the clock than any outage explains touches none of these, so no
//! day, nonce or visit is kept for a time that does not come. Per edge there is one mark.
//!
//! Dropping happens when the clock enters a new hour (visits: at a tick), so it is part of the
//! log's order like everything else.

use std::collections::BTreeMap;

use thiserror::Error;
use tollgate_click::control::{Campaign, Money, Payment, Scope, Target};
use tollgate_click::limits::{
    MONEY_ID_RETENTION_S, RECEIVED_AHEAD_S_MAX, SPOOL_LIMIT_S, STATE_RETENTION_S,
};
use tollgate_click::record::{Mark, Tick};
use tollgate_click::{
    AdvertiserId, CampaignId, Change, Control, Currency, EdgeId, KeyId, Micros, Millis, Minute,
    Ordinal, PartitionId,
};

use crate::effects::{Closed, Halt, Incoming, MoneyRefusal, NotApplied, Reason};
use crate::found::Found;
use crate::tally::Counts;

pub(crate) mod accounts;
mod budgets;
pub(crate) mod campaigns;
mod commands;
pub(crate) mod index;
pub(crate) mod kept;
pub(crate) mod nonces;
mod publishers;
mod rare;
pub(crate) mod recent;
pub(crate) mod sessions;
mod snapshot;
pub(crate) mod timeline;

use accounts::Accounts;
use budgets::Exhausted;
use campaigns::Campaigns;
use commands::Commands;
use index::Place;
use kept::kept;
use nonces::{HOUR_MS, NonceHours};
use publishers::Publishers;
use recent::RecentVisits;
use sessions::Sessions;
pub use snapshot::{BadPart, BadSnapshot, Part, PartBytes};
use timeline::Timeline;

/// Which `apply` is in force. It changes through the log, like everything that decides.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u16)]
pub enum ApplyVersion {
    /// The first.
    V1 = 1,
}

/// A version that this code does not have.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
#[error("apply version {0} is unknown to this version")]
pub struct UnknownApply(pub u16);

impl TryFrom<u16> for ApplyVersion {
    type Error = UnknownApply;

    fn try_from(number: u16) -> Result<ApplyVersion, UnknownApply> {
        match number {
            1 => Ok(ApplyVersion::V1),
            other => Err(UnknownApply(other)),
        }
    }
}

/// The state of one partition.
#[derive(Clone, PartialEq, Debug)]
pub struct State {
    partition: PartitionId,
    version: ApplyVersion,
    ordinal: Ordinal,
    epoch: u64,
    clock: Millis,
    changes: BTreeMap<Option<AdvertiserId>, u64>,
    sessions: Sessions,
    keys: BTreeMap<KeyId, Timeline<KeyStanding>>,
    pub(crate) accounts: Accounts,
    pub(crate) campaigns: Campaigns,
    pub(crate) publishers: Publishers,
    commands: Commands,
    marks: BTreeMap<EdgeId, Minute>,
    pub(crate) clicked: NonceHours,
    pub(crate) shown: NonceHours,
    pub(crate) recent: RecentVisits,
    pub(crate) counts: Counts,
    /// The counts when the clock's minute began.
    opened: Counts,
}

/// What the core needs of a signing key.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct KeyStanding {
    pub(crate) scope: Scope,
    pub(crate) revoked: bool,
}

kept!(KeyStanding { scope, revoked });

impl State {
    /// A partition before its first record.
    pub fn new(partition: PartitionId, version: ApplyVersion) -> State {
        State {
            partition,
            version,
            ordinal: Ordinal(0),
            epoch: 0,
            clock: Millis(0),
            changes: BTreeMap::new(),
            sessions: Sessions::default(),
            keys: BTreeMap::new(),
            accounts: Accounts::default(),
            campaigns: Campaigns::default(),
            publishers: Publishers::default(),
            commands: Commands::default(),
            marks: BTreeMap::new(),
            clicked: NonceHours::default(),
            shown: NonceHours::default(),
            recent: RecentVisits::default(),
            counts: Counts::default(),
            opened: Counts::default(),
        }
    }

    /// The partition's number.
    pub fn partition(&self) -> PartitionId {
        self.partition
    }

    /// The version of `apply` that is in force.
    pub fn version(&self) -> ApplyVersion {
        self.version
    }

    /// How many records were applied.
    pub fn ordinal(&self) -> Ordinal {
        self.ordinal
    }

    /// The highest epoch of a tick.
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// The highest time of a tick; 0 before the first.
    pub fn clock(&self) -> Millis {
        self.clock
    }

    /// What was counted since the first record.
    pub fn counts(&self) -> &Counts {
        &self.counts
    }

    /// What a campaign's clicks were charged in all, posted or pending; none when there is no such
    /// campaign.
    pub fn spend(&self, advertiser: AdvertiserId, campaign: CampaignId) -> Option<Micros> {
        let campaign = self.campaigns.get(advertiser, campaign)?;
        Some(campaign.spent.total())
    }

    /// What a campaign's clicks were charged on the date, in its zone, of an instant. Dates on
    /// which nothing can be spent any more are forgotten and tell 0.
    pub fn spend_of_day(
        &self,
        advertiser: AdvertiserId,
        campaign: CampaignId,
        at: Millis,
    ) -> Option<Micros> {
        let campaign = self.campaigns.get(advertiser, campaign)?;
        let day = campaign.budgets.day_of(at);
        Some(campaign.spent.in_day(day))
    }

    /// What an advertiser has left, posted or pending: its money commands less its charges, below
    /// 0 what it owes; none when it has neither a record nor a campaign.
    pub fn balance(&self, advertiser: AdvertiserId) -> Option<Micros> {
        Some(self.accounts.get(advertiser)?.balance())
    }

    /// How an advertiser pays, and in which currency; none as with [`State::balance`].
    pub fn payment(&self, advertiser: AdvertiserId) -> Option<(Payment, Currency)> {
        let account = self.accounts.get(advertiser)?;
        Some((account.payment(), account.currency))
    }

    /// Records that a session's numbers say exist and that have not come.
    pub fn missing(&self) -> u64 {
        self.sessions.missing()
    }

    /// The minute before which no edge will send anything; none while no edge has marked.
    pub fn complete_before(&self) -> Option<Minute> {
        self.marks.values().min().copied()
    }

    pub(crate) fn next_ordinal(&self) -> Result<Ordinal, Halt> {
        self.ordinal
            .0
            .checked_add(1)
            .map(Ordinal)
            .ok_or(Halt::OrdinalsUsedUp)
    }

    /// Takes the record under its number and says whether it had come before.
    pub(crate) fn take(&mut self, ordinal: Ordinal, incoming: Incoming<'_>) -> bool {
        self.ordinal = ordinal;
        !self.sessions.note(incoming, self.clock)
    }

    /// A change must be a repeat or the next of its target, and one that this code knows.
    pub(crate) fn check_control(&self, control: &Control, ordinal: Ordinal) -> Result<(), Halt> {
        let target = counted_for(&control.change);
        let last = self.changes.get(&target).copied().unwrap_or(0);
        let next = last.saturating_add(1);
        if control.target_number > next {
            return Err(Halt::ControlGap {
                ordinal,
                number: control.number,
                target,
                want: next,
                got: control.target_number,
            });
        }
        match control.change {
            Change::ApplyVersion(version)
                if control.target_number == next && ApplyVersion::try_from(version).is_err() =>
            {
                Err(Halt::UnknownApply { ordinal, version })
            }
            _ => Ok(()),
        }
    }

    /// Takes the number of a change whose order was checked; false when it is a repeat.
    pub(crate) fn take_change(&mut self, control: &Control) -> bool {
        let target = counted_for(&control.change);
        let last = self.changes.entry(target).or_insert(0);
        let is_next = control.target_number > *last;
        *last = control.target_number.max(*last);
        is_next
    }

    /// Applies a change that was taken and is no money command.
    pub(crate) fn change(&mut self, at: Millis, change: Change) -> Result<(), NotApplied> {
        match change {
            Change::Advertiser(advertiser) => self.accounts.change(&advertiser)?,
            Change::Campaign(campaign) => self.change_campaign(at, &campaign)?,
            Change::Publisher(publisher) => self.publishers.change(at, &publisher),
            Change::Key(key) => self.change_key(key.key, at, key.scope, false),
            Change::KeyRevoked(key) => self.change_key(key, at, Scope::All, true),
            Change::ApplyVersion(version) => {
                self.version = ApplyVersion::try_from(version).unwrap_or(self.version); // checked
            }
            // For the edge and the API, or names only.
            Change::Ad(_)
            | Change::Link(_)
            | Change::LinkRemoved(_)
            | Change::Token(_)
            | Change::TokenRevoked(_)
            | Change::ApiKey(_)
            | Change::ApiKeyRevoked(_)
            | Change::RecordVersion(_)
            | Change::Money(_) => {}
        }
        Ok(())
    }

    fn change_campaign(&mut self, at: Millis, campaign: &Campaign) -> Result<(), NotApplied> {
        let account = self.accounts.open(campaign.advertiser, campaign.currency)?;
        self.campaigns.change(at, campaign, account);
        Ok(())
    }

    fn change_key(&mut self, key: KeyId, at: Millis, scope: Scope, revoked: bool) {
        let standing = KeyStanding { scope, revoked };
        match self.keys.get_mut(&key) {
            Some(known) => known.push(at, standing),
            None => {
                self.keys.insert(key, Timeline::new(at, standing));
            }
        }
    }

    /// Takes a money command: whether the account accepts it, and whether it is a repeat.
    pub(crate) fn receive(
        &mut self,
        at: Millis,
        money: &Money,
    ) -> (Result<(), MoneyRefusal>, bool) {
        if let Some(answer) = self.commands.answer(money) {
            return (answer, answer != Err(MoneyRefusal::IdReused));
        }
        let balance = self.check_money(money);
        if let Ok(balance) = balance {
            self.accounts.receive(money, balance);
        }
        let accepted = balance.map(|_| ());
        self.commands.note(at.max(self.clock), money, accepted);
        (accepted, false)
    }

    fn check_money(&self, money: &Money) -> Result<Micros, MoneyRefusal> {
        let balance = self.accounts.check(money)?;
        let of = money.advertiser;
        let missing = |campaign| self.campaigns.get(of, campaign).is_none();
        if money.campaign.is_some_and(missing) {
            return Err(MoneyRefusal::UnknownCampaign);
        }
        if money
            .publisher
            .is_some_and(|publisher| !self.publishers.knows(publisher))
        {
            return Err(MoneyRefusal::UnknownPublisher);
        }
        Ok(balance)
    }

    /// Charges a click received then to its campaign and account, or tells what stops it.
    pub(crate) fn charge(
        &mut self,
        campaign: Place,
        received_at: Millis,
        price: Micros,
    ) -> Result<(), Reason> {
        let gone = Reason::Balance; // a place was found a moment ago and never moves
        let campaign = self.campaigns.at_mut(campaign).ok_or(gone)?;
        let account = self.accounts.at_mut(campaign.account).ok_or(gone)?;
        let charged = campaign.budgets.charge(&campaign.spent, received_at, price);
        let charged = charged.map_err(|exhausted| match exhausted {
            Exhausted::Daily => Reason::DailyBudget,
            Exhausted::Total => Reason::TotalBudget,
        })?;
        let balance = account.after(price).ok_or(Reason::Balance)?;
        campaign.spent.charge(charged);
        account.set_balance(balance);
        Ok(())
    }

    /// The publisher's part of a click's charge; nothing for one that is not known.
    pub(crate) fn share_of(&self, found: Found, received_at: Millis, charge: Micros) -> Micros {
        found.publisher.map_or(Micros::ZERO, |place| {
            self.publishers.share_of(place, received_at, charge)
        })
    }

    /// Whether a tick moves the clock: not one of an older epoch.
    pub(crate) fn counts_tick(&self, tick: Tick) -> bool {
        tick.epoch >= self.epoch
    }

    /// Moves the clock; time never goes back. Tells what the minute came to that is over.
    pub(crate) fn move_clock(&mut self, tick: Tick) -> Option<Closed> {
        let records = self.counts.records() + 1; // this tick is counted at its end
        assert_eq!(records, self.ordinal.0, "every record has one effect");
        self.epoch = tick.epoch;
        let before = self.clock;
        self.clock = before.max(tick.at);
        let closed = (before.minute() < self.clock.minute()).then(|| self.close(before.minute()));
        self.recent.age(self.clock);
        if before.0 / HOUR_MS != self.clock.0 / HOUR_MS {
            self.forget(before);
            self.check_books();
        }
        self.retire(before);
        closed
    }

    fn close(&mut self, minute: Minute) -> Closed {
        let counts = self.counts.since(&self.opened);
        self.opened = self.counts.clone();
        Closed { minute, counts }
    }

    /// What accounts were charged is what their campaigns have cost, and what was counted.
    fn check_books(&self) {
        let mut spent: BTreeMap<AdvertiserId, i128> = BTreeMap::new();
        for ((advertiser, _), campaign) in self.campaigns.iter() {
            let total = i128::from(campaign.spent.total().0);
            *spent.entry(*advertiser).or_default() += total;
        }
        let mut charged: BTreeMap<Currency, i128> = BTreeMap::new();
        for (advertiser, account) in self.accounts.iter() {
            let spent = spent.get(advertiser).copied().unwrap_or(0);
            assert_eq!(account.charged(), spent, "advertiser {advertiser}");
            *charged.entry(account.currency).or_default() += spent;
        }
        charged.retain(|_, sum| *sum != 0);
        assert_eq!(charged, *self.counts.clicks.spend(), "charges and counts");
    }

    /// Drops what no click that can still bill may ask for: see the table above. What came just
    /// before this tick was heard of at the clock `before` it, however far the clock has moved.
    fn forget(&mut self, before: Millis) {
        let ago =
            |clock: Millis, seconds: u32| Millis(clock.0.saturating_sub(u64::from(seconds) * 1000));
        let state = ago(self.clock, STATE_RETENTION_S);
        self.sessions
            .forget_silent_since(ago(before, SPOOL_LIMIT_S));
        self.clicked.forget_ended_before(state);
        self.shown.forget_ended_before(state);
        self.campaigns.forget(state, self.clock);
        self.publishers.forget_superseded_before(state);
        self.commands
            .forget_before(ago(self.clock, MONEY_ID_RETENTION_S));
        for key in self.keys.values_mut() {
            key.forget_superseded_before(state);
        }
    }

    /// Makes old hours of those that have been over for an hour; see [`nonces`]. It takes a
    /// moment, so each partition does it in a minute of its own.
    fn retire(&mut self, before: Millis) {
        let minutes = 60 + u64::from(self.partition.get() % 60);
        let ago = |clock: Millis| Millis(clock.0.saturating_sub(minutes * 60_000));
        let (before, now) = (ago(before), ago(self.clock));
        for table in [&mut self.clicked, &mut self.shown] {
            table.forget_answers();
            if before.0 / HOUR_MS != now.0 / HOUR_MS {
                table.retire_ended_before(now);
            }
        }
    }

    pub(crate) fn note_mark(&mut self, mark: Mark) {
        let minute = self.marks.entry(mark.edge).or_insert(mark.minute);
        *minute = (*minute).max(mark.minute);
    }

    /// How the key stood when a click was received; none when it had not been heard of.
    pub(crate) fn key_as_of(&self, key: KeyId, received_at: Millis) -> Option<&KeyStanding> {
        self.keys.get(&key)?.as_of(received_at)
    }

    /// Why a click cannot bill for the time it was received at: longer ago than a spool may hold
    /// it, or further ahead than the partition can have missed. Before the first tick nothing is
    /// ahead.
    pub(crate) fn untimely(&self, received_at: Millis) -> Option<Reason> {
        if self.clock.since(received_at) > u64::from(SPOOL_LIMIT_S) * 1000 {
            return Some(Reason::TooLate);
        }
        let ahead = received_at.since(self.clock) > u64::from(RECEIVED_AHEAD_S_MAX) * 1000;
        (ahead && self.clock > Millis(0)).then_some(Reason::ReceivedAhead)
    }
}

/// Changes are numbered per advertiser, or for all partitions.
fn counted_for(change: &Change) -> Option<AdvertiserId> {
    match change.target() {
        Target::Advertiser(advertiser) => Some(advertiser),
        Target::All => None,
    }
}
