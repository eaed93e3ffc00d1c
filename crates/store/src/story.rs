//! Where a click stands in the books: its posting, its line, and the proof that it is in it.
//!
//! The ledger keeps 32 bytes a line and the lake keeps the clicks, so a proof is made of both: the
//! line's clicks are hashed again, and the way from one of them to the root is what anybody can
//! check. A lake that was changed gives no proof.

use thiserror::Error;
use tollgate_click::limits::SPOOL_LIMIT_S;
use tollgate_click::{CampaignId, Minute, Ordinal, Outcome, PartitionId};

use crate::lake::{Billed, Event, Hour, Lake, LakeError, StoredRow, Wanted};
use crate::ledger::merkle::{BilledClick, Proof, prove, verify_proof};
use crate::ledger::{Clicks, Hash, LedgerError, LedgerReads, Line, StoredPosting};

/// What a click has become in the ledger.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Booked {
    /// It cost nothing and stands in no line.
    Nothing,
    /// It is billed, and its minute is not posted yet.
    Pending,
    /// It stands in a line.
    Posted(Box<Standing>),
}

/// A click's place in the ledger.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Standing {
    /// The partition.
    pub partition: PartitionId,
    /// The posting's number in it.
    pub number: u64,
    /// The posting's hash in the chain.
    pub hash: Hash,
    /// The minute that it was posted under.
    pub minute: Minute,
    /// The line's number in the posting, from 0.
    pub line: u32,
    /// The line.
    pub entry: Line,
    /// The proof.
    pub proof: Proven,
}

/// Whether the click is proved to stand in its line.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Proven {
    /// It does: this leaf and this way give the line's root.
    Yes {
        /// The click's leaf.
        leaf: Hash,
        /// From the leaf to the root.
        proof: Proof,
    },
    /// The lake has not all clicks of the line yet.
    Later,
    /// The lake's clicks do not give the line's root: one of both was changed.
    No(&'static str),
}

/// Why nothing can be said.
#[derive(Debug, Error)]
pub enum StoryError {
    /// The lake.
    #[error(transparent)]
    Lake(#[from] LakeError),
    /// The ledger.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// The click is billed, the ledger is past it, and no posting has it.
    #[error("record {ordinal} of partition {partition} is billed, and no posting covers it")]
    Missing {
        /// Whose.
        partition: PartitionId,
        /// Which.
        ordinal: Ordinal,
    },
}

/// What a click of the lake has become in the ledger.
///
/// # Errors
///
/// [`StoryError`].
pub fn booked(
    lake: &Lake,
    ledger: &mut dyn LedgerReads,
    row: &StoredRow,
) -> Result<Booked, StoryError> {
    let (facts, ordinal) = (&row.facts, row.judgement.ordinal);
    if row.event != Event::Click || row.judgement.outcome != Outcome::Billed {
        return Ok(Booked::Nothing);
    }
    let partition = facts.click_id.parts().partition;
    if ledger.watermark(partition)?.ordinal < ordinal {
        return Ok(Booked::Pending);
    }
    let missing = StoryError::Missing { partition, ordinal };
    let posting = ledger.posting_at(partition, ordinal)?;
    let Some(posting) = posting else {
        return Err(missing);
    };
    let lines = (0..).zip(&posting.posting.lines);
    let mut lines = lines.filter_map(|(number, line)| {
        let is_its = line.campaign == Some(facts.campaign)
            && line.account.advertiser() == Some(facts.advertiser);
        Some((number, line, line.clicks.filter(|_| is_its)?))
    });
    let Some((number, line, clicks)) = lines.next() else {
        return Err(missing);
    };
    // Who changed the way of paying within the minute has two lines for it, one after the other.
    let other = lines.next();
    let others = other.map_or(0, |(_, _, clicks)| clicks.count);
    let count = clicks.count.saturating_add(others);
    let (leaves, is_whole) = leaves(lake, partition, facts.campaign, &posting, count)?;
    let stand = |line: u32, entry: &Line, proof| {
        Ok(Booked::Posted(Box::new(Standing {
            partition,
            number: posting.number,
            hash: posting.hash,
            minute: posting.posting.minute,
            line,
            entry: *entry,
            proof,
        })))
    };
    if !is_whole {
        return stand(number, line, Proven::Later);
    }
    let Some((second, second_line, second_clicks)) = other else {
        return stand(number, line, proven(&leaves, ordinal, clicks));
    };
    let count = |clicks: Clicks| usize::try_from(clicks.count).unwrap_or(usize::MAX);
    for ((number, line, clicks), skip) in [
        ((number, line, clicks), 0),
        ((second, second_line, second_clicks), count(clicks)),
        ((second, second_line, second_clicks), 0),
        ((number, line, clicks), count(second_clicks)),
    ] {
        let part = leaves.get(skip..skip.saturating_add(count(clicks)));
        let proof = proven(part.unwrap_or_default(), ordinal, clicks);
        if matches!(proof, Proven::Yes { .. }) {
            return stand(number, line, proof);
        }
    }
    stand(number, line, proven(&[], ordinal, clicks))
}

type Leaf = (Ordinal, BilledClick);

/// The clicks of a posting's lines for a campaign, so many of them, in their order; and whether the
/// lake can have all. Most lie in the hour of the posting; a late one lies where it was received.
fn leaves(
    lake: &Lake,
    partition: PartitionId,
    campaign: CampaignId,
    stored: &StoredPosting,
    count: u64,
) -> Result<(Vec<Leaf>, bool), StoryError> {
    let posting = &stored.posting;
    if lake.through(partition)? < posting.last {
        return Ok((Vec::new(), false));
    }
    let wanted = Wanted {
        partition,
        campaign,
        first: posting.first,
        last: posting.last,
    };
    let hour = posting.minute.0 / 60;
    let near = hour.saturating_sub(1)..=hour + 1;
    let mut found = lake.billed(&wanted, near.clone().map(Hour))?;
    if (found.len() as u64) < count {
        let oldest = hour.saturating_sub(SPOOL_LIMIT_S / 3600 + 1);
        found.extend(lake.billed(&wanted, (oldest..*near.start()).map(Hour))?);
        found.sort_unstable_by_key(|click| click.ordinal);
    }
    let leaves = found.iter().map(|click| (click.ordinal, billed(click)));
    Ok((leaves.collect(), true))
}

/// What the ledger vouches for of a click.
fn billed(click: &Billed) -> BilledClick {
    BilledClick {
        id: click.id,
        received_at: click.id.received_at(),
        price: click.charge,
        share: click.share,
    }
}

fn proven(leaves: &[Leaf], ordinal: Ordinal, clicks: Clicks) -> Proven {
    if leaves.len() as u64 != clicks.count {
        return Proven::No("the lake has another number of clicks than the line");
    }
    let Some(index) = leaves.iter().position(|(one, _)| *one == ordinal) else {
        return Proven::No("the click is not among those of the line");
    };
    let hashes: Vec<Hash> = leaves.iter().map(|(_, click)| click.leaf()).collect();
    match (hashes.get(index), prove(&hashes, index)) {
        (Some(leaf), Some(proof)) if verify_proof(*leaf, &proof, clicks.root) => {
            Proven::Yes { leaf: *leaf, proof }
        }
        _ => Proven::No("the lake's clicks do not give the line's root"),
    }
}
