//! The worker's side of the ledger: leases, commits, and what is done when a call fails.

use tollgate_click::PartitionId;
use tollgate_store::ledger::{
    Acquire, CommitRequest, Fault, Grant, Hour, Lease, Ledger, LedgerError, Outcome, Place,
    Publication, Watermark,
};

use super::patience::{GaveUp, Patience};

/// How long a lease holds; a worker renews it well before.
const LEASE_MS: u64 = 180_000;

/// Opens the ledger, at the start and again after it has failed.
pub(crate) type OpenLedger = Box<dyn Fn() -> Result<Box<dyn Ledger + Send>, LedgerError> + Send>;

/// A ledger that is opened again when it has failed.
pub(super) struct Books {
    open: OpenLedger,
    ledger: Option<Box<dyn Ledger + Send>>,
}

/// Why a partition cannot go on with the ledger.
pub(super) enum Trouble {
    /// The worker was told to stop.
    GaveUp,
    /// The partition halts.
    Halt(String),
}

impl From<GaveUp> for Trouble {
    fn from(_: GaveUp) -> Trouble {
        Trouble::GaveUp
    }
}

impl Books {
    pub(super) fn new(open: OpenLedger) -> Books {
        Books { open, ledger: None }
    }

    /// Does one thing with the ledger, until it succeeds or fails for good. Whether a call that
    /// failed has committed may be unknown: the ledger is opened again and the same call repeated,
    /// which every call allows.
    fn call<T>(
        &mut self,
        patience: &mut dyn Patience,
        mut work: impl FnMut(&mut dyn Ledger) -> Result<T, LedgerError>,
    ) -> Result<T, Trouble> {
        loop {
            let done = match &mut self.ledger {
                Some(ledger) => work(&mut **ledger),
                None => match (self.open)() {
                    Ok(ledger) => {
                        self.ledger = Some(ledger);
                        continue;
                    }
                    Err(error) => Err(error),
                },
            };
            match done {
                Ok(done) => return Ok(done),
                Err(error @ (LedgerError::Busy | LedgerError::Full(_))) => {
                    patience.wait(&error.to_string())?;
                }
                Err(error @ LedgerError::Uncertain(_)) => {
                    self.ledger = None;
                    patience.wait(&error.to_string())?;
                }
                Err(error) => {
                    self.ledger = None; // it writes nothing more after it has met damage
                    return Err(Trouble::Halt(error.to_string()));
                }
            }
        }
    }

    /// The newest epoch of any lease that can be read; whoever needs another one will say so.
    pub(super) fn newest_epoch(
        &mut self,
        partitions: &[PartitionId],
        patience: &mut dyn Patience,
    ) -> Result<u64, GaveUp> {
        let mut newest = 0;
        for partition in partitions {
            match self.call(patience, |ledger| ledger.lease(*partition)) {
                Ok(lease) => newest = newest.max(lease.epoch),
                Err(Trouble::GaveUp) => return Err(GaveUp),
                Err(Trouble::Halt(_)) => {}
            }
        }
        Ok(newest)
    }

    /// Takes a partition's lease, with an epoch above that one.
    pub(super) fn acquire(
        &mut self,
        partition: PartitionId,
        owner: &str,
        epoch_above: u64,
        patience: &mut dyn Patience,
    ) -> Result<Lease, Trouble> {
        let request = Acquire {
            partition,
            owner,
            ttl_ms: LEASE_MS,
            epoch_above,
        };
        match self.call(patience, |ledger| ledger.acquire(&request))? {
            Grant::Granted(lease) => Ok(lease),
            Grant::Held(lease) => Err(Trouble::Halt(held(&lease))),
        }
    }

    /// Holds a lease for longer.
    pub(super) fn renew(
        &mut self,
        lease: &Lease,
        patience: &mut dyn Patience,
    ) -> Result<(), Trouble> {
        match self.call(patience, |ledger| ledger.renew(lease, LEASE_MS))? {
            Grant::Granted(_) => Ok(()),
            Grant::Held(other) => Err(Trouble::Halt(held(&other))),
        }
    }

    /// How far a partition is posted. Its last posting is read and hashed again, so that nothing
    /// is chained to damage.
    pub(super) fn watermark(
        &mut self,
        partition: PartitionId,
        patience: &mut dyn Patience,
    ) -> Result<Watermark, Trouble> {
        self.call(patience, |ledger| {
            let at = ledger.watermark(partition)?;
            check_last(ledger, &at)?;
            Ok(at)
        })
    }

    /// Commits; done when the ledger has it, now or before.
    pub(super) fn commit(
        &mut self,
        request: &CommitRequest,
        patience: &mut dyn Patience,
    ) -> Result<(), Trouble> {
        let halt = |why| Err(Trouble::Halt(why));
        match self.call(patience, |ledger| ledger.commit(request))? {
            Outcome::Committed(_) | Outcome::AlreadyApplied(_) => Ok(()),
            Outcome::Fenced { epoch } => halt(format!(
                "another worker has taken over with epoch {epoch}; this one had {}",
                request.epoch
            )),
            Outcome::Gap(at) => halt(format!(
                "the ledger stands at record {}, before {}, where this worker has put it",
                at.ordinal, request.after
            )),
            Outcome::Conflict(conflict) => halt(format!(
                "the ledger holds something else for records {} to {}: {conflict:?}",
                request.after.0 + 1,
                request.through
            )),
        }
    }

    /// Makes the root of an hour, if every partition has closed it.
    pub(super) fn publish(
        &mut self,
        hour: Hour,
        patience: &mut dyn Patience,
    ) -> Result<Publication, Trouble> {
        self.call(patience, |ledger| ledger.publish(hour))
    }
}

fn held(lease: &Lease) -> String {
    let (owner, epoch, until) = (&lease.owner, lease.epoch, lease.until);
    format!("worker {owner:?} holds the partition with epoch {epoch} until {until} ms")
}

fn check_last(ledger: &mut dyn Ledger, at: &Watermark) -> Result<(), LedgerError> {
    let Some(before) = at.postings.checked_sub(1) else {
        return Ok(());
    };
    let last = ledger.chain(at.partition, before, 1)?.into_iter().next();
    let place = Place::Posting(at.partition, at.postings);
    let Some(last) = last else {
        return Err(Fault::new(place, "posting", "one", "none").into());
    };
    let hash = last.posting.hash(&last.previous, at.partition, last.number);
    if hash != at.head || last.hash != at.head {
        return Err(Fault::new(place, "hash", at.head, hash).into());
    }
    Ok(())
}
