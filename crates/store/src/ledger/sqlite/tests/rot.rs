//! Files that have rotted: flipped bits, lost pages, a short end.

use std::fs;

use super::files::ledger_with_history;
use super::*;
use crate::ledger::LedgerReads;
use crate::ledger::books;
use crate::ledger::conformance::model::Random;
use crate::ledger::conformance::sample::{Worker, some_spends};
use crate::ledger::conformance::verified;

const FLIPS: &str = "TOLLGATE_LEDGER_FLIPS";

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
