//! What is mostly absent, in eight bytes: rows that every click reads shall fit two lines of the
//! processor's cache.

use std::ops::Deref;

use tollgate_click::Micros;
use tollgate_click::codec::{DecodeError, Reader};

use super::kept::Kept;

/// A list that is mostly empty.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Rare<T>(
    #[allow(
        clippy::box_collection,
        reason = "an empty list shall be 8 bytes and not 24"
    )]
    Option<Box<Vec<T>>>,
);

impl<T> Default for Rare<T> {
    fn default() -> Rare<T> {
        Rare(None)
    }
}

impl<T> Rare<T> {
    /// Changes the list. An empty one has one form.
    pub(crate) fn change(&mut self, change: impl FnOnce(&mut Vec<T>)) {
        let mut list = self.0.take().unwrap_or_default();
        change(&mut list);
        self.0 = (!list.is_empty()).then_some(list);
    }
}

impl<T> Deref for Rare<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        self.0.as_ref().map_or(&[], |list| list)
    }
}

impl<T> From<Vec<T>> for Rare<T> {
    fn from(list: Vec<T>) -> Rare<T> {
        Rare((!list.is_empty()).then(|| Box::new(list)))
    }
}

impl<T: Kept> Kept for Rare<T> {
    fn put(&self, out: &mut Vec<u8>) {
        tollgate_click::codec::put_varint(out, self.len() as u64);
        self.iter().for_each(|item| item.put(out));
    }

    fn take(reader: &mut Reader<'_>) -> Result<Rare<T>, DecodeError> {
        Vec::take(reader).map(Rare::from)
    }
}

/// An amount that may be absent. The lowest number stands for none: no limit or price is so low.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct MaybeMicros(i64);

impl MaybeMicros {
    /// The amount.
    pub(crate) fn get(self) -> Option<Micros> {
        (self.0 != i64::MIN).then_some(Micros(self.0))
    }
}

impl Default for MaybeMicros {
    fn default() -> MaybeMicros {
        MaybeMicros(i64::MIN)
    }
}

impl From<Option<Micros>> for MaybeMicros {
    fn from(amount: Option<Micros>) -> MaybeMicros {
        amount.map_or(MaybeMicros::default(), |Micros(amount)| MaybeMicros(amount))
    }
}

impl Kept for MaybeMicros {
    fn put(&self, out: &mut Vec<u8>) {
        self.get().put(out);
    }

    fn take(reader: &mut Reader<'_>) -> Result<MaybeMicros, DecodeError> {
        match <Option<Micros> as Kept>::take(reader)? {
            Some(Micros(i64::MIN)) => Err(DecodeError::Invalid("an amount")),
            amount => Ok(amount.into()),
        }
    }
}
