//! Stores that die: after a number of calls that write, everything fails for ever.

use std::io;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tollgate_click::{Millis, Minute, Ordinal, PartitionId};
use tollgate_store::lake::Objects;
use tollgate_store::lake::objects::{Entry, Put};
use tollgate_store::ledger::{
    Account, Acquire, Balance, CommandId, CommitRequest, Entry as LedgerEntry, EntryKey,
    EntryQuery, Grant, Head, Hour, HourlyRoot, Identity, Lease, Ledger, LedgerError, LedgerReads,
    Outcome, Publication, StoredPosting, Watermark,
};

use crate::worker::{GaveUp, Patience};

/// How long a process lives, counted in writes. The last one either has happened or has not.
#[derive(Debug)]
pub(crate) struct Life {
    left: AtomicU64,
    /// Whether the write that it dies in takes effect.
    pub(crate) last_counts: bool,
    pub(crate) writes: AtomicU64,
}

/// What becomes of a write.
enum Fate {
    Done,
    DoneAndDead,
    Dead,
}

impl Life {
    pub(crate) fn of(writes: u64, last_counts: bool) -> Arc<Life> {
        Arc::new(Life {
            left: AtomicU64::new(writes),
            last_counts,
            writes: AtomicU64::new(0),
        })
    }

    pub(crate) fn without_end() -> Arc<Life> {
        Life::of(u64::MAX, false)
    }

    fn fate(&self) -> Fate {
        self.writes.fetch_add(1, Ordering::Relaxed);
        let left = self.left.load(Ordering::Relaxed);
        self.left.store(left.saturating_sub(1), Ordering::Relaxed);
        match left {
            0 => Fate::Dead,
            1 if self.last_counts => Fate::DoneAndDead,
            1 => Fate::Dead,
            _ => Fate::Done,
        }
    }

    fn io<T>(&self, write: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
        let dead = || io::Error::other("dead");
        match self.fate() {
            Fate::Done => write(),
            Fate::DoneAndDead => write().and_then(|_| Err(dead())),
            Fate::Dead => Err(dead()),
        }
    }

    fn ledger<T>(&self, write: impl FnOnce() -> Result<T, LedgerError>) -> Result<T, LedgerError> {
        let dead = || LedgerError::Uncertain("dead".to_owned());
        match self.fate() {
            Fate::Done => write(),
            Fate::DoneAndDead => write().and_then(|_| Err(dead())),
            Fate::Dead => Err(dead()),
        }
    }
}

/// The dead do not wait.
pub(crate) struct NoPatience;

impl Patience for NoPatience {
    fn wait(&mut self, _why: &str) -> Result<(), GaveUp> {
        Err(GaveUp)
    }
}

pub(crate) struct MortalObjects<O> {
    pub(crate) life: Arc<Life>,
    pub(crate) inner: O,
}

impl<O: Objects> Objects for MortalObjects<O> {
    fn put_new(&self, name: &str, bytes: &[u8]) -> io::Result<Put> {
        self.life.io(|| self.inner.put_new(name, bytes))
    }

    fn put(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        self.life.io(|| self.inner.put(name, bytes))
    }

    fn settle(&self, name: &str) -> io::Result<()> {
        self.inner.settle(name)
    }

    fn size(&self, name: &str) -> io::Result<u64> {
        self.inner.size(name)
    }

    fn read(&self, name: &str, range: Range<u64>) -> io::Result<Vec<u8>> {
        self.inner.read(name, range)
    }

    fn list(&self, folder: &str) -> io::Result<Vec<Entry>> {
        self.inner.list(folder)
    }

    fn delete(&self, name: &str) -> io::Result<()> {
        self.life.io(|| self.inner.delete(name))
    }

    fn set_aside(&self, name: &str) -> io::Result<String> {
        self.life.io(|| self.inner.set_aside(name))
    }

    fn sweep_temporaries(&self, folder: &str) -> io::Result<u64> {
        self.inner.sweep_temporaries(folder)
    }
}

pub(crate) struct MortalLedger<L> {
    pub(crate) life: Arc<Life>,
    pub(crate) inner: L,
}

type Answer<T> = Result<T, LedgerError>;

impl<L: Ledger> Ledger for MortalLedger<L> {
    fn acquire(&mut self, request: &Acquire<'_>) -> Answer<Grant> {
        self.life.ledger(|| self.inner.acquire(request))
    }

    fn renew(&mut self, lease: &Lease, ttl_ms: u64) -> Answer<Grant> {
        self.life.ledger(|| self.inner.renew(lease, ttl_ms))
    }

    fn release(&mut self, lease: &Lease) -> Answer<()> {
        self.life.ledger(|| self.inner.release(lease))
    }

    fn commit(&mut self, request: &CommitRequest) -> Answer<Outcome> {
        self.life.ledger(|| self.inner.commit(request))
    }

    fn publish(&mut self, hour: Hour) -> Answer<Publication> {
        self.life.ledger(|| self.inner.publish(hour))
    }
}

impl<L: Ledger> LedgerReads for MortalLedger<L> {
    fn identity(&mut self) -> Answer<Identity> {
        self.inner.identity()
    }

    fn watermark(&mut self, partition: PartitionId) -> Answer<Watermark> {
        self.inner.watermark(partition)
    }

    fn lease(&mut self, partition: PartitionId) -> Answer<Lease> {
        self.inner.lease(partition)
    }

    fn balance(&mut self, account: Account) -> Answer<Balance> {
        self.inner.balance(account)
    }

    fn balances(&mut self, after: Option<Account>, limit: u32) -> Answer<Vec<(Account, Balance)>> {
        self.inner.balances(after, limit)
    }

    fn entries(
        &mut self,
        query: &EntryQuery,
        after: Option<EntryKey>,
        limit: u32,
    ) -> Answer<Vec<LedgerEntry>> {
        self.inner.entries(query, after, limit)
    }

    fn chain(
        &mut self,
        partition: PartitionId,
        after: u64,
        limit: u32,
    ) -> Answer<Vec<StoredPosting>> {
        self.inner.chain(partition, after, limit)
    }

    fn posting_at(
        &mut self,
        partition: PartitionId,
        ordinal: Ordinal,
    ) -> Answer<Option<StoredPosting>> {
        self.inner.posting_at(partition, ordinal)
    }

    fn posting_of(&mut self, command: CommandId) -> Answer<Option<StoredPosting>> {
        self.inner.posting_of(command)
    }

    fn heads(&mut self, before: Minute) -> Answer<Vec<Head>> {
        self.inner.heads(before)
    }

    fn hourly_roots(&mut self, after: u64, limit: u32) -> Answer<Vec<HourlyRoot>> {
        self.inner.hourly_roots(after, limit)
    }

    fn clock(&mut self) -> Answer<Millis> {
        self.inner.clock()
    }

    fn pin(&mut self) -> Answer<()> {
        self.inner.pin()
    }

    fn unpin(&mut self) -> Answer<()> {
        self.inner.unpin()
    }

    fn check_storage(&mut self) -> Answer<()> {
        self.inner.check_storage()
    }
}
