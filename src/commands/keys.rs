//! `tollgate keys`: makes, lists, rotates and revokes the keys of a keys file.
//!
//! `serve --keys` re-reads the file when it changes, so each of these takes effect in a running
//! gate within seconds.

use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::Context as _;
use clap::Subcommand;
use serde_json::{Value, json};
use tollgate_click::Millis;
use tollgate_click::limits::NONCE_AHEAD_MS_MAX;

use crate::exit::{Exit, usage};
use crate::keyfile::{self, Advertisers, All, KeyLine, Line, TokenLine};
use crate::output::{self, Global};
use crate::span;

/// Arguments of `tollgate keys`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Make a new keys file (mode 0600) with one signing key.
    Generate(Generate),
    /// List what a keys file holds, without secrets.
    List {
        /// The keys file.
        file: PathBuf,
    },
    /// Add a signing key; the old ones stay live.
    Rotate(Rotate),
    /// Add a token that may send batches, and print it.
    Token(Token),
    /// Stop a key or token for good, all its links with it.
    Revoke(Revoke),
}

#[derive(Debug, clap::Args)]
struct Generate {
    /// The file to make; it must not exist.
    file: PathBuf,
    /// The key's number, which stands in each link.
    #[arg(long, default_value_t = 1)]
    key: u32,
    /// Whom the key may sign for: all, or numbers such as 7,8.
    #[arg(long, default_value = "all", value_parser = advertisers)]
    advertisers: Advertisers,
    /// For how long it is valid, such as 400d; for ever without it.
    #[arg(long, value_parser = span::parse)]
    valid: Option<Duration>,
    /// Clicks on its links are tests.
    #[arg(long)]
    test: bool,
}

#[derive(Debug, clap::Args)]
struct Rotate {
    /// The keys file.
    file: PathBuf,
    /// Whom the new key may sign for; as the newest key without it.
    #[arg(long, value_parser = advertisers)]
    advertisers: Option<Advertisers>,
    /// How long the new key is valid, such as 400d; for ever without it.
    #[arg(long, value_parser = span::parse)]
    valid: Option<Duration>,
    /// How long from now the old keys stay valid: at least as long as their last link lives,
    /// such as 31d. Without it they stay as they are.
    #[arg(long, value_parser = span::parse)]
    old_valid: Option<Duration>,
}

#[derive(Debug, clap::Args)]
struct Token {
    /// The keys file.
    file: PathBuf,
    /// Whom it may send for: all, or numbers such as 7,8.
    #[arg(long, default_value = "all", value_parser = advertisers)]
    advertisers: Advertisers,
    /// How long it is valid, such as 90d; for ever without it.
    #[arg(long, value_parser = span::parse)]
    valid: Option<Duration>,
}

#[derive(Debug, clap::Args)]
struct Revoke {
    /// The keys file.
    file: PathBuf,
    /// The signing key's number.
    #[arg(long, required_unless_present = "token", conflicts_with = "token")]
    key: Option<u32>,
    /// The ingest token's number.
    #[arg(long)]
    token: Option<u32>,
    /// Do it: links signed before are refused too, and this cannot be undone.
    #[arg(long)]
    yes: bool,
}

/// Runs one of the subcommands.
pub(crate) fn run(args: Args, global: &Global) -> anyhow::Result<Exit> {
    match args.command {
        Command::Generate(args) => generate(args, global),
        Command::List { file } => show(&keyfile::read(&file)?, global),
        Command::Rotate(args) => rotate(args, global),
        Command::Token(args) => token(args, global),
        Command::Revoke(args) => revoke(args, global),
    }
}

/// The clock, in Unix milliseconds.
pub(crate) fn now() -> anyhow::Result<Millis> {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    let ms = since.context("the clock stands before 1970")?.as_millis();
    Ok(Millis(
        u64::try_from(ms).unwrap_or(u64::MAX).min(Millis::MAX.0),
    ))
}

fn generate(args: Generate, global: &Global) -> anyhow::Result<Exit> {
    let key = KeyLine {
        key: args.key,
        secret: hex(&random()?),
        advertisers: args.advertisers,
        not_before_ms: start(now()?),
        not_after_ms: end(args.valid)?,
        revoked: false,
        test: args.test,
    };
    let lines = [Line::Key(key)];
    keyfile::create(&args.file, &lines)?;
    show(&lines, global)
}

fn rotate(args: Rotate, global: &Global) -> anyhow::Result<Exit> {
    let mut lines = keyfile::read(&args.file)?;
    let newest = keys(&mut lines)
        .max_by_key(|key| key.key)
        .map(|key| key.clone());
    let newest = newest.ok_or_else(|| usage("the file holds no key to rotate"))?;
    let number = newest
        .key
        .checked_add(1)
        .ok_or_else(|| usage("no key number is left"))?;
    if let Some(valid) = args.old_valid {
        let last = end(Some(valid))?;
        keys(&mut lines).for_each(|key| key.not_after_ms = key.not_after_ms.min(last));
    }
    lines.push(Line::Key(KeyLine {
        key: number,
        secret: hex(&random()?),
        advertisers: args.advertisers.unwrap_or(newest.advertisers),
        not_before_ms: start(now()?),
        not_after_ms: end(args.valid)?,
        revoked: false,
        test: newest.test,
    }));
    keyfile::replace(&args.file, &lines)?;
    show(&lines, global)
}

fn token(args: Token, global: &Global) -> anyhow::Result<Exit> {
    let mut lines = keyfile::read(&args.file)?;
    let numbers = lines.iter().filter_map(|line| match line {
        Line::Token(token) => Some(token.token),
        Line::Key(_) => None,
    });
    let number = numbers
        .max()
        .map_or(Some(1), |newest| newest.checked_add(1));
    let number = number.ok_or_else(|| usage("no token number is left"))?;
    let secret = format!("tg_{}", hex(&random()?));
    lines.push(Line::Token(TokenLine {
        token: number,
        secret: secret.clone(),
        advertisers: args.advertisers,
        not_after_ms: end(args.valid)?,
        revoked: false,
    }));
    keyfile::replace(&args.file, &lines)?;
    if global.json {
        output::print_json(&json!({ "token": number, "secret": secret }))?;
    } else {
        output::print(&format!("{secret}\n"))?;
    }
    Ok(Exit::Fine)
}

fn revoke(args: Revoke, global: &Global) -> anyhow::Result<Exit> {
    let mut lines = keyfile::read(&args.file)?;
    let found = lines.iter_mut().find_map(|line| match line {
        Line::Key(key) if Some(key.key) == args.key => Some(&mut key.revoked),
        Line::Token(token) if Some(token.token) == args.token => Some(&mut token.revoked),
        _ => None,
    });
    let revoked = found.ok_or_else(|| usage("the file holds no such key or token"))?;
    if !args.yes {
        return Err(usage(
            "all links of the key, or batches of the token, will be refused, and this cannot be \
             undone: say --yes",
        ));
    }
    *revoked = true;
    keyfile::replace(&args.file, &lines)?;
    show(&lines, global)
}

fn keys(lines: &mut [Line]) -> impl Iterator<Item = &mut KeyLine> {
    lines.iter_mut().filter_map(|line| match line {
        Line::Key(key) => Some(key),
        Line::Token(_) => None,
    })
}

/// Clocks differ, so a key is valid a little before it is made.
fn start(now: Millis) -> u64 {
    now.0.saturating_sub(NONCE_AHEAD_MS_MAX)
}

fn end(valid: Option<Duration>) -> anyhow::Result<u64> {
    let Some(valid) = valid else {
        return Ok(Millis::MAX.0);
    };
    let ms = u64::try_from(valid.as_millis()).unwrap_or(u64::MAX);
    Ok(now()?.plus_ms(ms).0)
}

fn random() -> anyhow::Result<[u8; 32]> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).context("the system gives no random bytes")?;
    Ok(bytes)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn advertisers(text: &str) -> Result<Advertisers, String> {
    if text == "all" {
        return Ok(Advertisers::All(All::All));
    }
    let numbers = text.split(',').map(|number| number.trim().parse());
    let list = numbers.collect::<Result<Vec<u32>, _>>();
    list.map(Advertisers::Only)
        .map_err(|_| "say all, or numbers such as 7,8".to_owned())
}

/// Prints the lines without their secrets.
fn show(lines: &[Line], global: &Global) -> anyhow::Result<Exit> {
    let now = now()?;
    let rows: Vec<Row<'_>> = lines.iter().map(|line| Row::of(line, now)).collect();
    if global.json {
        let keys: Vec<Value> = rows.iter().map(Row::json).collect();
        output::print_json(&json!({ "keys": keys }))?;
        return Ok(Exit::Fine);
    }
    let mut text = format!(
        "{:<6} {:>10}  {:<12} {:<24} {:<24} advertisers\n",
        "kind", "number", "state", "from", "to"
    );
    for row in &rows {
        text.push_str(&format!(
            "{:<6} {:>10}  {:<12} {:<24} {:<24} {}\n",
            row.kind,
            row.number,
            row.state,
            time(row.not_before),
            time(row.not_after),
            advertisers_text(row.advertisers),
        ));
    }
    output::print(&text)?;
    Ok(Exit::Fine)
}

/// What is shown of a line.
struct Row<'a> {
    kind: &'static str,
    number: u32,
    state: &'static str,
    not_before: Millis,
    not_after: Millis,
    advertisers: &'a Advertisers,
}

impl Row<'_> {
    fn of(line: &Line, now: Millis) -> Row<'_> {
        let (kind, number, revoked, not_before, not_after, advertisers) = match line {
            Line::Key(key) => {
                let kind = if key.test { "test" } else { "key" };
                (
                    kind,
                    key.key,
                    key.revoked,
                    key.not_before_ms,
                    key.not_after_ms,
                    &key.advertisers,
                )
            }
            Line::Token(line) => (
                "token",
                line.token,
                line.revoked,
                0,
                line.not_after_ms,
                &line.advertisers,
            ),
        };
        let (not_before, not_after) = (Millis(not_before), Millis(not_after));
        let state = match () {
            () if revoked => "revoked",
            () if now < not_before => "not yet",
            () if now > not_after => "over",
            () => "live",
        };
        Row {
            kind,
            number,
            state,
            not_before,
            not_after,
            advertisers,
        }
    }

    fn json(&self) -> Value {
        json!({
            "kind": self.kind,
            "number": self.number,
            "state": self.state,
            "not_before_ms": self.not_before.0,
            "not_after_ms": self.not_after.0,
            "advertisers": self.advertisers,
        })
    }
}

/// The time in UTC; a dash for one that is no limit.
pub(crate) fn time(at: Millis) -> String {
    let shown = i64::try_from(at.0)
        .ok()
        .and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok());
    match shown {
        Some(shown) if at != Millis(0) && at != Millis::MAX => format!("{shown:.0}"),
        _ => "-".to_owned(),
    }
}

fn advertisers_text(advertisers: &Advertisers) -> String {
    match advertisers {
        Advertisers::All(All::All) => "all".to_owned(),
        Advertisers::Only(list) => {
            let numbers: Vec<String> = list.iter().map(u32::to_string).collect();
            numbers.join(",")
        }
    }
}
