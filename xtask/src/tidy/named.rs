//! Functions that documents name exist: a promise whose test was renamed or removed is noticed.
//!
//! A document names one as a code span with `()` at its end.

use std::collections::BTreeSet;

use super::{Finding, Tree};

pub(super) fn check(tree: &Tree, findings: &mut Vec<Finding>) {
    let code = tree.files.iter().filter(|file| file.is_rust());
    let known: BTreeSet<&str> = code.flat_map(|file| functions(&file.text)).collect();
    for file in tree.files.iter().filter(|file| file.extension() == "md") {
        for (line, text) in file.lines() {
            for name in named(text).filter(|name| !known.contains(name)) {
                let message = format!("`{name}()` is no function here: name the one that is meant");
                findings.push(file.error(line, message));
            }
        }
    }
}

fn is_name(text: &str) -> bool {
    let letter = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
    text.starts_with(|first: char| first.is_ascii_lowercase()) && text.bytes().all(letter)
}

/// Names of functions in a line of a document.
fn named(line: &str) -> impl Iterator<Item = &str> {
    let spans = line.split('`').skip(1).step_by(2);
    spans
        .filter_map(|span| span.strip_suffix("()"))
        .filter(|name| is_name(name))
}

/// Names of all functions in a file.
fn functions(text: &str) -> impl Iterator<Item = &str> {
    let after = text.split("fn ").skip(1);
    let names = after.filter_map(|rest| rest.split(['(', '<']).next());
    names.filter(|name| is_name(name))
}
