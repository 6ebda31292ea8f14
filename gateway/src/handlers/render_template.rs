//! `POST /render-template`: rendered by a node, which holds the document when the body names one.
//!
//! Invariants: nodes get their own names of indexes, and no client reaches an index by such a name. Reserved fields
//! that a template shows are never answered.

use bytes::Bytes;
use http::{Method, StatusCode};
use serde_json::{Value, json};

use crate::{
    api::{
        embedder_templates,
        error::{ApiError, Code},
        tasks::view::is_index_uid,
    },
    auth::{self, Permission},
    handlers::{documents, extract},
    nodes::pool::NodeRequest,
    read::{plan, scatter::is_refusal},
    state::{core::Core, coverage, snapshot::Snapshot},
    wire::h1::{Request, Response},
};

const TARGET: &str = "/render-template";

/// `POST /render-template`.
pub(crate) async fn render(
    core: &Core,
    request: &Request,
    permission: &Permission,
) -> Result<Response, ApiError> {
    let body = extract::json_body(core, request)?;
    let snapshot = core.shared.snapshot();
    let mut parsed: Value = serde_json::from_slice(&body).unwrap_or_default();
    let mut hidden = Vec::new();
    for part in ["template", "input"] {
        let Some(uid) = parsed[part]["indexUid"].as_str().map(str::to_owned) else { continue };
        if !permission.allows_index(&uid) {
            return Err(auth::invalid_key());
        }
        // A text that cannot be a uid stays as it is, for a node to refuse.
        if is_index_uid(&uid) {
            let name = snapshot.name_on_nodes(&uid);
            parsed[part]["indexUid"] = json!(name);
            hidden.push((name, uid));
        }
    }
    // A template that loops over the fields of a document passes over the gateway's own.
    if let Some(Value::String(template)) = parsed.pointer_mut("/template/inline") {
        *template = embedder_templates::guarded(template);
    }
    let nodes = nodes_to_ask(core, &snapshot, &body);
    // A body that is not JSON goes to a node as it came, for the node to refuse.
    let body = if parsed.is_null() { body } else { Bytes::from(parsed.to_string()) };
    for node in nodes {
        let question = NodeRequest {
            method: Method::POST,
            target: TARGET,
            content_type: Some("application/json"),
            body: body.clone(),
            repeatable: true,
        };
        match core.pools.ask(node, question, core.shared.config.node_timeout).await {
            Ok(answer) if answer.status == StatusCode::OK => return rendered(answer.body),
            Ok(answer) if is_refusal(&answer) => {
                let mut body = String::from_utf8_lossy(&answer.body).into_owned();
                for (name, uid) in &hidden {
                    body = body.replace(&format!("`{name}`"), &format!("`{uid}`"));
                }
                return Err(ApiError::from_node(answer.status, body.as_bytes()));
            }
            Ok(_) | Err(_) => {}
        }
    }
    Err(coverage::no_node(&core.shared, core.shared.snapshot().topology.every_node()))
}

/// The owners of the document that is rendered; all nodes in turn when none is named.
fn nodes_to_ask(core: &Core, snapshot: &Snapshot, body: &[u8]) -> Vec<router::NodeIndex> {
    let parsed: Value = serde_json::from_slice(body).unwrap_or_default();
    let input = &parsed["input"];
    let index = input["indexUid"].as_str().and_then(|uid| snapshot.find(uid));
    if let (Some(index), Some(id)) = (index, input["id"].as_str()) {
        return plan::in_order(core, documents::owners(snapshot, index, id));
    }
    let mut nodes = snapshot.topology.every_node();
    let turn = core.turn() % nodes.len().max(1);
    nodes.rotate_left(turn);
    nodes.sort_by_key(|node| !core.shared.nodes.health.state(*node).serves_reads());
    nodes
}

fn rendered(body: Bytes) -> Result<Response, ApiError> {
    let value: Value = serde_json::from_slice(&body).unwrap_or_default();
    if shows_reserved(&value["rendered"]) {
        return Err(ApiError::new(
            Code::FeatureNotEnabled,
            "This gateway does not render a template that goes through all fields of a document: nodes keep fields of the gateway's own in it.",
        ));
    }
    Ok(Response::json(StatusCode::OK, body))
}

fn shows_reserved(rendered: &Value) -> bool {
    let has = |text: &str| text.contains(router::reserved::SHARD_FIELD);
    match rendered {
        Value::String(text) => has(text),
        Value::Array(values) => values.iter().any(shows_reserved),
        Value::Object(members) => members.iter().any(|(name, value)| has(name) || shows_reserved(value)),
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}
