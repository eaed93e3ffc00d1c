//! `cargo xtask bench restart`: how soon after `kill -9` the edge gives a receipt again, with a
//! log of many segments behind it.
//!
//! The log is filled without the edge and without a sync, and is not sealed: that is the most that
//! a start can find. Each kill comes under load, so that there are a torn end and seconds of clicks
//! since the last snapshot.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Result, ensure};
use clap::Args;
use serde_json::{Value, json};

use super::server::Server;
use super::{Bar, judge, keep, links, machine, median, server, wrk};

const SERVER_CORE: usize = 0;
const CLIENT_CORE: usize = 1;

/// Arguments of `cargo xtask bench restart`.
#[derive(Debug, Args)]
pub(crate) struct Restart {
    /// The length of the log before the kills.
    #[arg(long, default_value_t = 10)]
    gigabytes: u64,
    /// Kills and restarts.
    #[arg(long, default_value_t = 5)]
    restarts: u32,
    /// Seconds of load before each kill.
    #[arg(long, default_value_t = 4)]
    seconds: u32,
    /// Measure these binaries (tollgate, tollgate-torture) instead of building them.
    #[arg(long, value_name = "FOLDER")]
    built: Option<PathBuf>,
    /// The build profile of the edge.
    #[arg(long, default_value = "dist")]
    profile: String,
    /// Close with one object on standard output.
    #[arg(long)]
    json: bool,
}

impl Restart {
    pub(super) fn run(&self, root: &Path) -> Result<bool> {
        let built = match &self.built {
            Some(folder) => folder.canonicalize()?,
            None => self.build(root)?,
        };
        let folder = crate::target(root).join("bench-restart");
        if folder.exists() {
            fs::remove_dir_all(&folder)?;
        }
        fs::create_dir_all(&folder)?;
        let torture = built.join("tollgate-torture");
        let links = links::make(root, &folder, &torture)?;
        let start = || {
            server::tollgate(
                &built.join("tollgate"),
                &folder,
                &links,
                "sync",
                SERVER_CORE,
            )
        };
        // The first start makes the log; it is then filled without the HTTP path.
        let mut edge = start()?;
        edge.kill()?;
        self.fill(&torture, &edge.writes.join("log"))?;
        let requests = fs::read_to_string(&links.requests)?;
        let paths: Vec<&str> = requests
            .lines()
            .filter_map(|line| line.split('\t').next())
            .collect();
        let (times, forms) =
            self.kill_and_start(&folder, (links.requests.as_path(), paths.as_slice()), start)?;
        let seconds = median(times.clone());
        let result = json!({
            "machine": machine::describe(),
            "gigabytes": self.gigabytes,
            "segments": forms,
            "load_before_kill_s": self.seconds,
            "receipt_after_kill_s": times,
        });
        keep(root, "restart", &result)?;
        fs::remove_dir_all(&folder)?;
        if self.json {
            println!("{result}");
        }
        let what = "seconds from kill -9 to the next receipt".to_owned();
        Ok(judge(&[Bar {
            what,
            figure: seconds,
            at_most: true,
            limit: 1.0,
        }]))
    }

    /// Kills under load and starts again, so many times: the seconds to the next receipt, and what
    /// the log was each time.
    fn kill_and_start(
        &self,
        folder: &Path,
        (requests, paths): (&Path, &[&str]),
        start: impl Fn() -> Result<Server>,
    ) -> Result<(Vec<f64>, Vec<Value>)> {
        let mut edge = start()?;
        let log = edge.writes.join("log");
        let (mut times, mut forms) = (Vec::new(), Vec::new());
        for path in paths.iter().take(self.restarts as usize) {
            let how = (256, self.seconds, CLIENT_CORE);
            wrk::run(folder, requests, edge.address, how)?;
            edge.kill()?;
            forms.push(segments(&log)?);
            let began = Instant::now();
            edge = start()?;
            let answer = edge.answer(path)?;
            times.push(began.elapsed().as_secs_f64());
            ensure!(
                answer.starts_with("HTTP/1.1 302"),
                "after the restart: {answer}"
            );
            eprintln!(
                "a receipt {:.3} s after the kill",
                times.last().unwrap_or(&0.0)
            );
        }
        edge.kill()?;
        Ok((times, forms))
    }

    fn build(&self, root: &Path) -> Result<PathBuf> {
        let mut build = Command::new("cargo");
        build.args(["build", "--profile", &self.profile]);
        build.args(["-p", "tollgate", "-p", "tollgate-sim", "--bins"]);
        let built = build.current_dir(root).status()?;
        ensure!(built.success(), "the build failed");
        Ok(crate::built(root, &self.profile))
    }

    fn fill(&self, torture: &Path, log: &Path) -> Result<()> {
        let bytes = self.gigabytes * 1_000_000_000;
        let began = Instant::now();
        let mut fill = Command::new(torture);
        fill.args(["fill", "--bytes", &bytes.to_string()]).arg(log);
        ensure!(
            fill.stdin(Stdio::null()).status()?.success(),
            "filling failed"
        );
        let seconds = began.elapsed().as_secs_f64();
        eprintln!(
            "filled the log with {} GB in {seconds:.0} s",
            self.gigabytes
        );
        Ok(())
    }
}

/// How many segments lie there, live and sealed.
fn segments(log: &Path) -> Result<Value> {
    let (mut live, mut sealed) = (0, 0);
    for entry in fs::read_dir(log)? {
        match entry?.path().extension().and_then(|form| form.to_str()) {
            Some("live") => live += 1,
            Some("facts") => sealed += 1,
            _ => {}
        }
    }
    Ok(json!({ "live": live, "sealed": sealed }))
}
