//! A request that has passed its policy, and what it is answered with.

use std::sync::Arc;

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use serde::Serialize;
use serde::de::DeserializeOwned;
use sha2::{Digest, Sha256};
use tollgate_click::Millis;

use crate::cursor::Question;
use crate::data::Data;
use crate::desk::{NewChange, Written};
use crate::idempotency::RequestId;
use crate::params::Params;
use crate::problem::Problem;
use crate::seen::Seen;
use crate::tenant::Tenant;

/// A request.
pub(crate) struct Call {
    pub(crate) data: Arc<Data>,
    pub(crate) tenant: Tenant,
    /// The path's last id, as it stands there.
    pub(crate) id: String,
    pub(crate) params: Params,
    /// Path and query without the cursor: what a cursor belongs to.
    pub(crate) question: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    /// What makes it the same request when it is sent again; none without `Idempotency-Key`.
    pub(crate) request: Option<RequestId>,
}

/// An answer.
#[derive(Clone, Debug)]
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    pub(crate) kind: &'static str,
    pub(crate) headers: Vec<(HeaderName, String)>,
    pub(crate) body: Bytes,
    /// What of the body may be kept, where it holds a secret.
    pub(crate) without_secret: Option<Bytes>,
}

pub(crate) const JSON: &str = "application/json";

impl Call {
    /// Decides at the desk, over what stands as the tenant sees it, and writes.
    pub(crate) async fn write(
        &self,
        decide: impl FnOnce(&Seen<'_>, Millis) -> Result<Vec<NewChange>, Problem> + Send + 'static,
    ) -> Result<Written, Problem> {
        self.data.write(&self.tenant, self.request, decide).await
    }

    /// The path's id as a number; one that is none is one that nothing has.
    pub(crate) fn number<T: std::str::FromStr>(&self) -> Result<T, Problem> {
        let digits = crate::params::plain_digits(&self.id);
        let number = digits.and_then(|digits| digits.parse().ok());
        number.ok_or_else(Problem::not_found)
    }

    /// The body.
    pub(crate) fn json<T: DeserializeOwned>(&self) -> Result<T, Problem> {
        parse(&self.body)
    }

    /// The place of the cursor, if there is one.
    pub(crate) fn place(&self) -> Result<Option<Vec<u8>>, Problem> {
        let read = |text| self.data.cursors.read(self.asked(), text);
        self.params.get("cursor").map(read).transpose()
    }

    /// The cursor of a place.
    pub(crate) fn cursor(&self, place: &[u8]) -> String {
        self.data.cursors.write(self.asked(), place)
    }

    fn asked(&self) -> Question<'_> {
        Question {
            asker: self.tenant.key(),
            text: &self.question,
        }
    }

    /// Whether the request is for this version of a thing, or for any.
    pub(crate) fn check_version(if_match: Option<&str>, etag: &str) -> Result<(), Problem> {
        let Some(wanted) = if_match else {
            return Ok(());
        };
        let matches = |one: &str| matches!(one.trim(), "*") || one.trim() == etag;
        match wanted.split(',').any(matches) {
            true => Ok(()),
            false => Err(Problem::stale()),
        }
    }

    /// The header `If-Match`.
    pub(crate) fn if_match(&self) -> Option<String> {
        let value = self.headers.get(header::IF_MATCH)?;
        // One that is no text matches nothing.
        Some(value.to_str().unwrap_or("").to_owned())
    }
}

/// Reads JSON strictly.
pub(crate) fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, Problem> {
    serde_json::from_slice(body).map_err(|error| {
        let at = format!("body, line {} column {}", error.line(), error.column());
        Problem::malformed(at, json_fault(&error), "see /v1/openapi.json")
    })
}

/// What serde says, without the place, which is told apart.
pub(crate) fn json_fault(error: &serde_json::Error) -> String {
    let told = error.to_string();
    let what = told
        .rsplit_once(" at line ")
        .map_or(&*told, |(what, _)| what);
    crate::params::clip_long(what)
}

/// The version of a thing, by what it says.
pub(crate) fn etag(shown: &impl Serialize) -> String {
    let text = serde_json::to_vec(shown).unwrap_or_default();
    let digest = Sha256::digest(&text);
    let hex: String = digest
        .iter()
        .take(12)
        .map(|byte| format!("{byte:02x}"))
        .collect();
    format!("\"{hex}\"")
}

impl Reply {
    /// 200 with JSON.
    pub(crate) fn json(value: &impl Serialize) -> Result<Reply, Problem> {
        let body = serde_json::to_vec(value);
        let mut body = body.map_err(|error| Problem::broken("the answer", error))?;
        body.push(b'\n');
        Ok(Reply::of(JSON, body))
    }

    /// 200 with these bytes.
    pub(crate) fn of(kind: &'static str, body: impl Into<Bytes>) -> Reply {
        Reply {
            status: StatusCode::OK,
            kind,
            headers: Vec::new(),
            body: body.into(),
            without_secret: None,
        }
    }

    pub(crate) fn status(mut self, status: StatusCode) -> Reply {
        self.status = status;
        self
    }

    pub(crate) fn header(mut self, name: HeaderName, value: impl Into<String>) -> Reply {
        self.headers.push((name, value.into()));
        self
    }

    pub(crate) fn into_response(self) -> Response {
        let mut response = Response::new(Body::from(self.body));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(self.kind));
        for (name, value) in self.headers {
            // Made by us from digits and letters; one that is not is left out.
            if let Ok(value) = HeaderValue::try_from(value) {
                headers.insert(name, value);
            }
        }
        response
    }
}
