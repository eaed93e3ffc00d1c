//! The core against the witness, record by record, over generated histories.
//!
//! The witness (`tollgate_traffic::oracle`) shares no code with the core, so a mistake has to be
//! made twice to hide. A failing history is shrunk by leaving records out, and printed with its
//! seed: `ORACLE_SEED=N ORACLE_HISTORIES=1 cargo test -p tollgate-sim --test oracle`.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a test fails by panicking and says what it did"
)]

#[path = "oracle/history.rs"]
mod history;

use std::collections::BTreeMap;

use history::{History, Sent};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tollgate_click::limits::STATE_RETENTION_S;
use tollgate_click::{AdvertiserId, CampaignId, Millis, Outcome, PartitionId, Record};
use tollgate_process::{ApplyVersion, Effect, Effects, Incoming, PartBytes, State, apply_all};
use tollgate_traffic::oracle::{Oracle, Said};

/// Histories of the ordinary run; `ORACLE_HISTORIES` asks for more.
const HISTORIES: u64 = 3_000;

#[test]
fn the_core_says_what_the_witness_says() {
    let first = number_from("ORACLE_SEED").unwrap_or(1);
    let count = number_from("ORACLE_HISTORIES").unwrap_or(HISTORIES);
    println!("seeds {first} to {}", first + count - 1);
    let mut met: BTreeMap<String, u64> = BTreeMap::new();
    for seed in first..first + count {
        let history = History::generate(seed);
        match compare(&history.records, seed) {
            Ok(said) => said
                .into_iter()
                .for_each(|said| *met.entry(said).or_default() += 1),
            Err(_) => panic!("{}", smallest(history.records, seed)),
        }
    }
    println!("{met:#?}");
    // What never comes up is not tested.
    if count >= HISTORIES {
        for outcome in Outcome::ALL
            .into_iter()
            .filter(|one| *one != Outcome::InvalidSivt)
        {
            assert!(
                met.contains_key(outcome.name()),
                "no {}: {met:#?}",
                outcome.name()
            );
        }
        for other in [
            "halt",
            "tick true",
            "tick false",
            "control true",
            "control false",
        ] {
            assert!(met.contains_key(other), "no {other}: {met:#?}");
        }
    }
}

fn number_from(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

/// Where the two differ.
#[derive(Debug)]
struct Differ {
    index: usize,
    told: String,
}

/// Applies a history in batches, with crashes after which the state comes back from its parts,
/// and compares each record's end, and in the end all sums. Returns what was met.
fn compare(records: &[Sent], seed: u64) -> Result<Vec<String>, Differ> {
    let partition = PartitionId::new(history::PARTITION).unwrap();
    let mut dice = StdRng::seed_from_u64(seed ^ 0x5EED);
    let (mut oracle, mut state) = (
        Oracle::new(partition),
        State::new(partition, ApplyVersion::V1),
    );
    let mut met = Vec::new();
    let mut next = 0;
    while next < records.len() {
        if dice.random_ratio(1, 12) {
            state = crashed(&state, next)?;
        }
        let batch = &records[next..records.len().min(next + dice.random_range(1..=9))];
        for (sent, core) in batch.iter().zip(core_says(&mut state, batch)) {
            let sender = (sent.session, sent.sequence, sent.broadcast);
            let witness = oracle.take(&sent.facts, sender);
            if witness != core && !(is_forgotten(sent, oracle.clock()) && are_free(witness, core)) {
                let told = format!("the witness says {witness:?}, the core {core:?}");
                return Err(Differ { index: next, told });
            }
            met.push(name_of(witness));
            next += 1;
        }
    }
    sums(&oracle, &state, records)?;
    Ok(met)
}

/// Whether a click was received longer ago than versions of prices, states and keys are kept.
fn is_forgotten(sent: &Sent, clock: Millis) -> bool {
    match Record::decode(&sent.facts) {
        Ok(Record::Click(facts) | Record::Impression(facts)) => {
            clock.since(facts.received_at()) > u64::from(STATE_RETENTION_S) * 1000
        }
        _ => false,
    }
}

fn are_free(witness: Said, core: Said) -> bool {
    let is_free = |said| matches!(said, Said::Ended(outcome, 0, 0) if outcome.in_gross());
    is_free(witness) && is_free(core)
}

/// A worker dies and another takes its snapshot up.
fn crashed(state: &State, index: usize) -> Result<State, Differ> {
    let differ = |told: String| Differ { index, told };
    let parts = state.parts().filter_map(|part| match part.bytes {
        PartBytes::New(bytes) => Some((part.name, bytes)),
        PartBytes::Stored => None,
    });
    let restored = State::from_parts(parts);
    let restored = restored.map_err(|error| differ(format!("the snapshot is refused: {error}")))?;
    if restored.hash() != state.hash() {
        return Err(differ("the restored state is another one".to_owned()));
    }
    Ok(restored)
}

/// What the core makes of a batch; a record at which it halts is left out, as an operator would.
fn core_says(state: &mut State, batch: &[Sent]) -> Vec<Said> {
    let incoming: Vec<Incoming<'_>> = batch.iter().map(incoming).collect();
    let mut said = Vec::new();
    while said.len() < incoming.len() {
        let rest = &incoming[said.len()..];
        let mut told = Vec::new();
        let result = apply_all(state, rest, &mut told);
        said.extend(told.iter().map(of_core));
        if result.is_err() {
            said.push(Said::Halt);
        }
    }
    said
}

fn of_core(effects: &Effects) -> Said {
    match &effects.effect {
        Effect::Ended(ending) => {
            let judgement = &ending.judgement;
            Said::Ended(judgement.outcome, judgement.charge.0, judgement.share.0)
        }
        Effect::Unreadable { judgement, .. } => Said::Ended(judgement.outcome, 0, 0),
        Effect::Tick { counted, .. } => Said::Tick(*counted),
        Effect::Mark(_) => Said::Mark,
        Effect::Control { applied, .. } => Said::Control(applied.is_ok()),
        Effect::Money { accepted, .. } => Said::Control(accepted.is_ok()),
    }
}

/// Spend of each campaign and balance of each advertiser.
fn sums(oracle: &Oracle, state: &State, records: &[Sent]) -> Result<(), Differ> {
    let differ = |what: String| Differ {
        index: records.len(),
        told: what,
    };
    for advertiser in history::ADVERTISERS.map(AdvertiserId) {
        let (want, got) = (oracle.balance(advertiser), state.balance(advertiser));
        if want != got.map_or(0, |balance| balance.0) {
            return Err(differ(format!(
                "balance of {advertiser}: {want}, core {got:?}"
            )));
        }
        for campaign in history::CAMPAIGNS.map(CampaignId) {
            let want = oracle.spent(advertiser, campaign, None);
            let got = state.spend(advertiser, campaign);
            if want != got.map_or(0, |spend| spend.0) {
                let told = format!("spend of {advertiser}/{campaign}: {want}, core {got:?}");
                return Err(differ(told));
            }
        }
    }
    Ok(())
}

fn incoming(sent: &Sent) -> Incoming<'_> {
    Incoming {
        facts: &sent.facts,
        session: sent.session,
        sequence: sent.sequence,
        broadcast: sent.broadcast,
    }
}

fn name_of(said: Said) -> String {
    match said {
        Said::Halt => "halt".to_owned(),
        Said::Ended(outcome, ..) => outcome.name().to_owned(),
        Said::Tick(counted) => format!("tick {counted}"),
        Said::Mark => "mark".to_owned(),
        Said::Control(applied) => format!("control {applied}"),
    }
}

/// Leaves out as many records as possible while the two still differ, and tells the rest.
fn smallest(mut records: Vec<Sent>, seed: u64) -> String {
    let mut chunk = records.len() / 2;
    while chunk > 0 {
        let mut from = 0;
        while from < records.len() {
            let mut fewer = records.clone();
            fewer.drain(from..fewer.len().min(from + chunk));
            match compare(&fewer, seed) {
                Err(_) => records = fewer,
                Ok(_) => from += chunk,
            }
        }
        chunk /= 2;
    }
    let differ = compare(&records, seed).unwrap_err();
    let lines = records.iter().take(differ.index + 1).map(Sent::to_string);
    let lines: Vec<String> = lines.collect();
    format!("seed {seed}: {}\n{}", differ.told, lines.join("\n"))
}
