//! The refusal of a configuration: one sentence that names the member that is wrong.

use crate::api::error::{ApiError, Code};

/// A 400 for a configuration; `reason` names the member and has no full stop.
pub(crate) fn wrong(reason: &str) -> ApiError {
    ApiError::new(Code::BadRequest, format!("Invalid search page: {reason}."))
}
