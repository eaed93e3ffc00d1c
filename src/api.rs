//! The node's own small HTTP service: `/healthz`, `/readyz` and `/metrics`, for operators.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

/// Open connections; more wait.
const CONNECTIONS_MAX: usize = 64;

/// What the service tells.
pub(crate) trait Status: Send + Sync + 'static {
    /// Whether all is well, and the JSON that says so.
    fn ready(&self) -> (bool, String);
    /// Prometheus text.
    fn metrics(&self) -> String;
}

/// Opens the listener.
pub(crate) async fn listen(address: SocketAddr) -> anyhow::Result<(TcpListener, SocketAddr)> {
    let cannot = || format!("cannot listen on {address} (api.listen)");
    let listener = TcpListener::bind(address).await.with_context(cannot)?;
    let bound = listener.local_addr().with_context(cannot)?;
    Ok((listener, bound))
}

/// Serves until it is dropped.
pub(crate) async fn serve(listener: TcpListener, status: Arc<impl Status>) {
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let Ok(place) = places.clone().acquire_owned().await else {
            return;
        };
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                // Such as for want of file descriptors: it passes, or it will be seen.
                tracing::warn!(%error, "the API cannot accept");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let status = status.clone();
        tokio::spawn(async move {
            let service = service_fn(move |request: Request<Incoming>| {
                let answer = answer(&*status, request.method(), request.uri().path());
                async move { Ok::<_, Infallible>(answer) }
            });
            let mut server = http1::Builder::new();
            server
                .timer(TokioTimer::new())
                .header_read_timeout(Duration::from_secs(10));
            let served = server.serve_connection(TokioIo::new(stream), service).await;
            if let Err(error) = served {
                tracing::debug!(%error, "an API connection broke");
            }
            drop(place);
        });
    }
}

fn answer(status: &impl Status, method: &Method, path: &str) -> Response<Full<Bytes>> {
    let json = "application/json";
    let (code, kind, body) = match (method, path) {
        (&Method::GET | &Method::HEAD, "/healthz") => (StatusCode::OK, "text/plain", "ok\n".into()),
        (&Method::GET | &Method::HEAD, "/readyz") => match status.ready() {
            (true, body) => (StatusCode::OK, json, body),
            (false, body) => (StatusCode::SERVICE_UNAVAILABLE, json, body),
        },
        (&Method::GET | &Method::HEAD, "/metrics") => (
            StatusCode::OK,
            "text/plain; version=0.0.4",
            status.metrics(),
        ),
        (&Method::GET | &Method::HEAD, _) => (
            StatusCode::NOT_FOUND,
            json,
            "{\"error\":\"not found\"}\n".to_owned(),
        ),
        _ => {
            let body = "{\"error\":\"method not allowed\"}\n".to_owned();
            (StatusCode::METHOD_NOT_ALLOWED, json, body)
        }
    };
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = code;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, header::HeaderValue::from_static(kind));
    headers.insert(
        header::CACHE_CONTROL,
        header::HeaderValue::from_static("no-store"),
    );
    response
}
