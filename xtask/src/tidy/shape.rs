//! How long lines, functions and files may be, and where files stand.

use super::{File, Finding, Tree};

const COLUMNS_MAX: usize = 100;
const FILE_LINES_WARN: usize = 500;
const FILE_LINES_MAX: usize = 800;
const FUNCTION_LINES_MAX: usize = 70;
/// The vocabulary is not to grow into a crate of shared types.
const CLICK_LINES_WARN: usize = 2_000;

/// Files that may be longer than `FILE_LINES_MAX`, with the reason.
const LONG_FILES: &[(&str, &str)] = &[];

/// A ratchet: functions that are longer than `FUNCTION_LINES_MAX`, with the length they have. The
/// number may only fall, and the row goes when the function is short.
const LONG_FUNCTIONS: &[(&str, &str, usize)] = &[];

const COLUMNS_OF: &[&str] = &["rs", "toml", "sh", "lua", "py", "ts", "css"];
const CODE: &[&str] = &["rs", "ts", "py", "lua", "sh"];

/// What may stand at the root.
const ROOT: &[&str] = &[
    ".gitattributes",
    ".gitignore",
    "ARCHITECTURE.md",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "Cargo.lock",
    "Cargo.toml",
    "Dockerfile",
    "LICENSE",
    "NOTICE",
    "README.md",
    "SECURITY.md",
    "clippy.toml",
    "deny.toml",
    "rust-toolchain.toml",
    "rustfmt.toml",
];
const ROOT_FOLDERS: &[&str] = &[
    ".cargo", ".ci", ".config", "bench", "crates", "deploy", "docs", "fuzz", "spec", "src",
    "tests", "web", "xtask",
];

pub(super) fn check(tree: &Tree, findings: &mut Vec<Finding>) {
    for file in &tree.files {
        check_place(file, findings);
        check_decision(file, findings);
        check_columns(file, findings);
        check_length(file, LONG_FILES, findings);
        check_functions(file, LONG_FUNCTIONS, findings);
    }
    check_click(tree, findings);
}

fn check_place(file: &File, findings: &mut Vec<Finding>) {
    let known = match file.path.split_once('/') {
        Some((folder, _)) => ROOT_FOLDERS.contains(&folder),
        None => ROOT.contains(&file.path.as_str()),
    };
    if !known {
        findings.push(file.error(0, "stray at the root: give it a folder, or add it to tidy"));
    }
}

fn check_decision(file: &File, findings: &mut Vec<Finding>) {
    let Some(name) = file.path.strip_prefix("docs/decisions/") else {
        return;
    };
    let dated = name.split_once('-').is_some_and(|(date, rest)| {
        date.len() == 8 && date.bytes().all(|byte| byte.is_ascii_digit()) && rest.ends_with(".md")
    });
    if !dated {
        findings.push(file.error(0, "a decision is called YYYYMMDD-name.md"));
    }
}

fn check_columns(file: &File, findings: &mut Vec<Finding>) {
    // TOML cannot break the line of a dependency.
    if !COLUMNS_OF.contains(&file.extension()) || file.path.ends_with("Cargo.toml") {
        return;
    }
    for (line, text) in file.lines() {
        let columns = text.chars().count();
        // A row of a table in a docstring cannot be wrapped.
        let is_row = ["//! |", "/// |", "# |"]
            .iter()
            .any(|row| text.trim_start().starts_with(row));
        if columns > COLUMNS_MAX && !is_row {
            findings.push(file.error(line, format!("{columns} columns, at most {COLUMNS_MAX}")));
        }
        if text.ends_with(' ') || text.ends_with('\t') {
            findings.push(file.error(line, "white space at the end of the line"));
        }
    }
}

fn check_length(file: &File, excused: &[(&str, &str)], findings: &mut Vec<Finding>) {
    if !CODE.contains(&file.extension()) {
        return;
    }
    let lines = file.text.lines().count();
    let is_excused = excused.iter().any(|(path, _)| *path == file.path);
    match lines {
        lines if lines > FILE_LINES_MAX && !is_excused => findings.push(file.error(
            0,
            format!("{lines} lines, at most {FILE_LINES_MAX}: split it, or give tidy the reason"),
        )),
        lines if lines > FILE_LINES_WARN => {
            findings.push(file.warning(0, format!("{lines} lines: ask whether it is two files")));
        }
        _ if is_excused => findings.push(file.error(0, "needs no excuse any more: tell tidy")),
        _ => {}
    }
}

fn check_functions(file: &File, ratchet: &[(&str, &str, usize)], findings: &mut Vec<Finding>) {
    if !file.is_rust() {
        return;
    }
    for function in functions(&file.text) {
        let Function { name, line, lines } = function;
        let row = ratchet
            .iter()
            .find(|(path, row, _)| *path == file.path && *row == name);
        let allowed = row.map_or(FUNCTION_LINES_MAX, |(_, _, allowed)| *allowed);
        if lines > allowed {
            let message = format!("`{name}` has {lines} lines, at most {allowed}: split it");
            // A table of cases is one function, however many cases it has.
            let is_test = ["tests/", "examples/"]
                .iter()
                .any(|folder| file.path.contains(folder))
                || file.path.ends_with("tests.rs");
            findings.push(match is_test && row.is_none() {
                true => file.warning(line, message),
                false => file.error(line, message),
            });
        } else if row.is_some() && lines < allowed {
            let message = format!("`{name}` has {lines} lines now: lower the ratchet in tidy");
            findings.push(file.error(line, message));
        }
    }
}

struct Function {
    name: String,
    line: usize,
    lines: usize,
}

/// The functions of a file that rustfmt has laid out: one ends at the first closing brace that
/// stands as deep as its first line.
fn functions(text: &str) -> Vec<Function> {
    let lines: Vec<&str> = text.lines().collect();
    let mut functions = Vec::new();
    for (index, line) in lines.iter().enumerate() {
        let Some(name) = function_name(line) else {
            continue;
        };
        let rest = lines.get(index..).unwrap_or_default();
        if let Some(count) = function_lines(rest) {
            functions.push(Function {
                name,
                line: index + 1,
                lines: count,
            });
        }
    }
    functions
}

/// The lines of the function that begins with the first line; none if it has no body.
fn function_lines(lines: &[&str]) -> Option<usize> {
    let (first, rest) = lines.split_first()?;
    if first.ends_with('}') || first.ends_with(';') {
        return first.ends_with('}').then_some(1);
    }
    let indent = first.len() - first.trim_start().len();
    for (index, line) in rest.iter().enumerate() {
        let is_as_deep = line.len() - line.trim_start().len() == indent;
        match line.trim_start() {
            "}" if is_as_deep => return Some(index + 2),
            // A declaration over several lines.
            tail if is_as_deep && tail.starts_with(')') && tail.ends_with(';') => return None,
            _ => {}
        }
    }
    None
}

/// The name, if a function begins on this line.
fn function_name(line: &str) -> Option<String> {
    const BEFORE: &[&str] = &["async", "const", "unsafe", "extern", "\"C\"", "default"];
    let mut words = line.split_whitespace().skip_while(|word| {
        *word == "pub" || word.starts_with("pub(") || word.ends_with(')') || BEFORE.contains(word)
    });
    (words.next() == Some("fn")).then_some(())?;
    let name = words.next()?;
    Some(name.split(['(', '<']).next()?.to_owned())
}

fn check_click(tree: &Tree, findings: &mut Vec<Finding>) {
    let ours = |file: &&File| file.is_rust() && file.path.starts_with("crates/click/src/");
    let code = tree
        .files
        .iter()
        .filter(ours)
        .filter(|file| !file.path.ends_with("tests.rs"));
    // Unit tests at the end of a file are not vocabulary.
    let lines = |file: &File| {
        file.text
            .split("#[cfg(test)]")
            .next()
            .unwrap_or("")
            .lines()
            .count()
    };
    let lines: usize = code.map(lines).sum();
    if let Some(file) = tree
        .files
        .iter()
        .find(|file| file.path == "crates/click/src/lib.rs")
        && lines > CLICK_LINES_WARN
    {
        let message = format!("the vocabulary has {lines} lines: it must not become a types crate");
        findings.push(file.warning(0, message));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(path: &str, text: &str) -> File {
        File {
            path: path.to_owned(),
            text: text.to_owned(),
        }
    }

    #[test]
    fn the_ratchet_only_falls() {
        let body = "    let x = 1;\n".repeat(80);
        let long = file(
            "src/long.rs",
            &format!("pub(crate) fn long() {{\n{body}}}\n"),
        );
        let findings = |ratchet: &[(&str, &str, usize)]| {
            let mut findings = Vec::new();
            check_functions(&long, ratchet, &mut findings);
            findings
                .into_iter()
                .map(|finding| finding.message)
                .collect::<Vec<_>>()
        };
        assert_eq!(findings(&[]), ["`long` has 82 lines, at most 70: split it"]);
        assert_eq!(findings(&[("src/long.rs", "long", 82)]), [""; 0]);
        assert_eq!(
            findings(&[("src/long.rs", "long", 81)]),
            ["`long` has 82 lines, at most 81: split it"]
        );
        assert_eq!(
            findings(&[("src/long.rs", "long", 90)]),
            ["`long` has 82 lines now: lower the ratchet in tidy"]
        );
    }

    #[test]
    fn functions_are_found_as_rustfmt_lays_them_out() {
        let text = "impl A {\n    fn one(&self) -> u8 {\n        1\n    }\n\n    fn two() {}\n}\n\
                    trait B {\n    fn three(\n        &self,\n    );\n    fn four();\n}\n\
                    pub(crate) async fn five<T>(\n    a: T,\n) -> T {\n    a\n}\n";
        let found: Vec<_> = functions(text)
            .into_iter()
            .map(|f| (f.name, f.line, f.lines))
            .collect();
        let expected = [("one", 2, 3), ("two", 6, 1), ("five", 14, 5)];
        assert_eq!(
            found,
            expected.map(|(name, line, lines)| (name.to_owned(), line, lines))
        );
    }

    #[test]
    fn an_excuse_is_needed_and_withdrawn() {
        let long = file("src/long.rs", &"//\n".repeat(801));
        let short = file("src/long.rs", "//\n");
        let messages = |file: &File, excused: &[(&str, &str)]| {
            let mut findings = Vec::new();
            check_length(file, excused, &mut findings);
            findings
                .into_iter()
                .map(|finding| finding.weight)
                .collect::<Vec<_>>()
        };
        let excuse = [("src/long.rs", "a table")];
        assert_eq!(messages(&long, &[]), [super::super::Weight::Error]);
        assert_eq!(messages(&long, &excuse), [super::super::Weight::Warning]);
        assert_eq!(messages(&short, &excuse), [super::super::Weight::Error]);
        assert_eq!(messages(&short, &[]), []);
    }
}
