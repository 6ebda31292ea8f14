//! Documents that dynamic search rules pin.

use serde_json::Value;

use crate::{
    api::error::{ApiError, Code},
    state::core::Core,
};

/// Whether any dynamic search rule may pin documents of an index.
pub(crate) fn pin_in(core: &Core, uid: &str) -> bool {
    let rules = core.shared.rules.load();
    let concerns = |action: &Value| action["selector"]["indexUid"].as_str().is_none_or(|named| named == uid);
    rules.values().any(|rule| rule["actions"].as_array().is_some_and(|actions| actions.iter().any(concerns)))
}

/// The refusal of searches whose lists are merged further here: such a merge has no places for pinned documents.
pub(crate) fn refusal() -> ApiError {
    ApiError::new(
        Code::FeatureNotEnabled,
        "This gateway does not serve hybrid and federated searches of an index in which dynamic search rules pin documents.",
    )
}
