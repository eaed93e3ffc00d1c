//! Counts by outcome, with the identities that hold between them.

use std::collections::BTreeMap;

use tollgate_click::{Currency, Judgement, Outcome};

use crate::effects::{Effect, Kind};
use crate::state::kept::kept;

const OUTCOMES: usize = Outcome::ALL.len();

/// How clicks (or impressions) ended, and what they cost.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Tally {
    outcomes: [u64; OUTCOMES],
    /// Micro-units a currency. 128 bits: 2^64 clicks at the highest price cannot overflow it.
    spend: BTreeMap<Currency, i128>,
    /// What of it is the publishers'.
    shares: BTreeMap<Currency, i128>,
}

kept!(Tally {
    outcomes,
    spend,
    shares
});

impl Tally {
    /// Counts one ending.
    pub fn count(&mut self, judgement: &Judgement) {
        if let Some(count) = self.outcomes.get_mut(judgement.outcome as usize) {
            *count += 1; // at most one a record, and ordinals are checked
        }
        if let Some(currency) = judgement.currency.filter(|_| judgement.charge.0 != 0) {
            *self.spend.entry(currency).or_default() += i128::from(judgement.charge.0);
            if judgement.share.0 != 0 {
                *self.shares.entry(currency).or_default() += i128::from(judgement.share.0);
            }
        }
    }

    /// A tally of sums that were counted elsewhere: clicks per outcome, in the order of
    /// [`Outcome::ALL`], and micro-units a currency.
    pub fn of_sums(outcomes: [u64; OUTCOMES], spend: BTreeMap<Currency, i128>) -> Tally {
        Tally {
            outcomes,
            spend,
            shares: BTreeMap::new(),
        }
    }

    /// Adds what another tally has counted.
    pub fn add(&mut self, other: &Tally) {
        for (count, more) in self.outcomes.iter_mut().zip(other.outcomes) {
            *count += more;
        }
        for (currency, more) in &other.spend {
            *self.spend.entry(*currency).or_default() += more;
        }
        for (currency, more) in &other.shares {
            *self.shares.entry(*currency).or_default() += more;
        }
    }

    /// What was counted since an earlier look at the same tally.
    fn since(&self, earlier: &Tally) -> Tally {
        let mut since = self.clone();
        for (count, before) in since.outcomes.iter_mut().zip(earlier.outcomes) {
            *count -= before;
        }
        less(&mut since.spend, &earlier.spend);
        less(&mut since.shares, &earlier.shares);
        since
    }

    /// How many ended so.
    pub fn of(&self, outcome: Outcome) -> u64 {
        self.outcomes.get(outcome as usize).copied().unwrap_or(0)
    }

    /// All that were counted.
    pub fn records(&self) -> u64 {
        self.outcomes.iter().sum()
    }

    /// Every click that was really made on a live link.
    pub fn gross(&self) -> u64 {
        let gross = self.sum(Outcome::in_gross);
        let general = [
            Outcome::InvalidGivt,
            Outcome::Duplicate,
            Outcome::Unauthorised,
        ];
        let taken: u64 = general.into_iter().map(|outcome| self.of(outcome)).sum();
        assert_eq!(
            gross,
            self.net() + taken,
            "gross is net and what net leaves out"
        );
        gross
    }

    /// Gross without general invalid traffic, duplicates and unauthorised clicks.
    pub fn net(&self) -> u64 {
        let net = self.sum(Outcome::in_net);
        let sophisticated = self.of(Outcome::InvalidSivt);
        assert_eq!(
            net,
            self.total_net() + sophisticated,
            "net is total net and SIVT"
        );
        net
    }

    /// Net without sophisticated invalid traffic.
    pub fn total_net(&self) -> u64 {
        self.sum(Outcome::in_total_net)
    }

    /// What was charged, in micro-units a currency; currencies without a charge are absent.
    pub fn spend(&self) -> &BTreeMap<Currency, i128> {
        &self.spend
    }

    /// What of the spend is the publishers', in the same way.
    pub fn shares(&self) -> &BTreeMap<Currency, i128> {
        &self.shares
    }

    /// Asserts what holds between the numbers, whatever was counted.
    fn check(&self) {
        assert!(self.gross() <= self.records(), "gross is of the records");
        let billed = self.of(Outcome::Billed);
        assert_eq!(billed == 0, self.spend.is_empty(), "what costs is billed");
        let below = |(currency, share)| {
            let spent = self.spend.get(currency).copied().unwrap_or(0);
            (1..=spent).contains(share)
        };
        assert!(self.shares.iter().all(below), "shares are part of charges");
    }

    fn sum(&self, counts: fn(Outcome) -> bool) -> u64 {
        let counted = Outcome::ALL.into_iter().filter(|outcome| counts(*outcome));
        counted.map(|outcome| self.of(outcome)).sum()
    }
}

fn less(sums: &mut BTreeMap<Currency, i128>, earlier: &BTreeMap<Currency, i128>) {
    for (currency, before) in earlier {
        *sums.entry(*currency).or_default() -= before;
    }
    sums.retain(|_, sum| *sum != 0);
}

/// What a partition has seen since its first record. The parts sum to the ordinal.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Counts {
    /// Clicks, and records that could not be read.
    pub clicks: Tally,
    /// Impressions, counted apart.
    pub impressions: Tally,
    /// Ticks.
    pub ticks: u64,
    /// Marks.
    pub marks: u64,
    /// Control records.
    pub controls: u64,
}

kept!(Counts {
    clicks,
    impressions,
    ticks,
    marks,
    controls
});

impl Counts {
    /// Counts one record's effect.
    pub fn count(&mut self, effect: &Effect) {
        match effect {
            Effect::Ended(ending) => match ending.kind {
                Kind::Click => self.clicks.count(&ending.judgement),
                Kind::Impression => self.impressions.count(&ending.judgement),
            },
            Effect::Unreadable { judgement, .. } => self.clicks.count(judgement),
            Effect::Tick { .. } => self.ticks += 1,
            Effect::Mark(_) => self.marks += 1,
            Effect::Control { .. } | Effect::Money { .. } => self.controls += 1,
        }
    }

    /// What was counted since an earlier look; the identities between the numbers are asserted.
    pub(crate) fn since(&self, earlier: &Counts) -> Counts {
        let since = Counts {
            clicks: self.clicks.since(&earlier.clicks),
            impressions: self.impressions.since(&earlier.impressions),
            ticks: self.ticks - earlier.ticks,
            marks: self.marks - earlier.marks,
            controls: self.controls - earlier.controls,
        };
        since.clicks.check();
        since.impressions.check();
        assert!(
            since.impressions.spend.is_empty(),
            "impressions cost nothing"
        );
        since
    }

    /// All records.
    pub fn records(&self) -> u64 {
        let events = self.clicks.records() + self.impressions.records();
        events + self.ticks + self.marks + self.controls
    }
}
