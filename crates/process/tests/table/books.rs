//! The books: what effects come to, by account, campaign, publisher and minute. Another number
//! of partitions or another restart must give the same, byte for byte.

use std::collections::BTreeMap;

use tollgate_click::{Currency, Micros, Minute, Outcome};
use tollgate_process::{Effect, Effects, Ending};

use super::world::shown_minute;

/// Sums by what they are sums of.
#[derive(Clone, PartialEq, Default, Debug)]
pub(crate) struct Books {
    /// Micro-units by account and currency.
    accounts: BTreeMap<(Account, Currency), i128>,
    /// The lines of the export.
    lines: BTreeMap<String, i128>,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Account {
    Advertiser(u32),
    Publisher(u32),
    Platform,
    Outside,
}

impl Books {
    /// Enters one effect, posted in the minute of the clock when it was applied.
    pub(crate) fn enter(&mut self, posted_in: Minute, effects: &Effects, place: &str) {
        match &effects.effect {
            Effect::Ended(ending) => self.end(posted_in, ending),
            Effect::Money { money, .. } if effects.effect.money_to_post().is_some() => {
                let amount = i128::from(money.amount.0);
                let advertiser = Account::Advertiser(money.advertiser.0);
                self.post(posted_in, advertiser, money.currency, amount);
                self.post(posted_in, Account::Outside, money.currency, -amount);
            }
            Effect::Tick {
                closed: Some(closed),
                ..
            } => {
                // The parts of a minute, added up a second way.
                let clicks = &closed.counts.clicks;
                let sum: u64 = Outcome::ALL.into_iter().map(|one| clicks.of(one)).sum();
                assert_eq!(sum, clicks.records(), "{place}");
            }
            _ => {}
        }
    }

    fn end(&mut self, posted_in: Minute, ending: &Ending) {
        let (facts, judgement) = (&ending.facts, &ending.judgement);
        let (advertiser, campaign) = (facts.advertiser.0, facts.campaign.0);
        let reported_in = shown_minute(facts.reported_at().minute());
        let outcome = judgement.outcome.name();
        let kind = format!("{:?}", ending.kind).to_lowercase();
        let of = format!("advertiser {advertiser} campaign {campaign}");
        self.line(
            format!("reported in {reported_in}: {kind} of {of} {outcome}"),
            1,
        );
        if judgement.outcome != Outcome::Billed {
            return;
        }
        let currency = judgement.currency.unwrap();
        let [charge, share] = [judgement.charge, judgement.share].map(|one| i128::from(one.0));
        self.post(
            posted_in,
            Account::Advertiser(advertiser),
            currency,
            -charge,
        );
        self.post(
            posted_in,
            Account::Publisher(facts.publisher.0),
            currency,
            share,
        );
        self.post(posted_in, Account::Platform, currency, charge - share);
        let minute = shown_minute(posted_in);
        for name in [
            format!("{of} {currency}"),
            format!("{of} {currency} in {minute}"),
        ] {
            self.line(format!("{name}: clicks"), 1);
            self.line(format!("{name}: spend"), charge);
        }
    }

    fn post(&mut self, minute: Minute, account: Account, currency: Currency, amount: i128) {
        *self.accounts.entry((account, currency)).or_default() += amount;
        let minute = shown_minute(minute);
        self.line(format!("{account:?} {currency}"), amount);
        self.line(format!("{account:?} {currency} in {minute}"), amount);
    }

    fn line(&mut self, name: String, amount: i128) {
        *self.lines.entry(name).or_default() += amount;
    }

    /// The canonical export.
    pub(crate) fn export(&self) -> String {
        let line = |(name, amount): (&String, &i128)| format!("{name} {amount}\n");
        self.lines.iter().map(line).collect()
    }

    /// What advertisers have or owe, in words.
    pub(crate) fn balances(&self) -> String {
        let told = self
            .accounts
            .iter()
            .filter_map(|((account, currency), sum)| {
                let Account::Advertiser(number) = account else {
                    return None;
                };
                let has = if *sum < 0 { "owes" } else { "has" };
                Some(format!("{number} {has} {} {currency}", shown(sum.abs())))
            });
        told.collect::<Vec<_>>().join(", ")
    }

    /// What publishers and the platform have earned, in words.
    pub(crate) fn earned(&self) -> String {
        let told = self
            .accounts
            .iter()
            .filter_map(|((account, currency), sum)| {
                let who = match account {
                    Account::Publisher(number) => format!("publisher {number}"),
                    Account::Platform => "platform".to_owned(),
                    Account::Advertiser(_) | Account::Outside => return None,
                };
                Some(format!("{who} {} {currency}", shown(*sum)))
            });
        told.collect::<Vec<_>>().join(", ")
    }

    /// Nothing is made or lost: the accounts of a currency sum to 0.
    pub(crate) fn check(&self, place: &str) {
        let mut sums: BTreeMap<Currency, i128> = BTreeMap::new();
        for ((_, currency), amount) in &self.accounts {
            *sums.entry(*currency).or_default() += amount;
        }
        assert!(sums.values().all(|sum| *sum == 0), "{place}: {sums:?}");
    }

    /// Each advertiser with its currency and balance in micro-units.
    pub(crate) fn advertisers(&self) -> impl Iterator<Item = (u32, Currency, i128)> {
        let accounts = self.accounts.iter();
        accounts.filter_map(|((account, currency), sum)| match account {
            Account::Advertiser(number) => Some((*number, *currency, *sum)),
            _ => None,
        })
    }
}

fn shown(micros: i128) -> String {
    Micros(i64::try_from(micros).unwrap()).to_string()
}
