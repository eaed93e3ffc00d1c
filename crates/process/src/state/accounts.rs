//! The advertisers' accounts: what is left, or owed, and where clicks stop.

use tollgate_click::codec::{DecodeError, Reader};
use tollgate_click::control::{Advertiser, Money, MoneyKind, Payment};
use tollgate_click::{AdvertiserId, Currency, Micros};

use super::index::{Dense, Place};
use super::kept::{Kept, kept};
use crate::effects::{MoneyRefusal, NotApplied};

/// All accounts of the partition.
#[derive(Clone, PartialEq, Default, Debug)]
pub(crate) struct Accounts {
    accounts: Dense<AdvertiserId, Account>,
}

/// One advertiser's account. Clicks count at once, posted or not.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Account {
    /// Fixed by the advertiser's first record or its first campaign.
    pub(crate) currency: Currency,
    /// None until the advertiser's own record comes; its campaigns run as `Open` until then.
    payment: Option<Payment>,
    /// Money commands less charges. Below 0 is what the advertiser owes.
    balance: Micros,
    /// The sum of all money commands.
    money: i128,
}

kept!(Accounts { accounts });
kept!(Account {
    currency,
    payment,
    balance,
    money
});

impl Accounts {
    /// A new or changed advertiser, in force from now on.
    pub(crate) fn change(&mut self, advertiser: &Advertiser) -> Result<(), NotApplied> {
        let place = self.open(advertiser.advertiser, advertiser.currency)?;
        if let Some(account) = self.accounts.at_mut(place) {
            account.payment = Some(advertiser.payment);
        }
        Ok(())
    }

    /// The advertiser's account, made if there is none; refused in another currency than its own.
    pub(crate) fn open(
        &mut self,
        advertiser: AdvertiserId,
        currency: Currency,
    ) -> Result<Place, NotApplied> {
        let Some(place) = self.accounts.place(advertiser) else {
            let account = Account {
                currency,
                payment: None,
                balance: Micros::ZERO,
                money: 0,
            };
            return Ok(self.accounts.push(advertiser, account));
        };
        match self.accounts.at(place) {
            Some(account) if account.currency == currency => Ok(place),
            _ => Err(NotApplied::OtherCurrency),
        }
    }

    /// The balance after a money command, unless something about it is wrong.
    pub(crate) fn check(&self, money: &Money) -> Result<Micros, MoneyRefusal> {
        let account = self.accounts.get(money.advertiser);
        let account = account
            .filter(|account| account.payment.is_some())
            .ok_or(MoneyRefusal::UnknownAdvertiser)?;
        if account.currency != money.currency {
            return Err(MoneyRefusal::OtherCurrency);
        }
        let sensible = match money.kind {
            MoneyKind::TopUp | MoneyKind::Credit => money.amount > Micros::ZERO,
            MoneyKind::Adjustment => money.amount != Micros::ZERO,
        };
        if !sensible {
            return Err(MoneyRefusal::Amount);
        }
        let balance = account.balance.plus(money.amount);
        balance.map_err(|_| MoneyRefusal::TooLarge)
    }

    /// Makes the balance what [`Accounts::check`] has told.
    pub(crate) fn receive(&mut self, money: &Money, balance: Micros) {
        if let Some(account) = self.accounts.get_mut(money.advertiser) {
            account.balance = balance;
            account.money += i128::from(money.amount.0);
        }
    }

    /// The account of an advertiser.
    pub(crate) fn get(&self, advertiser: AdvertiserId) -> Option<&Account> {
        self.accounts.get(advertiser)
    }

    /// The account at a place.
    pub(crate) fn at(&self, place: Place) -> Option<&Account> {
        self.accounts.at(place)
    }

    /// Asks memory for the account at a place.
    pub(crate) fn prefetch(&self, place: Place) {
        self.accounts.prefetch_at(place);
    }

    /// The account at a place, to charge it.
    pub(crate) fn at_mut(&mut self, place: Place) -> Option<&mut Account> {
        self.accounts.at_mut(place)
    }

    /// All accounts.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&AdvertiserId, &Account)> {
        self.accounts.iter()
    }
}

impl Account {
    /// What is left; below 0 what is owed.
    pub(crate) fn balance(&self) -> Micros {
        self.balance
    }

    /// How it pays.
    pub(crate) fn payment(&self) -> Payment {
        self.payment.unwrap_or(Payment::Open)
    }

    /// What clicks were charged.
    pub(crate) fn charged(&self) -> i128 {
        self.money - i128::from(self.balance.0)
    }

    /// The balance after a charge, unless clicks stop before it.
    pub(crate) fn after(&self, charge: Micros) -> Option<Micros> {
        let floor = match self.payment() {
            Payment::Prepaid => Micros::ZERO,
            Payment::Credit { limit } => Micros(-limit.0.max(0)),
            Payment::Open => Micros(-i64::MAX),
        };
        let rest = self.balance.minus(charge).ok()?;
        (rest >= floor).then_some(rest)
    }

    /// Sets what [`Account::after`] has told.
    pub(crate) fn set_balance(&mut self, balance: Micros) {
        self.balance = balance;
    }
}

impl Kept for Payment {
    fn put(&self, out: &mut Vec<u8>) {
        match self {
            Payment::Open => out.push(0),
            Payment::Credit { limit } => {
                out.push(1);
                limit.put(out);
            }
            Payment::Prepaid => out.push(2),
        }
    }

    fn take(reader: &mut Reader<'_>) -> Result<Payment, DecodeError> {
        match reader.u8("payment")? {
            0 => Ok(Payment::Open),
            1 => Micros::take(reader).map(|limit| Payment::Credit { limit }),
            2 => Ok(Payment::Prepaid),
            _ => Err(DecodeError::Invalid("payment")),
        }
    }
}
