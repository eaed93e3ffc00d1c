//! What `demo`, `load` and `replay` share: watching a run of the load driver, and saying how it
//! went.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use indicatif::ProgressBar;
use serde_json::{Value, json};
use tollgate_traffic::ask::{AskError, Asker};
use tollgate_traffic::feed::Table;
use tollgate_traffic::history::{Event, Writer};
use tollgate_traffic::load::{HistoryWriter, Latency, Run, Summary};
use tollgate_traffic::target::Target;

use crate::exit::{Exit, usage};
use crate::output::{self, Global};

const DRAW_EVERY: Duration = Duration::from_millis(100);

/// Waits for the end of a run, drawing its progress on a terminal. Ctrl-C lets nothing more
/// begin, so that what was sent is still summed up.
pub(crate) fn watch(run: Run, global: &Global) -> anyhow::Result<Summary> {
    let bar = bar(run.progress().planned, global);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start an event loop")?;
    runtime.block_on(async {
        while !run.is_finished() {
            tokio::select! {
                () = tokio::time::sleep(DRAW_EVERY) => {}
                pressed = tokio::signal::ctrl_c() => {
                    pressed.context("cannot listen for Ctrl-C")?;
                    run.stop();
                }
            }
            bar.set_position(run.progress().ended);
        }
        anyhow::Ok(())
    })?;
    bar.finish_and_clear();
    Ok(run.join()?)
}

fn bar(planned: Option<u64>, global: &Global) -> ProgressBar {
    if !global.progress() {
        return ProgressBar::hidden();
    }
    let (bar, template) = match planned {
        Some(planned) => (
            ProgressBar::new(planned),
            "{bar:32.cyan/blue} {human_pos}/{human_len} clicks  {rate}  {eta} left",
        ),
        None => (
            ProgressBar::new_spinner(),
            "{spinner} {human_pos} clicks  {rate}  {elapsed}",
        ),
    };
    bar.with_style(output::bar_style(template))
}

/// Reads `--target` and refuses other machines unless told to aim at them.
pub(crate) fn target(url: &str, remote_allowed: bool) -> anyhow::Result<Target> {
    let target = Target::parse(url).map_err(|error| usage(format!("--target {url}: {error}")))?;
    if remote_allowed || target.is_loopback() {
        Ok(target)
    } else {
        Err(usage(format!(
            "--target {url} is not this machine; --allow-remote says that its owner wants this"
        )))
    }
}

/// Which API makes what a command needs.
#[derive(Debug, clap::Args)]
pub(crate) struct ApiArgs {
    /// Make advertisers, campaigns and links over this API first, such as http://127.0.0.1:8081.
    #[arg(long, value_name = "URL", requires = "api_key")]
    api: Option<String>,
    /// The API key, or @FILE that holds it.
    #[arg(long, value_name = "KEY|@FILE", requires = "api")]
    api_key: Option<String>,
}

impl ApiArgs {
    /// The API, if one was named.
    pub(crate) fn asker(&self, remote_allowed: bool) -> anyhow::Result<Option<Asker>> {
        let (Some(url), Some(key)) = (&self.api, &self.api_key) else {
            return Ok(None);
        };
        let target = Target::parse(url).map_err(|error| usage(format!("--api {url}: {error}")))?;
        if !remote_allowed && !target.is_loopback() {
            return Err(usage(format!(
                "--api {url} is not this machine; see --allow-remote"
            )));
        }
        let key = match key.strip_prefix('@') {
            Some(path) => std::fs::read_to_string(path)
                .map_err(|error| usage(format!("--api-key {key}: {error}")))?,
            None => key.clone(),
        };
        Ok(Some(Asker {
            address: target.address,
            token: Some(key.trim().to_owned()),
        }))
    }
}

/// Makes over the API what a table of recorded links holds: advertisers, campaigns and, where they
/// are to be clicked, links. What stands already in the same words stays, so it may be done again.
pub(crate) fn make_table(api: &Asker, table: &Table, with_links: bool) -> anyhow::Result<()> {
    let (mut campaigns, mut links) = (Vec::new(), Vec::new());
    for mut line in table.lines() {
        if line.get("link").is_some() {
            links.push(line);
        } else if line.get("campaign").is_some() {
            campaigns.push(line);
        } else {
            // Two hosts may read alike; numbers do not.
            let name = format!("{} ({})", text(&line, "name"), text(&line, "advertiser"));
            if let Some(fields) = line.as_object_mut() {
                fields.insert("name".to_owned(), json!(name));
            }
            make_once(api, "/v1/advertisers", &line)?;
        }
    }
    for campaigns in campaigns.chunks(BULK_ITEMS) {
        api.post("/v1/campaigns/bulk", &json!(campaigns), None)?;
    }
    if !with_links {
        return Ok(());
    }
    for link in &links {
        let ad = json!({
            "ad": link.get("ad"),
            "campaign": link.get("campaign"),
            "name": format!("link {}", text(link, "slug")),
        });
        make_once(api, "/v1/ads", &ad)?;
    }
    for links in links.chunks(BULK_ITEMS) {
        api.post("/v1/links/bulk", &json!(links), None)?;
    }
    Ok(())
}

/// What has its number already was made the last time.
fn make_once(api: &Asker, path: &str, body: &Value) -> Result<(), AskError> {
    match api.post(path, body, None) {
        Ok(_) | Err(AskError::Refused { status: 409, .. }) => Ok(()),
        Err(error) => Err(error),
    }
}

/// Things of one bulk request.
const BULK_ITEMS: usize = 10_000;

fn text(line: &Value, field: &str) -> String {
    match line.get(field) {
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
        None => String::new(),
    }
}

/// Creates the history file and writes its first line.
pub(crate) fn history(
    path: &Path,
    target: &Target,
    seed: Option<u64>,
) -> anyhow::Result<Arc<HistoryWriter>> {
    let file = File::create(path).with_context(|| format!("cannot create {}", path.display()))?;
    let out: Box<dyn io::Write + Send> = Box::new(file);
    let history = Writer::new(out);
    let run = Event::Run {
        started_at_ms: tollgate_traffic::fresh::now().0,
        target: format!("http://{}", target.host),
        seed,
    };
    history
        .write(&run)
        .with_context(|| format!("cannot write {}", path.display()))?;
    Ok(Arc::new(history))
}

/// How a run ends that asks for receipts only: lost and odd answers and what was not sent are
/// problems, and a target that was never reached is one of the environment.
pub(crate) fn exit_of(summary: &Summary) -> Exit {
    let unsettled = summary.not_sent + summary.indeterminate_count() + summary.odd_count();
    if summary.planned > 0 && summary.sent == 0 {
        Exit::Environment
    } else if unsettled > 0 || summary.receipts == 0 {
        Exit::Problems
    } else {
        Exit::Fine
    }
}

/// The summary as JSON.
pub(crate) fn to_json(summary: &Summary) -> Value {
    json!({
        "planned": summary.planned,
        "sent": summary.sent,
        "not_sent": summary.not_sent,
        "receipts": summary.receipts,
        "refused": summary.refused,
        "indeterminate": summary.indeterminate,
        "odd": summary.odd,
        "seconds": seconds(summary.took_us),
        "answers_per_s": summary.answers_per_s(),
        "latency_us": summary.latency,
        "service_us": summary.service,
        "late": summary.late,
        "driver_busy_percent": summary.driver_busy_percent,
        "driver_cpu_us_per_request": micros(summary.driver_cpu_ns_per_request),
        "driver_kept_up": summary.driver_kept_up(),
    })
}

/// The summary as text.
pub(crate) fn to_text(summary: &Summary) -> String {
    let mut lines = vec![
        row("planned", summary.planned),
        row("sent", summary.sent),
        row("receipts", summary.receipts),
    ];
    for (status, count) in &summary.refused {
        lines.push(row(&format!("refused {status}"), *count));
    }
    for (error, count) in &summary.indeterminate {
        lines.push(row(&format!("answer lost ({error})"), *count));
    }
    for (status, count) in &summary.odd {
        lines.push(row(&format!("impossible answer {status}"), *count));
    }
    lines.push(row("not sent", summary.not_sent));
    lines.push(format!(
        "took {} s, {} answers/s",
        seconds(summary.took_us),
        summary.answers_per_s()
    ));
    if !summary.driver_kept_up() {
        lines.push(format!(
            "the driver did not keep up ({} late, {}% busy): its latencies are its own",
            summary.late, summary.driver_busy_percent
        ));
    }
    lines.push(latency("latency", &summary.service));
    if summary.latency != summary.service {
        lines.push(latency("latency from the intended time", &summary.latency));
    }
    lines.join("\n") + "\n"
}

fn row(name: &str, count: u64) -> String {
    format!("{name:<24}{count:>12}")
}

fn latency(name: &str, latency: &Latency) -> String {
    let Latency {
        p50_us,
        p99_us,
        p999_us,
        max_us,
    } = latency;
    format!("{name}: p50 {p50_us} us, p99 {p99_us} us, p99.9 {p999_us} us, max {max_us} us")
}

/// Microseconds with three decimals.
fn micros(nanos: u64) -> f64 {
    f64::from(u32::try_from(nanos).unwrap_or(u32::MAX)) / 1000.0
}

/// Seconds with three decimals.
pub(crate) fn seconds(micros: u64) -> f64 {
    let millis = u32::try_from(micros / 1000).unwrap_or(u32::MAX);
    f64::from(millis) / 1000.0
}

/// Writes `text` under `path` so that no reader ever sees half of it.
pub(crate) fn write_whole(path: &Path, text: &str) -> anyhow::Result<()> {
    let cannot = || format!("cannot write {}", path.display());
    let mut name = path.as_os_str().to_owned();
    name.push(".part");
    let part = Path::new(&name);
    let mut file = File::create(part).with_context(cannot)?;
    file.write_all(text.as_bytes())
        .and_then(|()| file.sync_all())
        .and_then(|()| std::fs::rename(part, path))
        .with_context(cannot)
}
