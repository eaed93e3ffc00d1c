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

use super::columns::{Coding, Field, GROUP_ROWS, Kind, Schema, Table, Value};
use super::errors::LakeError;
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
    version: 1,
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
pub(crate) fn push(table: &mut Table, row: &LakeRow<'_>, text: &mut String) {
    let LakeRow {
        facts, judgement, ..
    } = row;
    let (source, key, nonce, window, price, link) = source_values(&facts.source);
    let mut letters = [0; 2];
    let [previous_address, previous_network, previous_agent] = match &facts.previous {
        None => [Value::None; 3],
        Some(it) => [it.address, it.network, it.agent].map(Value::U64),
    };
    let [sub1, sub2, sub3, sub4, sub5] = facts.subs.map(|sub| sub.map_or(Value::None, Value::U64));
    let ack = ACKS.iter().find(|(ack, _)| *ack == facts.ack);
    let currency = judgement.currency.map(Currency::bytes);
    let currency = currency
        .as_ref()
        .and_then(|bytes| std::str::from_utf8(bytes).ok());
    write_hits(row.hits, text);
    table.push([
        Value::U32(facts.advertiser.0),
        Value::U64(facts.campaign.0),
        Value::U64(facts.reported_at().0),
        Value::U64(judgement.ordinal.0),
        Value::Bytes16(facts.click_id.bytes()),
        Value::Word(row.event.name()),
        Value::Word(source),
        key,
        nonce,
        window,
        price,
        link,
        Value::U64(facts.ad.0),
        Value::U32(facts.publisher.0),
        Value::U64(facts.placement.0),
        Value::Flag(facts.test),
        Value::Flag(facts.head),
        Value::Flag(facts.hosting),
        Value::Word(facts.agent_class.name()),
        Value::Word(country(facts.country, &mut letters)),
        Value::U32(facts.data_set.0),
        Value::U32(facts.pseudonym_key.0),
        Value::U64(facts.pseudonyms.address),
        Value::U64(facts.pseudonyms.network),
        Value::U64(facts.pseudonyms.agent),
        previous_address,
        previous_network,
        previous_agent,
        sub1,
        sub2,
        sub3,
        sub4,
        sub5,
        Value::U64(facts.control.0),
        Value::Word(ack.map_or("", |(_, name)| name)),
        Value::Word(judgement.outcome.name()),
        Value::Word(row.reason),
        Value::I64(judgement.charge.0),
        Value::I64(judgement.share.0),
        Value::Word(currency.unwrap_or_default()),
        Value::Word(text),
    ]);
}

/// Two letters, or nothing when unknown.
pub(crate) fn country(country: Country, letters: &mut [u8; 2]) -> &str {
    let Some(code) = country.code() else {
        return "";
    };
    *letters = code.map(|letter| letter as u8); // upper-case ASCII
    std::str::from_utf8(letters).unwrap_or_default()
}

fn source_values(
    source: &Source,
) -> (
    &'static str,
    Value<'_>,
    Value<'_>,
    Value<'_>,
    Value<'_>,
    Value<'_>,
) {
    use Value::None as No;
    match source {
        Source::Signed {
            key,
            nonce,
            window_s,
            price,
        } => (
            "signed",
            Value::U32(key.0),
            Value::Bytes16(nonce.bytes()),
            Value::U32(*window_s),
            price.map_or(No, |price| Value::I64(price.0)),
            No,
        ),
        Source::Registered { link } => ("registered", No, No, No, No, Value::U64(link.0)),
        // Its event time is the time under which it is reported.
        Source::Imported { .. } => ("imported", No, No, No, No, No),
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
pub(crate) fn order(table: &Table) -> Vec<u32> {
    let number = |at: At, row: u32| table.u64(at as usize, row as usize);
    let mut groups = Groups::new(2);
    let mut pile_of = Vec::with_capacity(table.rows());
    let mut sizes: Vec<usize> = Vec::new();
    for row in 0..table.rows() as u32 {
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
