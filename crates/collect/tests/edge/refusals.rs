//! The tables over real sockets: each row gets its answer, its counter and nothing else.

use proptest::prelude::*;
use tollgate_click::Refusal;

use crate::raw::Raw;
use crate::table::{Row, rows};
use crate::world::{World, count, get};

fn run(world: &World, row: &Row) {
    let before = world.settled();
    let mut raw = world.open();
    raw.send(row.raw(&|word| world.token_named(word)));
    let answer = raw.answer();
    assert_eq!(answer.status, row.status, "{}: {answer:?}", row.name);
    if row.status != 302 {
        answer.assert_promises_nothing(&row.name);
    }
    for (name, value) in &row.headers {
        let found = answer.header(name);
        assert!(
            found.is_some_and(|found| value.is_empty() || found == value),
            "{}: {answer:?}",
            row.name
        );
    }
    assert!(!answer.text_is_echo(b"evil"), "{}", row.name);
    if row.closes {
        assert!(raw.is_ended(), "{}: the connection goes on", row.name);
    }
    let after = world.settled();
    assert_eq!(
        after.hits,
        before.hits + 1,
        "{}: never two hits from one request",
        row.name
    );
    let (was, is) = (count(&before, &row.refused), count(&after, &row.refused));
    assert_eq!(is, was + 1, "{}: {after:?}", row.name);
    assert_eq!(
        world.log.durable().len() as u64,
        after.recorded(),
        "{}",
        row.name
    );
}

impl crate::raw::Answer {
    fn text_is_echo(&self, bytes: &[u8]) -> bool {
        self.body.windows(bytes.len()).any(|window| window == bytes)
    }
}

#[test]
fn bad_requests_get_what_the_table_says() {
    let world = World::start();
    for row in rows(include_str!("../data/bad_requests.toml")) {
        run(&world, &row);
    }
    assert_eq!(world.log.durable().len(), 0, "nothing was recorded");
}

#[test]
fn links_get_what_the_table_says() {
    let world = World::start();
    for row in rows(include_str!("../data/clicks.toml")) {
        run(&world, &row);
    }
}

#[test]
fn a_connection_that_has_served_judges_the_same() {
    let world = World::start();
    for row in rows(include_str!("../data/bad_requests.toml")) {
        let mut raw = world.open();
        assert_eq!(raw.ask(get(format!("/c/{}", world.token()))).status, 302);
        let bytes = row.raw(&|word| world.token_named(word));
        let answer = raw.ask(bytes);
        assert_eq!(answer.status, row.status, "{}: {answer:?}", row.name);
        if row.closes {
            assert!(raw.is_ended(), "{}: the connection goes on", row.name);
        }
    }
}

#[test]
fn a_head_in_pieces_is_one_on_any_turn() {
    let world = World::start();
    let mut raw = world.open();
    for cut in [1, 10, 50, 100, 101, 102] {
        let request = get(format!("/c/{}", world.token()));
        raw.send(&request[..request.len() - cut]);
        std::thread::sleep(std::time::Duration::from_millis(5));
        assert_eq!(
            raw.ask(&request[request.len() - cut..]).status,
            302,
            "{cut}"
        );
    }
}

#[test]
fn a_table_row_in_pieces_gets_the_same() {
    // The byte at which a request is cut over two packets decides nothing.
    let world = World::start();
    for row in rows(include_str!("../data/bad_requests.toml")) {
        let bytes = row.raw(&|word| world.token_named(word));
        if bytes.len() > 2_000 || row.status == 404 {
            continue;
        }
        for cut in [1, bytes.len() / 3, bytes.len() / 2, bytes.len() - 1] {
            let mut raw = world.open();
            raw.send(&bytes[..cut]);
            std::thread::sleep(std::time::Duration::from_millis(2));
            raw.send(&bytes[cut..]);
            // A request whose forbidden rest comes after its answer has been one request.
            let answer = raw.answer();
            let split_pipeline = row.head.as_deref() == Some("passes") && row.status == 400;
            let expected = answer.status == row.status || (split_pipeline && answer.status == 302);
            assert!(expected, "{} cut at {cut}: {answer:?}", row.name);
        }
    }
    let counters = world.settled();
    assert_eq!(counters.hits, counters.recorded() + counters.refused());
}

#[test]
fn each_altered_byte_of_a_token_is_forged() {
    let world = World::start();
    let token = world.token();
    let mut raw = world.open();
    for place in 0..token.len() {
        let mut altered = token.clone().into_bytes();
        altered[place] = if altered[place] == b'A' { b'B' } else { b'A' };
        let altered = String::from_utf8(altered).unwrap();
        let answer = raw.ask(get(format!("/c/{altered}")));
        assert_eq!(answer.status, 403, "byte {place} of {token}");
        answer.assert_promises_nothing("forged");
    }
    let counters = world.settled();
    assert_eq!(counters.refused_for(Refusal::Forged), token.len() as u64);
    assert_eq!(
        raw.ask(get(format!("/c/{token}"))).status,
        302,
        "and the connection still serves"
    );
}

#[test]
fn a_flood_of_junk_leaves_counts_and_a_few_samples() {
    let world = World::with(|options| options.limits.quarantine_samples = 4);
    let mut raw = world.open();
    for number in 0..2_000 {
        assert_eq!(
            raw.ask(get(format!("/c/junk{number}{}", "x".repeat(900))))
                .status,
            403
        );
    }
    assert_eq!(world.settled().refused_for(Refusal::Forged), 2_000);
    let samples = world.edge().quarantine();
    assert_eq!(samples.len(), 4, "one connection lives on one thread");
    assert!(samples.iter().all(|sample| sample.bytes.len() == 512));
    assert!(samples[3].bytes.starts_with(b"/c/junk1999"));
    assert_eq!(world.log.durable().len(), 0);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// Mutated requests, many on one edge: it answers or closes, never redirects but to the signed
    /// place, and counts to the one.
    #[test]
    fn mutated_requests_end_and_are_counted(
        cuts in proptest::collection::vec((any::<proptest::sample::Index>(), any::<u8>()), 1..4),
        row in any::<proptest::sample::Index>(),
    ) {
        thread_local! {
            static WORLD: World = World::start();
            static ROWS: Vec<Row> = rows(include_str!("../data/bad_requests.toml"));
        }
        WORLD.with(|world| ROWS.with(|rows| {
            let mut bytes = rows[row.index(rows.len())].raw(&|word| world.token_named(word));
            for (place, byte) in cuts {
                let place = place.index(bytes.len());
                bytes[place] = byte;
            }
            let mut raw = Raw::open(world.address());
            raw.send(&bytes);
            raw.end_sending();
            while let Some(answer) = raw.try_answer(bytes.starts_with(b"HEAD ")) {
                prop_assert!((200..=505).contains(&answer.status));
                if let Some(location) = answer.header("location") {
                    prop_assert!(location.starts_with("https://shop.example/?id="), "{}", location);
                }
            }
            let counters = world.settled();
            prop_assert_eq!(counters.hits, counters.recorded() + counters.refused());
            prop_assert_eq!(counters.recorded() as usize, world.log.durable().len());
            Ok(())
        }))?;
    }
}
