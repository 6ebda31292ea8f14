//! Logs one line per request, where the operator asks for it.
//!
//! A slow query has a line of its own, with `--slow-query-log`.
//!
//! Invariants: a path is logged as its template and a query not at all, since both may hold keys or search terms,
//! unless `--log-queries` allows it. Keys are never logged. A switched-off log costs one comparison.

use std::time::Duration;

use crate::{config::LogRequests, observe::log, state::core::Core, wire::h1::Request};

/// The longest request id that is taken from a client.
const ID_BYTES_MAX: usize = 64;
/// Paths below may contain a key's value.
const KEYS: &str = "/keys";

/// The routes that slow-query logging is about.
const QUERIES: [&str; 4] =
    ["/indexes/{uid}/search", "/indexes/{uid}/facet-search", "/indexes/{uid}/similar", "/multi-search"];
/// Bytes of a slow query's body that are logged where queries may be.
const QUERY_BYTES_MAX: usize = 1024;

/// Logs a query that took long; with its text only where the log may hold queries.
fn record_slow(core: &Core, request: &Request, template: &str, status: u16, took: Duration) {
    core.metrics.slow_queries.increment(1);
    let id = id(core, request);
    let (status, took) = (status.to_string(), took.as_micros().to_string());
    let mut fields = vec![
        ("id", id.as_str()),
        ("path", template),
        ("status", status.as_str()),
        ("microseconds", took.as_str()),
    ];
    let named = request.uri.path().strip_prefix("/indexes/").and_then(|rest| rest.split('/').next());
    // A name that stands for no index is a client's text.
    let snapshot = core.shared.snapshot();
    if let Some(index) = named.filter(|name| snapshot.find(name).is_some()) {
        fields.push(("index", index));
    }
    let body = String::from_utf8_lossy(&request.body[..request.body.len().min(QUERY_BYTES_MAX)]);
    let target = request.uri.path_and_query().map_or("", |target| target.as_str());
    if core.edge().log_queries {
        fields.extend([("target", target), ("query", &*body)]);
    }
    log::warn("slow_query", &fields);
}

/// Logs a request that was answered with `status`.
pub(crate) fn record(core: &Core, request: &Request, template: &str, status: u16, took: Duration) {
    let edge = core.edge();
    if edge.slow_query.is_some_and(|limit| took >= limit) && QUERIES.contains(&template) {
        record_slow(core, request, template, status, took);
    }
    match edge.log_requests {
        LogRequests::Off => return,
        LogRequests::Errors if status < 500 => return,
        LogRequests::Errors | LogRequests::All => {}
    }
    let id = id(core, request);
    let (status, took) = (status.to_string(), took.as_micros().to_string());
    let mut fields = vec![
        ("id", id.as_str()),
        ("method", request.method.as_str()),
        ("path", template),
        ("status", status.as_str()),
        ("microseconds", took.as_str()),
    ];
    let target = request.uri.path_and_query().map_or("", |target| target.as_str());
    if edge.log_queries && !target.starts_with(KEYS) {
        fields.push(("target", target));
    }
    log::info("request", &fields);
}

/// The client's id of the request if it is acceptable, else a new one.
fn id(core: &Core, request: &Request) -> String {
    match request.header("x-request-id").filter(|id| is_decent(id)) {
        Some(id) => id.to_owned(),
        None => format!("{:x}-{:x}-{:x}", std::process::id(), core.number, core.turn()),
    }
}

fn is_decent(id: &str) -> bool {
    !id.is_empty() && id.len() <= ID_BYTES_MAX && id.bytes().all(|byte| byte.is_ascii_graphic())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_of_clients_are_short_and_visible() {
        assert!(is_decent("7f3a-b"));
        assert!(!is_decent(""));
        assert!(!is_decent("a b"));
        assert!(!is_decent("\u{e9}"));
        assert!(!is_decent(&"a".repeat(65)));
    }
}
