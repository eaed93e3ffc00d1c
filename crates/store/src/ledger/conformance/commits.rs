//! What a commit does, and when it does nothing.

use tollgate_click::{CampaignId, Currency, Micros, Minute, Ordinal};

use super::sample::{
    Worker, account, command, minute_posting, payable, prepaid, some_spends, top_up, transfer,
    transfer_of,
};
use super::{Engine, verified};
use crate::ledger::books::{ALL_MINUTES, spend};
use crate::ledger::posting::LINES_MAX;
use crate::ledger::{
    Account, CommitRequest, Conflict, Holder, Kind, Ledger, LedgerError, Line, Outcome, Posting,
    books,
};

pub(super) fn a_commit_moves_everything_together(
    engine: &mut dyn Engine,
) -> Result<(), LedgerError> {
    engine.fresh(2)?;
    let mut ledger = engine.connect()?;
    let ledger = ledger.as_mut();
    let mut worker = Worker::start(ledger, 1)?;
    worker.command(ledger, 100, |ordinal| top_up(1, 100, ordinal, 7))?;
    let request = worker.minute(ledger, 100, &some_spends(7))?;

    assert_eq!(ledger.watermark(request.partition)?, worker.at);
    assert_eq!((worker.at.ordinal, worker.at.postings), (Ordinal(11), 2));
    assert_eq!(worker.at.closed_before, Minute(101));
    assert_eq!(worker.at.cursor, request.cursor);
    let net = |ledger: &mut dyn Ledger, account| ledger.balance(account).map(|found| found.net().0);
    // Clicks: 3 at 0.350000, 1 at 0.350001, 2 at 0.099999; shares rounded per click.
    assert_eq!(net(ledger, prepaid(7))?, 1_000_000 - 1_599_999);
    assert_eq!(net(ledger, payable(3))?, 3 * 245_000 + 2 * 69_999);
    assert_eq!(net(ledger, payable(4))?, 245_001);
    assert_eq!(
        net(ledger, account(Holder::Revenue))?,
        1_599_999 - 874_998 - 245_001
    );
    assert_eq!(net(ledger, account(Holder::Outside))?, -1_000_000);
    let sums = spend(ledger, CampaignId(1), ALL_MINUTES)?;
    let usd = sums.get(b"USD").copied().unwrap_or_default();
    assert_eq!((usd.clicks, usd.net()), (4, -1_400_001));

    let chain = ledger.chain(request.partition, 0, 10)?;
    assert_eq!(chain.len(), 2);
    assert_eq!(chain[1].posting, request.postings[0]);
    assert_eq!((chain[1].number, chain[1].previous), (2, chain[0].hash));
    assert_eq!(
        (chain[1].hash, chain[1].epoch),
        (worker.at.head, worker.lease.epoch)
    );
    assert_eq!(verified(ledger)?.lines, 2 + 5);
    Ok(())
}

pub(super) fn an_empty_minute_moves_only_the_watermark(
    engine: &mut dyn Engine,
) -> Result<(), LedgerError> {
    engine.fresh(1)?;
    let mut ledger = engine.connect()?;
    let mut worker = Worker::start(ledger.as_mut(), 0)?;
    let before = worker.at.clone();
    let request = worker.minute(ledger.as_mut(), 5, &[])?;
    assert_eq!(worker.at.closed_before, Minute(6));
    assert_eq!(worker.at.cursor, request.cursor);
    assert_eq!((worker.at.postings, worker.at.head), (0, before.head));
    assert_eq!(ledger.watermark(request.partition)?, worker.at);
    assert_eq!(
        ledger.commit(&request)?,
        Outcome::AlreadyApplied(worker.at.clone())
    );
    verified(ledger.as_mut())?;
    Ok(())
}

pub(super) fn redelivery_changes_nothing(engine: &mut dyn Engine) -> Result<(), LedgerError> {
    engine.fresh(1)?;
    let mut ledger = engine.connect()?;
    let ledger = ledger.as_mut();
    let mut worker = Worker::start(ledger, 0)?;
    let mut sent = vec![worker.command(ledger, 9, |ordinal| top_up(1, 9, ordinal, 7))?];
    for minute in 10..15 {
        sent.push(worker.minute(ledger, minute, &some_spends(minute))?);
    }
    let books = text(ledger)?;
    for times in 1..=5 {
        for request in sent.iter().cycle().take(sent.len() * times) {
            let answer = ledger.commit(request)?;
            assert_eq!(answer, Outcome::AlreadyApplied(worker.at.clone()));
        }
    }
    // A replay by a later worker, that reads the log at other cursors, is the same too.
    let next = Worker::start(ledger, 0)?;
    for request in &sent {
        let mut again = request.clone();
        again.epoch = next.lease.epoch;
        again.cursor.position.push(1);
        assert_eq!(
            ledger.commit(&again)?,
            Outcome::AlreadyApplied(worker.at.clone())
        );
        assert_eq!(
            ledger.commit(request)?,
            Outcome::Fenced {
                epoch: next.lease.epoch
            }
        );
    }
    assert_eq!(text(ledger)?, books);
    assert_eq!(verified(ledger)?.postings, sent.len() as u64);
    Ok(())
}

pub(super) fn a_hole_is_a_gap(engine: &mut dyn Engine) -> Result<(), LedgerError> {
    let (mut ledger, worker) = with_one_minute(engine)?;
    let mut request = worker.request(40, 30, vec![]);
    request.after = Ordinal(worker.at.ordinal.0 + 1);
    assert_eq!(ledger.commit(&request)?, Outcome::Gap(worker.at.clone()));
    unchanged(ledger.as_mut(), &worker)
}

pub(super) fn another_cut_is_a_conflict(engine: &mut dyn Engine) -> Result<(), LedgerError> {
    let (mut ledger, worker) = with_one_minute(engine)?;
    let mut across = worker.request(40, 30, vec![]);
    across.after = Ordinal(3);
    let cut = Conflict::Cut {
        ordinal: Ordinal(10),
    };
    assert_eq!(ledger.commit(&across)?, Outcome::Conflict(cut));
    // Part of what one commit had posted, as if there had been nothing to post.
    let mut part = across.clone();
    part.through = Ordinal(7);
    let found = Conflict::Posting { number: 1 };
    assert_eq!(ledger.commit(&part)?, Outcome::Conflict(found));
    unchanged(ledger.as_mut(), &worker)
}

pub(super) fn other_content_is_a_conflict(engine: &mut dyn Engine) -> Result<(), LedgerError> {
    let (mut ledger, mut worker) = with_one_minute(engine)?;
    let mut sent = worker.request(10, 21, vec![minute_posting(20, 1, 10, &some_spends(7))]);
    sent.after = Ordinal(0);
    assert_eq!(
        ledger.commit(&sent)?,
        Outcome::AlreadyApplied(worker.at.clone())
    );
    let changes: [fn(&mut Posting); 8] = [
        |posting| posting.minute.0 -= 1,
        |posting| posting.first.0 += 1,
        |posting| posting.last.0 -= 1,
        |posting| posting.apply_version += 1,
        |posting| posting.reason.push('x'),
        |posting| posting.lines[0].clicks.as_mut().unwrap().count += 1,
        |posting| posting.lines[0].clicks.as_mut().unwrap().root.0[31] ^= 1,
        |posting| {
            posting.lines[0].amount.0 -= 1;
            posting.lines[2].amount.0 += 1;
        },
    ];
    for (number, change) in changes.into_iter().enumerate() {
        let mut other = sent.clone();
        change(&mut other.postings[0]);
        let found = Outcome::Conflict(Conflict::Posting { number: 1 });
        assert_eq!(ledger.commit(&other)?, found, "change {number}");
    }
    let mut less = sent.clone();
    less.postings.clear();
    let found = Outcome::Conflict(Conflict::Posting { number: 1 });
    assert_eq!(ledger.commit(&less)?, found);
    let mut more = sent;
    more.postings[0].last = Ordinal(9);
    more.postings.push(top_up(5, 20, 10, 7));
    assert_eq!(ledger.commit(&more)?, found);
    let mut empty = worker.minute(ledger.as_mut(), 21, &[])?;
    empty.postings.push(top_up(6, 21, 15, 7));
    let missing = Conflict::Missing { first: Ordinal(15) };
    assert_eq!(ledger.commit(&empty)?, Outcome::Conflict(missing));
    unchanged(ledger.as_mut(), &worker)
}

pub(super) fn a_command_is_posted_once(engine: &mut dyn Engine) -> Result<(), LedgerError> {
    engine.fresh(2)?;
    let mut ledger = engine.connect()?;
    let ledger = ledger.as_mut();
    let mut first = Worker::start(ledger, 0)?;
    first.command(ledger, 5, |ordinal| top_up(1, 5, ordinal, 7))?;
    let known = Outcome::Conflict(Conflict::Command(command(1)));
    let again = first.request(2, 5, vec![top_up(1, 5, 2, 7)]);
    assert_eq!(ledger.commit(&again)?, known);
    let elsewhere = Worker::start(ledger, 1)?;
    let again = elsewhere.request(1, 5, vec![top_up(1, 5, 1, 8)]);
    assert_eq!(ledger.commit(&again)?, known);
    unchanged(ledger, &elsewhere)?;
    let found = ledger
        .posting_of(command(1))?
        .map(|found| (found.partition, found.number));
    assert_eq!(found, Some((first.lease.partition, 1)));
    assert_eq!(ledger.posting_of(command(2))?, None);
    unchanged(ledger, &first)
}

pub(super) fn a_closed_minute_stays_closed(engine: &mut dyn Engine) -> Result<(), LedgerError> {
    let (mut ledger, mut worker) = with_one_minute(engine)?;
    let closed = Conflict::Closed {
        closed_before: Minute(21),
    };
    let late = worker.request(11, 30, vec![top_up(1, 20, 11, 7)]);
    assert_eq!(ledger.commit(&late)?, Outcome::Conflict(closed));
    let back = worker.request(11, 20, vec![]);
    assert_eq!(ledger.commit(&back)?, Outcome::Conflict(closed));
    unchanged(ledger.as_mut(), &worker)?;
    // The open minute may be posted in parts.
    worker.command(ledger.as_mut(), 21, |ordinal| top_up(1, 21, ordinal, 7))?;
    worker.minute(ledger.as_mut(), 21, &some_spends(7))?;
    unchanged(ledger.as_mut(), &worker)
}

pub(super) fn malformed_commits_change_nothing(engine: &mut dyn Engine) -> Result<(), LedgerError> {
    let (mut ledger, worker) = with_one_minute(engine)?;
    let good = worker.request(20, 22, vec![minute_posting(21, 11, 15, &some_spends(7))]);
    for (number, change) in MALFORMED.into_iter().enumerate() {
        let mut bad = good.clone();
        change(&mut bad);
        let answer = ledger.commit(&bad);
        assert!(
            matches!(answer, Err(LedgerError::Malformed(_))),
            "{number}: {answer:?}"
        );
    }
    unchanged(ledger.as_mut(), &worker)
}

const MALFORMED: [fn(&mut CommitRequest); 24] = [
    |commit| commit.through = commit.after,
    |commit| commit.through = Ordinal(1 << 63),
    |commit| commit.epoch = 0,
    |commit| commit.epoch = 1 << 63,
    |commit| commit.cursor.position = vec![0; 1025],
    |commit| commit.partition = super::sample::partition(1),
    |commit| commit.closed_before = Minute(20),
    |commit| commit.postings.push(top_up(1, 20, 16, 7)),
    |commit| commit.postings.push(top_up(1, 21, 15, 7)),
    |commit| commit.postings.push(top_up(1, 21, 21, 7)),
    |commit| {
        commit
            .postings
            .extend([top_up(1, 21, 16, 7), top_up(1, 21, 17, 7)])
    },
    |commit| commit.postings[0].first = Ordinal(10),
    |commit| commit.postings[0].first = Ordinal(16),
    |commit| commit.postings[0].reason = "x".repeat(1025),
    |commit| commit.postings[0].lines.clear(),
    |commit| commit.postings[0].lines.swap(0, 1),
    |commit| commit.postings[0].lines[0].amount.0 += 1,
    |commit| commit.postings[0].lines[0].clicks = None,
    |commit| commit.postings[0].lines[0].campaign = None,
    |commit| commit.postings[0].kind = Kind::TopUp(command(1)),
    |commit| {
        let line = commit.postings[0].lines[0];
        commit.postings[0].lines = vec![line; LINES_MAX + 1];
    },
    // Balanced over all, but not in each currency.
    |commit| {
        let euro: Currency = "EUR".parse().unwrap();
        let last = commit.postings[0].lines.last_mut().unwrap();
        last.account = Account::new(Holder::Revenue, euro);
        commit.postings[0].sort();
    },
    |commit| {
        let mut silent = adjustment(16);
        silent.reason = String::from(" ");
        commit.postings.push(silent);
    },
    // A publisher's money cannot come from outside.
    |commit| {
        let outside = account(Holder::Outside);
        commit.postings.push(transfer(
            Kind::TopUp(command(1)),
            21,
            16,
            outside,
            payable(3),
        ));
    },
];

fn adjustment(ordinal: u64) -> Posting {
    let from = account(Holder::Adjustments);
    transfer(Kind::Adjustment(command(9)), 21, ordinal, from, prepaid(7))
}

pub(super) fn an_overflow_changes_nothing(engine: &mut dyn Engine) -> Result<(), LedgerError> {
    engine.fresh(1)?;
    let mut ledger = engine.connect()?;
    let mut worker = Worker::start(ledger.as_mut(), 0)?;
    let all = (account(Holder::Outside), prepaid(7), i64::MAX);
    worker.command(ledger.as_mut(), 5, |ordinal| {
        transfer_of(Kind::TopUp(command(1)), 5, ordinal, all)
    })?;
    let one = (account(Holder::Outside), prepaid(8), 1);
    let more = transfer_of(Kind::TopUp(command(2)), 5, 2, one);
    let answer = ledger.commit(&worker.request(2, 5, vec![more]));
    let full = account(Holder::Outside);
    assert!(
        matches!(answer, Err(LedgerError::Overflow(account)) if account == full),
        "{answer:?}"
    );
    assert_eq!(ledger.balance(prepaid(8))?.net(), Micros::ZERO);
    unchanged(ledger.as_mut(), &worker)?;
    // Within one commit too.
    let lines = vec![
        Line::plain(prepaid(7), Micros(i64::MIN)),
        Line::plain(payable(3), Micros(i64::MAX)),
        Line::plain(account(Holder::Adjustments), Micros(1)),
    ];
    let posting = Posting {
        lines,
        ..adjustment(2)
    };
    let answer = ledger.commit(&worker.request(2, 21, vec![posting]));
    assert!(
        matches!(answer, Err(LedgerError::Overflow(_))),
        "{answer:?}"
    );
    unchanged(ledger.as_mut(), &worker)
}

fn with_one_minute(
    engine: &mut dyn Engine,
) -> Result<(Box<dyn Ledger + Send>, Worker), LedgerError> {
    engine.fresh(1)?;
    let mut ledger = engine.connect()?;
    let mut worker = Worker::start(ledger.as_mut(), 0)?;
    worker.minute(ledger.as_mut(), 20, &some_spends(7))?;
    Ok((ledger, worker))
}

fn unchanged(ledger: &mut dyn Ledger, worker: &Worker) -> Result<(), LedgerError> {
    assert_eq!(ledger.watermark(worker.lease.partition)?, worker.at);
    verified(ledger)?;
    Ok(())
}

/// The books as text.
pub(super) fn text(ledger: &mut dyn Ledger) -> Result<String, LedgerError> {
    let mut out = Vec::new();
    match books::write(ledger, &mut out) {
        Ok(()) => Ok(String::from_utf8(out).unwrap()),
        Err(books::BooksError::Ledger(error)) => Err(error),
        Err(error) => panic!("{error}"),
    }
}
