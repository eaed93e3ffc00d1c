//! Offsets of campaigns' zones, written down again before they run out.
//!
//! The core asks no time zone database: a campaign's record says when its zone changes for two
//! years ahead. A year before that ends, the record is made again, from some weeks back, so that
//! a click that comes late still finds the day on which it was received.

use tollgate_click::control::Campaign;
use tollgate_click::{Change, Millis};
use tollgate_query::{NewChange, Standing, zones};

/// Records made by one decision; the next look makes more.
const RECORDS_MAX: usize = 1_000;

/// The offsets of a renewed record begin this long ago: longer than any click may be late.
const BACK_MS: u64 = 30 * 86_400_000;

/// A record is renewed when its offsets begin this long ago.
const AGE_MS_MAX: u64 = 365 * 86_400_000;

/// The campaigns whose offsets are old, with new ones.
pub(crate) fn renewals(standing: &Standing, now: Millis) -> Vec<NewChange> {
    let campaigns = standing.campaigns.values();
    let renewed = campaigns.filter_map(|campaign| renewed(campaign, now));
    renewed.take(RECORDS_MAX).map(NewChange::from).collect()
}

fn renewed(campaign: &Campaign, now: Millis) -> Option<Change> {
    let first = campaign.offsets.first()?;
    if now.since(first.from) < AGE_MS_MAX {
        return None;
    }
    let back = Millis(now.0.saturating_sub(BACK_MS));
    match zones::offsets(&campaign.zone, back) {
        Ok(offsets) => Some(Change::Campaign(Campaign {
            offsets,
            ..campaign.clone()
        })),
        Err(why) => {
            // A database without a zone that was known: the old offsets stay.
            let (campaign, zone) = (campaign.campaign, &campaign.zone);
            tracing::warn!(%campaign, zone, why, "the zone's offsets cannot be renewed");
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use tollgate_click::control::CampaignState;
    use tollgate_click::{Actor, AdvertiserId, CampaignId, Control, ControlNumber};

    use super::*;

    const DAY_MS: u64 = 86_400_000;
    /// 2026-11-24.
    const START: Millis = Millis(1_795_478_400_000);

    fn standing_with(zones: &[&str]) -> Standing {
        let mut standing = Standing::default();
        for (number, zone) in (1..).zip(zones) {
            let change = Change::Campaign(Campaign {
                campaign: CampaignId(number),
                advertiser: AdvertiserId(1),
                name: format!("c{number}"),
                currency: "EUR".parse().unwrap(),
                price: None,
                state: CampaignState::Active,
                daily_budget: None,
                total_budget: None,
                zone: (*zone).to_owned(),
                offsets: zones::offsets(zone, START).unwrap(),
            });
            take(&mut standing, change);
        }
        standing
    }

    fn take(standing: &mut Standing, change: Change) {
        let control = Control {
            number: ControlNumber(0),
            target_number: 0,
            at: START,
            by: Actor(0),
            change,
        };
        standing.change(&control, &[]);
    }

    #[test]
    fn offsets_are_renewed_long_before_they_end_and_reach_back() {
        let mut standing = standing_with(&["Europe/Berlin", "", "Asia/Kolkata"]);
        assert!(renewals(&standing, Millis(START.0 + 364 * DAY_MS)).is_empty());
        // Ten years, a look a week: at every moment all changes of the next year are known.
        let mut made = 0;
        for week in 0..520 {
            let now = Millis(START.0 + week * 7 * DAY_MS);
            for renewal in renewals(&standing, now) {
                made += 1;
                take(&mut standing, renewal.change);
            }
            for campaign in standing.campaigns.values() {
                let year = Millis(now.0 + 365 * DAY_MS);
                let last = |at: Millis| {
                    let mut before = campaign.offsets.iter().filter(|one| one.from <= at);
                    before.next_back().map(|one| one.seconds)
                };
                let known = zones::offsets(&campaign.zone, year).unwrap();
                let known = known.first().map(|one| one.seconds);
                assert_eq!(last(year), known, "{} in week {week}", campaign.zone);
                let late = Millis(now.0.saturating_sub(8 * DAY_MS));
                let at_all = campaign.offsets.first().is_none_or(|one| one.from <= late);
                assert!(at_all || week < 2, "{} in week {week}", campaign.zone);
            }
        }
        assert_eq!(made, 20, "two zones, ten times");
        assert!(renewals(&standing, Millis(START.0 + 3_640 * DAY_MS)).is_empty());
    }
}
