//! First step: what was written, and where. Names and types are checked here, meanings are not.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::fmt;
use std::fs::File;
use std::io::Read;
use std::path::Path;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::reference::{self, Entry};
use super::value::Field;

/// A configuration file in bytes; longer is refused.
const FILE_BYTES_MAX: usize = 1 << 20;

/// Every setting, each as it was written last: defaults, then the file, then the environment.
#[derive(Clone, Debug)]
pub(crate) struct Written {
    settings: BTreeMap<String, Setting>,
}

/// One setting as it was written.
#[derive(Clone, Debug)]
pub(crate) struct Setting {
    pub(crate) value: Value,
    pub(crate) origin: Origin,
}

/// A value by its type in TOML.
#[derive(Clone, PartialEq, Debug)]
pub(crate) enum Value {
    Text(String),
    Integer(i64),
    List(Vec<String>),
}

/// Where a value comes from.
#[derive(Clone, PartialEq, Debug)]
pub(crate) enum Origin {
    /// The compiled-in defaults.
    Default,
    /// A line of the file, counted from 1.
    File(String, usize),
    /// A variable of the environment.
    Environment(String),
}

/// What is wrong, in one message: place, key, what, what is allowed.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Wrong {
    place: String,
    what: String,
    allowed: Option<String>,
}

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.what)?;
        match &self.allowed {
            Some(allowed) => write!(f, "; allowed: {allowed}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Wrong {}

impl Wrong {
    /// About a setting that is known, at the place where it was written.
    pub(crate) fn about(path: &str, setting: &Setting, what: &str) -> Wrong {
        let allowed = reference::entry(path).map(|entry| entry.allowed);
        Wrong {
            place: setting.origin.to_string(),
            what: format!("{path}: {what}"),
            allowed,
        }
    }

    fn at(place: impl fmt::Display, what: impl Into<String>) -> Wrong {
        Wrong {
            place: place.to_string(),
            what: what.into(),
            allowed: None,
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::Default => f.write_str("default"),
            Origin::File(file, line) => write!(f, "{file}:{line}"),
            Origin::Environment(name) => write!(f, "environment {name}"),
        }
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Text(text) => write!(f, "{text:?}"),
            Value::Integer(number) => number.fmt(f),
            Value::List(items) => write!(f, "{items:?}"),
        }
    }
}

impl Value {
    fn type_name(&self) -> &'static str {
        match self {
            Value::Text(_) => "text in quotes",
            Value::Integer(_) => "a whole number",
            Value::List(_) => "a list of texts",
        }
    }
}

impl Written {
    /// The setting of that path, which is one of the reference.
    pub(crate) fn field(&self, path: &str) -> Field<'_> {
        static MISSING: Setting = Setting {
            value: Value::List(Vec::new()),
            origin: Origin::Default,
        };
        let setting = self.settings.get(path);
        debug_assert!(setting.is_some(), "{path} is in no reference");
        Field {
            path: path.to_owned(),
            setting: setting.unwrap_or(&MISSING),
        }
    }

    /// All settings in the order of their names.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&String, &Setting)> {
        self.settings.iter()
    }

    fn defaults() -> Result<Written, Wrong> {
        let mut settings = BTreeMap::new();
        let text = reference::DEFAULTS;
        let table = DeTable::parse(text).map_err(|error| Wrong::at("defaults", error.message()))?;
        walk(table.get_ref(), "", &mut |path, _, value| {
            let value = read_value(value.get_ref())
                .ok_or_else(|| Wrong::at("defaults", format!("{path} has no type of ours")))?;
            settings.insert(
                path,
                Setting {
                    value,
                    origin: Origin::Default,
                },
            );
            Ok(())
        })?;
        Ok(Written { settings })
    }

    fn take_file(&mut self, name: &str, text: &str) -> Result<(), Wrong> {
        let line_of = |offset: usize| {
            let before = text.as_bytes().get(..offset).unwrap_or_default();
            1 + before.iter().filter(|byte| **byte == b'\n').count()
        };
        let table = DeTable::parse(text).map_err(|error| {
            let line = error.span().map_or(1, |span| line_of(span.start));
            Wrong::at(
                format_args!("{name}:{line}"),
                error.message().trim().replace('\n', ", "),
            )
        })?;
        let mut count = 0;
        walk(table.get_ref(), "", &mut |path, key, value| {
            let origin = Origin::File(name.to_owned(), line_of(key));
            count += 1;
            let known = self.known(&path, &origin)?;
            let typed = read_value(value.get_ref());
            let value = typed.ok_or_else(|| wrong_type(&path, &origin, &known.value))?;
            self.put(&path, value, origin)
        })?;
        if count == 0 {
            let what = "it holds no setting; write one, or leave the file out to use the defaults";
            return Err(Wrong::at(name, what));
        }
        Ok(())
    }

    fn take_variable(&mut self, name: &str, text: &str) -> Result<(), Wrong> {
        let origin = Origin::Environment(name.to_owned());
        let wanted = name.trim_start_matches(PREFIX).to_ascii_lowercase();
        let path = self
            .settings
            .keys()
            .find(|path| path.replace('.', "_") == wanted)
            .cloned();
        let Some(path) = path else {
            let names = self.settings.keys().map(|path| variable(path));
            let near =
                nearest(name, names).map_or(String::new(), |near| format!(", meant {near}?"));
            return Err(Wrong::at(origin, format!("no such setting{near}")));
        };
        let list = |text: &str| text.split(',').map(|item| item.trim().to_owned()).collect();
        let value = match self.known(&path, &origin)?.value {
            Value::Text(_) => Value::Text(text.to_owned()),
            Value::Integer(_) => Value::Integer(
                text.trim()
                    .parse()
                    .map_err(|_| wrong_type(&path, &origin, &Value::Integer(0)))?,
            ),
            Value::List(_) if text.trim().is_empty() => Value::List(Vec::new()),
            Value::List(_) => Value::List(list(text)),
        };
        self.put(&path, value, origin)
    }

    fn known(&self, path: &str, origin: &Origin) -> Result<&Setting, Wrong> {
        self.settings
            .get(path)
            .ok_or_else(|| self.unknown(path, origin))
    }

    /// Names the key or section that was probably meant, and what may stand there.
    fn unknown(&self, path: &str, origin: &Origin) -> Wrong {
        let section_of = |path: &str| {
            path.rsplit_once('.')
                .map_or("", |(section, _)| section)
                .to_owned()
        };
        let sections: BTreeSet<String> =
            self.settings.keys().map(|path| section_of(path)).collect();
        let names = sections.iter().chain(self.settings.keys()).cloned();
        let meant = nearest(path, names).map_or(String::new(), |near| format!(", meant {near}?"));
        let section = section_of(path);
        let siblings: Vec<&str> = self
            .settings
            .keys()
            .map(String::as_str)
            .filter(|known| section_of(known) == section)
            .collect();
        let allowed = if siblings.is_empty() {
            format!(
                "the sections {}",
                sections.into_iter().collect::<Vec<_>>().join(", ")
            )
        } else {
            siblings.join(", ")
        };
        Wrong {
            place: origin.to_string(),
            what: format!("unknown key {path}{meant}"),
            allowed: Some(allowed),
        }
    }

    fn put(&mut self, path: &str, value: Value, origin: Origin) -> Result<(), Wrong> {
        let known = self.known(path, &origin)?;
        if std::mem::discriminant(&known.value) != std::mem::discriminant(&value) {
            return Err(wrong_type(path, &origin, &known.value));
        }
        self.settings
            .insert(path.to_owned(), Setting { value, origin });
        Ok(())
    }
}

/// The prefix of all variables.
const PREFIX: &str = "TOLLGATE_";

/// The variable of a setting.
pub(crate) fn variable(path: &str) -> String {
    format!("{PREFIX}{}", path.replace('.', "_").to_ascii_uppercase())
}

/// Reads defaults, file and environment.
///
/// # Errors
///
/// [`Wrong`]: the first thing that is wrong.
pub(crate) fn read(
    file: Option<&Path>,
    environment: impl Iterator<Item = (OsString, OsString)>,
) -> anyhow::Result<Written> {
    let mut written = Written::defaults()?;
    if let Some(path) = file {
        let name = path.display().to_string();
        let text = read_text(path).map_err(|what| Wrong::at(&name, what))?;
        written.take_file(&name, &text)?;
    }
    for (name, text) in environment {
        let Some(name) = name.to_str().filter(|name| name.starts_with(PREFIX)) else {
            continue;
        };
        let origin = || Origin::Environment(name.to_owned());
        let text = text
            .to_str()
            .ok_or_else(|| Wrong::at(origin(), "it is not UTF-8"))?;
        written.take_variable(name, text)?;
    }
    Ok(written)
}

/// The file's text without a byte order mark; what is wrong with it otherwise.
fn read_text(path: &Path) -> Result<String, String> {
    let cannot = |error: std::io::Error| format!("cannot be read: {error}");
    let file = File::open(path).map_err(cannot)?;
    if file.metadata().map_err(cannot)?.is_dir() {
        return Err("it is a directory; allowed: a TOML file".to_owned());
    }
    let mut bytes = Vec::new();
    let limit = FILE_BYTES_MAX as u64 + 1;
    file.take(limit).read_to_end(&mut bytes).map_err(cannot)?;
    if bytes.len() > FILE_BYTES_MAX {
        return Err(format!("it is longer than {FILE_BYTES_MAX} bytes"));
    }
    let text = String::from_utf8(bytes).map_err(|error| {
        let line = 1 + error
            .as_bytes()
            .iter()
            .take(error.utf8_error().valid_up_to())
            .filter(|byte| **byte == b'\n')
            .count();
        format!("line {line} is not UTF-8")
    })?;
    Ok(text
        .strip_prefix('\u{feff}')
        .map(str::to_owned)
        .unwrap_or(text))
}

/// Visits every value with its path and the offset of its key.
fn walk<'t, 'i>(
    table: &'t DeTable<'i>,
    above: &str,
    visit: &mut dyn FnMut(String, usize, &'t Spanned<DeValue<'i>>) -> Result<(), Wrong>,
) -> Result<(), Wrong> {
    // In the order of the file, so that the first mistake is the one that is told.
    let mut entries: Vec<_> = table.iter().collect();
    entries.sort_by_key(|(key, _)| key.span().start);
    for (key, value) in entries {
        let path = match above {
            "" => key.get_ref().to_string(),
            above => format!("{above}.{}", key.get_ref()),
        };
        match value.get_ref() {
            DeValue::Table(inner) if is_section(&path) => walk(inner, &path, visit)?,
            _ => visit(path, key.span().start, value)?,
        }
    }
    Ok(())
}

/// Whether settings stand below that path. An unknown table is shown as a whole.
fn is_section(path: &str) -> bool {
    let below = format!("{path}.");
    reference::DEFAULTS.lines().any(|line| {
        let header = line
            .strip_prefix('[')
            .and_then(|rest| rest.strip_suffix(']'));
        header.is_some_and(|header| header == path || header.starts_with(&below))
    })
}

fn read_value(value: &DeValue<'_>) -> Option<Value> {
    match value {
        DeValue::String(text) => Some(Value::Text(text.to_string())),
        DeValue::Integer(number) => {
            let digits = number.as_str().replace('_', "");
            i64::from_str_radix(&digits, number.radix())
                .ok()
                .map(Value::Integer)
        }
        DeValue::Array(items) => {
            let texts = items
                .iter()
                .map(|item| item.get_ref().as_str().map(str::to_owned));
            texts.collect::<Option<_>>().map(Value::List)
        }
        _ => None,
    }
}

fn wrong_type(path: &str, origin: &Origin, wanted: &Value) -> Wrong {
    let allowed = reference::entry(path).map(|entry: Entry| entry.allowed);
    let what = format!("{path}: it must be {}", wanted.type_name());
    Wrong {
        place: origin.to_string(),
        what,
        allowed,
    }
}

/// The name that was probably meant.
fn nearest(name: &str, names: impl Iterator<Item = String>) -> Option<String> {
    let last = |path: &str| {
        path.rsplit_once('.')
            .map_or(path, |(_, last)| last)
            .to_owned()
    };
    let far = |known: &String| {
        let whole = strsim::damerau_levenshtein(name, known);
        whole.min(1 + strsim::damerau_levenshtein(&last(name), &last(known)))
    };
    let best = names.map(|known| (far(&known), known)).min()?;
    (best.0 <= 1 + name.len() / 3).then_some(best.1)
}
