//! `GET /_miroir/shadow/diff`: how the answers of shadows differ from this gateway's.

use http::StatusCode;
use serde_json::json;

use crate::{
    api::{
        error::{ApiError, Code},
        http::query_string::Query,
    },
    config::limits,
    state::{core::Core, shadows::DiffKind},
    wire::h1::{Request, Response},
};

/// Lists the newest differences of this pod, or those that follow a number; the newest last.
///
/// # Errors
/// 400 for a parameter that is unknown or wrong, a target that does not exist included.
pub(crate) fn diff(core: &Core, request: &Request) -> Result<Response, ApiError> {
    let query = Query::parse(request.uri.query());
    query.only(&["target", "kind", "limit", "sinceId"])?;
    let shadows = &core.shared.shadows;
    let target = query.get("target");
    if let Some(target) = target
        && !shadows.targets.iter().any(|known| known.config.name == target)
    {
        let known = shadows.targets.iter().map(|known| known.config.name.as_str());
        return Err(unknown("target", target, known));
    }
    let kind = match query.get("kind") {
        None => None,
        Some(name) => {
            let found = DiffKind::ALL.into_iter().find(|kind| kind.as_str() == name);
            Some(found.ok_or_else(|| unknown("kind", name, DiffKind::ALL.iter().map(|kind| kind.as_str())))?)
        }
    };
    let limit = query.integer("limit", Code::BadRequest)?.unwrap_or(limits::SHADOW_DIFFS_LISTED_DEFAULT);
    let since = query.integer("sinceId", Code::BadRequest)?;
    let found = shadows.diffs.list(since, limit.min(limits::SHADOW_DIFFS_MAX), |diff| {
        target.is_none_or(|target| diff.target == target) && kind.is_none_or(|kind| diff.kind == kind)
    });
    let views = found.iter().map(|diff| {
        json!({
            "id": diff.id,
            "target": diff.target,
            "kind": diff.kind.as_str(),
            "index": diff.index,
            "query": diff.query,
            "primary": diff.primary,
            "shadow": diff.shadow,
        })
    });
    Ok(Response::json(StatusCode::OK, json!({"results": views.collect::<Vec<_>>()}).to_string()))
}

fn unknown<'a>(parameter: &str, given: &str, known: impl Iterator<Item = &'a str>) -> ApiError {
    let known = known.map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
    let known = if known.is_empty() { "nothing, since there are no shadows".to_owned() } else { known };
    ApiError::new(
        Code::BadRequest,
        format!("Unknown value `{given}` for parameter `{parameter}`: expected {known}"),
    )
}
