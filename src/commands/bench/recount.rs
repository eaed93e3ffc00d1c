//! The recount by replay, from the log's first byte.

use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use serde::Serialize;
use tollgate_log::{RealDisk, SegmentLog};

use super::log::Wanted;
use crate::recount::{self, Question};

/// What came out.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Figures {
    clicks_per_s: u64,
    seconds: f64,
    clicks: u64,
    records: u64,
}

/// Writes a log and counts it again.
pub(super) fn run(wanted: &Wanted<'_>) -> Result<Figures> {
    let written = wanted.log()?;
    let clicks = written.clicks;
    written.log.close()?;
    let log = SegmentLog::open_readonly(Arc::new(RealDisk), &written.dir)
        .context("the log cannot be opened")?;
    let mut records = 0;
    let began = Instant::now();
    let found = recount::run(&log, &Question::default(), |_, read| records = read)?;
    let spent = began.elapsed().as_secs_f64();
    ensure!(
        found.clicks.records() == clicks,
        "clicks were lost: {:?}",
        found.clicks
    );
    Ok(Figures {
        clicks_per_s: (clicks as f64 / spent) as u64,
        seconds: spent,
        clicks,
        records,
    })
}
