//! The desk where one thread turns requests into records: parse, verify, stamp, encode, Location.

use tollgate_click::facts::Ack;
use tollgate_click::{Refusal, Source};
use tollgate_link::{ClickLink, Extras, MacroValues, TokenBuf, Verified, destination, macros};

use super::agent::{AgentTable, BadTable};
use super::clock::Clock;
use super::events::{EventItem, ItemFault, Kind};
use super::ids::ClickIds;
use super::stamp::{Event, Stamp, Stamper, Subject, Visit, salts};
use crate::directory::Directory;
use crate::options::PseudonymKeys;

/// One thread's desk. Its pages are used again for each request, so that a click allocates
/// nothing here.
pub struct Desk {
    stamper: Stamper,
    token: TokenBuf,
    extras: Extras,
    pages: Pages,
    window_s_max: u32,
}

/// What the desk has written for one request.
#[derive(Clone, Default, Debug)]
pub struct Pages {
    /// The record's facts.
    pub facts: Vec<u8>,
    /// The record's personal part.
    pub personal: Vec<u8>,
    /// Where the click goes; empty for an impression or import.
    pub location: Vec<u8>,
}

/// What a desk is set up with.
#[derive(Debug)]
pub struct DeskParts {
    /// The edge's clock.
    pub clock: Clock,
    /// This thread's ids.
    pub ids: ClickIds,
    /// The secrets of pseudonyms.
    pub keys: PseudonymKeys,
    /// Data partitions.
    pub partitions: u16,
    /// What the answers of this edge wait for.
    pub ack: Ack,
    /// The longest billing window that is recorded, in seconds.
    pub window_s_max: u32,
}

/// Why a desk cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum DeskError {
    /// The built-in table of agents is broken.
    #[error(transparent)]
    Agents(#[from] BadTable),
    /// The system gives no random bytes.
    #[error("no random bytes from the system: {0}")]
    Random(getrandom::Error),
}

impl Pages {
    fn clear(&mut self) {
        self.facts.clear();
        self.personal.clear();
        self.location.clear();
    }
}

impl Desk {
    /// Sets up a desk.
    pub fn new(parts: DeskParts) -> Result<Desk, DeskError> {
        let stamper = Stamper {
            clock: parts.clock,
            ids: parts.ids,
            agents: AgentTable::built_in()?,
            keys: parts.keys,
            salts: salts().map_err(DeskError::Random)?,
            partitions: parts.partitions,
            ack: parts.ack,
        };
        let (token, extras) = (TokenBuf::new(), Extras::new());
        Ok(Desk {
            stamper,
            token,
            extras,
            pages: Pages::default(),
            window_s_max: parts.window_s_max,
        })
    }

    /// What was written last.
    pub fn pages(&self) -> &Pages {
        &self.pages
    }

    /// A click on the signed link `token`.
    pub fn click(
        &mut self,
        directory: &Directory,
        token: &str,
        visit: &Visit<'_>,
    ) -> Result<Stamp, Refusal> {
        let Desk {
            stamper,
            token: buf,
            extras,
            pages,
            window_s_max,
        } = self;
        pages.clear();
        let now = stamper.clock.now();
        let verified = directory
            .keys
            .verify(token, now, buf)
            .map_err(|error| error.refusal())?;
        extras.read(visit.query).map_err(|_| Refusal::Forged)?;
        let link = &verified.link;
        let stamp = stamper.stamp(now, link.advertiser);
        let values = MacroValues {
            click_id: stamp.click_id,
            campaign: link.campaign,
            ad: link.ad,
            publisher: link.publisher,
            placement: link.placement,
            subs: extras.subs(),
            platform: extras.platform(),
            lpurl: link.lpurl,
        };
        macros::expand(
            link.destination,
            link.escaping,
            &values,
            &mut pages.location,
        )
        .map_err(|_| Refusal::Malformed)?;
        let subject = signed(&verified, *window_s_max);
        let (facts, personal) = (&mut pages.facts, &mut pages.personal);
        let (subs, control) = (values.subs, directory.control);
        stamper.write(
            Event::Click,
            stamp,
            subject,
            visit,
            subs,
            control,
            facts,
            personal,
        );
        Ok(stamp)
    }

    /// An impression told by the pixel of the signed link `token`.
    pub fn impression(
        &mut self,
        directory: &Directory,
        token: &str,
        visit: &Visit<'_>,
    ) -> Result<Stamp, Refusal> {
        let Desk {
            stamper,
            token: buf,
            extras,
            pages,
            window_s_max,
        } = self;
        pages.clear();
        let now = stamper.clock.now();
        let verified = directory
            .keys
            .verify(token, now, buf)
            .map_err(|error| error.refusal())?;
        extras.read(visit.query).map_err(|_| Refusal::Forged)?;
        let stamp = stamper.stamp(now, verified.link.advertiser);
        let subject = signed(&verified, *window_s_max);
        let (facts, personal) = (&mut pages.facts, &mut pages.personal);
        let (subs, control) = (extras.subs(), directory.control);
        stamper.write(
            Event::Impression,
            stamp,
            subject,
            visit,
            subs,
            control,
            facts,
            personal,
        );
        Ok(stamp)
    }

    /// A click on the registered link `slug`.
    pub fn registered(
        &mut self,
        directory: &Directory,
        slug: &str,
        visit: &Visit<'_>,
    ) -> Result<Stamp, Refusal> {
        let Desk {
            stamper,
            extras,
            pages,
            ..
        } = self;
        pages.clear();
        let now = stamper.clock.now();
        let link = directory.links.get(slug).ok_or(Refusal::UnknownLink)?;
        if link.expires_at.is_some_and(|at| now > at) {
            return Err(Refusal::Expired);
        }
        // What was checked when the link was made is checked again: the list may have changed.
        destination::recheck(&link.destination, directory.schemes_of(link.advertiser))
            .map_err(|_| Refusal::UnknownLink)?;
        read_unsigned(extras, visit.query);
        let stamp = stamper.stamp(now, link.advertiser);
        let values = MacroValues {
            click_id: stamp.click_id,
            campaign: link.campaign,
            ad: link.ad,
            publisher: link.publisher,
            placement: link.placement,
            subs: extras.subs(),
            platform: extras.platform(),
            lpurl: None,
        };
        macros::expand(
            &link.destination,
            link.escaping,
            &values,
            &mut pages.location,
        )
        .map_err(|_| Refusal::Malformed)?;
        let subject = Subject {
            source: Source::Registered { link: link.link },
            advertiser: link.advertiser,
            campaign: link.campaign,
            ad: link.ad,
            publisher: link.publisher,
            placement: link.placement,
            test: link.test,
        };
        let (facts, personal) = (&mut pages.facts, &mut pages.personal);
        let (subs, control) = (values.subs, directory.control);
        stamper.write(
            Event::Click,
            stamp,
            subject,
            visit,
            subs,
            control,
            facts,
            personal,
        );
        Ok(stamp)
    }

    /// Starts a batch: what is imported from now on stands in the pages one after the other.
    pub fn start_batch(&mut self) {
        self.pages.clear();
    }

    /// An event of a batch with its own time. Its parts are *appended* to the pages.
    pub fn import(
        &mut self,
        directory: &Directory,
        item: &EventItem,
        age_ms_max: u64,
    ) -> Result<Stamp, ItemFault> {
        let Desk { stamper, pages, .. } = self;
        let now = stamper.clock.now();
        let event_time = item.event_time_within(now, age_ms_max)?;
        let stamp = stamper.stamp(now, item.advertiser);
        let subject = Subject {
            source: Source::Imported { event_time },
            advertiser: item.advertiser,
            campaign: item.campaign,
            ad: item.ad,
            publisher: item.publisher,
            placement: item.placement,
            test: false,
        };
        let event = match item.kind {
            Kind::Click => Event::Click,
            Kind::Impression => Event::Impression,
        };
        let visit = Visit {
            address: item.address,
            country: item.country,
            agent: item.agent.as_bytes(),
            referrer: item.referrer.as_bytes(),
            language: b"",
            query: b"",
            head: false,
        };
        let (facts, personal) = (&mut pages.facts, &mut pages.personal);
        let (subs, control) = (item.subs(), directory.control);
        stamper.write(
            event, stamp, subject, &visit, subs, control, facts, personal,
        );
        Ok(stamp)
    }
}

/// The query of a link without a signature: there a name that only a signature may set is one
/// unknown parameter more, and ignored.
fn read_unsigned(extras: &mut Extras, query: &[u8]) {
    if extras.read(query).is_err() {
        let parameters = query.split(|byte| *byte == b'&');
        let harmless: Vec<_> = parameters
            .filter(|parameter| extras.read(parameter).is_ok())
            .collect();
        if extras.read(&harmless.join(&b'&')).is_err() {
            extras.clear();
        }
    }
}

/// What a signed link says, its billing window cut to the longest that this edge lets bill.
fn signed(verified: &Verified<'_>, window_s_max: u32) -> Subject {
    let ClickLink {
        key,
        nonce,
        window_s,
        price,
        ..
    } = verified.link;
    let link = &verified.link;
    Subject {
        source: Source::Signed {
            key,
            nonce,
            window_s: window_s.min(window_s_max),
            price,
        },
        advertiser: link.advertiser,
        campaign: link.campaign,
        ad: link.ad,
        publisher: link.publisher,
        placement: link.placement,
        test: verified.test,
    }
}
