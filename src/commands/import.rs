//! `tollgate import`: history with its own event times, sent as batches.

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::Context as _;
use indicatif::ProgressBar;
use serde_json::{Value, json};
use tollgate_click::Country;
use tollgate_click::limits::{AGENT_BYTES_MAX, REFERRER_BYTES_MAX};
use tollgate_traffic::ask::{AskError, Asker};
use tollgate_traffic::feed::{self, Feed, FeedClick, LinkLine, Rejected, Table, address_of};

use super::driver;
use crate::exit::{Exit, usage};
use crate::output::{self, Global};

/// Events of one batch: their bytes stay well below what an edge takes at once.
const BATCH_ITEMS: usize = 250;

/// Arguments of `tollgate import`.
///
/// Takes the files that `tollgate replay` takes. Each click is reported at the time at which it
/// happened, touches no nonce and no budget, and is never billed. What was sent twice is counted
/// twice: history has no ids.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Exit codes: 0 every click was recorded (rejected lines are listed); 1 some \
                        were not, or the file's end is missing; 2 usage; 3 the file cannot be \
                        read or the edge does not answer."
)]
pub(crate) struct Args {
    /// Recorded clicks: JSON lines, plain or gzipped.
    file: PathBuf,
    /// The edge, such as http://127.0.0.1:8080.
    #[arg(long, value_name = "URL")]
    target: String,
    /// An ingest token, or @FILE that holds it; with an API one is made and revoked after.
    #[arg(long, value_name = "TOKEN|@FILE", required_unless_present = "api")]
    token: Option<String>,
    #[command(flatten)]
    api: driver::ApiArgs,
    /// Aim at another machine than this one: its owner wants the clicks.
    #[arg(long)]
    allow_remote: bool,
}

/// What came of the events.
#[derive(Default)]
struct Sent {
    sent: u64,
    recorded: u64,
    /// By the edge's reason.
    refused: BTreeMap<String, u64>,
}

/// Reads the file, makes what its clicks name, sends them.
pub(crate) fn run(args: Args, global: &Global) -> anyhow::Result<Exit> {
    let target = driver::target(&args.target, args.allow_remote)?;
    let api = args.api.asker(args.allow_remote)?;
    let cannot_read = || format!("cannot read {}", args.file.display());
    let feed = feed::open(&args.file).with_context(cannot_read)?;
    let feed = feed::read(feed).with_context(cannot_read)?;
    let table = Table::of(&feed);
    let (events, timeless) = events(&feed, &table);
    for Rejected { line, reason } in feed.rejected.iter().chain(&table.refused).chain(&timeless) {
        output::note(format_args!("line {line} is rejected: {reason}"));
    }
    if let Some(api) = &api {
        driver::make_table(api, &table, false).context("the campaigns cannot be made")?;
    }
    let (token, made) = token(&args, api.as_ref())?;
    let edge = Asker {
        address: target.address,
        token: Some(token),
    };
    let sent = send(&edge, &events, global);
    if let (Some(api), Some(number)) = (&api, made) {
        api.json("DELETE", &format!("/v1/tokens/{number}"), "", &[])
            .or_else(fine_if_empty)?;
    }
    finish(&feed, &table, &timeless, &sent?, global)
}

/// The events of a file, and the clicks that have no time.
fn events(feed: &Feed, table: &Table) -> (Vec<Value>, Vec<Rejected>) {
    let (mut events, mut timeless) = (Vec::new(), Vec::new());
    for click in &feed.clicks {
        match (table.link_of(click), click.at_s) {
            (Some(link), Some(at_s)) => events.push(event(click, link, at_s)),
            (Some(_), None) => timeless.push(Rejected {
                line: click.line,
                reason: "it has no time".to_owned(),
            }),
            (None, _) => {} // told with the table
        }
    }
    (events, timeless)
}

fn event(click: &FeedClick, link: &LinkLine, at_s: u64) -> Value {
    let country = click.country.as_deref();
    let country = country.filter(|country| country.parse::<Country>().is_ok());
    json!({
        "type": "click",
        "advertiser": link.advertiser,
        "campaign": link.advertiser,
        "ad": link.number,
        "publisher": link.publisher,
        "placement": link.placement,
        "event_time": at_s.saturating_mul(1000),
        "ip": address_of(click).to_string(),
        "country": country,
        "user_agent": cut(&click.agent, AGENT_BYTES_MAX),
        "referrer": cut(click.referrer.as_deref().unwrap_or_default(), REFERRER_BYTES_MAX),
    })
}

/// No more than an edge keeps.
fn cut(text: &str, bytes_max: usize) -> &str {
    text.get(..text.floor_char_boundary(bytes_max))
        .unwrap_or(text)
}

/// The token to send with, and its number when it was made for this.
fn token(args: &Args, api: Option<&Asker>) -> anyhow::Result<(String, Option<u64>)> {
    if let Some(given) = &args.token {
        let token = match given.strip_prefix('@') {
            Some(path) => std::fs::read_to_string(path)
                .map_err(|error| usage(format!("--token {given}: {error}")))?,
            None => given.clone(),
        };
        return Ok((token.trim().to_owned(), None));
    }
    let api = api.context("neither a token nor an API was named")?;
    let made = api
        .post("/v1/tokens", &json!({}), None)
        .context("no token can be made")?;
    let secret = made.get("secret").and_then(Value::as_str);
    let secret = secret.context("the API made a token and does not tell it")?;
    Ok((secret.to_owned(), made.get("token").and_then(Value::as_u64)))
}

/// A deletion answers nothing, which is no JSON.
fn fine_if_empty(error: AskError) -> Result<Value, AskError> {
    match error {
        AskError::Garbled { .. } => Ok(Value::Null),
        other => Err(other),
    }
}

fn send(edge: &Asker, events: &[Value], global: &Global) -> anyhow::Result<Sent> {
    let bar = bar(events.len(), global);
    let mut sent = Sent::default();
    for batch in events.chunks(BATCH_ITEMS) {
        let answer = edge.post("/v1/events", &json!(batch), None);
        let answer = answer.with_context(|| {
            format!(
                "{} of {} events were recorded; of the next {} it is not known",
                sent.recorded,
                events.len(),
                batch.len()
            )
        })?;
        let results = answer.get("results").and_then(Value::as_array);
        for result in results.into_iter().flatten() {
            sent.sent += 1;
            match result.get("status").and_then(Value::as_str).unwrap_or("?") {
                "recorded" => sent.recorded += 1,
                reason => *sent.refused.entry(reason.to_owned()).or_default() += 1,
            }
        }
        bar.inc(batch.len() as u64);
    }
    bar.finish_and_clear();
    Ok(sent)
}

fn bar(events: usize, global: &Global) -> ProgressBar {
    if !global.progress() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new(events as u64);
    let template = "{bar:32.cyan/blue} {human_pos}/{human_len} events  {rate}  {eta} left";
    bar.with_style(output::bar_style(template))
}

fn finish(
    feed: &Feed,
    table: &Table,
    timeless: &[Rejected],
    sent: &Sent,
    global: &Global,
) -> anyhow::Result<Exit> {
    if global.json {
        let lines: Vec<u64> = feed.rejected.iter().map(|one| one.line).collect();
        let unlinked = table.refused.iter().chain(timeless);
        let unlinked: Vec<u64> = unlinked.map(|one| one.line).collect();
        output::print_json(&json!({
            "clicks": feed.clicks.len(),
            "sent": sent.sent,
            "recorded": sent.recorded,
            "refused": sent.refused,
            "heartbeats": feed.heartbeats,
            "rejected_lines": lines,
            "refused_lines": unlinked,
            "cut_off": feed.cut_off.map(|cut| cut.name()),
        }))?;
    } else {
        let mut text = format!("sent {}, recorded {}\n", sent.sent, sent.recorded);
        for (reason, count) in &sent.refused {
            text.push_str(&format!("refused as {reason}: {count}\n"));
        }
        output::print(&text)?;
    }
    let all = feed.cut_off.is_none() && sent.recorded == sent.sent;
    Ok(if all { Exit::Fine } else { Exit::Problems })
}
