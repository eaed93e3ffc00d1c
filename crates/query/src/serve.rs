//! From a request to its answer: credential, role, parameters, body, idempotency, handler.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Body;
use axum::extract::{RawPathParams, Request};
use axum::response::Response;
use axum::routing::{MethodFilter, MethodRouter, get, on};
use bytes::Bytes;
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use http_body_util::{BodyExt, LengthLimitError, Limited};

use crate::call::{Call, JSON, Reply};
use crate::data::{Context, Data};
use crate::idempotency::{self, Answers, Known};
use crate::params::Params;
use crate::problem::Problem;
use crate::routes::{Policy, ROUTES, Route, Takes};
use crate::tenant::Tenant;
use crate::throttle::{Peer, Throttle};

/// How long a client may take to send a body.
const BODY_TIME: Duration = Duration::from_secs(30);

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
const REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");

/// Everything that requests share.
struct Service {
    data: Arc<Data>,
    answers: Answers,
    throttle: Throttle,
}

/// The API of a deployment.
pub fn router(context: Context) -> Router {
    let data = Arc::new(Data::new(context));
    let answers = Answers::new(data.memory());
    let service = Arc::new(Service {
        data,
        answers,
        throttle: Throttle::default(),
    });
    let mut router = Router::new();
    for route in ROUTES.iter().copied().flatten() {
        router = router.route(route.path, method_router(&service, route));
    }
    let metrics = service.data.clone();
    let ready = service.data.clone();
    router
        .route(
            "/healthz",
            get(async || finish(text("text/plain", "ok\n".into()))),
        )
        .route(
            "/readyz",
            get(move || std::future::ready(finish(readiness(&ready)))),
        )
        .route(
            "/metrics",
            get(move || {
                let body = metrics.node().metrics();
                std::future::ready(finish(text("text/plain; version=0.0.4", body)))
            }),
        )
        .route(
            "/v1/openapi.json",
            get(async || finish(text(JSON, crate::openapi::document()))),
        )
        .fallback(async || finish(Problem::not_found().into_response()))
        .method_not_allowed_fallback(async || finish(Problem::method_not_allowed().into_response()))
}

fn method_router(service: &Arc<Service>, route: &'static Route) -> MethodRouter {
    let service = service.clone();
    let handler = move |ids: RawPathParams, request: Request| {
        let id = ids.iter().last().map(|(_, id)| id.to_owned());
        let service = service.clone();
        async move {
            let answered = service.answer(route, id.unwrap_or_default(), request).await;
            finish(answered.unwrap_or_else(Problem::into_response))
        }
    };
    let filter = match route.method {
        Method::POST => MethodFilter::POST,
        Method::PUT => MethodFilter::PUT,
        Method::PATCH => MethodFilter::PATCH,
        Method::DELETE => MethodFilter::DELETE,
        _ => MethodFilter::GET,
    };
    on(filter, handler)
}

impl Service {
    async fn answer(
        self: Arc<Self>,
        route: &'static Route,
        id: String,
        request: Request,
    ) -> Result<Response, Problem> {
        let (parts, body) = request.into_parts();
        let tenant = self.admit(route, &parts)?;
        let query = parts.uri.query().unwrap_or("");
        let params = Params::parse(query, route.params)?;
        let body = read_body(route, &parts.headers, body).await?;
        let call = Call {
            data: self.data.clone(),
            tenant,
            id,
            params,
            question: question(&parts),
            headers: parts.headers,
            body,
            request: None,
        };
        if !route.writes() {
            return Ok((route.run)(call).await?.into_response());
        }
        // A write goes on when its client is gone: its place in the order is taken.
        let path = parts.uri.path().to_owned();
        let written = tokio::spawn(async move { self.write(route, call, &path).await });
        let written = written.await;
        let reply = written.map_err(|error| Problem::broken("the answer", error))??;
        Ok(reply.into_response())
    }

    /// Who asks, if they may.
    fn admit(&self, route: &Route, parts: &Parts) -> Result<Tenant, Problem> {
        let header = parts.headers.get(header::AUTHORIZATION);
        let text = header.and_then(|value| value.to_str().ok());
        let tenant = self.data.tenant(text).map_err(|problem| {
            let peer = parts.extensions.get::<Peer>().filter(|_| header.is_some());
            let counted = peer.map(|peer| self.throttle.wrong(*peer, Instant::now()));
            match counted {
                Some(Err(wait_s)) => Problem::too_many_tries(wait_s),
                _ => problem,
            }
        })?;
        match route.policy {
            Policy::Roles(_) if !route.policy.allows(tenant.role()) => {
                let role = tenant.role().name();
                Err(Problem::forbidden(format!("this key's role is {role}")))
            }
            _ => Ok(tenant),
        }
    }

    /// Writes at most once for an `Idempotency-Key`.
    async fn write(&self, route: &Route, mut call: Call, path: &str) -> Result<Reply, Problem> {
        let Some(key) = call.headers.get(IDEMPOTENCY_KEY) else {
            return (route.run)(call).await;
        };
        let key = key.to_str().unwrap_or("").to_owned();
        let request = idempotency::Request {
            asker: call.tenant.key(),
            key: &key,
            method: route.method.as_str(),
            path,
            body: &call.body.clone(),
        };
        let now = self.data.node().now();
        let id = match self.answers.look_up(&request, now)? {
            Known::Before(reply) => return Ok(reply.header(REPLAYED, "true")),
            Known::New(id) => id,
        };
        if let Some(changes) = self.data.carried_out(id) {
            let reply = crate::audit::carried_out(&changes)?.header(REPLAYED, "true");
            self.answers.keep(id, &reply, now).await;
            return Ok(reply);
        }
        call.request = Some(id);
        let answered = (route.run)(call).await;
        match &answered {
            Ok(reply) => self.answers.keep(id, reply, now).await,
            Err(problem) => self.answers.refused(id, problem, now).await,
        }
        answered
    }
}

/// Path and query without the cursor, and without what only says how much and how it is written.
fn question(parts: &Parts) -> String {
    let rests = ["cursor=", "limit=", "format="];
    let query = parts.uri.query().unwrap_or("").split('&');
    let kept = query.filter(|pair| !rests.iter().any(|rest| pair.starts_with(rest)));
    let mut kept: Vec<&str> = kept.filter(|pair| !pair.is_empty()).collect();
    kept.sort_unstable();
    format!("{}?{}", parts.uri.path(), kept.join("&"))
}

async fn read_body(route: &Route, headers: &HeaderMap, body: Body) -> Result<Bytes, Problem> {
    let (max, kinds): (usize, &[&str]) = match route.takes {
        Takes::Nothing => (0, &[]),
        Takes::Json(_, max) => (max, &[JSON]),
        Takes::Patch(_, max) => (max, &[JSON, "application/merge-patch+json"]),
    };
    if max > 0 {
        let kind = headers
            .get(header::CONTENT_TYPE)
            .and_then(|kind| kind.to_str().ok());
        let kind = kind
            .and_then(|kind| kind.split(';').next())
            .unwrap_or("")
            .trim();
        let is_known = kinds.iter().any(|known| known.eq_ignore_ascii_case(kind));
        if !is_known || headers.contains_key(header::CONTENT_ENCODING) {
            return Err(Problem::media_type());
        }
    }
    let collected = Limited::new(body, max).collect();
    let collected = match tokio::time::timeout(BODY_TIME, collected).await {
        Ok(collected) => collected,
        Err(_) => {
            return Err(Problem::malformed(
                "body",
                "it took too long to come",
                "30 s",
            ));
        }
    };
    match collected {
        Ok(collected) => Ok(collected.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() && max == 0 => Err(Problem::malformed(
            "body",
            "this route takes none",
            "no body",
        )),
        Err(error) if error.is::<LengthLimitError>() => Err(Problem::too_large(format!(
            "the body has more than {max} bytes"
        ))),
        Err(_) => Err(Problem::malformed("body", "it ended too early", "")),
    }
}

fn readiness(data: &Data) -> Response {
    let (is_ready, body) = data.node().ready();
    let mut response = text(JSON, body);
    if !is_ready {
        *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
    }
    response
}

fn text(kind: &'static str, body: String) -> Response {
    Reply::of(kind, body).into_response()
}

/// What every answer carries.
fn finish(mut response: Response) -> Response {
    let headers = response.headers_mut();
    let fixed = [
        (header::CACHE_CONTROL, "no-store"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (
            header::CONTENT_SECURITY_POLICY,
            "default-src 'none'; frame-ancestors 'none'",
        ),
        (header::REFERRER_POLICY, "no-referrer"),
    ];
    for (name, value) in fixed {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}
