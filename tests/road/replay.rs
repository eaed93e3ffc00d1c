//! Recorded clicks over the real binary: a receipt for each, and counts per link, short domain
//! and country as an independent count of the file has them.

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
        let country = object["c"].as_str().unwrap_or("none");
        let country = if country == "us" { "none" } else { country };
        found.clicks += 1;
        *found.by_link.entry(link.to_owned()).or_default() += 1;
        *found.by_domain.entry(domain.to_owned()).or_default() += 1;
        *found.by_country.entry(country.to_owned()).or_default() += 1;
    }
    found
}

/// Clicks of a data directory by one dimension.
fn report(data: &Path, dimension: &str) -> Vec<(Value, u64)> {
    let ended = run(&[
        "report",
        "--data",
        data.to_str().unwrap(),
        "--by",
        dimension,
    ]);
    assert_eq!(ended.code, 0, "{}", ended.told);
    let rows = ended.json["rows"].as_array().unwrap();
    let row = |row: &Value| (row[dimension].clone(), row["gross"].as_u64().unwrap());
    rows.iter().map(row).collect()
}

fn sums(rows: impl Iterator<Item = (String, u64)>) -> Counts {
    let mut sums = Counts::new();
    for (name, count) in rows {
        *sums.entry(name).or_default() += count;
    }
    sums
}

/// The whole way of a file: links, server, clicks, report.
fn replay_and_compare(file: &Path, no_links: &[u64]) -> Value {
    let want = count(file, no_links);
    let folder = tempfile::tempdir().unwrap();
    let (data, links) = (
        folder.path().join("data"),
        folder.path().join("links.ndjson"),
    );
    let file = file.to_str().unwrap();
    let ended = run(&["replay", file, "--write-links", links.to_str().unwrap()]);
    assert_eq!(ended.code, 0, "{}", ended.told);
    assert!(ended.told.contains("tollgate serve"), "{}", ended.told);
    let rejected = ended.json["rejected"].as_array().unwrap();
    let rejected: Vec<u64> = rejected
        .iter()
        .filter_map(|one| one["line"].as_u64())
        .collect();
    assert_eq!(rejected, want.bad_lines);
    assert_eq!(ended.json["heartbeats"], want.heartbeats);

    let server = Server::start(&data, &links);
    let ended = run(&["replay", file, "--target", &server.url]);
    assert_eq!(ended.code, 0, "{}", ended.told);
    assert_eq!(ended.json["receipts"], want.clicks, "{}", ended.json);
    assert_eq!(ended.json["sent"], want.clicks);
    server.stop();

    // The link's number stands in the table beside its slug, which begins with the link's name.
    let table = std::fs::read_to_string(&links).unwrap();
    let lines = table
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap());
    let slugs: BTreeMap<u64, String> = lines
        .filter_map(|line| Some((line["link"].as_u64()?, line["slug"].as_str()?.to_owned())))
        .collect();
    let by_link = report(&data, "link").into_iter().map(|(number, count)| {
        let slug = slugs[&number.as_u64().unwrap()].as_str();
        (slug.split('.').next().unwrap().to_owned(), count)
    });
    assert_eq!(sums(by_link), want.by_link);
    let by_domain = report(&data, "placement")
        .into_iter()
        .map(|(number, count)| {
            let index = number.as_u64().unwrap() as usize - 1;
            (want.domains[index].clone(), count)
        });
    assert_eq!(sums(by_domain), want.by_domain);
    let by_country = report(&data, "country")
        .into_iter()
        .map(|(country, count)| (country.as_str().unwrap_or("none").to_owned(), count));
    assert_eq!(sums(by_country), want.by_country);
    ended.json
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
    let file = "../shared/data/redirect-clicks-2013-01-01.jsonl.gz";
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
    if !file.exists() {
        println!("SKIPPED: real feed absent");
        return;
    }
    let summary = replay_and_compare(&file, &[]);
    assert_eq!(summary["receipts"], 1_148);
    assert_eq!(summary["heartbeats"], 115);
    assert_eq!(summary["rejected"][0]["line"], 1_264);
    assert_eq!(summary["rejected"].as_array().unwrap().len(), 1);
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
    let server = Server::start(&data, &links);
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
