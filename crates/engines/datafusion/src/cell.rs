//! Values of an answer, and how they are written.

use std::fmt::Write;

use datafusion::arrow::array::{Array, AsArray};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{DataType, Float64Type, Int64Type, UInt64Type};
use datafusion::arrow::error::ArrowError;
use datafusion::arrow::util::display::{ArrayFormatter, FormatOptions};
use serde_json::Value;

/// A value of an answer.
#[derive(Clone, PartialEq, Debug)]
pub enum Cell {
    /// Nothing.
    Null,
    /// Yes or no.
    Flag(bool),
    /// A number with a sign.
    Signed(i64),
    /// A number without one.
    Unsigned(u64),
    /// A fraction: an average, never money.
    Fraction(f64),
    /// Text; bytes as hexadecimal digits, 16 of them as a UUID, times as RFC 3339.
    Text(String),
}

/// Integers beyond this are strings in JSON: 2^53 - 1.
const JSON_MAX: u64 = (1 << 53) - 1;

/// The names of columns as the first line of a CSV file (RFC 4180).
pub fn csv_header(columns: &[String]) -> String {
    line(columns.iter().map(|name| safe_cell(name)))
}

/// A row as a line of CSV. No cell can be taken for a formula by a spreadsheet.
pub fn csv_row(row: &[Cell]) -> String {
    line(row.iter().map(|cell| match cell {
        Cell::Text(text) => safe_cell(text),
        other => other.to_string(),
    }))
}

fn line(cells: impl Iterator<Item = String>) -> String {
    let mut line = cells.collect::<Vec<_>>().join(",");
    line.push_str("\r\n");
    line
}

/// As in reports: what could begin a formula gets an apostrophe before it (ASVS 1.2.10), and what
/// is more than letters and digits gets quotes.
fn safe_cell(text: &str) -> String {
    let begins_formula = text.starts_with(['=', '+', '-', '@', '\t', '\r', '\n', '\0']);
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_. ".contains(&byte);
    if !begins_formula && text.bytes().all(plain) {
        return text.to_owned();
    }
    let apostrophe = if begins_formula { "'" } else { "" };
    format!("\"{apostrophe}{}\"", text.replace('"', "\"\""))
}

/// A row as a JSON array. Integers beyond 2^53 - 1 are strings of digits.
pub fn json_row(row: &[Cell]) -> Value {
    let value = |cell: &Cell| match cell {
        Cell::Null => Value::Null,
        Cell::Flag(flag) => Value::Bool(*flag),
        Cell::Signed(number) if number.unsigned_abs() <= JSON_MAX => Value::from(*number),
        Cell::Unsigned(number) if *number <= JSON_MAX => Value::from(*number),
        // What is no number in JSON (NaN, infinity) is null there.
        Cell::Fraction(number) => Value::from(*number),
        other => Value::String(other.to_string()),
    };
    Value::Array(row.iter().map(value).collect())
}

impl std::fmt::Display for Cell {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Cell::Null => Ok(()),
            Cell::Flag(flag) => flag.fmt(f),
            Cell::Signed(number) => number.fmt(f),
            Cell::Unsigned(number) => number.fmt(f),
            Cell::Fraction(number) => number.fmt(f),
            Cell::Text(text) => text.fmt(f),
        }
    }
}

/// A column of a batch as cells.
pub(crate) fn cells(column: &dyn Array) -> Result<Vec<Cell>, ArrowError> {
    use DataType::{
        Binary, BinaryView, Boolean, FixedSizeBinary, Float16, Float32, Float64, Int8, Int16,
        Int32, Int64, LargeBinary, Null, UInt8, UInt16, UInt32, UInt64,
    };
    Ok(match column.data_type() {
        Null => vec![Cell::Null; column.len()],
        Boolean => each(column.as_boolean().iter(), Cell::Flag),
        Int8 | Int16 | Int32 | Int64 => {
            let wide = cast(column, &Int64)?;
            each(wide.as_primitive::<Int64Type>().iter(), Cell::Signed)
        }
        UInt8 | UInt16 | UInt32 | UInt64 => {
            let wide = cast(column, &UInt64)?;
            each(wide.as_primitive::<UInt64Type>().iter(), Cell::Unsigned)
        }
        Float16 | Float32 | Float64 => {
            let wide = cast(column, &Float64)?;
            each(wide.as_primitive::<Float64Type>().iter(), Cell::Fraction)
        }
        FixedSizeBinary(_) => {
            let values = column.as_fixed_size_binary();
            each(values.iter(), |bytes| Cell::Text(hex(bytes)))
        }
        Binary | LargeBinary | BinaryView => {
            let plain = cast(column, &Binary)?;
            each(plain.as_binary::<i32>().iter(), |bytes| {
                Cell::Text(hex(bytes))
            })
        }
        _ => texts(column)?,
    })
}

fn each<T>(values: impl Iterator<Item = Option<T>>, cell: impl Fn(T) -> Cell) -> Vec<Cell> {
    values
        .map(|value| value.map_or(Cell::Null, &cell))
        .collect()
}

/// Everything else as it is shown.
fn texts(column: &dyn Array) -> Result<Vec<Cell>, ArrowError> {
    let options = FormatOptions::default();
    let shown = ArrayFormatter::try_new(column, &options)?;
    let cell = |row| match column.is_null(row) {
        true => Ok(Cell::Null),
        false => shown.value(row).try_to_string().map(Cell::Text),
    };
    (0..column.len()).map(cell).collect()
}

/// Hexadecimal digits, with a UUID's hyphens when there are 16 bytes.
fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(2 * bytes.len() + 4);
    for (index, byte) in bytes.iter().enumerate() {
        if bytes.len() == 16 && matches!(index, 4 | 6 | 8 | 10) {
            text.push('-');
        }
        // Writing to a string cannot fail.
        write!(text, "{byte:02x}").unwrap_or_default();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_are_written_as_those_of_reports() {
        let row = [
            Cell::Null,
            Cell::Flag(true),
            Cell::Signed(-1),
            Cell::Unsigned(u64::MAX),
            Cell::Fraction(0.5),
            Cell::Text("=1+1".to_owned()),
            Cell::Text("a\"b".to_owned()),
        ];
        let line = ",true,-1,18446744073709551615,0.5,\"'=1+1\",\"a\"\"b\"\r\n";
        assert_eq!(csv_row(&row), line);
        let json = r#"[null,true,-1,"18446744073709551615",0.5,"=1+1","a\"b"]"#;
        assert_eq!(json_row(&row).to_string(), json);
        assert_eq!(
            csv_header(&["a".to_owned(), "-b".to_owned()]),
            "a,\"'-b\"\r\n"
        );
    }

    #[test]
    fn sixteen_bytes_are_shown_as_a_uuid() {
        let id: Vec<u8> = (0..16).collect();
        assert_eq!(hex(&id), "00010203-0405-0607-0809-0a0b0c0d0e0f");
        assert_eq!(hex(&[1, 255]), "01ff");
    }
}
