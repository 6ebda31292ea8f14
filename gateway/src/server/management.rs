//! Changes through the management API: each is done once for an `Idempotency-Key`, and told to the audit log.
//!
//! Invariants: a key is claimed durably before the change begins, and released when the change was refused. An answer
//! is given only after the audit log has it. A request that changes nothing does not come by here.

use http::{Method, StatusCode};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use store::{StoreError, Table};

use crate::{
    api::error::{ApiError, Code, key_in_use},
    clock,
    config::limits,
    handlers::management::audit::{self, Changed},
    server::{
        access::{self, Needs},
        routes::{self, Route},
    },
    state::core::Core,
    wire::h1::{Request, Response},
    write::idempotency,
};
/// The table of claimed keys.
const MANAGEMENT_KEYS: Table = Table::named("management_keys");
/// The labels of the audit log: the admin key itself, a session of the console, nothing where no key is set.
const ADMIN_KEY: &str = "admin";
const CONSOLE: &str = "console";
const NO_KEY: &str = "none";

/// A claimed key, and the answer of its request once it has one.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Claim {
    /// Of what makes two requests the same.
    digest: String,
    /// Milliseconds since the epoch.
    claimed_at: u64,
    answer: Option<Answer>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Answer {
    status: u16,
    body: String,
}

/// Whether a request changes something through the management API.
pub(crate) fn is_change(request: &Request, route: &Route<'_>) -> bool {
    request.method != Method::GET && access::needs(route) == Needs::AdminKey
}

/// Performs a change and remembers it; `serving` serves a request as if it were no change.
///
/// # Errors
/// The refusal of the change, 409 for a key of another request, 503 while the store is away.
pub(crate) async fn perform(
    core: &Core,
    request: &Request,
    route: &Route<'_>,
    serving: impl AsyncFn(&Request, &Route<'_>) -> Result<Response, ApiError>,
) -> Result<Response, ApiError> {
    let key = match request.headers.contains_key(idempotency::HEADER) {
        true => Some(idempotency::key(request)?),
        false => None,
    };
    let revision = match key {
        None => None,
        Some(key) => match claim(core, request, key).await? {
            Claimed::Done(answer) => return Ok(answer),
            Claimed::Ours(revision) => Some(revision),
        },
    };
    let before = seen(request, &serving).await;
    let answered = serving(request, route).await;
    let (status, after) = match &answered {
        Ok(response) => (response.status, serde_json::from_slice(&response.body).unwrap_or_default()),
        Err(error) => (error.status(), json!({"refused": error.reason()})),
    };
    let changed = Changed { key: label(request), template: route.template(), status, before, after };
    let remembered = audit::record(core, request, changed).await;
    if let (Some(key), Some(revision)) = (key, revision) {
        conclude(core, request, key, revision, answered.as_ref().ok()).await;
    }
    remembered?;
    answered
}

/// The label of what an admitted request was allowed by.
fn label(request: &Request) -> &'static str {
    let has = |name: &str| request.headers.contains_key(name);
    match () {
        () if has("x-admin-key") || has("authorization") => ADMIN_KEY,
        () if has("cookie") => CONSOLE,
        () => NO_KEY,
    }
}

/// What a `GET` of the same path shows; nothing where there is none, or a whole list.
async fn seen(
    request: &Request,
    serving: &impl AsyncFn(&Request, &Route<'_>) -> Result<Response, ApiError>,
) -> Value {
    let path = percent_encoding::percent_decode_str(request.uri.path()).decode_utf8_lossy();
    let Ok(route) = routes::find(&Method::GET, &path) else { return Value::Null };
    let Ok(uri) = request.uri.path().parse() else { return Value::Null };
    let question = Request {
        method: Method::GET,
        uri,
        headers: http::HeaderMap::new(),
        body: bytes::Bytes::new(),
        upload: None,
        keep_alive: true,
        peer: request.peer,
    };
    match serving(&question, &route).await {
        Ok(response) if response.status == StatusCode::OK => {
            let value: Value = serde_json::from_slice(&response.body).unwrap_or_default();
            if value["results"].is_array() { Value::Null } else { value }
        }
        Ok(_) | Err(_) => Value::Null,
    }
}

/// What a key stands for when a request comes with it.
enum Claimed {
    /// The request of this revision, which is to be performed.
    Ours(u64),
    /// An earlier request, and its answer.
    Done(Response),
}

async fn claim(core: &Core, request: &Request, key: &str) -> Result<Claimed, ApiError> {
    let store = &core.shared.store;
    let claim = Claim { digest: idempotency::digest(request), claimed_at: now_ms(), answer: None };
    make_room(core, key).await?;
    match store.put_record(MANAGEMENT_KEYS, key, json!(claim), None).await {
        Ok(revision) => return Ok(Claimed::Ours(revision)),
        Err(StoreError::Conflict) => {}
        Err(error) => return Err(error.into()),
    }
    let Some(record) = store.record(MANAGEMENT_KEYS, key).await? else { return Err(key_in_use()) };
    let unreadable = |_| ApiError::new(Code::Internal, "A stored idempotency key cannot be read.");
    let first: Claim = serde_json::from_value(record.value).map_err(unreadable)?;
    let age = now_ms().saturating_sub(first.claimed_at);
    let (abandoned, expired) = (
        first.answer.is_none() && age > milliseconds(limits::MANAGEMENT_KEY_ABANDONED),
        age > milliseconds(limits::MANAGEMENT_KEY_RETENTION),
    );
    if abandoned || expired {
        let taken = store.put_record(MANAGEMENT_KEYS, key, json!(claim), Some(record.revision)).await;
        return taken.map(Claimed::Ours).map_err(|error| match error == StoreError::Conflict {
            true => key_in_use(),
            false => error.into(),
        });
    }
    if first.digest != claim.digest {
        let message = "This `Idempotency-Key` was used for another request within the last 24 hours.";
        return Err(ApiError::new(Code::MiroirIdempotencyKeyReused, message));
    }
    let answer = first.answer.ok_or_else(key_in_use)?;
    let status = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::OK);
    Ok(Claimed::Done(match answer.body.is_empty() {
        true => Response::empty(status),
        false => Response::json(status, answer.body),
    }))
}

/// Forgets keys whose time is over; refuses a new one where all others are still remembered.
async fn make_room(core: &Core, key: &str) -> Result<(), ApiError> {
    let store = &core.shared.store;
    let records = store.records(MANAGEMENT_KEYS, None, limits::MANAGEMENT_KEYS_MAX + 1).await?;
    let mut left = records.len();
    for record in records.iter().filter(|record| record.key != key) {
        let claimed_at = record.value["claimedAt"].as_u64().unwrap_or(0);
        if now_ms().saturating_sub(claimed_at) > milliseconds(limits::MANAGEMENT_KEY_RETENTION) {
            // Another pod may have forgotten it as well.
            let _ = store.delete_record(MANAGEMENT_KEYS, &record.key, record.revision).await;
            left -= 1;
        }
    }
    if left >= limits::MANAGEMENT_KEYS_MAX && !records.iter().any(|record| record.key == key) {
        let message = format!(
            "{} keys of management requests are remembered, and no more fit: send this request without `Idempotency-Key`.",
            limits::MANAGEMENT_KEYS_MAX
        );
        return Err(ApiError::new(Code::MiroirOverloaded, message));
    }
    Ok(())
}

/// Keeps the answer with its key, or releases the key when the change was refused. An answer that cannot be kept
/// leaves the key claimed: a repetition is told so until the claim counts as abandoned.
async fn conclude(core: &Core, request: &Request, key: &str, revision: u64, answer: Option<&Response>) {
    let store = &core.shared.store;
    let kept = answer.filter(|answer| answer.status.is_success());
    let kept = kept.filter(|answer| answer.body.len() <= limits::MANAGEMENT_ANSWER_BYTES_MAX);
    let concluded = match kept {
        Some(answer) => {
            let body = String::from_utf8_lossy(&answer.body).into_owned();
            let answer = Some(Answer { status: answer.status.as_u16(), body });
            let claim = Claim { digest: idempotency::digest(request), claimed_at: now_ms(), answer };
            store.put_record(MANAGEMENT_KEYS, key, json!(claim), Some(revision)).await.map(drop)
        }
        None => store.delete_record(MANAGEMENT_KEYS, key, revision).await,
    };
    if let Err(error) = concluded {
        crate::observe::log::warn("management_key_not_kept", &[("reason", &error.to_string())]);
    }
}

fn now_ms() -> u64 {
    u64::try_from(clock::utc().unix_timestamp_nanos() / 1_000_000).unwrap_or(0)
}

fn milliseconds(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
