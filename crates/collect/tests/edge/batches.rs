//! `/v1/events` over real sockets.

use std::io::Write;

use serde::Deserialize;
use tollgate_click::{Millis, Record, Refusal, Source};

use crate::failing_log::DOWN;
use crate::log::Mode;
use crate::raw::{Answer, Raw};
use crate::table;
use crate::world::{NOW, World};

#[derive(Deserialize)]
struct Batches {
    row: Vec<Batch>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Batch {
    name: String,
    raw: String,
    #[serde(rename = "type", default = "json")]
    media: String,
    #[serde(default)]
    coding: String,
    #[serde(default = "good_token")]
    token: String,
    status: u16,
    #[serde(default)]
    results: Vec<String>,
    #[serde(default = "malformed")]
    refused: String,
}

fn json() -> String {
    "application/json".to_owned()
}

fn good_token() -> String {
    "tg_test".to_owned()
}

fn malformed() -> String {
    "malformed".to_owned()
}

const ITEM: &str = r#"{"type":"click","advertiser":7,"campaign":70,"event_time":{now},"sub1":"s"}"#;

impl Batch {
    fn body(&self) -> Vec<u8> {
        let text = self
            .raw
            .replace("{item}", ITEM)
            .replace("{now}", &NOW.0.to_string());
        table::expand(&text)
    }

    fn request(&self) -> Vec<u8> {
        let body = self.body();
        let mut head = format!(
            "POST /v1/events HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n",
            body.len()
        );
        let bearer = format!("Bearer {}", self.token);
        let headers = [
            ("Content-Type", self.media.as_str(), &self.media),
            ("Content-Encoding", self.coding.as_str(), &self.coding),
            ("Authorization", bearer.as_str(), &self.token),
        ];
        for (name, value, _) in headers
            .into_iter()
            .filter(|(_, _, given)| !given.is_empty())
        {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        [head.as_bytes(), b"\r\n", &body].concat()
    }
}

fn words(answer: &Answer) -> Vec<String> {
    let json = answer.json();
    let results = json["results"].as_array().unwrap();
    let words: Vec<_> = results
        .iter()
        .map(|item| item["status"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(json["received"], words.len());
    assert_eq!(
        json["recorded"],
        words.iter().filter(|word| *word == "recorded").count()
    );
    words
}

fn post(headers: &str, body: &[u8]) -> Vec<u8> {
    let head = format!(
        "POST /v1/events HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer tg_test\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n{headers}\r\n",
        body.len()
    );
    [head.as_bytes(), body].concat()
}

fn good_batch(items: usize) -> Vec<u8> {
    let item = ITEM.replace("{now}", &NOW.0.to_string());
    format!("[{}]", vec![item; items].join(",")).into_bytes()
}

#[test]
fn batches_get_what_the_table_says() {
    let world = World::start();
    let batches: Batches = toml::from_str(include_str!("../data/batches.toml")).unwrap();
    for row in batches.row {
        let before = world.settled();
        let mut raw = world.open();
        raw.send(row.request());
        let answer = raw.answer();
        assert_eq!(answer.status, row.status, "{}: {answer:?}", row.name);
        answer.assert_promises_nothing(&row.name);
        let after = world.settled();
        let recorded = after.recorded() - before.recorded();
        let refused = after.refused() - before.refused();
        let hits = after.hits - before.hits;
        assert_eq!(
            world.log.durable().len() as u64,
            after.recorded(),
            "{}",
            row.name
        );
        if row.status != 200 {
            assert_eq!((hits, recorded, refused), (1, 0, 1), "{}", row.name);
            let reason = Refusal::ALL
                .into_iter()
                .find(|reason| reason.name() == row.refused)
                .unwrap();
            assert_eq!(
                after.refused_for(reason),
                before.refused_for(reason) + 1,
                "{}",
                row.name
            );
            assert!(
                raw.is_ended(),
                "{}: an unread body must not become a request",
                row.name
            );
            continue;
        }
        let words = words(&answer);
        if row.results == ["malformed x 1000"] {
            assert_eq!(words, vec!["malformed"; 1_000]);
        } else {
            assert_eq!(words, row.results, "{}", row.name);
        }
        let good = words.iter().filter(|word| *word == "recorded").count() as u64;
        assert_eq!((hits, recorded), (words.len() as u64, good), "{}", row.name);
    }
}

#[test]
fn an_import_keeps_its_own_time_and_has_a_receipt_per_item() {
    let world = World::start();
    let body = br#"[{"type":"click","advertiser":7,"campaign":70,"event_time":1799999000000,
        "ip":"192.0.2.9","user_agent":"curl/8","sub3":"\u00e9"}]"#;
    let answer = world.once(post("", body));
    assert_eq!(answer.status, 200, "{answer:?}");
    let appended = world.log.last();
    let facts = appended.click();
    assert_eq!(
        facts.source,
        Source::Imported {
            event_time: Millis(1_799_999_000_000)
        }
    );
    assert_eq!(
        (facts.received_at(), facts.reported_at()),
        (NOW, Millis(1_799_999_000_000))
    );
    assert_eq!(
        answer.json()["results"][0]["click_id"],
        facts.click_id.to_string()
    );
    let person = appended.person();
    assert_eq!(person.subs[2], Some("\u{e9}".as_bytes()));
    assert_eq!(person.address, Some("192.0.2.9".parse().unwrap()));
}

#[test]
fn the_good_items_of_a_batch_are_one_append() {
    let world = World::start();
    let answer = world.once(post("", &good_batch(300)));
    assert_eq!(words(&answer).len(), 300);
    let durable = world.log.durable();
    assert!(durable.iter().all(|record| record.call == durable[0].call));
    let ids: std::collections::HashSet<_> = durable
        .iter()
        .map(|record| record.click().click_id)
        .collect();
    assert_eq!(ids.len(), 300);
}

#[test]
fn nothing_is_answered_before_it_is_durable() {
    let world = World::start();
    world.log.set(Mode::Hold);
    let mut raw = world.open();
    raw.send(post("", &good_batch(3)));
    world.when("the batch is appended", || {
        (world.log.held() == 1).then_some(())
    });
    assert_eq!(
        (
            world.edge().counters().recorded(),
            world.edge().counters().pending()
        ),
        (0, 3)
    );
    world.log.release(Ok(()));
    assert_eq!(words(&raw.answer()), ["recorded"; 3]);
    assert_eq!(world.settled().recorded(), 3);
}

#[test]
fn a_log_that_takes_nothing_refuses_the_good_items() {
    let world = World::start();
    let mixed = [&b"[1,"[..], &good_batch(2)[1..]].concat();
    world.log.set(Mode::Refuse(DOWN));
    let answer = world.once(post("", &mixed));
    assert_eq!(
        (answer.status, answer.header("retry-after")),
        (503, Some("1"))
    );
    let counters = world.settled();
    let refused = |reason| counters.refused_for(reason);
    assert_eq!(
        (refused(Refusal::Overload), refused(Refusal::Malformed)),
        (2, 1)
    );
    assert_eq!((counters.hits, counters.recorded()), (3, 0));
}

#[test]
fn compressed_batches_come_out_and_bombs_do_not() {
    let world = World::start();
    let gzip = |bytes: &[u8]| {
        let mut out = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        out.write_all(bytes).unwrap();
        out.finish().unwrap()
    };
    let zstd = |bytes: &[u8]| zstd::encode_all(bytes, 3).unwrap();
    let batch = good_batch(5);
    for (coding, body) in [("gzip", gzip(&batch)), ("zstd", zstd(&batch))] {
        let answer = world.once(post(&format!("Content-Encoding: {coding}\r\n"), &body));
        assert_eq!(words(&answer), ["recorded"; 5], "{coding}");
    }
    let zeros = vec![b' '; 64 << 20];
    for (coding, bomb) in [("gzip", gzip(&zeros)), ("zstd", zstd(&zeros))] {
        let answer = world.once(post(&format!("Content-Encoding: {coding}\r\n"), &bomb));
        assert_eq!(answer.status, 413, "{coding}: {} bytes", bomb.len());
    }
    assert_eq!(world.settled().recorded(), 10);
}

#[test]
fn chunked_batches_are_taken_in_any_pieces() {
    let world = World::start();
    let batch = good_batch(2);
    let mut raw = world.open();
    for piece in [1, 7, 100, 4_096] {
        raw.send(
            "POST /v1/events HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer tg_test\r\n\
             Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n",
        );
        for part in batch.chunks(piece) {
            raw.send(format!("{:x}\r\n", part.len()));
            raw.send(part);
            raw.send("\r\n");
        }
        raw.send("0\r\n\r\n");
        assert_eq!(words(&raw.answer()), ["recorded"; 2], "pieces of {piece}");
    }
    assert_eq!(world.settled().recorded(), 8);
}

#[test]
fn expect_100_is_answered_before_the_body() {
    let world = World::start();
    let whole = post("Expect: 100-continue\r\n", &good_batch(1));
    let head = whole
        .windows(4)
        .position(|four| four == b"\r\n\r\n")
        .unwrap()
        + 4;
    let mut raw = world.open();
    raw.send(&whole[..head]);
    assert_eq!(raw.answer().status, 100);
    raw.send(&whole[head..]);
    assert_eq!(words(&raw.answer()), ["recorded"]);
}

#[test]
fn a_request_behind_a_body_is_refused() {
    let world = World::start();
    let mut raw = world.open();
    raw.send(
        [
            post("", &good_batch(1)),
            b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n".to_vec(),
        ]
        .concat(),
    );
    assert_eq!(
        words(&raw.answer()),
        ["recorded"],
        "the batch itself is whole"
    );
    assert_eq!(raw.answer().status, 400);
    assert!(raw.is_ended());
}

#[test]
fn a_client_that_goes_mid_body_leaves_nothing() {
    let world = World::start();
    let whole = post("", &good_batch(3));
    let mut raw = world.open();
    raw.send(&whole[..whole.len() - 1]);
    raw.end_sending();
    let answer = raw.try_answer(false);
    assert!(answer.is_none_or(|answer| answer.status == 400));
    let counters = world.when("the batch is counted", || {
        let counters = world.edge().counters();
        (counters.hits == 1).then_some(counters)
    });
    assert_eq!(
        (
            counters.recorded(),
            counters.refused_for(Refusal::Malformed)
        ),
        (0, 1)
    );
    assert_eq!(world.log.durable().len(), 0);
}

#[test]
fn an_idempotency_key_is_refused_rather_than_forgotten() {
    let world = World::start();
    let answer = world.once(post("Idempotency-Key: abc\r\n", &good_batch(1)));
    assert_eq!(answer.status, 501);
    assert_eq!(world.settled().recorded(), 0);
}

#[test]
fn a_stated_length_over_the_limit_is_refused_before_it_comes() {
    let world = World::start();
    let mut raw = world.open();
    raw.send(
        "POST /v1/events HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer tg_test\r\n\
         Content-Type: application/json\r\nContent-Length: 99999999999\r\n\r\n[",
    );
    assert_eq!(raw.answer().status, 413);
    assert!(raw.is_ended());
}

#[test]
fn other_methods_are_not_allowed() {
    let world = World::start();
    let answer = Raw::once(
        world.address(),
        "GET /v1/events HTTP/1.1\r\nHost: x\r\n\r\n",
    );
    assert_eq!((answer.status, answer.header("allow")), (405, Some("POST")));
}

#[test]
fn a_batch_record_decodes_as_what_it_is() {
    let world = World::start();
    let body =
        br#"[{"type":"impression","advertiser":7,"campaign":70,"event_time":1799999000000}]"#;
    assert_eq!(words(&world.once(post("", body))), ["recorded"]);
    assert!(matches!(world.log.last().record(), Record::Impression(_)));
}
