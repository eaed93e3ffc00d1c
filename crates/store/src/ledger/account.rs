//! Accounts: who holds money, and in which currency.
//!
//! Amounts are signed from the holder's side: positive credits the account, negative debits it.
//! So the balance of a prepaid account is what its advertiser has left, that of a payable what
//! its publisher is owed, that of the revenue account what the platform has earned; the outside
//! account mirrors all money that came in, and the balances of a currency sum to 0.

use std::fmt;

use thiserror::Error;
use tollgate_click::{AdvertiserId, Currency, Micros, PublisherId};

/// Who holds an account.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Holder {
    /// An advertiser that pays before its clicks: the balance is what is left.
    Prepaid(AdvertiserId),
    /// An advertiser that pays after its clicks: the balance is minus what it owes.
    Credit(AdvertiserId),
    /// What a publisher has earned and is to be paid.
    Payable(PublisherId),
    /// What the platform has earned.
    Revenue,
    /// The other side of corrections and of credit that was given away.
    Adjustments,
    /// The world: money comes in from it by top-up.
    Outside,
}

/// An account: a holder and a currency.
///
/// Its code packs both into a positive 64-bit number, the same in every ledger, by whose order
/// lines and books are sorted:
///
/// | bits | what |
/// |---|---|
/// | 1 | 0 |
/// | 7 | kind: 1 prepaid, 2 credit, 3 payable, 4 revenue, 5 adjustments, 6 outside |
/// | 24 | the currency's three letters |
/// | 32 | the owner's number, 0 where the kind has none |
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Account {
    code: i64,
}

/// A number that is no account's code.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
#[error("{0} is no account")]
pub struct NotAnAccount(pub i64);

impl Account {
    /// The account of that holder in that currency.
    pub fn new(holder: Holder, currency: Currency) -> Account {
        let (kind, owner) = match holder {
            Holder::Prepaid(advertiser) => (1, advertiser.0),
            Holder::Credit(advertiser) => (2, advertiser.0),
            Holder::Payable(publisher) => (3, publisher.0),
            Holder::Revenue => (4, 0),
            Holder::Adjustments => (5, 0),
            Holder::Outside => (6, 0),
        };
        let [a, b, c] = currency.bytes();
        let code = (i64::from(u32::from_be_bytes([kind, a, b, c])) << 32) | i64::from(owner);
        Account { code }
    }

    /// The account of that code.
    pub fn from_code(code: i64) -> Result<Account, NotAnAccount> {
        let account = Account { code };
        let [_, a, b, c, ..] = code.to_be_bytes();
        let currency = Currency::from_bytes([a, b, c]).map_err(|_| NotAnAccount(code))?;
        match account.try_holder() {
            Some(holder) if Account::new(holder, currency) == account => Ok(account),
            _ => Err(NotAnAccount(code)),
        }
    }

    /// The code.
    pub fn code(self) -> i64 {
        self.code
    }

    /// Who holds it.
    pub fn holder(self) -> Holder {
        // Every way to make an account checks the kind.
        self.try_holder().unwrap_or(Holder::Outside)
    }

    /// In which currency, as its three letters.
    pub fn currency(self) -> [u8; 3] {
        let [_, a, b, c, ..] = self.code.to_be_bytes();
        [a, b, c]
    }

    /// The holder's kind, as it is named in books.
    pub fn kind(self) -> &'static str {
        match self.holder() {
            Holder::Prepaid(_) => "prepaid",
            Holder::Credit(_) => "credit",
            Holder::Payable(_) => "payable",
            Holder::Revenue => "revenue",
            Holder::Adjustments => "adjustments",
            Holder::Outside => "outside",
        }
    }

    /// The owner's number, 0 where the kind has none.
    pub fn owner(self) -> u32 {
        let [.., a, b, c, d] = self.code.to_be_bytes();
        u32::from_be_bytes([a, b, c, d])
    }

    /// The advertiser, if it is one's account.
    pub fn advertiser(self) -> Option<AdvertiserId> {
        match self.holder() {
            Holder::Prepaid(advertiser) | Holder::Credit(advertiser) => Some(advertiser),
            _ => None,
        }
    }

    fn try_holder(self) -> Option<Holder> {
        let [kind, ..] = self.code.to_be_bytes();
        match kind {
            1 => Some(Holder::Prepaid(AdvertiserId(self.owner()))),
            2 => Some(Holder::Credit(AdvertiserId(self.owner()))),
            3 => Some(Holder::Payable(PublisherId(self.owner()))),
            4 => Some(Holder::Revenue),
            5 => Some(Holder::Adjustments),
            6 => Some(Holder::Outside),
            _ => None,
        }
    }
}

impl fmt::Display for Account {
    /// Such as `prepaid/7/USD`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let currency = self.currency();
        let currency = str::from_utf8(&currency).unwrap_or("???");
        write!(f, "{}/{}/{currency}", self.kind(), self.owner())
    }
}

/// All that was ever posted to an account.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Balance {
    /// The sum of its debits, in micro-units, not negative.
    pub debits: Micros,
    /// The sum of its credits, in micro-units, not negative.
    pub credits: Micros,
}

/// A balance that left the range of 64 bits.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
#[error("the balance left the range of 64-bit micro-units")]
pub struct BalanceOverflow;

impl Balance {
    /// Credits less debits. Both lie in 0..2^63, so the difference never leaves the range.
    pub fn net(self) -> Micros {
        Micros(self.credits.0.saturating_sub(self.debits.0))
    }

    /// The balance after a line of that amount.
    pub fn plus(self, amount: Micros) -> Result<Balance, BalanceOverflow> {
        let overflow = |_| BalanceOverflow;
        Ok(if amount < Micros::ZERO {
            Balance {
                debits: self.debits.minus(amount).map_err(overflow)?,
                ..self
            }
        } else {
            Balance {
                credits: self.credits.plus(amount).map_err(overflow)?,
                ..self
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn any_account() -> impl Strategy<Value = Account> {
        (1u8..=6, any::<u32>(), "[A-Z]{3}").prop_map(|(kind, owner, currency)| {
            let holder = match kind {
                1 => Holder::Prepaid(AdvertiserId(owner)),
                2 => Holder::Credit(AdvertiserId(owner)),
                3 => Holder::Payable(PublisherId(owner)),
                4 => Holder::Revenue,
                5 => Holder::Adjustments,
                _ => Holder::Outside,
            };
            Account::new(holder, currency.parse().unwrap())
        })
    }

    proptest! {
        #[test]
        fn an_account_comes_back_from_its_code(account in any_account()) {
            prop_assert_eq!(Account::from_code(account.code()), Ok(account));
            prop_assert!(account.code() > 0);
            let currency = Currency::from_bytes(account.currency()).unwrap();
            prop_assert_eq!(Account::new(account.holder(), currency), account);
        }

        #[test]
        fn only_codes_of_accounts_are_accounts(code: i64) {
            if let Ok(account) = Account::from_code(code) {
                prop_assert_eq!(account.code(), code);
            }
        }

        #[test]
        fn another_bit_is_another_account(account in any_account(), bit in 0u32..64) {
            let other = Account::from_code(account.code() ^ (1i64 << bit));
            prop_assert_ne!(other, Ok(account));
        }
    }

    #[test]
    fn codes_are_pinned() {
        // They stand in hashes: another packing would break every chain.
        let usd = "USD".parse().unwrap();
        let code = |holder| Account::new(holder, usd).code();
        assert_eq!(
            code(Holder::Prepaid(AdvertiserId(7))),
            0x0155_5344_0000_0007
        );
        assert_eq!(code(Holder::Outside), 0x0655_5344_0000_0000);
        for wrong in [
            0,
            -1,
            0x0455_5344_0000_0001,
            0x0755_5344_0000_0000,
            0x0155_7344_0000_0000,
        ] {
            assert_eq!(Account::from_code(wrong), Err(NotAnAccount(wrong)));
        }
    }

    #[test]
    fn balances_are_checked() {
        let full = Balance::default().plus(Micros(i64::MAX)).unwrap();
        assert_eq!(full.plus(Micros(1)), Err(BalanceOverflow));
        assert_eq!(full.plus(Micros(i64::MIN)), Err(BalanceOverflow));
        let both = full.plus(Micros(-i64::MAX)).unwrap();
        assert_eq!(both.net(), Micros::ZERO);
        assert_eq!(both.plus(Micros(-1)), Err(BalanceOverflow));
    }
}
