//! `/network`: clients see one node, which is a part of the network that they describe.
//!
//! Invariants: nodes' names and addresses are never shown, whatever a node may have been told. What clients describe
//! is kept and shown. A search that would go to any remote but this cluster is refused.

use std::rc::Rc;

use bytes::Bytes;
use http::StatusCode;
use serde_json::{Value, json};

use crate::{
    api::{
        error::{ApiError, Code},
        network::NetworkChange,
    },
    handlers::keys,
    read::ask,
    state::{
        core::Core,
        merged_answer::MergedAnswer,
        network::{NETWORK, NETWORK_KEY, stored},
    },
    wire::h1::{Request, Response},
    write::lane,
};

const TARGET: &str = "/network";

/// `GET /network`. A node tells whether the feature is on, and which members the answer has.
pub(crate) async fn get(core: &Core) -> Result<Response, ApiError> {
    let of_a_node = ask::any_node(core, TARGET).await?;
    let (network, _) = stored(core).await?;
    Ok(Response::json(StatusCode::OK, network.view(of_a_node).to_string()))
}

/// `PATCH /network`.
pub(crate) async fn change(core: &Rc<Core>, request: &Request) -> Result<Response, ApiError> {
    let change = keys::json_value(core, request).and_then(NetworkChange::parse);
    let of_a_node = ask::any_node(core, TARGET).await;
    let (change, of_a_node) = (change?, of_a_node?);
    let _hold = lane::lock(core, vec![TARGET]).await?;
    let (before, revision) = stored(core).await?;
    let after = change.apply(before)?;
    let value = serde_json::to_value(&after)
        .map_err(|_| ApiError::new(Code::Internal, "The network cannot be stored."))?;
    core.shared.store.put_record(NETWORK, NETWORK_KEY, value, revision).await?;
    Ok(Response::json(StatusCode::OK, after.view(of_a_node).to_string()))
}

/// `POST /network/control`: the answer of a node of the Community Edition.
pub(crate) async fn control(core: &Core) -> ApiError {
    match ask::any_node(core, TARGET).await {
        Err(error) => error,
        Ok(_) => ApiError::new(
            Code::RequiresEnterpriseEdition,
            "Meilisearch Enterprise Edition is required to call this route",
        ),
    }
}

/// The name of this cluster in a federated search in which some queries name it as the remote to answer them.
pub(crate) struct AsRemote(String);

impl AsRemote {
    /// Reads such a body and gives it without these names; `None` for any other body, which a node then judges.
    pub(crate) async fn read(core: &Core, body: &[u8]) -> Option<(Bytes, Self)> {
        let mut body = serde_json::from_slice::<Value>(body).ok()?;
        let named = |query: &Value| query["federationOptions"]["remote"].is_string();
        if body.get("federation").is_none_or(Value::is_null) || !body["queries"].as_array()?.iter().any(named)
        {
            return None;
        }
        let name = stored(core).await.ok()?.0.name()?.to_owned();
        if !crate::read::node_features::is_on(core, "network").await {
            return None;
        }
        for query in body["queries"].as_array_mut()? {
            let options = query.get_mut("federationOptions").and_then(Value::as_object_mut);
            if let Some(options) = options.filter(|options| options.get("remote") == Some(&json!(name))) {
                options.remove("remote");
            }
        }
        Some((body.to_string().into(), Self(name)))
    }

    /// Puts the name of the remote into all hits, also those of queries that name none.
    pub(crate) fn named(&self, merged: MergedAnswer) -> MergedAnswer {
        let Ok(mut answer) = serde_json::from_slice::<Value>(&merged.body) else { return merged };
        for hit in answer["hits"].as_array_mut().into_iter().flatten() {
            hit["_federation"]["remote"] = json!(self.0);
        }
        answer["remoteErrors"] = json!({});
        MergedAnswer { body: answer.to_string().into(), ..merged }
    }
}
