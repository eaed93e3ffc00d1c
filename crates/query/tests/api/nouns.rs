//! What each noun takes and refuses, and how writes answer.

use http::StatusCode;
use serde_json::{Value, json};

use super::deployment::{ADMIN, Deployment};

#[tokio::test]
async fn a_campaign_is_made_read_changed_and_archived() {
    let deployment = Deployment::new();
    let made = deployment
        .post(
            "/v1/campaigns",
            r#"{"advertiser":1,"name":"Spring","price_micros":350000,"zone":"Europe/Berlin",
                "daily_budget_micros":"9007199254740"}"#,
        )
        .await;
    assert_eq!(made.status, StatusCode::CREATED, "{made:?}");
    assert_eq!(made.headers["location"], "/v1/campaigns/13");
    assert_eq!(made.headers["tollgate-applied"], "1/1");
    assert_eq!(made.json()["currency"], "USD");
    let read = deployment.get("/v1/campaigns/13").await;
    assert_eq!(read.body, made.body);
    assert_eq!(read.headers["etag"], made.headers["etag"]);

    let paused = deployment
        .patch("/v1/campaigns/13", r#"{"state":"paused"}"#)
        .await;
    assert_eq!(paused.status, StatusCode::OK, "{paused:?}");
    assert_eq!(paused.json()["state"], "paused");
    assert_eq!(paused.json()["price_micros"], 350_000);
    let free = deployment
        .patch("/v1/campaigns/13", r#"{"price_micros":null}"#)
        .await;
    assert_eq!(free.json()["price_micros"], Value::Null);
    let same = deployment
        .patch("/v1/campaigns/13", r#"{"price_micros":null}"#)
        .await;
    assert!(
        !same.headers.contains_key("tollgate-control"),
        "nothing changed"
    );

    let gone = deployment
        .send(Some(ADMIN), ("DELETE", "/v1/campaigns/13"), "", &[])
        .await;
    assert_eq!(gone.json()["state"], "archived", "{gone:?}");
    let back = deployment
        .patch("/v1/campaigns/13", r#"{"state":"active"}"#)
        .await;
    assert_eq!(back.status, StatusCode::CONFLICT);

    let audit = deployment.get("/v1/audit?limit=1000").await.json();
    let lines = audit["items"].as_array().unwrap();
    let of_it: Vec<&Value> = lines
        .iter()
        .filter(|one| one["object"]["campaign"] == 13)
        .collect();
    assert_eq!(of_it.len(), 4, "each change is one line");
    assert!(of_it.iter().all(|line| line["by"] == 100));
}

#[tokio::test]
async fn the_number_of_a_removed_link_is_not_given_again() {
    let deployment = Deployment::new();
    let body = r#"{"campaign":11,"destination":"https://example.com/"}"#;
    let made = deployment.post("/v1/links", body).await.json();
    assert_eq!(made["link"], 33);
    let gone = ("DELETE", "/v1/links/33");
    let gone = deployment.send(Some(ADMIN), gone, "", &[]).await;
    assert_eq!(gone.json(), json!({"removed": true}));
    let made = deployment.post("/v1/links", body).await.json();
    assert_eq!(made["link"], 34);
}

#[tokio::test]
async fn what_makes_no_sense_is_refused_with_its_place() {
    let deployment = Deployment::new();
    let long = "x".repeat(10_000);
    let long = format!(r#"{{"advertiser":1,"name":"{long}"}}"#);
    for (path, body, status, at) in [
        (
            "/v1/campaigns",
            r#"{"advertiser":1,"name":""}"#,
            422,
            "/name",
        ),
        ("/v1/campaigns", &long, 422, "/name"),
        (
            "/v1/campaigns",
            r#"{"advertiser":1,"name":"a\u0000"}"#,
            422,
            "/name",
        ),
        (
            "/v1/campaigns",
            r#"{"advertiser":1,"name":"a\u202eb"}"#,
            422,
            "/name",
        ),
        (
            "/v1/campaigns",
            r#"{"advertiser":1,"name":"Own  CAMPAIGN"}"#,
            409,
            "/name",
        ),
        (
            "/v1/campaigns",
            "{\"advertiser\":1,\"name\":\"оwn campaign\"}",
            409,
            "/name",
        ),
        (
            "/v1/campaigns",
            r#"{"advertiser":1,"name":"a","price_micros":-1}"#,
            422,
            "/price_micros",
        ),
        (
            "/v1/campaigns",
            r#"{"advertiser":1,"name":"a","daily_budget_micros":0}"#,
            422,
            "/daily_budget_micros",
        ),
        (
            "/v1/campaigns",
            r#"{"advertiser":1,"name":"a","total_budget_micros":9223372036854775807}"#,
            422,
            "/total_budget_micros",
        ),
        (
            "/v1/campaigns",
            r#"{"advertiser":1,"name":"a","currency":"EUR"}"#,
            422,
            "/currency",
        ),
        (
            "/v1/campaigns",
            r#"{"advertiser":1,"name":"a","currency":"usd"}"#,
            422,
            "/currency",
        ),
        (
            "/v1/campaigns",
            r#"{"advertiser":1,"name":"a","zone":"UTC+25"}"#,
            422,
            "/zone",
        ),
        (
            "/v1/campaigns",
            r#"{"advertiser":1,"name":"a","campaign":11}"#,
            409,
            "/campaign",
        ),
        (
            "/v1/campaigns",
            r#"{"advertiser":1,"name":"a","campaign":0}"#,
            422,
            "/campaign",
        ),
        (
            "/v1/campaigns",
            r#"{"advertiser":9,"name":"a"}"#,
            404,
            "/advertiser",
        ),
        (
            "/v1/advertisers",
            r#"{"name":"a","currency":"XXX"}"#,
            422,
            "/currency",
        ),
        (
            "/v1/advertisers",
            r#"{"name":"own advertiser","currency":"USD"}"#,
            409,
            "/name",
        ),
        (
            "/v1/advertisers",
            r#"{"name":"a","currency":"USD","schemes":["javascript"]}"#,
            422,
            "/schemes",
        ),
        (
            "/v1/publishers",
            r#"{"name":"a","share_basis_points":10001}"#,
            422,
            "/share_basis_points",
        ),
        (
            "/v1/links",
            r#"{"campaign":11,"destination":"javascript:1"}"#,
            422,
            "/destination",
        ),
        (
            "/v1/links",
            r#"{"campaign":11,"destination":"https://127.0.0.1/"}"#,
            422,
            "/destination",
        ),
        (
            "/v1/links",
            r#"{"campaign":11,"destination":"https://a.example/","slug":"own"}"#,
            409,
            "/slug",
        ),
        (
            "/v1/links",
            r#"{"campaign":11,"destination":"https://a.example/","slug":"a/b"}"#,
            422,
            "/slug",
        ),
        (
            "/v1/api-keys",
            r#"{"name":"a","role":"advertiser"}"#,
            422,
            "/role",
        ),
        (
            "/v1/api-keys",
            r#"{"name":"a","role":"advertiser","advertisers":[77]}"#,
            422,
            "/advertisers",
        ),
        ("/v1/keys", r#"{"secret":"abc"}"#, 422, "/secret"),
        ("/v1/tokens", r#"{"revoked":true}"#, 422, "/revoked"),
    ] {
        let answer = deployment.post(path, body).await;
        assert_eq!(answer.status.as_u16(), status, "{path} {body}: {answer:?}");
        assert_eq!(answer.json()["errors"][0]["at"], at, "{path} {body}");
        assert_eq!(answer.headers["content-type"], "application/problem+json");
    }
}

#[tokio::test]
async fn what_never_changes_cannot_be_changed() {
    let deployment = Deployment::new();
    for (path, patch) in [
        ("/v1/advertisers/1", r#"{"currency":"EUR"}"#),
        ("/v1/advertisers/1", r#"{"advertiser":3}"#),
        ("/v1/campaigns/11", r#"{"currency":"EUR"}"#),
        ("/v1/campaigns/11", r#"{"advertiser":2}"#),
        ("/v1/api-keys/104", r#"{"role":"admin"}"#),
    ] {
        let answer = deployment.patch(path, patch).await;
        assert_eq!(
            answer.status,
            StatusCode::CONFLICT,
            "{path} {patch}: {answer:?}"
        );
    }
    let unknown = deployment
        .patch("/v1/campaigns/11", r#"{"is_admin":true}"#)
        .await;
    assert_eq!(
        unknown.status,
        StatusCode::BAD_REQUEST,
        "no mass assignment"
    );
}

#[tokio::test]
async fn a_stale_writer_is_told() {
    let deployment = Deployment::new();
    let tag = deployment.get("/v1/campaigns/11").await.headers["etag"].clone();
    let tag = tag.to_str().unwrap().to_owned();
    let request = ("PATCH", "/v1/campaigns/11");
    let first = r#"{"name":"first"}"#;
    let one = deployment
        .send(Some(ADMIN), request, first, &[("if-match", &tag)])
        .await;
    assert_eq!(one.status, StatusCode::OK, "{one:?}");
    let second = r#"{"name":"second"}"#;
    let other = deployment
        .send(Some(ADMIN), request, second, &[("if-match", &tag)])
        .await;
    assert_eq!(other.status, StatusCode::PRECONDITION_FAILED);
    assert_eq!(
        deployment.get("/v1/campaigns/11").await.json()["name"],
        "first"
    );
}

#[tokio::test]
async fn an_idempotency_key_makes_one_thing() {
    let deployment = Deployment::new();
    let request = ("POST", "/v1/ads");
    let key = [("idempotency-key", "abc")];
    let body = r#"{"campaign":11,"name":"one"}"#;
    let first = deployment.send(Some(ADMIN), request, body, &key).await;
    let again = deployment.send(Some(ADMIN), request, body, &key).await;
    assert_eq!(first.status, StatusCode::CREATED);
    assert_eq!((again.status, &again.body), (first.status, &first.body));
    assert_eq!(again.headers["idempotency-replayed"], "true");
    let other = r#"{"campaign":11,"name":"two"}"#;
    let other = deployment.send(Some(ADMIN), request, other, &key).await;
    assert_eq!(other.status, StatusCode::CONFLICT, "{other:?}");
    let ads = deployment.get("/v1/ads").await.json();
    assert_eq!(ads["items"].as_array().unwrap().len(), 3);
}

#[tokio::test]
async fn twenty_five_thousand_links_are_made_at_once_and_again_without_harm() {
    let deployment = Deployment::new();
    let links: Vec<Value> = (1_000..26_000)
        .map(|number| {
            let destination = format!("https://shop.example/{number}?c={{click_id}}");
            json!({"link": number, "campaign": 11, "slug": format!("s{number}"),
                   "destination": destination})
        })
        .collect();
    let body = serde_json::to_string(&links).unwrap();
    let made = deployment.post("/v1/links/bulk", &body).await;
    assert_eq!(made.status, StatusCode::CREATED, "{}", &made.body[..200]);
    assert_eq!(made.json()["made"], 25_000);
    let again = deployment.post("/v1/links/bulk", &body).await.json();
    assert_eq!(
        (&again["made"], &again["unchanged"]),
        (&json!(0), &json!(25_000))
    );

    let mut seen = 0;
    let mut path = "/v1/links?limit=1000&campaign=11".to_owned();
    loop {
        let page = deployment.get(&path).await.json();
        seen += page["items"].as_array().unwrap().len();
        match page["next"].as_str() {
            Some(next) => path = format!("/v1/links?limit=1000&campaign=11&cursor={next}"),
            None => break,
        }
    }
    assert_eq!(seen, 25_001, "with the one that stood before");
}

#[tokio::test]
async fn a_bulk_request_is_whole_or_nothing() {
    let deployment = Deployment::new();
    let links = json!([
        {"campaign": 11, "slug": "fine", "destination": "https://a.example/"},
        {"campaign": 11, "slug": "fine", "destination": "https://a.example/"},
        {"campaign": 11, "slug": "b c", "destination": "data:x"},
    ]);
    let answer = deployment.post("/v1/links/bulk", &links.to_string()).await;
    assert_eq!(
        answer.status,
        StatusCode::UNPROCESSABLE_ENTITY,
        "{answer:?}"
    );
    let errors = answer.json()["errors"].clone();
    let at: Vec<&str> = errors
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|e| e["at"].as_str())
        .collect();
    assert_eq!(at, ["/1/slug", "/2/slug", "/2/destination"]);
    let listed = deployment.get("/v1/links?slug=fine").await.json();
    assert_eq!(listed["items"], json!([]));
    for (body, status) in [("[]", 422), ("{}", 400)] {
        assert_eq!(
            deployment
                .post("/v1/links/bulk", body)
                .await
                .status
                .as_u16(),
            status
        );
    }
}

#[tokio::test]
async fn secrets_are_shown_once_and_never_again() {
    let deployment = Deployment::new();
    let made = deployment
        .post(
            "/v1/api-keys",
            r#"{"name":"a","role":"advertiser","advertisers":[1]}"#,
        )
        .await;
    let secret = made.json()["secret"].as_str().unwrap().to_owned();
    assert!(secret.starts_with("tgk_"), "{made:?}");
    let number = &made.json()["api_key"];
    for path in [
        format!("/v1/api-keys/{number}"),
        "/v1/api-keys".into(),
        "/v1/audit?limit=1000".into(),
    ] {
        let answer = deployment.get(&path).await;
        assert!(
            answer.status.is_success() && !answer.body.contains(&secret),
            "{path}"
        );
    }
    let given = format!(r#"{{"secret":"{}"}}"#, "ab".repeat(32));
    let key = deployment.post("/v1/keys", &given).await;
    assert_eq!(key.json()["secret"], "ab".repeat(32), "{key:?}");
    let listed = deployment.get("/v1/keys").await;
    assert!(!listed.body.contains("secret"), "{listed:?}");
}

#[tokio::test]
async fn money_needs_a_key_and_is_known_by_it() {
    let deployment = Deployment::new();
    let body = r#"{"advertiser":1,"amount_micros":5000000,"reason":"wire 17"}"#;
    let without = deployment.post("/v1/top-ups", body).await;
    assert_eq!(without.status, StatusCode::BAD_REQUEST);
    let key = [("idempotency-key", "wire-17")];
    let request = ("POST", "/v1/top-ups");
    let first = deployment.send(Some(ADMIN), request, body, &key).await;
    assert_eq!(first.status, StatusCode::CREATED, "{first:?}");
    assert_eq!(first.json()["command"].as_str().unwrap().len(), 32);
    for wrong in [
        r#"{"advertiser":1,"amount_micros":0}"#,
        r#"{"advertiser":1,"amount_micros":-5}"#,
        r#"{"advertiser":1,"amount_micros":5,"currency":"EUR"}"#,
        r#"{"advertiser":1,"amount_micros":5,"campaign":11}"#,
        r#"{"advertiser":1,"amount_micros":1000000000000001}"#,
    ] {
        let key = [("idempotency-key", "other")];
        let answer = deployment.send(Some(ADMIN), request, wrong, &key).await;
        assert_eq!(
            answer.status,
            StatusCode::UNPROCESSABLE_ENTITY,
            "{wrong}: {answer:?}"
        );
    }
    let silent = r#"{"advertiser":1,"amount_micros":-5}"#;
    let key = [("idempotency-key", "a")];
    let adjust = deployment
        .send(Some(ADMIN), ("POST", "/v1/adjustments"), silent, &key)
        .await;
    assert_eq!(adjust.json()["errors"][0]["at"], "/reason");
}

#[tokio::test]
async fn what_is_no_json_is_told_so() {
    let deployment = Deployment::new();
    let admin = Some(ADMIN);
    let zipped = [("content-encoding", "gzip")];
    let answer = deployment
        .send(admin, ("POST", "/v1/ads"), "{}", &zipped)
        .await;
    assert_eq!(answer.status, StatusCode::UNSUPPORTED_MEDIA_TYPE);
    let large = format!(r#"{{"campaign":11,"name":"{}"}}"#, "x".repeat(70_000));
    let answer = deployment.post("/v1/ads", &large).await;
    assert_eq!(answer.status, StatusCode::PAYLOAD_TOO_LARGE);
    let answer = deployment.send(admin, ("PUT", "/v1/ads"), "", &[]).await;
    assert_eq!(answer.status, StatusCode::METHOD_NOT_ALLOWED);
    let answer = deployment.get("/v1/nothing").await;
    assert_eq!(answer.status, StatusCode::NOT_FOUND);
    assert_eq!(answer.headers["x-content-type-options"], "nosniff");
}
