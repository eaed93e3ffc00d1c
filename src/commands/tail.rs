//! `tollgate tail`: clicks as they come, with how each ended.

use std::io::Write as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use serde_json::json;
use tollgate_click::Ordinal;
use tollgate_log::{RealDisk, SegmentLog};
use tollgate_process::{Effect, Ending, Kind};

use crate::data_dir::DataDir;
use crate::exit::Exit;
use crate::output::{self, ClosedOutput, Global};
use crate::recount::dimension::show_time;
use crate::worker::{Follower, Seen};

/// How often the log is looked at for more.
const LOOK: Duration = Duration::from_millis(200);

/// Arguments of `tollgate tail`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Works beside a live server, changes nothing, and ends with Ctrl-C or when nobody \
                        reads any more. Beside a live server a click shows within about a second. \
                        With --json: one object a line. Exit codes: 0 fine, 2 usage, 3 the log \
                        cannot be read or a partition halts."
)]
pub(crate) struct Args {
    /// The data directory.
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    /// First show the last clicks that are there already, so many of each partition; this replays
    /// the whole log.
    #[arg(long, value_name = "N", default_value_t = 0)]
    last: usize,
    /// Stop at the end of the log instead of waiting for more.
    #[arg(long)]
    no_follow: bool,
    /// Only clicks of this advertiser.
    #[arg(long, value_name = "NUMBER")]
    advertiser: Option<u32>,
    /// Only clicks of this campaign.
    #[arg(long, value_name = "NUMBER")]
    campaign: Option<u64>,
}

/// Shows them.
pub(crate) fn run(args: Args, global: &Global) -> anyhow::Result<Exit> {
    let dir = DataDir::open(&args.data)?;
    let log = SegmentLog::open_readonly(Arc::new(RealDisk), &dir.log())
        .context("the log cannot be opened")?;
    let objects = dir.objects();
    // Without them, as little as can be is replayed before the first new one.
    let lowest = if args.last > 0 { 0 } else { u64::MAX };
    let mut follower = Follower::open(&log, &objects, |_| Ordinal(lowest))?;
    // Up to here nothing is new; the last of it may be wanted all the same.
    let mut old: Vec<std::collections::VecDeque<String>> = Vec::new();
    old.resize_with(usize::from(log.partitions()), Default::default);
    loop {
        let at_end = follower.step(|seen| {
            let Some(line) = line(&args, global, &seen) else {
                return Ok(());
            };
            if let Some(kept) = old.get_mut(usize::from(seen.partition.get())) {
                kept.push_back(line);
                if kept.len() > args.last {
                    kept.pop_front();
                }
            }
            Ok(())
        })?;
        if at_end {
            break;
        }
    }
    let shown = old.into_iter().flatten().try_for_each(|line| put(&line));
    ended(shown.and_then(|()| follow(&args, global, &log, follower)))
}

fn follow(
    args: &Args,
    global: &Global,
    log: &tollgate_log::ReadOnlyLog,
    mut follower: Follower,
) -> anyhow::Result<()> {
    if args.no_follow {
        return Ok(());
    }
    loop {
        log.refresh().context("the log cannot be read")?;
        let at_end =
            follower.step(|seen| line(args, global, &seen).map_or(Ok(()), |one| put(&one)))?;
        if at_end {
            std::thread::sleep(LOOK);
        }
    }
}

/// Who has seen enough closes the pipe.
fn ended(done: anyhow::Result<()>) -> anyhow::Result<Exit> {
    match done {
        Err(error) if error.is::<ClosedOutput>() => Ok(Exit::Fine),
        done => done.map(|()| Exit::Fine),
    }
}

fn put(line: &str) -> anyhow::Result<()> {
    output::print(line)?;
    std::io::stdout().flush().unwrap_or_default();
    Ok(())
}

/// A click's line; none for what is no click, or not wanted.
fn line(args: &Args, global: &Global, seen: &Seen<'_>) -> Option<String> {
    let Effect::Ended(ending) = &seen.effects.effect else {
        return None;
    };
    let facts = &ending.facts;
    let wanted = args.advertiser.is_none_or(|one| facts.advertiser.0 == one)
        && args.campaign.is_none_or(|one| facts.campaign.0 == one);
    wanted.then(|| match global.json {
        true => format!("{}\n", as_json(seen, ending)),
        false => as_text(ending),
    })
}

fn as_json(seen: &Seen<'_>, ending: &Ending) -> serde_json::Value {
    let (facts, judgement) = (&ending.facts, &ending.judgement);
    let checks = ending
        .hits
        .iter()
        .map(|rule| json!({ "rule": rule.name, "version": rule.version }));
    json!({
        "event": kind(ending),
        "click": facts.click_id.to_string(),
        "received_at": show_time(facts.received_at()),
        "received_at_ms": facts.received_at().0,
        "partition": seen.partition.get(),
        "ordinal": judgement.ordinal.0,
        "advertiser": facts.advertiser.0,
        "campaign": facts.campaign.0,
        "ad": facts.ad.0,
        "publisher": facts.publisher.0,
        "placement": facts.placement.0,
        "country": facts.country.code().map(|_| facts.country.to_string()),
        "agent_class": facts.agent_class.name(),
        "outcome": judgement.outcome.name(),
        "reason": ending.reason.map(|reason| reason.name()),
        "checks": checks.collect::<Vec<_>>(),
        "charge_micros": judgement.charge.0,
        "currency": judgement.currency.map(|currency| currency.to_string()),
    })
}

fn as_text(ending: &Ending) -> String {
    let (facts, judgement) = (&ending.facts, &ending.judgement);
    let reason = ending
        .reason
        .map_or(String::new(), |reason| format!(" ({})", reason.name()));
    let price = match judgement.currency.filter(|_| judgement.charge.0 != 0) {
        Some(currency) => format!(" {} {currency}", judgement.charge),
        None => String::new(),
    };
    format!(
        "{} {} {} advertiser {} campaign {} publisher {} {}{reason}{price}\n",
        show_time(facts.received_at()),
        kind(ending),
        facts.click_id,
        facts.advertiser,
        facts.campaign,
        facts.publisher,
        judgement.outcome.name(),
    )
}

fn kind(ending: &Ending) -> &'static str {
    match ending.kind {
        Kind::Click => "click",
        Kind::Impression => "impression",
    }
}
