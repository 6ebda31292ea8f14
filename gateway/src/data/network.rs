//! `GET /network`: clients see one node that is part of no network.
//!
//! Invariant: nothing of the nodes' names or addresses shows, whatever a node may have been told.

use http::StatusCode;
use serde_json::{Value, json};

use super::{Core, gather};
use crate::{api::error::ApiError, h1::Response, runtime::Runtime};

/// `GET /network`. A node says whether the feature is on, and which members the answer has.
pub(super) async fn get<R: Runtime>(core: &Core<R>) -> Result<Response, ApiError> {
    let network = alone(gather::any(core, "/network").await?);
    Ok(Response::json(StatusCode::OK, network.to_string()))
}

/// The network of a node that has none.
fn alone(mut network: Value) -> Value {
    for (name, value) in network.as_object_mut().into_iter().flatten() {
        *value = match name.as_str() {
            "remotes" | "shards" => json!({}),
            // A version that was never changed.
            "version" => json!("00000000-0000-0000-0000-000000000000"),
            _ if value.is_boolean() => json!(false),
            _ => Value::Null,
        };
    }
    network
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_of_a_network_shows() {
        let told = json!({"self": "a", "remotes": {"a": {"url": "u"}}, "sharding": true, "version": "7"});
        let shown = json!({
            "self": null,
            "remotes": {},
            "sharding": false,
            "version": "00000000-0000-0000-0000-000000000000",
        });
        assert_eq!(alone(told), shown);
    }
}
