//! Bytes per record of a log on disk.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Result;
use clap::Args;
use serde_json::json;
use tollgate_log::{Housekeeping, Options, RealDisk, SegmentLog};

use crate::witness;

/// Bytes of a block around its records, and of a frame around a record's parts.
const BLOCK_BYTES: u64 = 76;
const FRAME_BYTES: u64 = 16;

/// Counts the bytes of a log per record, live and sealed.
#[derive(Clone, Debug, Args)]
pub struct Measure {
    /// The directory of the log; nobody may have it open.
    dir: PathBuf,
    /// Seal all finished segments first.
    #[arg(long)]
    seal: bool,
    /// Partitions of the log, the control partition included.
    #[arg(long, default_value_t = 17)]
    partitions: u16,
}

impl Measure {
    /// Prints one JSON object.
    pub fn run(&self) -> Result<()> {
        if self.seal {
            let options = Options {
                partitions: self.partitions,
                housekeeping: Housekeeping::Caller,
                ..Options::default()
            };
            let (log, _) = SegmentLog::open(Arc::new(RealDisk), &self.dir, options)?;
            log.seal_finished()?;
            log.close()?;
        }
        let (mut live, mut live_bytes, mut sealed) = (0u64, 0u64, 0u64);
        let mut blocks = BTreeSet::new();
        witness::read(&self.dir, |seen| match seen.block {
            Some(block) => {
                live += 1;
                live_bytes += FRAME_BYTES + bytes(seen.facts) + seen.personal.map_or(0, bytes);
                blocks.insert(block);
            }
            None => sealed += 1,
        })?;
        live_bytes += blocks.len() as u64 * BLOCK_BYTES;
        let sealed_bytes = sealed_bytes(&self.dir)?;
        let each = |bytes: u64, records: u64| (records > 0).then(|| bytes as f64 / records as f64);
        let told = json!({
            "live_records": live,
            "live_bytes_per_record": each(live_bytes, live),
            "records_per_commit": each(live, blocks.len() as u64),
            "sealed_records": sealed,
            "sealed_bytes_per_record": each(sealed_bytes, sealed),
        });
        println!("{told}");
        Ok(())
    }
}

fn bytes(part: &[u8]) -> u64 {
    part.len() as u64
}

fn sealed_bytes(dir: &Path) -> Result<u64> {
    let mut bytes = 0;
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        let form = path.extension().and_then(|form| form.to_str());
        if matches!(form, Some("facts" | "personal")) {
            bytes += fs::metadata(&path)?.len();
        }
    }
    Ok(bytes)
}
