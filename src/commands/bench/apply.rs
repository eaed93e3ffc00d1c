//! The core alone: decoded, admitted, judged and accounted for, on one thread.

use std::collections::HashSet;
use std::hint::black_box;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use serde::Serialize;
use tollgate_click::limits::STATE_RETENTION_S;
use tollgate_click::{Outcome, PartitionId, Record, Source};
use tollgate_process::{ApplyVersion, Effects, Incoming, PartBytes, State, apply_all};

use super::traffic::{Shape, Traffic};

/// Records that are read at once, over all partitions.
const BATCH: u64 = 8_192;

/// Records whose effects are looked at together, as the worker does it.
const RUN: usize = 128;

/// How much is applied.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Size {
    /// Nonces that are live when the clock starts.
    pub(crate) live: u64,
    /// Clicks that are timed.
    pub(crate) clicks: u64,
    pub(crate) shape: Shape,
}

/// What came out.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Figures {
    pub(crate) clicks_per_s: u64,
    pub(crate) cpu_ns_per_click: f64,
    /// The peer of the same run: the same nonces into the standard library's set and nothing
    /// else. The bar stands beside 3.8 million a second of it.
    pub(crate) std_set_inserts_per_s: u64,
    pub(crate) clicks: u64,
    pub(crate) partitions: u16,
    pub(crate) live_nonces: u64,
    pub(crate) nonce_bytes_per_live_nonce: f64,
    /// The process's growth since before the first record, campaigns and all.
    pub(crate) resident_bytes_per_live_nonce: f64,
    pub(crate) longest_batch_us: u64,
    pub(crate) billed: u64,
    pub(crate) duplicate: u64,
    pub(crate) invalid: u64,
    /// A copy of the state, which stops the worker.
    pub(crate) copy_us: u64,
    /// The parts of a snapshot, which another thread makes.
    pub(crate) parts_ms: u64,
    pub(crate) part_bytes: u64,
}

/// Fills the tables and times what comes after.
pub(crate) fn run(size: Size, seed: u64) -> Result<Figures> {
    let traffic = Traffic::new(size.shape, seed);
    let resident_before = resident_bytes();
    let mut bench = Bench::filled(traffic.clone(), size)?;
    let (live, before) = (bench.live(), bench.tally());
    bench.forward(size.clicks)?;
    let resident = resident_bytes().saturating_sub(resident_before);
    let live_after = bench.live() as f64;
    let nonce_bytes: usize = bench.states.iter().map(State::nonce_bytes).sum();
    let [billed, duplicate, invalid] = bench.tally();
    let (copy_us, parts_ms, part_bytes) = bench.snapshot();
    let Spent { wall, cpu, longest } = bench.spent;
    let filled = bench.next - size.clicks;
    drop(bench);
    let peer = std_set(&traffic, filled, size.clicks);
    let a_second = |spent: Duration| (size.clicks as f64 / spent.as_secs_f64()) as u64;
    Ok(Figures {
        clicks_per_s: a_second(wall),
        cpu_ns_per_click: cpu.as_nanos() as f64 / size.clicks as f64,
        std_set_inserts_per_s: a_second(peer),
        clicks: size.clicks,
        partitions: size.shape.partitions,
        live_nonces: live,
        nonce_bytes_per_live_nonce: nonce_bytes as f64 / live_after,
        resident_bytes_per_live_nonce: resident as f64 / live_after,
        longest_batch_us: longest.as_micros() as u64,
        billed: billed - before[0],
        duplicate: duplicate - before[1],
        invalid: invalid - before[2],
        copy_us,
        parts_ms,
        part_bytes,
    })
}

/// A world in which many clicks have passed through, most of them so long ago that their nonces
/// are gone.
pub(crate) struct World(Bench);

impl World {
    /// With so many clicks behind it, and then so many whose nonces are live.
    pub(crate) fn new(shape: Shape, seed: u64, stored: u64, live: u64) -> Result<World> {
        let mut bench = Bench::new(Traffic::new(shape, seed))?;
        let mut to_pass = stored.saturating_sub(live);
        while to_pass > 0 {
            let some = to_pass.min(AT_ONCE);
            bench.forward(some)?;
            bench.leap();
            to_pass -= some;
        }
        bench.forward(live)?;
        Ok(World(bench))
    }

    /// What each of the next clicks costs.
    pub(crate) fn ns_per_click(&mut self, clicks: u64) -> Result<f64> {
        self.0.spent = Spent::default();
        self.0.forward(clicks)?;
        Ok(self.0.spent.wall.as_nanos() as f64 / clicks as f64)
    }

    /// Nonces that are live now.
    pub(crate) fn live(&self) -> u64 {
        self.0.live()
    }
}

/// Clicks whose nonces are let go together: it bounds the memory that a world takes to be made.
const AT_ONCE: u64 = 5_000_000;

/// After this time no nonce of before is kept.
const LEAP_MS: u64 = (STATE_RETENTION_S as u64 + 2 * 3_600) * 1_000;

/// Puts the nonces of the same clicks into a plain set.
fn std_set(traffic: &Traffic, fill: u64, clicks: u64) -> Duration {
    let mut set = HashSet::new();
    let mut spent = Duration::ZERO;
    let mut nonces = Vec::new();
    let mut next = 0;
    while next < fill + clicks {
        nonces.clear();
        let end = (next + BATCH).min(fill + clicks);
        nonces.extend(
            (next..end).filter_map(|number| match traffic.click(number).1.source {
                Source::Signed { nonce, .. } => Some(u128::from_be_bytes(nonce.bytes())),
                Source::Registered { .. } | Source::Imported { .. } => None,
            }),
        );
        let began = Instant::now();
        for nonce in &nonces {
            black_box(set.insert(*nonce));
        }
        if next >= fill {
            spent += began.elapsed();
        }
        next = end;
    }
    spent
}

/// Time in the core.
#[derive(Clone, Copy, Default)]
struct Spent {
    wall: Duration,
    cpu: Duration,
    longest: Duration,
}

struct Bench {
    traffic: Traffic,
    shape: Shape,
    states: Vec<State>,
    lanes: Vec<Lane>,
    told: Vec<Effects>,
    next: u64,
    ticks: u64,
    spent: Spent,
}

/// Records of one partition, as a reader of the log hands them out.
#[derive(Default)]
struct Lane {
    bytes: Vec<u8>,
    ends: Vec<(usize, bool)>,
    sequences: [u64; 2],
}

impl Bench {
    fn new(traffic: Traffic) -> Result<Bench> {
        let shape = traffic.shape();
        let state = |number| Ok(State::new(PartitionId::new(number)?, ApplyVersion::V1));
        let mut bench = Bench {
            traffic,
            shape,
            states: (0..shape.partitions).map(state).collect::<Result<_>>()?,
            lanes: Vec::new(),
            told: Vec::new(),
            next: 0,
            ticks: 0,
            spent: Spent::default(),
        };
        let mut lanes: Vec<Lane> = bench.states.iter().map(|_| Lane::default()).collect();
        for (partition, record) in bench.traffic.changes() {
            Lane::push(&mut lanes, partition, &record)?;
        }
        bench.apply(&lanes)?;
        bench.lanes = lanes;
        Ok(bench)
    }

    /// With as many live nonces as the size says.
    fn filled(traffic: Traffic, size: Size) -> Result<Bench> {
        let mut bench = Bench::new(traffic)?;
        bench.forward(size.live * 100 / 93)?; // 2% repeat, 5% are invalid and use nothing up
        bench.spent = Spent::default();
        Ok(bench)
    }

    fn forward(&mut self, clicks: u64) -> Result<()> {
        let until = self.next + clicks;
        while self.next < until {
            self.step(BATCH.min(until - self.next))?;
        }
        Ok(())
    }

    /// Goes on at a time when nothing of before is live; its tick comes before its first click.
    fn leap(&mut self) {
        self.traffic.leap(LEAP_MS);
        self.ticks = self.next / self.shape.clicks_per_s;
    }

    /// Makes and applies the next clicks, with a tick a second.
    fn step(&mut self, clicks: u64) -> Result<()> {
        let mut lanes = std::mem::take(&mut self.lanes);
        for (lane, state) in lanes.iter_mut().zip(&self.states) {
            lane.bytes.clear();
            lane.ends.clear();
            lane.sequences = [0; 2].map(|_| state.ordinal().0); // dense enough: rising, no repeat
        }
        for number in self.next..self.next + clicks {
            if number / self.shape.clicks_per_s >= self.ticks {
                Lane::push(&mut lanes, None, &self.traffic.tick(self.ticks))?;
                self.ticks += 1;
            }
            let (partition, facts) = self.traffic.click(number);
            Lane::push(&mut lanes, Some(partition), &Record::Click(facts))?;
        }
        self.next += clicks;
        self.apply(&lanes)?;
        self.lanes = lanes;
        Ok(())
    }

    fn apply(&mut self, lanes: &[Lane]) -> Result<()> {
        let batches: Vec<Vec<Incoming<'_>>> = lanes.iter().map(Lane::incoming).collect();
        let (wall, cpu) = (Instant::now(), thread_cpu());
        for (state, batch) in self.states.iter_mut().zip(&batches) {
            for run in batch.chunks(RUN) {
                self.told.clear();
                let applied = apply_all(state, run, &mut self.told);
                applied
                    .map_err(|(_, halt)| halt)
                    .context("the core halted")?;
                black_box(&self.told);
            }
        }
        let wall = wall.elapsed();
        self.spent.cpu += thread_cpu().saturating_sub(cpu);
        self.spent.wall += wall;
        self.spent.longest = self.spent.longest.max(wall);
        Ok(())
    }

    fn live(&self) -> u64 {
        self.states.iter().map(|state| state.nonces() as u64).sum()
    }

    fn tally(&self) -> [u64; 3] {
        let of = |outcome| {
            self.states
                .iter()
                .map(|state| state.counts().clicks.of(outcome))
                .sum()
        };
        [Outcome::Billed, Outcome::Duplicate, Outcome::InvalidGivt].map(of)
    }

    fn snapshot(&self) -> (u64, u64, u64) {
        let began = Instant::now();
        let copies = self.states.clone();
        let copied = began.elapsed();
        let began = Instant::now();
        let bytes = copies
            .iter()
            .flat_map(State::parts)
            .map(|part| match part.bytes {
                PartBytes::New(bytes) => bytes.len() as u64,
                PartBytes::Stored => 0,
            });
        let bytes = bytes.sum();
        (
            copied.as_micros() as u64,
            began.elapsed().as_millis() as u64,
            bytes,
        )
    }
}

impl Lane {
    /// Appends a record to its partition, or to all.
    fn push(lanes: &mut [Lane], partition: Option<PartitionId>, record: &Record) -> Result<()> {
        let place = partition.map(|partition| usize::from(partition.get()));
        let range = place.map_or(0..lanes.len(), |place| place..place + 1);
        for lane in lanes.get_mut(range).context("no such partition")? {
            record.encode(&mut lane.bytes);
            lane.ends.push((lane.bytes.len(), partition.is_none()));
        }
        Ok(())
    }

    fn incoming(&self) -> Vec<Incoming<'_>> {
        let [mut own, mut broadcast] = self.sequences;
        let mut start = 0;
        let incoming = self.ends.iter().map(|(end, all)| {
            let sequence = if *all { &mut broadcast } else { &mut own };
            *sequence += 1;
            let sequence = *sequence;
            let facts = self.bytes.get(start..*end).unwrap_or_default();
            start = *end;
            Incoming {
                facts,
                session: 1,
                sequence,
                broadcast: *all,
            }
        });
        incoming.collect()
    }
}

/// Processor time of this thread, to a tick of the kernel's clock.
pub(super) fn thread_cpu() -> Duration {
    let told = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let nanos = told.split(' ').next().and_then(|nanos| nanos.parse().ok());
    Duration::from_nanos(nanos.unwrap_or(0))
}

/// Resident memory of this process.
pub(super) fn resident_bytes() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages = statm
        .split(' ')
        .nth(1)
        .and_then(|pages| pages.parse::<u64>().ok());
    pages.unwrap_or(0) * 4096
}
