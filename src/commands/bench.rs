//! `tollgate bench`: how fast the parts of this machine's Tollgate are, with one traffic for all.
//!
//! A figure means something beside another one of the same run only: machines differ, and one
//! machine differs from hour to hour.

use std::path::{Path, PathBuf};

use clap::ValueEnum;
use serde_json::{Map, Value, json};

use crate::exit::Exit;
use crate::output::{self, Global};

mod apply;
mod flat;
mod http;
mod log;
mod recount;
mod traffic;
mod worker;

use traffic::Shape;

/// Arguments of `tollgate bench`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Runs on temporary folders and touches nothing else. Build with --profile dist, \
                        and let nothing else run. Exit codes: 0 fine, 2 usage, 3 environment."
)]
pub(crate) struct Args {
    /// What to measure; all of it when nothing is named.
    #[arg(value_enum, value_name = "PART")]
    parts: Vec<Part>,
    /// Sizes so small that only the program is tried, not the machine.
    #[arg(long)]
    quick: bool,
    /// Clicks that `commit`, `restart` and `recount` are given; fewer when making them takes two
    /// minutes.
    #[arg(long, value_name = "N")]
    clicks: Option<u64>,
    /// Keeps the log that `commit`, `restart` and `recount` are given in this folder, and takes
    /// it from there the next time.
    #[arg(long, value_name = "DIR")]
    keep_log: Option<PathBuf>,
    /// Nonces that are live when `apply` is timed.
    #[arg(long, value_name = "N")]
    live: Option<u64>,
    /// How long `http` clicks, at full speed and then a fourth of it at a calm one.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    seconds: Option<u32>,
    /// Clicks a second that `http` offers.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    rate: Option<u32>,
    /// Partitions.
    #[arg(long, value_name = "N", default_value_t = Shape::USUAL.partitions)]
    #[arg(value_parser = clap::value_parser!(u16).range(1..=256))]
    partitions: u16,
    /// Another seed is other traffic.
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
}

/// What can be measured.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
enum Part {
    /// The core alone.
    Apply,
    /// From the log to posted ledger and rollups, without and with the lake.
    Commit,
    /// The whole path over HTTP, with the generator beside it on the same processors.
    Http,
    /// A start that applies again what came since the last snapshot.
    Restart,
    /// The recount by replay.
    Recount,
    /// The cost of a click with few and many advertisers, nonces and campaigns.
    Flat,
}

/// The sizes of a run.
#[derive(Clone, Copy, Debug)]
struct Sizes {
    shape: Shape,
    live: u64,
    timed: u64,
    /// Clicks in the logs of `commit`, `restart` and `recount`.
    logged: [u64; 3],
    http: http::Size,
    seed: u64,
}

impl Sizes {
    fn of(args: &Args) -> Sizes {
        let shape = Shape {
            partitions: args.partitions,
            ..if args.quick {
                Shape::SMALL
            } else {
                Shape::USUAL
            }
        };
        let ([live, timed], logged) = if args.quick {
            ([3_000, 2_000], [3_000; 3])
        } else {
            let logged = [5_000_000, 10_000_000, 50_000_000];
            ([10_000_000, 4_000_000], logged)
        };
        let [rate, calm_rate, seconds] = if args.quick {
            [500, 300, 1]
        } else {
            [50_000, 20_000, 600]
        };
        Sizes {
            shape,
            live: args.live.unwrap_or(live),
            timed,
            logged: args.clicks.map_or(logged, |clicks| [clicks; 3]),
            http: http::Size {
                shape,
                rate: args.rate.unwrap_or(rate),
                calm_rate,
                seconds: args.seconds.unwrap_or(seconds),
            },
            seed: args.seed,
        }
    }
}

/// Measures and prints.
pub(crate) fn run(args: Args, global: &Global) -> anyhow::Result<Exit> {
    let sizes = Sizes::of(&args);
    let parts = match args.parts.as_slice() {
        [] => Part::value_variants(),
        named => named,
    };
    let mut figures = Map::new();
    for part in parts {
        let name = name(*part);
        output::note(format_args!("measuring {name}"));
        figures.insert(name, measure(*part, sizes, args.keep_log.as_deref())?);
    }
    let told = json!({ "machine": machine(), "sizes": told(sizes), "figures": figures });
    if global.json {
        output::print_json(&flattened(told))?;
    } else {
        output::print(&table(&figures_of(&told)))?;
    }
    Ok(Exit::Fine)
}

fn measure(part: Part, sizes: Sizes, kept: Option<&Path>) -> anyhow::Result<Value> {
    let Sizes { shape, seed, .. } = sizes;
    let [committed, restarted, recounted] = sizes.logged;
    let log = |clicks| log::Wanted {
        shape,
        clicks,
        seed,
        kept,
    };
    Ok(match part {
        Part::Apply => {
            let size = apply::Size {
                live: sizes.live,
                clicks: sizes.timed,
                shape,
            };
            serde_json::to_value(apply::run(size, seed)?)?
        }
        Part::Commit => serde_json::to_value(worker::commit(&log(committed))?)?,
        Part::Http => serde_json::to_value(http::run(sizes.http, seed)?)?,
        Part::Restart => serde_json::to_value(worker::restart(&log(restarted))?)?,
        Part::Recount => serde_json::to_value(recount::run(&log(recounted))?)?,
        Part::Flat => serde_json::to_value(flat::run(sizes)?)?,
    })
}

fn name(part: Part) -> String {
    let value = part.to_possible_value();
    value.map_or(String::new(), |value| value.get_name().to_owned())
}

/// One object with a key a part, and what it was measured on beside them.
fn flattened(told: Value) -> Value {
    let mut object = figures_of(&told);
    for key in ["machine", "sizes"] {
        object.insert(key.to_owned(), told.get(key).cloned().unwrap_or_default());
    }
    Value::Object(object)
}

fn figures_of(told: &Value) -> Map<String, Value> {
    let figures = told.get("figures").and_then(Value::as_object);
    figures.cloned().unwrap_or_default()
}

fn table(figures: &Map<String, Value>) -> String {
    let mut text = String::new();
    for (part, fields) in figures {
        text.push_str(&format!("{part}\n"));
        for (field, value) in fields.as_object().into_iter().flatten() {
            text.push_str(&format!("  {field:36} {value}\n"));
        }
    }
    text
}

fn told(sizes: Sizes) -> Value {
    let Shape {
        advertisers,
        campaigns,
        publishers,
        partitions,
        clicks_per_s,
    } = sizes.shape;
    json!({
        "advertisers": advertisers,
        "campaigns": campaigns,
        "publishers": publishers,
        "partitions": partitions,
        "log_clicks_per_s": clicks_per_s,
        "seed": sizes.seed,
    })
}

fn machine() -> Value {
    let read = |path| std::fs::read_to_string(path).unwrap_or_default();
    let info = read("/proc/cpuinfo");
    let model = info
        .lines()
        .find_map(|line| line.strip_prefix("model name"));
    json!({
        "processor": model.map(|rest| rest.trim_start_matches([' ', '\t', ':'])),
        "cores": std::thread::available_parallelism().map_or(1, usize::from),
        "kernel": read("/proc/sys/kernel/osrelease").trim(),
        "optimised": !cfg!(debug_assertions),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_runs() {
        let shape = Shape {
            partitions: 3,
            ..Shape::SMALL
        };
        let sizes = Sizes {
            shape,
            live: 3_000,
            timed: 2_000,
            logged: [1_000; 3],
            http: http::Size {
                shape,
                rate: 400,
                calm_rate: 300,
                seconds: 1,
            },
            seed: 5,
        };
        for part in Part::value_variants() {
            let figures = measure(*part, sizes, None).unwrap();
            let figures = figures.as_object().unwrap();
            assert!(!figures.is_empty(), "{part:?}");
            for (name, figure) in figures {
                assert!(
                    figure.as_f64().is_some_and(|figure| figure >= 0.0),
                    "{name}: {figure}"
                );
            }
        }
    }

    #[test]
    fn the_core_sees_the_traffic_that_is_announced() {
        let size = apply::Size {
            live: 10_000,
            clicks: 30_000,
            shape: Shape::SMALL,
        };
        let figures = apply::run(size, 3).unwrap();
        let share = |count: u64| count as f64 / 30_000.0;
        assert!(
            (0.04..0.06).contains(&share(figures.invalid)),
            "{figures:?}"
        );
        assert!(
            (0.01..0.025).contains(&share(figures.duplicate)),
            "{figures:?}"
        );
        let other = 30_000 - figures.invalid - figures.duplicate;
        assert_eq!(figures.billed, other, "all others bill");
        let live = figures.live_nonces as f64;
        assert!((9_500.0..10_500.0).contains(&live), "{live}");
    }

    #[test]
    fn the_same_seed_is_the_same_traffic() {
        let click = |seed, number| traffic::Traffic::new(Shape::SMALL, seed).click(number);
        assert_eq!(click(1, 77), click(1, 77));
        assert_ne!(click(1, 77), click(2, 77));
        assert_ne!(click(1, 77), click(1, 78));
    }
}
