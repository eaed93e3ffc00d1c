//! The answers: fixed bodies, fixed headers, nothing of the request in them.

use std::cell::Cell;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::header::{
    ALLOW, CACHE_CONTROL, CONNECTION, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, LOCATION,
    REFERRER_POLICY, RETRY_AFTER, WWW_AUTHENTICATE, X_CONTENT_TYPE_OPTIONS,
};
use http::{Response, StatusCode, Version};
use http_body_util::Full;
use memchr::memchr;
use tollgate_click::{Millis, Refusal};

use crate::core::Stamp;

pub(crate) type Reply = Response<Full<Bytes>>;

/// The header of a receipt.
pub(crate) const CLICK_ID: HeaderName = HeaderName::from_static("click-id");

const NO_STORE: HeaderValue = HeaderValue::from_static("no-store, private");
const TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");
const JSON: HeaderValue = HeaderValue::from_static("application/json");
const GIF: HeaderValue = HeaderValue::from_static("image/gif");
const NOSNIFF: HeaderValue = HeaderValue::from_static("nosniff");
const CLOSE: HeaderValue = HeaderValue::from_static("close");
const REFERRER: HeaderValue = HeaderValue::from_static("strict-origin-when-cross-origin");
const ONE_SECOND: HeaderValue = HeaderValue::from_static("1");

macro_rules! raw {
    ($status:literal, $length:literal, $body:literal) => {
        concat!(
            "HTTP/1.1 ",
            $status,
            "\r\ncontent-type: text/plain; charset=utf-8\r\ncache-control: no-store, private\r\n",
            "x-content-type-options: nosniff\r\nconnection: close\r\ncontent-length: ",
            $length,
            "\r\n\r\n",
            $body,
        )
        .as_bytes()
    };
}

/// What the gate says to a request that never becomes one.
pub(crate) const RAW_400: &[u8] = raw!("400 Bad Request", "12", "bad request\n");
pub(crate) const RAW_408: &[u8] = raw!("408 Request Timeout", "9", "too slow\n");
pub(crate) const RAW_414: &[u8] = raw!("414 URI Too Long", "9", "too long\n");
pub(crate) const RAW_431: &[u8] = raw!(
    "431 Request Header Fields Too Large",
    "22",
    "too many header bytes\n"
);

/// A transparent image of one pixel (GIF89a).
const PIXEL: &[u8] = b"GIF89a\x01\x00\x01\x00\x80\x00\x00\x00\x00\x00\x00\x00\x00!\xf9\x04\x01\
    \x00\x00\x00\x00,\x00\x00\x00\x00\x01\x00\x01\x00\x00\x02\x02D\x01\x00;";

/// The receipt. `headers` is emptied and used again, so that the map is not allocated twice.
pub(crate) fn redirect(mut headers: HeaderMap, location: HeaderValue, id: HeaderValue) -> Reply {
    headers.clear();
    headers.insert(LOCATION, location);
    headers.insert(CLICK_ID, id);
    headers.insert(CACHE_CONTROL, NO_STORE);
    headers.insert(REFERRER_POLICY, REFERRER);
    let mut reply = Response::new(Full::default());
    *reply.status_mut() = StatusCode::FOUND;
    *reply.headers_mut() = headers;
    reply
}

/// The pixel: the same whatever the token was.
pub(crate) fn pixel() -> Reply {
    let mut reply = fixed(StatusCode::OK, PIXEL);
    reply.headers_mut().insert(CONTENT_TYPE, GIF);
    reply
}

/// The answer to a hit that was not recorded.
pub(crate) fn refused(reason: Refusal) -> Reply {
    match reason {
        Refusal::Forged => fixed(StatusCode::FORBIDDEN, b"this link is not valid\n"),
        Refusal::Malformed => fixed(StatusCode::BAD_REQUEST, b"bad request\n"),
        Refusal::UnknownLink => fixed(StatusCode::NOT_FOUND, b"not found\n"),
        Refusal::Expired => fixed(StatusCode::GONE, b"this link has expired\n"),
        // No Retry-After: the click that the prefetch was made for comes when it comes.
        Refusal::Prefetch => fixed(StatusCode::SERVICE_UNAVAILABLE, b"not for prefetching\n"),
        Refusal::Overload => try_again(b"overloaded\n"),
        Refusal::Unrecorded => try_again(b"indeterminate\n"),
    }
}

/// 503 whose body tells whether the click is certainly not recorded (`overloaded`) or may be
/// (`indeterminate`: the log took it, and its commit failed).
fn try_again(body: &'static [u8]) -> Reply {
    let mut reply = fixed(StatusCode::SERVICE_UNAVAILABLE, body);
    reply.headers_mut().insert(RETRY_AFTER, ONE_SECOND);
    reply
}

/// A fixed text of that status.
pub(crate) fn fixed(status: StatusCode, body: &'static [u8]) -> Reply {
    let mut reply = Response::new(Full::new(Bytes::from_static(body)));
    *reply.status_mut() = status;
    let headers = reply.headers_mut();
    headers.insert(CONTENT_TYPE, TEXT);
    headers.insert(CACHE_CONTROL, NO_STORE);
    headers.insert(X_CONTENT_TYPE_OPTIONS, NOSNIFF);
    reply
}

/// A method that the route does not have, or nobody.
pub(crate) fn wrong_method(known: bool, allow: &'static str) -> Reply {
    if !known {
        return fixed(StatusCode::NOT_IMPLEMENTED, b"unknown method\n");
    }
    let mut reply = fixed(StatusCode::METHOD_NOT_ALLOWED, b"method not allowed\n");
    reply
        .headers_mut()
        .insert(ALLOW, HeaderValue::from_static(allow));
    reply
}

/// No valid bearer token.
pub(crate) fn unauthorised() -> Reply {
    let mut reply = fixed(StatusCode::UNAUTHORIZED, b"no valid token\n");
    reply
        .headers_mut()
        .insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    reply
}

/// A JSON body.
pub(crate) fn json(status: StatusCode, body: String) -> Reply {
    let mut reply = fixed(status, b"");
    *reply.body_mut() = Full::new(Bytes::from(body));
    reply.headers_mut().insert(CONTENT_TYPE, JSON);
    reply
}

/// Writes the receipt as hyper would write [`redirect`], without a header map.
pub(crate) fn write_redirect(
    stamp: Stamp,
    location: &[u8],
    answer: &mut Vec<u8>,
) -> Result<(), Refusal> {
    // The rules of destinations and macros leave nothing else; a header line is at stake.
    let clean = location
        .iter()
        .fold(true, |clean, byte| clean & matches!(byte, b'!'..=b'~'));
    if !clean {
        return Err(Refusal::Malformed);
    }
    answer.clear();
    answer.extend_from_slice(b"HTTP/1.1 302 Found\r\nlocation: ");
    answer.extend_from_slice(location);
    answer.extend_from_slice(b"\r\nclick-id: ");
    answer.extend_from_slice(&stamp.click_id.text());
    answer.extend_from_slice(
        b"\r\ncache-control: no-store, private\r\n\
          referrer-policy: strict-origin-when-cross-origin\r\ncontent-length: 0\r\ndate: ",
    );
    answer.extend_from_slice(&date(stamp.click_id.received_at()));
    answer.extend_from_slice(b"\r\n\r\n");
    Ok(())
}

/// Writes the answer to a refused click as hyper would write [`refused`]; without the body for a
/// `HEAD`.
pub(crate) fn write_refused(reason: Refusal, head: bool, now: Millis, answer: &mut Vec<u8>) {
    let (parts, body) = refused(reason).into_parts();
    let body = body.into_inner().unwrap_or_default();
    answer.clear();
    answer.extend_from_slice(format!("HTTP/1.1 {}\r\n", parts.status).as_bytes());
    for (name, value) in &parts.headers {
        answer.extend_from_slice(name.as_str().as_bytes());
        answer.extend_from_slice(b": ");
        answer.extend_from_slice(value.as_bytes());
        answer.extend_from_slice(b"\r\n");
    }
    answer.extend_from_slice(format!("content-length: {}\r\ndate: ", body.len()).as_bytes());
    answer.extend_from_slice(&date(now));
    answer.extend_from_slice(b"\r\n\r\n");
    if !head {
        answer.extend_from_slice(&body);
    }
}

/// Adds to a written answer that the connection ends with it.
pub(crate) fn announce_close(answer: &mut Vec<u8>) {
    if let Some(line_end) = memchr(b'\r', answer) {
        answer.splice(line_end..line_end, *b"\r\nconnection: close");
    }
}

const DATE_BYTES: usize = 29;

thread_local! {
    /// The second that was formatted last.
    static DATE: Cell<(u64, [u8; DATE_BYTES])> =
        const { Cell::new((u64::MAX, [b' '; DATE_BYTES])) };
}

/// The value of `Date` (RFC 9110, IMF-fixdate), formatted once a second.
fn date(now: Millis) -> [u8; DATE_BYTES] {
    let second = now.0 / 1000;
    let (formatted, mut text) = DATE.get();
    if formatted != second {
        let at = SystemTime::UNIX_EPOCH + Duration::from_secs(second.min(DATE_SECOND_MAX));
        let shown = httpdate::fmt_http_date(at);
        text.iter_mut()
            .zip(shown.bytes())
            .for_each(|(slot, byte)| *slot = byte);
        DATE.set((second, text));
    }
    text
}

/// The last second of the year 9999, after which the form has no room.
const DATE_SECOND_MAX: u64 = 253_402_300_799;

/// The same answer, after which the connection ends (HTTP/2 has no such header).
pub(crate) fn closing(mut reply: Reply, version: Version) -> Reply {
    if version < Version::HTTP_2 {
        reply.headers_mut().insert(CONNECTION, CLOSE);
    }
    reply
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use tollgate_click::ids::ClickIdParts;
    use tollgate_click::{ClickId, EdgeId, PartitionId};

    #[test]
    fn raw_answers_state_their_length() {
        for raw in [RAW_400, RAW_408, RAW_414, RAW_431] {
            let text = std::str::from_utf8(raw).unwrap();
            let (head, body) = text.split_once("\r\n\r\n").unwrap();
            assert!(
                head.ends_with(&format!("content-length: {}", body.len())),
                "{head}"
            );
        }
    }

    #[test]
    fn no_refusal_is_a_redirect_or_a_receipt() {
        for reason in Refusal::ALL {
            let reply = refused(reason);
            assert!(reply.status().is_client_error() || reply.status().is_server_error());
            assert!(!reply.headers().contains_key(LOCATION), "{}", reason.name());
            assert!(!reply.headers().contains_key(CLICK_ID), "{}", reason.name());
            assert_eq!(reply.headers()[CACHE_CONTROL], NO_STORE);
        }
        assert!(!pixel().headers().contains_key(CLICK_ID));
    }

    const AT: Millis = Millis(784_111_777_999);

    proptest! {
        #[test]
        fn ids_are_written_as_they_are_displayed(bits: u128) {
            let framed = (bits & !(0xF << 76) & !(0b11 << 62)) | (7 << 76) | (0b10 << 62);
            let id = ClickId::from_bytes(framed.to_be_bytes()).unwrap();
            let plain = format!("{framed:032x}");
            let groups = [&plain[..8], &plain[8..12], &plain[12..16], &plain[16..20], &plain[20..]];
            prop_assert_eq!(id.text().to_vec(), groups.join("-").into_bytes());
            prop_assert_eq!(id.to_string(), groups.join("-"));
        }
    }

    /// What stands in a written answer: status line, headers but the date, body.
    fn read(answer: &[u8]) -> (String, Vec<(String, String)>, String) {
        let text = std::str::from_utf8(answer).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        let (status, lines) = head.split_once("\r\n").unwrap();
        let headers = lines
            .split("\r\n")
            .map(|line| line.split_once(": ").unwrap());
        // RFC 9110, section 5.6.7, gives this second as its example.
        assert!(
            headers
                .clone()
                .any(|line| line == ("date", "Sun, 06 Nov 1994 08:49:37 GMT"))
        );
        let mut headers: Vec<_> = headers
            .filter(|(name, _)| *name != "date")
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect();
        headers.sort();
        (status.to_owned(), headers, body.to_owned())
    }

    /// The same of a reply that hyper writes.
    fn shape(reply: Reply) -> (String, Vec<(String, String)>, String) {
        let (parts, body) = reply.into_parts();
        let body = String::from_utf8(body.into_inner().unwrap_or_default().to_vec()).unwrap();
        let text = |value: &HeaderValue| value.to_str().unwrap().to_owned();
        let mut headers: Vec<_> = parts
            .headers
            .iter()
            .map(|(name, value)| (name.to_string(), text(value)))
            .chain([("content-length".to_owned(), body.len().to_string())])
            .collect();
        headers.sort();
        (format!("HTTP/1.1 {}", parts.status), headers, body)
    }

    #[test]
    fn the_short_way_says_what_the_long_way_says() {
        let mut answer = b"left over".to_vec();
        for reason in Refusal::ALL {
            write_refused(reason, false, AT, &mut answer);
            assert_eq!(read(&answer), shape(refused(reason)), "{}", reason.name());
            write_refused(reason, true, AT, &mut answer);
            assert!(answer.ends_with(b"\r\n\r\n"), "a body for a HEAD");
        }
        let stamp = Stamp {
            partition: PartitionId::default(),
            click_id: ClickId::new(ClickIdParts {
                received_at: AT,
                partition: PartitionId::default(),
                edge: EdgeId::default(),
                random: 42,
            }),
        };
        let location = b"https://shop.example/?a=b";
        write_redirect(stamp, location, &mut answer).unwrap();
        let id = HeaderValue::from_str(&stamp.click_id.to_string()).unwrap();
        let long = redirect(
            HeaderMap::new(),
            HeaderValue::from_bytes(location).unwrap(),
            id,
        );
        assert_eq!(read(&answer), shape(long));
        announce_close(&mut answer);
        let (_, headers, _) = read(&answer);
        assert!(headers.contains(&("connection".to_owned(), "close".to_owned())));
    }

    #[test]
    fn a_location_cannot_end_its_line() {
        let parts = ClickIdParts {
            received_at: AT,
            partition: PartitionId::default(),
            edge: EdgeId::default(),
            random: 1,
        };
        let stamp = Stamp {
            partition: PartitionId::default(),
            click_id: ClickId::new(parts),
        };
        for bad in [
            "https://a.example/\r\nset-cookie: x",
            "https://a.example/ b",
            "\u{7f}",
            "é",
        ] {
            let written = write_redirect(stamp, bad.as_bytes(), &mut Vec::new());
            assert_eq!(written, Err(Refusal::Malformed), "{bad:?}");
        }
    }
}
