//! What the log holds, once by the recount through the core and once by its click ids alone.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use tollgate_click::{Outcome, Personal, Record};
use tollgate_log::{
    Cursor, PartitionSet, Read as _, ReadBudget, ReadFrom, ReadOnlyLog, RealDisk, SegmentLog,
};
use tollgate_process::Tally;
use tollgate_traffic::books::Kept;
use tollgate_traffic::compare::Side;

use crate::data_dir::DataDir;
use crate::recount::dimension::{Cell, Dimension};
use crate::recount::{self, Question};

/// Beside a writer the last block shows when a later one confirms it, and a tick comes each
/// second.
const CONFIRMED_WITHIN: Duration = Duration::from_secs(10);

/// Reads a data directory beside the node that writes it, at least up to `until`: the recount, and
/// the clicks in the log's order.
pub(super) fn read(data: &Path, until: Cursor) -> anyhow::Result<(Side, Vec<Kept>)> {
    let log = open_up_to(data, until)?;
    let question = Question {
        by: vec![Dimension::Advertiser, Dimension::Campaign],
        ..Question::default()
    };
    let recount = recount::run(&log, &question, |_, _| {})?;
    let mut side = Side {
        name: "recount",
        ..Side::default()
    };
    for (cells, tally) in &recount.groups {
        enter(&mut side, campaign_of(cells), tally);
    }
    Ok((side, kept(&log)?))
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

fn enter(side: &mut Side, campaign: (u32, u64), tally: &Tally) {
    let counts = Outcome::ALL.map(|outcome| (outcome, tally.of(outcome)));
    let counts = counts.into_iter().filter(|(_, count)| *count > 0);
    let outcomes = side.outcomes.get_or_insert_default();
    outcomes.insert(campaign, counts.collect());
    let spend: i128 = tally.spend().values().sum(); // an advertiser has one currency
    if spend != 0 {
        let spend = i64::try_from(spend).unwrap_or(i64::MAX);
        side.spend_micros
            .get_or_insert_default()
            .insert(campaign, spend);
    }
}

/// The clicks of the log in its order. What cannot be read is a difference by its outcome already.
fn kept(log: &ReadOnlyLog) -> anyhow::Result<Vec<Kept>> {
    let mut reader = log.reader(PartitionSet::all(), ReadFrom::Start)?;
    let mut all = Vec::new();
    loop {
        let progress = reader.read(ReadBudget::default(), &mut |record| {
            if let Ok(Record::Click(facts)) = Record::decode(record.facts) {
                all.push(Kept {
                    id: facts.click_id,
                    op: record.personal.and_then(request_of),
                });
            }
        })?;
        if progress.at_end {
            return Ok(all);
        }
    }
}

/// The number of the request, which every generated click carries as its fifth sub-id.
fn request_of(personal: &[u8]) -> Option<u64> {
    let [.., fifth] = Personal::decode(personal).ok()?.subs;
    std::str::from_utf8(fifth?).ok()?.parse().ok()
}
