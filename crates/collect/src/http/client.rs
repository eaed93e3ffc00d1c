//! Who asks: the client's address and country, its agent, and whether it only prefetches.
//!
//! Headers about addresses count only when the peer is one of our proxies, and are read from the
//! right: each proxy appends whom it saw, so everything left of the first address that is not ours
//! is that client's own story.

use std::net::{IpAddr, SocketAddr};

use http::header::HeaderMap;
use tollgate_click::Country;

use crate::options::{ClientOptions, ForwardedHeader};

/// Proxies of ours that a request can have passed; what lies further left is not read.
const HOPS_MAX: usize = 32;

/// The other end of a connection, by the socket's or the PROXY protocol's word.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Peer {
    pub(crate) address: IpAddr,
    pub(crate) trusted: bool,
}

impl Peer {
    pub(crate) fn new(address: IpAddr, options: &ClientOptions) -> Peer {
        let address = address.to_canonical();
        Peer {
            address,
            trusted: options.trusts(address),
        }
    }
}

/// What the headers say, read in one pass.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Client<'a> {
    pub(crate) address: IpAddr,
    pub(crate) country: Country,
    pub(crate) agent: &'a [u8],
    pub(crate) referrer: &'a [u8],
    pub(crate) language: &'a [u8],
    pub(crate) prefetch: bool,
}

impl<'a> Client<'a> {
    /// From the headers that hyper has parsed.
    pub(crate) fn read(
        headers: &'a HeaderMap,
        peer: Peer,
        options: &'a ClientOptions,
    ) -> Client<'a> {
        let mut reader = ClientReader::new(peer, options);
        for (name, value) in headers {
            reader.take(name.as_str().as_bytes(), value.as_bytes());
        }
        reader.finish()
    }
}

/// Reads headers one by one, in the order in which they were sent. Of several of one name the
/// first counts; of several lists of addresses, all.
pub(crate) struct ClientReader<'a> {
    peer: Peer,
    options: &'a ClientOptions,
    agent: Option<&'a [u8]>,
    referrer: Option<&'a [u8]>,
    language: Option<&'a [u8]>,
    country: Option<&'a [u8]>,
    forwarded: Vec<&'a [u8]>,
    prefetch: bool,
}

impl<'a> ClientReader<'a> {
    pub(crate) fn new(peer: Peer, options: &'a ClientOptions) -> ClientReader<'a> {
        ClientReader {
            peer,
            options,
            agent: None,
            referrer: None,
            language: None,
            country: None,
            forwarded: Vec::new(),
            prefetch: false,
        }
    }

    /// Takes one header; names are compared in any case.
    pub(crate) fn take(&mut self, name: &[u8], value: &'a [u8]) {
        let is = |known: &str| name.eq_ignore_ascii_case(known.as_bytes());
        match name.len() {
            5 if is("x-moz") => self.prefetch |= is_prefetch(value),
            7 if is("referer") => _ = self.referrer.get_or_insert(value),
            7 if is("purpose") => self.prefetch |= is_prefetch(value),
            9 if is("x-purpose") => self.prefetch |= is_prefetch(value),
            10 if is("user-agent") => _ = self.agent.get_or_insert(value),
            11 if is("sec-purpose") => self.prefetch |= is_prefetch(value),
            15 if is("accept-language") => _ = self.language.get_or_insert(value),
            _ if self.peer.trusted => self.take_word_of_proxy(name, value),
            _ => {}
        }
    }

    fn take_word_of_proxy(&mut self, name: &[u8], value: &'a [u8]) {
        let forwarded = match self.options.forwarded {
            ForwardedHeader::None => None,
            ForwardedHeader::XForwardedFor => Some("x-forwarded-for"),
            ForwardedHeader::Forwarded => Some("forwarded"),
        };
        let is = |known: &str| name.eq_ignore_ascii_case(known.as_bytes());
        if forwarded.is_some_and(is) {
            self.forwarded.push(value);
        } else if self.options.country_header.as_deref().is_some_and(is) {
            _ = self.country.get_or_insert(value);
        }
    }

    /// What all of them say.
    pub(crate) fn finish(self) -> Client<'a> {
        Client {
            address: behind_proxies(&self.forwarded, self.peer, self.options),
            country: self.country.map_or(Country::UNKNOWN, country_of),
            agent: self.agent.unwrap_or_default(),
            referrer: self.referrer.unwrap_or_default(),
            language: self.language.unwrap_or_default(),
            prefetch: self.prefetch,
        }
    }
}

/// `Sec-Purpose: prefetch;prerender`, `Purpose: prefetch`, `X-Moz: prefetch`,
/// `X-Purpose: preview`, in any case.
fn is_prefetch(value: &[u8]) -> bool {
    let words = value.split(|byte| matches!(byte, b';' | b',' | b' ' | b'\t'));
    let early = [&b"prefetch"[..], b"prerender", b"preview"];
    words
        .into_iter()
        .any(|word| early.iter().any(|known| word.eq_ignore_ascii_case(known)))
}

fn country_of(value: &[u8]) -> Country {
    let code = std::str::from_utf8(value).ok().map(str::trim);
    code.and_then(|code| code.parse().ok())
        .unwrap_or(Country::UNKNOWN)
}

/// The first address from the right that is no proxy of ours. An entry that is no address ends the
/// walk: the last proxy that named someone is the best known end.
fn behind_proxies(lines: &[&[u8]], peer: Peer, options: &ClientOptions) -> IpAddr {
    let read = match options.forwarded {
        ForwardedHeader::Forwarded => forwarded_for,
        ForwardedHeader::None | ForwardedHeader::XForwardedFor => plain_address,
    };
    let lines = lines.iter().rev();
    let entries = lines.flat_map(|line| line.rsplit(|byte| *byte == b','));
    let mut address = peer.address;
    for entry in entries.take(HOPS_MAX) {
        let Some(named) = read(entry.trim_ascii()) else {
            break;
        };
        address = named.to_canonical();
        if !options.trusts(address) {
            break;
        }
    }
    address
}

/// An address, with or without a port.
fn plain_address(entry: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(entry).ok()?;
    let bare = text
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'))
        .unwrap_or(text);
    let with_port = || text.parse::<SocketAddr>().ok().map(|socket| socket.ip());
    bare.parse().ok().or_else(with_port)
}

/// The `for` of one element of RFC 7239's header.
fn forwarded_for(element: &[u8]) -> Option<IpAddr> {
    element.split(|byte| *byte == b';').find_map(|pair| {
        let (name, value) = pair.trim_ascii().split_at_checked(4)?;
        let value = name.eq_ignore_ascii_case(b"for=").then_some(value)?;
        let quoted = value
            .strip_prefix(b"\"")
            .and_then(|rest| rest.strip_suffix(b"\""));
        plain_address(quoted.unwrap_or(value))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::header::HeaderValue;

    fn address(peer: &str, options: &ClientOptions, lines: &[(&'static str, &str)]) -> String {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(*name, value.parse().unwrap());
        }
        let peer = Peer::new(peer.parse().unwrap(), options);
        Client::read(&headers, peer, options).address.to_string()
    }

    fn options(forwarded: ForwardedHeader) -> ClientOptions {
        let nets = ["10.0.0.0/8", "fd00::/8"].map(|net| net.parse().unwrap());
        ClientOptions {
            trusted_proxies: nets.to_vec(),
            forwarded,
            ..ClientOptions::default()
        }
    }

    #[test]
    fn forwarded_addresses_count_from_the_right_and_from_our_proxies_only() {
        let many = vec!["10.0.0.9"; 1_000].join(", ");
        let rows: [(&str, &[&str], &str); 12] = [
            ("192.0.2.1", &["1.2.3.4"], "192.0.2.1"),
            ("10.0.0.1", &["1.2.3.4"], "1.2.3.4"),
            ("10.0.0.1", &["6.6.6.6, 1.2.3.4"], "1.2.3.4"),
            ("10.0.0.1", &["6.6.6.6, 1.2.3.4, 10.0.0.2"], "1.2.3.4"),
            ("10.0.0.1", &["6.6.6.6", "1.2.3.4"], "1.2.3.4"),
            ("10.0.0.1", &["1.2.3.4, garbage"], "10.0.0.1"),
            ("10.0.0.1", &["1.2.3.4, garbage, 10.0.0.3"], "10.0.0.3"),
            ("10.0.0.1", &["1.2.3.4:5678"], "1.2.3.4"),
            ("10.0.0.1", &["[2001:db8::1]:443"], "2001:db8::1"),
            ("::ffff:10.0.0.1", &["::ffff:1.2.3.4"], "1.2.3.4"),
            ("10.0.0.1", &[&many], "10.0.0.9"),
            ("10.0.0.1", &[""], "10.0.0.1"),
        ];
        for (peer, lines, expected) in rows {
            let lines: Vec<_> = lines
                .iter()
                .map(|line| ("x-forwarded-for", *line))
                .collect();
            let options = options(ForwardedHeader::XForwardedFor);
            assert_eq!(
                address(peer, &options, &lines),
                expected,
                "{peer} {lines:?}"
            );
            let none = ClientOptions {
                forwarded: ForwardedHeader::None,
                ..options
            };
            assert_eq!(address("10.0.0.1", &none, &lines), "10.0.0.1");
        }
    }

    #[test]
    fn rfc_7239_is_read_when_it_is_the_one_chosen() {
        let options = options(ForwardedHeader::Forwarded);
        let rows = [
            ("for=1.2.3.4;proto=https;by=10.0.0.1", "1.2.3.4"),
            (
                "for=6.6.6.6, proto=http; For=\"[2001:db8::1]:4711\"",
                "2001:db8::1",
            ),
            ("for=_hidden", "10.0.0.1"),
            ("for=1.2.3.4, for=unknown", "10.0.0.1"),
            ("for=1.2.3.4, for=10.0.0.7", "1.2.3.4"),
        ];
        for (line, expected) in rows {
            let lines = [("forwarded", line), ("x-forwarded-for", "9.9.9.9")];
            assert_eq!(address("10.0.0.1", &options, &lines), expected, "{line}");
        }
    }

    #[test]
    fn prefetches_say_so_in_several_ways() {
        for value in [
            "prefetch",
            "Prefetch;prerender",
            "prefetch;anonymous-client-ip",
            "preview",
        ] {
            assert!(is_prefetch(value.as_bytes()), "{value}");
        }
        for value in ["", "navigate", "prefetching", "no-prefetch"] {
            assert!(!is_prefetch(value.as_bytes()), "{value}");
        }
    }

    #[test]
    fn the_country_is_a_trusted_word_only() {
        let options = options(ForwardedHeader::XForwardedFor);
        let mut headers = HeaderMap::new();
        headers.insert("x-country", HeaderValue::from_static("DE"));
        let of = |peer: &str| {
            let peer = Peer::new(peer.parse().unwrap(), &options);
            Client::read(&headers, peer, &options).country.to_string()
        };
        assert_eq!(
            (of("10.0.0.1"), of("192.0.2.1")),
            ("DE".to_owned(), "--".to_owned())
        );
    }
}
