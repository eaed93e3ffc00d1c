//! Words and names that do not belong here, each with what to write instead.

use super::{File, Finding, Tree};

/// What is looked for is put together from halves, so that this file does not find itself.
const WORDS: &[(&str, &str)] = &[
    (concat!("dbg", "!("), "remove it, or trace the value"),
    (
        concat!("todo", "!("),
        "finish it, or return an error that says what is missing",
    ),
    (
        concat!("unimplemented", "!("),
        "finish it, or return an error that says what is missing",
    ),
    (concat!("TO", "DO"), "finish it, or open an issue"),
    (concat!("FIX", "ME"), "fix it, or open an issue"),
    (concat!("XX", "X:"), "say what is wrong and fix it"),
    (concat!("black", "list"), "deny list"),
    (concat!("white", "list"), "allow list"),
    (
        concat!("dedup", "lication"),
        "dedupe, or name what is compared",
    ),
    (concat!("click", "through"), "click"),
    (
        concat!("crates", ".io"),
        "name the package, not the host of a registry",
    ),
    (
        concat!("npm", "js."),
        "name the package, not the host of a registry",
    ),
    (
        concat!("pypi", ".org"),
        "name the package, not the host of a registry",
    ),
    (
        concat!("python", "hosted.org"),
        "name the package, not the host of a registry",
    ),
    (
        concat!("proxy.", "golang.org"),
        "name the package, not the host of a registry",
    ),
    (
        concat!("repo1.", "maven"),
        "name the package, not the host of a registry",
    ),
    (
        concat!("deb.", "debian.org"),
        "name the package, not the host of a registry",
    ),
    (
        concat!("/wo", "rk/"),
        "a path of one machine: take it from the environment",
    ),
    (
        concat!("/ro", "ot/"),
        "a path of one machine: take it from the environment",
    ),
    (
        concat!("/ho", "me/"),
        "a path of one machine: take it from the environment",
    ),
];

/// Names of files and folders that say nothing about what is in them.
const EMPTY_NAMES: &[&str] = &[
    "utils", "util", "common", "helpers", "helper", "misc", "types",
];

/// Written by a tool, which names hosts as it likes.
const GENERATED: &[&str] = &["Cargo.lock", "package-lock.json"];

pub(super) fn check(tree: &Tree, findings: &mut Vec<Finding>) {
    for file in &tree.files {
        check_name(file, findings);
        let name = file.path.rsplit('/').next().unwrap_or(&file.path);
        if !GENERATED.contains(&name) && !file.path.starts_with("bench/results/") {
            check_words(file, findings);
        }
    }
}

fn check_name(file: &File, findings: &mut Vec<Finding>) {
    let parts = file
        .path
        .split('/')
        .map(|part| part.split('.').next().unwrap_or(part));
    for part in parts.filter(|part| EMPTY_NAMES.contains(part)) {
        let message = format!("`{part}` names nothing: call it after what is in it");
        findings.push(file.error(0, message));
    }
}

fn check_words(file: &File, findings: &mut Vec<Finding>) {
    for (line, text) in file.lines() {
        let lower = text.to_lowercase();
        for (word, instead) in WORDS {
            let shouted = word.chars().any(char::is_uppercase);
            if if shouted {
                text.contains(word)
            } else {
                lower.contains(word)
            } {
                findings.push(file.error(line, format!("`{word}`: {instead}")));
            }
        }
    }
}
