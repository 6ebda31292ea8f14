//! Reads of a pod that has not heard of its store for too long to know where documents are.
//!
//! Invariant: whoever moves shards may delete what is left behind once such a pod reads no more (`state::placed`).

use crate::{
    api::error::ApiError,
    server::{admission, routes::Route},
    state::{core::Core, placed},
};

/// # Errors
/// 503 for a question that nodes might answer only in part.
pub(crate) fn check(core: &Core, route: &Route<'_>) -> Result<(), ApiError> {
    let reads = admission::is_question(route) || matches!(route, Route::Explain(_));
    if !reads || placed::is_trusted(&core.shared) {
        return Ok(());
    }
    let message = "This gateway has not reached its store for too long to know where documents are.";
    Err(ApiError::overloaded(message).because("placement_too_old"))
}
