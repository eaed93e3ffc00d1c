//! From rows to values. Each function says with its `SELECT` which columns it reads, in order, and
//! checks the row's seal.

use rusqlite::{Connection, Params, Row};
use tollgate_click::{CampaignId, Micros, Millis, Minute, Ordinal, PartitionId};

use super::columns::{Columns, engine};
use crate::ledger::account::{Account, Balance};
use crate::ledger::errors::{Fault, LedgerError, Place};
use crate::ledger::posting::{Clicks, CommandId, Kind, Line, Posting};
use crate::ledger::stored::{
    Cursor, Entry, EntryKey, Hour, HourlyRoot, Identity, Lease, StoredPosting, Watermark,
    balance_seal,
};

pub(super) const ACCOUNT: &str = "SELECT account, kind, owner, currency, debits_micros, \
                                  credits_micros, seal FROM accounts";

pub(super) const POSTING: &str = "SELECT partition, number, kind, command, minute, first_ordinal, \
                       last_ordinal, apply_version, reason, lines, previous, hash, epoch, \
                       incarnation, position, seal FROM postings";

pub(super) const ENTRY: &str = "e.partition, e.number, e.line, e.minute, e.account, \
                                e.amount_micros, e.campaign, e.clicks, e.root, e.seal";

pub(super) const ROOT: &str = "SELECT number, hour, previous, root, seal FROM hourly_roots";

pub(super) fn identity(connection: &Connection) -> Result<Identity, LedgerError> {
    let sql = "SELECT partitions, roots, root, seal FROM ledger WHERE one = 1";
    one(connection, sql, [], Place::Identity, |columns| {
        let identity = Identity {
            partitions: columns.unsigned(0)?,
            roots: columns.unsigned(1)?,
            root: columns.hash(2)?,
        };
        columns.sealed(3, identity, Identity::seal)
    })
}

pub(super) fn lease(connection: &Connection, partition: PartitionId) -> Result<Lease, LedgerError> {
    let sql = "SELECT epoch, owner, until_ms, seal FROM leases WHERE partition = ?1";
    one(
        connection,
        sql,
        [partition.get()],
        Place::Lease(partition),
        |columns| {
            let lease = Lease {
                partition,
                epoch: columns.unsigned(0)?,
                owner: columns.get(1)?,
                until: Millis(columns.unsigned(2)?),
            };
            columns.sealed(3, lease, Lease::seal)
        },
    )
}

pub(super) fn watermark(
    connection: &Connection,
    partition: PartitionId,
) -> Result<Watermark, LedgerError> {
    let sql = "SELECT ordinal, postings, head, closed_before, epoch, incarnation, position, seal \
               FROM watermarks WHERE partition = ?1";
    one(
        connection,
        sql,
        [partition.get()],
        Place::Watermark(partition),
        |columns| {
            let watermark = Watermark {
                partition,
                ordinal: Ordinal(columns.unsigned(0)?),
                postings: columns.unsigned(1)?,
                head: columns.hash(2)?,
                closed_before: Minute(columns.unsigned(3)?),
                epoch: columns.unsigned(4)?,
                cursor: Cursor {
                    incarnation: columns.bits(5)?,
                    position: columns.get(6)?,
                },
            };
            columns.sealed(7, watermark, Watermark::seal)
        },
    )
}

pub(super) fn account_row(row: &Row<'_>) -> Result<(Account, Balance), LedgerError> {
    let code: i64 = row.get(0).map_err(engine(Place::Storage))?;
    let place = Place::Account(code);
    let columns = Columns { row, place };
    let account = Account::from_code(code)
        .map_err(|error| Fault::new(place, "code", "one of an account", error))?;
    let named = (
        columns.get::<String>(1)?,
        columns.get::<i64>(2)?,
        columns.get::<String>(3)?,
    );
    let named = format!("{}/{}/{}", named.0, named.1, named.2);
    Fault::unless_equal(place, "name", account.to_string(), named)?;
    let balance = Balance {
        debits: Micros(columns.get(4)?),
        credits: Micros(columns.get(5)?),
    };
    let balance = columns.sealed(6, balance, |balance| balance_seal(account, balance))?;
    Ok((account, balance))
}

/// A posting without its lines, and how many it has.
pub(super) fn posting_row(row: &Row<'_>) -> Result<(StoredPosting, u32), LedgerError> {
    let columns = Columns {
        row,
        place: Place::Storage,
    };
    let partition = partition(&columns)?;
    let number = columns.unsigned(1)?;
    let place = Place::Posting(partition, number);
    let columns = Columns { row, place };
    let command = columns.get::<Option<[u8; 16]>>(3)?.map(CommandId);
    let kind = Kind::from_code(columns.get(2)?, command)
        .ok_or_else(|| Fault::new(place, "kind", "one that is known", "another"))?;
    let posting = Posting {
        kind,
        minute: Minute(columns.unsigned(4)?),
        first: Ordinal(columns.unsigned(5)?),
        last: Ordinal(columns.unsigned(6)?),
        apply_version: columns.unsigned(7)?,
        reason: columns.get(8)?,
        lines: Vec::new(),
    };
    let stored = StoredPosting {
        partition,
        number,
        posting,
        previous: columns.hash(10)?,
        hash: columns.hash(11)?,
        epoch: columns.unsigned(12)?,
        cursor: Cursor {
            incarnation: columns.bits(13)?,
            position: columns.get(14)?,
        },
    };
    let lines: u32 = columns.unsigned(9)?;
    let stored = columns.sealed(15, stored, |stored| stored.row(lines.into()).seal())?;
    Ok((stored, lines))
}

fn partition(columns: &Columns<'_, '_>) -> Result<PartitionId, LedgerError> {
    let number: u16 = columns.unsigned(0)?;
    PartitionId::new(number).map_err(|error| {
        let place = Place::Storage;
        Fault::new(place, "partition", "a number in range", error).into()
    })
}

pub(super) fn entry_row(row: &Row<'_>) -> Result<Entry, LedgerError> {
    let columns = Columns {
        row,
        place: Place::Storage,
    };
    let partition = partition(&columns)?;
    let (number, line) = (columns.unsigned(1)?, columns.unsigned(2)?);
    let place = Place::Line(partition, number, line);
    let columns = Columns { row, place };
    let code: i64 = columns.get(4)?;
    let account = Account::from_code(code)
        .map_err(|error| Fault::new(place, "account", "one that can be", error))?;
    let clicks = match (
        columns.get::<Option<i64>>(7)?,
        columns.get::<Option<[u8; 32]>>(8)?,
    ) {
        (None, None) => None,
        (Some(_), Some(_)) => Some(Clicks {
            count: columns.unsigned(7)?,
            root: columns.hash(8)?,
        }),
        _ => return Err(Fault::new(place, "clicks", "count and root", "one of them"))?,
    };
    let entry = Entry {
        key: EntryKey {
            minute: Minute(columns.unsigned(3)?),
            partition,
            number,
            line,
        },
        line: Line {
            account,
            amount: Micros(columns.get(5)?),
            campaign: columns
                .get::<Option<i64>>(6)?
                .map(|bits| CampaignId(bits.cast_unsigned())),
            clicks,
        },
    };
    columns.sealed(9, entry, Entry::seal)
}

pub(super) fn root_row(row: &Row<'_>) -> Result<HourlyRoot, LedgerError> {
    let columns = Columns {
        row,
        place: Place::Storage,
    };
    let hour = Hour(columns.unsigned(1)?);
    let place = Place::HourlyRoot(hour);
    let columns = Columns { row, place };
    let root = HourlyRoot {
        number: columns.unsigned(0)?,
        hour,
        previous: columns.hash(2)?,
        root: columns.hash(3)?,
    };
    columns.sealed(4, root, HourlyRoot::seal)
}
pub(super) fn one<T>(
    connection: &Connection,
    sql: &str,
    bound: impl Params,
    place: Place,
    read: impl Fn(&Columns<'_, '_>) -> Result<T, LedgerError>,
) -> Result<T, LedgerError> {
    let read = |row: &Row<'_>| read(&Columns { row, place });
    let found = rows(connection, sql, bound, place, read)?.pop();
    found.ok_or_else(|| Fault::new(place, "row", "one", "none").into())
}

/// Runs a statement and reads each row; `place` is where an error of the engine itself lies.
pub(super) fn rows<T>(
    connection: &Connection,
    sql: &str,
    bound: impl Params,
    place: Place,
    read: impl Fn(&Row<'_>) -> Result<T, LedgerError>,
) -> Result<Vec<T>, LedgerError> {
    let mut statement = connection.prepare_cached(sql).map_err(engine(place))?;
    let mut found = statement.query(bound).map_err(engine(place))?;
    let mut values = Vec::new();
    while let Some(row) = found.next().map_err(engine(place))? {
        values.push(read(row)?);
    }
    Ok(values)
}
