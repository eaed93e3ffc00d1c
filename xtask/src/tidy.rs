//! `cargo xtask tidy`: the house style as a test.
//!
//! Every rule is a function from the tree (paths and texts) to findings, so that each can be shown
//! a bad tree and seen to go red. What a rule wants instead stands in its message.

mod edges;
mod lints;
mod named;
mod shape;
mod words;

#[cfg(test)]
mod tests;

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};

/// The files of the repository that are text, with their paths from its root.
#[derive(Debug, Default)]
pub(crate) struct Tree {
    files: Vec<File>,
}

#[derive(Debug)]
struct File {
    path: String,
    text: String,
}

/// One place that breaks a rule.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Finding {
    path: String,
    /// Counted from 1; 0 when the whole file is meant.
    line: usize,
    message: String,
    weight: Weight,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Weight {
    /// Said, but tidy still succeeds.
    Warning,
    Error,
}

/// Checks the tree and prints what it finds; false when a rule is broken.
pub(crate) fn run(root: &Path) -> Result<bool> {
    let tree = Tree::read(root)?;
    let findings = check(&tree);
    for finding in &findings {
        println!("{finding}");
    }
    let errors = findings
        .iter()
        .filter(|finding| finding.weight == Weight::Error)
        .count();
    let warnings = findings.len() - errors;
    println!(
        "tidy: {} files, {errors} errors, {warnings} warnings",
        tree.files.len()
    );
    Ok(errors == 0)
}

fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    edges::check(tree, &mut findings);
    words::check(tree, &mut findings);
    shape::check(tree, &mut findings);
    lints::check(tree, &mut findings);
    named::check(tree, &mut findings);
    findings.sort();
    findings
}

impl Tree {
    /// All files that git knows or would add; those that are no text are kept by name only.
    fn read(root: &Path) -> Result<Tree> {
        let output = Command::new("git")
            .args([
                "ls-files",
                "-z",
                "--cached",
                "--others",
                "--exclude-standard",
            ])
            .current_dir(root)
            .output()
            .context("git ls-files")?;
        ensure!(output.status.success(), "git ls-files: {}", output.status);
        let names = String::from_utf8(output.stdout).context("a file name is not UTF-8")?;
        let mut tree = Tree::default();
        for name in names.split_terminator('\0') {
            let path = root.join(name);
            // A file that was just removed is still listed until the removal is committed.
            if path.is_file() {
                let bytes = fs::read(&path).with_context(|| format!("reading {name}"))?;
                tree.add(name, &String::from_utf8(bytes).unwrap_or_default());
            }
        }
        Ok(tree)
    }

    fn add(&mut self, path: &str, text: &str) {
        self.files.push(File {
            path: path.to_owned(),
            text: text.to_owned(),
        });
    }

    fn get(&self, path: &str) -> Option<&str> {
        self.files
            .iter()
            .find(|file| file.path == path)
            .map(|file| file.text.as_str())
    }
}

impl File {
    fn extension(&self) -> &str {
        self.path
            .rsplit_once('.')
            .map_or("", |(_, extension)| extension)
    }

    fn is_rust(&self) -> bool {
        self.extension() == "rs"
    }

    /// Lines with their numbers, counted from 1.
    fn lines(&self) -> impl Iterator<Item = (usize, &str)> {
        self.text
            .lines()
            .enumerate()
            .map(|(index, line)| (index + 1, line))
    }

    fn error(&self, line: usize, message: impl Into<String>) -> Finding {
        Finding {
            path: self.path.clone(),
            line,
            message: message.into(),
            weight: Weight::Error,
        }
    }

    fn warning(&self, line: usize, message: impl Into<String>) -> Finding {
        Finding {
            weight: Weight::Warning,
            ..self.error(line, message)
        }
    }
}

impl std::fmt::Display for Finding {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let weight = match self.weight {
            Weight::Warning => "warning",
            Weight::Error => "error",
        };
        write!(
            formatter,
            "{weight}: {}:{}: {}",
            self.path, self.line, self.message
        )
    }
}
