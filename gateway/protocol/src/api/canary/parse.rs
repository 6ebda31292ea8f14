//! The bodies of the routes about canaries.
//!
//! Invariant: what is wrong is named with its place, and a body with anything unknown in it is refused.

use serde_json::Value;
use time::OffsetDateTime;

use crate::{
    api::{
        canary::{Assertion, Canary},
        error::{ApiError, Code},
        http::json_body::object,
        tasks::view::{invalid_index_uid_reason, is_index_uid},
    },
    limits::{
        CANARY_ASSERTIONS_MAX, CANARY_IDS_MAX, CANARY_INTERVAL_SECONDS_MAX, CANARY_QUERY_BYTES_MAX,
        CANARY_TOP_MAX, CAPTURES_MAX,
    },
};

pub(super) const INTERVAL_SECONDS_DEFAULT: u32 = 60;

/// The searches that a client wants to become canaries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CaptureRequest {
    pub index: String,
    pub count: usize,
    pub name_prefix: String,
}

/// Reads the body of `POST /_miroir/canaries`.
///
/// # Errors
/// 400 that names what is wrong.
pub fn parse_new(body: Value, now: OffsetDateTime) -> Result<Canary, ApiError> {
    let body = object(body, &["name", "index", "intervalSeconds", "query", "assertions"])?;
    let name = uid(&body, "name")?;
    let index = uid(&body, "index")?;
    let interval_seconds = match body["intervalSeconds"].is_null() {
        true => INTERVAL_SECONDS_DEFAULT,
        false => {
            let seconds = whole(&body, "", "intervalSeconds", 1, u64::from(CANARY_INTERVAL_SECONDS_MAX))?;
            u32::try_from(seconds).unwrap_or(CANARY_INTERVAL_SECONDS_MAX)
        }
    };
    let query = body["query"].clone();
    if !query.is_object() {
        return Err(if query.is_null() { missing("query") } else { wrong(".query", "an object", &query) });
    }
    if query.to_string().len() > CANARY_QUERY_BYTES_MAX {
        return Err(bad(format!(
            "Invalid value at `.query`: it has more than {CANARY_QUERY_BYTES_MAX} bytes."
        )));
    }
    let assertions = assertions(&body["assertions"])?;
    Ok(Canary { name, index, interval_seconds, query, assertions, created_at: now })
}

fn assertions(value: &Value) -> Result<Vec<Assertion>, ApiError> {
    let Some(list) = value.as_array() else {
        return Err(match value.is_null() {
            true => missing("assertions"),
            false => wrong(".assertions", "an array", value),
        });
    };
    if !(1..=CANARY_ASSERTIONS_MAX).contains(&list.len()) {
        let count = list.len();
        return Err(bad(format!(
            "Invalid value at `.assertions`: a canary has 1 to {CANARY_ASSERTIONS_MAX}, but {count} are given."
        )));
    }
    let read =
        |(position, each): (usize, &Value)| assertion(each.clone(), &format!(".assertions[{position}]"));
    list.iter().enumerate().map(read).collect()
}

/// Reads the body of `POST /_miroir/canaries/capture`.
///
/// # Errors
/// 400 that names what is wrong.
pub fn parse_capture(body: Value) -> Result<CaptureRequest, ApiError> {
    let body = object(body, &["index", "count", "namePrefix"])?;
    let index = uid(&body, "index")?;
    let count = match body["count"].is_null() {
        true => return Err(missing("count")),
        false => whole(&body, "", "count", 1, CAPTURES_MAX as u64)?,
    };
    let name_prefix = uid(&body, "namePrefix")?;
    Ok(CaptureRequest { index, count: usize::try_from(count).unwrap_or(CAPTURES_MAX), name_prefix })
}

fn assertion(value: Value, place: &str) -> Result<Assertion, ApiError> {
    let Some(kind) = value["type"].as_str().map(str::to_owned) else {
        return Err(match value.is_object() && value["type"].is_null() {
            true => bad(format!("Missing field `type` at `{place}`.")),
            false if value.is_object() => wrong(&format!("{place}.type"), "a string", &value["type"]),
            false => wrong(place, "an object", &value),
        });
    };
    let known: &[&str] = match kind.as_str() {
        "top_hit_id" | "min_hits" | "max_p95_ms" | "settings_version_at_least" => &["type", "value"],
        "top_k_contains" => &["type", "k", "ids"],
        "must_not_contain_id" => &["type", "ids"],
        _ => {
            return Err(bad(format!(
                "Unknown value `{kind}` at `{place}.type`: expected one of `top_hit_id`, `top_k_contains`, `min_hits`, `max_p95_ms`, `settings_version_at_least`, `must_not_contain_id`."
            )));
        }
    };
    let value = object(value, known).map_err(|error| error.inside(place))?;
    if let Some(missing) = known.iter().find(|name| value[**name].is_null()) {
        return Err(bad(format!("Missing field `{missing}` at `{place}`.")));
    }
    match kind.as_str() {
        "top_hit_id" => Ok(Assertion::TopHitId { value: id(&value["value"], &format!("{place}.value"))? }),
        "min_hits" => {
            Ok(Assertion::MinHits { value: whole(&value, place, "value", 0, u64::from(u32::MAX))? })
        }
        "settings_version_at_least" => {
            Ok(Assertion::SettingsVersionAtLeast { value: whole(&value, place, "value", 0, u64::MAX)? })
        }
        "max_p95_ms" => match value["value"].as_f64().filter(|most| *most > 0.0) {
            Some(most) => Ok(Assertion::MaxP95Ms { value: most }),
            None => Err(wrong(&format!("{place}.value"), "a number above 0", &value["value"])),
        },
        "top_k_contains" => {
            let k = whole(&value, place, "k", 1, CANARY_TOP_MAX as u64)?;
            let ids = ids(&value["ids"], &format!("{place}.ids"))?;
            Ok(Assertion::TopKContains { k: usize::try_from(k).unwrap_or(CANARY_TOP_MAX), ids })
        }
        _ => Ok(Assertion::MustNotContainId { ids: ids(&value["ids"], &format!("{place}.ids"))? }),
    }
}

fn ids(value: &Value, place: &str) -> Result<Vec<Value>, ApiError> {
    match value.as_array().filter(|list| (1..=CANARY_IDS_MAX).contains(&list.len())) {
        Some(list) => list
            .iter()
            .enumerate()
            .map(|(position, each)| id(each, &format!("{place}[{position}]")))
            .collect(),
        None => Err(wrong(place, &format!("an array of 1 to {CANARY_IDS_MAX} ids"), value)),
    }
}

fn id(value: &Value, place: &str) -> Result<Value, ApiError> {
    let is_id = value.is_i64() || value.is_u64() || value.as_str().is_some_and(|text| !text.is_empty());
    if is_id { Ok(value.clone()) } else { Err(wrong(place, "a document's id", value)) }
}

fn whole(body: &Value, place: &str, name: &str, least: u64, most: u64) -> Result<u64, ApiError> {
    let value = &body[name];
    let number = value.as_u64().filter(|number| (least..=most).contains(number));
    number.ok_or_else(|| {
        wrong(&format!("{place}.{name}"), &format!("a whole number from {least} to {most}"), value)
    })
}

fn uid(body: &Value, name: &str) -> Result<String, ApiError> {
    let value = &body[name];
    let Some(uid) = value.as_str() else {
        return Err(match value.is_null() {
            true => missing(name),
            false => wrong(&format!(".{name}"), "a string", value),
        });
    };
    if is_index_uid(uid) {
        return Ok(uid.to_owned());
    }
    if name == "index" {
        let message = format!("Invalid value at `.index`: {}", invalid_index_uid_reason(uid));
        return Err(ApiError::new(Code::InvalidIndexUid, message));
    }
    Err(bad(format!(
        "Invalid value at `.{name}`: `{uid}` is no name: 1 to 400 of the characters A-Z a-z 0-9 - _ are allowed."
    )))
}

fn missing(name: &str) -> ApiError {
    bad(format!("Missing field `{name}`."))
}

fn wrong(place: &str, expected: &str, found: &Value) -> ApiError {
    bad(format!("Invalid value at `{place}`: expected {expected}, but found `{found}`."))
}

fn bad(message: String) -> ApiError {
    ApiError::new(Code::BadRequest, message)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const NOW: OffsetDateTime = OffsetDateTime::UNIX_EPOCH;

    fn with(member: &str, value: Value) -> Value {
        let mut body = json!({
            "name": "first", "index": "films", "query": {"q": "a"},
            "assertions": [{"type": "min_hits", "value": 1}],
        });
        body[member] = value;
        body
    }

    #[test]
    fn bad_bodies_are_refused_with_what_is_wrong() {
        let check = |body: Value, expected: &str| {
            let message = parse_new(body.clone(), NOW).unwrap_err().into_task_error().message;
            assert!(message.contains(expected), "{body}: {message}");
        };
        check(json!(7), "object");
        check(with("x", json!(1)), "`x`");
        check(with("name", Value::Null), "Missing field `name`");
        check(with("name", json!("a b")), "`.name`");
        check(with("name", json!(1)), "`.name`");
        check(with("index", json!("a/b")), "`.index`");
        check(with("intervalSeconds", json!(0)), "`.intervalSeconds`");
        check(with("intervalSeconds", json!(1.5)), "`.intervalSeconds`");
        check(with("intervalSeconds", json!(90_000)), "86400");
        check(with("query", Value::Null), "Missing field `query`");
        check(with("query", json!("q")), "`.query`");
        check(with("query", json!({"q": "a".repeat(70_000)})), "bytes");
        check(with("assertions", Value::Null), "Missing field `assertions`");
        check(with("assertions", json!({})), "`.assertions`");
        check(with("assertions", json!([])), "1 to 20");
        let assertion = |each: Value, expected: &str| check(with("assertions", json!([each])), expected);
        assertion(json!(1), "`.assertions[0]`");
        assertion(json!({}), "Missing field `type` at `.assertions[0]`");
        assertion(json!({"type": 1}), "`.assertions[0].type`");
        assertion(json!({"type": "top"}), "`must_not_contain_id`");
        assertion(json!({"type": "min_hits"}), "Missing field `value`");
        assertion(json!({"type": "min_hits", "value": -1}), "`.assertions[0].value`");
        assertion(json!({"type": "min_hits", "value": 1, "k": 1}), "`k`");
        assertion(json!({"type": "top_hit_id", "value": {}}), "a document's id");
        assertion(json!({"type": "top_k_contains", "k": 0, "ids": [1]}), "`.assertions[0].k`");
        assertion(json!({"type": "top_k_contains", "k": 1}), "Missing field `ids`");
        assertion(json!({"type": "top_k_contains", "k": 1, "ids": []}), "1 to 100 ids");
        assertion(json!({"type": "max_p95_ms", "value": 0}), "above 0");
        assertion(json!({"type": "settings_version_at_least", "value": "1"}), "`.assertions[0].value`");
        assertion(json!({"type": "must_not_contain_id", "ids": [1, null]}), "`.assertions[0].ids[1]`");
    }

    #[test]
    fn a_canary_comes_back_from_the_store_as_it_was() {
        let assertions = json!([
            {"type": "top_hit_id", "value": 7},
            {"type": "top_k_contains", "k": 3, "ids": ["a", 2]},
            {"type": "min_hits", "value": 1},
            {"type": "max_p95_ms", "value": 12.5},
            {"type": "settings_version_at_least", "value": 4},
            {"type": "must_not_contain_id", "ids": [9]},
        ]);
        let canary = parse_new(with("assertions", assertions.clone()), NOW).unwrap();
        let stored = serde_json::to_value(&canary).unwrap();
        assert_eq!(serde_json::from_value::<Canary>(stored).unwrap(), canary);
        assert_eq!(canary.view()["assertions"], assertions);
        assert_eq!(canary.interval_seconds, 60);
        let body: Value = serde_json::from_slice(&canary.search_body(Some("id"))).unwrap();
        assert_eq!(body, json!({"q": "a", "attributesToRetrieve": ["id"]}));
    }

    #[test]
    fn a_capture_is_bounded() {
        let check = |body: Value, expected: &str| {
            let message = parse_capture(body.clone()).unwrap_err().into_task_error().message;
            assert!(message.contains(expected), "{body}: {message}");
        };
        check(json!({"count": 1, "namePrefix": "a"}), "Missing field `index`");
        check(json!({"index": "a", "namePrefix": "a"}), "Missing field `count`");
        check(json!({"index": "a", "count": 1}), "Missing field `namePrefix`");
        check(json!({"index": "a", "count": 0, "namePrefix": "a"}), "1 to 100");
        check(json!({"index": "a", "count": 101, "namePrefix": "a"}), "1 to 100");
        check(json!({"index": "a", "count": 1, "namePrefix": "a b"}), "`.namePrefix`");
    }
}
