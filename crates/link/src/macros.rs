//! What becomes of the macros in a destination.
//!
//! A macro is a known name in braces; any other text in braces stays as it is. Values are
//! inserted once and never searched for macros themselves; control characters are left out.
//! Percent-encoding leaves letters, digits and `-._~` and writes every other byte as `%XX` with
//! capital digits; a second level writes its `%` as `%25`. Level 0 inserts the value as it is,
//! but for bytes that no destination may hold, which it encodes. So no level can make bytes that
//! [`crate::destination::recheck`] would refuse.

use std::io::Write as _;

use thiserror::Error;
use tollgate_click::limits::{SUB_IDS, TARGET_BYTES_MAX};
use tollgate_click::{AdId, CampaignId, ClickId, PlacementId, PublisherId};

use crate::destination::{escape, is_plain};
use crate::query::{Extras, NAME_BYTES_MAX, PLATFORM_CLICK_IDS, SUB_ID_NAMES};
use crate::token::ClickLink;

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

/// A destination with its macros in bytes, as long as a request target of our own may be;
/// longer answers 400.
pub const LOCATION_BYTES_MAX: usize = TARGET_BYTES_MAX;

impl<'a> MacroValues<'a> {
    /// The values of a click on a signed link.
    pub fn of(link: &ClickLink<'a>, click_id: ClickId, extras: &'a Extras) -> MacroValues<'a> {
        MacroValues {
            click_id,
            campaign: link.campaign,
            ad: link.ad,
            publisher: link.publisher,
            placement: link.placement,
            subs: extras.subs(),
            platform: extras.platform(),
            lpurl: link.lpurl,
        }
    }
}

/// Appends `destination` with its macros replaced, each value percent-encoded `escaping` times
/// (0 to 2). On an error `out` is as before.
pub fn expand(
    destination: &str,
    escaping: u8,
    values: &MacroValues<'_>,
    out: &mut Vec<u8>,
) -> Result<(), ExpandError> {
    let start = out.len();
    let mut rest = destination.as_bytes();
    while let Some(brace) = rest.iter().position(|byte| *byte == b'{') {
        let (literal, from_brace) = rest.split_at_checked(brace).unwrap_or((rest, &[]));
        out.extend_from_slice(literal);
        rest = match known_macro(from_brace) {
            Some((name, after)) => {
                put_value(name, escaping, values, out);
                after
            }
            None => {
                out.push(b'{');
                from_brace.get(1..).unwrap_or_default()
            }
        };
        if out.len().saturating_sub(start) > LOCATION_BYTES_MAX {
            break;
        }
    }
    out.extend_from_slice(rest);
    if out.len().saturating_sub(start) > LOCATION_BYTES_MAX {
        out.truncate(start);
        return Err(ExpandError::TooLong);
    }
    Ok(())
}

/// Whether the macro `{lpurl}` stands in the destination.
pub(crate) fn names_lpurl(destination: &str) -> bool {
    destination.as_bytes().contains(&b'{') && destination.contains("{lpurl}")
}

/// A macro by its place in [`MacroValues`].
#[derive(Clone, Copy)]
enum Name {
    ClickId,
    Campaign,
    Ad,
    Publisher,
    Placement,
    Lpurl,
    Sub(usize),
    Platform(usize),
}

/// The macro at the front of `from_brace`, and what follows it.
fn known_macro(from_brace: &[u8]) -> Option<(Name, &[u8])> {
    let inside = from_brace.get(1..)?;
    let end = inside
        .iter()
        .take(NAME_BYTES_MAX)
        .position(|byte| *byte == b'}')?;
    let name = inside.get(..end)?;
    let after = inside.get(end..)?.get(1..)?;
    let place = |names: &[&str]| names.iter().position(|known| known.as_bytes() == name);
    let known = match name {
        b"click_id" => Name::ClickId,
        b"campaign" => Name::Campaign,
        b"ad" => Name::Ad,
        b"publisher" => Name::Publisher,
        b"placement" => Name::Placement,
        b"lpurl" => Name::Lpurl,
        _ => match place(&SUB_ID_NAMES) {
            Some(index) => Name::Sub(index),
            None => Name::Platform(place(&PLATFORM_CLICK_IDS)?),
        },
    };
    Some((known, after))
}

fn put_value(name: Name, escaping: u8, values: &MacroValues<'_>, out: &mut Vec<u8>) {
    // Ids are letters, digits and dashes: the same at every level. Writing to memory cannot fail.
    let _ = match name {
        Name::ClickId => write!(out, "{}", values.click_id),
        Name::Campaign => write!(out, "{}", values.campaign),
        Name::Ad => write!(out, "{}", values.ad),
        Name::Publisher => write!(out, "{}", values.publisher),
        Name::Placement => write!(out, "{}", values.placement),
        Name::Lpurl | Name::Sub(_) | Name::Platform(_) => Ok(()),
    };
    let text = match name {
        Name::Lpurl => values.lpurl.map(str::as_bytes),
        Name::Sub(index) => values.subs.get(index).copied().flatten(),
        Name::Platform(index) => values.platform.get(index).copied().flatten(),
        _ => None,
    };
    put_text(text.unwrap_or_default(), escaping, out);
}

fn put_text(mut text: &[u8], escaping: u8, out: &mut Vec<u8>) {
    while let Some((byte, rest)) = text.split_first() {
        text = rest;
        if byte.is_ascii_control() {
            continue;
        }
        let kept = match (escaping, *byte) {
            (0, b'%') => escape(rest).is_some_and(|meant| !meant.is_ascii_control()),
            (0, byte) => is_plain(byte),
            (_, byte) => byte.is_ascii_alphanumeric() || b"-._~".contains(&byte),
        };
        if kept {
            out.push(*byte);
        } else {
            let percent: &[u8] = if escaping < 2 { b"%" } else { b"%25" };
            out.extend_from_slice(percent);
            out.extend_from_slice(&hex(*byte));
        }
    }
}

fn hex(byte: u8) -> [u8; 2] {
    let digit = |value: u8| {
        if value < 10 {
            b'0' + value
        } else {
            b'A' + value - 10
        }
    };
    [digit(byte >> 4), digit(byte & 0xF)]
}

#[cfg(test)]
mod tests;
