//! What is answered when a request is refused: one problem (RFC 9457) that says what is wrong,
//! where, and what would be allowed.
//!
//! The text that a client sees is made here and nowhere else; what an engine said goes to the
//! messages of the process, never into an answer.

use axum::body::Body;
use axum::response::Response;
use http::{HeaderValue, StatusCode, header};
use serde::Serialize;

/// Why a request was refused.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Problem {
    status: StatusCode,
    kind: &'static str,
    title: &'static str,
    detail: String,
    errors: Vec<Wrong>,
    /// Seconds after which the same request may do better.
    retry_after_s: Option<u32>,
}

/// One thing that is wrong.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, utoipa::ToSchema)]
pub struct Wrong {
    /// Where: a JSON pointer into the body, or the name of a parameter or header.
    pub at: String,
    /// What is wrong there.
    pub what: String,
    /// What would be right; empty when `what` says so.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub allowed: String,
}

/// The body of a problem, as it is documented.
#[derive(Serialize, utoipa::ToSchema)]
#[schema(as = Problem)]
pub(crate) struct ProblemBody<'a> {
    /// A URN of the kind of problem.
    #[serde(rename = "type")]
    kind: String,
    /// The kind in words.
    title: &'a str,
    /// The status of the answer.
    status: u16,
    /// What happened this time.
    #[serde(skip_serializing_if = "str::is_empty")]
    detail: &'a str,
    /// Everything that is wrong, up to a limit.
    #[serde(skip_serializing_if = "<[Wrong]>::is_empty")]
    errors: &'a [Wrong],
}

/// The media type of a problem.
pub(crate) const PROBLEM: &str = "application/problem+json";

/// Errors that one problem names; the rest would be more of the same.
pub const ERRORS_MAX: usize = 20;

impl Problem {
    fn new(
        status: StatusCode,
        kind: &'static str,
        title: &'static str,
        detail: impl Into<String>,
    ) -> Problem {
        Problem {
            status,
            kind,
            title,
            detail: detail.into(),
            errors: Vec::new(),
            retry_after_s: None,
        }
    }

    /// 400: it cannot be read.
    pub fn malformed(at: impl Into<String>, what: impl ToString, allowed: &str) -> Problem {
        let title = "The request cannot be read";
        Problem::new(StatusCode::BAD_REQUEST, "malformed", title, "").with(at, what, allowed)
    }

    /// 422: it can be read and makes no sense.
    pub fn invalid(at: impl Into<String>, what: impl ToString, allowed: &str) -> Problem {
        Problem::all_invalid(Vec::new()).with(at, what, allowed)
    }

    /// 422 with everything that is wrong.
    pub fn all_invalid(errors: Vec<Wrong>) -> Problem {
        let status = StatusCode::UNPROCESSABLE_ENTITY;
        let detail = match errors.len() {
            more if more > ERRORS_MAX => format!("{more} errors; the first {ERRORS_MAX} are named"),
            _ => String::new(),
        };
        let mut problem = Problem::new(status, "invalid", "A value is not allowed", detail);
        problem.errors = errors;
        problem.errors.truncate(ERRORS_MAX);
        problem
    }

    /// 401: no credential that counts.
    pub fn unauthenticated() -> Problem {
        let detail = "send `Authorization: Bearer tgk_...` with a key that is live";
        let title = "No valid API key";
        Problem::new(StatusCode::UNAUTHORIZED, "unauthenticated", title, detail)
    }

    /// 403: the role does not do that, whatever it concerns.
    pub fn forbidden(detail: impl Into<String>) -> Problem {
        let title = "The key's role does not allow that";
        Problem::new(StatusCode::FORBIDDEN, "forbidden", title, detail)
    }

    /// 404: there is no such thing, or it is another tenant's; nobody can tell which.
    pub fn not_found() -> Problem {
        let detail = "there is no such thing, or not for this key";
        Problem::new(StatusCode::NOT_FOUND, "not-found", "Not found", detail)
    }

    /// 405: the path is known and the method is not.
    pub fn method_not_allowed() -> Problem {
        let status = StatusCode::METHOD_NOT_ALLOWED;
        Problem::new(
            status,
            "method",
            "Method not allowed",
            "see /v1/openapi.json",
        )
    }

    /// 409: it contradicts what stands.
    pub fn conflict(at: impl Into<String>, what: impl ToString, allowed: &str) -> Problem {
        let title = "That contradicts what stands";
        Problem::new(StatusCode::CONFLICT, "conflict", title, "").with(at, what, allowed)
    }

    /// 412: it was changed since it was read.
    pub fn stale() -> Problem {
        let status = StatusCode::PRECONDITION_FAILED;
        let detail = "read it again and send its new ETag as If-Match";
        Problem::new(status, "stale", "It was changed since it was read", detail)
    }

    /// 413: over a limit.
    pub fn too_large(detail: impl Into<String>) -> Problem {
        let title = "The request is too large";
        Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "too-large", title, detail)
    }

    /// 415: another kind of body.
    pub fn media_type() -> Problem {
        let detail = "send `Content-Type: application/json` without Content-Encoding";
        let title = "The body is of another kind";
        Problem::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "media-type",
            title,
            detail,
        )
    }

    /// 429: too many wrong keys from one address.
    pub fn too_many_tries(retry_after_s: u32) -> Problem {
        let status = StatusCode::TOO_MANY_REQUESTS;
        let detail = "too many wrong keys from this address; a right one is let in at any time";
        let mut problem = Problem::new(status, "throttled", "Too many wrong keys", detail);
        problem.retry_after_s = Some(retry_after_s);
        problem
    }

    /// 503: not now, and nothing was done.
    pub fn unavailable(detail: impl Into<String>, retry_after_s: u32) -> Problem {
        let status = StatusCode::SERVICE_UNAVAILABLE;
        let mut problem = Problem::new(status, "unavailable", "Not at present", detail);
        problem.retry_after_s = Some(retry_after_s);
        problem
    }

    /// 503: something that was kept cannot be read; what the engine said is logged here.
    pub fn broken(what: &'static str, error: impl std::fmt::Display) -> Problem {
        tracing::error!(what, %error, "cannot be read");
        Problem::unavailable(
            format!("{what} cannot be read at present; an operator is told"),
            30,
        )
    }

    /// Names one more thing that is wrong.
    #[must_use]
    pub fn with(mut self, at: impl Into<String>, what: impl ToString, allowed: &str) -> Problem {
        self.errors.push(Wrong::new(at, what, allowed));
        self
    }

    /// The same with other errors.
    #[must_use]
    pub(crate) fn instead(mut self, mut errors: Vec<Wrong>) -> Problem {
        errors.truncate(ERRORS_MAX);
        self.errors = errors;
        self
    }

    /// The status.
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// What is wrong, one by one.
    pub fn errors(&self) -> &[Wrong] {
        &self.errors
    }

    /// The body.
    pub(crate) fn body(&self) -> String {
        let body = ProblemBody {
            kind: format!("urn:tollgate:problem:{}", self.kind),
            title: self.title,
            status: self.status.as_u16(),
            detail: &self.detail,
            errors: &self.errors,
        };
        // Strings and numbers only: it cannot fail.
        serde_json::to_string(&body).unwrap_or_default()
    }

    /// The answer.
    pub(crate) fn into_response(self) -> Response {
        let mut response = Response::new(Body::from(self.body()));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        let kind = HeaderValue::from_static(PROBLEM);
        headers.insert(header::CONTENT_TYPE, kind);
        if self.status == StatusCode::UNAUTHORIZED {
            let challenge = HeaderValue::from_static("Bearer realm=\"tollgate\"");
            headers.insert(header::WWW_AUTHENTICATE, challenge);
        }
        if let Some(seconds) = self.retry_after_s {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

impl Wrong {
    /// One thing that is wrong.
    pub fn new(at: impl Into<String>, what: impl ToString, allowed: &str) -> Wrong {
        Wrong {
            at: at.into(),
            what: what.to_string(),
            allowed: allowed.to_owned(),
        }
    }
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.title)?;
        if !self.detail.is_empty() {
            write!(f, ": {}", self.detail)?;
        }
        for Wrong { at, what, allowed } in &self.errors {
            write!(f, "; {at}: {what}")?;
            if !allowed.is_empty() {
                write!(f, " (allowed: {allowed})")?;
            }
        }
        Ok(())
    }
}
