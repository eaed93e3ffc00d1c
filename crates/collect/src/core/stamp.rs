//! Stamping: who asked for which link becomes the two parts of a record.

use std::net::IpAddr;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tollgate_click::facts::Ack;
use tollgate_click::limits::{AGENT_BYTES_MAX, SUB_ID_BYTES_MAX, SUB_IDS};
use tollgate_click::{
    AdId, AdvertiserId, CampaignId, ClickFacts, ClickId, ControlNumber, Country, Millis,
    PartitionId, Personal, PlacementId, PublisherId, Record, Source, personal,
};

use super::agent::AgentTable;
use super::clock::Clock;
use super::ids::ClickIds;
use super::pseudonym;
use crate::options::PseudonymKeys;

/// Who asked, whatever carried the request. Byte strings are as received, of any length.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Visit<'a> {
    /// The client's address; none when an import names none.
    pub address: Option<IpAddr>,
    /// Its country, by a trusted proxy's word.
    pub country: Country,
    /// The user agent; empty when none was sent.
    pub agent: &'a [u8],
    /// The referrer; empty when none was sent.
    pub referrer: &'a [u8],
    /// `Accept-Language`; empty when none was sent.
    pub language: &'a [u8],
    /// What follows the `?` of the target, undecoded.
    pub query: &'a [u8],
    /// The request was a `HEAD`.
    pub head: bool,
}

/// Where a stamped record goes and what it is called.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Stamp {
    /// The partition of its advertiser.
    pub partition: PartitionId,
    /// Its id: what a receipt says.
    pub click_id: ClickId,
}

/// Which link was asked for.
pub(super) struct Subject {
    pub(super) source: Source,
    pub(super) advertiser: AdvertiserId,
    pub(super) campaign: CampaignId,
    pub(super) ad: AdId,
    pub(super) publisher: PublisherId,
    pub(super) placement: PlacementId,
    pub(super) test: bool,
}

/// Which event happened.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Event {
    Click,
    Impression,
}

/// Sub-ids as they go into a record.
pub(super) type Subs<'a> = [Option<&'a [u8]>; SUB_IDS];

/// One thread's stamp.
pub(super) struct Stamper {
    pub(super) clock: Clock,
    pub(super) ids: ClickIds,
    pub(super) agents: AgentTable,
    pub(super) keys: PseudonymKeys,
    pub(super) salts: StdRng,
    pub(super) partitions: u16,
    pub(super) ack: Ack,
}

impl Stamper {
    /// Draws the id of a click of that advertiser.
    pub(super) fn stamp(&mut self, received_at: Millis, advertiser: AdvertiserId) -> Stamp {
        let partition = PartitionId::of_advertiser(advertiser, self.partitions);
        Stamp {
            partition,
            click_id: self.ids.draw(received_at, partition),
        }
    }

    /// Appends the record's parts to `facts` and `personal_part`. Text is cut to its limit before
    /// anything is derived from it, so that facts and personal part tell of the same bytes.
    #[expect(
        clippy::too_many_arguments,
        reason = "each is a part of the record, of its own type"
    )]
    pub(super) fn write(
        &mut self,
        event: Event,
        stamp: Stamp,
        subject: Subject,
        visit: &Visit<'_>,
        subs: Subs<'_>,
        control: ControlNumber,
        facts: &mut Vec<u8>,
        personal_part: &mut Vec<u8>,
    ) {
        let received_at = stamp.click_id.received_at();
        let agent = cut(visit.agent, AGENT_BYTES_MAX);
        let subs = subs.map(|sub| sub.map(|bytes| cut(bytes, SUB_ID_BYTES_MAX)));
        let written = Personal {
            salt: self.salts.random(),
            address: visit.address.map(|address| address.to_canonical()),
            agent,
            referrer: visit.referrer,
            language: visit.language,
            subs,
        };
        let start = personal_part.len();
        written.encode(personal_part);
        let digest = personal::digest(personal_part.get(start..).unwrap_or_default());
        let made = pseudonym::stand_ins(&self.keys, received_at, visit.address, agent, subs);
        let click = ClickFacts {
            click_id: stamp.click_id,
            source: subject.source,
            advertiser: subject.advertiser,
            campaign: subject.campaign,
            ad: subject.ad,
            publisher: subject.publisher,
            placement: subject.placement,
            test: subject.test,
            head: visit.head,
            agent_class: self.agents.class(agent, made.current.agent),
            country: visit.country,
            hosting: false, // no data about hosting networks yet; the data set's number says so
            data_set: self.agents.version(),
            pseudonym_key: self.keys.current.id,
            pseudonyms: made.current,
            previous: made.previous,
            subs: made.subs,
            control,
            ack: self.ack,
            personal_digest: digest,
        };
        let record = match event {
            Event::Click => Record::Click(click),
            Event::Impression => Record::Impression(click),
        };
        record.encode(facts);
    }
}

/// A generator of salts, seeded from the system.
pub(super) fn salts() -> Result<StdRng, getrandom::Error> {
    let mut seed = [0; 32];
    getrandom::fill(&mut seed)?;
    Ok(StdRng::from_seed(seed))
}

fn cut(bytes: &[u8], max: usize) -> &[u8] {
    bytes.get(..max).unwrap_or(bytes)
}
