//! Integers of 64 bits in JSON.
//!
//! Many readers of JSON keep numbers as floats, which are exact up to 2^53 only. So a number
//! beyond that is written as a string of digits, and both forms are read. Money and ids go
//! through here; no float ever stands in between.

use std::fmt;
use std::marker::PhantomData;

use serde::de::{self, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{ObjectBuilder, OneOfBuilder, Schema, SchemaType, Type};
use utoipa::{PartialSchema, ToSchema};

/// The largest number that every reader of JSON keeps exactly: 2^53 - 1.
pub const EXACT_MAX: u64 = (1 << 53) - 1;

/// An integer: a JSON number up to 2^53 - 1 in size, else a string of digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Integer<T>(pub T);

/// One without a sign: ids and counts.
pub type Unsigned = Integer<u64>;

/// One with a sign: money.
pub type Signed = Integer<i64>;

/// What stands behind an [`Integer`].
pub trait Whole: Copy + fmt::Display + std::str::FromStr + TryFrom<i64> + TryFrom<u64> {
    /// How far it is from 0.
    fn size(self) -> u64;
    /// As JSON's own number, where it is small enough.
    fn as_i64(self) -> i64;
}

impl Whole for u64 {
    fn size(self) -> u64 {
        self
    }

    fn as_i64(self) -> i64 {
        i64::try_from(self).unwrap_or(i64::MAX)
    }
}

impl Whole for i64 {
    fn size(self) -> u64 {
        self.unsigned_abs()
    }

    fn as_i64(self) -> i64 {
        self
    }
}

impl<T: Whole> Serialize for Integer<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0.size() {
            0..=EXACT_MAX => serializer.serialize_i64(self.0.as_i64()),
            _ => serializer.collect_str(&self.0),
        }
    }
}

impl<'de, T: Whole> Deserialize<'de> for Integer<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Integer<T>, D::Error> {
        deserializer.deserialize_any(Either(PhantomData))
    }
}

struct Either<T>(PhantomData<T>);

impl<T: Whole> Visitor<'_> for Either<T> {
    type Value = Integer<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an integer, as a number or as a string of digits")
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<Integer<T>, E> {
        let fits = T::try_from(value).map(Integer);
        fits.map_err(|_| E::custom(format_args!("{value} is out of range")))
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<Integer<T>, E> {
        let fits = T::try_from(value).map(Integer);
        fits.map_err(|_| E::custom(format_args!("{value} is out of range")))
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Integer<T>, E> {
        let digits = text.strip_prefix('-').unwrap_or(text);
        let is_plain = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
        let value = text.parse().ok().filter(|_| is_plain);
        value
            .map(Integer)
            .ok_or_else(|| E::custom("it is no integer of 64 bits"))
    }
}

impl<T> PartialSchema for Integer<T> {
    fn schema() -> RefOr<Schema> {
        let number = ObjectBuilder::new().schema_type(SchemaType::new(Type::Integer));
        let text = ObjectBuilder::new()
            .schema_type(SchemaType::new(Type::String))
            .pattern(Some("^-?[0-9]{16,20}$"));
        let both = OneOfBuilder::new().item(number).item(text);
        let both = both.description(Some(
            "An integer of 64 bits: a number up to 2^53 - 1 in size, else a string of digits; \
             both are read.",
        ));
        RefOr::T(Schema::OneOf(both.build()))
    }
}

impl<T> ToSchema for Integer<T> {
    fn name() -> std::borrow::Cow<'static, str> {
        "Integer".into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_integers_are_strings_and_both_forms_are_read() {
        let write = |value: i64| serde_json::to_string(&Integer(value)).unwrap();
        assert_eq!(write(9_007_199_254_740_991), "9007199254740991");
        assert_eq!(write(9_007_199_254_740_992), "\"9007199254740992\"");
        assert_eq!(write(i64::MIN), "\"-9223372036854775808\"");
        assert_eq!(
            serde_json::to_string(&Integer(u64::MAX)).unwrap(),
            "\"18446744073709551615\""
        );
        let read = |text: &str| {
            serde_json::from_str::<Integer<u64>>(text)
                .map(|it| it.0)
                .ok()
        };
        assert_eq!(read("7"), Some(7));
        assert_eq!(read("\"18446744073709551615\""), Some(u64::MAX));
        for wrong in [
            "-1", "1.0", "1e3", "\"\"", "\"+1\"", "\"1 \"", "\"-1\"", "1e999", "null",
        ] {
            assert_eq!(read(wrong), None, "{wrong}");
        }
        let signed = |text: &str| {
            serde_json::from_str::<Integer<i64>>(text)
                .map(|it| it.0)
                .ok()
        };
        assert_eq!(signed("-5"), Some(-5));
        assert_eq!(signed("9223372036854775808"), None);
    }
}
