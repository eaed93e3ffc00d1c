//! The cases in `tests/cases/*.txt`: tables that say record by record what must come out.
//!
//! Each runs at 1, 2 and 7 partitions, whole and with a crash and a restore from a snapshot after
//! every batch of 1 and of 3 records, and with every record sent twice. All of these must tell
//! the same row by row, and keep the same books byte for byte.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod table;

use table::Case;
use table::cluster::{Crashes, Run, Told, run};
use table::world::Row;
use tollgate_click::{AdvertiserId, Micros, Outcome, PartitionId};

const WIDTHS: [u16; 3] = [1, 2, 7];

#[test]
fn every_case_comes_out_as_its_table_says() {
    let cases = Case::all();
    assert!(cases.len() >= 80, "only {} cases", cases.len());
    for case in &cases {
        let rows = case.rows(1);
        let run = run(&rows, 1, Crashes::Never);
        for (row, told) in rows.iter().zip(&run.told) {
            check_row(case, row, told);
        }
        check_sums(case, &run);
        run.books.check(&case.name);
        check_balances(case, &run);
    }
}

#[test]
fn the_books_are_the_same_at_any_width_and_after_any_crash() {
    for case in &Case::all() {
        let once = run(&case.rows(1), 1, Crashes::Never);
        let states: Vec<_> = WIDTHS
            .into_iter()
            .map(|width| {
                let rows = case.rows(width);
                let whole = run(&rows, width, Crashes::Never);
                let place = format!("{} at {width} partitions", case.name);
                check_same(&place, &once, &whole);
                for size in [1, 3] {
                    let crashed = run(&rows, width, Crashes::EveryBatch(size));
                    let place = format!("{place}, crashing after every {size}");
                    check_same(&place, &once, &crashed);
                    assert!(whole.states == crashed.states, "{place}");
                }
                whole.states
            })
            .collect();
        assert_eq!(states.len(), WIDTHS.len());
    }
}

fn check_same(place: &str, once: &Run, other: &Run) {
    for (row, (one, other)) in once.told.iter().zip(&other.told).enumerate() {
        // A halt names its ordinal, which is the partition's own.
        if one.outcome != "halt" {
            assert_eq!(one, other, "{place}: row {row}");
        }
    }
    assert_eq!(once.books.export(), other.books.export(), "{place}");
    assert_eq!(once.clicks, other.clicks, "{place}");
}

#[test]
fn sending_every_record_twice_bills_nothing_twice() {
    for case in &Case::all() {
        let rows = case.rows(1);
        let once = run(&rows, 1, Crashes::Never);
        if once.told.iter().any(|told| told.outcome == "halt") {
            continue;
        }
        let doubled: Vec<Row> = rows
            .iter()
            .flat_map(|row| [row.clone(), row.clone()])
            .collect();
        let twice = run(&doubled, 1, Crashes::Never);
        assert_eq!(once.books.advertisers().collect::<Vec<_>>(), {
            twice.books.advertisers().collect::<Vec<_>>()
        });
        for outcome in Outcome::ALL
            .into_iter()
            .filter(|one| *one != Outcome::Resent)
        {
            let counts = [&once, &twice].map(|run| run.clicks.of(outcome));
            assert_eq!(counts[0], counts[1], "{}: {}", case.name, outcome.name());
        }
        assert_eq!(once.clicks.spend(), twice.clicks.spend(), "{}", case.name);
        assert_eq!(once.clicks.shares(), twice.clicks.shares(), "{}", case.name);
    }
}

fn check_row(case: &Case, row: &Row, told: &Told) {
    let place = format!("{}:{}", case.name, row.line);
    let wanted = |column: &str| row.cell(column).unwrap_or("");
    assert_eq!(
        wanted("outcome"),
        told.outcome,
        "{place}: outcome, why {}",
        told.why
    );
    assert_eq!(wanted("charge"), told.charge, "{place}: charge");
    let optional = [
        ("publisher's", &told.share),
        ("left", &told.left),
        ("posted in", &told.posted_in),
    ];
    for (column, told) in optional {
        if let Some(wanted) = row.cell(column) {
            assert_eq!(wanted, told, "{place}: {column}");
        }
    }
    match row.cell("why") {
        Some(wanted) if told.outcome == "halt" => {
            assert!(
                told.why.contains(wanted),
                "{place}: {} does not say {wanted:?}",
                told.why
            );
        }
        Some(wanted) => assert_eq!(wanted, told.why, "{place}: why"),
        None => {}
    }
}

fn check_sums(case: &Case, run: &Run) {
    let clicks = &run.clicks;
    let spend: Vec<String> = clicks
        .spend()
        .iter()
        .map(|(currency, micros)| format!("{} {currency}", Micros(*micros as i64)))
        .collect();
    let told = format!(
        "gross {}, net {}, total_net {}, billed {}, spend {}",
        clicks.gross(),
        clicks.net(),
        clicks.total_net(),
        clicks.of(Outcome::Billed),
        match spend.as_slice() {
            [] => "nothing".to_owned(),
            spend => spend.join(" and "),
        },
    );
    assert_eq!(case.sums["totals"], told, "{}", case.name);
    if let Some(wanted) = case.sums.get("balances") {
        assert_eq!(*wanted, run.books.balances(), "{}", case.name);
    }
    if let Some(wanted) = case.sums.get("earned") {
        assert_eq!(*wanted, run.books.earned(), "{}", case.name);
    }
    for state in &run.states {
        assert_eq!(state.counts().records(), state.ordinal().0, "{}", case.name);
    }
}

/// What effects add up to is what the state says is left.
fn check_balances(case: &Case, run: &Run) {
    for (advertiser, _, sum) in run.books.advertisers() {
        let advertiser = AdvertiserId(advertiser);
        let home = PartitionId::of_advertiser(advertiser, run.states.len() as u16);
        let left = run.states[usize::from(home.get())].balance(advertiser);
        assert_eq!(
            left.map(|left| i128::from(left.0)),
            Some(sum),
            "{}",
            case.name
        );
    }
}
