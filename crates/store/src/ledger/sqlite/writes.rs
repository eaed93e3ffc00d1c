//! The calls that write, each one transaction that holds SQLite's write lock from its start.

use std::collections::{BTreeMap, HashMap, HashSet};

use rusqlite::{Connection, Transaction, TransactionBehavior, params};
use tollgate_click::{CampaignId, Millis, PartitionId};

use super::SqliteLedger;
use super::columns::engine;
use super::reads::{balance, clock, heads, newest_root, postings_over, root_of};
use super::rows::{identity, lease, watermark};
use crate::ledger::account::{Account, Balance};
use crate::ledger::commit::{Link, Standing, sum};
use crate::ledger::errors::{Fault, LedgerError, Place};
use crate::ledger::posting::{COUNTER_MAX, Malformed};
use crate::ledger::stored::{
    Entry, EntryKey, Hour, HourlyRoot, Identity, Lease, PostingRow, Watermark, balance_seal,
};
use crate::ledger::{Acquire, CommitRequest, Conflict, Grant, Ledger, Outcome, Publication};

/// What is noted of the hour that each partition is in: accounts, and campaigns with theirs.
#[derive(Debug, Default)]
pub(super) struct Hours(HashMap<PartitionId, (Hour, Noted)>);

type Noted = HashSet<(i64, Option<CampaignId>)>;

impl Hours {
    fn of(&mut self, partition: PartitionId, hour: Hour) -> &mut Noted {
        let fresh = || (hour, Noted::new());
        let (noted_of, noted) = self.0.entry(partition).or_insert_with(fresh);
        if *noted_of != hour {
            *noted_of = hour;
            noted.clear();
        }
        noted
    }
}

impl Ledger for SqliteLedger {
    fn acquire(&mut self, request: &Acquire<'_>) -> Result<Grant, LedgerError> {
        self.known(request.partition)?;
        if request.owner.is_empty() {
            return Err(Malformed::Field("a lease needs an owner").into());
        }
        if request.epoch_above >= COUNTER_MAX {
            return Err(Malformed::Field("epochs are used up").into());
        }
        self.write(|begun| acquire(begun, request))
    }

    fn renew(&mut self, held: &Lease, ttl_ms: u64) -> Result<Grant, LedgerError> {
        self.known(held.partition)?;
        self.write(|begun| {
            let mut now = lease(begun, held.partition)?;
            if (now.epoch, &now.owner) != (held.epoch, &held.owner) {
                return Ok(Grant::Held(now));
            }
            now.until = clock()?.plus_ms(ttl_ms);
            put_lease(begun, &now)?;
            Ok(Grant::Granted(now))
        })
    }

    fn release(&mut self, held: &Lease) -> Result<(), LedgerError> {
        self.known(held.partition)?;
        self.write(|begun| {
            let mut now = lease(begun, held.partition)?;
            if now.epoch == held.epoch {
                now.owner.clear();
                now.until = Millis(0);
                put_lease(begun, &now)?;
            }
            Ok(())
        })
    }

    fn commit(&mut self, request: &CommitRequest) -> Result<Outcome, LedgerError> {
        self.known(request.partition)?;
        request.check()?;
        // What is in it was committed by this connection, and nothing is ever removed.
        let mut hours = std::mem::take(&mut self.hours);
        let unsound = std::mem::take(&mut self.unsound);
        let done = self.write(|begun| commit(begun, request, &mut hours, &unsound));
        self.unsound = unsound;
        if matches!(done, Ok(Outcome::Committed(_))) {
            self.hours = hours;
        }
        done
    }

    fn publish(&mut self, hour: Hour) -> Result<Publication, LedgerError> {
        let partitions = self.partitions()?;
        self.write(|begun| publish(begun, &partitions, hour))
    }
}

impl SqliteLedger {
    /// Runs `work` in a transaction: committed when it succeeds, rolled back when it fails.
    fn write<T>(
        &mut self,
        work: impl FnOnce(&Transaction<'_>) -> Result<T, LedgerError>,
    ) -> Result<T, LedgerError> {
        if self.failed {
            let why = "an earlier call has failed; open the ledger again";
            return Err(LedgerError::Uncertain(why.to_owned()));
        }
        if !self.connection.is_autocommit() {
            return Err(Malformed::Field("a pinned connection does not write").into());
        }
        let done = transact(&mut self.connection, work);
        if let Err(error) = &done {
            let broken = matches!(error, LedgerError::Uncertain(_) | LedgerError::Corrupt(_));
            let clean = self.rolled_back();
            self.failed = broken || !clean;
        }
        done
    }

    /// Whether no transaction is left open; a failed one may have ended by itself or not.
    fn rolled_back(&self) -> bool {
        self.connection.is_autocommit() || self.connection.execute_batch("ROLLBACK").is_ok()
    }
}

fn transact<T>(
    connection: &mut Connection,
    work: impl FnOnce(&Transaction<'_>) -> Result<T, LedgerError>,
) -> Result<T, LedgerError> {
    let begun = connection
        .transaction_with_behavior(TransactionBehavior::Immediate)
        .map_err(engine(Place::Storage))?;
    let done = work(&begun)?;
    begun.commit().map_err(engine(Place::Storage))?;
    Ok(done)
}

fn acquire(begun: &Transaction<'_>, request: &Acquire<'_>) -> Result<Grant, LedgerError> {
    let now = clock()?;
    let held = lease(begun, request.partition)?;
    if !held.owner.is_empty() && held.owner != request.owner && held.until > now {
        return Ok(Grant::Held(held));
    }
    let lease = Lease {
        partition: request.partition,
        epoch: held.epoch.max(request.epoch_above).saturating_add(1),
        owner: request.owner.to_owned(),
        until: now.plus_ms(request.ttl_ms),
    };
    put_lease(begun, &lease)?;
    Ok(Grant::Granted(lease))
}

fn commit(
    begun: &Transaction<'_>,
    request: &CommitRequest,
    hours: &mut Hours,
    unsound: &BTreeMap<i64, Fault>,
) -> Result<Outcome, LedgerError> {
    let newest = lease(begun, request.partition)?.epoch;
    if newest != request.epoch {
        return Ok(Outcome::Fenced { epoch: newest });
    }
    let at = watermark(begun, request.partition)?;
    match request.standing(&at) {
        Standing::Next => {}
        Standing::Gap => return Ok(Outcome::Gap(at)),
        Standing::Across => {
            return Ok(Outcome::Conflict(Conflict::Cut {
                ordinal: at.ordinal,
            }));
        }
        Standing::Past => {
            let stored = postings_over(begun, at.partition, request.after, request.through)?;
            return Ok(match request.compare(&stored) {
                Ok(()) => Outcome::AlreadyApplied(at),
                Err(conflict) => Outcome::Conflict(conflict),
            });
        }
    }
    for posting in &request.postings {
        if let Some(command) = posting.kind.command()
            && command_is_posted(begun, &command.0)?
        {
            return Ok(Outcome::Conflict(Conflict::Command(command)));
        }
    }
    let rows = match request.rows(&at) {
        Ok(rows) => rows,
        Err(conflict) => return Ok(Outcome::Conflict(conflict)),
    };
    // Accounts first: entries refer to them.
    for (account, change) in request.changes()? {
        if let Some(fault) = unsound.get(&account.code()) {
            return Err(fault.clone().into());
        }
        put_balance(begun, account, change)?;
    }
    for link in &rows.links {
        put_posting(begun, request, link)?;
        put_entries(begun, request.partition, link)?;
        put_hours(begun, request.partition, link, hours)?;
    }
    put_watermark(begun, &rows.watermark)?;
    Ok(Outcome::Committed(rows.watermark))
}

fn publish(
    begun: &Transaction<'_>,
    partitions: &[PartitionId],
    hour: Hour,
) -> Result<Publication, LedgerError> {
    if let Some(made) = root_of(begun, hour)? {
        return Ok(Publication::Published(made));
    }
    let identity = identity(begun)?;
    let last = newest_root(begun)?.unwrap_or_else(HourlyRoot::none);
    Fault::unless_equal(Place::Identity, "hourly roots", identity.roots, last.number)?;
    Fault::unless_equal(
        Place::Identity,
        "newest hourly root",
        identity.root,
        last.root,
    )?;
    if last.number > 0 && hour < last.hour {
        return Ok(Publication::Skipped(last));
    }
    for partition in partitions {
        let closed_before = watermark(begun, *partition)?.closed_before;
        if closed_before < hour.end() {
            return Ok(Publication::Open {
                partition: *partition,
                closed_before,
            });
        }
    }
    let root = HourlyRoot::compute(&last, hour, &heads(begun, partitions, hour.end())?);
    put_root(begun, &root)?;
    put_identity(
        begun,
        &Identity {
            roots: root.number,
            root: root.root,
            ..identity
        },
    )?;
    Ok(Publication::Published(root))
}

fn command_is_posted(begun: &Transaction<'_>, command: &[u8; 16]) -> Result<bool, LedgerError> {
    begun
        .prepare_cached("SELECT 1 FROM postings WHERE command = ?1")
        .and_then(|mut statement| statement.exists([command]))
        .map_err(engine(Place::Storage))
}

fn put_lease(begun: &Transaction<'_>, lease: &Lease) -> Result<(), LedgerError> {
    let sql = "UPDATE leases SET epoch = ?2, owner = ?3, until_ms = ?4, seal = ?5 \
               WHERE partition = ?1";
    let until = lease.until.0.cast_signed();
    let epoch = lease.epoch.cast_signed();
    let bound = params![
        lease.partition.get(),
        epoch,
        lease.owner,
        until,
        lease.seal()
    ];
    put(begun, sql, bound, Place::Lease(lease.partition))
}

fn put_watermark(begun: &Transaction<'_>, at: &Watermark) -> Result<(), LedgerError> {
    let sql = "UPDATE watermarks SET ordinal = ?2, postings = ?3, head = ?4, closed_before = ?5, \
               epoch = ?6, incarnation = ?7, position = ?8, seal = ?9 WHERE partition = ?1";
    let bound = params![
        at.partition.get(),
        at.ordinal.0.cast_signed(),
        at.postings.cast_signed(),
        at.head.0,
        at.closed_before.0,
        at.epoch.cast_signed(),
        at.cursor.incarnation.cast_signed(),
        at.cursor.position,
        at.seal(),
    ];
    put(begun, sql, bound, Place::Watermark(at.partition))
}

fn put_balance(
    begun: &Transaction<'_>,
    account: Account,
    change: Balance,
) -> Result<(), LedgerError> {
    let place = Place::Account(account.code());
    let Some(before) = balance(begun, account)? else {
        let sql = "INSERT INTO accounts (account, kind, owner, currency, debits_micros, \
                   credits_micros, seal) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
        let letters = account.currency();
        let currency = String::from_utf8_lossy(&letters);
        let bound = params![
            account.code(),
            account.kind(),
            account.owner(),
            currency,
            change.debits.0,
            change.credits.0,
            balance_seal(account, &change),
        ];
        return put(begun, sql, bound, place);
    };
    let after = sum(account, before, change)?;
    let sql = "UPDATE accounts SET debits_micros = ?2, credits_micros = ?3, seal = ?4 \
               WHERE account = ?1";
    let seal = balance_seal(account, &after);
    put(
        begun,
        sql,
        params![account.code(), after.debits.0, after.credits.0, seal],
        place,
    )
}

fn put_posting(
    begun: &Transaction<'_>,
    request: &CommitRequest,
    link: &Link<'_>,
) -> Result<(), LedgerError> {
    let sql = "INSERT INTO postings (partition, number, kind, command, minute, first_ordinal, \
               last_ordinal, apply_version, reason, lines, previous, hash, epoch, incarnation, \
               position, seal) \
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16)";
    let posting = link.posting;
    let seal = PostingRow {
        partition: request.partition,
        number: link.number,
        posting,
        lines: posting.lines.len() as u64,
        previous: link.previous,
        hash: link.hash,
        epoch: request.epoch,
        cursor: &request.cursor,
    }
    .seal();
    let bound = params![
        request.partition.get(),
        link.number.cast_signed(),
        posting.kind.code(),
        posting.kind.command().map(|command| command.0),
        posting.minute.0,
        posting.first.0.cast_signed(),
        posting.last.0.cast_signed(),
        posting.apply_version,
        posting.reason,
        posting.lines.len() as i64,
        link.previous.0,
        link.hash.0,
        request.epoch.cast_signed(),
        request.cursor.incarnation.cast_signed(),
        request.cursor.position,
        seal,
    ];
    put(
        begun,
        sql,
        bound,
        Place::Posting(request.partition, link.number),
    )
}

fn put_entries(
    begun: &Transaction<'_>,
    partition: PartitionId,
    link: &Link<'_>,
) -> Result<(), LedgerError> {
    let sql = "INSERT INTO entries (partition, number, account, line, minute, amount_micros, \
               campaign, clicks, root, seal) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)";
    let place = Place::Posting(partition, link.number);
    let mut insert = begun.prepare_cached(sql).map_err(engine(place))?;
    for (number, line) in (0..).zip(&link.posting.lines) {
        let entry = Entry {
            key: EntryKey {
                minute: link.posting.minute,
                partition,
                number: link.number,
                line: number,
            },
            line: *line,
        };
        let bound = params![
            partition.get(),
            link.number.cast_signed(),
            line.account.code(),
            number,
            link.posting.minute.0,
            line.amount.0,
            line.campaign.map(|campaign| campaign.0.cast_signed()),
            line.clicks.map(|clicks| clicks.count.cast_signed()),
            line.clicks.map(|clicks| clicks.root.0),
            entry.seal(),
        ];
        let place = Place::Line(partition, link.number, number);
        insert.execute(bound).map_err(engine(place))?;
    }
    Ok(())
}

/// Notes the hour of each account and campaign of a posting, unless it was noted before: so that
/// an index of theirs grows by the hour and not by the line.
fn put_hours(
    begun: &Transaction<'_>,
    partition: PartitionId,
    link: &Link<'_>,
    hours: &mut Hours,
) -> Result<(), LedgerError> {
    let hour = Hour::of(link.posting.minute);
    let noted = hours.of(partition, hour);
    let place = Place::Posting(partition, link.number);
    let prepared = |sql| begun.prepare_cached(sql).map_err(engine(place));
    let mut of_account = prepared(
        "INSERT OR IGNORE INTO account_hours (account, hour, partition) VALUES (?1, ?2, ?3)",
    )?;
    let mut of_campaign = prepared(
        "INSERT OR IGNORE INTO campaign_hours (campaign, hour, partition, account) \
         VALUES (?1, ?2, ?3, ?4)",
    )?;
    for line in &link.posting.lines {
        let account = line.account.code();
        if noted.insert((account, None)) {
            let bound = params![account, hour.0, partition.get()];
            of_account.execute(bound).map_err(engine(place))?;
        }
        if let Some(campaign) = line.campaign
            && noted.insert((account, Some(campaign)))
        {
            let bound = params![campaign.0.cast_signed(), hour.0, partition.get(), account];
            of_campaign.execute(bound).map_err(engine(place))?;
        }
    }
    Ok(())
}

fn put_root(begun: &Transaction<'_>, root: &HourlyRoot) -> Result<(), LedgerError> {
    let sql = "INSERT INTO hourly_roots (number, hour, previous, root, seal) \
               VALUES (?1, ?2, ?3, ?4, ?5)";
    let number = root.number.cast_signed();
    let bound = params![
        number,
        root.hour.0,
        root.previous.0,
        root.root.0,
        root.seal()
    ];
    put(begun, sql, bound, Place::HourlyRoot(root.hour))
}

fn put_identity(begun: &Transaction<'_>, identity: &Identity) -> Result<(), LedgerError> {
    let sql = "UPDATE ledger SET roots = ?1, root = ?2, seal = ?3 WHERE one = 1";
    let bound = params![
        identity.roots.cast_signed(),
        identity.root.0,
        identity.seal()
    ];
    put(begun, sql, bound, Place::Identity)
}

/// Runs a statement that must change exactly one row.
fn put(
    begun: &Transaction<'_>,
    sql: &str,
    bound: &[&dyn rusqlite::ToSql],
    place: Place,
) -> Result<(), LedgerError> {
    let changed = begun
        .prepare_cached(sql)
        .and_then(|mut statement| statement.execute(bound))
        .map_err(engine(place))?;
    Ok(Fault::unless_equal(place, "rows changed", 1, changed)?)
}
