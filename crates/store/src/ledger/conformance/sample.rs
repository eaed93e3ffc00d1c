//! Made-up postings, for tests and benchmarks.

use std::collections::BTreeMap;

use tollgate_click::{
    AdvertiserId, CampaignId, ClickId, Currency, Micros, Minute, Ordinal, PartitionId, PublisherId,
};

use crate::ledger::merkle::{BilledClick, Tree};
use crate::ledger::shares::split;
use crate::ledger::{
    Account, Acquire, Clicks, CommandId, CommitRequest, Cursor, Grant, Holder, Kind, Lease, Ledger,
    LedgerError, Line, Outcome, Posting, Watermark,
};

/// What publishers get of each click.
pub const SHARE_BASIS_POINTS: u16 = 7_000;

/// Clicks of one campaign at one publisher in one minute.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Spend {
    /// Who pays.
    pub advertiser: u32,
    /// For what.
    pub campaign: u64,
    /// Who is paid.
    pub publisher: u32,
    /// Of one click, in micro-units.
    pub price: i64,
    /// How many clicks.
    pub clicks: u64,
}

/// US dollars.
pub fn usd() -> Currency {
    "USD".parse().unwrap()
}

/// A partition.
pub fn partition(number: u16) -> PartitionId {
    PartitionId::new(number).unwrap()
}

/// An account in dollars.
pub fn account(holder: Holder) -> Account {
    Account::new(holder, usd())
}

/// An advertiser's prepaid dollars.
pub fn prepaid(advertiser: u32) -> Account {
    account(Holder::Prepaid(AdvertiserId(advertiser)))
}

/// A publisher's dollars.
pub fn payable(publisher: u32) -> Account {
    account(Holder::Payable(PublisherId(publisher)))
}

/// A command's id.
pub fn command(number: u64) -> CommandId {
    CommandId(((u128::from(number) << 64) | 0xC0).to_be_bytes())
}

/// What these clicks come to, over the records `first..=last`.
pub fn minute_posting(minute: u32, first: u64, last: u64, spends: &[Spend]) -> Posting {
    let mut sums: BTreeMap<(Account, Option<CampaignId>), (i64, Option<Tree>)> = BTreeMap::new();
    let mut add = |account, campaign, amount, leaf| {
        let (sum, tree) = sums.entry((account, campaign)).or_default();
        *sum += amount;
        if let Some(leaf) = leaf {
            tree.get_or_insert_default().push(leaf);
        }
    };
    for spend in spends {
        let campaign = Some(CampaignId(spend.campaign));
        for number in 0..spend.clicks {
            let click = click(minute, first, number, spend);
            let rest = click.price.0 - click.share.0;
            add(
                prepaid(spend.advertiser),
                campaign,
                -click.price.0,
                Some(click.leaf()),
            );
            add(payable(spend.publisher), None, click.share.0, None);
            add(account(Holder::Revenue), None, rest, None);
        }
    }
    let line = |((account, campaign), (sum, tree)): (_, (i64, Option<Tree>))| Line {
        account,
        amount: Micros(sum),
        campaign,
        clicks: tree.map(|tree| Clicks {
            count: tree.leaves(),
            root: tree.root(),
        }),
    };
    let lines = sums.into_iter().map(line);
    Posting {
        kind: Kind::Minute,
        minute: Minute(minute),
        first: Ordinal(first),
        last: Ordinal(last),
        apply_version: 1,
        reason: String::new(),
        lines: lines
            .filter(|line| line.amount.0 != 0 || line.clicks.is_some())
            .collect(),
    }
}

/// A click of that spend.
pub fn click(minute: u32, first: u64, number: u64, spend: &Spend) -> BilledClick {
    let price = Micros(spend.price);
    let received_at = Minute(minute).start().plus_ms(number % 60_000);
    BilledClick {
        id: ClickId::new(tollgate_click::ids::ClickIdParts {
            received_at,
            partition: PartitionId::default(),
            edge: tollgate_click::EdgeId::default(),
            random: first.wrapping_mul(0x9E37_79B9).wrapping_add(number) ^ spend.campaign,
        }),
        received_at,
        price,
        share: split(price, SHARE_BASIS_POINTS).unwrap().publisher,
    }
}

/// A command of one record that moves `amount` between two accounts.
pub fn transfer(kind: Kind, minute: u32, ordinal: u64, from: Account, to: Account) -> Posting {
    transfer_of(kind, minute, ordinal, (from, to, 1_000_000))
}

/// The same with its amount in micro-units.
pub fn transfer_of(
    kind: Kind,
    minute: u32,
    ordinal: u64,
    (from, to, amount): (Account, Account, i64),
) -> Posting {
    let mut posting = Posting {
        kind,
        minute: Minute(minute),
        first: Ordinal(ordinal),
        last: Ordinal(ordinal),
        apply_version: 1,
        reason: match kind {
            Kind::Adjustment(_) => String::from("a test says so"),
            _ => String::new(),
        },
        lines: vec![
            Line::plain(from, Micros(-amount)),
            Line::plain(to, Micros(amount)),
        ],
    };
    posting.sort();
    posting
}

/// A top-up of an advertiser's dollars.
pub fn top_up(id: u64, minute: u32, ordinal: u64, advertiser: u32) -> Posting {
    let outside = account(Holder::Outside);
    transfer(
        Kind::TopUp(command(id)),
        minute,
        ordinal,
        outside,
        prepaid(advertiser),
    )
}

/// Holds the lease of a partition and knows where it stands.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Worker {
    /// The lease.
    pub lease: Lease,
    /// The watermark, as the worker knows it.
    pub at: Watermark,
}

impl Worker {
    /// Takes the lease of a partition for a minute.
    pub fn start(ledger: &mut dyn Ledger, number: u16) -> Result<Worker, LedgerError> {
        let request = Acquire {
            partition: partition(number),
            owner: "worker",
            ttl_ms: 60_000,
            epoch_above: 0,
        };
        let lease = match ledger.acquire(&request)? {
            Grant::Granted(lease) => lease,
            Grant::Held(lease) => panic!("held by {}", lease.owner),
        };
        let at = ledger.watermark(lease.partition)?;
        Ok(Worker { lease, at })
    }

    /// The first ordinal that is not posted.
    pub fn next(&self) -> u64 {
        self.at.ordinal.0 + 1
    }

    /// A commit of these postings and of the records up to `through`.
    pub fn request(&self, through: u64, open: u32, postings: Vec<Posting>) -> CommitRequest {
        CommitRequest {
            partition: self.lease.partition,
            epoch: self.lease.epoch,
            after: self.at.ordinal,
            through: Ordinal(through),
            cursor: Cursor {
                incarnation: 0xFEED_FACE_CAFE_BEEF,
                position: through.to_be_bytes().to_vec(),
            },
            closed_before: Minute(open),
            postings,
        }
    }

    /// Commits and goes on from there; anything but `Committed` panics.
    pub fn commit(
        &mut self,
        ledger: &mut dyn Ledger,
        request: &CommitRequest,
    ) -> Result<(), LedgerError> {
        match ledger.commit(request)? {
            Outcome::Committed(at) => self.at = at,
            other => panic!("{other:?}"),
        }
        Ok(())
    }

    /// Posts a whole minute of clicks, ten records.
    pub fn minute(
        &mut self,
        ledger: &mut dyn Ledger,
        minute: u32,
        spends: &[Spend],
    ) -> Result<CommitRequest, LedgerError> {
        let (first, last) = (self.next(), self.next() + 9);
        let posting = minute_posting(minute, first, last, spends);
        let postings = if spends.is_empty() {
            vec![]
        } else {
            vec![posting]
        };
        let request = self.request(last, minute + 1, postings);
        self.commit(ledger, &request)?;
        Ok(request)
    }

    /// Posts a money command of one record, in the open minute.
    pub fn command(
        &mut self,
        ledger: &mut dyn Ledger,
        minute: u32,
        make: impl FnOnce(u64) -> Posting,
    ) -> Result<CommitRequest, LedgerError> {
        let ordinal = self.next();
        let request = self.request(ordinal, minute, vec![make(ordinal)]);
        self.commit(ledger, &request)?;
        Ok(request)
    }
}

/// Three minutes of made-up history in one partition: clicks, each kind of command, an empty
/// minute, and an hourly root.
pub fn small_history(ledger: &mut dyn Ledger, number: u16) -> Result<(), LedgerError> {
    let id = u64::from(number) * 100;
    let advertiser = u32::from(number) + 7;
    let mut worker = Worker::start(ledger, number)?;
    let spends = some_spends(advertiser);
    let adjustments = account(Holder::Adjustments);
    worker.command(ledger, 60, |ordinal| {
        top_up(id + 1, 60, ordinal, advertiser)
    })?;
    worker.minute(ledger, 60, &spends)?;
    worker.minute(ledger, 61, &[])?;
    worker.command(ledger, 62, |ordinal| {
        let kind = Kind::Adjustment(command(id + 2));
        let mut posting = transfer(kind, 62, ordinal, adjustments, prepaid(advertiser));
        let line = posting
            .lines
            .iter_mut()
            .find(|line| line.amount.0 > 0)
            .unwrap();
        line.campaign = Some(CampaignId(1));
        posting
    })?;
    worker.command(ledger, 62, |ordinal| {
        let kind = Kind::Credit(command(id + 3));
        transfer(kind, 62, ordinal, adjustments, prepaid(advertiser))
    })?;
    worker.minute(ledger, 62, &spends)?;
    worker.minute(ledger, 119, &spends)?;
    Ok(())
}

/// Two campaigns at two publishers.
pub fn some_spends(advertiser: u32) -> [Spend; 3] {
    let spend = |campaign, publisher, price, clicks| Spend {
        advertiser,
        campaign,
        publisher,
        price,
        clicks,
    };
    [
        spend(1, 3, 350_000, 3),
        spend(1, 4, 350_001, 1),
        spend(2, 3, 99_999, 2),
    ]
}
