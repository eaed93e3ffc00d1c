use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use tollgate_click::{ClickId, EdgeId, Millis, PartitionId, PublisherId};

use super::*;
use crate::lake::tests::sample::{Dice, row};
use crate::ledger::merkle;

const SPAN: Span = Span {
    minute: Minute(29_000_000),
    first: Ordinal(1),
    last: Ordinal(1_000),
    apply_version: 1,
};

fn click(advertiser: u32, campaign: u64, publisher: u32, random: u64) -> ClickFacts {
    let click_id = ClickId::new(tollgate_click::ids::ClickIdParts {
        received_at: Millis(1_740_000_000_000 + random),
        partition: PartitionId::default(),
        edge: EdgeId::default(),
        random,
    });
    ClickFacts {
        click_id,
        advertiser: AdvertiserId(advertiser),
        campaign: CampaignId(campaign),
        publisher: PublisherId(publisher),
        ..row(&mut Dice(1), 1, 1_740_000_000_000).facts
    }
}

fn billed(ordinal: u64, charge: i64, share: i64) -> Judgement {
    Judgement {
        ordinal: Ordinal(ordinal),
        outcome: Outcome::Billed,
        charge: Micros(charge),
        share: Micros(share),
        currency: Some("USD".parse().unwrap()),
    }
}

proptest! {
    /// Against plain sums: every line, its count and its root.
    #[test]
    fn lines_are_the_sums_of_their_clicks(
        clicks in proptest::collection::vec(
            (0..3u32, 0..3u64, 0..3u32, 1..1_000i64, 0..=100i64),
            1..60,
        )
    ) {
        let mut counted = MinutePosting::new();
        let mut leaves: BTreeMap<(u32, u64), Vec<_>> = BTreeMap::new();
        let mut sums: BTreeMap<Account, i64> = BTreeMap::new();
        let usd = "USD".parse().unwrap();
        for (place, (advertiser, campaign, publisher, charge, percent)) in (0..).zip(clicks) {
            let share = charge * percent / 100;
            let facts = click(advertiser, campaign, publisher, place);
            let payer = if advertiser == 0 { Payer::Prepaid } else { Payer::Credit };
            counted.count(&facts, &billed(place + 1, charge, share), payer).unwrap();
            leaves.entry((advertiser, campaign)).or_default().push(BilledClick {
                id: facts.click_id,
                received_at: facts.received_at(),
                price: Micros(charge),
                share: Micros(share),
            }.leaf());
            let holder = match payer {
                Payer::Prepaid => Holder::Prepaid(facts.advertiser),
                Payer::Credit => Holder::Credit(facts.advertiser),
            };
            *sums.entry(Account::new(holder, usd)).or_default() -= charge;
            *sums.entry(Account::new(Holder::Payable(facts.publisher), usd)).or_default() += share;
            *sums.entry(Account::new(Holder::Revenue, usd)).or_default() += charge - share;
        }
        let again = counted.clone().take(SPAN);
        let posting = counted.take(SPAN).unwrap();
        prop_assert_eq!(again.as_ref(), Some(&posting), "no order of a map shows");
        prop_assert!(counted.is_empty() && counted.take(SPAN).is_none());
        posting.check().unwrap();
        let mut found: BTreeMap<Account, i64> = BTreeMap::new();
        let mut campaigns = BTreeSet::new();
        for line in &posting.lines {
            *found.entry(line.account).or_default() += line.amount.0;
            if let (Some(campaign), Some(clicks)) = (line.campaign, line.clicks) {
                let key = (line.account.owner(), campaign.0);
                prop_assert_eq!(clicks.count, leaves[&key].len() as u64);
                prop_assert_eq!(clicks.root, merkle::root(&leaves[&key]));
                prop_assert!(campaigns.insert(key));
            }
        }
        sums.retain(|_, sum| *sum != 0);
        prop_assert_eq!(found, sums);
        prop_assert_eq!(campaigns.len(), leaves.len());
    }
}

#[test]
fn what_is_not_billed_posts_nothing() {
    let mut counted = MinutePosting::new();
    for outcome in Outcome::ALL {
        let judgement = Judgement {
            outcome,
            ..billed(1, 5, 1)
        };
        if outcome != Outcome::Billed {
            counted
                .count(&click(1, 1, 1, 1), &judgement, Payer::Credit)
                .unwrap();
        }
    }
    assert!(counted.take(SPAN).is_none());
}

#[test]
fn a_sum_that_leaves_its_range_changes_nothing() {
    let mut counted = MinutePosting::new();
    let facts = click(1, 1, 1, 1);
    counted
        .count(&facts, &billed(1, i64::MAX, 0), Payer::Prepaid)
        .unwrap();
    let before = counted.clone().take(SPAN);
    let refused = counted
        .count(&facts, &billed(2, 1, 0), Payer::Prepaid)
        .unwrap_err();
    assert!(refused.to_string().contains("prepaid/1/USD"), "{refused}");
    // Another campaign's debit fits; what the platform keeps does not.
    let refused = counted.count(&click(2, 2, 1, 2), &billed(3, 1, 0), Payer::Prepaid);
    assert!(matches!(
        refused,
        Err(CountError::Overflow {
            ordinal: Ordinal(3),
            ..
        })
    ));
    assert_eq!(counted.take(SPAN), before);
}

#[test]
fn nonsense_is_refused() {
    let mut counted = MinutePosting::new();
    let facts = click(1, 1, 1, 1);
    let no_currency = Judgement {
        currency: None,
        ..billed(1, 1, 0)
    };
    for wrong in [
        billed(1, -1, 0),
        billed(1, 1, 2),
        billed(1, 1, -1),
        no_currency,
    ] {
        let refused = counted.count(&facts, &wrong, Payer::Credit);
        assert!(
            matches!(refused, Err(CountError::Nonsense { .. })),
            "{wrong:?}"
        );
    }
    assert!(counted.is_empty());
}

#[test]
fn a_money_command_is_a_posting_that_balances() {
    let money = |kind, amount, publisher| Money {
        command: [7; 16],
        advertiser: AdvertiserId(1),
        kind,
        amount: Micros(amount),
        currency: "EUR".parse().unwrap(),
        campaign: Some(CampaignId(5)),
        publisher,
        reason: " ".to_owned(),
    };
    let publisher = Some(PublisherId(9));
    for (money, payer, lines) in [
        (
            money(MoneyKind::TopUp, 5, None),
            Payer::Prepaid,
            "prepaid/1/EUR 5, outside/0/EUR -5",
        ),
        (
            money(MoneyKind::Credit, 5, None),
            Payer::Credit,
            "credit/1/EUR 5, adjustments/0/EUR -5",
        ),
        (
            money(MoneyKind::Adjustment, -5, None),
            Payer::Prepaid,
            "prepaid/1/EUR -5 5, adjustments/0/EUR 5",
        ),
        (
            money(MoneyKind::Adjustment, 5, publisher),
            Payer::Credit,
            "credit/1/EUR 5 5, payable/9/EUR -5",
        ),
    ] {
        let posting = of_money(&money, payer, SPAN).unwrap();
        posting.check().unwrap();
        assert_eq!(posting.kind.command(), Some(CommandId([7; 16])));
        let told = posting.lines.iter().map(|line| {
            let campaign = line
                .campaign
                .map_or(String::new(), |campaign| format!(" {campaign}"));
            format!("{} {}{campaign}", line.account, line.amount.0)
        });
        assert_eq!(told.collect::<Vec<_>>().join(", "), lines);
    }
    let all = money(MoneyKind::Adjustment, i64::MIN, None);
    assert!(of_money(&all, Payer::Credit, SPAN).is_err());
}
