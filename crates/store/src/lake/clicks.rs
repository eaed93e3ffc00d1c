//! The table of clicks: facts, verdict, outcome and charge of every click and impression that
//! could be read, and beside it the table of their personal parts.
//!
//! The digest that ties a personal part to its facts stands beside the personal part, not with
//! the facts: it proves nothing once that part is gone, and it is the largest piece of noise in a
//! row.

use std::fmt::Write;

use tollgate_click::facts::Ack;
use tollgate_click::{
    AdId, AdvertiserId, AgentClass, CampaignId, ClickFacts, ClickId, ControlNumber, Country,
    Currency, DataSetId, Judgement, KeyId, LinkId, Micros, Millis, Nonce, Ordinal, Outcome,
    PlacementId, PseudonymKeyId, Pseudonyms, PublisherId, Source,
};

use super::columns::{Coding, Field, GROUP_ROWS, Kind, Schema, Table};
use super::errors::LakeError;
use super::filling::Filling;
use super::groups::Groups;

/// One click or impression as the worker hands it to the stores.
#[derive(Clone, Copy, Debug)]
pub struct LakeRow<'a> {
    /// Which of the two.
    pub event: Event,
    /// What was told of it.
    pub facts: &'a ClickFacts,
    /// Ordinal, outcome, charge and the publisher's share of it.
    pub judgement: Judgement,
    /// Why it ended so, where the outcome alone does not say; else empty.
    pub reason: &'a str,
    /// All rules that hit, in the order of the rule book.
    pub hits: &'a [RuleHit<'a>],
    /// The encoded personal part; none when it is gone.
    pub personal: Option<&'a [u8]>,
}

/// Clicks and impressions are counted apart.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Event {
    /// A click.
    Click,
    /// An impression, told by the pixel.
    Impression,
}

/// A rule that hit.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RuleHit<'a> {
    /// Its name.
    pub rule: &'a str,
    /// Its version.
    pub version: u16,
    /// `givt` or `sivt`.
    pub class: &'a str,
}

/// A row as it is read back.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StoredRow {
    /// Click or impression.
    pub event: Event,
    /// What was told of it. The digest of the personal part is zeros: it stands beside that part.
    pub facts: ClickFacts,
    /// Ordinal, outcome, charge and the publisher's share of it.
    pub judgement: Judgement,
    /// Why it ended so; empty where the outcome alone says.
    pub reason: String,
    /// The rules that hit, each as `name/version/class`, with commas between them.
    pub hits: String,
}

impl Event {
    /// Both.
    pub const ALL: [Event; 2] = [Event::Click, Event::Impression];

    /// The name in files and reports.
    pub fn name(self) -> &'static str {
        match self {
            Event::Click => "click",
            Event::Impression => "impression",
        }
    }
}

const fn field(name: &'static str, kind: Kind, coding: Coding) -> Field {
    Field {
        name,
        kind,
        coding,
        optional: false,
    }
}

const fn optional(name: &'static str, kind: Kind, coding: Coding) -> Field {
    Field {
        optional: true,
        ..field(name, kind, coding)
    }
}

/// The columns, by their place in [`CLICKS`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum At {
    Advertiser,
    Campaign,
    Reported,
    Ordinal,
    ClickId,
    Event,
    Source,
    Key,
    Nonce,
    Window,
    Price,
    Link,
    Ad,
    Publisher,
    Placement,
    Test,
    Head,
    Hosting,
    AgentClass,
    Country,
    DataSet,
    PseudonymKey,
    Address,
    Network,
    Agent,
    PreviousAddress,
    PreviousNetwork,
    PreviousAgent,
    Sub1,
    Sub2,
    Sub3,
    Sub4,
    Sub5,
    Control,
    Ack,
    Outcome,
    Reason,
    Charge,
    Share,
    Currency,
    Hits,
}

/// Clicks and impressions, sorted by advertiser, campaign, time and ordinal.
pub static CLICKS: Schema = Schema {
    name: "clicks",
    version: 2,
    group_rows: GROUP_ROWS,
    fields: &[
        field("advertiser", Kind::U32, Coding::Dictionary),
        field("campaign", Kind::U64, Coding::Dictionary),
        field("reported_at", Kind::Time, Coding::Delta),
        field("ordinal", Kind::U64, Coding::Delta),
        field("click_id", Kind::Uuid, Coding::SplitBloom),
        field("event", Kind::Word, Coding::Dictionary),
        field("source", Kind::Word, Coding::Dictionary),
        optional("key", Kind::U32, Coding::Dictionary),
        optional("nonce", Kind::Uuid, Coding::Split),
        optional("window_s", Kind::U32, Coding::Dictionary),
        optional("price_micros", Kind::I64, Coding::Dictionary),
        optional("link", Kind::U64, Coding::Dictionary),
        field("ad", Kind::U64, Coding::Dictionary),
        field("publisher", Kind::U32, Coding::Dictionary),
        field("placement", Kind::U64, Coding::Dictionary),
        field("test", Kind::Flag, Coding::Plain),
        field("head", Kind::Flag, Coding::Plain),
        field("hosting", Kind::Flag, Coding::Plain),
        field("agent_class", Kind::Word, Coding::Dictionary),
        field("country", Kind::Word, Coding::Dictionary),
        field("data_set", Kind::U32, Coding::Dictionary),
        field("pseudonym_key", Kind::U32, Coding::Dictionary),
        field("address", Kind::U64, Coding::Dictionary),
        field("network", Kind::U64, Coding::Dictionary),
        field("agent", Kind::U64, Coding::Dictionary),
        optional("previous_address", Kind::U64, Coding::Dictionary),
        optional("previous_network", Kind::U64, Coding::Dictionary),
        optional("previous_agent", Kind::U64, Coding::Dictionary),
        optional("sub1", Kind::U64, Coding::Dictionary),
        optional("sub2", Kind::U64, Coding::Dictionary),
        optional("sub3", Kind::U64, Coding::Dictionary),
        optional("sub4", Kind::U64, Coding::Dictionary),
        optional("sub5", Kind::U64, Coding::Dictionary),
        field("control", Kind::U64, Coding::Dictionary),
        field("ack", Kind::Word, Coding::Dictionary),
        field("outcome", Kind::Word, Coding::Dictionary),
        field("reason", Kind::Word, Coding::Dictionary),
        field("charge_micros", Kind::I64, Coding::Dictionary),
        field("share_micros", Kind::I64, Coding::Dictionary),
        field("currency", Kind::Word, Coding::Dictionary),
        field("hits", Kind::Word, Coding::Dictionary),
    ],
};

const ACKS: [(Ack, &str); 3] = [
    (Ack::Local, "local"),
    (Ack::Replicated, "replicated"),
    (Ack::Os, "os"),
];

/// Appends a row to a table of [`CLICKS`]; `text` is scratch.
pub(crate) fn push(table: &mut Filling, row: &LakeRow<'_>, text: &mut String) {
    let LakeRow {
        event,
        facts,
        judgement,
        reason,
        hits,
        ..
    } = row;
    table.begin();
    table.short(At::Advertiser as usize, facts.advertiser.0);
    table.long(At::Campaign as usize, facts.campaign.0);
    table.long(At::Reported as usize, facts.reported_at().0);
    table.long(At::Ordinal as usize, judgement.ordinal.0);
    table.sixteen(At::ClickId as usize, facts.click_id.bytes());
    table.name(At::Event as usize, *event as usize, || event.name());
    push_source(table, &facts.source);
    table.long(At::Ad as usize, facts.ad.0);
    table.short(At::Publisher as usize, facts.publisher.0);
    table.long(At::Placement as usize, facts.placement.0);
    table.flag(At::Test as usize, facts.test);
    table.flag(At::Head as usize, facts.head);
    table.flag(At::Hosting as usize, facts.hosting);
    let class = facts.agent_class;
    table.name(At::AgentClass as usize, class as usize, || class.name());
    let mut letters = [0; 2];
    let country = country(facts.country, &mut letters);
    let code = country
        .bytes()
        .fold(0, |code, letter| code << 5 | usize::from(letter & 31));
    table.name(At::Country as usize, code, || country);
    table.short(At::DataSet as usize, facts.data_set.0);
    table.short(At::PseudonymKey as usize, facts.pseudonym_key.0);
    push_pseudonyms(table, facts);
    table.long(At::Control as usize, facts.control.0);
    let ack = ACKS
        .iter()
        .position(|(ack, _)| *ack == facts.ack)
        .unwrap_or(0);
    table.name(At::Ack as usize, ack, || {
        ACKS.get(ack).map_or("", |(_, name)| name)
    });
    let outcome = judgement.outcome;
    table.name(At::Outcome as usize, outcome as usize, || outcome.name());
    table.string(At::Reason as usize, reason.as_bytes());
    table.long(At::Charge as usize, judgement.charge.0 as u64);
    table.long(At::Share as usize, judgement.share.0 as u64);
    let currency = judgement.currency.map(Currency::bytes);
    let currency = currency.as_ref().map_or(&[][..], |letters| letters);
    table.string(At::Currency as usize, currency);
    write_hits(hits, text);
    table.string(At::Hits as usize, text.as_bytes());
}

fn push_pseudonyms(table: &mut Filling, facts: &ClickFacts) {
    let mut three = |from: At, it: &Pseudonyms| {
        for (field, value) in (from as usize..).zip([it.address, it.network, it.agent]) {
            table.long(field, value);
        }
    };
    three(At::Address, &facts.pseudonyms);
    match &facts.previous {
        Some(previous) => three(At::PreviousAddress, previous),
        None => table.none(At::PreviousAddress as usize..=At::PreviousAgent as usize),
    }
    for (field, sub) in (At::Sub1 as usize..).zip(facts.subs) {
        match sub {
            Some(sub) => table.long(field, sub),
            None => table.none(field..=field),
        }
    }
}

/// Two letters, or nothing when unknown.
pub(crate) fn country(country: Country, letters: &mut [u8; 2]) -> &str {
    let Some(code) = country.code() else {
        return "";
    };
    *letters = code.map(|letter| letter as u8); // upper-case ASCII
    std::str::from_utf8(letters).unwrap_or_default()
}

fn push_source(table: &mut Filling, source: &Source) {
    let (key, price, link) = (At::Key as usize, At::Price as usize, At::Link as usize);
    match source {
        Source::Signed {
            key: KeyId(number),
            nonce,
            window_s,
            price: own,
        } => {
            table.name(At::Source as usize, 0, || "signed");
            table.short(key, *number);
            table.sixteen(At::Nonce as usize, nonce.bytes());
            table.short(At::Window as usize, *window_s);
            match own {
                Some(own) => table.long(price, own.0 as u64),
                None => table.none(price..=price),
            }
            table.none(link..=link);
        }
        Source::Registered {
            link: LinkId(number),
        } => {
            table.name(At::Source as usize, 1, || "registered");
            table.none(key..=price);
            table.long(link, *number);
        }
        // Its event time is the time under which it is reported.
        Source::Imported { .. } => {
            table.name(At::Source as usize, 2, || "imported");
            table.none(key..=link);
        }
    }
}

fn write_hits(hits: &[RuleHit<'_>], text: &mut String) {
    text.clear();
    for hit in hits {
        let comma = if text.is_empty() { "" } else { "," };
        // Writing to a string cannot fail.
        let _ = write!(text, "{comma}{}/{}/{}", hit.rule, hit.version, hit.class);
    }
}

/// The numbers of the rows in the order of a file: advertiser, campaign, time, ordinal.
///
/// Rows are put in piles, one per campaign, and each pile is sorted. They come nearly in the order
/// of time, so that there is little left to sort in a pile.
pub(crate) fn order(rows: usize, number: impl Fn(At, u32) -> u64) -> Vec<u32> {
    let mut groups = Groups::new(2);
    let mut pile_of = Vec::with_capacity(rows);
    let mut sizes: Vec<usize> = Vec::new();
    for row in 0..rows as u32 {
        let pile = groups.number(&[number(At::Advertiser, row), number(At::Campaign, row)]);
        sizes.resize(sizes.len().max(pile + 1), 0);
        if let Some(size) = sizes.get_mut(pile) {
            *size += 1;
        }
        pile_of.push(pile);
    }
    let mut piles: Vec<(&[u64], usize)> = groups.keys().zip(0..).collect();
    piles.sort_unstable();
    let mut next = vec![0; sizes.len()];
    let mut ends = Vec::with_capacity(piles.len());
    let mut end = 0;
    for (_, pile) in piles {
        if let (Some(next), Some(size)) = (next.get_mut(pile), sizes.get(pile)) {
            *next = end;
            end += size;
            ends.push(end);
        }
    }
    let mut order = vec![0; pile_of.len()];
    for (row, pile) in (0u32..).zip(pile_of) {
        if let Some(next) = next.get_mut(pile) {
            if let Some(place) = order.get_mut(*next) {
                *place = row;
            }
            *next += 1;
        }
    }
    let mut start = 0;
    for end in ends {
        if let Some(pile) = order.get_mut(start..end) {
            pile.sort_by_key(|row| (number(At::Reported, *row), number(At::Ordinal, *row)));
        }
        start = end;
    }
    order
}

/// A row of the table; an error names what cannot be.
pub(crate) fn stored(table: &Table, row: usize, name: &str) -> Result<StoredRow, LakeError> {
    let bad = |what: &str| LakeError::corrupt(name, format!("row {row} has a wrong {what}"));
    let number = |at: At| table.u64(at as usize, row);
    let short = |at: At| table.u64(at as usize, row) as u32;
    let word = |at: At| table.word(at as usize, row);
    let flag = |at: At| table.flag(at as usize, row);
    let has = |at: At| table.has(at as usize, row);
    let source = match word(At::Source) {
        "signed" => Source::Signed {
            key: KeyId(short(At::Key)),
            nonce: Nonce::from_bytes(table.bytes16(At::Nonce as usize, row))
                .map_err(|_| bad("nonce"))?,
            window_s: short(At::Window),
            price: has(At::Price).then(|| Micros(number(At::Price) as i64)),
        },
        "registered" => Source::Registered {
            link: LinkId(number(At::Link)),
        },
        "imported" => Source::Imported {
            event_time: Millis(number(At::Reported)),
        },
        _ => return Err(bad("source")),
    };
    let pseudonyms = |[address, network, agent]: [At; 3]| Pseudonyms {
        address: number(address),
        network: number(network),
        agent: number(agent),
    };
    let previous = [At::PreviousAddress, At::PreviousNetwork, At::PreviousAgent];
    let subs = [At::Sub1, At::Sub2, At::Sub3, At::Sub4, At::Sub5];
    let classes = AgentClass::ALL.into_iter();
    let acks = ACKS.into_iter().find(|(_, ack)| *ack == word(At::Ack));
    let facts = ClickFacts {
        click_id: ClickId::from_bytes(table.bytes16(At::ClickId as usize, row))
            .map_err(|_| bad("click id"))?,
        source,
        advertiser: AdvertiserId(short(At::Advertiser)),
        campaign: CampaignId(number(At::Campaign)),
        ad: AdId(number(At::Ad)),
        publisher: PublisherId(short(At::Publisher)),
        placement: PlacementId(number(At::Placement)),
        test: flag(At::Test),
        head: flag(At::Head),
        agent_class: { classes }
            .find(|class| class.name() == word(At::AgentClass))
            .ok_or_else(|| bad("agent class"))?,
        country: match word(At::Country) {
            "" => Country::UNKNOWN,
            code => code.parse().map_err(|_| bad("country"))?,
        },
        hosting: flag(At::Hosting),
        data_set: DataSetId(short(At::DataSet)),
        pseudonym_key: PseudonymKeyId(short(At::PseudonymKey)),
        pseudonyms: pseudonyms([At::Address, At::Network, At::Agent]),
        previous: has(At::PreviousAddress).then(|| pseudonyms(previous)),
        subs: subs.map(|sub| has(sub).then(|| number(sub))),
        control: ControlNumber(number(At::Control)),
        ack: acks.ok_or_else(|| bad("ack"))?.0,
        personal_digest: [0; 16],
    };
    Ok(StoredRow {
        event: { Event::ALL.into_iter() }
            .find(|event| event.name() == word(At::Event))
            .ok_or_else(|| bad("event"))?,
        facts,
        judgement: stored_judgement(table, row).ok_or_else(|| bad("judgement"))?,
        reason: word(At::Reason).to_owned(),
        hits: word(At::Hits).to_owned(),
    })
}

fn stored_judgement(table: &Table, row: usize) -> Option<Judgement> {
    let name = table.word(At::Outcome as usize, row);
    let outcome = Outcome::ALL
        .into_iter()
        .find(|outcome| outcome.name() == name);
    let currency = match table.word(At::Currency as usize, row) {
        "" => None,
        code => Some(code.parse().ok()?),
    };
    Some(Judgement {
        ordinal: Ordinal(table.u64(At::Ordinal as usize, row)),
        outcome: outcome?,
        charge: Micros(table.u64(At::Charge as usize, row) as i64),
        share: Micros(table.u64(At::Share as usize, row) as i64),
        currency,
    })
}
