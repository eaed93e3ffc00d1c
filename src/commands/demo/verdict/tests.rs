use super::*;
use tollgate_click::Millis;
use tollgate_click::ids::{ClickId, ClickIdParts, EdgeId, PartitionId};
use tollgate_traffic::ending::Ending;
use tollgate_traffic::generate::Plan;
use tollgate_traffic::history::Fate;
use tollgate_traffic::load::Latency;
use tollgate_traffic::truth::Truth;
use tollgate_traffic::world::World;

const NOW: Millis = Millis(1_790_000_000_000);
const CLICKS: u64 = 2_000;

/// A run in which everything went as it must, with books that the witness itself has kept.
struct Run {
    market: Vec<Change>,
    told: Vec<Told>,
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
    let told: Vec<Told> = (0..CLICKS)
        .map(|op| (op, plan.truth(op), Fate::from(ending(op))))
        .collect();
    let kept = |told: &Told| {
        told.2.kept().map(|id| Kept {
            id,
            op: Some(told.0),
        })
    };
    let kept: Vec<Kept> = told.iter().filter_map(kept).collect();
    let market = plan.world().changes();
    let books = books(&market, &told, &kept);
    let side = Side {
        name: "report",
        outcomes: Some(books.outcomes.clone()),
        spend_micros: Some(books.spend_micros.clone()),
        ..Side::default()
    };
    let summary = Summary {
        planned: CLICKS,
        sent: CLICKS,
        not_sent: 0,
        receipts: kept.len() as u64,
        refused: BTreeMap::new(),
        indeterminate: BTreeMap::new(),
        odd: BTreeMap::new(),
        took_us: 1_500_000,
        latency: Latency::default(),
        service: Latency::default(),
        late: 0,
        driver_busy_percent: 0,
        driver_cpu_ns_per_request: 0,
    };
    let counted = Counted {
        sides: vec![side],
        refused: books.refused,
        kept,
    };
    Run {
        market,
        told,
        summary,
        counted,
    }
}

fn verdict(change: impl FnOnce(&mut Run)) -> Verdict {
    let mut run = good_run();
    change(&mut run);
    Verdict::new(&run.market, &run.told, run.summary, run.counted)
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
    assert!(json["spend_micros"].as_i64() > Some(0));
    assert!(json["gross"].as_u64() > json["net"].as_u64());
    assert_eq!(json["net"], json["total_net"], "no rule of class SIVT yet");
}

#[test]
fn any_difference_is_a_problem() {
    type Break = fn(&mut Run);
    let breaks: [(Break, &str); 8] = [
        (
            |run| {
                let outcomes = run.counted.sides[0].outcomes.as_mut().unwrap();
                let outcomes = outcomes.values_mut().next().unwrap();
                *outcomes.entry(Outcome::Billed).or_default() += 1;
            },
            "report: billed of campaign",
        ),
        (
            |run| {
                let spend = run.counted.sides[0].spend_micros.as_mut().unwrap();
                spend.values_mut().for_each(|micros| *micros += 1);
            },
            "report: micro-units of campaign",
        ),
        (|run| run.counted.refused.clear(), "refused as forged"),
        (
            |run| run.counted.kept.truncate(run.counted.kept.len() - 1),
            "which is not in the log",
        ),
        (
            |run| {
                let first = run.counted.kept[0];
                run.counted.kept.push(first);
            },
            "nobody sent it",
        ),
        (
            |run| {
                let refused = |told: &&mut Told| told.2 == Fate::NotKept(403);
                run.told.iter_mut().find(refused).unwrap().2 = Fate::NotKept(400);
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
        let kept = |told: &&mut Told| told.2.kept().is_some();
        run.told.iter_mut().find(kept).unwrap().2 = Fate::Unknown;
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
