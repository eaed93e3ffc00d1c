use super::*;
use tollgate_click::Millis;
use tollgate_click::ids::{ClickIdParts, EdgeId, PartitionId};
use tollgate_traffic::load::Latency;
use tollgate_traffic::world::World;

const NOW: Millis = Millis(1_790_000_000_000);
const CLICKS: u64 = 2_000;

/// A run in which everything went as it must, with books that the witness itself has kept.
struct Run {
    plan: Plan,
    endings: Vec<(u64, Ending)>,
    summary: Summary,
    counted: Counted,
}

fn good_run() -> Run {
    let plan = Plan::new(World::new(1, NOW), "");
    let ending = |op| match plan.truth(op) {
        Truth::Refuse { status, .. } => Ending::Refused(status),
        Truth::Record(_) => Ending::Receipt(ClickId::new(ClickIdParts {
            received_at: NOW.plus_ms(op),
            partition: PartitionId::new(0).unwrap(),
            edge: EdgeId::new(1).unwrap(),
            random: op,
        })),
    };
    let endings: Vec<(u64, Ending)> = (0..CLICKS).map(|op| (op, ending(op))).collect();
    let told: Vec<(u64, Truth, Fate)> = endings
        .iter()
        .map(|(op, ending)| (*op, plan.truth(*op), Fate::from(*ending)))
        .collect();
    let receipts: Vec<ClickId> = told.iter().filter_map(|told| told.2.kept()).collect();
    let told = told.iter().map(|(op, truth, fate)| (*op, truth, *fate));
    let (books, _) = oracle::bounds(&plan.world().campaigns(), told);
    let one =
        |(currency, micros): &(Currency, i64)| BTreeMap::from([(*currency, i128::from(*micros))]);
    let counted = Counted {
        outcomes: books.outcomes.clone(),
        spend_micros: books
            .spend_micros
            .iter()
            .map(|(c, spend)| (*c, one(spend)))
            .collect(),
        refused: books.refused.clone(),
        recorded: receipts.iter().map(|id| (*id, 1)).collect(),
    };
    let summary = Summary {
        planned: CLICKS,
        sent: CLICKS,
        not_sent: 0,
        receipts: receipts.len() as u64,
        refused: BTreeMap::new(),
        indeterminate: BTreeMap::new(),
        odd: BTreeMap::new(),
        took_us: 1_500_000,
        latency: Latency::default(),
        service: Latency::default(),
    };
    Run {
        plan,
        endings,
        summary,
        counted,
    }
}

fn verdict(change: impl FnOnce(&mut Run)) -> Verdict {
    let mut run = good_run();
    change(&mut run);
    Verdict::new(&run.plan, &run.endings, run.summary, run.counted)
}

#[test]
fn equal_books_end_well() {
    let verdict = verdict(|_| {});
    assert_eq!(verdict.differences, []);
    assert_eq!(verdict.exit(), Exit::Fine);
    let text = verdict.to_text(false);
    assert!(text.contains("no difference"), "{text}");
    assert!(!text.contains('\x1b'));
    let json = verdict.to_json(1);
    assert_eq!(json["differences"], 0);
    assert_eq!(json["sent"], CLICKS);
    let outcomes = json["outcomes"].as_object().unwrap();
    let all: u64 = outcomes.values().filter_map(Value::as_u64).sum();
    assert_eq!(json["receipts"], all);
    assert_eq!(
        json["gross"].as_u64().unwrap() + outcomes["test"].as_u64().unwrap(),
        all
    );
    assert_eq!(json["billed"], outcomes["billed"]);
    assert_eq!(json["spend"]["USD"], json["spend_micros"]);
}

#[test]
fn any_difference_is_a_problem() {
    type Break = fn(&mut Run);
    let breaks: [(Break, &str); 8] = [
        (
            |run| {
                let outcomes = run.counted.outcomes.values_mut().next().unwrap();
                *outcomes.entry(Outcome::Billed).or_default() += 1;
            },
            "billed of campaign",
        ),
        (
            |run| {
                let spend = run.counted.spend_micros.values_mut().next().unwrap();
                spend.values_mut().for_each(|micros| *micros += 1);
            },
            "micro-units of USD",
        ),
        (|run| run.counted.refused.clear(), "refused as forged"),
        (
            |run| {
                run.counted.recorded.pop_first();
            },
            "receipts that are not in the log",
        ),
        (
            |run| {
                run.counted
                    .recorded
                    .values_mut()
                    .take(1)
                    .for_each(|times| *times = 2)
            },
            "in the log twice",
        ),
        (
            |run| {
                let refused = run.endings.iter_mut().find(|e| e.1 == Ending::Refused(403));
                refused.unwrap().1 = Ending::Refused(400);
            },
            "must get 403 (forged), got 400",
        ),
        (
            |run| run.summary.not_sent = 1,
            "requests that were not sent",
        ),
        (
            |run| run.summary.odd.extend([(302, 1)]),
            "answers that no edge may give",
        ),
    ];
    for (make, what) in breaks {
        let verdict = verdict(make);
        assert_eq!(verdict.exit(), Exit::Problems, "{what}");
        let text = verdict.to_text(true);
        assert!(text.contains(what), "{what}: {text}");
        assert!(text.contains("\x1b[1;31m"));
        assert_ne!(verdict.to_json(1)["differences"], 0);
    }
}

#[test]
fn a_lost_answer_is_no_difference_by_itself() {
    // Its click was recorded, and nobody was told.
    let verdict = verdict(|run| {
        let first = run
            .endings
            .iter_mut()
            .find(|e| matches!(e.1, Ending::Receipt(_)));
        first.unwrap().1 = Ending::Indeterminate(tollgate_traffic::ending::Lost::Closed);
    });
    assert_eq!(verdict.differences, []);
}

#[test]
fn numbers_are_grouped() {
    let shown: Vec<String> = [0, 999, 1000, -1_234_567]
        .into_iter()
        .map(grouped)
        .collect();
    assert_eq!(shown, ["0", "999", "1,000", "-1,234,567"]);
}
