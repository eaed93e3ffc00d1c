//! The crate table: who may use whom. It stands in ARCHITECTURE.md too; change both together.

use toml::{Table, Value};

use super::{File, Finding, Tree};

/// One row of the crate table.
struct Room {
    folder: &'static str,
    package: &'static str,
    /// Crates of ours that it may depend on.
    uses: Uses,
    /// Packages of others that would break what the crate promises.
    never: &'static [&'static str],
}

enum Uses {
    Only(&'static [&'static str]),
    All,
}

use Uses::{All, Only};

const IO: &[&str] = &["tokio", "hyper", "reqwest", "rustix", "mio"];
const CLOCK_OR_CHANCE: &[&str] = &["tokio", "rand", "getrandom", "fastrand", "chrono", "jiff"];

const HOUSE: &[Room] = &[
    Room {
        folder: "crates/click",
        package: "tollgate-click",
        uses: Only(&[]),
        never: &[
            "tokio",
            "serde_json",
            "serde",
            "rand",
            "jiff",
            "chrono",
            "rustix",
        ],
    },
    Room {
        folder: "crates/link",
        package: "tollgate-link",
        uses: Only(&["tollgate-click"]),
        never: IO,
    },
    Room {
        folder: "crates/log",
        package: "tollgate-log",
        uses: Only(&[]),
        never: &["tokio"],
    },
    Room {
        folder: "crates/collect",
        package: "tollgate-collect",
        uses: Only(&["tollgate-click", "tollgate-link", "tollgate-log"]),
        never: &["rusqlite", "parquet", "axum"],
    },
    Room {
        folder: "crates/process",
        package: "tollgate-process",
        uses: Only(&["tollgate-click"]),
        never: CLOCK_OR_CHANCE,
    },
    Room {
        folder: "crates/store",
        package: "tollgate-store",
        uses: Only(&["tollgate-click"]),
        never: &[],
    },
    Room {
        folder: "crates/query",
        package: "tollgate-query",
        uses: Only(&[
            "tollgate-click",
            "tollgate-link",
            "tollgate-store",
            "tollgate-log",
        ]),
        never: &[],
    },
    Room {
        folder: "crates/reconcile",
        package: "tollgate-reconcile",
        uses: Only(&[
            "tollgate-click",
            "tollgate-log",
            "tollgate-process",
            "tollgate-store",
        ]),
        never: &[],
    },
    Room {
        folder: "crates/traffic",
        package: "tollgate-traffic",
        uses: Only(&["tollgate-click", "tollgate-link"]),
        never: &[],
    },
    Room {
        folder: "crates/sim",
        package: "tollgate-sim",
        uses: All,
        never: &[],
    },
    Room {
        folder: "",
        package: "tollgate",
        uses: All,
        never: &[],
    },
    Room {
        folder: "xtask",
        package: "xtask",
        uses: Only(&[]),
        never: &[],
    },
    Room {
        folder: "bench/log",
        package: "tollgate-bench-log",
        uses: Only(&["tollgate-log"]),
        never: &[],
    },
    Room {
        folder: "fuzz",
        package: "tollgate-fuzz",
        uses: All,
        never: &[],
    },
];

/// What every engine behind a trait of `log` or `store` may use.
const ENGINE_USES: &[&str] = &["tollgate-click", "tollgate-log", "tollgate-store"];
const ENGINES: &str = "crates/engines/";

/// Crates of ours that nothing ships with: only tests and other development tools use them.
const DEVELOPMENT_ONLY: &[&str] = &["tollgate-sim", "xtask"];

/// Packages that cost a newcomer minutes of building: optional wherever they are used.
const HEAVY: &[&str] = &[
    "datafusion",
    "rocksdb",
    "duckdb",
    "rdkafka",
    "clickhouse",
    "aws-config",
    "aws-sdk-kinesis",
    "aws-sdk-s3",
    "scylla",
    "object_store",
    "tokio-postgres",
];

pub(super) fn check(tree: &Tree, findings: &mut Vec<Finding>) {
    for file in tree.files.iter().filter(|file| is_manifest(&file.path)) {
        let folder = file
            .path
            .trim_end_matches("Cargo.toml")
            .trim_end_matches('/');
        match file.text.parse::<Table>() {
            Ok(manifest) => check_manifest(file, folder, &manifest, findings),
            Err(error) => findings.push(file.error(0, format!("is not TOML: {error}"))),
        }
    }
    for file in tree
        .files
        .iter()
        .filter(|file| file.path.starts_with("crates/collect/src/"))
    {
        collect_only_appends(file, findings);
    }
}

fn is_manifest(path: &str) -> bool {
    path == "Cargo.toml" || path.ends_with("/Cargo.toml")
}

fn check_manifest(file: &File, folder: &str, manifest: &Table, findings: &mut Vec<Finding>) {
    let package = manifest
        .get("package")
        .and_then(|package| package.get("name"));
    let Some(package) = package.and_then(Value::as_str) else {
        findings.push(file.error(0, "names no package"));
        return;
    };
    let is_engine = folder.starts_with(ENGINES);
    let engine = Room {
        folder: "",
        package: "",
        uses: Only(ENGINE_USES),
        never: &[],
    };
    let room = match HOUSE.iter().find(|room| room.folder == folder) {
        Some(room) if room.package != package => {
            let expected = room.package;
            findings.push(file.error(0, format!("package `{package}` should be `{expected}`")));
            room
        }
        Some(room) => room,
        None if is_engine => &engine,
        None => {
            let message = format!("folder `{folder}` is not in the crate table of ARCHITECTURE.md");
            findings.push(file.error(0, message));
            return;
        }
    };
    let lints = manifest
        .get("lints")
        .and_then(|lints| lints.get("workspace"));
    if manifest.get("workspace").is_none() && lints.and_then(Value::as_bool) != Some(true) {
        findings.push(file.error(0, "lacks `[lints] workspace = true`"));
    }
    for edge in edges(manifest) {
        if let Some(message) = room.objection(package, &edge) {
            findings.push(file.error(0, message));
        }
        if !is_engine && !folder.starts_with("bench") && edge.must_be_optional() {
            let name = &edge.package;
            findings.push(file.error(
                0,
                format!("`{name}` is heavy: make it optional, behind a feature of its engine"),
            ));
        }
    }
    check_default_features(file, manifest, findings);
}

/// An entry of a dependency table.
struct Edge {
    package: String,
    kind: &'static str,
    optional: bool,
}

impl Edge {
    fn must_be_optional(&self) -> bool {
        let engine = self.kind == "dependencies" && is_engine(&self.package);
        (HEAVY.contains(&self.package.as_str()) || engine) && !self.optional
    }

    fn is_ours(&self) -> bool {
        self.package == "tollgate"
            || self.package == "xtask"
            || self.package.starts_with("tollgate-")
    }
}

fn is_engine(package: &str) -> bool {
    package.starts_with("tollgate-") && !HOUSE.iter().any(|room| room.package == package)
}

impl Room {
    fn objection(&self, package: &str, edge: &Edge) -> Option<String> {
        let name = edge.package.as_str();
        let in_tests = edge.kind == "dev-dependencies";
        if self.never.contains(&name) && !in_tests {
            return Some(format!(
                "`{package}` must never use `{name}`: it breaks what it promises"
            ));
        }
        if !edge.is_ours() {
            return None;
        }
        // Tests of a crate may use the crate itself (with other features) and the simulator.
        if in_tests && (name == package || name == "tollgate-sim") {
            return None;
        }
        if !in_tests && DEVELOPMENT_ONLY.contains(&name) && !matches!(self.folder, "fuzz") {
            return Some(format!(
                "`{name}` is for development: nothing may depend on it"
            ));
        }
        match self.uses {
            All => None,
            Only(allowed) if allowed.contains(&name) => None,
            Only(allowed) => Some(format!(
                "`{package}` may use {allowed:?} of ours, not `{name}` ({})",
                edge.kind
            )),
        }
    }
}

/// All entries of all dependency tables, those of targets included.
fn edges(manifest: &Table) -> Vec<Edge> {
    let targets = manifest.get("target").and_then(Value::as_table);
    let targets = targets.into_iter().flat_map(|targets| targets.values());
    let tables = std::iter::once(manifest).chain(targets.filter_map(Value::as_table));
    let kinds = ["dependencies", "build-dependencies", "dev-dependencies"];
    let mut edges = Vec::new();
    for table in tables {
        for kind in kinds {
            let entries = table.get(kind).and_then(Value::as_table);
            for (key, value) in entries.into_iter().flatten() {
                let renamed = value.get("package").and_then(Value::as_str);
                let optional = value
                    .get("optional")
                    .and_then(Value::as_bool)
                    .unwrap_or(false);
                edges.push(Edge {
                    package: renamed.unwrap_or(key).to_owned(),
                    kind,
                    optional,
                });
            }
        }
    }
    edges
}

/// The default build must not switch an engine on.
fn check_default_features(file: &File, manifest: &Table, findings: &mut Vec<Finding>) {
    let features = manifest.get("features").and_then(Value::as_table);
    let list = |name: &str| {
        let list = features
            .and_then(|features| features.get(name))
            .and_then(Value::as_array);
        list.into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    let mut open = list("default");
    let mut seen = Vec::new();
    while let Some(feature) = open.pop() {
        let name = feature
            .trim_start_matches("dep:")
            .split(['/', '?'])
            .next()
            .unwrap_or("")
            .to_owned();
        if HEAVY.contains(&name.as_str()) || is_engine(&name) {
            findings.push(file.error(0, format!("the default features switch `{name}` on")));
        }
        if !seen.contains(&name) {
            open.extend(list(&name));
            seen.push(name);
        }
    }
}

/// The edge holds the appending half of the log only.
fn collect_only_appends(file: &File, findings: &mut Vec<Finding>) {
    if file.path.ends_with("tests.rs") || file.path.contains("/tests/") {
        return;
    }
    for (line, text) in file.lines() {
        if text.contains("ReadFrom") || text.contains(".reader(") {
            findings.push(file.error(line, "collect appends only: it must never read the log"));
        }
    }
}
