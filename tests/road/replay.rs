//! Recorded clicks over the real binary: a receipt for each, and reports per link, short domain,
//! country and minute as an independent count of the file has them; replayed, and imported.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::binary::{Server, run};

type Counts = BTreeMap<String, u64>;

/// Counted from the file's lines and nothing else.
#[derive(Default)]
struct Independent {
    clicks: u64,
    heartbeats: u64,
    bad_lines: Vec<u64>,
    by_link: Counts,
    by_domain: Counts,
    by_country: Counts,
    /// Minutes of the clicks' own times, as Unix minutes.
    by_minute: BTreeMap<u64, u64>,
    /// Links, each with its short domain, in the order in which the file first names them.
    links: Vec<(String, String)>,
    /// Short domains in the order in which the file first names them.
    domains: Vec<String>,
}

/// `no_links` are lines whose destination no link may have: nobody can click them.
fn count(file: &Path, no_links: &[u64]) -> Independent {
    let mut bytes = std::fs::read(file).unwrap();
    if bytes.starts_with(&[0x1F, 0x8B]) {
        let mut text = Vec::new();
        flate2::read::GzDecoder::new(bytes.as_slice())
            .read_to_end(&mut text)
            .unwrap();
        bytes = text;
    }
    let mut found = Independent::default();
    for (number, line) in (1..).zip(bytes.split(|byte| *byte == b'\n')) {
        if line.is_empty() || no_links.contains(&number) {
            continue;
        }
        let object: Value = match serde_json::from_slice(line) {
            Ok(object) => object,
            Err(_) => {
                found.bad_lines.push(number);
                continue;
            }
        };
        if object.get("_heartbeat_").is_some() {
            found.heartbeats += 1;
            continue;
        }
        let (Some(link), Some(domain)) = (object["h"].as_str(), object["hh"].as_str()) else {
            found.bad_lines.push(number);
            continue;
        };
        if !found.domains.iter().any(|known| known == domain) {
            found.domains.push(domain.to_owned());
        }
        let name = (link.to_owned(), domain.to_owned());
        if !found.links.contains(&name) {
            found.links.push(name);
        }
        if let Some(at_s) = object["t"].as_u64() {
            *found.by_minute.entry(at_s / 60).or_default() += 1;
        }
        let country = object["c"].as_str().unwrap_or("none");
        let country = if country == "us" { "none" } else { country };
        found.clicks += 1;
        *found.by_link.entry(link.to_owned()).or_default() += 1;
        *found.by_domain.entry(domain.to_owned()).or_default() += 1;
        *found.by_country.entry(country.to_owned()).or_default() += 1;
    }
    found
}

/// Clicks by one dimension, named by `name`, once `clicks` are counted.
fn report<K: Ord>(
    server: &Server,
    (dimension, time): (&str, &str),
    clicks: u64,
    name: impl Fn(&Value) -> K,
) -> BTreeMap<K, u64> {
    let question = format!("metrics=records,gross,billed,spend&dimensions={dimension}{time}");
    let mut counts = BTreeMap::new();
    for row in server.report(&question, clicks) {
        assert_eq!(row["records"], row["gross"]);
        *counts.entry(name(&row[dimension])).or_default() += row["records"].as_u64().unwrap();
    }
    counts
}

/// Reports per link, short domain and country against the file.
fn compare(server: &Server, want: &Independent, time: &str) {
    let index = |value: &Value| value.as_u64().unwrap() as usize - 1;
    let link = |value: &Value| want.links[index(value)].0.clone();
    assert_eq!(
        report(server, ("ad", time), want.clicks, link),
        want.by_link
    );
    let domain = |value: &Value| want.domains[index(value)].clone();
    assert_eq!(
        report(server, ("placement", time), want.clicks, domain),
        want.by_domain
    );
    let country = |value: &Value| match value.as_str() {
        None | Some("") => "none".to_owned(),
        Some(country) => country.to_owned(),
    };
    assert_eq!(
        report(server, ("country", time), want.clicks, country),
        want.by_country
    );
}

/// The Unix minute that a report names.
fn minute_of(value: &Value) -> u64 {
    let time: jiff::Timestamp = value.as_str().unwrap().parse().unwrap();
    time.as_second() as u64 / 60
}

/// The whole way of a file: links over the API, clicks over HTTP, reports.
fn replay_and_compare(file: &Path, no_links: &[u64]) -> Value {
    let want = count(file, no_links);
    let folder = tempfile::tempdir().unwrap();
    let history = folder.path().join("history.jsonl");
    let server = Server::start(&folder.path().join("data"), None);
    let key = server.key.clone().unwrap();
    let api = ["--api", &server.api, "--api-key", &key];
    let how = ["replay", file.to_str().unwrap(), "--target", &server.url];
    let told = ["--history", history.to_str().unwrap()];
    let ended = run(&[&how[..], &api, &told].concat());
    assert_eq!(ended.code, 0, "{}", ended.told);
    let rejected = ended.json["rejected"].as_array().unwrap().iter();
    let rejected: Vec<u64> = rejected.filter_map(|one| one["line"].as_u64()).collect();
    assert_eq!(rejected, want.bad_lines);
    assert_eq!(ended.json["heartbeats"], want.heartbeats);
    assert_eq!(ended.json["receipts"], want.clicks, "{}", ended.json);
    assert_eq!(ended.json["sent"], want.clicks);
    compare(&server, &want, "");
    // The minutes are those of the receipts: a click id begins with its time.
    let mut by_minute: BTreeMap<u64, u64> = BTreeMap::new();
    for line in std::fs::read_to_string(&history).unwrap().lines() {
        let event: Value = serde_json::from_str(line).unwrap();
        if let Some(id) = event["click_id"].as_str() {
            let ms = u64::from_str_radix(&id.replace('-', "")[..12], 16).unwrap();
            *by_minute.entry(ms / 60_000).or_default() += 1;
        }
    }
    assert_eq!(
        report(&server, ("minute", ""), want.clicks, minute_of),
        by_minute
    );
    // Done again, the links stand already, and every click counts once more.
    let ended = run(&[&how[..], &api].concat());
    assert_eq!(
        ended.json["receipts"], want.clicks,
        "{} {}",
        ended.told, ended.json
    );
    server.report("metrics=records", 2 * want.clicks);
    server.stop();
    ended.json
}

/// The same file as history: reported by its own times, never billed.
fn import_and_compare(file: &Path, no_links: &[u64]) {
    let want = count(file, no_links);
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(&folder.path().join("data"), None);
    let key = server.key.clone().unwrap();
    let api = ["--api", &server.api, "--api-key", &key];
    let how = ["import", file.to_str().unwrap(), "--target", &server.url];
    let ended = run(&[&how[..], &api].concat());
    assert_eq!(ended.code, 0, "{} {}", ended.told, ended.json);
    assert_eq!(ended.json["recorded"], want.clicks, "{}", ended.json);
    assert_eq!(
        ended.json["rejected_lines"],
        serde_json::json!(want.bad_lines)
    );
    let time = |minute: u64| jiff::Timestamp::from_second(minute as i64 * 60).unwrap();
    let first = *want.by_minute.first_key_value().unwrap().0;
    let last = *want.by_minute.last_key_value().unwrap().0;
    let time = format!("&from={}&to={}", time(first), time(last + 1));
    compare(&server, &want, &time);
    let by_minute = report(&server, ("minute", &time), want.clicks, minute_of);
    assert_eq!(by_minute, want.by_minute);
    let all = &server.report(&format!("metrics=records,billed,spend{time}"), want.clicks)[0];
    assert_eq!(
        (&all["billed"], &all["spend"]),
        (&0.into(), &0.into()),
        "{all}"
    );
    // Nothing of it is reported now.
    let now = server.asker().get("/v1/reports?metrics=records").unwrap();
    let rows = now["rows"].as_array().unwrap();
    assert!(rows.iter().all(|row| row["records"] == 0), "{now}");
    // The token was for this import only.
    let tokens = server.asker().get("/v1/tokens").unwrap();
    assert_eq!(tokens["items"][0]["revoked"], true, "{tokens}");
    server.stop();
}

fn made_up() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/feed.jsonl")
}

#[test]
fn made_up_clicks_are_counted_as_the_file_has_them() {
    let summary = replay_and_compare(&made_up(), &[39, 40]);
    let refused = summary["refused_links"].as_array().unwrap();
    let refused: Vec<u64> = refused
        .iter()
        .filter_map(|one| one["line"].as_u64())
        .collect();
    assert_eq!(refused, [39, 40]);
}

#[test]
fn an_hour_of_real_clicks_is_counted_as_the_file_has_it() {
    let Some(file) = real() else { return };
    let summary = replay_and_compare(&file, &[]);
    assert_eq!(summary["receipts"], 1_148);
    assert_eq!(summary["heartbeats"], 115);
    assert_eq!(summary["rejected"][0]["line"], 1_264);
    assert_eq!(summary["rejected"].as_array().unwrap().len(), 1);
}

#[test]
fn made_up_history_is_reported_by_its_own_minutes_and_bills_nothing() {
    import_and_compare(&made_up(), &[39, 40]);
}

#[test]
fn an_hour_of_real_history_is_reported_by_its_own_minutes_and_bills_nothing() {
    let Some(file) = real() else { return };
    import_and_compare(&file, &[]);
}

/// The hour of real clicks, where it is.
fn real() -> Option<PathBuf> {
    let file = "../shared/data/redirect-clicks-2013-01-01.jsonl.gz";
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
    if !file.exists() {
        println!("SKIPPED: real feed absent");
        return None;
    }
    Some(file)
}

/// Without an API: a file of links, and the recount of the log.
#[test]
fn links_from_a_file_count_alike() {
    let want = count(&made_up(), &[39, 40]);
    let folder = tempfile::tempdir().unwrap();
    let (data, links) = (
        folder.path().join("data"),
        folder.path().join("links.ndjson"),
    );
    let (file, links) = (made_up(), links.to_str().unwrap());
    let file = file.to_str().unwrap();
    let ended = run(&["replay", file, "--write-links", links]);
    assert_eq!(ended.code, 0, "{}", ended.told);
    assert!(ended.told.contains("tollgate serve"), "{}", ended.told);
    let server = Server::start(&data, Some(links.as_ref()));
    let ended = run(&["replay", file, "--target", &server.url]);
    assert_eq!(ended.code, 0, "{}", ended.told);
    compare(&server, &want, "");
    server.stop();
}

#[test]
fn links_written_while_the_edge_runs_are_waited_for() {
    let folder = tempfile::tempdir().unwrap();
    let (data, links) = (
        folder.path().join("data"),
        folder.path().join("links.ndjson"),
    );
    // The edge knows one link of the file before.
    std::fs::write(
        &links,
        "{\"link\":1,\"slug\":\"other\",\"advertiser\":1,\"campaign\":1,\
         \"destination\":\"https://other.example/\"}\n",
    )
    .unwrap();
    let server = Server::start(&data, Some(&links));
    let (file, links) = (made_up(), links.to_str().unwrap());
    let file = file.to_str().unwrap();
    let ended = run(&[
        "replay",
        file,
        "--write-links",
        links,
        "--target",
        &server.url,
    ]);
    assert_eq!(ended.code, 0, "{}", ended.told);
    assert_eq!(ended.json["receipts"], count(&made_up(), &[39, 40]).clicks);
    server.stop();
}

#[test]
fn a_dead_target_ends_with_what_was_not_sent() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let file = made_up();
    let ended = run(&["replay", file.to_str().unwrap(), "--target", &url]);
    assert_eq!(ended.code, 3, "{}", ended.told);
    assert_eq!(ended.json["not_sent"], count(&made_up(), &[39, 40]).clicks);
    assert_eq!(
        (&ended.json["sent"], &ended.json["receipts"]),
        (&0.into(), &0.into())
    );
}

#[test]
fn another_machine_is_not_aimed_at_by_mistake() {
    let file = made_up();
    let file = file.to_str().unwrap();
    let ended = run(&["replay", file, "--target", "http://192.0.2.1:80"]);
    assert_eq!(ended.code, 2);
    assert!(ended.told.contains("--allow-remote"), "{}", ended.told);
}
