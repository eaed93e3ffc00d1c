//! How the state is written down: field by field, each type in both directions.
//!
//! Numbers are varints as in [`tollgate_click::codec`], signed numbers fixed little-endian, a
//! list or map its length and its items, a map in the order of its keys, an option one byte 0 or
//! 1 and the value. A value has one form only, so equal states have equal bytes and the state's
//! hash is the hash of its bytes.

use std::collections::BTreeMap;

use tollgate_click::codec::{DecodeError, Reader, put_bytes, put_varint};
use tollgate_click::control::Scope;
use tollgate_click::{
    AdvertiserId, CampaignId, ControlNumber, Currency, EdgeId, KeyId, LinkId, Micros, Millis,
    Minute, Ordinal, PartitionId, PublisherId,
};

use super::ApplyVersion;

/// Longest text in a state.
const TEXT_BYTES_MAX: usize = 64 * 1024;

/// A part of the state that is written down.
pub(crate) trait Kept: Sized {
    /// Appends the value.
    fn put(&self, out: &mut Vec<u8>);

    /// Reads what `put` has written.
    fn take(reader: &mut Reader<'_>) -> Result<Self, DecodeError>;
}

/// A struct is its fields in the order given. One that is left out does not compile.
macro_rules! kept {
    ($name:ident { $($field:ident),+ $(,)? }) => {
        impl $crate::state::kept::Kept for $name {
            fn put(&self, out: &mut Vec<u8>) {
                let $name { $($field),+ } = self;
                $($crate::state::kept::Kept::put($field, out);)+
            }

            fn take(
                reader: &mut ::tollgate_click::codec::Reader<'_>,
            ) -> Result<Self, ::tollgate_click::codec::DecodeError> {
                Ok($name { $($field: $crate::state::kept::Kept::take(reader)?),+ })
            }
        }
    };
}
pub(crate) use kept;

impl Kept for u64 {
    fn put(&self, out: &mut Vec<u8>) {
        put_varint(out, *self);
    }

    fn take(reader: &mut Reader<'_>) -> Result<u64, DecodeError> {
        reader.varint("a number")
    }
}

/// Numbers of fewer bits, and numbers with a name.
macro_rules! as_number {
    ($($name:ty, $number:ty, $get:expr, $new:expr;)+) => {$(
        impl Kept for $name {
            fn put(&self, out: &mut Vec<u8>) {
                let get: fn(&$name) -> $number = $get;
                put_varint(out, u64::from(get(self)));
            }

            fn take(reader: &mut Reader<'_>) -> Result<$name, DecodeError> {
                let invalid = DecodeError::Invalid(stringify!($name));
                let number = reader.varint(stringify!($name))?;
                let new: fn($number) -> Option<$name> = $new;
                <$number>::try_from(number).ok().and_then(new).ok_or(invalid)
            }
        }
    )+};
}

as_number! {
    u8, u8, |n| *n, Some;
    u16, u16, |n| *n, Some;
    u32, u32, |n| *n, Some;
    bool, u8, |b| u8::from(*b), |n| (n < 2).then_some(n == 1);
    AdvertiserId, u32, |id| id.0, |n| Some(AdvertiserId(n));
    CampaignId, u64, |id| id.0, |n| Some(CampaignId(n));
    PublisherId, u32, |id| id.0, |n| Some(PublisherId(n));
    LinkId, u64, |id| id.0, |n| Some(LinkId(n));
    KeyId, u32, |id| id.0, |n| Some(KeyId(n));
    ControlNumber, u64, |n| n.0, |n| Some(ControlNumber(n));
    Ordinal, u64, |n| n.0, |n| Some(Ordinal(n));
    Millis, u64, |at| at.0, |n| Some(Millis(n));
    Minute, u32, |minute| minute.0, |n| Some(Minute(n));
    PartitionId, u16, |id| id.get(), |n| PartitionId::new(n).ok();
    EdgeId, u16, |id| id.get(), |n| EdgeId::new(n).ok();
    ApplyVersion, u16, |version| *version as u16, |n| ApplyVersion::try_from(n).ok();
}

/// Values of fixed length.
macro_rules! as_bytes {
    ($($name:ty, $get:expr, $new:expr;)+) => {$(
        impl Kept for $name {
            fn put(&self, out: &mut Vec<u8>) {
                out.extend_from_slice(&($get)(self));
            }

            fn take(reader: &mut Reader<'_>) -> Result<$name, DecodeError> {
                let bytes = reader.array(stringify!($name))?;
                ($new)(bytes).ok_or(DecodeError::Invalid(stringify!($name)))
            }
        }
    )+};
}

as_bytes! {
    i64, |n: &i64| n.to_le_bytes(), |b| Some(i64::from_le_bytes(b));
    i128, |n: &i128| n.to_le_bytes(), |b| Some(i128::from_le_bytes(b));
    Micros, |m: &Micros| m.0.to_le_bytes(), |b| Some(Micros(i64::from_le_bytes(b)));
    [u8; 16], |b: &[u8; 16]| *b, Some;
    [u8; 32], |b: &[u8; 32]| *b, Some;
    Currency, |c: &Currency| c.bytes(), |b| Currency::from_bytes(b).ok();
}

impl Kept for i32 {
    fn put(&self, out: &mut Vec<u8>) {
        i64::from(*self).put(out);
    }

    fn take(reader: &mut Reader<'_>) -> Result<i32, DecodeError> {
        i32::try_from(i64::take(reader)?).map_err(|_| DecodeError::Invalid("i32"))
    }
}

impl Kept for String {
    fn put(&self, out: &mut Vec<u8>) {
        put_bytes(out, self.as_bytes());
    }

    fn take(reader: &mut Reader<'_>) -> Result<String, DecodeError> {
        reader.text(TEXT_BYTES_MAX, "a text").map(str::to_owned)
    }
}

impl Kept for Scope {
    fn put(&self, out: &mut Vec<u8>) {
        match self {
            Scope::All => out.push(0),
            Scope::Only(advertisers) => {
                out.push(1);
                advertisers.put(out);
            }
        }
    }

    fn take(reader: &mut Reader<'_>) -> Result<Scope, DecodeError> {
        match reader.u8("a scope")? {
            0 => Ok(Scope::All),
            1 => Ok(Scope::Only(Kept::take(reader)?)),
            _ => Err(DecodeError::Invalid("a scope")),
        }
    }
}

impl<T: Kept> Kept for Option<T> {
    fn put(&self, out: &mut Vec<u8>) {
        out.push(u8::from(self.is_some()));
        if let Some(value) = self {
            value.put(out);
        }
    }

    fn take(reader: &mut Reader<'_>) -> Result<Option<T>, DecodeError> {
        match reader.u8("an option")? {
            0 => Ok(None),
            1 => T::take(reader).map(Some),
            _ => Err(DecodeError::Invalid("an option")),
        }
    }
}

impl<A: Kept, B: Kept> Kept for (A, B) {
    fn put(&self, out: &mut Vec<u8>) {
        self.0.put(out);
        self.1.put(out);
    }

    fn take(reader: &mut Reader<'_>) -> Result<(A, B), DecodeError> {
        Ok((A::take(reader)?, B::take(reader)?))
    }
}

impl<const N: usize> Kept for [u64; N] {
    fn put(&self, out: &mut Vec<u8>) {
        self.iter().for_each(|number| number.put(out));
    }

    fn take(reader: &mut Reader<'_>) -> Result<[u64; N], DecodeError> {
        let mut numbers = [0; N];
        for number in &mut numbers {
            *number = u64::take(reader)?;
        }
        Ok(numbers)
    }
}

impl<T: Kept> Kept for Vec<T> {
    fn put(&self, out: &mut Vec<u8>) {
        put_varint(out, self.len() as u64);
        self.iter().for_each(|item| item.put(out));
    }

    fn take(reader: &mut Reader<'_>) -> Result<Vec<T>, DecodeError> {
        let length = reader.varint("a length")?;
        let mut items = Vec::new(); // grows with what is there, not with what is claimed
        for _ in 0..length {
            items.push(T::take(reader)?);
        }
        Ok(items)
    }
}

impl<K: Kept + Ord, V: Kept> Kept for BTreeMap<K, V> {
    fn put(&self, out: &mut Vec<u8>) {
        put_varint(out, self.len() as u64);
        for (key, value) in self {
            key.put(out);
            value.put(out);
        }
    }

    fn take(reader: &mut Reader<'_>) -> Result<BTreeMap<K, V>, DecodeError> {
        let length = reader.varint("a length")?;
        let mut map = BTreeMap::new();
        for _ in 0..length {
            let key = K::take(reader)?;
            if map.last_key_value().is_some_and(|(last, _)| *last >= key) {
                return Err(DecodeError::Invalid("the order of a map"));
            }
            map.insert(key, V::take(reader)?);
        }
        Ok(map)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn back<T: Kept>(bytes: &[u8]) -> Result<T, DecodeError> {
        let mut reader = Reader::new(bytes);
        let value = T::take(&mut reader)?;
        reader.finish().map(|()| value)
    }

    fn same<T: Kept + PartialEq + std::fmt::Debug>(value: T) {
        let mut bytes = Vec::new();
        value.put(&mut bytes);
        assert_eq!(back::<T>(&bytes).as_ref(), Ok(&value));
        for length in 0..bytes.len() {
            assert!(
                back::<T>(&bytes[..length]).is_err(),
                "{value:?} cut at {length}"
            );
        }
    }

    #[test]
    fn each_type_comes_back() {
        same(u64::MAX);
        same(i32::MIN);
        same(i128::MIN);
        same(Micros(-5));
        same("naïve".to_owned());
        same(Scope::Only(vec![AdvertiserId(1), AdvertiserId(u32::MAX)]));
        same(vec![Some((true, Minute(7))), None]);
        same(BTreeMap::from([
            (CampaignId(1), [1u64, 2]),
            (CampaignId(9), [0, 3]),
        ]));
    }

    #[test]
    fn a_value_has_one_form() {
        assert_eq!(back::<bool>(&[2]), Err(DecodeError::Invalid("bool")));
        assert!(back::<Option<bool>>(&[2, 1]).is_err());
        assert!(back::<u8>(&[0x80, 0x02]).is_err(), "256");
        assert!(back::<BTreeMap<u8, u8>>(&[2, 5, 0, 4, 0]).is_err(), "order");
        assert!(back::<BTreeMap<u8, u8>>(&[2, 5, 0, 5, 0]).is_err(), "twice");
        assert!(
            back::<Vec<u64>>(&[0xFF, 0xFF, 0xFF, 0xFF, 0x0F]).is_err(),
            "a false length"
        );
    }
}
