//! `tollgate click ID`: the whole story of one click.

use std::fmt::Write as _;
use std::path::PathBuf;

use anyhow::Context;
use serde_json::{Map, Value, json};
use tollgate_click::{ClickId, Personal, Source};
use tollgate_store::lake::{Found, Lake};
use tollgate_store::story::{self, Booked, Proven, Standing};

use super::ledger;
use crate::data_dir::DataDir;
use crate::exit::Exit;
use crate::output::{self, Global};
use crate::recount::dimension::show_time;

/// Arguments of `tollgate click`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Works beside a live server and without one, and changes nothing. A click is in \
                        the lake within two minutes. Exit codes: 0 found, 1 not found or not \
                        proved, 2 usage, 3 the data cannot be read."
)]
pub(crate) struct Args {
    /// The click's id: the `Click-Id` of its receipt.
    #[arg(value_name = "ID")]
    id: ClickId,
    /// The data directory.
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    /// Show the personal part too: address, agent, referrer.
    #[arg(long)]
    personal: bool,
}

/// Tells it.
pub(crate) fn run(args: Args, global: &Global) -> anyhow::Result<Exit> {
    let dir = DataDir::open(&args.data)?;
    let lake = Lake::new(dir.objects());
    let found = lake.find(args.id).context("the lake cannot be read")?;
    if found.is_empty() {
        let parts = args.id.parts();
        let (at, partition) = (show_time(parts.received_at), parts.partition);
        match global.json {
            true => output::print_json(&json!({ "click": args.id.to_string(), "found": false }))?,
            false => output::print(&format!(
                "not found: the id is of {at}, partition {partition}; a click that was just made \
                 is in the lake within two minutes\n"
            ))?,
        }
        return Ok(Exit::Problems);
    }
    let mut books = ledger::open(&args.data)?.context("the ledger is not sound")?;
    let mut stories = Vec::new();
    for one in found {
        let booked = story::booked(&lake, &mut books, &one.row)?;
        stories.push((one, booked));
    }
    if global.json {
        let records = stories
            .iter()
            .map(|(found, booked)| record(found, booked, args.personal));
        let records: Vec<Value> = records.collect();
        let object = json!({ "click": args.id.to_string(), "found": true, "records": records });
        output::print_json(&object)?;
    } else {
        for (found, booked) in &stories {
            output::print(&tell(found, booked, args.personal))?;
        }
    }
    let unproved = stories.iter().any(|(_, booked)| is_wrong(booked));
    Ok(if unproved { Exit::Problems } else { Exit::Fine })
}

fn is_wrong(booked: &Booked) -> bool {
    matches!(booked, Booked::Posted(standing) if matches!(standing.proof, Proven::No(_)))
}

/// One record of the id: there are more when a transport repeated it.
fn record(found: &Found, booked: &Booked, personal: bool) -> Value {
    let (facts, judgement) = (&found.row.facts, &found.row.judgement);
    let parts = facts.click_id.parts();
    let currency = judgement.currency.map(|currency| currency.to_string());
    let mut object = json!({
        "event": found.row.event.name(),
        "received_at": show_time(facts.received_at()),
        "received_at_ms": facts.received_at().0,
        "reported_minute": facts.reported_at().minute().0,
        "partition": parts.partition.get(),
        "edge": parts.edge.get(),
        "ordinal": judgement.ordinal.0,
        "file": found.file,
        "file_row": found.file_row,
        "source": source(&facts.source),
        "advertiser": facts.advertiser.0,
        "campaign": facts.campaign.0,
        "ad": facts.ad.0,
        "publisher": facts.publisher.0,
        "placement": facts.placement.0,
        "agent_class": facts.agent_class.name(),
        "country": facts.country.code().map(|_| facts.country.to_string()),
        "test": facts.test,
        "control": facts.control.0,
        "checks": checks(&found.row.hits),
        "outcome": judgement.outcome.name(),
        "reason": (!found.row.reason.is_empty()).then_some(&found.row.reason),
        "charge_micros": judgement.charge.0,
        "publisher_share_micros": judgement.share.0,
        "currency": currency,
        "ledger": ledger_json(booked),
    });
    if let Some(object) = object.as_object_mut()
        && personal
    {
        object.insert("personal".to_owned(), personal_json(found));
    }
    object
}

fn source(source: &Source) -> Value {
    match source {
        Source::Signed {
            key,
            nonce,
            window_s,
            price,
        } => json!({
            "kind": "signed", "key": key.0, "nonce": nonce.to_string(), "window_s": window_s,
            "price_micros": price.map(|price| price.0),
        }),
        Source::Registered { link } => json!({ "kind": "registered", "link": link.0 }),
        Source::Imported { event_time } => {
            json!({ "kind": "imported", "event_time": show_time(*event_time) })
        }
    }
}

/// `name/version/class`, with commas between them.
fn checks(hits: &str) -> Vec<Value> {
    let hits = hits.split(',').filter(|hit| !hit.is_empty());
    let check = |hit: &str| {
        let mut words = hit.split('/');
        let rule = words.next().unwrap_or_default();
        let version = words.next().and_then(|word| word.parse::<u16>().ok());
        json!({ "rule": rule, "version": version, "class": words.next() })
    };
    hits.map(check).collect()
}

fn ledger_json(booked: &Booked) -> Value {
    let standing = match booked {
        Booked::Nothing => return json!({ "state": "nothing_to_post" }),
        Booked::Pending => return json!({ "state": "pending" }),
        Booked::Posted(standing) => standing,
    };
    let mut object = json!({
        "state": "posted",
        "partition": standing.partition.get(),
        "posting": standing.number,
        "posting_hash": standing.hash.to_string(),
        "minute": standing.minute.0,
        "line": standing.line,
        "account": standing.entry.account.to_string(),
        "line_amount_micros": standing.entry.amount.0,
        "line_clicks": standing.entry.clicks.map(|clicks| clicks.count),
        "root": standing.entry.clicks.map(|clicks| clicks.root.to_string()),
    });
    if let Some(object) = object.as_object_mut() {
        object.extend(proof_json(standing));
    }
    object
}

fn proof_json(standing: &Standing) -> Map<String, Value> {
    let told = match &standing.proof {
        Proven::Yes { leaf, proof } => json!({
            "proved": true,
            "leaf": leaf.to_string(),
            "leaf_index": proof.index,
            "path": proof.path.iter().map(ToString::to_string).collect::<Vec<_>>(),
        }),
        Proven::Later => json!({ "proved": null, "why": "the lake has not all of its line yet" }),
        Proven::No(why) => json!({ "proved": false, "why": why }),
    };
    told.as_object().cloned().unwrap_or_default()
}

fn personal_json(found: &Found) -> Value {
    let part = found
        .personal
        .as_ref()
        .and_then(|stored| stored.part.as_deref());
    let Some(Ok(personal)) = part.map(Personal::decode) else {
        return Value::Null;
    };
    json!({
        "address": personal.address.map(|address| address.to_string()),
        "agent": String::from_utf8_lossy(personal.agent),
        "referrer": String::from_utf8_lossy(personal.referrer),
        "language": String::from_utf8_lossy(personal.language),
    })
}

/// The same for people: a line a station.
fn tell(found: &Found, booked: &Booked, personal: bool) -> String {
    let (facts, judgement) = (&found.row.facts, &found.row.judgement);
    let parts = facts.click_id.parts();
    let mut text = format!("{} {}\n", found.row.event.name(), facts.click_id);
    // Writing to a string cannot fail.
    let mut line = |name: &str, told: String| {
        writeln!(text, "  {name:<9} {told}").unwrap_or_default();
    };
    let at = show_time(facts.received_at());
    let minute = show_time(facts.reported_at().minute().start());
    line(
        "received",
        format!("{at} by edge {}, reported in {minute}", parts.edge),
    );
    let (partition, ordinal) = (parts.partition, judgement.ordinal);
    line("log", format!("partition {partition}, record {ordinal}"));
    line("lake", format!("{} row {}", found.file, found.file_row));
    let (advertiser, campaign, ad) = (facts.advertiser, facts.campaign, facts.ad);
    let (publisher, placement) = (facts.publisher, facts.placement);
    line(
        "link",
        format!(
            "{}; advertiser {advertiser}, campaign {campaign}, ad {ad}, publisher {publisher}, \
             placement {placement}",
            source_words(&facts.source)
        ),
    );
    line(
        "visitor",
        format!("{}, country {}", facts.agent_class.name(), facts.country),
    );
    let hits = match found.row.hits.as_str() {
        "" => "no rule hit".to_owned(),
        hits => format!("hit: {}", hits.replace(',', ", ")),
    };
    line("checks", hits);
    let reason = match found.row.reason.as_str() {
        "" => String::new(),
        reason => format!(", because of {reason}"),
    };
    line("outcome", format!("{}{reason}", judgement.outcome.name()));
    let currency = judgement
        .currency
        .map_or(String::new(), |currency| format!(" {currency}"));
    line(
        "price",
        format!(
            "{}{currency}, of it the publisher's {}",
            judgement.charge, judgement.share
        ),
    );
    line("ledger", ledger_words(booked));
    if personal {
        line("personal", personal_json(found).to_string());
    }
    text
}

fn source_words(source: &Source) -> String {
    match source {
        Source::Signed { key, nonce, .. } => format!("signed by key {key}, nonce {nonce}"),
        Source::Registered { link } => format!("registered link {link}"),
        Source::Imported { event_time } => format!("imported, made {}", show_time(*event_time)),
    }
}

fn ledger_words(booked: &Booked) -> String {
    let standing = match booked {
        Booked::Nothing => return "nothing to post".to_owned(),
        Booked::Pending => return "pending: its minute is not posted yet".to_owned(),
        Booked::Posted(standing) => standing,
    };
    let proof = match &standing.proof {
        Proven::Yes { proof, .. } => format!(
            "proved as leaf {} of {} by {} hashes",
            proof.index,
            proof.leaves,
            proof.path.len()
        ),
        Proven::Later => "to be proved when the lake has all of its line".to_owned(),
        Proven::No(why) => format!("NOT PROVED: {why}"),
    };
    let minute = show_time(standing.minute.start());
    let account = standing.entry.account;
    format!(
        "partition {}, posting {} of minute {minute}, line {} ({account}); {proof}",
        standing.partition, standing.number, standing.line
    )
}
