//! The audit log: what was changed through the management API, when, with which key, and what was there before and
//! after. `GET /_miroir/audit` reads it.
//!
//! Invariants: an entry is durable before the change is answered. The log holds the newest
//! [`limits::AUDIT_ENTRIES_MAX`] entries, and neither keys nor request bodies, which may hold some.

use std::time::Duration;

use http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use store::{Change, StoreError, Table};
use time::OffsetDateTime;

use crate::{
    api::{
        error::{ApiError, Code},
        http::query_string::Query,
    },
    clock,
    config::limits,
    observe::log,
    state::core::Core,
    wire::h1::{Request, Response},
};

/// The table of entries; the newest has the lowest key.
const AUDIT: Table = Table::named("audit");
/// The counter that numbers the entries of a store.
const NUMBERS: &str = "audit";
const FOR_EVER: Duration = Duration::from_secs(100 * 365 * 86_400);

/// One change as it is remembered.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Entry {
    id: u64,
    #[serde(with = "time::serde::rfc3339")]
    at: OffsetDateTime,
    /// The label of the key.
    key: String,
    /// The pod that took the request.
    pod: String,
    /// Method and path with placeholders.
    action: String,
    path: String,
    status: u16,
    before: Value,
    after: Value,
}

/// What is told of a change.
pub(crate) struct Changed<'a> {
    /// The label of the key that it was made with.
    pub(crate) key: &'a str,
    pub(crate) template: &'static str,
    pub(crate) status: StatusCode,
    pub(crate) before: Value,
    pub(crate) after: Value,
}

/// Remembers a change that was answered, or refused, with a status.
///
/// # Errors
/// The store's error; the change itself may have happened.
pub(crate) async fn record(core: &Core, request: &Request, changed: Changed<'_>) -> Result<(), StoreError> {
    let (path, action) = (request.uri.path().to_owned(), format!("{} {}", request.method, changed.template));
    log::info(
        "management_change",
        &[("key", changed.key), ("action", &action), ("path", &path), ("status", changed.status.as_str())],
    );
    let store = &core.shared.store;
    loop {
        let id = store.count(NUMBERS, 1, FOR_EVER).await?;
        let entry = Entry {
            id,
            at: clock::utc(),
            key: changed.key.to_owned(),
            pod: core.shared.coordinator.pod().to_owned(),
            action: action.clone(),
            path: path.clone(),
            status: changed.status.as_u16(),
            before: bounded(&changed.before),
            after: bounded(&changed.after),
        };
        let put =
            Change::PutRecord { table: AUDIT, key: key(id), value: json!(entry), expected_revision: None };
        let oldest = id.saturating_sub(limits::AUDIT_ENTRIES_MAX);
        let forgotten = Change::ForgetRecord { table: AUDIT, key: key(oldest) };
        match store.commit(vec![put, forgotten]).await {
            Ok(_) => return Ok(()),
            // The counter was lost, and starts again below what the log holds.
            Err(StoreError::Conflict) => {}
            Err(error) => return Err(error),
        }
    }
}

/// `GET /_miroir/audit`: the newest entries, from the one with the number `from` down.
pub(crate) async fn list(core: &Core, request: &Request) -> Result<Response, ApiError> {
    let query = Query::parse(request.uri.query());
    query.only(&["limit", "from"])?;
    let limit = query.integer::<u32>("limit", Code::BadRequest)?.unwrap_or(limits::AUDIT_PAGE_DEFAULT);
    if limit == 0 || limit > limits::AUDIT_PAGE_MAX {
        let message = format!(
            "Invalid value in parameter `limit`: expected a whole number from 1 to {}, but found `{limit}`.",
            limits::AUDIT_PAGE_MAX
        );
        return Err(ApiError::new(Code::BadRequest, message));
    }
    let from = query.integer::<u64>("from", Code::BadRequest)?;
    let after = from.map(|id| key(id.saturating_add(1)));
    let count = usize::try_from(limit).unwrap_or(usize::MAX).saturating_add(1);
    let records = core.shared.store.records(AUDIT, after.as_deref(), count).await?;
    let mut entries = records.into_iter().map(|record| record.value).collect::<Vec<_>>();
    let next = if entries.len() == count { entries.pop() } else { None };
    let number = |entry: Option<&Value>| entry.map_or(Value::Null, |entry| entry["id"].clone());
    let answer = json!({
        "limit": limit,
        "from": number(entries.first()),
        "next": number(next.as_ref()),
        "results": entries,
    });
    Ok(Response::json(StatusCode::OK, answer.to_string()))
}

/// The key of an entry: later entries come first.
fn key(id: u64) -> String {
    format!("{:020}", u64::MAX - id)
}

/// A value that fits an entry; one that is larger is described.
fn bounded(value: &Value) -> Value {
    let length = value.to_string().len();
    match length > limits::AUDIT_VALUE_BYTES_MAX {
        true => json!({"omittedBytes": length}),
        false => value.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn later_entries_have_lower_keys_and_values_are_bounded() {
        assert!(key(10) < key(9) && key(100) < key(99) && key(0) > key(1));
        assert_eq!(key(7).len(), key(u64::MAX).len());
        assert_eq!(bounded(&json!({"a": 1})), json!({"a": 1}));
        let large = json!("x".repeat(limits::AUDIT_VALUE_BYTES_MAX));
        assert_eq!(bounded(&large), json!({"omittedBytes": limits::AUDIT_VALUE_BYTES_MAX + 2}));
    }
}
