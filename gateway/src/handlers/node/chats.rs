//! `/chats`: workspaces with their settings, which the gateway keeps; no node knows of them.
//!
//! Invariants: a change builds on the settings as they are stored. Secrets are hidden in every answer.

use http::StatusCode;
use serde_json::{Value, json};
use store::StoreError;

use crate::{
    api::{
        chat::{self, WORKSPACES},
        error::{ApiError, Code},
        http::query_string::Query,
        secrets,
    },
    config::limits,
    handlers::{
        keys,
        node::{CHATS, check_feature},
    },
    state::{core::Core, snapshot::check_index_uid},
    wire::h1::{Request, Response},
};

const SETTINGS_ROUTE: &str = "using the /chats/settings route";
/// How often a change is tried again when another one comes between.
const ATTEMPTS_MAX: usize = 20;

/// `GET /chats`: a page of workspaces.
pub(super) async fn list(core: &Core, request: &Request) -> Result<Response, ApiError> {
    check_feature(core, &CHATS, "listing the chats").await?;
    let query = Query::parse(request.uri.query());
    query.only(&["offset", "limit"])?;
    let offset = query.integer::<usize>("offset", Code::InvalidIndexOffset)?.unwrap_or(0);
    let limit = query.integer::<usize>("limit", Code::InvalidIndexLimit)?.unwrap_or(20);
    let records = core.shared.store.records(WORKSPACES, None, limits::CHAT_WORKSPACES_MAX).await?;
    let page = records.iter().skip(offset).take(limit).map(|record| json!({"uid": record.key}));
    let page = page.collect::<Vec<_>>();
    let body = json!({"results": page, "offset": offset, "limit": limit, "total": records.len()});
    Ok(Response::json(StatusCode::OK, body.to_string()))
}

/// `GET /chats/{workspace}`.
pub(super) async fn get(core: &Core, uid: &str) -> Result<Response, ApiError> {
    check_feature(core, &CHATS, "displaying a chat").await?;
    check_index_uid(uid)?;
    match core.shared.store.record(WORKSPACES, uid).await? {
        Some(_) => Ok(Response::json(StatusCode::OK, json!({"uid": uid}).to_string())),
        None => Err(ApiError::new(Code::ChatNotFound, format!("chat {uid} not found"))),
    }
}

/// `DELETE /chats/{workspace}`.
pub(super) async fn delete(core: &Core, uid: &str) -> Result<Response, ApiError> {
    check_feature(core, &CHATS, "deleting a chat").await?;
    for _ in 0..ATTEMPTS_MAX {
        let Some(record) = core.shared.store.record(WORKSPACES, uid).await? else {
            return Err(ApiError::new(Code::ChatNotFound, format!("chat {uid} not found")));
        };
        match core.shared.store.delete_record(WORKSPACES, uid, record.revision).await {
            Ok(()) => return Ok(Response::empty(StatusCode::NO_CONTENT)),
            Err(StoreError::Conflict) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Err(changing())
}

/// `GET /chats/{workspace}/settings`.
pub(super) async fn settings(core: &Core, uid: &str) -> Result<Response, ApiError> {
    check_feature(core, &CHATS, SETTINGS_ROUTE).await?;
    match core.shared.store.record(WORKSPACES, uid).await? {
        Some(record) => Ok(shown(record.value)),
        None => Err(not_found(uid)),
    }
}

/// `PATCH /chats/{workspace}/settings`: makes the workspace where there is none.
pub(super) async fn change(core: &Core, request: &Request, uid: &str) -> Result<Response, ApiError> {
    let patch = keys::json_value(core, request)?;
    check_feature(core, &CHATS, SETTINGS_ROUTE).await?;
    check_index_uid(uid)?;
    for _ in 0..ATTEMPTS_MAX {
        let (before, revision) = match core.shared.store.record(WORKSPACES, uid).await? {
            Some(record) => (record.value, Some(record.revision)),
            None => (chat::workspace_default(), None),
        };
        let after = chat::workspace_after(before, patch.clone())?;
        if revision.is_none() {
            let most = limits::CHAT_WORKSPACES_MAX;
            if core.shared.store.records(WORKSPACES, None, most).await?.len() >= most {
                let message = format!("There are {most} chat workspaces, as many as there may be.");
                return Err(ApiError::new(Code::BadRequest, message));
            }
        }
        match core.shared.store.put_record(WORKSPACES, uid, after.clone(), revision).await {
            Ok(_) => return Ok(shown(after)),
            Err(StoreError::Conflict) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Err(changing())
}

/// `DELETE /chats/{workspace}/settings`: back to the defaults.
pub(super) async fn reset(core: &Core, uid: &str) -> Result<Response, ApiError> {
    check_feature(core, &CHATS, SETTINGS_ROUTE).await?;
    for _ in 0..ATTEMPTS_MAX {
        let Some(record) = core.shared.store.record(WORKSPACES, uid).await? else {
            return Err(not_found(uid));
        };
        let default = chat::workspace_default();
        match core.shared.store.put_record(WORKSPACES, uid, default.clone(), Some(record.revision)).await {
            Ok(_) => return Ok(shown(default)),
            Err(StoreError::Conflict) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Err(changing())
}

fn shown(mut settings: Value) -> Response {
    secrets::hide(&mut settings);
    Response::json(StatusCode::OK, settings.to_string())
}

fn not_found(uid: &str) -> ApiError {
    ApiError::new(Code::ChatNotFound, format!("Chat `{uid}` not found"))
}

fn changing() -> ApiError {
    ApiError::overloaded("The workspace changes all the time; try again shortly.")
}
