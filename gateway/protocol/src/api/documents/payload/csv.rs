//! Converts CSV rows to JSON objects.
//!
//! Invariants: a header `name:number`, `name:boolean` or `name:string` gives the column's type; any other header is
//! the name of a column of strings. An empty value is null. Of columns with equal names the last one counts. Source:
//! `read_csv` in meilisearch-types.

use crate::api::documents::payload::{error::IngestError, malformed::malformed_csv};
use std::fmt;

/// The rows as JSON objects, one per line.
pub(crate) fn rows_to_json(body: &[u8], delimiter: u8) -> Result<String, IngestError> {
    let mut reader = csv::ReaderBuilder::new().delimiter(delimiter).from_reader(body);
    let headers = reader.headers().map_err(|error| malformed_csv(&error))?.clone();
    let columns = columns(&headers);
    let mut json = Vec::with_capacity(body.len() * 2);
    let mut record = csv::StringRecord::new();
    let mut line = 0_usize;
    while reader.read_record(&mut record).map_err(|error| malformed_csv(&error))? {
        line += 1;
        let mut separator = b'{';
        for (column, value) in columns.iter().zip(&record) {
            let start = json.len();
            json.push(separator);
            json.extend_from_slice(&column.key);
            write_value(&mut json, column.kind, value, line).map_err(|error| malformed_csv(&error))?;
            if column.overruled {
                json.truncate(start);
            } else {
                separator = b',';
            }
        }
        if separator == b'{' {
            json.push(b'{');
        }
        json.extend_from_slice(b"}\n");
    }
    Ok(String::from_utf8(json).expect("it is put together from UTF-8 text only"))
}

#[derive(Clone, Copy)]
enum Kind {
    String,
    Boolean,
    Number,
}

struct Column {
    /// The name as a JSON string, followed by a colon.
    key: Vec<u8>,
    kind: Kind,
    /// Whether a later column has the same name; the values are then checked, but do not count.
    overruled: bool,
}

#[derive(Debug)]
enum ValueError {
    Number { value: String, line: usize, error: std::num::ParseFloatError },
    Boolean { value: String, line: usize, error: std::str::ParseBoolError },
}

impl fmt::Display for ValueError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ValueError::Number { value, line, error } => {
                write!(formatter, "Error parsing number {value:?} at line {line}: {error}")
            }
            ValueError::Boolean { value, line, error } => {
                write!(formatter, "Error parsing boolean {value:?} at line {line}: {error}")
            }
        }
    }
}

fn columns(headers: &csv::StringRecord) -> Vec<Column> {
    let typed: Vec<(&str, Kind)> = headers.iter().map(split_header).collect();
    typed
        .iter()
        .enumerate()
        .map(|(position, &(name, kind))| {
            let mut key = Vec::new();
            write_json(&mut key, name);
            key.push(b':');
            let overruled = typed[position + 1..].iter().any(|&(later, _)| later == name);
            Column { key, kind, overruled }
        })
        .collect()
}

fn split_header(header: &str) -> (&str, Kind) {
    match header.rsplit_once(':') {
        Some((name, "string")) => (name, Kind::String),
        Some((name, "boolean")) => (name, Kind::Boolean),
        Some((name, "number")) => (name, Kind::Number),
        Some(_) | None => (header, Kind::String),
    }
}

fn write_value(json: &mut Vec<u8>, kind: Kind, value: &str, line: usize) -> Result<(), ValueError> {
    let trimmed = value.trim();
    match kind {
        Kind::Number | Kind::Boolean if trimmed.is_empty() => json.extend_from_slice(b"null"),
        Kind::Number => match trimmed.parse::<i64>() {
            Ok(integer) => write_json(json, &integer),
            Err(_) => {
                let parsed = trimmed.parse::<f64>();
                let float =
                    parsed.map_err(|error| ValueError::Number { value: value.to_owned(), line, error })?;
                // NaN and infinity become null here.
                write_json(json, &float);
            }
        },
        Kind::Boolean => {
            let parsed = trimmed.parse::<bool>();
            write_json(
                json,
                &parsed.map_err(|error| ValueError::Boolean { value: value.to_owned(), line, error })?,
            );
        }
        Kind::String if value.is_empty() => json.extend_from_slice(b"null"),
        Kind::String => write_json(json, value),
    }
    Ok(())
}

fn write_json<T: serde::Serialize + ?Sized>(json: &mut Vec<u8>, value: &T) {
    serde_json::to_writer(json, value).expect("text and numbers can be written to memory");
}
