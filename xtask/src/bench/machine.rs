//! Which machine a figure comes from.

use std::fs;
use std::process::Command;

use serde_json::{Value, json};

/// `20260131-amd-epyc-9r14-2c`.
pub(super) fn folder() -> String {
    let words = processor().to_lowercase();
    let words = words.split(|letter: char| !letter.is_ascii_alphanumeric());
    let dull = ["r", "tm", "cpu", "processor", "core", "with", "at", ""];
    let words: Vec<&str> = words.filter(|word| !dull.contains(word)).take(4).collect();
    format!("{}-{}-{}c", today(), words.join("-"), cores())
}

/// What stands in the results.
pub(super) fn describe() -> Value {
    json!({
        "date": today(),
        "processor": processor(),
        "cores": cores(),
        "memory_kib": field("/proc/meminfo", "MemTotal").and_then(|text| {
            text.trim_end_matches("kB").trim().parse::<u64>().ok()
        }),
        "kernel": said("uname", &["-r"]),
        "system": field("/etc/os-release", "PRETTY_NAME"),
        "commit": said("git", &["rev-parse", "--short=12", "HEAD"]),
        "changed": said("git", &["status", "--porcelain", "--untracked-files=no"])
            .is_some_and(|text| !text.is_empty()),
        "nginx": Command::new("nginx").arg("-v").output().ok().map(|output| {
            String::from_utf8_lossy(&output.stderr).trim().to_owned()
        }),
        "rustc": said("rustc", &["--version"]),
    })
}

fn today() -> String {
    said("date", &["-u", "+%Y%m%d"]).unwrap_or_default()
}

fn processor() -> String {
    field("/proc/cpuinfo", "model name").unwrap_or_else(|| "unknown".to_owned())
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

fn field(path: &str, name: &str) -> Option<String> {
    let text = fs::read_to_string(path).ok()?;
    let line = text.lines().find(|line| line.starts_with(name))?;
    let (_, value) = line.split_once([':', '='])?;
    Some(value.trim().trim_matches('"').to_owned())
}

fn said(program: &str, arguments: &[&str]) -> Option<String> {
    let output = Command::new(program).args(arguments).output().ok()?;
    Some(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}
