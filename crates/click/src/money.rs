//! Money: integer micro-units of a currency, checked arithmetic, no floats; and how the price of
//! a click is shared.
//!
//! Shares are rounded per click, so that each click's share can stand in its Merkle leaf and the
//! sum over any set of clicks is the sum of their shares. The publisher's part is rounded to the
//! nearest micro-unit, a half down, and the rest is the platform's: nothing is made or lost.

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

/// One whole, in basis points.
pub const WHOLE_BASIS_POINTS: u16 = 10_000;

/// A click's price in two parts that sum to it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Shares {
    /// What the publisher is paid.
    pub publisher: Micros,
    /// What the platform keeps.
    pub platform: Micros,
}

/// A price or share that cannot be.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
pub enum ShareError {
    /// More than the whole.
    #[error("a share of {0} basis points is more than {WHOLE_BASIS_POINTS}")]
    MoreThanWhole(u16),
    /// Nobody is paid for being clicked on.
    #[error("a price of {} micro-units is below 0", .0.0)]
    Negative(Micros),
}

/// Splits `price`; the publisher gets `basis_points` ten-thousandths of it.
///
/// # Errors
///
/// [`ShareError`] for a price below 0 or a share above the whole.
pub fn split(price: Micros, basis_points: u16) -> Result<Shares, ShareError> {
    if basis_points > WHOLE_BASIS_POINTS {
        return Err(ShareError::MoreThanWhole(basis_points));
    }
    if price < Micros::ZERO {
        return Err(ShareError::Negative(price));
    }
    // Whole units first and their rest after, so that 64 bits are enough and no wide division
    // stands in the way of each click.
    let (whole, points) = (i64::from(WHOLE_BASIS_POINTS), i64::from(basis_points));
    let below_half = whole / 2 - 1;
    let publisher = price.0 / whole * points + (price.0 % whole * points + below_half) / whole;
    Ok(Shares {
        publisher: Micros(publisher),
        platform: Micros(price.0 - publisher),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn shares_sum_to_the_price(price in 0..=i64::MAX, basis_points in 0..=WHOLE_BASIS_POINTS) {
            let shares = split(Micros(price), basis_points).unwrap();
            prop_assert!(shares.publisher >= Micros::ZERO && shares.platform >= Micros::ZERO);
            prop_assert_eq!(shares.publisher.plus(shares.platform), Ok(Micros(price)));
            // The nearest: at most half a micro-unit below the exact part, less than half above.
            let exact = i128::from(price) * i128::from(basis_points);
            let rest = exact - i128::from(shares.publisher.0) * i128::from(WHOLE_BASIS_POINTS);
            prop_assert!((-4_999..=5_000).contains(&rest), "{rest}");
        }
    }

    #[test]
    fn shares_written_down() {
        let publisher = |price, points| split(Micros(price), points).unwrap().publisher.0;
        assert_eq!(publisher(350_000, 7_000), 245_000);
        assert_eq!(publisher(1, 9_999), 1);
        assert_eq!(publisher(1, 5_000), 0, "a half is the platform's");
        assert_eq!(publisher(3, 5_000), 1);
        assert_eq!(publisher(1, 5_001), 1);
        assert_eq!(publisher(333_333, 3_333), 111_100);
        assert_eq!(publisher(i64::MAX, WHOLE_BASIS_POINTS), i64::MAX);
        assert_eq!(publisher(i64::MAX, 0), 0);
        assert_eq!(
            split(Micros(1), 10_001),
            Err(ShareError::MoreThanWhole(10_001))
        );
        assert_eq!(split(Micros(-1), 1), Err(ShareError::Negative(Micros(-1))));
    }

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
