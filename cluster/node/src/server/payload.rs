//! Document payloads: JSON, NDJSON and CSV, converted to the NDJSON that tasks store.
//! Invariants: every document is an object; JSON values keep their bytes; the texts of errors are Meilisearch's (its
//! document_formats.rs).

use bytes::Bytes;
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use crate::errors::ApiError;
use crate::wire;

const ACCEPTED: &str = "Accepted values for the Content-Type header are: `application/json`, \
                        `application/x-ndjson`, `text/csv`";

/// The payload as NDJSON, and the number of its documents.
pub(super) fn read(
    content_type: Option<&str>,
    csv_delimiter: Option<&str>,
    body: &Bytes,
) -> Result<(Bytes, u64), ApiError> {
    let Some(media) = content_type.map(wire::media_type) else {
        let text = format!("A Content-Type header is missing. {ACCEPTED}");
        return Err(ApiError::new("missing_content_type", text));
    };
    let format = match media.as_str() {
        "application/json" => "json",
        "application/x-ndjson" => "ndjson",
        "text/csv" => "csv",
        other => {
            let text = format!("The Content-Type `{other}` is invalid. {ACCEPTED}");
            return Err(ApiError::new("invalid_content_type", text));
        }
    };
    if csv_delimiter.is_some() && format != "csv" {
        return Err(ApiError::new(
            "invalid_content_type",
            format!(
                "The Content-Type `{media}` does not support the use of a csv delimiter. The csv delimiter can \
                 only be used with the Content-Type `text/csv`."
            ),
        ));
    }
    if body.is_empty() {
        return Err(ApiError::new("missing_payload", format!("A {format} payload is missing.")));
    }
    match format {
        "json" => read_json(body),
        "ndjson" => read_ndjson(body),
        _ => read_csv(body, csv_delimiter),
    }
}

fn read_json(body: &Bytes) -> Result<(Bytes, u64), ApiError> {
    let malformed = |error: &serde_json::Error| document_error("json", error);
    if body.iter().find(|byte| !byte.is_ascii_whitespace()) != Some(&b'[') {
        let _object: &RawValue = serde_json::from_slice::<Map<String, Value>>(body)
            .and_then(|_| serde_json::from_slice(body))
            .map_err(|error| malformed(&error))?;
        return Ok((body.clone(), 1));
    }
    let documents: Vec<&RawValue> = serde_json::from_slice(body).map_err(|error| malformed(&error))?;
    let mut lines = Vec::with_capacity(body.len());
    for document in &documents {
        check_object("json", document)?;
        lines.extend_from_slice(document.get().as_bytes());
        lines.push(b'\n');
    }
    Ok((lines.into(), documents.len() as u64))
}

fn read_ndjson(body: &Bytes) -> Result<(Bytes, u64), ApiError> {
    let mut documents = 0;
    for document in serde_json::Deserializer::from_slice(body).into_iter::<&RawValue>() {
        check_object("ndjson", document.map_err(|error| document_error("ndjson", &error))?)?;
        documents += 1;
    }
    Ok((body.clone(), documents))
}

fn check_object(format: &str, document: &RawValue) -> Result<(), ApiError> {
    if document.get().starts_with('{') {
        return Ok(());
    }
    Err(malformed_document(format, "data are neither an object nor a list of objects"))
}

fn document_error(format: &str, error: &serde_json::Error) -> ApiError {
    if error.is_data() {
        return malformed_document(format, "data are neither an object nor a list of objects");
    }
    malformed_document(format, &error.to_string())
}

fn malformed_document(format: &str, reason: &str) -> ApiError {
    // Meilisearch shortens long reasons to their first 50 and last 85 bytes.
    let mut reason = reason.to_owned();
    if reason.len() > 138 && reason.is_char_boundary(50) && reason.is_char_boundary(reason.len() - 85) {
        reason.replace_range(50..reason.len() - 85, "...");
    }
    ApiError::new(
        "malformed_payload",
        format!(
            "The `{format}` payload provided is malformed. `Couldn't serialize document value: {reason}`."
        ),
    )
}

/// How the texts of a CSV column become values.
#[derive(Debug, Clone, Copy)]
enum Column {
    Text,
    Number,
    Boolean,
}

fn read_csv(body: &Bytes, delimiter: Option<&str>) -> Result<(Bytes, u64), ApiError> {
    let delimiter = match delimiter.map(str::as_bytes) {
        None => b',',
        Some([byte]) if byte.is_ascii() => *byte,
        Some(_) => return Err(wrong_delimiter(delimiter.unwrap_or_default())),
    };
    let malformed = |reason: String| {
        ApiError::new("malformed_payload", format!("The `csv` payload provided is malformed: `{reason}`."))
    };
    let mut reader = csv::ReaderBuilder::new().delimiter(delimiter).from_reader(&body[..]);
    let headers = reader.headers().map_err(|error| malformed(error.to_string()))?.clone();
    let columns: Vec<(&str, Column)> = headers.iter().map(column).collect();
    let (mut lines, mut documents) = (Vec::new(), 0);
    for record in reader.records() {
        let record = record.map_err(|error| malformed(error.to_string()))?;
        documents += 1;
        let mut document = Map::new();
        for ((name, column), text) in columns.iter().zip(record.iter()) {
            let value = cell(*column, text).map_err(|reason| {
                malformed(format!("Error parsing {} {text:?} at line {documents}: {reason}", column.name()))
            })?;
            document.insert((*name).to_owned(), value);
        }
        serde_json::to_writer(&mut lines, &document).map_err(|error| malformed(error.to_string()))?;
        lines.push(b'\n');
    }
    Ok((lines.into(), documents))
}

fn wrong_delimiter(delimiter: &str) -> ApiError {
    let reason = match delimiter.chars().count() {
        0 => "expected a string of one character, but found an empty string".to_owned(),
        1 => format!("csv delimiter must be an ascii character. Found: `{delimiter}`"),
        count => format!(
            "expected a string of one character, but found the following string of {count} characters: \
             `{delimiter}`"
        ),
    };
    ApiError::new(
        "invalid_document_csv_delimiter",
        format!("Invalid value in parameter `csvDelimiter`: {reason}"),
    )
}

/// The name and type of a column: a header may end in `:number`, `:boolean` or `:string`.
fn column(header: &str) -> (&str, Column) {
    match header.rsplit_once(':') {
        Some((name, "number")) => (name, Column::Number),
        Some((name, "boolean")) => (name, Column::Boolean),
        Some((name, "string")) => (name, Column::Text),
        _ => (header, Column::Text),
    }
}

impl Column {
    fn name(self) -> &'static str {
        match self {
            Self::Text => "string",
            Self::Number => "number",
            Self::Boolean => "boolean",
        }
    }
}

/// The value of a cell. An error is the standard library's text, as in Meilisearch.
fn cell(column: Column, text: &str) -> Result<Value, String> {
    let trimmed = text.trim();
    Ok(match column {
        Column::Text if text.is_empty() => Value::Null,
        Column::Text => Value::from(text),
        Column::Number | Column::Boolean if trimmed.is_empty() => Value::Null,
        Column::Number => match trimmed.parse::<i64>() {
            Ok(integer) => Value::from(integer),
            Err(_) => Value::from(trimmed.parse::<f64>().map_err(|error| error.to_string())?),
        },
        Column::Boolean => Value::from(trimmed.parse::<bool>().map_err(|error| error.to_string())?),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(media: &str, body: &str, expected: Result<(&str, u64), &str>) {
        let outcome = read(Some(media), None, &Bytes::copy_from_slice(body.as_bytes()));
        match (outcome, expected) {
            (Ok((lines, documents)), Ok((text, count))) => {
                assert_eq!((std::str::from_utf8(&lines).unwrap(), documents), (text, count), "{body}");
            }
            (Err(error), Err(code)) => assert_eq!(error.code, code, "{body}: {error}"),
            (outcome, expected) => panic!("{body}: {outcome:?}, expected {expected:?}"),
        }
    }

    #[test]
    fn payloads_become_lines() {
        let json = "application/json; charset=utf-8";
        check(json, r#"[{"id":1.50}, {"id":2}]"#, Ok(("{\"id\":1.50}\n{\"id\":2}\n", 2)));
        check(json, r#" {"id":1}"#, Ok((" {\"id\":1}", 1)));
        check(json, "[]", Ok(("", 0)));
        for wrong in ["[1]", "\"x\"", "{\"id\":", "[{\"id\":1},]", "tru"] {
            check(json, wrong, Err("malformed_payload"));
        }
        check(json, "", Err("missing_payload"));
        check("application/x-ndjson", "{\"id\":1}\n{\"id\":2}", Ok(("{\"id\":1}\n{\"id\":2}", 2)));
        check("application/x-ndjson", "{\"id\":1}\n[]", Err("malformed_payload"));
        check(
            "text/csv",
            "id:number,ok:boolean,name\n1,true,a\n,,\n",
            Ok(("{\"id\":1,\"ok\":true,\"name\":\"a\"}\n{\"id\":null,\"ok\":null,\"name\":null}\n", 2)),
        );
        check("text/csv", "id:number\nx\n", Err("malformed_payload"));
        check("text/plain", "x", Err("invalid_content_type"));
    }
}
