//! Reads the case files: prose, one table, one line of totals.
//!
//! | column | what | when blank |
//! |---|---|---|
//! | record | campaign, key, revoke, tick, mark, click, impression, import, damaged, newer, again | |
//! | at | HH:MM:SS, on a later day `d2 HH:MM:SS` | |
//! | advertiser, campaign, key | numbers | 7, 1, 1 |
//! | price, currency | decimal units | none, USD |
//! | state | active, paused | active |
//! | scope | advertisers of a key, such as `7 8` | all |
//! | nonce | a label: the same label is the same impression | a new one |
//! | shown | when the impression was shown | 10 s before the click |
//! | window | billing window: `24h`, `30m` | 24h |
//! | link | a registered link instead of a signed one | signed |
//! | visitor, agent, method | a label; browser, bot, library, none; GET, HEAD | V, browser, GET |
//! | test, partition | yes; the partition in the click id | no; 0 |
//! | session, sequence, change, epoch | to send again, to leave out | counted on |
//! | outcome, charge, why | what must come out; `ignored` for a tick or change without effect, `halt` | nothing |

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use tollgate_click::control::{Campaign, CampaignState, Change, Control, Scope, SigningKey};
use tollgate_click::facts::Ack;
use tollgate_click::ids::ClickIdParts;
use tollgate_click::record::{Mark, Tick};
use tollgate_click::{
    Actor, AdId, AdvertiserId, AgentClass, CampaignId, ClickFacts, ClickId, ControlNumber, Country,
    DataSetId, EdgeId, KeyId, LinkId, Micros, Millis, Minute, Nonce, PartitionId, PlacementId,
    PseudonymKeyId, Pseudonyms, PublisherId, Record, Source,
};

/// 2026-11-01 00:00:00 UTC.
const DAY_ONE_MS: u64 = 1_793_491_200_000;

pub(crate) struct Case {
    pub(crate) name: String,
    pub(crate) rows: Vec<Row>,
    pub(crate) totals: String,
}

pub(crate) struct Row {
    pub(crate) line: usize,
    pub(crate) facts: Vec<u8>,
    pub(crate) session: u64,
    pub(crate) sequence: u64,
    pub(crate) broadcast: bool,
    pub(crate) expect: Expect,
}

pub(crate) struct Expect {
    pub(crate) outcome: Option<String>,
    pub(crate) charge: Option<String>,
    pub(crate) why: Option<String>,
}

/// A row's cells by column.
type Cells = BTreeMap<String, String>;

impl Case {
    /// All case files, in the order of their names.
    pub(crate) fn all() -> Vec<Case> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases");
        let mut paths: Vec<_> = fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .collect();
        paths.sort();
        paths.iter().map(|path| Case::read(path)).collect()
    }

    fn read(path: &Path) -> Case {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let text = fs::read_to_string(path).unwrap();
        let mut header: Vec<String> = Vec::new();
        let mut world = World::default();
        let mut rows = Vec::new();
        let mut totals = None;
        for (index, line) in text.lines().enumerate() {
            if let Some(told) = line.strip_prefix("totals: ") {
                totals = Some(told.to_owned());
            }
            let Some(inner) = line
                .strip_prefix('|')
                .and_then(|rest| rest.strip_suffix('|'))
            else {
                continue;
            };
            let cells: Vec<String> = inner
                .split('|')
                .map(|cell| cell.trim().to_owned())
                .collect();
            if header.is_empty() {
                header = cells;
                continue;
            }
            assert_eq!(
                cells.len(),
                header.len(),
                "{name}:{} has another width",
                index + 1
            );
            let named = header
                .iter()
                .cloned()
                .zip(cells)
                .filter(|(_, cell)| !cell.is_empty());
            rows.push(world.row(index + 1, named.collect()));
        }
        let totals = totals.unwrap_or_else(|| panic!("{name} has no totals"));
        Case { name, rows, totals }
    }
}

/// The records of rows that are given as columns and cells.
#[allow(dead_code, reason = "the property tests use it, the case files do not")]
pub(crate) fn rows(cells: &[Vec<(&str, String)>]) -> Vec<Row> {
    let mut world = World::default();
    let named = |row: &Vec<(&str, String)>| {
        row.iter()
            .map(|(column, cell)| ((*column).to_owned(), cell.clone()))
            .collect::<Cells>()
    };
    cells
        .iter()
        .enumerate()
        .map(|(line, row)| world.row(line, named(row)))
        .collect()
}

/// What the rows of a case have in common.
#[derive(Default)]
struct World {
    sequences: BTreeMap<(u64, bool), u64>,
    changes: BTreeMap<Option<u32>, u64>,
    controls: u64,
    nonces: BTreeMap<String, Nonce>,
    clicks: u64,
    last: Option<(Vec<u8>, u64, u64, bool)>,
}

impl World {
    fn row(&mut self, line: usize, cells: Cells) -> Row {
        let expect = Expect {
            outcome: cells.get("outcome").cloned(),
            charge: cells.get("charge").cloned(),
            why: cells.get("why").cloned(),
        };
        if cells["record"] == "again" {
            let (facts, session, sequence, broadcast) = self.last.clone().unwrap();
            return Row {
                line,
                facts,
                session,
                sequence,
                broadcast,
                expect,
            };
        }
        let (facts, broadcast) = self.record(&cells);
        let session = number(&cells, "session", 1);
        let counted = self.sequences.entry((session, broadcast)).or_insert(0);
        let sequence = number(&cells, "sequence", *counted + 1);
        *counted = sequence.max(*counted);
        self.last = Some((facts.clone(), session, sequence, broadcast));
        Row {
            line,
            facts,
            session,
            sequence,
            broadcast,
            expect,
        }
    }

    /// The record's bytes, and whether it goes to all partitions.
    fn record(&mut self, cells: &Cells) -> (Vec<u8>, bool) {
        let at = time(&cells["at"]);
        let mut facts = Vec::new();
        let record = match cells["record"].as_str() {
            "campaign" | "key" | "revoke" => self.control(cells, at),
            "tick" => Record::Tick(Tick {
                epoch: number(cells, "epoch", 1),
                at,
            }),
            "mark" => {
                let edge = EdgeId::new(number(cells, "edge", 1) as u16).unwrap();
                Record::Mark(Mark {
                    edge,
                    minute: Minute((at.0 / 60_000) as u32),
                })
            }
            "impression" => Record::Impression(self.click(cells, at)),
            "click" | "import" | "damaged" => Record::Click(self.click(cells, at)),
            "newer" => {
                facts.extend_from_slice(&[1, 99]);
                return (facts, false);
            }
            other => panic!("{other:?} is no record"),
        };
        record.encode(&mut facts);
        if cells["record"] == "damaged" {
            facts.truncate(facts.len() - 1);
        }
        let broadcast = match &record {
            Record::Tick(_) => true,
            Record::Control(control) => !matches!(control.change, Change::Campaign(_)),
            _ => false,
        };
        (facts, broadcast)
    }

    fn control(&mut self, cells: &Cells, at: Millis) -> Record {
        let advertiser = AdvertiserId(number(cells, "advertiser", 7) as u32);
        let key = KeyId(number(cells, "key", 1) as u32);
        let change = match cells["record"].as_str() {
            "campaign" => Change::Campaign(Campaign {
                campaign: CampaignId(number(cells, "campaign", 1)),
                advertiser,
                name: "Case".to_owned(),
                currency: cells
                    .get("currency")
                    .map_or("USD", |text| text)
                    .parse()
                    .unwrap(),
                price: cells.get("price").map(|text| money(text)),
                state: match cells.get("state").map_or("active", |text| text) {
                    "active" => CampaignState::Active,
                    "paused" => CampaignState::Paused,
                    other => panic!("{other:?} is no state"),
                },
                daily_budget: None,
                total_budget: None,
                zone: String::new(),
                offsets: Vec::new(),
            }),
            "key" => Change::Key(SigningKey {
                key,
                scope: cells.get("scope").map_or(Scope::All, |text| scope(text)),
                not_before: Millis(0),
                not_after: Millis::MAX,
                test: false,
            }),
            _ => Change::KeyRevoked(key),
        };
        let target = matches!(change, Change::Campaign(_)).then_some(advertiser.0);
        let counted = self.changes.entry(target).or_insert(0);
        let target_number = number(cells, "change", *counted + 1);
        *counted = target_number.max(*counted);
        self.controls += 1;
        let number = ControlNumber(self.controls);
        Record::Control(Control {
            number,
            target_number,
            at,
            by: Actor(0),
            change,
        })
    }

    fn click(&mut self, cells: &Cells, at: Millis) -> ClickFacts {
        self.clicks += 1;
        let visitor = label(cells.get("visitor").map_or("V", |text| text));
        ClickFacts {
            click_id: ClickId::new(ClickIdParts {
                received_at: at,
                partition: PartitionId::new(number(cells, "partition", 0) as u16).unwrap(),
                edge: EdgeId::new(1).unwrap(),
                random: self.clicks,
            }),
            source: self.source(cells, at),
            advertiser: AdvertiserId(number(cells, "advertiser", 7) as u32),
            campaign: CampaignId(number(cells, "campaign", 1)),
            ad: AdId(0),
            publisher: PublisherId(3),
            placement: PlacementId(4),
            test: cells.contains_key("test"),
            head: cells.get("method").is_some_and(|text| text == "HEAD"),
            agent_class: match cells.get("agent").map_or("browser", |text| text) {
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
            pseudonyms: Pseudonyms {
                address: visitor,
                network: visitor,
                agent: visitor,
            },
            previous: cells.get("formerly").map(|text| {
                let former = label(text);
                Pseudonyms {
                    address: former,
                    network: former,
                    agent: former,
                }
            }),
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
        let shown = cells
            .get("shown")
            .map_or(Millis(at.0 - 10_000), |text| time(text));
        let fresh = format!("click {}", self.clicks);
        let name = cells.get("nonce").unwrap_or(&fresh);
        let made = || Nonce::new(shown, u128::from(label(name)));
        let nonce = *self.nonces.entry(name.clone()).or_insert_with(made);
        Source::Signed {
            key: KeyId(number(cells, "key", 1) as u32),
            nonce,
            window_s: cells
                .get("window")
                .map_or(24 * 3600, |text| duration_s(text)),
            price: cells.get("price").map(|text| money(text)),
        }
    }
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

/// `HH:MM:SS` or `HH:MM:SS.mmm`, with `dN ` before it for the N-th day.
fn time(text: &str) -> Millis {
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
    let (whole, part) = text.split_once('.').unwrap_or((text, "0"));
    let micros = format!("{part:0<6}").parse::<i64>().unwrap();
    Micros(whole.parse::<i64>().unwrap() * 1_000_000 + micros)
}

fn scope(text: &str) -> Scope {
    Scope::Only(
        text.split(' ')
            .map(|one| AdvertiserId(one.parse().unwrap()))
            .collect(),
    )
}
