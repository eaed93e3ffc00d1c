//! The reference: what the compiled-in defaults say about each setting.

use super::written::variable;

/// The defaults, commented: the only list of settings.
pub(crate) const DEFAULTS: &str = include_str!("defaults.toml");

/// What the defaults file says about one setting.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Entry {
    /// Section and name, joined by dots.
    pub(crate) path: String,
    /// What it does.
    pub(crate) about: String,
    /// What may be written.
    pub(crate) allowed: String,
    /// The default, as TOML.
    pub(crate) default: String,
}

/// All settings in the order of the file.
pub(crate) fn entries() -> Vec<Entry> {
    let mut entries = Vec::new();
    let (mut section, mut about, mut allowed) = ("", Vec::new(), String::new());
    for line in DEFAULTS.lines() {
        if let Some(comment) = line.strip_prefix("# ") {
            match comment.strip_prefix("Allowed: ") {
                Some(text) => text.clone_into(&mut allowed),
                None => about.push(comment),
            }
        } else if let Some(header) = line.strip_prefix('[').and_then(|r| r.strip_suffix(']')) {
            (section, about) = (header, Vec::new());
        } else if let Some((name, default)) = line.split_once(" = ") {
            entries.push(Entry {
                path: format!("{section}.{name}"),
                about: std::mem::take(&mut about).join(" "),
                allowed: std::mem::take(&mut allowed),
                default: default.to_owned(),
            });
        }
    }
    entries
}

/// What is said about one setting.
pub(crate) fn entry(path: &str) -> Option<Entry> {
    entries().into_iter().find(|entry| entry.path == path)
}

/// The reference page in Markdown.
pub(crate) fn page() -> String {
    let mut page = String::from(INTRODUCTION);
    let mut section = String::new();
    for entry in entries() {
        let (of, name) = entry.path.rsplit_once('.').unwrap_or(("", &entry.path));
        if of != section {
            of.clone_into(&mut section);
            page.push_str(&format!("\n## [{of}]\n"));
        }
        let Entry {
            about,
            allowed,
            default,
            ..
        } = &entry;
        let variable = variable(&entry.path);
        let told = format!(
            "\n`{name} = {default}`\n: {about}\n  Allowed: {allowed}. Environment: `{variable}`.\n"
        );
        page.push_str(&told);
    }
    page
}

const INTRODUCTION: &str = "\
# Configuration

This page is made from `src/config/defaults.toml` by `tollgate config reference`; a test fails when
they differ.

`tollgate serve --config FILE` reads a TOML file. It holds only what differs from the defaults
below. Each setting can also be given in the environment, which stands before the file; a list is
then separated by commas. Times are text with a unit (`ms`, `s`, `m`, `h`, `d`), sizes text with a
unit (`B`, `KiB`, `MiB`, `GiB`).

`tollgate config check FILE` says whether a file is good, `tollgate config show [FILE] [--origin]`
prints what is in force and where each value comes from. A mistake is told in one message with
file, line, key and what is allowed; the exit code is 2 and nothing is made on disk.
";
