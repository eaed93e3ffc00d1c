//! `tollgate replay`: recorded clicks, sent as real HTTP requests.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use serde_json::{Value, json};
use tollgate_traffic::client::Patience;
use tollgate_traffic::ending::Ending;
use tollgate_traffic::feed::{self, Feed, Rejected, Table};
use tollgate_traffic::load::{self, Options, Pace, RenderError, Summary, Work};

use super::driver;
use crate::exit::Exit;
use crate::output::{self, Global};

/// How long the edge may take to hear of the links that were just written.
const LINKS_WAIT: Duration = Duration::from_secs(10);
/// Pause before a request that was refused for a moment goes again.
const AGAIN_PAUSE: Duration = Duration::from_millis(100);

/// Arguments of `tollgate replay`.
///
/// With `--api` the links are made over the API and then clicked. Without one: first `tollgate
/// replay FILE --write-links LINKS.ndjson`, then `tollgate serve --links LINKS.ndjson`, then
/// `tollgate replay FILE --target URL`. In reports a link is the ad of its number, its short domain
/// the placement.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Exit codes: 0 every click got a receipt (rejected lines are listed); 1 \
                        some did not, or the file's end is missing; 2 usage; 3 the file cannot \
                        be read or the target was never reached."
)]
pub(crate) struct Args {
    /// Recorded clicks: JSON lines, plain or gzipped.
    file: PathBuf,
    /// The edge, such as http://127.0.0.1:8080.
    #[arg(long, value_name = "URL", required_unless_present_any = ["write_links", "api"])]
    target: Option<String>,
    /// Write the links that the clicks need, for `tollgate serve --links`.
    #[arg(long, value_name = "LINKS.ndjson")]
    write_links: Option<PathBuf>,
    #[command(flatten)]
    api: driver::ApiArgs,
    /// How much faster than recorded, or `max`.
    #[arg(long, value_name = "N|max", default_value = "max", value_parser = speed)]
    speed: Speed,
    /// Connections, each with one request at a time.
    #[arg(long, value_name = "N", default_value_t = 16)]
    #[arg(value_parser = clap::value_parser!(u16).range(1..=4_096))]
    connections: u16,
    /// Write what was sent and answered to this file, one JSON line each.
    #[arg(long, value_name = "FILE")]
    history: Option<PathBuf>,
    /// Aim at another machine than this one: its owner wants the clicks.
    #[arg(long)]
    allow_remote: bool,
}

/// How fast.
#[derive(Clone, Copy, PartialEq, Debug)]
enum Speed {
    /// As fast as the answers come.
    Max,
    /// This many times as fast as recorded.
    Times(u32),
}

/// Reads the file, writes the links, sends the clicks: what was asked for.
pub(crate) fn run(args: Args, global: &Global) -> anyhow::Result<Exit> {
    // A wrong target is refused before anything is written.
    let target = match &args.target {
        Some(url) => Some(driver::target(url, args.allow_remote)?),
        None => None,
    };
    let api = args.api.asker(args.allow_remote)?;
    let cannot_read = || format!("cannot read {}", args.file.display());
    let feed = feed::open(&args.file).with_context(cannot_read)?;
    let feed = feed::read(feed).with_context(cannot_read)?;
    let table = Table::of(&feed);
    say_what_was_read(&args.file, &feed, &table);
    if let Some(path) = &args.write_links {
        write_links(path, &table)?;
    }
    if let Some(api) = &api {
        driver::make_table(api, &table, true).context("the links cannot be made")?;
        output::note(format_args!(
            "made {} links over the API",
            table.links.len()
        ));
    }
    let Some(target) = target else {
        return finish(&feed, &table, None, global);
    };
    let history = match &args.history {
        Some(path) => Some(driver::history(path, &target, None)?),
        None => None,
    };
    let links_are_new = args.write_links.is_some() || api.is_some();
    let work = Replay::new(&feed, &table, &target.host, links_are_new);
    let options = Options {
        address: target.address,
        connections: usize::from(args.connections),
        threads: 1,
        pace: pace(args.speed, &feed, &table),
        patience: Patience::default(),
        give_up: Duration::from_secs(3),
    };
    let run = load::start(options, Arc::new(work), history)?;
    let summary = driver::watch(run, global)?;
    finish(&feed, &table, Some(&summary), global)
}

fn say_what_was_read(file: &Path, feed: &Feed, table: &Table) {
    output::note(format_args!(
        "{}: {} clicks on {} links, {} heartbeats, lines rejected: {}",
        file.display(),
        feed.clicks.len(),
        table.links.len(),
        feed.heartbeats,
        feed.rejected.len()
    ));
    for Rejected { line, reason } in &feed.rejected {
        output::note(format_args!("line {line} is rejected: {reason}"));
    }
    for Rejected { line, reason } in &table.refused {
        output::note(format_args!("line {line} cannot become a link: {reason}"));
    }
    if let Some(cut_off) = feed.cut_off {
        let end = cut_off.name();
        output::note(format_args!(
            "the file is {end}: what comes before that point was read"
        ));
    }
}

fn write_links(path: &Path, table: &Table) -> anyhow::Result<()> {
    let lines: Vec<String> = table.lines().iter().map(Value::to_string).collect();
    driver::write_whole(path, &(lines.join("\n") + "\n"))?;
    output::note(format_args!(
        "wrote {} links to {}; start the edge with\n  tollgate serve --data DIR --links {}",
        table.links.len(),
        path.display(),
        path.display()
    ));
    Ok(())
}

fn finish(
    feed: &Feed,
    table: &Table,
    summary: Option<&Summary>,
    global: &Global,
) -> anyhow::Result<Exit> {
    if global.json {
        let lines = |rejected: &[Rejected]| -> Value {
            let one = |r: &Rejected| json!({"line": r.line, "reason": r.reason});
            rejected.iter().map(one).collect()
        };
        let mut object = summary.map_or_else(|| json!({}), driver::to_json);
        if let Some(fields) = object.as_object_mut() {
            fields.insert("clicks".to_owned(), json!(feed.clicks.len()));
            fields.insert("links".to_owned(), json!(table.links.len()));
            fields.insert("heartbeats".to_owned(), json!(feed.heartbeats));
            fields.insert("rejected".to_owned(), lines(&feed.rejected));
            fields.insert("refused_links".to_owned(), lines(&table.refused));
            fields.insert(
                "cut_off".to_owned(),
                json!(feed.cut_off.map(|cut| cut.name())),
            );
        }
        output::print_json(&object)?;
    } else if let Some(summary) = summary {
        output::print(&driver::to_text(summary))?;
    }
    let read = if feed.cut_off.is_some() {
        Exit::Problems
    } else {
        Exit::Fine
    };
    Ok(match summary {
        // A click without a receipt is a problem here, whatever the reason.
        Some(summary) if driver::exit_of(summary) == Exit::Environment => Exit::Environment,
        Some(summary) if summary.receipts < summary.planned => Exit::Problems,
        _ => read,
    })
}

fn pace(speed: Speed, feed: &Feed, table: &Table) -> Pace {
    let clicks = feed
        .clicks
        .iter()
        .filter(|click| table.link_of(click).is_some());
    let Speed::Times(times) = speed else {
        return Pace::Closed {
            total: Some(clicks.count() as u64),
            duration: None,
        };
    };
    // The file is in the order of arrival, not of time: a click that was late keeps its place.
    let first_s = clicks
        .clone()
        .find_map(|click| click.at_s)
        .unwrap_or_default();
    let mut due = Duration::ZERO;
    let due = clicks.map(|click| {
        let after_s = click.at_s.unwrap_or_default().saturating_sub(first_s);
        due = due.max(Duration::from_secs(after_s) / times.max(1));
        due
    });
    Pace::Timed(due.collect())
}

/// The clicks as requests, in the order of the file.
struct Replay {
    requests: Vec<Vec<u8>>,
    /// Until when an unknown link may still become known.
    links_expected_until: Option<Instant>,
}

impl Replay {
    fn new(feed: &Feed, table: &Table, host: &str, links_are_new: bool) -> Replay {
        let request = |click: &feed::FeedClick| {
            let link = table.link_of(click)?;
            Some(click.request(link, host))
        };
        let now = Instant::now();
        Replay {
            requests: feed.clicks.iter().filter_map(request).collect(),
            links_expected_until: links_are_new.then(|| now + LINKS_WAIT),
        }
    }
}

impl Work for Replay {
    fn render(&self, op: u64, out: &mut Vec<u8>) -> Result<bool, RenderError> {
        let request = usize::try_from(op)
            .ok()
            .and_then(|op| self.requests.get(op));
        let request = request.ok_or_else(|| RenderError {
            op,
            reason: "the file has no such click".to_owned(),
        })?;
        out.extend_from_slice(request);
        Ok(false)
    }

    /// Nothing was recorded, so nothing can be counted twice.
    fn again(&self, _op: u64, ending: Ending) -> Option<Duration> {
        let again = match ending {
            Ending::Refused(404) => {
                let until = self.links_expected_until?;
                Instant::now() < until
            }
            Ending::NotSent => true,
            _ => false,
        };
        again.then_some(AGAIN_PAUSE)
    }
}

fn speed(text: &str) -> Result<Speed, String> {
    if text == "max" {
        return Ok(Speed::Max);
    }
    match text.parse() {
        Ok(times) if times >= 1 => Ok(Speed::Times(times)),
        _ => Err("the speed is a whole number from 1 on, or max".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn feed(times: &[u64]) -> Feed {
        let line = |at: &u64| {
            format!("{{\"h\":\"x\",\"hh\":\"y.example\",\"u\":\"http://z.example/\",\"t\":{at}}}")
        };
        let lines: Vec<String> = times.iter().map(line).collect();
        feed::read(lines.join("\n").as_bytes()).unwrap()
    }

    #[test]
    fn a_late_line_keeps_its_place() {
        let feed = feed(&[1000, 1010, 990, 1030]);
        let pace = pace(Speed::Times(10), &feed, &Table::of(&feed));
        let seconds = |ms| Duration::from_millis(ms);
        assert_eq!(
            pace,
            Pace::Timed(vec![
                seconds(0),
                seconds(1000),
                seconds(1000),
                seconds(3000)
            ])
        );
    }

    #[test]
    fn the_speed_is_a_number_or_max() {
        assert_eq!(speed("max"), Ok(Speed::Max));
        assert_eq!(speed("60"), Ok(Speed::Times(60)));
        for wrong in ["0", "-1", "1.5", "fast", ""] {
            assert!(speed(wrong).is_err(), "{wrong}");
        }
    }
}
