//! Hosts: a name, an IPv4 address in four decimal numbers, or an IPv6 address in brackets.
//!
//! A name is labels of letters, digits, `-` and `_`, none empty, so there is no trailing dot;
//! other scripts are written in Punycode, where look-alikes can be seen. A name whose last
//! label is a number is an address to a browser, in notations with hex, octal and missing parts
//! (`0x7f.1`, `2130706433`); of those only the common one is accepted.

use std::net::{Ipv4Addr, Ipv6Addr};

use super::DestinationError;

const NAME_BYTES_MAX: usize = 253;
const LABEL_BYTES_MAX: usize = 63;

/// A host as written.
#[derive(Clone, Copy, Debug)]
pub(super) enum Host<'a> {
    Name(&'a str),
    V4(Ipv4Addr),
    V6(Ipv6Addr),
}

impl<'a> Host<'a> {
    pub(super) fn parse(text: &'a str) -> Result<Host<'a>, DestinationError> {
        if let Some(bracketed) = text.strip_prefix('[') {
            let address = bracketed
                .strip_suffix(']')
                .and_then(|text| text.parse().ok());
            return address.map(Host::V6).ok_or(DestinationError::Host);
        }
        if !is_name(text) {
            return Err(DestinationError::Host);
        }
        if ends_in_a_number(text) {
            let address = text.parse().map(Host::V4);
            return address.map_err(|_| DestinationError::AddressNotation);
        }
        Ok(Host::Name(text))
    }

    /// Whether anybody on the internet may mean the same machine by it.
    pub(super) fn is_public(self) -> bool {
        match self {
            Host::Name(name) => !is_local_name(name),
            Host::V4(address) => is_public_v4(address),
            Host::V6(address) => is_public_v6(address),
        }
    }

    /// Whether the other parser found the same host. For schemes that it does not know it
    /// leaves names and IPv4 addresses as text.
    pub(super) fn is(self, other: &url::Host<&str>) -> bool {
        match (self, other) {
            (Host::Name(name), url::Host::Domain(other)) => name.eq_ignore_ascii_case(other),
            (Host::V4(address), url::Host::Ipv4(other)) => address == *other,
            (Host::V4(address), url::Host::Domain(other)) => other.parse() == Ok(address),
            (Host::V6(address), url::Host::Ipv6(other)) => address == *other,
            _ => false,
        }
    }
}

/// Labels with single dots between them.
fn is_name(text: &str) -> bool {
    let mut label_bytes = 0;
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' => label_bytes += 1,
            b'.' if label_bytes > 0 => label_bytes = 0,
            _ => return false,
        }
        if label_bytes > LABEL_BYTES_MAX {
            return false;
        }
    }
    label_bytes > 0 && text.len() <= NAME_BYTES_MAX
}

/// The test of the URL standard, "ends in a number".
fn ends_in_a_number(name: &str) -> bool {
    match last_label(name) {
        [b'0', b'x' | b'X', digits @ ..] => digits.iter().all(u8::is_ascii_hexdigit),
        digits => digits.iter().all(u8::is_ascii_digit),
    }
}

/// `localhost` (RFC 6761), `local` (RFC 6762) and `internal` (reserved by ICANN for private
/// use) with everything below them.
fn is_local_name(name: &str) -> bool {
    let last = last_label(name);
    let local = [&b"localhost"[..], b"local", b"internal"];
    local.iter().any(|local| last.eq_ignore_ascii_case(local))
}

fn last_label(name: &str) -> &[u8] {
    let mut labels = name.as_bytes().rsplit(|byte| *byte == b'.');
    labels.next().unwrap_or_default()
}

/// Not in a block that the IANA registry of special-purpose addresses calls not global.
fn is_public_v4(address: Ipv4Addr) -> bool {
    let special = match address.octets() {
        [0 | 10 | 127, ..] => true,
        [100, second, ..] => second & 0xC0 == 64, // 100.64.0.0/10, carriers
        [192, 0, 0, _] => true,
        [198, 18 | 19, ..] => true,          // benchmarks
        [first, ..] if first >= 224 => true, // multicast, reserved, broadcast
        _ => false,
    };
    let in_block = address.is_private() || address.is_link_local() || address.is_documentation();
    !special && !in_block
}

/// Global unicast, without the blocks that hold an IPv4 address or are for documentation.
fn is_public_v6(address: Ipv6Addr) -> bool {
    match address.segments() {
        [0x2001, 0, ..] => false,      // Teredo
        [0x2001, 0x0DB8, ..] => false, // documentation
        [0x2002, ..] => false,         // 6to4
        [first, ..] => first & 0xE000 == 0x2000,
    }
}
