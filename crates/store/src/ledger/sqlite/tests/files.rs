//! Which files are opened, and what a connection may do.

use std::fs;
use std::path::Path;
use std::process::Command;

use super::*;
use crate::ledger::conformance::sample::{
    Worker, minute_posting, partition, prepaid, small_history, some_spends,
};
use crate::ledger::conformance::verified;
use crate::ledger::errors::{OpenError, Place};
use crate::ledger::{Acquire, Hour, LedgerReads, Outcome, Publication};

#[test]
fn a_ledger_is_made_once_and_found_again() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("ledger.db");
    let absent = SqliteLedger::open(&path);
    assert!(
        matches!(absent, Err(LedgerError::Open(OpenError::Absent(_)))),
        "{absent:?}"
    );
    let absent = SqliteLedger::open_read_only(&path);
    assert!(
        matches!(absent, Err(LedgerError::Open(OpenError::Absent(_)))),
        "{absent:?}"
    );
    assert!(!path.exists());

    let mut ledger = SqliteLedger::create(&path, 2).unwrap();
    small_history(&mut ledger, 1).unwrap();
    let at = ledger.watermark(partition(1)).unwrap();
    drop(ledger);
    for open in [SqliteLedger::open(&path), SqliteLedger::create(&path, 2)] {
        assert_eq!(open.unwrap().watermark(partition(1)).unwrap(), at);
    }
    let other = SqliteLedger::create(&path, 3);
    let refused = OpenError::Partitions { found: 2, asked: 3 }.to_string();
    assert_eq!(other.unwrap_err().to_string(), refused);
    for impossible in [0, 4097, u16::MAX] {
        let other = SqliteLedger::create(&folder.path().join("other.db"), impossible);
        assert!(matches!(other, Err(LedgerError::Malformed(_))), "{other:?}");
    }
}

#[test]
fn other_files_are_refused_and_stay_as_they_are() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("file");
    let sqlite = |sql: &str| {
        fs::remove_file(&path).ok();
        Connection::open(&path).unwrap().execute_batch(sql).unwrap();
    };
    let refused = |what: &str| {
        let before = fs::read(&path).unwrap();
        for open in [
            SqliteLedger::create(&path, 1),
            SqliteLedger::open(&path),
            SqliteLedger::open_read_only(&path),
        ] {
            let error = open.unwrap_err().to_string();
            assert!(error.contains(what), "{error}");
        }
        assert_eq!(fs::read(&path).unwrap(), before);
    };
    fs::write(
        &path,
        "this is a letter and not a database, and it is longer than a header of one",
    )
    .unwrap();
    refused("is not a ledger");
    sqlite("CREATE TABLE letters (text TEXT)");
    refused("is not a ledger");
    sqlite("PRAGMA application_id = 7; CREATE TABLE letters (text TEXT)");
    refused("is not a ledger");
    sqlite("PRAGMA application_id = 0x546F6C6C; PRAGMA user_version = 2; CREATE TABLE t (a)");
    refused("has format 2; this version of Tollgate knows 1");
    fs::write(&path, "").unwrap();
    let empty = SqliteLedger::open(&path).unwrap_err().to_string();
    assert!(empty.contains("is not a ledger"), "{empty}");
    let directory = SqliteLedger::open(folder.path());
    assert!(directory.is_err());
}

#[test]
fn a_newer_ledger_is_refused() {
    let (folder, ledger) = ledger_with_history();
    ledger
        .connection
        .pragma_update(None, "user_version", 2)
        .unwrap();
    let path = folder.path().join("ledger.db");
    drop(ledger);
    let newer = SqliteLedger::open(&path);
    let found = matches!(
        newer,
        Err(LedgerError::Open(OpenError::Newer { found: 2, known: 1 }))
    );
    assert!(found, "{newer:?}");
}

#[test]
fn a_schema_that_was_changed_is_named() {
    for change in [
        "DROP TRIGGER entries_stay",
        "DROP TABLE campaign_hours",
        "DROP INDEX postings_by_command; \
         CREATE INDEX postings_by_command ON postings (command) WHERE command IS NOT NULL",
        "CREATE TABLE more (a)",
        "ALTER TABLE leases ADD COLUMN more INTEGER",
    ] {
        let (folder, ledger) = ledger_with_history();
        ledger.connection.execute_batch(change).unwrap();
        drop(ledger);
        let opened = SqliteLedger::open(&folder.path().join("ledger.db"));
        let text = opened.unwrap_err().to_string();
        assert!(text.contains("storage: schema"), "{change}: {text}");
    }
}

#[test]
fn the_connection_is_durable_and_the_rows_are_append_only() {
    assert!(
        rusqlite::version_number() >= 3_051_003,
        "older ones may corrupt a WAL"
    );
    let (_folder, ledger) = ledger_with_history();
    let pragma = |name| {
        let value = ledger
            .connection
            .pragma_query_value(None, name, |row| row.get::<_, i64>(0));
        value.unwrap()
    };
    assert_eq!(pragma("synchronous"), 2);
    for table in ["postings", "entries", "hourly_roots"] {
        for change in [
            format!("UPDATE {table} SET seal = 0"),
            format!("DELETE FROM {table}"),
        ] {
            let refused = ledger.connection.execute(&change, []);
            let text = refused.map(|_| change).unwrap_err().to_string();
            assert!(text.contains("append-only"), "{text}");
        }
    }
}

#[test]
fn a_reader_sees_one_state_and_writes_nothing() {
    let (folder, mut writer) = ledger_with_history();
    let path = folder.path().join("ledger.db");
    let mut reader = SqliteLedger::open_read_only(&path).unwrap();
    reader.pin().unwrap();
    let before = reader.watermark(partition(0)).unwrap();
    let mut worker = Worker::start(&mut writer, 0).unwrap();
    worker.minute(&mut writer, 130, &some_spends(7)).unwrap();
    assert_eq!(reader.watermark(partition(0)).unwrap(), before);
    let pinned = reader.commit(&worker.request(300, 131, vec![]));
    assert!(
        matches!(pinned, Err(LedgerError::Malformed(_))),
        "{pinned:?}"
    );
    reader.unpin().unwrap();
    assert_eq!(reader.watermark(partition(0)).unwrap(), worker.at);
    let request = worker.request(300, 131, vec![]);
    assert!(matches!(
        reader.commit(&request),
        Err(LedgerError::ReadOnly)
    ));

    drop(writer);
    let mut reader = SqliteLedger::open_read_only(&path).unwrap();
    let before = fs::read(&path).unwrap();
    verified(&mut reader).unwrap();
    drop(reader);
    assert_eq!(fs::read(&path).unwrap(), before);
}

/// Stops a commit after every count of steps of SQLite's machine, without killing the process.
#[test]
fn a_commit_that_is_stopped_anywhere_did_nothing() {
    let (_folder, mut ledger) = ledger_with_history();
    let mut worker = Worker::start(&mut ledger, 0).unwrap();
    let first = worker.next();
    let posting = minute_posting(130, first, first, &some_spends(7));
    let request = worker.request(first, 131, vec![posting]);
    let before = everything(&mut ledger);
    let mut steps = 0;
    for stopped in 0.. {
        let mut steps_left = stopped;
        let stop = move || {
            steps_left -= 1;
            steps_left == -1
        };
        ledger.connection.progress_handler(1, Some(stop)).unwrap();
        let answer = ledger.commit(&request);
        let none = None::<fn() -> bool>;
        ledger.connection.progress_handler(0, none).unwrap();
        // As a ledger that is opened again.
        ledger.failed = false;
        let now = ledger.watermark(request.partition).unwrap();
        steps = stopped;
        match answer {
            Err(LedgerError::Uncertain(_)) if now == worker.at => {
                assert_eq!(everything(&mut ledger), before, "at {stopped}");
            }
            // It was stopped after the commit itself, and could not know: asking again tells.
            Err(LedgerError::Uncertain(_)) | Ok(Outcome::Committed(_)) => {
                worker.at = now;
                break;
            }
            other => panic!("after {stopped} steps: {other:?}"),
        }
    }
    eprintln!("stopped at each of {steps} steps");
    assert!(steps > 300, "only {steps} steps");
    verified(&mut ledger).unwrap();
    let again = ledger.commit(&request).unwrap();
    assert_eq!(again, Outcome::AlreadyApplied(worker.at));
}

fn everything(ledger: &mut SqliteLedger) -> (Vec<i64>, bool) {
    let tables = [
        "leases",
        "watermarks",
        "accounts",
        "postings",
        "entries",
        "hourly_roots",
    ];
    let sum = |table| {
        let sql = format!("SELECT total(seal % 1000003) FROM {table}");
        ledger
            .connection
            .query_row(&sql, [], |row| row.get::<_, f64>(0))
            .unwrap() as i64
    };
    (
        tables.into_iter().map(sum).collect(),
        ledger.connection.is_autocommit(),
    )
}

#[test]
fn a_full_ledger_says_so_and_goes_on_when_there_is_room() {
    let (_folder, mut ledger) = ledger_with_history();
    let mut worker = Worker::start(&mut ledger, 0).unwrap();
    let pages = |ledger: &SqliteLedger, name: &str| -> i64 {
        ledger
            .connection
            .pragma_query_value(None, name, |row| row.get(0))
            .unwrap()
    };
    let set = |ledger: &SqliteLedger, most: i64| {
        let set = ledger
            .connection
            .pragma_update_and_check(None, "max_page_count", most, |_| Ok(()));
        set.unwrap();
    };
    let now = pages(&ledger, "page_count");
    set(&ledger, now + 1);
    let mut minute = 130;
    let request = loop {
        let first = worker.next();
        let posting = minute_posting(minute, first, first, &some_spends(minute));
        let request = worker.request(first, minute + 1, vec![posting]);
        match ledger.commit(&request) {
            Ok(Outcome::Committed(at)) => worker.at = at,
            Err(error @ LedgerError::Full(_)) => {
                assert!(error.retryable());
                break request;
            }
            other => panic!("{other:?}"),
        }
        minute += 1;
        assert!(minute < 1000, "never full");
    };
    // Full as it is, it is whole and can be read.
    assert_eq!(ledger.watermark(request.partition).unwrap(), worker.at);
    verified(&mut ledger).unwrap();
    assert!(matches!(ledger.commit(&request), Err(LedgerError::Full(_))));
    set(&ledger, now + 100);
    worker.commit(&mut ledger, &request).unwrap();
    verified(&mut ledger).unwrap();
}

/// The same on a disk that is really full, where the test may mount one.
#[test]
fn a_full_disk_is_a_full_ledger() {
    let folder = TempDir::new().unwrap();
    let Some(disk) = SmallDisk::mount(folder.path()) else {
        eprintln!("SKIPPED: a small tmpfs cannot be mounted here");
        return;
    };
    let path = folder.path().join("ledger.db");
    let mut ledger = SqliteLedger::create(&path, 1).unwrap();
    small_history(&mut ledger, 0).unwrap();
    let mut worker = Worker::start(&mut ledger, 0).unwrap();
    let ballast = folder.path().join("ballast");
    let room = 64 * 1024;
    fs::write(&ballast, vec![1; SmallDisk::BYTES]).unwrap_err();
    fs::File::options()
        .write(true)
        .open(&ballast)
        .unwrap()
        .set_len(room)
        .unwrap();
    fs::write(folder.path().join("more"), vec![1; SmallDisk::BYTES]).unwrap_err();
    let mut minute = 130;
    let request = loop {
        let first = worker.next();
        let posting = minute_posting(minute, first, first, &some_spends(minute));
        let request = worker.request(first, minute + 1, vec![posting]);
        match ledger.commit(&request) {
            Ok(Outcome::Committed(at)) => worker.at = at,
            Err(LedgerError::Full(_)) => break request,
            other => panic!("{other:?}"),
        }
        minute += 1;
        assert!(minute < 1000, "never full");
    };
    assert_eq!(ledger.watermark(request.partition).unwrap(), worker.at);
    verified(&mut ledger).unwrap();
    fs::remove_file(folder.path().join("more")).unwrap();
    worker.commit(&mut ledger, &request).unwrap();
    verified(&mut ledger).unwrap();
    drop(ledger);
    drop(disk);
}

/// A tmpfs of 2 MiB, unmounted when it is dropped.
struct SmallDisk<'a>(&'a Path);

impl SmallDisk<'_> {
    const BYTES: usize = 2 << 20;

    fn mount(at: &Path) -> Option<SmallDisk<'_>> {
        let size = format!("size={}", SmallDisk::BYTES);
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(at);
        mount
            .output()
            .is_ok_and(|done| done.status.success())
            .then_some(SmallDisk(at))
    }
}

impl Drop for SmallDisk<'_> {
    fn drop(&mut self) {
        Command::new("umount").arg(self.0).status().unwrap();
    }
}

#[test]
fn a_row_that_is_wrong_stops_the_connection() {
    let (folder, mut ledger) = ledger_with_history();
    let mut worker = Worker::start(&mut ledger, 0).unwrap();
    let path = folder.path().join("ledger.db");
    let other = Connection::open(&path).unwrap();
    let sql = "UPDATE accounts SET credits_micros = credits_micros + 16384 WHERE kind = 'prepaid'";
    assert_eq!(other.execute(sql, []).unwrap(), 1);
    drop(other);
    let account = prepaid(7).code();
    let corrupt = |answer: Result<_, LedgerError>| match answer {
        Err(LedgerError::Corrupt(fault)) => assert_eq!(fault.place, Place::Account(account)),
        Err(other) => panic!("{other}"),
        Ok(()) => panic!("served"),
    };
    corrupt(ledger.balance(prepaid(7)).map(drop));
    corrupt(worker.minute(&mut ledger, 130, &some_spends(7)).map(drop));
    let after = ledger.acquire(&Acquire {
        partition: partition(0),
        owner: "worker",
        ttl_ms: 1,
        epoch_above: 0,
    });
    assert!(matches!(after, Err(LedgerError::Uncertain(_))), "{after:?}");
    drop(ledger);
    // Opened again, it stops who asks for the account or posts to it, and nobody else.
    let mut ledger = SqliteLedger::open(&path).unwrap();
    corrupt(ledger.balance(prepaid(7)).map(drop));
    ledger.watermark(partition(0)).unwrap();
    let mut worker = Worker::start(&mut ledger, 0).unwrap();
    corrupt(worker.minute(&mut ledger, 130, &some_spends(7)).map(drop));
}

#[test]
fn an_account_that_is_gone_is_not_begun_anew() {
    let (folder, ledger) = ledger_with_history();
    let path = folder.path().join("ledger.db");
    drop(ledger);
    let other = Connection::open(&path).unwrap();
    let free = "PRAGMA foreign_keys = OFF; DELETE FROM accounts WHERE kind = 'prepaid'";
    other.execute_batch(free).unwrap();
    drop(other);
    let mut ledger = SqliteLedger::open(&path).unwrap();
    let mut worker = Worker::start(&mut ledger, 0).unwrap();
    let answers = [
        ledger.balance(prepaid(7)).map(drop),
        worker.minute(&mut ledger, 130, &some_spends(7)).map(drop),
    ];
    for answer in answers {
        let told = answer.unwrap_err().to_string();
        assert!(told.contains(&format!("account {}", prepaid(7))), "{told}");
    }
}

pub(super) fn ledger_with_history() -> (TempDir, SqliteLedger) {
    let folder = TempDir::new().unwrap();
    let mut ledger = SqliteLedger::create(&folder.path().join("ledger.db"), 1).unwrap();
    small_history(&mut ledger, 0).unwrap();
    assert!(matches!(
        ledger.publish(Hour(1)),
        Ok(Publication::Published(_))
    ));
    (folder, ledger)
}
