//! What stands: the sum of all control records, kept by the sequencer and read by everything
//! that asks or writes.

use std::collections::BTreeMap;

use thiserror::Error;
use tollgate_click::control::{
    Ad, Advertiser, ApiKey, Campaign, IngestToken, Link, Publisher, SigningKey, Target,
};
use tollgate_click::ids::Actor;
use tollgate_click::{
    AdId, AdvertiserId, CampaignId, Change, Control, ControlNumber, KeyId, LinkId, Millis,
    PublisherId,
};

use crate::names::skeleton;

/// Everything that was made and not removed.
#[derive(Clone, PartialEq, Debug)]
pub struct Standing {
    numbering: Numbering,
    /// Advertisers.
    pub advertisers: BTreeMap<AdvertiserId, Advertiser>,
    /// Publishers.
    pub publishers: BTreeMap<PublisherId, Publisher>,
    /// Campaigns, archived ones too.
    pub campaigns: BTreeMap<CampaignId, Campaign>,
    /// Creatives.
    pub ads: BTreeMap<AdId, Ad>,
    /// Registered links.
    pub links: BTreeMap<LinkId, KnownLink>,
    /// Signing keys, revoked ones too.
    pub keys: BTreeMap<KeyId, KnownKey>,
    /// Ingest tokens, revoked ones too.
    pub tokens: BTreeMap<u32, KnownToken>,
    /// API keys, revoked ones too.
    pub api_keys: BTreeMap<u32, KnownApiKey>,
    /// What edges write.
    pub record_version: u8,
    /// The highest number that a link ever had: none is given twice.
    highest_link: LinkId,
    /// Links by slug.
    slugs: BTreeMap<String, LinkId>,
    /// Campaigns by advertiser and name, as names are compared.
    names: BTreeMap<(AdvertiserId, String), CampaignId>,
}

impl Default for Standing {
    fn default() -> Standing {
        Standing {
            numbering: Numbering::default(),
            advertisers: BTreeMap::new(),
            publishers: BTreeMap::new(),
            campaigns: BTreeMap::new(),
            ads: BTreeMap::new(),
            links: BTreeMap::new(),
            keys: BTreeMap::new(),
            tokens: BTreeMap::new(),
            api_keys: BTreeMap::new(),
            record_version: tollgate_click::facts::VERSION,
            highest_link: LinkId(0),
            slugs: BTreeMap::new(),
            names: BTreeMap::new(),
        }
    }
}

/// A registered link.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct KnownLink {
    /// The link.
    pub link: Link,
    /// Who told it last: links that a file told are removed when the file leaves them out.
    pub by: Actor,
}

/// A signing key.
#[derive(Clone, PartialEq)]
pub struct KnownKey {
    /// The key.
    pub key: SigningKey,
    /// None when retention has taken the record's second part before a snapshot was kept.
    pub secret: Option<[u8; 32]>,
    /// From when on its signatures do not count.
    pub revoked_at: Option<Millis>,
}

/// An ingest token.
#[derive(Clone, PartialEq)]
pub struct KnownToken {
    /// The token.
    pub token: IngestToken,
    /// SHA-256 of the secret; none as with keys.
    pub hash: Option<[u8; 32]>,
    /// Whether it was revoked.
    pub revoked: bool,
}

/// An API key.
#[derive(Clone, PartialEq)]
pub struct KnownApiKey {
    /// The key.
    pub key: ApiKey,
    /// SHA-256 of the secret; none as with keys.
    pub hash: Option<[u8; 32]>,
    /// Whether it was revoked.
    pub revoked: bool,
}

impl std::fmt::Debug for KnownKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (key, at) = (&self.key, self.revoked_at);
        write!(f, "KnownKey({key:?}, revoked at {at:?}, secret hidden)")
    }
}

impl std::fmt::Debug for KnownToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (token, revoked) = (&self.token, self.revoked);
        write!(f, "KnownToken({token:?}, revoked {revoked}, hash hidden)")
    }
}

impl std::fmt::Debug for KnownApiKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (key, revoked) = (&self.key, self.revoked);
        write!(f, "KnownApiKey({key:?}, revoked {revoked}, hash hidden)")
    }
}

/// How far changes are numbered, in all and per target (none stands for all partitions).
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Numbering {
    /// The newest change.
    pub number: u64,
    /// The newest change of each target.
    pub targets: BTreeMap<Option<AdvertiserId>, u64>,
}

/// A control record is missing: the control partition cannot be trusted.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
#[error("the control partition goes from change {last} to {got}: something is missing")]
pub struct OutOfOrder {
    last: u64,
    got: u64,
}

impl Numbering {
    /// The numbers of the next change.
    pub fn next(&mut self, change: &Change) -> (ControlNumber, u64) {
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
    pub fn numbered(numbering: Numbering) -> Standing {
        Standing {
            numbering,
            ..Standing::default()
        }
    }

    /// The newest change.
    pub fn number(&self) -> ControlNumber {
        ControlNumber(self.numbering.number)
    }

    /// How far changes are numbered.
    pub fn numbering(&self) -> &Numbering {
        &self.numbering
    }

    /// The highest number that a link ever had.
    pub fn highest_link(&self) -> LinkId {
        self.highest_link
    }

    /// The link of a slug.
    pub fn link_of_slug(&self, slug: &str) -> Option<LinkId> {
        self.slugs.get(slug).copied()
    }

    /// The campaign of an advertiser whose name reads like that one.
    pub fn campaign_named(&self, advertiser: AdvertiserId, name: &str) -> Option<CampaignId> {
        self.names.get(&(advertiser, skeleton(name))).copied()
    }

    /// Applies the next record; a repeat is ignored.
    ///
    /// # Errors
    ///
    /// [`OutOfOrder`]: nothing was applied.
    pub fn apply(&mut self, control: &Control, secret: &[u8]) -> Result<(), OutOfOrder> {
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
        self.change(control, secret);
        Ok(())
    }

    /// Makes a change without looking at numbers.
    pub fn change(&mut self, control: &Control, secret: &[u8]) {
        match &control.change {
            Change::Advertiser(advertiser) => {
                let number = advertiser.advertiser;
                self.advertisers.insert(number, advertiser.clone());
            }
            Change::Publisher(publisher) => {
                self.publishers
                    .insert(publisher.publisher, publisher.clone());
            }
            Change::Campaign(campaign) => self.change_campaign(campaign),
            Change::Ad(ad) => {
                self.ads.insert(ad.ad, ad.clone());
            }
            Change::Link(link) => self.change_link(link, control.by),
            Change::LinkRemoved(link) => self.remove_link(*link),
            Change::Key(key) => self.change_key(key, secret),
            Change::KeyRevoked(key) => {
                if let Some(known) = self.keys.get_mut(key) {
                    known.revoked_at.get_or_insert(control.at);
                }
            }
            Change::Token(token) => self.change_token(token, secret),
            Change::TokenRevoked(token) => {
                if let Some(known) = self.tokens.get_mut(token) {
                    known.revoked = true;
                }
            }
            Change::ApiKey(key) => self.change_api_key(key, secret),
            Change::ApiKeyRevoked(key) => {
                if let Some(known) = self.api_keys.get_mut(key) {
                    known.revoked = true;
                }
            }
            Change::RecordVersion(version) => self.record_version = *version,
            // What they change is the core's.
            Change::Money(_) | Change::ApplyVersion(_) => {}
        }
    }

    fn change_campaign(&mut self, campaign: &Campaign) {
        let before = self.campaigns.insert(campaign.campaign, campaign.clone());
        if let Some(before) = before {
            let name = (before.advertiser, skeleton(&before.name));
            if self.names.get(&name) == Some(&before.campaign) {
                self.names.remove(&name);
            }
        }
        let name = (campaign.advertiser, skeleton(&campaign.name));
        self.names.entry(name).or_insert(campaign.campaign);
    }

    fn change_link(&mut self, link: &Link, by: Actor) {
        self.remove_link(link.link);
        self.slugs.insert(link.slug.clone(), link.link);
        let link = link.clone();
        self.links.insert(link.link, KnownLink { link, by });
    }

    fn remove_link(&mut self, link: LinkId) {
        self.highest_link = self.highest_link.max(link);
        if let Some(known) = self.links.remove(&link)
            && self.slugs.get(&known.link.slug) == Some(&link)
        {
            self.slugs.remove(&known.link.slug);
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

    fn change_api_key(&mut self, key: &ApiKey, hash: &[u8]) {
        let before = self.api_keys.remove(&key.key);
        let known = KnownApiKey {
            key: key.clone(),
            hash: hash
                .try_into()
                .ok()
                .or(before.as_ref().and_then(|known| known.hash)),
            revoked: before.is_some_and(|known| known.revoked),
        };
        self.api_keys.insert(key.key, known);
    }
}
