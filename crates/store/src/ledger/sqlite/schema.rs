//! The tables, and how a file is recognised and brought up to date.
//!
//! Numbers of 64 bits without a sign (campaigns, incarnations) stand as the signed number of the
//! same bits. `docs/internals/ledger.md` explains each column.

use std::path::Path;

use rusqlite::{Connection, Transaction, TransactionBehavior, params};

use super::columns::engine;
use crate::ledger::errors::{Fault, LedgerError, OpenError, Place};
use crate::ledger::hash::Hash;
use crate::ledger::posting::Malformed;
use crate::ledger::stored::{Identity, Lease, Watermark};
use tollgate_click::limits::PARTITIONS_MAX;
use tollgate_click::{Millis, PartitionId};

/// `Toll`, in the header of the file.
const APPLICATION: i64 = 0x546F_6C6C;

/// What each version of the format adds to the one before, from 1.
const STEPS: [&str; 1] = [VERSION_1];

/// The newest version that this code knows.
pub(super) const NEWEST: i64 = STEPS.len() as i64;

const VERSION_1: &str = "
CREATE TABLE ledger (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    partitions INTEGER NOT NULL,
    roots INTEGER NOT NULL,
    root BLOB NOT NULL,
    seal INTEGER NOT NULL
) STRICT;

CREATE TABLE leases (
    partition INTEGER PRIMARY KEY,
    epoch INTEGER NOT NULL,
    owner TEXT NOT NULL,
    until_ms INTEGER NOT NULL,
    seal INTEGER NOT NULL
) STRICT;

CREATE TABLE watermarks (
    partition INTEGER PRIMARY KEY,
    ordinal INTEGER NOT NULL,
    postings INTEGER NOT NULL,
    head BLOB NOT NULL,
    closed_before INTEGER NOT NULL,
    epoch INTEGER NOT NULL,
    incarnation INTEGER NOT NULL,
    position BLOB NOT NULL,
    seal INTEGER NOT NULL
) STRICT;

CREATE TABLE accounts (
    account INTEGER PRIMARY KEY,
    kind TEXT NOT NULL,
    owner INTEGER NOT NULL,
    currency TEXT NOT NULL,
    debits_micros INTEGER NOT NULL CHECK (debits_micros >= 0),
    credits_micros INTEGER NOT NULL CHECK (credits_micros >= 0),
    seal INTEGER NOT NULL
) STRICT;

CREATE TABLE postings (
    partition INTEGER NOT NULL REFERENCES watermarks (partition),
    number INTEGER NOT NULL CHECK (number > 0),
    kind INTEGER NOT NULL CHECK (kind BETWEEN 1 AND 4),
    command BLOB CHECK ((command IS NULL) = (kind = 1)),
    minute INTEGER NOT NULL,
    first_ordinal INTEGER NOT NULL CHECK (first_ordinal > 0),
    last_ordinal INTEGER NOT NULL CHECK (last_ordinal >= first_ordinal),
    apply_version INTEGER NOT NULL,
    reason TEXT NOT NULL,
    lines INTEGER NOT NULL CHECK (lines > 0),
    previous BLOB NOT NULL,
    hash BLOB NOT NULL,
    epoch INTEGER NOT NULL,
    incarnation INTEGER NOT NULL,
    position BLOB NOT NULL,
    seal INTEGER NOT NULL,
    PRIMARY KEY (partition, number)
) STRICT, WITHOUT ROWID;

CREATE UNIQUE INDEX postings_by_command ON postings (command) WHERE command IS NOT NULL;
CREATE UNIQUE INDEX postings_by_ordinal ON postings (partition, last_ordinal);
CREATE INDEX postings_by_partition_minute ON postings (partition, minute);
CREATE INDEX postings_by_minute ON postings (minute);

CREATE TABLE entries (
    partition INTEGER NOT NULL,
    number INTEGER NOT NULL,
    account INTEGER NOT NULL REFERENCES accounts (account),
    line INTEGER NOT NULL CHECK (line >= 0),
    minute INTEGER NOT NULL,
    amount_micros INTEGER NOT NULL,
    campaign INTEGER,
    clicks INTEGER CHECK (clicks > 0),
    root BLOB CHECK ((root IS NULL) = (clicks IS NULL)),
    seal INTEGER NOT NULL,
    PRIMARY KEY (partition, number, account, line),
    FOREIGN KEY (partition, number) REFERENCES postings (partition, number)
) STRICT, WITHOUT ROWID;

CREATE TABLE account_hours (
    account INTEGER NOT NULL,
    hour INTEGER NOT NULL,
    partition INTEGER NOT NULL,
    PRIMARY KEY (account, hour, partition)
) STRICT, WITHOUT ROWID;

CREATE TABLE campaign_hours (
    campaign INTEGER NOT NULL,
    hour INTEGER NOT NULL,
    partition INTEGER NOT NULL,
    account INTEGER NOT NULL,
    PRIMARY KEY (campaign, hour, partition, account)
) STRICT, WITHOUT ROWID;

CREATE TABLE hourly_roots (
    number INTEGER PRIMARY KEY CHECK (number > 0),
    hour INTEGER NOT NULL UNIQUE,
    previous BLOB NOT NULL,
    root BLOB NOT NULL,
    seal INTEGER NOT NULL
) STRICT;

CREATE TRIGGER postings_stay BEFORE UPDATE ON postings
BEGIN SELECT RAISE(ABORT, 'postings are append-only'); END;
CREATE TRIGGER postings_last BEFORE DELETE ON postings
BEGIN SELECT RAISE(ABORT, 'postings are append-only'); END;
CREATE TRIGGER entries_stay BEFORE UPDATE ON entries
BEGIN SELECT RAISE(ABORT, 'entries are append-only'); END;
CREATE TRIGGER entries_last BEFORE DELETE ON entries
BEGIN SELECT RAISE(ABORT, 'entries are append-only'); END;
CREATE TRIGGER hourly_roots_stay BEFORE UPDATE ON hourly_roots
BEGIN SELECT RAISE(ABORT, 'hourly roots are append-only'); END;
CREATE TRIGGER hourly_roots_last BEFORE DELETE ON hourly_roots
BEGIN SELECT RAISE(ABORT, 'hourly roots are append-only'); END;
";

/// The format version of the file, 0 for an empty one. Anything that is no ledger, or is newer
/// than this code, is refused before a byte of it changes.
pub(super) fn recognise(connection: &Connection, path: &Path) -> Result<i64, LedgerError> {
    let foreign = || OpenError::NotALedger(path.display().to_string());
    let header = |what| connection.pragma_query_value(None, what, |row| row.get::<_, i64>(0));
    let application =
        header("application_id").map_err(|error| match error.sqlite_error_code() {
            Some(rusqlite::ErrorCode::NotADatabase) => foreign().into(),
            _ => engine(Place::Storage)(error),
        })?;
    let version = header("user_version").map_err(engine(Place::Storage))?;
    if application == APPLICATION && version > NEWEST {
        return Err(OpenError::Newer {
            found: version,
            known: NEWEST,
        }
        .into());
    }
    let empty = schema(connection)?.is_empty();
    match (application, version) {
        (APPLICATION, 1..) if !empty => Ok(version),
        (0, 0) if empty => Ok(0),
        _ => Err(foreign())?,
    }
}

/// Takes the missing steps, each in a transaction of its own; the first also writes the rows that
/// every ledger has from the beginning.
pub(super) fn migrate(connection: &mut Connection, partitions: u16) -> Result<(), LedgerError> {
    let begun = connection
        .transaction_with_behavior(TransactionBehavior::Immediate)
        .map_err(engine(Place::Storage))?;
    let version: i64 = begun
        .pragma_query_value(None, "user_version", |row| row.get(0))
        .map_err(engine(Place::Storage))?;
    let missing = STEPS
        .iter()
        .zip(1..)
        .skip(usize::try_from(version).unwrap_or(usize::MAX));
    for (step, number) in missing {
        begun.execute_batch(step).map_err(engine(Place::Storage))?;
        if number == 1 {
            first_rows(&begun, partitions)?;
        }
        begun
            .pragma_update(None, "application_id", APPLICATION)
            .and_then(|()| begun.pragma_update(None, "user_version", number))
            .map_err(engine(Place::Storage))?;
    }
    begun.commit().map_err(engine(Place::Storage))
}

/// The schema's text must be what this code makes: an index or a rule that is gone would be
/// missed otherwise.
pub(super) fn check(connection: &Connection, path: &Path) -> Result<(), LedgerError> {
    let model = Connection::open_in_memory().map_err(engine(Place::Storage))?;
    for step in STEPS {
        model.execute_batch(step).map_err(engine(Place::Storage))?;
    }
    let (expected, found) = (schema(&model)?, schema(connection)?);
    let differs = expected
        .iter()
        .zip(&found)
        .find(|(expected, found)| expected != found);
    let none = String::from("nothing");
    match differs {
        None if expected.len() == found.len() => Ok(()),
        None => {
            let expected = expected.get(found.len()).unwrap_or(&none);
            let found = found.get(expected.len()).unwrap_or(&none);
            Err(Fault::new(Place::Storage, "schema", expected, found))?
        }
        Some((expected, found)) => {
            let what = "schema";
            let found = format!("{found} in {}", path.display());
            Err(Fault::new(Place::Storage, what, expected, found))?
        }
    }
}

/// Each thing in the schema, in the order of its name.
fn schema(connection: &Connection) -> Result<Vec<String>, LedgerError> {
    let sql = "SELECT type || ' ' || name || ' on ' || tbl_name || ': ' || coalesce(sql, '') \
               FROM sqlite_schema WHERE name NOT LIKE 'sqlite_stat%' ORDER BY name, type";
    let read = || -> rusqlite::Result<Vec<String>> {
        let mut statement = connection.prepare(sql)?;
        statement.query_map([], |row| row.get(0))?.collect()
    };
    read().map_err(engine(Place::Storage))
}

fn first_rows(begun: &Transaction<'_>, partitions: u16) -> Result<(), LedgerError> {
    if partitions == 0 || partitions > PARTITIONS_MAX {
        return Err(Malformed::Field("a ledger cannot have so many partitions").into());
    }
    let identity = Identity {
        partitions,
        roots: 0,
        root: Hash::ZERO,
    };
    let row = params![partitions, identity.root.0, identity.seal()];
    let insert =
        "INSERT INTO ledger (one, partitions, roots, root, seal) VALUES (1, ?1, 0, ?2, ?3)";
    begun
        .execute(insert, row)
        .map_err(engine(Place::Identity))?;
    for number in 0..partitions {
        let partition = PartitionId::new(number).unwrap_or_default();
        first_lease(begun, partition)?;
        first_watermark(begun, &Watermark::start(partition))?;
    }
    Ok(())
}

fn first_lease(begun: &Transaction<'_>, partition: PartitionId) -> Result<(), LedgerError> {
    let lease = Lease {
        partition,
        epoch: 0,
        owner: String::new(),
        until: Millis(0),
    };
    let insert = "INSERT INTO leases (partition, epoch, owner, until_ms, seal) \
                  VALUES (?1, 0, '', 0, ?2)";
    begun
        .execute(insert, params![partition.get(), lease.seal()])
        .map_err(engine(Place::Lease(partition)))?;
    Ok(())
}

fn first_watermark(begun: &Transaction<'_>, start: &Watermark) -> Result<(), LedgerError> {
    let insert = "INSERT INTO watermarks VALUES (?1, 0, 0, ?2, 0, 0, 0, x'', ?3)";
    begun
        .execute(
            insert,
            params![start.partition.get(), start.head.0, start.seal()],
        )
        .map_err(engine(Place::Watermark(start.partition)))?;
    Ok(())
}
