//! Rows as records: what a row leaves blank, and what counts on from row to row.

use std::collections::BTreeMap;

use tollgate_click::control::{
    Advertiser, Campaign, CampaignState, Change, Control, Money, MoneyKind, Payment, Publisher,
    Scope, SigningKey, Target, ZoneOffset,
};
use tollgate_click::facts::Ack;
use tollgate_click::ids::ClickIdParts;
use tollgate_click::record::{Mark, Tick};
use tollgate_click::{
    Actor, AdId, AdvertiserId, AgentClass, CampaignId, ClickFacts, ClickId, ControlNumber, Country,
    DataSetId, EdgeId, KeyId, LinkId, Micros, Millis, Minute, Nonce, PartitionId, PlacementId,
    PseudonymKeyId, Pseudonyms, PublisherId, Record, Source,
};
use tollgate_process::Incoming;

use super::Cells;

/// 2026-11-01 00:00:00 UTC.
const DAY_ONE_MS: u64 = 1_793_491_200_000;

/// A row as the log hands it out.
#[derive(Clone)]
pub(crate) struct Row {
    pub(crate) line: usize,
    pub(crate) cells: Cells,
    pub(crate) facts: Vec<u8>,
    /// None goes to all.
    pub(crate) partition: Option<u16>,
    pub(crate) session: u64,
    pub(crate) sequence: u64,
    pub(crate) advertiser: AdvertiserId,
}

impl Row {
    pub(crate) fn incoming(&self) -> Incoming<'_> {
        Incoming {
            facts: &self.facts,
            session: self.session,
            sequence: self.sequence,
            broadcast: self.partition.is_none(),
        }
    }

    /// What a cell says.
    pub(crate) fn cell(&self, column: &str) -> Option<&str> {
        self.cells.get(column).map(String::as_str)
    }
}

/// What the rows of a case have in common.
pub(crate) struct World {
    partitions: u16,
    sequences: BTreeMap<(u64, Option<u16>), u64>,
    changes: BTreeMap<Option<AdvertiserId>, u64>,
    controls: u64,
    nonces: BTreeMap<String, Nonce>,
    clicks: u64,
    last: Option<Row>,
}

impl World {
    pub(crate) fn new(partitions: u16) -> World {
        World {
            partitions,
            sequences: BTreeMap::new(),
            changes: BTreeMap::new(),
            controls: 0,
            nonces: BTreeMap::new(),
            clicks: 0,
            last: None,
        }
    }

    pub(crate) fn row(&mut self, line: usize, cells: &Cells) -> Row {
        let cells = cells.clone();
        if cells["record"] == "again" {
            let last = self.last.clone().unwrap();
            return Row {
                line,
                cells,
                ..last
            };
        }
        let advertiser = AdvertiserId(number(&cells, "advertiser", 7) as u32);
        let home = PartitionId::of_advertiser(advertiser, self.partitions);
        let (facts, broadcast) = self.facts(&cells, advertiser, home);
        let partition = (!broadcast).then_some(home.get());
        let session = number(&cells, "session", 1);
        let counted = self.sequences.entry((session, partition)).or_insert(0);
        let sequence = number(&cells, "sequence", *counted + 1);
        *counted = sequence.max(*counted);
        let row = Row {
            line,
            cells,
            facts,
            partition,
            session,
            sequence,
            advertiser,
        };
        self.last = Some(row.clone());
        row
    }

    /// The record's bytes, and whether it goes to all partitions.
    fn facts(&mut self, cells: &Cells, of: AdvertiserId, home: PartitionId) -> (Vec<u8>, bool) {
        if cells["record"] == "newer" {
            return (vec![1, 99], false);
        }
        let at = time(&cells["at"]);
        let record = match cells["record"].as_str() {
            "tick" => Record::Tick(Tick {
                epoch: number(cells, "epoch", 1),
                at,
            }),
            "mark" => Record::Mark(Mark {
                edge: EdgeId::new(number(cells, "edge", 1) as u16).unwrap(),
                minute: at.minute(),
            }),
            "impression" => Record::Impression(self.click(cells, of, home, at)),
            "click" | "import" | "damaged" => Record::Click(self.click(cells, of, home, at)),
            _ => Record::Control(self.control(cells, of, at)),
        };
        let mut facts = Vec::new();
        record.encode(&mut facts);
        if cells["record"] == "damaged" {
            facts.truncate(facts.len() - 1);
        }
        let broadcast = match &record {
            Record::Tick(_) => true,
            Record::Control(control) => control.change.target() == Target::All,
            _ => false,
        };
        (facts, broadcast)
    }

    fn control(&mut self, cells: &Cells, of: AdvertiserId, at: Millis) -> Control {
        let change = self.change(cells, of);
        let target = match change.target() {
            Target::Advertiser(advertiser) => Some(advertiser),
            Target::All => None,
        };
        let counted = self.changes.entry(target).or_insert(0);
        let target_number = number(cells, "change", *counted + 1);
        *counted = target_number.max(*counted);
        self.controls += 1;
        Control {
            number: ControlNumber(self.controls),
            target_number,
            at,
            by: Actor(0),
            change,
        }
    }

    fn change(&self, cells: &Cells, advertiser: AdvertiserId) -> Change {
        let key = KeyId(number(cells, "key", 1) as u32);
        match cells["record"].as_str() {
            "advertiser" => Change::Advertiser(Advertiser {
                advertiser,
                name: "Case".to_owned(),
                schemes: Vec::new(),
                currency: text(cells, "currency", "USD").parse().unwrap(),
                payment: payment(text(cells, "payment", "open")),
            }),
            "publisher" => Change::Publisher(Publisher {
                publisher: PublisherId(number(cells, "publisher", 3) as u32),
                name: "Case".to_owned(),
                share_basis_points: basis_points(text(cells, "share", "0%")),
            }),
            "campaign" => Change::Campaign(campaign(cells, advertiser)),
            "key" => Change::Key(SigningKey {
                key,
                scope: cells.get("scope").map_or(Scope::All, |text| scope(text)),
                not_before: Millis(0),
                not_after: Millis::MAX,
                test: false,
            }),
            "revoke" => Change::KeyRevoked(key),
            "apply" => Change::ApplyVersion(number(cells, "version", 1) as u16),
            "top_up" => Change::Money(self.money(cells, advertiser, MoneyKind::TopUp)),
            "credit" => Change::Money(self.money(cells, advertiser, MoneyKind::Credit)),
            "adjustment" => Change::Money(self.money(cells, advertiser, MoneyKind::Adjustment)),
            other => panic!("{other:?} is no record"),
        }
    }

    fn money(&self, cells: &Cells, advertiser: AdvertiserId, kind: MoneyKind) -> Money {
        let fresh = format!("command {}", self.controls);
        let command = label(text(cells, "command", &fresh));
        Money {
            command: u128::from(command).to_be_bytes(),
            advertiser,
            kind,
            amount: money(text(cells, "amount", "0")),
            currency: text(cells, "currency", "USD").parse().unwrap(),
            campaign: cells
                .get("campaign")
                .map(|text| CampaignId(text.parse().unwrap())),
            publisher: cells
                .get("publisher")
                .map(|text| PublisherId(text.parse().unwrap())),
            reason: "Case".to_owned(),
        }
    }

    fn click(
        &mut self,
        cells: &Cells,
        advertiser: AdvertiserId,
        home: PartitionId,
        at: Millis,
    ) -> ClickFacts {
        self.clicks += 1;
        let misrouted = u16::from(cells.contains_key("misrouted"));
        ClickFacts {
            click_id: ClickId::new(ClickIdParts {
                received_at: at,
                partition: PartitionId::new(home.get() + misrouted).unwrap(),
                edge: EdgeId::new(number(cells, "edge", 1) as u16).unwrap(),
                random: self.clicks,
            }),
            source: self.source(cells, at),
            advertiser,
            campaign: CampaignId(number(cells, "campaign", 1)),
            ad: AdId(0),
            publisher: PublisherId(number(cells, "publisher", 3) as u32),
            placement: PlacementId(4),
            test: cells.contains_key("test"),
            head: text(cells, "method", "GET") == "HEAD",
            agent_class: match text(cells, "agent", "browser") {
                "browser" => AgentClass::Desktop,
                "bot" => AgentClass::DeclaredBot,
                "library" => AgentClass::NonBrowser,
                "none" => AgentClass::Missing,
                other => panic!("{other:?} is no agent"),
            },
            country: Country::UNKNOWN,
            hosting: false,
            data_set: DataSetId(1),
            pseudonym_key: PseudonymKeyId(1),
            pseudonyms: pseudonyms(text(cells, "visitor", "V")),
            previous: cells.get("formerly").map(|text| pseudonyms(text)),
            subs: [None; 5],
            control: ControlNumber(0),
            ack: Ack::Local,
            personal_digest: [0; 16],
        }
    }

    fn source(&mut self, cells: &Cells, at: Millis) -> Source {
        if cells["record"] == "import" {
            return Source::Imported {
                event_time: time(&cells["shown"]),
            };
        }
        if cells.contains_key("link") {
            return Source::Registered {
                link: LinkId(number(cells, "link", 0)),
            };
        }
        let shown = cells.get("shown").map(|text| time(text));
        let shown = shown.unwrap_or(Millis(at.0 - 10_000));
        let fresh = format!("click {}", self.clicks);
        let name = cells.get("nonce").unwrap_or(&fresh);
        let made = || Nonce::new(shown, u128::from(label(name)));
        let nonce = *self.nonces.entry(name.clone()).or_insert_with(made);
        Source::Signed {
            key: KeyId(number(cells, "key", 1) as u32),
            nonce,
            window_s: duration_s(text(cells, "window", "24h")),
            price: cells.get("price").map(|text| money(text)),
        }
    }
}

fn campaign(cells: &Cells, advertiser: AdvertiserId) -> Campaign {
    let amount = |column: &str| cells.get(column).map(|text| money(text));
    let zone = text(cells, "zone", "UTC").to_owned();
    Campaign {
        campaign: CampaignId(number(cells, "campaign", 1)),
        advertiser,
        name: "Case".to_owned(),
        currency: text(cells, "currency", "USD").parse().unwrap(),
        price: amount("price"),
        state: match text(cells, "state", "active") {
            "active" => CampaignState::Active,
            "paused" => CampaignState::Paused,
            "archived" => CampaignState::Archived,
            other => panic!("{other:?} is no state"),
        },
        daily_budget: amount("daily"),
        total_budget: amount("total"),
        offsets: offsets(&zone),
        zone,
    }
}

/// The offsets of 2026 and 2027, from the tz database.
fn offsets(zone: &str) -> Vec<ZoneOffset> {
    let offsets: &[(u64, i32)] = match zone {
        "UTC" => &[],
        // Last Sunday of October, 01:00 UTC; last Sunday of March, 01:00 UTC.
        "Berlin" => &[
            (0, 7200),
            (1_792_890_000_000, 3600),
            (1_806_195_600_000, 7200),
        ],
        // 2026-11-01 06:00 UTC; 2027-03-14 07:00 UTC.
        "New York" => &[
            (0, -14_400),
            (1_793_512_800_000, -18_000),
            (1_805_007_600_000, -14_400),
        ],
        "Kathmandu" => &[(0, 20_700)],
        "Kiritimati" => &[(0, 50_400)],
        other => panic!("{other:?} is no zone of these cases"),
    };
    let offset = |(from, seconds): &(u64, i32)| ZoneOffset {
        from: Millis(*from),
        seconds: *seconds,
    };
    offsets.iter().map(offset).collect()
}

fn text<'a>(cells: &'a Cells, column: &str, blank: &'a str) -> &'a str {
    cells.get(column).map_or(blank, String::as_str)
}

fn number(cells: &Cells, column: &str, blank: u64) -> u64 {
    cells.get(column).map_or(blank, |text| {
        text.parse()
            .unwrap_or_else(|_| panic!("{column} {text:?} is no number"))
    })
}

/// A number that stands for a label (FNV-1a).
fn label(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

fn pseudonyms(name: &str) -> Pseudonyms {
    let one = label(name);
    Pseudonyms {
        address: one,
        network: one,
        agent: one,
    }
}

/// `HH:MM:SS` or `HH:MM:SS.mmm`, with `dN ` before it for the N-th day.
pub(crate) fn time(text: &str) -> Millis {
    let (day, clock) = match text.strip_prefix('d').and_then(|rest| rest.split_once(' ')) {
        Some((day, clock)) => (day.parse::<u64>().unwrap(), clock),
        None => (1, text),
    };
    let (clock, millis) = clock.split_once('.').unwrap_or((clock, "0"));
    let parts: Vec<u64> = clock.split(':').map(|part| part.parse().unwrap()).collect();
    let [hours, minutes, seconds] = parts[..] else {
        panic!("{text:?} is no time")
    };
    let seconds = ((day - 1) * 24 + hours) * 3600 + minutes * 60 + seconds;
    Millis(DAY_ONE_MS + seconds * 1000 + millis.parse::<u64>().unwrap())
}

/// A minute as [`time`] reads it, without seconds.
pub(crate) fn shown_minute(minute: Minute) -> String {
    let minutes = (minute.start().0.saturating_sub(DAY_ONE_MS)) / 60_000;
    let (day, of_day) = (minutes / 1440 + 1, minutes % 1440);
    let clock = format!("{:02}:{:02}", of_day / 60, of_day % 60);
    match (minute, day) {
        (Minute(0), _) => "before time".to_owned(),
        (_, 1) => clock,
        _ => format!("d{day} {clock}"),
    }
}

fn duration_s(text: &str) -> u32 {
    let (digits, unit) = text.split_at(text.len() - 1);
    let each = match unit {
        "h" => 3600,
        "m" => 60,
        "s" => 1,
        "d" => 86_400,
        other => panic!("{other:?} is no unit"),
    };
    digits.parse::<u32>().unwrap() * each
}

fn money(text: &str) -> Micros {
    let (sign, digits) = text.strip_prefix('-').map_or((1, text), |rest| (-1, rest));
    let (whole, part) = digits.split_once('.').unwrap_or((digits, "0"));
    let micros = format!("{part:0<6}").parse::<i64>().unwrap();
    Micros(sign * (whole.parse::<i64>().unwrap() * 1_000_000 + micros))
}

/// Hundredths of a percent.
fn basis_points(text: &str) -> u16 {
    let (whole, part) = text
        .trim_end_matches('%')
        .split_once('.')
        .unwrap_or((text.trim_end_matches('%'), "0"));
    let part = format!("{part:0<2}").parse::<u16>().unwrap();
    whole.parse::<u16>().unwrap() * 100 + part
}

fn payment(text: &str) -> Payment {
    match text.split_once(' ') {
        None if text == "open" => Payment::Open,
        None if text == "prepaid" => Payment::Prepaid,
        Some(("credit", limit)) => Payment::Credit {
            limit: money(limit),
        },
        _ => panic!("{text:?} is no way to pay"),
    }
}

fn scope(text: &str) -> Scope {
    let advertisers = text
        .split(' ')
        .map(|one| AdvertiserId(one.parse().unwrap()));
    Scope::Only(advertisers.collect())
}
