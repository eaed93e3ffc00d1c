//! A process that does nothing but append, and tells on its standard output what was acknowledged.
//! Its parent stands outside the fault and keeps what it was told.

use std::future::Future;
use std::io::{self, Write};
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::Duration;

use anyhow::Result;
use clap::Args;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tollgate_log::{
    Append, AppendError, Disk, Durability, Log, NewRecord, Options, Partition, RealDisk, SegmentLog,
};

use crate::unsynced::Unsynced;

/// How the writer writes.
#[derive(Clone, Debug, Args)]
pub struct Writer {
    /// The directory of the log.
    pub dir: PathBuf,
    /// Decides lengths and partitions, and stands in every record.
    #[arg(long)]
    pub seed: u64,
    /// Threads that append.
    #[arg(long, default_value_t = 4)]
    pub threads: u32,
    /// Records that a thread appends before it waits.
    #[arg(long, default_value_t = 4)]
    pub batch: u32,
    /// Partitions of the log.
    #[arg(long, default_value_t = 16)]
    pub partitions: u16,
    /// Bytes of a segment.
    #[arg(long, default_value_t = 1 << 20)]
    pub segment_bytes: u32,
    /// Answer after the write, not after the sync.
    #[arg(long)]
    pub os: bool,
    /// Take the sync out. Such a log loses what it acknowledged, and the trials must see it.
    #[arg(long)]
    pub no_sync: bool,
}

/// What stands on a line of its own once the log takes records.
pub const READY: &str = "ready";

impl Writer {
    /// The options that the log is opened with, here and wherever it is read again.
    pub fn options(&self) -> Options {
        Options {
            partitions: self.partitions,
            durability: if self.os {
                Durability::Os
            } else {
                Durability::Sync
            },
            record_bytes_max: 8 << 10,
            block_bytes_max: 64 << 10,
            queue_bytes_max: 1 << 20,
            segment_bytes: self.segment_bytes,
            first_segment_bytes: self.segment_bytes.min(256 << 10),
            retry_interval: Duration::from_millis(20),
            ..Options::default()
        }
    }

    /// Appends until the log refuses for good, or somebody ends the process.
    pub fn run(&self) -> Result<()> {
        let disk: Arc<dyn Disk> = if self.no_sync {
            Arc::new(Unsynced)
        } else {
            Arc::new(RealDisk)
        };
        let (log, _) = SegmentLog::open(disk, &self.dir, self.options())?;
        tell(&[READY.to_owned()])?;
        thread::scope(|scope| {
            for thread in 0..self.threads {
                let log = &log;
                scope.spawn(move || self.append_for_ever(log, thread));
            }
        });
        Ok(())
    }

    fn append_for_ever(&self, log: &SegmentLog, thread: u32) {
        let appender = log.appender();
        let mut dice = StdRng::seed_from_u64(self.seed ^ u64::from(thread) << 48);
        for round in 0u32.. {
            let (mut waiting, mut receipts) = (Vec::new(), Vec::new());
            for number in 0..self.batch {
                let id = id(self.seed, thread, round.wrapping_mul(self.batch) + number);
                let facts = [&id[..], &vec![7; dice.random_range(0..200)]].concat();
                let personal = vec![8; dice.random_range(0..400)];
                let partition = Partition(dice.random_range(0..self.partitions));
                let record = NewRecord {
                    partition,
                    facts: &facts,
                    personal: &personal,
                };
                // All ways into the log, in turn.
                if round % 3 == 2 {
                    receipts.extend(appender.commit(&[record]).ok().map(|_| hex(&id)));
                    continue;
                }
                let taken = if round % 3 == 0 {
                    appender.append(record)
                } else {
                    appender.gather(record)
                };
                match taken {
                    Ok(commit) => waiting.push((id, commit)),
                    Err(AppendError::Overloaded) => {}
                    Err(_) => thread::sleep(Duration::from_millis(1)),
                }
            }
            appender.flush();
            for (id, commit) in waiting {
                if wait(commit).is_ok() {
                    receipts.push(hex(&id));
                }
            }
            if tell(&receipts).is_err() {
                return;
            }
        }
    }
}

/// Sixteen bytes that no other record of the run has.
fn id(seed: u64, thread: u32, number: u32) -> [u8; 16] {
    let mut id = [0; 16];
    let parts = [
        &seed.to_be_bytes()[..],
        &thread.to_be_bytes(),
        &number.to_be_bytes(),
    ];
    id.copy_from_slice(&parts.concat());
    id
}

/// The id of a record that a writer wrote.
pub fn id_of(facts: &[u8]) -> Option<String> {
    facts.get(..16).map(hex)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// One write for all lines, so that a line is told whole or not at all.
fn tell(lines: &[String]) -> io::Result<()> {
    let mut text = lines.join("\n");
    if !text.is_empty() {
        text.push('\n');
    }
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()
}

/// Blocks the thread until the future is there.
pub fn wait<F: Future + Unpin>(mut future: F) -> F::Output {
    struct Unpark(Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut context = Context::from_waker(&waker);
    loop {
        match Pin::new(&mut future).poll(&mut context) {
            Poll::Ready(output) => return output,
            Poll::Pending => thread::park(),
        }
    }
}
