//! The rotating list of requests: signed links with the agents and referrers of real clicks.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

/// More distinct links than fit into a processor's caches, and than a short run clicks.
const LINKS: u32 = 262_144;
/// One hour of real clicks, beside the checkout; never committed.
const REAL: &str = "../shared/data/redirect-clicks-2013-01-01.jsonl.gz";

/// What a bench needs to send and to start a server with.
pub(super) struct Links {
    /// One line a request: path, agent, referrer, language.
    pub(super) requests: PathBuf,
    pub(super) keys: PathBuf,
    pub(super) links: PathBuf,
    pub(super) campaigns: PathBuf,
    /// Whose texts they are.
    pub(super) texts: &'static str,
}

struct Visitor {
    agent: String,
    referrer: String,
    language: String,
}

/// Makes the list in `folder` with the mint that was built beside the binary.
pub(super) fn make(root: &Path, folder: &Path, mint: &Path) -> Result<Links> {
    let now_ms = Command::new("date").arg("+%s%3N").output()?;
    let now_ms = String::from_utf8_lossy(&now_ms.stdout).trim().to_owned();
    let output = Command::new(mint)
        .args(["mint", "--count", &LINKS.to_string(), "--now-ms", &now_ms])
        .arg(folder)
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .with_context(|| mint.display().to_string())?;
    ensure!(
        output.status.success(),
        "no links were minted: {}",
        output.status
    );
    let paths = String::from_utf8(output.stdout)?;
    let (visitors, texts) = visitors(root)?;
    let mut list = String::new();
    for (path, visitor) in paths.lines().zip(visitors.iter().cycle()) {
        let Visitor {
            agent,
            referrer,
            language,
        } = visitor;
        list += &format!("{path}\t{agent}\t{referrer}\t{language}\n");
    }
    ensure!(
        list.lines().count() >= LINKS as usize,
        "too few links were minted"
    );
    let requests = folder.join("requests.tsv");
    fs::write(&requests, list)?;
    let at = |name: &str| folder.join(name);
    let (keys, links) = (at("keys.ndjson"), at("links.ndjson"));
    Ok(Links {
        requests,
        keys,
        links,
        campaigns: at("campaigns.ndjson"),
        texts,
    })
}

fn visitors(root: &Path) -> Result<(Vec<Visitor>, &'static str)> {
    let real = root.join(REAL);
    if !real.is_file() {
        return Ok((
            made_up(),
            "made up (the real clicks are not beside this checkout)",
        ));
    }
    let output = Command::new("gzip")
        .arg("-dc")
        .arg(&real)
        .output()
        .context("gzip")?;
    let text = String::from_utf8_lossy(&output.stdout);
    let visitors: Vec<Visitor> = text.lines().filter_map(visitor).collect();
    ensure!(
        visitors.len() > 1000,
        "{} does not hold the clicks",
        real.display()
    );
    Ok((visitors, "an hour of real clicks"))
}

fn visitor(line: &str) -> Option<Visitor> {
    let click: Value = serde_json::from_str(line).ok()?;
    let text = |key: &str| {
        let value = click.get(key).and_then(Value::as_str).unwrap_or_default();
        // A header cannot hold these, nor a line of the list.
        value
            .chars()
            .filter(|letter| letter.is_ascii() && !letter.is_ascii_control())
            .collect()
    };
    let agent: String = click.get("a").map(|_| text("a"))?;
    let referrer: String = text("r");
    let referrer = if referrer == "direct" {
        String::new()
    } else {
        referrer
    };
    Some(Visitor {
        agent,
        referrer,
        language: text("al"),
    })
}

fn made_up() -> Vec<Visitor> {
    let visitor = |number: u32| Visitor {
        agent: format!(
            "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) \
             Chrome/{}.0.0.0 Safari/537.36",
            100 + number % 40
        ),
        referrer: format!("https://news.example/world/story-{number}.html"),
        language: "en-US,en;q=0.9".to_owned(),
    };
    (0..1200).map(visitor).collect()
}
