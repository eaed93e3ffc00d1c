//! Bytes on disk and syncs per click at stated rates, with the log's defaults but for the length of
//! its segments: they are short, so that a run sees several of them made, filled and
//! sealed.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Result;
use serde_json::{Value, json};
use tollgate_log::{Append, Log, Options, SegmentLog};

use crate::disk::{Counting, Counts};
use crate::engines::{new_record, wait};
use crate::{FACTS_BYTES, PERSONAL_BYTES, records};

const RATES: [u64; 3] = [10, 1_000, 50_000];
/// Before anything is counted, and while it is.
const WARM_UP: Duration = Duration::from_secs(4);
const TIME: Duration = Duration::from_secs(6);
const PARTITIONS: u16 = 16;
const SEGMENT_BYTES: u32 = 9 << 20;
/// What a sector-aligned write of whole pages would take, for the decision on direct writes.
const PAGE_BYTES: u64 = 4096;

/// Clicks come at fixed times; nobody waits for anybody else's receipt.
pub(crate) fn measure(folder: &Path) -> Result<Vec<Value>> {
    let mut told = Vec::new();
    for rate in RATES {
        let dir = folder.join(format!("rate-{rate}"));
        let counts = Arc::new(Counts::default());
        let options = Options {
            partitions: PARTITIONS,
            segment_bytes: SEGMENT_BYTES,
            ..Options::default()
        };
        let (log, _) = SegmentLog::open(Arc::new(Counting(counts.clone())), &dir, options)?;
        click(&log, rate, WARM_UP)?;
        let seen = || {
            let of = |count: &AtomicU64| count.load(Ordering::Relaxed);
            (
                of(&counts.live_bytes),
                of(&counts.sealed_bytes),
                of(&counts.syncs),
            )
        };
        let before = seen();
        let clicks = click(&log, rate, TIME)?;
        let after = seen();
        log.close()?;
        let each = |count: u64| (count as f64 / clicks as f64 * 10_000.0).round() / 10_000.0;
        let live = after.0 - before.0;
        let run = json!({
            "clicks_per_s": rate,
            "bytes_of_click": FACTS_BYTES + PERSONAL_BYTES,
            "live_bytes_per_click": each(live),
            "sealed_bytes_per_click": each(after.1 - before.1),
            "syncs_per_click": each(after.2 - before.2),
            // One page more for each commit, half of it on average the padding of its last page.
            "live_bytes_per_click_in_pages": each(padded(live, after.2 - before.2)),
        });
        eprintln!("{run}");
        told.push(run);
    }
    Ok(told)
}

/// The bytes of so many commits if each were written in whole pages.
fn padded(bytes: u64, commits: u64) -> u64 {
    let each = bytes / commits.max(1);
    each.div_ceil(PAGE_BYTES) * PAGE_BYTES * commits
}

fn click(log: &SegmentLog, rate: u64, time: Duration) -> Result<u64> {
    let appender = log.appender();
    let records = records(1024, PARTITIONS);
    let began = Instant::now();
    let (mut clicks, mut waiting) = (0, Vec::new());
    while began.elapsed() < time {
        let due = (began.elapsed().as_secs_f64() * rate as f64) as u64;
        while clicks < due {
            if let Some(record) = records.get(clicks as usize % records.len()) {
                waiting.push(appender.append(new_record(record))?);
            }
            clicks += 1;
        }
        thread::sleep(Duration::from_micros(200));
        if waiting.len() > 10_000 {
            waiting
                .drain(..5_000)
                .try_for_each(|commit| wait(commit).map(drop))?;
        }
    }
    waiting
        .into_iter()
        .try_for_each(|commit| wait(commit).map(drop))?;
    Ok(clicks)
}
