//! Routes about the node itself: health, version, experimental features, network, snapshots.
//! Invariant: features are stored and shown. Only `containsFilter` has an effect, in the search routes.

use deserr::Deserr;
use serde_json::{Value, json};

use super::call::{Call, Reply};
use crate::errors::ApiError;
use crate::tasks::Work;
use crate::wire::{self, WireError};

/// The Meilisearch version of the engine.
const ENGINE_VERSION: &str = "1.15.1";

/// The experimental features of v1.15, and of later versions those that need nothing of the engine.
const FEATURES: [&str; 8] = [
    "metrics",
    "logsRoute",
    "editDocumentsByFunction",
    "containsFilter",
    "network",
    "getTaskDocumentsRoute",
    "compositeEmbedders",
    "chatCompletions",
];

#[derive(Debug, Deserr)]
#[deserr(error = WireError, rename_all = camelCase, deny_unknown_fields)]
struct NewFeatures {
    #[deserr(default)]
    metrics: Option<bool>,
    #[deserr(default)]
    logs_route: Option<bool>,
    #[deserr(default)]
    edit_documents_by_function: Option<bool>,
    #[deserr(default)]
    contains_filter: Option<bool>,
    #[deserr(default)]
    network: Option<bool>,
    #[deserr(default)]
    get_task_documents_route: Option<bool>,
    #[deserr(default)]
    composite_embedders: Option<bool>,
    #[deserr(default)]
    chat_completions: Option<bool>,
}

pub(super) fn health(_call: &Call) -> Result<Reply, ApiError> {
    Reply::ok(&json!({ "status": "available" }))
}

pub(super) fn version(_call: &Call) -> Result<Reply, ApiError> {
    Reply::ok(&json!({ "commitSha": "unknown", "commitDate": "unknown", "pkgVersion": ENGINE_VERSION }))
}

pub(super) fn features(call: &Call) -> Result<Reply, ApiError> {
    Reply::ok(&stored(call))
}

pub(super) fn change_features(call: &Call) -> Result<Reply, ApiError> {
    let new: NewFeatures = wire::read(call.json()?, wire::FEATURES)?;
    let values = [
        new.metrics,
        new.logs_route,
        new.edit_documents_by_function,
        new.contains_filter,
        new.network,
        new.get_task_documents_route,
        new.composite_embedders,
        new.chat_completions,
    ];
    let mut features = stored(call);
    for (name, value) in FEATURES.iter().zip(values) {
        if let Some(value) = value {
            features[*name] = value.into();
        }
    }
    call.node.registry.put_features(features.clone())?;
    call.node.workers.allow_contains_filter(features["containsFilter"] == true);
    Reply::ok(&features)
}

/// This node is never part of a network.
pub(super) fn network(call: &Call) -> Result<Reply, ApiError> {
    if stored(call)["network"] == true {
        return Reply::ok(&json!({ "self": null, "remotes": {} }));
    }
    let text = "Using the /network route requires enabling the `network` experimental feature. See https://github.com/orgs/meilisearch/discussions/805";
    Err(ApiError::new("feature_not_enabled", text))
}

pub(super) fn create_snapshot(call: &Call) -> Result<Reply, ApiError> {
    Reply::accepted(&call.node.enqueue(None, Work::SnapshotCreation)?)
}

/// Every feature with its state; off unless stored.
fn stored(call: &Call) -> Value {
    let stored = call.node.registry.features();
    FEATURES
        .iter()
        .map(|name| ((*name).to_owned(), Value::Bool(stored[*name].as_bool().unwrap_or(false))))
        .collect()
}
