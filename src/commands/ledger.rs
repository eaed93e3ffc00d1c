//! `tollgate ledger`: checks the books, shows balances, writes the canonical export.

use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::{Subcommand, ValueEnum};
use indicatif::ProgressBar;
use serde_json::{Value, json};
use tollgate_click::Micros;
use tollgate_store::ledger::verify::{self, Published, Verified};
use tollgate_store::ledger::{
    Account, Balance, Hash, Hour, LedgerError, LedgerReads, SqliteLedger, books,
};

use crate::data_dir::DataDir;
use crate::exit::{Exit, usage};
use crate::output::{self, Global};

/// Accounts read at once.
const PAGE: u32 = 1024;

/// Arguments of `tollgate ledger`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Works beside a live server and without one, and writes nothing to the ledger. \
                        Exit codes: 0 fine, 1 the ledger is not sound, 2 usage, \
                         3 it cannot be read."
)]
pub(crate) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Recompute every sum, hash and root, and name the first wrong entry.
    Verify(VerifyArgs),
    /// Show what is posted to each account.
    Balances(BalancesArgs),
    /// Write the canonical books: equal logs give equal bytes.
    Export(ExportArgs),
}

#[derive(Debug, clap::Args)]
struct Ours {
    /// The data directory.
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
}

#[derive(Debug, clap::Args)]
struct VerifyArgs {
    #[command(flatten)]
    ours: Ours,
    /// An hourly root that was kept elsewhere, as HOUR:HASH; may be given more than once.
    #[arg(long, value_name = "HOUR:HASH", value_parser = published)]
    root: Vec<(u32, [u8; 32])>,
}

#[derive(Debug, clap::Args)]
struct BalancesArgs {
    #[command(flatten)]
    ours: Ours,
    /// Only accounts of this kind.
    #[arg(long, value_enum)]
    kind: Option<AccountKind>,
    /// Only accounts of this owner: an advertiser's or publisher's number.
    #[arg(long, value_name = "NUMBER")]
    owner: Option<u32>,
}

#[derive(Debug, clap::Args)]
struct ExportArgs {
    #[command(flatten)]
    ours: Ours,
    /// The file to write; standard output when it is not given.
    #[arg(long, value_name = "FILE")]
    to: Option<PathBuf>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
enum AccountKind {
    Prepaid,
    Credit,
    Payable,
    Revenue,
    Adjustments,
    Outside,
}

/// Runs one of them.
pub(crate) fn run(args: Args, global: &Global) -> anyhow::Result<Exit> {
    match args.what {
        What::Verify(args) => run_verify(&args, global),
        What::Balances(args) => balances(&args, global),
        What::Export(args) => export(&args, global),
    }
}

/// Opens the ledger of a data directory for reading. One that is damaged where it is opened is as
/// wrong as one that is found damaged later.
pub(crate) fn open(data: &Path) -> anyhow::Result<Result<SqliteLedger, LedgerError>> {
    let dir = DataDir::open(data)?;
    match SqliteLedger::open_read_only(&dir.ledger()) {
        Err(error @ LedgerError::Corrupt(_)) => Ok(Err(error)),
        opened => Ok(Ok(opened.context("the ledger cannot be opened")?)),
    }
}

fn run_verify(args: &VerifyArgs, global: &Global) -> anyhow::Result<Exit> {
    let roots = args.root.iter().map(|(hour, root)| Published {
        hour: Hour(*hour),
        root: Hash(*root),
    });
    let roots: Vec<Published> = roots.collect();
    let checked = match open(&args.ours.data)? {
        Err(error) => Err(error),
        Ok(mut ledger) => check(&mut ledger, &roots, global),
    };
    match checked {
        Ok(verified) => {
            output::print(&show(&verified, global)?)?;
            Ok(Exit::Fine)
        }
        Err(LedgerError::Corrupt(fault)) => {
            let object = json!({
                "sound": false,
                "place": fault.place.to_string(),
                "what": fault.what,
                "expected": fault.expected,
                "found": fault.found,
            });
            match global.json {
                true => output::print_json(&object)?,
                false => output::print(&format!("not sound: {fault}\n"))?,
            }
            Ok(Exit::Problems)
        }
        Err(error) => Err(anyhow::Error::new(error).context("the ledger cannot be read")),
    }
}

fn check(
    ledger: &mut SqliteLedger,
    roots: &[Published],
    global: &Global,
) -> Result<Verified, LedgerError> {
    let bar = bar(global);
    let verified = verify::verify(ledger, roots, &mut |progress| {
        bar.set_length(progress.postings_total);
        bar.set_position(progress.postings);
    });
    bar.finish_and_clear();
    verified
}

fn show(verified: &Verified, global: &Global) -> anyhow::Result<String> {
    let newest = verified.newest.as_ref();
    if global.json {
        let object = json!({
            "sound": true,
            "postings": verified.postings,
            "lines": verified.lines,
            "accounts": verified.accounts,
            "hourly_roots": verified.roots,
            "newest_root": newest.map(|newest| json!({
                "hour": newest.hour.0,
                "root": newest.root.to_string(),
            })),
        });
        return Ok(serde_json::to_string_pretty(&object)? + "\n");
    }
    let mut text = format!(
        "sound: {} postings with {} lines, {} accounts, {} hourly roots\n",
        verified.postings, verified.lines, verified.accounts, verified.roots
    );
    if let Some(newest) = newest {
        text.push_str(&format!(
            "newest root, to be kept outside this machine: {}:{}\n",
            newest.hour, newest.root
        ));
    }
    Ok(text)
}

fn balances(args: &BalancesArgs, global: &Global) -> anyhow::Result<Exit> {
    let mut ledger = open(&args.ours.data)?.context("the ledger is not sound")?;
    let kind = args.kind.map(AccountKind::name);
    let mut rows = Vec::new();
    let mut after = None;
    loop {
        let page = ledger
            .balances(after, PAGE)
            .context("the ledger cannot be read")?;
        let Some((last, _)) = page.last() else {
            break;
        };
        after = Some(*last);
        let wanted = |account: &Account| {
            kind.is_none_or(|kind| account.kind() == kind)
                && args.owner.is_none_or(|owner| account.owner() == owner)
        };
        rows.extend(page.into_iter().filter(|(account, _)| wanted(account)));
    }
    if global.json {
        let accounts: Vec<Value> = rows.iter().map(account_json).collect();
        output::print_json(&json!({ "accounts": accounts }))?;
    } else {
        output::print(&account_table(&rows))?;
    }
    Ok(Exit::Fine)
}

fn account_json((account, balance): &(Account, Balance)) -> Value {
    json!({
        "kind": account.kind(),
        "owner": account.owner(),
        "currency": String::from_utf8_lossy(&account.currency()),
        "debits_micros": balance.debits.0,
        "credits_micros": balance.credits.0,
        "balance_micros": balance.net().0,
    })
}

fn account_table(rows: &[(Account, Balance)]) -> String {
    let mut text = format!(
        "{:<24} {:>22} {:>22} {:>22}\n",
        "account", "debits", "credits", "balance"
    );
    for (account, balance) in rows {
        let shown = |amount: Micros| amount.to_string();
        let (debits, credits) = (shown(balance.debits), shown(balance.credits));
        let (account, net) = (account.to_string(), shown(balance.net()));
        // Writing to a string cannot fail.
        writeln!(text, "{account:<24} {debits:>22} {credits:>22} {net:>22}").unwrap_or_default();
    }
    text
}

fn export(args: &ExportArgs, global: &Global) -> anyhow::Result<Exit> {
    if global.json && args.to.is_none() {
        let what = "the books have a form of their own: with --json, name a file with --to";
        return Err(usage(what));
    }
    let mut ledger = open(&args.ours.data)?.context("the ledger is not sound")?;
    let Some(path) = &args.to else {
        let written = books::write(&mut ledger, &mut BufWriter::new(io::stdout().lock()));
        return match written {
            // Whoever reads has seen enough.
            Err(books::BooksError::Write(error)) if error.kind() == io::ErrorKind::BrokenPipe => {
                Ok(Exit::Fine)
            }
            written => Ok(written.map(|()| Exit::Fine)?),
        };
    };
    let cannot = || format!("cannot write {}", path.display());
    let mut file = BufWriter::new(File::create(path).with_context(cannot)?);
    books::write(&mut ledger, &mut file).with_context(cannot)?;
    file.flush().with_context(cannot)?;
    if global.json {
        output::print_json(&json!({ "file": path }))?;
    }
    Ok(Exit::Fine)
}

impl AccountKind {
    fn name(self) -> &'static str {
        match self {
            AccountKind::Prepaid => "prepaid",
            AccountKind::Credit => "credit",
            AccountKind::Payable => "payable",
            AccountKind::Revenue => "revenue",
            AccountKind::Adjustments => "adjustments",
            AccountKind::Outside => "outside",
        }
    }
}

fn published(text: &str) -> Result<(u32, [u8; 32]), String> {
    let wrong = || "a root is an hour's number, a colon and 64 hex digits".to_owned();
    let (hour, digits) = text.split_once(':').ok_or_else(wrong)?;
    let hour = hour.parse().map_err(|_| wrong())?;
    let mut root = [0; 32];
    if digits.len() != 64 || !digits.is_ascii() {
        return Err(wrong());
    }
    for (place, byte) in root.iter_mut().enumerate() {
        let pair = digits.get(2 * place..2 * place + 2).ok_or_else(wrong)?;
        *byte = u8::from_str_radix(pair, 16).map_err(|_| wrong())?;
    }
    Ok((hour, root))
}

fn bar(global: &Global) -> ProgressBar {
    if !global.progress() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new(0);
    let template = "{bar:40} {pos} of {len} postings, {rate}, {eta} left";
    bar.with_style(output::bar_style(template))
}
