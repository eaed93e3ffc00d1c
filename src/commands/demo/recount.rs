//! What the log holds, once by the recount through the core and once by its click ids alone.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use tollgate_click::{ClickId, Outcome, Record};
use tollgate_log::{
    Cursor, PartitionSet, Read as _, ReadBudget, ReadFrom, ReadOnlyLog, RealDisk, SegmentLog,
};
use tollgate_process::Tally;
use tollgate_traffic::compare::Counted;

use crate::data_dir::DataDir;
use crate::recount::dimension::{Cell, Dimension};
use crate::recount::{self, Question};

/// Beside a writer the last block shows when a later one confirms it, and a tick comes each
/// second.
const CONFIRMED_WITHIN: Duration = Duration::from_secs(10);

/// Reads a data directory beside the node that writes it, at least up to `until`.
pub(super) fn read(data: &Path, until: Cursor) -> anyhow::Result<Counted> {
    let log = open_up_to(data, until)?;
    let question = Question {
        by: vec![Dimension::Advertiser, Dimension::Campaign],
        ..Question::default()
    };
    let recount = recount::run(&log, &question, |_, _| {})?;
    let mut counted = Counted {
        recorded: click_ids(&log)?,
        ..Counted::default()
    };
    for (cells, tally) in &recount.groups {
        enter(&mut counted, campaign_of(cells), tally);
    }
    Ok(counted)
}

fn open_up_to(data: &Path, until: Cursor) -> anyhow::Result<ReadOnlyLog> {
    let dir = DataDir::open(data)?;
    let log = SegmentLog::open_readonly(Arc::new(RealDisk), &dir.log())
        .context("the log cannot be opened")?;
    let started = Instant::now();
    while log.durable() < until {
        if started.elapsed() > CONFIRMED_WITHIN {
            bail!("the log does not show what its writer calls durable");
        }
        std::thread::sleep(Duration::from_millis(20));
        log.refresh().context("the log cannot be read")?;
    }
    Ok(log)
}

/// Advertiser and campaign; both 0, which nobody is, for a record that cannot be read.
fn campaign_of(cells: &[Cell]) -> (u32, u64) {
    match cells {
        [Cell::Number(advertiser), Cell::Number(campaign)] => {
            (u32::try_from(*advertiser).unwrap_or(u32::MAX), *campaign)
        }
        _ => (0, 0),
    }
}

fn enter(counted: &mut Counted, campaign: (u32, u64), tally: &Tally) {
    let counts = Outcome::ALL.map(|outcome| (outcome, tally.of(outcome)));
    let counts = counts.into_iter().filter(|(_, count)| *count > 0);
    counted.outcomes.insert(campaign, counts.collect());
    if !tally.spend().is_empty() {
        counted.spend_micros.insert(campaign, tally.spend().clone());
    }
}

fn click_ids(log: &ReadOnlyLog) -> anyhow::Result<BTreeMap<ClickId, u64>> {
    let mut reader = log.reader(PartitionSet::all(), ReadFrom::Start)?;
    let mut times = BTreeMap::new();
    loop {
        let progress = reader.read(ReadBudget::default(), &mut |record| {
            // What cannot be read is a difference by its outcome already.
            if let Ok(Record::Click(facts)) = Record::decode(record.facts) {
                *times.entry(facts.click_id).or_default() += 1;
            }
        })?;
        if progress.at_end {
            return Ok(times);
        }
    }
}
