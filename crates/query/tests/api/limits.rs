//! What one client can do to the service and to others: guess keys, ask too much at a time, write
//! at the same moment, come from another origin; and what a damaged store does to an answer.

use std::sync::Arc;

use axum::body::Body;
use http::{Request, StatusCode};
use tollgate_query::throttle::{Peer, TRIES_MAX};
use tower::ServiceExt;

use super::deployment::{ADMIN, Clicked, Deployment};

async fn from(deployment: &Deployment, peer: &str, key: Option<&str>) -> http::HeaderMap {
    let mut request = Request::builder().uri("/v1/campaigns");
    if let Some(key) = key {
        request = request.header("authorization", format!("Bearer {key}"));
    }
    let mut request = request.body(Body::empty()).unwrap();
    request.extensions_mut().insert(Peer(peer.parse().unwrap()));
    let answer = deployment.router.clone().oneshot(request).await.unwrap();
    let status = answer.status().as_u16().into();
    let mut headers = answer.headers().clone();
    headers.insert("status", status);
    headers
}

#[tokio::test]
async fn who_guesses_keys_is_told_to_wait_and_a_right_key_is_let_in() {
    let deployment = Deployment::new();
    let status = |headers: &http::HeaderMap| headers["status"].to_str().unwrap().to_owned();
    for number in 0..TRIES_MAX {
        let guess = format!("tgk_100_{number:043}");
        let answer = from(&deployment, "192.0.2.1", Some(&guess)).await;
        assert_eq!(status(&answer), "401");
    }
    for wrong in ["tgk_100_x", "", "nothing"] {
        let answer = from(&deployment, "192.0.2.1", Some(wrong)).await;
        assert_eq!(status(&answer), "429", "{wrong}");
        let wait: u32 = answer["retry-after"].to_str().unwrap().parse().unwrap();
        assert!((1..=4).contains(&wait), "{wait}");
    }
    let right = ADMIN.key();
    assert_eq!(
        status(&from(&deployment, "192.0.2.1", Some(&right)).await),
        "200"
    );
    assert_eq!(
        status(&from(&deployment, "192.0.2.2", Some("x")).await),
        "401"
    );
    let without = from(&deployment, "192.0.2.1", None).await;
    assert_eq!(status(&without), "401", "no key is no guess");
}

#[tokio::test]
async fn reads_beyond_what_runs_at_a_time_are_refused_and_not_kept_waiting() {
    let deployment = Arc::new(Deployment::new());
    let gate = deployment.shut_the_audit().await;
    let reads: Vec<_> = (0..100)
        .map(|_| {
            let deployment = deployment.clone();
            tokio::spawn(async move { deployment.get("/v1/audit").await })
        })
        .collect();
    tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    // Reports wait for the same places; the 96 that found none are told when to come again.
    let waited = deployment.get("/v1/reports?metrics=gross").await;
    assert_eq!(waited.status, StatusCode::SERVICE_UNAVAILABLE, "{waited:?}");
    assert_eq!(waited.headers["retry-after"], "1");
    // What needs no store is answered all the same.
    assert_eq!(deployment.get("/v1/campaigns").await.status, StatusCode::OK);
    drop(gate);
    let mut statuses = Vec::new();
    for read in reads {
        statuses.push(read.await.unwrap().status.as_u16());
    }
    statuses.sort_unstable();
    assert_eq!(
        (statuses[0], statuses[3], statuses[99]),
        (200, 200, 503),
        "{statuses:?}"
    );
    assert_eq!(
        deployment.get("/v1/audit").await.status,
        StatusCode::OK,
        "all places are free"
    );
}

#[tokio::test]
async fn of_two_admins_with_one_version_one_writes() {
    let deployment = Arc::new(Deployment::new());
    let tag = deployment.get("/v1/campaigns/11").await.headers["etag"].clone();
    let write = |name: &'static str| {
        let (deployment, tag) = (deployment.clone(), tag.to_str().unwrap().to_owned());
        tokio::spawn(async move {
            let request = ("PATCH", "/v1/campaigns/11");
            let body = format!(r#"{{"name":"{name}"}}"#);
            let headers = [("if-match", tag.as_str())];
            deployment.send(Some(ADMIN), request, &body, &headers).await
        })
    };
    let (one, other) = (write("one"), write("other"));
    let mut statuses = [one.await.unwrap().status, other.await.unwrap().status];
    statuses.sort_unstable();
    assert_eq!(statuses, [StatusCode::OK, StatusCode::PRECONDITION_FAILED]);
    let request = ("DELETE", "/v1/campaigns/11");
    let headers = [("if-match", tag.to_str().unwrap())];
    let stale = deployment.send(Some(ADMIN), request, "", &headers).await;
    assert_eq!(
        stale.status,
        StatusCode::PRECONDITION_FAILED,
        "a stale DELETE, too"
    );
}

#[tokio::test]
async fn a_thousand_pauses_and_resumes_are_a_thousand_changes() {
    let deployment = Deployment::new();
    let count = async || {
        let lines = deployment.get("/v1/audit?limit=1000").await.json();
        let next = lines["next"].as_str().map(str::to_owned);
        let mut count = lines["items"].as_array().unwrap().len();
        if let Some(next) = next {
            let path = format!("/v1/audit?limit=1000&cursor={next}");
            count += deployment.get(&path).await.json()["items"]
                .as_array()
                .unwrap()
                .len();
        }
        count
    };
    let before = count().await;
    for turn in 0..1_000 {
        let state = if turn % 2 == 0 { "paused" } else { "active" };
        let patch = format!(r#"{{"state":"{state}"}}"#);
        let answer = deployment.patch("/v1/campaigns/11", &patch).await;
        assert_eq!(answer.status, StatusCode::OK);
        assert_eq!(answer.json()["state"], state);
    }
    assert_eq!(count().await - before, 1_000);
}

#[tokio::test]
async fn a_page_of_another_origin_gets_nothing() {
    let deployment = Deployment::new();
    let origin = [("origin", "https://evil.example"), ("cookie", "key=1")];
    let request = ("GET", "/v1/campaigns");
    let with_key = deployment.send(Some(ADMIN), request, "", &origin).await;
    let cors = |headers: &http::HeaderMap| {
        headers
            .keys()
            .any(|name| name.as_str().starts_with("access-control"))
    };
    assert!(!cors(&with_key.headers), "{with_key:?}");
    let cookie_only = deployment.send(None, request, "", &origin).await;
    assert_eq!(
        cookie_only.status,
        StatusCode::UNAUTHORIZED,
        "no cookie is a credential"
    );
    let asks = [("access-control-request-method", "POST"), origin[0]];
    let preflight = deployment
        .send(None, ("OPTIONS", "/v1/campaigns"), "", &asks)
        .await;
    assert_eq!(preflight.status, StatusCode::METHOD_NOT_ALLOWED);
    assert!(!cors(&preflight.headers));
    // What a form of another page can send is no JSON.
    let form = [("content-type", "text/plain")];
    let posted = deployment
        .send(Some(ADMIN), ("POST", "/v1/ads"), "", &form)
        .await;
    assert_eq!(posted.status, StatusCode::UNSUPPORTED_MEDIA_TYPE);
}

#[tokio::test]
async fn an_unknown_method_is_told_which_are_known() {
    let deployment = Deployment::new();
    let put = deployment
        .send(Some(ADMIN), ("PUT", "/v1/campaigns/11"), "{}", &[])
        .await;
    assert_eq!(put.status, StatusCode::METHOD_NOT_ALLOWED);
    let allow = put.headers["allow"].to_str().unwrap();
    assert!(allow.contains("PATCH") && allow.contains("GET"), "{allow}");
}

#[tokio::test]
async fn a_damaged_file_gives_no_answer_rather_than_a_part_of_one() {
    let deployment = Deployment::new();
    let one = Clicked {
        advertiser: 1,
        campaign: 11,
        publisher: 1,
        ago_ms: 60_000,
        charge: 10,
    };
    deployment.count(&[
        one,
        Clicked {
            advertiser: 2,
            ..one
        },
    ]);
    let path = "/v1/reports?metrics=gross&dimensions=advertiser";
    assert_eq!(
        deployment.get(path).await.json()["rows"]
            .as_array()
            .unwrap()
            .len(),
        2
    );
    deployment.damage_a_rollup();
    let fresh = deployment.again();
    let answer = fresh.get(path).await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE, "{answer:?}");
    assert!(answer.headers.contains_key("retry-after"));
    assert!(
        !answer.body.contains("rows") && !answer.body.contains("parquet"),
        "{answer:?}"
    );
}

#[tokio::test]
async fn a_report_is_of_ten_years_and_a_hundred_thousand_rows_at_most() {
    let deployment = Deployment::new();
    for (query, status) in [
        ("from=2016-11-25&to=2026-11-24", 200),
        ("from=2016-11-15&to=2026-11-24", 422),
        ("from=2025-11-24&to=2026-11-24&dimensions=minute", 200),
        ("from=2025-11-20&to=2026-11-24&dimensions=minute", 422),
    ] {
        let answer = deployment.get(&format!("/v1/reports?{query}")).await;
        assert_eq!(answer.status.as_u16(), status, "{query}: {answer:?}");
    }
}
