//! What must hold for any log, checked on random ones. A failure prints its smallest log, and
//! proptest keeps its seed.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod table;

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use table::world::Row;
use tollgate_click::control::Payment;
use tollgate_click::{AdvertiserId, Change, Micros, Outcome, PartitionId, Record, Source};
use tollgate_process::{
    ApplyVersion, Effect, Halt, Incoming, Kind, PartBytes, State, Tally, apply, apply_all,
};

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
        8 => Just("click"), 1 => Just("impression"), 1 => Just("import"), 3 => Just("campaign"),
        1 => Just("advertiser"), 1 => Just("publisher"), 1 => Just("key"), 1 => Just("revoke"),
        2 => Just("top_up"), 1 => Just("adjustment"), 1 => Just("credit"), 1 => Just("apply"),
        3 => Just("tick"), 1 => Just("mark"), 1 => Just("damaged"),
    ];
    let at = (1..45u32, 10..12u32, 0..60u32)
        .prop_map(|(day, hour, minute)| vec![("at", format!("d{day} {hour}:{minute:02}:00"))]);
    let click = (
        pick("nonce", &["", "A", "B", "C"]),
        pick("link", &["", "", "", "5"]),
        pick("agent", &["", "", "", "bot"]),
        pick("window", &["", "30d", "30d", "1h"]),
        pick("publisher", &["", "", "4"]),
        pick("session", &["", "", "2"]),
        pick("sequence", &["", "", "", "3"]),
    );
    let money = (
        pick("advertiser", &["", "", "8"]),
        pick("campaign", &["", "", "2"]),
        pick("currency", &["", "", "", "EUR"]),
        pick("price", &["", "0.35", "0", "0.5"]),
        pick("state", &["", "", "paused", "archived"]),
        pick("daily", &["", "0.4", "1"]),
        pick("total", &["", "0.7", "2"]),
        pick("zone", &["", "Berlin", "New York"]),
        pick("payment", &["", "prepaid", "credit 0.6"]),
        pick("share", &["", "70%", "33.33%"]),
    );
    let commands = (
        pick("amount", &["1", "0.35", "-0.2", "0"]),
        pick("command", &["", "", "A", "B"]),
    );
    (record, at, click, money, commands).prop_map(|(record, at, c, m, (amount, command))| {
        let shown = match record {
            "import" => vec![("shown", "09:00:00".to_owned())],
            _ => Vec::new(),
        };
        let record = vec![("record", record.to_owned())];
        let click = [c.0, c.1, c.2, c.3, c.4, c.5, c.6].concat();
        let money = [m.0, m.1, m.2, m.3, m.4, m.5, m.6, m.7, m.8, m.9].concat();
        [record, at, click, shown, money, amount, command].concat()
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

    /// A batch is its records one after the other, whatever its length.
    #[test]
    fn a_batch_comes_to_what_its_records_come_to(cells in log(), size in 1..70usize) {
        let rows = table::rows(&cells);
        let (mut single, mut batched) = (fresh(), fresh());
        let mut told = Vec::new();
        for batch in rows.chunks(size) {
            let records: Vec<_> = batch.iter().map(Row::incoming).collect();
            apply_all(&mut batched, &records, &mut told).unwrap();
        }
        for (row, told) in rows.iter().zip(told) {
            prop_assert_eq!(apply(&mut single, row.incoming()).unwrap(), told);
        }
        prop_assert_eq!(single.hash(), batched.hash());
    }

    /// No billed click is past a budget or a balance at the moment at which it bills.
    #[test]
    fn no_prefix_is_past_a_budget(cells in log()) {
        let mut state = fresh();
        let mut budgets: BTreeMap<_, (Option<Micros>, Option<Micros>)> = BTreeMap::new();
        for row in &table::rows(&cells) {
            let effects = apply(&mut state, row.incoming()).unwrap();
            match (&effects.effect, Record::decode(&row.facts)) {
                (Effect::Control { applied: Ok(()), .. }, Ok(Record::Control(control))) => {
                    if let Change::Campaign(one) = control.change {
                        let limits = (one.daily_budget, one.total_budget);
                        budgets.insert((one.advertiser, one.campaign), limits);
                    }
                }
                (Effect::Ended(ending), _) if ending.judgement.outcome == Outcome::Billed => {
                    let facts = &ending.facts;
                    let (advertiser, campaign) = (facts.advertiser, facts.campaign);
                    let (daily, total) = budgets[&(advertiser, campaign)];
                    let spent = state.spend(advertiser, campaign).unwrap();
                    let at = facts.received_at();
                    let of_day = state.spend_of_day(advertiser, campaign, at).unwrap();
                    prop_assert!(total.is_none_or(|total| spent <= total));
                    prop_assert!(daily.is_none_or(|daily| of_day <= daily));
                    prop_assert!(of_day >= ending.judgement.charge && spent >= of_day);
                    let floor = match state.payment(advertiser).unwrap().0 {
                        Payment::Open => Micros(i64::MIN),
                        Payment::Credit { limit } => Micros(-limit.0),
                        Payment::Prepaid => Micros::ZERO,
                    };
                    prop_assert!(state.balance(advertiser).unwrap() >= floor);
                }
                _ => {}
            }
        }
    }

    /// Balances are what was accepted less what was charged; closed minutes and the open one sum
    /// to all that was counted; publishers are never paid more than was charged.
    #[test]
    fn nothing_is_made_or_lost(cells in log()) {
        let mut state = fresh();
        let mut balances: BTreeMap<AdvertiserId, i64> = BTreeMap::new();
        let (mut closed, mut open) = (Tally::default(), Tally::default());
        for row in &table::rows(&cells) {
            let effects = apply(&mut state, row.incoming()).unwrap();
            if let Some(money) = effects.effect.money_to_post() {
                *balances.entry(money.advertiser).or_default() += money.amount.0;
            }
            match &effects.effect {
                Effect::Ended(ending) => {
                    let judgement = &ending.judgement;
                    *balances.entry(ending.facts.advertiser).or_default() -= judgement.charge.0;
                    prop_assert!((0..=judgement.charge.0).contains(&judgement.share.0));
                    if ending.kind == Kind::Click {
                        open.count(judgement);
                    }
                }
                Effect::Unreadable { judgement, .. } => open.count(judgement),
                Effect::Tick { closed: Some(minute), .. } => {
                    prop_assert!(minute.minute < state.clock().minute());
                    prop_assert_eq!(&minute.counts.clicks, &open);
                    closed.add(&std::mem::take(&mut open));
                }
                _ => {}
            }
        }
        closed.add(&open);
        prop_assert_eq!(&closed, &state.counts().clicks);
        for (advertiser, sum) in balances {
            let told = state.balance(advertiser).map_or(0, |left| left.0);
            prop_assert_eq!(told, sum, "{}", advertiser);
        }
    }

    /// A state that comes back from its parts is the state, wherever it was taken.
    #[test]
    fn a_snapshot_gives_the_state_back(cells in log(), cut in any::<prop::sample::Index>()) {
        let rows = table::rows(&cells);
        let (before, after) = rows.split_at(cut.index(rows.len()));
        let mut whole = fresh();
        before.iter().for_each(|row| drop(apply(&mut whole, row.incoming()).unwrap()));
        let parts = whole.parts().map(|part| match part.bytes {
            PartBytes::New(bytes) => (part.name, bytes),
            PartBytes::Stored => panic!("nothing was released"),
        });
        let mut restored = State::from_parts(parts.collect::<Vec<_>>()).unwrap();
        prop_assert!(restored == whole);
        for row in after {
            let [one, other] = [&mut whole, &mut restored].map(|state| {
                apply(state, row.incoming()).unwrap()
            });
            prop_assert_eq!(one, other);
        }
        prop_assert_eq!(restored.hash(), whole.hash());
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
        ("campaign", "state", "paused", "archived"),
        ("campaign", "daily", "1", "2"),
        ("campaign", "total", "1", "2"),
        ("campaign", "zone", "UTC", "Berlin"),
        ("advertiser", "payment", "open", "prepaid"),
        ("advertiser", "payment", "credit 1", "credit 2"),
        ("advertiser", "currency", "USD", "EUR"),
        ("publisher", "share", "10%", "20%"),
        ("publisher", "publisher", "3", "4"),
        ("top_up", "amount", "1", "2"),
        ("top_up", "command", "A", "B"),
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
