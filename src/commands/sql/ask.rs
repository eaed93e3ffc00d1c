//! The question to the engine, the answer to standard output.

use anyhow::Context;
use serde_json::{Map, Value, json};
use tollgate_click::{Ordinal, PartitionId};
use tollgate_datafusion::{Answer, Cell, Complete, Sql, SqlError, csv_header, csv_row, json_row};

use super::Args;
use crate::data_dir::DataDir;
use crate::exit::{Exit, usage};
use crate::output::{self, Global};

/// Rows of a table for people; CSV and JSON have all.
const TABLE_ROWS_MAX: usize = 10_000;

/// How often a question is asked again when a merge has taken a file away under it.
const ATTEMPTS: u32 = 3;

/// Without a question: what there is.
const COLUMNS: &str = "SELECT table_name, column_name, data_type FROM \
                       information_schema.columns WHERE table_schema = 'public' \
                       ORDER BY table_name, ordinal_position";

pub(super) fn run(args: Args, global: &Global) -> anyhow::Result<Exit> {
    let dir = DataDir::open(&args.data)?;
    let root = std::path::absolute(dir.path()).context("the data directory has no full path")?;
    let runtime = tokio::runtime::Builder::new_multi_thread();
    let runtime = { runtime }.enable_all().build().context("no runtime")?;
    let question = args.question.as_deref().unwrap_or(COLUMNS);
    runtime.block_on(async {
        let mut attempt = 1;
        loop {
            let mut printed = Printer::new(&args, global);
            match ask(&root, question, &mut printed).await {
                Err(Stop::Sql(SqlError::Moved(_))) if attempt < ATTEMPTS && !printed.begun => {
                    attempt += 1;
                }
                Err(Stop::Sql(SqlError::Question(what))) => return Err(usage(what)),
                Err(Stop::Sql(error)) => return Err(error.into()),
                Err(Stop::Output(error)) => return Err(error),
                Ok(()) => return Ok(Exit::Fine),
            }
        }
    })
}

/// Why it ended early.
enum Stop {
    Sql(SqlError),
    Output(anyhow::Error),
}

impl From<SqlError> for Stop {
    fn from(error: SqlError) -> Stop {
        Stop::Sql(error)
    }
}

impl From<anyhow::Error> for Stop {
    fn from(error: anyhow::Error) -> Stop {
        Stop::Output(error)
    }
}

async fn ask(root: &std::path::Path, question: &str, printed: &mut Printer) -> Result<(), Stop> {
    let sql = Sql::open(root)?;
    let mut answer: Answer = sql.ask(question).await?;
    let columns = answer.columns().to_vec();
    while let Some(rows) = answer.next().await? {
        printed.rows(&columns, rows)?;
    }
    printed.end(&columns, sql.complete())?;
    Ok(())
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    Json,
    Csv,
    Table,
}

/// Writes rows as they come; a table waits for the widths of its columns.
struct Printer {
    form: Form,
    /// Whether anything of this answer is out: then it cannot be asked again.
    begun: bool,
    kept: Vec<Vec<Cell>>,
    is_cut: bool,
}

impl Printer {
    fn new(args: &Args, global: &Global) -> Printer {
        let form = match (global.json, args.csv) {
            (true, _) => Form::Json,
            (_, true) => Form::Csv,
            _ => Form::Table,
        };
        Printer {
            form,
            begun: false,
            kept: Vec::new(),
            is_cut: false,
        }
    }

    fn rows(&mut self, columns: &[String], rows: Vec<Vec<Cell>>) -> anyhow::Result<()> {
        if rows.is_empty() {
            return Ok(());
        }
        match self.form {
            Form::Json => {
                let mut text = String::new();
                for row in &rows {
                    text.push_str(if self.begun { ",\n" } else { "" });
                    if !std::mem::replace(&mut self.begun, true) {
                        text.push_str(&json_head(columns));
                    }
                    text.push_str(&format!("    {}", json_row(row)));
                }
                output::print(&text)
            }
            Form::Csv => {
                let mut text = String::new();
                if !std::mem::replace(&mut self.begun, true) {
                    text.push_str(&csv_header(columns));
                }
                rows.iter().for_each(|row| text.push_str(&csv_row(row)));
                output::print(&text)
            }
            Form::Table => {
                self.kept.extend(rows);
                self.is_cut |= self.kept.len() > TABLE_ROWS_MAX;
                self.kept.truncate(TABLE_ROWS_MAX);
                Ok(())
            }
        }
    }

    fn end(&mut self, columns: &[String], complete: &Complete) -> anyhow::Result<()> {
        match self.form {
            Form::Json => {
                let head = if self.begun {
                    String::new()
                } else {
                    json_head(columns)
                };
                let told = json!({
                    "lake": ordinals(&complete.lake),
                    "rollups": ordinals(&complete.rollups),
                });
                output::print(&format!("{head}\n  ],\n  \"complete\": {told}\n}}\n"))
            }
            Form::Csv if self.begun => Ok(()),
            Form::Csv => output::print(&csv_header(columns)),
            Form::Table => {
                output::print(&table(columns, &self.kept))?;
                if self.is_cut {
                    let what = "there are more rows; --csv and --json print all";
                    output::note(format_args!("{what}, a table the first {TABLE_ROWS_MAX}"));
                }
                Ok(())
            }
        }
    }
}

fn json_head(columns: &[String]) -> String {
    format!("{{\n  \"columns\": {},\n  \"rows\": [\n", json!(columns))
}

fn ordinals(through: &[(PartitionId, Ordinal)]) -> Value {
    let one =
        |(partition, ordinal): &(PartitionId, Ordinal)| (partition.to_string(), json!(ordinal.0));
    Value::Object(through.iter().map(one).collect::<Map<_, _>>())
}

/// Columns side by side, numbers to the right.
fn table(columns: &[String], rows: &[Vec<Cell>]) -> String {
    let shown: Vec<Vec<String>> = rows
        .iter()
        .map(|row| row.iter().map(on_one_line).collect())
        .collect();
    let width = |(place, name): (usize, &String)| {
        let cells = shown.iter().filter_map(|row| row.get(place));
        let widest = cells.map(|cell| cell.chars().count()).max();
        widest.unwrap_or(0).max(name.chars().count())
    };
    let widths: Vec<usize> = columns.iter().enumerate().map(width).collect();
    let first = rows.first().map_or(&[][..], Vec::as_slice);
    let is_number = |place: usize| {
        let cell = first.get(place);
        matches!(
            cell,
            Some(Cell::Signed(_) | Cell::Unsigned(_) | Cell::Fraction(_))
        )
    };
    let line = |cells: &[String]| {
        let cells = cells.iter().zip(&widths).enumerate();
        let cells = cells.map(|(place, (cell, width))| match is_number(place) {
            true => format!("{cell:>width$}"),
            false => format!("{cell:<width$}"),
        });
        let line = cells.collect::<Vec<_>>().join("  ");
        format!("{}\n", line.trim_end())
    };
    let mut text = line(columns);
    shown.iter().for_each(|row| text.push_str(&line(row)));
    text
}

/// What a terminal would take for more than letters is not shown to it.
fn on_one_line(cell: &Cell) -> String {
    let plain = |letter: char| {
        if letter.is_control() {
            '\u{fffd}'
        } else {
            letter
        }
    };
    cell.to_string().chars().map(plain).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_has_straight_columns_and_no_control_characters() {
        let columns = ["name".to_owned(), "n".to_owned()];
        let text = |text: &str| Cell::Text(text.to_owned());
        let rows = [
            vec![text("a\u{1b}[2J"), Cell::Signed(7)],
            vec![text("long name"), Cell::Signed(-12)],
        ];
        let want = "name         n\na\u{fffd}[2J       7\nlong name  -12\n";
        assert_eq!(table(&columns, &rows), want);
    }
}
