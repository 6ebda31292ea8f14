//! API keys: list, create, change, delete. The gateway owns them; nodes are never told of them.
//!
//! Invariants: a change is durable before any core knows of it, and every core knows of it before the client does.
//! Concurrent changes of one key are applied one after the other.

use http::StatusCode;
use serde_json::{Value, json};
use store::StoreError;
use uuid::Uuid;

use crate::{
    api::{
        error::{ApiError, Code},
        http::query_string::Query,
    },
    auth::{ApiKey, CreateKey, Held, UpdateKey},
    clock,
    config::limits,
    handlers::extract,
    state::{core::Core, shared::KEYS},
    wire::h1::{Request, Response},
};

/// `GET /keys`.
pub(crate) fn list(core: &Core, request: &Request) -> Result<Response, ApiError> {
    let query = Query::parse(request.uri.query());
    query.only(&["offset", "limit"])?;
    let offset = query.integer::<usize>("offset", Code::InvalidApiKeyOffset)?.unwrap_or(0);
    let limit = query.integer::<usize>("limit", Code::InvalidApiKeyLimit)?.unwrap_or(20);
    let keys = core.shared.keys.load();
    let page = keys.newest_first().into_iter().skip(offset).take(limit).map(|held| held.view());
    let answer = json!({
        "results": page.collect::<Vec<_>>(),
        "offset": offset,
        "limit": limit,
        "total": keys.len(),
    });
    Ok(Response::json(StatusCode::OK, answer.to_string()))
}

/// `GET /keys/{uid_or_key}`.
pub(crate) fn get(core: &Core, uid_or_key: &str) -> Result<Response, ApiError> {
    let uid = find(core, uid_or_key)?;
    view_of(core, uid, StatusCode::OK)
}

/// `POST /keys`.
pub(crate) async fn create(core: &Core, request: &Request) -> Result<Response, ApiError> {
    let now = clock::utc();
    let key = CreateKey::parse(json_value(core, request)?, now)?.into_key(now);
    let exists = || {
        let message = format!("`uid` field value `{}` is already an existing API key.", key.uid);
        ApiError::new(Code::ApiKeyAlreadyExists, message)
    };
    let keys = core.shared.keys.load();
    if keys.by_uid(key.uid).is_some() {
        return Err(exists());
    }
    if keys.len() >= limits::KEYS_MAX {
        return Err(ApiError::overloaded("There are as many API keys as the gateway keeps; delete some."));
    }
    let stored = core.shared.store.put_record(KEYS, &key.uid.to_string(), record(&key)?, None).await;
    let revision = match stored {
        Ok(revision) => revision,
        Err(StoreError::Conflict) => return Err(exists()),
        Err(error) => return Err(error.into()),
    };
    core.shared.keys.rcu(|keys| keys.with_new(&key, revision));
    view_of(core, key.uid, StatusCode::CREATED)
}

/// `PATCH /keys/{uid_or_key}`.
pub(crate) async fn update(core: &Core, request: &Request, uid_or_key: &str) -> Result<Response, ApiError> {
    let change = UpdateKey::parse(json_value(core, request)?)?;
    let uid = find(core, uid_or_key)?;
    loop {
        let (before, revision) = stored(core, uid).await?;
        let key = change.apply(&before, clock::utc());
        let put = core.shared.store.put_record(KEYS, &uid.to_string(), record(&key)?, Some(revision));
        match put.await {
            Ok(revision) => {
                core.shared.keys.rcu(|keys| keys.with_changed(&key, revision));
                return view_of(core, uid, StatusCode::OK);
            }
            // Another client has changed the key in between, so that one made progress; this one is tried again.
            Err(StoreError::Conflict) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// `DELETE /keys/{uid_or_key}`.
pub(crate) async fn delete(core: &Core, uid_or_key: &str) -> Result<Response, ApiError> {
    let uid = find(core, uid_or_key)?;
    loop {
        let (_, revision) = stored(core, uid).await?;
        match core.shared.store.delete_record(KEYS, &uid.to_string(), revision).await {
            Ok(()) => {
                core.shared.keys.rcu(|keys| keys.without(uid, revision));
                return Ok(Response::empty(StatusCode::NO_CONTENT));
            }
            Err(StoreError::Conflict) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// The uid of the key that a path names by its uid or its value.
fn find(core: &Core, uid_or_key: &str) -> Result<Uuid, ApiError> {
    let keys = core.shared.keys.load();
    match Uuid::parse_str(uid_or_key) {
        Ok(uid) => keys.by_uid(uid).map(|_| uid).ok_or_else(|| not_found(&uid.to_string())),
        Err(_) => keys.by_value(uid_or_key).map(|held| held.key.uid).ok_or_else(|| not_found(uid_or_key)),
    }
}

/// The key as it is stored, with its revision.
async fn stored(core: &Core, uid: Uuid) -> Result<(ApiKey, u64), ApiError> {
    let record = core.shared.store.record(KEYS, &uid.to_string()).await?;
    let record = record.ok_or_else(|| not_found(&uid.to_string()))?;
    let key = serde_json::from_value(record.value)
        .map_err(|_| ApiError::new(Code::Internal, "The stored API key cannot be read."))?;
    Ok((key, record.revision))
}

fn view_of(core: &Core, uid: Uuid, status: StatusCode) -> Result<Response, ApiError> {
    let keys = core.shared.keys.load();
    let held: &Held = keys.by_uid(uid).ok_or_else(|| not_found(&uid.to_string()))?;
    Ok(Response::json(status, held.view().to_string()))
}

fn not_found(uid_or_key: &str) -> ApiError {
    ApiError::new(Code::ApiKeyNotFound, format!("API key `{uid_or_key}` not found."))
}

fn record(key: &ApiKey) -> Result<Value, ApiError> {
    serde_json::to_value(key).map_err(|_| ApiError::new(Code::Internal, "The API key cannot be stored."))
}

pub(crate) fn json_value(core: &Core, request: &Request) -> Result<Value, ApiError> {
    let body = extract::json_body(core, request)?;
    if body.is_empty() {
        return Err(ApiError::new(Code::MissingPayload, "A json payload is missing."));
    }
    serde_json::from_slice(&body).map_err(|error| {
        let message = format!("The json payload provided is malformed. `{error}`.");
        ApiError::new(Code::MalformedPayload, message)
    })
}
