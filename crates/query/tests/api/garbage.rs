//! Whatever is sent, nothing panics and nothing is the service's fault.

use http::Method;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use tollgate_query::routes::ROUTES;

use super::deployment::{ADMIN, Deployment};

/// Bodies that are no use, from empty to nested, beside those that are drawn.
const BODIES: &[&str] = &[
    "null",
    "[]",
    "[[]]",
    "0",
    "\"x\"",
    "{\"name\":null}",
    "{\"name\":1}",
    "{\"name\":\"\\ud800\"}",
    "{\"name\":\"a\",\"name\":\"b\"}",
    "{\"x\":NaN}",
    "{\"x\":1e999}",
    "\u{feff}{}",
    "{}{}",
    "{",
    "{\"advertiser\":4294967296,\"name\":\"a\"}",
    "{\"campaign\":-1}",
    "{\"__proto__\":{}}",
    "{\"advertiser\":1,\"name\":\"a\",\"price_micros\":-1}",
    "{\"advertiser\":1,\"name\":\"a\",\"price_micros\":9223372036854775808}",
    "{\"advertiser\":1,\"name\":\"a\",\"price_micros\":0.5}",
    "{\"advertiser\":1,\"amount_micros\":\"9223372036854775807\",\"reason\":\"r\"}",
    "{\"payment\":{\"kind\":\"credit\"}}",
    "{\"advertisers\":\"none\"}",
];

fn no_fault(deployment: &Deployment, method: &str, path: &str, body: &str) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let headers = [("idempotency-key", "k")];
    let answer = runtime.block_on(deployment.send(Some(ADMIN), (method, path), body, &headers));
    let (status, told) = (answer.status, &answer.body);
    assert!(
        !status.is_server_error(),
        "{method} {path} {body}: {status} {told}"
    );
}

#[test]
fn no_body_is_the_services_fault() {
    let deployment = Deployment::new();
    let deep = "[".repeat(10_000);
    for route in ROUTES.iter().copied().flatten() {
        let path = route.path.split('{').next().unwrap().to_owned();
        let path = if route.id().is_some() {
            format!("{path}11")
        } else {
            path
        };
        for body in BODIES.iter().copied().chain([deep.as_str()]) {
            no_fault(&deployment, route.method.as_str(), &path, body);
        }
    }
}

#[test]
fn no_drawn_request_is_the_services_fault() {
    let deployment = Deployment::new();
    let routes: Vec<_> = ROUTES.iter().copied().flatten().collect();
    let leaf = prop_oneof![
        Just("null".to_owned()),
        any::<i64>().prop_map(|number| number.to_string()),
        any::<f64>().prop_map(|number| format!("{number}")),
        "\\PC{0,12}".prop_map(|text| serde_json::to_string(&text).unwrap()),
        Just("[1,2]".to_owned()),
    ];
    let fields = [
        "advertiser",
        "name",
        "campaign",
        "currency",
        "payment",
        "schemes",
        "slug",
        "destination",
        "zone",
        "state",
        "price_micros",
        "advertisers",
        "role",
        "amount_micros",
    ];
    let field = (proptest::sample::select(fields.to_vec()), leaf);
    let body = proptest::collection::vec(field, 0..6).prop_map(|fields| {
        let fields: Vec<String> = fields.iter().map(|(k, v)| format!("\"{k}\":{v}")).collect();
        format!("{{{}}}", fields.join(","))
    });
    let drawn = (
        0..routes.len(),
        body,
        "[a-z0-9%&=:,+-]{0,40}",
        "[0-9a-z%-]{1,20}",
    );
    let mut runner = TestRunner::new(Config {
        cases: 1_000,
        ..Config::default()
    });
    let run = runner.run(&drawn, |(route, body, query, id)| {
        let route = routes[route];
        let path = route.path.split('{').next().unwrap();
        let id = if route.id().is_some() {
            id
        } else {
            String::new()
        };
        let body = if route.method == Method::GET {
            String::new()
        } else {
            body
        };
        let uri = format!("{path}{id}?{query}");
        if uri.parse::<http::Uri>().is_ok() {
            no_fault(&deployment, route.method.as_str(), &uri, &body);
        }
        Ok(())
    });
    run.unwrap();
}
