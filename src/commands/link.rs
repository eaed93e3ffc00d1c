//! `tollgate link`: signs, verifies and explains click links.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use clap::Subcommand;
use serde_json::json;
use tollgate_click::{
    AdId, AdvertiserId, CampaignId, KeyId, Micros, Millis, Nonce, PlacementId, PublisherId, Refusal,
};
use tollgate_link::explain::explain;
use tollgate_link::{
    ClickLink, Extras, Keyring, Schemes, TokenBuf, VerifyError, destination, nonce, sign,
};

use crate::commands::keys;
use crate::config;
use crate::exit::{Exit, usage};
use crate::keyfile::{self, KeyLine, Line};
use crate::output::{self, Global};
use crate::span;

/// Arguments of `tollgate link`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Sign a link and print its URL.
    Sign(Box<Sign>),
    /// Check a link against a keys file: exit code 0 if a gate would open it now, 1 if not.
    Verify(Verify),
    /// Take a link apart without keys, byte by byte.
    Explain {
        /// The link, or its token alone.
        url: String,
    },
}

#[derive(Debug, clap::Args)]
struct Sign {
    /// The keys file (see `tollgate keys generate`).
    #[arg(long)]
    keys: PathBuf,
    /// The key that signs; the newest live one that may sign for the advertiser without it.
    #[arg(long)]
    key: Option<u32>,
    /// Who pays for clicks.
    #[arg(long)]
    advertiser: u32,
    /// For which campaign.
    #[arg(long)]
    campaign: u64,
    /// Where clicks go, with macros such as {click_id}.
    #[arg(long, value_name = "URL")]
    destination: String,
    /// What the macro {lpurl} in the destination stands for.
    #[arg(long, value_name = "URL")]
    lpurl: Option<String>,
    /// Percent-encode what must be (spaces, other scripts) before signing.
    #[arg(long)]
    normalise: bool,
    /// How often macro values are percent-encoded: 0, 1 or 2 times.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u8).range(0..=2))]
    escaping: u8,
    /// The price in millionths of the campaign's currency; the campaign's price without it.
    #[arg(long, value_parser = clap::value_parser!(i64).range(0..))]
    price_micros: Option<i64>,
    /// How long after the impression a click bills, such as 24h; at most 30d. 24h without it.
    #[arg(long, value_name = "TIME", value_parser = span::parse)]
    window: Option<Duration>,
    /// How long after the impression a click is redirected at all, such as 30d; at most 400d. 30d
    /// without it.
    #[arg(long, value_name = "TIME", value_parser = span::parse)]
    expires: Option<Duration>,
    /// The configuration file of the edge: its [link] says what holds where nothing is said, and
    /// what the longest window is.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Which creative; 0 for none.
    #[arg(long, default_value_t = 0)]
    ad: u64,
    /// Who shows it; 0 for none.
    #[arg(long, default_value_t = 0)]
    publisher: u32,
    /// Where it is shown; 0 for none.
    #[arg(long, default_value_t = 0)]
    placement: u64,
    /// Its clicks are tests and count in nothing.
    #[arg(long)]
    test: bool,
    /// The impression's id, a UUIDv7; a new one of now without it.
    #[arg(long, value_name = "UUID", conflicts_with = "impression_id")]
    nonce: Option<String>,
    /// An impression id of another shape; the nonce is made of it and the impression's time.
    #[arg(long, value_name = "ID", requires = "impression_at_ms")]
    impression_id: Option<String>,
    /// The impression's time in Unix milliseconds.
    #[arg(long, value_name = "MS", requires = "impression_id")]
    impression_at_ms: Option<u64>,
    /// Where the gate answers.
    #[arg(long, default_value = "http://localhost:8080", value_name = "URL")]
    base: String,
    #[command(flatten)]
    allowed: Allowed,
}

#[derive(Debug, clap::Args)]
struct Verify {
    /// The link, or its token alone.
    url: String,
    /// The keys file.
    #[arg(long)]
    keys: PathBuf,
    /// The time of the click in Unix milliseconds; now without it.
    #[arg(long, value_name = "MS")]
    at_ms: Option<u64>,
    #[command(flatten)]
    allowed: Allowed,
}

#[derive(Debug, clap::Args)]
struct Allowed {
    /// A scheme that the advertiser may use beside http and https, such as ftp; repeatable.
    #[arg(long = "scheme", value_name = "SCHEME")]
    schemes: Vec<String>,
    /// Allow destinations on private and loopback addresses, for tests.
    #[arg(long)]
    private_hosts: bool,
}

/// Runs one of the subcommands.
pub(crate) fn run(args: Args, global: &Global) -> anyhow::Result<Exit> {
    match args.command {
        Command::Sign(args) => run_sign(&args, global),
        Command::Verify(args) => run_verify(&args, global),
        Command::Explain { url } => run_explain(&url, global),
    }
}

fn run_sign(args: &Sign, global: &Global) -> anyhow::Result<Exit> {
    let now = keys::now()?;
    let key = choose_key(args, now)?;
    let schemes = args.allowed.schemes()?;
    let destination = args.normal(&args.destination)?;
    let lpurl = args
        .lpurl
        .as_deref()
        .map(|lpurl| args.normal(lpurl))
        .transpose()?;
    let nonce = args.nonce(now)?;
    let (window, expires) = args.times()?;
    let link = ClickLink {
        key: KeyId(key.key),
        nonce,
        window_s: whole_seconds(window)?,
        expires_at: nonce.at().plus_ms(u64::try_from(expires.as_millis())?),
        advertiser: AdvertiserId(args.advertiser),
        campaign: CampaignId(args.campaign),
        ad: AdId(args.ad),
        publisher: PublisherId(args.publisher),
        placement: PlacementId(args.placement),
        price: args.price_micros.map(Micros),
        test: args.test,
        escaping: args.escaping,
        destination: &destination,
        lpurl: lpurl.as_deref(),
    };
    let token = sign(&link, &key.secret()?, &schemes).map_err(|error| usage(error.to_string()))?;
    let url = format!("{}/c/{token}", args.base.trim_end_matches('/'));
    if global.json {
        output::print_json(&json!({
            "url": url,
            "token": token,
            "key": key.key,
            "nonce": nonce.to_string(),
            "expires_at_ms": link.expires_at.0,
            "destination": destination,
        }))?;
    } else {
        output::print(&format!("{url}\n"))?;
    }
    Ok(Exit::Fine)
}

/// The key asked for, or the newest that would be honoured now.
fn choose_key(args: &Sign, now: Millis) -> anyhow::Result<KeyLine> {
    let wrong = |key: &KeyLine| {
        let signing = key.signing_key();
        match () {
            () if key.revoked => Some("is revoked"),
            () if now < signing.not_before => Some("is not valid yet"),
            () if now > signing.not_after => Some("is no longer valid"),
            () if !signing.scope.covers(AdvertiserId(args.advertiser)) => {
                Some("may not sign for this advertiser")
            }
            () => None,
        }
    };
    let mut candidates: Vec<KeyLine> = key_lines(&args.keys)?.collect();
    candidates.sort_by_key(|key| key.key);
    let Some(number) = args.key else {
        let live = candidates
            .into_iter()
            .rfind(|key| !key.test && wrong(key).is_none());
        let file = args.keys.display();
        return live.ok_or_else(|| {
            let advertiser = args.advertiser;
            usage(format!(
                "no live key in {file} may sign for advertiser {advertiser}"
            ))
        });
    };
    let key = candidates.into_iter().find(|key| key.key == number);
    let key = key.ok_or_else(|| usage(format!("{} holds no key {number}", args.keys.display())))?;
    match wrong(&key) {
        Some(wrong) => Err(usage(format!("key {number} {wrong}"))),
        None => Ok(key),
    }
}

fn key_lines(path: &Path) -> anyhow::Result<impl Iterator<Item = KeyLine>> {
    let lines = keyfile::read(path)?.into_iter();
    Ok(lines.filter_map(|line| match line {
        Line::Key(key) => Some(key),
        Line::Token(_) => None,
    }))
}

fn whole_seconds(window: Duration) -> anyhow::Result<u32> {
    if window.subsec_millis() != 0 {
        return Err(usage("the window must be whole seconds"));
    }
    u32::try_from(window.as_secs()).map_err(|_| usage("the window is longer than 30d"))
}

impl Sign {
    fn normal(&self, address: &str) -> anyhow::Result<String> {
        if !self.normalise {
            return Ok(address.to_owned());
        }
        let wrong = |error| usage(format!("destination {address:?}: {error}"));
        destination::normalise(address).map_err(wrong)
    }

    /// Billing window and hard expiry. An edge would cut a window that is longer than it allows,
    /// and clicks would stop billing earlier than the link says: such a link is not signed.
    fn times(&self) -> anyhow::Result<(Duration, Duration)> {
        let settings = match &self.config {
            Some(path) => config::load(Some(path))?.link,
            None => config::mean(&config::written::read(None, std::iter::empty())?)?.link,
        };
        let window = self.window.unwrap_or(settings.window);
        if self.config.is_some() && window > settings.window_max {
            let longest = settings.window_max.as_secs();
            return Err(usage(format!(
                "the billing window is longer than link.window_max allows: {longest} s"
            )));
        }
        Ok((window, self.expires.unwrap_or(settings.expiry)))
    }

    fn nonce(&self, now: Millis) -> anyhow::Result<Nonce> {
        match (&self.nonce, &self.impression_id, self.impression_at_ms) {
            (Some(text), _, _) => text
                .parse()
                .map_err(|_| usage(format!("--nonce {text} is no UUIDv7; see --impression-id"))),
            (None, Some(id), Some(at)) => Ok(nonce::of_impression(Millis(at), id.as_bytes())),
            _ => {
                let mut random = [0; 16];
                getrandom::fill(&mut random).context("the system gives no random bytes")?;
                Ok(Nonce::new(now, u128::from_le_bytes(random)))
            }
        }
    }
}

impl Allowed {
    fn schemes(&self) -> anyhow::Result<Schemes> {
        let schemes = Schemes::with(&self.schemes);
        let schemes = schemes.map_err(|error| usage(format!("--scheme: {error}")))?;
        Ok(if self.private_hosts {
            schemes.and_private_hosts()
        } else {
            schemes
        })
    }
}

fn run_verify(args: &Verify, global: &Global) -> anyhow::Result<Exit> {
    let at = args.at_ms.map_or_else(keys::now, |at| Ok(Millis(at)))?;
    let (token, query) = split_url(&args.url);
    let mut keyring = Keyring::new();
    for key in key_lines(&args.keys)? {
        keyring.insert(key.signing_key(), key.secret()?);
        if key.revoked {
            keyring.revoke(KeyId(key.key), Millis(0));
        }
    }
    if let Some(advertiser) = advertiser_of(token) {
        keyring.set_schemes(advertiser, args.allowed.schemes()?);
    }
    let mut buf = TokenBuf::new();
    let opened = keyring.verify(token, at, &mut buf);
    let signed_name = Extras::new().read(query.as_bytes()).err();
    match (opened, signed_name) {
        (Ok(verified), None) => {
            let ClickLink {
                key,
                advertiser,
                campaign,
                destination,
                expires_at,
                ..
            } = verified.link;
            if global.json {
                output::print_json(&json!({
                    "opens": true,
                    "key": key.0,
                    "advertiser": advertiser.0,
                    "campaign": campaign.0,
                    "destination": destination,
                    "expires_at_ms": expires_at.0,
                    "test": verified.test,
                }))?;
            } else {
                let test = if verified.test { ", a test" } else { "" };
                output::print(&format!(
                    "opens: key {key}, advertiser {advertiser}, campaign {campaign}{test}, until \
                     {}, to {destination}\n",
                    keys::time(expires_at)
                ))?;
            }
            Ok(Exit::Fine)
        }
        (Err(error), _) => say_refused(answer(error), error.name(), &error.to_string(), global),
        (Ok(_), Some(name)) => say_refused(403, "signed_name", &name.to_string(), global),
    }
}

fn answer(error: VerifyError) -> u16 {
    if error.refusal() == Refusal::Expired {
        410
    } else {
        403
    }
}

fn say_refused(status: u16, reason: &str, text: &str, global: &Global) -> anyhow::Result<Exit> {
    if global.json {
        output::print_json(&json!({
            "opens": false, "status": status, "reason": reason, "message": text,
        }))?;
    } else {
        output::print(&format!("refused with {status}: {text}\n"))?;
    }
    Ok(Exit::Problems)
}

fn advertiser_of(token: &str) -> Option<AdvertiserId> {
    let fields = explain(token).ok()?.fields;
    let field = fields
        .into_iter()
        .find(|field| field.name == "advertiser")?;
    field.value.parse().ok().map(AdvertiserId)
}

fn run_explain(url: &str, global: &Global) -> anyhow::Result<Exit> {
    let (token, query) = split_url(url);
    let explained = match explain(token) {
        Ok(explained) => explained,
        Err(error) => return say_refused(403, "malformed", &error.to_string(), global),
    };
    let tag = hex(&explained.tag);
    if global.json {
        let fields = explained.fields.iter().map(
            |field| json!({ "name": field.name, "bytes": hex(&field.bytes), "value": field.value }),
        );
        output::print_json(&json!({
            "verified": false,
            "fields": fields.collect::<Vec<_>>(),
            "tag": tag,
            "query": query,
        }))?;
        return Ok(Exit::Fine);
    }
    let mut text =
        "not verified: this is what the link says, not whether it is authentic\n".to_owned();
    for field in &explained.fields {
        text.push_str(&format!(
            "{:<12} {}\n{:<12} {}\n",
            field.name,
            field.value,
            "",
            hex(&field.bytes)
        ));
    }
    text.push_str(&format!("{:<12} {tag}\n", "tag"));
    if !query.is_empty() {
        text.push_str(&format!("{:<12} {query}\n", "unsigned"));
    }
    output::print(&text)?;
    Ok(Exit::Fine)
}

/// The token and the query of a link; a text without a path is a token.
fn split_url(url: &str) -> (&str, &str) {
    let url = url.split('#').next().unwrap_or_default();
    let (path, query) = url.split_once('?').unwrap_or((url, ""));
    let token = path.rsplit_once("/c/").or_else(|| path.rsplit_once("/i/"));
    (token.map_or(path, |(_, token)| token), query)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_found_in_its_link() {
        for (url, parts) in [
            (
                "https://gate.example/c/AQE-_?sub1=a&b#c",
                ("AQE-_", "sub1=a&b"),
            ),
            ("http://localhost:8080/i/AQE", ("AQE", "")),
            ("/c/AQE", ("AQE", "")),
            ("AQE", ("AQE", "")),
            ("https://gate.example/c/", ("", "")),
        ] {
            assert_eq!(split_url(url), parts, "{url}");
        }
    }
}
