//! Whatever happens to a worker, the stores end as if nothing had.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tollgate_click::PartitionId;
use tollgate_log::{MemoryLog, MemoryReader, ReadBudget};
use tollgate_store::lake::{LocalObjects, Objects};
use tollgate_store::ledger::{Clicks, Ledger, LedgerReads, SqliteLedger, books, verify};

use super::begin::{Identity, Stores, Unfit};
use super::run::{Slot, Worker};
use super::{GaveUp, PartitionView, repair};

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
        lake: true,
        snapshot_ordinals: 60,
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
    worker.finish();
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

fn halts(worker: &Worker<MemoryReader>) -> Vec<Option<String>> {
    worker.slots.iter().map(|slot| slot.view().halt).collect()
}

/// A start goes on from a snapshot, from the one before when that is damaged, and from the log's
/// start when there is none; what is left is the same.
#[test]
fn a_start_takes_the_newest_snapshot_that_is_sound() {
    let mut history = History::new(3);
    history.go_on(150, 3);
    let folder = folder();
    let mut worker = begin(&history.log, folder.path(), &Life::without_end()).unwrap();
    run(&mut worker, 40).unwrap();
    drop(worker);
    history.go_on(60, 3);
    let (want, _) = undisturbed(&history.log);
    let mut from = Vec::new();
    loop {
        let mut worker = begin(&history.log, folder.path(), &Life::without_end()).unwrap();
        let at = worker.slots[0].view().ordinal.0;
        if at == 0 {
            run(&mut worker, 1_000).unwrap();
            break;
        }
        drop(worker);
        from.push(at);
        // The part `state` of the newest snapshot, or the snapshot itself.
        let snapshots = folder
            .path()
            .join(format!("snapshots/p0/{at:020}.snapshot"));
        let damaged = match from.len() % 2 {
            0 => snapshots,
            _ => newest_part(&std::fs::read_to_string(&snapshots).unwrap(), folder.path()),
        };
        let mut bytes = std::fs::read(&damaged).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        std::fs::write(&damaged, bytes).unwrap();
    }
    assert!(
        from.len() >= 2 && from.is_sorted_by(|a, b| a > b),
        "{from:?}"
    );
    assert!(left(folder.path()) == want);
}

/// The file of the part `state`: the last hash that the manifest names.
fn newest_part(manifest: &str, folder: &Path) -> std::path::PathBuf {
    let hashes = manifest.split(|c: char| !c.is_ascii_hexdigit());
    let parts = folder.join("snapshots/p0/parts");
    let mut files = hashes
        .filter(|word| word.len() == 64)
        .map(|hash| parts.join(hash));
    files.rfind(|file| file.exists()).unwrap()
}

#[test]
fn a_second_worker_fences_the_first() {
    let mut history = History::new(4);
    history.go_on(70, 3);
    let folder = folder();
    let life = Life::without_end();
    let mut first = begin(&history.log, folder.path(), &life).unwrap();
    run(&mut first, 1_000).unwrap();
    let mut second = begin(&history.log, folder.path(), &life).unwrap();
    assert!(second.epoch() > first.epoch());
    history.go_on(70, 3);
    run(&mut first, 1_000).unwrap();
    for halt in halts(&first) {
        let told = halt.unwrap();
        assert!(
            told.contains("another worker has taken over with epoch 2"),
            "{told}"
        );
    }
    run(&mut second, 1_000).unwrap();
    assert!(halts(&second).iter().all(Option::is_none));
    drop((first, second));
    assert!(
        left(folder.path()) == undisturbed(&history.log).0,
        "the fenced one left nothing"
    );
    // Another machine does not get the leases while they hold.
    let other = begin_as("node-2", &history.log, folder.path(), &life).unwrap();
    for halt in halts(&other) {
        let told = halt.unwrap();
        assert!(
            told.contains("worker \"node-1\" holds the partition"),
            "{told}"
        );
    }
}

/// The log says so too: a worker stops at the first tick of a later epoch, before it cuts
/// anything, and a tick of an earlier one moves no clock.
#[test]
fn a_worker_stops_at_the_tick_of_its_successor() {
    let mut history = History::new(5);
    history.go_on(20, 2);
    let folder = folder();
    let mut worker = begin(&history.log, folder.path(), &Life::without_end()).unwrap();
    run(&mut worker, 1_000).unwrap();
    let clock = worker.slots[0].view().clock;
    history.now = history.now.plus_ms(1_000);
    history.tick(0);
    run(&mut worker, 1_000).unwrap();
    assert_eq!(worker.slots[0].view().clock, clock, "an older epoch");
    history.now = history.now.plus_ms(120_000);
    history.tick(9);
    run(&mut worker, 1_000).unwrap();
    for halt in halts(&worker) {
        let told = halt.unwrap();
        assert_eq!(
            told,
            "another worker has taken over with epoch 9; this one had 1"
        );
    }
}

/// A record of newer code, or one that is missing, stops its partition only.
#[test]
fn what_cannot_be_applied_stops_one_partition() {
    let mut history = History::new(6);
    history.go_on(30, 3);
    history.raw(1, &[1, 99]);
    history.go_on(90, 3);
    let folder = folder();
    let mut worker = begin(&history.log, folder.path(), &Life::without_end()).unwrap();
    run(&mut worker, 1_000).unwrap();
    let halts = halts(&worker);
    assert!(
        halts[1].as_ref().unwrap().contains("run a newer tollgate"),
        "{halts:?}"
    );
    assert!(halts[0].is_none() && halts[2].is_none(), "{halts:?}");
    let posted = |place: usize| worker.slots[place].view().posted;
    assert!(posted(0) > posted(1) && posted(2) > posted(1));
}

/// One flipped bit in the last posting of a partition stops that partition, by name.
#[test]
fn a_corrupt_ledger_stops_the_partition_with_the_entrys_number() {
    let mut history = History::new(7);
    history.go_on(150, 3); // up to the tick that closes a minute
    let folder = folder();
    let path = folder.path().join("ledger.db");
    let mut worker = begin(&history.log, folder.path(), &Life::without_end()).unwrap();
    run(&mut worker, 1_000).unwrap();
    drop(worker);
    let mut ledger = SqliteLedger::open(&path).unwrap();
    let lasts = (0..PARTITIONS).map(|number| {
        let partition = PartitionId::new(number).unwrap();
        let postings = ledger.watermark(partition).unwrap().postings;
        ledger.chain(partition, postings - 1, 1).unwrap().remove(0)
    });
    let lasts: Vec<_> = lasts.collect();
    let root = |clicks: Option<Clicks>| clicks.map(|clicks| clicks.root.0);
    let clicked = lasts.iter().find_map(|last| {
        let root = last
            .posting
            .lines
            .iter()
            .find_map(|line| root(line.clicks))?;
        Some((last.partition, last.number, root))
    });
    let (partition, number, root) = clicked.unwrap();
    ledger.checkpoint().unwrap();
    drop(ledger);
    let mut bytes = std::fs::read(&path).unwrap();
    // Pages may hold old copies of the row too.
    let places = (0..bytes.len() - 32).filter(|place| bytes[*place..][..32] == root);
    let places: Vec<usize> = places.collect();
    assert!(!places.is_empty());
    places.iter().for_each(|place| bytes[*place] ^= 0x10);
    std::fs::write(&path, bytes).unwrap();
    history.go_on(70, 3);
    let mut worker = begin(&history.log, folder.path(), &Life::without_end()).unwrap();
    run(&mut worker, 1_000).unwrap();
    for view in worker.slots.iter().map(Slot::view) {
        if view.partition == partition {
            let told = view.halt.unwrap();
            let place = format!("partition {partition}, posting {number}, line");
            assert!(told.contains(&place), "{told}");
        } else {
            assert_eq!(view.halt, None);
            assert!(view.posted.0 > 200, "the others go on");
        }
    }
}

/// Whatever file of the lake or the rollups is damaged or gone, it is made again from the log,
/// byte for byte, beside a worker that goes on.
#[test]
fn a_damaged_file_is_made_again_as_it_was() {
    let mut history = History::new(8);
    history.go_on(200, 4);
    let folder = folder();
    let mut worker = begin(&history.log, folder.path(), &Life::without_end()).unwrap();
    run(&mut worker, 60).unwrap();
    history.go_on(30, 4);
    let want = left(folder.path());
    let objects: Arc<dyn Objects> = Arc::new(LocalObjects::new(folder.path()));
    let (mut repaired, going_on) = (0, AtomicBool::new(false));
    for (name, bytes) in want
        .files
        .iter()
        .filter(|(name, _)| name.ends_with(".parquet"))
    {
        let path = folder.path().join(name);
        match repaired % 3 {
            0 => std::fs::remove_file(&path).unwrap(),
            1 => std::fs::write(&path, &bytes[..bytes.len() / 2]).unwrap(),
            _ => {
                let mut flipped = bytes.clone();
                flipped.iter_mut().step_by(97).for_each(|byte| *byte ^= 4);
                std::fs::write(&path, flipped).unwrap();
            }
        }
        let made = repair::file(&history.log, &objects, name, &going_on).unwrap();
        assert_eq!(made.set_aside.is_some(), repaired % 3 > 0, "{name}");
        if let Some(aside) = made.set_aside {
            std::fs::remove_file(folder.path().join(aside)).unwrap();
        }
        repaired += 1;
    }
    assert!(repaired > 20, "{repaired} files");
    assert!(left(folder.path()) == want);
    run(&mut worker, 1_000).unwrap();
    assert!(left(folder.path()) == undisturbed(&history.log).0);
    let unknown = "lake/clicks/p9-1-2.parquet";
    assert!(repair::file(&history.log, &objects, unknown, &going_on).is_err());
}

/// Damage to what the ledger keeps of one partition, or of one account, stops who needs it.
#[test]
fn damage_in_the_ledger_is_confined() {
    let mut history = History::new(9);
    history.go_on(150, 3);
    for (table, row) in [
        ("watermarks", "partition = 1"),
        ("leases", "partition = 1"),
        (
            "accounts",
            "kind = 'credit' AND owner = (SELECT min(owner) FROM accounts \
                      WHERE kind = 'credit')",
        ),
    ] {
        let folder = folder();
        let mut worker = begin(&history.log, folder.path(), &Life::without_end()).unwrap();
        run(&mut worker, 1_000).unwrap();
        drop(worker);
        let path = folder.path().join("ledger.db");
        let sql = format!("UPDATE {table} SET seal = seal + 1 WHERE {row}");
        assert_eq!(by_hand(&path, &sql), 1, "{sql}");
        history.go_on(130, 3);
        let mut worker = begin(&history.log, folder.path(), &Life::without_end()).unwrap();
        run(&mut worker, 1_000).unwrap();
        let halts = halts(&worker);
        let stopped: Vec<&String> = halts.iter().flatten().collect();
        assert_eq!(stopped.len(), 1, "{table}: {halts:?}");
        let place = table.trim_end_matches('s');
        assert!(stopped[0].contains(place), "{table}: {stopped:?}");
    }
}

fn by_hand(path: &Path, sql: &str) -> usize {
    let ledger = rusqlite::Connection::open(path).unwrap();
    ledger.execute(sql, []).unwrap()
}
