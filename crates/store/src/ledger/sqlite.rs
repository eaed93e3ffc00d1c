//! The embedded ledger: one SQLite file in WAL mode, `synchronous=FULL`.
//!
//! Several processes may have it open. A transaction takes SQLite's write lock for its own
//! length; who may post to a partition is decided by leases, as in every engine.
//!
//! SQLite has no checksums of its own pages, so every row has a seal, and opening checks the
//! schema's text, the seals of all accounts and that they sum to 0. An account that is damaged or
//! gone takes no more postings, and stops only who posts to it; likewise a watermark or a lease
//! stops its own partition. After an I/O error the
//! connection writes nothing more: what the operating system then holds and what the disk holds
//! may differ, and only opening again (which copies the WAL into the file and syncs both) makes
//! them one.

mod columns;
mod reads;
mod rows;
mod schema;
mod writes;

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};

use self::columns::engine;
use super::errors::{Fault, LedgerError, OpenError, Place};
use super::{Identity, LedgerReads};

/// How long a call waits for another writer before it answers `Busy`.
const BUSY_WAIT: Duration = Duration::from_secs(5);

/// Statements kept prepared: more than there are.
const STATEMENTS: usize = 64;

/// A ledger in a SQLite file.
#[derive(Debug)]
pub struct SqliteLedger {
    connection: Connection,
    partitions: u16,
    hours: writes::Hours,
    /// Accounts whose rows are damaged or gone, by their codes: nothing is posted to them.
    unsound: BTreeMap<i64, Fault>,
    /// Set by an error after which this connection must not write.
    failed: bool,
}

impl SqliteLedger {
    /// Makes a ledger of `partitions` partitions, or opens the one that is there.
    pub fn create(path: &Path, partitions: u16) -> Result<SqliteLedger, LedgerError> {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE;
        let mut connection = connect(path, flags)?;
        schema::recognise(&connection, path)?;
        configure(&connection)?;
        schema::migrate(&mut connection, partitions)?;
        let ledger = SqliteLedger::checked(connection, path)?;
        if ledger.partitions == partitions {
            Ok(ledger)
        } else {
            Err(OpenError::Partitions {
                found: ledger.partitions,
                asked: partitions,
            })?
        }
    }

    /// Opens a ledger that is there. One that is missing is an error and not an empty ledger.
    pub fn open(path: &Path) -> Result<SqliteLedger, LedgerError> {
        if !path.exists() {
            return Err(OpenError::Absent(path.display().to_string()).into());
        }
        let mut connection = connect(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
        let made = schema::recognise(&connection, path)?;
        if made == 0 {
            return Err(OpenError::NotALedger(path.display().to_string()).into());
        }
        configure(&connection)?;
        schema::migrate(&mut connection, 0)?;
        SqliteLedger::checked(connection, path)
    }

    /// Opens a ledger to read it, beside a process that writes it or alone. Its file is never
    /// written; its folder must be writable all the same, for SQLite's shared index.
    pub fn open_read_only(path: &Path) -> Result<SqliteLedger, LedgerError> {
        if !path.exists() {
            return Err(OpenError::Absent(path.display().to_string()).into());
        }
        let connection = connect(path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
        let made = schema::recognise(&connection, path)?;
        if made < schema::NEWEST {
            return Err(OpenError::NotALedger(path.display().to_string()).into());
        }
        SqliteLedger::checked(connection, path)
    }

    /// Copies the WAL into the file and syncs it. SQLite does so by itself now and then; this is
    /// for a backup that copies the file alone.
    pub fn checkpoint(&mut self) -> Result<(), LedgerError> {
        checkpoint(&self.connection)
    }

    fn checked(connection: Connection, path: &Path) -> Result<SqliteLedger, LedgerError> {
        schema::check(&connection, path)?;
        if !connection
            .is_readonly("main")
            .map_err(engine(Place::Storage))?
        {
            checkpoint(&connection)?;
        }
        let mut ledger = SqliteLedger {
            connection,
            partitions: 0,
            hours: writes::Hours::default(),
            unsound: BTreeMap::new(),
            failed: false,
        };
        let Identity { partitions, .. } = ledger.identity()?;
        ledger.partitions = partitions;
        ledger.check_accounts()?;
        Ok(ledger)
    }

    /// Reads each account past its seal and checks that each currency sums to 0, so that a row
    /// that is gone or cannot be found is noticed before its balance is taken for 0.
    fn check_accounts(&mut self) -> Result<(), LedgerError> {
        let mut sums: BTreeMap<[u8; 3], i128> = BTreeMap::new();
        let damaged = reads::each_account(&self.connection, |account| match account {
            Ok((account, balance)) => {
                *sums.entry(account.currency()).or_default() += i128::from(balance.net().0);
                Ok(None)
            }
            Err(LedgerError::Corrupt(fault)) => match fault.place {
                Place::Account(code) => Ok(Some((code, *fault))),
                _ => Err(LedgerError::Corrupt(fault)),
            },
            Err(error) => Err(error),
        })?;
        let off = sums.into_iter().find(|(_, sum)| *sum != 0);
        if damaged.is_empty() && off.is_none() {
            return Ok(());
        }
        self.unsound = damaged.into_iter().collect();
        for code in reads::accounts_gone(&self.connection)? {
            let fault = Fault::new(Place::Account(code), "account", "its row", "none");
            self.unsound.entry(code).or_insert(fault);
        }
        match off {
            Some((currency, sum)) if self.unsound.is_empty() => {
                let what = "sum of all accounts of a currency";
                let found = format!("{sum} in {}", String::from_utf8_lossy(&currency));
                Err(Fault::new(Place::Storage, what, 0, found))?
            }
            _ => Ok(()),
        }
    }
}

fn connect(path: &Path, flags: OpenFlags) -> Result<Connection, LedgerError> {
    let flags = flags | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags).map_err(engine(Place::Storage))?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    connection
        .busy_timeout(BUSY_WAIT)
        .map_err(engine(Place::Storage))?;
    let guard = |config, on| {
        connection
            .set_db_config(config, on)
            .map_err(engine(Place::Storage))
    };
    guard(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)?;
    guard(DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false)?;
    connection
        .pragma_update(None, "cell_size_check", true)
        .map_err(engine(Place::Storage))?;
    Ok(connection)
}

fn configure(connection: &Connection) -> Result<(), LedgerError> {
    let mode: String = connection
        .pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get(0))
        .map_err(engine(Place::Storage))?;
    if mode != "wal" {
        let fault = Fault::new(Place::Storage, "journal mode", "wal", mode);
        return Err(fault.into());
    }
    // Looking for the parents of each line would cost as much as writing it, and a commit writes
    // parents first; `verify` has SQLite check all of them.
    for (pragma, value) in [("synchronous", "FULL"), ("foreign_keys", "OFF")] {
        connection
            .pragma_update(None, pragma, value)
            .map_err(engine(Place::Storage))?;
    }
    Ok(())
}

fn checkpoint(connection: &Connection) -> Result<(), LedgerError> {
    // Its row says whether a reader was in the way, which is no error: the next one goes further.
    connection
        .query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))
        .map_err(engine(Place::Storage))
}

#[cfg(test)]
mod tests;
