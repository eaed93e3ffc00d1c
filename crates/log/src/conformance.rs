//! The suite that every engine of the log runs: what a caller may rely on, whatever is behind it.
//!
//! Each check panics with a sentence when the engine breaks a promise, as tests do.
#![expect(clippy::panic, reason = "a test suite fails by panicking")]

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::Thread;

use crate::api::{
    Append, AppendError, Cursor, Log, NewRecord, Partition, PartitionSet, Read, ReadBudget,
    ReadError, ReadFrom, Record,
};

/// The number of partitions of the logs that [`run`] asks for.
pub const PARTITIONS: u16 = 5;

/// Runs every check, each on a fresh and empty log of [`PARTITIONS`] partitions.
pub fn run<L: Log + 'static>(mut fresh: impl FnMut() -> L) {
    gives_back_what_was_appended(&fresh());
    keeps_each_partition_in_order(&fresh());
    gives_dense_sequences(&fresh());
    shows_broadcasts_to_every_reader(&fresh());
    goes_on_from_any_cursor(&fresh());
    keeps_to_the_budget(&fresh());
    refuses_unknown_partitions(&fresh());
    refuses_foreign_cursors(&fresh(), &fresh());
    commits_all_or_nothing(&fresh());
    keeps_every_record_of_many_threads(&fresh());
    rounds(&fresh());
}

/// Runs a future on this thread until it is done.
pub fn block_on<F: Future>(future: F) -> F::Output {
    struct Unpark(Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let mut context = Context::from_waker(&waker);
    let mut future = pin!(future);
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut context) {
            return output;
        }
        std::thread::park();
    }
}

/// Appends one record and waits for its commit.
pub fn append<A: Append>(appender: &A, partition: u16, facts: &str, personal: &str) -> Cursor {
    let (facts, personal) = (facts.as_bytes(), personal.as_bytes());
    let commit = appender.append(NewRecord {
        partition: Partition(partition),
        facts,
        personal,
    });
    match commit.map(block_on) {
        Ok(Ok(committed)) => committed.cursor,
        Ok(Err(error)) | Err(error) => panic!("append failed: {error}"),
    }
}

/// Reads everything that is durable, in the order in which the log hands it out.
pub fn read_all<L: Log>(log: &L, partitions: PartitionSet, from: ReadFrom) -> Vec<Record> {
    match log.reader(partitions, from) {
        Ok(mut reader) => read_on(&mut reader, ReadBudget::default()),
        Err(error) => panic!("no reader: {error}"),
    }
}

/// Reads on to the durable end.
pub fn read_on<R: Read>(reader: &mut R, budget: ReadBudget) -> Vec<Record> {
    let mut records = Vec::new();
    loop {
        match reader.read(budget, &mut |record| records.push(record.to_record())) {
            Ok(progress) if progress.at_end => return records,
            Ok(_) => {}
            Err(error) => panic!("read failed: {error}"),
        }
    }
}

fn gives_back_what_was_appended<L: Log>(log: &L) {
    assert_eq!(
        read_all(log, PartitionSet::all(), ReadFrom::Start),
        [],
        "a new log is empty"
    );
    let appender = log.appender();
    let long = "x".repeat(70_000);
    let rows = [
        (0, "facts", "personal"),
        (1, "", ""),
        (2, long.as_str(), ""),
        (3, "", "p"),
    ];
    for (partition, facts, personal) in rows {
        let behind = append(&appender, partition, facts, personal);
        assert!(
            log.durable() >= behind,
            "a commit resolves when readers can see its records"
        );
    }
    let read = read_all(log, PartitionSet::all(), ReadFrom::Start);
    assert_eq!(read.len(), rows.len(), "every record is read once");
    for (record, (partition, facts, personal)) in read.iter().zip(rows) {
        assert_eq!(record.partition, Partition(partition));
        assert_eq!(record.facts, facts.as_bytes());
        assert_eq!(record.personal.as_deref(), Some(personal.as_bytes()));
    }
}

fn keeps_each_partition_in_order<L: Log>(log: &L) {
    let appender = log.appender();
    for number in 0..200u16 {
        append(&appender, number % PARTITIONS, &number.to_string(), "");
    }
    for partition in 0..PARTITIONS {
        let read = read_all(log, Partition(partition).into(), ReadFrom::Start);
        let expected: Vec<_> = (0..200u16)
            .filter(|number| number % PARTITIONS == partition)
            .collect();
        let found: Vec<_> = read.iter().filter_map(number).collect();
        assert_eq!(found, expected, "partition {partition} alone, in order");
        assert!(
            read.windows(2)
                .all(|pair| matches!(pair, [a, b] if a.cursor < b.cursor))
        );
    }
}

fn gives_dense_sequences<L: Log>(log: &L) {
    let appender = log.appender();
    for number in 0..30u16 {
        let partition = if number % 3 == 0 {
            Partition::ALL.0
        } else {
            number % 2
        };
        append(&appender, partition, "", "");
    }
    for partition in [Partition(0), Partition(1), Partition::ALL] {
        let read = read_all(log, PartitionSet::all(), ReadFrom::Start);
        let of = read.iter().filter(|record| record.partition == partition);
        let sequences: Vec<u64> = of.map(|record| record.sequence).collect();
        let dense: Vec<u64> = (1..=sequences.len() as u64).collect();
        assert_eq!(sequences, dense, "sequences of {partition:?}");
    }
}

fn shows_broadcasts_to_every_reader<L: Log>(log: &L) {
    let appender = log.appender();
    append(&appender, 1, "before", "");
    append(&appender, Partition::ALL.0, "to all", "");
    append(&appender, 1, "after", "");
    append(&appender, 2, "other", "");
    let facts = |set| -> Vec<Vec<u8>> {
        read_all(log, set, ReadFrom::Start)
            .into_iter()
            .map(|record| record.facts)
            .collect()
    };
    assert_eq!(
        facts(Partition(1).into()),
        [&b"before"[..], b"to all", b"after"]
    );
    assert_eq!(facts(Partition(2).into()), [&b"to all"[..], b"other"]);
    assert_eq!(facts(PartitionSet::none()), [b"to all"]);
    let all = [&b"before"[..], b"to all", b"after", b"other"];
    assert_eq!(
        facts(PartitionSet::all()),
        all,
        "a broadcast is read once, not per partition"
    );
}

fn goes_on_from_any_cursor<L: Log>(log: &L) {
    let appender = log.appender();
    for number in 0..40u16 {
        append(&appender, number % PARTITIONS, &number.to_string(), "p");
    }
    let all = read_all(log, PartitionSet::all(), ReadFrom::Start);
    for (index, record) in all.iter().enumerate() {
        let at = read_all(log, PartitionSet::all(), ReadFrom::Cursor(record.cursor));
        assert_eq!(
            Some(at.as_slice()),
            all.get(index..),
            "from the cursor of record {index}"
        );
        let after = ReadFrom::Cursor(record.cursor.after());
        let after = read_all(log, PartitionSet::all(), after);
        assert_eq!(
            Some(after.as_slice()),
            all.get(index + 1..),
            "from after record {index}"
        );
    }
    assert_eq!(read_all(log, PartitionSet::all(), ReadFrom::End), []);
    let mut tail = match log.reader(PartitionSet::all(), ReadFrom::End) {
        Ok(reader) => reader,
        Err(error) => panic!("no reader: {error}"),
    };
    append(&appender, 0, "later", "");
    let later = read_on(&mut tail, ReadBudget::default());
    assert_eq!(later.len(), 1, "a reader at the end sees what comes");
}

fn keeps_to_the_budget<L: Log>(log: &L) {
    let appender = log.appender();
    let records: Vec<_> = (0..50).map(|_| new_record(0, "12345678")).collect();
    block_on(
        appender
            .append_all(&records)
            .unwrap_or_else(|error| panic!("{error}")),
    )
    .unwrap_or_else(|error| panic!("{error}"));
    let whole = read_all(log, PartitionSet::all(), ReadFrom::Start);
    for budget in [
        (1, usize::MAX),
        (7, usize::MAX),
        (usize::MAX, 1),
        (usize::MAX, 20),
    ] {
        let budget = ReadBudget {
            records_max: budget.0,
            bytes_max: budget.1,
        };
        let Ok(mut reader) = log.reader(PartitionSet::all(), ReadFrom::Start) else {
            panic!("no reader");
        };
        let mut found = Vec::new();
        while found.len() < whole.len() {
            let mut take = |record: crate::api::RecordRef<'_>| found.push(record.to_record());
            let Ok(progress) = reader.read(budget, &mut take) else {
                panic!("read failed")
            };
            assert!(progress.records >= 1 && progress.records <= budget.records_max);
            assert!(
                progress.bytes < budget.bytes_max.saturating_add(8),
                "stops when it is reached"
            );
            assert_eq!(progress.cursor, reader.cursor());
        }
        assert_eq!(found, whole, "in pieces of {budget:?}");
    }
}

fn refuses_unknown_partitions<L: Log>(log: &L) {
    let refused = log.appender().append(new_record(PARTITIONS, "x"));
    let partitions = PARTITIONS;
    let expected = AppendError::NoSuchPartition {
        partition: PARTITIONS,
        partitions,
    };
    assert_eq!(refused.err(), Some(expected));
    assert_eq!(
        read_all(log, PartitionSet::all(), ReadFrom::Start),
        [],
        "nothing was taken"
    );
}

fn refuses_foreign_cursors<L: Log>(log: &L, other: &L) {
    let foreign = ReadFrom::Cursor(other.durable());
    let refused = log.reader(PartitionSet::all(), foreign);
    assert!(
        matches!(refused, Err(ReadError::OtherLog { .. })),
        "a cursor of another log"
    );
    let mut beyond = log.durable();
    beyond.position += 1;
    let refused = log.reader(PartitionSet::all(), ReadFrom::Cursor(beyond));
    assert!(
        matches!(refused, Err(ReadError::PastEnd { .. })),
        "a cursor past the end"
    );
}

fn commits_all_or_nothing<L: Log>(log: &L) {
    let appender = log.appender();
    let bad = [new_record(0, "good"), new_record(PARTITIONS, "bad")];
    assert!(appender.append_all(&bad).is_err());
    let good = [
        new_record(0, "a"),
        new_record(1, "b"),
        new_record(Partition::ALL.0, "c"),
    ];
    let commit = appender
        .append_all(&good)
        .unwrap_or_else(|error| panic!("{error}"));
    let committed = block_on(commit).unwrap_or_else(|error| panic!("{error}"));
    let read = read_all(log, PartitionSet::all(), ReadFrom::Start);
    let facts: Vec<&[u8]> = read.iter().map(|record| record.facts.as_slice()).collect();
    assert_eq!(facts, [b"a", b"b", b"c"]);
    assert_eq!(
        read_all(log, PartitionSet::all(), ReadFrom::Cursor(committed.cursor)),
        []
    );
}

fn keeps_every_record_of_many_threads<L: Log>(log: &L) {
    const THREADS: u16 = 4;
    const EACH: u16 = 200;
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let appender = log.appender();
            scope.spawn(move || {
                let mut commits = Vec::new();
                for number in 0..EACH {
                    let facts = (thread * EACH + number).to_string();
                    let taken = appender.append(new_record(thread % PARTITIONS, &facts));
                    commits.push(taken.unwrap_or_else(|error| panic!("{error}")));
                    if number % 16 == 15 {
                        for commit in commits.drain(..) {
                            assert!(block_on(commit).is_ok());
                        }
                    }
                }
                commits
                    .into_iter()
                    .for_each(|commit| assert!(block_on(commit).is_ok()));
            });
        }
    });
    for thread in 0..THREADS {
        let read = read_all(log, Partition(thread).into(), ReadFrom::Start);
        let found: Vec<_> = read.iter().filter_map(number).collect();
        let expected: Vec<_> = (thread * EACH..(thread + 1) * EACH).collect();
        assert_eq!(found, expected, "the records of thread {thread}, in order");
    }
}

/// Rounds of several threads, beside one that appends, through pauses in which the log syncs. Holds
/// for a log that does not wait for the disk, too.
pub fn rounds<L: Log>(log: &L) {
    const THREADS: u16 = 3;
    const ROUNDS: u16 = 60;
    const EACH: u16 = 5;
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let appender = log.appender();
            scope.spawn(move || {
                for round in 0..ROUNDS {
                    let names = (0..EACH).map(|number| (round * EACH + number).to_string());
                    let gathered = names.map(|facts| {
                        let record = new_record(thread, &facts);
                        let taken = if thread == 0 {
                            appender.append(record)
                        } else {
                            appender.gather(record)
                        };
                        taken.unwrap_or_else(|error| panic!("{error}"))
                    });
                    let gathered: Vec<_> = gathered.collect();
                    appender.flush();
                    for commit in gathered {
                        assert!(block_on(commit).is_ok());
                    }
                    if round % 20 == 0 {
                        std::thread::sleep(std::time::Duration::from_millis(5));
                    }
                }
            });
        }
    });
    for thread in 0..THREADS {
        let mut read = read_all(log, Partition(thread).into(), ReadFrom::Start);
        let all = usize::from(ROUNDS * EACH);
        while read.len() < all {
            // Committed is durable, but for logs that were told not to wait for that.
            std::thread::yield_now();
            read = read_all(log, Partition(thread).into(), ReadFrom::Start);
        }
        let found: Vec<_> = read.iter().filter_map(number).collect();
        let expected: Vec<_> = (0..ROUNDS * EACH).collect();
        assert_eq!(found, expected, "the records of thread {thread}, in order");
    }
}

fn new_record(partition: u16, facts: &str) -> NewRecord<'_> {
    NewRecord {
        partition: Partition(partition),
        facts: facts.as_bytes(),
        personal: b"",
    }
}

fn number(record: &Record) -> Option<u16> {
    std::str::from_utf8(&record.facts).ok()?.parse().ok()
}
