//! Snapshots as each version of the format wrote them, kept as files: code of today reads them to
//! the state of today, and writes the same bytes.
//!
//! `fixtures/snapshot-v1.bin` holds the parts of a few cases' last states, one after the other:
//! case, name and bytes, each behind its length (u32, little-endian). Who changes the format makes
//! a file for the new version (`cargo test -p tollgate-process --test fixture -- --ignored`) and
//! leaves the old one as it is.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod table;

use std::collections::BTreeMap;

use table::Case;
use table::cluster::{Crashes, run};
use tollgate_process::{PartBytes, State};

/// Every field of a state has a value in one of these.
const CASES: [&str; 9] = [
    "09_late_spool_meets_the_price_of_its_day",
    "19_double_click_across_a_new_pseudonym_key",
    "21_revoked_key",
    "22_key_of_another_advertiser",
    "29_impressions_are_counted_apart",
    "42_credit_limit",
    "52_a_campaign_moves_to_another_zone",
    "73_two_edges_with_one_identity",
    "83_a_day_at_the_desk_of_finance",
];

type Parts = BTreeMap<String, Vec<u8>>;

fn states() -> Vec<(String, State)> {
    let cases = Case::all().into_iter();
    let chosen = cases.filter(|case| CASES.iter().any(|name| case.name.starts_with(name)));
    let last = |case: Case| {
        let mut states = run(&case.rows(1), 1, Crashes::Never).states;
        (case.name, states.remove(0))
    };
    let states: Vec<_> = chosen.map(last).collect();
    assert_eq!(states.len(), CASES.len(), "a case has another name now");
    states
}

fn parts(state: &State) -> Parts {
    let parts = state.parts().map(|part| match part.bytes {
        PartBytes::New(bytes) => (part.name, bytes),
        PartBytes::Stored => panic!("nothing was released"),
    });
    parts.collect()
}

fn fields(mut file: &[u8]) -> Vec<&[u8]> {
    let mut fields = Vec::new();
    while let Some((length, rest)) = file.split_first_chunk() {
        let (field, rest) = rest.split_at(u32::from_le_bytes(*length) as usize);
        fields.push(field);
        file = rest;
    }
    fields
}

#[test]
fn version_1_is_read_and_written_as_ever() {
    let file = include_bytes!("fixtures/snapshot-v1.bin");
    let mut kept: BTreeMap<&str, Parts> = BTreeMap::new();
    for field in fields(file).chunks(3) {
        let [case, name] = [field[0], field[1]].map(|text| str::from_utf8(text).unwrap());
        let parts = kept.entry(case).or_default();
        parts.insert(name.to_owned(), field[2].to_vec());
    }
    for (case, state) in states() {
        let kept = &kept[case.as_str()];
        assert!(parts(&state) == *kept, "{case} is written in another way");
        let read = State::from_parts(kept.clone()).unwrap();
        assert!(read == state, "{case} is read as something else");
    }
}

#[test]
#[ignore = "writes the file that the other test reads"]
fn write_the_parts_of_today() {
    let mut file = Vec::new();
    for (case, state) in states() {
        for (name, bytes) in parts(&state) {
            for field in [case.as_bytes(), name.as_bytes(), &bytes] {
                file.extend_from_slice(&(field.len() as u32).to_le_bytes());
                file.extend_from_slice(field);
            }
        }
    }
    std::fs::write("tests/fixtures/snapshot-v1.bin", file).unwrap();
}
