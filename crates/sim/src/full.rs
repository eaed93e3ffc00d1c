//! A disk that is full and then is not: refusals meanwhile, receipts again without a restart.
#![expect(
    clippy::disallowed_methods,
    reason = "trials on the real machine take real time"
)]

use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use rand::Rng;
use rand::rngs::StdRng;
use tempfile::TempDir;

use crate::edge::{Binary, Clients, Edge};
use crate::kill::check;
use crate::totals::Totals;

const CLIENTS: u64 = 8;
const PATIENCE: Duration = Duration::from_secs(60);
/// The log's first segment fits, its second does not.
const SMALL_BYTES: u64 = 11 << 20;
const LARGE_BYTES: u64 = 256 << 20;

/// Trials for as long as `go_on` says so; it is handed their number.
pub fn run(
    totals: &mut Totals,
    dice: &mut StdRng,
    binary: &Binary,
    mut go_on: impl FnMut(u64) -> bool,
) -> Result<()> {
    if let Some(why) = SmallDisk::missing() {
        totals.not_run.push(format!("full disks: {why}"));
        return Ok(());
    }
    let mut trials = 0;
    while go_on(trials) && totals.problems.is_empty() {
        trials += 1;
        fill_and_free(totals, dice, binary)?;
    }
    Ok(())
}

fn fill_and_free(totals: &mut Totals, dice: &mut StdRng, binary: &Binary) -> Result<()> {
    let disk = SmallDisk::make(SMALL_BYTES)?;
    let mut edge = binary.start(disk.path())?;
    let text = "x".repeat(1500);
    let clients = Clients::start(edge.address(), CLIENTS, dice.random(), &text);
    let became_full = wait_for(|| status(&edge) == Some(503));
    let mut history = clients.stop()?;
    if !became_full {
        totals
            .problems
            .push("full disk: it never said that it is not ready".to_owned());
        return Ok(());
    }
    // While the disk is full there are refusals and no receipts.
    let clients = Clients::start(edge.address(), CLIENTS, dice.random(), "");
    thread::sleep(Duration::from_millis(200));
    let meanwhile = clients.stop()?;
    if meanwhile.refused == 0 || !meanwhile.receipts.is_empty() {
        let (receipts, refused) = (meanwhile.receipts.len(), meanwhile.refused);
        totals.problems.push(format!(
            "full disk: {receipts} receipts and {refused} refusals"
        ));
    }
    history.extend(meanwhile);
    disk.resize(LARGE_BYTES)?;
    if !wait_for(|| status(&edge) == Some(200)) {
        let messages = edge.messages();
        totals.problems.push(format!(
            "full disk: not ready after space came back: {messages}"
        ));
    }
    let clients = Clients::start(edge.address(), CLIENTS, dice.random(), "");
    thread::sleep(Duration::from_millis(200));
    let after = clients.stop()?;
    if after.receipts.is_empty() {
        totals
            .problems
            .push("full disk: no receipts after space came back".to_owned());
    }
    history.extend(after);
    edge.kill()?;
    totals.receipts += history.receipts.len() as u64;
    check(totals, disk.path(), &history, "full disk");
    Ok(())
}

fn status(edge: &Edge) -> Option<u16> {
    edge.get("/readyz").ok()
}

fn wait_for(mut done: impl FnMut() -> bool) -> bool {
    let began = Instant::now();
    while began.elapsed() < PATIENCE {
        if done() {
            return true;
        }
        thread::sleep(Duration::from_millis(20));
    }
    false
}

/// A tmpfs of a stated size; unmounted when it is dropped.
#[derive(Debug)]
pub struct SmallDisk {
    folder: TempDir,
}

impl SmallDisk {
    /// Why there can be none on this machine.
    pub fn missing() -> Option<String> {
        let is_root = rustix::process::geteuid().is_root();
        (!is_root).then(|| "mounting needs root".to_owned())
    }

    /// Mounts one.
    pub fn make(bytes: u64) -> Result<SmallDisk> {
        let folder = tempfile::tempdir()?;
        mount(
            &["-t", "tmpfs", "-o", &format!("size={bytes}"), "tmpfs"],
            folder.path(),
        )?;
        Ok(SmallDisk { folder })
    }

    /// Where it is mounted.
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Makes it larger, or smaller if its content allows.
    pub fn resize(&self, bytes: u64) -> Result<()> {
        mount(&["-o", &format!("remount,size={bytes}")], self.path())
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // The folder cannot be removed while it is mounted, and nothing else can be done here.
        drop(Command::new("umount").arg("-l").arg(self.path()).status());
    }
}

fn mount(arguments: &[&str], folder: &Path) -> Result<()> {
    let status = Command::new("mount").args(arguments).arg(folder).status()?;
    ensure!(status.success(), "mount {}: {status}", arguments.join(" "));
    Ok(())
}
