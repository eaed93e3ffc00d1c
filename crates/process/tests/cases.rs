//! The cases in `tests/cases/*.txt`: tables that say record by record what must come out.
//!
//! Each case also runs in other ways that must give the same: with every record sent twice,
//! applied from a copy of the state at each place, and over again from the start.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod table;

use table::{Case, Row};
use tollgate_click::{Outcome, PartitionId};
use tollgate_process::{
    ApplyVersion, Effect, Effects, Halt, Incoming, Kind, MoneyRefusal, NotApplied, State, apply,
};

const PARTITION: u16 = 0;

fn fresh() -> State {
    State::new(PartitionId::new(PARTITION).unwrap(), ApplyVersion::V1)
}

fn incoming(row: &Row) -> Incoming<'_> {
    Incoming {
        facts: &row.facts,
        session: row.session,
        sequence: row.sequence,
        broadcast: row.broadcast,
    }
}

/// Applies all rows, stopping at a halt.
fn run(state: &mut State, rows: &[Row]) -> Vec<Result<Effects, Halt>> {
    let mut results = Vec::new();
    for row in rows {
        let result = apply(state, incoming(row));
        let halted = result.is_err();
        results.push(result);
        if halted {
            break;
        }
    }
    results
}

#[test]
fn every_case_comes_out_as_its_table_says() {
    let cases = Case::all();
    assert!(cases.len() >= 25, "only {} cases", cases.len());
    for case in &cases {
        let mut state = fresh();
        let results = run(&mut state, &case.rows);
        for (row, result) in case.rows.iter().zip(&results) {
            check_row(case, row, result);
        }
        check_totals(case, &state);
    }
}

#[test]
fn a_replay_gives_the_same_state_and_so_does_a_restart_anywhere() {
    for case in &Case::all() {
        let mut whole = fresh();
        let results = run(&mut whole, &case.rows);
        let applied = results.iter().filter(|result| result.is_ok()).count();
        let rows = &case.rows[..applied];
        for cut in 0..=applied {
            let mut first = fresh();
            run(&mut first, &rows[..cut]);
            let mut second = first.clone();
            run(&mut second, &rows[cut..]);
            assert_eq!(second.hash(), whole.hash(), "{} cut at {cut}", case.name);
        }
    }
}

#[test]
fn sending_every_record_twice_bills_nothing_twice() {
    for case in &Case::all() {
        let mut once = fresh();
        let results = run(&mut once, &case.rows);
        if results.iter().any(Result::is_err) {
            continue;
        }
        let mut twice = fresh();
        for row in &case.rows {
            for _ in 0..2 {
                apply(&mut twice, incoming(row)).unwrap();
            }
        }
        for outcome in Outcome::ALL
            .into_iter()
            .filter(|one| *one != Outcome::Resent)
        {
            let (once, twice) = (once.counts(), twice.counts());
            assert_eq!(
                once.clicks.of(outcome),
                twice.clicks.of(outcome),
                "{}",
                case.name
            );
            assert_eq!(once.impressions.of(outcome), twice.impressions.of(outcome));
        }
        assert_eq!(
            once.counts().clicks.spend(),
            twice.counts().clicks.spend(),
            "{}",
            case.name
        );
        assert_eq!(twice.ordinal().0, 2 * once.ordinal().0);
    }
}

fn check_row(case: &Case, row: &Row, result: &Result<Effects, Halt>) {
    let place = format!("{}:{}", case.name, row.line);
    let effects = match result {
        Err(halt) => {
            assert_eq!(
                row.expect.outcome.as_deref(),
                Some("halt"),
                "{place}: {halt}"
            );
            let why = row.expect.why.as_deref().unwrap_or_default();
            assert!(
                halt.to_string().contains(why),
                "{place}: {halt} does not say {why:?}"
            );
            return;
        }
        Ok(effects) => effects,
    };
    let (outcome, charge, why) = told(effects);
    assert_eq!(
        row.expect.outcome.as_deref().unwrap_or(""),
        outcome,
        "{place}: outcome"
    );
    assert_eq!(
        row.expect.charge.as_deref().unwrap_or(""),
        charge,
        "{place}: charge"
    );
    if let Some(wanted) = &row.expect.why {
        assert_eq!(wanted, &why, "{place}: why");
    }
}

/// Outcome, charge and reason in the words of the tables.
fn told(effects: &Effects) -> (String, String, String) {
    match &effects.effect {
        Effect::Ended(ending) => {
            let judgement = &ending.judgement;
            assert_eq!(judgement.ordinal, effects.ordinal);
            let billed = judgement.outcome == Outcome::Billed;
            assert!(billed || judgement.charge.0 == 0, "only billed clicks cost");
            assert!(
                !billed || ending.kind == Kind::Click,
                "impressions cost nothing yet"
            );
            let charge = if billed {
                judgement.charge.to_string()
            } else {
                String::new()
            };
            let why = ending.reason.map_or("", |reason| reason.name());
            (judgement.outcome.name().to_owned(), charge, why.to_owned())
        }
        Effect::Unreadable { judgement, .. } => (
            judgement.outcome.name().to_owned(),
            String::new(),
            "damaged".to_owned(),
        ),
        Effect::Tick { counted: false, .. } => ("ignored".to_owned(), String::new(), String::new()),
        Effect::Control {
            applied: Err(why), ..
        } => {
            let outcome = match why {
                NotApplied::Repeat => "ignored",
                NotApplied::OtherCurrency => "refused",
            };
            (outcome.to_owned(), String::new(), why.name().to_owned())
        }
        Effect::Money { accepted, .. } => {
            let why = accepted.err().map_or("", MoneyRefusal::name);
            (String::new(), String::new(), why.to_owned())
        }
        Effect::Tick { .. } | Effect::Control { .. } | Effect::Mark(_) => {
            (String::new(), String::new(), String::new())
        }
    }
}

fn check_totals(case: &Case, state: &State) {
    let clicks = &state.counts().clicks;
    let spend: Vec<String> = clicks
        .spend()
        .iter()
        .map(|(currency, micros)| {
            let micros = i64::try_from(*micros).unwrap();
            format!("{} {currency}", tollgate_click::Micros(micros))
        })
        .collect();
    let told = format!(
        "gross {}, net {}, total_net {}, billed {}, spend {}",
        clicks.gross(),
        clicks.net(),
        clicks.total_net(),
        clicks.of(Outcome::Billed),
        if spend.is_empty() {
            "nothing".to_owned()
        } else {
            spend.join(" and ")
        },
    );
    assert_eq!(told, case.totals, "{}", case.name);
    assert_eq!(state.counts().records(), state.ordinal().0, "{}", case.name);
}
