//! `tollgate config`: checks a configuration file, shows what is in force.

use std::path::PathBuf;

use clap::Subcommand;
use serde_json::{Map, Value as Json, json};

use crate::config::written::{self, Value};
use crate::config::{self, reference};
use crate::exit::Exit;
use crate::output::{self, Global};

/// Arguments of `tollgate config`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Say whether a file is good, without doing anything (exit 2 when it is not).
    Check {
        /// The configuration file.
        file: PathBuf,
    },
    /// Print the settings that are in force.
    Show {
        /// The configuration file; defaults and environment without it.
        file: Option<PathBuf>,
        /// Also print where each value comes from.
        #[arg(long)]
        origin: bool,
    },
    /// Print the reference of all settings as Markdown.
    Reference,
}

/// Runs one of the subcommands.
pub(crate) fn run(args: Args, global: &Global) -> anyhow::Result<Exit> {
    match args.command {
        Command::Check { file } => {
            config::load(Some(&file))?;
            if global.json {
                output::print_json(&json!({ "file": file, "good": true }))?;
            } else {
                output::print(&format!("{} is good\n", file.display()))?;
            }
        }
        Command::Show { file, origin } => {
            let written = written::read(file.as_deref(), std::env::vars_os())?;
            config::mean(&written)?;
            show(&written, origin, global)?;
        }
        Command::Reference => output::print(&reference::page())?,
    }
    Ok(Exit::Fine)
}

fn show(written: &written::Written, origin: bool, global: &Global) -> anyhow::Result<()> {
    if global.json {
        let object = |(path, setting): (&String, &written::Setting)| {
            let value = json_value(&setting.value);
            let value = match origin {
                true => json!({ "value": value, "origin": setting.origin.to_string() }),
                false => value,
            };
            (path.clone(), value)
        };
        return output::print_json(&written.iter().map(object).collect::<Map<_, _>>());
    }
    let mut text = String::new();
    for (path, setting) in written.iter() {
        let line = format!("{path} = {}", setting.value);
        let line = if origin {
            format!("{line:<60} # {}", setting.origin)
        } else {
            line
        };
        text.push_str(&line);
        text.push('\n');
    }
    output::print(&text)
}

fn json_value(value: &Value) -> Json {
    match value {
        Value::Text(text) => json!(text),
        Value::Integer(number) => json!(number),
        Value::List(items) => json!(items),
    }
}
