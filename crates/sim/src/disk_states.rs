//! Every state in which a power cut may have left the disk, for short runs of the log, and what the
//! log must make of each: every receipt given before the cut is there exactly once, in its order,
//! nothing else is, and opening once more changes nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tollgate_log::conformance::block_on;
use tollgate_log::{
    Append, Durability, Housekeeping, Log, NewRecord, Options, Partition, PartitionSet, Read,
    ReadBudget, ReadFrom, Record, SegmentLog,
};

use crate::disk::{Fault, Image, Op, SimDisk};
use crate::disk_cuts::{Tears, states};

/// Where the log of a trial stands on its disk.
pub const DIR: &str = "log";

/// How much is tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tier {
    /// Seconds: part of the test command.
    Short,
    /// Minutes.
    Long,
}

/// What the trials add up to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CrashTotals {
    /// Different states of the disk that the log was opened on.
    pub states: u64,
    /// Of these, states in the middle of a recovery.
    pub in_recovery: u64,
    /// Receipts that were looked for, over all states.
    pub receipts: u64,
    /// Receipts whose record was not there.
    pub lost: u64,
    /// Records that were there twice, out of order, or never appended.
    pub false_records: u64,
    /// States on which the log refused to open or to be read, although nothing was damaged.
    pub refused: u64,
    /// States that a second opening read otherwise than the first.
    pub unstable: u64,
    /// The first few failures in words.
    pub problems: Vec<String>,
}

impl CrashTotals {
    /// Whether every promise held.
    pub fn is_good(&self) -> bool {
        self.lost + self.false_records + self.refused + self.unstable == 0
    }

    fn problem(&mut self, words: impl FnOnce() -> String) {
        if self.problems.len() < 5 {
            self.problems.push(words());
        }
    }
}

/// Tries every run of the tier on a disk that keeps its word.
pub fn crash_states(seed: u64, tier: Tier) -> CrashTotals {
    crash_states_on(seed, tier, Fault::None)
}

/// Tries every run of the tier on a disk with a fault.
pub fn crash_states_on(seed: u64, tier: Tier, fault: Fault) -> CrashTotals {
    let mut totals = CrashTotals::default();
    let mut random = StdRng::seed_from_u64(seed);
    let runs = runs(tier)
        .into_iter()
        .map(|steps| (Durability::Sync, steps));
    let runs = runs.chain(
        unsynced_runs()
            .into_iter()
            .map(|steps| (Durability::Os, steps)),
    );
    for (number, (durability, steps)) in runs.enumerate() {
        let all = number == 0 || tier == Tier::Long;
        let tears = if all {
            Tears::AtEveryByte
        } else {
            Tears::AtSome(6)
        };
        let options = Options {
            durability,
            ..options(random.random())
        };
        let run = Run::record(&steps, options, (fault, tears));
        run.check_all(&mut totals, &mut random, tier);
        if fault != Fault::None && totals.lost > 0 {
            // On a disk that is known to fail one loss is enough to see.
            break;
        }
    }
    totals
}

/// What a run does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    /// Appends one record with facts and a personal part of so many bytes each.
    One(usize),
    /// Appends three records as one.
    Three(usize),
    /// Closes the log and opens it again.
    Reopen,
    /// Leaves the log without closing it, as a killed process does, and opens it again.
    Abandon,
    /// Seals what is finished.
    Seal,
    /// Gives up the personal parts of sealed segments, then the facts of the first one.
    Expire,
    /// The next so many syncs fail.
    FailSyncs(usize),
}

fn runs(tier: Tier) -> Vec<Vec<Step>> {
    use Step::{Abandon, Expire, FailSyncs, One, Reopen, Seal, Three};
    let mut runs = vec![
        vec![One(5), One(40), Three(10), One(0)],
        vec![Three(180), Three(7), Reopen, One(3)],
        vec![One(60), Abandon, Three(5), Abandon],
        vec![One(200), One(200), One(200), Seal],
        vec![Three(150), Three(150), Seal, Expire],
        vec![One(30), FailSyncs(1), One(31), One(32)],
        vec![One(30), FailSyncs(2), Three(31), Reopen],
        vec![Three(1), FailSyncs(1), Three(2), Abandon],
    ];
    runs.extend(recycling_runs());
    if tier == Tier::Long {
        for size in [0, 1, 33, 77, 128, 199] {
            runs.push(vec![One(size), Three(size), One(size), Three(size)]);
            runs.push(vec![
                Three(size),
                Abandon,
                FailSyncs(1),
                One(size),
                Abandon,
                Three(size),
            ]);
            runs.push(vec![
                Three(size),
                Three(size),
                Seal,
                Reopen,
                Three(size),
                Seal,
                Expire,
            ]);
            runs.push(vec![
                One(size),
                FailSyncs(3),
                One(size),
                Abandon,
                One(size),
                Reopen,
            ]);
        }
    }
    runs
}

/// Runs in which the file of a sealed segment becomes another segment: the blocks of its former
/// life stand behind, between and under the new ones.
fn recycling_runs() -> Vec<Vec<Step>> {
    use Step::{Abandon, Expire, FailSyncs, One, Reopen, Seal, Three};
    let used_again = [Three(180), Three(180), Three(180), Seal, Three(60)];
    let then = |steps: &[Step]| [&used_again[..], steps].concat();
    vec![
        then(&[One(5), One(5), Abandon, One(3)]),
        then(&[One(60), FailSyncs(1), One(8), Reopen]),
        then(&[Three(180), Seal, Expire, One(7), One(60), Abandon]),
    ]
}

/// Runs of a log that answers before it syncs: several blocks are then not durable at once.
fn unsynced_runs() -> Vec<Vec<Step>> {
    use Step::{Abandon, FailSyncs, One, Reopen, Seal, Three};
    vec![
        vec![
            Three(180),
            Three(180),
            Three(180),
            Seal,
            Three(60),
            One(5),
            One(6),
            Abandon,
        ],
        vec![One(5), One(6), Three(7), Abandon],
        vec![Three(180), Three(100), One(1), Reopen],
        vec![One(9), FailSyncs(1), Three(180), Three(180)],
    ]
}

/// Tiny segments, no background work, and numbers that repeat themselves.
pub fn options(seed: u64) -> Options {
    let drawn = Arc::new(AtomicU64::new(seed));
    Options {
        partitions: 2,
        record_bytes_max: 512,
        block_bytes_max: 1400,
        segment_bytes: 2048,
        first_segment_bytes: 1792,
        queue_bytes_max: 4096,
        seal_group_bytes: 600,
        retry_interval: std::time::Duration::ZERO,
        sync_interval: std::time::Duration::from_secs(3600),
        housekeeping: Housekeeping::Caller,
        clock_ms: Arc::new(|| 1_700_000_000_000),
        draw: Arc::new(move || {
            // An odd multiplier: all numbers differ.
            let number = drawn.fetch_add(1, Ordering::Relaxed);
            Ok(number.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ seed)
        }),
        ..Options::default()
    }
}

/// A record that was handed to the log.
#[derive(Clone, Debug)]
struct Handed {
    facts: Vec<u8>,
    personal: Vec<u8>,
    partition: Partition,
    /// How many operations the disk had done when the receipt was given; none for a failed commit.
    receipt_at: Option<usize>,
    /// From so many operations on retention may have removed the personal part, or all of it.
    personal_until: usize,
    facts_until: usize,
}

/// A run that was recorded.
struct Run {
    steps: Vec<Step>,
    options: Options,
    fault: Fault,
    tears: Tears,
    handed: Vec<Handed>,
    ops: Vec<Op>,
    /// Problems that showed while the run was made.
    problems: Vec<String>,
}

impl Run {
    fn record(steps: &[Step], options: Options, (fault, tears): (Fault, Tears)) -> Run {
        let mut run = Run {
            steps: steps.to_vec(),
            options,
            fault,
            tears,
            handed: Vec::new(),
            ops: Vec::new(),
            problems: Vec::new(),
        };
        let disk = SimDisk::new(Image::default(), fault);
        let options = run.options.clone();
        let mut log = run.open(&disk, &options);
        for (number, step) in steps.iter().enumerate() {
            let Some(open) = &log else { break };
            match step {
                Step::One(size) => run.append(&disk, open, 1, *size, number),
                Step::Three(size) => run.append(&disk, open, 3, *size, number),
                Step::Seal => {
                    if let Err(error) = open.seal_finished() {
                        run.problems.push(format!("sealing failed: {error}"));
                    }
                }
                Step::Expire => run.expire(&disk, open),
                Step::FailSyncs(count) => {
                    disk.set_fault(Fault::FailingSyncs {
                        from: 0,
                        count: *count,
                    });
                }
                Step::Reopen => {
                    // Closing fails where the disk does; what counts is what opening finds.
                    drop(log.take().map(|log| log.close()));
                    disk.set_fault(fault);
                    log = run.open(&disk, &options);
                }
                Step::Abandon => {
                    log = None;
                    run.ops = disk.ops();
                    log = log.or_else(|| run.open(&disk, &options));
                }
            }
        }
        drop(log);
        run.ops = disk.ops();
        run
    }

    fn open(&mut self, disk: &SimDisk, options: &Options) -> Option<SegmentLog> {
        match SegmentLog::open(Arc::new(disk.clone()), Path::new(DIR), options.clone()) {
            Ok((log, _)) => Some(log),
            Err(error) => {
                self.problems.push(format!("opening failed: {error}"));
                None
            }
        }
    }

    fn append(&mut self, disk: &SimDisk, log: &SegmentLog, count: u16, size: usize, step: usize) {
        let handed: Vec<Handed> = (0..count)
            .map(|index| Handed {
                facts: format!("{step}.{index} {}", "f".repeat(size)).into_bytes(),
                personal: format!("{step}.{index} {}", "p".repeat(size)).into_bytes(),
                partition: if index == 2 {
                    Partition::ALL
                } else {
                    Partition(index)
                },
                receipt_at: None,
                personal_until: usize::MAX,
                facts_until: usize::MAX,
            })
            .collect();
        let records: Vec<NewRecord<'_>> = handed
            .iter()
            .map(|handed| NewRecord {
                partition: handed.partition,
                facts: &handed.facts,
                personal: &handed.personal,
            })
            .collect();
        let receipt = log.appender().append_all(&records).and_then(block_on);
        // Without waiting for the sync an answer is no promise to survive a power cut.
        let promised = log.durable() >= receipt.map_or(log.durable().after(), |c| c.cursor);
        let receipt_at = promised.then(|| disk.count());
        self.handed.extend(handed.into_iter().map(|handed| Handed {
            receipt_at,
            ..handed
        }));
    }

    fn expire(&mut self, disk: &SimDisk, log: &SegmentLog) {
        let now = disk.count();
        let Ok(segments) = log.segments() else { return };
        let record_at = |handed: &mut [Handed], before: u64, facts: bool| {
            let found = read_all(log).unwrap_or_default();
            let gone = found
                .iter()
                .filter(|record| record.cursor.position < before);
            for record in gone {
                for handed in handed
                    .iter_mut()
                    .filter(|handed| handed.facts == record.facts)
                {
                    handed.personal_until = handed.personal_until.min(now);
                    if facts {
                        handed.facts_until = handed.facts_until.min(now);
                    }
                }
            }
        };
        let last = segments.iter().rfind(|segment| segment.sealed);
        if let (Some(last), Some(second)) = (last, segments.get(1)) {
            record_at(&mut self.handed, last.first.position, false);
            record_at(&mut self.handed, second.first.position, true);
            let expired = log.expire_personal(last.first);
            if let Err(error) = expired.and_then(|_| log.expire_facts(second.first)) {
                self.problems.push(format!("retention failed: {error}"));
            }
        }
    }

    /// Opens the log on every state that a cut of this run may leave.
    fn check_all(&self, totals: &mut CrashTotals, random: &mut StdRng, tier: Tier) {
        for problem in &self.problems {
            totals.refused += 1;
            totals.problem(|| format!("{:?} {:?}: {problem}", self.options, self.steps));
        }
        let mut seen = BTreeSet::new();
        for cut in 0..=self.ops.len() {
            for image in states(&self.ops, cut, &Image::default(), (self.tears, random)) {
                if seen.insert(fingerprint(&image, cut, &self.handed)) {
                    self.check(image, cut, totals, random, tier);
                }
            }
        }
    }

    fn check(
        &self,
        image: Image,
        cut: usize,
        totals: &mut CrashTotals,
        random: &mut StdRng,
        tier: Tier,
    ) {
        totals.states += 1;
        let before = totals.clone();
        let disk = SimDisk::new(image.clone(), Fault::None);
        let Some(found) = self.open_and_read(&disk, cut, totals) else {
            return;
        };
        self.compare(&found, cut, totals);
        // Recovery was recorded as well: cut it anywhere, and open again.
        let often = if tier == Tier::Short { 100 } else { 25 };
        if random.random_ratio(1, often) {
            let ops = disk.ops();
            for second in 0..=ops.len() {
                for again in states(&ops, second, &image, (Tears::AtSome(2), random)) {
                    totals.states += 1;
                    totals.in_recovery += 1;
                    let disk = SimDisk::new(again, Fault::None);
                    self.open_again(&disk, &found, cut, totals);
                }
            }
        }
        self.open_again(&disk, &found, cut, totals);
        if *totals != before && !totals.is_good() {
            let (steps, options) = (&self.steps, &self.options);
            totals.problem(|| format!("{options:?} {steps:?} {:?} cut at {cut}", self.fault));
        }
    }

    fn open_again(&self, disk: &SimDisk, found: &[Record], cut: usize, totals: &mut CrashTotals) {
        let Some(second) = self.open_and_read(disk, cut, totals) else {
            return;
        };
        if second != found {
            totals.unstable += 1;
            let (first, second) = (found.len(), second.len());
            totals.problem(|| format!("cut at {cut}: {first} records, then {second}"));
        }
    }

    fn open_and_read(
        &self,
        disk: &SimDisk,
        cut: usize,
        totals: &mut CrashTotals,
    ) -> Option<Vec<Record>> {
        let options = options(u64::MAX);
        let opened = SegmentLog::open(Arc::new(disk.clone()), Path::new(DIR), options)
            .map_err(|error| error.to_string())
            .and_then(|(log, _)| read_all(&log));
        opened
            .map_err(|error| {
                totals.refused += 1;
                totals.problem(|| format!("cut at {cut}: {error}"));
            })
            .ok()
    }

    /// Compares what was found with what was handed in: in order, each once, all receipts.
    fn compare(&self, found: &[Record], cut: usize, totals: &mut CrashTotals) {
        let mut rest = self.handed.iter();
        for record in found {
            let there = |handed: &&Handed| {
                handed.facts == record.facts
                    && handed.partition == record.partition
                    && match &record.personal {
                        Some(personal) => *personal == handed.personal,
                        None => cut >= handed.personal_until,
                    }
            };
            if rest.by_ref().find(there).is_none() {
                totals.false_records += 1;
            }
        }
        let found: BTreeMap<&[u8], &Record> = found
            .iter()
            .map(|record| (record.facts.as_slice(), record))
            .collect();
        for handed in &self.handed {
            let due = handed.receipt_at.is_some_and(|at| at <= cut) && cut < handed.facts_until;
            totals.receipts += u64::from(due);
            if due && !found.contains_key(handed.facts.as_slice()) {
                totals.lost += 1;
            }
        }
    }
}

/// Reads everything that the log shows.
pub fn read_all(log: &SegmentLog) -> Result<Vec<Record>, String> {
    let mut reader = log
        .reader(PartitionSet::all(), ReadFrom::Start)
        .map_err(|error| error.to_string())?;
    let mut records = Vec::new();
    loop {
        let progress = reader
            .read(ReadBudget::default(), &mut |record| {
                records.push(record.to_record())
            })
            .map_err(|error| error.to_string())?;
        if progress.at_end {
            return Ok(records);
        }
    }
}

/// States are the same if the disk holds the same and the same receipts were given.
fn fingerprint(image: &Image, cut: usize, handed: &[Handed]) -> u64 {
    let mut hasher = DefaultHasher::new();
    image.hash(&mut hasher);
    for handed in handed {
        handed
            .receipt_at
            .is_some_and(|at| at <= cut)
            .hash(&mut hasher);
        (cut >= handed.personal_until, cut >= handed.facts_until).hash(&mut hasher);
    }
    hasher.finish()
}
