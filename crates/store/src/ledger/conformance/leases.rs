//! Who may post.

use std::thread;

use super::sample::{Worker, partition, some_spends};
use super::{Engine, verified};
use crate::ledger::posting::COUNTER_MAX;
use crate::ledger::{Acquire, Grant, Lease, Ledger, LedgerError, Outcome};

fn ask(owner: &str) -> Acquire<'_> {
    Acquire {
        partition: partition(0),
        owner,
        ttl_ms: 600_000,
        epoch_above: 0,
    }
}

fn granted(grant: Grant) -> Lease {
    match grant {
        Grant::Granted(lease) => lease,
        Grant::Held(lease) => panic!("held by {lease:?}"),
    }
}

fn held(grant: Grant) -> Lease {
    match grant {
        Grant::Granted(lease) => panic!("granted {lease:?}"),
        Grant::Held(lease) => lease,
    }
}

pub(super) fn an_older_epoch_is_fenced(engine: &mut dyn Engine) -> Result<(), LedgerError> {
    engine.fresh(2)?;
    let (mut ledger, mut other) = (engine.connect()?, engine.connect()?);
    let mut zombie = Worker::start(ledger.as_mut(), 0)?;
    zombie.minute(ledger.as_mut(), 5, &some_spends(7))?;
    // A second process takes over; the first has not heard.
    let mut worker = Worker::start(other.as_mut(), 0)?;
    assert!(worker.lease.epoch > zombie.lease.epoch);
    let late = zombie.request(20, 7, vec![]);
    let fenced = Outcome::Fenced {
        epoch: worker.lease.epoch,
    };
    assert_eq!(ledger.commit(&late)?, fenced);
    worker.minute(other.as_mut(), 6, &some_spends(7))?;
    assert_eq!(ledger.commit(&late)?, fenced);
    let current = held(ledger.renew(&zombie.lease, 1)?);
    assert_eq!(current, worker.lease);
    // Its giving back does not take the lease from the new holder.
    ledger.release(&zombie.lease)?;
    assert_eq!(ledger.lease(partition(0))?, worker.lease);
    // An epoch that the ledger never gave (it was restored from a copy) is refused as well.
    let mut ahead = worker.request(40, 8, vec![]);
    ahead.epoch += 1;
    assert_eq!(other.commit(&ahead)?, fenced);
    // Another partition's lease is another matter, and without one nothing is posted.
    let mut elsewhere = worker.request(30, 8, vec![]);
    elsewhere.partition = partition(1);
    assert_eq!(other.commit(&elsewhere)?, Outcome::Fenced { epoch: 0 });
    assert_eq!(ledger.watermark(partition(0))?, worker.at);
    verified(other.as_mut())?;
    Ok(())
}

pub(super) fn a_lease_has_one_holder(engine: &mut dyn Engine) -> Result<(), LedgerError> {
    engine.fresh(1)?;
    let (mut one, mut two) = (engine.connect()?, engine.connect()?);
    let first = granted(one.acquire(&ask("one"))?);
    assert!(first.until > one.clock()?);
    assert_eq!(held(two.acquire(&ask("two"))?), first);
    assert_eq!(two.lease(partition(0))?, first);
    // The same owner, started again, does not wait for itself.
    let again = granted(two.acquire(&ask("one"))?);
    assert_eq!(again.epoch, first.epoch + 1);
    assert_eq!(held(one.renew(&first, 600_000)?), again);
    let longer = granted(two.renew(&again, 1_200_000)?);
    assert!(longer.epoch == again.epoch && longer.until > again.until);
    // Given back, or run out, it is free.
    two.release(&longer)?;
    let brief = Acquire {
        ttl_ms: 0,
        ..ask("two")
    };
    let brief = granted(one.acquire(&brief)?);
    assert_eq!(brief.epoch, again.epoch + 1);
    let last = granted(two.acquire(&ask("one"))?);
    assert_eq!(last.epoch, brief.epoch + 1);
    assert!(matches!(
        one.acquire(&ask("")),
        Err(LedgerError::Malformed(_))
    ));
    Ok(())
}

pub(super) fn epochs_only_rise(engine: &mut dyn Engine) -> Result<(), LedgerError> {
    engine.fresh(1)?;
    let mut ledger = engine.connect()?;
    let above = |epoch_above| Acquire {
        epoch_above,
        ..ask("one")
    };
    let epochs: Vec<u64> = [0, 0, 41, 7, 42]
        .into_iter()
        .map(|least| {
            ledger
                .acquire(&above(least))
                .map(|grant| granted(grant).epoch)
        })
        .collect::<Result<_, _>>()?;
    assert_eq!(epochs, [1, 2, 42, 43, 44]);
    let top = granted(ledger.acquire(&above(COUNTER_MAX - 1))?);
    assert_eq!(top.epoch, COUNTER_MAX);
    let over = ledger.acquire(&above(COUNTER_MAX));
    assert!(matches!(over, Err(LedgerError::Malformed(_))), "{over:?}");
    Ok(())
}

/// Four processes take the lease from each other and post whenever they have it.
pub(super) fn workers_that_race_post_once(engine: &mut dyn Engine) -> Result<(), LedgerError> {
    engine.fresh(1)?;
    let ledgers: Vec<_> = (0..4).map(|_| engine.connect()).collect::<Result<_, _>>()?;
    let race = |mut ledger: Box<dyn Ledger + Send>| -> Result<u64, LedgerError> {
        let mut posted = 0;
        for _ in 0..10 {
            let mut worker = retry(|| Worker::start(ledger.as_mut(), 0))?;
            for _ in 0..3 {
                let (first, minute) = (worker.next(), worker.at.closed_before.0);
                let posting = super::sample::minute_posting(minute, first, first, &some_spends(7));
                let request = worker.request(first, minute + 1, vec![posting]);
                match retry(|| ledger.commit(&request))? {
                    Outcome::Committed(at) => worker.at = at,
                    Outcome::Fenced { .. } => break,
                    // Another worker has posted between this one's lease and its look.
                    other => panic!("{other:?}"),
                }
                posted += 1;
            }
        }
        Ok(posted)
    };
    let posted: u64 = thread::scope(|scope| {
        let threads: Vec<_> = ledgers
            .into_iter()
            .map(|ledger| scope.spawn(move || race(ledger)))
            .collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap())
            .sum::<Result<u64, _>>()
    })?;
    let mut ledger = engine.connect()?;
    assert!(posted > 0);
    assert_eq!(ledger.watermark(partition(0))?.postings, posted);
    assert_eq!(verified(ledger.as_mut())?.postings, posted);
    Ok(())
}

fn retry<T>(mut call: impl FnMut() -> Result<T, LedgerError>) -> Result<T, LedgerError> {
    loop {
        match call() {
            Err(error) if error.retryable() => thread::yield_now(),
            answer => return answer,
        }
    }
}
