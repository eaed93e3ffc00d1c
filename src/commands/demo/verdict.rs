//! What the demo found: sent beside counted, as JSON and as text.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};
use tollgate_click::{ClickId, Currency, Micros, Outcome};
use tollgate_traffic::compare::{self, Counted, Difference};
use tollgate_traffic::ending::Ending;
use tollgate_traffic::generate::Plan;
use tollgate_traffic::history::Fate;
use tollgate_traffic::load::Summary;
use tollgate_traffic::oracle::{self, Books, Truth};

use crate::commands::driver;
use crate::exit::Exit;

/// Differences that are shown one by one.
const SHOWN_MAX: usize = 20;

/// What was sent beside what was counted.
#[derive(Debug)]
pub(super) struct Verdict {
    summary: Summary,
    least: Books,
    counted: Counted,
    differences: Vec<Difference>,
}

impl Verdict {
    /// Works out from the traffic's own truth what must have been counted, and compares.
    pub(super) fn new(
        plan: &Plan,
        endings: &[(u64, Ending)],
        summary: Summary,
        counted: Counted,
    ) -> Verdict {
        let told: Vec<(u64, Truth, Fate)> = endings
            .iter()
            .map(|(op, ending)| (*op, plan.truth(*op), Fate::from(*ending)))
            .collect();
        let receipts: BTreeSet<ClickId> = told.iter().filter_map(|told| told.2.kept()).collect();
        let lost = told.iter().filter(|told| told.2 == Fate::Unknown).count() as u64;
        let told = told.iter().map(|(op, truth, fate)| (*op, truth, *fate));
        let (least, most) = oracle::bounds(&plan.world().campaigns(), told);
        // Wrong answers first: they tell more than the counts that follow from them.
        let mut differences = answers_that_must_not_be(&least, &summary);
        differences.extend(compare::differences(
            (&least, &most),
            &counted,
            &receipts,
            lost,
        ));
        Verdict {
            summary,
            least,
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
        let outcomes = by_outcome(&self.counted);
        let named: BTreeMap<&str, u64> = outcomes
            .iter()
            .map(|(outcome, count)| (outcome.name(), *count))
            .collect();
        let spend: BTreeMap<String, i64> = by_currency(&self.counted)
            .into_iter()
            .map(|(currency, micros)| (currency.to_string(), int(micros)))
            .collect();
        let list = self.differences.iter().take(SHOWN_MAX).map(|difference| {
            let (least, most) = difference.sent;
            json!({
                "what": difference.what,
                "sent_least": int(least),
                "sent_most": int(most),
                "counted": int(difference.counted),
            })
        });
        json!({
            "sent": self.summary.sent,
            "not_sent": self.summary.not_sent,
            "receipts": self.summary.receipts,
            "indeterminate": self.summary.indeterminate_count(),
            "gross": gross(&outcomes),
            "billed": outcomes.get(&Outcome::Billed).copied().unwrap_or(0),
            // One currency in the demo's market, so that there is one sum.
            "spend_micros": spend.values().sum::<i64>(),
            "spend": spend,
            "outcomes": named,
            "refused": self.counted.refused,
            "differences": self.differences.len(),
            "difference_list": list.collect::<Vec<_>>(),
            "seed": seed,
            "seconds": driver::seconds(self.summary.took_us),
            "answers_per_s": self.summary.answers_per_s(),
        })
    }

    /// The table that people read.
    pub(super) fn to_text(&self, color: bool) -> String {
        let paint = Paint { color };
        let mut table = Table::new(paint);
        table.head("outcome");
        let (sent, counted) = (self.least.by_outcome(), by_outcome(&self.counted));
        for outcome in Outcome::ALL {
            let of = |map: &BTreeMap<Outcome, u64>| map.get(&outcome).copied().unwrap_or(0);
            if of(&sent) > 0 || of(&counted) > 0 {
                table.count(outcome.name(), of(&sent), of(&counted));
            }
        }
        table.count("gross", gross(&sent), gross(&counted));
        table.head("refused at the edge");
        let reasons = self.least.refused.keys().chain(self.counted.refused.keys());
        for reason in reasons.collect::<BTreeSet<_>>() {
            let of = |map: &BTreeMap<String, u64>| map.get(reason).copied().unwrap_or(0);
            table.count(reason, of(&self.least.refused), of(&self.counted.refused));
        }
        table.head("kept");
        let kept = self.counted.recorded.values().sum();
        table.count("receipts", self.summary.receipts, kept);
        table.head("spend");
        let (sent, counted) = (self.least.by_currency(), by_currency(&self.counted));
        for currency in sent.keys().chain(counted.keys()).collect::<BTreeSet<_>>() {
            let sent = sent.get(currency).copied().unwrap_or(0);
            let counted = counted.get(currency).copied().unwrap_or(0);
            table.money(&currency.to_string(), i128::from(sent), counted);
        }
        table.lines.push(String::new());
        table.lines.extend(self.closing_lines(paint));
        table.lines.join("\n") + "\n"
    }

    fn closing_lines(&self, paint: Paint) -> Vec<String> {
        let summary = &self.summary;
        let mut lines = vec![format!(
            "{} clicks in {} s ({} answers/s), receipt p50 {} us, p99 {} us",
            grouped(i128::from(summary.sent)),
            driver::seconds(summary.took_us),
            grouped(i128::from(summary.answers_per_s())),
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
                sent: (least, most),
                counted,
            } = difference;
            let sent = if least == most {
                grouped(*least)
            } else {
                format!("{} to {}", grouped(*least), grouped(*most))
            };
            lines.push(paint.red(&format!(
                "{what}: sent {sent}, counted {}",
                grouped(*counted)
            )));
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
    let wrong = books
        .wrong_answers
        .iter()
        .map(|(op, what)| format!("request {op} {what}"));
    let counts = [
        (summary.odd_count(), "answers that no edge may give"),
        (summary.not_sent, "requests that were not sent"),
    ];
    let counts = counts.into_iter().filter(|(count, _)| *count > 0);
    let wrong = wrong.map(|what| (1, what));
    wrong
        .chain(counts.map(|(count, what)| (count, what.to_owned())))
        .map(|(count, what)| Difference {
            what,
            sent: (0, 0),
            counted: i128::from(count),
        })
        .collect()
}

fn by_outcome(counted: &Counted) -> BTreeMap<Outcome, u64> {
    let mut total = BTreeMap::new();
    for (outcome, count) in counted.outcomes.values().flatten() {
        *total.entry(*outcome).or_default() += count;
    }
    total
}

fn by_currency(counted: &Counted) -> BTreeMap<Currency, i128> {
    let mut total = BTreeMap::new();
    for (currency, micros) in counted.spend_micros.values().flatten() {
        *total.entry(*currency).or_default() += micros;
    }
    total
}

fn gross(outcomes: &BTreeMap<Outcome, u64>) -> u64 {
    let counted = outcomes.iter().filter(|(outcome, _)| outcome.in_gross());
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
        let (sent, counted) = (i128::from(sent), i128::from(counted));
        self.row(name, grouped(sent), grouped(counted), counted - sent);
    }

    fn money(&mut self, currency: &str, sent: i128, counted: i128) {
        let show = |micros| Micros(int(micros)).to_string();
        self.row(currency, show(sent), show(counted), counted - sent);
    }

    fn row(&mut self, name: &str, sent: String, counted: String, difference: i128) {
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

/// A number as JSON and money can carry it: sums of a demo are far below the limit.
fn int(number: i128) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// A number with commas between groups of three digits.
fn grouped(number: i128) -> String {
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
