//! Whether a click costs the same in small and large worlds: with few and many advertisers, and
//! with few and many live nonces. The runs take turns, so that a slow minute meets all of them.

use anyhow::Result;
use serde::Serialize;
use serde_json::{Map, Value};

use super::traffic::Shape;
use super::{Sizes, apply};

/// Rounds in which all worlds have a turn.
const ROUNDS: usize = 3;

/// What came out.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Figures {
    /// The dearest world beside the cheapest, of the advertisers' row.
    advertisers_max_to_min: f64,
    /// The same of the nonces' row.
    live_nonces_max_to_min: f64,
    #[serde(flatten)]
    ns_per_click: Map<String, Value>,
}

/// Times the core in each world.
pub(super) fn run(sizes: Sizes) -> Result<Figures> {
    let live = sizes.live / 10;
    let advertisers = [10, 1_000, 100_000].map(|advertisers| {
        let campaigns = sizes.shape.campaigns.max(advertisers);
        let shape = Shape {
            advertisers,
            campaigns,
            ..sizes.shape
        };
        (
            format!("ns_per_click_at_{advertisers}_advertisers"),
            shape,
            live,
        )
    });
    let nonces = [live / 10, live, live * 10].map(|live| {
        (
            format!("ns_per_click_at_{live}_live_nonces"),
            sizes.shape,
            live,
        )
    });
    let (of_advertisers, of_nonces) = rounds(&advertisers, &nonces, sizes)?;
    let mut ns_per_click = Map::new();
    for ((name, ..), ns) in advertisers.iter().zip(&of_advertisers) {
        ns_per_click.insert(name.clone(), Value::from(ns.round()));
    }
    for ((name, ..), ns) in nonces.iter().zip(&of_nonces) {
        ns_per_click.insert(name.clone(), Value::from(ns.round()));
    }
    Ok(Figures {
        advertisers_max_to_min: spread(&of_advertisers),
        live_nonces_max_to_min: spread(&of_nonces),
        ns_per_click,
    })
}

type World = (String, Shape, u64);

/// The best of its turns is a world's figure: what disturbs a run only adds to it.
fn rounds(one: &[World], other: &[World], sizes: Sizes) -> Result<(Vec<f64>, Vec<f64>)> {
    let mut best = vec![f64::MAX; one.len() + other.len()];
    for _ in 0..ROUNDS {
        for ((_, shape, live), best) in one.iter().chain(other).zip(&mut best) {
            let size = apply::Size {
                live: *live,
                clicks: sizes.timed / 4,
                shape: *shape,
            };
            *best = best.min(apply::ns_per_click(size, sizes.seed)?);
        }
    }
    let others = best.split_off(one.len());
    Ok((best, others))
}

fn spread(figures: &[f64]) -> f64 {
    let most = figures.iter().copied().fold(0.0, f64::max);
    let least = figures.iter().copied().fold(f64::MAX, f64::min);
    most / least
}
