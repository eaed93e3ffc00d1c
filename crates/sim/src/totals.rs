//! What the trials add up to, in the words of the issue that asked for them.

use std::collections::BTreeSet;
use std::fmt;

use serde::Serialize;

/// The totals of a run; the names are those of the JSON object.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Totals {
    /// Repeats the run.
    pub seed: u64,
    /// States of the disk after which the log was recovered and compared.
    pub crash_states: u64,
    /// Times the real binary was killed under load.
    pub kills: u64,
    /// Times the file system was shut down under a writer.
    pub power_cuts: u64,
    /// Receipts whose records were looked for.
    pub receipts: u64,
    /// Receipts whose record was not there.
    pub lost: u64,
    /// Receipts that should not have been given, or whose record was there twice.
    pub false_receipts: u64,
    /// Single bits that were flipped in stored bytes.
    pub bit_flips: u64,
    /// Flips that changed what was read and were not reported.
    pub undetected: u64,
    /// Kinds of trial that could not run, and why.
    pub not_run: Vec<String>,
    /// What went wrong otherwise; a run with any of these has failed.
    #[serde(skip)]
    pub problems: Vec<String>,
}

impl Totals {
    /// Whether every promise held.
    pub fn is_good(&self) -> bool {
        let broken = self.lost + self.false_receipts + self.undetected;
        broken == 0 && self.problems.is_empty()
    }

    /// Compares the receipts of one trial with the ids that a witness has found.
    pub fn compare(&mut self, receipts: &BTreeSet<String>, found: &[String], trial: &str) {
        let there: BTreeSet<&String> = found.iter().collect();
        let lost = receipts.iter().filter(|id| !there.contains(id)).count();
        let twice = found.len() - there.len();
        self.lost += lost as u64;
        self.false_receipts += twice as u64;
        if lost + twice > 0 {
            let receipts = receipts.len();
            self.problems.push(format!(
                "{trial}: of {receipts} receipts {lost} are lost; {twice} records are there twice"
            ));
        }
    }
}

impl fmt::Display for Totals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "seed {}", self.seed)?;
        writeln!(f, "  crash states   {:>10}", self.crash_states)?;
        writeln!(f, "  kills          {:>10}", self.kills)?;
        writeln!(f, "  power cuts     {:>10}", self.power_cuts)?;
        writeln!(f, "  receipts       {:>10}", self.receipts)?;
        writeln!(f, "  lost           {:>10}", self.lost)?;
        writeln!(f, "  false receipts {:>10}", self.false_receipts)?;
        writeln!(f, "  bit flips      {:>10}", self.bit_flips)?;
        writeln!(f, "  undetected     {:>10}", self.undetected)?;
        for what in &self.not_run {
            writeln!(f, "  not run: {what}")?;
        }
        for problem in &self.problems {
            writeln!(f, "  FAILED: {problem}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(ids: &[&str]) -> Vec<String> {
        ids.iter().map(|id| (*id).to_owned()).collect()
    }

    #[test]
    fn a_missing_and_a_doubled_record_are_told() {
        let mut totals = Totals::default();
        let receipts = ids(&["a", "b"]).into_iter().collect();
        totals.compare(&receipts, &ids(&["a", "b", "c"]), "fine");
        assert!(totals.is_good());
        totals.compare(&receipts, &ids(&["a", "c"]), "lost");
        assert_eq!((totals.lost, totals.false_receipts), (1, 0));
        totals.compare(&receipts, &ids(&["a", "b", "b"]), "twice");
        assert_eq!((totals.lost, totals.false_receipts), (1, 1));
        assert!(!totals.is_good());
    }
}
