//! Anti-entropy in the management API: `POST /_miroir/anti-entropy`, its status and its history.

use http::StatusCode;
use serde::Deserialize;
use serde_json::json;

use crate::{
    api::error::{ApiError, Code},
    config::Schedule,
    handlers::extract,
    repair::{
        pass,
        queue::{self, PassRequest},
    },
    state::{core::Core, shared::Shared},
    wire::h1::{Request, Response},
};

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
struct RunRequest {
    /// Only this index.
    index: Option<String>,
    /// Only this node, its indexes and settings included.
    node: Option<String>,
    /// Compare, and repair nothing.
    dry_run: bool,
    /// Only these shards, as `FIRST-LAST` or as one number.
    shards: Option<String>,
}

/// The first and the last shard of a range.
fn range(text: &str) -> Result<(u32, u32), ApiError> {
    let (least, most) = text.split_once('-').unwrap_or((text, text));
    match (least.trim().parse::<u32>(), most.trim().parse::<u32>()) {
        (Ok(least), Ok(most)) if least <= most => Ok((least, most)),
        _ => {
            let message = format!(
                "Invalid value at `.shards`: expected FIRST-LAST, for example `0-63`, but found `{text}`."
            );
            Err(ApiError::new(Code::BadRequest, message))
        }
    }
}

/// Requests a pass; 202 with its number.
///
/// # Errors
/// 400 for an unreadable body, 404 for an unknown index, and the store's error.
pub async fn start(shared: &Shared, request: &Request) -> Result<Response, ApiError> {
    let wanted = match request.body.is_empty() {
        true => RunRequest::default(),
        false => extract::members::<RunRequest>(request)?,
    };
    if let Some(uid) = wanted.index.as_deref().filter(|uid| !shared.snapshot().indexes.contains_key(*uid)) {
        return Err(ApiError::new(Code::IndexNotFound, format!("Index `{uid}` not found.")));
    }
    let shards = wanted.shards.as_deref().map(range).transpose()?;
    let node = match wanted.node.as_deref() {
        None => None,
        Some(_) if wanted.dry_run || wanted.index.is_some() || shards.is_some() => {
            let message = "`node` goes with none of `index`, `shards` and `dryRun`.";
            return Err(ApiError::new(Code::BadRequest, message));
        }
        Some(id) => {
            let known = shared.snapshot().topology.index_of(id);
            known.ok_or_else(|| ApiError::new(Code::BadRequest, format!("There is no node `{id}`.")))?;
            Some(id.to_owned())
        }
    };
    let pass_request = PassRequest {
        number: 0,
        index: wanted.index,
        node,
        dry_run: wanted.dry_run,
        periodic: false,
        shards,
    };
    let number = queue::enqueue(shared, pass_request).await?;
    Ok(Response::json(StatusCode::ACCEPTED, json!({"pass": number}).to_string()))
}

/// The running pass, the waiting ones, and how the last one ended.
///
/// # Errors
/// The store's error.
pub async fn status(core: &Core) -> Result<Response, ApiError> {
    // The queue is read first: a pass that ends in between shows twice rather than never.
    let queue = queue::queue(&core.shared.store).await?;
    let last = pass::history(core).await?.pop();
    let answer = json!({
        "enabled": core.shared.config.anti_entropy,
        "intervalSeconds": core.shared.config.passes.interval.as_secs(),
        "schedule": core.shared.config.passes.schedule.as_ref().map(Schedule::text),
        "waiting": queue.waiting,
        "queued": queue.queued,
        "running": queue.running,
        "dead": queue.dead,
        "last": last,
    });
    Ok(Response::json(StatusCode::OK, answer.to_string()))
}

/// The passes in the history, newest first.
///
/// # Errors
/// The store's error.
pub async fn history(core: &Core) -> Result<Response, ApiError> {
    let mut passes = pass::history(core).await?;
    passes.reverse();
    Ok(Response::json(StatusCode::OK, json!({"results": passes}).to_string()))
}
