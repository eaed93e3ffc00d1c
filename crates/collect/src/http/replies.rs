//! The answers: fixed bodies, fixed headers, nothing of the request in them.

use bytes::Bytes;
use http::header::{
    ALLOW, CACHE_CONTROL, CONNECTION, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, LOCATION,
    REFERRER_POLICY, RETRY_AFTER, WWW_AUTHENTICATE, X_CONTENT_TYPE_OPTIONS,
};
use http::{Response, StatusCode, Version};
use http_body_util::Full;
use tollgate_click::Refusal;

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
        Refusal::Overload | Refusal::Unrecorded => {
            let mut reply = fixed(StatusCode::SERVICE_UNAVAILABLE, b"try again\n");
            reply.headers_mut().insert(RETRY_AFTER, ONE_SECOND);
            reply
        }
    }
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
}
