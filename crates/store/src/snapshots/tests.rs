//! Promises of the snapshots, each with a test that fails when it breaks.

use std::path::Path;

use super::*;
use crate::lake::LocalObjects;
use crate::lake::disk::Disk;
use crate::lake::tests::crash_disk::{CrashDisk, Loss};
use crate::lake::tests::partition;

/// A state: one part that changes, and one per closed hour that does not.
type State = Vec<(String, Vec<u8>)>;

fn store(disk: &CrashDisk) -> SnapshotStore {
    SnapshotStore::new(Arc::new(LocalObjects::on(disk.clone(), Path::new("/"))))
}

/// The state at the ordinals 1000, 2000 and so on.
fn state(ordinal: u64) -> State {
    let hours = (0..ordinal / 1000).map(|hour| (format!("hour {hour}"), vec![hour as u8; 300]));
    let changing = ("state".to_owned(), ordinal.to_le_bytes().to_vec());
    hours.chain([changing]).collect()
}

/// As a worker does it: parts of the snapshot before are named again and not written.
fn save(store: &SnapshotStore, ordinal: u64) -> Result<Snapshot, SnapshotError> {
    let before = store
        .newest_at_or_below(partition(), Ordinal(ordinal))?
        .snapshot;
    let before = before.map_or_else(Vec::new, |before| before.parts);
    let mut parts = Vec::new();
    for (name, bytes) in state(ordinal) {
        let kept = before
            .iter()
            .find(|part| part.name == name && name != "state");
        parts.push(match kept {
            Some(kept) => kept.clone(),
            None => store.put_part(partition(), &name, &bytes)?,
        });
    }
    let snapshot = Snapshot {
        partition: partition(),
        ordinal: Ordinal(ordinal),
        cursor: vec![7, ordinal as u8],
        apply: 1,
        parts,
    };
    store.save(&snapshot)?;
    Ok(snapshot)
}

/// As a worker does it: the newest one that gives a state.
fn restore(store: &SnapshotStore, at_or_below: u64) -> Option<(u64, State)> {
    for _ in 0..10 {
        let newest = store.newest_at_or_below(partition(), Ordinal(at_or_below));
        let snapshot = newest.unwrap().snapshot?;
        let load = |part: &Part| {
            let bytes = store.load_part(partition(), part)?;
            Ok((part.name.clone(), bytes))
        };
        let loaded: Result<State, SnapshotError> = snapshot.parts.iter().map(load).collect();
        match loaded {
            Ok(state) => return Some((snapshot.ordinal.0, state)),
            Err(SnapshotError::Corrupt { .. }) => {}
            Err(error) => panic!("{error}"),
        }
    }
    panic!("a damaged snapshot comes again and again");
}

fn work(disk: &CrashDisk) -> Result<(), SnapshotError> {
    let store = store(disk);
    for ordinal in [1000, 2000, 3000] {
        save(&store, ordinal)?;
        store.retain(partition(), Ordinal(ordinal), 0)?;
    }
    Ok(())
}

fn saved(ordinals: &[u64]) -> (CrashDisk, SnapshotStore) {
    let disk = CrashDisk::default();
    let store = store(&disk);
    for ordinal in ordinals {
        save(&store, *ordinal).unwrap();
    }
    (disk, store)
}

fn path_of(name: &str) -> std::path::PathBuf {
    Path::new("/").join(name)
}

#[test]
fn the_newest_state_at_or_below_an_ordinal_comes_back() {
    let (_, store) = saved(&[1000, 2000, 3000]);
    assert_eq!(restore(&store, 999), None);
    for (asked, ordinal) in [(1000, 1000), (1999, 1000), (2000, 2000), (u64::MAX, 3000)] {
        assert_eq!(restore(&store, asked), Some((ordinal, state(ordinal))));
    }
    let other = PartitionId::new(9).unwrap();
    let newest = store.newest_at_or_below(other, Ordinal(u64::MAX)).unwrap();
    assert_eq!(newest, Newest::default());
}

#[test]
fn what_a_manifest_says_comes_back() {
    let (_, store) = saved(&[]);
    let mut parts = vec![
        store
            .put_part(partition(), "a name with spaces", b"x")
            .unwrap(),
    ];
    parts.push(store.put_part(partition(), "end 00000000", b"").unwrap());
    let snapshot = Snapshot {
        partition: partition(),
        ordinal: Ordinal(u64::MAX),
        cursor: vec![],
        apply: u16::MAX,
        parts,
    };
    store.save(&snapshot).unwrap();
    let newest = store
        .newest_at_or_below(partition(), Ordinal(u64::MAX))
        .unwrap();
    assert_eq!(newest.snapshot, Some(snapshot.clone()));
    for name in ["", "two\nlines"] {
        let error = store.put_part(partition(), name, b"x").unwrap_err();
        assert!(matches!(error, SnapshotError::BadName { .. }), "{error}");
    }
    let mut missing = snapshot;
    missing.ordinal = Ordinal(5);
    missing.parts[0].hash = [1; 32];
    let error = store.save(&missing).unwrap_err();
    assert!(
        matches!(error, SnapshotError::MissingPart { .. }),
        "{error}"
    );
    let newest = store.newest_at_or_below(partition(), Ordinal(5)).unwrap();
    assert_eq!(newest, Newest::default());
}

#[test]
fn a_crash_at_any_operation_leaves_a_whole_snapshot_and_work_goes_on() {
    let whole = CrashDisk::default();
    work(&whole).unwrap();
    let operations = whole.operations();
    assert!(operations > 40, "{operations} operations mean nothing");
    for operation in 0..operations {
        for loss in [Loss::Nothing, Loss::Unsynced, Loss::Some(operation)] {
            let context = format!("killed before operation {operation}, losing {loss:?}");
            let disk = CrashDisk::default();
            disk.dies_at(operation);
            assert!(work(&disk).is_err(), "{context}");
            disk.restart(loss);
            // Whoever restored from it has it for good: a power cut right after takes nothing.
            let found = restore(&store(&disk), u64::MAX);
            let cut_off = disk.fork();
            cut_off.restart(Loss::Unsynced);
            assert_eq!(restore(&store(&cut_off), u64::MAX), found, "{context}");
            if let Some((ordinal, found)) = found {
                assert_eq!(found, state(ordinal), "{context}");
            }
            work(&disk).unwrap_or_else(|error| panic!("{context}: {error}"));
            let found = restore(&store(&disk), u64::MAX);
            assert_eq!(found, Some((3000, state(3000))), "{context}");
            assert_eq!(disk.names(), whole.names(), "{context}");
        }
    }
}

#[test]
fn what_was_saved_survives_a_power_cut() {
    let (disk, store) = saved(&[]);
    for ordinal in [1000, 2000, 3000] {
        save(&store, ordinal).unwrap();
        disk.restart(Loss::Unsynced);
        assert_eq!(restore(&store, u64::MAX), Some((ordinal, state(ordinal))));
        store.retain(partition(), Ordinal(ordinal), 0).unwrap();
        disk.restart(Loss::Unsynced);
        assert_eq!(restore(&store, u64::MAX), Some((ordinal, state(ordinal))));
    }
}

#[test]
fn a_part_that_two_snapshots_share_is_written_once() {
    let (disk, store) = saved(&[1000, 2000, 3000]);
    let parts = disk
        .names()
        .iter()
        .filter(|name| name.contains("/parts/"))
        .count();
    assert_eq!(parts, 3 + 3); // three hours, three changing ones
    let before = disk.operations();
    let again = store.put_part(partition(), "hour 0", &[0; 300]).unwrap();
    assert_eq!(again.len, 300);
    assert!(
        disk.operations() - before <= 4,
        "a taken name is not written to"
    );
}

#[test]
fn a_damaged_snapshot_is_named_and_the_one_before_it_taken() {
    for (damaged, what) in [
        ("manifest", "checksum"),
        ("part", "cut off"),
        ("length", "part"),
    ] {
        let (disk, store) = saved(&[1000, 2000]);
        let newest = store
            .newest_at_or_below(partition(), Ordinal(2000))
            .unwrap();
        let newest = newest.snapshot.unwrap();
        let part = part_name(partition(), newest.parts.last().unwrap());
        match damaged {
            "manifest" => disk.damage(&path_of(&manifest_name(partition(), Ordinal(2000))), |it| {
                it[20] ^= 1;
            }),
            "part" => disk.damage(&path_of(&part), |it| it.truncate(3)),
            _ => disk.damage(&path_of(&part), |it| it.push(0)),
        }
        let newest = store
            .newest_at_or_below(partition(), Ordinal(2000))
            .unwrap();
        assert_eq!(newest.snapshot.unwrap().ordinal, Ordinal(1000));
        let [aside] = newest.set_aside.as_slice() else {
            panic!("{damaged}: {:?}", newest.set_aside);
        };
        assert_eq!(aside.name, manifest_name(partition(), Ordinal(2000)));
        assert!(aside.what.contains(what), "{damaged}: {}", aside.what);
        assert!(disk.names().contains(&format!("/{}", aside.aside)));
        // Saved again from the log, it is taken again.
        save(&store, 2000).unwrap();
        assert_eq!(
            restore(&store, 5000),
            Some((2000, state(2000))),
            "{damaged}"
        );
    }
}

#[test]
fn every_flipped_bit_gives_the_state_before_or_the_same_state() {
    let (disk, _) = saved(&[1000, 2000]);
    let mut older = 0;
    for name in disk.names() {
        let path = Path::new(&name);
        let length = disk.size(path).unwrap() as usize;
        for at in (0..length).step_by(5) {
            let damaged = disk.fork();
            damaged.damage(path, |it| it[at] ^= 1 << (at % 8));
            match restore(&store(&damaged), u64::MAX) {
                None => older += 1, // both share the part
                Some((ordinal, found)) => {
                    assert_eq!(found, state(ordinal), "{name} at {at}");
                    older += usize::from(ordinal == 1000);
                }
            }
        }
    }
    assert!(older > 100, "{older}");
}

#[test]
fn a_snapshot_that_gives_no_state_can_be_put_aside() {
    let (_, store) = saved(&[1000, 2000]);
    let newest = store
        .newest_at_or_below(partition(), Ordinal(2000))
        .unwrap();
    let aside = store
        .set_aside(&newest.snapshot.unwrap(), "bad state")
        .unwrap();
    assert_eq!(aside.what, "bad state");
    assert_eq!(restore(&store, 2000), Some((1000, state(1000))));
}

#[test]
fn what_no_store_needs_any_more_goes_and_nothing_else() {
    let (disk, store) = saved(&[1000, 2000, 3000, 4000]);
    let retained = store.retain(partition(), Ordinal(3500), 1).unwrap();
    // The part that only 1000 had.
    let expected = Retained {
        kept: 3,
        snapshots: 1,
        parts: 1,
    };
    assert_eq!(retained, expected);
    for ordinal in [2000, 3000, 4000] {
        assert_eq!(restore(&store, ordinal), Some((ordinal, state(ordinal))));
    }
    let retained = store.retain(partition(), Ordinal(500), 0).unwrap();
    assert_eq!(
        (retained.kept, retained.snapshots),
        (3, 0),
        "all are after 500"
    );
    // A damaged newest one does not count as the one that is kept.
    let name = path_of(&manifest_name(partition(), Ordinal(4000)));
    disk.damage(&name, |it| it.truncate(9));
    store.retain(partition(), Ordinal(4000), 0).unwrap();
    assert_eq!(restore(&store, 9000), Some((3000, state(3000))));
}

#[test]
fn newer_snapshots_ask_for_newer_code_and_stay() {
    let (disk, store) = saved(&[1000]);
    let name = manifest_name(partition(), Ordinal(1000));
    disk.damage(&path_of(&name), |bytes| {
        let text = String::from_utf8(bytes.clone()).unwrap();
        let body = text
            .rsplit_once("end ")
            .unwrap()
            .0
            .replace("snapshot 1", "snapshot 2");
        let sum = crc32c::crc32c(body.as_bytes());
        *bytes = format!("{body}end {sum:08x}\n").into_bytes();
    });
    for result in [
        store
            .newest_at_or_below(partition(), Ordinal(1000))
            .map(drop),
        store.retain(partition(), Ordinal(1000), 0).map(drop),
    ] {
        let error = result.unwrap_err();
        assert!(
            matches!(error, SnapshotError::NewerCode { version: 2, .. }),
            "{error}"
        );
    }
    assert!(disk.names().contains(&format!("/{name}")));
}
