//! Experimental features as the nodes report them.
//!
//! Invariant: a feature is on when every node that answers has it on.

use serde_json::{Map, Value};

use crate::{api::error::ApiError, read::ask, state::core::Core};

/// Whether a feature is on at the nodes that answer; `false` when none does.
pub(crate) async fn is_on(core: &Core, name: &str) -> bool {
    shown(core).await.is_ok_and(|features| features.get(name) == Some(&Value::Bool(true)))
}

pub(crate) async fn shown(core: &Core) -> Result<Features, ApiError> {
    let of_nodes = ask::all_reachable(core, TARGET).await?;
    Ok(on_everywhere(of_nodes.into_iter().filter_map(|features| match features {
        Value::Object(features) => Some(features),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => None,
    })))
}

/// The features that every node knows; one is on when it is on at every node.
pub(crate) fn on_everywhere(of_nodes: impl IntoIterator<Item = Features>) -> Features {
    let mut of_nodes = of_nodes.into_iter();
    let mut features = of_nodes.next().unwrap_or_default();
    for other in of_nodes {
        features.retain(|name, _| other.contains_key(name));
        for (name, value) in &mut features {
            if other[name] == Value::Bool(false) {
                *value = Value::Bool(false);
            }
        }
    }
    features
}

pub(crate) type Features = Map<String, Value>;

pub(crate) const TARGET: &str = "/experimental-features";

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_feature_is_on_when_it_is_on_everywhere() {
        let check = |of_nodes: &[Value], expected: Value| {
            let of_nodes = of_nodes.iter().map(|features| features.as_object().unwrap().clone());
            assert_eq!(Value::Object(on_everywhere(of_nodes)), expected);
        };
        let (on, off) = (json!({"a": true, "b": true}), json!({"a": true, "b": false}));
        check(&[on.clone(), on.clone()], on.clone());
        check(&[on.clone(), off.clone()], off.clone());
        check(&[off.clone(), on.clone()], off);
        check(&[on, json!({"a": true})], json!({"a": true}));
        check(&[], json!({}));
    }
}
