//! JSON bodies: read whole, with errors about wrong types in Meilisearch's words.

use serde_json::Value;

use crate::api::error::{ApiError, Code};

/// Reads a body as JSON.
///
/// # Errors
/// 400 `missing_payload` or `malformed_payload`.
pub fn json(body: &[u8]) -> Result<Value, ApiError> {
    if body.is_empty() {
        return Err(ApiError::new(Code::MissingPayload, "A json payload is missing."));
    }
    serde_json::from_slice(body).map_err(|error| {
        let message = format!("The json payload provided is malformed. `{error}`.");
        ApiError::new(Code::MalformedPayload, message)
    })
}

/// Checks that a value is a JSON object with no other members than `known`.
///
/// # Errors
/// 400 `bad_request`.
pub fn object(value: Value, known: &[&str]) -> Result<Value, ApiError> {
    let Value::Object(members) = &value else {
        return Err(wrong_type("", "an object", Code::BadRequest, &value));
    };
    let Some(name) = members.keys().find(|name| !known.contains(&name.as_str())) else { return Ok(value) };
    let list = known.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
    Err(ApiError::new(Code::BadRequest, format!("Unknown field `{name}`: expected one of {list}")))
}

/// The error for a value of the wrong JSON type; `path` is empty for the whole body.
#[must_use]
pub fn wrong_type(path: &str, wanted: &str, code: Code, found: &Value) -> ApiError {
    let kind = match found {
        Value::Null => "null".to_owned(),
        Value::Bool(value) => format!("a boolean: `{value}`"),
        Value::Number(value) if value.is_u64() => format!("a positive integer: `{value}`"),
        Value::Number(value) if value.is_i64() => format!("a negative integer: `{value}`"),
        Value::Number(value) => format!("a number: `{value}`"),
        Value::String(value) => format!("a string: `{value:?}`"),
        Value::Array(_) => format!("an array: `{found}`"),
        Value::Object(_) => format!("an object: `{found}`"),
    };
    let place = if path.is_empty() { String::new() } else { format!(" at `{path}`") };
    ApiError::new(code, format!("Invalid value type{place}: expected {wanted}, but found {kind}"))
}
