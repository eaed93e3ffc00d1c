//! Rows that somebody has changed, and files that have rotted.

use std::fs;

use super::files::ledger_with_history;
use super::*;
use crate::ledger::books;
use crate::ledger::conformance::model::Random;
use crate::ledger::conformance::sample::{Worker, partition, small_history, some_spends};
use crate::ledger::conformance::verified;
use crate::ledger::errors::Place;
use crate::ledger::verify::{Published, verify};
use crate::ledger::{Fault, Hash, Hour, LedgerReads, Publication};

const FLIPS: &str = "TOLLGATE_LEDGER_FLIPS";

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
                // One row that nothing reads is no wrong entry: that of a partition which the
                // ledger does not have. The storage check finds even that, or nothing refers to it.
                let harmless = matches!(table, "leases" | "watermarks" | "ledger");
                assert!(fault(&path).is_some() || harmless, "not found: {sql}");
            }
        }
    }
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

/// All that a ledger says, or why it cannot be read.
#[derive(PartialEq, Eq, Debug)]
struct Said {
    books: Vec<u8>,
    watermarks: Vec<String>,
}

fn said(path: &Path) -> Result<Said, LedgerError> {
    let mut ledger = SqliteLedger::open_read_only(path)?;
    verified(&mut ledger)?;
    let mut text = Vec::new();
    match books::write(&mut ledger, &mut text) {
        Ok(()) => {}
        Err(books::BooksError::Ledger(error)) => return Err(error),
        Err(other) => panic!("{other}"),
    }
    let ids = ledger.partitions()?;
    let watermarks = ids.into_iter().map(|id| {
        Ok(format!(
            "{:?} {:?}",
            ledger.watermark(id)?,
            ledger.lease(id)?
        ))
    });
    Ok(Said {
        books: text,
        watermarks: watermarks.collect::<Result<_, LedgerError>>()?,
    })
}

/// Every flip is found, or all that the ledger says is as it was.
#[test]
fn a_flipped_bit_is_found_or_harmless() {
    let flips = std::env::var(FLIPS).map_or(600, |flips| flips.parse().unwrap());
    let seed = u64::from(std::process::id());
    let mut random = Random(seed);
    let (folder, mut ledger) = ledger_with_history();
    let path = folder.path().join("ledger.db");
    // Enough that most bytes of the file are rows and not room for them.
    let mut worker = Worker::start(&mut ledger, 0).unwrap();
    for minute in 130..170 {
        worker
            .minute(&mut ledger, minute, &some_spends(minute))
            .unwrap();
    }
    drop(ledger);
    Connection::open(&path)
        .unwrap()
        .execute_batch("VACUUM")
        .unwrap();
    let bytes = fs::read(&path).unwrap();
    let whole = said(&path).unwrap();
    let (mut found, mut harmless) = (0, 0);
    for _ in 0..flips {
        let bit = random.below(bytes.len() as u64 * 8);
        let mut flipped = bytes.clone();
        flipped[(bit / 8) as usize] ^= 1 << (bit % 8);
        fs::write(&path, &flipped).unwrap();
        match said(&path) {
            Err(_) => found += 1,
            Ok(now) => {
                assert_eq!(now, whole, "seed {seed}, bit {bit}");
                harmless += 1;
            }
        }
        clean(&path);
    }
    let size = bytes.len();
    eprintln!("seed {seed}: {flips} flips in {size} bytes: {found} found, {harmless} harmless");
    assert!(found > 0 && harmless > 0);
}

/// A page that is zeros, or a file that ends early, is found.
#[test]
fn a_lost_page_is_found() {
    let (folder, ledger) = ledger_with_history();
    let path = folder.path().join("ledger.db");
    drop(ledger);
    let bytes = fs::read(&path).unwrap();
    for page in 0..bytes.len() / 4096 {
        let mut zeroed = bytes.clone();
        zeroed[page * 4096..(page + 1) * 4096].fill(0);
        fs::write(&path, &zeroed).unwrap();
        assert!(said(&path).is_err(), "zeros in page {page}");
        clean(&path);
        for length in [page * 4096, page * 4096 + 100] {
            fs::write(&path, &bytes[..length]).unwrap();
            assert!(said(&path).is_err(), "cut at {length}");
            clean(&path);
        }
    }
}

/// A flip in the WAL gives the ledger of an earlier commit: SQLite takes it for the WAL's end.
/// Nothing is served that was never posted, and a replay from the watermark heals it.
#[test]
fn a_flipped_bit_in_the_wal_gives_an_earlier_commit_or_is_found() {
    let (folder, mut ledger) = ledger_with_history();
    let path = folder.path().join("ledger.db");
    let log = folder.path().join("ledger.db-wal");
    let copy = folder.path().join("copy.db");
    let copy_log = folder.path().join("copy.db-wal");
    ledger.checkpoint().unwrap();
    let place = |bytes: &[u8]| {
        clean(&copy);
        fs::copy(&path, &copy).unwrap();
        fs::write(&copy_log, bytes).unwrap();
    };
    let mut states = Vec::new();
    let mut worker = Worker::start(&mut ledger, 0).unwrap();
    let mut bytes = Vec::new();
    for minute in 130..134 {
        place(&bytes);
        states.push(said(&copy).unwrap());
        worker.minute(&mut ledger, minute, &some_spends(7)).unwrap();
        bytes = fs::read(&log).unwrap();
        if minute == 130 {
            // The lease was a commit of its own.
            let mut lease_only = bytes.clone();
            lease_only.truncate(32 + 4120);
            place(&lease_only);
            states.push(said(&copy).unwrap());
        }
    }
    place(&bytes);
    states.push(said(&copy).unwrap());
    let seed = u64::from(std::process::id());
    let mut random = Random(seed);
    let mut earlier = 0;
    for _ in 0..200 {
        let bit = random.below(bytes.len() as u64 * 8);
        let mut flipped = bytes.clone();
        flipped[(bit / 8) as usize] ^= 1 << (bit % 8);
        place(&flipped);
        if let Ok(now) = said(&copy) {
            assert!(states.contains(&now), "seed {seed}, bit {bit}: {now:?}");
            earlier += u32::from(&now != states.last().unwrap());
        }
    }
    assert!(earlier > 100, "{earlier}");
}

/// Removes what SQLite keeps beside a file.
fn clean(path: &Path) {
    for suffix in ["-wal", "-shm"] {
        let mut beside = path.as_os_str().to_owned();
        beside.push(suffix);
        fs::remove_file(beside).ok();
    }
}
