//! `/logs`: the gateway's own log, read over HTTP, and which of its lines are written.
//!
//! Invariant: a target is read as a node reads it. What it says of parts that are not this gateway's has no effect.

#![allow(clippy::wildcard_enum_match_arm, reason = "every other type of JSON is wrong in the same way")]

use http::StatusCode;
use serde_json::Value;
use tokio::sync::mpsc;

use crate::{
    api::{
        error::{ApiError, Code},
        http::json_body::{object, wrong_type},
    },
    config::limits,
    handlers::{
        keys,
        node::{LOGS, check_feature},
    },
    observe::log::{self, Level},
    state::core::Core,
    wire::h1::{Pieces, Request, Response},
};

const ACTION: &str = "Modifying logs through the `/logs/*` routes";

/// `POST /logs/stderr`: from which level on lines go to standard error.
pub(super) async fn to_stderr(core: &Core, request: &Request) -> Result<Response, ApiError> {
    let body = object(keys::json_value(core, request)?, &["target"])?;
    let level = target(&body["target"])?;
    check_feature(core, &LOGS, ACTION).await?;
    log::set_level(level);
    Ok(Response::empty(StatusCode::NO_CONTENT))
}

/// `POST /logs/stream`: the lines of this pod's log from now on, until the client leaves or somebody stops it.
pub(super) async fn stream(core: &Core, request: &Request) -> Result<Response, ApiError> {
    let body = object(keys::json_value(core, request)?, &["target", "mode", "profileMemory"])?;
    let level = target(&body["target"])?;
    let is_json = match &body["mode"] {
        Value::Null => false,
        mode if *mode == "human" => false,
        mode if *mode == "json" => true,
        mode if *mode == "profile" => {
            let message =
                "Invalid value at `.mode`: the gateway's log has no profile; `human` and `json` are served.";
            return Err(ApiError::new(Code::BadRequest, message));
        }
        other => {
            let message =
                format!("Unknown value `{other}` at `.mode`: expected one of `human`, `json`, `profile`");
            return Err(ApiError::new(Code::BadRequest, message));
        }
    };
    if !matches!(body["profileMemory"], Value::Null | Value::Bool(false)) {
        let message = "Invalid value at `.profileMemory`: it can only be used while profiling code.";
        return Err(ApiError::new(Code::BadRequest, message));
    }
    check_feature(core, &LOGS, ACTION).await?;
    let (lines, pieces) = mpsc::channel(limits::LOG_LINES_MAX);
    if !log::follow(log::Reader { level, is_json, lines }) {
        let message = "The `/logs/stream` route is currently in use by someone else.";
        return Err(ApiError::new(Code::BadRequest, message));
    }
    let media_type = if is_json { "application/x-ndjson" } else { "text/plain; charset=utf-8" };
    Ok(Response {
        content_type: Some(media_type),
        pieces: Some(Pieces::new(pieces)),
        ..Response::empty(StatusCode::OK)
    })
}

/// `DELETE /logs/stream`.
pub(super) async fn stop(core: &Core) -> Result<Response, ApiError> {
    check_feature(core, &LOGS, ACTION).await?;
    log::unfollow();
    Ok(Response::empty(StatusCode::NO_CONTENT))
}

/// The level that a target gives to this gateway; `info` for none.
pub(super) fn target(value: &Value) -> Result<Level, ApiError> {
    let text = match value {
        Value::Null => return Ok(Level::Info),
        Value::String(text) => text,
        other => return Err(wrong_type(".target", "a string", Code::BadRequest, other)),
    };
    let wrong =
        |reason: String| ApiError::new(Code::BadRequest, format!("Invalid value at `.target`: {reason}"));
    if text.is_empty() {
        let usage = "Empty string is not a valid target. If you want to get no logs use `OFF`. Usage: `info`, `meilisearch=info`, or you can write multiple filters in one target: `index_scheduler=info,milli=trace`";
        return Err(wrong(usage.to_owned()));
    }
    let (mut of_all, mut of_gateway) = (None, None);
    for directive in text.split(',').map(str::trim) {
        match directive.split_once('=') {
            None => match Level::named(directive) {
                Some(level) => of_all = Some(level),
                // A part alone is selected at `info`.
                None if is_part(directive) => {
                    of_gateway = of_gateway.or(own(directive).then_some(Level::Info))
                }
                None => return Err(wrong(format!("invalid filter directive `{directive}`"))),
            },
            Some((part, level)) => match Level::named(level) {
                Some(level) if is_part(part) => of_gateway = own(part).then_some(level).or(of_gateway),
                _ => return Err(wrong(format!("invalid filter directive `{directive}`"))),
            },
        }
    }
    Ok(of_gateway.or(of_all).unwrap_or(Level::Off))
}

fn is_part(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-:".contains(&byte))
}

/// Whether a part is this program, by its own name or by that of a node's.
fn own(part: &str) -> bool {
    matches!(part, "miroir" | "gateway" | "meilisearch")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn targets_are_read_as_by_a_node() {
        let check =
            |text: &str, expected: Level| assert_eq!(target(&json!(text)).unwrap(), expected, "{text}");
        assert_eq!(target(&Value::Null).unwrap(), Level::Info);
        check("info", Level::Info);
        check("OFF", Level::Off);
        check("warn", Level::Warn);
        check("trace", Level::Info);
        check("miroir=error,milli=trace", Level::Error);
        check("error,meilisearch=warn", Level::Warn);
        check("milli=trace", Level::Off);
        check("miroir", Level::Info);
        for bad in [json!(""), json!("a b"), json!("miroir=loud"), json!("=info"), json!(1), json!(",")] {
            assert_eq!(target(&bad).unwrap_err().code(), Some(Code::BadRequest), "{bad}");
        }
    }
}
