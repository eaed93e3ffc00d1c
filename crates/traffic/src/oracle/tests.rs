use super::*;
use tollgate_click::ids::{ClickIdParts, EdgeId, PartitionId};

const SHOWN: u64 = 1_790_000_000_000;

fn campaigns() -> Campaigns {
    let terms = |price_micros, paused| Terms {
        currency: "USD".parse().unwrap(),
        price_micros,
        paused,
    };
    Campaigns::from([
        ((1, 1), terms(Some(350_000), false)),
        ((1, 2), terms(Some(350_000), true)),
        ((1, 3), terms(None, false)),
        ((1, 4), terms(Some(0), false)),
    ])
}

fn kept(at_ms: u64) -> Fate {
    Fate::Kept(ClickId::new(ClickIdParts {
        received_at: Millis(SHOWN + at_ms),
        partition: PartitionId::new(0).unwrap(),
        edge: EdgeId::new(0).unwrap(),
        random: at_ms,
    }))
}

fn signed(campaign: u64, nonce: u128) -> Seen {
    Seen {
        advertiser: 1,
        campaign,
        test: false,
        invalid: false,
        through: Through::Signed {
            nonce: Nonce::new(Millis(SHOWN), nonce).to_string(),
            window_s: 60,
            price_micros: None,
        },
    }
}

fn registered(visitor: u64) -> Seen {
    Seen {
        through: Through::Registered { link: 1, visitor },
        ..signed(1, 0)
    }
}

fn judge(clicks: Vec<(Seen, Fate)>) -> (Books, Books) {
    let truths: Vec<(Truth, Fate)> = clicks
        .into_iter()
        .map(|(seen, fate)| (Truth::Record(seen), fate))
        .collect();
    let told = truths.iter().enumerate();
    bounds(
        &campaigns(),
        told.map(|(op, (truth, fate))| (op as u64, truth, *fate)),
    )
}

fn outcomes(clicks: Vec<(Seen, Fate)>) -> Vec<(Outcome, u64)> {
    let (least, most) = judge(clicks);
    assert_eq!(least, most);
    least.by_outcome().into_iter().collect()
}

#[test]
fn a_nonce_bills_once() {
    let clicks = (0..5).map(|at| (signed(1, 7), kept(at))).collect();
    let (books, _) = judge(clicks);
    assert_eq!(
        books.by_outcome(),
        BTreeMap::from([(Outcome::Duplicate, 4), (Outcome::Billed, 1)])
    );
    assert_eq!(books.by_currency().into_values().sum::<i64>(), 350_000);
}

#[test]
fn a_scanner_does_not_use_the_nonce_up() {
    let scan = Seen {
        invalid: true,
        ..signed(1, 7)
    };
    assert_eq!(
        outcomes(vec![
            (scan.clone(), kept(0)),
            (signed(1, 7), kept(1)),
            (scan, kept(2))
        ]),
        [(Outcome::InvalidGivt, 2), (Outcome::Billed, 1)]
    );
}

#[test]
fn what_cannot_bill_says_why() {
    assert_eq!(
        outcomes(vec![(signed(9, 1), kept(0))]),
        [(Outcome::UnknownCampaign, 1)]
    );
    assert_eq!(
        outcomes(vec![(signed(2, 1), kept(0))]),
        [(Outcome::Paused, 1)]
    );
    assert_eq!(
        outcomes(vec![(signed(3, 1), kept(0))]),
        [(Outcome::Free, 1)]
    );
    assert_eq!(
        outcomes(vec![(signed(4, 1), kept(0))]),
        [(Outcome::Free, 1)]
    );
    // At the window's last millisecond it bills, one later it does not, and is no duplicate.
    assert_eq!(
        outcomes(vec![(signed(1, 1), kept(60_000))]),
        [(Outcome::Billed, 1)]
    );
    assert_eq!(
        outcomes(vec![
            (signed(1, 1), kept(60_001)),
            (signed(1, 1), kept(60_002))
        ]),
        [(Outcome::Expired, 2)]
    );
    // A paused campaign's click uses its nonce up like any other.
    assert_eq!(
        outcomes(vec![(signed(2, 1), kept(0)), (signed(2, 1), kept(1))]),
        [(Outcome::Duplicate, 1), (Outcome::Paused, 1)]
    );
}

#[test]
fn a_hammering_visitor_of_a_registered_link_bills_once() {
    let clicks = vec![
        (registered(1), kept(0)),
        (registered(1), kept(9_000)),
        (registered(2), kept(9_500)),
        (registered(1), kept(18_000)),
        (registered(1), kept(28_001)),
    ];
    assert_eq!(
        outcomes(clicks),
        [(Outcome::InvalidGivt, 2), (Outcome::Billed, 3)]
    );
}

#[test]
fn a_lost_answer_widens_the_bounds_by_what_it_may_be() {
    let (least, most) = judge(vec![(signed(1, 7), kept(0)), (signed(1, 7), Fate::Unknown)]);
    assert_eq!(least.by_outcome(), BTreeMap::from([(Outcome::Billed, 1)]));
    assert_eq!(
        most.by_outcome(),
        BTreeMap::from([(Outcome::Duplicate, 1), (Outcome::Billed, 1)])
    );
    assert_eq!(least.by_currency(), most.by_currency());
}

#[test]
fn a_click_whose_answer_was_lost_came_when_the_others_came() {
    let (_, most) = judge(vec![
        (signed(1, 7), Fate::Unknown),
        (signed(1, 8), kept(50_000)),
    ]);
    assert_eq!(most.by_outcome(), BTreeMap::from([(Outcome::Billed, 2)]));
}

#[test]
fn an_answer_that_contradicts_the_truth_is_named() {
    let forged = Truth::Refuse {
        status: 403,
        reason: "forged".to_owned(),
    };
    let honest = Truth::Record(signed(1, 7));
    let told = [
        (1, &forged, Fate::NotKept(403)),
        (2, &forged, kept(0)),
        (3, &forged, Fate::NotKept(410)),
        (4, &honest, Fate::NotKept(403)),
        (5, &honest, Fate::NotKept(503)),
        (6, &honest, Fate::Unknown),
        (7, &honest, Fate::NotKept(0)),
    ];
    let (books, _) = bounds(&campaigns(), told.into_iter());
    let wrong: Vec<u64> = books.wrong_answers.iter().map(|(op, _)| *op).collect();
    assert_eq!(wrong, [2, 3, 4, 5]);
    assert_eq!(books.refused, BTreeMap::from([("forged".to_owned(), 1)]));
}
