//! `tollgate serve`: runs this machine's part until it is told to stop.

use std::path::PathBuf;

use anyhow::Context;
use clap::ValueEnum;
use serde_json::json;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tollgate_collect::Clock;

use crate::config;
use crate::control::files::Files;
use crate::exit::{Exit, usage};
use crate::node::reading::ReadingNode;
use crate::node::{Node, NodeOptions};
use crate::output::{self, ClosedOutput, Global};

/// Arguments of `tollgate serve`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "SIGTERM and SIGINT stop in order: not ready, no new connections, open \
                        requests to their end, log closed. SIGHUP reads files and certificates \
                        again. Exit codes: 0 stopped in order, 2 configuration or input file, 3 \
                        data directory, port or clock."
)]
pub(crate) struct Args {
    /// The data directory; made when it is absent.
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    /// The configuration file; see `tollgate config show`.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(flatten)]
    files: Files,
    /// What this process does; all of it when nothing is said. `query` alone answers questions
    /// from the directory of another process, and changes nothing in it.
    #[arg(long, value_enum, value_delimiter = ',')]
    role: Vec<Role>,
    /// Believe the clock although it is far from the log's last tick.
    #[arg(long)]
    accept_clock: bool,
}

/// A part of the work.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
enum Role {
    /// Take clicks.
    Collect,
    /// Judge and bill them, and keep time.
    Process,
    /// Answer questions over the API, which every process with another role does too.
    Query,
}

/// Runs a node until a signal comes.
pub(crate) fn run(args: Args, global: &Global) -> anyhow::Result<Exit> {
    let config = config::load(args.config.as_deref())?;
    start_messages(&config.messages, global);
    let has = |role| args.role.is_empty() || args.role.contains(&role);
    if !has(Role::Collect) && !has(Role::Process) {
        return read_only(args, config, global);
    }
    let options = NodeOptions {
        collect: has(Role::Collect),
        process: has(Role::Process),
        accept_clock: args.accept_clock,
        clock: Clock::system(),
        clock_speed: 1,
        config,
        data: args.data,
        files: args.files,
    };
    runtime()?.block_on(serve(options, args.config, global))
}

fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    let runtime = runtime.worker_threads(2).enable_all().build();
    runtime.context("no runtime")
}

/// Answers questions from the directory of another process.
fn read_only(args: Args, config: config::Config, global: &Global) -> anyhow::Result<Exit> {
    if !args.files.is_empty() {
        let what = "--role query changes nothing: give --links, --keys and --campaigns to the \
                    process that takes clicks";
        return Err(usage(what));
    }
    runtime()?.block_on(async {
        let mut signals = Signals::new().context("cannot take signals")?;
        let node = ReadingNode::start(&config, &args.data).await?;
        match announce_reading(&node, &args.data, global) {
            Err(error) if !error.is::<ClosedOutput>() => return Err(error),
            _ => {}
        }
        while signals.next().await == Told::Reload {}
        node.stop().await?;
        Ok(Exit::Fine)
    })
}

fn announce_reading(
    node: &ReadingNode,
    data: &std::path::Path,
    global: &Global,
) -> anyhow::Result<()> {
    let api = node.api_address();
    if global.json {
        return output::print_json(&json!({
            "edge": [],
            "api": api.to_string(),
            "data": data,
            "pid": std::process::id(),
        }));
    }
    let (version, data) = (env!("CARGO_PKG_VERSION"), data.display());
    output::print(&format!(
        "tollgate {version} answers questions\n  api      http://{api}/v1/reports, /readyz\n  \
         data     {data} (read only, as far as its files go)\n"
    ))
}

async fn serve(
    options: NodeOptions,
    config: Option<PathBuf>,
    global: &Global,
) -> anyhow::Result<Exit> {
    let mut signals = Signals::new().context("cannot take signals")?;
    let node = Node::start(options.clone()).await?;
    match announce(&node, &options, global) {
        // Whoever started it need not listen.
        Err(error) if !error.is::<ClosedOutput>() => return Err(error),
        _ => {}
    }
    tell_first_key(&node);
    while signals.next().await == Told::Reload {
        node.reload();
        tell_config(config.as_ref());
    }
    tracing::info!("stopping");
    tokio::select! {
        stopped = node.stop() => stopped?,
        () = signals.stop() => anyhow::bail!("told to stop twice: cut short, the log recovers"),
    }
    tracing::info!("stopped");
    Ok(Exit::Fine)
}

/// Told once, to people and not to standard output, which may go into a file.
fn tell_first_key(node: &Node) {
    if let Some(key) = node.first_key() {
        let api = node.api_address();
        eprintln!("the first API key (admin), shown this once: {key}");
        eprintln!("  curl -H \"Authorization: Bearer {key}\" http://{api}/v1/reports");
    }
}

/// Settings are read at start only; at SIGHUP a bad file is told while there is time to mend it.
fn tell_config(config: Option<&PathBuf>) {
    match config.map(|path| config::load(Some(path))) {
        Some(Err(error)) => {
            tracing::error!(
                error = format!("{error:#}"),
                "the configuration is not good"
            );
        }
        Some(Ok(_)) => tracing::info!("the configuration is good; settings change at a restart"),
        None => {}
    }
}

/// The first lines: where it listens, where data lie, how to make a link.
fn announce(node: &Node, options: &NodeOptions, global: &Global) -> anyhow::Result<()> {
    let (edge, api) = (node.edge_addresses(), node.api_address());
    if global.json {
        let edge: Vec<String> = edge.iter().map(ToString::to_string).collect();
        return output::print_json(&json!({
            "edge": edge,
            "api": api.to_string(),
            "data": options.data,
            "pid": std::process::id(),
        }));
    }
    let clicks: Vec<String> = edge
        .iter()
        .map(|address| format!("http://{address}"))
        .collect();
    let partitions = options.config.node.partitions;
    let durability = if options.config.log.sync {
        "sync"
    } else {
        "os"
    };
    let mut text = format!("tollgate {} serves\n", env!("CARGO_PKG_VERSION"));
    if !clicks.is_empty() {
        text.push_str(&format!("  clicks   {}\n", clicks.join(" ")));
    }
    text.push_str(&format!("  health   http://{api}/readyz and /metrics\n"));
    let data = options.data.display();
    text.push_str(&format!(
        "  data     {data} ({partitions} partitions, durability {durability})\n"
    ));
    text.push_str(&format!("  links    {}\n", how_to_link(options)));
    text.push_str(&format!(
        "  report   tollgate report --data {data} --by campaign\n"
    ));
    output::print(&text)
}

fn how_to_link(options: &NodeOptions) -> String {
    match (&options.files.keys, &options.files.links) {
        (Some(keys), _) => format!("tollgate link sign --keys {} --help", keys.display()),
        (None, Some(links)) => format!("the slugs of {} at /l/<slug>", links.display()),
        (None, None) => {
            "none yet: `tollgate keys generate keys.ndjson`, then start with --keys".to_owned()
        }
    }
}

/// Messages go to standard error, as the configuration says.
fn start_messages(messages: &config::Messages, global: &Global) {
    let level = tracing_subscriber::filter::LevelFilter::from_level(messages.level);
    let builder = tracing_subscriber::fmt()
        .with_max_level(level)
        .with_writer(std::io::stderr);
    let started = match messages.json {
        true => builder.json().try_init(),
        false => builder
            .with_ansi(global.color_stderr())
            .with_target(false)
            .try_init(),
    };
    // Another subscriber may be there already (a test's); its messages are as good.
    drop(started);
}

/// What a signal says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Told {
    Stop,
    Reload,
}

struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

impl Signals {
    fn new() -> std::io::Result<Signals> {
        Ok(Signals {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }

    async fn next(&mut self) -> Told {
        tokio::select! {
            _ = self.terminate.recv() => Told::Stop,
            _ = self.interrupt.recv() => Told::Stop,
            _ = self.hangup.recv() => Told::Reload,
        }
    }

    async fn stop(&mut self) {
        while self.next().await != Told::Stop {}
    }
}
