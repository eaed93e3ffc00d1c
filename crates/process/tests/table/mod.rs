//! The case files: prose, one table, lines of sums. This file reads them; [`world`] makes records
//! of their rows, [`cluster`] applies these, [`books`] sums up what they came to.
//!
//! | column | what | when blank |
//! |---|---|---|
//! | record | see below | |
//! | at | HH:MM:SS, on a later day `d2 HH:MM:SS`; day 1 is 2026-11-01, UTC | |
//! | advertiser, campaign, key, publisher | numbers | 7, 1, 1, 3 |
//! | price, currency | decimal units | none, USD |
//! | state | active, paused, archived | active |
//! | daily, total | budgets, decimal units | none |
//! | zone | UTC, Berlin, New York, Kathmandu, Kiritimati | UTC |
//! | payment | open, prepaid, `credit 5` | open |
//! | share | `70%`, of a publisher's record | 0% |
//! | amount, command | of a money command; a label: the same label is the same id | none, a new one |
//! | scope | advertisers of a key, such as `7 8` | all |
//! | nonce | a label: the same label is the same impression | a new one |
//! | shown | when the impression was shown; of an import, when it happened | 10 s before |
//! | window | billing window: `24h`, `30m` | 24h |
//! | link | a registered link instead of a signed one | signed |
//! | visitor, agent, method | a label; browser, bot, library, none; GET, HEAD | V, browser, GET |
//! | test, misrouted | yes | no |
//! | session, sequence, change, epoch | to send again, to leave out | counted on |
//! | version | of `apply` | |
//!
//! What must come out:
//!
//! | column | what | when blank |
//! |---|---|---|
//! | outcome | of a click; `ignored`, `refused`, `repeat`; `halt`; `stopped` after a halt | nothing |
//! | charge | what a billed click costs | nothing |
//! | publisher's | what of that is the publisher's | not looked at |
//! | why | the reason's name | not looked at |
//! | left | the advertiser's balance after the row | not looked at |
//! | posted in | the minute of the clock, `10:05` or `d2 10:05` | not looked at |
//!
//! Below the table, `totals:` must stand; `balances:` and `earned:` may.

#![allow(dead_code, reason = "not every test uses all of it")]

pub(crate) mod books;
pub(crate) mod cluster;
pub(crate) mod world;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use world::{Row, World};

/// A row's cells by column; blank ones are absent.
pub(crate) type Cells = BTreeMap<String, String>;

pub(crate) struct Case {
    pub(crate) name: String,
    /// Each with its line.
    pub(crate) cells: Vec<(usize, Cells)>,
    /// `totals`, `balances` and `earned`, as far as they are told.
    pub(crate) sums: BTreeMap<String, String>,
}

/// What must come out that columns may tell.
const SUMS: [&str; 3] = ["totals", "balances", "earned"];

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
        let mut cells = Vec::new();
        let mut sums = BTreeMap::new();
        for (line, text) in (1..).zip(text.lines()) {
            for sum in SUMS {
                if let Some(told) = text.strip_prefix(&format!("{sum}: ")) {
                    sums.insert(sum.to_owned(), told.to_owned());
                }
            }
            let inner = text
                .strip_prefix('|')
                .and_then(|rest| rest.strip_suffix('|'));
            let Some(inner) = inner else { continue };
            let row: Vec<String> = inner
                .split('|')
                .map(|cell| cell.trim().to_owned())
                .collect();
            if header.is_empty() {
                check_header(&name, &row);
                header = row;
                continue;
            }
            assert_eq!(row.len(), header.len(), "{name}:{line} has another width");
            let named = header.iter().cloned().zip(row);
            cells.push((line, named.filter(|(_, cell)| !cell.is_empty()).collect()));
        }
        assert!(sums.contains_key("totals"), "{name} has no totals");
        Case { name, cells, sums }
    }

    /// The records of the case in a log of so many partitions.
    pub(crate) fn rows(&self, partitions: u16) -> Vec<Row> {
        let mut world = World::new(partitions);
        let rows = self.cells.iter();
        rows.map(|(line, cells)| world.row(*line, cells)).collect()
    }
}

const COLUMNS: [&str; 38] = [
    "record",
    "at",
    "advertiser",
    "campaign",
    "key",
    "publisher",
    "price",
    "currency",
    "state",
    "daily",
    "total",
    "zone",
    "payment",
    "share",
    "amount",
    "command",
    "scope",
    "nonce",
    "shown",
    "window",
    "link",
    "visitor",
    "formerly",
    "agent",
    "method",
    "test",
    "misrouted",
    "session",
    "sequence",
    "change",
    "epoch",
    "edge",
    "version",
    "outcome",
    "charge",
    "publisher's",
    "why",
    "left",
];

/// A column that nobody reads would promise what is not tested.
fn check_header(name: &str, header: &[String]) {
    for column in header {
        let known = COLUMNS.contains(&column.as_str()) || column == "posted in";
        assert!(known, "{name}: no column is named {column:?}");
    }
}

/// The records of rows that are given as columns and cells, in a log of one partition.
pub(crate) fn rows(cells: &[Vec<(&str, String)>]) -> Vec<Row> {
    let mut world = World::new(1);
    let named = |row: &Vec<(&str, String)>| {
        row.iter()
            .map(|(column, cell)| ((*column).to_owned(), cell.clone()))
            .collect::<Cells>()
    };
    let rows = cells.iter().enumerate();
    rows.map(|(line, row)| world.row(line, &named(row)))
        .collect()
}
