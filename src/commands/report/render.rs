//! A recount as a table, as CSV, as JSON. Money is exact everywhere: micro-units as integers, or
//! units with six decimals.

use serde_json::{Map, Value, json};
use tollgate_click::{Currency, Outcome};
use tollgate_process::Tally;

use crate::recount::dimension::{Cell, show_time};
use crate::recount::{Complete, Question, Recount};

/// A column of counts.
type Count = (&'static str, fn(&Tally) -> u64);

/// The counts of each row, in the order of the columns.
const COUNTS: [Count; 7] = [
    ("gross", Tally::gross),
    ("net", Tally::net),
    ("total_net", Tally::total_net),
    ("duplicates", |tally| tally.of(Outcome::Duplicate)),
    ("invalid_givt", |tally| tally.of(Outcome::InvalidGivt)),
    ("invalid_sivt", |tally| tally.of(Outcome::InvalidSivt)),
    ("billed", |tally| tally.of(Outcome::Billed)),
];

/// Units with six decimals.
fn amount(micros: i128) -> String {
    let (sign, whole) = if micros < 0 {
        ("-", micros.unsigned_abs())
    } else {
        ("", micros as u128)
    };
    format!("{sign}{}.{:06}", whole / 1_000_000, whole % 1_000_000)
}

fn spend(tally: &Tally) -> String {
    let each = |(currency, micros): (&Currency, &i128)| format!("{} {currency}", amount(*micros));
    let told: Vec<String> = tally.spend().iter().map(each).collect();
    if told.is_empty() {
        "0".to_owned()
    } else {
        told.join(" + ")
    }
}

/// A table with a row of totals and the line that says how far it is complete.
pub(super) fn table(question: &Question, recount: &Recount, color: bool) -> String {
    let names = question.by.iter().map(|dimension| dimension.name());
    let counts = COUNTS.iter().map(|(name, _)| *name);
    let header: Vec<String> = names
        .chain(counts)
        .chain(["spend"])
        .map(str::to_owned)
        .collect();
    let mut rows = vec![header];
    if !question.by.is_empty() {
        rows.extend(
            recount
                .groups
                .iter()
                .map(|(cells, tally)| row(cells, tally)),
        );
    }
    let mut total = row(&[], &recount.clicks);
    let blank = question.by.len();
    total.splice(
        0..0,
        (0..blank).map(|index| if index == 0 { "total" } else { "" }.to_owned()),
    );
    rows.push(total);
    let mut text = align(&rows, blank, color);
    text.push_str(&other_lines(recount));
    text
}

fn row(cells: &[Cell], tally: &Tally) -> Vec<String> {
    let cells = cells.iter().map(Cell::to_string);
    let counts = COUNTS.iter().map(|(_, count)| count(tally).to_string());
    cells.chain(counts).chain([spend(tally)]).collect()
}

/// Words to the left, numbers to the right.
fn align(rows: &[Vec<String>], words: usize, color: bool) -> String {
    let columns = rows.first().map_or(0, Vec::len);
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let mut text = String::new();
    for (number, row) in rows.iter().enumerate() {
        let cells = row
            .iter()
            .zip(&widths)
            .enumerate()
            .map(|(column, (cell, width))| {
                if column < words {
                    format!("{cell:<width$}")
                } else {
                    format!("{cell:>width$}")
                }
            });
        let line = cells.collect::<Vec<_>>().join("  ");
        let bold = color && (number == 0 || number + 1 == rows.len());
        let (on, off) = if bold {
            ("\x1b[1m", "\x1b[0m")
        } else {
            ("", "")
        };
        text.push_str(&format!("{on}{}{off}\n", line.trim_end()));
    }
    text
}

/// What the columns leave out, and how far all of it is complete.
fn other_lines(recount: &Recount) -> String {
    let clicks = &recount.clicks;
    let shown = [
        Outcome::Duplicate,
        Outcome::InvalidGivt,
        Outcome::InvalidSivt,
        Outcome::Billed,
    ];
    let others = Outcome::ALL
        .into_iter()
        .filter(|outcome| !shown.contains(outcome));
    let others: Vec<String> = others
        .filter(|outcome| clicks.of(*outcome) > 0)
        .map(|outcome| format!("{} {}", clicks.of(outcome), outcome.name()))
        .collect();
    let mut text = String::new();
    if !others.is_empty() {
        text.push_str(&format!("\nalso: {}\n", others.join(", ")));
    }
    if recount.impressions.records() > 0 {
        text.push_str(&format!(
            "impressions: {} gross\n",
            recount.impressions.gross()
        ));
    }
    let Complete {
        ordinals,
        clock,
        complete_before,
        missing,
        ..
    } = &recount.complete;
    let records: u64 = ordinals.iter().sum();
    let ticked = if clock.0 == 0 {
        "never".to_owned()
    } else {
        show_time(*clock)
    };
    let before = match complete_before.0 {
        0 => "no edge has marked yet".to_owned(),
        _ => format!("complete before {}", show_time(*complete_before)),
    };
    let partitions = ordinals.len();
    let line = format!(
        "{records} records in {partitions} partitions; last tick {ticked}; {before}; {missing} \
         records missing\n"
    );
    text.push_str(&line);
    text
}

/// One JSON object: rows, totals, completeness.
pub(super) fn json(question: &Question, recount: &Recount) -> anyhow::Result<String> {
    let object = |cells: &[Cell], tally: &Tally| {
        let names = question
            .by
            .iter()
            .map(|dimension| dimension.name().to_owned());
        let cells = names.zip(cells.iter().map(Cell::json));
        cells.chain(tally_json(tally)).collect::<Map<_, _>>()
    };
    let rows: Vec<_> = match question.by.is_empty() {
        true => Vec::new(),
        false => recount
            .groups
            .iter()
            .map(|(cells, tally)| object(cells, tally))
            .collect(),
    };
    let mut totals = object(&[], &recount.clicks);
    totals.insert("impressions".to_owned(), json!(recount.impressions.gross()));
    let complete = &recount.complete;
    let mut text = serde_json::to_string_pretty(&json!({
        "rows": rows,
        "totals": totals,
        "complete": {
            "partitions": complete.ordinals.len(),
            "records": complete.ordinals.iter().sum::<u64>(),
            "ordinals": complete.ordinals,
            "last_tick_ms": complete.clock.0,
            "complete_before_ms": complete.complete_before.0,
            "missing": complete.missing,
        },
    }))?;
    text.push('\n');
    Ok(text)
}

fn tally_json(tally: &Tally) -> Vec<(String, Value)> {
    let mut values: Vec<(String, Value)> = COUNTS
        .iter()
        .map(|(name, count)| ((*name).to_owned(), json!(count(tally))))
        .collect();
    let outcomes: Map<String, Value> = Outcome::ALL
        .into_iter()
        .map(|outcome| (outcome.name().to_owned(), json!(tally.of(outcome))))
        .collect();
    let spend: Map<String, Value> = tally
        .spend()
        .iter()
        .map(|(currency, micros)| (currency.to_string(), micros_json(*micros)))
        .collect();
    values.push(("outcomes".to_owned(), Value::Object(outcomes)));
    values.push(("spend_micros".to_owned(), Value::Object(spend)));
    values
}

/// A number while it is one for every reader; beyond 2^53 a text.
fn micros_json(micros: i128) -> Value {
    match i64::try_from(micros) {
        Ok(small) if small.unsigned_abs() < 1 << 53 => json!(small),
        _ => json!(micros.to_string()),
    }
}

/// Comma-separated values: the groups, or the totals when nothing is grouped.
pub(super) fn csv(question: &Question, recount: &Recount) -> String {
    let names = question.by.iter().map(|dimension| dimension.name());
    let counts = COUNTS.iter().map(|(name, _)| *name);
    let header = names
        .chain(counts)
        .chain(["currency", "spend"])
        .collect::<Vec<_>>()
        .join(",");
    let mut text = format!("{header}\r\n");
    let total = [(Vec::new(), recount.clicks.clone())].into_iter().collect();
    let groups = if question.by.is_empty() {
        &total
    } else {
        &recount.groups
    };
    for (cells, tally) in groups {
        let cells: Vec<String> = cells.iter().map(Cell::to_string).collect();
        let mut counts: Vec<u64> = COUNTS.iter().map(|(_, count)| count(tally)).collect();
        let mut line = |currency: &str, spend: String| {
            let numbers = counts.iter().map(u64::to_string);
            let fields = cells
                .iter()
                .cloned()
                .chain(numbers)
                .chain([currency.to_owned(), spend]);
            text.push_str(&fields.collect::<Vec<_>>().join(","));
            text.push_str("\r\n");
            // A group has one line a currency; its counts stand on the first, so columns add up.
            counts.fill(0);
        };
        if tally.spend().is_empty() {
            line("", amount(0));
        }
        for (currency, micros) in tally.spend() {
            line(&currency.to_string(), amount(*micros));
        }
    }
    text
}
