//! `tollgate demo`: the whole system on a temporary folder, with traffic whose truth is known.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::net::SocketAddr;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context as _;
use serde_json::Value;
use tollgate_click::Refusal;
use tollgate_collect::Clock;
use tollgate_traffic::books::Told;
use tollgate_traffic::client::Patience;
use tollgate_traffic::ending::Ending;
use tollgate_traffic::fresh;
use tollgate_traffic::generate::Plan;
use tollgate_traffic::history::Fate;
use tollgate_traffic::load::{self, Options, Pace, RenderError, Summary, Work};
use tollgate_traffic::world::World;

use super::driver;
use crate::config;
use crate::control::files::Files;
use crate::exit::Exit;
use crate::node::{Node, NodeOptions};
use crate::output::{self, Global};

mod recount;
mod verdict;

use verdict::{Counted, Verdict};

/// Connections of the generated visitors.
const CONNECTIONS: usize = 64;

/// Arguments of `tollgate demo`.
///
/// Starts the system on a temporary folder, sends generated clicks over real sockets, recounts
/// the log and compares sent with counted, to the micro-unit.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Exit codes: 0 sent and counted are equal, 1 they differ, 3 the folder or \
                        a port cannot be had."
)]
pub(crate) struct Args {
    /// Clicks to send.
    #[arg(long, value_name = "N", default_value_t = 20_000)]
    #[arg(value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    clicks: u64,
    /// The seed of the traffic; without it, the time.
    #[arg(long, value_name = "S")]
    seed: Option<u64>,
    /// Stop when the comparison is done instead of leaving the edge up.
    #[arg(long)]
    exit: bool,
}

/// Runs the demo.
pub(crate) fn run(args: Args, global: &Global) -> anyhow::Result<Exit> {
    let folder = tempfile::Builder::new().prefix("tollgate-demo-").tempdir();
    let folder = folder.context("cannot make a temporary folder")?;
    let now = fresh::now();
    let seed = args.seed.unwrap_or(now.0);
    let world = World::new(seed, now);
    let options = prepare(folder.path(), &world)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .context("cannot start an event loop")?;
    let node = runtime.block_on(Node::start(options.clone()))?;
    let address = *node
        .edge_addresses()
        .first()
        .context("the edge has no address")?;
    output::note(format_args!(
        "sending {} clicks of seed {seed} to http://{address}, data in {}",
        args.clicks,
        folder.path().display()
    ));
    let plan = Plan::new(world, address.to_string());
    let (summary, endings) = send(&plan, address, args.clicks, global)?;
    let told: Vec<Told> = endings
        .iter()
        .map(|(op, ending)| (*op, plan.truth(*op), Fate::from(*ending)))
        .collect();
    let verdict = Verdict::new(&world.changes(), &told, summary, count(&options, &node)?);
    if global.json {
        output::print_json(&verdict.to_json(seed))?;
    } else {
        output::print(&verdict.to_text(global.color_stdout()))?;
    }
    if !args.exit {
        runtime.block_on(stay(address, &options, &plan, args.clicks))?;
    }
    runtime.block_on(node.stop())?;
    Ok(verdict.exit())
}

/// What each side of the system says.
fn count(options: &NodeOptions, node: &Node) -> anyhow::Result<Counted> {
    let (recount, kept) = recount::read(&options.data, node.durable())?;
    let counters = node.counters().context("the edge has no counters")?;
    let reasons = Refusal::ALL.into_iter();
    let refused = reasons.map(|reason| (reason.name().to_owned(), counters.refused_for(reason)));
    Ok(Counted {
        sides: vec![recount],
        refused: refused.filter(|(_, count)| *count > 0).collect(),
        kept,
    })
}

/// Writes the market's files and says how the node is started on them. Settings are the defaults
/// on free ports of this machine; the environment changes nothing, so that a demo is a demo.
fn prepare(folder: &Path, world: &World) -> anyhow::Result<NodeOptions> {
    let files = Files {
        campaigns: Some(folder.join("campaigns.ndjson")),
        links: Some(folder.join("links.ndjson")),
        keys: Some(folder.join("keys.ndjson")),
    };
    let contents = [
        world.campaign_lines(),
        world.link_lines(),
        world.key_lines(),
    ];
    for (path, lines) in files.paths().zip(contents) {
        write_private(path, &lines).with_context(|| format!("cannot write {}", path.display()))?;
    }
    let written = config::written::read(None, std::iter::empty())?;
    let mut config = config::mean(&written)?;
    let any_port = SocketAddr::from(([127, 0, 0, 1], 0));
    config.edge.listen = vec![any_port];
    config.api = any_port;
    Ok(NodeOptions {
        config,
        data: folder.join("data"),
        files,
        collect: true,
        process: true,
        accept_clock: false,
        clock: Clock::system(),
        clock_speed: 1,
    })
}

/// Writes lines that only this user may read: secrets are among them.
fn write_private(path: &Path, lines: &[Value]) -> std::io::Result<()> {
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)?;
    let lines: Vec<String> = lines.iter().map(Value::to_string).collect();
    file.write_all((lines.join("\n") + "\n").as_bytes())
}

/// The plan's clicks, with how each ended.
struct Recorder {
    plan: Plan,
    endings: Mutex<Vec<(u64, Ending)>>,
}

impl Work for Recorder {
    fn render(&self, op: u64, out: &mut Vec<u8>) -> Result<bool, RenderError> {
        self.plan.render(op, out)
    }

    fn ended(&self, op: u64, ending: Ending) {
        self.endings().push((op, ending));
    }
}

impl Recorder {
    fn endings(&self) -> std::sync::MutexGuard<'_, Vec<(u64, Ending)>> {
        self.endings.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn send(
    plan: &Plan,
    address: SocketAddr,
    clicks: u64,
    global: &Global,
) -> anyhow::Result<(Summary, Vec<(u64, Ending)>)> {
    let work = Arc::new(Recorder {
        plan: plan.clone(),
        endings: Mutex::new(Vec::new()),
    });
    let options = Options {
        address,
        connections: CONNECTIONS,
        threads: 1,
        pace: Pace::Closed {
            total: Some(clicks),
            duration: None,
        },
        patience: Patience::default(),
        give_up: Duration::from_secs(5),
    };
    let run = load::start(options, Arc::clone(&work) as Arc<dyn Work>, None)?;
    let summary = driver::watch(run, global)?;
    let endings = std::mem::take(&mut *work.endings());
    Ok((summary, endings))
}

/// Leaves the edge up until Ctrl-C or a termination signal, with a link to click.
async fn stay(
    address: SocketAddr,
    options: &NodeOptions,
    plan: &Plan,
    clicks: u64,
) -> anyhow::Result<()> {
    let mut request = Vec::new();
    // The first valid click after those that were sent: nobody has used its nonce.
    let fresh = (clicks..).find(|op| plan.click(*op).is_plain());
    plan.render(fresh.unwrap_or(clicks), &mut request)?;
    let request = String::from_utf8_lossy(&request).into_owned();
    let path = request.split(' ').nth(1).unwrap_or("/");
    let url = format!("http://{address}{path}");
    let data = options.data.display();
    output::note("\nThe edge stays up; Ctrl-C ends it and removes the folder.");
    output::note(format_args!("  click   {url}"));
    output::note(format_args!(
        "  curl    curl -si -A 'Mozilla/5.0 (X11; Linux x86_64)' '{url}'"
    ));
    output::note(format_args!(
        "  report  tollgate report --data {data} --by campaign"
    ));
    let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())
        .context("cannot take signals")?;
    tokio::select! {
        pressed = tokio::signal::ctrl_c() => pressed.context("cannot listen for Ctrl-C")?,
        _ = terminate.recv() => {}
    }
    Ok(())
}
