//! P3 at the edge: hits = recorded + refused, by class, against a driver that counts for itself.

use std::collections::BTreeMap;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tollgate_click::Refusal;
use tollgate_collect::metrics;
use tollgate_log::AppendError;

use crate::log::Mode;
use crate::table::rows;
use crate::world::World;

/// One driver: what it sent, by the counter that each must have raised.
fn drive(world: &World, seed: u64) -> BTreeMap<String, u64> {
    let mut dice = StdRng::seed_from_u64(seed);
    let tables = [
        include_str!("../data/bad_requests.toml"),
        include_str!("../data/clicks.toml"),
    ];
    let rows: Vec<_> = tables.into_iter().flat_map(rows).collect();
    let mut sent = BTreeMap::new();
    let mut open = None;
    for _ in 0..400 {
        let row = &rows[dice.random_range(0..rows.len())];
        let mut raw = match open.take() {
            Some(raw) if dice.random_bool(0.7) => raw,
            _ => world.open(),
        };
        raw.send(row.raw(&|word| world.token_named(word)));
        let answer = raw
            .try_answer(false)
            .unwrap_or_else(|| panic!("{} with seed {seed}", row.name));
        *sent.entry(row.refused.clone()).or_default() += 1;
        assert_eq!(answer.status, row.status, "{} with seed {seed}", row.name);
        if !row.closes {
            open = Some(raw);
        }
    }
    sent
}

#[test]
fn a_labelled_mix_is_counted_to_the_one() {
    let world = World::start();
    let seed = std::env::var("SEED")
        .ok()
        .and_then(|seed| seed.parse().ok());
    let seed: u64 = seed.unwrap_or_else(|| rand::rng().random());
    println!("seed {seed}");
    let sent = std::thread::scope(|scope| {
        let drivers: Vec<_> = (0..4)
            .map(|driver| {
                scope.spawn({
                    let world = &world;
                    move || drive(world, seed ^ driver)
                })
            })
            .collect();
        let mut sum = BTreeMap::new();
        for driver in drivers {
            for (class, count) in driver.join().unwrap() {
                *sum.entry(class).or_default() += count;
            }
        }
        sum
    });
    let counters = world.settled();
    let mut counted = BTreeMap::from([("recorded".to_owned(), counters.recorded())]);
    for reason in Refusal::ALL {
        counted.insert(reason.name().to_owned(), counters.refused_for(reason));
    }
    counted.retain(|_, count| *count > 0);
    assert_eq!(counted, sent, "seed {seed}");
    assert_eq!(counters.hits, sent.values().sum::<u64>(), "seed {seed}");
    assert_eq!(
        world.log.durable().len() as u64,
        counters.recorded(),
        "seed {seed}"
    );
    let mut text = String::new();
    metrics::render(&counters, &mut text).unwrap();
    assert!(text.contains(&format!("tollgate_edge_hits_total {}\n", counters.hits)));
}

#[test]
fn faults_of_the_log_leave_no_gap() {
    let world = World::start();
    let modes = [
        Mode::Commit,
        Mode::Refuse(AppendError::Overloaded),
        Mode::Fail(AppendError::Indeterminate("io".into())),
        Mode::Fail(AppendError::Full),
    ];
    let mut raw = world.open();
    let mut statuses = [0, 0];
    for turn in 0..200 {
        world.log.set(modes[turn % modes.len()].clone());
        let status = raw
            .ask(crate::world::get(format!("/c/{}", world.token())))
            .status;
        statuses[usize::from(status != 302)] += 1;
    }
    let counters = world.settled();
    assert_eq!(statuses, [50, 150], "a receipt only for what was committed");
    assert_eq!((counters.hits, counters.recorded()), (200, 50));
    assert_eq!(counters.refused_for(Refusal::Overload), 100);
    assert_eq!(counters.refused_for(Refusal::Unrecorded), 50);
    assert_eq!(world.log.durable().len(), 50);
}
