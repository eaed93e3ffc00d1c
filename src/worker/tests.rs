//! Whatever happens to a worker, the stores end as if nothing had.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use tollgate_click::PartitionId;
use tollgate_log::{MemoryLog, MemoryReader, ReadBudget};
use tollgate_store::lake::LocalObjects;
use tollgate_store::ledger::{Ledger, LedgerReads, SqliteLedger, books, verify};

use super::begin::{Identity, Stores, Unfit};
use super::run::{Slot, Worker};
use super::{GaveUp, PartitionView};

mod history;
mod mortal;

use history::{Dice, History, PARTITIONS};
use mortal::{Life, MortalLedger, MortalObjects, NoPatience};

/// In memory where that is possible: nothing here is about disks.
fn folder() -> tempfile::TempDir {
    let memory = Path::new("/dev/shm");
    let made = match memory.is_dir() {
        true => tempfile::tempdir_in(memory),
        false => tempfile::tempdir(),
    };
    made.unwrap()
}

fn begin(log: &MemoryLog, folder: &Path, life: &Arc<Life>) -> Result<Worker<MemoryReader>, Unfit> {
    begin_as("node-1", log, folder, life)
}

fn begin_as(
    owner: &str,
    log: &MemoryLog,
    folder: &Path,
    life: &Arc<Life>,
) -> Result<Worker<MemoryReader>, Unfit> {
    let (path, mortal) = (folder.join("ledger.db"), life.clone());
    let stores = Stores {
        ledger: Box::new(move || {
            let inner = SqliteLedger::create(&path, PARTITIONS)?;
            let life = mortal.clone();
            Ok(Box::new(MortalLedger { life, inner }) as Box<dyn Ledger + Send>)
        }),
        objects: Arc::new(MortalObjects {
            life: life.clone(),
            inner: LocalObjects::new(folder),
        }),
    };
    let who = Identity {
        owner,
        epoch_above: 0,
        partitions: PARTITIONS,
    };
    Worker::begin(log, stores, who, &mut NoPatience)
}

/// Runs a worker to the end of the log, or of its life.
fn run(worker: &mut Worker<MemoryReader>, records_max: usize) -> Result<(), GaveUp> {
    let budget = ReadBudget {
        records_max,
        ..ReadBudget::default()
    };
    while !worker.step(budget, &mut NoPatience)?.at_end {}
    Ok(())
}

/// Everything that a worker leaves: files with their bytes, books, chains, watermarks.
#[derive(PartialEq, Eq, Debug)]
struct Left {
    files: BTreeMap<String, Vec<u8>>,
    books: String,
    chains: Vec<String>,
}

fn left(folder: &Path) -> Left {
    let mut files = BTreeMap::new();
    for root in ["lake", "rollup"] {
        collect(&folder.join(root), folder, &mut files);
    }
    let mut ledger = SqliteLedger::open(&folder.join("ledger.db")).unwrap();
    verify::verify(&mut ledger, &[], &mut |_| {}).unwrap();
    let mut text = Vec::new();
    books::write(&mut ledger, &mut text).unwrap();
    let mut chains = Vec::new();
    for number in 0..PARTITIONS {
        let partition = PartitionId::new(number).unwrap();
        let at = ledger.watermark(partition).unwrap();
        let (ordinal, closed) = (at.ordinal, at.closed_before);
        chains.push(format!(
            "{number} {ordinal} {closed:?} {} {:?}",
            at.head, at.cursor
        ));
        for posting in ledger.chain(partition, 0, 10_000).unwrap() {
            chains.push(format!("{number}/{} {}", posting.number, posting.hash));
        }
    }
    Left {
        files,
        books: String::from_utf8(text).unwrap(),
        chains,
    }
}

fn collect(folder: &Path, root: &Path, files: &mut BTreeMap<String, Vec<u8>>) {
    let Ok(entries) = std::fs::read_dir(folder) else {
        return;
    };
    for entry in entries {
        let path = entry.unwrap().path();
        let name = path.strip_prefix(root).unwrap().display().to_string();
        if path.is_dir() {
            collect(&path, root, files);
        } else if !name.contains("/.tmp-") {
            files.insert(name, std::fs::read(&path).unwrap());
        }
    }
}

/// What a worker leaves that nothing happened to, and how often it wrote.
fn undisturbed(log: &MemoryLog) -> (Left, u64) {
    let folder = folder();
    let life = Life::without_end();
    let mut worker = begin(log, folder.path(), &life).unwrap();
    run(&mut worker, 100_000).unwrap();
    let views: Vec<PartitionView> = worker.slots.iter().map(Slot::view).collect();
    assert!(views.iter().all(|view| view.halt.is_none()), "{views:?}");
    (left(folder.path()), life.writes.load(Ordering::Relaxed))
}

#[test]
fn a_history_is_posted_cut_and_counted() {
    let mut history = History::new(1);
    history.go_on(300, 4);
    let (left, _) = undisturbed(&history.log);
    assert!(left.books.lines().count() > 60, "{}", left.books);
    assert!(left.books.contains("revenue") && left.chains.len() > 12);
    for folder in [
        "lake/clicks",
        "lake/personal",
        "lake/records",
        "rollup/minutes",
    ] {
        assert!(
            left.files.keys().any(|name| name.starts_with(folder)),
            "{folder}"
        );
    }
}

/// One worker after the other is killed in one of its writes, first in its first, then in its
/// second and so on; the write has happened or not. The next one goes on.
#[test]
fn a_worker_that_dies_in_any_write_leaves_what_an_undisturbed_one_leaves() {
    let mut history = History::new(2);
    history.go_on(100, 2);
    let (want, writes) = undisturbed(&history.log);
    assert!(writes > 40, "{writes} writes");
    for death in 1..=writes {
        let folder = folder();
        let mortal = Life::of(death, death % 2 == 0);
        if let Ok(mut worker) = begin(&history.log, folder.path(), &mortal) {
            run(&mut worker, 50).unwrap_or_default();
        }
        let mut worker = begin(&history.log, folder.path(), &Life::without_end()).unwrap();
        run(&mut worker, 1_000).unwrap();
        assert!(left(folder.path()) == want, "killed in write {death}");
    }
}

/// Many short lives over one folder.
#[test]
fn a_worker_that_dies_again_and_again_leaves_what_an_undisturbed_one_leaves() {
    for seed in 10..14 {
        println!("seed {seed}");
        let mut history = History::new(seed);
        history.go_on(400, 3);
        let (want, _) = undisturbed(&history.log);
        let folder = folder();
        let mut dice = Dice(seed);
        for lives in 0.. {
            assert!(lives < 1_000, "it does not get on");
            let life = Life::of(8 + dice.below(20), dice.below(2) == 0);
            let Ok(mut worker) = begin(&history.log, folder.path(), &life) else {
                continue;
            };
            if run(&mut worker, 1 + dice.below(300) as usize).is_ok() {
                break;
            }
        }
        assert!(left(folder.path()) == want, "seed {seed}");
    }
}
