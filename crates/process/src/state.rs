//! The state of one partition: everything that a later record may ask for.
//!
//! What is kept, and until when (`clock` is the time of the newest tick):
//!
//! | part | dropped | why nobody can ask for it any more |
//! |---|---|---|
//! | nonces of an hour | clock > hour's end + longest window + spool limit | a click on them is out of its window, or received longer ago than the spool limit, and touches no table |
//! | versions of campaigns and keys | superseded before clock − window − spool limit | the same |
//! | sessions | silent for longer than the spool limit | what is sent again later cannot bill; a live one sends a mark a minute |
//! | recent visits | 10 to 20 minutes after the visit | far past the double-click window |
//!
//! Dropping happens when the clock enters a new hour (visits: at a tick), so it is part of the
//! log's order like everything else.

use std::collections::BTreeMap;

use thiserror::Error;
use tollgate_click::control::{Campaign, CampaignState, Scope, Target};
use tollgate_click::limits::{CLOCK_SKEW_MS_MAX, SPOOL_LIMIT_S, STATE_RETENTION_S};
use tollgate_click::record::{Mark, Tick};
use tollgate_click::{
    AdvertiserId, Change, ClickFacts, Control, EdgeId, KeyId, Millis, Minute, Ordinal, PartitionId,
};

use crate::effects::{Halt, Incoming};
use crate::tally::Counts;

pub(crate) mod campaigns;
pub(crate) mod kept;
pub(crate) mod nonces;
pub(crate) mod recent;
pub(crate) mod sessions;
mod snapshot;
pub(crate) mod timeline;

use campaigns::{Campaigns, Terms};
use kept::kept;
use nonces::{HOUR_MS, NonceHours};
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
    campaigns: Campaigns,
    marks: BTreeMap<EdgeId, Minute>,
    pub(crate) clicked: NonceHours,
    pub(crate) shown: NonceHours,
    pub(crate) recent: RecentVisits,
    pub(crate) counts: Counts,
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
            campaigns: Campaigns::default(),
            marks: BTreeMap::new(),
            clicked: NonceHours::default(),
            shown: NonceHours::default(),
            recent: RecentVisits::default(),
            counts: Counts::default(),
        }
    }

    /// The partition's number.
    pub fn partition(&self) -> PartitionId {
        self.partition
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

    /// A change must be a repeat or the next of its target.
    pub(crate) fn check_control_order(
        &self,
        control: &Control,
        ordinal: Ordinal,
    ) -> Result<(), Halt> {
        let target = counted_for(&control.change);
        let last = self.changes.get(&target).copied().unwrap_or(0);
        if control.target_number <= last.saturating_add(1) {
            return Ok(());
        }
        Err(Halt::ControlGap {
            ordinal,
            number: control.number,
            target,
            want: last.saturating_add(1),
            got: control.target_number,
        })
    }

    /// Applies a change whose order was checked; false when it is a repeat or changes nothing.
    pub(crate) fn change(&mut self, control: Control) -> bool {
        let last = self
            .changes
            .entry(counted_for(&control.change))
            .or_insert(0);
        if control.target_number <= *last {
            return false;
        }
        *last = control.target_number;
        let at = control.at;
        match control.change {
            Change::Campaign(campaign) => self.change_campaign(at, &campaign),
            Change::Key(key) => {
                let standing = KeyStanding {
                    scope: key.scope,
                    revoked: false,
                };
                self.keys.entry(key.key).or_default().push(at, standing);
                true
            }
            Change::KeyRevoked(key) => {
                let standing = KeyStanding {
                    scope: Scope::All,
                    revoked: true,
                };
                self.keys.entry(key).or_default().push(at, standing);
                true
            }
            // For the edge, or names only.
            Change::Advertiser(_)
            | Change::Link(_)
            | Change::LinkRemoved(_)
            | Change::Token(_)
            | Change::TokenRevoked(_)
            | Change::RecordVersion(_)
            | Change::Publisher(_)
            | Change::Ad(_)
            | Change::ApiKey(_)
            | Change::ApiKeyRevoked(_)
            | Change::Money(_)
            | Change::ApplyVersion(_) => true,
        }
    }

    fn change_campaign(&mut self, at: Millis, campaign: &Campaign) -> bool {
        let terms = Terms {
            currency: campaign.currency,
            price: campaign.price,
            paused: campaign.state != CampaignState::Active,
        };
        self.campaigns
            .change(campaign.advertiser, campaign.campaign, at, terms)
    }

    /// Moves the clock, unless the tick is of an older epoch; time never goes back.
    pub(crate) fn move_clock(&mut self, tick: Tick) -> bool {
        if tick.epoch < self.epoch {
            return false;
        }
        self.epoch = tick.epoch;
        let before = self.clock;
        self.clock = before.max(tick.at);
        self.recent.age(self.clock);
        if before.0 / HOUR_MS != self.clock.0 / HOUR_MS {
            self.forget(before);
        }
        self.retire(before);
        let records = self.counts.records() + 1; // this tick is counted at its end
        assert_eq!(records, self.ordinal.0, "every record has one effect");
        true
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
        self.campaigns.forget_superseded_before(state);
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

    /// The campaign's terms when the click was received. A campaign's first version also holds
    /// for the few seconds before it that clocks may differ by.
    pub(crate) fn terms_as_of(&self, facts: &ClickFacts) -> Option<Terms> {
        let timeline = self.campaigns.of(facts.advertiser, facts.campaign)?;
        let received_at = facts.received_at();
        let early = || timeline.first_if_by(received_at.plus_ms(CLOCK_SKEW_MS_MAX));
        timeline.as_of(received_at).or_else(early).copied()
    }

    /// Whether a click was received longer ago than a spool may hold it and still bill.
    pub(crate) fn too_late(&self, received_at: Millis) -> bool {
        self.clock.since(received_at) > u64::from(SPOOL_LIMIT_S) * 1000
    }
}

/// Changes are numbered per advertiser, or for all partitions.
fn counted_for(change: &Change) -> Option<AdvertiserId> {
    match change.target() {
        Target::Advertiser(advertiser) => Some(advertiser),
        Target::All => None,
    }
}
