//! The head of an HTTP/1 request, checked byte by byte before hyper sees any of it.
//!
//! hyper's parser forgives what RFC 9112 allows a server to forgive: line ends without CR, folded
//! headers, several equal Content-Lengths. Each such kindness is read differently by some proxy in
//! front, and a difference smuggles requests. So the edge takes one spelling only:
//!
//! - the request line is `METHOD SP /target SP HTTP/1.x`, single spaces, x 0 or 1;
//! - every line ends in CR LF and holds neither CR, LF nor another control byte but the tab;
//! - a header is `name:value`, the name a token; no folding, nothing between name and colon;
//! - at most one Host (exactly one in HTTP/1.1), one Content-Length of digits, one
//!   Transfer-Encoding of exactly `chunked` (not in HTTP/1.0), and never both of these;
//! - GET and HEAD have no body.

use memchr::memchr;
use tollgate_click::limits::{HEADER_BYTES_MAX, HEADERS_MAX, TARGET_BYTES_MAX};

/// Longest request line: a target of its longest, a method, a version.
const LINE_BYTES_MAX: usize = TARGET_BYTES_MAX + 64;

/// A checked head.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Head {
    /// Its bytes, the empty line included.
    pub(crate) bytes: usize,
    /// What follows it.
    pub(crate) body: Framing,
}

/// How long the body is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Framing {
    /// There is none.
    None,
    /// So many bytes, at least 1.
    Length(u64),
    /// In chunks.
    Chunked,
}

/// What is wrong with a head.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Fault {
    /// Not one spelling of a request that we take: 400.
    Malformed,
    /// The request line is too long: 414.
    LineTooLong,
    /// Too many headers, or too many bytes of them: 431.
    HeadersTooLarge,
    /// It took too long: 408.
    TooSlow,
}

/// Looks at the bytes of a head as far as they have come; none when more must come. Broken lines
/// are found as soon as they are whole: a client is not kept waiting for what will be refused.
pub(crate) fn check(bytes: &[u8]) -> Result<Option<Head>, Fault> {
    check_each(bytes, |_, _| {})
}

/// The same, handing out each header as it is found good: its name as sent, its value without the
/// white space around it.
pub(crate) fn check_each<'a>(
    bytes: &'a [u8],
    mut each: impl FnMut(&'a [u8], &'a [u8]),
) -> Result<Option<Head>, Fault> {
    let Some((line, mut rest)) = take_line(bytes)? else {
        return if bytes.len() > LINE_BYTES_MAX {
            Err(Fault::LineTooLong)
        } else {
            Ok(None)
        };
    };
    let request = request_line(line)?;
    let headers_start = rest.len();
    let mut headers = Headers::default();
    loop {
        let seen = headers_start - rest.len();
        if seen > HEADER_BYTES_MAX {
            return Err(Fault::HeadersTooLarge);
        }
        let Some((line, after)) = take_line(rest)? else {
            let too_large = headers_start > HEADER_BYTES_MAX;
            return if too_large {
                Err(Fault::HeadersTooLarge)
            } else {
                Ok(None)
            };
        };
        rest = after;
        if line.is_empty() {
            let body = headers.framing(request)?;
            return Ok(Some(Head {
                bytes: bytes.len() - rest.len(),
                body,
            }));
        }
        let (name, value) = headers.take(line, request)?;
        each(name, value);
    }
}

/// A line without its CR LF, and what follows.
type Line<'a> = (&'a [u8], &'a [u8]);

/// The first line; none when it has not ended.
fn take_line(bytes: &[u8]) -> Result<Option<Line<'_>>, Fault> {
    let Some(end) = memchr(b'\n', bytes) else {
        return Ok(None);
    };
    let (line, rest) = bytes.split_at_checked(end).ok_or(Fault::Malformed)?;
    let line = line.strip_suffix(b"\r").ok_or(Fault::Malformed)?;
    Ok(Some((line, rest.get(1..).unwrap_or_default())))
}

/// A header's name and value.
type Field<'a> = (&'a [u8], &'a [u8]);

#[derive(Clone, Copy)]
struct RequestLine {
    without_body: bool,
    version_1_0: bool,
}

fn request_line(line: &[u8]) -> Result<RequestLine, Fault> {
    if line.len() > LINE_BYTES_MAX {
        return Err(Fault::LineTooLong);
    }
    let (method, rest) = split(line, b' ').ok_or(Fault::Malformed)?;
    // A third space is in no version.
    let (target, version) = split(rest, b' ').ok_or(Fault::Malformed)?;
    if target.len() > TARGET_BYTES_MAX {
        return Err(Fault::LineTooLong);
    }
    let version_1_0 = match version {
        b"HTTP/1.1" => false,
        b"HTTP/1.0" => true,
        _ => return Err(Fault::Malformed),
    };
    let method_ok = !method.is_empty() && all_are(method, TOKEN);
    let target_ok = target.first() == Some(&b'/') && all_are(target, TARGET);
    if !method_ok || !target_ok {
        return Err(Fault::Malformed);
    }
    Ok(RequestLine {
        without_body: matches!(method, b"GET" | b"HEAD"),
        version_1_0,
    })
}

#[derive(Default)]
struct Headers {
    count: usize,
    hosts: usize,
    length: Option<u64>,
    chunked: bool,
}

impl Headers {
    fn take<'a>(&mut self, line: &'a [u8], request: RequestLine) -> Result<Field<'a>, Fault> {
        self.count += 1;
        if self.count > HEADERS_MAX {
            return Err(Fault::HeadersTooLarge);
        }
        let (name, value) = split(line, b':').ok_or(Fault::Malformed)?;
        let name_ok = !name.is_empty() && all_are(name, TOKEN);
        // Written so that it compiles to wide instructions: most bytes of a head are here.
        let control = |byte: u8| (byte < b' ' && byte != b'\t') || byte == 0x7F;
        let value_ok = !value.iter().fold(false, |bad, byte| bad | control(*byte));
        if !name_ok || !value_ok {
            return Err(Fault::Malformed);
        }
        match name.len() {
            4 if name.eq_ignore_ascii_case(b"host") => self.hosts += 1,
            14 if name.eq_ignore_ascii_case(b"content-length") => self.take_length(value)?,
            17 if name.eq_ignore_ascii_case(b"transfer-encoding") => {
                let known = value.trim_ascii().eq_ignore_ascii_case(b"chunked");
                if !known || self.chunked || request.version_1_0 {
                    return Err(Fault::Malformed);
                }
                self.chunked = true;
            }
            _ => {}
        }
        Ok((name, value.trim_ascii()))
    }

    fn take_length(&mut self, value: &[u8]) -> Result<(), Fault> {
        let digits = value.trim_ascii();
        let number = digits.iter().try_fold(0u64, |number, digit| {
            let digit = char::from(*digit).to_digit(10)?;
            number.checked_mul(10)?.checked_add(u64::from(digit))
        });
        if digits.is_empty() || self.length.is_some() {
            return Err(Fault::Malformed);
        }
        self.length = Some(number.ok_or(Fault::Malformed)?);
        Ok(())
    }

    fn framing(&self, request: RequestLine) -> Result<Framing, Fault> {
        let hosts_ok = self.hosts == 1 || (self.hosts == 0 && request.version_1_0);
        let body = match (self.length, self.chunked) {
            (None | Some(0), false) => Framing::None,
            (Some(length), false) => Framing::Length(length),
            (None, true) => Framing::Chunked,
            (Some(_), true) => return Err(Fault::Malformed),
        };
        if !hosts_ok || (request.without_body && body != Framing::None) {
            return Err(Fault::Malformed);
        }
        Ok(body)
    }
}

/// Bytes of a token, RFC 9110 section 5.6.2.
const TOKEN: u8 = 1;
/// Bytes of a target that both RFC 3986 and the `http` crate's parser let stand, with the braces,
/// bars and quotes that clients send unescaped.
const TARGET: u8 = 2;

const CLASSES: [u8; 256] = {
    let mut classes = [0; 256];
    let mut byte: u8 = 0x21;
    #[expect(
        clippy::indexing_slicing,
        reason = "a u8 cannot leave 256 places; const code"
    )]
    while byte < 0x7F {
        let separator = matches!(
            byte,
            b'"' | b'('
                | b')'
                | b','
                | b'/'
                | b':'
                | b';'
                | b'<'
                | b'='
                | b'>'
                | b'?'
                | b'@'
                | b'['
                | b'\\'
                | b']'
                | b'{'
                | b'}'
        );
        if !separator {
            classes[byte as usize] |= TOKEN;
        }
        if !matches!(byte, b'"' | b'#' | b'<' | b'>' | b'`' | b'\\' | b'^') {
            classes[byte as usize] |= TARGET;
        }
        byte += 1;
    }
    classes
};

/// Whether all bytes are of that class. Without an early end: it is nearly always yes.
fn all_are(bytes: &[u8], class: u8) -> bool {
    let classes = |byte: &u8| CLASSES.get(usize::from(*byte)).copied().unwrap_or(0);
    bytes.iter().fold(class, |all, byte| all & classes(byte)) != 0
}

/// What stands before and behind the first such byte.
fn split(bytes: &[u8], at: u8) -> Option<(&[u8], &[u8])> {
    let (before, from) = bytes.split_at_checked(memchr(at, bytes)?)?;
    Some((before, from.get(1..).unwrap_or_default()))
}

#[cfg(test)]
mod tests;
