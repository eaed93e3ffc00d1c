use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;

/// Keys whose low half is the constant of `mix` have the hash 0, all of them.
fn colliding(number: u64) -> u128 {
    (u128::from(number) << 64) | 0x9E37_79B9_7F4A_7C15
}

/// Few values, so that keys meet, beside such that spread and such that collide.
fn key() -> impl Strategy<Value = u128> {
    prop_oneof![
        3 => any::<u128>(),
        2 => 0..50u128,
        2 => (0..400u64).prop_map(colliding),
        1 => (0..50u128).prop_map(|small| small << 74),
    ]
}

fn check(table: &Table, plain: &BTreeSet<u128>) {
    assert_eq!(table.len(), plain.len());
    let mut wanted: Vec<u128> = plain.iter().copied().collect();
    wanted.sort_by_key(|key| order(*key));
    assert!(table.sorted().eq(wanted));
}

proptest! {
    #[test]
    fn a_table_is_a_set(keys in prop::collection::vec(key(), 0..600)) {
        let (mut table, mut plain) = (Table::default(), BTreeSet::new());
        for key in &keys {
            prop_assert_eq!(table.insert(*key), plain.insert(*key));
            prop_assert!(!table.insert(*key));
        }
        check(&table, &plain);
        let backwards: Table = keys.iter().rev().copied().collect();
        prop_assert_eq!(&backwards, &table);
        let other: Table = keys.iter().map(|key| key ^ 1).collect();
        let same = plain.iter().all(|key| plain.contains(&(key ^ 1)));
        prop_assert_eq!(other == table, same);
    }
}

/// A fixed walk over all numbers.
fn random(number: u64) -> u128 {
    let half = |n: u64| {
        let mixed = (n + 2).wrapping_mul(0xD129_0BB5_3A5E_8BA9);
        (mixed ^ (mixed >> 29)).wrapping_mul(0x94D0_49BB_1331_11EB)
    };
    (u128::from(half(number * 2)) << 64) | u128::from(half(number * 2 + 1))
}

#[test]
fn a_table_stays_a_set_while_it_grows_into_shards() {
    let (mut table, mut plain) = (Table::default(), BTreeSet::new());
    for number in 0..60_000 {
        for key in [random(number), random(number / 3), colliding(number % 999)] {
            assert_eq!(table.insert(key), plain.insert(key), "{number}");
        }
        if [10, 16_000, 17_000].contains(&number) {
            check(&table, &plain);
        }
    }
    assert!(table.shards.len() > 1, "{}", table.shards.len());
    check(&table, &plain);
    assert!((0..70_000).all(|number| table.insert(random(number)) == (number >= 60_000)));
}

#[test]
fn a_copy_does_not_see_what_comes_later() {
    let mut table: Table = (0..20_000).map(random).collect();
    let copy = table.clone();
    (20_000..40_000).for_each(|number| assert!(table.insert(random(number))));
    assert_eq!(copy, (0..20_000).map(random).collect());
    assert_ne!(copy, table);
}

#[test]
fn memory_stays_below_thirty_bytes_a_key_and_no_shard_stands_out() {
    let mut table = Table::default();
    for number in 0..300_000u64 {
        table.insert(random(number));
        if number > 30_000 && number % 10_000 == 0 {
            let each = table.memory_bytes() as f64 / table.len() as f64;
            assert!((22.0..30.0).contains(&each), "{each} bytes at {number}");
        }
    }
    let largest = table
        .shards
        .iter()
        .map(|shard| shard.lines.len())
        .max()
        .unwrap();
    assert!(largest <= LINES_MAX, "{largest}");
    let mut sizes: Vec<usize> = table.shards.iter().map(|shard| shard.lines.len()).collect();
    sizes.sort_unstable();
    sizes.dedup();
    assert!(
        sizes.len() > 4,
        "they would grow at the same time: {sizes:?}"
    );
    let spilled: Vec<usize> = table
        .shards
        .iter()
        .map(|shard| shard.spilled.len())
        .collect();
    assert!(spilled.iter().all(|count| *count == 0), "{spilled:?}");
}

#[test]
fn keys_made_to_collide_cost_no_scan_and_are_kept() {
    let mut table: Table = (0..4_000).map(colliding).collect();
    assert_eq!(table.len(), 4_000);
    assert!((0..5_000).all(|number| table.insert(colliding(number)) == (number >= 4_000)));
    let spilled: usize = table.shards.iter().map(|shard| shard.spilled.len()).sum();
    assert_eq!(spilled, 5_000 - PROBES * LINE);
}
