//! Bytes, field by field: little-endian fixed numbers, LEB128 numbers of varying length, and
//! length-prefixed byte strings. In-memory layout never reaches the disk.

use thiserror::Error;

use crate::money::{Currency, Micros};

/// Why bytes could not be read.
///
/// The two halves matter: `UnknownKind` and `UnknownVersion` were written by newer code, so the
/// partition halts and asks for it; all others are damage, so that one record is quarantined.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
pub enum DecodeError {
    /// A record of a kind that this code does not know.
    #[error("record kind {0} is unknown to this version")]
    UnknownKind(u8),
    /// A record of a version that this code does not know.
    #[error("record kind {kind} has version {version}, which is unknown to this version")]
    UnknownVersion {
        /// The record's kind byte.
        kind: u8,
        /// Its version byte.
        version: u8,
    },
    /// The bytes end inside a field.
    #[error("the record ends inside {0}")]
    Short(&'static str),
    /// A field holds what no writer of ours writes.
    #[error("{0} has a value that cannot be")]
    Invalid(&'static str),
    /// Bytes are left after the last field.
    #[error("{0} bytes are left after the last field")]
    Trailing(usize),
}

impl DecodeError {
    /// Whether newer code is needed (halt), rather than the record being damaged (quarantine).
    pub fn needs_newer_code(self) -> bool {
        matches!(
            self,
            DecodeError::UnknownKind(_) | DecodeError::UnknownVersion { .. }
        )
    }
}

/// Appends `value` as LEB128: seven bits a byte, lowest first.
pub fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push((value as u8) | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Appends the length as LEB128 and then the bytes.
pub fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put_varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// Appends a signed number as LEB128 with its sign in the lowest bit.
pub fn put_signed(out: &mut Vec<u8>, value: i64) {
    put_varint(out, ((value << 1) ^ (value >> 63)) as u64);
}

/// Appends one byte, 0 or 1, and the value after a 1.
pub fn put_option(out: &mut Vec<u8>, value: Option<u64>) {
    out.push(u8::from(value.is_some()));
    if let Some(value) = value {
        put_varint(out, value);
    }
}

/// Reads fields off the front of a byte string.
#[derive(Clone, Copy, Debug)]
pub struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    /// Reads from the first byte of `bytes` on.
    #[inline]
    pub fn new(bytes: &'a [u8]) -> Reader<'a> {
        Reader { rest: bytes }
    }

    /// The next `N` bytes.
    #[inline(always)]
    pub fn array<const N: usize>(&mut self, field: &'static str) -> Result<[u8; N], DecodeError> {
        let (head, rest) = self
            .rest
            .split_first_chunk()
            .ok_or(DecodeError::Short(field))?;
        self.rest = rest;
        Ok(*head)
    }

    /// The next `N` bytes, to be read on their own: one look at the end for many fields.
    #[inline(always)]
    pub fn part<const N: usize>(&mut self, field: &'static str) -> Result<Reader<'a>, DecodeError> {
        let (head, rest) = self
            .rest
            .split_first_chunk::<N>()
            .ok_or(DecodeError::Short(field))?;
        self.rest = rest;
        Ok(Reader { rest: head })
    }

    /// The next byte.
    #[inline]
    pub fn u8(&mut self, field: &'static str) -> Result<u8, DecodeError> {
        self.array::<1>(field).map(|[byte]| byte)
    }

    /// The next two bytes, little-endian.
    #[inline]
    pub fn u16(&mut self, field: &'static str) -> Result<u16, DecodeError> {
        self.array(field).map(u16::from_le_bytes)
    }

    /// The next eight bytes, little-endian.
    #[inline]
    pub fn u64(&mut self, field: &'static str) -> Result<u64, DecodeError> {
        self.array(field).map(u64::from_le_bytes)
    }

    /// A LEB128 number in its shortest form: a number has one encoding only.
    ///
    /// Where eight bytes are left they are looked at together: how long the next number is cannot
    /// be guessed, and a processor that guesses wrong waits longer than this takes.
    #[inline(always)]
    pub fn varint(&mut self, field: &'static str) -> Result<u64, DecodeError> {
        let Some(eight) = self.rest.first_chunk() else {
            return self.last_varint(field);
        };
        let word = u64::from_le_bytes(*eight);
        let ends = !word & 0x8080_8080_8080_8080;
        let length = ends.trailing_zeros() as usize / 8 + 1;
        let number = word & (ends ^ ends.wrapping_sub(1)); // up to the first byte that ends one
        let last = number >> (8 * (length as u32 - 1)).min(63);
        if ends == 0 || (last == 0 && length > 1) {
            return self.long_varint(field);
        }
        self.rest = self.rest.get(length..).unwrap_or_default();
        // Seven bits of each byte, pushed together: pairs, fours, all.
        let sevens = number & 0x7F7F_7F7F_7F7F_7F7F;
        let pairs = (sevens & 0x7F00_7F00_7F00_7F00) >> 1 | (sevens & 0x007F_007F_007F_007F);
        let fours = (pairs & 0x3FFF_0000_3FFF_0000) >> 2 | (pairs & 0x0000_3FFF_0000_3FFF);
        Ok((fours & 0x0FFF_FFFF_0000_0000) >> 4 | (fours & 0x0000_0000_0FFF_FFFF))
    }

    /// The same near the end, where numbers of one or three bytes are the most.
    #[inline]
    fn last_varint(&mut self, field: &'static str) -> Result<u64, DecodeError> {
        let bits = |byte: u8, place: u32| u64::from(byte & 0x7F) << (7 * place);
        let (value, rest) = match self.rest {
            [a @ ..0x80, rest @ ..] => (u64::from(*a), rest),
            [a, b @ 0x80..=0xFF, c @ 1..0x80, rest @ ..] => {
                (bits(*a, 0) | bits(*b, 1) | bits(*c, 2), rest)
            }
            _ => return self.long_varint(field),
        };
        self.rest = rest;
        Ok(value)
    }

    #[cold]
    fn long_varint(&mut self, field: &'static str) -> Result<u64, DecodeError> {
        let mut value: u64 = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.u8(field)?;
            let bits = u64::from(byte & 0x7F);
            if shift == 63 && bits > 1 {
                return Err(DecodeError::Invalid(field));
            }
            value |= bits << shift;
            if byte & 0x80 == 0 {
                let padded = byte == 0 && shift > 0;
                return if padded {
                    Err(DecodeError::Invalid(field))
                } else {
                    Ok(value)
                };
            }
        }
        Err(DecodeError::Invalid(field))
    }

    /// A LEB128 number that must fit 32 bits.
    #[inline(always)]
    pub fn varint_u32(&mut self, field: &'static str) -> Result<u32, DecodeError> {
        u32::try_from(self.varint(field)?).map_err(|_| DecodeError::Invalid(field))
    }

    /// A signed number with its sign in the lowest bit.
    pub fn signed(&mut self, field: &'static str) -> Result<i64, DecodeError> {
        let value = self.varint(field)?;
        Ok(((value >> 1) as i64) ^ -((value & 1) as i64))
    }

    /// A byte that must be 0 or 1.
    pub fn flag(&mut self, field: &'static str) -> Result<bool, DecodeError> {
        match self.u8(field)? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(DecodeError::Invalid(field)),
        }
    }

    /// A number that may be absent.
    pub fn option(&mut self, field: &'static str) -> Result<Option<u64>, DecodeError> {
        if self.flag(field)? {
            self.varint(field).map(Some)
        } else {
            Ok(None)
        }
    }

    /// An amount that is not below 0.
    #[inline]
    pub fn micros(&mut self, field: &'static str) -> Result<Micros, DecodeError> {
        micros(self.varint(field)?, field)
    }

    /// An amount that is not below 0 and may be absent.
    pub fn micros_option(&mut self, field: &'static str) -> Result<Option<Micros>, DecodeError> {
        let value = self.option(field)?;
        value.map(|value| micros(value, field)).transpose()
    }

    /// Three letters.
    pub fn currency(&mut self) -> Result<Currency, DecodeError> {
        let letters = self.array("currency")?;
        Currency::from_bytes(letters).map_err(|_| DecodeError::Invalid("currency"))
    }

    /// The length of a list of at most `max` items.
    pub fn list_length(&mut self, max: usize, field: &'static str) -> Result<usize, DecodeError> {
        let length = usize::try_from(self.varint(field)?).unwrap_or(usize::MAX);
        if length <= max {
            Ok(length)
        } else {
            Err(DecodeError::Invalid(field))
        }
    }

    /// A byte string of at most `max` bytes.
    pub fn bytes(&mut self, max: usize, field: &'static str) -> Result<&'a [u8], DecodeError> {
        let length = self.list_length(max, field)?;
        let (head, rest) = self
            .rest
            .split_at_checked(length)
            .ok_or(DecodeError::Short(field))?;
        self.rest = rest;
        Ok(head)
    }

    /// UTF-8 text of at most `max` bytes.
    pub fn text(&mut self, max: usize, field: &'static str) -> Result<&'a str, DecodeError> {
        std::str::from_utf8(self.bytes(max, field)?).map_err(|_| DecodeError::Invalid(field))
    }

    /// Nothing may be left.
    #[inline]
    pub fn finish(self) -> Result<(), DecodeError> {
        if self.rest.is_empty() {
            Ok(())
        } else {
            Err(DecodeError::Trailing(self.rest.len()))
        }
    }
}

fn micros(value: u64, field: &'static str) -> Result<Micros, DecodeError> {
    let micros = i64::try_from(value);
    micros.map(Micros).map_err(|_| DecodeError::Invalid(field))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn signed_round_trip(value: i64) {
            let mut out = Vec::new();
            put_signed(&mut out, value);
            let mut reader = Reader::new(&out);
            prop_assert_eq!(reader.signed("n"), Ok(value));
            prop_assert_eq!(reader.finish(), Ok(()));
            prop_assert!(out.len() == 1 || !(-64..64).contains(&value), "small ones are short");
        }

        #[test]
        fn varint_round_trip(value: u64) {
            let mut out = Vec::new();
            put_varint(&mut out, value);
            let mut reader = Reader::new(&out);
            prop_assert_eq!(reader.varint("n"), Ok(value));
            prop_assert_eq!(reader.finish(), Ok(()));
        }

        #[test]
        fn any_accepted_varint_is_the_shortest(
            bytes in proptest::collection::vec(any::<u8>(), 1..12),
        ) {
            let mut reader = Reader::new(&bytes);
            if let Ok(value) = reader.varint("n") {
                let mut again = Vec::new();
                put_varint(&mut again, value);
                prop_assert_eq!(&bytes[..again.len()], &again[..]);
            }
        }
    }

    #[test]
    fn a_length_past_the_limit_or_the_end_is_refused() {
        let mut out = Vec::new();
        put_bytes(&mut out, b"abcdef");
        assert_eq!(
            Reader::new(&out).bytes(5, "f"),
            Err(DecodeError::Invalid("f"))
        );
        assert_eq!(
            Reader::new(&out[..4]).bytes(6, "f"),
            Err(DecodeError::Short("f"))
        );
        assert_eq!(Reader::new(&out).bytes(6, "f"), Ok(&b"abcdef"[..]));
    }
}
