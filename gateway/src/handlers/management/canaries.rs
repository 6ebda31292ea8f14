//! `/_miroir/canaries`: makes, shows and deletes canaries, and captures searches as canaries.
//!
//! Invariants: a canary is stored only once its search has been tried, so that no node refuses it later for its
//! form. A refused request changes nothing.

use std::sync::Arc;

use http::StatusCode;
use serde_json::json;

use crate::{
    api::{
        canary::{CANARY_RUNS, Canary, Runs, parse_capture, parse_new},
        error::ApiError,
        http::json_body,
    },
    clock,
    handlers::extract,
    state::{core::Core, heard::Capture, snapshot::find_index},
    traffic::{canaries, canary_table},
    wire::h1::{Request, Response},
};

/// A route about canaries; a text is a canary's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CanariesRoute<'a> {
    List,
    Create,
    Status,
    Capture,
    Delete(&'a str),
}

impl CanariesRoute<'_> {
    /// The route's path with placeholders.
    pub(crate) fn template(&self) -> &'static str {
        match self {
            Self::List | Self::Create => "/_miroir/canaries",
            Self::Status => "/_miroir/canaries/status",
            Self::Capture => "/_miroir/canaries/capture",
            Self::Delete(_) => "/_miroir/canaries/{name}",
        }
    }
}

/// Serves a route about canaries.
pub(crate) async fn serve(
    core: &Core,
    request: &Request,
    asked: CanariesRoute<'_>,
) -> Result<Response, ApiError> {
    let body = || extract::json_body(core, request).and_then(|body| json_body::json(&body));
    match asked {
        CanariesRoute::List => {
            let canaries = core.shared.canaries.load();
            let views = canaries.values().map(|canary| canary.value.view()).collect::<Vec<_>>();
            Ok(Response::json(StatusCode::OK, json!({"results": views}).to_string()))
        }
        CanariesRoute::Create => {
            let canary = parse_new(body()?, clock::utc())?;
            try_out(core, &canary).await?;
            let view = canary.view();
            canary_table::create(&core.shared, canary).await?;
            Ok(Response::json(StatusCode::CREATED, view.to_string()))
        }
        CanariesRoute::Status => status(core).await,
        CanariesRoute::Capture => {
            let wanted = parse_capture(body()?)?;
            find_index(&core.shared.snapshot(), &wanted.index)?;
            let answer =
                json!({"index": wanted.index, "count": wanted.count, "namePrefix": wanted.name_prefix});
            let capture = Capture::new(wanted.index, wanted.count, wanted.name_prefix);
            core.shared.capture.store(Some(Arc::new(capture)));
            Ok(Response::json(StatusCode::ACCEPTED, answer.to_string()))
        }
        CanariesRoute::Delete(name) => {
            canary_table::delete(&core.shared, name).await?;
            Ok(Response::empty(StatusCode::NO_CONTENT))
        }
    }
}

/// Runs the search once: a refusal is the client's answer, while nodes that are down judge nothing.
async fn try_out(core: &Core, canary: &Canary) -> Result<(), ApiError> {
    match canaries::see(core, canary).await {
        Err(error) if error.status().is_client_error() => Err(error),
        Err(_) | Ok(_) => Ok(()),
    }
}

async fn status(core: &Core) -> Result<Response, ApiError> {
    let canaries = core.shared.canaries.load_full();
    let mut results = Vec::with_capacity(canaries.len());
    for (name, canary) in canaries.iter() {
        let record = core.shared.store.record(CANARY_RUNS, name).await?;
        let runs = record.and_then(|record| serde_json::from_value::<Runs>(record.value).ok());
        let runs = runs.unwrap_or_default();
        results.push(json!({"name": name, "index": canary.value.index, "runs": runs.view()}));
    }
    Ok(Response::json(StatusCode::OK, json!({"results": results}).to_string()))
}
