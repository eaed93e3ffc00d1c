//! What must hold for any log, checked on random ones. A failure prints its smallest log, and
//! proptest keeps its seed.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod table;

use std::collections::BTreeSet;

use proptest::prelude::*;
use table::world::Row;
use tollgate_click::{Outcome, PartitionId, Source};
use tollgate_process::{ApplyVersion, Effect, Halt, Incoming, Kind, State, apply};

fn fresh() -> State {
    State::new(PartitionId::new(0).unwrap(), ApplyVersion::V1)
}

fn incoming(row: &Row) -> Incoming<'_> {
    row.incoming()
}

type Cells = Vec<(&'static str, String)>;

fn pick(column: &'static str, from: &'static [&'static str]) -> impl Strategy<Value = Cells> {
    prop::sample::select(from).prop_map(move |cell| match cell {
        "" => Vec::new(),
        cell => vec![(column, cell.to_owned())],
    })
}

/// A row with few values a column, so that they meet.
fn row() -> impl Strategy<Value = Cells> {
    let record = prop_oneof![
        6 => Just("click"), 1 => Just("impression"), 1 => Just("campaign"), 1 => Just("key"),
        1 => Just("revoke"), 2 => Just("tick"), 1 => Just("mark"), 1 => Just("damaged"),
    ];
    let at = (1..45u32, 10..12u32, 0..60u32)
        .prop_map(|(day, hour, minute)| vec![("at", format!("d{day} {hour}:{minute:02}:00"))]);
    let columns = (
        pick("advertiser", &["", "", "8"]),
        pick("campaign", &["", "", "2"]),
        pick("price", &["", "0.35", "0"]),
        pick("state", &["", "", "paused"]),
        pick("nonce", &["", "A", "B", "C"]),
        pick("link", &["", "", "", "5"]),
        pick("agent", &["", "", "", "bot"]),
        pick("window", &["", "30d", "30d", "1h"]),
        pick("session", &["", "", "2"]),
        pick("sequence", &["", "", "", "3"]),
    );
    (record, at, columns).prop_map(|(record, at, (a, b, c, d, e, f, g, h, i, j))| {
        let record = vec![("record", record.to_owned())];
        [record, at, a, b, c, d, e, f, g, h, i, j].concat()
    })
}

fn log() -> impl Strategy<Value = Vec<Cells>> {
    prop::collection::vec(row(), 1..80)
}

proptest! {
    #[test]
    fn every_record_has_one_ordinal_and_one_outcome(cells in log()) {
        let mut state = fresh();
        let mut outcomes = [0u64; 13];
        let mut others = 0;
        for (index, row) in table::rows(&cells).iter().enumerate() {
            let effects = apply(&mut state, incoming(row)).unwrap();
            prop_assert_eq!(effects.ordinal.0, index as u64 + 1);
            match effects.effect {
                Effect::Ended(ending) if ending.kind == Kind::Click => {
                    outcomes[ending.judgement.outcome as usize] += 1;
                }
                Effect::Unreadable { judgement, .. } => outcomes[judgement.outcome as usize] += 1,
                _ => others += 1,
            }
        }
        let clicks = &state.counts().clicks;
        for outcome in Outcome::ALL {
            prop_assert_eq!(clicks.of(outcome), outcomes[outcome as usize]);
        }
        prop_assert_eq!(outcomes.iter().sum::<u64>() + others, cells.len() as u64);
        prop_assert_eq!(state.counts().records(), state.ordinal().0);
        prop_assert!(clicks.gross() >= clicks.net() && clicks.net() >= clicks.total_net());
    }

    #[test]
    fn no_nonce_bills_twice(cells in log()) {
        let mut state = fresh();
        let mut billed = BTreeSet::new();
        for row in &table::rows(&cells) {
            let effects = apply(&mut state, incoming(row)).unwrap();
            let Effect::Ended(ending) = effects.effect else { continue };
            let Source::Signed { nonce, .. } = ending.facts.source else { continue };
            if ending.judgement.outcome == Outcome::Billed {
                prop_assert!(billed.insert((ending.facts.advertiser, nonce)), "{nonce} twice");
            }
        }
    }

    #[test]
    fn a_restart_at_any_record_is_a_replay(cells in log(), cut in any::<prop::sample::Index>()) {
        let rows = table::rows(&cells);
        let cut = cut.index(rows.len());
        let mut whole = fresh();
        let mut hash_at_cut = whole.hash();
        for (index, row) in rows.iter().enumerate() {
            if index == cut {
                hash_at_cut = whole.hash();
            }
            apply(&mut whole, incoming(row)).unwrap();
        }
        let mut again = fresh();
        rows[..cut].iter().for_each(|row| drop(apply(&mut again, incoming(row)).unwrap()));
        prop_assert_eq!(again.hash(), hash_at_cut);
        let mut resumed = again.clone();
        rows[cut..].iter().for_each(|row| drop(apply(&mut resumed, incoming(row)).unwrap()));
        prop_assert_eq!(resumed.hash(), whole.hash());
        prop_assert_ne!(resumed.hash(), again.hash());
    }

    #[test]
    fn states_are_equal_exactly_when_their_hashes_are(
        cells in log(), index in any::<prop::sample::Index>(), other in row(),
    ) {
        let mut changed = cells.clone();
        *index.get_mut(&mut changed) = other;
        let [one, other] = [cells, changed].map(|cells| {
            let mut state = fresh();
            for row in &table::rows(&cells) {
                apply(&mut state, incoming(row)).unwrap();
            }
            state
        });
        prop_assert_eq!(one == other, one.hash() == other.hash());
    }

    #[test]
    fn any_bytes_end_somewhere_and_a_halt_changes_nothing(
        records in prop::collection::vec(
            (0..8u8, 0..3u8, prop::collection::vec(any::<u8>(), 0..200)), 1..20),
    ) {
        let mut state = fresh();
        for (index, (kind, version, rest)) in records.into_iter().enumerate() {
            let facts = [vec![kind, version], rest].concat();
            let before = state.hash();
            let sequence = index as u64 + 1;
            let incoming = Incoming { facts: &facts, session: 1, sequence, broadcast: false };
            match apply(&mut state, incoming) {
                Ok(_) => prop_assert_ne!(state.hash(), before),
                Err(Halt::NewerCode { .. } | Halt::ControlGap { .. }) => {
                    prop_assert_eq!(state.hash(), before);
                }
                Err(other) => prop_assert!(false, "{other}"),
            }
        }
    }
}

/// Logs that differ in one cell, one for each part of the state.
#[test]
fn the_hash_tells_every_part_apart() {
    let pairs = [
        ("campaign", "price", "0.35", "0.36"),
        ("campaign", "state", "active", "paused"),
        ("campaign", "currency", "USD", "EUR"),
        ("campaign", "campaign", "1", "2"),
        ("key", "scope", "7", "8"),
        ("key", "key", "1", "2"),
        ("click", "nonce", "A", "B"),
        ("impression", "nonce", "A", "B"),
        ("click", "visitor", "Ann", "Bob"),
        ("mark", "edge", "1", "2"),
        ("tick", "epoch", "1", "2"),
        ("tick", "at", "10:00:01", "10:00:02"),
        ("tick", "session", "1", "2"),
        ("tick", "sequence", "1", "2"),
    ];
    for (record, column, one, other) in pairs {
        let hash = |cell: &str| {
            let mut row = vec![("record", record.to_owned()), ("at", "10:00:00".to_owned())];
            if column == "visitor" {
                row.push(("link", "5".to_owned()));
            }
            row.push((column, cell.to_owned()));
            let mut state = fresh();
            apply(&mut state, incoming(&table::rows(&[row])[0])).unwrap();
            state.hash()
        };
        assert_ne!(hash(one), hash(other), "{record} by {column}");
        assert_eq!(hash(one), hash(one), "{record} by {column}");
    }
}
