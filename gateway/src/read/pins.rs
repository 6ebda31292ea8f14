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

/// Checks that a list with pinned documents can be had: `merged_again` means that it is merged further here, where
/// there are no places for them. Under `distinct` only a node with all documents knows whether a pinned one takes the
/// place of those that share its value, and how they count.
///
/// # Errors
/// 400 where it cannot.
pub(crate) fn check(merged_again: bool, is_distinct: bool) -> Result<(), ApiError> {
    let searches = match (merged_again, is_distinct) {
        (false, false) => return Ok(()),
        (true, _) => "hybrid and federated searches",
        (false, true) => "searches with a distinct attribute",
    };
    let message = format!(
        "This gateway does not serve {searches} of an index in which dynamic search rules pin documents."
    );
    Err(ApiError::new(Code::FeatureNotEnabled, message))
}
