//! What changes the cluster's shape: nodes and groups that come and go, copies, evening out.
//!
//! Invariant: what can be known to be wrong is refused by name before an operation exists.

use http::StatusCode;
use router::{
    Node,
    rebalance::{PlanError, ShapeChange},
};
use serde::Deserialize;
use serde_json::json;

use crate::{
    api::{
        error::{ApiError, Code},
        http::query_string::Query,
    },
    clock, config,
    handlers::{extract, management::operations::error_of},
    membership::rebalance::{
        forecast, newcomer,
        operation::{Operation, Wanted},
        queue,
    },
    state::core::Core,
    wire::h1::{Request, Response},
};

/// What a path and a method ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ChangeRoute<'a> {
    AddNode,
    DrainNode(&'a str),
    RemoveNode(&'a str),
    ReplaceNode(&'a str),
    ChangeTopology,
    RemoveGroup(&'a str),
    Rebalance,
    RebalanceStatus,
}

impl ChangeRoute<'_> {
    /// The route's path with placeholders.
    pub(crate) fn template(&self) -> &'static str {
        match self {
            Self::AddNode => "/_miroir/nodes",
            Self::DrainNode(_) => "/_miroir/nodes/{id}/drain",
            Self::RemoveNode(_) => "/_miroir/nodes/{id}",
            Self::ReplaceNode(_) => "/_miroir/nodes/{id}/replace",
            Self::ChangeTopology => "/_miroir/topology",
            Self::RemoveGroup(_) => "/_miroir/groups/{n}",
            Self::Rebalance => "/_miroir/rebalance",
            Self::RebalanceStatus => "/_miroir/rebalance/status",
        }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct NodeBody {
    id: String,
    url: String,
    #[serde(default)]
    group: u16,
    #[serde(default)]
    capacity: Option<f64>,
    #[serde(default)]
    dry_run: bool,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
struct PlainBody {
    dry_run: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct TopologyBody {
    replication_factor: u16,
    #[serde(default)]
    dry_run: bool,
}

/// # Errors
/// 400 for what cannot be done, with the reason; what the store says.
pub(crate) async fn serve(
    core: &Core,
    request: &Request,
    asked: ChangeRoute<'_>,
) -> Result<Response, ApiError> {
    if asked == ChangeRoute::RebalanceStatus {
        return status(core).await;
    }
    let query = Query::parse(request.uri.query());
    query.only(&["force", "dryRun"])?;
    let flag = |name: &str| match query.get(name) {
        None | Some("false") => Ok(false),
        Some("true" | "") => Ok(true),
        Some(other) => {
            let message = format!("`{name}` is {other:?}; allowed: true and false");
            Err(ApiError::new(Code::BadRequest, message))
        }
    };
    let (force, mut dry_run) = (flag("force")?, flag("dryRun")?);
    let mut plain = || -> Result<(), ApiError> {
        dry_run |= !request.body.is_empty() && extract::members::<PlainBody>(request)?.dry_run;
        Ok(())
    };
    let change = match asked {
        ChangeRoute::AddNode => {
            let body = extract::members::<NodeBody>(request)?;
            dry_run |= body.dry_run;
            ShapeChange::AddNode { node: node(&body)? }
        }
        ChangeRoute::ReplaceNode(id) => {
            let body = extract::members::<NodeBody>(request)?;
            dry_run |= body.dry_run;
            ShapeChange::ReplaceNode { id: id.to_owned(), by: node(&body)?, force }
        }
        ChangeRoute::ChangeTopology => {
            let body = extract::members::<TopologyBody>(request)?;
            dry_run |= body.dry_run;
            ShapeChange::SetReplicationFactor { replication_factor: body.replication_factor }
        }
        ChangeRoute::DrainNode(id) => {
            plain()?;
            ShapeChange::DrainNode { id: id.to_owned() }
        }
        ChangeRoute::RemoveNode(id) => {
            plain()?;
            ShapeChange::RemoveNode { id: id.to_owned(), force }
        }
        ChangeRoute::RemoveGroup(group) => {
            plain()?;
            let group = group
                .parse()
                .map_err(|_| refused(&format!("there is no group {group:?}: a number names one")))?;
            ShapeChange::RemoveGroup { group }
        }
        ChangeRoute::Rebalance | ChangeRoute::RebalanceStatus => {
            plain()?;
            ShapeChange::EvenOut
        }
    };
    submit(core, change, dry_run).await
}

async fn submit(core: &Core, change: ShapeChange, dry_run: bool) -> Result<Response, ApiError> {
    let shared = &core.shared;
    if !shared.config.anti_entropy && shared.config.migration_skip_delta_pass {
        return Err(refused(
            "with --migration-skip-delta-pass on and --anti-entropy off nothing would find what a move has missed; switch one of them",
        ));
    }
    let waits = queue::all(shared).await.map_err(error_of)?.iter().any(|operation| !operation.has_ended());
    let planned = shared.snapshot().topology.plan(&change);
    match (&planned, waits) {
        // It is judged when its turn comes: what is before it may make it possible.
        (Ok(_), _) | (Err(PlanError::Moving), true) => {}
        (Err(error), _) => return Err(refused(&error.to_string())),
    }
    if let ShapeChange::AddNode { node } | ShapeChange::ReplaceNode { by: node, .. } = &change {
        newcomer::inspect(core, node).await.map_err(|reason| refused(&reason))?;
    }
    if dry_run {
        let plan = planned.map_err(|error| refused(&error.to_string()))?;
        let kind = Operation::new(0, Wanted::Shape(change), clock::utc()).kind();
        let view = forecast::view(core, kind, &plan).await;
        return Ok(Response::json(StatusCode::OK, view.to_string()));
    }
    let number = queue::enqueue(shared, Wanted::Shape(change)).await.map_err(error_of)?;
    Ok(Response::json(StatusCode::ACCEPTED, json!({"operation": number}).to_string()))
}

/// The operation that is under way, else the one that ended last.
async fn status(core: &Core) -> Result<Response, ApiError> {
    let all = queue::all(&core.shared).await.map_err(error_of)?;
    let waiting = all.iter().filter(|operation| !operation.has_ended()).count();
    let shown = all.iter().find(|operation| !operation.has_ended()).or(all.last());
    let now = clock::utc();
    let windows = core.shared.config.schedule_windows.iter().map(|window| {
        let minutes = queue::minutes_until(&core.shared, &window.name);
        json!({
            "name": window.name,
            "window": window.to_string(),
            "isOpen": minutes == 0,
            "opensInMinutes": minutes,
        })
    });
    let body = json!({
        "waiting": waiting,
        "operation": shown.map(|operation| operation.view(now)),
        "scheduleWindows": windows.collect::<Vec<_>>(),
    });
    Ok(Response::json(StatusCode::OK, body.to_string()))
}

/// Judged as flags are.
fn node(body: &NodeBody) -> Result<Node, ApiError> {
    let mut text = format!("{}={},group={}", body.id, body.url, body.group);
    if let Some(capacity) = body.capacity {
        text.push_str(&format!(",capacity={capacity}"));
    }
    let known =
        config::node_config(&text).map_err(|allowed| refused(&format!("node `{}`: {allowed}", body.id)))?;
    Ok(Node { id: known.id, url: known.url.to_string(), group: known.group, capacity: known.capacity })
}

fn refused(reason: &str) -> ApiError {
    ApiError::new(Code::BadRequest, format!("The topology is not changed: {reason}."))
}
