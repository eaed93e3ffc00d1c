//! Reports over clicks that were counted: whose they are, in pages, in three formats.

use bytes::Bytes;
use http::StatusCode;
use parquet::file::reader::{FileReader, SerializedFileReader};
use serde_json::{Value, json};
use tollgate_click::control::Role;

use super::deployment::{ADMIN, CLOSED_AGO_MS, Clicked, Deployment, Holder};

/// Two advertisers, two publishers, old and young clicks, each sum another number.
fn counted() -> Deployment {
    let deployment = Deployment::new();
    let mut clicks = Vec::new();
    for (advertiser, campaign, publisher, times) in [
        (1u32, 11u64, 1u32, 2usize),
        (1, 11, 2, 3),
        (2, 12, 1, 5),
        (2, 12, 2, 7),
    ] {
        for (ago_ms, charge) in [(2 * CLOSED_AGO_MS, 100), (60_000, 10), (60_000, 0)] {
            let one = Clicked {
                advertiser,
                campaign,
                publisher,
                ago_ms,
                charge,
            };
            clicks.extend(vec![one; times]);
        }
    }
    deployment.count(&clicks);
    deployment
}

async fn rows(deployment: &Deployment, holder: Holder, query: &str) -> Value {
    let path = format!("/v1/reports?{query}");
    let answer = deployment.send(Some(holder), ("GET", &path), "", &[]).await;
    assert_eq!(
        answer.status,
        StatusCode::OK,
        "{holder:?} {query}: {answer:?}"
    );
    answer.json()["rows"].clone()
}

#[tokio::test]
async fn each_tenant_counts_its_own_clicks_whatever_it_asks() {
    let deployment = counted();
    let narrow = |role| Holder { role, narrow: true };
    for (holder, gross) in [
        (ADMIN, 51),
        (narrow(Role::Advertiser), 15),
        (narrow(Role::Publisher), 21),
        (narrow(Role::Analyst), 6),
    ] {
        assert_eq!(
            rows(&deployment, holder, "metrics=gross").await,
            json!([{"gross": gross}])
        );
        let by = "metrics=gross&dimensions=advertiser,publisher";
        let by = rows(&deployment, holder, by).await;
        let sum: i64 = by
            .as_array()
            .unwrap()
            .iter()
            .filter_map(|row| row["gross"].as_i64())
            .sum();
        assert_eq!(sum, gross, "{holder:?}");
    }
    let foreign = narrow(Role::Advertiser);
    for filter in [
        "campaign:12",
        "advertiser:2",
        "campaign:99",
        "advertiser:1,2",
    ] {
        let path = format!("/v1/reports?metrics=gross&filter={filter}");
        let answer = deployment
            .send(Some(foreign), ("GET", &path), "", &[])
            .await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND, "{filter}");
    }
    let publisher = narrow(Role::Publisher);
    for metric in ["spend", "posted", "pending"] {
        let path = format!("/v1/reports?metrics={metric}");
        let answer = deployment
            .send(Some(publisher), ("GET", &path), "", &[])
            .await;
        assert_eq!(answer.status, StatusCode::FORBIDDEN, "{metric}");
    }
}

#[tokio::test]
async fn spend_is_what_is_posted_and_what_is_pending() {
    let deployment = counted();
    let query = "metrics=spend,posted,pending,billed,gross&dimensions=campaign";
    let expected = json!([
        {"campaign": 11, "spend": 550, "posted": 500, "pending": 50, "billed": 10, "gross": 15},
        {
            "campaign": 12, "spend": 1_320, "posted": 1_200, "pending": 120,
            "billed": 24, "gross": 36,
        },
    ]);
    assert_eq!(rows(&deployment, ADMIN, query).await, expected);
    let plain = "metrics=spend,billed,gross&dimensions=campaign";
    let plain = rows(&deployment, ADMIN, plain).await;
    assert_eq!(plain[0]["spend"], 550);
}

#[tokio::test]
async fn an_answer_says_up_to_where_it_counts() {
    let answer = counted().get("/v1/reports?metrics=gross").await.json();
    let complete = &answer["complete"];
    assert!(
        complete["before"].is_string() && complete["posted_before"].is_string(),
        "{complete}"
    );
    let through = complete["partitions"].as_array().unwrap().iter();
    let through: i64 = through.filter_map(|one| one["through"].as_i64()).sum();
    assert_eq!(through, 51, "the ordinals of all partitions");
}

#[tokio::test]
async fn pages_make_the_whole_and_cursors_are_their_owners() {
    let deployment = counted();
    let query = "metrics=gross&dimensions=minute,campaign,publisher";
    let whole = rows(&deployment, ADMIN, query).await;
    let mut pages = Vec::new();
    let mut path = format!("/v1/reports?{query}&limit=3");
    let mut cursor = String::new();
    loop {
        let page = deployment.get(&path).await.json();
        pages.extend(page["rows"].as_array().unwrap().clone());
        let Some(next) = page["next"].as_str() else {
            break;
        };
        cursor = next.to_owned();
        path = format!("/v1/reports?{query}&limit=3&cursor={cursor}");
    }
    assert_eq!(Value::from(pages), whole);
    assert_eq!(whole.as_array().unwrap().len(), 8);

    let other = Holder {
        role: Role::Analyst,
        narrow: true,
    };
    let tampered = format!("A{}", &cursor[1..]);
    for (holder, query, cursor) in [
        (other, query, &cursor),
        (ADMIN, "metrics=gross&dimensions=minute,campaign", &cursor),
        (ADMIN, query, &tampered),
    ] {
        let path = format!("/v1/reports?{query}&limit=3&cursor={cursor}");
        let answer = deployment.send(Some(holder), ("GET", &path), "", &[]).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{answer:?}");
        assert_eq!(answer.json()["errors"][0]["at"], "cursor");
    }
}

#[tokio::test]
async fn csv_and_parquet_say_the_same() {
    let deployment = counted();
    let path = "/v1/reports?metrics=gross,spend&dimensions=outcome,campaign&format=";
    let csv = deployment.get(&format!("{path}csv")).await;
    let expected = "outcome,campaign,gross,spend\r\nbilled,11,10,550\r\nbilled,12,24,1320\r\n\
                    free,11,5,0\r\nfree,12,12,0\r\n";
    assert_eq!(csv.body, expected);
    assert!(csv.headers.contains_key("tollgate-through"), "{csv:?}");

    let request = http::Request::builder()
        .uri(format!("{path}parquet"))
        .header("authorization", format!("Bearer {}", ADMIN.key()))
        .body(axum::body::Body::empty())
        .unwrap();
    let response = tower::ServiceExt::oneshot(deployment.router.clone(), request)
        .await
        .unwrap();
    let body = http_body_util::BodyExt::collect(response.into_body())
        .await
        .unwrap();
    let bytes: Bytes = body.to_bytes();
    let file = SerializedFileReader::new(bytes).unwrap();
    let rows: Vec<String> = file
        .get_row_iter(None)
        .unwrap()
        .map(|row| row.unwrap().to_string())
        .collect();
    assert_eq!(
        rows[0],
        "{outcome: \"billed\", campaign: 11, gross: 10, spend: 550}"
    );
    assert_eq!(rows.len(), 4);
    let metadata = file
        .metadata()
        .file_metadata()
        .key_value_metadata()
        .unwrap();
    assert!(metadata.iter().any(|one| one.key == "complete"));
}
