//! Making a destination of an address as people write it.

use tollgate_click::limits::DESTINATION_BYTES_MAX;

use super::{DestinationError, escape, is_plain};

/// Percent-encodes what browsers accept in an address and [`super::check`] does not, before it
/// is signed. As a browser would, it drops white space around the address and tabs and line
/// breaks in it, writes scheme and host in lower case and other scripts in a host in Punycode.
/// It also drops encoded control characters. Macros stay. The result must still pass
/// [`super::check`].
pub fn normalise(address: &str) -> Result<String, DestinationError> {
    if address.len() > DESTINATION_BYTES_MAX {
        return Err(DestinationError::TooLong); // before any work is done on it
    }
    let kept: String = address
        .trim_matches(|c: char| c.is_ascii_control() || c == ' ')
        .chars()
        .filter(|c| !matches!(c, '\t' | '\r' | '\n'))
        .collect();
    let (scheme, rest) = kept.split_once("://").ok_or(DestinationError::NoScheme)?;
    let authority_bytes = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, rest) = rest
        .split_at_checked(authority_bytes)
        .ok_or(DestinationError::Host)?;
    let mut out = scheme.to_ascii_lowercase();
    out.push_str("://");
    out.push_str(&normal_authority(authority)?);
    encode(rest.as_bytes(), &mut out);
    Ok(out)
}

/// The host in ASCII and lower case; what follows it stays.
fn normal_authority(authority: &str) -> Result<String, DestinationError> {
    if authority.starts_with('[') || authority.contains('@') {
        return Ok(authority.to_owned());
    }
    let (host, port) = match authority.split_once(':') {
        Some((host, port)) => (host, Some(port)),
        None => (authority, None),
    };
    let host = host.trim_end_matches('.');
    let ascii = match url::Host::parse(host) {
        Ok(url::Host::Domain(name)) => name,
        // An address in some notation: as it is, so that the check sees it.
        Ok(_) => host.to_owned(),
        Err(_) => return Err(DestinationError::Host),
    };
    Ok(match port {
        Some(port) => format!("{ascii}:{port}"),
        None => ascii,
    })
}

fn encode(mut bytes: &[u8], out: &mut String) {
    while let Some((byte, rest)) = bytes.split_first() {
        bytes = rest;
        match (*byte, escape(rest)) {
            (b'%', Some(meant)) => {
                if !meant.is_ascii_control() {
                    out.push('%');
                    rest.iter()
                        .take(2)
                        .for_each(|digit| out.push(char::from(*digit)));
                }
                bytes = rest.get(2..).unwrap_or_default();
            }
            (byte, _) if is_plain(byte) => out.push(char::from(byte)),
            (byte, _) => out.push_str(&format!("%{byte:02X}")),
        }
    }
}
