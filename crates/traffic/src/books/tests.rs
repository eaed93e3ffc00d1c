use super::*;
use crate::truth::{Seen, Through};
use tollgate_click::control::{Campaign, CampaignState};
use tollgate_click::ids::{ClickIdParts, EdgeId, PartitionId};
use tollgate_click::{CampaignId, Micros, Nonce};

const SHOWN: u64 = 1_790_000_000_000;

fn campaign(number: u64, price: Option<i64>, state: CampaignState) -> Change {
    Change::Campaign(Campaign {
        campaign: CampaignId(number),
        advertiser: AdvertiserId(1),
        name: String::new(),
        currency: "USD".parse().unwrap(),
        price: price.map(Micros),
        state,
        daily_budget: None,
        total_budget: (number == 5).then_some(Micros(700_000)),
        zone: String::new(),
        offsets: Vec::new(),
    })
}

fn market() -> Vec<Change> {
    vec![
        campaign(1, Some(350_000), CampaignState::Active),
        campaign(2, Some(350_000), CampaignState::Paused),
        campaign(3, None, CampaignState::Active),
        campaign(4, Some(0), CampaignState::Active),
        campaign(5, Some(350_000), CampaignState::Active),
    ]
}

fn id(at_ms: u64, random: u64) -> ClickId {
    ClickId::new(ClickIdParts {
        received_at: Millis(SHOWN + at_ms),
        partition: PartitionId::new(0).unwrap(),
        edge: EdgeId::new(0).unwrap(),
        random,
    })
}

fn signed(campaign: u64, nonce: u128) -> Seen {
    Seen {
        advertiser: 1,
        campaign,
        publisher: 0,
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

/// Clicks at those times, all with receipts and kept in that order.
fn judged(clicks: Vec<(Seen, u64)>) -> Books {
    let ids: Vec<ClickId> = (0..)
        .zip(&clicks)
        .map(|(op, (_, at))| id(*at, op))
        .collect();
    let told: Vec<Told> = (0..)
        .zip(clicks)
        .zip(&ids)
        .map(|((op, (seen, _)), id)| (op, Truth::Record(seen), Fate::Kept(*id)))
        .collect();
    let kept: Vec<Kept> = (0..)
        .zip(ids)
        .map(|(op, id)| Kept { id, op: Some(op) })
        .collect();
    let books = books(&market(), &told, &kept);
    assert_eq!(books.wrong, Vec::<String>::new());
    books
}

fn outcomes(clicks: Vec<(Seen, u64)>) -> Vec<(Outcome, u64)> {
    judged(clicks).by_outcome().into_iter().collect()
}

#[test]
fn a_nonce_bills_once() {
    let books = judged((0..5).map(|at| (signed(1, 7), at)).collect());
    let outcomes = BTreeMap::from([(Outcome::Duplicate, 4), (Outcome::Billed, 1)]);
    assert_eq!(books.by_outcome(), outcomes);
    assert_eq!(books.spend_micros, BTreeMap::from([((1, 1), 350_000)]));
}

#[test]
fn a_scanner_does_not_use_the_nonce_up() {
    let scan = Seen {
        invalid: true,
        ..signed(1, 7)
    };
    assert_eq!(
        outcomes(vec![(scan.clone(), 0), (signed(1, 7), 1), (scan, 2)]),
        [(Outcome::InvalidGivt, 2), (Outcome::Billed, 1)]
    );
}

#[test]
fn what_cannot_bill_says_why() {
    let one = |seen, at| outcomes(vec![(seen, at)]);
    assert_eq!(one(signed(9, 1), 0), [(Outcome::UnknownCampaign, 1)]);
    assert_eq!(one(signed(2, 1), 0), [(Outcome::Paused, 1)]);
    assert_eq!(one(signed(3, 1), 0), [(Outcome::Free, 1)]);
    assert_eq!(one(signed(4, 1), 0), [(Outcome::Free, 1)]);
    // At the window's last millisecond it bills, one later it does not, and is no duplicate.
    assert_eq!(one(signed(1, 1), 60_000), [(Outcome::Billed, 1)]);
    let late = vec![(signed(1, 1), 60_001), (signed(1, 1), 60_002)];
    assert_eq!(outcomes(late), [(Outcome::Expired, 2)]);
    // A paused campaign's click uses its nonce up like any other.
    let paused = vec![(signed(2, 1), 0), (signed(2, 1), 1)];
    assert_eq!(
        outcomes(paused),
        [(Outcome::Duplicate, 1), (Outcome::Paused, 1)]
    );
    // The third click is past the budget of two.
    let spent = (1..=3).map(|nonce| (signed(5, nonce), 0)).collect();
    assert_eq!(
        outcomes(spent),
        [(Outcome::OverBudget, 1), (Outcome::Billed, 2)]
    );
}

#[test]
fn a_hammering_visitor_of_a_registered_link_bills_once() {
    let clicks = vec![
        (registered(1), 0),
        (registered(1), 9_000),
        (registered(2), 9_500),
        (registered(1), 18_000),
        (registered(1), 28_001),
    ];
    assert_eq!(
        outcomes(clicks),
        [(Outcome::InvalidGivt, 2), (Outcome::Billed, 3)]
    );
}

#[test]
fn what_contradicts_an_answer_is_told() {
    let forged = Truth::Refuse {
        status: 403,
        reason: "forged".to_owned(),
    };
    let click = Truth::Record(signed(1, 7));
    let kept = |op| [Kept { id: id(0, 1), op }];
    let wrong = |truth: &Truth, fate, kept: &[Kept]| {
        let told = [(1, truth.clone(), fate)];
        books(&market(), &told, kept).wrong
    };
    let receipt = Fate::Kept(id(0, 1));
    assert_eq!(wrong(&click, receipt, &kept(Some(1))), Vec::<String>::new());
    assert_eq!(
        wrong(&forged, Fate::NotKept(403), &[]),
        Vec::<String>::new()
    );
    let cases = [
        (&click, receipt, &[][..], "not in the log"),
        (&click, receipt, &kept(Some(2)), "nobody sent it"),
        (&click, receipt, &kept(None), "nobody sent it"),
        (
            &click,
            receipt,
            &[kept(Some(1)), kept(Some(1))].concat(),
            "nobody sent it",
        ),
        (&click, Fate::Kept(id(0, 2)), &kept(Some(1)), "got receipt"),
        (
            &click,
            Fate::NotKept(503),
            &kept(Some(1)),
            "must get a receipt, got 503",
        ),
        (
            &click,
            Fate::NotKept(503),
            &[],
            "must get a receipt, got 503",
        ),
        (
            &forged,
            receipt,
            &kept(Some(1)),
            "must get 403 (forged), got receipt",
        ),
        (
            &forged,
            Fate::NotKept(400),
            &[],
            "must get 403 (forged), got 400",
        ),
        (&forged, Fate::Unknown, &kept(Some(1)), "must get 403"),
    ];
    for (truth, fate, kept, what) in cases {
        let wrong = wrong(truth, fate, kept);
        assert!(
            wrong.first().is_some_and(|wrong| wrong.contains(what)),
            "{what}: {wrong:?}"
        );
    }
}

#[test]
fn a_lost_answer_counts_what_was_kept() {
    let told = [
        (1, Truth::Record(signed(1, 7)), Fate::Unknown),
        (2, Truth::Record(signed(1, 8)), Fate::Unknown),
    ];
    let kept = [Kept {
        id: id(0, 1),
        op: Some(1),
    }];
    let books = books(&market(), &told, &kept);
    assert_eq!(books.by_outcome(), BTreeMap::from([(Outcome::Billed, 1)]));
    assert_eq!((books.lost, books.wrong), (2, Vec::new()));
}
