use super::*;
use flate2::Compression;
use flate2::write::GzEncoder;
use std::collections::BTreeSet;
use std::io::Write;
use std::path::Path;

const MADE_UP: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/data/feed.jsonl");

fn made_up() -> Feed {
    read(open(Path::new(MADE_UP)).unwrap()).unwrap()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn read_file(bytes: &[u8]) -> Feed {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(bytes).unwrap();
    read(open(file.path()).unwrap()).unwrap()
}

#[test]
fn a_bad_line_is_named_and_costs_no_good_one() {
    let feed = made_up();
    let rejected: Vec<u64> = feed.rejected.iter().map(|rejected| rejected.line).collect();
    assert_eq!(rejected, [43, 44, 45, 56], "{:?}", feed.rejected);
    assert_eq!(
        (feed.clicks.len(), feed.heartbeats, feed.cut_off),
        (46, 5, None)
    );
    // Line 46 is empty: neither.
    assert_eq!(feed.clicks.len() + 5 + rejected.len() + 1, 56);
    assert_eq!(feed.clicks[0].line, 2);
}

#[test]
fn a_gzipped_feed_is_the_same_feed() {
    let plain = std::fs::read(MADE_UP).unwrap();
    assert_eq!(read_file(&gzip(&plain)), made_up());
    // Two members in one file, as `cat a.gz b.gz` makes them.
    let (first, second) = plain.split_at(4000);
    assert_eq!(read_file(&[gzip(first), gzip(second)].concat()), made_up());
}

#[test]
fn a_cut_gzip_gives_its_whole_lines() {
    let line = b"{\"h\":\"x\",\"hh\":\"y.example\",\"u\":\"http://z.example/\"}\n";
    let lines: Vec<u8> = (0..20_000u32)
        .flat_map(|i| [&line[..], format!("{{\"_heartbeat_\":{i}}}\n").as_bytes()].concat())
        .collect();
    let whole = gzip(&lines);
    for cut in [whole.len() - 1, whole.len() - 9, whole.len() / 2, 30] {
        let feed = read_file(&whole[..cut]);
        assert_eq!(feed.cut_off, Some(CutOff::Truncated), "at {cut}");
        assert!(feed.rejected.len() <= 1, "only the cut line is bad");
        let bad: u64 = feed.clicks.len() as u64 + feed.heartbeats + 1;
        assert!(feed.rejected.iter().all(|rejected| rejected.line == bad));
    }
    // Only the checksum at the end is cut: all lines are whole.
    let feed = read_file(&whole[..whole.len() - 1]);
    assert_eq!((feed.clicks.len(), feed.heartbeats), (20_000, 20_000));
    let mut damaged = whole.clone();
    let end = damaged.len() - 6;
    damaged[end] ^= 1;
    assert_eq!(read_file(&damaged).cut_off, Some(CutOff::Damaged));
}

#[test]
fn a_line_without_end_is_rejected_by_its_number() {
    let mut bytes = vec![b'x'; 3 << 20];
    bytes.extend_from_slice(b"\n{\"_heartbeat_\":1}\n");
    let feed = read_file(&bytes);
    assert_eq!(feed.rejected.len(), 1);
    assert_eq!((feed.rejected[0].line, feed.heartbeats), (1, 1));
}

#[test]
fn the_table_numbers_things_in_the_order_of_the_file() {
    let feed = made_up();
    let table = Table::of(&feed);
    assert_eq!(table, Table::of(&feed));
    let slugs: Vec<&str> = table.links.iter().map(|link| link.slug.as_str()).collect();
    assert_eq!(
        slugs[..8],
        [
            "hA1",
            "hA1.prk.example",
            "hB2",
            "hC3",
            "hC4",
            "hD5",
            "hE6",
            "hF7"
        ]
    );
    let numbers: Vec<u64> = table.links.iter().map(|link| link.number).collect();
    assert_eq!(numbers, (1..=slugs.len() as u64).collect::<Vec<_>>());
    assert_eq!(slugs.iter().collect::<BTreeSet<_>>().len(), slugs.len());
    let (first, second) = (&table.links[0], &table.links[1]);
    assert_eq!((first.placement, second.placement), (1, 2));
    assert_eq!(
        (first.publisher, &first.destination),
        (second.publisher, &second.destination)
    );
}

#[test]
fn destinations_are_encoded_or_refused_by_line() {
    let table = Table::of(&made_up());
    let destination = |slug: &str| {
        let link = table.links.iter().find(|link| link.slug == slug).unwrap();
        link.destination.as_str()
    };
    assert_eq!(
        destination("hB2"),
        "http://maps.example/sheets/North%20Ridge%202023.pdf"
    );
    assert_eq!(
        destination("hC3"),
        "http://blog.example/2023/11/wandern-%E2%80%93-im-m%C3%A4rz/"
    );
    assert_eq!(
        destination("hD5"),
        "ftp://ftp.data.example/pub/2023/stations.csv"
    );
    assert_eq!(destination("hG8"), "http://shop.example/Sale");
    assert_eq!(destination("hK1"), "https://www.park.example/trails/loop");
    let refused: Vec<u64> = table.refused.iter().map(|refused| refused.line).collect();
    assert_eq!(refused, [39, 40], "{:?}", table.refused);
    let lines = table.lines();
    let ftp: Vec<&Value> = lines
        .iter()
        .filter(|line| line["schemes"] == serde_json::json!(["ftp"]))
        .collect();
    assert_eq!(
        ftp.len(),
        1,
        "only the advertiser that needs it may use ftp"
    );
}

#[test]
fn a_slug_is_given_once() {
    let line = |h: &str, hh: &str| {
        format!("{{\"h\":\"{h}\",\"hh\":\"{hh}\",\"u\":\"http://z.example/\"}}\n")
    };
    let lines = [
        line("a", "x"),
        line("a", "b"), // slug a.b
        line("a.b", "x"),
        line("a.b", "x"),
        line("a/b", "x"),
    ];
    let table = Table::of(&read(lines.concat().as_bytes()).unwrap());
    let refused: Vec<u64> = table.refused.iter().map(|refused| refused.line).collect();
    assert_eq!((table.links.len(), refused), (2, vec![3, 4, 5]));
}

#[test]
fn a_recorded_click_becomes_one_request_and_no_text_can_end_a_header() {
    let feed = made_up();
    let table = Table::of(&feed);
    for click in &feed.clicks {
        let Some(link) = table.link_of(click) else {
            continue;
        };
        let bytes = click.request(link, "h:1");
        let mut headers = [httparse::EMPTY_HEADER; 16];
        let mut request = httparse::Request::new(&mut headers);
        let parsed = request.parse(&bytes).unwrap();
        assert_eq!(parsed, httparse::Status::Complete(bytes.len()));
        let names: Vec<&str> = request.headers.iter().map(|header| header.name).collect();
        let unique: BTreeSet<&&str> = names.iter().collect();
        assert_eq!(unique.len(), names.len(), "line {}", click.line);
        let known = click
            .country
            .as_deref()
            .is_some_and(|country| country != "us");
        assert_eq!(names.contains(&"X-Country"), known);
        assert_eq!(names.contains(&"Referer"), click.referrer.is_some());
        assert_eq!(names.contains(&"User-Agent"), !click.agent.is_empty());
    }
}

#[test]
fn an_address_is_a_fixed_function_of_agent_city_and_place() {
    let feed = made_up();
    let click = &feed.clicks[0];
    let mut other = click.clone();
    other.country = None;
    other.link = "other".to_owned();
    assert_eq!(address_of(&other), address_of(click));
    other.place = None;
    assert_ne!(address_of(&other), address_of(click));
    // Written down once: another address would change what a replay of this file means.
    assert_eq!(address_of(click).to_string(), "10.110.73.20");
}
