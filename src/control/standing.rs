//! What stands: the sum of all control records.

use std::collections::BTreeMap;

use thiserror::Error;
use tollgate_click::control::{Advertiser, Campaign, IngestToken, Link, SigningKey, Target};
use tollgate_click::{
    AdvertiserId, CampaignId, Change, Control, ControlNumber, KeyId, LinkId, Millis,
};

/// Everything that was made and not removed.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Standing {
    numbering: Numbering,
    pub(crate) advertisers: BTreeMap<AdvertiserId, Advertiser>,
    pub(crate) campaigns: BTreeMap<CampaignId, Campaign>,
    pub(crate) links: BTreeMap<LinkId, Link>,
    pub(crate) keys: BTreeMap<KeyId, KnownKey>,
    pub(crate) tokens: BTreeMap<u32, KnownToken>,
    pub(crate) record_version: u8,
}

impl Default for Standing {
    fn default() -> Standing {
        Standing {
            numbering: Numbering::default(),
            advertisers: BTreeMap::new(),
            campaigns: BTreeMap::new(),
            links: BTreeMap::new(),
            keys: BTreeMap::new(),
            tokens: BTreeMap::new(),
            record_version: tollgate_click::facts::VERSION,
        }
    }
}

/// A signing key.
#[derive(Clone, PartialEq)]
pub(crate) struct KnownKey {
    pub(crate) key: SigningKey,
    /// None when retention has taken the record's second part before a snapshot was kept.
    pub(crate) secret: Option<[u8; 32]>,
    pub(crate) revoked_at: Option<Millis>,
}

/// An ingest token.
#[derive(Clone, PartialEq)]
pub(crate) struct KnownToken {
    pub(crate) token: IngestToken,
    /// SHA-256 of the secret; none as with keys.
    pub(crate) hash: Option<[u8; 32]>,
    pub(crate) revoked: bool,
}

impl std::fmt::Debug for KnownKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "KnownKey({:?}, revoked at {:?}, secret hidden)",
            self.key, self.revoked_at
        )
    }
}

impl std::fmt::Debug for KnownToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "KnownToken({:?}, revoked {}, hash hidden)",
            self.token, self.revoked
        )
    }
}

/// How far changes are numbered, in all and per target (none stands for all partitions).
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub(crate) struct Numbering {
    pub(crate) number: u64,
    pub(crate) targets: BTreeMap<Option<AdvertiserId>, u64>,
}

/// A control record is missing: the control partition cannot be trusted.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
#[error("the control partition goes from change {last} to {got}: something is missing")]
pub(crate) struct OutOfOrder {
    last: u64,
    got: u64,
}

impl Numbering {
    /// The numbers of the next change.
    pub(crate) fn next(&mut self, change: &Change) -> (ControlNumber, u64) {
        self.number += 1; // one a control record: 2^64 of them fit on no disk
        let counted = self.targets.entry(target(change)).or_insert(0);
        *counted += 1;
        (ControlNumber(self.number), *counted)
    }
}

fn target(change: &Change) -> Option<AdvertiserId> {
    match change.target() {
        Target::Advertiser(advertiser) => Some(advertiser),
        Target::All => None,
    }
}

impl Standing {
    /// A standing that goes on numbering from there.
    pub(super) fn numbered(numbering: Numbering) -> Standing {
        Standing {
            numbering,
            ..Standing::default()
        }
    }

    /// The newest change.
    pub(crate) fn number(&self) -> ControlNumber {
        ControlNumber(self.numbering.number)
    }

    /// How far changes are numbered.
    pub(crate) fn numbering(&self) -> &Numbering {
        &self.numbering
    }

    /// Applies the next record; a repeat is ignored.
    pub(crate) fn apply(&mut self, control: &Control, secret: &[u8]) -> Result<(), OutOfOrder> {
        let (last, got) = (self.numbering.number, control.number.0);
        if got <= last {
            return Ok(());
        }
        if got != last.saturating_add(1) {
            return Err(OutOfOrder { last, got });
        }
        self.numbering.number = got;
        self.numbering
            .targets
            .insert(target(&control.change), control.target_number);
        self.change(control.at, &control.change, secret);
        Ok(())
    }

    /// Makes a change without looking at numbers.
    pub(super) fn change(&mut self, at: Millis, change: &Change, secret: &[u8]) {
        match change {
            Change::Advertiser(advertiser) => {
                self.advertisers
                    .insert(advertiser.advertiser, advertiser.clone());
            }
            Change::Campaign(campaign) => {
                self.campaigns.insert(campaign.campaign, campaign.clone());
            }
            Change::Link(link) => {
                self.links.insert(link.link, link.clone());
            }
            Change::LinkRemoved(link) => {
                self.links.remove(link);
            }
            Change::Key(key) => self.change_key(key, secret),
            Change::KeyRevoked(key) => {
                if let Some(known) = self.keys.get_mut(key) {
                    known.revoked_at.get_or_insert(at);
                }
            }
            Change::Token(token) => self.change_token(token, secret),
            Change::TokenRevoked(token) => {
                if let Some(known) = self.tokens.get_mut(token) {
                    known.revoked = true;
                }
            }
            Change::RecordVersion(version) => self.record_version = *version,
            // No file speaks of these; the core reads them from the data partitions.
            Change::Publisher(_)
            | Change::Ad(_)
            | Change::ApiKey(_)
            | Change::ApiKeyRevoked(_)
            | Change::Money(_)
            | Change::ApplyVersion(_) => {}
        }
    }

    /// A revoked key stays revoked; a record without its secret keeps the one that is known.
    fn change_key(&mut self, key: &SigningKey, secret: &[u8]) {
        let before = self.keys.remove(&key.key);
        let known = KnownKey {
            key: key.clone(),
            secret: secret
                .try_into()
                .ok()
                .or(before.as_ref().and_then(|known| known.secret)),
            revoked_at: before.and_then(|known| known.revoked_at),
        };
        self.keys.insert(key.key, known);
    }

    fn change_token(&mut self, token: &IngestToken, hash: &[u8]) {
        let before = self.tokens.remove(&token.token);
        let known = KnownToken {
            token: token.clone(),
            hash: hash
                .try_into()
                .ok()
                .or(before.as_ref().and_then(|known| known.hash)),
            revoked: before.is_some_and(|known| known.revoked),
        };
        self.tokens.insert(token.token, known);
    }
}
