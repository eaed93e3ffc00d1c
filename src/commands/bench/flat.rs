//! Whether a click costs the same in old and young worlds, and in large and small ones: after few
//! and many clicks that have passed through, and with few and many advertisers. As many nonces are
//! live in all of them, and the worlds take turns, so that a slow second meets all.

use anyhow::{Result, ensure};
use serde::Serialize;
use serde_json::{Map, Value};

use super::Sizes;
use super::apply::World;
use super::traffic::Shape;

/// Rounds in which each world has a turn.
const ROUNDS: u64 = 8;

/// What came out.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Figures {
    /// The dearest world beside the cheapest, of those that have stored more and more clicks.
    stored_max_to_min_ratio: f64,
    /// The same of those with more and more advertisers.
    advertisers_max_to_min_ratio: f64,
    /// In each world when the clock starts; none differs from this by more than 5%.
    live_nonces: u64,
    timed_clicks_per_world: u64,
    #[serde(flatten)]
    ns_per_click: Map<String, Value>,
}

/// Times the core in each world.
pub(super) fn run(sizes: Sizes) -> Result<Figures> {
    let Sizes { shape, seed, .. } = sizes;
    let live = sizes.live / 100;
    let stored = [live, 10 * live, 100 * live, 1_000 * live];
    let advertisers = [10, 1_000, 100_000];
    let mut old = Vec::new();
    for clicks in stored {
        old.push(World::new(shape, seed, clicks, live)?);
    }
    let mut large = Vec::new();
    for advertisers in advertisers {
        let campaigns = shape.campaigns.max(advertisers);
        let shape = Shape {
            advertisers,
            campaigns,
            ..shape
        };
        large.push(World::new(shape, seed, live, live)?);
    }
    let live_nonces = old.first().map_or(0, World::live);
    for world in old.iter().chain(&large) {
        let off = world.live().abs_diff(live_nonces);
        ensure!(
            off <= live_nonces / 20 + 5,
            "{off} more nonces are live in one world"
        );
    }
    let turn = sizes.timed / 16;
    let best = rounds(old.iter_mut().chain(&mut large).collect(), turn)?;
    let (of_old, of_large) = best.split_at(stored.len());
    let names = stored.map(|clicks| format!("ns_per_click_at_{clicks}_clicks_stored"));
    let others = advertisers.map(|number| format!("ns_per_click_at_{number}_advertisers"));
    let named = names.into_iter().chain(others).zip(&best);
    Ok(Figures {
        stored_max_to_min_ratio: spread(of_old),
        advertisers_max_to_min_ratio: spread(of_large),
        live_nonces,
        timed_clicks_per_world: turn * ROUNDS,
        ns_per_click: named
            .map(|(name, ns)| (name, Value::from(ns.round())))
            .collect(),
    })
}

/// The middle one of its turns is a world's figure.
fn rounds(mut worlds: Vec<&mut World>, turn: u64) -> Result<Vec<f64>> {
    let mut took = vec![Vec::new(); worlds.len()];
    for _ in 0..ROUNDS {
        for (world, took) in worlds.iter_mut().zip(&mut took) {
            took.push(world.ns_per_click(turn)?);
        }
    }
    let middle = |took: &mut Vec<f64>| {
        took.sort_by(f64::total_cmp);
        took.get(took.len() / 2).copied().unwrap_or(0.0)
    };
    Ok(took.iter_mut().map(middle).collect())
}

fn spread(figures: &[f64]) -> f64 {
    let most = figures.iter().copied().fold(0.0, f64::max);
    let least = figures.iter().copied().fold(f64::MAX, f64::min);
    (most / least * 100.0).round() / 100.0
}
