//! What a link may point at.
//!
//! The bytes that are signed are the bytes that are sent, so a destination is never repaired
//! here; it is refused. One grammar, narrower than any that browsers use:
//!
//! - `scheme://host`, then nothing or a path, query or fragment; at most 2,048 bytes;
//! - only letters, digits and `-._~:/?#[]@!$&'()*+,;=|{}`, and `%` with two hex digits that do
//!   not stand for a control character;
//! - a scheme in lower case that is `http`, `https` or listed for the advertiser, and never one
//!   that runs code or reads local data;
//! - no user info, no macro before the path, a host as in [`mod@host`], a port from 1 to 65535;
//! - the `url` crate, which parses as browsers do, sees the same scheme, host and port.

mod host;
mod normalise;

use thiserror::Error;
use tollgate_click::limits::DESTINATION_BYTES_MAX;
use url::Url;

pub use normalise::normalise;

use host::Host;

/// Schemes that no advertiser can list: they run code or read what is not theirs.
pub const NEVER: [&str; 8] = [
    "javascript",
    "data",
    "file",
    "vbscript",
    "blob",
    "about",
    "filesystem",
    "view-source",
];

const SCHEME_BYTES_MAX: usize = 32;

/// Which destinations an advertiser may have.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Schemes {
    extra: Vec<String>,
    private_hosts: bool,
}

/// Why a destination is refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
pub enum DestinationError {
    /// Nothing there.
    #[error("it is empty")]
    Empty,
    /// Over the limit.
    #[error("it is longer than {DESTINATION_BYTES_MAX} bytes")]
    TooLong,
    /// A byte that must not stand raw: control, space, backslash, quote, not ASCII.
    #[error("byte 0x{0:02x} must be percent-encoded")]
    Byte(u8),
    /// `%` without two hex digits.
    #[error("% must be followed by two hex digits; a percent sign itself is %25")]
    Escape,
    /// An encoded control character.
    #[error("the control character %{0:02X} must not be in it")]
    Control(u8),
    /// No scheme, or one in another spelling than lower case.
    #[error("it must begin with a scheme in lower case and ://")]
    NoScheme,
    /// A scheme of [`NEVER`].
    #[error("its scheme is never allowed")]
    NeverScheme,
    /// A scheme that is not listed for this advertiser.
    #[error("its scheme is not http or https and not listed for this advertiser")]
    UnlistedScheme,
    /// User name or password before the host.
    #[error("user info before the host (an @) is not allowed")]
    UserInfo,
    /// A macro in the host or port.
    #[error("a macro may stand in path, query and fragment only")]
    MacroInHost,
    /// An empty host or one that is no name or address.
    #[error("its host is no host name or address (other scripts are written as xn--)")]
    Host,
    /// An address in another notation than its common one.
    #[error("its host is an address that is not written as four decimal numbers")]
    AddressNotation,
    /// A private, loopback or otherwise not public host.
    #[error("its host is not public")]
    PrivateHost,
    /// A port that is no number from 1 to 65535.
    #[error("its port is not a number from 1 to 65535")]
    Port,
    /// The second parser disagrees about scheme, host or port.
    #[error("URL parsers read it in different ways")]
    Ambiguous,
}

impl Schemes {
    /// `http` and `https` on public hosts.
    pub const WEB: &'static Schemes = &Schemes {
        extra: Vec::new(),
        private_hosts: false,
    };

    /// `http`, `https` and these, such as `ftp`. Schemes of [`NEVER`] are refused here too.
    pub fn with(
        extra: impl IntoIterator<Item = impl AsRef<str>>,
    ) -> Result<Schemes, DestinationError> {
        let mut schemes = Schemes::default();
        for scheme in extra {
            let scheme = scheme.as_ref();
            if !is_scheme(scheme) {
                return Err(DestinationError::NoScheme);
            }
            if NEVER.contains(&scheme) {
                return Err(DestinationError::NeverScheme);
            }
            schemes.extra.push(scheme.to_owned());
        }
        Ok(schemes)
    }

    /// Also allows hosts that are private or loopback addresses: for tests and demos.
    pub fn and_private_hosts(mut self) -> Schemes {
        self.private_hosts = true;
        self
    }

    fn allow(&self, scheme: &str) -> Result<(), DestinationError> {
        if matches!(scheme, "https" | "http") || self.extra.iter().any(|extra| extra == scheme) {
            Ok(())
        } else if NEVER.contains(&scheme) {
            Err(DestinationError::NeverScheme)
        } else {
            Err(DestinationError::UnlistedScheme)
        }
    }
}

/// Whether a link with this destination may be signed or registered.
pub fn check(destination: &str, schemes: &Schemes) -> Result<(), DestinationError> {
    let shape = Shape::of(destination, schemes)?;
    if !schemes.private_hosts && !shape.host.is_public() {
        return Err(DestinationError::PrivateHost);
    }
    shape.agrees_with(&Url::parse(destination).map_err(|_| DestinationError::Ambiguous)?)
}

/// The part of [`check`] that the edge repeats for every click, in case a key signed what it
/// should not: the grammar and the scheme. Allocates nothing.
pub fn recheck(destination: &str, schemes: &Schemes) -> Result<(), DestinationError> {
    Shape::of(destination, schemes).map(|_| ())
}

/// Whether a byte may stand in a destination as itself. `%` may, as part of an escape.
pub(crate) fn is_plain(byte: u8) -> bool {
    PLAIN.get(usize::from(byte)).is_some_and(|plain| *plain)
}

const PLAIN: [bool; 256] = plain_bytes(); // a table, since every byte of every click asks

const fn plain_bytes() -> [bool; 256] {
    let mut plain = [false; 256];
    let mut rest: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789\
        -._~:/?#[]@!$&'()*+,;=|{}";
    while let [byte, after @ ..] = rest {
        if let Some(place) = plain.split_at_mut(*byte as usize).1.first_mut() {
            *place = true;
        }
        rest = after;
    }
    plain
}

/// What `%` and the bytes after it stand for; none when they are no escape.
pub(crate) fn escape(after_percent: &[u8]) -> Option<u8> {
    let [high, low, ..] = after_percent else {
        return None;
    };
    let digit = |byte: &u8| char::from(*byte).to_digit(16);
    u8::try_from(digit(high)? * 16 + digit(low)?).ok()
}

/// What our grammar sees in a destination.
struct Shape<'a> {
    scheme: &'a str,
    host: Host<'a>,
    port: Option<u16>,
}

impl<'a> Shape<'a> {
    fn of(destination: &'a str, schemes: &Schemes) -> Result<Shape<'a>, DestinationError> {
        check_bytes(destination)?;
        let colon = destination.bytes().position(|byte| byte == b':');
        let (scheme, rest) = colon
            .and_then(|colon| destination.split_at_checked(colon))
            .ok_or(DestinationError::NoScheme)?;
        if !is_scheme(scheme) {
            return Err(DestinationError::NoScheme);
        }
        schemes.allow(scheme)?;
        let rest = rest.strip_prefix("://").ok_or(DestinationError::NoScheme)?;
        let path = |byte: u8| matches!(byte, b'/' | b'?' | b'#');
        let authority_bytes = rest.bytes().position(path).unwrap_or(rest.len());
        let authority = rest.get(..authority_bytes).unwrap_or_default();
        let (host, port) = split_authority(authority)?;
        Ok(Shape {
            scheme,
            host: Host::parse(host)?,
            port,
        })
    }

    fn agrees_with(&self, url: &Url) -> Result<(), DestinationError> {
        let default_port = match self.scheme {
            "http" | "ws" => Some(80),
            "https" | "wss" => Some(443),
            "ftp" => Some(21),
            _ => None,
        };
        let agrees = url.scheme() == self.scheme
            && url.username().is_empty()
            && url.password().is_none()
            && url.port_or_known_default() == self.port.or(default_port)
            && url.host().is_some_and(|host| self.host.is(&host));
        if agrees {
            Ok(())
        } else {
            Err(DestinationError::Ambiguous)
        }
    }
}

fn check_bytes(destination: &str) -> Result<(), DestinationError> {
    let bytes = destination.as_bytes();
    if bytes.is_empty() {
        return Err(DestinationError::Empty);
    }
    if bytes.len() > DESTINATION_BYTES_MAX {
        return Err(DestinationError::TooLong);
    }
    if bytes.iter().all(|byte| is_plain(*byte)) {
        return Ok(()); // what most are, at half the time
    }
    let mut rest = bytes;
    while let Some((byte, after)) = rest.split_first() {
        rest = after;
        if is_plain(*byte) {
            continue;
        }
        if *byte != b'%' {
            return Err(DestinationError::Byte(*byte));
        }
        let meant = escape(after).ok_or(DestinationError::Escape)?;
        if meant.is_ascii_control() {
            return Err(DestinationError::Control(meant));
        }
    }
    Ok(())
}

fn is_scheme(text: &str) -> bool {
    let rest_is_fine = |byte: u8| {
        byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'+' | b'-' | b'.')
    };
    text.len() <= SCHEME_BYTES_MAX
        && text.starts_with(|first: char| first.is_ascii_lowercase())
        && text.bytes().all(rest_is_fine)
}

/// Splits `host` or `host:port`; an IPv6 address keeps its brackets.
fn split_authority(authority: &str) -> Result<(&str, Option<u16>), DestinationError> {
    let special = |byte: u8| matches!(byte, b'@' | b'{' | b'}' | b']' | b':');
    if !authority.bytes().any(special) {
        return Ok((authority, None));
    }
    if authority.contains('@') {
        return Err(DestinationError::UserInfo);
    }
    if authority.contains(['{', '}']) {
        return Err(DestinationError::MacroInHost);
    }
    let host_bytes = match authority.find(']') {
        Some(index) => index + 1,
        None => authority.find(':').unwrap_or(authority.len()),
    };
    let (host, port) = authority
        .split_at_checked(host_bytes)
        .ok_or(DestinationError::Host)?;
    if port.is_empty() {
        return Ok((host, None));
    }
    let digits = port.strip_prefix(':').ok_or(DestinationError::Host)?;
    let canonical = digits.bytes().all(|byte| byte.is_ascii_digit()) && !digits.starts_with('0');
    let number = digits.parse().ok().filter(|_| canonical);
    number
        .map(|port| (host, Some(port)))
        .ok_or(DestinationError::Port)
}

#[cfg(test)]
mod tests;
