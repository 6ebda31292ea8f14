//! `/_miroir/changes`: the stream of changes for whoever asks, and its sinks.
//!
//! Invariants: the events of one write are answered together, so an answer may have more than was asked for. A request
//! waits a bounded time, and takes no lock while it does.

use std::time::Duration;

use http::StatusCode;
use serde_json::{Value, json};
use store::{LogEntry, Table};

use crate::{
    api::{
        error::{ApiError, Code},
        http::query_string::Query,
    },
    config::limits,
    events::cdc::{deliver, events, status, webhook},
    state::{core::Core, shared::Shared, snapshot::check_index_uid},
    wire::{
        h1::{Request, Response},
        runtime,
    },
    write::changes::{CHANGES, STREAM},
};

/// A record that is written to learn the present end of the stream: revisions and sequences grow together.
const MARKS: Table = Table::named("cdc_marks");
const NOW: &str = "now";

/// `GET /_miroir/changes`.
pub(super) async fn read(core: &Core, request: &Request) -> Result<Response, ApiError> {
    check_on(&core.shared)?;
    let query = Query::parse(request.uri.query());
    query.only(&["index", "since", "limit", "wait", "body"])?;
    let index = query.get("index");
    index.map(check_index_uid).transpose()?;
    let limit = query.integer::<usize>("limit", Code::BadRequest)?.unwrap_or(limits::CDC_READ_DEFAULT);
    if !(1..=limits::CDC_READ_MAX).contains(&limit) {
        let message = format!("Invalid value in parameter `limit`: give 1 to {}.", limits::CDC_READ_MAX);
        return Err(ApiError::new(Code::BadRequest, message));
    }
    let wait = query.integer::<u64>("wait", Code::BadRequest)?.unwrap_or(0);
    let with_documents = query.flag("body", Code::BadRequest)?.unwrap_or(false);
    let since = match query.integer::<u64>("since", Code::BadRequest)? {
        Some(since) => since,
        None => end(&core.shared).await?,
    };
    let deadline = runtime::now() + Duration::from_secs(wait).min(limits::CDC_WAIT_MAX);
    let (mut results, mut next) = (Vec::new(), since);
    loop {
        let entries = core.shared.store.entries(CHANGES, STREAM, next, limits::CDC_PAGE_BYTES_MAX).await?;
        for entry in &entries {
            results.extend(events::of_entry(entry, index, with_documents));
            next = entry.sequence;
            if results.len() >= limit {
                break;
            }
        }
        let has_more = !entries.is_empty() && results.len() < limit;
        if !results.is_empty() && !has_more {
            break;
        }
        if has_more {
            continue;
        }
        if runtime::now() >= deadline || core.shared.is_draining() {
            break;
        }
        runtime::sleep(limits::CDC_LOOK_INTERVAL).await;
    }
    let body = json!({"results": results, "next": next});
    Ok(Response::json(StatusCode::OK, body.to_string()))
}

/// A cursor behind everything that is in the stream now.
async fn end(shared: &Shared) -> Result<u64, ApiError> {
    for _ in 0..limits::CDC_MARK_ATTEMPTS_MAX {
        let revision = shared.store.record(MARKS, NOW).await?.map(|record| record.revision);
        match shared.store.put_record(MARKS, NOW, Value::Null, revision).await {
            Ok(revision) => return Ok(revision),
            Err(store::StoreError::Conflict) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Err(ApiError::overloaded("Too many ask for the stream's end at once; try again shortly."))
}

/// `GET /_miroir/changes/sinks`.
pub(super) async fn sinks(core: &Core) -> Result<Response, ApiError> {
    check_on(&core.shared)?;
    let mut views = Vec::new();
    for sink in &core.shared.config.cdc.sinks {
        let progress = status::load(&core.shared, sink).await?;
        let behind = behind(&core.shared, progress.cursor).await?;
        let secret = webhook::secret(core.shared.config.admin_key.as_ref(), sink);
        views.push(status::view(sink, &progress, behind, secret));
    }
    Ok(Response::json(StatusCode::OK, json!({"results": views}).to_string()))
}

/// Bytes that a sink has not got, counted up to a page's, and the age of the first entry among them in seconds.
async fn behind(shared: &Shared, cursor: u64) -> Result<(u64, u64), ApiError> {
    let entries = shared.store.entries(CHANGES, STREAM, cursor, limits::CDC_PAGE_BYTES_MAX).await?;
    let bytes = entries.iter().map(|entry: &LogEntry| entry.body.len() as u64).sum();
    Ok((bytes, entries.first().map_or(0, deliver::lag_seconds)))
}

fn check_on(shared: &Shared) -> Result<(), ApiError> {
    match shared.config.cdc.on {
        true => Ok(()),
        false => {
            let message = "The stream of changes is switched off on this gateway: `--cdc on` switches it on.";
            Err(ApiError::new(Code::FeatureNotEnabled, message))
        }
    }
}
