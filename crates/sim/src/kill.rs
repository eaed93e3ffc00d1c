//! `kill -9` on the real binary under load: every receipt of every run is there once.

use std::path::Path;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};
use rand::Rng;
use rand::rngs::StdRng;

use crate::edge::{self, Binary, Clients, History};
use crate::totals::Totals;
use crate::witness;

/// Kills on one data directory, so that each start recovers what many have left.
const KILLS_PER_FOLDER: u64 = 10;
const CLIENTS: u64 = 16;

/// Kills for as long as `go_on` says so; it is handed their number.
pub fn run(
    totals: &mut Totals,
    dice: &mut StdRng,
    binary: &Binary,
    mut go_on: impl FnMut(u64) -> bool,
) -> Result<()> {
    let mut kills = 0;
    while go_on(kills) && totals.problems.is_empty() {
        let folder = tempfile::tempdir()?;
        let mut history = History::default();
        for _ in 0..KILLS_PER_FOLDER {
            if !go_on(kills) {
                break;
            }
            history.extend(click_and_kill(binary, folder.path(), dice)?);
            kills += 1;
            totals.kills += 1;
            check(totals, folder.path(), &history, &format!("kill {kills}"));
        }
        if history.receipts.is_empty() {
            let History {
                refused, unknown, ..
            } = history;
            let problem = format!("kills: no receipts; {refused} refused, {unknown} unanswered");
            totals.problems.push(problem);
        }
        totals.receipts += history.receipts.len() as u64;
    }
    Ok(())
}

fn click_and_kill(binary: &Binary, folder: &Path, dice: &mut StdRng) -> Result<History> {
    let mut edge = binary.start(folder)?;
    let clients = Clients::start(edge.address(), CLIENTS, dice.random(), "");
    thread::sleep(Duration::from_micros(dice.random_range(0..500_000)));
    edge.kill()?;
    clients.stop()
}

/// Compares what the clients were told with what an independent witness finds in the log.
pub fn check(totals: &mut Totals, folder: &Path, history: &History, trial: &str) {
    match found(folder) {
        Ok(found) => {
            totals.compare(&history.receipts, &found, trial);
            // A record without a request would be a click that nobody made.
            let explained = history.receipts.len() as u64 + history.unknown + history.refused;
            if found.len() as u64 > explained {
                let found = found.len();
                totals
                    .problems
                    .push(format!("{trial}: {found} clicks of {explained} requests"));
            }
        }
        Err(error) => totals.problems.push(format!("{trial}: {error:#}")),
    }
    totals.false_receipts += history.wrong.len() as u64;
    totals.problems.extend(
        history
            .wrong
            .iter()
            .map(|wrong| format!("{trial}: {wrong}")),
    );
}

fn found(folder: &Path) -> Result<Vec<String>> {
    let mut found = Vec::new();
    witness::read(&edge::log(folder), |seen| {
        found.extend(witness::click_id(seen.facts))
    })
    .context("the log is not whole")?;
    Ok(found)
}
