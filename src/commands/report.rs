//! `tollgate report`: prints what clicks come to, from the rollups and the end of the log, or by
//! recounting the whole log through the core.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use indicatif::{ProgressBar, ProgressStyle};
use jiff::Timestamp;
use tollgate_click::Millis;
use tollgate_log::{Cursor, ReadOnlyLog, RealDisk, SegmentLog};

use crate::data_dir::DataDir;
use crate::exit::Exit;
use crate::output::{self, Global};
use crate::recount::dimension::Dimension;
use crate::recount::{self, Question, Recount, rollups};

mod render;

/// Arguments of `tollgate report`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Works beside a live server and without one, and changes nothing. It reads the \
                        rollups and replays what came after them; --recount replays everything, \
                        as does --by link and a time within a minute. Times are UTC and those \
                        of the report: when a click was received, or its event time for an import. \
                        Exit codes: 0 fine, 2 usage, 3 the log cannot be read, its start is gone, \
                        or a partition halts."
)]
pub(crate) struct Args {
    /// The data directory.
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    /// Count by these, separated by commas.
    #[arg(long, value_enum, value_delimiter = ',', value_name = "DIMENSIONS")]
    by: Vec<Dimension>,
    /// Only clicks from this time on, such as 2026-11-23 or 2026-11-23T10:00:00Z.
    #[arg(long, value_name = "TIME", value_parser = time)]
    from: Option<Millis>,
    /// Only clicks before this time.
    #[arg(long, value_name = "TIME", value_parser = time)]
    to: Option<Millis>,
    /// Recount the whole log through the core instead of reading the rollups.
    #[arg(long)]
    recount: bool,
    /// Print comma-separated values.
    #[arg(long, conflicts_with = "json")]
    csv: bool,
}

/// Recounts and prints.
pub(crate) fn run(args: Args, global: &Global) -> anyhow::Result<Exit> {
    if let (Some(from), Some(to)) = (args.from, args.to)
        && from >= to
    {
        return Err(crate::exit::usage("--from must lie before --to"));
    }
    let question = Question {
        by: args.by,
        from: args.from,
        to: args.to,
    };
    let recount = if args.recount || !rollups::can_answer(&question) {
        of_data_dir(&args.data, &question, global)?
    } else {
        of_rollups(&args.data, &question)?
    };
    let text = if global.json {
        render::json(&question, &recount)?
    } else if args.csv {
        render::csv(&question, &recount)
    } else {
        render::table(&question, &recount, global.color_stdout())
    };
    output::print(&text)?;
    Ok(Exit::Fine)
}

/// From the rollups, and the end of the log that they do not have yet.
fn of_rollups(data: &Path, question: &Question) -> anyhow::Result<Recount> {
    let dir = DataDir::open(data)?;
    let log = SegmentLog::open_readonly(Arc::new(RealDisk), &dir.log())
        .context("the log cannot be opened")?;
    if dir.is_in_use() {
        see_last_receipts(&log)?;
    }
    rollups::answer(&log, dir.objects(), question)
}

/// Recounts a data directory, with a bar on a terminal.
pub(crate) fn of_data_dir(
    data: &Path,
    question: &Question,
    global: &Global,
) -> anyhow::Result<Recount> {
    let dir = DataDir::open(data)?;
    let log = SegmentLog::open_readonly(Arc::new(RealDisk), &dir.log())
        .context("the log cannot be opened")?;
    if dir.is_in_use() {
        see_last_receipts(&log)?;
    }
    let bar = bar(log.durable(), global);
    let recount = recount::run(&log, question, |position, records| {
        bar.set_position(position);
        bar.set_message(format!("{records} records"));
    });
    bar.finish_and_clear();
    recount
}

/// Beside a live writer the last block is known to be durable when another one stands behind it,
/// which a tick sees to within a second. So every click with a receipt from before the report
/// is in it.
fn see_last_receipts(log: &ReadOnlyLog) -> anyhow::Result<()> {
    let before = log.durable();
    for _ in 0..15 {
        if log.refresh().context("the log cannot be read")? > before {
            break;
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    Ok(())
}

/// The log's cursor is all that is known of how far it is; it rises evenly enough.
fn bar(end: Cursor, global: &Global) -> ProgressBar {
    if !global.progress() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new(end.position);
    let style = ProgressStyle::with_template("{bar:40} {msg}, {elapsed} gone, {eta} left");
    bar.with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}

fn time(text: &str) -> Result<Millis, String> {
    let day = format!("{text}T00:00:00Z").parse::<Timestamp>();
    let timestamp = day.or_else(|_| text.parse::<Timestamp>()).ok();
    let ms = timestamp.and_then(|time| u64::try_from(time.as_millisecond()).ok());
    let wrong = || "a time is a day such as 2026-11-23 or an instant such as 2026-11-23T10:00:00Z";
    ms.map(Millis).ok_or_else(|| wrong().to_owned())
}
