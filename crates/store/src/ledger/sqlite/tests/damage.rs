//! Rows that somebody has changed by hand.

use std::fs;

use super::*;
use crate::ledger::conformance::sample::{Worker, partition, prepaid, small_history, some_spends};
use crate::ledger::conformance::verified;
use crate::ledger::errors::Place;
use crate::ledger::stored::{StoredPosting, balance_seal};
use crate::ledger::verify::{Published, verify};
use crate::ledger::{Fault, Hash, Hour, LedgerReads, Publication};

/// Two partitions with all kinds of postings and two hourly roots, as the bytes of a file.
fn history() -> (TempDir, PathBuf, Vec<u8>) {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("ledger.db");
    let mut ledger = SqliteLedger::create(&path, 2).unwrap();
    small_history(&mut ledger, 0).unwrap();
    small_history(&mut ledger, 1).unwrap();
    publish(&mut ledger, 1);
    for number in 0..2 {
        let mut worker = Worker::start(&mut ledger, number).unwrap();
        worker.minute(&mut ledger, 179, &some_spends(7)).unwrap();
    }
    publish(&mut ledger, 2);
    ledger.checkpoint().unwrap();
    drop(ledger);
    let bytes = fs::read(&path).unwrap();
    (folder, path, bytes)
}

fn publish(ledger: &mut SqliteLedger, hour: u32) -> Hash {
    match ledger.publish(Hour(hour)).unwrap() {
        Publication::Published(root) => root.root,
        other => panic!("{other:?}"),
    }
}

/// Opens and verifies, reading only.
fn inspect(path: &Path) -> Result<(), LedgerError> {
    verified(&mut SqliteLedger::open_read_only(path)?).map(drop)
}

fn fault(path: &Path) -> Option<Fault> {
    match inspect(path) {
        Ok(()) => None,
        Err(LedgerError::Corrupt(fault)) => Some(*fault),
        Err(other) => panic!("{other}"),
    }
}

/// Runs SQL by hand, without any of the schema's rules, and puts its triggers back.
fn by_hand(path: &Path, sql: &str) {
    let db = Connection::open(path).unwrap();
    let triggers: Vec<(String, String)> = db
        .prepare("SELECT name, sql FROM sqlite_schema WHERE type = 'trigger'")
        .unwrap()
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))
        .unwrap()
        .collect::<Result<_, _>>()
        .unwrap();
    let drop_all: String = triggers
        .iter()
        .map(|(name, _)| format!("DROP TRIGGER {name};"))
        .collect();
    let make_all: String = triggers.iter().map(|(_, sql)| format!("{sql};")).collect();
    let free = "PRAGMA foreign_keys = OFF; PRAGMA ignore_check_constraints = ON;";
    db.execute_batch(&format!("{free} {drop_all} {sql}; {make_all}"))
        .unwrap();
}

const TABLES: [(&str, &str); 7] = [
    ("ledger", "one"),
    ("leases", "partition"),
    ("watermarks", "partition"),
    ("accounts", "account"),
    ("postings", "partition, number"),
    ("entries", "partition, number, line"),
    ("hourly_roots", "number"),
];

/// Every row of a table as SQL that finds it, in order.
fn rows_of(path: &Path, table: &str, key: &str) -> Vec<String> {
    let db = Connection::open(path).unwrap();
    let key: Vec<&str> = key.split(", ").collect();
    let sql = format!(
        "SELECT {} FROM {table} ORDER BY {}",
        key.join(", "),
        key.join(", ")
    );
    let mut statement = db.prepare(&sql).unwrap();
    let found = statement.query_map([], |row| {
        let parts = key.iter().enumerate().map(|(index, name)| {
            row.get::<_, i64>(index)
                .map(|value| format!("{name} = {value}"))
        });
        parts
            .collect::<Result<Vec<_>, _>>()
            .map(|parts| parts.join(" AND "))
    });
    found.unwrap().collect::<Result<_, _>>().unwrap()
}

fn columns_of(path: &Path, table: &str) -> Vec<(String, String)> {
    let db = Connection::open(path).unwrap();
    let mut statement = db.prepare(&format!("PRAGMA table_info({table})")).unwrap();
    let found = statement.query_map([], |row| Ok((row.get(1)?, row.get(2)?)));
    found.unwrap().collect::<Result<_, _>>().unwrap()
}

/// The first, the middle and the last.
fn some<T>(mut all: Vec<T>) -> Vec<T> {
    let (middle, last) = (all.len() / 2, all.len() - 1);
    let mut index = 0;
    all.retain(|_| {
        index += 1;
        [0, middle, last].contains(&(index - 1))
    });
    all
}

/// Where a fault of that row must lie, unless its key itself was changed.
fn place_of(table: &str, row: &str) -> Place {
    let number = |name: &str| -> i64 {
        let found = row
            .split(" AND ")
            .find_map(|part| part.strip_prefix(&format!("{name} = ")));
        found.unwrap().parse().unwrap()
    };
    let id = || partition(number("partition") as u16);
    match table {
        "ledger" => Place::Identity,
        "leases" => Place::Lease(id()),
        "watermarks" => Place::Watermark(id()),
        "accounts" => Place::Account(number("account")),
        "postings" => Place::Posting(id(), number("number") as u64),
        "entries" => Place::Line(id(), number("number") as u64, number("line") as u32),
        _ => Place::HourlyRoot(Hour(number("number") as u32)),
    }
}

#[test]
fn a_changed_column_is_named() {
    let (_folder, path, bytes) = history();
    let mut changes = 0;
    for (table, key) in TABLES {
        fs::write(&path, &bytes).unwrap();
        for row in some(rows_of(&path, table, key)) {
            for (column, kind) in columns_of(&path, table) {
                for value in match kind.as_str() {
                    "INTEGER" => vec![
                        format!("coalesce({column}, 0) + 1"),
                        format!("coalesce({column}, 0) - 4096"),
                    ],
                    "TEXT" => vec![format!("{column} || 'x'")],
                    _ => vec![
                        format!(
                            "CAST(x'7F' || substr(coalesce({column}, zeroblob(32)), 2) AS BLOB)"
                        ),
                        format!("CAST(coalesce({column}, zeroblob(16)) || x'00' AS BLOB)"),
                    ],
                } {
                    let sql =
                        format!("UPDATE OR REPLACE {table} SET {column} = {value} WHERE {row}");
                    fs::write(&path, &bytes).unwrap();
                    by_hand(&path, &sql);
                    let found = fault(&path).unwrap_or_else(|| panic!("not found: {sql}"));
                    if !key.split(", ").any(|part| part == column) && column != "hour" {
                        assert_eq!(found.place, place_of(table, &row), "{sql}: {found}");
                    }
                    changes += 1;
                }
            }
        }
    }
    eprintln!("{changes} changes by hand, all found");
    assert!(changes > 150);
}

#[test]
fn a_removed_row_is_named() {
    let (_folder, path, bytes) = history();
    let mut removed = 0;
    for (table, key) in TABLES {
        fs::write(&path, &bytes).unwrap();
        let all = rows_of(&path, table, key);
        for (index, row) in all.iter().enumerate() {
            fs::write(&path, &bytes).unwrap();
            by_hand(&path, &format!("DELETE FROM {table} WHERE {row}"));
            let found = fault(&path).unwrap_or_else(|| panic!("not found: {table} {row}"));
            let exact = match table {
                // A line is missed where the next one stands, or where the posting ends.
                "entries" | "postings" => true,
                // The first account that is missing is found by its currency's sum already.
                "accounts" => false,
                // The last root is missed by the ledger's own row.
                "hourly_roots" => index + 1 < all.len(),
                _ => true,
            };
            if exact && table != "hourly_roots" {
                assert_eq!(found.place, place_of(table, row), "{row}: {found}");
            }
            removed += 1;
        }
        fs::write(&path, &bytes).unwrap();
        by_hand(&path, &format!("DELETE FROM {table}"));
        assert!(fault(&path).is_some(), "all of {table}");
    }
    eprintln!("{removed} rows removed by hand, all found");
}

/// What is hidden from questions about an account or campaign is missed by `verify`.
#[test]
fn hours_that_do_not_fit_their_entries_are_found() {
    let (_folder, path, bytes) = history();
    for (table, column) in [("account_hours", "account"), ("campaign_hours", "campaign")] {
        let one = format!("{column} = (SELECT min({column}) FROM {table})");
        for change in [
            format!("DELETE FROM {table} WHERE {one}"),
            format!("UPDATE {table} SET hour = hour + 1000 WHERE {one}"),
            format!("UPDATE OR REPLACE {table} SET partition = 1 - partition WHERE {one}"),
        ] {
            fs::write(&path, &bytes).unwrap();
            by_hand(&path, &change);
            let found = fault(&path).unwrap_or_else(|| panic!("not found: {change}"));
            assert_eq!(found.place, Place::Storage, "{change}");
        }
    }
}

#[test]
fn an_added_row_is_named() {
    let (_folder, path, bytes) = history();
    for (table, key) in TABLES {
        let keys: Vec<&str> = key.split(", ").collect();
        for moved in &keys {
            fs::write(&path, &bytes).unwrap();
            for row in some(rows_of(&path, table, key)) {
                let columns = columns_of(&path, table);
                let values: Vec<String> = columns
                    .iter()
                    .map(|(column, _)| match column.as_str() {
                        name if name == *moved => format!("{name} + 1000"),
                        // Unique columns move along.
                        "last_ordinal" => String::from("last_ordinal + 100000"),
                        "hour" => String::from("hour + 1000"),
                        "command" => String::from("NULL"),
                        "kind" if table == "postings" => String::from("1"),
                        name => name.to_owned(),
                    })
                    .collect();
                let values = values.join(", ");
                let sql = format!("INSERT INTO {table} SELECT {values} FROM {table} WHERE {row}");
                fs::write(&path, &bytes).unwrap();
                by_hand(&path, &sql);
                assert!(fault(&path).is_some(), "not found: {sql}");
            }
        }
    }
}

/// Writes a posting over the one that is there, with seals as they should be.
fn forge(path: &Path, stored: &StoredPosting) {
    let (id, number) = (stored.partition.get(), stored.number);
    let row = format!("WHERE partition = {id} AND number = {number}");
    let lines = stored.posting.lines.len() as u64;
    let seal = stored.row(lines).seal();
    let (hash, previous) = (stored.hash, stored.previous);
    let mut sql = format!(
        "UPDATE postings SET hash = x'{hash}', previous = x'{previous}', seal = {seal} {row};"
    );
    for entry in stored.entries() {
        let (line, amount, seal) = (entry.key.line, entry.line.amount.0, entry.seal());
        sql += &format!(
            "UPDATE entries SET amount_micros = {amount}, seal = {seal} {row} AND line = {line};"
        );
    }
    by_hand(path, &sql);
}

#[test]
fn a_forger_who_makes_seals_is_found_by_the_chain() {
    let (_folder, path, bytes) = history();
    let mut ledger = SqliteLedger::open_read_only(&path).unwrap();
    let honest = ledger.chain(partition(1), 1, 1).unwrap().pop().unwrap();
    drop(ledger);
    let rehash = |stored: &mut StoredPosting| {
        stored.hash = stored
            .posting
            .hash(&stored.previous, stored.partition, stored.number);
    };
    let found = |change: &dyn Fn(&mut StoredPosting)| {
        let mut forged = honest.clone();
        change(&mut forged);
        fs::write(&path, &bytes).unwrap();
        forge(&path, &forged);
        let found = fault(&path).unwrap();
        (found.place, found.what)
    };
    let (here, next) = (
        Place::Posting(partition(1), 2),
        Place::Posting(partition(1), 3),
    );
    let shift = |stored: &mut StoredPosting| {
        // A publisher's cent goes to the platform.
        stored.posting.lines[2].amount.0 -= 10_000;
        stored.posting.lines[4].amount.0 += 10_000;
    };
    assert_eq!(found(&shift), (here, "hash"));
    let shift_and_rehash = |stored: &mut StoredPosting| {
        shift(stored);
        rehash(stored);
    };
    assert_eq!(found(&shift_and_rehash), (next, "previous hash"));
    let unbalance = |stored: &mut StoredPosting| {
        stored.posting.lines[2].amount.0 -= 10_000;
        rehash(stored);
    };
    assert_eq!(found(&unbalance), (here, "posting"));
    let uproot = |stored: &mut StoredPosting| {
        stored.previous = Hash([7; 32]);
        rehash(stored);
    };
    assert_eq!(found(&uproot), (here, "previous hash"));
}

#[test]
fn a_forger_who_moves_balances_is_found_by_their_lines() {
    let (_folder, path, _) = history();
    let mut sql = String::new();
    for (account, more) in [(prepaid(7), 5_000), (prepaid(8), -5_000)] {
        let mut ledger = SqliteLedger::open_read_only(&path).unwrap();
        let mut balance = ledger.balance(account).unwrap();
        balance.credits.0 += more;
        let (code, credits) = (account.code(), balance.credits.0);
        let seal = balance_seal(account, &balance);
        let set = format!("SET credits_micros = {credits}, seal = {seal}");
        sql += &format!("UPDATE accounts {set} WHERE account = {code};");
    }
    by_hand(&path, &sql);
    // Sums to 0 and has its seals: it opens.
    drop(SqliteLedger::open_read_only(&path).unwrap());
    let found = fault(&path).unwrap();
    let place = Place::Account(prepaid(7).code());
    assert_eq!((found.place, found.what), (place, "sum of its lines"));
}

/// Somebody who knows how to make seals, hashes and roots is found by what was published.
#[test]
fn a_forger_is_found_by_the_published_roots() {
    let (_folder, path, bytes) = history();
    let mut honest = SqliteLedger::open(&path).unwrap();
    let roots = honest.hourly_roots(0, 10).unwrap();
    let earlier = {
        // The ledger as it was before its last minute.
        let (_folder, path, _) = shorter_history();
        fs::read(path).unwrap()
    };
    drop(honest);
    let known: Vec<Published> = roots
        .iter()
        .map(|root| Published {
            hour: root.hour,
            root: root.root,
        })
        .collect();
    // The last postings cut off with their watermarks, accounts and seals, but not the roots.
    let cut = TempDir::new().unwrap();
    let other = cut.path().join("earlier.db");
    fs::write(&other, &earlier).unwrap();
    let mut sql = format!("ATTACH '{}' AS old;", other.display());
    for table in ["entries", "postings", "accounts", "watermarks", "leases"] {
        sql += &format!("DELETE FROM main.{table}; INSERT INTO {table} SELECT * FROM old.{table};");
    }
    fs::write(&path, &bytes).unwrap();
    by_hand(&path, &sql);
    let found = fault(&path).unwrap();
    assert_eq!(found.place, Place::HourlyRoot(Hour(2)), "{found}");
    // The whole ledger replaced by an older one, or one that never was: sound in itself.
    fs::write(&path, &earlier).unwrap();
    inspect(&path).unwrap();
    let mut ledger = SqliteLedger::open_read_only(&path).unwrap();
    let found = verify(&mut ledger, &known, &mut |_| {})
        .unwrap_err()
        .to_string();
    assert!(found.contains("root of hour 2: published root"), "{found}");
}

/// As [`history`], without its last hour.
fn shorter_history() -> (TempDir, PathBuf, ()) {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("ledger.db");
    let mut ledger = SqliteLedger::create(&path, 2).unwrap();
    small_history(&mut ledger, 0).unwrap();
    small_history(&mut ledger, 1).unwrap();
    publish(&mut ledger, 1);
    (folder, path, ())
}
