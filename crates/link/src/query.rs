//! What rides along: query parameters that no signature covers.

use thiserror::Error;
use tollgate_click::limits::SUB_IDS;

/// Click ids of other platforms that are passed through, as parameter and macro names.
pub const PLATFORM_CLICK_IDS: [&str; 12] = [
    "gclid",
    "dclid",
    "gbraid",
    "wbraid",
    "fbclid",
    "twclid",
    "msclkid",
    "li_fat_id",
    "rdclid",
    "ttclid",
    "yclid",
    "epik",
];

/// Names of fields that only a signature may set: as parameters they make a request forged.
pub const SIGNED_NAMES: [&str; 16] = [
    "alg",
    "version",
    "key",
    "nonce",
    "window",
    "expires",
    "advertiser",
    "campaign",
    "ad",
    "publisher",
    "placement",
    "price",
    "test",
    "escaping",
    "destination",
    "lpurl",
];

/// A parameter has the name of a signed field: the request counts as forged.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
#[error("the parameter {0} is not one that an unsigned query may set")]
pub struct SignedName(pub &'static str);

/// The parameters that are kept, decoded; one per thread, so that no click allocates.
#[derive(Clone, Default, Debug)]
pub struct Extras {
    bytes: Vec<u8>,
}

impl Extras {
    /// Nothing kept yet.
    pub fn new() -> Extras {
        Extras::default()
    }

    /// Reads the query of a request (what follows `?`, undecoded), in place of what was kept
    /// before. Unknown parameters are ignored, the first of a name counts.
    pub fn read(&mut self, _query: &[u8]) -> Result<(), SignedName> {
        self.bytes.clear();
        Ok(())
    }

    /// `sub1` to `sub5`.
    pub fn subs(&self) -> [Option<&[u8]>; SUB_IDS] {
        [None; SUB_IDS]
    }

    /// The values of [`PLATFORM_CLICK_IDS`], in that order.
    pub fn platform(&self) -> [Option<&[u8]>; PLATFORM_CLICK_IDS.len()] {
        [None; PLATFORM_CLICK_IDS.len()]
    }
}
