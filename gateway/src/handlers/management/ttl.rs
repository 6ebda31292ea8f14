//! `/_miroir/indexes/{uid}/ttl-policy`: whether documents of an index expire, and how expired ones are swept.
//!
//! Invariant: a policy is changed in the lane of its index, so that no write is judged by two policies.

use std::sync::Arc;

use http::{Method, StatusCode};
use serde_json::{Value, json};
use store::{IndexRecord, StoreError, TtlPolicy};

use crate::{
    api::{
        error::{ApiError, Code},
        http::json_body,
    },
    config::limits,
    handlers::extract,
    state::{
        core::Core,
        refresh,
        snapshot::{Index, check_index_uid, publish},
    },
    wire::h1::{Request, Response},
    write::lane,
};

/// `GET`, `POST` and `DELETE /_miroir/indexes/{uid}/ttl-policy`.
pub(crate) async fn policy(core: &Core, request: &Request, uid: &str) -> Result<Response, ApiError> {
    check_index_uid(uid)?;
    let snapshot = core.shared.snapshot();
    let target = snapshot.writable(uid)?;
    let not_found = || ApiError::new(Code::IndexNotFound, format!("Index `{uid}` not found."));
    let policy = match request.method {
        Method::POST => Some(parse(core, request)?),
        Method::DELETE => None,
        _ => {
            let index = snapshot.indexes.get(target).ok_or_else(not_found)?;
            let policy = index.record.ttl.ok_or_else(|| no_policy(uid))?;
            return Ok(Response::json(StatusCode::OK, json!(policy).to_string()));
        }
    };
    let _hold = lane::lock(core, vec![target]).await?;
    loop {
        let index = core.shared.snapshot().indexes.get(target).cloned().ok_or_else(not_found)?;
        if policy.is_none() && index.record.ttl.is_none() {
            return Err(no_policy(uid));
        }
        let mut record = IndexRecord { ttl: policy, ..index.record.clone() };
        let expected = Some(record.revision);
        match core.shared.store.put_index(record.clone(), expected).await {
            Ok(revision) => {
                record.revision = revision;
                let changed = Arc::new(Index::new(record, Arc::clone(&index.placement)));
                publish(&core.shared.snapshot, |snapshot| snapshot.with_changed(Arc::clone(&changed)));
                return Ok(match policy {
                    Some(policy) => Response::json(StatusCode::OK, json!(policy).to_string()),
                    None => Response::empty(StatusCode::NO_CONTENT),
                });
            }
            // The index's settings were committed meanwhile, or another pod changed the index.
            Err(StoreError::Conflict) => refresh::index(&core.shared, target).await?,
            Err(error) => return Err(error.into()),
        }
    }
}

fn no_policy(uid: &str) -> ApiError {
    ApiError::new(Code::MiroirTtlPolicyNotFound, format!("Index `{uid}` has no TTL policy."))
}

fn parse(core: &Core, request: &Request) -> Result<TtlPolicy, ApiError> {
    if !core.shared.config.ttl {
        let message = "TTL is switched off on this gateway (`--ttl off`): indexes cannot have a policy.";
        return Err(ApiError::new(Code::FeatureNotEnabled, message));
    }
    let known = ["enabled", "sweepIntervalSeconds", "maxDeletesPerSweep"];
    let body = json_body::object(json_body::json(&extract::json_body(core, request)?)?, &known)?;
    let enabled = match &body["enabled"] {
        Value::Null => true,
        Value::Bool(enabled) => *enabled,
        other @ (Value::Number(_) | Value::String(_) | Value::Array(_) | Value::Object(_)) => {
            return Err(bad(format!(
                "Invalid value at `.enabled`: expected a boolean, but found `{other}`."
            )));
        }
    };
    let sweeps = u32::try_from(limits::TTL_SWEEP_INTERVAL.as_secs()).unwrap_or(u32::MAX);
    Ok(TtlPolicy {
        enabled,
        sweep_interval_seconds: number(&body, known[1], sweeps, limits::TTL_SWEEP_INTERVAL_SECONDS_MAX)?,
        max_deletes_per_sweep: number(&body, known[2], limits::TTL_DELETES_MAX, limits::TTL_DELETES_MAX)?,
    })
}

fn number(body: &Value, name: &str, default: u32, most: u32) -> Result<u32, ApiError> {
    let value = &body[name];
    if value.is_null() {
        return Ok(default);
    }
    let number = value.as_u64().and_then(|number| u32::try_from(number).ok());
    number.filter(|number| (1..=most).contains(number)).ok_or_else(|| {
        bad(format!(
            "Invalid value at `.{name}`: expected a whole number from 1 to {most}, but found `{value}`."
        ))
    })
}

fn bad(message: String) -> ApiError {
    ApiError::new(Code::BadRequest, message)
}
