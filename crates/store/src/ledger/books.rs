//! The books: what all postings come to, in one canonical text.
//!
//! Chains, numbers and Merkle roots depend on how many partitions there are; the books do not.
//! Two ledgers of the same recorded order have equal books, byte for byte, so they can be compared
//! with `cmp`, and two runs of a replay too.
//!
//! # Text
//!
//! UTF-8, one record a line, fields separated by commas, no field needs quotes. Amounts are
//! integer micro-units. Records stand in the order of the sections and, within one, of their
//! fields as numbers (accounts by kind, currency, owner).
//!
//! ```text
//! books,1
//! minute,<minute>,<kind>,<owner>,<currency>,<campaign or empty>,<clicks>,<debits>,<credits>
//! account,<kind>,<owner>,<currency>,<debits>,<credits>,<credits less debits>
//! campaign,<advertiser>,<campaign>,<currency>,<clicks>,<spend>
//! publisher,<publisher>,<currency>,<earned>
//! end,<number of records above, without the first>
//! ```
//!
//! `spend` is what an advertiser was debited for the campaign less what was credited back, and
//! `earned` the same for a publisher. The last line shows that a file is whole.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::ops::Range;

use thiserror::Error;
use tollgate_click::{AdvertiserId, CampaignId, Minute, PublisherId};

use super::account::{Account, Holder};
use super::errors::{Fault, LedgerError, Place};
use super::posting::Line;
use super::stored::EntryKey;
use super::{EntryQuery, LedgerReads, Of};

/// Entries read at once.
const PAGE: u32 = 4096;

/// All minutes there can be.
pub const ALL_MINUTES: Range<Minute> = Minute(0)..Minute(u32::MAX);

/// Why books could not be written.
#[derive(Debug, Error)]
pub enum BooksError {
    /// The ledger could not be read.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// The text could not be written.
    #[error("the books could not be written: {0}")]
    Write(#[from] io::Error),
}

/// What lines come to, in micro-units.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Sums {
    /// Billed clicks.
    pub clicks: u64,
    /// What was debited, not negative.
    pub debits: i128,
    /// What was credited, not negative.
    pub credits: i128,
}

impl Sums {
    /// Credits less debits.
    pub fn net(&self) -> i128 {
        self.credits - self.debits
    }

    fn add(&mut self, line: &Line) {
        self.clicks += line.clicks.map_or(0, |clicks| clicks.count);
        let amount = i128::from(line.amount.0);
        if amount < 0 {
            self.debits -= amount;
        } else {
            self.credits += amount;
        }
    }

    fn merge(&mut self, other: &Sums) {
        self.clicks += other.clicks;
        self.debits += other.debits;
        self.credits += other.credits;
    }
}

/// Sums per campaign: its advertiser's number, its own and the currency's letters.
pub type CampaignSums = BTreeMap<(AdvertiserId, CampaignId, [u8; 3]), Sums>;

/// Writes the books of one state of the ledger.
pub fn write(ledger: &mut dyn LedgerReads, out: &mut dyn Write) -> Result<(), BooksError> {
    ledger.pin()?;
    let written = write_pinned(ledger, out);
    let unpinned = ledger.unpin();
    written?;
    unpinned?;
    out.flush()?;
    Ok(())
}

/// What was posted for a campaign in those minutes, per currency: its debits and credits on its
/// advertiser's accounts. What is pending is not in it.
pub fn spend(
    ledger: &mut dyn LedgerReads,
    campaign: CampaignId,
    minutes: Range<Minute>,
) -> Result<BTreeMap<[u8; 3], Sums>, LedgerError> {
    let mut sums: BTreeMap<[u8; 3], Sums> = BTreeMap::new();
    let query = EntryQuery {
        of: Of::Campaign(campaign),
        minutes,
    };
    each_entry(ledger, &query, |_, line| {
        if line.account.advertiser().is_some() {
            sums.entry(line.account.currency()).or_default().add(line);
        }
        Ok::<(), LedgerError>(())
    })?;
    Ok(sums)
}

/// What was posted for every campaign in those minutes: one pass over all entries.
pub fn spend_of_all(
    ledger: &mut dyn LedgerReads,
    minutes: Range<Minute>,
) -> Result<CampaignSums, LedgerError> {
    let mut sums = CampaignSums::new();
    let query = EntryQuery {
        of: Of::All,
        minutes,
    };
    each_entry(ledger, &query, |_, line| {
        add_campaign(&mut sums, line.account, line.campaign, |sums| {
            sums.add(line)
        });
        Ok::<(), LedgerError>(())
    })?;
    Ok(sums)
}

fn write_pinned(ledger: &mut dyn LedgerReads, out: &mut dyn Write) -> Result<(), BooksError> {
    let mut books = Books::new(out);
    writeln!(books.out, "books,1")?;
    let query = EntryQuery {
        of: Of::All,
        minutes: ALL_MINUTES,
    };
    each_entry(ledger, &query, |key, line| books.add(key.minute, line))?;
    books.end()?;
    Ok(())
}

/// Sums that grow with what is active, and those of one minute.
struct Books<'a> {
    out: &'a mut dyn Write,
    records: u64,
    minute: Minute,
    lines: BTreeMap<(Account, Option<CampaignId>), Sums>,
    accounts: BTreeMap<Account, Sums>,
    campaigns: CampaignSums,
}

impl Books<'_> {
    fn new(out: &mut dyn Write) -> Books<'_> {
        Books {
            out,
            records: 0,
            minute: Minute(0),
            lines: BTreeMap::new(),
            accounts: BTreeMap::new(),
            campaigns: CampaignSums::new(),
        }
    }

    /// Entries come in the order of their minutes.
    fn add(&mut self, minute: Minute, line: &Line) -> Result<(), BooksError> {
        if minute != self.minute {
            self.end_minute()?;
            self.minute = minute;
        }
        self.lines.entry(line.key()).or_default().add(line);
        Ok(())
    }

    fn end_minute(&mut self) -> io::Result<()> {
        for ((account, campaign), sums) in std::mem::take(&mut self.lines) {
            let name = name(account);
            let id = campaign.map_or(String::new(), |campaign| campaign.to_string());
            let (minute, clicks) = (self.minute.0, sums.clicks);
            let (debits, credits) = (sums.debits, sums.credits);
            writeln!(
                self.out,
                "minute,{minute},{name},{id},{clicks},{debits},{credits}"
            )?;
            self.records += 1;
            self.accounts.entry(account).or_default().merge(&sums);
            add_campaign(&mut self.campaigns, account, campaign, |all| {
                all.merge(&sums)
            });
        }
        Ok(())
    }

    fn end(mut self) -> io::Result<()> {
        self.end_minute()?;
        for (account, sums) in &self.accounts {
            let (debits, credits, net) = (sums.debits, sums.credits, sums.net());
            writeln!(
                self.out,
                "account,{},{debits},{credits},{net}",
                name(*account)
            )?;
        }
        for ((advertiser, campaign, currency), sums) in &self.campaigns {
            let (letters, clicks, spend) = (letters(*currency), sums.clicks, -sums.net());
            writeln!(
                self.out,
                "campaign,{advertiser},{campaign},{letters},{clicks},{spend}"
            )?;
        }
        let publishers: BTreeMap<(PublisherId, [u8; 3]), i128> = self
            .accounts
            .iter()
            .filter_map(|(account, sums)| match account.holder() {
                Holder::Payable(publisher) => Some(((publisher, account.currency()), sums.net())),
                _ => None,
            })
            .collect();
        for ((publisher, currency), earned) in &publishers {
            writeln!(
                self.out,
                "publisher,{publisher},{},{earned}",
                letters(*currency)
            )?;
        }
        let totals = self.accounts.len() + self.campaigns.len() + publishers.len();
        writeln!(self.out, "end,{}", self.records + totals as u64)
    }
}

/// Walks all entries of a query in the order of their keys.
pub(crate) fn each_entry<E: From<LedgerError>>(
    ledger: &mut dyn LedgerReads,
    query: &EntryQuery,
    mut visit: impl FnMut(EntryKey, &Line) -> Result<(), E>,
) -> Result<(), E> {
    let mut after = None;
    loop {
        let page = ledger.entries(query, after, PAGE)?;
        if page.is_empty() {
            return Ok(());
        }
        for entry in &page {
            // Summing an entry twice, or for ever, is worse than to stop.
            if after >= Some(entry.key) {
                let what = "order of entries";
                let fault = Fault::new(Place::Storage, what, "rising keys", "a page that repeats");
                return Err(LedgerError::from(fault).into());
            }
            visit(entry.key, &entry.line)?;
            after = Some(entry.key);
        }
    }
}

fn add_campaign(
    sums: &mut CampaignSums,
    account: Account,
    campaign: Option<CampaignId>,
    add: impl FnOnce(&mut Sums),
) {
    if let (Some(advertiser), Some(campaign)) = (account.advertiser(), campaign) {
        let key = (advertiser, campaign, account.currency());
        add(sums.entry(key).or_default());
    }
}

fn name(account: Account) -> String {
    let (kind, owner) = (account.kind(), account.owner());
    format!("{kind},{owner},{}", letters(account.currency()))
}

fn letters(currency: [u8; 3]) -> String {
    String::from_utf8_lossy(&currency).into_owned()
}
