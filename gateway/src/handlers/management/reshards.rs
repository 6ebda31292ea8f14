//! `/_miroir/indexes/{uid}/reshard`: another number of shards for one index, and the way back.
//!
//! Invariant: what can be known to be wrong is refused by name before an operation exists.

use std::sync::Arc;

use http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::{
    api::error::{ApiError, Code},
    clock,
    config::limits,
    handlers::{extract, management::operations::error_of},
    membership::{
        rebalance::{
            operation::{IndexChange, Operation, Wanted},
            queue,
        },
        reshard::{copies, forecast, phases},
    },
    state::{
        core::Core,
        snapshot::{Index, find_index},
    },
    wire::h1::{Request, Response},
};

/// What a path and a method ask for; a text is an index or an alias of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ReshardRoute<'a> {
    Start(&'a str),
    Status(&'a str),
    Revert,
}

impl ReshardRoute<'_> {
    /// The route's path with placeholders.
    pub(crate) fn template(&self) -> &'static str {
        match self {
            Self::Start(_) => "/_miroir/indexes/{uid}/reshard",
            Self::Status(_) => "/_miroir/indexes/{uid}/reshard/status",
            Self::Revert => "/_miroir/routing/revert",
        }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct StartBody {
    shards: u32,
    #[serde(default)]
    throttle: u32,
    #[serde(default)]
    schedule_window: Option<String>,
    #[serde(default = "yes")]
    auto_cutover: bool,
    #[serde(default)]
    dry_run: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RevertBody {
    index: String,
}

const fn yes() -> bool {
    true
}

/// # Errors
/// 400 for what cannot be done, with the reason; 404 for an index that is not there; 409 while another operation is on
/// the index; what the store says.
pub(crate) async fn serve(
    core: &Core,
    request: &Request,
    asked: ReshardRoute<'_>,
) -> Result<Response, ApiError> {
    match asked {
        ReshardRoute::Status(uid) => status(core, uid).await,
        ReshardRoute::Start(uid) => start(core, request, uid).await,
        ReshardRoute::Revert => {
            check_switch(core)?;
            let RevertBody { index } = extract::members(request)?;
            let index = one_index(core, &index)?;
            submit(core, &index, IndexChange::RevertReshard { index: index.record.uid.clone() }).await
        }
    }
}

async fn start(core: &Core, request: &Request, uid: &str) -> Result<Response, ApiError> {
    check_switch(core)?;
    let asked = extract::members::<StartBody>(request)?;
    let index = one_index(core, uid)?;
    if asked.throttle > limits::THROTTLE_MAX {
        let message = format!("`throttle` is {}; allowed: 0 to {}", asked.throttle, limits::THROTTLE_MAX);
        return Err(ApiError::new(Code::BadRequest, message));
    }
    let windows = &core.shared.config.schedule_windows;
    if let Some(name) = &asked.schedule_window
        && !windows.iter().any(|window| window.name == *name)
    {
        let known = windows.iter().map(|window| window.name.as_str()).collect::<Vec<_>>().join(", ");
        let known = if known.is_empty() { "none: configure one with --schedule-window" } else { &known };
        let message = format!("`scheduleWindow` is {name:?}; allowed: {known}");
        return Err(ApiError::new(Code::BadRequest, message));
    }
    let change = IndexChange::Reshard {
        index: index.record.uid.clone(),
        shards: asked.shards,
        throttle: asked.throttle,
        schedule_window: asked.schedule_window.clone(),
        auto_cutover: asked.auto_cutover,
    };
    if asked.dry_run {
        check(&index, &change)?;
        let mut view = forecast::view(core, &index, asked.shards, asked.throttle).await;
        view["scheduleWindow"] = window_view(core, asked.schedule_window.as_deref());
        return Ok(Response::json(StatusCode::OK, view.to_string()));
    }
    submit(core, &index, change).await
}

fn window_view(core: &Core, name: Option<&str>) -> Value {
    let windows = &core.shared.config.schedule_windows;
    let Some(window) = name.and_then(|name| windows.iter().find(|window| window.name == name)) else {
        return Value::Null;
    };
    let minutes = queue::minutes_until(&core.shared, &window.name);
    json!({"window": window.to_string(), "isOpen": minutes == 0, "opensInMinutes": minutes})
}

async fn submit(core: &Core, index: &Index, change: IndexChange) -> Result<Response, ApiError> {
    check(index, &change)?;
    let uid = &index.record.uid;
    let known = queue::all(&core.shared).await.map_err(error_of)?;
    let other = known.iter().find(|operation| !operation.has_ended() && operation.index() == Some(uid));
    if let Some(other) = other {
        let message = format!("Operation {} ({}) is on index `{uid}`.", other.operation, other.kind());
        return Err(ApiError::new(Code::MiroirOperationConflict, message));
    }
    let number = queue::enqueue(&core.shared, Wanted::Index(change)).await.map_err(error_of)?;
    Ok(Response::json(StatusCode::ACCEPTED, json!({"operation": number}).to_string()))
}

fn check(index: &Index, change: &IndexChange) -> Result<(), ApiError> {
    match phases::refusal(index, change) {
        None => Ok(()),
        Some(reason) => {
            let message = format!("The index is not changed: {reason}.");
            Err(ApiError::new(Code::BadRequest, message))
        }
    }
}

/// How many shards an index has, what is kept from before, and the operation on it: the one under way, else the last.
async fn status(core: &Core, uid: &str) -> Result<Response, ApiError> {
    let index = one_index(core, uid)?;
    let record = &index.record;
    let known = queue::all(&core.shared).await.map_err(error_of)?;
    let mut own = known.iter().filter(|operation| operation.index() == Some(&record.uid));
    let under_way = own.clone().find(|operation| !operation.has_ended());
    let shown: Option<&Operation> = under_way.or_else(|| own.next_back());
    let twin = record.twin.as_ref();
    let kept_until = twin.and_then(|twin| twin.kept_until);
    let date = kept_until.and_then(|at| at.format(&time::format_description::well_known::Rfc3339).ok());
    let kept = twin.filter(|_| copies::kept(&index).is_some());
    let body = json!({
        "index": record.uid,
        "shards": record.shards,
        "kept": kept.map(|twin| json!({"shards": twin.shards, "until": date})),
        "waitsMinutes": shown.map(|operation| queue::minutes_to_wait(&core.shared, operation)),
        "operation": shown.map(|operation| operation.view(clock::utc())),
    });
    Ok(Response::json(StatusCode::OK, body.to_string()))
}

fn check_switch(core: &Core) -> Result<(), ApiError> {
    match core.shared.config.resharding {
        true => Ok(()),
        false => Err(ApiError::new(
            Code::FeatureNotEnabled,
            "Resharding is switched off on this gateway (`--resharding off`).",
        )),
    }
}

/// The one index that a name stands for.
fn one_index(core: &Core, name: &str) -> Result<Arc<Index>, ApiError> {
    let snapshot = core.shared.snapshot();
    let index = find_index(&snapshot, name)?;
    match index.targets.is_empty() {
        true => Ok(Arc::clone(index)),
        false => {
            let message = format!("`{name}` stands for several indexes: name one of them.");
            Err(ApiError::new(Code::BadRequest, message))
        }
    }
}
