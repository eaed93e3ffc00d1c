//! The lints that keep deterministic crates deterministic are in force where they should be.
//!
//! Clippy reads one `clippy.toml` and does not merge. The crates that must not read a clock or roll
//! dice therefore have a link to the shared file, which repeats what the root's file says.

use toml::Table;

use super::{Finding, Tree};

const ROOT: &str = "clippy.toml";
const SHARED: &str = ".config/deterministic/clippy.toml";
const DETERMINISTIC: &[&str] = &["click", "log", "process", "sim"];

/// What the shared file has to forbid at least.
const FORBIDDEN: &[&str] = &[
    "std::time::SystemTime::now",
    "std::time::Instant::now",
    "std::collections::HashMap::new",
    "std::collections::HashSet::new",
    "rand::rng",
];

pub(super) fn check(tree: &Tree, findings: &mut Vec<Finding>) {
    let Some(shared) = tree.files.iter().find(|file| file.path == SHARED) else {
        let message = "the lints of the deterministic crates are gone".to_owned();
        let weight = super::Weight::Error;
        findings.push(Finding {
            path: SHARED.to_owned(),
            line: 0,
            message,
            weight,
        });
        return;
    };
    let root = tree
        .get(ROOT)
        .unwrap_or_default()
        .parse::<Table>()
        .unwrap_or_default();
    let lints = shared.text.parse::<Table>().unwrap_or_default();
    for (key, value) in &root {
        if lints.get(key) != Some(value) {
            let message = format!("lacks `{key} = {value}` of the root's {ROOT}");
            findings.push(shared.error(0, message));
        }
    }
    for path in FORBIDDEN.iter().filter(|path| !forbids(&lints, path)) {
        findings.push(shared.error(0, format!("does not forbid `{path}` with a reason")));
    }
    for name in DETERMINISTIC {
        let manifest = format!("crates/{name}/Cargo.toml");
        let path = format!("crates/{name}/clippy.toml");
        let Some(manifest) = tree.files.iter().find(|file| file.path == manifest) else {
            continue;
        };
        if tree.get(&path) != Some(&shared.text) {
            let message = format!("needs {path}: ln -s ../../{SHARED} {path}");
            findings.push(manifest.error(0, message));
        }
    }
}

fn forbids(lints: &Table, path: &str) -> bool {
    let methods = lints
        .get("disallowed-methods")
        .and_then(toml::Value::as_array);
    methods.into_iter().flatten().any(|method| {
        let is_it = method.get("path").and_then(toml::Value::as_str) == Some(path);
        is_it && method.get("reason").is_some()
    })
}
