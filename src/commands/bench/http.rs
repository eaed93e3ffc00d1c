//! The whole path over HTTP: signed links clicked on a node of one process, with the open-loop
//! generator beside it on the same processors.
//!
//! Two runs: one at the rate that the node is to keep up with, which says what a click costs and
//! how many become durable, and one at a calmer rate, which says how soon a click with a receipt
//! stands in the report.

mod clicks;
mod cost;
mod freshness;

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use serde::Serialize;
use tollgate_collect::Clock;
use tollgate_traffic::ask::Asker;
use tollgate_traffic::client::Patience;
use tollgate_traffic::load::{self, Options, Pace, Summary};

use self::clicks::Clicks;
use self::cost::{Cost, Meter};
use self::freshness::Watch;
use super::traffic::Shape;
use crate::config;
use crate::control::files::Files;
use crate::node::{Node, NodeOptions};

/// How fast, and how long.
#[derive(Clone, Copy, Debug)]
pub(super) struct Size {
    pub(super) shape: Shape,
    /// Clicks a second of the first run.
    pub(super) rate: u32,
    /// Clicks a second of the second run.
    pub(super) calm_rate: u32,
    /// Of the first run; the second is a fourth of it.
    pub(super) seconds: u32,
}

/// Connections of the generated visitors.
const CONNECTIONS: usize = 256;
/// A second that is not counted: connections are opened, pages touched.
const WARM_UP: Duration = Duration::from_secs(1);

/// What came out.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Figures {
    offered_clicks_per_s: u32,
    durable_clicks_per_s: u64,
    clicks: u64,
    /// Planned requests that got no receipt, in both runs.
    without_receipt: u64,
    receipt_p50_us: u64,
    receipt_p99_us: u64,
    receipt_max_us: u64,
    /// 1 when the generator's own queue is not in these latencies.
    generator_kept_up: u8,
    edge_cpu_us_per_click: f64,
    log_cpu_us_per_click: f64,
    worker_cpu_us_per_click: f64,
    generator_cpu_us_per_click: f64,
    other_cpu_us_per_click: f64,
    /// What other processes and the kernel's threads took meanwhile, in processors.
    elsewhere_cpus: f64,
    /// Clicks that had a receipt and were not in the report when the first run ended.
    behind_clicks: u64,
    freshness_offered_clicks_per_s: u32,
    freshness_receipt_p99_us: u64,
    freshness_generator_kept_up: u8,
    freshness_p50_ms: f64,
    freshness_p99_ms: f64,
    freshness_max_ms: f64,
    freshness_reports: u64,
}

/// Runs both.
pub(super) fn run(size: Size, seed: u64) -> Result<Figures> {
    let folder = tempfile::tempdir()?;
    let clicks = Clicks::new(size.shape, seed);
    let options = prepare(folder.path(), &clicks)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .thread_name("api")
        .enable_all()
        .build()?;
    let node = runtime.block_on(Node::start(options))?;
    let edge = *node.edge_addresses().first().context("no edge")?;
    let api = Asker {
        address: node.api_address(),
        token: node.first_key().map(str::to_owned),
    };
    let bench = Bench { edge, clicks, api };
    let figures = bench.run(size);
    runtime.block_on(node.stop())?;
    figures
}

struct Bench {
    edge: SocketAddr,
    clicks: Clicks,
    api: Asker,
}

impl Bench {
    fn run(&self, size: Size) -> Result<Figures> {
        let seconds = |count: u32| Duration::from_secs(count.max(1).into());
        self.send(size.rate, WARM_UP)?;
        let meter = Meter::start()?;
        let fast = self.send(size.rate, seconds(size.seconds))?;
        let cost = meter.stop()?;
        let shown = freshness::gross(&self.api)?;
        let receipts_so_far = self.clicks.receipts();
        let behind = receipts_so_far.saturating_sub(shown);
        freshness::wait_for(&self.api, receipts_so_far)?;

        let watch = Watch::start(self.api.clone(), &self.clicks)?;
        let calm = self.send(size.calm_rate, seconds(size.seconds / 4))?;
        let fresh = watch.stop()?;
        let each = |cost: Duration| cost.as_secs_f64() * 1e6 / fast.sent.max(1) as f64;
        let Cost {
            edge,
            log,
            worker,
            generator,
            other,
            elsewhere,
            time,
        } = cost;
        let missed = |summary: &Summary| summary.planned - summary.receipts;
        Ok(Figures {
            offered_clicks_per_s: size.rate,
            durable_clicks_per_s: fast.receipts * 1_000_000 / fast.took_us.max(1),
            clicks: fast.receipts,
            without_receipt: missed(&fast) + missed(&calm),
            receipt_p50_us: fast.latency.p50_us,
            receipt_p99_us: fast.latency.p99_us,
            receipt_max_us: fast.latency.max_us,
            generator_kept_up: u8::from(fast.driver_kept_up()),
            edge_cpu_us_per_click: each(edge),
            log_cpu_us_per_click: each(log),
            worker_cpu_us_per_click: each(worker),
            generator_cpu_us_per_click: each(generator),
            other_cpu_us_per_click: each(other),
            elsewhere_cpus: elsewhere.as_secs_f64() / time.as_secs_f64().max(1e-9),
            behind_clicks: behind,
            freshness_offered_clicks_per_s: size.calm_rate,
            freshness_receipt_p99_us: calm.latency.p99_us,
            freshness_generator_kept_up: u8::from(calm.driver_kept_up()),
            freshness_p50_ms: fresh.p50_ms,
            freshness_p99_ms: fresh.p99_ms,
            freshness_max_ms: fresh.max_ms,
            freshness_reports: fresh.reports,
        })
    }

    /// Clicks at that rate for so long.
    fn send(&self, per_second: u32, duration: Duration) -> Result<Summary> {
        let pace = Pace::Rate {
            per_second,
            duration,
        };
        let options = Options {
            address: self.edge,
            connections: CONNECTIONS,
            threads: 1,
            pace,
            patience: Patience::default(),
            give_up: Duration::from_secs(20),
        };
        let work = Arc::new(self.clicks.clicked_now(per_second));
        Ok(load::start(options, work, None)?.join()?)
    }
}

/// Writes the files and says how the node is started on them, with the settings that everybody
/// has, on free ports.
fn prepare(folder: &Path, clicks: &Clicks) -> Result<NodeOptions> {
    let (keys, campaigns) = (folder.join("keys.ndjson"), folder.join("campaigns.ndjson"));
    clicks.write_files(&keys, &campaigns)?;
    let written = config::written::read(None, std::iter::empty())?;
    let mut config = config::mean(&written)?;
    let any_port = SocketAddr::from(([127, 0, 0, 1], 0));
    config.edge.listen = vec![any_port];
    config.api = any_port;
    config.node.partitions = clicks.partitions();
    Ok(NodeOptions {
        config,
        data: folder.join("data"),
        files: Files {
            keys: Some(keys),
            campaigns: Some(campaigns),
            ..Files::default()
        },
        collect: true,
        process: true,
        accept_clock: false,
        clock: Clock::system(),
        clock_speed: 1,
    })
}
