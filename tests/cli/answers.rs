//! What the API's answers promise across processes: a write that is sent again is done once, a
//! list goes on, and a process of its own answers questions.

use std::time::{Duration, Instant};

use serde_json::Value;

use super::world::{Answer, Server, World, call, eventually, post, read, refused, tollgate};

/// A world with a running node and the admin key that it printed.
fn with_key(world: &World) -> (Server, String) {
    let mut server = world.serve();
    let key = server.first_key();
    (server, key)
}

/// Made; a broadcast may not be applied everywhere yet.
fn is_made(answer: &Answer) -> bool {
    matches!(answer.status, 201 | 202)
}

fn list(server: &Server, key: &str, path: &str) -> Vec<Value> {
    let answer = read(&server.api, path, key);
    assert_eq!(answer.status, 200, "{answer:?}");
    let page: Value = serde_json::from_str(&answer.body).unwrap();
    page["items"].as_array().unwrap().clone()
}

#[test]
fn a_write_that_is_sent_again_after_kill_9_is_done_once_and_answered_alike() {
    let world = World::new();
    let (mut server, key) = with_key(&world);
    let writes = [
        (
            "/v1/links",
            r#"{"campaign":1,"destination":"https://shoes.example/"}"#,
        ),
        (
            "/v1/publishers",
            r#"{"name":"Daily","share_basis_points":7000}"#,
        ),
        (
            "/v1/top-ups",
            r#"{"advertiser":7,"amount_micros":5000000,"reason":"wire 17"}"#,
        ),
        (
            "/v1/links/bulk",
            r#"[{"campaign":1,"slug":"b1","destination":"https://shoes.example/1"},
                {"campaign":1,"slug":"b2","destination":"https://shoes.example/2"}]"#,
        ),
    ];
    for (number, (path, body)) in writes.into_iter().enumerate() {
        let idempotency = format!("write-{number}");
        let first = post(&server.api, path, &key, Some(&idempotency), body);
        assert!(is_made(&first), "{first:?}");
        server.end("-KILL");
        server = world.serve();
        let again = post(&server.api, path, &key, Some(&idempotency), body);
        assert_eq!((again.status, &again.body), (first.status, &first.body));
        for name in ["etag", "location", "tollgate-control", "tollgate-applied"] {
            assert_eq!(again.header(name), first.header(name), "{path} {name}");
        }
        assert_eq!(again.header("idempotency-replayed"), Some("true"));
        let other = post(&server.api, path, &key, Some(&idempotency), "{}");
        assert_eq!(other.status, 409, "{other:?}");
    }
    // The one of the file, the one that was made, two of the bulk.
    assert_eq!(list(&server, &key, "/v1/links").len(), 4);
    assert_eq!(list(&server, &key, "/v1/publishers").len(), 1);
    let audit = list(&server, &key, "/v1/audit?limit=1000");
    let kinds: Vec<&str> = audit
        .iter()
        .filter_map(|line| line["change"].as_str())
        .collect();
    let count = |kind: &str| kinds.iter().filter(|one| **one == kind).count();
    assert_eq!(
        (count("link"), count("publisher"), count("top_up")),
        (4, 1, 1),
        "{kinds:?}"
    );
}

#[test]
fn a_write_whose_answer_was_lost_is_told_and_not_done_again() {
    let world = World::new();
    let (server, key) = with_key(&world);
    let (path, body) = (
        "/v1/publishers",
        r#"{"name":"Daily","share_basis_points":7000}"#,
    );
    let first = post(&server.api, path, &key, Some("k"), body);
    assert!(is_made(&first), "{first:?}");
    server.end("-KILL");
    // As if it had died between the change and the answer: the last entry is the answer.
    let file = world.path("data/api.answers");
    let bytes = std::fs::read(&file).unwrap();
    std::fs::write(&file, &bytes[..bytes.len() - 1]).unwrap();
    let server = world.serve();
    let again = post(&server.api, path, &key, Some("k"), body);
    assert_eq!(again.status, 200, "{again:?}");
    let told: Value = serde_json::from_str(&again.body).unwrap();
    assert_eq!(told["changes"], 1, "{told}");
    assert_eq!(told["carried_out"][0]["object"]["name"], "Daily", "{told}");
    assert_eq!(list(&server, &key, path).len(), 1, "one effect");
    let once_more = post(&server.api, path, &key, Some("k"), body);
    assert_eq!(once_more.body, again.body);
}

#[test]
fn a_secret_is_in_no_file_and_a_replay_after_a_restart_has_none() {
    let world = World::new();
    let (server, key) = with_key(&world);
    let body = r#"{"name":"reader","role":"analyst"}"#;
    let first = post(&server.api, "/v1/api-keys", &key, Some("k"), body);
    let made: Value = serde_json::from_str(&first.body).unwrap();
    let secret = made["secret"].as_str().unwrap().to_owned();
    assert_eq!(read(&server.api, "/v1/campaigns", &secret).status, 200);
    server.end("-KILL");
    let random = secret.rsplit('_').next().unwrap();
    for (path, _) in super::world::listing(&world.path("data")) {
        let bytes = std::fs::read(&path).unwrap_or_default();
        let found = bytes
            .windows(random.len())
            .any(|window| window == random.as_bytes());
        assert!(!found, "{}", path.display());
    }
    let server = world.serve();
    let again = post(&server.api, "/v1/api-keys", &key, Some("k"), body);
    assert_eq!(again.status, first.status);
    assert!(!again.body.contains("secret"), "{again:?}");
    assert_eq!(
        read(&server.api, "/v1/campaigns", &secret).status,
        200,
        "the key lives"
    );
}

#[test]
fn a_list_goes_on_after_a_restart() {
    let world = World::new();
    let (server, key) = with_key(&world);
    let links: Vec<String> = (0..5)
        .map(|n| format!(r#"{{"campaign":1,"destination":"https://shoes.example/{n}"}}"#))
        .collect();
    let body = format!("[{}]", links.join(","));
    assert_eq!(
        post(&server.api, "/v1/links/bulk", &key, None, &body).status,
        201
    );
    let page = read(&server.api, "/v1/links?limit=2", &key);
    let page: Value = serde_json::from_str(&page.body).unwrap();
    let next = page["next"].as_str().unwrap().to_owned();
    server.end("-KILL");
    let server = world.serve();
    let rest = list(&server, &key, &format!("/v1/links?limit=100&cursor={next}"));
    assert_eq!(rest.len(), 4, "{rest:?}");
}

#[test]
fn a_process_of_its_own_answers_questions_and_takes_no_change() {
    let world = World::new();
    let (server, key) = with_key(&world);
    let reading = || {
        let data = world.text("data");
        let config = world.text("t.toml");
        let args = [
            "serve", "--json", "--role", "query", "--data", &data, "--config", &config,
        ];
        Server::start(tollgate().args(args))
    };
    let reader = reading();
    assert_eq!(reader.ready().0, 200);
    assert_eq!(list(&reader, &key, "/v1/campaigns").len(), 1);
    assert_eq!(
        read(&reader.api, "/v1/campaigns", "tgk_1_nobody").status,
        401
    );

    // A change there is seen here, a credential among them; a change here is refused.
    let made = post(
        &server.api,
        "/v1/publishers",
        &key,
        None,
        r#"{"name":"Daily","share_basis_points":7000}"#,
    );
    assert!(is_made(&made), "{made:?}");
    eventually("the change", || {
        (list(&reader, &key, "/v1/publishers").len() == 1).then_some(())
    });
    let body = r#"{"name":"reader","role":"analyst"}"#;
    let made = post(&server.api, "/v1/api-keys", &key, None, body);
    let made: Value = serde_json::from_str(&made.body).unwrap();
    let young = made["secret"].as_str().unwrap();
    eventually("the key", || {
        (read(&reader.api, "/v1/campaigns", young).status == 200).then_some(())
    });
    let refused = post(
        &reader.api,
        "/v1/publishers",
        &key,
        None,
        r#"{"name":"Other","share_basis_points":1}"#,
    );
    assert_eq!(refused.status, 503, "{refused:?}");
    assert!(refused.body.contains("no worker here"), "{refused:?}");
    assert_eq!(refused.header("retry-after"), Some("60"));

    // Clicks are there when they are in files, which is at the next minute's tick.
    for _ in 0..3 {
        server.receipt("/l/abc");
    }
    let report = |of: &Server| -> Value {
        let answer = read(&of.api, "/v1/reports?metrics=gross", &key);
        assert_eq!(answer.status, 200, "{answer:?}");
        serde_json::from_str(&answer.body).unwrap()
    };
    eventually("the clicks in the worker's own process", || {
        (report(&server)["rows"][0]["gross"] == 3).then_some(())
    });
    let started = Instant::now();
    while report(&reader)["rows"][0]["gross"] != 3 {
        assert!(
            started.elapsed() < Duration::from_secs(120),
            "{}",
            report(&reader)
        );
        std::thread::sleep(Duration::from_millis(500));
    }
    let through = |report: &Value| -> u64 {
        let partitions = report["complete"]["partitions"].as_array().unwrap().iter();
        partitions.filter_map(|one| one["through"].as_u64()).sum()
    };
    let answer = report(&reader);
    assert!(through(&answer) >= 3 && through(&answer) <= through(&report(&server)));
    assert!(
        answer["complete"]["before"].is_null(),
        "nobody told it: {answer}"
    );

    server.end("-KILL");
    assert_eq!(reader.ready().0, 200, "it goes on without a writer");
    assert_eq!(report(&reader)["rows"][0]["gross"], 3);
    drop(world.serve());
    assert_eq!(list(&reader, &key, "/v1/publishers").len(), 1);
}

#[test]
fn a_reader_demands_a_data_directory_and_takes_no_files() {
    let world = World::new();
    let data = world.text("data");
    let told = refused(&call(["serve", "--role", "query", "--data", &data]), 3);
    assert!(told.contains("no directory"), "{told}");
    let links = world.text("links.ndjson");
    let args = [
        "serve", "--role", "query", "--data", &data, "--links", &links,
    ];
    assert!(refused(&call(args), 2).contains("changes nothing"));
    assert!(!world.path("data").exists());
}

#[test]
fn sql_answers_or_says_how_to_get_it() {
    let world = World::new();
    let server = world.serve();
    server.receipt("/l/abc");
    server.end("-TERM");
    let data = world.text("data");
    let output = call([
        "sql",
        "--json",
        "SELECT count(*) AS n FROM clicks",
        "--data",
        &data,
    ]);
    if cfg!(feature = "sql") {
        let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(answer["columns"], serde_json::json!(["n"]));
        let told = refused(&call(["sql", "DROP TABLE clicks", "--data", &data]), 2);
        assert!(told.contains("DDL"), "{told}");
    } else {
        assert!(refused(&output, 2).contains("--features sql"));
    }
}
