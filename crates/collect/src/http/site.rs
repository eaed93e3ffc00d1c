//! The routes: one request becomes one answer.
//!
//! The hallway of a click: route, method, prefetch -> who asks -> stamp and append ([`Worker`])
//! -> wait for the commit -> 302. Every hit that is counted on arrival is counted once more when it
//! ends, as recorded or as refused.

use std::convert::Infallible;
use std::sync::Arc;

use bytes::Bytes;
use http::header::HeaderValue;
use http::request::Parts;
use http::{Method, Request, StatusCode};
use hyper::body::Incoming;
use tollgate_click::Refusal;
use tollgate_click::limits::{HEADERS_MAX, TARGET_BYTES_MAX};
use tollgate_log::Append;

use super::client::{Client, Peer};
use super::events;
use super::replies::{self, Reply};
use crate::core::target::{Route, Target};
use crate::core::{Desk, Pages, Stamp, Visit};
use crate::counters::Recorded;
use crate::directory::Directory;
use crate::readiness;
use crate::worker::Worker;

const GET_HEAD: &str = "GET, HEAD";

/// Answers one request.
pub(crate) async fn answer<A: Append + 'static>(
    worker: Arc<Worker<A>>,
    peer: Peer,
    request: Request<Incoming>,
) -> Result<Reply, Infallible> {
    let (parts, body) = request.into_parts();
    let target = parts
        .uri
        .path_and_query()
        .map_or("", |target| target.as_str());
    // Over HTTP/1 the gate has seen to these limits.
    if target.len() > TARGET_BYTES_MAX {
        let reply = replies::fixed(StatusCode::URI_TOO_LONG, b"too long\n");
        return Ok(no_click(&worker, &parts, reply));
    }
    if parts.headers.len() > HEADERS_MAX {
        let status = StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE;
        let reply = replies::fixed(status, b"too many header bytes\n");
        return Ok(no_click(&worker, &parts, reply));
    }
    Ok(match Target::parse(target).route {
        Route::Click(_) | Route::Link(_) => click(&worker, peer, parts).await,
        Route::Pixel(_) => pixel(&worker, peer, parts).await,
        Route::Events => Box::pin(events::answer(worker, parts, body)).await,
        Route::Healthz => health(&worker, &parts, || (true, "ok\n".to_owned())),
        Route::Readyz => health(&worker, &parts, || {
            readiness::body(&worker.readiness.checks())
        }),
        Route::Unknown => no_click(
            &worker,
            &parts,
            replies::fixed(
                StatusCode::NOT_FOUND,
                b"not found
",
            ),
        ),
    })
}

/// Counts a hit that could not be a click, and ends the connection if a body may follow.
fn no_click<A: Append>(worker: &Worker<A>, parts: &Parts, reply: Reply) -> Reply {
    let target = parts
        .uri
        .path_and_query()
        .map_or("", |target| target.as_str());
    worker.books.tally.hit(1);
    worker.books.refuse(Refusal::Malformed, target.as_bytes());
    match is_head(&parts.method) {
        Some(_) => reply,
        None => replies::closing(reply, parts.version),
    }
}

async fn click<A: Append>(worker: &Worker<A>, peer: Peer, parts: Parts) -> Reply {
    worker.books.tally.hit(1);
    let Some(head) = is_head(&parts.method) else {
        return refuse_method(worker, &parts);
    };
    let target = parts
        .uri
        .path_and_query()
        .map_or("", |target| target.as_str());
    let Target { route, query } = Target::parse(target);
    let client = Client::read(&parts.headers, peer, &worker.options.clients);
    let visit = visit(&client, query, head);
    let stamp = |desk: &mut Desk, directory: &Directory| match route {
        _ if client.prefetch => Err(Refusal::Prefetch),
        Route::Click(token) => desk.click(directory, token, &visit),
        Route::Link(slug) => desk.registered(directory, slug, &visit),
        _ => Err(Refusal::Malformed),
    };
    let ((location, id), receipt) = match worker.record(Recorded::Click, stamp, redirect_headers) {
        Ok(appended) => appended,
        Err(reason) => {
            worker.books.refuse(reason, target.as_bytes());
            return replies::refused(reason);
        }
    };
    match receipt.await {
        Ok(()) => replies::redirect(parts.headers, location, id),
        Err(reason) => replies::refused(reason),
    }
}

async fn pixel<A: Append>(worker: &Worker<A>, peer: Peer, parts: Parts) -> Reply {
    worker.books.tally.hit(1);
    let Some(head) = is_head(&parts.method) else {
        return refuse_method(worker, &parts);
    };
    let target = parts
        .uri
        .path_and_query()
        .map_or("", |target| target.as_str());
    let Target { route, query } = Target::parse(target);
    let client = Client::read(&parts.headers, peer, &worker.options.clients);
    let visit = visit(&client, query, head);
    let stamp = |desk: &mut Desk, directory: &Directory| match route {
        _ if client.prefetch => Err(Refusal::Prefetch),
        Route::Pixel(token) => desk.impression(directory, token, &visit),
        _ => Err(Refusal::Malformed),
    };
    match worker.record(Recorded::Impression, stamp, |_, _| Ok(())) {
        // Counted as what it became; the image is the same.
        Ok(((), receipt)) => _ = receipt.await,
        Err(reason) => worker.books.refuse(reason, target.as_bytes()),
    }
    replies::pixel()
}

/// Whether a request is a HEAD; none for anything but that and GET.
fn is_head(method: &Method) -> Option<bool> {
    match *method {
        Method::GET => Some(false),
        Method::HEAD => Some(true),
        _ => None,
    }
}

fn refuse_method<A: Append>(worker: &Worker<A>, parts: &Parts) -> Reply {
    let target = parts
        .uri
        .path_and_query()
        .map_or("", |target| target.as_str());
    worker.books.refuse(Refusal::Malformed, target.as_bytes());
    replies::closing(wrong_method(&parts.method, GET_HEAD), parts.version)
}

/// 405 for the methods of RFC 9110 and PATCH, 501 for those that nobody knows.
pub(super) fn wrong_method(method: &Method, allow: &'static str) -> Reply {
    let known = [
        Method::GET,
        Method::HEAD,
        Method::POST,
        Method::PUT,
        Method::DELETE,
        Method::CONNECT,
        Method::OPTIONS,
        Method::TRACE,
        Method::PATCH,
    ];
    replies::wrong_method(known.contains(method), allow)
}

pub(super) fn visit<'a>(client: &Client<'a>, query: &'a str, head: bool) -> Visit<'a> {
    Visit {
        address: Some(client.address),
        country: client.country,
        agent: client.agent,
        referrer: client.referrer,
        language: client.language,
        query: query.as_bytes(),
        head,
    }
}

fn redirect_headers(stamp: Stamp, pages: &Pages) -> Result<(HeaderValue, HeaderValue), Refusal> {
    let location = Bytes::copy_from_slice(&pages.location);
    let location = HeaderValue::from_maybe_shared(location).map_err(|_| Refusal::Malformed)?;
    let id = Bytes::copy_from_slice(&stamp.click_id.text());
    let id = HeaderValue::from_maybe_shared(id).map_err(|_| Refusal::Malformed)?;
    Ok((location, id))
}

fn health<A: Append>(
    worker: &Worker<A>,
    parts: &Parts,
    check: impl FnOnce() -> (bool, String),
) -> Reply {
    worker.books.tally.health_check();
    if is_head(&parts.method).is_none() {
        return replies::closing(wrong_method(&parts.method, GET_HEAD), parts.version);
    }
    let (well, body) = check();
    let status = if well {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    replies::json(status, body)
}
