use super::*;
use crate::books::{self, Books, Kept};
use crate::history::Fate;
use crate::world::Key;
use std::collections::BTreeSet;
use tollgate_click::control::{Scope, SigningKey};
use tollgate_click::ids::{ClickIdParts, EdgeId, PartitionId};
use tollgate_click::{AdvertiserId, Change, ClickId};
use tollgate_link::{Keyring, TokenBuf};

const NOW: Millis = Millis(1_790_000_000_000);

fn plan(seed: u64) -> Plan {
    let world = World::new(seed, NOW).with_currencies(&["USD", "EUR", "JPY"]);
    Plan::new(world, "127.0.0.1:8080")
}

/// Every click answered as it must be, received at `at(op)`, kept in the order of `ops`.
fn kept(plan: &Plan, ops: impl Iterator<Item = u64>, at: fn(u64) -> Millis) -> Books {
    let (mut told, mut kept) = (Vec::new(), Vec::new());
    for op in ops {
        let truth = Plan::truth(plan, op);
        let fate = match &truth {
            Truth::Refuse { status, .. } => Fate::NotKept(*status),
            Truth::Record(_) => Fate::Kept(ClickId::new(ClickIdParts {
                received_at: at(op),
                partition: PartitionId::new(0).unwrap(),
                edge: EdgeId::new(0).unwrap(),
                random: op,
            })),
        };
        kept.extend(fate.kept().map(|id| Kept { id, op: Some(op) }));
        told.push((op, truth, fate));
    }
    let books = books::books(&plan.world().changes(), &told, &kept);
    assert_eq!((&books.wrong, books.lost), (&Vec::new(), 0));
    books
}

#[test]
fn the_oracle_and_the_construction_agree() {
    for seed in [1, 2, 77] {
        let plan = plan(seed);
        let by_click = kept(&plan, 0..20_000, |op| NOW.plus_ms(op / 20)).by_outcome();
        assert_eq!(by_click, plan.by_construction(20_000), "seed {seed}");
        for outcome in [
            Outcome::Billed,
            Outcome::Duplicate,
            Outcome::Expired,
            Outcome::Free,
            Outcome::InvalidGivt,
            Outcome::Paused,
            Outcome::Test,
            Outcome::UnknownCampaign,
        ] {
            assert!(
                by_click.contains_key(&outcome),
                "seed {seed}: no {outcome:?}"
            );
        }
    }
}

#[test]
fn the_order_of_arrival_changes_no_count_and_no_bill() {
    let plan = plan(3);
    let forwards = kept(&plan, 0..5_000, |op| NOW.plus_ms(op / 5));
    let backwards = kept(&plan, (0..5_000).rev(), |op| NOW.plus_ms((5_000 - op) / 5));
    assert_eq!(forwards.outcomes, backwards.outcomes);
    assert_eq!(forwards.spend_micros, backwards.spend_micros);
}

#[test]
fn limits_run_out_and_no_campaign_spends_past_them() {
    for seed in [1, 9] {
        let clicks = 5_000;
        let world = World::new(seed, NOW).with_limits_for(clicks);
        let plan = Plan::new(world, "").over_a_day(NOW, clicks);
        let books = kept(&plan, 0..clicks, |op| NOW.plus_ms(op * 86_400_000 / 5_000));
        let over = books
            .outcomes
            .iter()
            .filter(|(_, all)| all.contains_key(&Outcome::OverBudget));
        assert!(
            (5..50).contains(&over.count()),
            "seed {seed}: {:?}",
            books.by_outcome()
        );
        assert!(
            books.by_outcome()[&Outcome::Billed] > clicks / 4,
            "{:?}",
            books.by_outcome()
        );
        for change in world.changes() {
            let Change::Campaign(campaign) = change else {
                continue;
            };
            let name = (campaign.advertiser.0, campaign.campaign.0);
            let spent = books.spend_micros.get(&name).copied().unwrap_or(0);
            assert!(campaign.total_budget.is_none_or(|budget| spent <= budget.0));
        }
    }
}

#[test]
fn every_case_and_manner_is_met_by_a_repeat() {
    let plan = plan(4);
    let met: BTreeSet<(bool, Case, Manner)> = (0..200_000)
        .map(|op| plan.click(op))
        .map(|click| (click.leader != click.op, click.case, click.manner))
        .collect();
    let repeated: BTreeSet<Case> = met.iter().filter(|m| m.0).map(|m| m.1).collect();
    let first: BTreeSet<Case> = met.iter().filter(|m| !m.0).map(|m| m.1).collect();
    assert_eq!(repeated, first);
    assert!(met.contains(&(true, Case::Valid, Manner::Head)));
    assert!(met.contains(&(true, Case::Registered, Manner::Person)));
}

#[test]
fn a_refused_click_and_its_repeats_are_refused_alike() {
    let plan = plan(5);
    for click in (0..50_000).map(|op| plan.click(op)) {
        if click.case.refusal().is_some() {
            assert_eq!(click.manner, Manner::Person);
            assert_eq!(
                Plan::truth(&plan, click.op),
                Plan::truth(&plan, click.leader)
            );
        }
    }
}

/// What an edge with the world's key file makes of a token.
fn keyring(world: &World) -> Keyring {
    let mut keyring = Keyring::new();
    for key in Key::IN_FILE {
        let scope = match key {
            Key::Narrow => Scope::Only(vec![AdvertiserId(1)]),
            _ => Scope::All,
        };
        let not_after = match key {
            Key::Lapsed => Millis(NOW.0 - 1000),
            _ => Millis::MAX,
        };
        let signing = SigningKey {
            key: key.id(),
            scope,
            not_before: Millis(0),
            not_after,
            test: key == Key::Test,
        };
        keyring.insert(signing, world.secret(key));
    }
    keyring.revoke(Key::Revoked.id(), Millis(0));
    keyring
}

#[test]
fn tokens_are_worth_what_the_truth_says() {
    let plan = plan(6);
    let keyring = keyring(plan.world());
    let (mut buffer, mut out) = (TokenBuf::new(), Vec::new());
    let mut opened = 0;
    for op in 0..5_000 {
        let click = plan.click(op);
        out.clear();
        let head = plan.render(op, &mut out).unwrap();
        assert_eq!(head, out.starts_with(b"HEAD "));
        let request = std::str::from_utf8(&out).unwrap();
        let Some(rest) = request
            .split(' ')
            .nth(1)
            .and_then(|path| path.strip_prefix("/c/"))
        else {
            assert!(click.case.is_registered());
            continue;
        };
        let token = rest.split('?').next().unwrap();
        let verified = keyring.verify(token, NOW, &mut buffer);
        let refusal = verified.as_ref().err().map(|error| error.refusal());
        let wanted = match click.case {
            Case::Malformed => None, // its token is good, its method is not
            case => case.refusal().map(|(_, reason)| reason),
        };
        assert_eq!(refusal, wanted, "{click:?}");
        if let (Ok(verified), Truth::Record(seen)) = (verified, Plan::truth(&plan, op)) {
            opened += 1;
            assert_eq!(verified.test, seen.test);
            assert_eq!(verified.link.advertiser.0, seen.advertiser);
            assert_eq!(verified.link.campaign.0, seen.campaign);
            let through = Through::Signed {
                nonce: verified.link.nonce.to_string(),
                window_s: verified.link.window_s,
                price_micros: verified.link.price.map(|price| price.0),
            };
            assert_eq!(through, seen.through);
        }
    }
    assert!(opened > 3_000);
}

#[test]
fn two_leaders_never_share_a_nonce() {
    let plan = plan(7);
    let mut seen = BTreeSet::new();
    for click in (0..50_000).map(|op| plan.click(op)) {
        if click.leader == click.op && !click.case.is_registered() {
            assert!(seen.insert(plan.impression(&click).nonce));
        }
    }
}
