//! The personal part of a click: kept apart from the facts, with a shorter life.
//!
//! # Layout, version 1
//!
//! | bytes | field |
//! |---|---|
//! | 1 | version: 1 |
//! | 16 | salt, random |
//! | 1 + 0, 4 or 16 | address: tag 0 none, 4 IPv4, 6 IPv6, then the address |
//! | string each | user agent, referrer, language |
//! | 1 | mask of the sub-ids that follow, bit 0 is `sub1` |
//! | string each | sub-ids |
//!
//! A string is its length as LEB128 and its bytes, exactly as received: no text encoding is
//! assumed.

use std::net::IpAddr;

use sha2::{Digest, Sha256};

use crate::codec::{DecodeError, Reader, put_bytes};
use crate::limits::{
    AGENT_BYTES_MAX, LANGUAGE_BYTES_MAX, REFERRER_BYTES_MAX, SUB_ID_BYTES_MAX, SUB_IDS,
};

const VERSION: u8 = 1;

/// What names a person or may help to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Personal<'a> {
    /// Random bytes that keep the digest in the facts from telling anything once this part is
    /// gone.
    pub salt: [u8; 16],
    /// The client's address.
    pub address: Option<IpAddr>,
    /// The user agent, cut to its limit.
    pub agent: &'a [u8],
    /// The referrer, cut to its limit.
    pub referrer: &'a [u8],
    /// `Accept-Language`, cut to its limit.
    pub language: &'a [u8],
    /// `sub1` to `sub5`, each cut to its limit.
    pub subs: [Option<&'a [u8]>; SUB_IDS],
}

impl<'a> Personal<'a> {
    /// Appends the layout above, cutting every field to its limit.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.push(VERSION);
        out.extend_from_slice(&self.salt);
        match self.address {
            None => out.push(0),
            Some(IpAddr::V4(address)) => {
                out.push(4);
                out.extend_from_slice(&address.octets());
            }
            Some(IpAddr::V6(address)) => {
                out.push(6);
                out.extend_from_slice(&address.octets());
            }
        }
        put_bytes(out, cut(self.agent, AGENT_BYTES_MAX));
        put_bytes(out, cut(self.referrer, REFERRER_BYTES_MAX));
        put_bytes(out, cut(self.language, LANGUAGE_BYTES_MAX));
        let present = self
            .subs
            .iter()
            .enumerate()
            .filter(|(_, sub)| sub.is_some());
        out.push(present.fold(0, |mask, (index, _)| mask | (1 << index)));
        for sub in self.subs.iter().flatten() {
            put_bytes(out, cut(sub, SUB_ID_BYTES_MAX));
        }
    }

    /// Reads a whole personal part.
    pub fn decode(bytes: &'a [u8]) -> Result<Personal<'a>, DecodeError> {
        let mut reader = Reader::new(bytes);
        let version = reader.u8("version")?;
        if version != VERSION {
            return Err(DecodeError::UnknownVersion { kind: 0, version });
        }
        let salt = reader.array("salt")?;
        let address = match reader.u8("address tag")? {
            0 => None,
            4 => Some(IpAddr::from(reader.array::<4>("address")?)),
            6 => Some(IpAddr::from(reader.array::<16>("address")?)),
            _ => return Err(DecodeError::Invalid("address tag")),
        };
        let agent = reader.bytes(AGENT_BYTES_MAX, "user agent")?;
        let referrer = reader.bytes(REFERRER_BYTES_MAX, "referrer")?;
        let language = reader.bytes(LANGUAGE_BYTES_MAX, "language")?;
        let mask = reader.u8("sub-id mask")?;
        if mask >> SUB_IDS != 0 {
            return Err(DecodeError::Invalid("sub-id mask"));
        }
        let mut subs = [None; SUB_IDS];
        for (index, sub) in subs.iter_mut().enumerate() {
            if mask & (1 << index) != 0 {
                *sub = Some(reader.bytes(SUB_ID_BYTES_MAX, "sub-id")?);
            }
        }
        reader.finish()?;
        Ok(Personal {
            salt,
            address,
            agent,
            referrer,
            language,
            subs,
        })
    }
}

/// The digest that the facts carry of an encoded personal part: the first 16 bytes of SHA-256.
pub fn digest(encoded: &[u8]) -> [u8; 16] {
    let mut short = [0; 16];
    short
        .iter_mut()
        .zip(Sha256::digest(encoded))
        .for_each(|(to, from)| *to = from);
    short
}

fn cut(bytes: &[u8], max: usize) -> &[u8] {
    bytes.get(..max).unwrap_or(bytes)
}
