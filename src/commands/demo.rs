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
use tollgate_click::{Millis, Refusal};
use tollgate_collect::Clock;
use tollgate_traffic::ask::Asker;
use tollgate_traffic::books::Told;
use tollgate_traffic::client::Patience;
use tollgate_traffic::ending::Ending;
use tollgate_traffic::fresh;
use tollgate_traffic::generate::Plan;
use tollgate_traffic::history::Fate;
use tollgate_traffic::load::{self, Options, Pace, RenderError, Summary, Work};
use tollgate_traffic::world::{Request, World};

use super::driver;
use crate::config;
use crate::control::files::Files;
use crate::exit::Exit;
use crate::node::{Node, NodeOptions};
use crate::output::{self, Global};

mod recount;
mod sides;
mod verdict;

use verdict::{Counted, Verdict};

/// Connections of the generated visitors.
const CONNECTIONS: usize = 64;

/// How long a busy machine may be late with the last clicks.
const GIVE_UP: Duration = Duration::from_secs(60);

/// Arguments of `tollgate demo`.
///
/// Starts the whole system on a temporary folder, makes advertisers, publishers and campaigns over
/// its API, sends a day of generated clicks in about a minute over real sockets, and compares what
/// was sent with what reports, ledger and recount say, to the micro-unit.
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
    let day = Day::of(args.clicks);
    let started = fresh::now();
    let seed = args.seed.unwrap_or(started.0);
    let world = World::new(seed, started).with_limits_for(args.clicks);
    let options = prepare(folder.path(), &world, day.clock(started), day.speed)?;
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
    let api = Asker {
        address: node.api_address(),
        token: node.first_key().map(str::to_owned),
    };
    make_market(&api, &world)?;
    output::note(format_args!(
        "a day of traffic in {} s: the clock of this demo runs {} times as fast as yours",
        day.seconds, day.speed
    ));
    output::note(format_args!(
        "sending {} clicks of seed {seed} to http://{address}, data in {}",
        args.clicks,
        folder.path().display()
    ));
    let first = options.clock.now();
    let plan = Plan::new(world, address.to_string()).over_a_day(first, args.clicks);
    let (summary, endings) = send(&plan, address, day, global)?;
    let told: Vec<Told> = endings
        .iter()
        .map(|(op, ending)| (*op, plan.truth(*op), Fate::from(*ending)))
        .collect();
    let counted = count(&options, &node, &api, started)?;
    let verdict = Verdict::new(&world.changes(), &told, summary, counted);
    if global.json {
        output::print_json(&verdict.to_json(seed))?;
    } else {
        output::print(&verdict.to_text(global.color_stdout()))?;
    }
    if !args.exit {
        runtime.block_on(stay(address, &api, &options, &plan))?;
    }
    runtime.block_on(node.stop())?;
    Ok(verdict.exit())
}

/// How a day is hurried.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Day {
    clicks: u64,
    /// How long it takes.
    seconds: u64,
    /// How many times as fast as time its clock runs.
    speed: u32,
}

impl Day {
    /// A minute for the usual number of clicks, less for few, and more for so many that a small
    /// machine could not take them in a minute.
    fn of(clicks: u64) -> Day {
        let seconds = (clicks / 300).clamp(10, 60).max(clicks / 2_500);
        let speed = u32::try_from(86_400 / seconds).unwrap_or(1);
        Day {
            clicks,
            seconds,
            speed,
        }
    }

    /// The clock of everything in the node.
    fn clock(self, start: Millis) -> Clock {
        Clock::scaled(start, self.speed)
    }
}

/// Makes publishers, advertisers, campaigns, links and balances over the API, as anyone would.
fn make_market(api: &Asker, world: &World) -> anyhow::Result<()> {
    for Request { path, body, key } in world.requests() {
        api.post(path, &body, key.as_deref())
            .context("the market cannot be made")?;
    }
    Ok(())
}

/// What each side of the system says, once all is posted.
fn count(
    options: &NodeOptions,
    node: &Node,
    api: &Asker,
    started: Millis,
) -> anyhow::Result<Counted> {
    let until = options.clock.now();
    sides::wait_until_posted(api, until)?;
    let report = sides::report(api, started, until.plus_ms(60_000))?;
    let ledger = sides::ledger(&options.data)?;
    let (recount, kept) = recount::read(&options.data, node.durable())?;
    let counters = node.counters().context("the edge has no counters")?;
    let reasons = Refusal::ALL.into_iter();
    let refused = reasons.map(|reason| (reason.name().to_owned(), counters.refused_for(reason)));
    Ok(Counted {
        sides: vec![report, ledger, recount],
        refused: refused.filter(|(_, count)| *count > 0).collect(),
        kept,
    })
}

/// Writes the keys file and says how the node is started on it. Settings are the defaults on free
/// ports of this machine; the environment changes nothing, so that a demo is a demo.
fn prepare(
    folder: &Path,
    world: &World,
    clock: Clock,
    clock_speed: u32,
) -> anyhow::Result<NodeOptions> {
    let keys = folder.join("keys.ndjson");
    write_private(&keys, &world.key_lines())
        .with_context(|| format!("cannot write {}", keys.display()))?;
    let written = config::written::read(None, std::iter::empty())?;
    let mut config = config::mean(&written)?;
    let any_port = SocketAddr::from(([127, 0, 0, 1], 0));
    config.edge.listen = vec![any_port];
    config.api = any_port;
    Ok(NodeOptions {
        config,
        data: folder.join("data"),
        files: Files {
            keys: Some(keys),
            ..Files::default()
        },
        collect: true,
        process: true,
        accept_clock: false,
        clock,
        clock_speed,
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
    day: Day,
    global: &Global,
) -> anyhow::Result<(Summary, Vec<(u64, Ending)>)> {
    let work = Arc::new(Recorder {
        plan: plan.clone(),
        endings: Mutex::new(Vec::new()),
    });
    let start = plan.at(0);
    let due = |op| Duration::from_millis(plan.at(op).since(start)) / day.speed;
    let options = Options {
        address,
        connections: CONNECTIONS,
        threads: 1,
        pace: Pace::Timed((0..day.clicks).map(due).collect()),
        patience: Patience::default(),
        give_up: GIVE_UP,
    };
    let run = load::start(options, Arc::clone(&work) as Arc<dyn Work>, None)?;
    let summary = driver::watch(run, global)?;
    let endings = std::mem::take(&mut *work.endings());
    Ok((summary, endings))
}

/// Leaves the system up until Ctrl-C or a termination signal, with a link to click.
async fn stay(
    address: SocketAddr,
    api: &Asker,
    options: &NodeOptions,
    plan: &Plan,
) -> anyhow::Result<()> {
    let token = plan.fresh_link(options.clock.now());
    let url = format!(
        "http://{address}/c/{}",
        token.context("no link can be signed")?
    );
    let data = options.data.display();
    let Asker { address, token } = api;
    let key = token.as_deref().unwrap_or_default();
    let lines = [
        "\nThe system stays up, its clock as fast; Ctrl-C ends it and removes the folder."
            .to_owned(),
        format!("  click    {url}"),
        format!("  curl     curl -si -A 'Mozilla/5.0 (X11; Linux x86_64)' '{url}'"),
        format!("  story    tollgate click CLICK-ID --data {data}"),
        format!("  report   tollgate report --data {data} --by campaign"),
        format!("  ledger   tollgate ledger verify --data {data}"),
        format!("  API      curl -s -H 'Authorization: Bearer {key}' \\"),
        format!(
            "             'http://{address}/v1/reports?metrics=gross,billed,spend&dimensions=hour'"
        ),
    ];
    lines.iter().for_each(output::note);
    let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())
        .context("cannot take signals")?;
    tokio::select! {
        pressed = tokio::signal::ctrl_c() => pressed.context("cannot listen for Ctrl-C")?,
        _ = terminate.recv() => {}
    }
    Ok(())
}
