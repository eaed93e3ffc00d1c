//! A link as bytes: the body that is signed, and the token that carries body and tag.
//!
//! Invariant: a link has exactly one body and a body exactly one link, so that no second
//! spelling of a token can be accepted and no token can be read in two ways.
//!
//! | bytes | field |
//! |---|---|
//! | 1 | version: 1 |
//! | varint | key |
//! | 1 | flags: bit 0 test, bit 1 a price follows, bit 2 an `lpurl` follows, bits 3-4 escaping 0 to 2, bits 5-7 zero |
//! | 16 | nonce, a UUIDv7 |
//! | varint | billing window, seconds |
//! | varint | hard expiry, Unix ms, below 2^48 |
//! | varint each | advertiser, campaign, ad, publisher, placement |
//! | varint | with bit 1: price, micro-units, below 2^63 |
//! | string | destination |
//! | string | with bit 2: `lpurl` |
//!
//! A varint is LEB128 in its shortest form; a string is its length in bytes as varint and its
//! bytes. A token is base64url without padding of the body and its tag of 16 bytes.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use tollgate_click::codec::{DecodeError, Reader, put_bytes, put_varint};
use tollgate_click::limits::DESTINATION_BYTES_MAX;
use tollgate_click::{
    AdId, AdvertiserId, CampaignId, KeyId, Micros, Millis, Nonce, PlacementId, PublisherId,
};

use crate::mac::TAG_BYTES;

/// The version byte of the layout above.
pub const VERSION: u8 = 1;

/// How often a macro value may be percent-encoded: 0, 1 or 2 times.
pub const ESCAPING_MAX: u8 = 2;

/// Longest token in bytes, before base64: all fields at their longest.
pub const TOKEN_BYTES_MAX: usize = 1 + 5 + 1 + 16 + 5 + 7 // version to expiry
    + (5 + 10 + 10 + 5 + 10) // ids
    + 9 // price
    + 2 * (2 + DESTINATION_BYTES_MAX)
    + TAG_BYTES;
const _: () = assert!(TOKEN_BYTES_MAX <= u16::MAX as usize); // the MAC's length prefix

const TEST: u8 = 1 << 0;
const PRICE: u8 = 1 << 1;
const LPURL: u8 = 1 << 2;
const ESCAPING_SHIFT: u8 = 3; // two bits
const KNOWN: u8 = (1 << 5) - 1;

/// What a token says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ClickLink<'a> {
    /// The key that signs.
    pub key: KeyId,
    /// The impression; its first click uses it up.
    pub nonce: Nonce,
    /// Seconds after the nonce's time in which a click bills.
    pub window_s: u32,
    /// Hard expiry: after it the edge answers 410.
    pub expires_at: Millis,
    /// Who pays.
    pub advertiser: AdvertiserId,
    /// For which campaign.
    pub campaign: CampaignId,
    /// Which creative; 0 for none.
    pub ad: AdId,
    /// Who shows it; 0 for none.
    pub publisher: PublisherId,
    /// Where; 0 for none.
    pub placement: PlacementId,
    /// Price of the click, not negative; none means the campaign's.
    pub price: Option<Micros>,
    /// A test link.
    pub test: bool,
    /// How many times macro values are percent-encoded, 0 to 2.
    pub escaping: u8,
    /// Where the click goes, with macros.
    pub destination: &'a str,
    /// What the macro `{lpurl}` in the destination stands for.
    pub lpurl: Option<&'a str>,
}

/// Room for one decoded token; keep one per thread, so that no click allocates.
#[derive(Debug)]
pub struct TokenBuf(Vec<u8>);

impl TokenBuf {
    /// Room for the longest token.
    pub fn new() -> TokenBuf {
        TokenBuf(Vec::with_capacity(TOKEN_BYTES_MAX))
    }

    /// Undoes base64url. Padding, the standard alphabet, white space, set bits after the last
    /// byte and a length that no token has are all refused. None then.
    pub(crate) fn fill(&mut self, token: &str) -> Option<&[u8]> {
        self.0.clear();
        if token.len() > TOKEN_BYTES_MAX.div_ceil(3) * 4 {
            return None;
        }
        URL_SAFE_NO_PAD.decode_vec(token, &mut self.0).ok()?;
        Some(&self.0)
    }
}

impl Default for TokenBuf {
    fn default() -> TokenBuf {
        TokenBuf::new()
    }
}

/// The token of a signed body.
pub(crate) fn text(body_and_tag: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(body_and_tag)
}

/// The key that a body names; all that is read of it before the MAC has been checked.
pub(crate) fn key_of(body: &[u8]) -> Result<KeyId, DecodeError> {
    let mut reader = Reader::new(body);
    read_head(&mut reader)
}

fn read_head(reader: &mut Reader<'_>) -> Result<KeyId, DecodeError> {
    match reader.u8("version")? {
        VERSION => reader.varint_u32("key").map(KeyId),
        version => Err(DecodeError::UnknownVersion { kind: 0, version }),
    }
}

impl<'a> ClickLink<'a> {
    /// Appends the body. The price must not be negative nor `escaping` over 2: [`crate::sign`]
    /// has refused such links.
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        self.encode_marked(out, |_, _| {});
    }

    /// The same, telling after each field its name and how long `out` is now.
    pub(crate) fn encode_marked(
        &self,
        out: &mut Vec<u8>,
        mut mark: impl FnMut(&'static str, usize),
    ) {
        out.push(VERSION);
        mark("version", out.len());
        put_varint(out, u64::from(self.key.0));
        mark("key", out.len());
        out.push(self.flags());
        mark("flags", out.len());
        out.extend_from_slice(&self.nonce.bytes());
        mark("nonce", out.len());
        let numbers = [
            ("window", u64::from(self.window_s)),
            ("expires", self.expires_at.0),
            ("advertiser", u64::from(self.advertiser.0)),
            ("campaign", self.campaign.0),
            ("ad", self.ad.0),
            ("publisher", u64::from(self.publisher.0)),
            ("placement", self.placement.0),
        ];
        for (name, number) in numbers {
            put_varint(out, number);
            mark(name, out.len());
        }
        if let Some(price) = self.price {
            put_varint(out, price.0.unsigned_abs());
            mark("price", out.len());
        }
        put_bytes(out, self.destination.as_bytes());
        mark("destination", out.len());
        if let Some(lpurl) = self.lpurl {
            put_bytes(out, lpurl.as_bytes());
            mark("lpurl", out.len());
        }
    }

    fn flags(&self) -> u8 {
        let mut flags = self.escaping << ESCAPING_SHIFT;
        flags |= if self.test { TEST } else { 0 };
        flags |= if self.price.is_some() { PRICE } else { 0 };
        flags |= if self.lpurl.is_some() { LPURL } else { 0 };
        flags
    }

    /// Reads a whole body, without any word about whether it is authentic.
    pub fn decode(body: &'a [u8]) -> Result<ClickLink<'a>, DecodeError> {
        let mut reader = Reader::new(body);
        let key = read_head(&mut reader)?;
        let flags = reader.u8("flags")?;
        let escaping = (flags & KNOWN) >> ESCAPING_SHIFT;
        if flags & !KNOWN != 0 || escaping > ESCAPING_MAX {
            return Err(DecodeError::Invalid("flags"));
        }
        let link = ClickLink {
            key,
            nonce: Nonce::from_bytes(reader.array("nonce")?)
                .map_err(|_| DecodeError::Invalid("nonce"))?,
            window_s: reader.varint_u32("window")?,
            expires_at: read_time(&mut reader)?,
            advertiser: AdvertiserId(reader.varint_u32("advertiser")?),
            campaign: CampaignId(reader.varint("campaign")?),
            ad: AdId(reader.varint("ad")?),
            publisher: PublisherId(reader.varint_u32("publisher")?),
            placement: PlacementId(reader.varint("placement")?),
            price: if flags & PRICE != 0 {
                Some(read_price(&mut reader)?)
            } else {
                None
            },
            test: flags & TEST != 0,
            escaping,
            destination: reader.text(DESTINATION_BYTES_MAX, "destination")?,
            lpurl: if flags & LPURL != 0 {
                Some(reader.text(DESTINATION_BYTES_MAX, "lpurl")?)
            } else {
                None
            },
        };
        reader.finish()?;
        Ok(link)
    }
}

fn read_time(reader: &mut Reader<'_>) -> Result<Millis, DecodeError> {
    let time = Millis(reader.varint("expiry")?);
    if time <= Millis::MAX {
        Ok(time)
    } else {
        Err(DecodeError::Invalid("expiry"))
    }
}

fn read_price(reader: &mut Reader<'_>) -> Result<Micros, DecodeError> {
    let micros = i64::try_from(reader.varint("price")?);
    micros
        .map(Micros)
        .map_err(|_| DecodeError::Invalid("price"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn full() -> ClickLink<'static> {
        ClickLink {
            key: KeyId(300),
            nonce: Nonce::new(Millis(1_767_225_600_000), u128::MAX),
            window_s: 86_400,
            expires_at: Millis(1_767_312_000_000),
            advertiser: AdvertiserId(7),
            campaign: CampaignId(u64::MAX),
            ad: AdId(0),
            publisher: PublisherId(128),
            placement: PlacementId(127),
            price: Some(Micros(i64::MAX)),
            test: true,
            escaping: 2,
            destination: "https://a.example/{lpurl}",
            lpurl: Some("https://b.example/"),
        }
    }

    #[test]
    fn the_longest_body_fits_the_stated_size() {
        let text = "x".repeat(DESTINATION_BYTES_MAX);
        let longest = ClickLink {
            key: KeyId(u32::MAX),
            window_s: u32::MAX,
            expires_at: Millis::MAX,
            advertiser: AdvertiserId(u32::MAX),
            ad: AdId(u64::MAX),
            publisher: PublisherId(u32::MAX),
            placement: PlacementId(u64::MAX),
            destination: &text,
            lpurl: Some(&text),
            ..full()
        };
        let mut body = Vec::new();
        longest.encode(&mut body);
        assert_eq!(body.len() + TAG_BYTES, TOKEN_BYTES_MAX);
        assert_eq!(ClickLink::decode(&body), Ok(longest));
        let mut buf = TokenBuf::new();
        let signed = [&body[..], &[0xFF; TAG_BYTES]].concat();
        assert_eq!(buf.fill(&super::text(&signed)), Some(&signed[..]));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4096))]

        /// Bytes that are read as a link are the only bytes that are read as that link.
        #[test]
        fn a_body_is_the_one_encoding_of_its_link(
            changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
            cut in 0usize..3, more in proptest::collection::vec(any::<u8>(), 0..3),
        ) {
            let mut body = Vec::new();
            full().encode(&mut body);
            for (at, byte) in changes {
                let at = at.index(body.len());
                body[at] = byte;
            }
            body.truncate(body.len() - cut);
            body.extend(more);
            if let Ok(link) = ClickLink::decode(&body) {
                let mut again = Vec::new();
                link.encode(&mut again);
                prop_assert_eq!(again, body);
            }
        }
    }
}
