//! Versions of settings in headers: the one that a read saw, and the lowest one that it accepts.
//!
//! Invariant: a version is committed when all serving nodes have it (`repair::settings_drift`), so a read that is let
//! through is answered by nodes that have at least the version that it names.

use crate::{
    api::error::{ApiError, Code},
    server::routes::Route,
    state::{core::Core, snapshot::Index},
    wire::h1::{Request, Response},
};

const VERSION: &str = "x-miroir-settings-version";
const MINIMUM: &str = "x-miroir-min-settings-version";
const INCONSISTENT: &str = "x-miroir-settings-inconsistent";

/// The index that a route reads, by the name that clients use.
#[allow(clippy::wildcard_enum_match_arm, reason = "a new route reads no one index unless it is said here")]
fn index_read<'a>(route: &Route<'a>) -> Option<&'a str> {
    match *route {
        Route::Search { index }
        | Route::FacetSearch(index)
        | Route::Similar(index)
        | Route::Document { index, .. }
        | Route::Documents(index)
        | Route::FetchDocuments(index)
        | Route::Fields(index)
        | Route::Explain(index)
        | Route::Settings(index)
        | Route::Setting { index, .. } => Some(index),
        _ => None,
    }
}

/// Refuses a read that wants settings that are not committed yet.
///
/// # Errors
/// 503 `miroir_settings_version_stale`, or 400 for an invalid version.
pub(crate) fn check(core: &Core, request: &Request, route: &Route<'_>) -> Result<(), ApiError> {
    let (Some(uid), Some(text)) = (index_read(route), request.header(MINIMUM)) else { return Ok(()) };
    let Ok(least) = text.trim().parse::<u64>() else {
        let message = format!("Invalid value of the header `{MINIMUM}`: `{text}` is no whole number.");
        return Err(ApiError::new(Code::BadRequest, message));
    };
    let snapshot = core.shared.snapshot();
    match snapshot.find(uid) {
        Some(index) if index.record.settings_version < least => Err(ApiError::new(
            Code::MiroirSettingsVersionStale,
            format!(
                "The settings of index `{uid}` have version {}; at least {least} was asked for.",
                index.record.settings_version
            ),
        )),
        _ => Ok(()),
    }
}

/// The version of a read index's settings, and whether a change is pending, before it is read.
pub(crate) fn seen(core: &Core, route: &Route<'_>) -> Option<(u64, bool)> {
    let snapshot = core.shared.snapshot();
    let index: &Index = snapshot.find(index_read(route)?)?;
    Some((index.record.settings_version, index.record.settings_pending))
}

/// Adds the headers with the version of the settings.
pub(crate) fn tell(response: Response, seen: Option<(u64, bool)>) -> Response {
    match seen {
        None => response,
        Some((version, pending)) => {
            let response = response.with_header(VERSION, version.to_string());
            if pending { response.with_header(INCONSISTENT, "true".to_owned()) } else { response }
        }
    }
}
