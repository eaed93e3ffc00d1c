//! What the sides of the product say: the report API over the rollups, and the ledger's books. (The
//! third, the recount by replay, is in `recount`.)

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use jiff::Timestamp;
use serde_json::Value;
use tollgate_click::{Millis, Outcome};
use tollgate_store::ledger::{SqliteLedger, books};
use tollgate_traffic::ask::Asker;
use tollgate_traffic::compare::Side;

use crate::data_dir::DataDir;

/// How long the last minute may take to be posted.
const POSTED_WITHIN: Duration = Duration::from_secs(60);

/// Waits until all that was received before `until` is in the reports and posted.
pub(super) fn wait_until_posted(api: &Asker, until: Millis) -> anyhow::Result<()> {
    let started = Instant::now();
    loop {
        let answer = api.get("/v1/reports?metrics=records&dimensions=")?;
        let complete = answer.get("complete").unwrap_or(&Value::Null);
        let partitions = complete.get("partitions").and_then(Value::as_array);
        if let Some(halt) = partitions
            .into_iter()
            .flatten()
            .find_map(|one| one.get("halt"))
        {
            bail!("a partition has stopped: {halt}");
        }
        let is_past = |name| time(complete.get(name)).is_some_and(|time| time > until);
        if is_past("before") && is_past("posted_before") {
            return Ok(());
        }
        if started.elapsed() > POSTED_WITHIN {
            bail!("the last clicks are not posted after {POSTED_WITHIN:?}: {complete}");
        }
        std::thread::sleep(Duration::from_millis(100));
    }
}

fn time(value: Option<&Value>) -> Option<Millis> {
    let time: Timestamp = value?.as_str()?.parse().ok()?;
    u64::try_from(time.as_millisecond()).ok().map(Millis)
}

/// What the report API says of the time from `from` to `to`.
pub(super) fn report(api: &Asker, from: Millis, to: Millis) -> anyhow::Result<Side> {
    let ask = |what: &str| {
        let time = |at: Millis| {
            let seconds = i64::try_from(at.0 / 60_000 * 60).unwrap_or(i64::MAX);
            Timestamp::from_second(seconds).map(|time| time.to_string())
        };
        let path = format!(
            "/v1/reports?{what}&from={}&to={}&limit=100000",
            time(from)?,
            time(to)?
        );
        let answer = api.get(&path)?;
        let rows = answer.get("rows").and_then(Value::as_array).cloned();
        rows.with_context(|| format!("{path} answers without rows"))
    };
    let mut outcomes: BTreeMap<(u32, u64), BTreeMap<Outcome, u64>> = BTreeMap::new();
    for row in ask("metrics=records&dimensions=advertiser,campaign,outcome")? {
        let name = row
            .get("outcome")
            .and_then(Value::as_str)
            .unwrap_or_default();
        let outcome = Outcome::ALL
            .into_iter()
            .find(|outcome| outcome.name() == name);
        let outcome = outcome.with_context(|| format!("a report names the outcome {name:?}"))?;
        let count = u64::try_from(number(&row, "records")?)?;
        outcomes
            .entry(campaign_of(&row)?)
            .or_default()
            .insert(outcome, count);
    }
    let mut spend = BTreeMap::new();
    for row in ask("metrics=spend&dimensions=advertiser,campaign,currency")? {
        let micros = number(&row, "spend")?;
        if micros != 0 {
            *spend.entry(campaign_of(&row)?).or_default() += micros;
        }
    }
    Ok(Side {
        name: "report",
        outcomes: Some(outcomes),
        spend_micros: Some(spend),
        ..Side::default()
    })
}

fn campaign_of(row: &Value) -> anyhow::Result<(u32, u64)> {
    let (advertiser, campaign) = (number(row, "advertiser")?, number(row, "campaign")?);
    Ok((u32::try_from(advertiser)?, u64::try_from(campaign)?))
}

/// A number, which the API writes as text where a float could not hold it.
fn number(row: &Value, name: &str) -> anyhow::Result<i64> {
    let value = row.get(name).unwrap_or(&Value::Null);
    let number = value.as_i64().or_else(|| value.as_str()?.parse().ok());
    number.with_context(|| format!("a report has no {name}: {row}"))
}

/// What the ledger's canonical export says.
pub(super) fn ledger(data: &Path) -> anyhow::Result<Side> {
    let dir = DataDir::open(data)?;
    let mut ledger = SqliteLedger::open_read_only(&dir.ledger())?;
    let mut text = Vec::new();
    books::write(&mut ledger, &mut text)?;
    let text = String::from_utf8(text).context("the books are no text")?;
    let (mut billed, mut spend, mut owed) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
    for line in text.lines() {
        let fields: Vec<&str> = line.split(',').collect();
        match fields.as_slice() {
            ["campaign", advertiser, campaign, _, clicks, micros] => {
                let campaign = (advertiser.parse()?, campaign.parse()?);
                *billed.entry(campaign).or_default() += clicks.parse::<u64>()?;
                *spend.entry(campaign).or_default() += micros.parse::<i64>()?;
            }
            ["publisher", publisher, currency, micros] => {
                owed.insert((publisher.parse()?, currency.parse()?), micros.parse()?);
            }
            _ => {}
        }
    }
    Ok(Side {
        name: "ledger",
        billed: Some(billed),
        spend_micros: Some(spend),
        owed_micros: Some(owed),
        ..Side::default()
    })
}
