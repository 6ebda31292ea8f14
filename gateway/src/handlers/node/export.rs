//! `POST /export`: accepts the task; the control executor sends the documents (`dump::remote`).

#![allow(clippy::wildcard_enum_match_arm, reason = "every other type of JSON is wrong in the same way")]

use http::Uri;
use serde_json::{Map, Value, json};
use store::{Change, NewTask, TaskChange, TaskKind};

use crate::{
    api::{
        error::{ApiError, Code},
        http::json_body::{object, wrong_type},
        secrets,
    },
    config::limits,
    handlers::{indexes::new_task, keys, tasks},
    state::{change::Accepted, core::Core, shared::EXPORTS},
    wire::h1::{Request, Response},
};

/// Units of sizes in texts, as a node reads them.
const UNITS: [(&str, u64); 9] = [
    ("b", 1),
    ("kb", 1000),
    ("kib", 1 << 10),
    ("mb", 1_000_000),
    ("mib", 1 << 20),
    ("gb", 1_000_000_000),
    ("gib", 1 << 30),
    ("tb", 1_000_000_000_000),
    ("tib", 1 << 40),
];

/// `POST /export`.
pub(super) async fn create(core: &Core, request: &Request) -> Result<Response, ApiError> {
    let body = object(keys::json_value(core, request)?, &["url", "apiKey", "payloadSize", "indexes"])?;
    let url = url(&body["url"])?;
    let key = match &body["apiKey"] {
        Value::Null => None,
        Value::String(key) => Some(key.clone()),
        other => return Err(wrong_type(".apiKey", "a string", Code::InvalidExportApiKey, other)),
    };
    let payload_bytes = payload_bytes(&body["payloadSize"])?;
    let indexes = indexes(&body["indexes"])?;
    let shown = key.as_deref().map(secrets::hidden);
    let details = json!({
        "url": url, "apiKey": shown, "payloadSize": body["payloadSize"], "indexes": indexes,
    });
    // The task is an intent until what it has to know is stored.
    let task = NewTask { index_uid: None, ..new_task(request, "", TaskKind::Export, details) };
    let record = core.shared.store.create_task(task).await?;
    let secret = json!({"apiKey": key, "payloadBytes": payload_bytes});
    let accept = TaskChange { accepted: Some(true), ..TaskChange::default() };
    let changes = vec![
        Change::PutRecord {
            table: EXPORTS,
            key: record.uid.to_string(),
            value: secret,
            expected_revision: None,
        },
        Change::UpdateTask { uid: record.uid, change: Box::new(accept) },
    ];
    core.shared.store.commit(changes).await?;
    Ok(tasks::accepted(Accepted { record, degraded: None }))
}

fn url(value: &Value) -> Result<String, ApiError> {
    let text = match value {
        Value::Null => "",
        Value::String(text) => text,
        other => return Err(wrong_type(".url", "a string", Code::InvalidExportUrl, other)),
    };
    let parsed = text.parse::<Uri>().ok().filter(|uri| {
        matches!(uri.scheme_str(), Some("http" | "https")) && uri.host().is_some_and(|host| !host.is_empty())
    });
    match parsed {
        Some(_) => Ok(text.trim_end_matches('/').to_owned()),
        None => {
            let message = format!("Invalid value at `.url`: `{text}` is no http or https address.");
            Err(ApiError::new(Code::InvalidExportUrl, message))
        }
    }
}

fn payload_bytes(value: &Value) -> Result<usize, ApiError> {
    let of_text = |text: &str| {
        let text = text.trim();
        let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let (number, unit) = text.split_at(digits);
        let unit = unit.trim().to_ascii_lowercase();
        let factor = if unit.is_empty() {
            Some(1)
        } else {
            UNITS.iter().find(|known| known.0 == unit).map(|known| known.1)
        };
        number.parse::<u64>().ok()?.checked_mul(factor?)
    };
    let bytes = match value {
        Value::Null => return Ok(limits::EXPORT_PAYLOAD_BYTES_DEFAULT),
        Value::String(text) => of_text(text),
        other => other.as_u64(),
    };
    let bytes = bytes.and_then(|bytes| usize::try_from(bytes).ok());
    match bytes {
        // What is larger than the bound is sent in smaller parts.
        Some(bytes) if bytes > 0 => Ok(bytes.min(limits::EXPORT_PAYLOAD_BYTES_MAX)),
        _ => {
            let message = format!(
                "Invalid value at `.payloadSize`: expected a size such as `24MiB`, but found `{value}`."
            );
            Err(ApiError::new(Code::InvalidExportPayloadSize, message))
        }
    }
}

/// The patterns of indexes with their filters; all indexes where none are given.
fn indexes(value: &Value) -> Result<Value, ApiError> {
    let given = match value {
        Value::Null => return Ok(json!({"*": {"filter": null, "overrideSettings": false}})),
        Value::Object(given) => given,
        other => return Err(wrong_type(".indexes", "an object", Code::BadRequest, other)),
    };
    let mut indexes = Map::new();
    for (pattern, value) in given {
        let literal = pattern.strip_suffix('*').unwrap_or(pattern);
        let is_name =
            literal.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_');
        if !is_name || pattern.is_empty() {
            let message =
                format!("Invalid value at `.indexes`: `{pattern}` is not a valid index uid pattern.");
            return Err(ApiError::new(Code::InvalidIndexUid, message));
        }
        let place = format!(".indexes.{pattern}");
        let members =
            object(value.clone(), &["filter", "overrideSettings"]).map_err(|error| error.inside(&place))?;
        let overrides = match &members["overrideSettings"] {
            Value::Null => false,
            Value::Bool(overrides) => *overrides,
            other => {
                let place = format!("{place}.overrideSettings");
                return Err(wrong_type(&place, "a boolean", Code::InvalidExportIndexOverrideSettings, other));
            }
        };
        let filter = &members["filter"];
        if !matches!(filter, Value::Null | Value::String(_) | Value::Array(_)) {
            let place = format!("{place}.filter");
            return Err(wrong_type(&place, "a string or an array", Code::InvalidExportIndexFilter, filter));
        }
        indexes.insert(pattern.clone(), json!({"filter": filter, "overrideSettings": overrides}));
    }
    Ok(Value::Object(indexes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_in_words_and_numbers() {
        let bytes = |value: Value| payload_bytes(&value).ok();
        assert_eq!(bytes(json!(null)), Some(limits::EXPORT_PAYLOAD_BYTES_DEFAULT));
        assert_eq!(bytes(json!("1 MiB")), Some(1 << 20));
        assert_eq!(bytes(json!("3kB")), Some(3000));
        assert_eq!(bytes(json!(7)), Some(7));
        assert_eq!(bytes(json!("900 TiB")), Some(limits::EXPORT_PAYLOAD_BYTES_MAX));
        for bad in [json!(0), json!("0"), json!(-1), json!("x"), json!("5 parsecs"), json!([]), json!("")] {
            assert_eq!(bytes(bad.clone()), None, "{bad}");
        }
    }

    #[test]
    fn urls_and_patterns_are_checked() {
        assert_eq!(url(&json!("http://h:1/")).unwrap(), "http://h:1");
        for bad in [json!(null), json!("h"), json!("ftp://h"), json!("http://"), json!(1)] {
            assert_eq!(url(&bad).unwrap_err().code(), Some(Code::InvalidExportUrl), "{bad}");
        }
        assert!(
            indexes(&json!({"films*": {}, "books": {"filter": "a = 1", "overrideSettings": true}})).is_ok()
        );
        for bad in [
            json!([]),
            json!({"a b": {}}),
            json!({"": {}}),
            json!({"a": 1}),
            json!({"a": {"x": 1}}),
            json!({"a": {"filter": 1}}),
        ] {
            assert!(indexes(&bad).is_err(), "{bad}");
        }
    }
}
