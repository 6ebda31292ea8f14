//! Error messages for unreadable payloads.
//!
//! Invariants: runs only after a payload was found malformed, and reads it once more in Meilisearch's order, so that
//! message, line and column are Meilisearch's (`DocumentFormatError` in meilisearch-types).

use crate::api::documents::payload::{error::IngestError, format::PayloadFormat};
use serde::Deserialize;
use serde_json::value::RawValue;
use std::fmt;

const NOT_OBJECTS: &str = "data are neither an object nor a list of objects";

/// The error for a JSON or NDJSON body; `fallback` is the error of the first reading.
pub(crate) fn malformed_json(
    body: &[u8],
    format: PayloadFormat,
    fallback: &serde_json::Error,
) -> IngestError {
    let error = match format {
        PayloadFormat::Ndjson => {
            serde_json::Deserializer::from_slice(body).into_iter::<&RawValue>().find_map(Result::err)
        }
        PayloadFormat::Json | PayloadFormat::Csv { .. } => json_error(body),
    };
    let message = match error {
        Some(error) if !error.is_data() => error.to_string(),
        // Every value is readable, so one of them is not an object, or the first reading has the better error.
        Some(_) => NOT_OBJECTS.to_owned(),
        None if fallback.is_data() => NOT_OBJECTS.to_owned(),
        None => fallback.to_string(),
    };
    IngestError::MalformedPayload {
        message: format!(
            "The `{format}` payload provided is malformed. `Couldn't serialize document value: {}`.",
            message
        ),
    }
}

/// The error for a CSV body.
pub(crate) fn malformed_csv(problem: &dyn fmt::Display) -> IngestError {
    IngestError::MalformedPayload {
        message: format!("The `csv` payload provided is malformed: `{problem}`."),
    }
}

fn json_error(body: &[u8]) -> Option<serde_json::Error> {
    // Not `from_slice`, which would object to text after the array.
    let error = Vec::<&RawValue>::deserialize(&mut serde_json::Deserializer::from_slice(body)).err()?;
    if error.is_data() {
        return serde_json::from_slice::<serde_json::Map<String, serde_json::Value>>(body).err();
    }
    Some(error)
}
