//! The billed clicks of one campaign in a range of ordinals: what the proof of one click needs of
//! the others in its line.
//!
//! Files say which ordinals they hold and row groups which campaigns, so that of a lake of any size
//! the row groups of one campaign in one minute are read, and of these six columns.

use tollgate_click::{CampaignId, ClickId, Micros, Ordinal, Outcome, PartitionId};

use super::clicks::{At, Event};
use super::columns::{Column, Table, Values};
use super::decode::SealedFile;
use super::errors::LakeError;
use super::places::Unit;
use super::read::Lake;
use super::view::{View, with_fresh_view};
use super::writer::{CLICKS_TABLE, Hour, LAKE};

/// Which clicks are wanted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Wanted {
    /// Of this partition.
    pub partition: PartitionId,
    /// Of this campaign.
    pub campaign: CampaignId,
    /// From this record on.
    pub first: Ordinal,
    /// Up to this one.
    pub last: Ordinal,
}

/// A billed click as the ledger vouches for it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Billed {
    /// Its number in its partition.
    pub ordinal: Ordinal,
    /// Its id, which says when it was received.
    pub id: ClickId,
    /// What it cost.
    pub charge: Micros,
    /// The publisher's part of that.
    pub share: Micros,
}

/// The columns that are read, in the order of [`billed_rows`]'s table.
const COLUMNS: [At; 6] = [
    At::Ordinal,
    At::ClickId,
    At::Event,
    At::Outcome,
    At::Charge,
    At::Share,
];

impl Lake {
    /// The billed clicks that are wanted and were received in one of those hours, by ordinal.
    ///
    /// # Errors
    ///
    /// [`LakeError`] when a file that may hold one is damaged or missing.
    pub fn billed(
        &self,
        wanted: &Wanted,
        hours: impl IntoIterator<Item = Hour> + Clone,
    ) -> Result<Vec<Billed>, LakeError> {
        let objects = &*self.objects;
        with_fresh_view(|| {
            let view = View::open(objects, &LAKE, wanted.partition)?;
            let mut found = Vec::new();
            for Hour(hour) in hours.clone() {
                for file in view.files(objects, Unit(hour))? {
                    let may = file.table == CLICKS_TABLE
                        && file.first <= wanted.last
                        && wanted.first <= file.last;
                    if may {
                        let opened = view.open_file(objects, &file)?;
                        self.billed_in(&opened, wanted, &mut found)?;
                    }
                }
            }
            found.sort_unstable_by_key(|click: &Billed| click.ordinal);
            Ok(found)
        })
    }

    fn billed_in(
        &self,
        file: &SealedFile,
        wanted: &Wanted,
        found: &mut Vec<Billed>,
    ) -> Result<(), LakeError> {
        let objects = &*self.objects;
        let overlaps = |group: usize, at: At, first: u64, last: u64| {
            let bounds = file.bounds(group, at as usize);
            bounds.is_none_or(|(low, high)| first <= high && low <= last)
        };
        let (campaign, first, last) = (wanted.campaign.0, wanted.first.0, wanted.last.0);
        for group in 0..file.groups() {
            if !overlaps(group, At::Campaign, campaign, campaign)
                || !overlaps(group, At::Ordinal, first, last)
            {
                continue;
            }
            let campaigns = file.column(objects, group, At::Campaign as usize)?;
            // Rows are sorted by campaign: its own lie together.
            let Some(rows) = rows_of(&campaigns, wanted.campaign) else {
                continue;
            };
            let columns = COLUMNS.map(|at| file.part(objects, group, at as usize, rows.clone()));
            let columns: Result<Vec<Column>, LakeError> = columns.into_iter().collect();
            billed_rows(&Table { columns: columns? }, wanted, found)
                .ok_or_else(|| LakeError::corrupt(file.name(), "a click id is wrong"))?;
        }
        Ok(())
    }
}

/// The span of rows of a campaign.
fn rows_of(campaigns: &Column, CampaignId(campaign): CampaignId) -> Option<std::ops::Range<usize>> {
    let Values::I64(values) = &campaigns.values else {
        return None;
    };
    let is_its = |value: &i64| *value as u64 == campaign;
    let first = values.iter().position(is_its)?;
    let last = values.iter().rposition(is_its)?;
    Some(first..last + 1)
}

/// Takes the rows that are wanted; none when an id cannot be.
fn billed_rows(rows: &Table, wanted: &Wanted, found: &mut Vec<Billed>) -> Option<()> {
    for row in 0..rows.rows() {
        let ordinal = Ordinal(rows.u64(0, row));
        let is_wanted = (wanted.first..=wanted.last).contains(&ordinal)
            && rows.word(2, row) == Event::Click.name()
            && rows.word(3, row) == Outcome::Billed.name();
        if is_wanted {
            found.push(Billed {
                ordinal,
                id: ClickId::from_bytes(rows.bytes16(1, row)).ok()?,
                charge: Micros(rows.u64(4, row) as i64),
                share: Micros(rows.u64(5, row) as i64),
            });
        }
    }
    Some(())
}
