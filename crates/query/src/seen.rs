//! What stands, as a tenant sees it: handlers get this and never the whole.

use std::ops::Bound;

use tollgate_click::control::{Ad, Advertiser, Campaign, Publisher, Role, Scope};
use tollgate_click::{AdId, AdvertiserId, CampaignId, KeyId, LinkId, PublisherId};

use crate::standing::{KnownApiKey, KnownKey, KnownLink, KnownToken, Standing};
use crate::tenant::Tenant;

/// The things of one tenant.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Seen<'a> {
    standing: &'a Standing,
    tenant: &'a Tenant,
}

/// Everything behind a number, or everything.
fn behind<T>(after: Option<T>) -> (Bound<T>, Bound<T>) {
    (
        after.map_or(Bound::Unbounded, Bound::Excluded),
        Bound::Unbounded,
    )
}

impl<'a> Seen<'a> {
    pub(crate) fn new(standing: &'a Standing, tenant: &'a Tenant) -> Seen<'a> {
        Seen { standing, tenant }
    }

    pub(crate) fn tenant(&self) -> &'a Tenant {
        self.tenant
    }

    /// A publisher's key reaches over no advertisers, whatever its scope of them says.
    fn is_theirs(&self, advertiser: AdvertiserId) -> bool {
        self.tenant.role() != Role::Publisher && self.tenant.sees_advertiser(advertiser)
    }

    /// Nor does an advertiser's over publishers.
    fn is_their_publisher(&self, publisher: PublisherId) -> bool {
        self.tenant.role() != Role::Advertiser && self.tenant.sees_publisher(publisher)
    }

    /// Credentials reach over advertisers: who sees only some of those sees none of these.
    fn sees_credentials(&self) -> bool {
        self.tenant.sees_all()
    }

    pub(crate) fn advertiser(&self, id: AdvertiserId) -> Option<&'a Advertiser> {
        let found = self.standing.advertisers.get(&id);
        found.filter(|_| self.is_theirs(id))
    }

    pub(crate) fn advertisers(self, after: Option<u32>) -> impl Iterator<Item = &'a Advertiser> {
        let all = self
            .standing
            .advertisers
            .range(behind(after.map(AdvertiserId)));
        all.map(|(_, one)| one)
            .filter(move |one| self.is_theirs(one.advertiser))
    }

    pub(crate) fn publisher(&self, id: PublisherId) -> Option<&'a Publisher> {
        let found = self.standing.publishers.get(&id);
        found.filter(|_| self.is_their_publisher(id))
    }

    pub(crate) fn publishers(self, after: Option<u32>) -> impl Iterator<Item = &'a Publisher> {
        let all = self
            .standing
            .publishers
            .range(behind(after.map(PublisherId)));
        all.map(|(_, one)| one)
            .filter(move |one| self.is_their_publisher(one.publisher))
    }

    pub(crate) fn campaign(&self, id: CampaignId) -> Option<&'a Campaign> {
        let found = self.standing.campaigns.get(&id);
        found.filter(move |one| self.is_theirs(one.advertiser))
    }

    pub(crate) fn campaigns(self, after: Option<u64>) -> impl Iterator<Item = &'a Campaign> {
        let all = self.standing.campaigns.range(behind(after.map(CampaignId)));
        all.map(|(_, one)| one)
            .filter(move |one| self.is_theirs(one.advertiser))
    }

    pub(crate) fn ad(&self, id: AdId) -> Option<&'a Ad> {
        let found = self.standing.ads.get(&id);
        found.filter(move |one| self.is_theirs(one.advertiser))
    }

    pub(crate) fn ads(self, after: Option<u64>) -> impl Iterator<Item = &'a Ad> {
        let all = self.standing.ads.range(behind(after.map(AdId)));
        all.map(|(_, one)| one)
            .filter(move |one| self.is_theirs(one.advertiser))
    }

    pub(crate) fn link(&self, id: LinkId) -> Option<&'a KnownLink> {
        let found = self.standing.links.get(&id);
        found.filter(move |known| self.is_theirs(known.link.advertiser))
    }

    pub(crate) fn links(self, after: Option<u64>) -> impl Iterator<Item = &'a KnownLink> {
        let all = self.standing.links.range(behind(after.map(LinkId)));
        all.map(|(_, known)| known)
            .filter(move |known| self.is_theirs(known.link.advertiser))
    }

    pub(crate) fn key(&self, id: KeyId) -> Option<&'a KnownKey> {
        let found = self.standing.keys.get(&id);
        found.filter(move |_| self.sees_credentials())
    }

    pub(crate) fn keys(self, after: Option<u32>) -> impl Iterator<Item = &'a KnownKey> {
        let all = self.standing.keys.range(behind(after.map(KeyId)));
        all.map(|(_, known)| known)
            .filter(move |_| self.sees_credentials())
    }

    pub(crate) fn token(&self, id: u32) -> Option<&'a KnownToken> {
        let found = self.standing.tokens.get(&id);
        found.filter(move |_| self.sees_credentials())
    }

    pub(crate) fn tokens(self, after: Option<u32>) -> impl Iterator<Item = &'a KnownToken> {
        let all = self.standing.tokens.range(behind(after));
        all.map(|(_, known)| known)
            .filter(move |_| self.sees_credentials())
    }

    pub(crate) fn api_key(&self, id: u32) -> Option<&'a KnownApiKey> {
        let found = self.standing.api_keys.get(&id);
        found.filter(move |_| self.sees_credentials())
    }

    pub(crate) fn api_keys(self, after: Option<u32>) -> impl Iterator<Item = &'a KnownApiKey> {
        let all = self.standing.api_keys.range(behind(after));
        all.map(|(_, known)| known)
            .filter(move |_| self.sees_credentials())
    }

    /// What must be unique over all tenants, or numbered over all of them, is asked here; answers
    /// tell that a thing is taken and nothing else of it.
    pub(crate) fn taken(&self) -> &'a Standing {
        self.standing
    }

    /// Whether the tenant may make something for that advertiser at all.
    pub(crate) fn may_make_for_all(&self) -> bool {
        *self.tenant.advertisers() == Scope::All
    }
}
