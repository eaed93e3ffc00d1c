//! What is read is what was posted.

use std::collections::BTreeMap;

use tollgate_click::{AdvertiserId, CampaignId, Minute, Ordinal, PartitionId};

use super::commits::text;
use super::sample::{
    Spend, Worker, account, minute_posting, partition, payable, prepaid, small_history,
    some_spends, top_up,
};
use super::{Engine, verified};
use crate::ledger::books::{ALL_MINUTES, spend_of_all};
use crate::ledger::posting::genesis;
use crate::ledger::verify::{Published, verify};
use crate::ledger::{
    Entry, EntryQuery, Hash, Holder, Hour, HourlyRoot, Identity, Ledger, LedgerError, Of,
    Publication, Watermark,
};

pub(super) fn a_new_ledger_is_empty(engine: &mut dyn Engine) -> Result<(), LedgerError> {
    engine.fresh(3)?;
    let mut ledger = engine.connect()?;
    let identity = Identity {
        partitions: 3,
        roots: 0,
        root: Hash::ZERO,
    };
    assert_eq!(ledger.identity()?, identity);
    for number in 0..3 {
        let id = partition(number);
        assert_eq!(ledger.watermark(id)?, Watermark::start(id));
        assert_eq!(ledger.lease(id)?.epoch, 0);
        assert_eq!(ledger.chain(id, 0, 10)?, []);
        assert_eq!(ledger.posting_at(id, Ordinal(1))?, None);
    }
    let outside = ledger.watermark(partition(3));
    assert!(
        matches!(outside, Err(LedgerError::Malformed(_))),
        "{outside:?}"
    );
    assert_eq!(ledger.balances(None, 10)?, []);
    assert_eq!(entries(ledger.as_mut(), Of::All, 10)?, []);
    assert_eq!(text(ledger.as_mut())?, "books,1\nend,0\n");
    assert_eq!(verified(ledger.as_mut())?.postings, 0);
    Ok(())
}

pub(super) fn pages_make_the_whole(engine: &mut dyn Engine) -> Result<(), LedgerError> {
    engine.fresh(2)?;
    let mut ledger = engine.connect()?;
    let ledger = ledger.as_mut();
    small_history(ledger, 1)?;
    small_history(ledger, 0)?;
    // What the chains hold, in the order of the keys.
    let mut all = Vec::new();
    for id in [partition(0), partition(1)] {
        for stored in ledger.chain(id, 0, 100)? {
            all.extend(stored.entries());
        }
    }
    all.sort_by_key(|entry| entry.key);
    assert!(all.len() > 30);
    for limit in [1, 2, 3, 100] {
        assert_eq!(entries(ledger, Of::All, limit)?, all);
        for of in [
            prepaid(7),
            payable(3),
            account(Holder::Revenue),
            prepaid(99),
        ] {
            let wanted: Vec<_> = all
                .iter()
                .filter(|entry| entry.line.account == of)
                .cloned()
                .collect();
            assert_eq!(entries(ledger, Of::Account(of), limit)?, wanted);
        }
        for campaign in [1, 2, 3].map(CampaignId) {
            let of_it = |entry: &&Entry| entry.line.campaign == Some(campaign);
            let wanted: Vec<_> = all.iter().filter(of_it).cloned().collect();
            assert_eq!(entries(ledger, Of::Campaign(campaign), limit)?, wanted);
        }
    }
    for (from, to) in [(0, 61), (61, 62), (62, 63), (60, 119), (119, 120), (62, 62)] {
        let minutes = Minute(from)..Minute(to);
        for of in [
            Of::All,
            Of::Account(prepaid(8)),
            Of::Campaign(CampaignId(1)),
        ] {
            let inside = |entry: &&Entry| minutes.contains(&entry.key.minute);
            let whole = entries(ledger, of, 100)?;
            let wanted: Vec<_> = whole.iter().filter(inside).cloned().collect();
            let query = EntryQuery {
                of,
                minutes: minutes.clone(),
            };
            assert_eq!(ledger.entries(&query, None, 100)?, wanted, "{query:?}");
        }
    }
    let whole = ledger.balances(None, 100)?;
    let mut after = None;
    for found in &whole {
        assert_eq!(ledger.balances(after, 1)?, [*found]);
        assert_eq!(ledger.balance(found.0)?, found.1);
        after = Some(found.0);
    }
    assert_eq!(ledger.balances(after, 1)?, []);
    campaigns_are_summed(ledger, &all)
}

fn campaigns_are_summed(ledger: &mut dyn Ledger, all: &[Entry]) -> Result<(), LedgerError> {
    let mut wanted: BTreeMap<_, i128> = BTreeMap::new();
    for Entry { line, .. } in all {
        if let (Some(advertiser), Some(campaign)) = (line.account.advertiser(), line.campaign) {
            *wanted.entry((advertiser, campaign)).or_default() += i128::from(line.amount.0);
        }
    }
    let found = spend_of_all(ledger, ALL_MINUTES)?;
    let found: BTreeMap<_, i128> = found
        .iter()
        .map(|((advertiser, campaign, _), sums)| ((*advertiser, *campaign), sums.net()))
        .collect();
    assert_eq!(found, wanted);
    assert_eq!(found.len(), 4);
    Ok(())
}

fn entries(ledger: &mut dyn Ledger, of: Of, limit: u32) -> Result<Vec<Entry>, LedgerError> {
    let query = EntryQuery {
        of,
        minutes: ALL_MINUTES,
    };
    let mut found: Vec<Entry> = Vec::new();
    loop {
        let page = ledger.entries(&query, found.last().map(|entry| entry.key), limit)?;
        if page.is_empty() {
            return Ok(found);
        }
        assert!(page.len() <= limit as usize);
        // A page that does not go on would be read for ever.
        let last = found.last().map(|entry| entry.key);
        assert!(page.iter().all(|entry| Some(entry.key) > last), "{page:?}");
        found.extend(page);
    }
}

pub(super) fn each_record_finds_its_posting(engine: &mut dyn Engine) -> Result<(), LedgerError> {
    engine.fresh(2)?;
    let mut ledger = engine.connect()?;
    let ledger = ledger.as_mut();
    small_history(ledger, 0)?;
    let mut worker = Worker::start(ledger, 1)?;
    worker.minute(ledger, 5, &[])?;
    // Records 11 to 15 cost nothing, 16 to 18 do, 19 and 20 do not; 21 and 22 are commands.
    let posting = minute_posting(6, 16, 18, &some_spends(7));
    let request = worker.request(20, 7, vec![posting]);
    worker.commit(ledger, &request)?;
    let commands = vec![top_up(901, 7, 21, 7), top_up(902, 7, 22, 7)];
    let request = worker.request(30, 8, commands);
    worker.commit(ledger, &request)?;
    for ordinal in 0..40 {
        let found = ledger.posting_at(partition(1), Ordinal(ordinal))?;
        let wanted = match ordinal {
            16..=18 => Some(1),
            21 => Some(2),
            22 => Some(3),
            _ => None,
        };
        assert_eq!(found.map(|found| found.number), wanted, "record {ordinal}");
    }
    Ok(())
}

pub(super) fn hours_are_published_once(engine: &mut dyn Engine) -> Result<(), LedgerError> {
    engine.fresh(2)?;
    let mut ledger = engine.connect()?;
    let ledger = ledger.as_mut();
    let mut zero = Worker::start(ledger, 0)?;
    let mut one = Worker::start(ledger, 1)?;
    zero.minute(ledger, 60, &some_spends(7))?;
    zero.minute(ledger, 119, &some_spends(7))?;
    one.minute(ledger, 118, &[])?;
    let open = Publication::Open {
        partition: partition(1),
        closed_before: Minute(119),
    };
    assert_eq!(ledger.publish(Hour(1))?, open);
    one.minute(ledger, 119, &[])?;
    let first = published(ledger.publish(Hour(1))?);
    let heads = ledger.heads(Minute(120))?;
    assert_eq!((heads[0].number, heads[0].hash), (2, zero.at.head));
    assert_eq!((heads[1].number, heads[1].hash), (0, genesis(partition(1))));
    assert_eq!(
        first,
        HourlyRoot::compute(&HourlyRoot::none(), Hour(1), &heads)
    );
    assert_eq!(ledger.heads(Minute(119))?[0].number, 1);
    // Later postings change nothing about it.
    zero.minute(ledger, 125, &some_spends(7))?;
    one.minute(ledger, 300, &some_spends(8))?;
    zero.minute(ledger, 300, &[])?;
    assert_eq!(published(ledger.publish(Hour(1))?), first);
    let third = published(ledger.publish(Hour(3))?);
    assert_eq!((third.number, third.previous), (2, first.root));
    assert_eq!(ledger.publish(Hour(2))?, Publication::Skipped(third));
    assert_eq!(ledger.hourly_roots(0, 10)?, [first, third]);
    assert_eq!(ledger.hourly_roots(1, 10)?, [third]);
    assert_eq!(ledger.identity()?.root, third.root);

    let mut known = [first, third].map(|root| Published {
        hour: root.hour,
        root: root.root,
    });
    assert_eq!(verify(ledger, &known, &mut |_| {})?.newest, Some(third));
    known[0].root.0[0] ^= 1;
    let answer = verify(ledger, &known, &mut |_| {});
    assert!(matches!(answer, Err(LedgerError::Corrupt(_))), "{answer:?}");
    let elsewhere = Published {
        hour: Hour(2),
        ..known[1]
    };
    let answer = verify(ledger, &[elsewhere], &mut |_| {});
    assert!(matches!(answer, Err(LedgerError::Corrupt(_))), "{answer:?}");
    Ok(())
}

fn published(answer: Publication) -> HourlyRoot {
    match answer {
        Publication::Published(root) => root,
        other => panic!("{other:?}"),
    }
}

/// The same clicks and commands in 1, 2 and 7 partitions: other chains, equal books.
pub(super) fn books_do_not_depend_on_partitions(
    engine: &mut dyn Engine,
) -> Result<(), LedgerError> {
    let mut texts = Vec::new();
    for partitions in [1, 2, 7] {
        engine.fresh(partitions)?;
        let mut ledger = engine.connect()?;
        spread(ledger.as_mut(), partitions)?;
        verified(ledger.as_mut())?;
        texts.push(text(ledger.as_mut())?);
    }
    assert_eq!(texts[0], texts[1]);
    assert_eq!(texts[0], texts[2]);
    assert_eq!(
        texts[0]
            .lines()
            .filter(|line| line.starts_with("campaign,"))
            .count(),
        40
    );
    Ok(())
}

/// 20 advertisers with 2 campaigns each, 4 publishers, 6 minutes, a top-up for each advertiser.
fn spread(ledger: &mut dyn Ledger, partitions: u16) -> Result<(), LedgerError> {
    let home = |advertiser| PartitionId::of_advertiser(AdvertiserId(advertiser), partitions);
    for number in 0..partitions {
        let mine: Vec<u32> = (1..=20).filter(|id| home(*id).get() == number).collect();
        let mut worker = Worker::start(ledger, number)?;
        for minute in 30..36 {
            let spends: Vec<Spend> = mine
                .iter()
                .flat_map(|id| [(*id, 0), (*id, 1)])
                .map(|(advertiser, second)| Spend {
                    advertiser,
                    campaign: u64::from(advertiser) * 10 + second,
                    publisher: 1 + (advertiser + minute) % 4,
                    price: 100_000 + i64::from(advertiser) * 7 + i64::from(minute),
                    clicks: 1 + u64::from(minute % 3) * second,
                })
                .collect();
            worker.minute(ledger, minute, &spends)?;
            // A minute may come in parts; how it is cut depends on the partition too.
            for advertiser in mine.iter().filter(|id| **id % 6 == minute % 6) {
                worker.command(ledger, minute + 1, |ordinal| {
                    top_up(u64::from(*advertiser), minute + 1, ordinal, *advertiser)
                })?;
            }
        }
    }
    Ok(())
}
