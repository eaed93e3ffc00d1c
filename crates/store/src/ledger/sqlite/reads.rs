//! The calls that read. Functions over a connection serve reads alone and inside a commit.

use std::time::{SystemTime, UNIX_EPOCH};

use rusqlite::{Connection, OptionalExtension, Row, params};
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

/// A page of the entries of one account or campaign within an hour: the tables of hours say in
/// which partitions there are any, and in each posting those of an account stand together.
const HOUR_PAGE: &str = "CROSS JOIN postings p ON p.partition = h.partition \
                         AND p.minute BETWEEN h.hour * 60 AND h.hour * 60 + 59 \
                         CROSS JOIN entries e ON e.partition = p.partition \
                         AND e.number = p.number AND e.account = h.account \
                         WHERE h.hour = ?8 \
                         AND (e.minute, e.partition, e.number, e.line) > (?1, ?2, ?3, ?4) \
                         AND e.minute < ?5";

/// A page of all entries, led by the index of postings by minute: entries have none.
const ALL_PAGE: &str = "FROM postings p CROSS JOIN entries e \
                        ON e.partition = p.partition AND e.number = p.number \
                        WHERE (p.minute, p.partition, p.number) >= (?1, ?2, ?3) \
                        AND (p.minute, p.partition, p.number, e.line) > (?1, ?2, ?3, ?4) \
                        AND p.minute < ?5 \
                        ORDER BY p.minute, p.partition, p.number, e.account, e.line LIMIT ?6";

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
        if let Some(fault) = self.unsound.get(&account.code()) {
            return Err(fault.clone().into());
        }
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
        let from = after.map_or(start, |key| {
            let number = i64::try_from(key.number).unwrap_or(i64::MAX);
            let partition = i64::from(key.partition.get());
            start.max([
                i64::from(key.minute.0),
                partition,
                number,
                i64::from(key.line),
            ])
        });
        let page = Page {
            from,
            end: i64::from(query.minutes.end.0),
            limit,
        };
        match query.of {
            Of::All => page.of_all(&self.connection),
            Of::Account(account) => page.of_account(&self.connection, account.code()),
            Of::Campaign(campaign) => page.of_campaign(&self.connection, campaign.0.cast_signed()),
        }
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
        check_hours(&self.connection)?;
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

/// Some entries of a query.
struct Page {
    /// Behind this minute, partition, number and line.
    from: [i64; 4],
    /// Before this minute.
    end: i64,
    limit: u32,
}

impl Page {
    fn of_all(&self, connection: &Connection) -> Result<Vec<Entry>, LedgerError> {
        let [minute, partition, number, line] = self.from;
        let bound = params![minute, partition, number, line, self.end, self.limit];
        let sql = format!("SELECT {ENTRY} {ALL_PAGE}");
        rows(connection, &sql, bound, Place::Storage, entry_row)
    }

    fn of_account(&self, connection: &Connection, code: i64) -> Result<Vec<Entry>, LedgerError> {
        let page = format!("SELECT {ENTRY} FROM account_hours h {HOUR_PAGE} AND h.account = ?7");
        let next = "SELECT hour FROM account_hours WHERE account = ?1 AND hour >= ?2 \
                    ORDER BY hour LIMIT 1";
        self.by_hours(connection, code, &page, next)
    }

    fn of_campaign(&self, connection: &Connection, id: i64) -> Result<Vec<Entry>, LedgerError> {
        let page = format!(
            "SELECT {ENTRY} FROM campaign_hours h {HOUR_PAGE} AND h.campaign = ?7 \
             AND e.campaign = h.campaign"
        );
        let next = "SELECT hour FROM campaign_hours WHERE campaign = ?1 AND hour >= ?2 \
                    ORDER BY hour LIMIT 1";
        self.by_hours(connection, id, &page, next)
    }

    /// Hour by hour, so that no more is put in order than what one hour has.
    fn by_hours(
        &self,
        connection: &Connection,
        whose: i64,
        page: &str,
        next: &str,
    ) -> Result<Vec<Entry>, LedgerError> {
        let [minute, partition, number, line] = self.from;
        let in_order = format!("{page} ORDER BY e.minute, e.partition, e.number, e.line LIMIT ?6");
        let hour_row = |row: &Row<'_>| row.get::<_, i64>(0).map_err(engine(Place::Storage));
        let (mut found, mut hour) = (Vec::new(), minute / 60);
        while let Some(missing) = self.limit.checked_sub(found.len() as u32)
            && missing > 0
        {
            let bound = params![whose, hour];
            let has = rows(connection, next, bound, Place::Storage, hour_row)?.pop();
            let Some(has) = has.filter(|has| has * 60 < self.end) else {
                break;
            };
            let bound = params![
                minute, partition, number, line, self.end, missing, whose, has
            ];
            let more = rows(connection, &in_order, bound, Place::Storage, entry_row)?;
            found.extend(more);
            hour = has + 1;
        }
        Ok(found)
    }
}

/// The tables of hours must say what the entries say: a row that is not there would hide some.
fn check_hours(connection: &Connection) -> Result<(), LedgerError> {
    for (table, columns, wanted) in [
        (
            "account_hours",
            "account, hour, partition",
            "SELECT DISTINCT account, minute / 60, partition FROM entries",
        ),
        (
            "campaign_hours",
            "campaign, hour, partition, account",
            "SELECT DISTINCT campaign, minute / 60, partition, account FROM entries \
             WHERE campaign IS NOT NULL",
        ),
    ] {
        let kept = format!("SELECT {columns} FROM {table}");
        for (more, less) in [(wanted, kept.as_str()), (kept.as_str(), wanted)] {
            let sql = format!("SELECT count(*) FROM ({more} EXCEPT {less})");
            let differ: i64 = connection
                .query_row(&sql, [], |row| row.get(0))
                .map_err(engine(Place::Storage))?;
            let found = format!("{differ} in {table}");
            let none = format!("0 in {table}");
            Fault::unless_equal(Place::Storage, "hours without their entries", none, found)?;
        }
    }
    Ok(())
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

/// Shows each account, or what is wrong with it, and collects what `each` makes of it.
pub(super) fn each_account<T>(
    connection: &Connection,
    mut each: impl FnMut(Result<(Account, Balance), LedgerError>) -> Result<Option<T>, LedgerError>,
) -> Result<Vec<T>, LedgerError> {
    let place = Place::Storage;
    let mut statement = connection.prepare(ACCOUNT).map_err(engine(place))?;
    let mut found = statement.query([]).map_err(engine(place))?;
    let mut made = Vec::new();
    while let Some(row) = found.next().map_err(engine(place))? {
        made.extend(each(account_row(row))?);
    }
    Ok(made)
}

/// Accounts that have lines, and no row.
pub(super) fn accounts_gone(connection: &Connection) -> Result<Vec<i64>, LedgerError> {
    let sql = "SELECT account FROM account_hours EXCEPT SELECT account FROM accounts";
    let code = |row: &Row<'_>| row.get(0).map_err(engine(Place::Storage));
    rows(connection, sql, [], Place::Storage, code)
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
        "SELECT {ENTRY} FROM entries e WHERE e.partition = ?1 AND e.number = ?2 \
         ORDER BY e.account, e.line"
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
