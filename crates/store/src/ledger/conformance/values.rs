//! The edges of every field.

use tollgate_click::{AdvertiserId, CampaignId, Currency, Micros, Minute, Ordinal, PublisherId};

use super::sample::{Worker, partition};
use super::{Engine, verified};
use crate::ledger::posting::{COUNTER_MAX, REASON_BYTES_MAX};
use crate::ledger::{
    Account, Clicks, CommandId, Cursor, Hash, Holder, Kind, LedgerError, Line, Outcome, Posting,
};

pub(super) fn the_largest_values_come_back(engine: &mut dyn Engine) -> Result<(), LedgerError> {
    engine.fresh(4096)?;
    let mut ledger = engine.connect()?;
    let ledger = ledger.as_mut();
    let mut worker = Worker::start(ledger, 4095)?;
    let postings = vec![largest_minute(), largest_adjustment()];
    let mut request = worker.request(COUNTER_MAX, u32::MAX, postings);
    request.cursor = Cursor {
        incarnation: u64::MAX,
        position: vec![0xFF; 1024],
    };
    worker.commit(ledger, &request)?;
    assert_eq!(ledger.watermark(partition(4095))?, worker.at);
    let stored = ledger.chain(partition(4095), 0, 10)?;
    let found: Vec<&Posting> = stored.iter().map(|stored| &stored.posting).collect();
    assert_eq!(found, request.postings.iter().collect::<Vec<_>>());
    assert_eq!(stored[1].cursor, request.cursor);
    let last = ledger.posting_at(partition(4095), Ordinal(COUNTER_MAX))?;
    assert_eq!(last.map(|last| last.number), Some(2));
    assert_eq!(
        ledger.commit(&request)?,
        Outcome::AlreadyApplied(worker.at.clone())
    );
    let spend = crate::ledger::books::spend(
        ledger,
        CampaignId(u64::MAX),
        crate::ledger::books::ALL_MINUTES,
    )?;
    assert_eq!(
        spend.get(b"ZZZ").map(|sums| sums.net()),
        Some(-i128::from(i64::MAX))
    );
    verified(ledger)?;
    Ok(())
}

fn largest_minute() -> Posting {
    let currency: Currency = "ZZZ".parse().unwrap();
    let account = |holder| Account::new(holder, currency);
    Posting {
        kind: Kind::Minute,
        minute: Minute(u32::MAX - 1),
        first: Ordinal(1),
        last: Ordinal(COUNTER_MAX - 1),
        apply_version: u32::MAX,
        reason: String::new(),
        lines: vec![
            Line {
                account: account(Holder::Prepaid(AdvertiserId(u32::MAX))),
                amount: Micros(-i64::MAX),
                campaign: Some(CampaignId(u64::MAX)),
                clicks: Some(Clicks {
                    count: COUNTER_MAX,
                    root: Hash([0xFF; 32]),
                }),
            },
            // At a price of 0: proved all the same.
            Line {
                account: account(Holder::Credit(AdvertiserId(0))),
                amount: Micros(0),
                campaign: Some(CampaignId(0)),
                clicks: Some(Clicks {
                    count: 1,
                    root: Hash([0; 32]),
                }),
            },
            Line::plain(
                account(Holder::Payable(PublisherId(u32::MAX))),
                Micros(i64::MAX - 1),
            ),
            Line::plain(account(Holder::Revenue), Micros(1)),
        ],
    }
}

fn largest_adjustment() -> Posting {
    let currency: Currency = "AAA".parse().unwrap();
    let mut reason = "\u{10FFFF}\0'\",\n".repeat(REASON_BYTES_MAX / 9);
    reason.push_str(&"x".repeat(REASON_BYTES_MAX - reason.len()));
    let account = |holder| Account::new(holder, currency);
    Posting {
        kind: Kind::Adjustment(CommandId([0xFF; 16])),
        minute: Minute(u32::MAX),
        first: Ordinal(COUNTER_MAX),
        last: Ordinal(COUNTER_MAX),
        apply_version: 0,
        reason,
        lines: vec![
            Line::plain(account(Holder::Revenue), Micros(-i64::MAX)),
            Line {
                campaign: Some(CampaignId(1 << 63)),
                ..Line::plain(account(Holder::Adjustments), Micros(i64::MAX))
            },
        ],
    }
}
