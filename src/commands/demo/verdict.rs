//! What the demo found: sent beside counted by each side, as JSON and as text.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};
use tollgate_click::{Change, Micros, Outcome};
use tollgate_traffic::books::{Books, Kept, Told, books};
use tollgate_traffic::compare::{self, Difference, Side};
use tollgate_traffic::load::Summary;

use crate::commands::driver;
use crate::exit::Exit;

/// Differences that are shown one by one.
const SHOWN_MAX: usize = 20;

/// What was sent beside what was counted.
#[derive(Debug)]
pub(super) struct Verdict {
    summary: Summary,
    books: Books,
    counted: Counted,
    differences: Vec<Difference>,
}

/// What the product says.
#[derive(Clone, Debug)]
pub(super) struct Counted {
    /// Each side that counts clicks and money, the one that is shown first.
    pub(super) sides: Vec<Side>,
    /// Refusals by reason, as the edge counts them.
    pub(super) refused: BTreeMap<String, u64>,
    /// The clicks of the log in its order.
    pub(super) kept: Vec<Kept>,
}

impl Verdict {
    /// Works out from the traffic's own truth what must have been counted, and compares.
    pub(super) fn new(
        market: &[Change],
        told: &[Told],
        summary: Summary,
        counted: Counted,
    ) -> Verdict {
        let books = books(market, told, &counted.kept);
        // Wrong answers first: they tell more than the counts that follow from them.
        let mut differences = answers_that_must_not_be(&books, &summary);
        differences.extend(compare::refusals(&books, &counted.refused));
        let sides = counted.sides.iter();
        differences.extend(sides.flat_map(|side| compare::differences(&books, side)));
        Verdict {
            summary,
            books,
            counted,
            differences,
        }
    }

    /// Any difference is a problem.
    pub(super) fn exit(&self) -> Exit {
        if self.differences.is_empty() {
            Exit::Fine
        } else {
            Exit::Problems
        }
    }

    /// The object that `--json` prints.
    pub(super) fn to_json(&self, seed: u64) -> Value {
        let outcomes = self.outcomes();
        let named: BTreeMap<&str, u64> = outcomes
            .iter()
            .map(|(outcome, count)| (outcome.name(), *count))
            .collect();
        let list = self.differences.iter().take(SHOWN_MAX).map(|difference| {
            json!({
                "what": difference.what,
                "sent": difference.sent,
                "counted": difference.counted,
            })
        });
        json!({
            "sent": self.summary.sent,
            "not_sent": self.summary.not_sent,
            "receipts": self.summary.receipts,
            "indeterminate": self.summary.indeterminate_count(),
            "gross": sum(&outcomes, Outcome::in_gross),
            "net": sum(&outcomes, Outcome::in_net),
            "total_net": sum(&outcomes, Outcome::in_total_net),
            "billed": outcomes.get(&Outcome::Billed).copied().unwrap_or(0),
            // One currency in the demo's market, so that there is one sum.
            "spend_micros": self.spend_micros(),
            "outcomes": named,
            "refused": self.counted.refused,
            "sides": self.counted.sides.iter().map(|side| side.name).collect::<Vec<_>>(),
            "differences": self.differences.len(),
            "difference_list": list.collect::<Vec<_>>(),
            "seed": seed,
            "seconds": driver::seconds(self.summary.took_us),
            "answers_per_s": self.summary.answers_per_s(),
        })
    }

    /// Clicks by outcome, as the first side that counts them says.
    fn outcomes(&self) -> BTreeMap<Outcome, u64> {
        let mut sides = self.counted.sides.iter();
        let first = sides.find_map(|side| side.outcomes.as_ref());
        let all = first.into_iter().flat_map(BTreeMap::values).flatten();
        total(all.map(|(outcome, count)| (*outcome, *count)))
    }

    /// Spend, as the first side that counts it says.
    fn spend_micros(&self) -> i64 {
        let mut sides = self.counted.sides.iter();
        let first = sides.find_map(|side| side.spend_micros.as_ref());
        first.map_or(0, |spend| spend.values().sum())
    }

    /// The table that people read.
    pub(super) fn to_text(&self, color: bool) -> String {
        let paint = Paint { color };
        let mut table = Table::new(paint);
        table.head("outcome");
        let (sent, counted) = (self.books.by_outcome(), self.outcomes());
        for outcome in Outcome::ALL {
            let of = |map: &BTreeMap<Outcome, u64>| map.get(&outcome).copied().unwrap_or(0);
            if of(&sent) > 0 || of(&counted) > 0 {
                table.count(outcome.name(), of(&sent), of(&counted));
            }
        }
        type Counts = fn(Outcome) -> bool;
        let sums: [(&str, Counts); 3] = [
            ("gross", Outcome::in_gross),
            ("net", Outcome::in_net),
            ("total net", Outcome::in_total_net),
        ];
        for (name, counts) in sums {
            table.count(name, sum(&sent, counts), sum(&counted, counts));
        }
        table.head("refused at the edge");
        let reasons = self.books.refused.keys().chain(self.counted.refused.keys());
        for reason in reasons.collect::<BTreeSet<_>>() {
            let of = |map: &BTreeMap<String, u64>| map.get(reason).copied().unwrap_or(0);
            table.count(reason, of(&self.books.refused), of(&self.counted.refused));
        }
        table.head("kept");
        let kept = self.counted.kept.len() as u64;
        table.count("receipts", self.summary.receipts, kept);
        table.head("spend");
        let sent: i64 = self.books.spend_micros.values().sum();
        for side in &self.counted.sides {
            if let Some(spend) = &side.spend_micros {
                table.money(side.name, sent, spend.values().sum());
            }
        }
        table.lines.push(String::new());
        table.lines.extend(self.closing_lines(paint));
        table.lines.join("\n") + "\n"
    }

    fn closing_lines(&self, paint: Paint) -> Vec<String> {
        let summary = &self.summary;
        let mut lines = vec![format!(
            "{} clicks in {} s ({} answers/s), receipt p50 {} us, p99 {} us",
            grouped(summary.sent.cast_signed()),
            driver::seconds(summary.took_us),
            grouped(summary.answers_per_s().cast_signed()),
            summary.service.p50_us,
            summary.service.p99_us,
        )];
        let lost = summary.indeterminate_count();
        if lost > 0 {
            lines.push(format!(
                "{lost} answers were lost: each may count once or not at all"
            ));
        }
        for difference in self.differences.iter().take(SHOWN_MAX) {
            let Difference {
                what,
                sent,
                counted,
            } = difference;
            let (sent, counted) = (grouped(*sent), grouped(*counted));
            lines.push(paint.red(&format!("{what}: sent {sent}, counted {counted}")));
        }
        let more = self.differences.len().saturating_sub(SHOWN_MAX);
        if more > 0 {
            lines.push(paint.red(&format!("and {more} more")));
        }
        lines.push(match self.differences.len() {
            0 => paint.green("no difference: every click and every micro-unit is accounted for"),
            1 => paint.red("1 difference"),
            count => paint.red(&format!("{count} differences")),
        });
        lines
    }
}

/// Answers that contradict the truth, and what must not happen on a quiet machine.
fn answers_that_must_not_be(books: &Books, summary: &Summary) -> Vec<Difference> {
    let wrong = books.wrong.iter().map(|what| (1, what.clone()));
    let counts = [
        (summary.odd_count(), "answers that no edge may give"),
        (summary.not_sent, "requests that were not sent"),
    ];
    let counts = counts.into_iter().filter(|(count, _)| *count > 0);
    wrong
        .chain(counts.map(|(count, what)| (count, what.to_owned())))
        .map(|(count, what)| Difference {
            what,
            sent: 0,
            counted: count.cast_signed(),
        })
        .collect()
}

fn total(all: impl Iterator<Item = (Outcome, u64)>) -> BTreeMap<Outcome, u64> {
    let mut total = BTreeMap::new();
    for (outcome, count) in all {
        *total.entry(outcome).or_default() += count;
    }
    total
}

fn sum(outcomes: &BTreeMap<Outcome, u64>, counts: fn(Outcome) -> bool) -> u64 {
    let counted = outcomes.iter().filter(|(outcome, _)| counts(**outcome));
    counted.map(|(_, count)| count).sum()
}

/// Columns of sent, counted and difference.
struct Table {
    paint: Paint,
    lines: Vec<String>,
}

impl Table {
    fn new(paint: Paint) -> Table {
        Table {
            paint,
            lines: Vec::new(),
        }
    }

    fn head(&mut self, title: &str) {
        if !self.lines.is_empty() {
            self.lines.push(String::new());
        }
        let (sent, counted, difference) = ("sent", "counted", "difference");
        let line = format!("{title:<22}{sent:>20}{counted:>20}{difference:>14}");
        self.lines.push(self.paint.bold(&line));
    }

    fn count(&mut self, name: &str, sent: u64, counted: u64) {
        let (sent, counted) = (sent.cast_signed(), counted.cast_signed());
        self.row(name, [grouped(sent), grouped(counted)], counted - sent);
    }

    fn money(&mut self, side: &str, sent: i64, counted: i64) {
        let shown = [sent, counted].map(|micros| Micros(micros).to_string());
        self.row(side, shown, counted - sent);
    }

    fn row(&mut self, name: &str, [sent, counted]: [String; 2], difference: i64) {
        let line = format!("  {name:<20}{sent:>20}{counted:>20}");
        let difference = match difference {
            0 => self.paint.dim(&format!("{:>14}", 0)),
            more => self.paint.red(&format!("{:>14}", format!("{more:+}"))),
        };
        self.lines.push(line + &difference);
    }
}

/// Whether and how text is coloured.
#[derive(Clone, Copy)]
struct Paint {
    color: bool,
}

impl Paint {
    fn bold(self, text: &str) -> String {
        self.with("1", text)
    }

    fn dim(self, text: &str) -> String {
        self.with("2", text)
    }

    fn green(self, text: &str) -> String {
        self.with("32", text)
    }

    fn red(self, text: &str) -> String {
        self.with("1;31", text)
    }

    fn with(self, code: &str, text: &str) -> String {
        if self.color {
            format!("\x1b[{code}m{text}\x1b[0m")
        } else {
            text.to_owned()
        }
    }
}

/// A number with commas between groups of three digits.
fn grouped(number: i64) -> String {
    let digits = number.unsigned_abs().to_string();
    let mut out = String::new();
    if number < 0 {
        out.push('-');
    }
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

#[cfg(test)]
mod tests;
