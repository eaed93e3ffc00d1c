//! Money: integer micro-units of a currency, checked arithmetic, no floats.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

/// An amount in millionths of a currency unit (1,000,000 is one dollar).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Debug)]
pub struct Micros(pub i64);

/// A sum that left the range of 64 bits (more than nine trillion units).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
#[error("money left the range of 64-bit micro-units")]
pub struct MoneyOverflow;

impl Micros {
    /// Nothing.
    pub const ZERO: Micros = Micros(0);

    /// The sum, or an error when it leaves the range.
    pub fn plus(self, other: Micros) -> Result<Micros, MoneyOverflow> {
        self.0.checked_add(other.0).map(Micros).ok_or(MoneyOverflow)
    }

    /// The difference, or an error when it leaves the range.
    pub fn minus(self, other: Micros) -> Result<Micros, MoneyOverflow> {
        self.0.checked_sub(other.0).map(Micros).ok_or(MoneyOverflow)
    }
}

impl fmt::Display for Micros {
    /// Units with six decimals, such as `0.350000`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.0 < 0 { "-" } else { "" };
        let whole = self.0.unsigned_abs();
        write!(f, "{sign}{}.{:06}", whole / 1_000_000, whole % 1_000_000)
    }
}

/// An ISO 4217 currency code: three upper-case ASCII letters.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Currency([u8; 3]);

/// Text that is no currency code.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
#[error("a currency is three upper-case letters, such as USD")]
pub struct BadCurrency;

impl Currency {
    /// From three bytes that must be upper-case ASCII letters.
    pub fn from_bytes(bytes: [u8; 3]) -> Result<Currency, BadCurrency> {
        if bytes.iter().all(u8::is_ascii_uppercase) {
            Ok(Currency(bytes))
        } else {
            Err(BadCurrency)
        }
    }

    /// The three letters.
    pub fn bytes(self) -> [u8; 3] {
        self.0
    }
}

impl FromStr for Currency {
    type Err = BadCurrency;

    fn from_str(text: &str) -> Result<Currency, BadCurrency> {
        Currency::from_bytes(text.as_bytes().try_into().map_err(|_| BadCurrency)?)
    }
}

impl fmt::Display for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0
            .iter()
            .try_for_each(|letter| write!(f, "{}", char::from(*letter)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_are_checked() {
        assert_eq!(Micros(2).plus(Micros(3)), Ok(Micros(5)));
        assert_eq!(Micros(i64::MAX).plus(Micros(1)), Err(MoneyOverflow));
        assert_eq!(Micros(i64::MIN).minus(Micros(1)), Err(MoneyOverflow));
    }

    #[test]
    fn amounts_are_shown_with_six_decimals() {
        assert_eq!(Micros(350_000).to_string(), "0.350000");
        assert_eq!(Micros(-1_000_001).to_string(), "-1.000001");
        assert_eq!(Micros(i64::MIN).to_string(), "-9223372036854.775808");
    }

    #[test]
    fn currency_is_three_capitals() {
        assert_eq!(
            "USD".parse::<Currency>().map(|c| c.to_string()),
            Ok("USD".to_owned())
        );
        for wrong in ["usd", "US", "USDX", "U5D", ""] {
            assert_eq!(wrong.parse::<Currency>(), Err(BadCurrency), "{wrong:?}");
        }
    }
}
