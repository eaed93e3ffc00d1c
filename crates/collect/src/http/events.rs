//! `POST /v1/events`: a batch of events with their own times.
//!
//! Nothing of a batch is recorded before all of it has come; what is good of it is durable, in one
//! commit, before the answer. The answer has one result an item, in their order. A key for
//! idempotence needs stored answers, which this edge does not have: a request with one is refused
//! rather than recorded under a promise that is not kept.

use std::sync::Arc;

use http::header::{AUTHORIZATION, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, HeaderMap};
use http::request::Parts;
use http::{Method, StatusCode};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::Incoming;
use tollgate_click::control::IngestToken;
use tollgate_click::limits::BATCH_BYTES_MAX;
use tollgate_click::{ClickId, Refusal};
use tollgate_log::{Append, NewRecord, Partition};

use super::inflate::{Coding, InflateError, inflate};
use super::replies::{self, Reply};
use super::site::wrong_method;
use crate::core::events::{BatchFault, BatchForm, EventItem, ItemFault, parse};
use crate::core::{Desk, Stamp};
use crate::directory::Directory;
use crate::worker::{Receipt, Worker};

/// Why a whole batch is refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Refused {
    Method,
    Token,
    MediaType,
    IdempotencyKey,
    TooLarge,
    TooSlow,
    Malformed,
    Overload,
}

/// Answers a batch. `Connection: close` goes with every refusal, since the body may not have been
/// read.
pub(super) async fn answer<A: Append + 'static>(
    worker: Arc<Worker<A>>,
    parts: Parts,
    body: Incoming,
) -> Reply {
    let (method, version) = (parts.method.clone(), parts.version);
    let mut arrival = Arrival {
        worker: worker.clone(),
        open: true,
    };
    match take(&worker, parts, body).await {
        Ok((token, items)) => {
            arrival.open = false;
            record(&worker, &token, items).await
        }
        Err(refused) => {
            arrival.open = false;
            worker.books.tally.hit(1);
            worker.books.refuse(refused.reason(), b"/v1/events");
            replies::closing(refused.reply(&method), version)
        }
    }
}

/// A batch on its way. When its client gives up before it is whole (HTTP/2 drops the request), it
/// was one malformed hit.
struct Arrival<A: Append> {
    worker: Arc<Worker<A>>,
    open: bool,
}

impl<A: Append> Drop for Arrival<A> {
    fn drop(&mut self) {
        if self.open {
            self.worker.books.tally.hit(1);
            self.worker.books.refuse(Refusal::Malformed, b"/v1/events");
        }
    }
}

type Items = Vec<Result<EventItem, ItemFault>>;

/// Reads a whole batch; nothing is recorded yet.
async fn take<A: Append + 'static>(
    worker: &Arc<Worker<A>>,
    parts: Parts,
    body: Incoming,
) -> Result<(IngestToken, Items), Refused> {
    let token = authorise(worker, &parts)?;
    let (form, coding) = kind(&parts.headers)?;
    if parts.headers.contains_key("idempotency-key") {
        return Err(Refused::IdempotencyKey);
    }
    let _place = worker.batch_place().ok_or(Refused::Overload)?;
    let body = read(worker, &parts.headers, body).await?;
    let parsed = tokio::task::spawn_blocking(move || {
        let plain = inflate(&body, coding, BATCH_BYTES_MAX).map_err(|error| match error {
            InflateError::Damaged => Refused::Malformed,
            InflateError::TooLarge => Refused::TooLarge,
        })?;
        parse(&plain, form).map_err(|fault| match fault {
            BatchFault::Syntax => Refused::Malformed,
            BatchFault::TooManyItems => Refused::TooLarge,
        })
    });
    let items = parsed.await.map_err(|_| Refused::Overload)??;
    Ok((token, items))
}

fn authorise<A: Append>(worker: &Worker<A>, parts: &Parts) -> Result<IngestToken, Refused> {
    if parts.method != Method::POST {
        return Err(Refused::Method);
    }
    let mut values = parts.headers.get_all(AUTHORIZATION).iter();
    let secret = match (values.next(), values.next()) {
        (Some(value), None) => bearer(value.as_bytes()),
        _ => None,
    };
    let now = worker.books.clock.now();
    let known = worker.at_desk(|_, directory| {
        secret
            .and_then(|secret| directory.token(secret, now))
            .cloned()
    });
    known.ok_or(Refused::Token)
}

fn bearer(value: &[u8]) -> Option<&[u8]> {
    let (scheme, secret) = value.split_at_checked("Bearer ".len())?;
    (scheme.eq_ignore_ascii_case(b"Bearer ") && !secret.is_empty()).then_some(secret)
}

fn kind(headers: &HeaderMap) -> Result<(BatchForm, Coding), Refused> {
    let mut types = headers.get_all(CONTENT_TYPE).iter();
    let media = match (types.next(), types.next()) {
        (Some(value), None) => value.as_bytes().split(|byte| *byte == b';').next(),
        _ => None,
    };
    let media = media.unwrap_or_default().trim_ascii().to_ascii_lowercase();
    let form = match media.as_slice() {
        b"application/json" => BatchForm::Json,
        b"application/x-ndjson" | b"application/jsonl" => BatchForm::Ndjson,
        _ => return Err(Refused::MediaType),
    };
    let mut codings = headers.get_all(CONTENT_ENCODING).iter();
    let coding = match (codings.next(), codings.next()) {
        (None, _) => Coding::Identity,
        (Some(value), None) => match value
            .as_bytes()
            .trim_ascii()
            .to_ascii_lowercase()
            .as_slice()
        {
            b"identity" => Coding::Identity,
            b"gzip" => Coding::Gzip,
            b"zstd" => Coding::Zstd,
            _ => return Err(Refused::MediaType),
        },
        (Some(_), Some(_)) => return Err(Refused::MediaType),
    };
    Ok((form, coding))
}

async fn read<A: Append>(
    worker: &Worker<A>,
    headers: &HeaderMap,
    body: Incoming,
) -> Result<Vec<u8>, Refused> {
    let stated = headers
        .get(CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok()?.parse().ok());
    if stated.is_some_and(|length: u64| length > BATCH_BYTES_MAX as u64) {
        return Err(Refused::TooLarge);
    }
    let whole = Limited::new(body, BATCH_BYTES_MAX).collect();
    match tokio::time::timeout(worker.options.timeouts.body, whole).await {
        Ok(Ok(body)) => Ok(body.to_bytes().into()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(Refused::TooLarge),
        Ok(Err(_)) => Err(Refused::Malformed),
        Err(_) => Err(Refused::TooSlow),
    }
}

/// Records what is good of a batch and answers item by item.
async fn record<A: Append>(worker: &Worker<A>, token: &IngestToken, items: Items) -> Reply {
    let tally = &worker.books.tally;
    tally.hit(items.len() as u64);
    let (results, receipt) = worker.at_desk(|desk, directory| {
        let results = stamp_all(worker, desk, directory, token, &items);
        let receipt = append(worker, desk, &results);
        (results, receipt)
    });
    for fault in results.iter().filter_map(|result| result.as_ref().err()) {
        let reason = match fault {
            ItemFault::Forbidden => Refusal::Forged,
            ItemFault::Malformed | ItemFault::Late | ItemFault::Future => Refusal::Malformed,
        };
        worker.books.refuse(reason, fault.name().as_bytes());
    }
    let durable = match receipt {
        None => Ok(()),
        Some(Ok(receipt)) => receipt.await,
        Some(Err(reason)) => {
            tally.refused(reason, results.iter().flatten().count() as u64);
            Err(reason)
        }
    };
    match durable {
        Ok(()) => replies::json(StatusCode::OK, report(&results)),
        Err(reason) => replies::refused(reason),
    }
}

/// An item that stands in the desk's pages.
struct Recorded {
    stamp: Stamp,
    facts_end: usize,
    personal_end: usize,
}

type Results = Vec<Result<Recorded, ItemFault>>;

fn stamp_all<A: Append>(
    worker: &Worker<A>,
    desk: &mut Desk,
    directory: &Directory,
    token: &IngestToken,
    items: &Items,
) -> Results {
    desk.start_batch();
    let mut stamp = |item: &EventItem| {
        if !token.scope.covers(item.advertiser) {
            return Err(ItemFault::Forbidden);
        }
        let stamp = desk.import(directory, item, worker.options.limits.event_age_ms_max)?;
        let pages = desk.pages();
        let (facts_end, personal_end) = (pages.facts.len(), pages.personal.len());
        Ok(Recorded {
            stamp,
            facts_end,
            personal_end,
        })
    };
    items
        .iter()
        .map(|item| item.as_ref().map_err(|fault| *fault).and_then(&mut stamp))
        .collect()
}

/// Hands the good items over as one; none when there are none.
fn append<A: Append>(
    worker: &Worker<A>,
    desk: &Desk,
    results: &Results,
) -> Option<Result<Receipt<A::Commit>, Refusal>> {
    let pages = desk.pages();
    let (mut facts_start, mut personal_start) = (0, 0);
    let records: Vec<_> = results
        .iter()
        .flatten()
        .map(|item| {
            let facts = pages
                .facts
                .get(facts_start..item.facts_end)
                .unwrap_or_default();
            let personal = pages
                .personal
                .get(personal_start..item.personal_end)
                .unwrap_or_default();
            (facts_start, personal_start) = (item.facts_end, item.personal_end);
            let partition = Partition(item.stamp.partition.get());
            NewRecord {
                partition,
                facts,
                personal,
            }
        })
        .collect();
    (!records.is_empty()).then(|| worker.append_all(&records))
}

/// `{"received":2,"recorded":1,"results":[{"status":"recorded","click_id":"..."},
/// {"status":"late"}]}`: nothing in it was written by the sender.
fn report(results: &Results) -> String {
    let recorded = results.iter().flatten().count();
    let item = |result: &Result<Recorded, ItemFault>| match result {
        Ok(item) => item_recorded(item.stamp.click_id),
        Err(fault) => format!("{{\"status\":\"{}\"}}", fault.name()),
    };
    let items: Vec<String> = results.iter().map(item).collect();
    let received = results.len();
    let items = items.join(",");
    format!("{{\"received\":{received},\"recorded\":{recorded},\"results\":[{items}]}}\n")
}

fn item_recorded(id: ClickId) -> String {
    format!("{{\"status\":\"recorded\",\"click_id\":\"{id}\"}}")
}

impl Refused {
    fn reason(self) -> Refusal {
        match self {
            Refused::Token => Refusal::Forged,
            Refused::Overload => Refusal::Overload,
            _ => Refusal::Malformed,
        }
    }

    fn reply(self, method: &Method) -> Reply {
        match self {
            Refused::Method => wrong_method(method, "POST"),
            Refused::Token => replies::unauthorised(),
            Refused::MediaType => replies::fixed(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                b"application/json or application/x-ndjson, plain or gzip or zstd\n",
            ),
            Refused::IdempotencyKey => replies::fixed(
                StatusCode::NOT_IMPLEMENTED,
                b"idempotency keys are not kept by this edge\n",
            ),
            Refused::TooLarge => replies::fixed(StatusCode::PAYLOAD_TOO_LARGE, b"too large\n"),
            Refused::TooSlow => replies::fixed(StatusCode::REQUEST_TIMEOUT, b"too slow\n"),
            Refused::Malformed => replies::refused(Refusal::Malformed),
            Refused::Overload => replies::refused(Refusal::Overload),
        }
    }
}
