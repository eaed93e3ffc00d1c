//! The calls that read. Functions over a connection serve reads alone and inside a commit.

use std::time::{SystemTime, UNIX_EPOCH};

use rusqlite::{Connection, OptionalExtension, params, params_from_iter};
use tollgate_click::{Millis, Minute, Ordinal, PartitionId};

use super::SqliteLedger;
use super::columns::engine;
use super::rows::{
    ACCOUNT, ENTRY, POSTING, ROOT, account_row, entry_row, identity, lease, posting_row, root_row,
    rows, watermark,
};
use crate::ledger::account::{Account, Balance};
use crate::ledger::errors::{Fault, LedgerError, Place};
use crate::ledger::posting::{CommandId, Malformed, genesis};
use crate::ledger::stored::{
    Entry, EntryKey, Head, Hour, HourlyRoot, Identity, Lease, StoredPosting, Watermark,
};
use crate::ledger::{EntryQuery, LedgerReads, Of};

/// A page of the entries of an account or campaign: their indexes hold minute and key.
const PAGE: &str = "(e.minute, e.partition, e.number, e.line) > (?1, ?2, ?3, ?4) \
                    AND e.minute < ?5 ORDER BY e.minute, e.partition, e.number, e.line LIMIT ?6";

/// A page of all entries, led by the index of postings by minute: entries have none.
const ALL_PAGE: &str = "FROM postings p CROSS JOIN entries e \
                        ON e.partition = p.partition AND e.number = p.number \
                        WHERE (p.minute, p.partition, p.number) >= (?1, ?2, ?3) \
                        AND (p.minute, p.partition, p.number, e.line) > (?1, ?2, ?3, ?4) \
                        AND p.minute < ?5 \
                        ORDER BY p.minute, p.partition, p.number, e.line LIMIT ?6";

impl LedgerReads for SqliteLedger {
    fn identity(&mut self) -> Result<Identity, LedgerError> {
        identity(&self.connection)
    }

    fn watermark(&mut self, partition: PartitionId) -> Result<Watermark, LedgerError> {
        self.known(partition)?;
        watermark(&self.connection, partition)
    }

    fn lease(&mut self, partition: PartitionId) -> Result<Lease, LedgerError> {
        self.known(partition)?;
        lease(&self.connection, partition)
    }

    fn balance(&mut self, account: Account) -> Result<Balance, LedgerError> {
        balance(&self.connection, account).map(Option::unwrap_or_default)
    }

    fn balances(
        &mut self,
        after: Option<Account>,
        limit: u32,
    ) -> Result<Vec<(Account, Balance)>, LedgerError> {
        let sql = format!("{ACCOUNT} WHERE account > ?1 ORDER BY account LIMIT ?2");
        let after = after.map_or(i64::MIN, Account::code);
        rows(
            &self.connection,
            &sql,
            params![after, limit],
            Place::Storage,
            account_row,
        )
    }

    fn entries(
        &mut self,
        query: &EntryQuery,
        after: Option<EntryKey>,
        limit: u32,
    ) -> Result<Vec<Entry>, LedgerError> {
        let start = [i64::from(query.minutes.start.0), -1, -1, -1];
        let key = after.map_or(start, |key| {
            let number = i64::try_from(key.number).unwrap_or(i64::MAX);
            let partition = i64::from(key.partition.get());
            start.max([
                i64::from(key.minute.0),
                partition,
                number,
                i64::from(key.line),
            ])
        });
        let mut bound = key.to_vec();
        bound.extend([i64::from(query.minutes.end.0), i64::from(limit)]);
        let sql = match query.of {
            Of::All => format!("SELECT {ENTRY} {ALL_PAGE}"),
            Of::Account(account) => {
                bound.push(account.code());
                format!("SELECT {ENTRY} FROM entries e WHERE e.account = ?7 AND {PAGE}")
            }
            Of::Campaign(campaign) => {
                bound.push(campaign.0.cast_signed());
                format!("SELECT {ENTRY} FROM entries e WHERE e.campaign = ?7 AND {PAGE}")
            }
        };
        rows(
            &self.connection,
            &sql,
            params_from_iter(bound),
            Place::Storage,
            entry_row,
        )
    }

    fn chain(
        &mut self,
        partition: PartitionId,
        after: u64,
        limit: u32,
    ) -> Result<Vec<StoredPosting>, LedgerError> {
        self.known(partition)?;
        let sql =
            format!("{POSTING} WHERE partition = ?1 AND number > ?2 ORDER BY number LIMIT ?3");
        let after = i64::try_from(after).unwrap_or(i64::MAX);
        let place = Place::Posting(partition, after.cast_unsigned().saturating_add(1));
        let bound = params![partition.get(), after, limit];
        whole(
            &self.connection,
            rows(&self.connection, &sql, bound, place, posting_row)?,
        )
    }

    fn posting_at(
        &mut self,
        partition: PartitionId,
        ordinal: Ordinal,
    ) -> Result<Option<StoredPosting>, LedgerError> {
        self.known(partition)?;
        let before = Ordinal(ordinal.0.saturating_sub(1));
        Ok(postings_over(&self.connection, partition, before, ordinal)?.pop())
    }

    fn posting_of(&mut self, command: CommandId) -> Result<Option<StoredPosting>, LedgerError> {
        let sql = format!("{POSTING} WHERE command = ?1");
        let found = rows(
            &self.connection,
            &sql,
            [command.0],
            Place::Storage,
            posting_row,
        )?;
        Ok(whole(&self.connection, found)?.pop())
    }

    fn heads(&mut self, before: Minute) -> Result<Vec<Head>, LedgerError> {
        heads(&self.connection, &self.partitions()?, before)
    }

    fn hourly_roots(&mut self, after: u64, limit: u32) -> Result<Vec<HourlyRoot>, LedgerError> {
        let sql = format!("{ROOT} WHERE number > ?1 ORDER BY number LIMIT ?2");
        let after = i64::try_from(after).unwrap_or(i64::MAX);
        rows(
            &self.connection,
            &sql,
            params![after, limit],
            Place::Storage,
            root_row,
        )
    }

    fn clock(&mut self) -> Result<Millis, LedgerError> {
        clock()
    }

    fn pin(&mut self) -> Result<(), LedgerError> {
        // The transaction begins with its first read, so there is one at once.
        self.connection
            .execute_batch("BEGIN; SELECT count(*) FROM ledger;")
            .map_err(engine(Place::Storage))
    }

    fn unpin(&mut self) -> Result<(), LedgerError> {
        self.connection
            .execute_batch("COMMIT")
            .map_err(engine(Place::Storage))
    }

    fn check_storage(&mut self) -> Result<(), LedgerError> {
        let sql = "PRAGMA integrity_check(1)";
        let found: String = self
            .connection
            .query_row(sql, [], |row| row.get(0))
            .map_err(engine(Place::Storage))?;
        Fault::unless_equal(Place::Storage, "integrity check", "ok", found.as_str())?;
        // Rows that nothing reads: of a second ledger, or of partitions that there are not.
        let partitions = i64::from(self.partitions);
        for (table, rows) in [
            ("ledger", 1),
            ("leases", partitions),
            ("watermarks", partitions),
        ] {
            let sql = format!("SELECT count(*) FROM {table}");
            let found: i64 = self
                .connection
                .query_row(&sql, [], |row| row.get(0))
                .map_err(engine(Place::Storage))?;
            let (rows, found) = (format!("{rows} in {table}"), format!("{found} in {table}"));
            Fault::unless_equal(Place::Storage, "number of rows", rows, found)?;
        }
        let sql = "PRAGMA foreign_key_check";
        let orphan = self
            .connection
            .query_row(sql, [], |row| row.get::<_, String>(0))
            .optional()
            .map_err(engine(Place::Storage))?;
        let found = orphan.map_or(String::from("none"), |table| format!("one in {table}"));
        Fault::unless_equal(
            Place::Storage,
            "row without its parent",
            "none",
            found.as_str(),
        )?;
        Ok(())
    }
}

impl SqliteLedger {
    /// The partitions of the ledger in their order.
    pub(super) fn partitions(&self) -> Result<Vec<PartitionId>, LedgerError> {
        let ids = (0..self.partitions).map(PartitionId::new);
        ids.collect::<Result<_, _>>().map_err(|error| {
            Fault::new(Place::Identity, "partitions", "a number in range", error).into()
        })
    }

    pub(super) fn known(&self, partition: PartitionId) -> Result<(), LedgerError> {
        if partition.get() < self.partitions {
            Ok(())
        } else {
            Err(Malformed::Field("the ledger has no such partition"))?
        }
    }
}

/// The clock that leases go by: that of the machine whose file it is.
pub(super) fn clock() -> Result<Millis, LedgerError> {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    let since = since.map_err(|error| LedgerError::Uncertain(error.to_string()))?;
    Ok(Millis(
        u64::try_from(since.as_millis()).unwrap_or(Millis::MAX.0),
    ))
}

pub(super) fn balance(
    connection: &Connection,
    account: Account,
) -> Result<Option<Balance>, LedgerError> {
    let sql = format!("{ACCOUNT} WHERE account = ?1");
    let place = Place::Account(account.code());
    let found = rows(connection, &sql, [account.code()], place, account_row)?;
    Ok(found.into_iter().next().map(|(_, balance)| balance))
}

/// Postings whose records reach into `after + 1 ..= through`, in their order.
pub(super) fn postings_over(
    connection: &Connection,
    partition: PartitionId,
    after: Ordinal,
    through: Ordinal,
) -> Result<Vec<StoredPosting>, LedgerError> {
    // Ranges do not overlap: the first that ends at or after `through` is the last that may count.
    let sql = format!(
        "{POSTING} WHERE partition = ?1 AND last_ordinal > ?2 AND first_ordinal <= ?3 \
         AND last_ordinal <= coalesce((SELECT min(last_ordinal) FROM postings \
         WHERE partition = ?1 AND last_ordinal >= ?3), ?3) ORDER BY last_ordinal"
    );
    let after = i64::try_from(after.0).unwrap_or(i64::MAX);
    let through = i64::try_from(through.0).unwrap_or(i64::MAX);
    let bound = params![partition.get(), after, through];
    let found = rows(
        connection,
        &sql,
        bound,
        Place::Watermark(partition),
        posting_row,
    )?;
    whole(connection, found)
}

pub(super) fn heads(
    connection: &Connection,
    partitions: &[PartitionId],
    before: Minute,
) -> Result<Vec<Head>, LedgerError> {
    let sql = format!(
        "{POSTING} WHERE partition = ?1 AND minute < ?2 ORDER BY minute DESC, number DESC LIMIT 1"
    );
    let head = |partition: &PartitionId| {
        let bound = params![partition.get(), before.0];
        let place = Place::Watermark(*partition);
        let found = rows(connection, &sql, bound, place, posting_row)?;
        let none = Head {
            number: 0,
            hash: genesis(*partition),
        };
        Ok(found.first().map_or(none, |(posting, _)| Head {
            number: posting.number,
            hash: posting.hash,
        }))
    };
    partitions.iter().map(head).collect()
}

pub(super) fn root_of(
    connection: &Connection,
    hour: Hour,
) -> Result<Option<HourlyRoot>, LedgerError> {
    let sql = format!("{ROOT} WHERE hour = ?1");
    Ok(rows(
        connection,
        &sql,
        [hour.0],
        Place::HourlyRoot(hour),
        root_row,
    )?
    .pop())
}

pub(super) fn newest_root(connection: &Connection) -> Result<Option<HourlyRoot>, LedgerError> {
    let sql = format!("{ROOT} ORDER BY number DESC LIMIT 1");
    Ok(rows(connection, &sql, [], Place::Identity, root_row)?.pop())
}

/// Postings with their lines.
fn whole(
    connection: &Connection,
    headers: Vec<(StoredPosting, u32)>,
) -> Result<Vec<StoredPosting>, LedgerError> {
    let sql = format!(
        "SELECT {ENTRY} FROM entries e WHERE e.partition = ?1 AND e.number = ?2 ORDER BY e.line"
    );
    let whole = |(mut stored, lines): (StoredPosting, u32)| {
        let (partition, number) = (stored.partition, stored.number);
        let minute = stored.posting.minute;
        let place = Place::Posting(partition, number);
        let bound = params![partition.get(), number.cast_signed()];
        let entries = rows(connection, &sql, bound, place, entry_row)?;
        for (line, entry) in (0..).zip(&entries) {
            let place = Place::Line(partition, number, line);
            Fault::unless_equal(place, "number of the line", line, entry.key.line)?;
            Fault::unless_equal(place, "minute", minute.0, entry.key.minute.0)?;
        }
        let found = u32::try_from(entries.len()).unwrap_or(u32::MAX);
        if found != lines {
            let place = Place::Line(partition, number, found.min(lines));
            return Err(Fault::new(place, "lines of the posting", lines, found).into());
        }
        stored.posting.lines = entries.into_iter().map(|entry| entry.line).collect();
        Ok(stored)
    };
    headers.into_iter().map(whole).collect()
}
