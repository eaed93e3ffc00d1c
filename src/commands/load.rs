//! `tollgate load`: open-loop load with its own history.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use serde::Deserialize;
use serde_json::json;
use tollgate_click::{AdvertiserId, CampaignId, KeyId};
use tollgate_link::Secret;
use tollgate_traffic::client::Patience;
use tollgate_traffic::fresh::{Fresh, Links, Signer};
use tollgate_traffic::load::{self, Options, Pace};

use super::driver;
use crate::exit::{Exit, usage};
use crate::output::{self, Global};
use crate::span;

/// Arguments of `tollgate load`.
///
/// With `--rate` the time of each request is fixed beforehand and latency counts from it, so a
/// stall is charged to every request that had to wait. Without it each connection sends its next
/// request when the last one was answered.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Exit codes: 0 fine; 1 something was not sent, lost or answered oddly, or \
                        nothing got a receipt; 2 usage; 3 the target was never reached."
)]
pub(crate) struct Args {
    /// The edge, such as http://127.0.0.1:8080.
    #[arg(long, value_name = "URL")]
    target: String,
    /// Click the registered links of this file in turn.
    #[arg(long, value_name = "FILE", required_unless_present = "keys")]
    links: Option<PathBuf>,
    /// Sign a fresh link for each click with the first live key of this file.
    #[arg(long, value_name = "FILE", conflicts_with = "links")]
    keys: Option<PathBuf>,
    /// The advertiser of signed links.
    #[arg(long, value_name = "N", default_value_t = 1)]
    advertiser: u32,
    /// The campaign of signed links.
    #[arg(long, value_name = "N", default_value_t = 1)]
    campaign: u64,
    /// Requests a second; without it, as fast as the answers come.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    rate: Option<u32>,
    /// How long to send, such as 10s or 2m.
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = duration)]
    duration: Duration,
    /// Connections, each with one request at a time.
    #[arg(long, value_name = "N", default_value_t = 64)]
    #[arg(value_parser = clap::value_parser!(u16).range(1..=16_384))]
    connections: u16,
    /// Threads that share the connections.
    #[arg(long, value_name = "N", default_value_t = 1)]
    #[arg(value_parser = clap::value_parser!(u16).range(1..=64))]
    threads: u16,
    /// Write what was sent and answered to this file, one JSON line each.
    #[arg(long, value_name = "FILE")]
    history: Option<PathBuf>,
    /// The seed of visitors and nonces; without it, the time.
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// How long to wait for an answer.
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = duration)]
    timeout: Duration,
    /// Aim at another machine than this one: its owner wants the load.
    #[arg(long)]
    allow_remote: bool,
}

/// Sends the load and sums up.
pub(crate) fn run(args: Args, global: &Global) -> anyhow::Result<Exit> {
    let target = driver::target(&args.target, args.allow_remote)?;
    let links = links(&args)?;
    let seed = args.seed.unwrap_or(tollgate_traffic::fresh::now().0);
    let history = match &args.history {
        Some(path) => Some(driver::history(path, &target, Some(seed))?),
        None => None,
    };
    let work = Arc::new(Fresh::new(target.host.clone(), seed, links));
    let options = Options {
        address: target.address,
        connections: usize::from(args.connections),
        threads: usize::from(args.threads),
        pace: pace(args.rate, args.duration),
        patience: Patience {
            answer: args.timeout,
            ..Patience::default()
        },
        give_up: Duration::from_secs(5).min(args.duration),
    };
    let summary = driver::watch(load::start(options, work, history)?, global)?;
    if global.json {
        let mut object = driver::to_json(&summary);
        if let Some(fields) = object.as_object_mut() {
            fields.insert("target".to_owned(), json!(args.target));
            fields.insert("rate".to_owned(), json!(args.rate));
            fields.insert("connections".to_owned(), json!(args.connections));
            fields.insert("seed".to_owned(), json!(seed));
        }
        output::print_json(&object)?;
    } else {
        output::print(&driver::to_text(&summary))?;
    }
    Ok(driver::exit_of(&summary))
}

fn pace(rate: Option<u32>, duration: Duration) -> Pace {
    match rate {
        Some(per_second) => Pace::Rate {
            per_second,
            duration,
        },
        None => Pace::Closed {
            total: None,
            duration: Some(duration),
        },
    }
}

fn links(args: &Args) -> anyhow::Result<Links> {
    match (&args.links, &args.keys) {
        (Some(path), _) => Ok(Links::Registered(slugs(path)?)),
        (None, Some(path)) => Ok(Links::Signed(signer(path, args)?)),
        (None, None) => Err(usage("one of --links and --keys is needed")),
    }
}

/// What `load` wants of a line of a links file; `serve` checks the rest.
#[derive(Deserialize)]
struct LinkLine {
    slug: Option<String>,
}

fn slugs(path: &Path) -> anyhow::Result<Vec<String>> {
    let lines: Vec<LinkLine> = read_lines(path)?;
    let slugs: Vec<String> = lines.into_iter().filter_map(|line| line.slug).collect();
    if slugs.is_empty() {
        return Err(usage(format!("{} holds no link", path.display())));
    }
    Ok(slugs)
}

/// What `load` wants of a line of a keys file.
#[derive(Deserialize)]
struct KeyLine {
    key: Option<u32>,
    secret: String,
    #[serde(default)]
    revoked: bool,
    #[serde(default)]
    test: bool,
}

fn signer(path: &Path, args: &Args) -> anyhow::Result<Signer> {
    let lines: Vec<KeyLine> = read_lines(path)?;
    let mut live = lines.iter().filter(|line| !line.revoked && !line.test);
    let found = live.find_map(|line| Some((line.key?, secret_bytes(&line.secret)?)));
    let (key, secret) = found.ok_or_else(|| {
        usage(format!(
            "{} holds no live key with a secret of 64 hex digits",
            path.display()
        ))
    })?;
    Ok(Signer {
        key: KeyId(key),
        secret: Secret::new(secret),
        advertiser: AdvertiserId(args.advertiser),
        campaign: CampaignId(args.campaign),
    })
}

fn read_lines<T: for<'de> Deserialize<'de>>(path: &Path) -> anyhow::Result<Vec<T>> {
    let text =
        std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    let lines = (1..).zip(text.lines());
    let lines = lines.filter(|(_, line)| !line.trim().is_empty());
    lines
        .map(|(number, line)| {
            serde_json::from_str(line)
                .map_err(|error| usage(format!("{}:{number}: {error}", path.display())))
        })
        .collect()
}

fn secret_bytes(hex: &str) -> Option<[u8; 32]> {
    let mut bytes = [0; 32];
    if hex.len() != 64 || !hex.is_ascii() {
        return None;
    }
    for (index, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(hex.get(2 * index..2 * index + 2)?, 16).ok()?;
    }
    Some(bytes)
}

/// A time that is longer than nothing.
fn duration(text: &str) -> Result<Duration, String> {
    match span::parse(text)? {
        Duration::ZERO => Err("the time must be longer than nothing".to_owned()),
        duration => Ok(duration),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_of_no_time_is_refused() {
        assert_eq!(duration("10s"), Ok(Duration::from_secs(10)));
        assert!(duration("0s").is_err());
    }

    #[test]
    fn a_secret_is_64_hex_digits() {
        assert_eq!(secret_bytes(&"0f".repeat(32)), Some([15; 32]));
        for wrong in ["0f", &"0g".repeat(32), &"é".repeat(32)] {
            assert_eq!(secret_bytes(wrong), None);
        }
    }
}
