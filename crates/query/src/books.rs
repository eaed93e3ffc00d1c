//! `GET /v1/ledger/...`: balances, entries and postings.

use serde::Serialize;
use tollgate_click::{CampaignId, Minute, PartitionId};
use tollgate_store::ledger::books::ALL_MINUTES;
use tollgate_store::ledger::{
    Account, Balance, Entry, EntryKey, EntryQuery, Holder, LedgerError, Line, Of, StoredPosting,
};
use utoipa::ToSchema;

use crate::call::{Call, Reply};
use crate::currencies;
use crate::data::Books;
use crate::integer::{Integer, Signed, Unsigned};
use crate::nouns::{LIMIT, Page};
use crate::params::{Param, plain_digits};
use crate::problem::Problem;
use crate::reports::minute_text;

const PAGE_DEFAULT: usize = 100;
const PAGE_MAX: usize = 1_000;
/// Postings of one page: each may have a line a campaign.
const POSTINGS_MAX: usize = 100;

/// Rows that one page looks through for those that the tenant sees.
const LOOKED_MAX: u32 = 20_000;

const CURSOR: Param = crate::nouns::CURSOR;
const PARTITION: Param = Param {
    name: "partition",
    about: "Whose chain, by its number",
    many: false,
};
const ACCOUNT: Param = Param {
    name: "account",
    about: "Whose, such as prepaid/7/USD, credit/7/USD, payable/3/EUR or revenue/0/USD",
    many: false,
};
const CAMPAIGN: Param = Param {
    name: "campaign",
    about: "Those for this campaign",
    many: false,
};

/// What each route takes.
pub(crate) const BALANCES: &[Param] = &[LIMIT, CURSOR];
pub(crate) const ENTRIES: &[Param] = &[LIMIT, CURSOR, ACCOUNT, CAMPAIGN];
pub(crate) const POSTINGS: &[Param] = &[LIMIT, CURSOR, PARTITION];

/// What is posted to an account.
#[derive(Serialize, ToSchema)]
#[schema(as = Balance)]
pub(crate) struct ShownBalance {
    /// Such as prepaid/7/USD.
    account: String,
    /// The sum of its debits in micro-units.
    debits_micros: Signed,
    /// The sum of its credits.
    credits_micros: Signed,
    /// Credits less debits: what a prepaid advertiser has left, minus what one on credit owes,
    /// what a publisher is owed. Pending clicks are not in it.
    balance_micros: Signed,
}

/// One line of a posting.
#[derive(Serialize, ToSchema)]
#[schema(as = Line)]
pub(crate) struct ShownLine {
    /// Whose.
    account: String,
    /// Micro-units: positive credits the account, negative debits it.
    amount_micros: Signed,
    /// The campaign that it is for.
    #[serde(skip_serializing_if = "Option::is_none")]
    campaign: Option<Unsigned>,
    /// How many billed clicks it is the sum of.
    #[serde(skip_serializing_if = "Option::is_none")]
    clicks: Option<Unsigned>,
    /// The Merkle root over those clicks.
    #[serde(skip_serializing_if = "Option::is_none")]
    clicks_root: Option<String>,
}

/// An entry: a line with its place.
#[derive(Serialize, ToSchema)]
#[schema(as = Entry)]
pub(crate) struct ShownEntry {
    /// The minute that it was posted under.
    minute: String,
    /// The partition.
    partition: u16,
    /// The posting's number in it.
    posting: Unsigned,
    /// The line's number in the posting, from 0.
    line: u32,
    #[serde(flatten)]
    entry: ShownLine,
}

/// A posting: one balanced transaction.
#[derive(Serialize, ToSchema)]
#[schema(as = Posting)]
pub(crate) struct ShownPosting {
    /// The partition.
    partition: u16,
    /// Its number there, from 1 without gaps.
    number: Unsigned,
    /// minute, top-up, adjustment or credit.
    kind: String,
    /// The id of the money command, where it is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    command: Option<String>,
    /// The minute that it was posted under.
    minute: String,
    /// The first record that it covers.
    first: Unsigned,
    /// The last.
    last: Unsigned,
    /// Why, in words.
    #[serde(skip_serializing_if = "String::is_empty")]
    reason: String,
    /// The hash of the posting before.
    previous: String,
    /// Its own hash.
    hash: String,
    /// How many lines it has.
    lines_in_all: Unsigned,
    /// Those that this key sees.
    lines: Vec<ShownLine>,
}

/// All balances that the tenant sees.
pub(crate) async fn balances(call: Call) -> Result<Reply, Problem> {
    let limit = call.params.count("limit", PAGE_DEFAULT, PAGE_MAX)?;
    let after = call.place()?.map(|place| account_at(&place)).transpose()?;
    let read = call.data.books(&call.tenant, move |books| {
        let (mut after, mut found) = (after, Vec::new());
        loop {
            let page = books.ledger().balances(after, LOOKED_MAX)?;
            let Some((last, _)) = page.last() else {
                return Ok((found, None));
            };
            after = Some(*last);
            for (account, balance) in page {
                if !books.shows(account) {
                    continue;
                }
                if found.len() == limit {
                    let last: Option<&(Account, Balance)> = found.last();
                    let next = last.map(|(account, _)| account.code().to_le_bytes());
                    return Ok((found, next));
                }
                found.push((account, balance));
            }
        }
    });
    let (found, next) = read.await?;
    let items = found.into_iter().map(|(account, balance)| ShownBalance {
        account: account.to_string(),
        debits_micros: Integer(balance.debits.0),
        credits_micros: Integer(balance.credits.0),
        balance_micros: Integer(balance.net().0),
    });
    let next = next.map(|place| call.cursor(&place));
    Reply::json(&Page::new(items.collect(), next))
}

fn account_at(place: &[u8]) -> Result<Account, Problem> {
    let refused = || Problem::malformed("cursor", "it is of another list", "");
    let code = place.try_into().map(i64::from_le_bytes);
    Account::from_code(code.map_err(|_| refused())?).map_err(|_| refused())
}

/// Entries of an account or campaign, or all of them for who sees everything.
pub(crate) async fn entries(call: Call) -> Result<Reply, Problem> {
    let limit = call.params.count("limit", PAGE_DEFAULT, PAGE_MAX)?;
    let after = call.place()?.map(|place| entry_at(&place)).transpose()?;
    let query = EntryQuery {
        of: of(&call)?,
        minutes: ALL_MINUTES,
    };
    let read = call.data.books(&call.tenant, move |books| {
        let asked = u32::try_from(limit).unwrap_or(u32::MAX).saturating_add(1);
        let page = books.ledger().entries(&query, after, asked)?;
        let is_cut = page.len() > limit;
        let page: Vec<Entry> = page.into_iter().take(limit).collect();
        let last = page.last().map(|entry| entry.key).filter(|_| is_cut);
        let seen = page
            .into_iter()
            .filter(|entry| books.shows(entry.line.account));
        Ok((seen.collect::<Vec<Entry>>(), last))
    });
    let (found, last) = read.await?;
    let items = found.iter().map(|entry| ShownEntry {
        minute: minute_text(entry.key.minute.0.into()),
        partition: entry.key.partition.get(),
        posting: Integer(entry.key.number),
        line: entry.key.line,
        entry: shown_line(&entry.line),
    });
    let next = last.map(|key| call.cursor(&entry_place(key)));
    Reply::json(&Page::new(items.collect(), next))
}

/// Whose entries; who sees only some says which, and sees them.
fn of(call: &Call) -> Result<Of, Problem> {
    let campaign: Option<u64> = call.params.id("campaign")?;
    let account = call.params.get("account").map(account).transpose()?;
    match (account, campaign) {
        (Some(_), Some(_)) => {
            let what = "account and campaign are both given";
            Err(Problem::malformed("account, campaign", what, "one of them"))
        }
        (Some(account), None) => match crate::data::sees_account(&call.tenant, account) {
            true => Ok(Of::Account(account)),
            false => Err(Problem::not_found()),
        },
        (None, Some(campaign)) => {
            let id = CampaignId(campaign);
            let is_seen = call
                .data
                .look(&call.tenant, |seen| seen.campaign(id).is_some());
            match is_seen {
                true => Ok(Of::Campaign(id)),
                false => Err(Problem::not_found()),
            }
        }
        (None, None) if call.tenant.sees_all() => Ok(Of::All),
        (None, None) => {
            let what = "this key sees only some of them";
            Err(Problem::invalid(
                "account, campaign",
                what,
                "name one of them",
            ))
        }
    }
}

/// An account by its name, such as `prepaid/7/USD`.
fn account(text: &str) -> Result<Account, Problem> {
    let refused = || Problem::malformed("account", "it is no account", ACCOUNT.about);
    let mut parts = text.split('/');
    let (kind, owner, currency) = (parts.next(), parts.next(), parts.next());
    let owner = owner.and_then(plain_digits);
    let owner: u32 = owner
        .and_then(|owner| owner.parse().ok())
        .ok_or_else(refused)?;
    let currency = currencies::parse(currency.unwrap_or("")).map_err(|_| refused())?;
    let holder = match (kind, owner) {
        (Some("prepaid"), owner) => Holder::Prepaid(tollgate_click::AdvertiserId(owner)),
        (Some("credit"), owner) => Holder::Credit(tollgate_click::AdvertiserId(owner)),
        (Some("payable"), owner) => Holder::Payable(tollgate_click::PublisherId(owner)),
        (Some("revenue"), 0) => Holder::Revenue,
        (Some("adjustments"), 0) => Holder::Adjustments,
        (Some("outside"), 0) => Holder::Outside,
        _ => return Err(refused()),
    };
    match parts.next() {
        None => Ok(Account::new(holder, currency)),
        Some(_) => Err(refused()),
    }
}

fn entry_place(key: EntryKey) -> Vec<u8> {
    let mut place = key.minute.0.to_le_bytes().to_vec();
    place.extend_from_slice(&key.partition.get().to_le_bytes());
    place.extend_from_slice(&key.number.to_le_bytes());
    place.extend_from_slice(&key.line.to_le_bytes());
    place
}

fn entry_at(place: &[u8]) -> Result<EntryKey, Problem> {
    let read = || {
        let (minute, rest) = place.split_first_chunk::<4>()?;
        let (partition, rest) = rest.split_first_chunk::<2>()?;
        let (number, line) = rest.split_first_chunk::<8>()?;
        Some(EntryKey {
            minute: Minute(u32::from_le_bytes(*minute)),
            partition: PartitionId::new(u16::from_le_bytes(*partition)).ok()?,
            number: u64::from_le_bytes(*number),
            line: u32::from_le_bytes(line.try_into().ok()?),
        })
    };
    read().ok_or_else(|| Problem::malformed("cursor", "it is of another list", ""))
}

/// The postings of a partition in their chain.
pub(crate) async fn postings(call: Call) -> Result<Reply, Problem> {
    let limit = call.params.count("limit", POSTINGS_MAX, POSTINGS_MAX)?;
    let partition: u16 = call.params.id("partition")?.ok_or_else(|| {
        Problem::malformed("partition", "it is missing", "the number of a partition")
    })?;
    let known = PartitionId::new(partition).ok();
    let known = known.filter(|_| partition < call.data.partitions());
    let partition = known.ok_or_else(Problem::not_found)?;
    let place = call
        .place()?
        .map(|place| place.as_slice().try_into().map(u64::from_le_bytes));
    let after = place.transpose();
    let after = after.map_err(|_| Problem::malformed("cursor", "it is of another list", ""))?;
    let read = call.data.books(&call.tenant, move |books| {
        let asked = u32::try_from(limit).unwrap_or(u32::MAX);
        let chain = books.ledger().chain(partition, after.unwrap_or(0), asked)?;
        let last = chain
            .last()
            .map(|one| one.number)
            .filter(|_| chain.len() == limit);
        let shown: Vec<ShownPosting> = chain.iter().map(|one| shown_posting(books, one)).collect();
        Ok((shown, last))
    });
    let (items, last) = read.await?;
    let next = last.map(|number| call.cursor(&number.to_le_bytes()));
    let items = items.into_iter().filter(|one| !one.lines.is_empty());
    Reply::json(&Page::new(items.collect(), next))
}

/// A posting with the lines that the tenant sees.
pub(crate) fn shown_posting(books: &Books<'_>, one: &StoredPosting) -> ShownPosting {
    let posting = &one.posting;
    let lines = posting
        .lines
        .iter()
        .filter(|line| books.shows(line.account));
    ShownPosting {
        partition: one.partition.get(),
        number: Integer(one.number),
        kind: posting.kind.name().to_owned(),
        command: posting.kind.command().map(|command| command.to_string()),
        minute: minute_text(posting.minute.0.into()),
        first: Integer(posting.first.0),
        last: Integer(posting.last.0),
        reason: posting.reason.clone(),
        previous: one.previous.to_string(),
        hash: one.hash.to_string(),
        lines_in_all: Integer(posting.lines.len() as u64),
        lines: lines.map(shown_line).collect(),
    }
}

fn shown_line(line: &Line) -> ShownLine {
    ShownLine {
        account: line.account.to_string(),
        amount_micros: Integer(line.amount.0),
        campaign: line.campaign.map(|campaign| Integer(campaign.0)),
        clicks: line.clicks.map(|clicks| Integer(clicks.count)),
        clicks_root: line.clicks.map(|clicks| clicks.root.to_string()),
    }
}

/// The posting of a money command, if the tenant sees a line of it.
pub(crate) fn posting_of(
    books: &mut Books<'_>,
    command: [u8; 16],
) -> Result<Option<ShownPosting>, LedgerError> {
    let command = tollgate_store::ledger::CommandId(command);
    let found = books.ledger().posting_of(command)?;
    let shown = found.map(|one| shown_posting(books, &one));
    Ok(shown.filter(|one| !one.lines.is_empty()))
}
