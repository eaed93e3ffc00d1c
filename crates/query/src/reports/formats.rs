//! Reports as CSV and Parquet.

use std::sync::Arc;

use parquet::basic::{Compression, LogicalType, Repetition, TimeUnit, Type as Physical};
use parquet::data_type::{ByteArray, ByteArrayType, Int64Type};
use parquet::errors::ParquetError;
use parquet::file::metadata::KeyValue;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::types::{Type, TypePtr};
use tollgate_store::rollup::{Dimension, Key};

use super::ask::{Ask, dimension_name, is_time, is_word};
use super::shown::{Complete, Row, minute_text};

/// CSV (RFC 4180) with a header. No cell can be taken for a formula by a spreadsheet.
pub(crate) fn csv(ask: &Ask, rows: &[Row]) -> String {
    let names = ask
        .dimensions
        .iter()
        .map(|one| dimension_name(*one).to_owned());
    let names = names.chain(ask.columns.iter().map(|one| one.name().to_owned()));
    let mut out = names.collect::<Vec<_>>().join(",");
    out.push_str("\r\n");
    for row in rows {
        let keys = ask.dimensions.iter().zip(&row.keys);
        let keys = keys.map(|(dimension, key)| match key {
            Key::Text(text) => safe_cell(text),
            Key::Number(minute) if is_time(*dimension) => minute_text(*minute),
            Key::Number(number) => number.to_string(),
        });
        let cells = keys.chain(row.values.iter().map(i64::to_string));
        out.push_str(&cells.collect::<Vec<_>>().join(","));
        out.push_str("\r\n");
    }
    out
}

/// A text that spreadsheets show and never run: what could begin a formula gets an apostrophe
/// before it (ASVS 1.2.10), and what is more than letters and digits gets quotes.
pub(crate) fn safe_cell(text: &str) -> String {
    let begins_formula = text.starts_with(['=', '+', '-', '@', '\t', '\r', '\n', '\0']);
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_. ".contains(&byte);
    if !begins_formula && text.bytes().all(plain) {
        return text.to_owned();
    }
    let apostrophe = if begins_formula { "'" } else { "" };
    format!("\"{apostrophe}{}\"", text.replace('"', "\"\""))
}

/// A Parquet file of one row group, with the completeness in its metadata.
pub(crate) fn parquet(
    ask: &Ask,
    rows: &[Row],
    complete: &Complete,
) -> Result<Vec<u8>, ParquetError> {
    let mut fields: Vec<TypePtr> = Vec::new();
    for dimension in &ask.dimensions {
        fields.push(Arc::new(key_field(*dimension)?));
    }
    for column in &ask.columns {
        fields.push(Arc::new(field(column.name(), Physical::INT64, None)?));
    }
    let schema = Type::group_type_builder("report")
        .with_fields(fields)
        .build()?;
    let told = serde_json::to_string(complete).unwrap_or_default();
    let properties = WriterProperties::builder()
        .set_compression(Compression::ZSTD(Default::default()))
        .set_key_value_metadata(Some(vec![KeyValue::new("complete".to_owned(), told)]))
        .set_created_by("tollgate".to_owned())
        .build();
    let mut bytes = Vec::new();
    let mut file = SerializedFileWriter::new(&mut bytes, Arc::new(schema), Arc::new(properties))?;
    let mut group = file.next_row_group()?;
    for (index, dimension) in ask.dimensions.iter().enumerate() {
        let keys = rows.iter().filter_map(|row| row.keys.get(index));
        let Some(mut column) = group.next_column()? else {
            break;
        };
        if is_word(*dimension) {
            let texts: Vec<ByteArray> = keys.map(word).collect();
            column
                .typed::<ByteArrayType>()
                .write_batch(&texts, None, None)?;
        } else {
            let scale = if is_time(*dimension) { 60_000 } else { 1 };
            let numbers: Vec<i64> = keys.map(|key| number(key).wrapping_mul(scale)).collect();
            column
                .typed::<Int64Type>()
                .write_batch(&numbers, None, None)?;
        }
        column.close()?;
    }
    for index in 0..ask.columns.len() {
        let values = rows.iter().filter_map(|row| row.values.get(index).copied());
        let values: Vec<i64> = values.collect();
        let Some(mut column) = group.next_column()? else {
            break;
        };
        column
            .typed::<Int64Type>()
            .write_batch(&values, None, None)?;
        column.close()?;
    }
    group.close()?;
    file.close()?;
    Ok(bytes)
}

fn key_field(dimension: Dimension) -> Result<Type, ParquetError> {
    let name = dimension_name(dimension);
    if is_word(dimension) {
        return field(name, Physical::BYTE_ARRAY, Some(LogicalType::String));
    }
    let logical = match is_time(dimension) {
        true => LogicalType::timestamp(true, TimeUnit::MILLIS),
        false => LogicalType::integer(64, false),
    };
    field(name, Physical::INT64, Some(logical))
}

fn field(name: &str, kind: Physical, logical: Option<LogicalType>) -> Result<Type, ParquetError> {
    Type::primitive_type_builder(name, kind)
        .with_repetition(Repetition::REQUIRED)
        .with_logical_type(logical)
        .build()
}

fn word(key: &Key) -> ByteArray {
    match key {
        Key::Text(text) => text.as_str().into(),
        Key::Number(number) => number.to_string().as_str().into(),
    }
}

/// The bits of an id; its column says that they have no sign.
fn number(key: &Key) -> i64 {
    match key {
        Key::Number(number) => *number as i64,
        Key::Text(_) => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_cell_begins_a_formula() {
        for (text, cell) in [
            ("billed", "billed"),
            ("", ""),
            ("=1+1", "\"'=1+1\""),
            ("+1", "\"'+1\""),
            ("-1", "\"'-1\""),
            ("@SUM(A1)", "\"'@SUM(A1)\""),
            ("\tx", "\"'\tx\""),
            ("\0x", "\"'\0x\""),
            ("a,b", "\"a,b\""),
            ("a\"b", "\"a\"\"b\""),
            ("a\nb", "\"a\nb\""),
        ] {
            assert_eq!(safe_cell(text), cell, "{text:?}");
        }
    }
}
