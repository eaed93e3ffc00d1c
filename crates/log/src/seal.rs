//! Sealing: a finished live segment becomes two compressed files, facts and personal parts.
//!
//! At every moment one form of the segment is the truth. The personal file gets its name first,
//! then the facts file: its name is what makes the segment sealed. Only when both names are durable
//! is the live file removed, or kept to become another segment (`spares.rs`). A crash in between
//! leaves the live file with or without leftovers, or both forms whole; opening takes away what is
//! not the truth.
//!
//! Compressing costs several times what committing does, so the thread gives way: it runs at a
//! lower priority and rests between two pieces, the less the more segments wait for it ([`rest`]).
//! So a burst is written first and sealed later, and what is written steadily is sealed as fast.

use std::collections::BTreeMap;
use std::io::{self, IoSlice};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use crate::api::{Partition, PartitionSet, ReadBudget, ReadError, RecordRef};
use crate::catalog::{Catalog, Form, START_BLOCK_BYTES, io_error, read_failed};
use crate::disk::{Disk, DiskFile};
use crate::fields::Put;
use crate::format::{Tail, facts_name, live_name, personal_name, split_position};
use crate::live::{LiveReader, Sink, Step};
use crate::options::Options;
use crate::pace::now;
use crate::sealed::{CHUNKS_AT, Entry, FACTS_MAGIC, PERSONAL_MAGIC, encode_index, encode_preamble};
use crate::segment::remove_if_there;
use crate::shared::{hold, wait_timeout};

/// How long a segment that could not be sealed is left alone.
const RETRY: Duration = Duration::from_secs(10);
/// The thread's niceness: where all processors are busy it has about a third of what another thread
/// has, and never nothing.
const NICENESS: i32 = 5;
/// With at most so many finished segments that are not sealed the thread takes its time.
const FEW_BEHIND: u32 = 4;
/// With more than this many it does not rest at all.
const MANY_BEHIND: u32 = 8;

/// How long to rest after a piece of work, with so many segments to seal.
fn rest(work: Duration, behind: u32) -> Duration {
    if behind <= FEW_BEHIND {
        work * 3
    } else if behind <= MANY_BEHIND {
        work
    } else {
        Duration::ZERO
    }
}

/// Seals finished segments, oldest first.
pub(crate) struct Sealing {
    catalog: Arc<Catalog>,
    group_bytes: usize,
    level: i32,
    stop: AtomicBool,
    /// Held while segments are sealed: the thread and a caller must not seal the same one.
    one_at_a_time: Mutex<()>,
    /// The last failure, until a segment is sealed again.
    failure: Mutex<Option<String>>,
    stopped: Condvar,
}

impl Sealing {
    pub(crate) fn new(catalog: Arc<Catalog>, options: &Options) -> Sealing {
        Sealing {
            catalog,
            group_bytes: options.seal_group_bytes,
            level: options.seal_level,
            stop: AtomicBool::new(false),
            one_at_a_time: Mutex::new(()),
            failure: Mutex::new(None),
            stopped: Condvar::new(),
        }
    }

    /// The thread: seals what is finished, and waits for more.
    pub(crate) fn run(&self) {
        // A system that does not let it be nice has it as it is.
        rustix::process::setpriority_process(None, NICENESS).unwrap_or_default();
        let mut seen = 0;
        while !self.stopped() {
            let begun = self.catalog.last_begun();
            match self.seal_finished(true) {
                Ok(_) => *hold(&self.failure) = None,
                Err(error) if !self.stopped() => {
                    *hold(&self.failure) = Some(error.to_string());
                    self.pause(RETRY);
                    continue;
                }
                Err(_) => {}
            }
            seen = seen.max(begun);
            self.catalog.wait_begun_after(seen, || self.stopped());
        }
    }

    /// Ends the thread soon.
    pub(crate) fn stop(&self) {
        self.stop.store(true, Ordering::SeqCst);
        drop(hold(&self.failure));
        self.stopped.notify_all();
        self.catalog.wake_waiting();
    }

    pub(crate) fn failure(&self) -> Option<String> {
        hold(&self.failure).clone()
    }

    /// Seals every finished segment; with `gently` it leaves the processor to others in between.
    pub(crate) fn seal_finished(&self, gently: bool) -> Result<u32, ReadError> {
        let _one_at_a_time = hold(&self.one_at_a_time);
        let segments = self.catalog.segments();
        let last = segments.last().map_or(0, |(segment, _)| *segment);
        let mut sealed = 0;
        for (segment, form) in segments {
            if segment < last && form != Form::Sealed {
                self.seal(segment, gently)?;
                sealed += 1;
            }
        }
        Ok(sealed)
    }

    fn seal(&self, segment: u32, gently: bool) -> Result<(), ReadError> {
        let (disk, dir) = (&*self.catalog.disk, &self.catalog.dir);
        let names = [facts_name(segment), personal_name(segment)];
        let [facts, personal] = names.map(|name| (dir.join(format!("{name}.tmp")), dir.join(name)));
        let written = self.write(segment, [&facts.0, &personal.0], gently);
        if let Err(error) = written {
            // Leftovers are taken away at the next opening, if not now.
            drop(remove_if_there(disk, &facts.0));
            drop(remove_if_there(disk, &personal.0));
            return Err(error);
        }
        let publish = || -> io::Result<()> {
            for (temporary, name) in [&personal, &facts] {
                disk.rename(temporary, name)?;
                disk.sync_dir(dir)?;
            }
            Ok(())
        };
        publish().map_err(|error| io_error("publish", &facts_name(segment), error))?;
        self.catalog.sealed(segment);
        self.give_up_live(segment)
            .map_err(|error| io_error("remove", &live_name(segment), error))
    }

    /// Removes the live file, or keeps it to be used again.
    fn give_up_live(&self, segment: u32) -> io::Result<()> {
        let (disk, dir) = (&*self.catalog.disk, &self.catalog.dir);
        let live = dir.join(live_name(segment));
        let Some(spare) = self.catalog.spares.wanted(segment) else {
            disk.remove(&live)?;
            return disk.sync_dir(dir);
        };
        let path = dir.join(spare.name());
        disk.rename(&live, &path)?;
        disk.sync_dir(dir)?;
        if !self.catalog.spares.put(spare) {
            disk.remove(&path)?;
            disk.sync_dir(dir)?;
        }
        Ok(())
    }

    /// Writes and syncs both files under their temporary names.
    fn write(
        &self,
        segment: u32,
        [facts, personal]: [&std::path::PathBuf; 2],
        gently: bool,
    ) -> Result<(), ReadError> {
        let next = self.catalog.opening(segment + 1)?;
        let end = next.start.previous_end;
        let start = self.start_block(segment)?;
        let failed = |error| io_error("seal", &live_name(segment), error);
        let disk = &*self.catalog.disk;
        let mut facts = Sealer::create(disk, facts, FACTS_MAGIC, &start).map_err(failed)?;
        let mut personal =
            Sealer::create(disk, personal, PERSONAL_MAGIC, &start).map_err(failed)?;
        let mut live = LiveReader::open(&self.catalog, segment, 0, end)?;
        let (mut from, mut group) = (0, 0);
        loop {
            let began = now();
            let mut columns = BTreeMap::new();
            let step = self.gather(&mut live, from, end, &mut columns)?;
            for (partition, columns) in columns {
                let entry = columns.entry(group, partition);
                facts
                    .put(entry, &columns.facts(), self.level)
                    .map_err(failed)?;
                personal
                    .put(entry, &columns.personal(), self.level)
                    .map_err(failed)?;
            }
            group += 1;
            match step {
                Step::Done => break,
                Step::Stopped(offset) => from = offset,
            }
            if gently {
                let behind = self.catalog.last_begun().saturating_sub(segment);
                self.pause(rest(began.elapsed(), behind));
            }
            if self.stopped() {
                return Err(failed(io::ErrorKind::Interrupted.into()));
            }
        }
        live.ends_at(end, &next.header)?;
        let (sequence, chain) = (next.header.sequence, next.header.previous);
        let tail = Tail {
            segment,
            end,
            sequence,
            chain,
        };
        facts
            .finish(tail)
            .and_then(|()| personal.finish(tail))
            .map_err(failed)
    }

    /// Collects the records of one group by partition.
    fn gather(
        &self,
        live: &mut LiveReader,
        from: u32,
        end: u32,
        columns: &mut BTreeMap<Partition, Columns>,
    ) -> Result<Step, ReadError> {
        let budget = ReadBudget {
            records_max: usize::MAX,
            bytes_max: self.group_bytes,
        };
        let mut visit = |record: RecordRef<'_>| {
            columns.entry(record.partition).or_default().push(&record);
        };
        let partitions = PartitionSet::all();
        let mut sink = Sink {
            partitions: &partitions,
            budget,
            records: 0,
            bytes: 0,
            visit: &mut visit,
        };
        live.visit(from, end, &mut sink)
    }

    fn start_block(&self, segment: u32) -> Result<Vec<u8>, ReadError> {
        // Reading it as what it is first: a copy of damaged bytes would be damage with a seal.
        self.catalog.opening(segment)?;
        let name = live_name(segment);
        let mut block = vec![0; START_BLOCK_BYTES];
        let read = self.catalog.open(&name)?.read_at(0, &mut block);
        read.map_err(|error| read_failed(0, &name, error))?;
        Ok(block)
    }

    fn stopped(&self) -> bool {
        self.stop.load(Ordering::SeqCst)
    }

    fn pause(&self, time: Duration) {
        let held = hold(&self.failure);
        if !self.stopped() {
            drop(wait_timeout(&self.stopped, held, time));
        }
    }
}

/// The records of one partition in one group.
#[derive(Default)]
struct Columns {
    offsets: Vec<u32>,
    sequences: Vec<u32>,
    facts_lengths: Vec<u32>,
    personal_lengths: Vec<u32>,
    facts: Vec<u8>,
    personal: Vec<u8>,
}

impl Columns {
    fn push(&mut self, record: &RecordRef<'_>) {
        let personal = record.personal.unwrap_or(&[]);
        self.offsets.push(split_position(record.cursor.position).1);
        self.sequences.push(record.sequence as u32);
        self.facts_lengths.push(record.facts.len() as u32);
        self.personal_lengths.push(personal.len() as u32);
        self.facts.extend_from_slice(record.facts);
        self.personal.extend_from_slice(personal);
    }

    /// The index entry, but for what only the file knows.
    fn entry(&self, group: u32, partition: Partition) -> Entry {
        Entry {
            group,
            partition,
            records: self.offsets.len() as u32,
            first: self.offsets.first().copied().unwrap_or(0),
            last: self.offsets.last().copied().unwrap_or(0),
            at: 0,
            bytes: 0,
            raw_bytes: 0,
            crc: 0,
        }
    }

    fn facts(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.facts.len() + self.offsets.len() * 12);
        put_differences(&mut out, &self.offsets);
        put_differences(&mut out, &self.sequences);
        put_column(&mut out, &self.facts_lengths);
        out.extend_from_slice(&self.facts);
        out
    }

    fn personal(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.personal.len() + self.offsets.len() * 4);
        put_column(&mut out, &self.personal_lengths);
        out.extend_from_slice(&self.personal);
        out
    }
}

fn put_column(out: &mut Vec<u8>, column: &[u32]) {
    for value in column {
        Put(out).u32(*value);
    }
}

/// Numbers that grow evenly become small equal numbers, which compress to almost nothing.
fn put_differences(out: &mut Vec<u8>, column: &[u32]) {
    let mut before = 0u32;
    for value in column {
        Put(out).u32(value.wrapping_sub(before));
        before = *value;
    }
}

/// One of the two files while it is written.
struct Sealer {
    file: Arc<dyn DiskFile>,
    at: u32,
    entries: Vec<Entry>,
}

impl Sealer {
    fn create(
        disk: &dyn Disk,
        path: &std::path::Path,
        magic: [u8; 8],
        start: &[u8],
    ) -> io::Result<Sealer> {
        remove_if_there(disk, path)?;
        let file = disk.create(path)?;
        let preamble = encode_preamble(magic);
        file.write_at(0, &mut [IoSlice::new(&preamble), IoSlice::new(start)])?;
        Ok(Sealer {
            file,
            at: CHUNKS_AT as u32,
            entries: Vec::new(),
        })
    }

    fn put(&mut self, entry: Entry, raw: &[u8], level: i32) -> io::Result<()> {
        let stored = zstd::bulk::compress(raw, level)?;
        // The live file is removed on the strength of this chunk: see that it can be read.
        if zstd::bulk::decompress(&stored, raw.len())? != raw {
            return Err(io::Error::other(
                "a compressed chunk does not give back what went in",
            ));
        }
        self.file
            .write_at(u64::from(self.at), &mut [IoSlice::new(&stored)])?;
        self.entries.push(Entry {
            at: self.at,
            bytes: stored.len() as u32,
            raw_bytes: raw.len() as u32,
            crc: crc32c::crc32c(&stored),
            ..entry
        });
        self.at += stored.len() as u32;
        Ok(())
    }

    fn finish(&self, tail: Tail) -> io::Result<()> {
        let index = encode_index(&self.entries, self.at, tail);
        self.file
            .write_at(u64::from(self.at), &mut [IoSlice::new(&index)])?;
        self.file.sync_all()
    }
}
