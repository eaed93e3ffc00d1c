//! Recomputes a ledger from its lines and names the first thing that is wrong. Never writes.
//!
//! Order: the ledger's own row; then partition by partition the chain, posting by posting, and
//! the watermark and lease against it; then all accounts against the sums of their lines; then
//! the hourly roots against the chains; at last the engine's own check of its files. Rows that
//! were cut off at the end of a chain are missed by the watermark; if that was set back too, by
//! the hourly roots; if those too, by the published roots that the caller hands in.
//!
//! Memory grows with accounts, not with postings. On a live ledger it sees one state.

use std::collections::BTreeMap;

use tollgate_click::{Minute, Ordinal, PartitionId};

use super::LedgerReads;
use super::account::{Account, Balance};
use super::commit::add;
use super::errors::{Fault, LedgerError, Place};
use super::hash::Hash;
use super::stored::{Hour, HourlyRoot, Identity, StoredPosting, Watermark};

/// Postings read at once.
const POSTINGS_PAGE: u32 = 8;
/// Accounts and roots read at once.
const PAGE: u32 = 1024;

/// What was found sound.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Verified {
    /// Postings.
    pub postings: u64,
    /// Lines of them.
    pub lines: u64,
    /// Accounts.
    pub accounts: u64,
    /// Hourly roots.
    pub roots: u64,
    /// The newest hourly root.
    pub newest: Option<HourlyRoot>,
}

/// How far a check has come.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Progress {
    /// Postings that were checked.
    pub postings: u64,
    /// Postings there are, by the watermarks.
    pub postings_total: u64,
}

/// An hourly root as it was published, kept outside the ledger.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Published {
    /// The hour.
    pub hour: Hour,
    /// Its root.
    pub root: Hash,
}

/// Checks everything; [`LedgerError::Corrupt`] names the first wrong entry.
pub fn verify(
    ledger: &mut dyn LedgerReads,
    published: &[Published],
    progress: &mut dyn FnMut(Progress),
) -> Result<Verified, LedgerError> {
    ledger.pin()?;
    let verified = Check::new(published, progress).run(ledger);
    let unpinned = ledger.unpin();
    let verified = verified?;
    unpinned?;
    Ok(verified)
}

struct Check<'a> {
    published: &'a [Published],
    progress: &'a mut dyn FnMut(Progress),
    postings_total: u64,
    verified: Verified,
    sums: BTreeMap<Account, Balance>,
}

impl<'a> Check<'a> {
    fn new(published: &'a [Published], progress: &'a mut dyn FnMut(Progress)) -> Check<'a> {
        Check {
            published,
            progress,
            postings_total: 0,
            verified: Verified::default(),
            sums: BTreeMap::new(),
        }
    }

    fn run(mut self, ledger: &mut dyn LedgerReads) -> Result<Verified, LedgerError> {
        let identity = ledger.identity()?;
        let partitions = (0..identity.partitions).map(PartitionId::new);
        let partitions: Vec<PartitionId> =
            partitions.collect::<Result<_, _>>().map_err(|error| {
                Fault::new(Place::Identity, "partitions", "a number in range", error)
            })?;
        for partition in &partitions {
            self.postings_total += ledger.watermark(*partition)?.postings;
        }
        for partition in partitions {
            self.chain(ledger, partition)?;
        }
        self.accounts(ledger)?;
        self.roots(ledger, &identity)?;
        ledger.check_storage()?;
        Ok(self.verified)
    }

    /// One partition's postings from the first on, then its watermark and lease.
    fn chain(
        &mut self,
        ledger: &mut dyn LedgerReads,
        partition: PartitionId,
    ) -> Result<(), LedgerError> {
        let mut at = Watermark::start(partition);
        loop {
            let page = ledger.chain(partition, at.postings, POSTINGS_PAGE)?;
            if page.is_empty() {
                break;
            }
            for stored in &page {
                self.posting(&mut at, stored)?;
            }
            (self.progress)(Progress {
                postings: self.verified.postings,
                postings_total: self.postings_total,
            });
        }
        let watermark = ledger.watermark(partition)?;
        let missing = Place::Posting(partition, at.postings + 1);
        if at.postings < watermark.postings {
            return Err(Fault::new(missing, "posting", "one", "none").into());
        }
        let place = Place::Watermark(partition);
        Fault::unless_equal(place, "postings", at.postings, watermark.postings)?;
        Fault::unless_equal(place, "head", at.head, watermark.head)?;
        at_least(place, "ordinal", at.ordinal.0, watermark.ordinal.0)?;
        at_least(
            place,
            "first open minute",
            at.closed_before.0,
            watermark.closed_before.0,
        )?;
        at_least(place, "epoch", at.epoch, watermark.epoch)?;
        let lease = ledger.lease(partition)?;
        at_least(
            Place::Lease(partition),
            "epoch",
            watermark.epoch,
            lease.epoch,
        )?;
        Ok(())
    }

    /// One posting after those that `at` stands behind.
    fn posting(&mut self, at: &mut Watermark, stored: &StoredPosting) -> Result<(), LedgerError> {
        let posting = &stored.posting;
        let place = Place::Posting(at.partition, at.postings + 1);
        Fault::unless_equal(place, "number", at.postings + 1, stored.number)?;
        posting
            .check()
            .map_err(|error| Fault::new(place, "posting", "a well-formed one", error))?;
        let above = at.ordinal.0.saturating_add(1);
        at_least(place, "first ordinal", above, posting.first.0)?;
        at_least(place, "minute", at.closed_before.0, posting.minute.0)?;
        at_least(place, "epoch", at.epoch, stored.epoch)?;
        Fault::unless_equal(place, "previous hash", at.head, stored.previous)?;
        let hash = posting.hash(&at.head, at.partition, stored.number);
        Fault::unless_equal(place, "hash", hash, stored.hash)?;
        for line in &posting.lines {
            add(&mut self.sums, line.account, line.amount)?;
        }
        self.verified.postings += 1;
        self.verified.lines += posting.lines.len() as u64;
        at.postings = stored.number;
        at.head = hash;
        at.ordinal = Ordinal(posting.last.0);
        at.closed_before = Minute(posting.minute.0);
        at.epoch = stored.epoch;
        Ok(())
    }

    /// Each account against the sum of its lines; both are in the order of codes.
    fn accounts(&mut self, ledger: &mut dyn LedgerReads) -> Result<(), LedgerError> {
        let mut sums = std::mem::take(&mut self.sums).into_iter();
        let mut after = None;
        loop {
            let page = ledger.balances(after, PAGE)?;
            let Some((last, _)) = page.last() else {
                break;
            };
            after = Some(*last);
            for (account, balance) in page {
                let Some((summed, sum)) = sums.next() else {
                    let place = Place::Account(account.code());
                    return Err(Fault::new(place, "account", "none", shown(&balance)).into());
                };
                let place = Place::Account(summed.min(account).code());
                Fault::unless_equal(place, "account", summed, account)?;
                let (expected, found) = (shown(&sum), shown(&balance));
                Fault::unless_equal(place, "sum of its lines", expected, found)?;
                self.verified.accounts += 1;
            }
        }
        match sums.next() {
            None => Ok(()),
            Some((account, sum)) => {
                let place = Place::Account(account.code());
                Err(Fault::new(
                    place,
                    "sum of its lines",
                    shown(&sum),
                    "no account",
                ))?
            }
        }
    }

    /// Each hourly root against the chains as they stood at the end of its hour.
    fn roots(
        &mut self,
        ledger: &mut dyn LedgerReads,
        identity: &Identity,
    ) -> Result<(), LedgerError> {
        let mut last = HourlyRoot::none();
        let mut found = BTreeMap::new();
        loop {
            let page = ledger.hourly_roots(last.number, PAGE)?;
            if page.is_empty() {
                break;
            }
            for stored in page {
                let place = Place::HourlyRoot(stored.hour);
                if last.number > 0 {
                    at_least(place, "hour", last.hour.0 + 1, stored.hour.0)?;
                }
                let root =
                    HourlyRoot::compute(&last, stored.hour, &ledger.heads(stored.hour.end())?);
                Fault::unless_equal(place, "number", root.number, stored.number)?;
                Fault::unless_equal(place, "previous root", root.previous, stored.previous)?;
                Fault::unless_equal(place, "root", root.root, stored.root)?;
                if self.published.iter().any(|known| known.hour == stored.hour) {
                    found.insert(stored.hour, stored.root);
                }
                last = stored;
                self.verified.newest = Some(stored);
            }
        }
        Fault::unless_equal(Place::Identity, "hourly roots", last.number, identity.roots)?;
        Fault::unless_equal(
            Place::Identity,
            "newest hourly root",
            last.root,
            identity.root,
        )?;
        self.verified.roots = last.number;
        Ok(self.published(&found)?)
    }

    fn published(&self, roots: &BTreeMap<Hour, Hash>) -> Result<(), Fault> {
        for known in self.published {
            let place = Place::HourlyRoot(known.hour);
            let found = roots
                .get(&known.hour)
                .map_or(String::from("none"), Hash::to_string);
            Fault::unless_equal(place, "published root", known.root.to_string(), found)?;
        }
        Ok(())
    }
}

fn at_least<T: PartialOrd + std::fmt::Display>(
    place: Place,
    what: &'static str,
    least: T,
    found: T,
) -> Result<(), Fault> {
    if found >= least {
        Ok(())
    } else {
        Err(Fault::new(place, what, format!("at least {least}"), found))
    }
}

fn shown(balance: &Balance) -> String {
    format!("debits {} credits {}", balance.debits.0, balance.credits.0)
}
