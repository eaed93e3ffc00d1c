//! Bytes on disk and syncs per click at stated rates, with the log's defaults.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Result;
use serde_json::{Value, json};
use tollgate_log::{Append, Log, Options, SegmentLog};

use crate::disk::{Counting, Counts};
use crate::engines::{new_record, wait};
use crate::{FACTS_BYTES, PERSONAL_BYTES, records};

const RATES: [u64; 3] = [10, 1_000, 50_000];
const TIME: Duration = Duration::from_secs(4);
const PARTITIONS: u16 = 16;

/// Clicks come at fixed times; nobody waits for anybody else's receipt.
pub(crate) fn measure(folder: &Path) -> Result<Vec<Value>> {
    let mut told = Vec::new();
    for rate in RATES {
        let dir = folder.join(format!("rate-{rate}"));
        let counts = Arc::new(Counts::default());
        let options = Options {
            partitions: PARTITIONS,
            ..Options::default()
        };
        let (log, _) = SegmentLog::open(Arc::new(Counting(counts.clone())), &dir, options)?;
        // The segments that are prepared ahead are not the clicks' cost.
        thread::sleep(Duration::from_millis(500));
        let of = |count: &std::sync::atomic::AtomicU64| count.load(Ordering::Relaxed);
        let (bytes, syncs) = (of(&counts.bytes), of(&counts.syncs));
        let clicks = click(&log, rate)?;
        let (bytes, syncs) = (of(&counts.bytes) - bytes, of(&counts.syncs) - syncs);
        log.close()?;
        let each = |count: u64| (count as f64 / clicks as f64 * 10_000.0).round() / 10_000.0;
        let run = json!({
            "clicks_per_s": rate,
            "bytes_of_click": FACTS_BYTES + PERSONAL_BYTES,
            "bytes_written_per_click": each(bytes),
            "syncs_per_click": each(syncs),
        });
        eprintln!("{run}");
        told.push(run);
    }
    Ok(told)
}

fn click(log: &SegmentLog, rate: u64) -> Result<u64> {
    let appender = log.appender();
    let records = records(1024, PARTITIONS);
    let began = Instant::now();
    let (mut clicks, mut waiting) = (0, Vec::new());
    while began.elapsed() < TIME {
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
