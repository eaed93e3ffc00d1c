//! Random histories against a naive model: plain maps, no chains, no SQL.

use std::collections::BTreeMap;

use super::sample::{
    Spend, Worker, account, command, minute_posting, partition, prepaid, top_up, transfer_of,
};
use super::{Engine, verified};
use crate::ledger::{Account, Holder, Kind, Ledger, LedgerError, Outcome, Posting};

/// Numbers from a seed (SplitMix64).
#[derive(Clone, Copy, Debug)]
pub struct Random(pub u64);

impl Random {
    /// A number below `end`, which is not 0.
    pub fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (mixed ^ (mixed >> 31)) % end
    }
}

const PARTITIONS: u16 = 3;

/// Commits `steps` random requests, some twice, some by workers that were replaced, and compares
/// balances and postings with plain sums of what was accepted.
pub fn run(engine: &mut dyn Engine, seed: u64, steps: u32) -> Result<(), LedgerError> {
    eprintln!("ledger model: seed {seed}, {steps} steps");
    let mut random = Random(seed);
    engine.fresh(PARTITIONS)?;
    let mut ledger = engine.connect()?;
    let ledger = ledger.as_mut();
    let mut workers: Vec<Worker> = (0..PARTITIONS)
        .map(|number| Worker::start(ledger, number))
        .collect::<Result<_, _>>()?;
    let mut balances: BTreeMap<Account, i128> = BTreeMap::new();
    let mut postings = 0;
    for step in 0..steps {
        let chosen = random.below(u64::from(PARTITIONS)) as usize;
        let worker = &mut workers[chosen];
        if random.below(8) == 0 {
            let zombie = worker.clone();
            *worker = Worker::start(ledger, chosen as u16)?;
            let late = zombie.request(zombie.next(), zombie.at.closed_before.0, vec![]);
            let epoch = worker.lease.epoch;
            assert_eq!(ledger.commit(&late)?, Outcome::Fenced { epoch });
        }
        let request = {
            let (through, open, made) = some_postings(&mut random, worker, step);
            worker.request(through, open, made)
        };
        worker.commit(ledger, &request)?;
        for _ in 0..random.below(3) {
            let again = ledger.commit(&request)?;
            assert_eq!(again, Outcome::AlreadyApplied(worker.at.clone()));
        }
        postings += request.postings.len() as u64;
        for line in request.postings.iter().flat_map(|posting| &posting.lines) {
            *balances.entry(line.account).or_default() += i128::from(line.amount.0);
        }
    }
    compare(ledger, &balances)?;
    assert_eq!(verified(ledger)?.postings, postings);
    Ok(())
}

fn compare(ledger: &mut dyn Ledger, balances: &BTreeMap<Account, i128>) -> Result<(), LedgerError> {
    assert_eq!(balances.values().sum::<i128>(), 0);
    let found = ledger.balances(None, u32::MAX)?;
    let found: BTreeMap<Account, i128> = found
        .into_iter()
        .map(|(account, found)| (account, i128::from(found.net().0)))
        .collect();
    assert_eq!(&found, balances);
    for id in (0..PARTITIONS).map(partition) {
        for stored in ledger.chain(id, 0, u32::MAX)? {
            let amounts = stored
                .posting
                .lines
                .iter()
                .map(|line| i128::from(line.amount.0));
            assert_eq!(amounts.sum::<i128>(), 0);
        }
    }
    Ok(())
}

/// Up to three postings, where the commit ends and which minute is open after it.
fn some_postings(random: &mut Random, worker: &Worker, step: u32) -> (u64, u32, Vec<Posting>) {
    let mut next = worker.next();
    let mut minute = worker.at.closed_before.0;
    let mut postings = Vec::new();
    for part in 0..random.below(4) {
        let first = next + random.below(5);
        let last = first + random.below(20);
        minute += random.below(2) as u32;
        let id = u64::from(step) * 4 + part;
        let advertiser = random.below(5) as u32;
        let other = account(Holder::Adjustments);
        let amount = 1 + random.below(1_000_000_000) as i64;
        postings.push(match random.below(4) {
            0 => top_up(id, minute, last, advertiser),
            1 => {
                let kind = Kind::Adjustment(command(id));
                transfer_of(kind, minute, last, (prepaid(advertiser), other, amount))
            }
            _ => {
                let spends: Vec<Spend> =
                    (0..=random.below(6)).map(|_| some_spend(random)).collect();
                minute_posting(minute, first, last, &spends)
            }
        });
        next = last + 1;
    }
    (
        next + random.below(10),
        minute + random.below(2) as u32,
        postings,
    )
}

fn some_spend(random: &mut Random) -> Spend {
    let advertiser = random.below(5) as u32;
    Spend {
        advertiser,
        campaign: u64::from(advertiser) * 10 + random.below(3),
        publisher: random.below(4) as u32,
        price: random.below(1_000_000) as i64,
        clicks: 1 + random.below(4),
    }
}
