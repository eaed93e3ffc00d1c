//! `cargo xtask bench restart`: how soon after `kill -9` the edge gives a receipt again, with a
//! log of many segments behind it.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use clap::Args;
use serde_json::json;

use super::{Bar, judge, keep, links, machine, median, server};

/// Arguments of `cargo xtask bench restart`.
#[derive(Debug, Args)]
pub(crate) struct Restart {
    /// The length of the log before the kills.
    #[arg(long, default_value_t = 10)]
    gigabytes: u64,
    /// Kills and restarts.
    #[arg(long, default_value_t = 5)]
    restarts: u32,
    /// Take the binaries that were built before.
    #[arg(long)]
    built: bool,
    /// The build profile of the edge.
    #[arg(long, default_value = "dist")]
    profile: String,
    /// Close with one object on standard output.
    #[arg(long)]
    json: bool,
}

impl Restart {
    pub(super) fn run(&self, root: &Path) -> Result<bool> {
        let built = crate::built(root, &self.profile);
        if !self.built {
            self.build(root)?;
        }
        let folder = crate::target(root).join("bench-restart");
        if folder.exists() {
            fs::remove_dir_all(&folder)?;
        }
        fs::create_dir_all(&folder)?;
        let torture = built.join("tollgate-torture");
        let links = links::make(root, &folder, &torture)?;
        let start = || server::tollgate(&built.join("tollgate"), &folder, &links, "sync", 0);
        // The first start makes the log; it is then filled without the HTTP path.
        let mut edge = start()?;
        edge.kill()?;
        self.fill(&torture, &edge.writes.join("log"))?;
        let requests = fs::read_to_string(&links.requests)?;
        let paths: Vec<&str> = requests
            .lines()
            .filter_map(|line| line.split('\t').next())
            .collect();
        let mut times = Vec::new();
        for path in paths.into_iter().take(self.restarts as usize) {
            let mut edge = start()?;
            edge.kill()?;
            let began = Instant::now();
            let edge = start()?;
            let answer = edge.answer(path)?;
            times.push(began.elapsed().as_secs_f64());
            ensure!(
                answer.starts_with("HTTP/1.1 302"),
                "after the restart: {answer}"
            );
            std::thread::sleep(Duration::from_millis(200));
        }
        let seconds = median(times.clone());
        let result = json!({
            "machine": machine::describe(),
            "gigabytes": self.gigabytes,
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

    fn build(&self, root: &Path) -> Result<()> {
        let mut build = Command::new("cargo");
        build.args(["build", "--profile", &self.profile]);
        build.args(["-p", "tollgate", "-p", "tollgate-sim", "--bins"]);
        let built = build.current_dir(root).status()?;
        ensure!(built.success(), "the build failed");
        Ok(())
    }

    fn fill(&self, torture: &Path, log: &Path) -> Result<()> {
        let bytes = self.gigabytes * 1_000_000_000;
        eprintln!("filling the log to {} GB", self.gigabytes);
        let mut fill = Command::new(torture);
        fill.args(["fill", "--bytes", &bytes.to_string()]).arg(log);
        ensure!(
            fill.stdin(Stdio::null()).status()?.success(),
            "filling failed"
        );
        Ok(())
    }
}
