//! Minting: a link becomes a token, or is refused for a reason.

use thiserror::Error;
use tollgate_click::ids::ClickIdParts;
use tollgate_click::limits::{EXPIRY_MAX_S, WINDOW_MAX_S};
use tollgate_click::{ClickId, EdgeId, Millis, PartitionId};

use crate::destination::{self, DestinationError, Schemes};
use crate::mac::Secret;
use crate::macros::{self, ExpandError, MacroValues};
use crate::query::Extras;
use crate::token::{self, ClickLink, ESCAPING_MAX};

/// Why a link is not signed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
pub enum SignError {
    /// The destination is one that no link may have.
    #[error("destination: {0}")]
    Destination(DestinationError),
    /// The `lpurl` is no destination that a link may have.
    #[error("lpurl: {0}")]
    Lpurl(DestinationError),
    /// The destination is over the limit as soon as `{lpurl}` is replaced.
    #[error(transparent)]
    TooLong(#[from] ExpandError),
    /// A field's value is out of its range.
    #[error("{0}")]
    Limit(#[from] Limit),
}

/// A field whose value no valid link has. Signing refuses it, and so does verifying, in case
/// another implementation signed it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
pub enum Limit {
    /// The window is 0 or over its limit.
    #[error("the billing window must be 1 s to {WINDOW_MAX_S} s (30 days)")]
    Window,
    /// The hard expiry is not after the nonce's time, or too far after it.
    #[error("the hard expiry must lie 1 ms to {EXPIRY_MAX_S} s (400 days) after the nonce's time")]
    Expiry,
    /// Escaping over 2.
    #[error("escaping must be 0, 1 or 2")]
    Escaping,
    /// A negative price.
    #[error("the price must not be negative")]
    Price,
    /// `{lpurl}` in the destination and no `lpurl`, or the reverse.
    #[error("the macro {{lpurl}} needs a signed lpurl, and an lpurl needs the macro")]
    Lpurl,
}

/// The token of `link` under `secret`, base64url without padding, for `/c/<token>` and
/// `/i/<token>`. The destination must pass [`destination::check`] with the advertiser's
/// `schemes`; its bytes are signed as they are.
pub fn sign(link: &ClickLink<'_>, secret: &Secret, schemes: &Schemes) -> Result<String, SignError> {
    check_limits(link)?;
    destination::check(link.destination, schemes).map_err(SignError::Destination)?;
    if let Some(lpurl) = link.lpurl {
        destination::check(lpurl, schemes).map_err(SignError::Lpurl)?;
        expand_alone(link)?;
    }
    let mut bytes = Vec::with_capacity(128 + link.destination.len());
    link.encode(&mut bytes);
    let tag = secret.tag(&bytes);
    bytes.extend_from_slice(&tag);
    Ok(token::text(&bytes))
}

/// With an `lpurl` a link can be too long for every click: that shows with all else left empty.
fn expand_alone(link: &ClickLink<'_>) -> Result<(), ExpandError> {
    let any_click = ClickIdParts {
        received_at: Millis(0),
        partition: PartitionId::default(),
        edge: EdgeId::default(),
        random: 0,
    };
    let extras = Extras::new();
    let values = MacroValues::of(link, ClickId::new(any_click), &extras);
    macros::expand(link.destination, link.escaping, &values, &mut Vec::new())
}

/// The ranges that both sides hold a link to.
pub(crate) fn check_limits(link: &ClickLink<'_>) -> Result<(), Limit> {
    if !(1..=WINDOW_MAX_S).contains(&link.window_s) {
        return Err(Limit::Window);
    }
    let earliest = link.nonce.at();
    let latest = earliest.plus_s(EXPIRY_MAX_S);
    if link.expires_at <= earliest || link.expires_at > latest || link.expires_at > Millis::MAX {
        return Err(Limit::Expiry);
    }
    if link.escaping > ESCAPING_MAX {
        return Err(Limit::Escaping);
    }
    if link.price.is_some_and(|price| price.0 < 0) {
        return Err(Limit::Price);
    }
    if macros::names_lpurl(link.destination) != link.lpurl.is_some() {
        return Err(Limit::Lpurl);
    }
    Ok(())
}
