//! How the price of one click is shared between publisher and platform.
//!
//! Shares are rounded per click, so that each click's share can stand in its Merkle leaf and the
//! sum over any set of clicks is the sum of their shares: the publisher's part is rounded down to
//! a micro-unit and the rest is the platform's. Nothing is made or lost.

use thiserror::Error;
use tollgate_click::Micros;

/// One whole, in basis points.
pub const WHOLE: u16 = 10_000;

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
    #[error("a share of {0} basis points is more than {WHOLE}")]
    MoreThanWhole(u16),
    /// Nobody is paid for being clicked on.
    #[error("a price of {} micro-units is below 0", .0.0)]
    Negative(Micros),
}

/// Splits `price`; the publisher gets `basis_points` ten-thousandths of it.
pub fn split(price: Micros, basis_points: u16) -> Result<Shares, ShareError> {
    if basis_points > WHOLE {
        return Err(ShareError::MoreThanWhole(basis_points));
    }
    if price < Micros::ZERO {
        return Err(ShareError::Negative(price));
    }
    let publisher = i128::from(price.0) * i128::from(basis_points) / i128::from(WHOLE);
    // At most the price, so both conversions keep the value.
    let publisher = i64::try_from(publisher).unwrap_or(price.0);
    Ok(Shares {
        publisher: Micros(publisher),
        platform: Micros(price.0.saturating_sub(publisher)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn shares_sum_to_the_price(price in 0..=i64::MAX, basis_points in 0..=WHOLE) {
            let shares = split(Micros(price), basis_points).unwrap();
            prop_assert!(shares.publisher >= Micros::ZERO && shares.platform >= Micros::ZERO);
            prop_assert_eq!(shares.publisher.plus(shares.platform), Ok(Micros(price)));
            // Down, and by less than one micro-unit.
            let exact = i128::from(price) * i128::from(basis_points);
            let rest = exact - i128::from(shares.publisher.0) * i128::from(WHOLE);
            prop_assert!((0..i128::from(WHOLE)).contains(&rest));
        }
    }

    #[test]
    fn written_down() {
        let publisher = |price, points| split(Micros(price), points).unwrap().publisher.0;
        assert_eq!(publisher(350_000, 7_000), 245_000);
        assert_eq!(publisher(1, 9_999), 0);
        assert_eq!(publisher(333_333, 3_333), 111_099);
        assert_eq!(publisher(i64::MAX, WHOLE), i64::MAX);
        assert_eq!(
            split(Micros(1), 10_001),
            Err(ShareError::MoreThanWhole(10_001))
        );
        assert_eq!(split(Micros(-1), 1), Err(ShareError::Negative(Micros(-1))));
    }
}
